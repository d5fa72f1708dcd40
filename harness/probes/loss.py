"""The loss list: everything in the cluster that a rebuild from Git would not bring back.

Here belongs the reading, and telling what comes back from what does not. Judging it is `harness.core.checks.loss`.

What comes back: what Git describes and the root objects; what we apply to bootstrap the engine; what Kubernetes, the
node's program and the engine make by themselves; and whatever such an object owns. All else is lost: objects that
somebody put in, and the data of every volume claim, whose object may come back but is empty then. Who wrote an object
is read from its managedFields; an object whose writers are unknown is listed, not trusted, except for Namespaces and
ServiceAccounts that every cluster has by name.

Facts: Kubernetes, "Server-Side Apply" (managedFields name every writer; a manager that names itself nothing is called
by its program), "Garbage Collection" (ownerReferences by uid).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from harness.cluster.kube import MANAGER
from harness.core.objects import Object, Ref, dig, ref_of
from harness.gitops.platform import Platform
from harness.probes.census import everything

# Writers whose objects come with a cluster and its engine, as `manager` names them: upstream's components, k3s and what
# it ships, our node image, Argo CD.
SYSTEM = (
    "kube-*", "kubelet*", "cloud-controller-manager", "k3s*", "deploy@*", "helm-controller*", "local-path-provisioner",
    "coredns", "metrics-server", "traefik*", "node", "drill-node", "argocd-*", "api-priority-and-fairness-*",
    "clusterrole-aggregation-controller",
)  # fmt: skip
# An object without a field of its own has no writers on record: these come with a cluster all the same.
SYSTEM_NAMESPACES = ("default", "kube-system", "kube-public", "kube-node-lease")
_PROVISIONED_BY = "pv.kubernetes.io/provisioned-by"


@dataclass(frozen=True, slots=True)
class _LossList:
    platform: Platform
    name: str = "loss"

    def read(self) -> list[dict[str, str]]:
        """`[{identity, why}]`, sorted by identity. Names only: nothing of what an object holds.

        Raises ApiUnreachable, ApiRefused, ProvisionFailed, ConfigError (Git cannot be rendered).
        """
        platform = self.platform
        wanted = {*platform.refs(), *_roots(platform), Ref("", "Namespace", "", platform.plan.namespace)}
        return listed(everything(platform.api), wanted)


def loss_list(platform: Platform) -> _LossList:
    """Everything that is there now and that Git would not rebuild, each with the reason."""
    return _LossList(platform)


def listed(objects: Iterable[Object], wanted: Iterable[Ref]) -> list[dict[str, str]]:
    """The loss list of these objects, where `wanted` is what Git brings back."""
    described, found = set(wanted), tuple(objects)
    there = {str(dig(item, "metadata", "uid")) for item in found}
    reasons = {str(ref_of(item)): why for item in found if (why := _why(item, described, there))}
    return [{"identity": identity, "why": reasons[identity]} for identity in sorted(reasons)]


def _why(item: Object, described: set[Ref], there: set[str]) -> str:
    """Why an object would be lost; nothing if it comes back, or if it is its owner that counts."""
    ref = ref_of(item)
    writers = _writers(item)
    by_itself = _bootstrapped(item) or (all(map(_is_system, writers)) if writers else _comes_with_a_cluster(ref))
    if ref.kind == "PersistentVolumeClaim":
        size = dig(item, "spec", "resources", "requests", "storage", default="size unknown")
        maker = "Git describes" if ref in described else "a controller makes" if by_itself else "nobody makes"
        return f"volume data ({size}): {maker} the claim, nobody what is in it"
    owners = dig(item, "metadata", "ownerReferences", default=[])
    if ref in described or any(owner.get("uid") in there for owner in owners):
        return ""
    if ref.kind == "PersistentVolume" and dig(item, "metadata", "annotations", _PROVISIONED_BY):
        return ""  # made for a claim, which is listed
    if by_itself:
        return ""
    people = sorted(writer for writer in writers if not _is_system(writer))
    return f"not in Git: written by {', '.join(people) or 'nobody known'}"


def _writers(item: Object) -> set[str]:
    """Who wrote the object itself, not its status."""
    entries = dig(item, "metadata", "managedFields", default=[])
    return {str(entry.get("manager")) for entry in entries if not entry.get("subresource")}


def _bootstrapped(item: Object) -> bool:
    """Whether we applied it: the engine's manifests, which a rebuild applies again."""
    entries: Iterable[Mapping[str, Any]] = dig(item, "metadata", "managedFields", default=[])
    return any(entry.get("manager") == MANAGER and entry.get("operation") == "Apply" for entry in entries)


def _comes_with_a_cluster(ref: Ref) -> bool:
    if ref.kind == "Namespace":
        return ref.name in SYSTEM_NAMESPACES
    return ref.kind == "ServiceAccount" and (ref.name == "default" or ref.namespace in SYSTEM_NAMESPACES[1:])


def _is_system(writer: str) -> bool:
    return any(fnmatchcase(writer, pattern) for pattern in SYSTEM)


def _roots(platform: Platform) -> tuple[Ref, ...]:
    return tuple(ref_of(obj) for obj in platform.plan.root_objects(platform.repo))
