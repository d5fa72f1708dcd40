"""Agents that go and come: the guard in front, our labels on what is made, and that it was made."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from harness.cluster.agents import add_agent, node_named, remove, replaceable
from harness.core.errors import ConfigError, ProvisionFailed, UnsafeTarget
from tests.nodestage import AGENT, NodeStage


class Maker:
    """k3d, as far as single nodes go."""

    def __init__(self) -> None:
        self.diary: list[Any] = []

    def node_delete(self, name: str) -> None:
        self.diary.append(("delete", name))

    def node_create(self, name: str, **how: Any) -> None:
        self.diary.append((name, how))


@pytest.fixture
def clusters() -> Any:
    stage = NodeStage()
    images = SimpleNamespace(node=SimpleNamespace(reference="drill/node:1"))
    return SimpleNamespace(
        k3d=Maker(), images=images, run_id="r1", owner="me", clock=stage.clock, cluster=stage.cluster
    )


def test_a_new_agent_carries_our_labels_and_our_image(clusters: Any) -> None:
    found = add_agent(clusters, clusters.cluster, AGENT)
    (name, how), = clusters.k3d.diary  # fmt: skip
    assert (name, how["cluster"], how["role"], how["image"]) == ("dr-x-agent", "dr-x", "agent", "drill/node:1")
    assert how["labels"]["drill.run"] == "r1"
    assert found.name == AGENT


def test_one_that_k3d_did_not_make_is_told(clusters: Any) -> None:
    with pytest.raises(ProvisionFailed, match="k3d made no node k3d-dr-x-agent9-0"):
        add_agent(clusters, clusters.cluster, "k3d-dr-x-agent9-0")


def test_nothing_is_done_to_a_cluster_that_is_not_ours(clusters: Any) -> None:
    clusters.cluster.ours = False
    with pytest.raises(UnsafeTarget):
        remove(clusters, clusters.cluster, AGENT)
    with pytest.raises(UnsafeTarget):
        add_agent(clusters, clusters.cluster, AGENT)
    assert clusters.k3d.diary == []


def test_a_node_is_removed_by_its_name(clusters: Any) -> None:
    remove(clusters, clusters.cluster, AGENT)
    assert clusters.k3d.diary == [("delete", AGENT)]
    assert node_named(clusters.cluster, AGENT).role == "agent"
    with pytest.raises(ConfigError, match="a node of cluster dr-x"):
        node_named(clusters.cluster, "x")


@pytest.mark.parametrize("name", ["k3d-x-agent-1", "agent-0", ""])
def test_k3d_can_give_only_some_names(name: str) -> None:
    with pytest.raises(ConfigError, match="k3d numbers what it adds from 0"):
        replaceable(name)
