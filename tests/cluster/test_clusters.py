"""Clusters: the guards, destroying and closing on fakes; making one is seen on the real thing below."""

from __future__ import annotations

import hashlib
import os
import secrets
import stat
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from harness.cluster import labels
from harness.cluster.clusters import Cluster, Clusters, ClusterSpec
from harness.cluster.docker import Docker
from harness.cluster.images import ImageRef, ImageSet, ImageSource, cache_folder, prepare
from harness.cluster.network import Network
from harness.cluster.nodes import NodeView
from harness.cluster.readiness import probing_pod
from harness.core.clock import SystemClock
from harness.core.errors import ApiUnreachable, CommandFailed, ConfigError, ProvisionFailed, UnsafeTarget
from harness.core.profile import FAST
from harness.core.timeline import Journal, Timeline
from tests.cluster.fakes import FakeEngine, container
from tests.cluster.test_network import reach, world

__all__ = ["world"]  # a fixture

NETWORK = Network("drill-r1-ab", "172.28.1.0/24", "172.28.1.1", "drl-1", "allow")
SPEC = ClusterSpec("dr-main-r1", NETWORK)
REF = ImageRef("x", "drill/x:1", "sha256:0", "1")
IMAGES = ImageSet("build", "x", REF, REF, REF, REF, REF, REF, REF, Path("/opt/k3d"), "5.9.0", "", Path("/m"))


class FakeK3d:
    """Deletes what the fake engine holds; `fails` makes it fail as k3d does."""

    def __init__(self, docker: FakeEngine, fails: bool = False) -> None:
        self.docker, self.fails, self.deleted = docker, fails, list[str]()

    def require_supported(self) -> None:
        return

    def delete(self, name: str) -> None:
        self.deleted.append(name)
        if self.fails:
            raise CommandFailed(["k3d", "cluster", "delete"], 1, "", "Failed to delete 1 nodes")
        self.docker.there = [c for c in self.docker.there if c.labels.get(labels.K3D_CLUSTER) != name]


class FakeNetworks:
    def __init__(self) -> None:
        self.removed: list[Network] = []

    def make(self, egress: str) -> Network:
        return replace(NETWORK, egress=egress)  # type: ignore[arg-type]

    def remove(self, network: Network) -> None:
        self.removed.append(network)

    def verify(self, network: Network) -> None:
        if network.egress == "deny":
            raise UnsafeTarget("host rules", "none", "stop")


class FakeApi:
    def __init__(self, uid: str | None = "uid-1", server: str = "https://127.0.0.1:1") -> None:
        self.uid, self.server, self.closed = uid, server, False

    def get(self, kind: Any, name: str) -> Any:
        if self.uid is None:
            raise ApiUnreachable("refused")
        return {"metadata": {"name": name, "uid": self.uid}}

    def close(self) -> None:
        self.closed = True


def node(name: str, run: str = "r1", cluster: str = SPEC.name) -> Any:
    return container(name, {labels.K3D_CLUSTER: cluster, labels.RUN: run, "k3d.role": "agent"}, volumes=(f"v-{name}",))


def clusters(docker: FakeEngine, tmp_path: Path, *, fails: bool = False) -> Clusters:
    journal = Journal(Timeline(SystemClock()))
    made = Clusters(docker, IMAGES, "r1", tmp_path / "run", SystemClock(), journal, state=tmp_path)
    made.k3d = FakeK3d(docker, fails)  # type: ignore[assignment]
    made.networks = FakeNetworks()  # type: ignore[assignment]
    return made


def standing(made: Clusters, api: FakeApi | None = None) -> Cluster:
    """A cluster that `made` made, as far as it knows."""
    cluster = Cluster(SPEC.name, Path("/k"), api or FakeApi(), NETWORK, made.docker, SPEC, "r1", "uid-1")  # type: ignore[arg-type]
    made._made[SPEC.name] = cluster
    return cluster


@pytest.fixture
def engine() -> FakeEngine:
    docker = FakeEngine(there=[node("s0"), node("a0"), container("users", {}, volumes=("users-v",))])
    docker.vols = {"v-s0": {}, "v-a0": {}, "users-v": {}}
    return docker


def test_destroying_takes_containers_and_volumes_and_nothing_of_the_users(engine: FakeEngine, tmp_path: Path) -> None:
    made = clusters(engine, tmp_path)
    cluster = standing(made)
    made._delete(SPEC.name)
    engine.there += [node("s0")]

    made.destroy(cluster)

    assert [c.name for c in engine.there] == ["users"]
    assert list(engine.vols) == ["users-v"]
    assert made.leftovers(SPEC) == ()
    assert cluster.destroyed


def test_what_stands_of_a_cluster_that_did_not_come_up_is_discarded(engine: FakeEngine, tmp_path: Path) -> None:
    made = clusters(engine, tmp_path)
    assert made.discard(SPEC) == ("s0", "a0")
    assert [c.name for c in engine.there] == ["users"]
    assert list(engine.vols) == ["users-v"]
    assert made.discard(SPEC) == ()


