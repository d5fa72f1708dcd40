"""Cleaning: only what is ours and whose owner is gone, also when something cannot be removed."""

from __future__ import annotations

import os
import secrets
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from harness.cluster import clean, labels
from harness.cluster.docker import Docker
from harness.cluster.network import Firewall, Network, direct
from harness.core.errors import CommandFailed
from tests.cluster import tiny
from tests.cluster.fakes import FakeEngine, container, network
from tests.cluster.test_network import FakeHost

DEAD, ALIVE, FOREIGN = labels.Owner("here", 1, 1), labels.Owner("here", 2, 2), labels.Owner("there", 1, 1)


def marks(owner: labels.Owner | str, run: str = "r1", **more: str) -> Mapping[str, str]:
    return {labels.RUN: run, labels.OWNER: str(owner), **more}


def gone(owner: labels.Owner) -> bool:
    return owner == DEAD


def closed(*owners: labels.Owner) -> tuple[FakeHost, Firewall]:
    host = FakeHost()
    firewall = Firewall(host)
    for n, owner in enumerate(owners):
        firewall.close(Network(f"n{n}", f"172.28.{n}.0/24", f"172.28.{n}.1", f"b{n}"), f"drill:r{n}:{owner}")
    return host, firewall


def engine() -> FakeEngine:
    return FakeEngine(
        there=[
            container("dead-1", marks(DEAD, **{labels.K3D_CLUSTER: "dr-x-1"})),
            container("k3d-dr-x-1-tools", {labels.K3D_CLUSTER: "dr-x-1"}),
            container("alive-1", marks(ALIVE)),
            container("foreign-1", marks(FOREIGN)),
            container("odd-1", marks("nonsense")),
            container("users-database", {"com.example": "mine"}),
            container("k3d-users-server-0", {labels.K3D_CLUSTER: "users"}),
        ],
        nets=[network("dead-n", marks(DEAD)), network("alive-n", marks(ALIVE)), network("bridge", {})],
        vols={"dead-v": marks(DEAD), "alive-v": marks(ALIVE), "users-v": {}},
    )


def test_only_what_a_dead_run_left_is_an_orphan() -> None:
    _, firewall = closed(DEAD, ALIVE, FOREIGN)

    found = clean.orphans(engine(), gone=gone, firewall=firewall)

    assert [(o.what, o.id) for o in found] == [
        ("container", "id-dead-1"),
        ("container", "id-k3d-dr-x-1-tools"),
        ("volume", "dead-v"),
        ("network", "id-dead-n"),
        ("rule", f"drill:r0:{DEAD}"),
    ]


def test_cleaning_removes_the_orphans_and_nothing_else(tmp_path: Path) -> None:
    docker = engine()
    host, firewall = closed(DEAD, ALIVE)
    said: list[str] = []

    removed = clean.clean(docker, on_removed=said.append, gone=gone, firewall=firewall, state=tmp_path)

    assert [c.name for c in docker.there] == ["alive-1", "foreign-1", "odd-1", "users-database", "k3d-users-server-0"]
    assert [n.name for n in docker.nets] == ["alive-n", "bridge"]
    assert list(docker.vols) == ["alive-v", "users-v"]
    assert firewall.marks() == (f"drill:r1:{ALIVE}",)
    assert len(host.routes) == 2, "a living run still needs the routes"
    assert tuple(said) == removed
    assert "container dead-1 (run r1)" in removed


def test_the_routes_go_with_the_last_run(tmp_path: Path) -> None:
    docker = FakeEngine(nets=[network("dead-n", marks(DEAD))])
    host, firewall = closed(DEAD)

    removed = clean.clean(docker, gone=gone, firewall=firewall, state=tmp_path)

    assert not host.routes
    assert removed[-1] == "routes for pods and Services"


