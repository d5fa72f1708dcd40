"""Who is there: every object of a cluster, by its identity, with what tells whether it was harmed.

Here belong the census reading, and the listing of all objects that the loss list shares with it.
Comparing two of them is `harness.core.checks.radius`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from harness.cluster.kube import KubeApi
from harness.core.errors import ApiRefused
from harness.core.objects import Kind, Object, dig, owned_by, ref_of
from harness.gitops.platform import Platform

# What comes and goes by itself: records of what happened, locks, what follows from Pods and Services, measurements.
_RESTLESS = frozenset(
    ("Event", "Lease", "EndpointSlice", "Endpoints", "CertificateSigningRequest", "Job", "PodMetrics", "NodeMetrics",
     "VolumeAttachment", "IPAddress", "LeaseCandidate")
)  # fmt: skip
_WHOLE = ("Pod", "PersistentVolumeClaim")


@dataclass(frozen=True, slots=True)
class _Census:
    platform: Platform
    name: str = "census"

    def read(self) -> dict[str, Any]:
        """Identity -> uid, and where there is one: owner (uid), node, restarts. UIDs are cut to 8 characters.

        Raises ApiUnreachable, ApiRefused, ProvisionFailed (no cluster).
        """
        # What is on its way out already was harmed before, or is gone: the last Pod of a rollout goes after its end.
        there = (item for item in everything(self.platform.api) if not dig(item, "metadata", "deletionTimestamp"))
        return {str(ref_of(item)): _entry(item) for item in there if not _of_a_job(item)}


def everything(api: KubeApi) -> Iterator[Object]:
    """Every object that is there, of all kinds whose objects do not come and go by themselves.

    Pods and volume claims are whole; all others have their metadata only, which is all that is asked of them.

    Raises ApiUnreachable, ApiRefused.
    """
    for kind in api.kinds():
        if kind.watchable and kind.kind not in _RESTLESS:
            yield from _listed(api, kind)


def _listed(api: KubeApi, kind: Kind) -> tuple[Object, ...]:
    try:
        return api.list(kind, metadata_only=kind.kind not in _WHOLE).items
    except ApiRefused as error:
        if error.status == 404:  # its CRD is gone, and all its objects
            return ()
        raise


def _entry(item: Object) -> dict[str, Any]:
    owners = dig(item, "metadata", "ownerReferences", default=[])
    controllers = [o for o in owners if o.get("controller")] or owners
    entry = {"uid": _short(dig(item, "metadata", "uid")), "owner": _short(dig(controllers, 0, "uid")),
             "node": dig(item, "spec", "nodeName") if item["kind"] == "Pod" else None,
             "restarts": _restarts(item) if item["kind"] == "Pod" else None}  # fmt: skip
    return {key: value for key, value in entry.items() if value}


def _short(uid: Any) -> str:
    return str(uid or "")[:8]


def _restarts(pod: Mapping[str, Any]) -> int:
    statuses = dig(pod, "status", "containerStatuses", default=[])
    return sum(int(status.get("restartCount") or 0) for status in statuses)


def _of_a_job(item: Object) -> bool:
    return item["kind"] == "Pod" and owned_by(item, "Job")


def census(platform: Platform) -> _Census:
    """Every object that is there now."""
    return _Census(platform)
