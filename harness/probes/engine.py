"""Is the engine itself well, what is it doing, and what did it do?

Here belong questions about Argo CD: ready, in the middle of a sync, what it says of its Applications, and how often it
did what it had to do once. Whether live is what Git says is `harness.probes.sync`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from harness.core.errors import ProvisionFailed
from harness.core.objects import Kind, Ref, dig
from harness.core.observation import Observation, Probe, State
from harness.faults.engine import COMPONENTS, component, pod_of
from harness.faults.git_server import StopGitServer
from harness.gitops.argocd import Ready
from harness.gitops.platform import Platform
from harness.gitops.render import application_in_git

JOB = Kind("batch", "v1", "Job", "jobs", namespaced=True)
_FAILED = "failed attempt to compare app state"
_REVISION = "deployment.kubernetes.io/revision"  # counts the rollouts of a Deployment


class _EngineReady:
    """Asks the engine of now: after a re-bootstrap that is another one."""

    subject = "argocd ready"

    def __init__(self, platform: Platform) -> None:
        self._platform = platform
        self._of: Any = None
        self._ready: Ready | None = None

    @property
    def signal(self) -> Any:
        try:
            return self._platform.view.signal
        except ProvisionFailed:
            return None

    def observe(self) -> Observation:
        try:
            engine, view = self._platform.engine, self._platform.view
        except ProvisionFailed as error:
            return Observation(State.PENDING, self.subject, "Argo CD, ready", str(error), self._platform.clock.now_ns())
        if self._ready is None or self._of is not engine:
            self._of, self._ready = engine, engine.ready(view)
        answer = self._ready.observe()
        if answer.met and (held := self._held_down(view)):
            actual = f"{held} is held at no replicas"
            return replace(answer, state=State.PENDING, actual=actual, at_ns=self._platform.clock.now_ns(),
                           not_before_ns=None)  # fmt: skip
        return answer

    def _held_down(self, view: Any) -> Ref | None:
        """A component of which nobody is wanted: rolled out completely, as far as its controller is concerned."""
        refs = [component(name) for name in COMPONENTS]
        found = [(ref, view.get(ref)) for ref in refs]
        return next((ref for ref, seen in found if seen and dig(seen.object, "spec", "replicas") == 0), None)


def engine_ready(platform: Platform) -> Probe:
    """Argo CD's CRDs are Established, each of its components is wanted and rolled out, its default project is there."""
    return _EngineReady(platform)


@dataclass(frozen=True, slots=True)
class _Syncing:
    platform: Platform
    application: Ref

    @property
    def subject(self) -> str:
        return f"syncing({self.application.name})"

    @property
    def signal(self) -> Any:
        return self.platform.view.signal

    def observe(self) -> Observation:
        head, now = self.platform.repo.head, self.platform.clock.now_ns()
        expected = f"a sync of {self.application.name} to {head[:10]} under way, something applied or started"
        seen = self.platform.view.get(self.application)
        if seen is None:
            return Observation(State.PENDING, self.subject, expected, "no such Application", now)
        state: Any = dig(seen.object, "status", "operationState", default={})
        revision = str(dig(state, "syncResult", "revision", default=""))
        begun = dig(state, "syncResult", "resources", default=[])
        message = " ".join(str(state.get("message") or "nothing said yet").split())[:160]
        actual = f"{state.get('phase') or 'no sync yet'} at {revision[:10] or 'no revision'}: {message}"
        running = state.get("phase") == "Running" and not state.get("finishedAt")
        if not running or revision != head or not begun:
            return Observation(State.PENDING, self.subject, expected, actual, now)
        return Observation(State.MET, self.subject, expected, actual, seen.received_ns, seen.previous_ns)


def syncing(platform: Platform, application: str) -> Probe:
    """A sync of this Application to the head of Git is in the middle: begun, something done, not ended.

    Raises ConfigError: no such Application in Git.
    """
    return _Syncing(platform, application_in_git(platform.repo, platform.plan, application).ref)


