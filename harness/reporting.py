"""From a stored run to its reports.

Here belongs reading a run folder, handing it to the renderers and writing what they return. The renderers themselves
touch no disk: they are in `harness.report`. Judging a stored run again is `harness.rejudging`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

from harness.core.errors import ConfigError
from harness.core.timeline import History
from harness.core.verdict import Finding, Verdict
from harness.effects.store import load_json, load_timeline, write_text
from harness.report import table
from harness.report.model import DrillReport, RunReport, build_drill, build_run

T = TypeVar("T")
TIMELINE = "timeline.jsonl"


@dataclass(frozen=True, slots=True)
class Summary:
    """What a person sees at the end of a run."""

    table: str
    page: Path


@dataclass(frozen=True, slots=True)
class Stored:
    """A drill as it lies on disk. `damage` says what could not be read, by the name of its file."""

    path: Path
    plan: Mapping[str, Any]
    history: History
    findings: Mapping[str, Any]
    damage: Mapping[str, str] = field(default_factory=dict)

    @property
    def timeline_damage(self) -> str:
        """Why its timeline could not be read, or nothing."""
        return self.damage.get(TIMELINE, "")

    def report(self) -> DrillReport:
        """Its report. One that is damaged is INCONCLUSIVE, and says why."""
        made = build_drill(self.plan, self.history, self.findings)
        made = replace(made, folder=self.path.name, artifacts=_artifacts(self.path))
        if not self.damage:
            return made
        found = "; ".join(self.damage.values())
        why = Finding("the stored drill can be read", Verdict.INCONCLUSIVE, "files as a drill wrote them", found)
        return replace(made, verdict=Verdict.INCONCLUSIVE, findings=(*made.findings, why),
                       reasons=(why.sentence(), *made.reasons))  # fmt: skip


def read_facts(folder: Path) -> dict[str, Any]:
    """The facts of a stored run (run.json). Raises ConfigError when `folder` is not one."""
    file = folder / "run.json"
    if not file.is_file():
        raise ConfigError("a run folder with a run.json", str(folder), "give one of the folders below reports/")
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
        if not isinstance(found, dict):
            raise ValueError(f"no object, but {type(found).__name__}")
    except ValueError as error:
        raise ConfigError(
            "a run.json as a run wrote it", f"{file}: {error}", "give another of the folders below reports/"
        ) from error
    return found


def read_drills(folder: Path) -> list[Stored]:
    """Every drill of a stored run, in the order they ran; what was killed before its first event comes last."""
    own = {path.parent for name in ("plan.json", TIMELINE) for path in folder.glob(f"*/{name}")} - {folder / "run"}
    found = [_read(path) for path in sorted(own)]
    return sorted(found, key=lambda d: d.history.events[0].utc.isoformat() if d.history.events else "later")


def load_run(folder: Path) -> RunReport:
    """The report of a stored run. Raises ConfigError when `folder` is not one."""
    return run_report(folder, read_facts(folder), [stored.report() for stored in read_drills(folder)])


def run_report(folder: Path, facts: Mapping[str, Any], drills: list[DrillReport]) -> RunReport:
    """The report of a run whose drills are read already."""
    return build_run(facts, drills, _read(folder / "run").history)


def write_reports(folder: Path) -> Summary:
    """Render every report of a stored run into its folder. Raises ConfigError when `folder` is not one."""
    return write_run_reports(folder, load_run(folder))


def write_run_reports(folder: Path, run: RunReport) -> Summary:
    """Render every report of `run` into its folder."""
    from harness.report import html, junit, markdown, openmetrics  # templates take their time to load

    page = folder / "report.html"
    for drill in run.drills:
        write_text(folder / drill.folder / "report.html", html.page(run, drill))
    write_text(page, html.suite(run))
    write_text(folder / "junit.xml", junit.render(run))
    write_text(folder / "summary.md", markdown.render(run))
    write_text(folder / "metrics.prom", openmetrics.render(run))
    return Summary(table.render(run), page)


def _read(path: Path) -> Stored:
    """A drill, or what can be read of it: a file that is damaged costs neither the others nor the other drills."""
    damage: dict[str, str] = {}

    def attempt(name: str, read: Callable[[], T], instead: T) -> T:
        try:
            return read()
        except ConfigError as error:
            damage[name] = error.found
            return instead

    nothing: dict[str, Any] = {}
    plan = attempt("plan.json", lambda: load_json(path / "plan.json"), nothing)
    history = attempt(TIMELINE, lambda: load_timeline(path), History(()))
    findings = attempt("findings.json", lambda: load_json(path / "findings.json"), nothing)
    return Stored(path, plan or {"name": path.name}, history, findings, damage)


def _artifacts(path: Path) -> tuple[tuple[str, int], ...]:
    """Collected files, by their path below the drill's folder."""
    files = sorted(p for p in (path / "artifacts").rglob("*") if p.is_file() and not p.is_symlink())
    return tuple((p.relative_to(path).as_posix(), p.stat().st_size) for p in files)
