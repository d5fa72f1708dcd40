"""Losing the GitOps engine: the process of one component in the middle of its work, or all of it.

Here belong faults that harm Argo CD itself. Bringing it back is `harness.gitops.platform`; the Git server that it reads
is `harness.faults.git_server`.

Facts: Argo CD's controller resumes an operation that it finds Running when it starts (processRequestedAppOperation); an
Application that carries resources-finalizer makes the deletion of its namespace hang, or a later controller delete the
workloads (argoproj/argo-cd#6046, #7860).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from harness.core.clock import MINUTE, SECOND
from harness.core.errors import ApiRefused, ApiUnreachable, ConfigError, InjectFailed, ToolError, UnsafeTarget
from harness.core.faults import BlastRadius, Injected
from harness.core.objects import NAMESPACE, POD, Kind, Object, Ref, dig
from harness.core.observation import Observation, State
from harness.effects.waiting import until
from harness.gitops.argocd import APPLICATION, DEFINITION, DEPLOYMENT, PROJECT, STATEFUL_SET
from harness.gitops.platform import Platform

COMPONENTS = {"application-controller": STATEFUL_SET, "repo-server": DEPLOYMENT, "redis": DEPLOYMENT}
KILLED = 137  # the exit code of a process that ended by SIGKILL
# In the node: the processes of the control group of container $1, and among them the one that is 1 to itself.
_FIRST_PROCESS = """for file in $(grep -ls "$1" /proc/[0-9]*/cgroup); do
  grep -qs "^NSpid:.*[^0-9]1$" "${file%/cgroup}/status" && basename "${file%/cgroup}"
