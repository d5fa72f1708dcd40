"""Losing one node: it crashes, it freezes, or it is gone for ever; and what is done to have it back.

Here belong the harms and their undoing. What the API makes of it is `harness.probes.nodes`; losing all nodes at once is
`harness.faults.cluster`.

Facts: `docker kill` is a crash, and the container stays down until it is started, whatever its restart policy;
`docker pause` freezes every process while connections stay open. On cgroup v1 a busy container cannot always be frozen
at once ("unable to freeze"), which docker undoes and reports. A dead kubelet cannot tell anybody: the Node is NotReady
only when its lease has not been renewed for the grace period (20 s in profile `fast`, 50 s by default).
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field

from harness.cluster.agents import add_agent, node_named, remove, replaceable
from harness.cluster.docker import Container
from harness.cluster.nodes import Node, NodeView
from harness.core.clock import MILLISECOND, SECOND
from harness.core.errors import (
    ApiRefused,
    CommandFailed,
    ConfigError,
    HealFailed,
    InjectFailed,
    ProvisionFailed,
    ToolError,
)
from harness.core.faults import BlastRadius, Injected
from harness.core.objects import NODE, SECRET, Kind, Ref
from harness.core.observation import Observation, State
from harness.gitops.platform import Platform

STORAGE = "/var/lib/rancher/k3s/storage"  # where local-path keeps the volumes of a node
IDENTITY = "/var/lib/rancher/k3s/agent/pki/kubelet-client-current.pem"  # of the node image built here
K3S_IDENTITY = "/var/lib/rancher/k3s/agent/client-kubelet.crt"
MARK = ".drill-mark"
FREEZES = 5  # attempts to freeze a busy container
FREEZE_PAUSE = 300 * MILLISECOND


@dataclass(slots=True)
class DownedNode:
    """What every harmed node has: who it is, since when it is away, and since when it is back (monotonic ns)."""

    platform: Platform
    node: str
    blast_radius: BlastRadius = BlastRadius.NODE
    away_ns: int | None = field(default=None, init=False)  # since it was sent away
    back_ns: int | None = field(default=None, init=False)  # since we began to bring it back
    restarts_pods = True  # what runs on it begins anew when it is back

    @property
    def subject(self) -> str:
        return f"{type(self).__name__}({self.node})"

    @property
    def ref(self) -> Ref:
        """The Node as the API knows it."""
        return Ref("", "Node", "", self.node)

    @property
    def touches(self) -> tuple[str, ...]:
        """The Node, and with it all that runs on it."""
        return (str(self.ref),)

    def _target(self) -> Node:
        """The node, ours and running. Every state of its Node object is kept from now on."""
        cluster = self.platform.cluster
        found = node_named(cluster, self.node)
        cluster.assert_ours()
        if not found.running:
            raise InjectFailed(f"expected node {self.node} to run before it is harmed; found it down")
        self.platform.view.follow(self.ref)
        return found

    def _container(self) -> Container | None:
        return self.platform.cluster.docker.container(self.node)

    def _answer(self, landed: bool, expected: str, actual: str) -> Observation:
        state = State.MET if landed else State.PENDING
        return Observation(state, self.subject, expected, actual, self.platform.clock.now_ns())


@dataclass(slots=True)
class CrashNode(DownedNode):
    """`docker kill`: the node is dead from one moment to the next. `docker start` brings it back, with its disk."""

    silences_api: bool = field(default=False, init=False)

    def inject(self) -> Injected:
        """Raises ConfigError (no such node), InjectFailed, UnsafeTarget."""
        found, clock = self._target(), self.platform.clock
        self.silences_api = found.role == "server"  # there is one server only
        self.away_ns = clock.now_ns()
        try:
            self.platform.cluster.docker.kill(self.node)
        except ToolError as error:
            raise InjectFailed(f"{self.node} could not be killed: {error}") from error
        return Injected(self.away_ns, clock.now_ns(), f"{found.role} {self.node} killed", {"role": found.role})

    def confirm(self) -> Observation:
        """Asks the engine whether the container is dead and, of the only server, the API whether it is silent."""
        found = self._container()
        expected = f"{self.node} dead" + (" and the API silent" if self.silences_api else "")
        if found is None or found.running:
            return self._answer(False, expected, "it still runs" if found else "there is no such container")
        if self.silences_api and self.platform.view.answering:
            return self._answer(False, expected, f"{self.node} is dead, the API was not seen silent yet")
        also = ", the API does not answer" if self.silences_api else ""
        return self._answer(True, expected, f"{self.node} is dead (exit code {found.exit_code}){also}")

    def heal(self) -> None:
        """Start it. That it joins again and works is for the story to await. Raises HealFailed."""
        if self.away_ns is None or self.back_ns is not None:
            return
        self.back_ns = self.platform.clock.now_ns()
        try:
            self.platform.cluster.docker.start(self.node)
        except (ToolError, ProvisionFailed) as error:
            raise HealFailed(f"{self.node} could not be started: {error}") from error


@dataclass(slots=True)
class FreezeNode(DownedNode):
    """`docker pause`: every process of the node stands still. `docker unpause` lets it go on where it was."""

    restarts_pods = False
    refusals: list[str] = field(default_factory=list, init=False)  # what the engine said to attempts that failed

    def inject(self) -> Injected:
        """Tries again where the engine says that it was unable to; the refusals are in `detail`.

        Raises ConfigError (no such node), InjectFailed, UnsafeTarget.
        """
        found, clock = self._target(), self.platform.clock
        while True:
            self.away_ns = clock.now_ns()
            try:
                self.platform.cluster.docker.pause(self.node)
                break
            except CommandFailed as error:
                if "unable to freeze" not in str(error) or len(self.refusals) + 1 >= FREEZES:
                    raise InjectFailed(f"{self.node} could not be frozen: {error}") from error
                self.refusals.append(str(error).splitlines()[-1][:200])
            except ToolError as error:
                raise InjectFailed(f"{self.node} could not be frozen: {error}") from error
            clock.sleep(FREEZE_PAUSE)
        tries = f" at attempt {len(self.refusals) + 1}" if self.refusals else ""
        detail = {"role": found.role, "refusals": list(self.refusals)}
        return Injected(self.away_ns, clock.now_ns(), f"{found.role} {self.node} frozen{tries}", detail)

    def confirm(self) -> Observation:
        """Asks the engine whether the container stands still."""
        found = self._container()
        frozen = found is not None and found.paused
        return self._answer(frozen, f"{self.node} frozen", f"{self.node} is {'frozen' if frozen else 'not frozen'}")

    def heal(self) -> None:
        """Thaw it, if it is frozen. Raises HealFailed."""
        if self.away_ns is None or self.back_ns is not None:
            return
        self.back_ns = self.platform.clock.now_ns()
        try:
            found = self._container()
            if found is None or found.paused:
                self.platform.cluster.docker.unpause(self.node)
        except (ToolError, ProvisionFailed) as error:
            raise HealFailed(f"{self.node} could not be thawed: {error}") from error


@dataclass(slots=True)
class LoseNode(DownedNode):
    """`k3d node delete`: the container and its disk are gone for ever; the Node object stays behind.

    Before that, a mark is left in every volume on its disk: it proves later that what comes back is not that disk.
    """

    container: str = field(default="", init=False)
    identity: str = field(default="", init=False)  # digest of the kubelet's certificate
    volumes: tuple[str, ...] = field(default=(), init=False)  # folders of the node-local volumes that went with it

    def __post_init__(self) -> None:
        replaceable(self.node)

    @property
    def touches(self) -> tuple[str, ...]:
        """The Node, all that runs on it, and the secret that official k3s knows the old one by."""
        return (str(self.ref), f"Secret kube-system/{self.node}.node-password.k3s")

    def inject(self) -> Injected:
        """Raises ConfigError (no such node), InjectFailed, UnsafeTarget."""
        found, clock = self._target(), self.platform.clock
        if found.role != "agent":
            raise ConfigError("an agent: the only server cannot be replaced", self.node, "lose an agent")
        try:
            self._take_down_particulars(found)
            self.away_ns = clock.now_ns()
            remove(self.platform.clusters, self.platform.cluster, self.node)
        except (ToolError, ProvisionFailed) as error:
            raise InjectFailed(f"{self.node} could not be deleted: {error}") from error
        detail = {"container": self.container, "identity": self.identity, "volumes": list(self.volumes)}
        lost = f", and with it {len(self.volumes)} node-local volumes" if self.volumes else ""
        return Injected(self.away_ns, clock.now_ns(), f"agent {self.node} deleted{lost}", detail)

    def confirm(self) -> Observation:
        """Asks the engine whether the container is gone."""
        found = self._container()
        return self._answer(found is None, f"no container {self.node}", "still there" if found else "gone for ever")

    def replacement(self) -> Replacement:
        """What an operator does next. Hand it to `drill.rebuild`."""
        return Replacement(self)

    def _take_down_particulars(self, found: Node) -> None:
        view = NodeView(found, timeout=30 * SECOND)
        self.container, self.identity = found.container[:12], identity(view)
        self.volumes = tuple(path for path in view.tree(STORAGE) if "/" not in path)
        if self.volumes:
            marks = [f"{STORAGE}/{folder}/{MARK}" for folder in self.volumes]
            self.platform.cluster.docker.exec(self.node, ["touch", *marks])


@dataclass(slots=True)
class Replacement:
    """Another machine under the lost one's name, made as an operator would.

    The Node object of the lost one is deleted, a new node joins, and the folders of the volumes that were lost are made
    anew: their claims still point there, and find them empty.
    """

    lost: LoseNode
    back_ns: int | None = None
    restarts_pods = True

    @property
    def platform(self) -> Platform:
        return self.lost.platform

    @property
    def node(self) -> str:
        return self.lost.node

    @property
    def ref(self) -> Ref:
        return self.lost.ref

    @property
    def away_ns(self) -> int | None:
        return self.lost.away_ns

    def rebuild(self) -> None:
        """Raises ProvisionFailed, ToolError, ApiUnreachable, ApiRefused."""
        platform = self.platform
        self._forget(NODE, self.node, None)
        self._forget(SECRET, f"{self.node}.node-password.k3s", "kube-system")
        self.back_ns = platform.clock.now_ns()
        add_agent(platform.clusters, platform.cluster, self.node)
        folders = [f"{STORAGE}/{folder}" for folder in self.lost.volumes]
        if folders:
            # 0777, as the provisioner makes them: a pod that came first would find a folder that only root may write.
            script = 'mkdir -p "$@" && chmod 777 "$@"'
            platform.cluster.docker.exec(self.node, ["sh", "-c", script, "sh", *folders])

    def _forget(self, kind: Kind, name: str, namespace: str | None) -> None:
        try:
            self.platform.api.delete(kind, name, namespace)
        except ApiRefused as error:
            if error.status != 404:
                raise


def identity(view: NodeView) -> str:
    """The digest of the certificate by which the API knows the node; "" where there is none to be read."""
    for path in (IDENTITY, K3S_IDENTITY):
        with suppress(ToolError):
            return view.digest(path)
    return ""
