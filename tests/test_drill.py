"""`Drill` on a fake world: every way a drill can end, and who is to blame for it. Twins are in test_drill_twins."""

from __future__ import annotations

from datetime import timedelta

import pytest

from harness.core.checks import Check, everything_came_back, recovered_within
from harness.core.clock import MILLISECOND, MINUTE, SECOND
from harness.core.errors import (
    ApiUnreachable,
    ConfigError,
    HarnessError,
    InjectFailed,
    NotConverged,
    ObjectiveMissed,
    PreconditionUnmet,
    UnsafeTarget,
)
from harness.core.faults import BlastRadius
from harness.core.observation import State
from harness.core.timeline import History, Timeline
from harness.core.verdict import Finding, Verdict
from harness.drill import Drill
from harness.testing import (
    FakeClock,
    FakeConverged,
    FakeDrift,
    FakeFault,
    FakeInventory,
    FakeLoss,
    FakeProbe,
)
from tests.worlds import DESIRED, NOW, OBJECTIVE, World, loss_story, self_heal_story

MET, PENDING, BROKEN = State.MET, State.PENDING, State.BROKEN


@pytest.fixture
def world() -> World:
    return World()


class TestHonestStories:
    def test_a_drift_that_is_healed_holds_with_its_time(self, world: World) -> None:
        self_heal_story(world)
        assert world.drill.verdict is Verdict.HELD
        assert list(world.found()) == ["the fault landed", "what was waited for came", "healed within 10.0 s"]
        figures = world.drill.findings[-1].figures
        assert (figures["recovery_s"], figures["resolution_s"]) == (1.0, 0.002)  # the fake's write takes 2 ms

    def test_a_lost_cluster_that_comes_back_holds_with_its_time(self, world: World) -> None:
        loss_story(world)
        assert world.drill.verdict is Verdict.HELD
        assert world.drill.findings[2].figures["recovery_s"] == 11.0  # 10 s to boot, 1 s until the engine looks
        assert world.drill.findings[3].figures == {"objects_before": 3.0, "objects_after": 3.0}

    def test_the_timeline_tells_the_story(self, world: World) -> None:
        loss_story(world)
        shown = [k for k in world.kinds() if k not in ("probe.changed", "heartbeat")]
        assert shown == [
            "require.begun", "require.ended", "observed", "fault.injecting", "fault.injected", "fault.confirmed",
            "phase.begun", "phase.ended", "until.begun", "until.ended", "observed", "judging", *["finding"] * 4,
        ]  # fmt: skip

    def test_a_stored_timeline_is_judged_the_same_again(self, world: World) -> None:
        loss_story(world)
        stored = History.from_lines(world.drill.timeline.history().to_lines())
        again = [recovered_within(MINUTE)(stored), everything_came_back(at_least=3)(stored)]
        assert again == world.drill.findings[2:]

    def test_a_heal_that_is_too_slow_is_refuted_with_its_time(self, world: World) -> None:
        world.platform.engine.notices_after = OBJECTIVE + 4 * SECOND
        with pytest.raises(
            ObjectiveMissed, match=r"healed within 10\.0 s: REFUTED, expected at most 10\.0 s, found 14\.0 s"
        ):
            self_heal_story(world)
        assert world.drill.verdict is Verdict.REFUTED

    def test_a_drift_that_is_never_healed_is_refuted_by_its_own_finding(self, world: World) -> None:
        world.platform.engine.self_heal = False
        with pytest.raises(NotConverged, match=r"healed\(api\): PENDING: should be as in Git, is still drifted"):
            self_heal_story(world)
        assert world.drill.verdict is Verdict.REFUTED
        assert world.found() == {"the fault landed": Verdict.HELD, "what was waited for came": Verdict.REFUTED}

    def test_an_object_that_does_not_come_back_is_named(self, world: World) -> None:
        def story() -> None:
            world.drill.observe(FakeInventory(world.platform))
            world.drill.inject(FakeLoss(world.platform))
            world.platform.repo.commit({"db": None})
            world.drill.rebuild(world.platform)
            world.drill.until(FakeConverged(world.platform), within=MINUTE)
            world.drill.observe(FakeInventory(world.platform))
            world.drill.conclude(everything_came_back())

        with pytest.raises(ObjectiveMissed, match="found 1 missing: db"):
            story()


class TestRequire:
    def test_what_is_met_in_time_will_do(self, world: World) -> None:
        world.drill.require(world.probe([(NOW, PENDING), (3 * SECOND, MET)]))
        assert world.last("require.ended").data["state"] == "MET"

    def test_what_is_not_met_blames_nobody(self, world: World) -> None:
        with pytest.raises(PreconditionUnmet, match="probe: PENDING: should be as asked, is pending"):
            world.drill.require(world.probe([(NOW, PENDING)]), within=MINUTE)
        assert world.last("require.ended").data["waited_s"] == 60

    def test_every_probe_must_be_met(self, world: World) -> None:
        with pytest.raises(PreconditionUnmet, match="second"):
            world.drill.require(world.probe([(NOW, MET)]), world.probe([(NOW, BROKEN)], subject="second"))

    def test_no_probe_is_no_steady_state(self, world: World) -> None:
        with pytest.raises(ConfigError, match="at least one probe of the steady state"):
            world.drill.require()

    def test_an_api_that_is_not_there_yet_is_waited_for(self, world: World) -> None:
        world.drill.require(world.probe([(NOW, ApiUnreachable("refused")), (2 * SECOND, MET)]))
        assert world.last("require.ended").data["waited_s"] == 2


