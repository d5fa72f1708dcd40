"""What the page of a drill shows, made ready for its template.

Here belong choosing, counting and wording. Markup and style are in the templates, geometry in `harness.report.picture`.
What the system under test said is untrusted: it is cleaned here and escaped there.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from urllib.parse import quote

from harness.core.text import duration
from harness.core.timeline import Event
from harness.core.verdict import Finding
from harness.report import picture, words
from harness.report.model import DrillReport
from harness.report.spans import Span
from harness.report.table import goal_text, recovery_text
from harness.report.words import clean, stamp

ROWS = 500  # events shown on a page; the timeline holds them all
LINKS = 6  # evidence links a finding
LISTED = 200  # names listed in full
EVENT = 240  # characters of an event
_STORY = ("fault.", "until.", "require.", "hold.", "finding", "sabotage.", "twin.", "drill.", "observed", "phase.",
          "heal.")  # fmt: skip
_STATES = {"unproven": "not yet shown to be steady", "lost": "not recovered", "held": "left alone, as it had to be"}
_KNOWN = ("recovery_s", "resolution_s", "objective_s")  # figures that the page shows in large


@dataclass(frozen=True, slots=True)
class _Row:
    """An event as shown."""

    seq: int
    at: str
    text: str
    cited: bool


def row(drill: DrillReport) -> dict[str, Any]:
    """What both pages say of a drill: one row of the suite, the head of its own page."""
    return {
        "report": drill,
        "name": clean(drill.name, 200),
        "promise": clean(drill.promise, 600) or "(no promise was written down)",
        "subject": clean(drill.subject, 60),
        "twin_of": clean(drill.twin_of, 200),
        "story": clean(drill.story, 20),
        "profile": clean(drill.profile, 40),
        "page": f"{quote(drill.folder or drill.name, safe='')}/report.html",
        "recovery": recovery_text(drill),
        "goal": goal_text(drill),
        "meter": picture.meter(drill),
        "lost": ", ".join(drill.lost),
        "reasons": [clean(r) for r in drill.reasons],
        "chain": [(label, clean(text, 600)) for label, text in drill.chain],
    }


def content(drill: DrillReport, command: str) -> dict[str, Any]:
    """Everything on the page of a drill. `command` is what the run was started with."""
    shown = _chosen(drill)
    by_seq = {e.seq: e for e in shown}
    cited = _cited(drill)
    return {
        **row(drill),
        "radius": clean(drill.blast_radius, 40),
        "between": _between(drill),
        "picture": picture.timeline(drill),
        "legend": _legend(drill.states),
        "findings": [_finding(f, by_seq) for f in drill.findings],
        "story_findings": [_finding(f, by_seq) for f in drill.story_findings],
        "rows": [_Row(e.seq, stamp(e.at), words.sentence(e, EVENT), e.seq in cited) for e in shown],
        "total": len(drill.history.events),
        "command": f"{command} -k {shlex.quote(clean(drill.name, 200))}" if command else "",
        "artifacts": [(quote(name), clean(name, 200), _size(size)) for name, size in drill.artifacts[:LISTED]],
        **_time(drill),
        **_losses(drill),
    }


def phase_row(span: Span, fault: timedelta | None) -> dict[str, Any]:
    """Times count from the fault, where there is one; what began before it has a minus."""
    offset = span.begin - (fault or timedelta(0))
    begin = stamp(offset) if offset >= timedelta(0) else f"−{stamp(-offset)[1:]}"
    return {"name": clean(span.name, 120), "depth": min(span.depth, 4), "begin": begin, "length": duration(span.length),
            "outcome": clean(span.outcome, 80)}  # fmt: skip


def _legend(states: Iterable[Span]) -> list[tuple[str, str]]:
    """Each state once, with all the time spent in it."""
    spent: dict[str, timedelta] = {}
    for state in states:
        spent[state.name] = spent.get(state.name, timedelta(0)) + state.length
    return [(name, f"{_STATES.get(name, name)} {duration(length)}") for name, length in spent.items()]


def _time(drill: DrillReport) -> dict[str, Any]:
    gaps = drill.gaps[:LISTED]
    return {
        "steps": _steps(drill),
        "slowest": clean(drill.path.slowest, 300).replace(" -> ", " → "),
        "slowest_object": clean(drill.slowest_object, 200),
        "path_length": duration(drill.path.length),
        "moments": _moments(drill),
        "phases": [phase_row(s, drill.fault_at) for s in drill.phases[:LISTED]],
        "gaps": [(clean(g.name, 80), stamp(g.begin), duration(g.length), clean(g.outcome, 200)) for g in gaps],
    }


def _losses(drill: DrillReport) -> dict[str, Any]:
    reasons: dict[str, list[str]] = {}
    for identity, why in drill.loss_list:
        reasons.setdefault(why, []).append(identity)
    grouped = sorted(reasons.items(), key=lambda group: -len(group[1]))[:LISTED]
    return {
        "missing": _listed(drill.missing),
        "added": _listed(drill.added),
        "loss_list": [(clean(why, 200) or "no reason was given", _listed(names)) for why, names in grouped],
        "listed": len(drill.loss_list),
        "written": drill.written,
        "oldest": duration(drill.written.oldest) if drill.written and drill.written.lost else "",
    }


def _listed(names: Iterable[str]) -> tuple[list[str], int]:
    """The first names, and how many more there are."""
    every = list(names)
    return [clean(name, 200) for name in every[:LISTED]], max(0, len(every) - LISTED)


def _cited(drill: DrillReport) -> frozenset[int]:
    return frozenset(seq for f in (*drill.findings, *drill.story_findings) for seq in f.evidence[:LINKS])


def _chosen(drill: DrillReport) -> list[Event]:
    """The events worth showing, at most about `ROWS`: evidence, then the story, then changes; never heartbeats."""
    cited = _cited(drill)

    def rank(event: Event) -> int:
        return 0 if event.seq in cited else 1 if event.kind.startswith(_STORY) else 2

    candidates = [e for e in drill.history if e.kind != "heartbeat" or e.seq in cited]
    best = sorted(candidates, key=lambda e: (rank(e), e.seq))[:ROWS]
    return sorted(best, key=lambda e: e.seq)


def _finding(finding: Finding, shown: Mapping[int, Event]) -> dict[str, Any]:
    links = []
    for seq in finding.evidence[:LINKS]:
        event = shown.get(seq)
        label = f"{event.kind} {stamp(event.at)}" if event else f"event {seq}"
        links.append((f"e{seq}" if event else "", clean(label, 80)))
    return {"claim": clean(finding.claim), "verdict": finding.verdict, "expected": clean(finding.expected),
            "actual": clean(finding.actual), "links": links, "more": max(0, len(finding.evidence) - LINKS),
            "figures": ", ".join(_figures(finding))}  # fmt: skip


def _figures(finding: Finding) -> list[str]:
    """`lost writes 37`, `median 4.1 s`: what was measured, beside what the page shows in large."""
    told = []
    for name, value in list(finding.figures.items())[:20]:
        if name in _KNOWN or isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < 1e9:
            continue
        seconds = name.endswith("_s")
        label = clean(name.removesuffix("_s").replace("_", " "), 60)
        told.append(f"{label} {duration(timedelta(seconds=value)) if seconds else f'{value:g}'}")
    return told


def _between(drill: DrillReport) -> str:
    found = drill.recovery
    if found is None or drill.twin_of:
        return ""
    since = f", since {clean(found.since, 80)}" if found.since else ""
    if found.resolution <= timedelta(0):
        return f"measured exactly{since}"
    precise = found.latest < timedelta(minutes=1)
    low, high = (duration(v) if precise else f"{v.total_seconds():.2f} s" for v in (found.earliest, found.latest))
    return f"between {low} and {high}{since}"


def _steps(drill: DrillReport) -> list[dict[str, str]]:
    start, total = drill.fault_at or timedelta(0), drill.path.length
    return [{"name": clean(s.name, 120), "begin": stamp(s.begin - start), "length": duration(s.length),
             "share": f"{s.length / total:.0%}" if total else ""} for s in drill.path.steps]  # fmt: skip


def _moments(drill: DrillReport) -> list[tuple[str, str, str]]:
    start = drill.fault_at or timedelta(0)
    return [(clean(m.name, 120), m.what, duration(m.at - start)) for m in drill.moments[:LISTED]]


def _size(value: int) -> str:
    return f"{value:,} B" if value < 10_000 else f"{value / 1000:,.0f} kB"
