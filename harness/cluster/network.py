"""The closed network a run's clusters live on: made before the first container, gone with the last.

Here belong the choice of a free range, the host rules that keep everything on this machine, and their removal. What
runs on the network does not. A rebuilt copy of somebody's cluster must not act on the real world, so that the rules
stand before the network exists and are checked again before every cluster.
"""

from __future__ import annotations

import fcntl
import ipaddress
import os
import secrets
import shlex
import struct
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

from harness.cluster import labels
from harness.cluster.docker import Docker, Runner
from harness.core.clock import SECOND, Clock
from harness.core.errors import CommandFailed, ProvisionFailed, ToolError, UnsafeTarget
from harness.effects import proc

POD_RANGE, SERVICE_RANGE = "10.42.0.0/16", "10.43.0.0/16"  # k3s' own defaults, and ours
Egress = Literal["deny", "allow"]
_POOLS = ("172.28.0.0/14", "192.168.128.0/17", "10.224.0.0/12")
_METRIC, _PROTOCOL = "4242", "242"  # a metric that loses to every real route; a protocol number that marks ours
_QUICK = 20 * SECOND
_CHAIN = "DOCKER-USER"  # the chain Docker leaves to its users, looked at before its own rules


@dataclass(frozen=True, slots=True)
class Network:
    """A network of ours. The gateway is the host's own address on it: the Git server listens there."""

    name: str
    subnet: str
    gateway: str
    bridge: str
    egress: Egress = "deny"


class HostTools(Protocol):
    """Runs `iptables` and `ip` in the host's network namespace."""

    def __call__(self, *argv: str, check: bool = True) -> proc.Completed: ...


def direct(run: Runner = proc.run) -> HostTools:
    """The host's own tools, for root."""

    def call(*argv: str, check: bool = True) -> proc.Completed:
        return run(list(argv), timeout=_QUICK, check=check)

    return call


def contained(docker: Docker, image: str) -> HostTools:
    """The tools of `image` in a privileged container on the host's network, for everybody else."""

    def call(*argv: str, check: bool = True) -> proc.Completed:
        options = ["--rm", "--privileged", "--network=host", f"--entrypoint={argv[0]}"]
        try:
            return docker.run(image, argv[1:], options=options, timeout=_QUICK)
        except CommandFailed as error:
            if check:
                raise
            return proc.Completed(error.argv, error.returncode, error.stdout, error.stderr, _QUICK)

    return call


def host_tools(docker: Docker, image: str) -> HostTools:
    """Direct as root on Linux where both tools are installed, else through a container of the node image."""
    if sys.platform == "linux" and os.geteuid() == 0 and proc.which("iptables") and proc.which("ip"):
        return direct()
    return contained(docker, image)


