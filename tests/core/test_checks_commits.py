"""Claims about commits: what each needs, when it is broken, and when it cannot be told."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from harness.core.checks import (
    every_push_within,
    everything_kept_its_version,
    no_sync_was_started,
    only_what_left_git_was_pruned,
)
from harness.core.checks.check import Check
from harness.core.clock import SECOND
from harness.core.timeline import Event, History
from harness.core.verdict import Finding, Verdict

Told = tuple[str, str, dict[str, Any]]
US = 1_000_000


def judged(check: Check, *told: Told) -> Finding:
    utc = datetime(2026, 1, 1, tzinfo=UTC)
    events = [Event(n, timedelta(seconds=n), utc, kind, subject, data) for n, (kind, subject, data) in enumerate(told)]
    return check(History(tuple(events)))


def push(at: float, sha: str = "cafe", **detail: Any) -> Told:
    where = {"sent_us": int((at - 0.1) * US), "accepted_us": int(at * US)}
    return "fault.injected", f"PushCommit({sha})", {**where, "detail": {"sha": sha, **detail}}


def wait(at: float, *, before: float | None = None, subject: str = "seen(shop)", state: str = "MET") -> Told:
    bound = None if before is None else int(before * US)
    return "until.ended", subject, {"state": state, "met_us": int(at * US), "not_before_us": bound, "actual": "so"}


def reading(name: str, value: Any) -> Told:
    return "observed", name, {"reading": name, "value": value}


# --- how long every push took ----------------------------------------------------------------------------------------


def test_the_distribution_of_all_pushes_is_measured() -> None:
    story = [push(0), wait(2, before=1.9), push(10, "b"), wait(18, before=17.5), push(20, "c"), wait(25, before=24)]
    found = judged(every_push_within(10 * SECOND), *story)
    assert (found.verdict, found.claim) == (Verdict.HELD, "every push seen within 10.0 s")
    assert found.figures == pytest.approx(
        {"n": 3, "min_s": 2, "median_s": 5, "max_s": 8, "resolution_s": 1.1, "objective_s": 10}
    )
    assert found.actual == "3 pushes: 2.0 s to 8.0 s, median 5.0 s (resolution 1.1 s)"
    assert found.evidence == (0, 1, 2, 3, 4, 5)


def test_one_push_that_took_too_long_is_enough() -> None:
    found = judged(every_push_within(10 * SECOND), push(0), wait(2, before=1), push(10), wait(23, before=22))
    assert found.verdict is Verdict.REFUTED


def test_an_objective_inside_the_resolution_is_no_pass() -> None:
    found = judged(every_push_within(10 * SECOND), push(0), wait(11, before=9))
    assert found.verdict is Verdict.INCONCLUSIVE


def test_a_push_that_was_never_seen_refutes() -> None:
    found = judged(every_push_within(10 * SECOND), push(0), wait(2), push(10), wait(15, state="PENDING"))
    assert (found.verdict, found.actual) == (Verdict.REFUTED, "seen(shop): so")


def test_the_wait_of_a_later_push_is_not_that_of_an_earlier_one() -> None:
    found = judged(every_push_within(10 * SECOND), push(0), push(10, "b"), wait(12))
    assert (found.verdict, found.actual) == (Verdict.INCONCLUSIVE, "not awaited after PushCommit(cafe)")


def test_another_wait_does_not_count() -> None:
    found = judged(every_push_within(10 * SECOND, when="arrived"), push(0), wait(2))
    assert found.verdict is Verdict.INCONCLUSIVE


def test_faults_that_are_no_pushes_do_not_count() -> None:
    drift: Told = ("fault.injected", "ScaleDeployment(x)", {"sent_us": 0, "accepted_us": 0, "detail": {}})
    assert judged(every_push_within(SECOND), drift).actual == "nothing was pushed"
    assert judged(every_push_within(10 * SECOND), drift, push(0), wait(2)).verdict is Verdict.HELD


# --- what was left alone ---------------------------------------------------------------------------------------------


def entry(**other: Any) -> dict[str, Any]:
    return {"uid": "u", "version": "1", "content": "c", "has_status": False, **other}


def versions(objects: dict[str, Any], **applications: Any) -> Told:
    apps = applications or {"shop": {"sync": "2026-01-01T00:00:00Z", "history": [1]}}
    return reading("versions", {"objects": objects, "applications": apps})


OLD = {"ConfigMap shop/a": entry(), "Deployment shop/api": entry(has_status=True)}


def test_what_stayed_as_it_was_kept_its_version() -> None:
    new = {**OLD, "Deployment shop/api": entry(has_status=True, version="2")}  # its status moved
    found = judged(everything_kept_its_version(), versions(OLD), push(0), versions(new))
    assert (found.verdict, found.figures) == (Verdict.HELD, {"objects": 2, "same_version": 1})


@pytest.mark.parametrize(
    ("name", "now", "how"),
    [
        ("ConfigMap shop/a", None, "deleted"),
        ("ConfigMap shop/a", entry(uid="other"), "recreated"),
        ("ConfigMap shop/a", entry(content="other", version="2"), "changed"),
        ("ConfigMap shop/a", entry(version="2"), "written to"),
        ("Deployment shop/api", entry(has_status=True, content="other"), "changed"),
    ],
)
def test_what_was_done_to_an_object_is_told(name: str, now: Any, how: str) -> None:
    new = {key: value for key, value in {**OLD, name: now}.items() if value is not None}
    found = judged(everything_kept_its_version(), versions(OLD), push(0), versions(new))
    assert (found.verdict, found.actual) == (Verdict.REFUTED, f"{name} was {how}")


@pytest.mark.parametrize("check", [everything_kept_its_version(), no_sync_was_started()], ids=lambda c: c.claim)
def test_two_readings_are_needed_one_of_them_after_the_last_push(check: Check) -> None:
    before = versions(OLD)
    for story in ([before, push(0)], [push(0), before], [before, push(0), before, push(1)], [before, before]):
        assert judged(check, *story).verdict is Verdict.INCONCLUSIVE
    assert judged(check, before, push(0), before, before).verdict is Verdict.HELD


def test_nothing_read_is_nothing_proved() -> None:
    assert judged(everything_kept_its_version(), versions({}), push(0), versions({})).verdict is Verdict.INCONCLUSIVE
    nobody = reading("versions", {"objects": OLD, "applications": {}})
    assert judged(no_sync_was_started(), nobody, push(0), nobody).verdict is Verdict.INCONCLUSIVE


@pytest.mark.parametrize(
    "then", [{"sync": "2026-01-01T00:00:09Z", "history": [1]}, {"sync": "2026-01-01T00:00:00Z", "history": [1, 2]}]
)
def test_a_sync_or_a_line_of_history_is_told(then: dict[str, Any]) -> None:
    found = judged(no_sync_was_started(), versions(OLD), push(0), versions(OLD, shop=then))
    assert found.verdict is Verdict.REFUTED
    assert found.actual.startswith("shop: last sync 2026-01-01T00:00:00Z with 1 in its history, then ")


def test_an_application_that_is_gone_is_told() -> None:
    other = {"web": {"sync": None, "history": []}}
    found = judged(no_sync_was_started(), versions(OLD), push(0), versions(OLD, **other))
    assert (found.verdict, found.actual[-4:]) == (Verdict.REFUTED, "none")


# --- what was pruned -------------------------------------------------------------------------------------------------


def sync(*pruned: str, revision: str = "cafe", operations: int = 1) -> Told:
    return reading("syncs", {"application": "shop", "revision": revision, "operations": operations,
                             "pruned": list(pruned), "synced": []})  # fmt: skip


REMOVED = ["ConfigMap shop/a", "Service shop/b"]


def test_just_what_left_git_was_pruned() -> None:
    found = judged(only_what_left_git_was_pruned(), push(0, removed=REMOVED), sync(*reversed(REMOVED)))
    assert (found.verdict, found.figures) == (Verdict.HELD, {"pruned": 2, "operations": 1})
    assert found.actual == "pruned: ConfigMap shop/a, Service shop/b"


@pytest.mark.parametrize("pruned", [(), REMOVED[:1], (*REMOVED, "Secret shop/c")])
def test_more_or_less_than_that_refutes(pruned: tuple[str, ...]) -> None:
    found = judged(only_what_left_git_was_pruned(), push(0, removed=REMOVED), sync(*pruned))
    assert found.verdict is Verdict.REFUTED


def test_the_syncs_of_another_commit_or_none_say_nothing() -> None:
    for told in (sync(*REMOVED, revision="beef"), sync(operations=0)):
        found = judged(only_what_left_git_was_pruned(), push(0, removed=REMOVED), told)
        assert found.verdict is Verdict.INCONCLUSIVE


def test_without_a_removal_or_without_a_reading_it_cannot_be_told() -> None:
    check = only_what_left_git_was_pruned()
    assert judged(check, push(0, removed=[]), sync()).verdict is Verdict.INCONCLUSIVE
    assert judged(check, push(0, removed=REMOVED)).verdict is Verdict.INCONCLUSIVE
