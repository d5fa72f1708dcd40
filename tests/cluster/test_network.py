"""Network: the free range, the rules as they are given to the host, and the live proof that they hold."""

from __future__ import annotations

import os
import secrets
import shlex
import socket
import subprocess
import sys
from collections.abc import Iterator
from datetime import timedelta
from ipaddress import IPv4Network
from pathlib import Path

import pytest

from harness.cluster import labels
from harness.cluster.docker import Docker
from harness.cluster.host import image_names
from harness.cluster.network import Firewall, HostTools, Network, Networks, contained, direct, free_subnet, host_routes
from harness.core.clock import SystemClock
from harness.core.errors import CommandFailed, ProvisionFailed, UnsafeTarget
from harness.effects.proc import Completed
from tests.cluster import tiny

ZERO = timedelta(0)


class FakeHost:
    """iptables and ip, as far as we use them."""

    def __init__(self, forward: str = "-P FORWARD DROP\n-A FORWARD -j DOCKER-USER\n") -> None:
        self.forward = forward
        self.rules: list[list[str]] = [["-j", "RETURN"]]
        self.routes: set[tuple[str, ...]] = set()

    def __call__(self, *argv: str, check: bool = True) -> Completed:
        code, out = self._ip(argv) if argv[0] == "ip" else self._iptables(argv[3:])
        if check and code:
            raise CommandFailed(argv, code, out, "refused")
        return Completed(argv, code, out, "", ZERO)

    def _ip(self, argv: tuple[str, ...]) -> tuple[int, str]:
        route = argv[3:]
        if argv[2] == "replace":
            self.routes.add(route)
            return 0, ""
        known = route in self.routes
        self.routes.discard(route)
        return (0 if known else 2), ""

    def _iptables(self, argv: tuple[str, ...]) -> tuple[int, str]:
        verb, chain, *rule = argv
        if verb == "-S":
            text = "".join(f"-A DOCKER-USER {shlex.join(r)}\n" for r in self.rules)
            return (0, self.forward) if chain == "FORWARD" else (0, text)
        if verb == "-I":
            self.rules.insert(0, rule[1:])
            return 0, ""
        if verb == "-D":
            if rule in self.rules:
                self.rules.remove(rule)
                return 0, ""
            return 1, ""
        return (0 if rule in self.rules else 1), ""


class FakeDocker(Docker):
    """Networks only."""

    def __init__(self, taken: tuple[str, ...] = (), overlapping: int = 0) -> None:
        self.made: dict[str, dict[str, str]] = {}
        self.taken, self.overlapping, self.at_creation = taken, overlapping, 0
        super().__init__(run=self.answer)

    def answer(self, argv: object, *, timeout: timedelta, check: bool = True) -> Completed:
        words = list(argv)  # type: ignore[call-overload]
        if words[1:3] == ["network", "create"] and self.overlapping:
            self.overlapping -= 1
            raise CommandFailed(words, 1, "", "Pool overlaps with other one on this address space")
        if words[1:3] == ["network", "create"]:
            self.made[words[-1]] = {}
        if words[1:3] == ["network", "rm"]:
            del self.made[words[-1]]
        out = "\n".join(self.made) if words[1:3] == ["network", "ls"] else ""
        if words[1:3] == ["network", "inspect"]:
            out = "[" + ",".join(f'{{"Id": "{n}", "Name": "{n}"}}' for n in words[3:]) + "]"
        return Completed(tuple(words), 0, out, "", ZERO)


def networks(docker: Docker, host: FakeHost, tmp_path: Path, run_id: str = "r1") -> Networks:
    owner = labels.Owner("here", 1, 2)
    return Networks(docker, Firewall(host), run_id=run_id, owner=owner, clock=SystemClock(), state=tmp_path)


def test_a_free_range_meets_neither_routes_nor_networks() -> None:
    taken = [IPv4Network("172.28.0.0/16"), IPv4Network("172.29.0.0/24")]

    assert free_subnet(taken, start=0) == IPv4Network("172.29.1.0/24")


def test_the_next_pool_is_used_when_the_first_is_full() -> None:
    assert free_subnet([IPv4Network("172.16.0.0/12")], start=0) == IPv4Network("192.168.128.0/24")


