"""The doctor: every check in each of its states, from a pretended machine."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from harness.cluster import host
from harness.cluster.docker import Docker
from harness.cluster.host import GIB, Check, Machine, Status
from harness.core.errors import CommandFailed, EnvironmentUnfit, UnsafeTarget
from harness.effects.proc import Completed

ALL_CAPS = (1 << 41) - 1


@pytest.fixture(autouse=True)
def no_user_context(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Whatever the user's own docker command is pointed at stays out."""
    for name in ("DOCKER_HOST", "DOCKER_CONTEXT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path / "no-such-folder"))


def docker(*, endpoint: str = "unix:///x", up: bool = True, runtime: str = "runc", images: bool = True) -> Docker:
    info = {"ServerVersion": "20.10.24", "DefaultRuntime": runtime, "DockerRootDir": "/var/lib/docker"}

    def run(argv: Sequence[str], *, timeout: timedelta, check: bool = True) -> Completed:
        code, out, err = 0, "", ""
        if "context" in argv:
            out = endpoint
        elif argv[1] == "info":
            code, out, err = (0, json.dumps(info), "") if up else (1, "{}", "Cannot connect to the Docker daemon")
        elif argv[1] == "image":
            code, out, err = (0, '[{"Id": "sha256:1"}]', "") if images else (1, "[]", "Error: No such image: x")
        if check and code:
            raise CommandFailed(argv, code, out, err)
        return Completed(tuple(argv), code, out, err, timeout)

    return Docker(run=run)


def machine(tmp_path: Path, **changes: Any) -> Machine:
    """A good machine but for the changes."""
    instances, watches = changes.pop("instances", 512), changes.pop("watches", 262144)
    available, caps = changes.pop("memory", 8 * GIB), changes.pop("caps", ALL_CAPS)
    proc = tmp_path / "proc"
    for path, text in {
        "sys/fs/inotify/max_user_instances": str(instances), "sys/fs/inotify/max_user_watches": str(watches),
        "sys/kernel/cap_last_cap": "40", "meminfo": f"MemTotal: 9 kB\nMemAvailable:  {available // 1024} kB\n",
        "self/status": f"Name:\tx\nCapEff:\t0\nCapBnd:\t{caps:016x}\n",
    }.items():  # fmt: skip
        (proc / path).parent.mkdir(parents=True, exist_ok=True)
        (proc / path).write_text(text)
    facts: dict[str, Any] = {
        "procfs": proc, "cgroup": tmp_path, "cache": tmp_path, "which": lambda tool: Path(f"/usr/bin/{tool}"),
        "free_disk": lambda _: 50 * GIB, "k3d": lambda cache: cache / "bin/k3d", "root": True,
    }  # fmt: skip
    return Machine(**(facts | changes))


def check(found: tuple[Check, ...], name: str) -> Check:
    return next(c for c in found if c.name == name)


def test_a_good_machine_has_nothing_to_mend(tmp_path: Path) -> None:
    found = host.checks(docker(), machine(tmp_path))

    assert {c.status for c in found} == {Status.OK}
    assert {"Docker engine", "k3d", "git", "memory", "disk", "cgroup", "capabilities", "images", "leftovers"} <= {
        c.name for c in found
    }
    host.require_fit(docker(), machine(tmp_path))


@pytest.mark.parametrize(
    ("changes", "name", "status", "remedy"),
    [
        ({"memory": 2 * GIB}, "memory", Status.MISSING, "larger machine"),
        ({"free_disk": lambda _: 3 * GIB}, "disk", Status.MISSING, "docker system df"),
        ({"which": lambda tool: None}, "git", Status.MISSING, "apt-get install git"),
        ({"k3d": lambda _: None}, "k3d", Status.WARN, "drill images"),
        ({"instances": 128}, "inotify max_user_instances", Status.WARN, "sysctl -w fs.inotify.max_user_instances=512"),
        ({"watches": 8192}, "inotify max_user_watches", Status.WARN, "sysctl -w fs.inotify.max_user_watches=262144"),
        ({"caps": ALL_CAPS & ~(1 << 24)}, "capabilities", Status.MISSING, "drill provision"),
    ],
)
def test_what_is_lacking_is_named_with_its_remedy(
    tmp_path: Path, changes: dict[str, Any], name: str, status: Status, remedy: str
) -> None:
    found = check(host.checks(docker(), machine(tmp_path, **changes)), name)

    assert found.status is status
    assert remedy in found.remedy
    assert found.found
    assert found.needed


@pytest.mark.parametrize(("limit", "status"), [(128, Status.MISSING), (512, Status.OK)])
def test_inotify_instances_that_others_hold_count(tmp_path: Path, limit: int, status: Status) -> None:
    pretended = machine(tmp_path, instances=limit)
    (tmp_path / "proc/77/fd").mkdir(parents=True)
    for n in range(100):
        (tmp_path / f"proc/77/fd/{n}").symlink_to("anon_inode:inotify" if n < 90 else "socket:[1]")

    found = check(host.checks(docker(), pretended), "inotify max_user_instances")

    assert (found.status, found.found) == (status, f"{limit}, 90 in use")


def test_no_engine_is_missing_and_the_rest_is_still_checked(tmp_path: Path) -> None:
    found = host.checks(docker(up=False), machine(tmp_path))

    engine = check(found, "Docker engine")
    assert (engine.status, "drill provision" in engine.remedy) == (Status.MISSING, True)
    assert check(found, "memory").status is Status.OK
    with pytest.raises(EnvironmentUnfit, match="Cannot connect"):
        host.require_fit(docker(up=False), machine(tmp_path))


def test_a_remote_engine_is_refused(tmp_path: Path) -> None:
    remote = docker(endpoint="ssh://me@example.net")

    assert "remote" in check(host.checks(remote, machine(tmp_path)), "Docker engine").found
    with pytest.raises(UnsafeTarget):
        host.require_fit(remote, machine(tmp_path))


def test_a_missing_capability_matters_only_to_an_engine_that_asks_for_it(tmp_path: Path) -> None:
    poor = {"caps": ALL_CAPS & ~(1 << 24)}

    assert check(host.checks(docker(runtime="drill"), machine(tmp_path, **poor)), "capabilities").status is Status.OK
    assert check(host.checks(docker(), machine(tmp_path, root=False, **poor)), "capabilities").status is Status.OK


def test_images_that_are_absent_do_not_stop_a_run(tmp_path: Path) -> None:
    empty = docker(images=False)

    found = check(host.checks(empty, machine(tmp_path)), "images")
    assert found.status is Status.WARN
    assert "build: " in found.found
    host.require_fit(empty, machine(tmp_path))


def test_too_little_memory_stops_a_run_before_anything_is_touched(tmp_path: Path) -> None:
    with pytest.raises(EnvironmentUnfit, match=r"expected memory: 6\.0 GiB available; found 2\.0 GiB available; end"):
        host.require_fit(docker(), machine(tmp_path, memory=2 * GIB))


def test_the_table_shows_a_remedy_only_where_one_is_due() -> None:
    good = Check("git", Status.OK, "/usr/bin/git", "git", "never shown")
    bad = Check("disk", Status.MISSING, "1.0 GiB free", "15.0 GiB free", "free space")

    lines = host.render((good, bad)).splitlines()

    assert lines == [
        "         check  found         needed",
        "ok       git    /usr/bin/git  git",
        "missing  disk   1.0 GiB free  15.0 GiB free",
        "         -> free space",
    ]
