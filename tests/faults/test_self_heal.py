"""Self-heal switched off as a fault: it lands, it is confirmed by the API, it is undone."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest

from harness.core.errors import ApiUnreachable, ConfigError, HealFailed, InjectFailed, ProvisionFailed
from harness.core.faults import BlastRadius
from harness.core.observation import State
from harness.faults.self_heal import TurnOffSelfHeal
from harness.testing import FakeClock


@dataclass
class Engine:
    """Two Applications; notice is taken at once."""

    heals: dict[str, Any] = field(default_factory=lambda: {"shop": True, "kitchen": True})
    refuses: Exception | None = None
    namespace: str = "argocd"

    def set_self_heal(self, name: str, on: bool) -> None:
        if self.refuses is not None:
            raise self.refuses
        self.heals[name] = on

    def applications(self) -> tuple[dict[str, Any], ...]:
        return tuple({"metadata": {"name": name}, "spec": {"syncPolicy": {"automated": {"selfHeal": on}}}}
                     for name, on in self.heals.items())  # fmt: skip


@dataclass
class System:
    engine: Engine = field(default_factory=Engine)
    clock: FakeClock = field(default_factory=FakeClock)


@pytest.fixture
def system() -> System:
    return System()


def off(system: System, application: str = "shop") -> TurnOffSelfHeal:
    return TurnOffSelfHeal(system, application)  # type: ignore[arg-type]


def test_it_lands_is_confirmed_and_undone(system: System) -> None:
    fault = off(system)
    assert fault.confirm().state is State.PENDING
    assert fault.inject().what == "self-heal of shop: on to off"
    answer = fault.confirm()
    assert (answer.state, answer.actual) == (State.MET, "selfHeal of Application shop is False")
    assert system.engine.heals == {"shop": False, "kitchen": True}
    fault.heal()
    assert system.engine.heals == {"shop": True, "kitchen": True}


def test_what_it_may_harm(system: System) -> None:
    fault = off(system)
    assert (fault.subject, fault.blast_radius) == ("TurnOffSelfHeal(shop)", BlastRadius.NAMESPACE)
    assert fault.touches == ("Application argocd/shop",)


@pytest.mark.parametrize("error", [ApiUnreachable("gone"), ProvisionFailed("no notice")])
def test_an_engine_that_takes_no_notice_is_told(system: System, error: Exception) -> None:
    system.engine.refuses = error
    with pytest.raises(InjectFailed, match=f"self-heal of shop was not switched off: {error}"):
        off(system).inject()
    with pytest.raises(HealFailed, match=f"self-heal of shop was not switched on: {error}"):
        off(system).heal()


def test_an_application_that_does_not_sync_by_itself_is_nonsense(system: System) -> None:
    system.engine.refuses = ConfigError("an Application shop that syncs automatically", "none", "name another")
    with pytest.raises(ConfigError, match="syncs automatically"):
        off(system).inject()
    with pytest.raises(HealFailed):
        off(system).heal()


def test_one_that_is_not_there_is_never_confirmed(system: System) -> None:
    assert off(system, "cellar").confirm().actual == "selfHeal of Application cellar is absent"