def test_a_second_cleaning_finds_nothing(tmp_path: Path) -> None:
    docker = engine()
    _, firewall = closed(DEAD, ALIVE)
    clean.clean(docker, gone=gone, firewall=firewall, state=tmp_path)

    assert clean.clean(docker, gone=gone, firewall=firewall, state=tmp_path) == ()


def test_one_that_cannot_be_removed_does_not_save_the_others(tmp_path: Path) -> None:
    docker = engine()
    docker.stuck = {"id-dead-1"}
    _, firewall = closed(DEAD)

    with pytest.raises(CommandFailed, match="busy"):
        clean.clean(docker, gone=gone, firewall=firewall, state=tmp_path)

    assert [n.name for n in docker.nets] == ["alive-n", "bridge"]


def test_without_any_means_to_see_the_firewall_the_rest_is_still_cleaned(tmp_path: Path) -> None:
    docker = engine()
    firewall = Firewall(FakeHost(forward=""))

    clean.clean(docker, gone=gone, firewall=firewall, state=tmp_path)

    assert "dead-1" not in [c.name for c in docker.there]


def test_what_was_kept_on_request_goes_only_when_a_person_says_so(tmp_path: Path) -> None:
    docker = engine()
    _, firewall = closed(DEAD)
    labels.mark_kept(tmp_path, "r1")
    labels.mark_kept(tmp_path, "r0")

    assert clean.clean(docker, gone=gone, firewall=firewall, state=tmp_path) == ()
    removed = clean.clean(docker, gone=gone, firewall=firewall, state=tmp_path, kept=True)

    assert "container dead-1 (run r1)" in removed
    assert not labels.kept(tmp_path)


OWNED = """
import sys
from harness.cluster import labels
from harness.cluster.docker import Docker
from harness.cluster.network import Firewall, Networks, direct
from harness.core.clock import SystemClock
from pathlib import Path
run, image, state = sys.argv[1:]
docker, owner, clock = Docker(), labels.Owner.me(), SystemClock()
network = Networks(docker, Firewall(direct()), run_id=run, owner=owner, clock=clock, state=Path(state)).make()
marks = [f"--label={k}={v}" for k, v in labels.labels(run, owner, clock.utc()).items()]
docker.run(image, options=["-d", f"--name={run}", f"--network={network.name}", *marks])
print(network.name, flush=True)
input()
"""


@pytest.mark.cluster
@pytest.mark.skipif(os.geteuid() != 0, reason="needs root: the rules of the host's firewall")
def test_a_killed_run_is_cleaned_up_and_a_users_container_is_not(tmp_path: Path) -> None:
    docker, image, run = Docker.connect(), tiny.build(), f"drill-test-{secrets.token_hex(3)}"
    users = f"users-{run}"
    docker.run(image, options=["-d", f"--name={users}", "--network=none", "--label=mine=1"])
    argv = [sys.executable, "-c", OWNED, run, image, str(tmp_path)]
    owner = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        assert owner.stdout is not None
        name = owner.stdout.readline().strip()
        volumes = [v for c in docker.containers(f"{labels.RUN}={run}") for v in c.volumes]
        assert volumes
        mine = {"state": tmp_path, "gone": lambda o: o.pid == owner.pid and labels.gone(o)}
        assert not of_run(clean.clean(docker, **mine), run), "its owner lives"  # type: ignore[arg-type]

        owner.send_signal(signal.SIGKILL)
        owner.wait(5)
        removed = of_run(clean.clean(docker, **mine), run)  # type: ignore[arg-type]

        assert [text.split()[0] for text in removed] == ["container", "network", "rule"]
        assert docker.network(name) is None
        assert not set(volumes) & set(docker.volumes())
        assert run not in " ".join(Firewall(direct()).marks())
        still = docker.container(users)
        assert still is not None
        assert still.running
    finally:
        owner.kill()
        owner.communicate()
        docker.remove(run)
        docker.remove(users)
        docker.remove_network(name)


def of_run(removed: tuple[str, ...], run: str) -> list[str]:
    return [text for text in removed if f"(run {run})" in text]
