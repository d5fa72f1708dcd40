"""Blast radii are ordered; the fakes keep the contracts of fault and sabotage."""

from __future__ import annotations

import pytest

from harness.core.errors import ConfigError
from harness.core.faults import BlastRadius, Fault, Injected, Reversible, Sabotage
from harness.drill import blast_radius
from harness.testing import FakeClock, FakeFault, FakeSabotage


def test_a_larger_radius_includes_the_smaller() -> None:
    assert BlastRadius.NAMESPACE < BlastRadius.NODE < BlastRadius.CLUSTER


@pytest.mark.parametrize("radius", BlastRadius)
def test_radii_are_read_by_name(radius: BlastRadius) -> None:
    assert blast_radius(radius.name.lower()) is radius


@pytest.mark.parametrize("name", ["", "planet", "None"])
def test_an_unknown_radius_is_refused_with_the_ones_there_are(name: str) -> None:
    with pytest.raises(ConfigError, match="one of namespace, node, cluster"):
        blast_radius(name)


def test_the_fakes_are_what_the_contracts_ask_for() -> None:
    fault: Fault = FakeFault(FakeClock())
    sabotage: Sabotage = FakeSabotage()
    done = fault.inject()
    assert isinstance(done, Injected)
    assert done.sent_ns < done.accepted_ns
    assert fault.confirm().met
    sabotage.begin()
    assert not isinstance(fault, Reversible)
