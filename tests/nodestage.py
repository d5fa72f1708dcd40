"""A stage with nodes: containers that can be killed and frozen, and what an API shows of them, for node drills."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from types import SimpleNamespace
from typing import Any

from harness.cluster.docker import Container
from harness.cluster.live import Outage
from harness.cluster.live_store import Seen
from harness.cluster.nodes import Node
from harness.core.errors import ApiUnreachable, CommandFailed, UnsafeTarget
from harness.core.objects import Kind, Object
from harness.core.profile import FAST, Profile
from tests.cluster.fakes import container
from tests.stage import Stage, StageView

SERVER, AGENT, OTHER = "k3d-dr-x-server-0", "k3d-dr-x-agent-0", "k3d-dr-x-agent-1"
BUSY = "Cannot pause container: OCI runtime pause failed: unable to freeze"


class NodeStageView(StageView):
    """A view that can list, and that knows outages."""

    outages: tuple[Outage, ...] = ()

    def all(self, kind: Kind, namespace: str | None = None) -> tuple[Seen, ...]:
        return self.store.all(kind, namespace)


@dataclass
class NodeDocker:
    """The containers of three nodes, and what was done to them. `failing` is raised once by each verb that is named."""

    there: dict[str, Container] = field(default_factory=dict)
    diary: list[tuple[str, ...]] = field(default_factory=list)
    failing: list[Exception] = field(default_factory=list)
    deaf: bool = False  # says yes and does nothing

    def container(self, name: str) -> Container | None:
        return self.there.get(name)

    def kill(self, name: str) -> None:
        self._do("kill", name, running=False, exit_code=137)

    def start(self, name: str) -> None:
        self._do("start", name, running=True)

    def pause(self, name: str) -> None:
        self._do("pause", name, paused=True)

    def unpause(self, name: str) -> None:
        if name not in self.there:
            raise CommandFailed(["docker", "unpause", name], 1, "", "No such container")
        self._do("unpause", name, paused=False)

    def exec(self, name: str, argv: Sequence[str], **how: Any) -> Any:
        self.diary.append(("exec", name, *argv))
        return SimpleNamespace(stdout="", returncode=0)

    def _do(self, verb: str, name: str, **facts: Any) -> None:
        self.diary.append((verb, name))
        if self.failing:
            raise self.failing.pop(0)
        if not self.deaf:
            self.there[name] = replace(self.there[name], **facts)


@dataclass
class NodeCluster:
    """What a fault asks of a cluster."""

    docker: NodeDocker
    name: str = "dr-x"
    ours: bool = True

    def nodes(self) -> tuple[Node, ...]:
        there = self.docker.there.values()
        return tuple(Node(c.name, c.labels["k3d.role"], c.id, "172.28.1.2", c.running) for c in there)

    def assert_ours(self) -> None:
        if not self.ours:
            raise UnsafeTarget("ours", "not ours", "leave it")


@dataclass
class NodeStage(Stage):
    """One server, two agents, all Ready."""

    profile: Profile = FAST
    refreshed: list[str] = field(default_factory=list)
    engine_away: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        self.view: Any = NodeStageView(self.clock)
        self.api.view = self.view
        roles = {SERVER: "server", AGENT: "agent", OTHER: "agent"}
        self.docker = NodeDocker({name: container(name, {"k3d.role": role}) for name, role in roles.items()})
        self.cluster: Any = NodeCluster(self.docker)
        for name in roles:
            self.show(node(name, self.now()))

    @property
    def engine(self) -> Any:
        return SimpleNamespace(refresh=self._refresh, namespace="argocd")

    def now(self) -> datetime:
        return self.clock.utc()

    def show(self, obj: Object, *, deleted: bool = False) -> None:
        """The watch delivers an object, under a new version."""
        self.api.version += 1
        obj["metadata"]["resourceVersion"] = str(self.api.version)
        self.view.event(obj, deleted=deleted)

    def pass_time(self, seconds: float) -> None:
        self.clock.sleep(timedelta(seconds=seconds))

    def _refresh(self, name: str) -> None:
        if self.engine_away:
            raise ApiUnreachable("connection refused")
        self.refreshed.append(name)


def stamp(moment: datetime) -> str:
    """As the API writes a time: whole seconds."""
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def node(name: str, beat: datetime, *, ready: bool = True, cordoned: bool = False, tainted: bool = False) -> Object:
    """A Node whose kubelet spoke last at `beat`."""
    status, reason = ("True", "KubeletReady") if ready else ("Unknown", "NodeStatusUnknown")
    condition = {"type": "Ready", "status": status, "reason": reason, "lastHeartbeatTime": stamp(beat),
                 "lastTransitionTime": stamp(beat)}  # fmt: skip
    taints = [{"key": "node.kubernetes.io/unreachable", "effect": "NoExecute"}] if tainted else []
    spec = {**({"unschedulable": True} if cordoned else {}), **({"taints": taints} if taints else {})}
    return {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name}, "spec": spec,
            "status": {"conditions": [condition]}}  # fmt: skip


def workload(name: str, replicas: int = 1, *, available: int | None = None, kind: str = "Deployment") -> Object:
    """A Deployment (with its ReplicaSet, see `replica_set`) or a StatefulSet in namespace shop."""
    said = replicas if available is None else available
    metadata = {"name": name, "namespace": "shop", "uid": f"u-{name}"}
    return {"apiVersion": "apps/v1", "kind": kind, "metadata": metadata, "spec": {"replicas": replicas},
            "status": {"availableReplicas": said}}  # fmt: skip


def replica_set(name: str) -> Object:
    """The ReplicaSet of Deployment `name`."""
    owner = {"kind": "Deployment", "name": name, "uid": f"u-{name}", "controller": True}
    metadata = {"name": f"{name}-1", "namespace": "shop", "uid": f"r-{name}", "ownerReferences": [owner]}
    return {"apiVersion": "apps/v1", "kind": "ReplicaSet", "metadata": metadata}


def pod(name: str, of: str, on: str, *, ready: bool = True, kind: str = "ReplicaSet", **facts: Any) -> Object:
    """A running Pod of a workload on a node. Facts: `leaving`, `began` (of its container), `claim`, `phase`, `uid`."""
    owner = {"kind": kind, "name": of, "uid": f"r-{of}" if kind == "ReplicaSet" else f"u-{of}", "controller": True}
    metadata = {"name": name, "namespace": "shop", "uid": facts.get("uid", f"p-{name}"), "ownerReferences": [owner]}
    if facts.get("leaving"):
        metadata["deletionTimestamp"] = "2026-01-01T00:00:30Z"
    volumes = [{"name": "data", "persistentVolumeClaim": {"claimName": facts["claim"]}}] if facts.get("claim") else []
    state = {"running": {"startedAt": stamp(facts["began"])}} if facts.get("began") else {"waiting": {}}
    containers = [{"name": "c", "state": state, "restartCount": 0}]
    status = {"phase": facts.get("phase", "Running"), "containerStatuses": containers,
              "conditions": [{"type": "Ready", "status": "True" if ready else "False"}]}  # fmt: skip
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": {"nodeName": on, "volumes": volumes},
            "status": status}  # fmt: skip


def claim(name: str, on: str) -> Object:
    """A claim whose volume lies on the disk of a node."""
    metadata = {"name": name, "namespace": "shop", "annotations": {"volume.kubernetes.io/selected-node": on}}
    return {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": metadata}


def application(name: str, compared: datetime) -> Object:
    """An Application that Argo CD compared at `compared`."""
    metadata = {"name": name, "namespace": "argocd"}
    return {"apiVersion": "argoproj.io/v1alpha1", "kind": "Application", "metadata": metadata,
            "status": {"reconciledAt": stamp(compared)}}  # fmt: skip
