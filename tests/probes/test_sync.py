"""`healed`: between which two moments the heal was accepted. Convergence is tested in tests/gitops."""

from __future__ import annotations

from datetime import timedelta

import pytest

from harness.core.clock import MILLISECOND
from harness.core.observation import State
from harness.faults.live_drift import ScaleDeployment
from harness.gitops.convergence import Converged
from harness.probes.sync import converged, healed
from tests.stage import Stage, deployment

DELAY = 3_000_000  # ns, from our own write to its event on this stage: 2 ms and 1 ms


@pytest.fixture
def stage() -> Stage:
    made = Stage()
    made.deploy(replicas=1)
    return made


@pytest.fixture
def drift(stage: Stage) -> ScaleDeployment:
    made = ScaleDeployment(stage, "shop/api", 3)  # type: ignore[arg-type]
    made.inject()
    return made


def test_drift_is_pending_and_shows_what_is_live(drift: ScaleDeployment) -> None:
    answer = healed(drift).observe()
    assert (answer.state, answer.expected, answer.actual) == (
        State.PENDING, "spec.replicas 1, as in Git", "spec.replicas 3",
    )  # fmt: skip


def test_a_heal_was_accepted_at_most_one_delivery_before_it_was_seen(stage: Stage, drift: ScaleDeployment) -> None:
    stage.clock.sleep(300 * MILLISECOND)
    stage.view.event(deployment(1, 102))
    seen = stage.clock.now_ns()
    stage.clock.sleep(timedelta(seconds=5))
    answer = healed(drift).observe()
    assert (answer.state, answer.actual) == (State.MET, "spec.replicas 1 again")
    assert (answer.not_before_ns, answer.at_ns) == (seen - DELAY, seen)


def test_a_heal_is_never_said_to_be_older_than_the_drift(stage: Stage, drift: ScaleDeployment) -> None:
    accepted = drift.accepted()
    assert accepted is not None
    stage.clock.sleep(MILLISECOND)
    stage.view.event(deployment(1, 102))
    assert healed(drift).observe().not_before_ns == accepted.received_ns


def test_a_heal_found_after_a_gap_is_bounded_only_by_the_gap(stage: Stage, drift: ScaleDeployment) -> None:
    stage.clock.sleep(100 * MILLISECOND)
    contact = stage.clock.now_ns()
    stage.clock.sleep(900 * MILLISECOND)
    stage.view.event(deployment(1, 102), prompt=False, floor_ns=contact)
    answer = healed(drift).observe()
    assert (answer.not_before_ns, answer.at_ns) == (contact, stage.clock.now_ns())


def test_drift_that_itself_came_late_says_nothing_of_the_delay(stage: Stage) -> None:
    stage.api.lag = None
    stage.clock.after(500 * MILLISECOND, lambda: stage.view.event(deployment(3, 101), prompt=False, floor_ns=5))
    drift = ScaleDeployment(stage, "shop/api", 3)  # type: ignore[arg-type]
    drift.inject()
    accepted = drift.accepted()
    assert accepted is not None
    stage.clock.sleep(100 * MILLISECOND)
    stage.view.event(deployment(1, 102))
    assert healed(drift).observe().not_before_ns == accepted.received_ns


def test_the_first_heal_counts_not_a_later_state(stage: Stage, drift: ScaleDeployment) -> None:
    stage.clock.sleep(10 * MILLISECOND)
    stage.view.event(deployment(1, 102))
    first = stage.clock.now_ns()
    stage.clock.sleep(10 * MILLISECOND)
    stage.view.event(deployment(1, 103))
    assert healed(drift).observe().at_ns == first


def test_gits_value_before_the_drift_is_no_heal(stage: Stage) -> None:
    stage.clock.after(MILLISECOND, lambda: stage.view.event(deployment(1, 100)))  # while our write is under way
    drift = ScaleDeployment(stage, "shop/api", 3)  # type: ignore[arg-type]
    drift.inject()
    assert healed(drift).observe().state is State.PENDING


def test_another_value_than_gits_is_no_heal(stage: Stage, drift: ScaleDeployment) -> None:
    stage.clock.sleep(MILLISECOND)
    stage.view.event(deployment(2, 102))
    answer = healed(drift).observe()
    assert (answer.state, answer.actual) == (State.PENDING, "spec.replicas 2")


def test_an_object_that_is_deleted_is_not_healed(stage: Stage, drift: ScaleDeployment) -> None:
    stage.clock.sleep(MILLISECOND)
    stage.view.event(deployment(1, 102), deleted=True)
    answer = healed(drift).observe()
    assert (answer.state, answer.actual) == (State.PENDING, "deleted")


def test_a_drift_that_was_not_seen_cannot_be_healed(stage: Stage) -> None:
    stage.api.lag = None
    drift = ScaleDeployment(stage, "shop/api", 3)  # type: ignore[arg-type]
    drift.inject()
    stage.view.event(deployment(1, 102))
    answer = healed(drift).observe()
    assert (answer.state, answer.actual) == (State.PENDING, "the drift itself is not seen yet")


def test_it_is_woken_by_the_watch_and_says_whose_heal(stage: Stage, drift: ScaleDeployment) -> None:
    probe = healed(drift)
    assert probe.signal is stage.view.signal
    assert probe.subject == "healed(Deployment shop/api)"


def test_converged_is_the_tree_predicate_on_this_platform(stage: Stage) -> None:
    probe = converged(stage)  # type: ignore[arg-type]
    assert isinstance(probe, Converged)
    assert (probe.subject, probe.platform) == ("converged", stage)
