"""Nodes: which containers are nodes, and a look inside that never hangs."""

from __future__ import annotations

import threading
from types import SimpleNamespace
from typing import Any

import pytest

from harness.cluster.nodes import Node, NodeView, nodes_of
from harness.core.clock import seconds
from harness.core.errors import CommandTimeout, ToolError
from tests.cluster.fakes import FakeEngine, container

NODE = Node("k3d-x-server-0", "server", "id", "172.28.1.2")


def test_nodes_are_servers_and_agents_servers_first() -> None:
    def made(name: str, role: str, cluster: str = "x", **facts: Any) -> Any:
        return container(name, {"k3d.cluster": cluster, "k3d.role": role}, **facts)

    docker = FakeEngine(
        there=[
            made("k3d-x-agent-1", "agent", addresses={"net": "172.28.1.4"}),
            made("k3d-x-server-0", "server", addresses={"net": "172.28.1.2", "other": "10.0.0.1"}),
            made("k3d-x-agent-0", "agent", running=False),
            made("k3d-x-tools", "noRole"),
            made("k3d-y-server-0", "server", cluster="y"),
        ]
    )

    found = nodes_of(docker, "x", "net")

    assert [(n.name, n.role, n.ip, n.running) for n in found] == [
        ("k3d-x-server-0", "server", "172.28.1.2", True),
        ("k3d-x-agent-0", "agent", "", False),
        ("k3d-x-agent-1", "agent", "172.28.1.4", True),
    ]


def inside(**modules: Any) -> NodeView:
    return NodeView(NODE, timeout=seconds(0.2), host=lambda address: SimpleNamespace(address=address, **modules))


def test_facts_are_asked_of_the_nodes_container() -> None:
    asked: list[str] = []

    def socket(where: str) -> Any:
        asked.append(where)
        return SimpleNamespace(is_listening=where.endswith("6443"))

    view = inside(socket=socket, mount_point=lambda path: SimpleNamespace(exists=path == "/var/log"))

    assert view.listens(6443)
    assert not view.listens(2379, "127.0.0.1")
    assert asked == ["tcp://6443", "tcp://127.0.0.1:2379"]
    assert view.mounted("/var/log")
    assert not view.mounted("/nowhere")


def test_a_node_that_does_not_answer_cannot_hang_us() -> None:
    release = threading.Event()

    with pytest.raises(CommandTimeout, match="file /x"):
        inside(file=lambda path: release.wait(10)).exists("/x")

    release.set()


def test_a_fact_that_cannot_be_read_names_the_node() -> None:
    def file(path: str) -> Any:
        raise RuntimeError("no such container")

    with pytest.raises(ToolError, match="file /x of node k3d-x-server-0 could not be read: no such container"):
        inside(file=file).text("/x")


def test_sockets_and_mounts_are_asked_for_all_at_once() -> None:
    sockets = ["tcp://0.0.0.0:10250", "tcp://:::6443", "udp://0.0.0.0:53", "unix:///run/x"]
    mounts = [SimpleNamespace(path="/"), SimpleNamespace(path="/var/log")]
    view = inside(
        socket=SimpleNamespace(get_listening_sockets=lambda: sockets),
        mount_point=SimpleNamespace(get_mountpoints=lambda: mounts),
    )
    assert view.listening() == {10250, 6443}
    assert view.mounts() == {"/", "/var/log"}


def test_a_folder_is_shown_two_levels_deep_and_one_that_is_not_there_is_empty() -> None:
    said = {"/data": "/data/b\n/data/a\n/data/a/log\n", "/none": ""}
    view = inside(run=lambda command, path: SimpleNamespace(stdout=said[path]))
    assert view.tree("/data") == ("a", "a/log", "b")
    assert view.tree("/none") == ()


def test_pods_are_read_off_control_groups_in_either_spelling() -> None:
    one, two = "0a1b2c3d-1111-2222-3333-444455556666", "0a1b2c3d-7777-2222-3333-444455556666"
    said = (
        "12:pids:/docker/ff/kubepods/burstable/pod" + one + "/c1\n1:name=systemd:/docker/ff\n"
        "0::/kubelet.slice/kubepods.slice/kubepods-pod" + two.replace("-", "_") + ".slice/cri-c2.scope\n"
    )
    assert inside(run=lambda command: SimpleNamespace(stdout=said)).pods() == {one, two}


def test_a_digest_stands_for_a_file() -> None:
    assert inside(file=lambda path: SimpleNamespace(sha256sum=f"sha of {path}")).digest("/key") == "sha of /key"