done; true"""
GONE_WITHIN = 2 * MINUTE  # a namespace takes as long as its slowest pod, 30 s as a rule


def component(name: str) -> Ref:
    """The workload that runs a component of Argo CD. Raises ConfigError."""
    if name not in COMPONENTS:
        raise ConfigError(f"a component of Argo CD, one of {', '.join(COMPONENTS)}", repr(name), "correct the scenario")
    return Ref("apps", COMPONENTS[name].kind, "argocd", f"argocd-{name}")


def pod_of(platform: Platform, workload: Ref) -> Object | None:
    """The Pod that runs a component now: not one that is on its way out. Raises ApiUnreachable, ApiRefused."""
    labels = f"app.kubernetes.io/name={workload.name}"
    pods = platform.api.list(POD, workload.namespace, labels).items
    alive = [p for p in pods if not dig(p, "metadata", "deletionTimestamp") and dig(p, "status", "phase") == "Running"]
    return alive[0] if alive else None


@dataclass(frozen=True, slots=True)
class Victim:
    """One running container: its Pod, its place, and who it is."""

    pod: str
    uid: str
    node: str
    container: str  # as containerd knows it


@dataclass(slots=True)
class KillEngine:
    """`kill -9` of the process of one component of Argo CD, on its node, while a sync of `during` is running.

    The proof that it was in the middle: the same operation of the Application is Running, and not waiting for a retry,
    right before the signal is sent, and still Running after the process is dead.
    """

    platform: Platform
    component: str
    during: str  # the Application whose sync is running
    blast_radius: BlastRadius = BlastRadius.NAMESPACE
    workload: Ref = field(init=False)
    victim: Victim | None = None
    operation: str = ""  # what the sync was doing when the process died

    def __post_init__(self) -> None:
        self.workload = component(self.component)

    @property
    def subject(self) -> str:
        return f"KillEngine({self.component} during a sync of {self.during})"

    @property
    def touches(self) -> tuple[str, ...]:
        """The component's workload, and with it what it owns."""
        return (str(self.workload),)

    def inject(self) -> Injected:
        """Raises InjectFailed: there is no such process, no sync is running, or it ended before the process did."""
        cluster, clock = self.platform.cluster, self.platform.clock
        cluster.assert_ours()
        try:
            self.victim = self._find()
            pid = self._pid(self.victim)
            begun, _ = self._running(resting=False)
            sent = clock.now_ns()
            cluster.docker.exec(self.victim.node, ["kill", "-9", pid], timeout=10 * SECOND)
            dead = clock.now_ns()
            still, self.operation = self._running(resting=True)
        except (ApiRefused, ApiUnreachable, ToolError) as error:
            raise InjectFailed(f"{self.component} could not be killed: {error}") from error
        if still != begun:
            raise InjectFailed(f"the sync of {self.during} that began at {begun} had ended when {self.component} died")
        what = f"process {pid} of {self.component} killed on {self.victim.node}, sync of {self.during} since {begun}"
        return Injected(sent, dead, what, {"pod": self.victim.pod, "node": self.victim.node, "sync": self.operation})

    def confirm(self) -> Observation:
        """Asks the API what became of the container: its own report of exit code 137."""
        assert self.victim is not None
        expected = f"container {self.victim.container[:12]} of {self.component} ended with {KILLED}"
        pod = self.platform.api.get(POD, self.victim.pod, self.workload.namespace)
        now = self.platform.clock.now_ns()
        if pod is None or pod["metadata"]["uid"] != self.victim.uid:
            return Observation(State.BROKEN, self.subject, expected, "its Pod is gone, and with it the proof", now)
        for end in _ends(pod):
            if end.get("containerID", "").endswith(self.victim.container):
                code = end.get("exitCode")
                actual = (
                    f"{self.component} ended with {code} while a sync of {self.during} was Running: {self.operation}"
                )
                return Observation(State.MET if code == KILLED else State.BROKEN, self.subject, expected, actual, now)
        return Observation(State.PENDING, self.subject, expected, "the kubelet has not told of its end yet", now)

    def _find(self) -> Victim:
        pod = pod_of(self.platform, self.workload)
        running = [s for s in dig(pod, "status", "containerStatuses", default=[]) if dig(s, "state", "running")]
        if pod is None or not running:
            raise InjectFailed(f"no running Pod of {self.workload} to kill")
        identity = str(running[0]["containerID"]).rpartition("/")[2]
        return Victim(pod["metadata"]["name"], pod["metadata"]["uid"], str(dig(pod, "spec", "nodeName")), identity)

    def _pid(self, victim: Victim) -> str:
        found = self.platform.cluster.docker.exec(
            victim.node, ["sh", "-c", _FIRST_PROCESS, "sh", victim.container], timeout=10 * SECOND
        ).stdout.split()
        if len(found) != 1 or not found[0].isdigit():
            said = ", ".join(found) or "none"
            raise InjectFailed(f"one first process of container {victim.container[:12]} on {victim.node}, found {said}")
        return found[0]

    def _running(self, *, resting: bool) -> tuple[str, str]:
        """When the sync that is running began, and what it does. A pending retry counts only if `resting` is allowed:
        the death itself may have been what made the attempt fail."""
        app = self.platform.api.get(APPLICATION, self.during, self.platform.engine.namespace)
        state: Any = dig(app, "status", "operationState", default={})
        if state.get("phase") != "Running" or (state.get("finishedAt") and not resting):
            raise InjectFailed(f"a sync of {self.during} should be running, it is {state.get('phase') or 'none'}")
        return str(state.get("startedAt")), " ".join(str(state.get("message") or "under way").split())[:160]


def _ends(pod: Object) -> list[dict[str, Any]]:
    """Every end of a container that the Pod's status tells of."""
    found = []
    for status in dig(pod, "status", "containerStatuses", default=[]):
        for state in ("state", "lastState"):
            if end := dig(status, state, "terminated"):
                found.append(end)
    return found