class TestInject:
    @pytest.mark.parametrize("radius", [BlastRadius.NODE, BlastRadius.CLUSTER])
    def test_a_fault_beyond_the_blast_radius_is_refused_before_anything_is_touched(self, radius: BlastRadius) -> None:
        world = World(radius=BlastRadius.NAMESPACE)
        fault = FakeFault(world.clock, blast_radius=radius)
        with pytest.raises(
            UnsafeTarget, match=rf"declared blast radius \(namespace\); found FakeFault, .* {radius.name.lower()}"
        ):
            world.drill.inject(fault)
        assert fault.injections == 0
        assert world.kinds() == []

    def test_a_fault_within_the_blast_radius_is_done_once(self, world: World) -> None:
        fault = FakeFault(world.clock)
        assert world.drill.inject(fault) is fault
        assert fault.injections == 1
        data = world.last("fault.injected").data
        assert data["accepted_us"] - data["sent_us"] == 2000
        assert world.last("fault.injected").at == timedelta(microseconds=data["accepted_us"])

    @pytest.mark.parametrize("answer", [PENDING, BROKEN], ids=str)
    def test_a_fault_that_does_not_land_ends_the_drill(self, world: World, answer: State) -> None:
        with pytest.raises(InjectFailed, match="FakeFault did not land"):
            world.drill.inject(FakeFault(world.clock, landed=answer))
        assert world.drill.judge(()) is Verdict.INCONCLUSIVE

    def test_an_api_that_is_gone_is_no_answer_of_a_fault_and_no_crash(self, world: World) -> None:
        with pytest.raises(InjectFailed, match="connection refused"):
            world.drill.inject(FakeFault(world.clock, landed=ApiUnreachable("connection refused")))

    def test_a_fault_that_could_not_be_injected_is_not_on_the_timeline_as_injected(self, world: World) -> None:
        with pytest.raises(InjectFailed, match="so already"):
            world.drill.inject(FakeDrift(world.platform, "api", DESIRED["api"]))
        assert world.kinds() == ["fault.injecting"]
        assert world.drill.judge(()) is Verdict.INCONCLUSIVE


