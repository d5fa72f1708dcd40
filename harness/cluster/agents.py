"""Agents that go and come: a node removed for ever, and another one made in its place.

Here belong the k3d verbs on single nodes, with the guard that is due before each. Why one does so does not: that is
`harness.faults.node`.

Facts: `k3d node delete` removes the container and its anonymous volumes, and leaves the Node object; `k3d node create
NAME` makes `k3d-NAME-0`, with image, environment, command and mounts copied from another agent, but not its labels
(k3d pkg/client/node.go, 5.9). Seen live.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.cluster import labels
from harness.cluster.nodes import Node
from harness.core.errors import ConfigError, ProvisionFailed

if TYPE_CHECKING:
    from harness.cluster.clusters import Cluster, Clusters

PREFIX, SUFFIX = "k3d-", "-0"


def node_named(cluster: Cluster, name: str) -> Node:
    """The node of that name. Raises ConfigError: there is none."""
    nodes = {node.name: node for node in cluster.nodes()}
    if name not in nodes:
        raise ConfigError(f"a node of cluster {cluster.name}", repr(name), f"name one of {', '.join(nodes) or 'none'}")
    return nodes[name]


def replaceable(name: str) -> str:
    """What k3d has to be told to make a node that is called `name`. Raises ConfigError: it numbers new ones from 0."""
    if not name.startswith(PREFIX) or not name.endswith(SUFFIX):
        raise ConfigError("an agent whose name ends in -0", repr(name), "k3d numbers what it adds from 0: lose agent 0")
    return name.removeprefix(PREFIX).removesuffix(SUFFIX)


def remove(clusters: Clusters, cluster: Cluster, name: str) -> None:
    """Delete a node's container and volumes. Raises UnsafeTarget, ProvisionFailed, ToolError."""
    cluster.assert_ours()
    clusters.k3d.node_delete(name)


def add_agent(clusters: Clusters, cluster: Cluster, name: str) -> Node:
    """Make an agent of that name, with our labels and our image; returns once the API knows it.

    Raises ConfigError, UnsafeTarget, ProvisionFailed, ToolError.
    """
    stem = replaceable(name)
    cluster.assert_ours()
    marks = labels.labels(clusters.run_id, clusters.owner, clusters.clock.utc())
    image = clusters.images.node.reference
    clusters.k3d.node_create(stem, cluster=cluster.name, role="agent", image=image, labels=marks)
    cluster.assert_ours()  # k3d copies no labels: without ours it would be nobody's
    found = {node.name: node for node in cluster.nodes()}
    if name not in found:
        raise ProvisionFailed(f"k3d made no node {name} of cluster {cluster.name}, only {', '.join(found)}")
    return found[name]
