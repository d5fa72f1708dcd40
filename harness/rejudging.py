"""A stored run, judged again from its files with today's checks; no cluster is needed.

Here belongs reading, comparing with what was found before, and keeping both. The judging itself is
`harness.core.checks.again`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.core.checks import CHECKS
from harness.core.checks.again import Judgement, judge_again
from harness.core.redaction import redact_data
from harness.core.verdict import Finding, Verdict
from harness.effects.store import write_findings
from harness.report import table
from harness.report.model import RunReport
from harness.report.words import clean
from harness.reporting import Stored, read_drills, read_facts, run_report, write_run_reports


@dataclass(frozen=True, slots=True)
class Change:
    """A drill that is judged differently now: in which words, and where earlier findings are kept, if any."""

    drill: str
    sentences: tuple[str, ...]
    kept: Path | None
    written: bool = True


@dataclass(frozen=True, slots=True)
class Rejudged:
    """What judging a run again came to."""

    run: RunReport
    changes: tuple[Change, ...]

    def text(self) -> str:
        """The table, then every difference."""
        parts = [table.render(self.run)]
        for change in self.changes:
            where = f" (the earlier findings: {change.kept.name})" if change.kept else ""
            where = where if change.written else " (its findings are left as they are: its checks were not stored)"
            parts.append("\n".join([f"{change.drill}: judged differently now{where}",
                                    *(f"  - {clean(s)}" for s in change.sentences)]))  # fmt: skip
        count = len(self.run.drills)
        judged = f"{count} {'drill' if count == 1 else 'drills'} judged again"
        parts.append(f"{judged}, {len(self.changes) or 'none'} of them differently" if count else "nothing to judge")
        return "\n\n".join(parts)


def rejudge(folder: Path) -> Rejudged:
    """Judge every drill of a stored run again; findings that differ are written, and the reports rendered anew.

    A drill that was judged then, and stored no checks by which it could be now, keeps its findings on disk. Raises
    ConfigError when `folder` is not a run. A drill that cannot be read, or judged, is INCONCLUSIVE.
    """
    facts = read_facts(folder)
    reports, changes = [], []
    for stored in read_drills(folder):
        judgement = _judged(stored)
        said = _difference(stored, judgement)
        if said:
            changes.append(_written(stored, judgement, said))
        reports.append(Stored(stored.path, stored.plan, stored.history, _record(judgement)).report())
    run = run_report(folder, facts, reports)
    if any(change.written for change in changes):
        write_run_reports(folder, run)
    return Rejudged(run, tuple(changes))


def _written(stored: Stored, judgement: Judgement, said: tuple[str, ...]) -> Change:
    if stored.findings and not stored.timeline_damage and stored.history.first("judging") is None:
        return Change(stored.path.name, said, None, written=False)
    extra = {"name": stored.plan.get("name", stored.path.name)}
    kept = write_findings(stored.path, judgement.verdict.value, judgement.findings, extra)
    return Change(stored.path.name, said, kept)


def _judged(stored: Stored) -> Judgement:
    if not stored.timeline_damage:
        return judge_again(stored.history, CHECKS)
    claim = "the stored timeline can be read"
    finding = Finding(claim, Verdict.INCONCLUSIVE, "a timeline as a drill wrote it", stored.timeline_damage)
    return Judgement((finding,), Verdict.INCONCLUSIVE)


def _record(judgement: Judgement) -> dict[str, Any]:
    """As it is stored: what is written is covered, so that only what is covered can be compared with it."""
    record = {"verdict": judgement.verdict.value, "findings": [f.to_record() for f in judgement.findings]}
    return dict(redact_data(record))


def _difference(stored: Stored, judgement: Judgement) -> tuple[str, ...]:
    """What is told differently from the findings on disk; empty where nothing is."""
    now = _record(judgement)
    before: Mapping[str, Any] = stored.findings
    if before.get("verdict") == now["verdict"] and before.get("findings") == now["findings"]:
        return ()
    said = []
    if before.get("verdict") != now["verdict"]:
        said.append(f"verdict: {before.get('verdict', 'none')} before, {now['verdict']} now")
    old = {str(f.get("claim")): f for f in _mappings(before.get("findings"))}
    new = {str(f.get("claim")): f for f in _mappings(now["findings"])}
    said += [f"no longer found: {claim}" for claim in old if claim not in new]
    for claim, record in new.items():
        earlier = old.get(claim)
        if earlier is None:
            said.append(f"new: {claim}: {record['verdict']}, {record['actual']}")
        else:
            said += [f"{claim}: {key} {earlier.get(key)} before, {value} now"
                     for key, value in record.items() if earlier.get(key) != value]  # fmt: skip
    return tuple(said) or ("the same findings, in another order",)


def _mappings(value: Any) -> list[Mapping[str, Any]]:
    return [f for f in value if isinstance(f, Mapping)] if isinstance(value, list) else []
