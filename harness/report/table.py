"""The end of a run in plain text: one table, the reasons, and where the time went.

Here belongs text for terminals and logs, at most 100 columns wide. The page is in `harness.report.html`.
"""

from __future__ import annotations

import textwrap
from datetime import timedelta

from harness.core.text import duration
from harness.core.verdict import Verdict
from harness.report.model import DrillReport, RunReport
from harness.report.words import clean, stamp

WIDTH = 100
_HEAD = ("drill", "verdict", "recovery", "objective", "resolution", "profile")
_BAR = 24
_TWINS = "A twin is the same story on a sabotaged system. HELD means that the sabotage was caught."


def render(run: RunReport) -> str:
    """Table, reasons of every verdict that is not HELD, decomposition of each recovery that has phases."""
    if not run.drills:
        return "no drill was run"
    parts = [_table(run)]
    if run.twins:
        parts.append(_TWINS)
    parts += [_why(d) for d in run.drills if d.reasons]
    parts += [_lost(d) for d in run.stories if d.lost]
    parts += [_where(d) for d in run.stories if len(d.path.steps) > 1]
    return "\n\n".join(parts)


def recovery_text(drill: DrillReport) -> str:
    """The recovery time in a few characters; `> 9m00s` when it was waited for that long in vain. None for a twin."""
    if drill.twin_of:
        return "-"
    if drill.recovery is not None:
        return duration(drill.recovery.value)
    if drill.without is not None and drill.verdict is not Verdict.INCONCLUSIVE:
        return f"> {duration(drill.without)}"
    return "-"


def goal_text(drill: DrillReport) -> tuple[str, str]:
    """Objective and resolution in a few characters. None for a twin: its story is not meant to recover."""
    if drill.twin_of:
        return "-", "-"
    width = f"{duration(drill.recovery.resolution)}" if drill.recovery else "-"
    return duration(drill.objective) if drill.objective else "-", width


def _row(drill: DrillReport) -> tuple[str, ...]:
    name = clean(drill.title, 120)
    return (
        f"twin: {name}" if drill.twin_of else name,
        drill.verdict.value,
        recovery_text(drill),
        *goal_text(drill),
        clean(drill.profile, 12),
    )


def _table(run: RunReport) -> str:
    rows = [_HEAD, *(_row(d) for d in (*run.stories, *run.twins))]
    widths = [max(len(row[i]) for row in rows) for i in range(len(_HEAD))]
    widths[0] = min(widths[0], WIDTH - sum(widths[1:]) - 2 * (len(_HEAD) - 1))
    lines = [_line(row, widths) for row in rows]
    return "\n".join([lines[0], "-" * min(WIDTH, max(map(len, lines))), *lines[1:]])


def _line(row: tuple[str, ...], widths: list[int]) -> str:
    name = row[0] if len(row[0]) <= widths[0] else row[0][: widths[0] - 1] + "…"
    cells = [name.ljust(widths[0]), row[1].ljust(widths[1])]
    cells += [cell.rjust(width) for cell, width in zip(row[2:5], widths[2:5], strict=True)]
    return "  ".join([*cells, row[5]]).rstrip()


def _why(drill: DrillReport) -> str:
    lines = [f"{clean(drill.title, 80)}: {drill.verdict}"]
    for reason in drill.reasons:
        lines += textwrap.wrap(
            clean(reason, 300), WIDTH, initial_indent="  - ", subsequent_indent="    ", break_on_hyphens=False
        )
    return "\n".join(lines)


def _lost(drill: DrillReport) -> str:
    return f"{clean(drill.title, 60)}: lost {' and '.join(drill.lost)}"[:WIDTH]


def _where(drill: DrillReport) -> str:
    fault = drill.fault_at or timedelta(0)
    lines = [f"{clean(drill.title, 60)}: where {duration(drill.path.length)} went (profile {clean(drill.profile, 12)})"]
    lines = [line[:WIDTH] for line in lines]
    for step in drill.path.steps:
        marks = round(_BAR * (step.length / drill.path.length)) if drill.path.length else 0
        bar = ("#" * max(marks, 1)).ljust(_BAR)
        lines.append(f"  {stamp(step.begin - fault)}  {duration(step.length):>8}  {bar}  {clean(step.name, 48)}")
    waited = f"; the last one waited for {clean(drill.slowest_object, 120)}" if drill.slowest_object else ""
    lines += _wrapped("slowest path", f"{clean(drill.path.slowest, 300)}{waited}" if drill.path.slowest else "")
    for what in ("converged", "answered"):
        told = [f"{clean(m.name, 60)} {duration(m.at - fault)}" for m in drill.moments if m.what == what]
        lines += _wrapped(f"{what} after", ", ".join(told)) if told else []
    return "\n".join(lines)


def _wrapped(label: str, text: str) -> list[str]:
    return (
        textwrap.wrap(f"{label}: {text}", WIDTH, initial_indent="  ", subsequent_indent="    ", break_on_hyphens=False)
        if text
        else []
    )
