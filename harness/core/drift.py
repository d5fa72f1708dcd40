"""Drift: what an object says once everything that servers and controllers write is taken away, and how two differ.

Here belong normalisation and comparison of plain dicts. Reading them does not: that is `harness.cluster.kube`.

What is taken away is what is different in every cluster although nobody asked for it: identity (uid,
resourceVersion, times), book-keeping (managedFields, status, some annotations) and fields that the server assigns
(addresses, node ports, volume names). Facts: Kubernetes API reference, "Well-Known Labels, Annotations and Taints",
and the defaulting of each type. A node port or a cluster IP written in Git by hand is therefore not compared.
"""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

from harness.core.objects import Object, Ref, controlled, dig, group_of, ref_of

Inventory = Mapping[Ref, Object]


class Absent(Enum):
    """The value of a field that is not there; null is something else."""

    ABSENT = "absent"

    def __repr__(self) -> str:
        return "absent"


ABSENT = Absent.ABSENT


@dataclass(frozen=True, slots=True)
class Change:
    """One field that differs. `path` is dotted; items of a list are named by their `name` where all have one."""

    path: str
    before: Any
    after: Any

    def sentence(self) -> str:
        """One line for people."""
        return f"{self.path} should be {_shown(self.before)}, is {_shown(self.after)}"


@dataclass(frozen=True, slots=True)
class Comparison:
    """How one inventory differs from an earlier one."""

    missing: tuple[Ref, ...]
    added: tuple[Ref, ...]
    changed: tuple[tuple[Ref, tuple[Change, ...]], ...]

    @property
    def empty(self) -> bool:
        return not (self.missing or self.added or self.changed)

    def sentences(self) -> tuple[str, ...]:
        """One line for each object that differs, the missing ones first."""
        lines = [f"{ref} is missing" for ref in self.missing]
        lines += [f"{ref} was not there before" for ref in self.added]
        lines += [f"{ref}: {'; '.join(c.sentence() for c in changes)}" for ref, changes in self.changed]
        return tuple(lines)


def inventory(objects: Iterable[Object]) -> dict[Ref, Object]:
    """Normalised objects by reference, without those that a controller made: these are consequences, not wishes."""
    return {ref_of(obj): normalise(obj) for obj in objects if not controlled(obj)}


def compare(before: Inventory, after: Inventory) -> Comparison:
    """What is missing in `after`, what is new in it, and what differs after normalisation. Sorted by reference."""
    both = sorted(before.keys() & after.keys())
    changes = ((ref, difference(normalise(before[ref]), normalise(after[ref]))) for ref in both)
    return Comparison(
        missing=tuple(sorted(before.keys() - after.keys())),
        added=tuple(sorted(after.keys() - before.keys())),
        changed=tuple((ref, found) for ref, found in changes if found),
    )


def difference(before: Any, after: Any) -> tuple[Change, ...]:
    """Every field in which `after` differs from `before`, in a stable order. Empty exactly if they are equal."""
    return tuple(_walk("", before, after))


# --- normalisation ---------------------------------------------------------------------------------------------------

_METADATA = ("uid", "resourceVersion", "creationTimestamp", "generation", "managedFields", "selfLink")
_ANNOTATIONS = frozenset({
    "kubectl.kubernetes.io/last-applied-configuration",
    "deployment.kubernetes.io/revision",
    "deprecated.daemonset.template.generation",
    "endpoints.kubernetes.io/last-change-trigger-time",
    "control-plane.alpha.kubernetes.io/leader",
    "kubernetes.io/service-account.uid",
    "batch.kubernetes.io/job-tracking",
    "argocd.argoproj.io/refresh",  # a request to Argo CD, which it takes away; its tracking-id stays: Git decides it
})  # fmt: skip
_ANNOTATION_PREFIXES = ("pv.kubernetes.io/", "volume.kubernetes.io/", "volume.beta.kubernetes.io/")
_JOB_LABELS = ("controller-uid", "batch.kubernetes.io/controller-uid")


def normalise(obj: Object) -> Object:
    """A copy of `obj` without what servers and controllers write. Doing it twice changes nothing.

    Values of Secrets become digests, so that a difference can be reported without telling them.
    """
    copied = {key: copy.deepcopy(value) for key, value in obj.items() if key not in ("status", "metadata")}
    # managedFields is often most of an object: it is left out before the deep copy, not after it.
    metadata = {k: copy.deepcopy(v) for k, v in (obj.get("metadata") or {}).items() if k not in _METADATA}
    copied["metadata"] = metadata
    for owner in metadata.get("ownerReferences") or ():
        owner.pop("uid", None)
    annotations = metadata.get("annotations") or {}
    for name in [n for n in annotations if n in _ANNOTATIONS or n.startswith(_ANNOTATION_PREFIXES)]:
        del annotations[name]
    special = _SPECIAL.get((group_of(obj.get("apiVersion") or ""), obj.get("kind") or ""))
    if special:
        special(copied)
    for name in ("annotations", "labels", "ownerReferences", "finalizers"):
        if name in metadata and not metadata[name]:
            del metadata[name]
    return copied


def _service(obj: Object) -> None:
    spec = obj.get("spec") or {}
    for name in ("clusterIP", "clusterIPs"):
        if spec.get(name) not in ("None", ["None"]):
            spec.pop(name, None)
    spec.pop("healthCheckNodePort", None)
    for port in spec.get("ports") or ():
        port.pop("nodePort", None)


