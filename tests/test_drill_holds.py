"""Holds, faults that are undone, and the census: what a drill adds to a story by itself."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest

from harness.core.clock import SECOND
from harness.core.errors import ApiUnreachable, HarnessError, NotConverged, PreconditionUnmet
from harness.core.observation import IN_SIGHT_AGAIN, UNREACHABLE, Observation, State
from harness.core.verdict import Verdict
from harness.testing import FakeConverged, FakeDrift, FakeFault

from .worlds import NOW, World

STAYED = "what had to stay so stayed so"
SPARED = "nothing outside the blast radius was harmed"


@dataclass
class Undone(FakeFault):
    healed: int = 0
    trouble: Exception | None = None

    def heal(self) -> None:
        self.healed += 1
        if self.trouble:
            raise self.trouble


@dataclass
class Census:
    values: list[Any] = field(default_factory=list)
    name: str = "census"

    def read(self) -> Any:
        value = self.values.pop(0)
        if isinstance(value, Exception):
            raise value
        return value


def harmed(world: World) -> World:
    world.drill.inject(FakeFault(world.clock))
    return world


def test_what_stays_so_is_held() -> None:
    world = harmed(World())
    world.drill.hold(world.probe([(NOW, State.MET)]), lasting=20 * SECOND)
    world.drill.conclude()
    assert world.found()[STAYED] is Verdict.HELD
    assert world.clock.now_ns() >= 20 * SECOND.total_seconds() * 1e9


@pytest.mark.parametrize("watched", [True, False])
def test_what_is_lost_in_the_middle_is_refuted_at_once(watched: bool) -> None:
    world = harmed(World())
    begun = world.clock.now_ns()
    probe = world.probe([(NOW, State.MET), (5 * SECOND, State.PENDING)], watched=watched)
    with pytest.raises(NotConverged):
        world.drill.hold(probe, lasting=60 * SECOND)
    assert world.drill.verdict is Verdict.REFUTED
    assert (world.clock.now_ns() - begun) / 1e9 < 7
    assert world.found()[STAYED] is Verdict.REFUTED


def test_what_is_lost_and_won_again_between_two_looks_is_refuted() -> None:
    world = harmed(World())
    begun = world.clock.now_ns()

    class Blinking:
        """MET whenever it is asked; at 5.4 s it was won back."""

        subject, signal = "blinking", None

        def observe(self) -> Observation:
            now = world.clock.now_ns()
            back = begun + 5_400_000_000
            since = back if now >= back else begun
            return Observation(State.MET, self.subject, "as asked", "as asked", since, since)

    with pytest.raises(NotConverged, match="lost and won again"):
        world.drill.hold(Blinking(), lasting=20 * SECOND)


def test_an_api_that_is_away_for_a_moment_is_no_answer() -> None:
    world = harmed(World())
    away = ApiUnreachable("connection refused")
    probe = world.probe([(NOW, State.MET), (5 * SECOND, away), (9 * SECOND, State.MET)], watched=False)
    world.drill.hold(probe, lasting=20 * SECOND)


def test_a_probe_that_says_itself_that_it_cannot_see_gives_no_answer() -> None:
    world = harmed(World())
    begun = world.clock.now_ns()

    class Blind:
        """MET; from 5 s to 9 s without sight, and MET since then as far as it was seen: as `converged` tells it."""

        subject, signal = "blind", None

        def observe(self) -> Observation:
            now = world.clock.now_ns()
            away, back = begun + 5_000_000_000, begun + 9_000_000_000
            if now < away:
                return Observation(State.MET, self.subject, "as asked", "as asked", begun, begun)
            if now < back:
                told = "no current view of Pod"
                return Observation(State.PENDING, self.subject, "as asked", told, now, detail={UNREACHABLE: True})
            detail = {IN_SIGHT_AGAIN: True}
            return Observation(State.MET, self.subject, "as asked", "as asked", back, back - 1, detail=detail)

    world.drill.hold(Blind(), lasting=20 * SECOND)
    world.drill.conclude()
    assert world.found()[STAYED] is Verdict.HELD


def test_what_cannot_be_seen_at_the_end_is_inconclusive() -> None:
    world = harmed(World())
    with pytest.raises(HarnessError):
        world.drill.hold(world.probe([(NOW, State.MET), (5 * SECOND, ApiUnreachable("gone"))]), lasting=20 * SECOND)
    assert world.found()[STAYED] is Verdict.INCONCLUSIVE


def test_before_any_fault_a_hold_that_is_not_met_is_no_broken_promise() -> None:
    world = World()
    with pytest.raises(PreconditionUnmet):
        world.drill.hold(world.probe([(NOW, State.PENDING)]), lasting=SECOND)


def test_a_fault_is_healed_on_every_exit() -> None:
    world = World()
    fault = Undone(world.clock)
    with pytest.raises(ZeroDivisionError), world.drill.fault(fault):
        raise ZeroDivisionError
    assert fault.healed == 1
    assert world.last("heal.ended").subject == fault.subject


def test_one_that_did_not_land_is_healed_too() -> None:
    world = World()
    fault = Undone(world.clock, landed=State.PENDING)
    with pytest.raises(HarnessError), world.drill.fault(fault):
        pytest.fail("the block must not be entered")
    assert fault.healed == 1


def test_a_heal_that_fails_taints_and_hides_nothing() -> None:
    world = World()
    fault = Undone(world.clock, trouble=RuntimeError("stuck"))
    with pytest.raises(KeyError), world.drill.fault(fault):
        raise KeyError("the first error")
    assert "stuck" in world.drill.tainted
    assert world.last("heal.failed").data["error"] == "stuck"


def drift_story(world: World) -> None:
    world.drill.require(FakeConverged(world.platform))
    world.drill.inject(FakeDrift(world.platform, "api", {"replicas": 5}, touches=("Deployment shop/api",)))
    world.drill.until(FakeConverged(world.platform), within=10 * SECOND)
    world.drill.conclude()


def test_a_census_is_taken_before_the_fault_and_at_the_end() -> None:
    world = World()
    there = {"Deployment shop/api": {"uid": "1"}, "Pod shop/web": {"uid": "2"}}
    world.drill.census = Census([there, there | {"Deployment shop/api": {"uid": "9"}}])
    drift_story(world)
    assert world.found()[SPARED] is Verdict.HELD
    assert world.kinds().index("observed") < world.kinds().index("fault.injecting")


def test_a_harmed_bystander_refutes_the_drill() -> None:
    world = World()
    there = {"Deployment shop/api": {"uid": "1"}, "Pod shop/web": {"uid": "2"}}
    world.drill.census = Census([there, there | {"Pod shop/web": {"uid": "3"}}])
    with pytest.raises(AssertionError, match="Pod shop/web was recreated"):
        drift_story(world)


def test_a_census_that_could_not_be_taken_is_inconclusive() -> None:
    world = World()
    world.drill.census = Census([{}, ApiUnreachable("gone")])
    with pytest.raises(HarnessError, match="1 before, 0 after"):
        drift_story(world)
