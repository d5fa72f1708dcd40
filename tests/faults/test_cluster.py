"""Losing the cluster: from when the loss counts, and when it did not happen."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest

from harness.core.clock import SECOND
from harness.core.errors import CommandFailed, InjectFailed, ProvisionFailed, UnsafeTarget
from harness.core.faults import BlastRadius
from harness.core.observation import State
from harness.faults.cluster import DestroyCluster
from harness.testing import FakeClock


@dataclass
class Losable:
    """A platform with three nodes whose deletion takes 4 s, or fails."""

    clock: FakeClock = field(default_factory=FakeClock)
    name: str = "dr-x"
    spec: str = "the spec"
    failure: Exception | None = None
    left: tuple[str, ...] = ()
    destroyed: bool = False

    def __post_init__(self) -> None:
        self.clock.sleep(SECOND)
        self.cluster = SimpleNamespace(nodes=lambda: ("server", "agent-0", "agent-1"))
        self.clusters: Any = SimpleNamespace(leftovers=lambda spec: self.left if spec == self.spec else ("?",))

    def destroy(self) -> None:
        self.clock.sleep(4 * SECOND)
        if self.failure:
            raise self.failure
        self.destroyed = True


def loss(platform: Losable) -> DestroyCluster:
    return DestroyCluster(platform)  # type: ignore[arg-type]


def test_the_loss_counts_from_when_it_is_asked_for() -> None:
    platform = Losable()
    done = loss(platform).inject()
    assert platform.destroyed
    assert done.sent_ns == done.accepted_ns == 1_000_000_000
    assert done.what == "cluster with 3 nodes deleted in 4.0 s"
    assert done.detail == {"nodes": 3}


@pytest.mark.parametrize(
    "error", [CommandFailed(["docker", "rm"], 1, "", "busy"), ProvisionFailed("dr-x could not be deleted")]
)
def test_a_cluster_that_cannot_be_deleted_is_a_fault_that_did_not_land(error: Exception) -> None:
    with pytest.raises(InjectFailed, match="the cluster could not be deleted") as failed:
        loss(Losable(failure=error)).inject()
    assert failed.value.__cause__ is error


def test_a_cluster_that_is_not_ours_stays_a_matter_of_safety() -> None:
    with pytest.raises(UnsafeTarget):
        loss(Losable(failure=UnsafeTarget("ours", "not ours", "leave it"))).inject()


def test_it_is_confirmed_when_nothing_is_left() -> None:
    assert loss(Losable()).confirm().state is State.MET


def test_what_is_left_is_named() -> None:
    answer = loss(Losable(left=("k3d-dr-x-server-0", "volume 0123"))).confirm()
    assert answer.state is State.PENDING
    assert answer.actual == "still there: k3d-dr-x-server-0, volume 0123"


def test_it_reaches_the_whole_cluster() -> None:
    fault = loss(Losable())
    assert (fault.blast_radius, fault.subject) == (BlastRadius.CLUSTER, "DestroyCluster(dr-x)")
