"""What an object's own status says: rolled out, not yet, or failed.

Here belong pure functions, one for each kind that has such a notion. Whether an object is what Git asks for is
another question: see `harness.core.drift` and `harness.gitops.convergence`.

Facts: `kubectl rollout status` (k8s.io/kubectl/pkg/polymorphichelpers/rollout_status.go), Kubernetes API conventions
(observedGeneration, conditions), and the health checks of Argo CD's gitops-engine, which these follow where both have
an opinion.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from harness.core.objects import Object, condition, dig, group_of, is_true


@dataclass(frozen=True, slots=True)
class Health:
    """`ok`: True healthy; None not yet, wait; False failed: its controller says that waiting will not help."""

    ok: bool | None
    text: str


def health(obj: Object) -> Health:
    """The health of any object. A kind without such a notion is healthy by being there."""
    if dig(obj, "metadata", "deletionTimestamp"):
        return Health(None, "is being deleted")
    judge = _JUDGES.get((group_of(obj.get("apiVersion") or ""), obj.get("kind") or ""))
    return judge(obj) if judge else Health(True, "is there")


def has_health(obj: Object) -> bool:
    """Whether being there is not enough for this kind."""
    return (group_of(obj.get("apiVersion") or ""), obj.get("kind") or "") in _JUDGES


def deployment(obj: Object) -> Health:
    """Every wanted replica is updated and available, none of the old is left, and the controller has seen the spec."""
    status, wanted = obj.get("status") or {}, _wanted(obj)
    if not _observed(obj):
        return _UNSEEN
    if dig(obj, "spec", "paused", default=False):
        return Health(None, "is paused")
    progressing = condition(obj, "Progressing")
    if progressing.get("reason") == "ProgressDeadlineExceeded":
        return Health(False, f"made no progress within its deadline: {progressing.get('message', '')}".rstrip(": "))
    updated, total = status.get("updatedReplicas") or 0, status.get("replicas") or 0
    available = status.get("availableReplicas") or 0
    if updated < wanted:
        return Health(None, f"{updated} of {wanted} replicas updated")
    if total > updated:
        return Health(None, f"{total - updated} old replicas left")
    if available < wanted:
        return Health(None, f"{available} of {wanted} replicas available")
    if total > wanted:
        return Health(None, f"{total} replicas, {wanted} wanted")
    return Health(True, f"{available} of {wanted} replicas available")


def stateful_set(obj: Object) -> Health:
    """Every wanted replica is ready and, but for OnDelete and a partition, of the newest revision."""
    status, wanted = obj.get("status") or {}, _wanted(obj)
    if not _observed(obj):
        return _UNSEEN
    ready, total = status.get("readyReplicas") or 0, status.get("replicas") or 0
    ready = min(ready, status.get("availableReplicas", ready))  # ready for long enough, where minReadySeconds asks it
    if ready < wanted:
        return Health(None, f"{ready} of {wanted} replicas ready")
    if total > wanted:
        return Health(None, f"{total} replicas, {wanted} wanted")
    if dig(obj, "spec", "updateStrategy", "type") == "OnDelete":
        return Health(True, f"{ready} of {wanted} replicas ready")
    partition = int(dig(obj, "spec", "updateStrategy", "rollingUpdate", "partition", default=0))
    updated, due = status.get("updatedReplicas") or 0, max(0, wanted - partition)
    if updated < due:
        return Health(None, f"{updated} of {due} replicas updated")
    if not partition and status.get("currentRevision") != status.get("updateRevision"):
        return Health(None, "the newest revision is not the current one yet")
    return Health(True, f"{ready} of {wanted} replicas ready")


def daemon_set(obj: Object) -> Health:
    """A pod of the newest template is available on every node that wants one."""
    status = obj.get("status") or {}
    if not _observed(obj):
        return _UNSEEN
    wanted = status.get("desiredNumberScheduled") or 0
    available, updated = status.get("numberAvailable") or 0, status.get("updatedNumberScheduled") or 0
    if dig(obj, "spec", "updateStrategy", "type") != "OnDelete" and updated < wanted:
        return Health(None, f"{updated} of {wanted} nodes updated")
    if available < wanted:
        return Health(None, f"available on {available} of {wanted} nodes")
    return Health(True, f"available on {available} of {wanted} nodes")


def replica_set(obj: Object) -> Health:
    """Every wanted replica is available."""
    wanted = _wanted(obj)
    available = dig(obj, "status", "availableReplicas", default=0)
    if not _observed(obj):
        return _UNSEEN
    return Health(True if available >= wanted else None, f"{available} of {wanted} replicas available")


def job(obj: Object) -> Health:
    """It completed."""
    failed = condition(obj, "Failed")
    if failed.get("status") == "True":
        return Health(False, f"failed: {failed.get('reason', '')} {failed.get('message', '')}".strip())
    if is_true(obj, "Complete"):
        return Health(True, "completed")
    if dig(obj, "spec", "suspend", default=False):
        return Health(True, "is suspended")
    return Health(None, f"{dig(obj, 'status', 'succeeded', default=0)} completions")


def cron_job(obj: Object) -> Health:
    """It is there: what its last Job did is the Job's health."""
    suspended = dig(obj, "spec", "suspend", default=False)
    return Health(True, "is suspended" if suspended else f"runs at {dig(obj, 'spec', 'schedule', default='?')}")


