"""Provisioning: a Docker engine where there is none. Only ever because a person typed it.

Here belong the steps on Debian and Ubuntu as root. Deciding whether they are needed is `harness.cluster.host`'s part. A
working engine is never touched, nor is a configuration that somebody else wrote.
"""

from __future__ import annotations

import json
import os
import shlex
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

from harness.cluster import shim
from harness.cluster.docker import Docker
from harness.cluster.host import INSTANCES_NEEDED, WATCHES_NEEDED, missing_capabilities
from harness.core.clock import MILLISECOND, MINUTE, SECOND, Clock, SystemClock
from harness.core.errors import ConfigError, EnvironmentUnfit, HarnessError, UnsafeTarget
from harness.core.observation import Observation, State
from harness.effects import proc
from harness.effects.waiting import until

# containerd and runc come with docker.io; debootstrap is for images built here.
PACKAGES = ("docker.io", "iptables", "iproute2", "git", "debootstrap", "ca-certificates")
RUNTIME = "drill"
_APT = 15 * MINUTE
_START = MINUTE
Progress = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Target:
    """The machine to be provisioned; tests give another root and record the commands."""

    root: Path = Path("/")
    run: Callable[..., proc.Completed] = proc.run
    start: Callable[..., Any] = proc.launch
    which: Callable[[str], Path | None] = proc.which
    is_root: bool = field(default_factory=lambda: os.geteuid() == 0)
    clock: Clock = field(default_factory=SystemClock)

    def path(self, absolute: str) -> Path:
        """A path of the machine."""
        return self.root / absolute.lstrip("/")


def provision(progress: Progress, *, docker: Docker | None = None, target: Target | None = None) -> None:
    """Have a Docker engine that answers, and the limits a drill needs. Idempotent.

    Raises ConfigError where this cannot be done here (not root, not Debian or Ubuntu, somebody's own configuration),
    ToolError and EnvironmentUnfit where a step failed.
    """
    docker, target = docker or Docker(), target or Target()
    if _answers(docker):
        progress("Docker engine: answers already, left as it is")
    else:
        _require_possible(target)
        _install(target, progress)
        _configure(target, progress)
        _start_engine(target, progress)
        _await_engine(docker, target)
        progress(f"Docker engine: {docker.engine().version} answers")
    _raise_limits(target, progress)


def _answers(docker: Docker) -> bool:
    try:
        docker.engine()
    except UnsafeTarget:
        raise
    except HarnessError:
        return False
    return True


def _require_possible(target: Target) -> None:
    if not target.is_root:
        raise ConfigError("root, to install a Docker engine", "an ordinary user", "run `sudo drill provision`")
    try:
        release = target.path("/etc/os-release").read_text()
    except OSError:
        release = ""
    facts = dict(line.split("=", 1) for line in release.splitlines() if "=" in line)
    family = shlex.split(f"{facts.get('ID', '')} {facts.get('ID_LIKE', '')}".replace('"', ""))
    if not {"debian", "ubuntu"} & set(family):
        raise ConfigError(
            "Debian or Ubuntu, to install a Docker engine", " ".join(family) or "an unknown system",
            "install Docker as its documentation says for this system, then run again",
        )  # fmt: skip


def _install(target: Target, progress: Progress) -> None:
    if all(target.which(tool) for tool in ("dockerd", "docker", "iptables", "ip", "git", "debootstrap")):
        progress("packages: all there")
        return
    quiet = {"DEBIAN_FRONTEND": "noninteractive"}
    progress("packages: apt-get update")
    target.run(["apt-get", "update", "-q"], timeout=_APT, env=quiet)
    wanted = [*PACKAGES, *(["apparmor"] if _apparmor(target) else [])]
    progress(f"packages: apt-get install {' '.join(wanted)}")
    install = ["apt-get", "install", "-y", "-q", "--no-install-recommends"]
    # The package would start the engine before it is configured.
    policy = target.path("/usr/sbin/policy-rc.d")
    ours = not policy.exists()
    if ours:
        policy.parent.mkdir(parents=True, exist_ok=True)
        policy.write_text("#!/bin/sh\nexit 101\n")
        policy.chmod(0o755)
    try:
        target.run([*install, *wanted], timeout=_APT, env=quiet)
        if target.which("docker") is None:  # a package of its own from Debian 13 on
            target.run([*install, "docker-cli"], timeout=_APT, env=quiet)
    finally:
        if ours:
            policy.unlink()


