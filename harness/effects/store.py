"""The run folder: the only module that writes results to disk.

Here belong the layout of `reports/<utc>-<id>/` and saving in three steps: the plan before anything happens, each event
as it happens (flushed), the findings after judging. A crash at any point loses nothing that was already known. What
looks like a credential, or is known to be one, is covered before it is written. How a report looks does not belong
here: renderers are `harness.report`.

A full disk raises nothing: in the middle of a story, or in the thread of a watch, nobody could do anything about it
but harm. What could not be written is remembered as `trouble`; a drill with trouble proves nothing.
"""

from __future__ import annotations

import itertools
import json
import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

from harness.core.errors import ConfigError
from harness.core.redaction import Veil, redact_data
from harness.core.timeline import Event, History
from harness.core.verdict import Finding

SCHEMA = 1


class RunFolder:
    """`reports/<utc>-<id>/`: `run.json`, one folder a drill, the reports."""

    def __init__(self, root: Path, run_id: str, begun: datetime) -> None:
        """Raises OSError where nothing can be written to begin with."""
        self.run_id, self.veil, self.trouble = run_id, Veil(), ""
        self.path = root / f"{begun:%Y%m%dT%H%M%SZ}-{run_id}"
        self.path.mkdir(parents=True, mode=0o755)
        (self.path / "private").mkdir(mode=0o700)
        self._point_latest(root)

    def _point_latest(self, root: Path) -> None:
        fresh = root / f".latest-{self.run_id}"
        fresh.symlink_to(self.path.name)
        fresh.replace(root / "latest")

    def private(self, name: str) -> Path:
        """A file in this folder that only its owner may read (kubeconfigs)."""
        return self.path / "private" / name

    def forget(self, name: str) -> None:
        """Remove a folder below `private` that is of no use after the run (the scratch copy of the repository)."""
        shutil.rmtree(self.path / "private" / name, ignore_errors=True)

    def drill(self, name: str) -> DrillFolder:
        """The folder of one drill."""
        return DrillFolder(self.path / name, self.veil)

    def write_run(self, facts: Mapping[str, Any]) -> None:
        """`run.json`: versions, digests, settings, command line; written again as facts become known."""
        data = self.veil.data({"schema": SCHEMA, "run_id": self.run_id, **facts})
        try:
            write_json(self.path / "run.json", data)
        except OSError as error:
            self.trouble = self.trouble or str(error)


class DrillFolder:
    """One drill's files. `trouble` says what could not be written, and why; "" while all is well."""

    def __init__(self, path: Path, veil: Veil | None = None) -> None:
        """Raises OSError where nothing can be written to begin with."""
        self.path, self.veil, self.trouble = path, veil or Veil(), ""
        path.mkdir(parents=True, exist_ok=True)
        self.artifacts = path / "artifacts"
        self._waiting = b""  # what the disk did not take yet
        self._file: int | None = os.open(path / "timeline.jsonl", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)

    def save_plan(self, plan: Mapping[str, Any]) -> None:
        """What is going to be done, before it is done."""
        data = self.veil.data({"schema": SCHEMA, **plan})
        self._try("plan.json", lambda: write_json(self.path / "plan.json", data))

    def append(self, event: Event) -> None:
        """A listener for a `Timeline`: one line an event, handed to the kernel at once."""
        if self._file is None:
            return
        covered = replace(event, subject=self.veil.text(event.subject), data=self.veil.data(event.data))
        # A lone surrogate (a file name that is not UTF-8) becomes the escape that JSON reads back as the same.
        self._waiting += (covered.to_json() + "\n").encode(errors="backslashreplace")
        self._try("timeline.jsonl", self._write)

    def _write(self) -> None:
        while self._waiting and self._file is not None:  # a disk that fills up takes a part of a line
            self._waiting = self._waiting[os.write(self._file, self._waiting) :]

    def save_findings(self, verdict: str, findings: Sequence[Finding], extra: Mapping[str, Any]) -> None:
        """What the checks said."""
        self._try("findings.json", lambda: write_findings(self.path, verdict, findings, extra, self.veil))

    def save_artifact(self, name: str, text: str) -> None:
        """A text worth keeping beside the timeline."""

        def save() -> None:
            self.artifacts.mkdir(exist_ok=True)
            write_text(self.artifacts / name, self.veil.text(text))

        self._try(name, save)

    def close(self) -> None:
        """No more events."""
        if self._file is not None:
            self._try("timeline.jsonl", self._write)
            self._try("timeline.jsonl", partial(os.fsync, self._file))
            self._try("timeline.jsonl", partial(os.close, self._file))
            self._file = None

    def _try(self, name: str, action: Callable[[], object]) -> None:
        try:
            action()
        except OSError as error:
            self.trouble = self.trouble or f"{name} could not be written: {error}"


def write_findings(
    folder: Path, verdict: str, findings: Sequence[Finding], extra: Mapping[str, Any], veil: Veil | None = None
) -> Path | None:
    """`findings.json` of a drill. Earlier ones are kept beside it, as `findings.<n>.json`, which is returned."""
    file, kept = folder / "findings.json", None
    if file.exists():
        kept = next(p for n in itertools.count(1) if not (p := folder / f"findings.{n}.json").exists())
        file.replace(kept)
    cover = veil.data if veil else redact_data
    write_json(file, cover({"schema": SCHEMA, "verdict": verdict, "findings": [f.to_record() for f in findings],
                            **extra}))  # fmt: skip
    return kept


def write_json(path: Path, data: Any) -> None:
    """Write JSON whole or not at all: to a neighbour first, then renamed over."""
    write_text(path, json.dumps(data, indent=2, ensure_ascii=False, sort_keys=True, default=str) + "\n")


def write_text(path: Path, text: str) -> None:
    """Write a text file whole or not at all. Raises OSError."""
    fresh = path.with_name(f".{path.name}.new")
    try:
        fresh.write_text(text, encoding="utf-8", errors="backslashreplace")
        fresh.replace(path)
    except OSError:
        with suppress(OSError):
            fresh.unlink()  # half a file takes room and helps nobody
        raise


def load_drill(path: Path) -> tuple[dict[str, Any], History, dict[str, Any]]:
    """A stored drill: plan, history, findings (empty where a file is missing).

    Raises ConfigError for a file that is damaged otherwise than by a last line of the timeline that was cut off.
    """
    return load_json(path / "plan.json"), load_timeline(path), load_json(path / "findings.json")


def load_timeline(path: Path) -> History:
    """The timeline of a stored drill, empty where there is none. Raises ConfigError as `load_drill` does."""
    timeline = path / "timeline.jsonl"
    data = timeline.read_bytes() if timeline.exists() else b""
    whole, newline, last = data.rpartition(b"\n")
    try:
        # A crash may cut the last line in the middle of a character; nothing else is forgiven.
        text = (whole + newline).decode() + last.decode(errors="replace")
    except UnicodeDecodeError as error:
        raise _damaged(timeline, error) from error
    return History.from_lines(text)


def load_json(file: Path) -> dict[str, Any]:
    """A JSON object from a file, empty where there is none. Raises ConfigError for a file that is damaged."""
    if not file.exists():
        return {}
    try:
        return dict(json.loads(file.read_bytes()))
    except (ValueError, TypeError) as error:
        raise _damaged(file, error) from error


def _damaged(file: Path, error: Exception) -> ConfigError:
    return ConfigError(f"{file.name} as a drill wrote it", f"{error} in {file}", "give the folder of a stored drill")
