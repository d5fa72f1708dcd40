"""Provisioning a pretended machine: what is done, in which order, and what is never touched."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from harness.cluster import shim
from harness.cluster.docker import Docker
from harness.cluster.provision import Target, provision
from harness.core.errors import ConfigError, EnvironmentUnfit, UnsafeTarget
from harness.effects.proc import Completed

ALL_CAPS = (1 << 41) - 1
TOOLS = ("dockerd", "docker", "iptables", "ip", "git", "debootstrap")


class Engine:
    """Answers once it was started."""

    def __init__(self, up: bool = False, endpoint: str = "unix:///x", starts: bool = True) -> None:
        self.up, self.endpoint, self.starts = up, endpoint, starts

    def __call__(self, argv: Sequence[str], *, timeout: timedelta, check: bool = True) -> Completed:
        if argv[1] == "context":
            return Completed(tuple(argv), 0, self.endpoint, "", timeout)
        out = json.dumps({"ServerVersion": "20.10"}) if self.up else "{}"
        return Completed(tuple(argv), 0 if self.up else 1, out, "Cannot connect", timeout)


class Box:
    """A machine below a folder."""

    def __init__(self, root: Path, engine: Engine, **facts: Any) -> None:
        self.root, self.engine, self.commands = root, engine, list[str]()
        self.installed = set(facts.get("installed", ()))
        self.policy_during_install = False
        caps = facts.get("caps", ALL_CAPS)
        self.write("/etc/os-release", facts.get("release", 'ID=debian\nID_LIKE=""\n'))
        self.write("/proc/self/status", f"CapBnd:\t{caps:x}\n")
        self.write("/proc/sys/kernel/cap_last_cap", "40\n")
        self.write("/proc/sys/fs/inotify/max_user_instances", str(facts.get("instances", 128)))
        self.write("/proc/sys/fs/inotify/max_user_watches", "999999")
        self.write("/sys/fs/cgroup/cgroup.controllers", "cpu")
        if facts.get("systemd"):
            (root / "run/systemd/system").mkdir(parents=True)

    def write(self, path: str, text: str) -> None:
        file = self.root / path.lstrip("/")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)

    def run(self, argv: Sequence[str], *, timeout: timedelta, env: Any = None) -> Completed:
        self.commands.append(" ".join(argv))
        if argv[:2] == ["apt-get", "install"]:
            self.policy_during_install = (self.root / "usr/sbin/policy-rc.d").exists()
            self.installed |= set(TOOLS)
            assert env == {"DEBIAN_FRONTEND": "noninteractive"}
        if argv[0] == "systemctl":
            self.engine.up = self.engine.starts
        return Completed(tuple(argv), 0, "", "", timeout)

    def start(self, argv: Sequence[str], *, log: Path) -> object:
        self.commands.append(f"start {' '.join(argv)} > /{log.relative_to(self.root)}")
        self.engine.up = self.engine.starts
        return object()

    def target(self, *, root: bool = True, clock: Any = None) -> Target:
        def which(tool: str) -> Path | None:
            return Path(f"/usr/bin/{tool}") if tool in self.installed else None

        extra = {"clock": clock} if clock else {}
        return Target(root=self.root, run=self.run, start=self.start, which=which, is_root=root, **extra)

    def provision(self, **facts: Any) -> list[str]:
        said: list[str] = []
        provision(said.append, docker=Docker(run=self.engine), target=self.target(**facts))
        return said


class FastClock:
    """Time passes when somebody sleeps."""

    def __init__(self) -> None:
        self.now = 0

    def now_ns(self) -> int:
        return self.now

    def sleep(self, duration: timedelta) -> None:
        self.now += int(duration.total_seconds() * 1e9)

    def utc(self) -> Any:
        raise NotImplementedError

    def wait(self, condition: Any, duration: timedelta) -> bool:
        raise NotImplementedError


def test_a_bare_machine_gets_packages_an_engine_and_limits(tmp_path: Path) -> None:
    box = Box(tmp_path, Engine())

    said = box.provision()

    assert [c.split(" --")[0] for c in box.commands] == [
        "apt-get update -q",
        "apt-get install -y -q",
        "start dockerd > /var/log/dockerd.log",
        "sysctl -q -w fs.inotify.max_user_instances=512",
    ]
    assert "docker.io iptables iproute2 git debootstrap" in box.commands[1]
    assert "Docker engine: 20.10 answers" in said


def test_the_package_may_not_start_the_engine_before_it_is_configured(tmp_path: Path) -> None:
    box = Box(tmp_path, Engine())

    box.provision()

    assert box.policy_during_install
    assert not (tmp_path / "usr/sbin/policy-rc.d").exists()


def test_a_policy_of_somebody_else_is_left_alone(tmp_path: Path) -> None:
    box = Box(tmp_path, Engine())
    box.write("/usr/sbin/policy-rc.d", "theirs")

    box.provision()

    assert (tmp_path / "usr/sbin/policy-rc.d").read_text() == "theirs"


def test_systemd_starts_the_engine_where_there_is_one(tmp_path: Path) -> None:
    box = Box(tmp_path, Engine(), systemd=True)

    box.provision()

    assert "systemctl enable --now containerd docker" in box.commands


def test_an_engine_that_answers_is_never_touched(tmp_path: Path) -> None:
    box = Box(tmp_path, Engine(up=True), caps=1, instances=512)

    assert box.provision() == ["Docker engine: answers already, left as it is"]
    assert not box.commands
    assert not (tmp_path / "etc/docker").exists()


def test_twice_is_the_same_as_once(tmp_path: Path) -> None:
    box = Box(tmp_path, Engine(), caps=ALL_CAPS & ~(1 << 24))
    box.provision()
    before = (tmp_path / "etc/docker/daemon.json").read_text()
    box.engine.up = False
    box.commands.clear()

    box.provision()

    assert not any("apt-get" in c for c in box.commands)
    assert (tmp_path / "etc/docker/daemon.json").read_text() == before


def test_a_missing_capability_brings_the_runtime_that_asks_for_fewer(tmp_path: Path) -> None:
    box = Box(tmp_path, Engine(), caps=ALL_CAPS & ~(1 << 24))

    said = box.provision()

    config = json.loads((tmp_path / "etc/docker/daemon.json").read_text())
    assert config == {"default-runtime": "drill", "runtimes": {"drill": {"path": shim.PATH}}}
    runtime = tmp_path / shim.PATH.lstrip("/")
    assert runtime.stat().st_mode & 0o111
    assert any("24" in line and "fewer" in line for line in said)


def test_with_every_capability_nothing_is_configured(tmp_path: Path) -> None:
    Box(tmp_path, Engine()).provision()

    assert not (tmp_path / "etc/docker").exists()
    assert not (tmp_path / shim.PATH.lstrip("/")).exists()


@pytest.mark.parametrize("theirs", ['{"log-driver": "journald"}', "not json"])
def test_a_configuration_of_somebody_else_is_refused_with_what_to_add(tmp_path: Path, theirs: str) -> None:
    box = Box(tmp_path, Engine(), caps=1)
    box.write("/etc/docker/daemon.json", theirs)

    with pytest.raises(ConfigError, match=r"default-runtime.*add these keys"):
        box.provision()

    assert (tmp_path / "etc/docker/daemon.json").read_text() == theirs


def test_an_ordinary_user_is_told_to_be_root(tmp_path: Path) -> None:
    box = Box(tmp_path, Engine())

    with pytest.raises(ConfigError, match="sudo drill provision"):
        box.provision(root=False)

    assert not box.commands


def test_another_system_is_refused_before_anything_is_done(tmp_path: Path) -> None:
    box = Box(tmp_path, Engine(), release="ID=fedora\n")

    with pytest.raises(ConfigError, match="Debian or Ubuntu"):
        box.provision()

    assert not box.commands


def test_a_child_of_ubuntu_is_taken(tmp_path: Path) -> None:
    assert Box(tmp_path, Engine(), release='ID=pop\nID_LIKE="ubuntu debian"\n').provision()


def test_a_remote_engine_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UnsafeTarget):
        Box(tmp_path, Engine(endpoint="ssh://x@y.example")).provision()


def test_an_engine_that_does_not_come_up_is_said_so(tmp_path: Path) -> None:
    box = Box(tmp_path, Engine(starts=False))

    with pytest.raises(EnvironmentUnfit, match=r"within 60 s.*dockerd\.log"):
        box.provision(clock=FastClock())


def test_cgroups_are_mounted_where_nobody_did(tmp_path: Path) -> None:
    box = Box(tmp_path, Engine())
    (tmp_path / "sys/fs/cgroup/cgroup.controllers").unlink()

    box.provision()

    assert f"mount -t cgroup2 cgroup2 {tmp_path}/sys/fs/cgroup" in box.commands


def test_apparmor_is_installed_where_the_kernel_enforces_it(tmp_path: Path) -> None:
    box = Box(tmp_path, Engine())
    box.write("/sys/module/apparmor/parameters/enabled", "Y\n")

    box.provision()

    assert any(c.endswith(" apparmor") for c in box.commands)
