"""Heals as the back-off allows, self-heal switched on again, and what was put in by hand: judged from timelines."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest

from harness.core.checks.drift import healed_as_backoff_allows, reported_as_unmanaged, resumed_within
from harness.core.timeline import Event, History
from harness.core.verdict import Finding, Verdict

HELD, REFUTED, INCONCLUSIVE = Verdict.HELD, Verdict.REFUTED, Verdict.INCONCLUSIVE
S = 1_000_000  # microseconds
SECOND = timedelta(seconds=1)
EPOCH = datetime.fromisoformat("2026-01-01T00:00:00+00:00")
Told = tuple[str, str, int, dict[str, Any]]


def history(*told: Told) -> History:
    return History(tuple(
        Event(n, timedelta(microseconds=at), EPOCH, kind, subject, data)
        for n, (kind, subject, at, data) in enumerate(told)
    ))  # fmt: skip


def drift(at: int) -> Told:
    return "fault.injected", "ScaleDeployment(shop/api to 2)", at, {"sent_us": at - 1000, "accepted_us": at}


def healed(at: int, state: str = "MET") -> Told:
    data = {"state": state, "actual": "spec.replicas 1 again", "met_us": at, "not_before_us": at - 2000}
    return "until.ended", "healed(Deployment shop/api)", at, data


def rest(at: int, attempt: int, revision: str = "abc", kind: str = "until.ended") -> Told:
    data = {"state": "MET", "met_us": at, "not_before_us": at - 100_000,
            "detail": {"attempt": attempt, "revision": revision}}  # fmt: skip
    return kind, "at_rest(shop)", at, data


def story(waits: list[float], *, first: int = 1, took: float = 0.3) -> list[Told]:
    """Drifts whose heals come `took` after they were due, each injected right after the rest before it."""
    told, now = [rest(0, first - 1, kind="require.ended")], 10 * S
    ended = 0
    for number, wait in enumerate(waits):
        told.append(drift(now))
        at = max(now, ended + int(wait * S)) + int(took * S)
        ended = at + S // 5
        told += [healed(at), rest(ended, first + number)]
        now = ended + S // 2
    return told


class TestBackoff:
    WAITS = tuple(timedelta(seconds=s) for s in (0, 2, 6, 18))

    def judge(self, told: list[Told], times: int = 4) -> Finding:
        return healed_as_backoff_allows(self.WAITS, times=times, allowance=5 * SECOND)(history(*told))

    def test_heals_that_come_when_they_may_are_held_with_their_times(self) -> None:
        finding = self.judge(story([0, 2, 6, 18]))
        assert (finding.verdict, finding.claim) == (HELD, "each drift was healed when the back-off allowed it")
        assert finding.actual.startswith("4 heals on one revision by 4 syncs, after 300 ms, ")
        assert finding.figures["heal_1_s"] == 0.3

    def test_the_wait_is_that_of_the_engines_own_count_not_of_ours(self) -> None:
        assert self.judge(story([6, 18], first=3), times=2).verdict is HELD
        assert self.judge(story([0, 2], first=3), times=2).verdict is REFUTED

    def test_a_first_sync_at_another_revision_begins_the_count_anew(self) -> None:
        told = [rest(0, 5, "old", "require.ended"), *story([0, 0, 2], first=0)[1:]]
        assert self.judge(told, times=3).verdict is HELD

    def test_the_last_wait_goes_for_all_that_follow(self) -> None:
        assert self.judge(story([18, 18], first=6), times=2).verdict is HELD

    def test_a_heal_that_comes_too_late_is_refuted(self) -> None:
        finding = self.judge(story([0, 2 + 5.5, 6, 18]))
        assert finding.verdict is REFUTED
        assert finding.actual == "heal 2 came 5.8 s after it was due (back-off 2.0 s)"

    def test_a_heal_that_comes_too_early_is_refuted(self) -> None:
        finding = self.judge(story([0, 2, 6, 7]))
        assert finding.verdict is REFUTED
        assert finding.actual == "heal 4 came 7.3 s after the sync before it (back-off 18.0 s)"

    def test_the_second_that_argo_cd_rounds_away_is_not_early(self) -> None:
        assert self.judge(story([0, 2, 6, 17.2])).verdict is HELD

    def test_the_first_heal_cannot_be_early(self) -> None:
        assert self.judge(story([0], first=4), times=1).verdict is HELD

    def test_a_heal_that_the_engine_does_not_count_was_somebody_elses(self) -> None:
        told = [rest(at, 0, kind=kind) if subject.startswith("at_rest") else (kind, subject, at, data)
                for kind, subject, at, data in story([0, 0, 0, 0])]  # fmt: skip
        finding = self.judge(told)
        assert finding.verdict is REFUTED
        assert finding.actual.startswith("heal 1 was no sync of Argo CD: its count of attempts stayed at 0; heal 2")

    def test_an_engine_that_syncs_once_more_than_needed_is_told_but_not_blamed(self) -> None:
        told = story([0, 2, 6])
        told[6:] = story([0, 2 + 4.5, 6 + 12], first=2)[6:]  # after its second heal it counts 3
        finding = self.judge(told, times=3)
        assert finding.verdict is HELD
        assert finding.figures["syncs"] == 4.0

    def test_another_revision_in_the_middle_is_refuted(self) -> None:
        told = story([0, 2, 6, 18])
        told[6] = rest(told[6][2], 2, "def")
        assert "heal 2 was at another revision than the one before" in self.judge(told).actual

    def test_a_drift_that_was_never_healed_is_refuted(self) -> None:
        finding = self.judge([*story([0])[:2], healed(60 * S, "PENDING")])
        assert (finding.verdict, finding.actual) == (REFUTED, "drift 1 was not healed")

    def test_an_engine_that_was_not_seen_at_rest_is_refuted_rather_than_guessed(self) -> None:
        told = story([0])
        assert self.judge(told[1:], times=1).verdict is REFUTED
        assert self.judge(told[:3], times=1).verdict is REFUTED

    def test_too_few_drifts_prove_nothing(self) -> None:
        assert self.judge(story([0, 2, 6])).verdict is INCONCLUSIVE
        assert self.judge([]).verdict is INCONCLUSIVE

    def test_waits_are_needed(self) -> None:
        with pytest.raises(ValueError, match="at least one"):
            healed_as_backoff_allows((), times=7, allowance=SECOND)


class TestResumed:
    OFF: Told = ("heal.begun", "TurnOffSelfHeal(shop)", 20 * S, {})

    def judge(self, *told: Told) -> Finding:
        return resumed_within(10 * SECOND, after="TurnOffSelfHeal")(history(drift(S), *told))

    def test_the_time_counts_from_the_undoing(self) -> None:
        finding = self.judge(self.OFF, healed(21 * S))
        assert (finding.verdict, finding.claim) == (HELD, "healed within 10.0 s of the end of TurnOffSelfHeal")
        assert finding.actual == "1.0 s (resolution 2 ms)"
        assert finding.figures["recovery_s"] == 1.0

    def test_later_than_the_objective_is_refuted(self) -> None:
        assert self.judge(self.OFF, healed(31 * S)).verdict is REFUTED

    def test_an_objective_inside_the_resolution_is_inconclusive(self) -> None:
        assert self.judge(self.OFF, healed(30 * S + 1000)).verdict is INCONCLUSIVE

    def test_healed_before_it_was_undone_is_refuted(self) -> None:
        finding = self.judge(self.OFF, healed(18 * S))
        assert (finding.verdict, finding.actual) == (REFUTED, "it was so 2.0 s before that")

    def test_never_healed_is_refuted(self) -> None:
        assert self.judge(self.OFF, healed(60 * S, "PENDING")).verdict is REFUTED

    def test_without_the_undoing_or_a_wait_nothing_can_be_said(self) -> None:
        assert self.judge(healed(21 * S)).verdict is INCONCLUSIVE
        assert self.judge(self.OFF).verdict is INCONCLUSIVE
        assert self.judge(("heal.begun", "AddLabel(x)", S, {}), healed(21 * S)).verdict is INCONCLUSIVE


class TestReported:
    NAME = "ConfigMap shop/by-hand"

    def judge(self, before: list[str], after: list[str] | None, *names: str) -> Finding:
        def reading(at: int, listed: list[str]) -> Told:
            value = [{"identity": name, "why": "somebody put it in"} for name in listed]
            return "observed", "loss", at, {"reading": "loss", "value": value}

        told = [reading(0, before), drift(S), *([reading(2 * S, after)] if after is not None else [])]
        return reported_as_unmanaged(*names)(history(*told))

    def test_on_the_list_since_the_fault(self) -> None:
        finding = self.judge(["Secret a/b"], ["Secret a/b", self.NAME], self.NAME)
        assert (finding.verdict, finding.actual) == (HELD, "ConfigMap shop/by-hand: somebody put it in")
        assert finding.figures == {"listed_before": 1.0, "listed_after": 2.0}

    def test_not_on_it_is_refuted(self) -> None:
        assert self.judge([], [], self.NAME).actual == "ConfigMap shop/by-hand is not on it"

    def test_on_it_before_proves_nothing_of_the_fault(self) -> None:
        assert self.judge([self.NAME], [self.NAME], self.NAME).verdict is REFUTED

    def test_without_both_lists_or_a_name_nothing_can_be_said(self) -> None:
        assert self.judge([], None, self.NAME).verdict is INCONCLUSIVE
        assert self.judge([], []).verdict is INCONCLUSIVE
        assert reported_as_unmanaged(self.NAME)(history()).verdict is INCONCLUSIVE
