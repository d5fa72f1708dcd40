"""A stage for faults, probes and sabotages: an API in memory with its watch, on a clock that passes at once.

It looks like a `Platform` to those who ask it. What is remembered is remembered by the real `Store`.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

from harness.cluster.kube import Written
from harness.cluster.live_store import Seen, Store
from harness.core.clock import MILLISECOND
from harness.core.errors import ApiRefused
from harness.core.objects import Kind, Object, Ref, ref_of
from harness.effects.waiting import Signal
from harness.testing import FakeClock

WRITE = 2 * MILLISECOND  # from sending a write to its answer


def kind(group: str, name: str) -> Kind:
    """A kind as the API in memory serves it."""
    return Kind(group, "v1", name, name.lower() + "s", True, ("list", "watch"))


def deployment(replicas: int, version: int, name: str = "api", namespace: str = "shop") -> Object:
    """A Deployment with a replica count."""
    metadata = {"namespace": namespace, "name": name, "resourceVersion": str(version)}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata, "spec": {"replicas": replicas}}


class StageView:
    """What a LiveView offers to faults and probes."""

    def __init__(self, clock: FakeClock) -> None:
        self.clock, self.signal, self.store = clock, Signal(clock), Store()
        self.answering, self.gaps = True, list[Any]()
        self.added: list[Kind] = []
        self.listed = True  # whether what was added can be seen

    def add(self, kinds: Iterable[Kind]) -> None:
        self.added += kinds

    def ready(self, timeout: timedelta) -> bool:
        return self.listed

    def get(self, ref: Ref) -> Seen | None:
        return self.store.get(ref)

    def all(self, kind: Kind) -> tuple[Seen, ...]:
        return self.store.all(kind)

    def follow(self, ref: Ref) -> None:
        self.store.follow(ref)

    def history(self, ref: Ref) -> tuple[Seen, ...]:
        return self.store.history(ref)

    def event(self, obj: Object, *, prompt: bool = True, floor_ns: int | None = None, deleted: bool = False) -> None:
        """The watch delivers `obj` now."""
        self.store.event(copy.deepcopy(obj), self.clock.now_ns(), deleted=deleted, prompt=prompt, floor_ns=floor_ns)
        self.signal.notify()


@dataclass
class StageApi:
    """Objects in memory. A write is seen by the watch `lag` after its answer (None: never)."""

    clock: FakeClock
    view: StageView
    lag: timedelta | None = MILLISECOND
    objects: list[Object] = field(default_factory=list)
    refuses: Exception | None = None
    served: set[str] | None = None  # kinds; None: every kind
    answers: dict[str, str | Exception] = field(default_factory=dict)
    patches: list[dict[str, Any]] = field(default_factory=list)
    deletions: list[dict[str, Any]] = field(default_factory=list)
    version: int = 100

    def kind(self, group: str, name: str) -> Kind:
        if self.served is not None and name not in self.served:
            raise ApiRefused(404, "NotFound", f"the API serves no kind {name}")
        return kind(group, name)

    def kind_of_ref(self, ref: Ref) -> Kind:
        return self.kind(ref.group, ref.kind)

    def get(self, wanted: Kind, name: str, namespace: str | None = None) -> Object | None:
        ref = Ref(wanted.group, wanted.kind, namespace or "", name)
        return next((o for o in self.objects if ref_of(o) == ref), None)

    def list(self, wanted: Kind, namespace: str | None = None, labels: str = "") -> Any:
        return SimpleNamespace(items=tuple(o for o in self.objects if o["kind"] == wanted.kind))

    def patch(self, wanted: Kind, name: str, namespace: str | None, body: Any, **how: Any) -> Written:
        sent = self._send()
        self.patches.append({"name": name, "namespace": namespace, "body": body, **how})
        live = self.get(wanted, name, namespace)
        assert live is not None
        _merge(live, body)
        answer = self._wrote(live, how.get("manager", "drill"))
        if how.get("subresource") == "scale":  # answers with a Scale, which carries the Deployment's version
            version = {"resourceVersion": str(self.version)}
            answer = {"kind": "Scale", "metadata": version, "spec": dict(body["spec"])}
        return Written(answer, sent, self.clock.now_ns())

    def create(self, obj: Object, *, namespace: str | None = None, manager: str = "drill") -> Written:
        sent = self._send()
        if any(ref_of(o) == ref_of(obj) for o in self.objects):
            raise ApiRefused(409, "AlreadyExists", str(ref_of(obj)))
        made = copy.deepcopy(obj)
        made["metadata"]["uid"] = f"uid-{self.version + 1}"
        self.objects.append(made)
        return Written(self._wrote(made, manager), sent, self.clock.now_ns())

    def delete(self, wanted: Kind, name: str, namespace: str | None = None, **how: Any) -> Written:
        sent = self._send()
        live = self.get(wanted, name, namespace)
        if live is None:
            raise ApiRefused(404, "NotFound", name)
        self.deletions.append({"name": name, "namespace": namespace, **how})
        self.objects.remove(live)
        self._wrote(live, "drill", deleted=True)
        return Written({"kind": "Status", "status": "Success"}, sent, self.clock.now_ns())

    def _send(self) -> int:
        sent = self.clock.now_ns()
        self.clock.sleep(WRITE)
        if self.refuses is not None:
            raise self.refuses
        return sent

    def _wrote(self, live: Object, manager: str, *, deleted: bool = False) -> Object:
        self.version += 1
        live["metadata"]["resourceVersion"] = str(self.version)
        live["metadata"].setdefault("managedFields", []).append({"manager": manager, "time": self.version})
        seen = copy.deepcopy(live)
        if self.lag is not None:
            self.clock.after(self.lag, lambda: self.view.event(seen, deleted=deleted))
        return copy.deepcopy(live)

    def raw(self, path: str, **_: Any) -> str:
        answer = self.answers.get(path, ApiRefused(404, "NotFound", path))
        if isinstance(answer, Exception):
            raise answer
        return answer


@dataclass
class Stage:
    """Duck-typed `Platform`."""

    clock: FakeClock = field(default_factory=FakeClock)
    name: str = "dr-stage"
    alive: bool = True
    tainted: str = ""
    wanted: tuple[Any, ...] = ()

    def __post_init__(self) -> None:
        self.clock.sleep(timedelta(seconds=1))
        self.view = StageView(self.clock)
        self.api = StageApi(self.clock, self.view)

    def deploy(self, replicas: int = 1) -> None:
        """A Deployment shop/api, known to the watch."""
        live = deployment(replicas, self.api.version)
        self.put(live)

    def put(self, live: Object) -> None:
        """An object that is there, known to the watch."""
        self.api.objects.append(live)
        self.view.event(live)

    def desired(self) -> tuple[Any, ...]:
        return self.wanted

    def refs(self) -> tuple[Ref, ...]:
        return tuple(o.ref for o in self.wanted)


def desired(ref: Ref, path: str = "apps/x.yaml", application: str = "shop", manifest: Object | None = None) -> Any:
    """An object in Git."""
    return SimpleNamespace(ref=ref, path=path, application=application, manifest=manifest or {})


def _merge(live: Any, body: Any) -> None:
    """A merge patch; lists of named things are merged by name, as a strategic one would."""
    for key, value in body.items():
        if value is None:
            live.pop(key, None)
        elif isinstance(value, dict):
            _merge(live.setdefault(key, {}), value)
        elif isinstance(value, list) and all(isinstance(item, dict) for item in value):
            for item in value:
                _merge(next(old for old in live[key] if old["name"] == item["name"]), item)
        else:
            live[key] = value
