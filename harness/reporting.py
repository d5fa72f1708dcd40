"""From a stored run to its reports.

Here belongs reading a run folder, handing it to the renderers and writing what they return. The renderers themselves
touch no disk: they are in `harness.report`.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.core.errors import ConfigError
from harness.effects.store import load_drill, write_text
from harness.report import html, junit, markdown, table
from harness.report.model import RunReport, build_drill, build_run


@dataclass(frozen=True, slots=True)
class Summary:
    """What a person sees at the end of a run."""

    table: str
    page: Path


def load_run(folder: Path) -> RunReport:
    """The report of a stored run. Raises ConfigError when `folder` is not one."""
    facts = folder / "run.json"
    if not facts.is_file():
        raise ConfigError("a run folder with a run.json", str(folder), "give one of the folders below reports/")
    known = _facts(facts)
    drills = [build_drill(*load_drill(path.parent)) for path in sorted(folder.glob("*/plan.json"))]
    # In the order they ran; what was killed before its first event comes last.
    drills.sort(key=lambda d: (not d.history.events, d.history.events[0].utc.isoformat() if d.history.events else ""))
    _, preparation, _ = load_drill(folder / "run")
    return build_run(known, drills, preparation)


def _facts(file: Path) -> dict[str, Any]:
    try:
        return dict(json.loads(file.read_text(encoding="utf-8")))
    except (ValueError, TypeError) as error:
        found = f"{file}: {error}"
        raise ConfigError(
            "a run.json as a run wrote it", found, "give another of the folders below reports/"
        ) from error


def write_reports(folder: Path) -> Summary:
    """Render every report of a stored run into its folder."""
    run = load_run(folder)
    page = folder / "report.html"
    write_text(page, html.render(run))
    write_text(folder / "junit.xml", junit.render(run))
    write_text(folder / "summary.md", markdown.render(run))
    return Summary(table.render(run), page)