def pod(obj: Object) -> Health:
    """It is ready, or it succeeded. A container that cannot start is told by its reason, and may still recover."""
    phase = dig(obj, "status", "phase", default="Unknown")
    if phase == "Succeeded":
        return Health(True, "succeeded")
    if phase == "Failed":
        said = dig(obj, "status", "message", default=dig(obj, "status", "reason", default=""))
        return Health(False, f"failed: {said}".rstrip(": "))
    if is_true(obj, "Ready"):
        return Health(True, "is ready")
    statuses = [*dig(obj, "status", "initContainerStatuses", default=[]),
                *dig(obj, "status", "containerStatuses", default=[])]  # fmt: skip
    for container in statuses:
        reason = dig(container, "state", "waiting", "reason", default="")
        if reason and reason not in ("PodInitializing", "ContainerCreating"):
            return Health(None, f"container {container.get('name')} waits: {reason}")
    scheduled = condition(obj, "PodScheduled")
    if scheduled.get("status") == "False":
        return Health(None, f"not scheduled: {scheduled.get('message', '')}".rstrip(": "))
    return Health(None, f"is {phase}, not ready")


def claim(obj: Object) -> Health:
    """It is bound. A claim whose class waits for its first consumer is bound only once a pod uses it."""
    phase = dig(obj, "status", "phase", default="Pending")
    return Health({"Bound": True, "Lost": False}.get(phase), f"is {phase}")


def volume(obj: Object) -> Health:
    """It can be used, or is."""
    phase = dig(obj, "status", "phase", default="Pending")
    return Health({"Bound": True, "Available": True, "Released": True, "Failed": False}.get(phase), f"is {phase}")


def namespace(obj: Object) -> Health:
    """It is Active."""
    phase = dig(obj, "status", "phase", default="not yet Active")
    return Health(True if phase == "Active" else None, f"is {phase}")


def node(obj: Object) -> Health:
    """It is Ready and takes pods."""
    ready = condition(obj, "Ready")
    if ready.get("status") != "True":
        return Health(None, f"is not Ready: {ready.get('reason', 'no condition yet')}")
    if dig(obj, "spec", "unschedulable", default=False):
        return Health(None, "is cordoned")
    return Health(True, "is Ready")


def service(obj: Object) -> Health:
    """A load balancer has an address; any other Service is there."""
    if dig(obj, "spec", "type") == "LoadBalancer" and not dig(obj, "status", "loadBalancer", "ingress"):
        return Health(None, "has no load balancer yet")
    return Health(True, "is there")


def definition(obj: Object) -> Health:
    """The API serves what it defines."""
    refused = condition(obj, "NamesAccepted")
    if refused.get("status") == "False":
        return Health(False, f"its names are not accepted: {refused.get('message', '')}")
    established = is_true(obj, "Established")
    return Health(True if established else None, "is Established" if established else "is not Established")


def api_service(obj: Object) -> Health:
    """Its backend answers."""
    available = condition(obj, "Available")
    if available.get("status") == "True":
        return Health(True, "is Available")
    return Health(None, f"is not Available: {available.get('reason', 'no condition yet')}")


_UNSEEN = Health(None, "its controller has not seen the newest spec")


def _observed(obj: Object) -> bool:
    # Absent means that no controller has written a status at all: zeros would look like a finished rollout of zero.
    observed = dig(obj, "status", "observedGeneration")
    return observed is not None and observed >= dig(obj, "metadata", "generation", default=0)


def _wanted(obj: Object) -> int:
    return int(dig(obj, "spec", "replicas", default=1))


_JUDGES: Mapping[tuple[str, str], Callable[[Object], Health]] = {
    ("apps", "Deployment"): deployment,
    ("apps", "StatefulSet"): stateful_set,
    ("apps", "DaemonSet"): daemon_set,
    ("apps", "ReplicaSet"): replica_set,
    ("batch", "Job"): job,
    ("batch", "CronJob"): cron_job,
    ("", "Pod"): pod,
    ("", "PersistentVolumeClaim"): claim,
    ("", "PersistentVolume"): volume,
    ("", "Namespace"): namespace,
    ("", "Node"): node,
    ("", "Service"): service,
    ("apiextensions.k8s.io", "CustomResourceDefinition"): definition,
    ("apiregistration.k8s.io", "APIService"): api_service,
}