def _apparmor(target: Target) -> bool:
    """Where the kernel enforces AppArmor, the engine cannot start a container without its parser."""
    switch = target.path("/sys/module/apparmor/parameters/enabled")
    return switch.exists() and switch.read_text().strip() == "Y"


def _configure(target: Target, progress: Progress) -> None:
    """Only where a capability is missing: a runtime that asks for fewer (see `harness.cluster.shim`)."""
    missing = missing_capabilities(target.path("/proc"))
    if not missing:
        return
    program = target.path(shim.PATH)
    shim.write(program)
    progress(f"capabilities: {', '.join(map(str, missing))} cannot be had here: OCI runtime {shim.PATH} asks for fewer")
    wanted = {"default-runtime": RUNTIME, "runtimes": {RUNTIME: {"path": shim.PATH}}}
    config = target.path("/etc/docker/daemon.json")
    if not config.exists():
        config.parent.mkdir(parents=True, exist_ok=True)
        config.write_text(json.dumps(wanted, indent=2) + "\n")
        progress("configuration: /etc/docker/daemon.json written")
        return
    try:
        found = json.loads(config.read_text())
    except ValueError:
        found = None
    if not isinstance(found, dict) or found.get("default-runtime") != RUNTIME:
        raise ConfigError(
            f"no /etc/docker/daemon.json, or one with {json.dumps(wanted)}", "one that is not drill's",
            "add these keys to it yourself, then run again",
        )  # fmt: skip


def _start_engine(target: Target, progress: Progress) -> None:
    if target.path("/run/systemd/system").is_dir():
        progress("engine: systemctl start docker")
        target.run(["systemctl", "enable", "--now", "containerd", "docker"], timeout=_START)
        return
    _mount_cgroups(target, progress)
    log = target.path("/var/log/dockerd.log")
    log.parent.mkdir(parents=True, exist_ok=True)
    # Without systemd the package's own start script guesses at cgroups and ulimits; by hand it is the same everywhere.
    # It must outlive us, like any engine: a session of its own, and nobody stops it.
    progress("engine: dockerd started by hand (no systemd here); its log is /var/log/dockerd.log")
    target.start(["dockerd"], log=log)


def _mount_cgroups(target: Target, progress: Progress) -> None:
    """A bare sandbox may have no cgroups mounted at all, and dockerd does not do it itself."""
    root = target.path("/sys/fs/cgroup")
    if (root / "cgroup.controllers").exists() or (root.is_dir() and any(root.iterdir())):
        return
    progress("cgroups: mounted at /sys/fs/cgroup (v2)")
    root.mkdir(parents=True, exist_ok=True)
    target.run(["mount", "-t", "cgroup2", "cgroup2", str(root)], timeout=20 * SECOND)


class _Answering:
    signal = None
    subject = "Docker engine"

    def __init__(self, docker: Docker, clock: Clock) -> None:
        self._docker, self._clock = docker, clock

    def observe(self) -> Observation:
        try:
            found = f"version {self._docker.engine().version}"
            state = State.MET
        except EnvironmentUnfit as error:
            found, state = error.found, State.PENDING
        return Observation(state, self.subject, "an answer", found, self._clock.now_ns())


def _await_engine(docker: Docker, target: Target, within: timedelta = _START) -> None:
    outcome = until(_Answering(docker, target.clock), within=within, clock=target.clock, poll=500 * MILLISECOND)
    if not outcome.met:
        raise EnvironmentUnfit(
            f"a Docker engine within {within.total_seconds():g} s of its start", outcome.last.actual,
            "look at /var/log/dockerd.log or `journalctl -u docker`",
        )  # fmt: skip


def _raise_limits(target: Target, progress: Progress) -> None:
    """For this boot only: what stays over a reboot is for the machine's owner to decide."""
    wanted = {"max_user_instances": INSTANCES_NEEDED, "max_user_watches": WATCHES_NEEDED}
    for name, needed in wanted.items():
        try:
            found = int(target.path(f"/proc/sys/fs/inotify/{name}").read_text())
        except (OSError, ValueError):
            continue
        if found >= needed:
            continue
        if not target.is_root:
            progress(f"limits: fs.inotify.{name} is {found}: run `sudo sysctl -w fs.inotify.{name}={needed}`")
            continue
        target.run(["sysctl", "-q", "-w", f"fs.inotify.{name}={needed}"], timeout=20 * SECOND)
        progress(f"limits: fs.inotify.{name} raised from {found} to {needed}")
