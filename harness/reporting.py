"""From a stored run to its reports.

Here belongs reading a run folder, handing it to the renderers and writing what they return. The renderers themselves
touch no disk: they are in `harness.report`.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

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
    drills = [build_drill(*load_drill(path.parent)) for path in sorted(folder.glob("*/plan.json"))]
    drills.sort(key=lambda d: d.history.events[0].utc if d.history.events else d.name)  # in the order they ran
    _, preparation, _ = load_drill(folder / "run")
    return build_run(json.loads(facts.read_text(encoding="utf-8")), drills, preparation)


def write_reports(folder: Path) -> Summary:
    """Render every report of a stored run into its folder."""
    run = load_run(folder)
    page = folder / "report.html"
    write_text(page, html.render(run))
    write_text(folder / "junit.xml", junit.render(run))
    write_text(folder / "summary.md", markdown.render(run))
    return Summary(table.render(run), page)
