"""The machine: is it fit for a drill, and if not, what would make it so.

Here belong the checks, as data. Changing the machine does not: that is `harness.cluster.provision`, which a person asks
for on purpose.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from harness.cluster import clean, k3d
from harness.cluster.docker import Docker, Engine
from harness.cluster.images import cache_folder
from harness.core.errors import EnvironmentUnfit, HarnessError, UnsafeTarget
from harness.core.text import first_line
from harness.effects import proc

GIB = 1024**3
MEMORY_NEEDED = 6 * GIB  # the sample repository's pods, Argo CD and three nodes peak at 4 GiB
DISK_NEEDED = 15 * GIB  # images three times: engine, bundle, node
INSTANCES_NEEDED, WATCHES_NEEDED = 512, 262_144  # each kubelet and each containerd takes a share of the host's
INSTANCES_PER_CLUSTER = 64  # a server holds 21, an agent 7 (measured), and pods some more
PROVISION = "sudo drill provision"
# By number, as in capability.h.
_CAPABILITY_NAMES = {
    12: "NET_ADMIN", 13: "NET_RAW", 16: "SYS_MODULE", 18: "SYS_CHROOT", 19: "SYS_PTRACE", 21: "SYS_ADMIN",
    24: "SYS_RESOURCE", 27: "MKNOD", 38: "PERFMON", 39: "BPF",
}  # fmt: skip


class Status(StrEnum):
    """ok: as needed. warn: a drill may run, but not as well. missing: it cannot run."""

    OK = "ok"
    WARN = "warn"
    MISSING = "missing"


@dataclass(frozen=True, slots=True)
class Check:
    """One line of `drill doctor`. `remedy` is a command or a sentence; empty where nothing is to be done."""

    name: str
    status: Status
    found: str
    needed: str
    remedy: str = ""


@dataclass(frozen=True, slots=True)
class Machine:
    """Where the checks read; tests point it elsewhere."""

    procfs: Path = Path("/proc")
    cgroup: Path = Path("/sys/fs/cgroup")
    cache: Path = field(default_factory=cache_folder)
    which: Callable[[str], Path | None] = proc.which
    free_disk: Callable[[Path], int] = lambda path: shutil.disk_usage(path).free
    k3d: Callable[[Path], Path | None] = k3d.find
    root: bool = os.geteuid() == 0


def checks(docker: Docker | None = None, machine: Machine | None = None) -> tuple[Check, ...]:
    """Every check, in the order in which they are best mended. Changes nothing, raises nothing."""
    docker, machine = docker or Docker(), machine or Machine()
    engine, first = _engine(docker)
    found = [first, _k3d(machine), _git(machine), _memory(machine), _disk(machine, engine)]
    found += [_inotify(machine, "max_user_instances", INSTANCES_NEEDED)]
    found += [_inotify(machine, "max_user_watches", WATCHES_NEEDED)]
    found += [_cgroup(machine), _capabilities(machine, engine), _firewall_tools(machine)]
    if engine is not None:
        found += [_images(docker), _leftovers(docker)]
    return tuple(found)


def require_fit(docker: Docker, machine: Machine | None = None) -> None:
    """Raises EnvironmentUnfit (or UnsafeTarget for a remote engine) for the first thing without which no drill runs."""
    docker.engine()
    for check in checks(docker, machine):
        if check.status is Status.MISSING and check.name not in _HAD_LATER:
            raise EnvironmentUnfit(f"{check.name}: {check.needed}", check.found, check.remedy)


def render(found: tuple[Check, ...]) -> str:
    """A table for people."""
    rows = [("", "check", "found", "needed"), *((c.status.value, c.name, c.found, c.needed) for c in found)]
    widths = [max(len(row[i]) for row in rows) for i in range(3)]
    lines = []
    for row, check in zip(rows, (None, *found), strict=True):
        lines.append("  ".join([*(cell.ljust(w) for cell, w in zip(row, widths, strict=False)), row[3]]).rstrip())
        if check is not None and check.remedy and check.status is not Status.OK:
            lines.append(" " * (widths[0] + 2) + f"-> {check.remedy}")
    return "\n".join(lines)


# Made or fetched by a run itself: their absence is news for the doctor, not an obstacle.
_HAD_LATER = frozenset({"k3d", "images"})


def _engine(docker: Docker) -> tuple[Engine | None, Check]:
    needed = "a local engine that answers"
    try:
        engine = docker.engine()
    except (EnvironmentUnfit, UnsafeTarget) as error:
        return None, Check("Docker engine", Status.MISSING, error.found, needed, error.remedy)
    except HarnessError as error:
        return None, Check("Docker engine", Status.MISSING, first_line(error), needed, PROVISION)
    return engine, Check("Docker engine", Status.OK, f"{engine.version} at {engine.endpoint}", needed)


def _k3d(machine: Machine) -> Check:
    needed = "5.8 or 5.9 on PATH, else drill's own in its cache"
    try:
        binary = machine.k3d(machine.cache)
    except HarnessError as error:
        return Check("k3d", Status.WARN, first_line(error), needed, "drill images")
    if binary is None:
        return Check("k3d", Status.WARN, "none", needed, "drill images")
    return Check("k3d", Status.OK, str(binary), needed)


def _git(machine: Machine) -> Check:
    binary = machine.which("git")
    if binary is None:
        return Check("git", Status.MISSING, "none", "git on PATH", "sudo apt-get install git")
    return Check("git", Status.OK, str(binary), "git on PATH")


def _memory(machine: Machine) -> Check:
    try:
        text = (machine.procfs / "meminfo").read_text()
    except OSError:
        return Check("memory", Status.WARN, "unknown", _gib(MEMORY_NEEDED) + " available")
    available = next((int(line.split()[1]) * 1024 for line in text.splitlines() if line.startswith("MemAvailable:")), 0)
    status = Status.OK if available >= MEMORY_NEEDED else Status.MISSING
    remedy = "" if status is Status.OK else "end what uses the memory, or run on a larger machine"
    return Check("memory", status, f"{_gib(available)} available", f"{_gib(MEMORY_NEEDED)} available", remedy)


def _disk(machine: Machine, engine: Engine | None) -> Check:
    root = Path(engine.root if engine else "/var/lib/docker")
    # The engine may keep its files inside a virtual machine, or where only root may look: ask the nearest folder.
    there = next((path for path in (root, *root.parents) if path.exists()), Path("/"))
    free = machine.free_disk(there)
    status = Status.OK if free >= DISK_NEEDED else Status.MISSING
    remedy = "" if status is Status.OK else f"free space at {there}; `docker system df` shows what Docker keeps"
    return Check("disk", status, f"{_gib(free)} free at {there}", f"{_gib(DISK_NEEDED)} free", remedy)


def _inotify(machine: Machine, name: str, needed: int) -> Check:
    try:
        found = int((machine.procfs / "sys/fs/inotify" / name).read_text())
    except (OSError, ValueError):
        return Check(f"inotify {name}", Status.WARN, "unknown", f">= {needed}")
    used = inotify_in_use(machine.procfs) if name == "max_user_instances" else 0
    status = Status.OK if found >= needed else Status.WARN
    if used and found - used < INSTANCES_PER_CLUSTER:
        status = Status.MISSING  # nodes would end with "too many open files", over and over
    text, remedy = f"{found}, {used} in use" if used else str(found), f"sudo sysctl -w fs.inotify.{name}={needed}"
    if status is Status.MISSING and found >= needed:
        remedy = f"sudo sysctl -w fs.inotify.{name}={2 * found}"
    return Check(f"inotify {name}", status, text, f">= {needed}", remedy if status is not Status.OK else "")


def inotify_in_use(procfs: Path) -> int:
    """How many inotify instances the processes hold that we may look into: all of them only for root."""
    count = 0
    for folder in procfs.glob("[0-9]*/fd"):
        try:
            count += sum(str(entry.readlink()) == "anon_inode:inotify" for entry in folder.iterdir())
        except OSError:
            continue  # it ended meanwhile, or is not ours to look into
    return count


def _cgroup(machine: Machine) -> Check:
    second = (machine.cgroup / "cgroup.controllers").exists()
    # Kubelets from 1.35 on refuse cgroup v1; the versions pinned here accept both.
    return Check("cgroup", Status.OK, "v2" if second else "v1", "v2, or v1 with Kubernetes 1.34 or older")


def missing_capabilities(proc_folder: Path = Path("/proc")) -> tuple[int, ...]:
    """Numbers of the capabilities that no process here can ever get (CapBnd of proc(5)); empty where it is unknown."""
    try:
        status = (proc_folder / "self/status").read_text()
        last = int((proc_folder / "sys/kernel/cap_last_cap").read_text())
    except (OSError, ValueError):
        return ()
    bounding = next((int(line.split()[1], 16) for line in status.splitlines() if line.startswith("CapBnd:")), None)
    if bounding is None:
        return ()
    return tuple(bit for bit in range(last + 1) if not bounding >> bit & 1)


def _capabilities(machine: Machine, engine: Engine | None) -> Check:
    needed = "every capability, or an engine runtime that asks for fewer"
    missing = missing_capabilities(machine.procfs)
    if not missing:
        return Check("capabilities", Status.OK, "all", needed)
    names = "without " + ", ".join(_CAPABILITY_NAMES.get(bit, f"capability {bit}") for bit in missing)
    if not machine.root or (engine is not None and engine.default_runtime != "runc"):
        # An ordinary user has none of them; what counts is what the engine's own process may give.
        runtime = f", engine runtime {engine.default_runtime}" if engine else ""
        return Check("capabilities", Status.OK, names + runtime, needed)
    return Check("capabilities", Status.MISSING, names, needed, PROVISION)


def _firewall_tools(machine: Machine) -> Check:
    needed = "iptables and ip for root, else a privileged container"
    lacking = [tool for tool in ("iptables", "ip") if machine.which(tool) is None]
    if machine.root and lacking:
        remedy = "sudo apt-get install iptables iproute2"
        return Check("firewall", Status.WARN, f"no {' and no '.join(lacking)}", needed, remedy)
    return Check("firewall", Status.OK, "tools" if machine.root else "by container", needed)


def _images(docker: Docker) -> Check:
    needed = "all present, else had by the first run"
    try:
        wanted = {source: names for source, names in image_names().items() if names}
        absent = {source: [n for n in names if docker.image_id(n) is None] for source, names in wanted.items()}
    except HarnessError as error:
        return Check("images", Status.WARN, first_line(error), needed, "drill images")
    ready = next((source for source, lacking in absent.items() if not lacking), None)
    if ready is not None:
        return Check("images", Status.OK, f"all of --images {ready} ({len(wanted[ready])})", needed)
    found = "; ".join(f"{source}: {len(lacking)} of {len(wanted[source])} absent" for source, lacking in absent.items())
    return Check("images", Status.WARN, found, needed, "drill images")


def image_names() -> dict[str, list[str]]:
    """What each source calls its images. Raises ConfigError for a recipe that cannot be read."""
    from harness.cluster.images.pull import pins_file, read_pins
    from harness.cluster.images.recipe import read_recipes, recipes_folder

    built = [recipe.image for recipe in read_recipes(recipes_folder()).values() if recipe.image]
    return {"build": built, "pull": [pin.image for pin in read_pins(pins_file()).values()]}


def _leftovers(docker: Docker) -> Check:
    try:
        left = clean.orphans(docker)
    except HarnessError as error:
        return Check("leftovers", Status.WARN, first_line(error), "none", "drill clean")
    if not left:
        return Check("leftovers", Status.OK, "none", "none")
    return Check("leftovers", Status.WARN, f"{len(left)} of runs that are gone", "none", "drill clean")


def _gib(size: int) -> str:
    return f"{size / GIB:.1f} GiB"
