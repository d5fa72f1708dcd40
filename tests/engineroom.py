"""A stage on which Argo CD runs: its Pods on nodes whose processes can be killed, its namespace, its Applications."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

from harness.cluster.kube import Written
from harness.core.errors import ApiRefused, CommandFailed, UnsafeTarget
from harness.core.objects import Kind, Object, Ref, dig, ref_of
from tests.gitstage import GitEngine
from tests.stage import Stage, StageApi

COMPONENTS = ("application-controller", "repo-server", "redis")
NODE = "k3d-x-agent-0"


def pod(component: str, *, uid: str = "p1", container: str = "c1", restarts: int = 0) -> Object:
    """The Pod of a component, running."""
    name = f"argocd-{component}"
    status = {"name": name, "restartCount": restarts, "containerID": f"containerd://{component}-{container}",
              "state": {"running": {"startedAt": "2026-01-01T00:00:00Z"}}}  # fmt: skip
    owner = {"kind": "ReplicaSet", "name": f"{name}-7d", "controller": True}
    return {
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"namespace": "argocd", "name": f"{name}-0", "uid": uid, "ownerReferences": [owner],
                     "labels": {"app.kubernetes.io/name": name}},
        "spec": {"nodeName": NODE}, "status": {"phase": "Running", "containerStatuses": [status]},
    }  # fmt: skip


def application(name: str = "shop", finalizers: Sequence[str] = (), **state: Any) -> Object:
    """An Application whose last operation is as `state` says."""
    metadata: Object = {"namespace": "argocd", "name": name}
    if finalizers:
        metadata["finalizers"] = list(finalizers)
    return {"apiVersion": "argoproj.io/v1alpha1", "kind": "Application", "metadata": metadata,
            "status": {"operationState": dict(state)}}  # fmt: skip


class RoomApi(StageApi):
    """Selects by namespace and label; the deletion of a namespace takes what is in it, unless a finalizer holds it."""

    stuck = False

    def list(self, wanted: Kind, namespace: str | None = None, labels: str = "") -> Any:
        if self.served is not None and wanted.kind not in self.served:
            raise ApiRefused(404, "NotFound", wanted.plural)
        key, _, value = labels.partition("=")
        items = [o for o in self.objects if o["kind"] == wanted.kind
                 and namespace in (None, o["metadata"].get("namespace"))
                 and (not labels or dig(o, "metadata", "labels", key) == value)]  # fmt: skip
        return SimpleNamespace(items=tuple(items))

    def get(self, wanted: Kind, name: str, namespace: str | None = None) -> Object | None:
        found = super().get(wanted, name, namespace)
        return copy.deepcopy(found) if found else None

    def patch(self, wanted: Kind, name: str, namespace: str | None, body: Any, **how: Any) -> Written:
        sent = self._send()
        self.patches.append({"name": name, "namespace": namespace, "body": body, **how})
        live = super().get(wanted, name, namespace)
        assert live is not None
        for part, values in body.items():
            for key, value in values.items():
                live.setdefault(part, {})[key] = value
                if value is None:
                    del live[part][key]
        if wanted.kind in ("Deployment", "StatefulSet") and live["spec"].get("replicas") == 0 and not self.stuck:
            self.objects = [o for o in self.objects if dig(o, "metadata", "labels", "app.kubernetes.io/name") != name]
        return Written(copy.deepcopy(live), sent, self.clock.now_ns())

    def delete(self, wanted: Kind, name: str, namespace: str | None = None, **how: Any) -> Written:
        sent = self._send()
        self.deletions.append({"kind": wanted.kind, "name": name})
        gone = Ref(wanted.group, wanted.kind, namespace or "", name)
        if not self.stuck:
            self.objects = [o for o in self.objects if ref_of(o) != gone]
        if wanted.kind == "Namespace" and not self.stuck:
            self.objects = [o for o in self.objects if o["metadata"].get("namespace") != name]
        return Written({"kind": "Status"}, sent, self.clock.now_ns())

    def logs(self, namespace: str, pod: str, container: str | None = None, **_: Any) -> str:
        answer = self.answers.get(f"log {pod}", "")
        assert isinstance(answer, str)
        return answer


@dataclass
class Cluster:
    """Nodes by Docker: what was run in them, and what comes of it."""

    ours: bool = True
    pids: str = "4711\n"
    ran: list[tuple[str, ...]] = field(default_factory=list)
    on_kill: Callable[[], object] = lambda: None
    fails: bool = False

    @property
    def docker(self) -> Cluster:
        return self

    def nodes(self) -> tuple[Any, ...]:
        return tuple(SimpleNamespace(name=n, container=n) for n in (NODE, "k3d-x-server-0"))

    def assert_ours(self) -> None:
        if not self.ours:
            raise UnsafeTarget("the cluster of this run", "another one", "leave it alone")

    def exec(self, name: str, argv: Sequence[str], *, timeout: timedelta, check: bool = True) -> Any:
        if self.fails:
            raise CommandFailed(argv, 1, "", "no such container")
        self.ran.append((name, *argv))
        if argv[0] == "kill":
            self.on_kill()
        return SimpleNamespace(stdout=self.pids if argv[0] == "sh" else "")


@dataclass
class EngineRoom(Stage):
    """Argo CD with all its parts; its only Application has nothing to do."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.api = RoomApi(self.clock, self.view)
        self.cluster = Cluster()
        self.engine = GitEngine(self)  # type: ignore[arg-type]
        self.api.objects += [{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "argocd"}},
                             *[self.workload(name) for name in COMPONENTS], *[pod(name) for name in COMPONENTS],
                             application(phase="Succeeded", startedAt="2026-01-01T00:00:00Z")]  # fmt: skip

    @staticmethod
    def workload(name: str) -> Object:
        kind = "StatefulSet" if name == "application-controller" else "Deployment"
        return {"apiVersion": "apps/v1", "kind": kind, "metadata": {"namespace": "argocd", "name": f"argocd-{name}"},
                "spec": {"replicas": 1}}  # fmt: skip

    def becomes(self, obj: Object) -> None:
        """The object is now like this."""
        self.api.objects = [o for o in self.api.objects if ref_of(o) != ref_of(obj)] + [obj]

    def sync(self, **state: Any) -> None:
        """What the Application's operation is now."""
        running = {"phase": "Running", "startedAt": "2026-01-01T00:00:07Z", "message": "waiting for  hook migrate"}
        self.becomes(application(**{**running, **state}))

    def dies(self, component: str, code: int = 137, *, uid: str = "p1") -> None:
        """The kubelet tells of the end of a component, which it has started again."""
        again = pod(component, uid=uid, container="c2", restarts=1)
        end = {"containerID": f"containerd://{component}-c1", "exitCode": code}
        again["status"]["containerStatuses"][0]["lastState"] = {"terminated": end}
        self.becomes(again)
