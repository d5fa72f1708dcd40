"""Sabotage of drills that harm the engine: it stays down, it forgets, it takes bystanders along, it cannot reach Git.

Here belong the sabotages of `scenarios/test_sabotage_engine_loss.py`. The faults themselves are `harness.faults.engine`
and `harness.faults.git_server`.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Any
from urllib.parse import urlsplit

from harness.core.clock import MINUTE, SECOND
from harness.core.errors import ConfigError, HealFailed, ToolError
from harness.core.objects import POD, Object, Ref, dig
from harness.core.observation import Observation, State
from harness.effects.waiting import until
from harness.faults.engine import COMPONENTS, component, pod_of
from harness.faults.settling import settle
from harness.gitops.plan import BootstrapPlan
from harness.gitops.platform import Platform
from harness.gitops.repo import ServedRepo
from harness.probes.engine import engine_ready


@dataclass(slots=True)
class HoldDown:
    """Once a component of Argo CD has been killed, it is held at no replicas: it does not come back by itself."""

    platform: Platform
    component: str
    workload: Ref = field(init=False)
    _alive: tuple[str, str, bool] | None = None  # who it was before: its Pod, its container, whether that was running
    _replicas: int | None = None

    def __post_init__(self) -> None:
        self.workload = component(self.component)

    @property
    def subject(self) -> str:
        return f"HoldDown({self.component})"

    @property
    def names(self) -> str:
        """How the component that is missed is called."""
        return str(self.workload)

    def begin(self) -> None:
        """Remember who it is. Raises ConfigError when it is not there to be held down."""
        self._alive = self._identity()
        if self._alive is None:
            raise ConfigError(f"a running {self.component} of Argo CD", "none", "let Argo CD become ready first")

    def after_injection(self) -> None:
        """Nothing, until the fault that killed it has landed."""
        if self._replicas is not None or self._identity() == self._alive:
            return
        kind, (name, namespace) = COMPONENTS[self.component], (self.workload.name, self.workload.namespace)
        self._replicas = int(dig(self.platform.api.get(kind, name, namespace), "spec", "replicas", default=1))
        self.platform.api.patch(kind, name, namespace, {"spec": {"replicas": 0}})
        gone = until(_Nobody(self.platform, self.workload), within=MINUTE, clock=self.platform.clock, poll=SECOND / 5)
        if not gone.met:
            raise ConfigError(f"no {self.component} within a minute", gone.last.actual, "look at its Pod's finalizers")

    def end(self) -> None:
        """As many as before. Raises HealFailed when the platform does not settle."""
        if self._replicas is not None and self.platform.alive:
            body = {"spec": {"replicas": self._replicas}}
            self.platform.api.patch(COMPONENTS[self.component], self.workload.name, self.workload.namespace, body)
        settle(self.platform, engine_ready(self.platform))

    def _identity(self) -> tuple[str, str, bool] | None:
        """Not how often it was restarted: that is told only when it is up again."""
        pod = pod_of(self.platform, self.workload)
        container: Any = dig(pod, "status", "containerStatuses", 0, default={})
        running = "running" in (container.get("state") or {})
        return (str(dig(pod, "metadata", "uid")), str(container.get("containerID")), running) if pod else None


@dataclass(frozen=True, slots=True)
class _Nobody:
    """Is every Pod of a component gone?"""

    platform: Platform
    workload: Ref
    signal: None = None
    subject: str = "no Pod left"

    def observe(self) -> Observation:
        labels = f"app.kubernetes.io/name={self.workload.name}"
        left = len(self.platform.api.list(POD, self.workload.namespace, labels).items)
        state = State.PENDING if left else State.MET
        return Observation(state, self.subject, self.subject, f"{left} left", self.platform.clock.now_ns())


@dataclass(slots=True)
class RestartBystander:
    """As the fault lands, the Pods of a Deployment that has nothing to do with it are deleted: they come back anew."""

    platform: Platform
    target: str  # namespace/name
    _done: bool = False

    def __post_init__(self) -> None:
        if not any(self._is_target(o.ref) for o in self.platform.desired()):
            raise ConfigError(f"a Deployment {self.target} in Git", "none", "name one as namespace/name")

    @property
    def subject(self) -> str:
        return f"RestartBystander({self.target})"

    @property
    def names(self) -> str:
        """How the Pods that were harmed begin."""
        return f"Pod {self.target}-"

    def begin(self) -> None:
        return None

    def after_injection(self) -> None:
        namespace, _, name = self.target.partition("/")
        if self._done:
            return
        for pod in self.platform.api.list(POD, namespace).items:
            if _owner(pod).startswith(f"{name}-"):
                self.platform.api.delete(POD, pod["metadata"]["name"], namespace)
                self._done = True
        if not self._done:
            raise ConfigError(f"a Pod of {self.target}", "none", "choose a bystander that runs")

    def end(self) -> None:
        """Raises HealFailed when the platform does not settle."""
        settle(self.platform, engine_ready(self.platform))

    def _is_target(self, ref: Ref) -> bool:
        return ref.kind == "Deployment" and f"{ref.namespace}/{ref.name}" == self.target


def _owner(pod: Object) -> str:
    owners: Any = dig(pod, "metadata", "ownerReferences", default=[])
    return str(dig(owners, 0, "name", default=""))


class _Rootless(BootstrapPlan):
    """A plan that leads to the same objects, but of which nobody applies the roots."""

    __slots__ = ()

    def root_objects(self, repo: ServedRepo, revision: str | None = None) -> tuple[Object, ...]:
        return ()


@dataclass(slots=True)
class ForgetRoots:
    """Whoever bootstraps the engine again forgets the root objects: Argo CD is there, and has nothing to follow."""

    platform: Platform
    _plan: BootstrapPlan | None = None

    @property
    def subject(self) -> str:
        return "ForgetRoots"

    def begin(self) -> None:
        self._plan = self.platform.plan
        self.platform.plan = _Rootless(**{f.name: getattr(self._plan, f.name) for f in fields(self._plan)})

    def after_injection(self) -> None:
        return None

    def end(self) -> None:
        """Apply them now. Raises HealFailed when the platform does not settle."""
        if self._plan is not None:
            self.platform.plan = self._plan
        if self.platform.alive:
            self.platform.api.apply_many(self.platform.plan.root_objects(self.platform.repo))
        settle(self.platform, engine_ready(self.platform))


@dataclass(slots=True)
class CutFromGit:
    """From the outage on nothing in the cluster reaches the Git server's address: for it, Git does not return.

    A rule in the network of each node, in front of what its Pods send; the Git server itself knows nothing of it.
    """

    platform: Platform
    _cut: list[str] = field(default_factory=list)
    _head: str = ""

    @property
    def subject(self) -> str:
        return "CutFromGit"

    def begin(self) -> None:
        self._head = self.platform.repo.head

    def after_injection(self) -> None:
        """Nothing, until the Git server is down."""
        if self._cut or self.platform.repo.serving:
            return
        for node in self.platform.cluster.nodes():
            self._iptables(node.container, "-I")
            self._cut.append(node.container)

    def end(self) -> None:
        """Take the rules away, and what the story committed and never reverted. Raises HealFailed, also when the
        platform does not settle."""
        repo = self.platform.repo
        repo.resume()
        for sha in repo.git.out("rev-list", f"{self._head}..{repo.head}").split():
            repo.revert(sha)
        if self.platform.alive:
            try:
                while self._cut:
                    self._iptables(self._cut[-1], "-D")
                    self._cut.pop()
            except ToolError as error:
                raise HealFailed(f"the way to Git is still cut on {', '.join(self._cut)}: {error}") from error
        settle(self.platform, engine_ready(self.platform))

    def _iptables(self, node: str, verb: str) -> None:
        address = urlsplit(self.platform.repo.url)
        rule = ["-d", str(address.hostname), "-p", "tcp", "--dport", str(address.port), "-j", "REJECT"]
        argv = ["iptables", "-w", "5", verb, "FORWARD", *rule]
        self.platform.cluster.docker.exec(node, argv, timeout=20 * SECOND)
