"""A drill in a fake world, and the two stories told in it: for the tests of `Drill`."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta

from harness.core.checks import everything_came_back, recovered_within
from harness.core.clock import MINUTE, SECOND
from harness.core.faults import BlastRadius
from harness.core.timeline import Event, Timeline
from harness.core.verdict import Verdict
from harness.drill import Drill
from harness.testing import (
    FakeClock,
    FakeConverged,
    FakeDrift,
    FakeHealed,
    FakeInventory,
    FakeLoss,
    FakePlatform,
    FakeProbe,
    Script,
)

NOW = timedelta(0)
OBJECTIVE = 10 * SECOND
DESIRED = {"api": {"replicas": 2}, "db": {"replicas": 1}, "web": {"replicas": 3}}


@dataclass
class World:
    """A drill and what it may be pointed at."""

    clock: FakeClock = field(default_factory=FakeClock)
    radius: BlastRadius = BlastRadius.CLUSTER

    def __post_init__(self) -> None:
        self.platform = FakePlatform(self.clock, DESIRED)
        self.clock.sleep(MINUTE)
        self.drill = Drill("d", "It comes back.", self.radius, Timeline(self.clock), self.clock)

    def probe(self, script: Script, *, subject: str = "probe", watched: bool = True) -> FakeProbe:
        return FakeProbe(self.clock, script, subject=subject, watched=watched)

    def kinds(self) -> list[str]:
        return [e.kind for e in self.drill.timeline.events]

    def last(self, kind: str) -> Event:
        found = self.drill.timeline.history().last(kind)
        assert found is not None, f"no {kind} on the timeline"
        return found

    def found(self) -> dict[str, Verdict]:
        return {f.claim: f.verdict for f in self.drill.findings}


def self_heal_story(world: World, drift: FakeDrift | None = None) -> None:
    drill, platform = world.drill, world.platform
    drill.require(FakeConverged(platform))
    drift = drill.inject(drift or FakeDrift(platform, "api", {"replicas": 5}))
    drill.until(FakeHealed(drift), within=3 * OBJECTIVE)
    drill.until(FakeConverged(platform), within=3 * OBJECTIVE, settle=3 * SECOND)
    drill.conclude(recovered_within(OBJECTIVE, when="healed"))


def loss_story(world: World) -> None:
    drill, platform = world.drill, world.platform
    drill.require(FakeConverged(platform))
    drill.observe(FakeInventory(platform))
    drill.inject(FakeLoss(platform))
    drill.rebuild(platform)
    drill.until(FakeConverged(platform), within=2 * MINUTE, settle=3 * SECOND)
    drill.observe(FakeInventory(platform))
    drill.conclude(recovered_within(MINUTE), everything_came_back(at_least=3))
