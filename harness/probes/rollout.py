"""How far did a commit get? The phases between a push and pods that run: applied or not, started or failing.

Here belong probes about one Application or one workload at one commit. That Argo CD has looked at a commit at all, and
that an Application has arrived at it, are `seen` and `arrived` of `harness.probes.git`.

Facts: Argo CD's `status.operationState` (a pending retry is phase Running with a retryCount; `syncResult.resources`
holds what the API said to each object; gitops-semantics A3, A6) and the waiting reasons of containers (kubelet,
`pkg/kubelet/images`: ErrImagePull, ImagePullBackOff, ErrImageNeverPull, InvalidImageName).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Protocol

from harness.cluster.live import Seen
from harness.core.errors import ConfigError, ProvisionFailed
from harness.core.objects import POD, REPLICA_SET, Object, Ref, dig, is_true
from harness.core.observation import Observation, Probe, State
from harness.faults.bad_commit import ABSENT_IMAGE
from harness.gitops.platform import Platform
from harness.gitops.render import DesiredApplication, application_in_git, desired_applications

_FILE = re.compile(r'error when (?:patching|creating|replacing) "/dev/shm/[^"]*": ')  # a scratch file of Argo CD's
_SHOWN = 300  # characters of a message
_STARTING = ("PodInitializing", "ContainerCreating")  # waiting reasons that are no trouble


class Commit(Protocol):
    """A commit that was pushed: `PushCommit` or `RevertCommit`."""

    @property
    def platform(self) -> Platform: ...
    @property
    def subject(self) -> str: ...
    @property
    def sha(self) -> str: ...


@dataclass(slots=True)
class _Probe:
    """What these probes share: they read what the watches delivered."""

    platform: Platform

    @property
    def signal(self) -> Any:
        try:
            return self.platform.view.signal
        except ProvisionFailed:
            return None


# --- pods ------------------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class _PodFails(_Probe):
    """See `pod_fails`."""

    target: Ref
    image: str

    @property
    def subject(self) -> str:
        return f"pod_fails({self.target})"

    def observe(self) -> Observation:
        """BROKEN when a pod with that image runs: then it is no image that fails."""
        now = self.platform.clock.now_ns()
        expected = f"a pod of {self.target} that cannot start with image {self.image}"
        found = list(self._pods())
        for seen in found:
            for container in _statuses(seen.object):
                reason = str(dig(container, "state", "waiting", "reason", default=""))
                if reason and reason not in _STARTING and container.get("name") in self._wrong(seen.object):
                    said = dig(container, "state", "waiting", "message", default="")
                    actual = f"Pod {seen.object['metadata']['name']} waits: {reason}{': ' if said else ''}{said}"
                    return Observation(State.MET, self.subject, expected, actual[:300], seen.received_ns)
        ready = [s for s in found if is_true(s.object, "Ready")]
        if ready:
            actual = f"Pod {ready[0].object['metadata']['name']} is ready with image {self.image}"
            return Observation(State.BROKEN, self.subject, expected, actual, now)
        actual = f"{len(found)} pods with that image, none of them failing yet" if found else "no pod with that image"
        return Observation(State.PENDING, self.subject, expected, actual, now)

    def _pods(self) -> Iterator[Seen]:
        owners = {self.target.name} | {
            s.object["metadata"]["name"]
            for s in self.platform.view.all(REPLICA_SET, self.target.namespace)
            if self.target.name in _owners(s.object, self.target.kind)
        }
        for seen in self.platform.view.all(POD, self.target.namespace):
            mine = owners & (_owners(seen.object, "ReplicaSet") | _owners(seen.object, self.target.kind))
            # One that is on its way out may be that of an earlier commit with the same image.
            leaving = dig(seen.object, "metadata", "deletionTimestamp") is not None
            if mine and not leaving and self._wrong(seen.object):
                yield seen

    def _wrong(self, pod: Object) -> set[str]:
        containers = dig(pod, "spec", "containers", default=[])
        return {str(c.get("name")) for c in containers if c.get("image") == self.image}


def pod_fails(platform: Platform, target: str, image: str = ABSENT_IMAGE) -> Probe:
    """A pod of a workload (`Deployment namespace/name`) cannot start with `image`; the waiting reason is told.

    Raises ConfigError: `target` is no workload.
    """
    kind, _, place = target.partition(" ")
    namespace, slash, name = place.partition("/")
    if kind not in ("Deployment", "StatefulSet", "DaemonSet") or not slash or not namespace or not name:
        raise ConfigError("a workload as in 'Deployment shop/api'", repr(target), "correct the scenario")
    return _PodFails(platform, Ref("apps", kind, namespace, name), image)


def _owners(obj: Object, kind: str) -> set[str]:
    owners = dig(obj, "metadata", "ownerReferences", default=[])
    return {str(o.get("name")) for o in owners if o.get("kind") == kind}


def _statuses(pod: Object) -> list[Any]:
    return [*dig(pod, "status", "initContainerStatuses", default=[]),
            *dig(pod, "status", "containerStatuses", default=[])]  # fmt: skip


# --- one Application at one commit -----------------------------------------------------------------------------------


@dataclass(slots=True)
class _OfApplication(_Probe):
    """A question about one Application at one commit."""

    name: str
    commit: Commit
    word: str = ""

    @property
    def subject(self) -> str:
        return f"{self.word}({self.name} at {self.commit.sha[:10]})"

    def observe(self) -> Observation:
        now = self.platform.clock.now_ns()
        try:
            seen = self.platform.view.get(self._wanted().ref)
        except ProvisionFailed as error:
            return self._answer(State.PENDING, str(error), now)
        if seen is None:
            return self._answer(State.PENDING, f"Application {self.name} is missing", now)
        state, actual, at_ns = self._judge(seen)
        return self._answer(state, actual, now if state is State.PENDING else at_ns)

    def _judge(self, seen: Seen) -> tuple[State, str, int]:
        raise NotImplementedError

    def _expected(self) -> str:
        raise NotImplementedError

    def _answer(self, state: State, actual: str, at_ns: int) -> Observation:
        return Observation(state, self.subject, self._expected(), actual, at_ns)

    def _wanted(self) -> DesiredApplication:
        apps = desired_applications(self.platform.repo, self.platform.plan, self.commit.sha)
        return next(app for app in apps if app.name == self.name)


@dataclass(slots=True)
class _ApplyFailed(_OfApplication):
    """See `apply_failed`."""

    attempts: int = 1

    def _expected(self) -> str:
        times = f", {self.attempts} times at least" if self.attempts > 1 else ""
        return f"the API refuses what commit {self.commit.sha[:10]} asks for{times}"

    def _judge(self, seen: Seen) -> tuple[State, str, int]:
        operation = dig(seen.object, "status", "operationState", default={})
        if self.commit.sha not in _revisions(operation):
            tried = ", ".join(r[:10] for r in _revisions(operation)) or "nothing"
            return State.PENDING, f"the last sync was of {tried}", 0
        phase, message = operation.get("phase"), _flat(operation.get("message"))
        if phase == "Succeeded":
            return State.BROKEN, f"the sync succeeded: {message}", seen.received_ns
        tries = int(operation.get("retryCount") or 0) + (phase in ("Failed", "Error"))
        told = _refusal(operation) or message
        if tries < self.attempts or not told:
            return State.PENDING, f"sync {phase}, {tries} attempts failed: {told or 'no message yet'}", 0
        return State.MET, f"sync {phase}, {tries} attempts failed: {told}", seen.received_ns


def apply_failed(commit: Commit, application: str, *, attempts: int = 1) -> Probe:
    """Argo CD tried to apply `commit`, and the API said no; `actual` holds what it said, to which object.

    With `attempts`, that many tries have failed: Argo CD is in the middle of its retries. BROKEN when it was applied.
    """
    return _ApplyFailed(commit.platform, _known(commit, application), commit, "apply_failed", attempts)


@dataclass(slots=True)
class _Synced(_OfApplication):
    """See `synced`."""

    asked: dict[str, bool] = field(default_factory=dict)

    def _expected(self) -> str:
        return f"Application {self.name} Synced at {self.commit.sha[:10]} or later, no sync under way"

    def _judge(self, seen: Seen) -> tuple[State, str, int]:
        sync = dig(seen.object, "status", "sync", default={})
        operation = dig(seen.object, "status", "operationState", default={})
        revision, status, phase = str(sync.get("revision") or ""), sync.get("status"), operation.get("phase")
        actual = f"{status} at {revision[:10] or 'no revision'}, last sync {phase or 'none'}"
        if phase not in ("Succeeded", None):
            actual += f": {_refusal(operation) or _flat(operation.get('message'))}"
        # After the revert of what could never be applied no sync runs: its old failure stays on show.
        busy = phase in ("Running", "Terminating") or dig(seen.object, "operation") is not None
        done = status == "Synced" and not busy and self._at(revision)
        return (State.MET if done else State.PENDING), actual, seen.received_ns

    def _at(self, revision: str) -> bool:
        if not revision or revision == self.commit.sha:
            return bool(revision)
        if revision not in self.asked:  # a process each: not at every event
            self.asked[revision] = self.platform.repo.is_ancestor(self.commit.sha, revision)
        return self.asked[revision]


def synced(commit: Commit, application: str) -> Probe:
    """Argo CD finds one Application equal to Git at `commit`, or at a later one; it says nothing about pods."""
    return _Synced(commit.platform, _known(commit, application), commit, "synced")


def _known(commit: Commit, name: str) -> str:
    if not commit.sha:
        raise ConfigError("a commit that was pushed", f"{commit.subject}, not yet pushed", "inject it first")
    return application_in_git(commit.platform.repo, commit.platform.plan, name, commit.sha).name


def _revisions(operation: Object) -> tuple[str, ...]:
    """What the last attempt was an attempt at; before it has a result, what was asked for."""
    for said in (dig(operation, "syncResult", default={}), dig(operation, "operation", "sync", default={})):
        found = [str(r) for r in (said.get("revision"), *(said.get("revisions") or ())) if r]
        if found:
            return tuple(found)
    return ()


def _refusal(operation: Object) -> str:
    """What the API said to the first object it refused."""
    for resource in dig(operation, "syncResult", "resources", default=[]):
        if resource.get("status") == "SyncFailed":
            place = f"{resource['namespace']}/" if resource.get("namespace") else ""
            return f"{resource.get('kind')} {place}{resource.get('name')}: {_flat(resource.get('message'))}"
    return ""


def _flat(text: Any) -> str:
    """One line; of a long one the beginning, which says what, and the end, which says why."""
    flat = _FILE.sub("", " ".join(str(text or "").split()))
    return flat if len(flat) <= _SHOWN else f"{flat[: _SHOWN // 2]} ... {flat[-_SHOWN // 2 :]}"
