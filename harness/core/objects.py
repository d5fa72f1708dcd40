"""What a Kubernetes object is called.

Here belong kinds, references and the reading of fields out of plain dicts. How objects are fetched does not: that is
`harness.cluster.kube`. What their fields mean does not either: see `harness.core.drift` and `harness.cluster.health`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from harness.core.errors import ConfigError

Object = dict[str, Any]


@dataclass(frozen=True, slots=True, order=True)
class Kind:
    """A kind as one API server serves it. `verbs` is what may be done with it; it is no part of the identity."""

    group: str
    version: str
    kind: str
    plural: str
    namespaced: bool
    verbs: tuple[str, ...] = field(default=(), compare=False, repr=False)

    @property
    def api_version(self) -> str:
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def watchable(self) -> bool:
        """Whether objects of this kind are stored and can be followed (a TokenReview cannot)."""
        return {"list", "watch"} <= set(self.verbs)

    def __str__(self) -> str:
        return f"{self.kind}.{self.group}" if self.group else self.kind


@dataclass(frozen=True, slots=True, order=True)
class Ref:
    """Which object: group, kind, namespace ("" for cluster-scoped ones) and name. The version is no part of it."""

    group: str
    kind: str
    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.kind} {self.namespace}/{self.name}" if self.namespace else f"{self.kind} {self.name}"


# Kinds that every cluster serves, for those who must not ask first.
POD = Kind("", "v1", "Pod", "pods", namespaced=True)
NODE = Kind("", "v1", "Node", "nodes", namespaced=False)
EVENT = Kind("", "v1", "Event", "events", namespaced=True)
NAMESPACE = Kind("", "v1", "Namespace", "namespaces", namespaced=False)
CLAIM = Kind("", "v1", "PersistentVolumeClaim", "persistentvolumeclaims", namespaced=True)
SECRET = Kind("", "v1", "Secret", "secrets", namespaced=True)
ACCOUNT = Kind("", "v1", "ServiceAccount", "serviceaccounts", namespaced=True)
VOLUME = Kind("", "v1", "PersistentVolume", "persistentvolumes", namespaced=False)
REPLICA_SET = Kind("apps", "v1", "ReplicaSet", "replicasets", namespaced=True)
DEPLOYMENT = Kind("apps", "v1", "Deployment", "deployments", namespaced=True)
STATEFUL_SET = Kind("apps", "v1", "StatefulSet", "statefulsets", namespaced=True)
DEFINITION = Kind(
    "apiextensions.k8s.io", "v1", "CustomResourceDefinition", "customresourcedefinitions", namespaced=False
)


def group_of(api_version: str) -> str:
    """The group in an apiVersion: "apps" of "apps/v1", "" of "v1"."""
    return api_version.partition("/")[0] if "/" in api_version else ""


def ref_of(obj: Mapping[str, Any]) -> Ref:
    """The reference of an object that carries apiVersion, kind and metadata.name. Raises KeyError without them."""
    metadata = obj["metadata"]
    return Ref(group_of(obj["apiVersion"]), obj["kind"], metadata.get("namespace") or "", metadata["name"])


def placed(text: str, kind: str) -> tuple[str, str]:
    """Namespace and name of what a scenario calls `namespace/name`. Raises ConfigError that asks for a `kind`."""
    parts = text.split("/")
    if len(parts) != 2 or not all(parts):
        raise ConfigError(f"a {kind} as namespace/name", repr(text), "correct the scenario")
    return parts[0], parts[1]


def identified(text: str) -> tuple[str, str, str]:
    """Kind, namespace and name of an identity such as `ConfigMap shop/settings`. Raises ConfigError."""
    kind, space, rest = text.partition(" ")
    if not kind or not space:
        raise ConfigError("an object as `Kind namespace/name`", repr(text), "correct the scenario")
    return (kind, *placed(rest, kind))


def dig(obj: Any, *path: str | int, default: Any = None) -> Any:
    """The value at `path` in nested dicts and lists; `default` where a step is missing or null."""
    for step in path:
        if isinstance(obj, Mapping):
            obj = obj.get(step)
        elif isinstance(obj, list) and isinstance(step, int) and -len(obj) <= step < len(obj):
            obj = obj[step]
        else:
            return default
    return default if obj is None else obj


def controlled(obj: Mapping[str, Any]) -> bool:
    """Whether a controller made the object (a ReplicaSet of a Deployment, a Pod of a ReplicaSet)."""
    return any(owner.get("controller") for owner in dig(obj, "metadata", "ownerReferences", default=[]))


def owned_by(obj: Mapping[str, Any], kind: str) -> bool:
    """Whether an object of that kind owns it."""
    return any(owner.get("kind") == kind for owner in dig(obj, "metadata", "ownerReferences", default=[]))


def condition(obj: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """The condition of that type in an object's status; empty where it has none."""
    conditions = dig(obj, "status", "conditions", default=[])
    return next((found for found in conditions if found.get("type") == name), {})


def is_true(obj: Mapping[str, Any], name: str) -> bool:
    """Whether an object's status has that condition, and it holds."""
    return bool(condition(obj, name).get("status") == "True")