def test_no_free_range_is_said_so() -> None:
    with pytest.raises(ProvisionFailed, match="no free private range"):
        free_subnet([IPv4Network("128.0.0.0/1"), IPv4Network("0.0.0.0/1")])


def test_the_hosts_routes_are_read_without_the_default(tmp_path: Path) -> None:
    table = tmp_path / "route"
    head = "Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\tMTU\tWindow\tIRTT\n"
    rows = ["eth0 00000000 010200C0 0003 0 0 0 00000000 0 0 0", "docker0 000011AC 00000000 0001 0 0 0 0000FFFF 0 0 0"]
    table.write_text(head + "\n".join(rows) + "\n")

    assert host_routes(table) == (IPv4Network("172.17.0.0/16"),)


def test_a_network_is_closed_before_it_exists_and_opened_with_its_removal(tmp_path: Path) -> None:
    host, docker = FakeHost(), FakeDocker()
    ours = networks(docker, host, tmp_path)

    network = ours.make()

    assert len(host.rules) == 3
    assert all("drill:r1:here/1/2" in rule for rule in host.rules[:2])
    assert ["-s", network.subnet, "!", "-o", network.bridge] == host.rules[0][:5]
    assert ["-i", network.bridge, "!", "-o", network.bridge] == host.rules[1][:5]
    assert len(host.routes) == 2
    ours.verify(network)

    ours.remove(network)

    assert host.rules == [["-j", "RETURN"]]
    assert not host.routes


def test_the_routes_stay_until_the_last_network_goes(tmp_path: Path) -> None:
    host, docker = FakeHost(), FakeDocker()
    one, two = networks(docker, host, tmp_path, "r1"), networks(docker, host, tmp_path, "r2")
    first, second = one.make(), two.make()

    one.remove(first)

    assert len(host.routes) == 2
    assert len(host.rules) == 3
    two.remove(second)
    assert not host.routes


def test_removing_one_network_leaves_the_runs_other_one_closed(tmp_path: Path) -> None:
    host, docker = FakeHost(), FakeDocker()
    ours = networks(docker, host, tmp_path)
    first, second = ours.make(), ours.make()

    ours.remove(first)

    ours.verify(second)


def test_a_range_that_another_run_took_meanwhile_is_passed_over(tmp_path: Path) -> None:
    host, docker = FakeHost(), FakeDocker(overlapping=2)

    network = networks(docker, host, tmp_path).make()

    assert list(docker.made) == [network.name]
    assert len(host.rules) == 3


def test_a_host_that_cannot_be_closed_is_refused_and_nothing_is_made(tmp_path: Path) -> None:
    host, docker = FakeHost(forward="-P FORWARD ACCEPT\n"), FakeDocker()

    with pytest.raises(UnsafeTarget, match=r"DOCKER-USER.*--egress allow"):
        networks(docker, host, tmp_path).make()

    assert not docker.made


def test_egress_allowed_sets_no_rule(tmp_path: Path) -> None:
    host, docker = FakeHost(forward=""), FakeDocker()
    ours = networks(docker, host, tmp_path)

    network = ours.make("allow")

    assert network.egress == "allow"
    assert len(host.rules) == 1
    ours.verify(network)


def test_a_rule_that_vanished_is_noticed(tmp_path: Path) -> None:
    host, docker = FakeHost(), FakeDocker()
    ours = networks(docker, host, tmp_path)
    network = ours.make()
    host.rules.pop(0)

    with pytest.raises(UnsafeTarget, match="something removed them"):
        ours.verify(network)


# --- live: a network namespace stands in for the world ------------------------------------------------------------

WORLD, EDGE = "198.51.100.2", "198.51.100.1"  # TEST-NET-2 of RFC 5737: nobody's
LISTENER = (
    "import socket\ns = socket.create_server(('0.0.0.0', 7000))\nprint('up', flush=True)\n"
    "while True:\n    c, _ = s.accept()\n    c.sendall(b'world')\n    c.close()\n"
)
PROBE = (
    "import socket, sys\ntry:\n    c = socket.create_connection((sys.argv[1], int(sys.argv[2])), 3)\n"
    "    print(c.recv(9).decode())\nexcept OSError as e:\n    print(type(e).__name__, e.errno)\n"
)


