"""Claims about an engine that was interrupted: what each needs, when it is broken, and when it cannot be told."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from harness.core.checks import arrived_within, work_done_once
from harness.core.checks.check import Check
from harness.core.clock import MINUTE, SECOND
from harness.core.timeline import Event, History
from harness.core.verdict import Finding, Verdict

HELD, REFUTED, INCONCLUSIVE = Verdict.HELD, Verdict.REFUTED, Verdict.INCONCLUSIVE
API, WEB, JOB = "Deployment shop/api", "Deployment shop/web", "Job shop/migrate"
US = 1_000_000
Told = tuple[float, str, str, dict[str, Any]]


def judged(check: Check, *told: Told) -> Finding:
    utc = datetime(2026, 1, 1, tzinfo=UTC)
    events = [Event(seq, timedelta(seconds=at), utc, *rest) for seq, (at, *rest) in enumerate(told)]
    return check(History(tuple(events)))


# --- done once -------------------------------------------------------------------------------------------------------


def reading(api: int = 1, web: int = 1, runs: tuple[str, ...] = (), uid: str = "u1", **gone: bool) -> Told:
    rollouts = {API: {"uid": uid, "rollouts": api}, WEB: {"uid": "u2", "rollouts": web}}
    rollouts = {name: one for name, one in rollouts.items() if not (gone and name == WEB)}
    value = {"rollouts": rollouts, "runs": {JOB: list(runs)}}
    return 0, "observed", "work done", {"reading": "work done", "value": value}


ONCE = work_done_once(API, jobs=(JOB,))


def test_one_rollout_and_one_run_is_once() -> None:
    found = judged(ONCE, reading(runs=("old",)), reading(api=2, runs=("old", "new")))
    assert (found.verdict, found.actual) == (HELD, f"{API} was rolled out once; {JOB} ran once")
    assert found.evidence == (0, 1)


@pytest.mark.parametrize(
    ("after", "said"),
    [
        (reading(api=3, runs=("new",)), f"{API} was rolled out 2 times"),
        (reading(api=1, runs=("new",)), f"{API} was not rolled out"),
        (reading(api=2, web=2, runs=("new",)), f"{WEB} was rolled out once"),
        (reading(api=2, uid="u9", runs=("new",)), f"{API} was replaced by another"),
        (reading(api=2, gone=True, runs=("new",)), f"{WEB} is gone"),
        (reading(api=2, runs=("new", "newer")), f"{JOB} ran 2 times"),
        (reading(api=2), f"{JOB} ran 0 times"),
    ],
    ids=["twice", "not at all", "somebody else", "replaced", "gone", "hook twice", "no hook"],
)
def test_anything_else_is_not(after: Told, said: str) -> None:
    found = judged(ONCE, reading(), after)
    assert (found.verdict, found.actual) == (REFUTED, said)


def test_one_reading_compares_with_nothing() -> None:
    assert judged(ONCE, reading()).verdict is INCONCLUSIVE


# --- arrived after the return ----------------------------------------------------------------------------------------


def outage(begin: float = 10, end: float = 10.5) -> tuple[Told, Told]:
    return (begin, "heal.begun", "StopGitServer(url)", {}), (end, "heal.ended", "StopGitServer(url)", {})


def wait(at: float, before: float | None, *, subject: str = "converged", state: str = "MET") -> Told:
    bound = None if before is None else int(before * US)
    return at, "until.ended", subject, {"state": state, "met_us": int(at * US), "not_before_us": bound, "actual": "so"}


def arrival(objective: timedelta = MINUTE) -> Check:
    return arrived_within(objective, when="converged", after="StopGitServer")


def test_it_counts_from_the_return_whose_length_is_part_of_the_resolution() -> None:
    found = judged(arrival(), *outage(), wait(15, 14.5))
    assert (found.verdict, found.claim) == (HELD, "converged within 1m00s of the end of StopGitServer")
    assert found.figures == pytest.approx({"arrival_s": 4.5, "resolution_s": 1.0, "objective_s": 60})
    assert found.evidence == (1, 2)


def test_the_first_wait_of_that_name_after_the_return_counts() -> None:
    story = [wait(5, 4), *outage(), wait(12, 11, subject="healed(x)"), wait(15, 14.5), wait(99, 98)]
    assert judged(arrival(), *story).figures["arrival_s"] == pytest.approx(4.5)


def test_a_wait_that_knows_no_moment_before_bounds_nothing_from_below() -> None:
    assert judged(arrival(), *outage(), wait(15, None)).figures["resolution_s"] == pytest.approx(5)


def test_too_late_is_refuted_and_perhaps_too_late_is_not_known() -> None:
    assert judged(arrival(4 * SECOND), *outage(), wait(15, 14.6)).verdict is REFUTED
    assert judged(arrival(4 * SECOND), *outage(), wait(15, 14)).verdict is INCONCLUSIVE


def test_what_was_there_before_the_return_did_not_arrive_by_it() -> None:
    found = judged(arrival(), *outage(), wait(9, 8))
    assert (found.verdict, found.actual) == (INCONCLUSIVE, "it was so before the return: so")


@pytest.mark.parametrize(
    ("at", "state", "verdict"), [(80, "PENDING", REFUTED), (12, "BROKEN", REFUTED), (30, "PENDING", INCONCLUSIVE)]
)
def test_what_never_arrived_is_refuted_only_if_it_was_given_its_time(at: float, state: str, verdict: Verdict) -> None:
    assert judged(arrival(), *outage(), wait(at, None, state=state)).verdict is verdict


def test_without_a_return_or_a_wait_after_it_nothing_can_be_said() -> None:
    begun, ended = outage()
    for story in ((wait(15, 14),), (begun, wait(15, 14)), (begun, ended), (begun, ended, wait(15, 14, subject="x"))):
        assert judged(arrival(), *story).verdict is INCONCLUSIVE