def _claim(obj: Object) -> None:
    (obj.get("spec") or {}).pop("volumeName", None)


def _volume(obj: Object) -> None:
    claim = dig(obj, "spec", "claimRef", default={})
    for name in ("uid", "resourceVersion"):
        claim.pop(name, None)


def _service_account(obj: Object) -> None:
    obj.pop("secrets", None)


def _secret(obj: Object) -> None:
    if obj.get("type") == "kubernetes.io/service-account-token":
        obj.pop("data", None)
    for field in ("data", "stringData"):
        values = obj.get(field)
        if isinstance(values, dict):
            obj[field] = {key: _digest(value) for key, value in values.items()}


def _digest(value: Any) -> str:
    text = str(value)
    known = text.removeprefix("sha256:")
    if text.startswith("sha256:") and len(known) == 16 and not set(known) - set("0123456789abcdef"):
        return text  # a digest already: base64 has no colon
    return "sha256:" + hashlib.sha256(text.encode()).hexdigest()[:16]


def _config_map(obj: Object) -> None:
    if obj["metadata"].get("name") == "kube-root-ca.crt":
        obj.pop("data", None)  # the cluster's own CA


def _job(obj: Object) -> None:
    places = (
        obj["metadata"],
        dig(obj, "spec", "selector", default={}),
        dig(obj, "spec", "template", "metadata", default={}),
    )
    for place, name in zip(places, ("labels", "matchLabels", "labels"), strict=True):
        for label in _JOB_LABELS:
            (place.get(name) or {}).pop(label, None)
        if name in place and not place[name]:
            del place[name]
    spec = obj.get("spec") or {}
    if "selector" in spec and not spec["selector"]:
        del spec["selector"]


def _namespace(obj: Object) -> None:
    (obj["metadata"].get("labels") or {}).pop("kubernetes.io/metadata.name", None)


def _webhooks(obj: Object) -> None:
    for hook in obj.get("webhooks") or ():
        (hook.get("clientConfig") or {}).pop("caBundle", None)


def _definition(obj: Object) -> None:
    dig(obj, "spec", "conversion", "webhook", "clientConfig", default={}).pop("caBundle", None)


def _api_service(obj: Object) -> None:
    (obj.get("spec") or {}).pop("caBundle", None)


def _cluster_role(obj: Object) -> None:
    if obj.get("aggregationRule"):
        obj.pop("rules", None)  # a controller writes them


_SPECIAL: Mapping[tuple[str, str], Callable[[Object], None]] = {
    ("", "Service"): _service,
    ("", "PersistentVolumeClaim"): _claim,
    ("", "PersistentVolume"): _volume,
    ("", "ServiceAccount"): _service_account,
    ("", "Secret"): _secret,
    ("", "ConfigMap"): _config_map,
    ("", "Namespace"): _namespace,
    ("batch", "Job"): _job,
    ("admissionregistration.k8s.io", "ValidatingWebhookConfiguration"): _webhooks,
    ("admissionregistration.k8s.io", "MutatingWebhookConfiguration"): _webhooks,
    ("apiextensions.k8s.io", "CustomResourceDefinition"): _definition,
    ("apiregistration.k8s.io", "APIService"): _api_service,
    ("rbac.authorization.k8s.io", "ClusterRole"): _cluster_role,
}


# --- difference ------------------------------------------------------------------------------------------------------


def _walk(path: str, before: Any, after: Any) -> Iterable[Change]:
    if isinstance(before, Mapping) and isinstance(after, Mapping):
        for key in sorted(before.keys() | after.keys(), key=str):
            yield from _walk(_join(path, str(key)), before.get(key, ABSENT), after.get(key, ABSENT))
    elif isinstance(before, list) and isinstance(after, list):
        yield from _walk_lists(path, before, after)
    elif not _same(before, after):
        yield Change(path, before, after)


def _walk_lists(path: str, before: Sequence[Any], after: Sequence[Any]) -> Iterable[Change]:
    old, new = _by_name(before), _by_name(after)
    if old is None or new is None:
        for index in range(max(len(before), len(after))):
            left = before[index] if index < len(before) else ABSENT
            right = after[index] if index < len(after) else ABSENT
            yield from _walk(f"{path}[{index}]", left, right)
        return
    for name in [*old, *(n for n in new if n not in old)]:
        yield from _walk(f"{path}[{name}]", old.get(name, ABSENT), new.get(name, ABSENT))
    if old.keys() == new.keys() and list(old) != list(new):
        yield Change(f"{path}[order]", list(old), list(new))


def _by_name(items: Sequence[Any]) -> dict[str, Any] | None:
    """Items by their `name`, if every item has one and no two share it: containers, ports, env, volumes."""
    named = {item["name"]: item for item in items if isinstance(item, Mapping) and isinstance(item.get("name"), str)}
    return named if items and len(named) == len(items) else None


def _same(before: Any, after: Any) -> bool:
    # In Python True == 1; in JSON they are different things.
    if isinstance(before, bool) != isinstance(after, bool):
        return False
    return bool(before == after)


def _join(path: str, key: str) -> str:
    step = key if key.replace("-", "").replace("_", "").isalnum() else f'["{key}"]'
    if not path:
        return step
    return f"{path}{step}" if step.startswith("[") else f"{path}.{step}"


def _shown(value: Any) -> str:
    text = "absent" if value is ABSENT else repr(value)
    return text if len(text) <= 120 else text[:117] + "..."