def sh(*argv: str, check: bool = True) -> str:
    return subprocess.run(argv, check=check, capture_output=True, text=True).stdout.strip()


@pytest.fixture
def world() -> Iterator[str]:
    """A namespace with an address of its own, reached through the host, where something listens."""
    name = f"drillw{secrets.token_hex(3)}"
    sh("ip", "netns", "add", name)
    listener = None
    try:
        sh("ip", "link", "add", name, "type", "veth", "peer", "name", "eth0", "netns", name)
        sh("ip", "addr", "add", f"{EDGE}/24", "dev", name)
        sh("ip", "link", "set", name, "up")
        sh("ip", "-n", name, "addr", "add", f"{WORLD}/24", "dev", "eth0")
        sh("ip", "-n", name, "link", "set", "eth0", "up")
        sh("ip", "-n", name, "route", "add", "default", "via", EDGE)
        argv = ["ip", "netns", "exec", name, sys.executable, "-c", LISTENER]
        listener = subprocess.Popen(argv, stdout=subprocess.PIPE, text=True)
        assert listener.stdout is not None
        assert listener.stdout.readline() == "up\n"
        yield WORLD
    finally:
        if listener:
            listener.kill()
            listener.communicate()
        sh("ip", "netns", "del", name, check=False)
        sh("ip", "link", "del", name, check=False)


def reach(pid: int, address: str, port: int = 7000) -> str:
    """What a program in the container's network gets from there."""
    return sh("nsenter", "-t", str(pid), "-n", sys.executable, "-c", PROBE, address, str(port))


def tools(way: str, docker: Docker) -> HostTools:
    if way == "direct":
        return direct()
    node = next((n for n in image_names()["build"] if n.startswith("drill/node:")), "")
    assert docker.image_id(node), f"{node} must be built first: `drill images`"
    return contained(docker, node)


@pytest.mark.cluster
@pytest.mark.skipif(os.geteuid() != 0, reason="needs root: a network namespace stands in for the world")
@pytest.mark.parametrize("way", ["direct", "contained"])
def test_nothing_leaves_a_closed_network(world: str, tmp_path: Path, way: str) -> None:
    docker = Docker()
    host = tools(way, docker)
    ours = Networks(
        docker, Firewall(host), run_id=f"test-{secrets.token_hex(3)}", owner=labels.Owner.me(), clock=SystemClock(),
        state=tmp_path,
    )  # fmt: skip
    network = ours.make()
    name = f"{network.name}-tiny"
    try:
        docker.run(tiny.build(), options=["-d", f"--name={name}", f"--network={network.name}"])
        container = docker.container(name)
        assert container is not None

        Firewall(host).open(network, ours.mark)
        assert reach(container.pid, world) == "world", "the stand-in must be reachable without the rule"

        Firewall(host).close(network, ours.mark)
        assert reach(container.pid, world) == "ConnectionRefusedError 111"
        ours.verify(network)
        assert_the_hosts_own_address_answers(container.pid, network)
        assert "world" not in reach(container.pid, "10.42.1.2")
        for address in ("10.42.1.2", "10.43.0.1"):
            with pytest.raises(OSError, match=r"No route to host|Network is unreachable"):
                socket.create_connection((address, 80), 3)
        assert sh("ip", "route", "show", "proto", "242").count("unreachable") == 2
    finally:
        docker.remove(name)
        ours.remove(network)

    assert docker.network(network.name) is None
    assert ours.mark not in sh("iptables", "-S", "DOCKER-USER")


def assert_the_hosts_own_address_answers(pid: int, network: Network) -> None:
    """The Git server listens there."""
    with socket.create_server((network.gateway, 0)) as server:
        port = server.getsockname()[1]
        probe = subprocess.Popen(
            ["nsenter", "-t", str(pid), "-n", sys.executable, "-c", PROBE, network.gateway, str(port)],
            stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        server.settimeout(5)
        peer, _ = server.accept()
        peer.sendall(b"git")
        peer.close()
        assert probe.communicate(timeout=5)[0] == "git\n"