def test_what_is_not_ours_is_never_discarded(engine: FakeEngine, tmp_path: Path) -> None:
    engine.there = [node("s0", run="somebody-elses")]
    with pytest.raises(UnsafeTarget):
        clusters(engine, tmp_path).discard(SPEC)
    assert [c.name for c in engine.there] == ["s0"]


def test_what_k3d_cannot_delete_is_removed_all_the_same(engine: FakeEngine, tmp_path: Path) -> None:
    made = clusters(engine, tmp_path, fails=True)

    made.destroy(standing(made))

    assert [c.name for c in engine.there] == ["users"]
    assert "Failed to delete 1 nodes" in made.journal.timeline.history().of("note")[0].data["text"]  # type: ignore[attr-defined]


def test_leftovers_are_named(engine: FakeEngine, tmp_path: Path) -> None:
    made = clusters(engine, tmp_path)
    made._volumes[SPEC.name] = {"v-s0", "gone"}

    assert made.leftovers(SPEC) == ("s0", "a0", "volume v-s0")


@pytest.mark.parametrize(
    ("api", "extra", "found"),
    [
        (FakeApi(uid="uid-2"), [], "uid-2"),
        (FakeApi(server="https://203.0.113.9:6443"), [], r"203\.0\.113\.9"),
        (FakeApi(server="https://prod.example:6443"), [], r"prod\.example"),
        (FakeApi(), [node("stranger", run="r2")], "stranger"),
        (FakeApi(uid=None), [node("stranger", run="r2")], "stranger"),
    ],
)
def test_what_is_not_ours_is_never_destroyed(
    engine: FakeEngine, tmp_path: Path, api: FakeApi, extra: list[Any], found: str
) -> None:
    made = clusters(engine, tmp_path)
    cluster = standing(made, api)
    engine.there += extra
    before = list(engine.there)

    with pytest.raises(UnsafeTarget, match=rf"{found}.*leave it alone"):
        made.destroy(cluster)

    assert engine.there == before
    assert not engine.removed


@pytest.mark.parametrize("server", ["https://127.0.0.1:1", "https://localhost:1", "https://172.28.1.2:6443"])
def test_ours_is_ours_also_when_its_api_is_down(engine: FakeEngine, tmp_path: Path, server: str) -> None:
    standing(clusters(engine, tmp_path), FakeApi(uid=None, server=server)).assert_ours()


def test_a_cluster_of_that_name_that_is_not_ours_is_refused(engine: FakeEngine, tmp_path: Path) -> None:
    engine.there = [node("k3d-dr-main-r1-server-0", run="someone-else")]

    with pytest.raises(UnsafeTarget, match=r"not ours.*k3d cluster delete dr-main-r1"):
        clusters(engine, tmp_path).create(SPEC)

    assert len(engine.there) == 1


def test_one_of_ours_that_still_stands_is_not_made_twice(engine: FakeEngine, tmp_path: Path) -> None:
    with pytest.raises(ProvisionFailed, match="still stands"):
        clusters(engine, tmp_path).create(SPEC)


def test_nothing_is_made_on_a_network_that_is_not_closed(tmp_path: Path) -> None:
    docker = FakeEngine()

    with pytest.raises(UnsafeTarget, match="host rules"):
        clusters(docker, tmp_path).create(replace(SPEC, network=replace(NETWORK, egress="deny")))

    assert not docker.vols


def test_a_bad_name_is_refused_before_anything(tmp_path: Path) -> None:
    with pytest.raises(ConfigError):
        clusters(FakeEngine(), tmp_path).create(replace(SPEC, name="x" * 33))


def test_closing_destroys_also_what_came_up_only_in_part(engine: FakeEngine, tmp_path: Path) -> None:
    made = clusters(engine, tmp_path)
    network = made.make_network()
    made._made[SPEC.name] = None
    made._make_image_volume(SPEC.name, {labels.RUN: "r1"})

    made.close()
    made.close()

    assert [c.name for c in engine.there] == ["users"]
    assert list(engine.vols) == ["users-v"]
    assert made.networks.removed == [network]  # type: ignore[attr-defined]


def test_closing_goes_on_after_a_cluster_that_is_not_ours(engine: FakeEngine, tmp_path: Path) -> None:
    made = clusters(engine, tmp_path)
    made.make_network()
    standing(made, FakeApi(uid="another"))

    with pytest.raises(UnsafeTarget):
        made.close()

    assert made.networks.removed  # type: ignore[attr-defined]
    assert len(engine.there) == 3


def test_what_is_kept_stays_and_is_noted(engine: FakeEngine, tmp_path: Path) -> None:
    made = clusters(engine, tmp_path)
    cluster = standing(made)

    made.keep()
    made.close()

    assert len(engine.there) == 3
    assert labels.kept(tmp_path) == {"r1"}
    assert "export KUBECONFIG=/k" in cluster.how_to_reach()
    assert f"k3d cluster delete {SPEC.name}" in cluster.how_to_reach()