class TestUntil:
    @pytest.fixture(autouse=True)
    def _harmed(self, world: World) -> None:
        world.drill.inject(FakeFault(world.clock))

    def test_it_says_when_it_became_so_and_how_sure_that_is(self, world: World) -> None:
        begun = world.clock.now_ns()
        world.drill.until(world.probe([(NOW, PENDING), (3.5 * SECOND, MET)], watched=False), within=MINUTE)
        ended = world.last("until.ended")
        origin = world.drill.timeline.moment(begun) // MILLISECOND
        assert (ended.data["not_before_us"] // 1000 - origin, ended.data["met_us"] // 1000 - origin) == (3000, 4000)
        assert ended.at == timedelta(microseconds=ended.data["met_us"])

    def test_settling_and_flaps_are_kept(self, world: World) -> None:
        script = [(NOW, MET), (2 * SECOND, PENDING), (4 * SECOND, MET)]
        seen = world.drill.until(world.probe(script), within=MINUTE, settle=5 * SECOND)
        assert seen.met
        data = world.last("until.ended").data
        assert (data["flaps"], data["settle_s"], data["waited_s"], data["within_s"]) == (1, 5, 9, 60)

    def test_a_final_cause_ends_it_at_once(self, world: World) -> None:
        with pytest.raises(NotConverged, match="probe: BROKEN"):
            world.drill.until(world.probe([(NOW, PENDING), (SECOND, BROKEN)]), within=10 * MINUTE)
        assert world.last("until.ended").data["waited_s"] == 1
        assert world.drill.verdict is Verdict.REFUTED

    def test_a_system_that_cannot_be_reached_is_waited_for(self, world: World) -> None:
        script = [(NOW, PENDING), (SECOND, ApiUnreachable("connection refused")), (20 * SECOND, MET)]
        assert world.drill.until(world.probe(script), within=MINUTE).met
        told = [e.data["actual"] for e in world.drill.timeline.history().of("probe.changed")]
        assert told == ["pending", "connection refused", "as asked"]

    def test_one_that_cannot_be_reached_does_not_hide_the_progress_of_another(self, world: World) -> None:
        gone = world.probe([(NOW, ApiUnreachable("connection refused"))], subject="door")
        with pytest.raises(NotConverged):
            world.drill.until(world.probe([(NOW, PENDING)], subject="objects"), gone, within=20 * SECOND)
        assert world.last("until.ended").data["actual"] == "pending; connection refused"

    def test_patience_is_told_with_what_is_left_at_least_every_10_s(self, world: World) -> None:
        with pytest.raises(NotConverged):
            world.drill.until(world.probe([(NOW, PENDING)]), within=30 * SECOND)
        beats = world.drill.timeline.history().of("heartbeat")
        assert [e.data["left_s"] for e in beats] == [22, 14, 6]

    def test_a_slow_machine_may_be_given_more_patience(self, world: World) -> None:
        world.drill.patience_factor = 3.0
        world.drill.until(world.probe([(NOW, PENDING), (25 * SECOND, MET)]), within=10 * SECOND)
        assert world.last("until.ended").data["within_s"] == 30

    def test_nothing_to_wait_for_is_refused(self, world: World) -> None:
        with pytest.raises(ConfigError, match="at least one probe"):
            world.drill.until(within=MINUTE)

    def test_what_was_so_at_the_very_beginning_of_the_clock_keeps_its_bound(self) -> None:
        clock = FakeClock()
        begun_with_it = FakeProbe(clock, [(NOW, MET)], watched=True)
        drill = Drill("d", "p", BlastRadius.CLUSTER, Timeline(clock), clock)
        drill.inject(FakeFault(clock))
        drill.until(begun_with_it, within=MINUTE)
        assert drill.timeline.history().of("until.ended")[0].data["not_before_us"] == 0


def test_a_wait_before_any_fault_breaks_no_promise(world: World) -> None:
    with pytest.raises(PreconditionUnmet, match="should be as asked"):
        world.drill.until(world.probe([(NOW, PENDING)]), within=SECOND)
    assert world.drill.judge(()) is Verdict.INCONCLUSIVE


class TestConclude:
    def test_without_a_fault_nothing_is_proved(self, world: World) -> None:
        world.drill.until(world.probe([(NOW, MET)]), within=SECOND)
        with pytest.raises(
            HarnessError, match="the fault landed: INCONCLUSIVE, expected a fault, found none was injected"
        ):
            world.drill.conclude()

    def test_without_a_wait_nothing_is_proved(self, world: World) -> None:
        world.drill.inject(FakeFault(world.clock))
        with pytest.raises(HarnessError, match="what was waited for came: INCONCLUSIVE"):
            world.drill.conclude()

    def test_an_objective_within_the_resolution_is_neither_kept_nor_missed(self, world: World) -> None:
        world.drill.inject(FakeFault(world.clock))
        world.drill.until(world.probe([(NOW, PENDING), (9.8 * SECOND, MET)], watched=False), within=MINUTE)
        with pytest.raises(HarnessError, match=r"recovered within 9\.9 s: INCONCLUSIVE"):
            world.drill.conclude(recovered_within(9.9 * SECOND))
        assert world.drill.verdict is Verdict.INCONCLUSIVE

    def test_what_was_never_lost_proves_nothing(self, world: World) -> None:
        unhurt = world.probe([(NOW, MET)])
        world.clock.sleep(SECOND)
        world.drill.inject(FakeFault(world.clock))
        world.drill.until(unhurt, within=MINUTE)
        with pytest.raises(HarnessError, match="never seen lost"):
            world.drill.conclude(recovered_within(MINUTE))

    def test_a_judge_that_throws_proves_nothing(self, world: World) -> None:
        def judge(_: History) -> Finding:
            raise RuntimeError("off by one")

        world.drill.inject(FakeFault(world.clock))
        world.drill.until(world.probe([(NOW, PENDING), (SECOND, MET)]), within=MINUTE)
        with pytest.raises(HarnessError, match="off by one"):
            world.drill.conclude(Check("all is well", judge), recovered_within(MINUTE))
        assert world.found()["all is well"] is Verdict.INCONCLUSIVE
        assert world.found()["recovered within 1m00s"] is Verdict.HELD

    def test_a_broken_promise_outranks_a_judge_that_throws(self, world: World) -> None:
        def judge(_: History) -> Finding:
            raise RuntimeError("off by one")

        world.drill.inject(FakeFault(world.clock))
        world.drill.until(world.probe([(NOW, PENDING), (2 * MINUTE, MET)]), within=3 * MINUTE)
        with pytest.raises(ObjectiveMissed, match="recovered within"):
            world.drill.conclude(Check("all is well", judge), recovered_within(MINUTE))

    def test_every_finding_is_on_the_timeline(self, world: World) -> None:
        self_heal_story(world)
        kept = [Finding.from_record(e.data) for e in world.drill.timeline.history().of("finding")]
        assert kept == world.drill.findings


def test_a_rebuild_that_fails_is_a_phase_that_failed(world: World) -> None:
    class Stuck:
        def rebuild(self) -> None:
            raise HarnessError("no room")

    with pytest.raises(HarnessError, match="no room"):
        world.drill.rebuild(Stuck())
    assert world.last("phase.ended").data["outcome"] == "HarnessError"
