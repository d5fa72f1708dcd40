"""The page: one self-contained HTML file a run, for people who were not there.

Here belongs preparing what the templates show; the templates beside this module hold the markup and the style. The page
needs no network and no script; its content policy forbids both. What the system under test said is untrusted: it is
cleaned here and escaped there.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import quote

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from harness.core.text import duration
from harness.core.timeline import Event
from harness.core.verdict import Finding, Verdict
from harness.report import picture, words
from harness.report.anatomy import Span, phases
from harness.report.model import DrillReport, RunReport
from harness.report.table import goal_text, recovery_text
from harness.report.words import clean, stamp

ROWS_A_RUN, ROWS_A_DRILL = 2000, 500  # events shown; the timeline holds them all
LINKS = 6  # evidence links a finding
LISTED = 200  # names listed in full
EVENT = 240  # characters of an event
_STORY = ("fault.", "until.", "require.", "finding", "sabotage.", "twin.", "drill.", "observed", "phase.", "heal.")


_STATES = {"unproven": "not yet shown to be steady", "lost": "not recovered"}


def render(run: RunReport) -> str:
    """The page of a run."""
    cap = max(20, min(ROWS_A_DRILL, ROWS_A_RUN // max(len(run.drills), 1)))
    drills = [_drill(f"d{i}", d, cap) for i, d in enumerate((*run.stories, *run.twins), 1)]
    page = _environment().get_template("page.html.j2")
    return page.render(
        run=run,
        drills=drills,
        headline=_headline(run),
        facts=_facts_line(run),
        sections=_sections({**run.facts, "deviations": run.deviations}),
        command=clean(run.facts.get("command_line", ""), 2000),
        preparation=[_phase(s, None) for s in phases(run.history)[:LISTED]],
        egress=_egress(run.facts),
        dirty=bool(_mapping(run.facts.get("harness")).get("dirty")),
    )


@cache
def _environment() -> Environment:
    return Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


# --- a drill ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Row:
    """An event as shown."""

    seq: int
    at: str
    text: str
    cited: bool


def _drill(key: str, drill: DrillReport, cap: int) -> dict[str, Any]:
    shown = _chosen(drill, cap)
    by_seq = {e.seq: e for e in shown}
    cited = _cited(drill)
    return {
        "key": key,
        "report": drill,
        "name": clean(drill.name, 200),
        "promise": clean(drill.promise, 600) or "(no promise was written down)",
        "radius": clean(drill.blast_radius, 40),
        "twin_of": clean(drill.twin_of, 200),
        "story": clean(drill.story, 20),
        "profile": clean(drill.profile, 40),
        "scenario": clean(drill.plan.get("scenario", ""), 300),
        "folder": quote(drill.name, safe=""),
        "recovery": recovery_text(drill),
        "goal": goal_text(drill),
        "between": _between(drill),
        "meter": picture.meter(drill),
        "picture": picture.timeline(drill),
        "legend": [(s.name, f"{_STATES.get(s.name, s.name)} {duration(s.length)}") for s in drill.states],
        "reasons": [clean(r) for r in drill.reasons],
        "findings": [_finding(key, f, by_seq) for f in drill.findings],
        "rows": [_Row(e.seq, stamp(e.at), words.sentence(e, EVENT), e.seq in cited) for e in shown],
        "total": len(drill.history.events),
        **_time(drill),
        **_losses(drill),
    }


def _time(drill: DrillReport) -> dict[str, Any]:
    gaps = drill.gaps[:LISTED]
    return {
        "steps": _steps(drill),
        "slowest": clean(drill.path.slowest, 300).replace(" -> ", " → "),
        "slowest_object": clean(drill.slowest_object, 200),
        "path_length": duration(drill.path.length),
        "moments": _moments(drill),
        "phases": [_phase(s, drill.fault_at) for s in drill.phases[:LISTED]],
        "gaps": [(clean(g.name, 80), stamp(g.begin), duration(g.length), clean(g.outcome, 200)) for g in gaps],
    }


def _losses(drill: DrillReport) -> dict[str, Any]:
    return {
        "missing": [clean(name, 200) for name in drill.missing[:LISTED]],
        "missing_more": max(0, len(drill.missing) - LISTED),
        "added": [clean(name, 200) for name in drill.added[:LISTED]],
    }


def _cited(drill: DrillReport) -> frozenset[int]:
    return frozenset(seq for f in drill.findings for seq in f.evidence[:LINKS])


def _chosen(drill: DrillReport, cap: int) -> list[Event]:
    """The events worth showing, at most about `cap`: evidence first, then the story, then changes; never heartbeats."""
    cited = _cited(drill)

    def rank(event: Event) -> int:
        return 0 if event.seq in cited else 1 if event.kind.startswith(_STORY) else 2

    candidates = [e for e in drill.history if e.kind != "heartbeat" or e.seq in cited]
    best = sorted(candidates, key=lambda e: (rank(e), e.seq))[: max(cap, 1)]
    return sorted(best, key=lambda e: e.seq)


def _finding(key: str, finding: Finding, shown: Mapping[int, Event]) -> dict[str, Any]:
    links = []
    for seq in finding.evidence[:LINKS]:
        event = shown.get(seq)
        label = f"{event.kind} {stamp(event.at)}" if event else f"event {seq}"
        links.append((f"{key}-e{seq}" if event else "", clean(label, 80)))
    return {"claim": clean(finding.claim), "verdict": finding.verdict, "expected": clean(finding.expected),
            "actual": clean(finding.actual), "links": links, "more": max(0, len(finding.evidence) - LINKS)}  # fmt: skip


def _between(drill: DrillReport) -> str:
    found = drill.recovery
    if found is None or drill.twin_of:
        return ""
    if found.resolution <= timedelta(0):
        return "measured exactly"
    precise = found.latest < timedelta(minutes=1)
    low, high = (duration(v) if precise else f"{v.total_seconds():.2f} s" for v in (found.earliest, found.latest))
    return f"between {low} and {high}"


def _steps(drill: DrillReport) -> list[dict[str, str]]:
    start, total = drill.fault_at or timedelta(0), drill.path.length
    return [{"name": clean(s.name, 120), "begin": stamp(s.begin - start), "length": duration(s.length),
             "share": f"{s.length / total:.0%}" if total else ""} for s in drill.path.steps]  # fmt: skip


def _moments(drill: DrillReport) -> list[tuple[str, str, str]]:
    start = drill.fault_at or timedelta(0)
    return [(clean(m.name, 120), m.what, duration(m.at - start)) for m in drill.moments[:LISTED]]


def _phase(span: Span, fault: timedelta | None) -> dict[str, Any]:
    """Times count from the fault, where there is one; what began before it has a minus."""
    offset = span.begin - (fault or timedelta(0))
    begin = stamp(offset) if offset >= timedelta(0) else f"−{stamp(-offset)[1:]}"
    return {"name": clean(span.name, 120), "depth": min(span.depth, 4), "begin": begin, "length": duration(span.length),
            "outcome": clean(span.outcome, 80)}  # fmt: skip


# --- the run ---------------------------------------------------------------------------------------------------------


def _headline(run: RunReport) -> str:
    count, twins = len(run.stories), len(run.twins)
    kept = sum(d.verdict is Verdict.HELD for d in run.stories)
    caught = sum(d.verdict is Verdict.HELD for d in run.twins)
    if not run.drills:
        return "No drill was run, so that nothing is proved."
    parts = [f"{kept} of {count} {'promise' if count == 1 else 'promises'} held"]
    parts += [f"{caught} of {twins} {'sabotage' if twins == 1 else 'sabotages'} caught"] if twins else []
    return ", ".join(parts) + "."


def _facts_line(run: RunReport) -> list[tuple[str, str]]:
    facts = run.facts
    images, repository = _mapping(facts.get("images")), _mapping(facts.get("repository"))
    told = {
        "begun": _date(facts.get("begun")),
        "took": _took(facts),
        "repository": clean(repository.get("source", ""), 120),
        "at": clean(str(repository.get("head", ""))[:12]),
        "profile": clean(facts.get("timing", ""), 300).partition(" ")[0],
        "images": clean(images.get("source", ""), 40),
        "network": clean(facts.get("egress", ""), 40),
    }
    return [(name, value) for name, value in told.items() if value]


def _moment(value: Any) -> datetime | None:
    try:
        return datetime.fromisoformat(str(value))
    except ValueError:
        return None


def _date(value: Any) -> str:
    at = _moment(value)
    return f"{at:%Y-%m-%d %H:%M} UTC" if at else clean(value or "", 40)


def _took(facts: Mapping[str, Any]) -> str:
    begun, ended = _moment(facts.get("begun")), _moment(facts.get("ended"))
    return duration(ended - begun) if begun and ended else ""


def _egress(facts: Mapping[str, Any]) -> str:
    told = {"closed": "Closed: nothing in the cluster could reach beyond this machine.",
            "allowed": "Open: the cluster was allowed to reach beyond this machine."}  # fmt: skip
    value = clean(facts.get("egress", ""), 80)
    return told.get(value, value or "not recorded")


_SECTIONS = (
    ("Settings", ("timing", "nodes", "keep_cluster", "network")),
    ("Repository", ("repository",)),
    ("Images", ("images",)),
    ("Deviations from the standard set-up", ("deviations",)),
    ("Tools and versions", ("tools", "harness")),
    ("Environment", ("machine",)),
)
_IMAGE = ("reference", "version", "digest")
_SHOWN_ELSEWHERE = ("schema", "run_id", "begun", "ended", "command_line", "verdicts", "egress")


def _sections(facts: Mapping[str, Any]) -> list[tuple[str, list[tuple[str, list[str]]]]]:
    """Every fact of run.json in some section: what is new to this module goes to the last."""
    known = {key for _, keys in _SECTIONS for key in keys} | set(_SHOWN_ELSEWHERE)
    rest = ("Further facts", tuple(key for key in facts if key not in known))
    found = []
    for title, keys in (*_SECTIONS, rest):
        rows = [row for key in keys if key in facts for row in _flat((key,) if len(keys) > 1 else (), facts[key])]
        if rows:
            found.append((title, rows[:LISTED]))
    return found


def _flat(path: tuple[str, ...], value: Any) -> list[tuple[str, list[str]]]:
    """Nested facts as rows of a name and lines."""
    label = clean(" ".join(path).replace("_", " "), 120)
    if isinstance(value, Mapping) and "digest" not in value:
        plain_first = sorted(value.items(), key=lambda item: isinstance(item[1], Mapping | list | tuple))
        return [row for key, inner in plain_first for row in _flat((*path, str(key)), inner)]
    if isinstance(value, Mapping):
        named = [*(k for k in _IMAGE if k in value), *(k for k in value if k not in _IMAGE)]
        items: Any = [value[key] for key in named]
    else:
        items = value if isinstance(value, list | tuple) else [value]
    return [(label, [clean(_item(v), 400) for v in items][:LISTED])]


def _item(value: Any) -> Any:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return ", ".join(map(str, value.values())) if isinstance(value, Mapping) else value


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
