"""Sabotaged twins: a story that must fail, on a fake world."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from harness.core.clock import MINUTE, SECOND
from harness.core.errors import (
    HarnessError,
    HealFailed,
    InjectFailed,
    NotConverged,
    ObjectiveMissed,
    PreconditionUnmet,
)
from harness.core.observation import State
from harness.core.verdict import Verdict
from harness.testing import (
    FakeConverged,
    FakeFault,
    FakeSabotage,
)
from tests.worlds import DESIRED, NOW, World, loss_story, self_heal_story

MET, PENDING, BROKEN = State.MET, State.PENDING, State.BROKEN


@pytest.fixture
def world() -> World:
    return World()


def self_heal_off(world: World) -> FakeSabotage:
    engine = world.platform.engine

    def switch(on: bool) -> Callable[[], None]:
        return lambda: setattr(engine, "self_heal", on)

    return FakeSabotage("SelfHealOff", begins=switch(False), ends=switch(True))


class TestTwins:
    def test_a_story_that_fails_as_named_is_a_good_twin(self, world: World) -> None:
        sabotage = self_heal_off(world)
        with world.drill.sabotage(sabotage, expect="healed within", patience=5 * SECOND):
            self_heal_story(world)
        assert world.found() == {"the sabotaged story is REFUTED by 'healed within'": Verdict.HELD}
        assert world.drill.verdict is Verdict.HELD
        assert sabotage.steps == ["begin", "after_injection", "end"]
        assert world.platform.engine.self_heal
        assert world.last("twin.story").data["verdict"] == "REFUTED"

    def test_it_waits_no_longer_than_it_was_told_to_after_the_fault(self, world: World) -> None:
        begun = world.clock.now_ns()
        with world.drill.sabotage(self_heal_off(world), expect="healed within", patience=5 * SECOND):
            self_heal_story(world)
        assert world.last("until.ended").data["within_s"] == 5
        assert world.clock.now_ns() - begun < 6 * 10**9
        assert world.drill.timeline.history().of("require.ended")[0].data["within_s"] == 300

    def test_a_missing_object_must_be_named(self, world: World) -> None:
        repo = world.platform.repo
        sabotage = FakeSabotage(
            "LoseManifest", harmed=lambda: repo.commit({"db": None}), ends=lambda: repo.revert(repo.head)
        )
        with world.drill.sabotage(sabotage, expect="everything in Git came back", naming="db"):
            loss_story(world)
        assert world.drill.verdict is Verdict.HELD
        assert world.drill.findings[0].actual == "1 missing: db"
        assert repo.desired == DESIRED

    def test_a_twin_that_names_another_object_is_refuted(self, world: World) -> None:
        sabotage = FakeSabotage("LoseManifest", harmed=lambda: world.platform.repo.commit({"db": None}))
        with (
            pytest.raises(ObjectiveMissed, match="expected REFUTED, naming web"),
            world.drill.sabotage(sabotage, expect="everything in Git came back", naming="web"),
        ):
            loss_story(world)
        assert world.drill.verdict is Verdict.REFUTED

    def test_a_twin_that_passes_is_refuted(self, world: World) -> None:
        with (
            pytest.raises(ObjectiveMissed, match=r"healed within 10\.0 s: HELD"),
            world.drill.sabotage(FakeSabotage(), expect="healed within"),
        ):
            self_heal_story(world)
        assert world.found() == {"the sabotaged story is REFUTED by 'healed within'": Verdict.REFUTED}

    def test_a_twin_that_fails_for_another_reason_is_refuted(self, world: World) -> None:
        with (
            pytest.raises(ObjectiveMissed),
            world.drill.sabotage(self_heal_off(world), expect="everything in Git came back"),
        ):
            self_heal_story(world)
        assert world.drill.verdict is Verdict.REFUTED

    def test_a_twin_whose_fault_does_not_land_proves_nothing(self, world: World) -> None:
        sabotage = self_heal_off(world)

        def story() -> None:
            world.drill.require(FakeConverged(world.platform))
            world.drill.inject(FakeFault(world.clock, landed=PENDING))

        with pytest.raises(InjectFailed), world.drill.sabotage(sabotage, expect="healed within"):
            story()
        assert "after_injection" not in sabotage.steps
        assert sabotage.steps[-1] == "end"
        assert world.drill.judge(()) is Verdict.INCONCLUSIVE

    def test_a_twin_without_any_fault_proves_nothing(self, world: World) -> None:
        with pytest.raises(HarnessError), world.drill.sabotage(FakeSabotage(), expect="what was waited for"):
            world.drill.until(world.probe([(NOW, PENDING)]), within=SECOND)
        assert world.drill.verdict in (None, Verdict.INCONCLUSIVE)

    def test_a_twin_that_judges_nothing_proves_nothing(self, world: World) -> None:
        with (
            pytest.raises(HarnessError, match="nothing was judged"),
            world.drill.sabotage(FakeSabotage(), expect="healed"),
        ):
            world.drill.inject(FakeFault(world.clock))
        assert world.drill.verdict is Verdict.INCONCLUSIVE

    def test_a_story_that_proves_nothing_is_no_good_twin(self, world: World) -> None:
        with pytest.raises(PreconditionUnmet), world.drill.sabotage(self_heal_off(world), expect="healed within"):
            world.drill.require(world.probe([(NOW, PENDING)]), within=SECOND)
        assert world.drill.verdict in (None, Verdict.INCONCLUSIVE)

    def test_a_wait_that_was_met_is_never_taken_for_the_expected_failure(self, world: World) -> None:
        def story() -> None:
            world.drill.inject(FakeFault(world.clock))
            world.drill.until(world.probe([(NOW, PENDING), (SECOND, MET)], subject="healed(x)"), within=MINUTE)
            raise NotConverged("from elsewhere")

        with (
            pytest.raises(HarnessError, match="nothing was judged"),
            world.drill.sabotage(FakeSabotage(), expect="healed within"),
        ):
            story()

    @pytest.mark.parametrize("error", [HealFailed("still drifted"), KeyError("replicas")], ids=["ours", "a bug"])
    def test_an_undo_that_fails_is_recorded_and_taints_but_the_verdict_stands(
        self, world: World, error: Exception
    ) -> None:
        with world.drill.sabotage(
            _undo_fails(self_heal_off(world), error), expect="healed within", patience=5 * SECOND
        ):
            self_heal_story(world)
        assert world.drill.verdict is Verdict.HELD
        assert world.last("heal.failed").subject == "SelfHealOff"
        assert "SelfHealOff could not be undone" in world.drill.tainted

    def test_an_undo_that_fails_never_hides_the_first_error(self, world: World) -> None:
        sabotage = _undo_fails(FakeSabotage(), HealFailed("still drifted"))
        with pytest.raises(ZeroDivisionError), world.drill.sabotage(sabotage, expect="healed within"):
            raise ZeroDivisionError
        assert world.drill.tainted

    def test_a_sabotage_that_could_not_begin_is_undone(self, world: World) -> None:
        def refuse() -> None:
            raise HarnessError("the engine refuses")

        sabotage = FakeSabotage(begins=refuse)
        with pytest.raises(HarnessError, match="the engine refuses"), world.drill.sabotage(sabotage, expect="healed"):
            raise AssertionError("the story must not begin")
        assert sabotage.steps == ["begin", "end"]
        assert world.drill.tainted == ""

    def test_an_interrupt_undoes_as_well(self, world: World) -> None:
        sabotage = FakeSabotage()
        with pytest.raises(KeyboardInterrupt), world.drill.sabotage(sabotage, expect="healed"):
            raise KeyboardInterrupt
        assert sabotage.steps[-1] == "end"


def _undo_fails(sabotage: FakeSabotage, error: Exception) -> FakeSabotage:
    def fail() -> None:
        raise error

    sabotage.ends = fail
    return sabotage
