"""Why a platform does not converge, as a chain in words: application, wave, resource, cause.

Here belongs finding the one object that holds the others up and the one message that says why; pure functions of what
was seen. What a message means is in `harness.gitops.causes`, when to ask in `harness.gitops.convergence`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

from harness.core.objects import POD, REPLICA_SET, Kind, Object, Ref, dig
from harness.core.observation import State
from harness.gitops.causes import (
    Cause,
    claim_cause,
    images_of,
    latest_message,
    namespace_cause,
    pod_cause,
    refused_pod,
    said,
    short,
)
from harness.gitops.judgement import Judgement, sync_revisions
from harness.gitops.render import DesiredApplication, DesiredObject

WAVE = "argocd.argoproj.io/sync-wave"
_OWNERS = ("Deployment", "StatefulSet", "DaemonSet", "ReplicaSet", "Job")
# A kind that nothing in Git defines may be installed by something that Git runs. When all of that is up, and three
# attempts (15 s apart and more) found no such kind, nobody is left who would.
_ORPHANED_AFTER = 2
_LOOKED_AT = 8  # objects of one Application whose cause is sought


class World(Protocol):
    """What is known of the cluster: a LiveView."""

    def get(self, ref: Ref) -> Any: ...
    def all(self, kind: Kind, namespace: str | None = None) -> Any: ...


Events = Callable[[str], Sequence[Object]]  # the events of a namespace; asked only where nothing else says why


@dataclass(frozen=True, slots=True)
class Chain:
    """The chain: an Application, the wave and the object that hold it up (where known), what is wrong, and why."""

    application: str
    resource: Ref | None
    wave: int | None
    symptom: str
    cause: Cause

    @property
    def final(self) -> bool:
        """Waiting will not help."""
        return self.cause.final

    def sentence(self) -> str:
        """The chain in one line."""
        wave = f", wave {self.wave}" if self.wave is not None else ""
        what = " ".join(part for part in (str(self.resource or ""), self.symptom) if part)
        return f"{self.application}{wave}: {what}, because {self.cause.sentence()}"

    def to_record(self) -> dict[str, Any]:
        """Plain data, for the timeline."""
        return {
            "application": self.application, "wave": self.wave, "final": self.cause.final,
            "resource": str(self.resource) if self.resource else None, "symptom": self.symptom,
            "cause": self.cause.kind, "words": self.cause.words, "message": short(self.cause.message, 1000),
        }  # fmt: skip


@dataclass(frozen=True, slots=True)
class Case:
    """One Application that has not arrived: as it is live, what the predicate says of it and of its objects.

    `calm`: no other Application is applying anything that could still help; `quiet`: and all others are Healthy, so
    that what they run has done what it does when it starts. `defined`: the kinds (group, kind) whose CRD is in Git.
    """

    app: DesiredApplication
    live: Object | None
    found: Judgement
    bad: tuple[tuple[DesiredObject, Judgement], ...]
    calm: bool
    quiet: bool = False
    defined: Collection[tuple[str, str]] = ()


def wave_of(manifest: Object) -> int:
    """The sync wave of a manifest; 0 where it names none (or none that is a number, as Argo CD has it)."""
    value = str(dig(manifest, "metadata", "annotations", default={}).get(WAVE, "0"))
    return int(value) if re.fullmatch(r"-?\d+", value) else 0


def diagnose(case: Case, world: World, events: Events) -> Chain | None:
    """The chain of one Application; None where nothing is known to be wrong: then it only takes its time.

    What Argo CD could not apply comes first: the objects it did not get to are missing for that reason. Then the
    objects, by wave: what stands in a wave holds up all later ones.
    """
    if chain := _refused(case, world):
        return chain
    bad = sorted(case.bad, key=lambda pair: (wave_of(pair[0].manifest), pair[1].actual == "is missing"))
    for obj, judgement in bad[:_LOOKED_AT]:
        if cause := _object_cause(obj, judgement, world, events, case.calm):
            return Chain(case.app.name, obj.ref, wave_of(obj.manifest), judgement.actual, cause)
    if case.found.item in ("error", "operation", "retrying") and (cause := _application_cause(case)):
        return Chain(case.app.name, None, None, case.found.actual, cause)
    return None


# -- what Argo CD says


def _refused(case: Case, world: World) -> Chain | None:
    """The first object that the last sync could not apply, if it was a sync of the commit that is wanted."""
    state = dig(case.live, "status", "operationState", default={})
    if sync_revisions(case.live or {}) != case.app.revisions or not _in_trouble(state):
        return None
    refused = [r for r in dig(state, "syncResult", "resources", default=[]) if r.get("status") == "SyncFailed"]
    waves = {obj.ref: wave_of(obj.manifest) for obj in case.app.objects}
    refused.sort(key=lambda r: waves.get(_ref(r), 0))
    for resource in refused:
        ref, message = _ref(resource), str(resource.get("message") or "")
        cause = said(message, attempts=_attempts(state), calm=case.calm) or Cause("sync", "it cannot be applied",
                                                                                  message)  # fmt: skip
        if cause.kind == "namespace":
            cause = _namespace_of(ref, world) or cause
        orphaned = cause.kind == "crd" and case.quiet and (ref.group, ref.kind) not in case.defined
        if case.found.state is State.BROKEN or (orphaned and _attempts(state) > _ORPHANED_AFTER):
            cause = replace(cause, final=True)
        return Chain(case.app.name, ref, waves.get(ref), _how_often(state), cause)
    return None


def _in_trouble(state: Mapping[str, Any]) -> bool:
    return state.get("phase") in ("Failed", "Error") or bool(state.get("retryCount"))


def _attempts(state: Mapping[str, Any]) -> int:
    return 1 + int(state.get("retryCount") or 0)


def _how_often(state: Mapping[str, Any]) -> str:
    times = _attempts(state)
    if state.get("phase") in ("Failed", "Error"):
        return "could not be applied, and the last sync attempt has failed"
    return f"could not be applied ({times} attempts so far)"


def _application_cause(case: Case) -> Cause | None:
    state = dig(case.live, "status", "operationState", default={})
    message = case.found.actual.partition(": ")[2] or case.found.actual
    ours = sync_revisions(case.live or {}) == case.app.revisions
    cause = said(message, attempts=_attempts(state) if ours else 1, calm=case.calm)
    if case.found.state is not State.BROKEN:
        return cause
    words = "its last sync attempt has failed" if case.found.item == "operation" else "it stays after forced refreshes"
    return replace(cause or Cause("failed sync", words), final=True, message="")


# -- what the objects say


def _object_cause(obj: DesiredObject, judgement: Judgement, world: World, events: Events, calm: bool) -> Cause | None:
    seen = world.get(obj.ref)
    if seen is None:
        return _namespace_of(obj.ref, world)
    live: Object = seen.object
    if obj.ref.kind == "Namespace":
        return namespace_cause(live)
    if dig(live, "metadata", "deletionTimestamp"):
        return _deleting(live)
    if obj.ref.kind == "PersistentVolumeClaim":
        return claim_cause(live, events(obj.ref.namespace))
    if obj.ref.kind == "Pod":
        return pod_cause(live, images_of(dig(obj.manifest, "spec", default={})))
    if obj.ref.kind not in _OWNERS or judgement.expected == "Git's value":
        return None  # what is not Git's has not been applied yet: its Pods say nothing about Git
    return _workload(obj, live, world, events, calm)


def _workload(obj: DesiredObject, live: Object, world: World, events: Events, calm: bool) -> Cause | None:
    """Through the newest ReplicaSet, to the Pods, to their claims; at last what was said about any of them."""
    namespace, owner = obj.ref.namespace, live
    if obj.ref.kind == "Deployment":
        owner = _newest(_owned(world, REPLICA_SET, live)) or live
    for holder in (live, owner):  # the Deployment repeats what its ReplicaSet says
        for condition in dig(holder, "status", "conditions", default=[]):
            if condition.get("type") == "ReplicaFailure" and condition.get("status") == "True":
                return refused_pod(str(condition.get("message", "")), calm=calm)
    pods = _of_newest_revision(_owned(world, POD, owner), live)
    images = images_of(dig(obj.manifest, "spec", "template", "spec", default={}))
    causes = [cause for pod in pods if (cause := pod_cause(pod, images))]
    if causes:
        found = min(causes, key=lambda c: not c.final)
        return _with_claim(found, pods, world, events) if found.kind == "unschedulable" else found
    return _told(live, owner, pods, events(namespace), calm)


def _told(live: Object, owner: Object, pods: list[Object], known: Sequence[Object], calm: bool) -> Cause | None:
    """What only events say: a StatefulSet has no condition for Pods it cannot create, a Pod none for its mounts."""
    if not pods and (message := _last_of(known, ("FailedCreate",), (owner, live))):
        return refused_pod(message, calm=calm)
    for reasons, words in (
        (("FailedMount", "FailedAttachVolume"), "a volume cannot be mounted"),
        (("FailedCreatePodSandBox",), "its Pod gets no network or sandbox"),
        (("Unhealthy",), "its Pod does not pass its probe"),
    ):
        if message := _last_of(known, reasons, pods):
            return Cause("pod", words, message)
    progressing = [c for c in dig(live, "status", "conditions", default=[]) if c.get("type") == "Progressing"]
    if progressing and progressing[0].get("reason") == "ProgressDeadlineExceeded":
        # Not final: the Deployment controller goes on trying, and says so when it succeeds after all.
        return Cause("deadline", "its rollout has made no progress for longer than its deadline",
                     str(progressing[0].get("message", "")))  # fmt: skip
    return None


def _last_of(events: Sequence[Object], reasons: tuple[str, ...], objects: Iterable[Object]) -> str:
    uids = [str(dig(o, "metadata", "uid", default="")) for o in objects]
    return latest_message((e for e in events if e.get("reason") in reasons), uids)


def _with_claim(cause: Cause, pods: list[Object], world: World, events: Events) -> Cause:
    """Where a claim is what the Pod waits for, what is said about the claim is what matters."""
    for pod in pods:
        for volume in dig(pod, "spec", "volumes", default=[]):
            name = dig(volume, "persistentVolumeClaim", "claimName")
            namespace = dig(pod, "metadata", "namespace", default="")
            if not name or "olume" not in cause.message:
                continue
            seen = world.get(Ref("", "PersistentVolumeClaim", namespace, name))
            if seen is None:
                return Cause("volume", f"its claim {name} does not exist", cause.message)
            if found := claim_cause(seen.object, events(namespace)):
                return replace(found, words=f"{found.words} ({name})", message=found.message or cause.message)
    return cause


def _namespace_of(ref: Ref, world: World) -> Cause | None:
    seen = world.get(Ref("", "Namespace", "", ref.namespace)) if ref.namespace else None
    return namespace_cause(seen.object) if seen else None


def _deleting(live: Object) -> Cause | None:
    finalizers = dig(live, "metadata", "finalizers", default=[])
    if not finalizers:
        return None
    return Cause("finalizer", f"it is being deleted since {live['metadata']['deletionTimestamp']}",
                 f"held by {', '.join(map(str, finalizers))}")  # fmt: skip


def _owned(world: World, kind: Kind, owner: Object) -> list[Object]:
    uid, namespace = dig(owner, "metadata", "uid"), dig(owner, "metadata", "namespace")
    return [
        seen.object for seen in world.all(kind, namespace)
        if uid and any(o.get("uid") == uid for o in dig(seen.object, "metadata", "ownerReferences", default=[]))
    ]  # fmt: skip


def _newest(replica_sets: list[Object]) -> Object | None:
    def revision(obj: Object) -> int:
        text = str(dig(obj, "metadata", "annotations", default={}).get("deployment.kubernetes.io/revision", "0"))
        return int(text) if text.isdigit() else 0

    return max(replica_sets, key=revision, default=None)


def _of_newest_revision(pods: list[Object], owner: Object) -> list[Object]:
    """A StatefulSet replaces its Pods one by one: those of the old revision say nothing about the new one."""
    newest = dig(owner, "status", "updateRevision")
    if owner.get("kind") != "StatefulSet" or not newest:
        return pods
    fresh = [p for p in pods if dig(p, "metadata", "labels", default={}).get("controller-revision-hash") == newest]
    return fresh or pods


def _ref(resource: Mapping[str, Any]) -> Ref:
    return Ref(resource.get("group") or "", str(resource.get("kind")), resource.get("namespace") or "",
               str(resource.get("name")))  # fmt: skip
