"""Which k3d command is used: the one on PATH where it is a version we know, else one of our own.

Here belongs the choice. Using k3d does not: that is `cluster.k3d`.
"""

from __future__ import annotations

import re
from datetime import timedelta
from pathlib import Path

from harness.cluster.k3d import SUPPORTED
from harness.effects import proc

OLDEST, BELOW = SUPPORTED
_ASK = timedelta(seconds=10)


def supported(version: str) -> bool:
    """Whether a k3d of `version` (such as 5.9.0) may be used."""
    numbers = tuple(int(part) for part in re.findall(r"\d+", version)[:3])
    return len(numbers) == 3 and OLDEST <= numbers < BELOW


def k3d_on_path() -> tuple[Path, str] | None:
    """The k3d on PATH and its version; None when there is none. It may be one that is not supported."""
    found = proc.which("k3d")
    if found is None:
        return None
    answer = proc.run([str(found), "version"], timeout=_ASK, check=False)
    version = re.search(r"k3d version v?(\S+)", answer.stdout)
    return found, version.group(1) if version else "unknown"
