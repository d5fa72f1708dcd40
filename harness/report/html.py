"""The pages: one self-contained HTML file a drill, and one for the suite that links them.

Here belongs handing what is shown to the templates beside this module, which hold markup and style. A page needs no
network and no script; its content policy forbids both.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from harness.core.verdict import Verdict
from harness.report import runfacts
from harness.report.anatomy import phases
from harness.report.content import LISTED, content, phase_row, row
from harness.report.model import DrillReport, RunReport

TOP = 12  # drills that could not be judged, listed on top; the table below names all of them


def suite(run: RunReport) -> str:
    """The page of a run: a row for each drill, twins apart, what could not be judged on top."""
    stories, twins = [row(d) for d in run.stories], [row(d) for d in run.twins]
    ground = runfacts.ground(run)
    unjudged = [r for r in (*stories, *twins) if r["report"].verdict is Verdict.INCONCLUSIVE]
    return (
        _environment()
        .get_template("suite.html.j2")
        .render(
            **ground,
            run=run,
            suite=True,
            title=f"Drill run {run.run_id}: {run.verdict}",
            headline=runfacts.headline(run),
            stories=stories,
            twins=twins,
            profiles=len({d.profile for d in run.drills}),
            unjudged=unjudged[:TOP],
            unjudged_more=max(0, len(unjudged) - TOP),
            preparation=[phase_row(s, None) for s in phases(run.history)[:LISTED]],
        )
    )


def page(run: RunReport, drill: DrillReport) -> str:
    """The page of one drill of `run`."""
    ground = runfacts.ground(run, drill)
    shown = content(drill, ground["command"])
    return (
        _environment()
        .get_template("page.html.j2")
        .render(
            **ground,
            run=run,
            suite=False,
            preparation=[],
            drill=shown,
            title=f"{drill.verdict}: {shown['name']}",
        )
    )


@cache
def _environment() -> Environment:
    made = Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters["prose"] = _prose
    return made


def _prose(text: str) -> Markup:
    """Text in which `this` is code, as docstrings have it. All of it is escaped; a backtick without its pair stays."""
    parts = text.split("`")
    if len(parts) % 2 == 0:
        return escape(text)
    pieces = (Markup("<code>{}</code>").format(part) if at % 2 else escape(part) for at, part in enumerate(parts))
    return Markup("").join(pieces)
