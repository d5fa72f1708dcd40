"""What is asked of k3d, and what of it is refused before anything is touched."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from harness.cluster.images import ImageRef, ImageSet
from harness.cluster.network import Network
from harness.cluster.spec import ClusterSpec, free_port, k3d_config
from harness.core.errors import ConfigError, EnvironmentUnfit
from harness.core.profile import FAST, Profile

NETWORK = Network("drill-r1-ab", "172.28.1.0/24", "172.28.1.1", "drl-1")
MARKS = {"drill.run": "r1", "drill.owner": "h/1/2", "drill.created": "2026-01-02T03:04:05Z"}


def images(*preload: str) -> ImageSet:
    def ref(name: str) -> ImageRef:
        return ImageRef(name, f"drill/{name}:1", "sha256:0", "1")

    roles = [ref(name) for name in ("node", "tools", "argocd", "redis", "coredns", "pause", "sample")]
    return ImageSet("build", "built here", *roles, Path("/opt/k3d"), "5.9.0", "", Path("/m"), tuple(map(Path, preload)))


def test_the_configuration_closes_every_door_k3d_leaves_open() -> None:
    found = k3d_config(ClusterSpec("dr-main-1", NETWORK), images(), MARKS, 6550)

    assert (found["apiVersion"], found["kind"], found["image"]) == ("k3d.io/v1alpha5", "Simple", "drill/node:1")
    assert (found["servers"], found["agents"], found["network"]) == (1, 2, "drill-r1-ab")
    assert found["kubeAPI"] == {"host": "127.0.0.1", "hostIP": "127.0.0.1", "hostPort": "6550"}
    assert found["options"]["k3d"]["disableRollback"]
    assert found["options"]["k3d"]["disableLoadbalancer"]
    assert found["options"]["kubeconfig"] == {"updateDefaultKubeconfig": False, "switchCurrentContext": False}


def test_every_container_is_labelled() -> None:
    found = k3d_config(ClusterSpec("dr-main-1", NETWORK), images(), MARKS, 1)["options"]["runtime"]["labels"]

    assert {entry["label"] for entry in found} == {f"{k}={v}" for k, v in MARKS.items()}
    assert all(entry["nodeFilters"] == ["all"] for entry in found)


def args(spec: ClusterSpec) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for entry in k3d_config(spec, images(), MARKS, 1)["options"]["k3s"]["extraArgs"]:
        found.setdefault(entry["nodeFilters"][0], []).append(entry["arg"])
    return found


def test_the_timing_profile_reaches_the_servers() -> None:
    found = args(ClusterSpec("dr-main-1", NETWORK, profile=FAST))

    assert set(found) == {"server:*"}
    assert "--kube-apiserver-arg=default-unreachable-toleration-seconds=10" in found["server:*"]
    assert "--kube-controller-manager-arg=node-monitor-period=2s" in found["server:*"]
    assert "--disable=traefik" in found["server:*"]
    assert not any("coredns" in arg or "local-storage" in arg for arg in found["server:*"])


def test_kubelets_of_all_nodes_get_theirs_and_no_filter_is_left_without_a_node() -> None:
    profile = Profile("x", kubelet_args=("max-pods=20",))

    assert "--kubelet-arg=max-pods=20" in args(ClusterSpec("dr-x", NETWORK, profile=profile))["agent:*"]
    assert "agent:*" not in args(ClusterSpec("dr-x", NETWORK, agents=0, profile=profile))


def test_images_to_preload_are_mounted_where_k3s_looks_for_them() -> None:
    (mount,) = k3d_config(ClusterSpec("dr-x", NETWORK), images("/c/all.tar"), MARKS, 1)["volumes"]

    assert mount["volume"] == "/c/all.tar:/var/lib/rancher/k3s/agent/images/all.tar:ro"


@pytest.mark.parametrize("name", ["", "a" * 33, "Dr-x", "-x", "x-", "dr_x", "dr x"])
def test_a_name_k3d_would_refuse_is_refused_first(name: str) -> None:
    with pytest.raises(ConfigError, match="a cluster name"):
        ClusterSpec(name, NETWORK).checked()


def test_a_cluster_needs_a_server() -> None:
    with pytest.raises(ConfigError, match="at least one server"):
        ClusterSpec("dr-x", NETWORK, servers=0).checked()


def test_a_port_in_use_is_said_so() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with pytest.raises(EnvironmentUnfit, match=rf"port {port} of 127\.0\.0\.1 free; found Address already in use"):
            free_port(port)


def test_a_free_port_is_taken_as_asked_or_found() -> None:
    found = free_port(None)

    assert 1024 < found < 65536
    assert free_port(found) == found
