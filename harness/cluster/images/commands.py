"""Long commands of a build: logged to a file, ended when the build is cancelled, explained when they fail.

Here belongs that one way of running a command. Which commands there are does not: `build`, `rootfs`, `gotool`.
"""

from __future__ import annotations

import contextlib
import shlex
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from harness.core.clock import Clock, between_ns
from harness.core.errors import ImageUnavailable
from harness.effects import proc

_TAIL = 30
_NICE = 10  # a build must not make the machine useless to its owner


class Cancelled(ImageUnavailable):
    """Another stage failed, or we were interrupted; this one was ended."""


@dataclass(frozen=True, slots=True)
class Commands:
    """Runs commands until `cancel` is set. Safe to use from several threads."""

    logs: Path
    cancel: threading.Event
    clock: Clock

    def run(
        self,
        stage: str,
        argv: Sequence[str],
        *,
        timeout: timedelta,
        remedy: str,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
    ) -> None:
        """Run `argv` to its end, both streams into the stage's log.

        Raises ImageUnavailable with the stage, the command, the last 30 lines and the remedy; Cancelled when the
        build was cancelled; ToolMissing.
        """
        self.logs.mkdir(parents=True, exist_ok=True)
        log = self.logs / f"{stage.replace(' ', '-').replace('/', '-')}.log"
        with contextlib.suppress(FileNotFoundError):
            log.unlink()
        child = proc.start(["nice", "-n", str(_NICE), *argv], env=env, cwd=cwd, log=log)
        begun = self.clock.now_ns()
        try:
            while child.poll() is None:
                if self.cancel.wait(0.1):
                    raise Cancelled(f"{stage} was ended because the build was cancelled")
                if between_ns(begun, self.clock.now_ns()) > timeout:
                    raise ImageUnavailable(_explain(stage, argv, f"no end within {timeout}", log, remedy))
        finally:
            proc.stop(child)
        if child.returncode != 0:
            raise ImageUnavailable(_explain(stage, argv, f"it ended with {child.returncode}", log, remedy))


def _explain(stage: str, argv: Sequence[str], what: str, log: Path, remedy: str) -> str:
    lines = log.read_text(errors="replace").splitlines()[-_TAIL:] if log.exists() else []
    tail = "\n".join(f"    {line}" for line in lines) or "    (it printed nothing)"
    head = f"the stage {stage!r} failed: {what}\n  command: {shlex.join(argv)}"
    return f"{head}\n  last lines of {log}:\n{tail}\n  {remedy}"
