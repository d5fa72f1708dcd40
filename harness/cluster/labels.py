"""Whose it is: the labels on everything we make, and the owner they name.

Here belong the label names, the owner, the question whether that owner still lives, and the note that a run was kept on
request. What is done about a thing whose
owner is gone does not: that is `harness.cluster.clean`.
"""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

RUN = "drill.run"
OWNER = "drill.owner"
CREATED = "drill.created"
K3D_CLUSTER = "k3d.cluster"
COMMENT = "drill:"  # what a firewall rule of ours carries, followed by the run id


@dataclass(frozen=True, slots=True)
class Owner:
    """The process that answers for what it made. `started` (clock ticks since boot) tells it from a later process with
    the same pid; see proc(5), field 22 of /proc/<pid>/stat."""

    host: str
    pid: int
    started: int

    def __str__(self) -> str:
        return f"{self.host}/{self.pid}/{self.started}"

    @staticmethod
    def parse(text: str) -> Owner | None:
        """The owner written in a label, or None where the label is not one of ours."""
        host, _, rest = text.partition("/")
        pid, _, started = rest.partition("/")
        if not (host and pid.isdigit() and started.isdigit()):
            return None
        return Owner(host, int(pid), int(started))

    @staticmethod
    def me(proc: Path = Path("/proc")) -> Owner:
        """This process."""
        return Owner(platform.node(), os.getpid(), started(os.getpid(), proc) or 0)


def started(pid: int, proc: Path = Path("/proc")) -> int | None:
    """When the process started, in clock ticks since boot; None where there is no such process."""
    try:
        stat = (proc / str(pid) / "stat").read_text()
    except OSError:
        return None
    # The command's name stands in brackets and may hold spaces and brackets of its own: count from the last one.
    return int(stat.rpartition(")")[2].split()[19])


def gone(owner: Owner, *, host: str | None = None, proc: Path = Path("/proc")) -> bool:
    """Is that process certainly no more? Another machine's owner is never gone: we cannot know, so it is not ours.

    Without /proc nothing is ever known to be gone.
    """
    if owner.host != (host or platform.node()) or not (proc / "self").exists():
        return False
    return started(owner.pid, proc) != owner.started


def labels(run_id: str, owner: Owner, created: datetime) -> Mapping[str, str]:
    """The labels of a thing made now for this run."""
    return {RUN: run_id, OWNER: str(owner), CREATED: created.strftime("%Y-%m-%dT%H:%M:%SZ")}


def mark_kept(state: Path, run_id: str) -> None:
    """Note that somebody wants to look at what this run leaves standing. Labels cannot be changed afterwards."""
    (state / "kept").mkdir(parents=True, exist_ok=True)
    (state / "kept" / run_id).touch()


def kept(state: Path) -> frozenset[str]:
    """The runs whose clusters were kept on request."""
    folder = state / "kept"
    return frozenset(path.name for path in folder.iterdir()) if folder.is_dir() else frozenset()


def unmark_kept(state: Path, run_id: str) -> None:
    """Forget that the run was kept."""
    (state / "kept" / run_id).unlink(missing_ok=True)