@dataclass(frozen=True, slots=True)
class _GitMissed:
    outage: StopGitServer
    application: str
    signal: None = None

    @property
    def subject(self) -> str:
        return f"Git missed for {self.application}"

    def observe(self) -> Observation:
        platform, begun = self.outage.platform, self.outage.begun
        expected, now = "a comparison that failed since the outage began", platform.clock.now_ns()
        pod = pod_of(platform, component("application-controller")) if begun else None
        if pod is None or begun is None:
            actual = "no controller that runs" if begun else "no outage yet"
            return Observation(State.PENDING, self.subject, expected, actual, now)
        lines = platform.api.logs(pod["metadata"]["namespace"], pod["metadata"]["name"], tail=2000).splitlines()
        failed = [when for line in lines if (when := _failure(line, self.application)) and when > begun]
        if not failed:
            return Observation(State.PENDING, self.subject, expected, "none in the controller's log yet", now)
        ago = max(0, (platform.clock.utc() - failed[0]) // timedelta(microseconds=1) * 1000)
        actual = f"a comparison of {self.application} failed for want of Git"
        return Observation(State.MET, self.subject, expected, actual, now - ago, now - ago)


def _failure(line: str, application: str) -> datetime | None:
    """When a line of the controller's log, stamped by the kubelet, tells of a comparison that failed without Git."""
    stamp, _, text = line.partition(" ")
    if _FAILED not in text or not re.search(rf'application"?[:=]"?{re.escape(application)}["\s]', text):
        return None
    try:
        return datetime.fromisoformat(stamp)
    except ValueError:
        return None


def git_missed(outage: StopGitServer, application: str) -> Probe:
    """Argo CD wanted to compare this Application with Git during this outage and could not.

    Each Application is polled at its own time. Read from the controller's log, which the kubelet stamps with the time
    of the same machine; facts: Argo CD's controller says so at each failure of the first three minutes, while it leaves
    the status as it was (CompareAppState, repository error grace period).
    """
    return _GitMissed(outage, application)


@dataclass(frozen=True, slots=True)
class _Statuses:
    platform: Platform
    name: str = "statuses"

    def read(self) -> dict[str, Any]:
        """Application -> what Argo CD says of it. Raises ApiUnreachable, ApiRefused."""
        return {app["metadata"]["name"]: _status(app) for app in self.platform.engine.applications()}


def _status(app: Mapping[str, Any]) -> dict[str, Any]:
    status: Any = dig(app, "status", default={})
    conditions = {str(c.get("type")): str(c.get("message"))[:200] for c in status.get("conditions") or ()}
    return {"sync": dig(status, "sync", "status"), "health": dig(status, "health", "status"),
            "revision": dig(status, "sync", "revision"), "operation": dig(status, "operationState", "phase"),
            "reconciled": status.get("reconciledAt"), "conditions": conditions}  # fmt: skip


def statuses(platform: Platform) -> _Statuses:
    """What Argo CD itself says of each Application now: kept for the report, judged by nobody."""
    return _Statuses(platform)


@dataclass(slots=True)
class _WorkDone:
    platform: Platform
    jobs: tuple[Ref, ...]
    name: str = "work done"
    _looking: Any = field(default=None)

    def read(self) -> dict[str, Any]:
        """`rollouts`: Deployment in Git -> uid and number of rollouts; `runs`: Job -> uids seen since the first read.

        Raises ApiUnreachable, ApiRefused, ProvisionFailed.
        """
        self._look()
        kind = self.platform.api.kind("apps", "Deployment")
        wanted = {ref for ref in self.platform.refs() if ref.kind == kind.kind}
        rollouts: dict[str, Any] = {}
        for item in self.platform.api.list(kind).items:
            ref = Ref("apps", kind.kind, item["metadata"].get("namespace", ""), item["metadata"]["name"])
            if ref in wanted:
                count = int(dig(item, "metadata", "annotations", _REVISION, default=0))
                rollouts[str(ref)] = {"uid": item["metadata"]["uid"], "rollouts": count}
        view = self.platform.view
        runs = {str(ref): sorted({s.object["metadata"]["uid"] for s in view.history(ref)}) for ref in self.jobs}
        return {"rollouts": rollouts, "runs": runs}

    def _look(self) -> None:
        view = self.platform.view
        if self._looking is not view:
            view.add([JOB])
            for ref in self.jobs:
                view.follow(ref)
            self._looking = view


def work_done(platform: Platform, *jobs: Ref) -> _WorkDone:
    """How often each Deployment was rolled out, and which runs of `jobs` there were: read before and after."""
    return _WorkDone(platform, jobs)
