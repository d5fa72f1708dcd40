"""The judges of a rollback, on timelines written by hand."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from harness.core.checks import (
    Check,
    apply_was_refused,
    deletion_was_undone,
    live_was_left_alone,
    nothing_was_replaced,
    state_is_as_before,
    volumes_outlived_it,
)
from harness.core.timeline import Event, History
from harness.core.verdict import Finding, Verdict

HELD, REFUTED, INCONCLUSIVE = Verdict.HELD, Verdict.REFUTED, Verdict.INCONCLUSIVE
API, CONFIG, FRONT, CLAIM = ("Deployment shop/api", "ConfigMap shop/config", "Service shop/api",
                             "PersistentVolumeClaim shop/data-0")  # fmt: skip
Reading = dict[str, Any]


def event(kind: str, subject: str = "", **data: Any) -> Event:
    return Event(0, timedelta(0), datetime(2026, 1, 1, tzinfo=UTC), kind, subject, data)


def reading() -> Reading:
    return {
        "application": "shop", "revision": "a" * 40, "tree": "t" * 40,
        "rendered": {API: {"spec": {"replicas": 2}}, CONFIG: {"data": {"level": "info"}}, "Service other/web": "d1"},
        "live": {
            API: {"uid": "u1", "object": {"spec": {"replicas": 2}}},
            CONFIG: {"uid": "u2", "object": {"data": {"level": "info"}}},
            FRONT: {"uid": "u3", "object": {"spec": {"type": "ClusterIP"}}, "address": "10.43.0.9"},
            CLAIM: {"uid": "u4", "object": {"spec": {}}, "volume": "pvc-1"},
            "Service other/web": {"uid": "u5", "object": "d1"},
        },
        "pods": {"api-1": {"uid": "p1", "of": "api-7d", "images": ["shop:1"]},
                 "api-2": {"uid": "p2", "of": "api-7d", "images": ["shop:1"]}},
    }  # fmt: skip


def story(before: Reading | None, between: Reading | None, after: Reading | None, *more: Event) -> History:
    """A bad commit, and its revert, with what was read before, between and after."""

    def taken(value: Reading | None) -> list[Event]:
        return [event("observed", "state", reading="state", value=value)] if value is not None else []

    events = [*taken(before), event("fault.injected", "PushCommit(x)"), *more, *taken(between),
              event("fault.injected", "RevertCommit(x)"), *taken(after)]  # fmt: skip
    return History(tuple(replace(e, seq=seq) for seq, e in enumerate(events)))


def changed(change: Callable[[Reading], object]) -> Reading:
    value = copy.deepcopy(reading())
    change(value)
    return value


class TestStateIsAsBefore:
    def judge(self, change: Callable[[Reading], object] = lambda _: None) -> Finding:
        return state_is_as_before()(story(reading(), None, changed(change)))

    def test_the_same_state(self) -> None:
        finding = self.judge()
        assert (finding.verdict, finding.claim) == (HELD, "state equals the state before")
        assert finding.figures == {"rendered": 3.0, "live": 5.0}
        assert finding.evidence == (0, 3)

    def test_new_commits_and_new_identities_are_no_other_state(self) -> None:
        def anew(r: Reading) -> None:
            r["revision"] = "b" * 40
            r["live"][API]["uid"] = "u9"
            r["pods"]["api-3"] = r["pods"].pop("api-1")

        assert self.judge(anew).verdict is HELD

    @pytest.mark.parametrize(
        ("change", "said"),
        [
            (lambda r: r.update(tree="u" * 40), "Git's tree is uuuuuuuuuu, was tttttttttt"),
            (lambda r: r["rendered"][CONFIG]["data"].update(level="debug"),
             "rendered ConfigMap shop/config: data.level should be 'info', is 'debug'"),
            (lambda r: r["rendered"].update({"Service other/web": "d2"}), "rendered Service other/web differs"),
            (lambda r: r["live"][API]["object"]["spec"].update(replicas=1),
             "live Deployment shop/api: spec.replicas should be 2, is 1"),
            (lambda r: r["live"].pop(FRONT), "live Service shop/api is missing"),
            (lambda r: r["live"].update({"ConfigMap shop/left": {"uid": "x", "object": {}}}),
             "live ConfigMap shop/left was not there before"),
            (lambda r: r["live"]["Service other/web"].update(object="d2"), "live Service other/web differs"),
            (lambda r: r["pods"]["api-1"].update(images=["none:0"]), "running: 1 pods of api-7d with none:0 more"),
            (lambda r: r["pods"].pop("api-1"), "running: 1 pods of api-7d with shop:1 fewer"),
        ],
        ids=["tree", "rendered", "rendered digest", "live field", "missing", "added", "live digest", "image", "pods"],
    )  # fmt: skip
    def test_what_differs_is_named(self, change: Callable[[Reading], object], said: str) -> None:
        finding = self.judge(change)
        assert finding.verdict is REFUTED
        assert said in finding.actual


class TestLiveWasLeftAlone:
    def judge(self, change: Callable[[Reading], object] = lambda _: None) -> Finding:
        between = changed(change)
        between["revision"] = "b" * 40
        return live_was_left_alone()(story(reading(), between, reading()))

    def test_nothing_changed(self) -> None:
        finding = self.judge(lambda r: r["rendered"].pop(API))  # Git may say what it wants
        assert (finding.verdict, finding.actual) == (HELD, "5 live objects as before")

    @pytest.mark.parametrize(
        ("change", "said"),
        [
            (lambda r: r["live"][CONFIG]["object"]["data"].update(level="debug"), "ConfigMap shop/config: data.level"),
            (lambda r: r["live"][API].update(uid="u9"), "Deployment shop/api is another object with that name"),
            (lambda r: r["pods"]["api-1"].update(images=["none:0"]), "1 pods of api-7d with none:0 more"),
        ],
    )
    def test_what_changed_is_named(self, change: Callable[[Reading], object], said: str) -> None:
        finding = self.judge(change)
        assert finding.verdict is REFUTED
        assert said in finding.actual

    def test_a_reading_from_before_the_commit_says_nothing(self) -> None:
        assert live_was_left_alone()(story(reading(), reading(), reading())).verdict is INCONCLUSIVE


class TestNothingWasReplaced:
    def test_the_same_uids(self) -> None:
        finding = nothing_was_replaced()(story(reading(), None, reading()))
        assert (finding.verdict, finding.actual) == (HELD, "5 objects with the UIDs of before")

    def test_another_object_of_that_name(self) -> None:
        after = changed(lambda r: r["live"][API].update(uid="u9"))
        finding = nothing_was_replaced()(story(reading(), None, after))
        assert (finding.verdict, finding.actual) == (REFUTED, "Deployment shop/api is another object with that name")

    def test_an_object_that_is_gone(self) -> None:
        finding = nothing_was_replaced()(story(reading(), None, changed(lambda r: r["live"].pop(API))))
        assert (finding.verdict, finding.actual) == (REFUTED, "Deployment shop/api is gone")


class TestDeletionWasUndone:
    def without(self) -> Reading:
        def gone(r: Reading) -> None:
            del r["live"][API], r["live"][FRONT]
            r["pods"].clear()

        return changed(gone)

    def back(self) -> Reading:
        def anew(r: Reading) -> None:
            r["live"][API]["uid"], r["live"][FRONT]["uid"], r["live"][FRONT]["address"] = "n1", "n2", "10.43.7.7"
            r["pods"] = {"api-1": {"uid": "n3", "of": "api-7d", "images": ["shop:1"]}}

        return changed(anew)

    def test_what_came_back_and_what_cannot(self) -> None:
        finding = deletion_was_undone()(story(reading(), self.without(), self.back()))
        assert finding.verdict is HELD
        assert finding.actual == (
            "Deployment shop/api, Service shop/api came back; what did not: the UID of Deployment shop/api, the UID of "
            "Service shop/api, the address 10.43.0.9 of Service shop/api (now 10.43.7.7), Pod api-1, Pod api-2"
        )
        assert finding.figures == {"deleted": 2.0, "back": 2.0, "pods_lost": 2.0}

    def test_what_stays_away_refutes(self) -> None:
        finding = deletion_was_undone()(story(reading(), self.without(), self.without()))
        assert finding.verdict is REFUTED
        assert finding.actual == "Deployment shop/api is missing, Service shop/api is missing"

    def test_what_comes_back_otherwise_refutes(self) -> None:
        after = self.back()
        after["live"][API]["object"]["spec"]["replicas"] = 1
        finding = deletion_was_undone()(story(reading(), self.without(), after))
        assert (finding.verdict, finding.actual) == (
            REFUTED, "Deployment shop/api: spec.replicas should be 2, is 1")  # fmt: skip

    def test_without_a_deletion_nothing_was_undone(self) -> None:
        assert deletion_was_undone()(story(reading(), reading(), reading())).verdict is INCONCLUSIVE


class TestVolumesOutlivedIt:
    def test_the_same_claim_on_the_same_volume(self) -> None:
        finding = volumes_outlived_it()(story(reading(), None, reading()))
        assert (finding.verdict, finding.figures) == (HELD, {"claims": 1.0, "claims_lost": 0.0})

    def test_a_new_claim_of_that_name_holds_nothing_of_what_was_written(self) -> None:
        after = changed(lambda r: r["live"][CLAIM].update(uid="n4", volume="pvc-2"))
        finding = volumes_outlived_it()(story(reading(), None, after))
        assert finding.verdict is REFUTED
        assert finding.actual.startswith(f"{CLAIM} is another claim, on volume pvc-2 instead of pvc-1")

    def test_a_claim_that_is_gone(self) -> None:
        finding = volumes_outlived_it()(story(reading(), None, changed(lambda r: r["live"].pop(CLAIM))))
        assert (finding.verdict, finding.actual) == (REFUTED, f"{CLAIM} is gone")

    def test_without_a_claim_it_says_nothing(self) -> None:
        none = changed(lambda r: r["live"].pop(CLAIM))
        assert volumes_outlived_it()(story(none, None, none)).verdict is INCONCLUSIVE


class TestApplyWasRefused:
    def judge(self, state: str, actual: str) -> Finding:
        wait = event("until.ended", "apply_failed(shop at 123)", state=state, actual=actual)
        return apply_was_refused(saying="is immutable")(story(reading(), None, None, wait))

    def test_for_the_reason_that_was_meant(self) -> None:
        assert self.judge("MET", "Deployment shop/api: field is immutable").verdict is HELD

    def test_for_another_reason(self) -> None:
        finding = self.judge("MET", "quota exceeded")
        assert (finding.verdict, finding.actual) == (REFUTED, "quota exceeded")

    def test_not_seen(self) -> None:
        assert self.judge("PENDING", "no message yet").verdict is INCONCLUSIVE
        assert apply_was_refused(saying="x")(story(reading(), None, reading())).verdict is INCONCLUSIVE


@pytest.mark.parametrize(
    "check",
    [state_is_as_before(), live_was_left_alone(), nothing_was_replaced(), deletion_was_undone(), volumes_outlived_it()],
    ids=lambda c: c.claim,
)
def test_without_its_readings_a_judge_says_nothing(check: Check) -> None:
    empty = reading() | {"live": {}}
    told = (story(None, None, None), story(None, reading(), reading()), story(empty, reading(), reading()))
    for history in (History(()), *told):
        finding = check(history)
        assert (finding.verdict, "failed" in finding.actual) == (INCONCLUSIVE, False)
