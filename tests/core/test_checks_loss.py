"""What was lost: judged on timelines written by hand."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from harness.core.checks import data_loss_within, git_brings_back_no_data, lost_what_was_listed
from harness.core.clock import SECOND
from harness.core.timeline import Event, History
from harness.core.verdict import Finding, Verdict

HELD, REFUTED, INCONCLUSIVE = Verdict.HELD, Verdict.REFUTED, Verdict.INCONCLUSIVE
S = 1_000_000  # a second in microseconds
CLAIM = "PersistentVolumeClaim shop/data-db-0"


def event(kind: str, **data: Any) -> Event:
    return Event(0, timedelta(0), datetime(2026, 1, 1, tzinfo=UTC), kind, "", data)


def told(*events: Event) -> History:
    return History(tuple(replace(e, seq=seq) for seq, e in enumerate(events)))


def rows(*seconds: float, id: str = "a", first: int = 1) -> Event:
    """Rows that were sent at these seconds and acknowledged 10 ms later."""
    sent = [(first + n, int(at * S), int(at * S) + 10_000) for n, at in enumerate(seconds)]
    return event("ledger.acknowledged", id=id, target="shop/db", rows=[list(row) for row in sent])


def copied(begun: float, claim: str = "shop/data-db-0") -> Event:
    return event("volume.copied", claim=claim, begun_us=int(begun * S), ended_us=int(begun * S) + 200_000)


def fault(at: float) -> Event:
    return event("fault.injected", sent_us=int(at * S), accepted_us=int(at * S), what="")


def read(*present: list[int], id: str = "a", strays: int = 0, at: float = 2.5) -> Event:
    value = {
        "id": id,
        "asked_us": int(at * S),
        "target": "shop/db",
        "claim": "shop/data-db-0",
        "present": list(present),
        "strays": strays,
    }
    return event("observed", reading="ledger", value=value)


class TestDataLossWithin:
    def test_what_came_after_the_copy_may_be_lost_and_is_counted(self) -> None:
        finding = data_loss_within()(told(rows(1, 2), copied(3), rows(4, 5, first=3), fault(6), read([1, 2])))
        assert finding.verdict is HELD
        assert finding.claim == "data loss within the age of the copy"
        lost = "2 of 4 acknowledged writes lost, the oldest 2.0 s old at the loss"
        assert finding.actual == f"{lost}; the copy was 3.0 s old"
        assert finding.figures == {
            "acknowledged_writes": 4.0,
            "lost_writes": 2.0,
            "oldest_lost_age_s": pytest.approx(1.99),
            "copy_age_s": 3.0,
        }
        assert finding.evidence == (3, 1, 4)

    def test_what_came_before_the_copy_may_not(self) -> None:
        finding = data_loss_within()(told(rows(1, 2), copied(3), fault(6), read([1, 1])))
        assert finding.verdict is REFUTED
        assert "shop/db: 1 of 2 writes lost that are older than the copy" in finding.actual

    def test_a_row_acknowledged_while_the_copy_ran_owes_nothing(self) -> None:
        assert data_loss_within()(told(rows(1, 3.1), copied(3), fault(6), read([1, 1]))).verdict is HELD

    def test_the_last_copy_before_the_fault_counts(self) -> None:
        story = (copied(1), rows(2), copied(3), fault(6))
        assert data_loss_within()(told(*story, copied(7), read())).verdict is REFUTED
        assert data_loss_within()(told(*story, read([1, 1]))).verdict is HELD

    def test_a_copy_of_another_volume_is_no_copy(self) -> None:
        finding = data_loss_within()(told(rows(1), copied(3, claim="shop/other"), fault(6), read([1, 1])))
        assert (finding.verdict, "no copy of its volume" in finding.actual) == (INCONCLUSIVE, True)

    @pytest.mark.parametrize(
        ("limit", "present", "verdict"),
        [
            (3.0, [[1, 2]], HELD),  # rows 3 and 4 are 2 s and 1 s old
            (1.5, [[1, 2]], REFUTED),  # row 3 is older than 1.5 s
            (1.995, [[1, 2]], INCONCLUSIVE),  # row 3 was acknowledged 1.99 s to 2 s before the fault
            (3.0, [[1, 4]], HELD),
            (9.0, [], INCONCLUSIVE),  # nothing is older than 9 s: all lost, and no promise broken or kept
        ],
    )
    def test_an_objective_in_seconds(self, limit: float, present: list[list[int]], verdict: Verdict) -> None:
        check = data_loss_within(timedelta(seconds=limit))
        assert check(told(rows(1, 2, 4, 5), fault(6), read(*present))).verdict is verdict

    def test_a_write_acknowledged_while_the_fault_struck_is_lost_at_no_age(self) -> None:
        finding = data_loss_within(SECOND)(told(rows(1), fault(6), rows(6.5, first=2), read([1, 1])))
        assert (finding.verdict, finding.figures["oldest_lost_age_s"]) == (HELD, 0.0)

    def test_rows_that_nobody_wrote(self) -> None:
        finding = data_loss_within()(told(rows(1), copied(3), fault(6), read([1, 1], strays=2)))
        assert (finding.verdict, "2 rows are there that nobody wrote" in finding.actual) == (REFUTED, True)

    def test_each_of_several_canaries(self) -> None:
        both = (rows(1), rows(1, id="b"), copied(3), fault(6), read([1, 1]))
        assert data_loss_within()(told(*both, read([1, 1], id="b"))).verdict is HELD
        assert data_loss_within()(told(*both, read(id="b"))).verdict is REFUTED
        assert data_loss_within()(told(*both)).actual == "not read after the fault: shop/db"

    @pytest.mark.parametrize(
        ("events", "why"),
        [
            ((rows(1), copied(3), read([1, 1])), "no fault"),
            ((copied(3), fault(6), read([1, 1])), "no write was acknowledged"),
            ((rows(1), copied(3), read([1, 1]), fault(6)), "not read after the fault: shop/db"),
            ((copied(1), rows(2), fault(6), read([1, 1])), "no write was older than the copy"),
        ],
    )
    def test_what_proves_nothing(self, events: tuple[Event, ...], why: str) -> None:
        finding = data_loss_within()(told(*events))
        assert finding.verdict is INCONCLUSIVE
        assert why in finding.actual


class TestGitBringsBackNoData:
    def test_everything_is_lost_and_that_is_the_measure(self) -> None:
        finding = git_brings_back_no_data()(told(rows(1, 2, 3), read([1, 2]), fault(6), read()))
        assert finding.verdict is HELD
        assert finding.actual == "3 of 3 acknowledged writes lost, the oldest 5.0 s old at the loss"

    def test_one_row_that_is_there_came_from_elsewhere(self) -> None:
        finding = git_brings_back_no_data()(told(rows(1, 2, 3), read([1, 3]), fault(6), read([2, 2])))
        assert (finding.verdict, "1 of 3 are there, though nothing restored them" in finding.actual) == (REFUTED, True)

    def test_nothing_written_proves_nothing(self) -> None:
        assert git_brings_back_no_data()(told(fault(6), read())).verdict is INCONCLUSIVE
        assert git_brings_back_no_data()(told(fault(6), rows(7), read())).verdict is INCONCLUSIVE

    @pytest.mark.parametrize("control", [
        None, read(), read([1, 1]), read([2, 2]), read([1, 2], at=3.5), read([1, 3], at=0.5), read([1, 3], id="b"),
    ])  # fmt: skip
    def test_writes_that_were_never_seen_kept_prove_nothing(self, control: Event | None) -> None:
        events = [rows(1, 2, 3), *([control] if control else []), fault(6), read()]
        finding = git_brings_back_no_data()(told(*events))
        assert finding.verdict is INCONCLUSIVE
        assert "they may never have been kept" in finding.actual

    def test_not_read_proves_nothing(self) -> None:
        assert git_brings_back_no_data()(told(rows(1), fault(6))).verdict is INCONCLUSIVE


BEFORE: dict[str, dict[str, str]] = {
    "Secret shop/key": {"uid": "1"},
    CLAIM: {"uid": "2"},
    "PersistentVolume pvc-2": {"uid": "3"},
    "Secret kube-system/bootstrap-token-abc": {"uid": "6"},
    "Deployment shop/api": {"uid": "4"},
    "Pod shop/api-x": {"uid": "5", "owner": "4"},
}
AFTER: dict[str, dict[str, str]] = {
    CLAIM: {"uid": "12"},
    "PersistentVolume pvc-12": {"uid": "13"},
    "Deployment shop/api": {"uid": "14"},
    "Pod shop/api-y": {"uid": "15", "owner": "14"},
}
LISTED = ("Secret shop/key", CLAIM)


def loss(*names: str) -> Event:
    return event("observed", reading="loss", value=[{"identity": name, "why": "not in Git"} for name in names])


def census(value: dict[str, dict[str, str]]) -> Event:
    return event("observed", reading="census", value=value)


def by_hand(*names: str) -> Event:
    return event("by_hand.made", identities=list(names))


class TestLostWhatWasListed:
    def judged(self, *before: Event, after: dict[str, dict[str, str]] | None = None) -> Finding:
        end = AFTER if after is None else after
        return lost_what_was_listed()(told(*before, census(BEFORE), fault(6), loss(CLAIM), census(end)))

    def test_exactly_that(self) -> None:
        finding = self.judged(by_hand("Secret shop/key"), loss(*LISTED))
        assert finding.verdict is HELD
        assert finding.actual == "2 listed and lost (1 volumes), nothing else"
        assert finding.figures == {"listed": 2.0, "volumes": 1.0}

    def test_what_survives_is_named(self) -> None:
        finding = self.judged(loss(*LISTED), after={**AFTER, "Secret shop/key": {"uid": "11"}})
        assert (finding.verdict, finding.actual) == (REFUTED, "listed, and there after the rebuild: Secret shop/key")

    def test_a_volume_that_survives_is_named(self) -> None:
        finding = self.judged(loss(*LISTED), after={**AFTER, CLAIM: BEFORE[CLAIM]})
        assert (finding.verdict, CLAIM in finding.actual) == (REFUTED, True)

    def test_what_is_lost_unlisted_is_named(self) -> None:
        finding = self.judged(loss(CLAIM))
        assert (finding.verdict, finding.actual) == (REFUTED, "lost and not listed: Secret shop/key")

    def test_what_was_put_in_by_hand_must_be_listed(self) -> None:
        finding = self.judged(by_hand("Secret shop/key"), loss(CLAIM), after={**AFTER, "Secret shop/key": {"uid": "1"}})
        assert (finding.verdict, finding.actual) == (REFUTED, "put in by hand and not listed: Secret shop/key")

    def test_an_empty_list_proves_nothing(self) -> None:
        assert self.judged(loss()).verdict is INCONCLUSIVE

    def test_without_list_or_census_nothing_is_proved(self) -> None:
        assert self.judged().verdict is INCONCLUSIVE
        assert lost_what_was_listed()(told(loss(CLAIM), fault(6), census(AFTER))).verdict is INCONCLUSIVE
        assert lost_what_was_listed()(told(loss(CLAIM), census(BEFORE), fault(6))).verdict is INCONCLUSIVE


@pytest.mark.parametrize("check", [data_loss_within(), git_brings_back_no_data(), lost_what_was_listed()])
def test_a_timeline_without_anything_is_inconclusive(check: Any) -> None:
    assert check(told()).verdict is INCONCLUSIVE
