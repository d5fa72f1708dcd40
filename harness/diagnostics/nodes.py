"""What nodes and their Pods have written into files: to be had also from a node that is down, without any API.

Here belongs reading the tar of a node's /var/log. The stream is `harness.cluster.volumes`.
"""

from __future__ import annotations

import re
import tarfile
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from harness.cluster.volumes import copy_out

LOGS = "/var/log"
_LINES, _POD_LINES = 2000, 200
_MOST_BYTES = 400_000  # of one file, its end
_MOST_FILES = 80
_POD = re.compile(r"pods/([^/]+)_([^/]+)_[^/_]+/([^/]+)/(\d+)\.log")
Copy = Callable[[str, str, Path], int]


def node_files(container: str, *, pods: bool, copy: Copy = copy_out) -> list[tuple[str, str]]:
    """The ends of a node's log files, and of its Pods' if `pods`: name and text. Raises ToolError, OSError."""
    with tempfile.TemporaryDirectory(prefix="drill-logs-") as scratch:
        tar = Path(scratch) / "logs.tar"
        copy(container, LOGS, tar)
        return list(_read(tar, pods=pods))[:_MOST_FILES]


def _read(tar: Path, *, pods: bool) -> Iterator[tuple[str, str]]:
    with tarfile.open(tar) as archive:
        # Those of the node first: they are few, and tell most.
        for member in sorted((m for m in archive if m.isfile() and m.size), key=lambda m: (m.name.count("/"), m.name)):
            path = member.name.removeprefix("./")
            name, lines = _name(path)
            source = archive.extractfile(member) if name and (pods or lines == _LINES) else None
            if source is not None:
                source.seek(max(0, member.size - _MOST_BYTES))
                text = source.read().decode(errors="replace")
                yield name, "".join(text.splitlines(keepends=True)[-lines:])


def _name(path: str) -> tuple[str, int]:
    """What to call a file, and how much of it to keep; "" for those that are not kept."""
    if "/" not in path and path.endswith(".log"):
        return path, _LINES
    if found := _POD.fullmatch(path):
        return f"pod-{found.group(1)}-{found.group(2)}-{found.group(3)}-{found.group(4)}.log", _POD_LINES
    return "", 0
