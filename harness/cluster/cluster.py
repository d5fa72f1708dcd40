"""One cluster that we made, and the guard in front of every destructive act.

Here belong what a cluster is called and how it is told from every other one. How it is made, proved ready and destroyed
does not: that is `harness.cluster.clusters`.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlparse

from harness.cluster import labels
from harness.cluster.docker import Container, Docker
from harness.cluster.kube import KubeApi
from harness.cluster.network import Network
from harness.cluster.nodes import Node, nodes_of
from harness.cluster.spec import ClusterSpec
from harness.core.errors import ApiRefused, ApiUnreachable, UnsafeTarget
from harness.core.objects import NAMESPACE, dig


@dataclass(slots=True)
class Cluster:
    """A cluster that we made. `uid` (of the namespace kube-system) is what tells it from every other one."""

    name: str
    kubeconfig: Path
    api: KubeApi
    network: Network
    docker: Docker
    spec: ClusterSpec
    run_id: str
    uid: str
    destroyed: bool = False

    def nodes(self) -> tuple[Node, ...]:
        """The nodes as containers, servers first, running or not."""
        return nodes_of(self.docker, self.name, self.network.name)

    def containers(self) -> tuple[Container, ...]:
        """Every container of the cluster, k3d's helpers too."""
        return self.docker.containers(f"{labels.K3D_CLUSTER}={self.name}")

    def assert_ours(self) -> None:
        """To be called before every destructive act. Raises UnsafeTarget unless all of it is this run's.

        Containers by label; the API by its address and, where it answers, by the identity recorded when it was made.
        """
        remedy = "leave it alone: drill only touches what it made in this run"
        for container in self.containers():
            if container.labels.get(labels.RUN) != self.run_id:
                raise UnsafeTarget(f"containers of run {self.run_id}", f"{container.name} without its label", remedy)
        host = urlparse(self.api.server).hostname or ""
        if not _is_local(host, self.network):
            raise UnsafeTarget("an API server on this machine", self.api.server, remedy)
        try:
            found = cluster_uid(self.api)
        except (ApiUnreachable, ApiRefused):
            return  # it is down or half made: the containers' labels have answered for it
        if found != self.uid:
            raise UnsafeTarget(f"the cluster with identity {self.uid}", found or "another one", remedy)

    def how_to_reach(self) -> str:
        """For people who kept it: how to look at it and how to delete it."""
        return f"export KUBECONFIG={self.kubeconfig}   # delete: k3d cluster delete {self.name} && drill clean"


def cluster_uid(api: KubeApi) -> str:
    """The identity of a cluster: the UID of its namespace kube-system. Raises ApiUnreachable, ApiRefused."""
    return str(dig(api.get(NAMESPACE, "kube-system"), "metadata", "uid", default=""))


def _is_local(host: str, network: Network) -> bool:
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host == "localhost"
    return address.is_loopback or address in ipaddress.ip_network(network.subnet)
