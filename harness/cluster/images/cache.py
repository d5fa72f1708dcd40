"""The cache folder: where it is, what lies where in it, and the lock that one run holds while it writes.

Here belong paths, atomic writing and the lock. What the files mean does not.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

from harness.core.clock import Clock, between_ns, seconds
from harness.core.errors import EnvironmentUnfit

_POLL = seconds(0.25)
_BEAT = seconds(10)


def cache_folder() -> Path:
    """$DRILL_CACHE, else $XDG_CACHE_HOME/drill, else ~/.cache/drill."""
    if chosen := os.environ.get("DRILL_CACHE"):
        return Path(chosen)
    if base := os.environ.get("XDG_CACHE_HOME"):
        return Path(base) / "drill"
    return Path.home() / ".cache" / "drill"


def write_atomically(path: Path, content: str | bytes, mode: int = 0o644) -> None:
    """Write `content` so that a reader, or a crash, sees the old file or the new one, never half of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    draft.write_bytes(content.encode() if isinstance(content, str) else content)
    draft.chmod(mode)
    draft.replace(path)


def read_json(path: Path) -> dict[str, object]:
    """The mapping in a JSON file of the cache; empty when there is none or it is damaged: a cache may be lost."""
    try:
        data = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
    return data if isinstance(data, dict) else {}


@contextlib.contextmanager
def locked(cache: Path, progress: Callable[[str], None], clock: Clock, within: timedelta) -> Iterator[None]:
    """Hold the cache's lock; while another run holds it, wait and say so every 10 s.

    Raises EnvironmentUnfit when the lock is not free `within` that time, or when the cache cannot be written.
    """
    path = cache / "lock"
    try:
        cache.mkdir(parents=True, exist_ok=True)
        stream = path.open("a+")
    except OSError as error:
        raise EnvironmentUnfit(
            f"a cache folder at {cache} that can be written", str(error), "set DRILL_CACHE to another folder"
        ) from error
    with stream:
        _acquire(stream.fileno(), path, progress, clock, within)
        try:
            stream.truncate(0)
            stream.write(f"{os.getpid()}\n")
            stream.flush()
            yield
        finally:
            fcntl.flock(stream.fileno(), fcntl.LOCK_UN)


def _acquire(fileno: int, path: Path, progress: Callable[[str], None], clock: Clock, within: timedelta) -> None:
    begun = clock.now_ns()
    said = None
    while True:
        try:
            fcntl.flock(fileno, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            waited = between_ns(begun, clock.now_ns())
            holder = path.read_text().strip() or "unknown"
            if waited >= within:
                raise EnvironmentUnfit(
                    f"the images to be prepared by the other run (process {holder}) within {within}",
                    "it still holds the lock",
                    f"wait for it or end it; the lock is {path}",
                ) from None
            if said is None or waited - said >= _BEAT:
                total = int(waited.total_seconds())
                progress(f"images: another run (process {holder}) is preparing them; waiting for it, {total} s so far")
                said = waited
            clock.sleep(_POLL)
        else:
            return
