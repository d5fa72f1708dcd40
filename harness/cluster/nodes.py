"""Nodes: the containers a cluster's nodes are, and a look inside them.

Here belong `Node` and the facts that testinfra reads in a running container. Harming a node does not: that is
`harness.faults`. Never in a timed path: each fact is a `docker exec` of a shell.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

from harness.cluster import labels
from harness.cluster.docker import Container, Docker
from harness.core.clock import SECOND
from harness.core.errors import CommandTimeout, ToolError

T = TypeVar("T")
ROLES = ("server", "agent")
_ROLE_LABEL = "k3d.role"
# .../kubepods/burstable/pod<uid>/<container>; where systemd writes it, kubepods-burstable-pod<uid with _ for ->.slice.
_POD_IN_CGROUP = re.compile(r"\bkubepods\S*?pod([0-9a-f]{8}(?:[-_][0-9a-f]{4}){3}[-_][0-9a-f]{12})")

_FIND = "find %s -mindepth 1 -maxdepth 2"


@dataclass(frozen=True, slots=True)
class Node:
    """One node: its name in Kubernetes is its container's. `ip` is empty while the container is down."""

    name: str
    role: str
    container: str
    ip: str
    running: bool = True


def nodes_of(docker: Docker, cluster: str, network: str) -> tuple[Node, ...]:
    """The nodes of a k3d cluster, servers first; helpers of k3d's own (tools, load balancer) are none."""
    found = [_node(c, network) for c in docker.containers(f"{labels.K3D_CLUSTER}={cluster}") if _role(c) in ROLES]
    return tuple(sorted(found, key=lambda node: (node.role != "server", node.name)))


def _role(container: Container) -> str:
    return container.labels.get(_ROLE_LABEL, "")


def _node(container: Container, network: str) -> Node:
    address = container.addresses.get(network, "")
    return Node(container.name, _role(container), container.id, address, container.running)


class NodeView:
    """Facts about the inside of a running node, by pytest-testinfra. Raises CommandTimeout and ToolError.

    testinfra waits for ever; a frozen container would hang us, so that every question is asked in a thread that is
    left behind when its time is up.
    """

    def __init__(
        self, node: Node, *, timeout: timedelta = 10 * SECOND, host: Callable[[str], Any] | None = None
    ) -> None:
        self.node, self._timeout, self._connect = node, timeout, host or _testinfra
        self._host: Any = None

    def listens(self, port: int, address: str = "") -> bool:
        """Does something in the node listen on this TCP port (at this address)?"""
        where = f"tcp://{address}:{port}" if address else f"tcp://{port}"
        return self._ask(where, lambda host: bool(host.socket(where).is_listening))

    def mounted(self, path: str) -> bool:
        """Is `path` a mount point?"""
        return self._ask(f"mount {path}", lambda host: bool(host.mount_point(path).exists))

    def exists(self, path: str) -> bool:
        """Is there a file or folder?"""
        return self._ask(f"file {path}", lambda host: bool(host.file(path).exists))

    def text(self, path: str) -> str:
        """A file's content. Raises ToolError if there is none."""
        return self._ask(f"file {path}", lambda host: str(host.file(path).content_string))

    def mode(self, path: str) -> int:
        """A file's permission bits."""
        return self._ask(f"file {path}", lambda host: int(host.file(path).mode))

    def sysctl(self, name: str) -> int | str:
        """A kernel setting as the node sees it."""

        def ask(host: Any) -> int | str:
            found: int | str = host.sysctl(name)
            return found

        return self._ask(f"sysctl {name}", ask)

    def digest(self, path: str) -> str:
        """SHA-256 of a file's content, which itself never leaves the node. Raises ToolError if there is none."""
        return self._ask(f"digest of {path}", lambda host: str(host.file(path).sha256sum))

    def listening(self) -> frozenset[int]:
        """The TCP ports on which something in the node listens, at whatever address."""
        found = self._ask("sockets", lambda host: list(host.socket.get_listening_sockets()))
        return frozenset(int(where.rpartition(":")[2]) for where in found if where.startswith("tcp://"))

    def mounts(self) -> frozenset[str]:
        """Every mount point."""
        return self._ask("mounts", lambda host: frozenset(str(m.path) for m in host.mount_point.get_mountpoints()))

    def tree(self, path: str) -> tuple[str, ...]:
        """What is in a folder and in its folders, below it, hidden things too; nothing where there is no such one."""
        said = self._ask(f"folder {path}", lambda host: str(host.run(_FIND, path).stdout))
        return tuple(sorted(line.removeprefix(f"{path}/") for line in said.splitlines() if line.startswith(f"{path}/")))

    def pods(self) -> frozenset[str]:
        """UIDs of the Pods of which a process runs in the node, whatever the API knows: read off control groups."""
        found = self._ask("processes", lambda host: str(host.run("cat /proc/[0-9]*/cgroup").stdout))
        return frozenset(uid.replace("_", "-") for uid in _POD_IN_CGROUP.findall(found))

    def _ask(self, what: str, question: Callable[[Any], T]) -> T:
        answer: list[T] = []
        failure: list[BaseException] = []

        def work() -> None:
            try:
                self._host = self._host or self._connect(f"docker://{self.node.container}")
                answer.append(question(self._host))
            except BaseException as error:  # noqa: BLE001 - carried to the caller's thread and raised there
                failure.append(error)

        thread = threading.Thread(target=work, name=f"look into {self.node.name}", daemon=True)
        thread.start()
        thread.join(self._timeout.total_seconds())
        if thread.is_alive():
            raise CommandTimeout(["docker", "exec", self.node.name, what], self._timeout, "", "the node did not answer")
        if failure:
            raise ToolError(f"{what} of node {self.node.name} could not be read: {failure[0]}") from failure[0]
        return answer[0]


def _testinfra(address: str) -> Any:
    import testinfra

    return testinfra.get_host(address)