class Firewall:
    """Our rules in DOCKER-USER and our unreachable routes. Each rule's comment names the run and its owner."""

    def __init__(self, tools: HostTools) -> None:
        self._tools = tools
        self._flavour = ""

    def close(self, network: Network, mark: str) -> None:
        """Refuse whatever comes from the network and wants off it; idempotent. Raises UnsafeTarget."""
        try:
            self._require_chain()
            for rule in _rules(network, mark):
                if self._iptables("-C", _CHAIN, *rule, check=False).returncode != 0:
                    self._iptables("-I", _CHAIN, "1", *rule)
            for cidr in (POD_RANGE, SERVICE_RANGE):
                self._tools("ip", "route", "replace", "unreachable", cidr, "metric", _METRIC, "proto", _PROTOCOL)
        except ToolError as error:
            raise UnsafeTarget(
                "a network that nothing leaves", f"host rules that cannot be set ({error})",
                "run as root, or install iptables and iproute2, or accept an open network with --egress allow",
            ) from error  # fmt: skip

    def is_closed(self, network: Network, mark: str) -> bool:
        """Do both rules of this network stand, and does Docker's chain lead to them?"""
        self._require_chain()
        mine = [words for words in self._ours() if mark in words]
        return all(any(key in words for words in mine) for key in (network.bridge, network.subnet))

    def marks(self) -> tuple[str, ...]:
        """The comments of all our rules, whoever's run they belong to; without duplicates."""
        found = [words[words.index("--comment") + 1] for words in self._ours()]
        return tuple(dict.fromkeys(found))

    def open(self, network: Network, mark: str) -> None:
        """Remove the rules of this network; the run's other networks stay closed."""
        for rule in _rules(network, mark) if self._find_chain() else ():
            self._iptables("-D", _CHAIN, *rule, check=False)

    def open_all(self, mark: str) -> int:
        """Remove every rule that carries exactly this comment; how many they were."""
        mine = [words for words in self._ours() if words[words.index("--comment") + 1] == mark]
        for words in mine:
            self._iptables("-D", *words[1:], check=False)
        return len(mine)

    def drop_routes(self) -> bool:
        """Remove our unreachable routes and nobody else's; True if there was one."""
        dropped = False
        for cidr in (POD_RANGE, SERVICE_RANGE):
            argv = ("ip", "route", "del", "unreachable", cidr, "metric", _METRIC, "proto", _PROTOCOL)
            dropped |= self._tools(*argv, check=False).returncode == 0
        return dropped

    def _ours(self) -> list[list[str]]:
        if not self._find_chain():
            return []
        lines = [shlex.split(line) for line in self._iptables("-S", _CHAIN).stdout.splitlines()]
        return [
            words for words in lines
            if "--comment" in words and words[words.index("--comment") + 1].startswith(labels.COMMENT)
        ]  # fmt: skip

    def _iptables(self, *argv: str, check: bool = True) -> proc.Completed:
        return self._tools(self._flavour or "iptables", "-w", "5", *argv, check=check)

    def _find_chain(self) -> bool:
        """Docker may write legacy or nft tables: ours must go where its are."""
        if not self._flavour:
            for flavour in ("iptables", "iptables-legacy", "iptables-nft"):
                try:
                    done = self._tools(flavour, "-w", "5", "-S", "FORWARD", check=False)
                except ToolError:
                    continue
                if done.returncode == 0 and f"-j {_CHAIN}" in done.stdout:
                    self._flavour = flavour
                    break
        return bool(self._flavour)

    def _require_chain(self) -> None:
        if not self._find_chain():
            raise UnsafeTarget(
                f"Docker's firewall chain {_CHAIN} in the path of forwarded packets", "none",
                "let Docker manage iptables, or accept an open network with --egress allow",
            )  # fmt: skip


