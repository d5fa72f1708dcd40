"""A short summary in Markdown: for a merge request, a ticket, a chat.

Here belongs Markdown. Names and messages come from the system under test: nothing in them may become markup.
"""

from __future__ import annotations

import re

from harness.core.text import duration
from harness.report.model import DrillReport, RunReport
from harness.report.table import goal_text, recovery_text
from harness.report.words import clean

_MARKUP = re.compile(r"([\\`*_{}\[\]<>#|~&!])")
_HEAD = "| drill | verdict | recovery | objective | resolution | profile |\n|---|---|--:|--:|--:|---|"


def render(run: RunReport) -> str:
    """Verdict, table, reasons, slowest paths, how to repeat it."""
    parts = [f"# Drill run {_text(run.run_id)}: {run.verdict}", _setting(run)]
    if run.drills:
        parts.append("\n".join([_HEAD, *(_row(d) for d in (*run.stories, *run.twins))]))
    if run.twins:
        parts.append("A twin is the same story on a sabotaged system; HELD means that the sabotage was caught.")
    parts += [_why(d) for d in run.drills if d.reasons]
    paths = [f"- {_text(d.title)}: slowest path {_text(d.path.slowest)} of {duration(d.path.length)} (profile "
             f"{_text(d.profile)})" for d in run.stories if len(d.path.steps) > 1]  # fmt: skip
    lost = [f"- {_text(d.title)}: lost {_text(' and '.join(d.lost))}" for d in run.stories if d.lost]
    parts += ["\n".join(lines) for lines in (lost, paths) if lines]
    command = clean(run.facts.get("command_line", ""), 1000)
    parts += [f"Repeat it:\n\n    {command}"] if command else []
    return "\n\n".join(part for part in parts if part) + "\n"


def _setting(run: RunReport) -> str:
    images, repository = run.facts.get("images"), run.facts.get("repository")
    told = [("begun", run.facts.get("begun")), ("profile", run.facts.get("timing")),
            ("images", images.get("source") if isinstance(images, dict) else None),
            ("egress", run.facts.get("egress")),
            ("repository", repository.get("head") if isinstance(repository, dict) else None)]  # fmt: skip
    return ", ".join(f"{name} {_text(value)}" for name, value in told if value)


def _text(value: object) -> str:
    return _MARKUP.sub(r"\\\1", clean(value, 300))


def _row(drill: DrillReport) -> str:
    name = f"twin: {_text(drill.title)}" if drill.twin_of else _text(drill.title)
    cells = (
        name, f"**{drill.verdict}**", recovery_text(drill).replace(">", "\\>"),
        *goal_text(drill), _text(drill.profile),
    )  # fmt: skip
    return f"| {' | '.join(cells)} |"


def _why(drill: DrillReport) -> str:
    return "\n".join([f"**{_text(drill.title)}**: {drill.verdict}", "", *(f"- {_text(r)}" for r in drill.reasons)])