# --- live ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home of somebody who has clusters already, with tools that will find it through the environment."""
    monkeypatch.setenv("DRILL_CACHE", str(cache_folder()))
    home = tmp_path / "home"
    (home / ".kube").mkdir(parents=True)
    (home / ".kube" / "config").write_text("# mine\napiVersion: v1\nkind: Config\ncurrent-context: production\n")
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("KUBECONFIG", str(home / ".kube" / "config"))
    return home


def state(home: Path) -> dict[str, tuple[str, int]]:
    """Every file of a home, with content and time of change."""
    return {
        str(path.relative_to(home)): (hashlib.sha256(path.read_bytes()).hexdigest(), path.stat().st_mtime_ns)
        for path in home.rglob("*") if path.is_file()
    }  # fmt: skip


@pytest.fixture
def live(tmp_path: Path, home: Path) -> Iterator[Clusters]:
    docker, clock = Docker.connect(), SystemClock()
    images = prepare(ImageSource.AUTO, cache=cache_folder(), progress=lambda _: None)
    run = f"t{secrets.token_hex(3)}"
    made = Clusters(docker, images, run, tmp_path / "private", clock, Journal(Timeline(clock)))
    yield made
    made.close()
    assert not docker.containers(f"{labels.RUN}={run}")
    assert not docker.networks(f"{labels.RUN}={run}")
    assert not docker.volumes(f"{labels.RUN}={run}")


@pytest.mark.cluster
@pytest.mark.skipif(os.geteuid() != 0, reason="needs root: a network namespace stands in for the world")
def test_a_cluster_is_made_closed_proved_ready_and_gone_without_a_trace(live: Clusters, world: str, home: Path) -> None:
    before = state(home)
    spec = ClusterSpec(f"dr-test-{live.run_id}", live.make_network(), agents=1, profile=FAST)

    cluster = live.create(spec)

    nodes = cluster.nodes()
    assert [n.role for n in nodes] == ["server", "agent"]
    assert cluster.api.raw("/readyz") == "ok"
    assert stat.S_IMODE(cluster.kubeconfig.stat().st_mode) == 0o600
    assert all(c.labels[labels.RUN] == live.run_id and labels.OWNER in c.labels for c in cluster.containers())
    assert_no_token_in(live, cluster)
    server = NodeView(nodes[0])
    assert server.listens(6443)
    assert server.mounted("/var/lib/rancher/k3s")
    for container_ in cluster.containers():
        assert reach(container_.pid, world) == "ConnectionRefusedError 111", "a node must not reach the world"
    with git_server(cluster.network.gateway) as address:
        assert from_pod(cluster, f"http://{address}/") == "served", "a pod must reach the Git server"
    assert "connection refused" in from_pod(cluster, f"http://{world}:7000/"), "a pod must not reach the world"
    impostor = Clusters(live.docker, live.images, "someone", live.run_dir / "x", live.clock, live.journal)
    with pytest.raises(UnsafeTarget, match="not ours"):
        impostor.create(spec)

    live.destroy(cluster)

    assert live.leftovers(spec) == ()
    again = live.create(spec)
    assert again.uid != cluster.uid
    live.destroy(again)
    assert state(home) == before, "the user's home must be as it was"


@contextmanager
def git_server(gateway: str) -> Iterator[str]:
    """Something that answers on the host's own address."""
    server = HTTPServer((gateway, 0), Served)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"{gateway}:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join(5)


class Served(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "6")
        self.end_headers()
        self.wfile.write(b"served")

    def log_message(self, format: str, *args: Any) -> None:
        return


def from_pod(cluster: Cluster, url: str) -> str:
    """What a pod of the cluster gets from `url`: the body, or why there is none."""
    name, pods = f"get-{secrets.token_hex(3)}", cluster.api.kind("v1", "Pod")
    pod = probing_pod(name, "drill/sample:1")
    pod["spec"]["containers"][0]["args"] = ["get", "-timeout", "5s", url]
    cluster.api.create(pod)
    for _ in range(300):
        found = cluster.api.get(pods, name, "default") or {}
        if found.get("status", {}).get("phase") in ("Succeeded", "Failed"):
            break
        time.sleep(0.2)
    line = cluster.api.logs("default", name).strip()
    return line.partition(" ")[2]  # the time goes first


def assert_no_token_in(live: Clusters, cluster: Cluster) -> None:
    (first, *_) = cluster.nodes()
    argv = ["docker", "inspect", "-f", '{{index .Config.Labels "k3d.cluster.token"}}', first.container]
    token = subprocess.run(argv, check=True, capture_output=True, text=True).stdout.strip()
    assert token
    for path in live.run_dir.rglob("*"):
        if path.is_file() and path != cluster.kubeconfig:
            assert token not in path.read_text(errors="replace"), f"the join token is in {path}"
    assert token not in repr(cluster.containers())
