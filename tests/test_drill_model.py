"""Any sequence of drift, sync, heal, revert, loss and drills: a drill says what a simple model of the world says."""

from __future__ import annotations

from datetime import timedelta

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from harness.core.checks import everything_came_back, recovered_within
from harness.core.clock import MINUTE, SECOND
from harness.core.errors import DrillFailed, HarnessError
from harness.core.faults import BlastRadius
from harness.core.timeline import History, Timeline
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
    FakeSabotage,
    Objects,
)

HEALED_WITHIN, REBUILT_WITHIN, PATIENCE = 10 * SECOND, MINUTE, 3 * MINUTE
BOOT = 10 * SECOND
NAMES = ("api", "db", "web")
names = st.sampled_from(NAMES)
replicas = st.integers(1, 3)
delays = st.sampled_from([SECOND, 9 * SECOND, 14 * SECOND, 70 * SECOND])


class Drills(RuleBasedStateMachine):
    """The fake world, and beside it only what is needed to foretell a verdict."""

    def __init__(self) -> None:
        super().__init__()
        self.clock = FakeClock()
        self.desired: list[dict[str, dict[str, int]]] = [{name: {"replicas": 1} for name in NAMES}]
        self.live: Objects | None = dict(self.desired[-1])
        self.self_heal, self.delay = True, SECOND
        self.drills: list[Drill] = []

    @initialize()
    def begin(self) -> None:
        self.platform = FakePlatform(self.clock, self.desired[-1], boot=BOOT)
        self.clock.sleep(MINUTE)

    # --- the world moves -----------------------------------------------------------------------------------------

    @rule(on=st.booleans())
    def switch_self_heal(self, on: bool) -> None:
        self.self_heal = self.platform.engine.self_heal = on
        self.platform.engine.reconsider()
        self.engine_kept(None)

    @rule(delay=delays)
    def engine_becomes_slower_or_faster(self, delay: timedelta) -> None:
        self.delay = self.platform.engine.notices_after = delay

    @rule(name=names, count=replicas)
    def commit(self, name: str, count: int) -> None:
        self.platform.repo.commit({name: {"replicas": count}})
        self.desired.append(self.desired[-1] | {name: {"replicas": count}})
        self.engine_kept(self.desired[-1])

    @precondition(lambda self: len(self.desired) > 1)
    @rule(data=st.data())
    def revert(self, data: st.DataObject) -> None:
        revision = data.draw(st.integers(1, len(self.desired) - 1))
        self.platform.repo.revert(revision)
        self.desired.append(self.desired[revision - 1])
        self.engine_kept(self.desired[-1])

    @precondition(lambda self: self.live is not None)
    @rule(name=names, count=st.none() | replicas)
    def drift_by_hand(self, name: str, count: int | None) -> None:
        spec = None if count is None else {"replicas": count}
        self.platform.cluster.write(name, spec)
        rest = {n: s for n, s in (self.live or {}).items() if n != name}
        self.live = rest if spec is None else rest | {name: spec}
        self.engine_kept(None)

    @rule()
    def sync_by_hand(self) -> None:
        self.platform.engine.sync()
        self.engine_kept(self.desired[-1])

    @rule()
    def lose_the_cluster(self) -> None:
        self.platform.cluster.kill()
        self.live = None
        self.engine_kept(None)

    @precondition(lambda self: self.live is None)
    @rule()
    def rebuild(self) -> None:
        self.platform.rebuild()
        self.live = {}
        self.engine_kept(self.desired[-1])

    def engine_kept(self, applied: Objects | None) -> None:
        """All is quiet again: `applied` is what the engine made of a new revision; drift it undoes with self-heal."""
        self.clock.sleep(10 * MINUTE)
        if self.live is not None and (applied is not None or self.self_heal):
            self.live = dict(self.desired[-1])

    @property
    def steady(self) -> bool:
        return self.live == self.desired[-1]

    # --- drills --------------------------------------------------------------------------------------------------

    @rule(name=names, count=replicas)
    def drill_drift(self, name: str, count: int) -> None:
        drift = {"replicas": count}
        lands = self.steady and drift != self.desired[-1].get(name)
        if lands and self.self_heal:
            foretold = Verdict.HELD if self.delay <= HEALED_WITHIN else Verdict.REFUTED
        else:
            foretold = Verdict.REFUTED if lands else Verdict.INCONCLUSIVE
        assert self.run(lambda d: self.drift_story(d, name, drift)) is foretold
        if lands:
            self.live = dict(self.desired[-1]) | {name: drift}
        self.engine_kept(None)

    @rule(name=names, count=replicas)
    def drill_drift_with_self_heal_off(self, name: str, count: int) -> None:
        drift, before = {"replicas": count}, self.self_heal
        lands = self.steady and drift != self.desired[-1].get(name)
        off = FakeSabotage(begins=lambda: self.set_self_heal(False), ends=lambda: self.set_self_heal(before))

        def story(drill: Drill) -> None:
            with drill.sabotage(off, expect="healed within", patience=20 * SECOND):
                self.drift_story(drill, name, drift)

        assert self.run(story) is (Verdict.HELD if lands else Verdict.INCONCLUSIVE)
        if lands:
            self.live = dict(self.desired[-1]) | {name: drift}
        self.engine_kept(None)

    @rule()
    def drill_loss(self) -> None:
        foretold, rebuilt = Verdict.INCONCLUSIVE, self.steady
        if rebuilt:
            if self.desired[-1]:  # an inventory of nothing proves nothing
                foretold = Verdict.HELD if BOOT + self.delay <= REBUILT_WITHIN else Verdict.REFUTED
            self.live = {}
        assert self.run(self.loss_story) is foretold
        self.engine_kept(self.desired[-1] if rebuilt else None)

    @rule(name=names)
    def drill_loss_with_a_manifest_missing(self, name: str) -> None:
        repo, steady = self.platform.repo, self.steady  # steady: the loss happens, and the cluster is rebuilt
        lost = FakeSabotage(
            harmed=lambda: repo.commit({name: None}), ends=lambda: repo.revert(repo.head) if steady else None
        )

        def story(drill: Drill) -> None:
            with drill.sabotage(lost, expect="everything in Git came back", naming=name):
                self.loss_story(drill)

        foretold = Verdict.INCONCLUSIVE
        if self.steady and self.desired[-1]:  # losing what Git does not have is no sabotage: such a twin is REFUTED
            foretold = Verdict.HELD if name in self.desired[-1] else Verdict.REFUTED
        assert self.run(story) is foretold
        if steady:
            self.live = {}
            without = {n: s for n, s in self.desired[-1].items() if n != name}
            self.desired += [without, self.desired[-1]]
        self.engine_kept(self.desired[-1] if steady else None)

    def drift_story(self, drill: Drill, name: str, spec: dict[str, int]) -> None:
        drill.require(FakeConverged(self.platform), within=MINUTE)
        drift = drill.inject(FakeDrift(self.platform, name, spec))
        drill.until(FakeHealed(drift), within=PATIENCE)
        drill.until(FakeConverged(self.platform), within=PATIENCE, settle=3 * SECOND)
        drill.conclude(recovered_within(HEALED_WITHIN, when="healed"))

    def loss_story(self, drill: Drill) -> None:
        drill.require(FakeConverged(self.platform), within=MINUTE)
        drill.observe(FakeInventory(self.platform))
        drill.inject(FakeLoss(self.platform))
        drill.rebuild(self.platform)
        drill.until(FakeConverged(self.platform), within=PATIENCE, settle=3 * SECOND)
        drill.observe(FakeInventory(self.platform))
        drill.conclude(recovered_within(REBUILT_WITHIN), everything_came_back(at_least=len(self.desired[-1])))

    def set_self_heal(self, on: bool) -> None:
        self.platform.engine.self_heal = on
        self.platform.engine.reconsider()

    def run(self, story: object) -> Verdict:
        drill = Drill("d", "p", BlastRadius.CLUSTER, Timeline(self.clock), self.clock)
        self.drills.append(drill)
        try:
            story(drill)  # type: ignore[operator]
        except DrillFailed:
            assert drill.verdict is Verdict.REFUTED
            return Verdict.REFUTED
        except HarnessError:
            assert drill.verdict in (None, Verdict.INCONCLUSIVE)
            return Verdict.INCONCLUSIVE
        assert drill.verdict is Verdict.HELD
        return Verdict.HELD

    # --- what is always so ---------------------------------------------------------------------------------------

    @invariant()
    def the_model_knows_the_world(self) -> None:
        if hasattr(self, "platform"):
            assert self.platform.cluster.alive == (self.live is not None)
            assert self.live is None or self.platform.cluster.read() == self.live
            assert self.platform.repo.desired == self.desired[-1]

    @invariant()
    def a_drill_that_held_saw_its_fault_land_and_its_times_lie_within_it(self) -> None:
        for drill in self.drills[-1:]:
            history = drill.timeline.history()
            assert History.from_lines(history.to_lines()) == history
            if drill.verdict is Verdict.HELD:
                assert [e.data["state"] for e in history.of("fault.confirmed")] == ["MET"]
            fault = history.first("fault.injected")
            for ended in history.of("until.ended"):
                assert fault is not None
                assert ended.data["state"] != "MET" or ended.data["met_us"] >= fault.data["sent_us"]


Drills.TestCase.settings = settings(max_examples=80, stateful_step_count=20)
TestDrills = Drills.TestCase
