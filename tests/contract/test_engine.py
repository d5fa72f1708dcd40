"""What an engine does with drift, commits, reverts and a loss, and what probes say meanwhile: fake and real alike."""

from __future__ import annotations

from datetime import timedelta

import pytest

from harness.core.clock import MINUTE, SECOND
from harness.core.errors import InjectFailed
from harness.core.observation import Observation, State
from harness.effects.waiting import until
from tests.contract.worlds import World


def met(world: World, probe: object, within: timedelta = 2 * MINUTE) -> Observation:
    outcome = until(probe, within=within, clock=world.clock)  # type: ignore[arg-type]
    assert outcome.met, outcome.last.sentence()
    return outcome.last


def test_drift_lands_is_healed_and_its_moment_is_bounded(world: World) -> None:
    drift = world.drift(world.desired() + 2)
    done = drift.inject()
    assert done.sent_ns < done.accepted_ns
    landed = drift.confirm()
    assert landed.state is State.MET, landed.sentence()
    seen = met(world, world.healed(drift))
    assert world.live() == world.desired()
    assert seen.not_before_ns is not None
    assert done.sent_ns <= seen.not_before_ns <= seen.at_ns <= world.clock.now_ns()
    met(world, world.converged())


def test_drift_to_what_is_there_is_no_drift(world: World) -> None:
    with pytest.raises(InjectFailed):
        world.drift(world.desired()).inject()


def test_without_self_heal_drift_stays_and_with_it_again_it_goes(world: World) -> None:
    wanted = world.desired()
    world.self_heal(False)
    drift = world.drift(wanted + 1)
    drift.inject()
    world.rest(8 * SECOND)
    assert world.live() == wanted + 1
    assert world.healed(drift).observe().state is State.PENDING
    assert world.converged().observe().state is State.PENDING
    world.self_heal(True)
    met(world, world.healed(drift))
    met(world, world.converged())


def test_a_commit_arrives_and_is_not_called_arrived_before(world: World) -> None:
    before, probe = world.desired(), world.converged()
    assert probe.observe().met
    pushed = world.clock.now_ns()
    commit = world.commit(before + 1)
    assert not probe.observe().met, "what Git said before is not convergence"
    seen = met(world, probe)
    assert seen.at_ns >= pushed
    assert world.live() == before + 1
    world.revert(commit)
    assert not probe.observe().met
    met(world, probe)
    assert (world.live(), world.desired()) == (before, before)


def test_after_a_loss_nothing_answers_until_the_rebuild_and_then_all_is_back(world: World) -> None:
    loss = world.loss()
    lost = loss.inject()
    assert met_soon(world, loss)
    assert world.live() is None
    world.rebuild()
    seen = met(world, world.converged(), 5 * MINUTE)
    assert seen.at_ns > lost.accepted_ns
    assert world.live() == world.desired()


def met_soon(world: World, loss: object) -> bool:
    for _ in range(50):
        if loss.confirm().met:  # type: ignore[attr-defined]
            return True
        world.rest(timedelta(milliseconds=200))
    return False