class Networks:
    """Makes and removes the networks of one run."""

    def __init__(
        self, docker: Docker, firewall: Firewall, *, run_id: str, owner: labels.Owner, clock: Clock, state: Path
    ) -> None:
        self._docker, self._firewall, self._clock = docker, firewall, clock
        self._run_id, self._owner, self._state = run_id, owner, state
        self.mark = f"{labels.COMMENT}{run_id}:{owner}"

    def make(self, egress: Egress = "deny") -> Network:
        """A new network, closed before it exists. Raises UnsafeTarget where it cannot be closed, ProvisionFailed."""
        refused: list[str] = []
        for _ in range(8):
            network = self._pick(egress, refused)
            with routes_lock(self._state):
                if egress == "deny":
                    self._firewall.close(network, self.mark)
                try:
                    self._create(network)
                except CommandFailed as error:
                    self._firewall.open(network, self.mark)
                    if "overlap" not in error.stderr:
                        raise ProvisionFailed(f"Docker network {network.name} could not be made: {error}") from error
                    refused.append(network.subnet)  # another run was faster: take the next
                    continue
            return network
        raise ProvisionFailed(f"no free range for a Docker network; tried {', '.join(refused)}")

    def verify(self, network: Network) -> None:
        """Refuse to go on if the network should be closed and is not. Raises UnsafeTarget."""
        if network.egress == "deny" and not self._firewall.is_closed(network, self.mark):
            raise UnsafeTarget(
                f"host rules that close {network.subnet}", "none: something removed them",
                "stop what rewrites the firewall during a run, then run again",
            )  # fmt: skip

    def remove(self, network: Network) -> None:
        """Remove the network, its rules, and with the last network of ours the routes. Raises CommandFailed."""
        with routes_lock(self._state):
            self._docker.remove_network(network.name)
            if network.egress == "deny":
                self._firewall.open(network, self.mark)
            if not self._docker.networks(labels.RUN):
                self._firewall.drop_routes()

    def _create(self, network: Network) -> None:
        marks = labels.labels(self._run_id, self._owner, self._clock.utc())
        self._docker.create_network(
            network.name, subnet=network.subnet, gateway=network.gateway, bridge=network.bridge, labels=marks
        )

    def _pick(self, egress: Egress, refused: Sequence[str]) -> Network:
        taken = [ipaddress.ip_network(s) for n in self._docker.networks() for s in n.subnets if ":" not in s]
        taken += [ipaddress.ip_network(s) for s in refused]
        subnet = free_subnet([n for n in [*taken, *host_routes()] if isinstance(n, ipaddress.IPv4Network)])
        tag = secrets.token_hex(4)
        name = f"drill-{self._run_id}-{tag[:4]}"
        return Network(name, str(subnet), str(next(subnet.hosts())), f"drl-{tag}", egress)


def free_subnet(taken: Iterable[ipaddress.IPv4Network], *, start: int | None = None) -> ipaddress.IPv4Network:
    """A private /24 that meets none of `taken`. `start` makes the choice repeatable; else it is random, so that two
    runs at once seldom want the same one. Raises ProvisionFailed."""
    used = tuple(taken)
    for pool in _POOLS:
        whole = ipaddress.IPv4Network(pool)
        count = whole.num_addresses // 256
        first = start % count if start is not None else secrets.randbelow(count)
        for step in range(count):
            base = int(whole.network_address) + (first + step) % count * 256
            candidate = ipaddress.IPv4Network((base, 24))
            if not any(candidate.overlaps(other) for other in used):
                return candidate
    raise ProvisionFailed(f"no free private range in {', '.join(_POOLS)}")


def host_routes(table: Path = Path("/proc/net/route")) -> tuple[ipaddress.IPv4Network, ...]:
    """The host's IPv4 routes but the default one; empty where the system keeps no such file (see proc(5))."""
    try:
        lines = table.read_text().splitlines()[1:]
    except OSError:
        return ()
    found = []
    for line in lines:
        words = line.split()
        if len(words) < 8 or words[7] == "00000000":
            continue
        # Both are printed as the number a little-endian machine reads from the network-order bytes.
        address, mask = (struct.unpack("<I", struct.pack(">I", int(word, 16)))[0] for word in (words[1], words[7]))
        found.append(ipaddress.IPv4Network((address, mask.bit_count()), strict=False))
    return tuple(found)


@contextmanager
def routes_lock(state: Path) -> Iterator[None]:
    """Held while networks and the routes they share change: the last run to leave must not take them from the next."""
    state.mkdir(parents=True, exist_ok=True)
    with (state / "network.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _rules(network: Network, mark: str) -> tuple[tuple[str, ...], ...]:
    """By bridge, which also catches pod addresses that were never translated; and by range.

    The range rule spares what stays on the bridge: with bridge-nf-call-iptables, a node that talks to a pod on another
    node (an API server proxying to a Service) passes here too, with a destination outside the subnet.
    """
    tail = ("-m", "comment", "--comment", mark, "-j", "REJECT")
    return (
        ("-i", network.bridge, "!", "-o", network.bridge, *tail),
        ("-s", network.subnet, "!", "-o", network.bridge, *tail),
    )