@dataclass(slots=True)
class LoseEngine:
    """The namespace of Argo CD is deleted, with its Applications and, with `definitions`, the CRDs as well.

    Applications and AppProjects that carry a finalizer are refused before anything is touched: their deletion would
    hang, or take the workloads along. With `strip_finalizers` the controller is stopped first and they are taken off.
    """

    platform: Platform
    definitions: bool = False
    strip_finalizers: bool = False

    @property
    def blast_radius(self) -> BlastRadius:
        """CRDs belong to no namespace."""
        return BlastRadius.CLUSTER if self.definitions else BlastRadius.NAMESPACE

    @property
    def subject(self) -> str:
        return f"LoseEngine({self._namespace}{' and its CRDs' if self.definitions else ''})"

    @property
    def touches(self) -> tuple[str, ...]:
        """All that is in the namespace, the namespace, and the CRDs, with the APIs they serve, where they go too."""
        inside = (f"Namespace {self._namespace}", f"* {self._namespace}/*")
        served = (f"{DEFINITION.kind} *.{APPLICATION.group}", f"APIService *.{APPLICATION.group}")
        return (*inside, *served) if self.definitions else inside

    @property
    def _namespace(self) -> str:
        return self.platform.engine.namespace

    def inject(self) -> Injected:
        """Returns when the namespace is gone. Raises UnsafeTarget (finalizers), InjectFailed."""
        api, clock = self.platform.api, self.platform.clock
        self.platform.cluster.assert_ours()
        held = self._held()
        if held and not self.strip_finalizers:
            raise UnsafeTarget(
                "Applications without finalizers: else their deletion hangs, or takes the workloads along",
                ", ".join(f"{kind.kind} {name}" for kind, name in held),
                "take them off in Git first, or say strip_finalizers=True",
            )
        applications = len(self.platform.engine.applications())
        try:
            if held:
                self._strip(held)
            asked = api.delete(NAMESPACE, self._namespace)
            self._await(_Absent(self.platform, NAMESPACE, self._namespace))
            for name in self._own_definitions() if self.definitions else ():
                api.delete(DEFINITION, name)
                self._await(_Absent(self.platform, DEFINITION, name))
        except (ApiRefused, ApiUnreachable) as error:
            raise InjectFailed(f"namespace {self._namespace} could not be deleted: {error}") from error
        took = (clock.now_ns() - asked.sent_ns) / 1e9
        what = f"namespace {self._namespace} with {applications} Applications gone after {took:.1f} s"
        return Injected(asked.sent_ns, asked.answered_ns, what, {"applications": applications})

    def confirm(self) -> Observation:
        """Asks the API for the namespace, for Applications anywhere and, where they went too, for the CRDs."""
        api, now = self.platform.api, self.platform.clock.now_ns()
        expected = f"no namespace {self._namespace} and no Application"
        left = [f"namespace {self._namespace}"] if api.get(NAMESPACE, self._namespace) else []
        left += [f"Application {app['metadata']['name']}" for app in _listed(self.platform, APPLICATION)]
        left += [f"CRD {name}" for name in self._own_definitions()] if self.definitions else []
        if left:
            return Observation(State.PENDING, self.subject, expected, f"still there: {', '.join(left)}", now)
        return Observation(State.MET, self.subject, expected, expected, now)

    def _held(self) -> list[tuple[Kind, str]]:
        return [(kind, obj["metadata"]["name"]) for kind in (APPLICATION, PROJECT)
                for obj in _listed(self.platform, kind) if dig(obj, "metadata", "finalizers")]  # fmt: skip

    def _strip(self, held: list[tuple[Kind, str]]) -> None:
        """Without the controller first: it would take a stripped Application's deletion for its own to make."""
        controller = component("application-controller")
        nobody = {"spec": {"replicas": 0}}
        self.platform.api.patch(STATEFUL_SET, controller.name, controller.namespace, nobody)
        self._await(_Absent(self.platform, POD, f"{controller.name}-0"))
        for kind, name in held:
            self.platform.api.patch(kind, name, self._namespace, {"metadata": {"finalizers": None}})

    def _own_definitions(self) -> list[str]:
        return [d["metadata"]["name"] for d in self.platform.api.list(DEFINITION).items
                if dig(d, "spec", "group") == APPLICATION.group]  # fmt: skip

    def _await(self, absent: _Absent) -> None:
        gone = until(absent, within=GONE_WITHIN, clock=self.platform.clock, poll=SECOND / 5)
        if not gone.met:
            raise InjectFailed(gone.last.sentence())


def _listed(platform: Platform, kind: Kind) -> tuple[Object, ...]:
    """Those in Argo CD's namespace; none where the kind is not served any more."""
    try:
        found: tuple[Object, ...] = platform.api.list(kind, platform.engine.namespace).items
    except ApiRefused as error:
        if error.status != 404:
            raise
        return ()
    return found


@dataclass(frozen=True, slots=True)
class _Absent:
    """Is an object gone?"""

    platform: Platform
    kind: Kind
    name: str
    signal: None = None

    @property
    def subject(self) -> str:
        return f"no {self.kind.kind} {self.name}"

    def observe(self) -> Observation:
        inside = self.platform.engine.namespace if self.kind.namespaced else None
        found = self.platform.api.get(self.kind, self.name, inside)
        now = self.platform.clock.now_ns()
        if found is None:
            return Observation(State.MET, self.subject, self.subject, "gone", now)
        said = [
            c.get("message", "") for c in dig(found, "status", "conditions", default=[]) if c.get("status") == "True"
        ]
        actual = " ".join([f"{self.kind.kind} {self.name} is still there", *said])[:240]
        return Observation(State.PENDING, self.subject, self.subject, actual, now)
