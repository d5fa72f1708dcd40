"""What a cluster should be, and how that is said to k3d.

Here belong `ClusterSpec` and the v1alpha5 configuration made from it. Making the cluster does not: that is
`harness.cluster.clusters`.
"""

from __future__ import annotations

import socket
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from harness.cluster.images import ImageSet
from harness.cluster.k3d import API_VERSION, NAME
from harness.cluster.network import Network
from harness.core.clock import MINUTE
from harness.core.errors import ConfigError, EnvironmentUnfit
from harness.core.profile import DEFAULT, Profile

LOOPBACK = "127.0.0.1"
_IMAGES_FOLDER = "/var/lib/rancher/k3s/agent/images"
# What official k3s brings and a drill does not need; the built node knows the words.
_LEFT_OUT = ("traefik", "servicelb", "metrics-server")
# The controller manager starts its forty controllers through a client that allows itself 20 requests a second: 4 s of a
# new cluster's 17 were spent waiting for that. No controller's own timing changes with it.
_SWIFT = ("--kube-controller-manager-arg=kube-api-qps=200", "--kube-controller-manager-arg=kube-api-burst=400")


@dataclass(frozen=True, slots=True)
class ClusterSpec:
    """What a cluster should be. The same spec makes the same cluster again, under the same name."""

    name: str
    network: Network
    servers: int = 1
    agents: int = 2
    profile: Profile = DEFAULT
    api_port: int | None = None  # on 127.0.0.1; None: any free one
    patience: timedelta = 3 * MINUTE

    def checked(self) -> ClusterSpec:
        """This spec, or ConfigError that says what cannot be."""
        if not NAME.fullmatch(self.name):
            raise ConfigError(
                "a cluster name of 1 to 32 letters a-z, digits and dashes", repr(self.name), "choose another"
            )
        if self.servers < 1 or self.agents < 0:
            raise ConfigError(
                "at least one server", f"{self.servers} servers, {self.agents} agents", "ask for one or more"
            )
        return self


def k3d_config(spec: ClusterSpec, images: ImageSet, marks: Mapping[str, str], port: int) -> dict[str, Any]:
    """The v1alpha5 configuration, the same for official k3s and for the node image built here."""
    servers, everyone = "server:*", "all"
    args = [(f"--disable={part}", servers) for part in _LEFT_OUT]
    args += [(arg, servers) for arg in _SWIFT]
    args += [(f"--kube-apiserver-arg={arg}", servers) for arg in spec.profile.apiserver_args]
    args += [(f"--kube-controller-manager-arg={arg}", servers) for arg in spec.profile.controller_manager_args]
    args += [(f"--kubelet-arg={arg}", node) for arg in spec.profile.kubelet_args for node in (servers, "agent:*")]
    if not spec.agents:
        args = [(arg, node) for arg, node in args if node != "agent:*"]
    return {
        "apiVersion": API_VERSION,
        "kind": "Simple",
        "metadata": {"name": spec.name},
        "servers": spec.servers,
        "agents": spec.agents,
        "image": images.node.reference,
        "network": spec.network.name,
        "kubeAPI": {"host": LOOPBACK, "hostIP": LOOPBACK, "hostPort": str(port)},
        "volumes": [
            {"volume": f"{path}:{_IMAGES_FOLDER}/{path.name}:ro", "nodeFilters": [everyone]} for path in images.preload
        ],
        "options": {
            "k3d": {
                "wait": True,
                "timeout": f"{int(spec.patience.total_seconds())}s",
                "disableLoadbalancer": True,
                # Its image volume stays on: without one k3d 5.9 races with itself for its tools container and gives up.
                "disableRollback": True,
            },
            "k3s": {"extraArgs": [{"arg": arg, "nodeFilters": [node]} for arg, node in args]},
            "kubeconfig": {"updateDefaultKubeconfig": False, "switchCurrentContext": False},
            "runtime": {"labels": [{"label": f"{k}={v}", "nodeFilters": [everyone]} for k, v in marks.items()]},
        },
    }


def free_port(wanted: int | None) -> int:
    """`wanted` if nobody listens there, or any free port of the loopback address. Raises EnvironmentUnfit."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, wanted or 0))
        except OSError as error:
            raise EnvironmentUnfit(
                f"port {wanted} of {LOOPBACK} free", str(error.strerror), "end what listens there or choose another"
            ) from error
        return int(probe.getsockname()[1])
