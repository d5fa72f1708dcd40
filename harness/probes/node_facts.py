"""Which node, and what is true of it and in it.

Here belong choosing a node to harm, the times that a cluster's own settings give to the loss of one, and the readings
about one node that a drill compares. Waiting for a node is `harness.probes.nodes`.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from harness.cluster.nodes import Node, NodeView
from harness.core.clock import SECOND, seconds
from harness.core.errors import PreconditionUnmet, ProvisionFailed
from harness.core.objects import POD, REPLICA_SET, STATEFUL_SET, Object, dig, owned_by
from harness.core.profile import Profile
from harness.faults.node import STORAGE, identity
from harness.gitops.platform import Platform

KUBELET, KUBE_PROXY, API_SERVER = 10250, 10256, 6443
_FOLDERS = ("/var/lib/kubelet", "/var/lib/rancher/k3s", "/var/lib/cni", "/var/log")  # volumes of k3d's contract
# Upstream's own settings, Kubernetes 1.32 and later: kube-controller-manager and kube-apiserver flag references.
_UPSTREAM = {
    "node-monitor-grace-period": 50.0,
    "node-monitor-period": 5.0,
    "default-unreachable-toleration-seconds": 300.0,
}
_A_LOOK = 30 * SECOND  # for one question; a busy machine takes its time to start a process in a node
_TO_NOTICE, _TO_START = 5 * SECOND, 15 * SECOND  # on top of what the settings say


# --- which ------------------------------------------------------------------------------------------------------------


def busiest_agent(platform: Platform) -> str:
    """The agent that runs the most Pods that can run elsewhere, of those without a part of Argo CD's controller.

    The controller is a StatefulSet: lost with its node, it is down until the node is back, and Argo CD with it. Raises
    PreconditionUnmet: there is no other agent.
    """
    agents = [node.name for node in _nodes(platform, "agent")]
    pods = [seen.object for seen in platform.view.all(POD)]
    engine = {dig(p, "spec", "nodeName") for p in pods if _of_a_stateful_engine(platform, p)}
    free = [name for name in agents if name not in engine]
    if not free:
        found = ", ".join(agents) or "none"
        raise PreconditionUnmet(f"expected an agent on which Argo CD's controller does not run; found {found}: "
                                "give the cluster two agents or more")  # fmt: skip
    count = Counter(dig(p, "spec", "nodeName") for p in pods if owned_by(p, REPLICA_SET.kind))
    return max(sorted(free), key=lambda name: count[name])


def first_agent(platform: Platform) -> str:
    """The agent whose name k3d can give again to another. Raises PreconditionUnmet: there is none."""
    found = [node.name for node in _nodes(platform, "agent") if node.name.endswith("-0")]
    if not found:
        raise PreconditionUnmet("expected an agent 0; found none: give the cluster an agent")
    return found[0]


def only_server(platform: Platform) -> str:
    """The one server. Raises PreconditionUnmet: there are more."""
    found = [node.name for node in _nodes(platform, "server")]
    if len(found) != 1:
        raise PreconditionUnmet(f"expected one server; found {len(found)}")
    return found[0]


def _nodes(platform: Platform, role: str) -> list[Node]:
    return [node for node in platform.cluster.nodes() if node.role == role and node.running]


def _of_a_stateful_engine(platform: Platform, pod: Object) -> bool:
    return dig(pod, "metadata", "namespace") == platform.engine.namespace and owned_by(pod, STATEFUL_SET.kind)


# --- how long ---------------------------------------------------------------------------------------------------------


def node_patience(platform: Platform) -> timedelta:
    """As long as each step of a node's loss may take by the cluster's own settings, with some to spare.

    The steps: until the Node is NotReady, then until its Pods have been deleted and others have started elsewhere.
    """
    return max(noticed_within(platform.profile) + _TO_NOTICE, evicted_within(platform.profile) + _TO_START)


def noticed_within(profile: Profile) -> timedelta:
    """From a node's last word to NotReady, by the node controller's settings. At the crash that is 0 to 10 s old."""
    return _setting(profile, "node-monitor-grace-period") + _setting(profile, "node-monitor-period")


def evicted_within(profile: Profile) -> timedelta:
    """From NotReady to the deletion of the node's Pods, by the API server's default toleration."""
    return _setting(profile, "default-unreachable-toleration-seconds")


def _setting(profile: Profile, name: str) -> timedelta:
    for argument in (*profile.controller_manager_args, *profile.apiserver_args):
        key, _, value = argument.partition("=")
        if key == name and (number := re.fullmatch(r"([0-9.]+)s?", value)):
            return seconds(float(number[1]))
    return seconds(_UPSTREAM[name])


# --- readings ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _NodeState:
    platform: Platform
    node: str
    name: str = "node"

    def read(self) -> dict[str, Any]:
        """Ports, mounts, volumes, identity, and the Pods that run in it beside those the API has there, by UID.

        Raises ToolError, CommandTimeout (a frozen node), ApiUnreachable, ApiRefused.
        """
        found = next((n for n in self.platform.cluster.nodes() if n.name == self.node), None)
        if found is None:
            raise ProvisionFailed(f"expected a node {self.node}; found none")
        view = NodeView(found, timeout=_A_LOOK)
        before = _pods(self.platform, self.node)
        running = view.pods()
        after = _pods(self.platform, self.node)  # what came or went meanwhile is nobody's fault
        listening, mounted, tree = view.listening(), view.mounts(), view.tree(STORAGE)
        ports = (KUBELET, KUBE_PROXY, *([API_SERVER] if found.role == "server" else []))
        return {
            "node": self.node,
            "container": found.container[:12],
            "identity": identity(view),
            "listens": {str(port): port in listening for port in ports},
            "mounts": {folder: folder in mounted for folder in _FOLDERS},
            "volumes": {folder: [p.partition("/")[2] for p in tree if p.startswith(f"{folder}/")]
                        for folder in tree if "/" not in folder},
            "running": len(running),
            "ghosts": sorted(running - {*_uids(before), *_uids(after)}),
            "absent": sorted(_settled(before) & _settled(after) - running),
        }  # fmt: skip


def node_state(platform: Platform, node: str) -> _NodeState:
    """What is true inside a node, by pytest-testinfra, beside what the API says runs there."""
    return _NodeState(platform, node)


@dataclass(frozen=True, slots=True)
class _NodePods:
    platform: Platform
    node: str
    name: str = "node pods"

    def read(self) -> dict[str, Any]:
        """Namespace/name -> uid and restarts, but for Jobs' Pods. Raises ApiUnreachable, ApiRefused."""
        pods = {f"{p['metadata']['namespace']}/{p['metadata']['name']}": p for p in _pods(self.platform, self.node)}
        return {name: {"uid": dig(pod, "metadata", "uid"), "restarts": _restarts(pod)}
                for name, pod in sorted(pods.items()) if not owned_by(pod, "Job")}  # fmt: skip


def node_pods(platform: Platform, node: str) -> _NodePods:
    """Who runs on a node, to tell later whether the same still do."""
    return _NodePods(platform, node)


def _pods(platform: Platform, node: str) -> list[Object]:
    return [pod for pod in platform.api.list(POD).items if dig(pod, "spec", "nodeName") == node]


def _uids(pods: Iterable[Object]) -> set[str]:
    return {str(dig(pod, "metadata", "uid")) for pod in pods}


def _settled(pods: Iterable[Object]) -> set[str]:
    """Those of which a process has to run: Running, and not on their way out."""
    running = (
        p for p in pods if dig(p, "status", "phase") == "Running" and not dig(p, "metadata", "deletionTimestamp")
    )
    return _uids(running)


def _restarts(pod: Mapping[str, Any]) -> int:
    return sum(int(s.get("restartCount") or 0) for s in dig(pod, "status", "containerStatuses", default=[]))
