"""The run folder: the only module that writes results to disk.

Here belong the layout of `reports/<utc>-<id>/` and saving in three steps: the plan before anything happens, each event
as it happens (flushed), the findings after judging. A crash at any point loses nothing that was already known. What
looks like a credential is covered before it is written. How a report looks does not belong here: renderers are
`harness.report`.
"""

from __future__ import annotations

import itertools
import json
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import IO, Any

from harness.core.errors import ConfigError
from harness.core.redaction import redact, redact_data
from harness.core.timeline import Event, History
from harness.core.verdict import Finding

SCHEMA = 1


class RunFolder:
    """`reports/<utc>-<id>/`: `run.json`, one folder a drill, the reports."""

    def __init__(self, root: Path, run_id: str, begun: datetime) -> None:
        self.run_id = run_id
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
        return DrillFolder(self.path / name)

    def write_run(self, facts: Mapping[str, Any]) -> None:
        """`run.json`: versions, digests, settings, command line; written again as facts become known."""
        write_json(self.path / "run.json", redact_data({"schema": SCHEMA, "run_id": self.run_id, **facts}))


class DrillFolder:
    """One drill's files."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.mkdir(parents=True, exist_ok=True)
        self.artifacts = path / "artifacts"
        # A lone surrogate (a file name that is not UTF-8) becomes the escape that JSON reads back as the same.
        self._sink: IO[str] = (path / "timeline.jsonl").open("a", encoding="utf-8", errors="backslashreplace")

    def save_plan(self, plan: Mapping[str, Any]) -> None:
        """What is going to be done, before it is done."""
        write_json(self.path / "plan.json", redact_data({"schema": SCHEMA, **plan}))

    def append(self, event: Event) -> None:
        """A listener for a `Timeline`: one line an event, flushed to the kernel."""
        if not self._sink.closed:
            covered = replace(event, subject=redact(event.subject), data=redact_data(event.data))
            self._sink.write(covered.to_json() + "\n")
            self._sink.flush()

    def save_findings(self, verdict: str, findings: Sequence[Finding], extra: Mapping[str, Any]) -> None:
        """What the checks said."""
        write_findings(self.path, verdict, findings, extra)

    def close(self) -> None:
        """No more events."""
        if not self._sink.closed:
            self._sink.flush()
            os.fsync(self._sink.fileno())
            self._sink.close()


def write_findings(folder: Path, verdict: str, findings: Sequence[Finding], extra: Mapping[str, Any]) -> Path | None:
    """`findings.json` of a drill. Earlier ones are kept beside it, as `findings.<n>.json`, which is returned."""
    file, kept = folder / "findings.json", None
    if file.exists():
        kept = next(p for n in itertools.count(1) if not (p := folder / f"findings.{n}.json").exists())
        file.replace(kept)
    write_json(file, redact_data({"schema": SCHEMA, "verdict": verdict, "findings": [f.to_record() for f in findings],
                                  **extra}))  # fmt: skip
    return kept


def write_json(path: Path, data: Any) -> None:
    """Write JSON whole or not at all: to a neighbour first, then renamed over."""
    write_text(path, json.dumps(data, indent=2, ensure_ascii=False, sort_keys=True, default=str) + "\n")


def write_text(path: Path, text: str) -> None:
    """Write a text file whole or not at all."""
    fresh = path.with_name(f".{path.name}.new")
    fresh.write_text(text, encoding="utf-8", errors="backslashreplace")
    fresh.replace(path)


def load_drill(path: Path) -> tuple[dict[str, Any], History, dict[str, Any]]:
    """A stored drill: plan, history, findings (empty where a file is missing).

    Raises ConfigError for a file that is damaged otherwise than by a last line of the timeline that was cut off.
    """
    timeline = path / "timeline.jsonl"
    data = timeline.read_bytes() if timeline.exists() else b""
    whole, newline, last = data.rpartition(b"\n")
    try:
        # A crash may cut the last line in the middle of a character; nothing else is forgiven.
        text = (whole + newline).decode() + last.decode(errors="replace")
    except UnicodeDecodeError as error:
        raise _damaged(timeline, error) from error
    return _read_json(path / "plan.json"), History.from_lines(text), _read_json(path / "findings.json")


def _read_json(file: Path) -> dict[str, Any]:
    if not file.exists():
        return {}
    try:
        return dict(json.loads(file.read_bytes()))
    except (ValueError, TypeError) as error:
        raise _damaged(file, error) from error


def _damaged(file: Path, error: Exception) -> ConfigError:
    return ConfigError(f"{file.name} as a drill wrote it", f"{error} in {file}", "give the folder of a stored drill")
