"""The timeline as a picture: where on a scale from 0 to 100 % each thing lies.

Here belongs geometry. Markup, colours and fonts are in the templates. Positions are percentages of the picture's
width, so that the same page fits a wide screen, a phone and paper.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from itertools import takewhile

from harness.core.text import duration
from harness.report.anatomy import Moment
from harness.report.model import DrillReport
from harness.report.spans import NodeStory, Span
from harness.report.words import clean, stamp

BEFORE = 0.12  # share of the picture that shows the time before the fault, at most
LANES = 40
_STEPS = (0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 43200, 86400)
_TICKS = 6


@dataclass(frozen=True, slots=True)
class Bar:
    """Something drawn from `x` for `width`, both in percent."""

    x: float
    width: float
    kind: str
    label: str
    length: str


@dataclass(frozen=True, slots=True)
class Lane:
    """One row of the picture: bars, thin lines for what is only known to have been so, and at most one dot."""

    name: str
    text: str  # beside the lane
    title: str  # for people who cannot see it
    bars: tuple[Bar, ...] = ()
    lines: tuple[Bar, ...] = ()
    dot: tuple[float, str] | None = None  # where, and its kind
    depth: int = 0


@dataclass(frozen=True, slots=True)
class Picture:
    """Everything in percent of the width."""

    states: tuple[Bar, ...]
    ticks: tuple[tuple[float, str], ...]
    fault: float | None
    recovered: float | None
    groups: tuple[tuple[str, tuple[Lane, ...]], ...]
    title: str
    note: str
    axis: str


@dataclass(frozen=True, slots=True)
class Meter:
    """Recovery time against objective; the objective's mark and the bar's end in percent."""

    filled: float
    objective: float
    over: bool
    title: str


def meter(drill: DrillReport) -> Meter | None:
    """How much of the objective the recovery took, or None when there is nothing to compare."""
    if drill.twin_of or not drill.objective:
        return None
    value = drill.recovery.value if drill.recovery else drill.without
    if value is None:
        return None
    whole = max(value, drill.objective)
    over = value > drill.objective
    share = value / drill.objective
    told = f"{share:.1%}" if share < 0.1 else f"{share:.0%}"
    title = f"recovery took {told} of it" if drill.recovery else "no recovery while it was waited for"
    return Meter(max(1.5, 100 * (value / whole)), 100 * (drill.objective / whole), over, title)


@dataclass(frozen=True, slots=True)
class _Scale:
    begin: timedelta
    end: timedelta

    def at(self, moment: timedelta) -> float:
        if self.end <= self.begin:
            return 0.0
        return round(min(100.0, max(0.0, 100 * ((moment - self.begin) / (self.end - self.begin)))), 3)

    def bar(self, span: Span, kind: str, label: str) -> Bar:
        x = self.at(span.begin)
        return Bar(x, max(round(self.at(span.end) - x, 3), 0.25), kind, label, duration(span.length))


def timeline(drill: DrillReport) -> Picture | None:
    """The picture of a drill, or None when its timeline holds nothing that lasted."""
    if not drill.states:
        return None
    fault, end = drill.fault_at, drill.states[-1].end
    start = timedelta(0)
    if fault is not None:
        start = max(start, fault - (end - fault) * (BEFORE / (1 - BEFORE)))
    scale = _Scale(start, end)
    recovered = drill.recovery.at if drill.recovery else None
    groups = _groups(drill, scale, fault, start)
    return Picture(
        states=tuple(scale.bar(s, s.name, s.name) for s in drill.states if s.end > start),
        ticks=_ticks(scale, fault if fault is not None else timedelta(0)),
        fault=None if fault is None else scale.at(fault),
        recovered=None if recovered is None else scale.at(recovered),
        groups=tuple((name, lanes) for name, lanes in groups if lanes),
        title=", then ".join(f"{s.name} for {duration(s.length)}" for s in drill.states),
        note=f"The first {duration(start)} are not drawn." if start > timedelta(0) else "",
        axis="after the fault" if fault is not None else "since the beginning",
    )


def _groups(
    drill: DrillReport, scale: _Scale, fault: timedelta | None, start: timedelta
) -> list[tuple[str, tuple[Lane, ...]]]:
    steps = {(s.name, s.end) for s in drill.path.steps}
    last = {s.name for s in drill.path.steps}
    visible = [s for s in drill.phases if s.end > start and s.begin < scale.end]
    phases = tuple(_phase_lane(scale, s, fault, (s.name, s.end) in steps) for s in visible[:LANES])
    if fault is None:
        return [("Phases", phases)]
    met = {what: [m for m in drill.moments if m.what == what] for what in ("converged", "answered")}
    still = [_still_lane(scale, name) for name in drill.undisturbed]
    waits = drill.waits if len(drill.waits) > 1 or not (drill.moments or phases) else ()
    ends = {s.end for s in drill.path.steps}
    return [
        ("Faults", tuple(_fault_lane(scale, s, fault) for s in drill.faults[:LANES])),
        ("Nodes", tuple(_node_lane(scale, n, _shared(drill.nodes)) for n in drill.nodes[:LANES])),
        ("Applications, until converged",
         (*(_moment_lane(scale, m, fault, m.name in last) for m in met["converged"]), *still)[:LANES]),
        ("Services, until the first answer",
         tuple(_moment_lane(scale, m, fault, m.name in last) for m in met["answered"][:LANES])),
        ("What was awaited", tuple(_wait_lane(scale, s, fault, s.end in ends) for s in waits[:LANES])),
        ("Phases", phases),
    ]  # fmt: skip


def _fault_lane(scale: _Scale, span: Span, first: timedelta) -> Lane:
    name, after = clean(span.name, 90), span.begin - first
    begun = f"{duration(after)} after the first" if after > timedelta(0) else "the fault"
    if span.outcome == "not undone":  # by us: how long it lasted is what the drill found out
        return Lane(name, "", f"{name}: {begun}; not undone by the drill", dot=(scale.at(span.begin), "harmed"))
    told = f"{span.outcome} after {duration(span.length)}"
    return Lane(name, duration(span.length), f"{name}: {begun}, {told}", (scale.bar(span, "harmed", ""),))


def _shared(nodes: Sequence[NodeStory]) -> int:
    """How much all names have in common, up to a hyphen: of `k3d-x-agent-0` and `k3d-x-server-0` it is `k3d-x-`."""
    together = list(takewhile(lambda letters: len(set(letters)) == 1, zip(*(n.name for n in nodes), strict=False)))
    return "".join(letters[0] for letters in together).rfind("-") + 1 if len(nodes) > 1 else 0


def _node_lane(scale: _Scale, node: NodeStory, shared: int) -> Lane:
    """Red while it was away, as far as that was seen; pale from when it may have been back, but nobody looked."""
    short, name, end = clean(node.name[shared:], 60), clean(node.name, 60), scale.end
    if node.hit is None:
        whole = scale.bar(Span("", scale.begin, end), "steady", "")
        return Lane(short, "untouched", f"{name}: untouched", lines=(whole,))
    back = node.back or node.healed or end
    lines = (scale.bar(Span("", scale.begin, node.hit), "steady", ""),
             scale.bar(Span("", back, end), "settled" if node.back else "unproven", ""))  # fmt: skip
    down = scale.bar(Span("", node.hit, back), "harmed", "")
    if node.back is None:
        return Lane(short, "hit", f"{name}: hit; when it was back was not asked", (down,), lines)
    away = duration(node.back - node.hit)
    return Lane(short, away, f"{name}: hit, back {away} later", (down,), lines)


def _still_lane(scale: _Scale, application: str) -> Lane:
    name = clean(application, 60)
    line = scale.bar(Span("", scale.begin, scale.end), "steady", "")
    return Lane(name, "undisturbed", f"{name}: converged before the fault and stayed so", lines=(line,))


_WAITS = {
    "met": "phase",
    "held": "held",
    "gave up": "lost",
    "lost": "lost",
    "unfinished": "parent",
    "no answer": "parent",
}


def _wait_lane(scale: _Scale, span: Span, fault: timedelta, critical: bool) -> Lane:
    name, kind = clean(span.name, 90), _WAITS.get(span.outcome, "parent")
    bar = scale.bar(span, "critical" if critical and kind == "phase" else kind, "")
    title = f"{name}: {span.outcome} {duration(span.end - fault)} after the fault, awaited for {duration(span.length)}"
    text = duration(span.length) if span.outcome == "met" else f"{span.outcome} {duration(span.length)}"
    return Lane(name, text, title, (bar,))


def _phase_lane(scale: _Scale, span: Span, fault: timedelta | None, critical: bool) -> Lane:
    zero = fault if fault is not None else timedelta(0)
    bar = scale.bar(span, "critical" if critical else "parent" if not span.leaf else "phase", "")
    name = clean(span.name, 60)
    title = f"{name}: {duration(span.length)}, beginning {stamp(span.begin - zero)} after the fault"
    if span.begin < zero:
        title = f"{name}: {duration(span.length)}, begun before the fault"
    return Lane(name, duration(span.length), title, (bar,), depth=min(span.depth, 4))


def _moment_lane(scale: _Scale, moment: Moment, fault: timedelta, critical: bool) -> Lane:
    name, span = clean(moment.name, 60), Span("", fault, moment.at)
    kind = "critical" if critical else "phase"
    title = f"{name}: {moment.what} {duration(span.length)} after the fault"
    line = scale.bar(span, kind, "")
    return Lane(name, duration(span.length), title, lines=(line,), dot=(scale.at(moment.at), kind))


def _ticks(scale: _Scale, zero: timedelta) -> tuple[tuple[float, str], ...]:
    """Round times after the fault, at most six of them."""
    span = (scale.end - zero).total_seconds()
    if span <= 0:
        return ()
    step = next((s for s in _STEPS if span / s <= _TICKS - 0.5), _STEPS[-1])
    marks: Sequence[float] = [i * step for i in range(int(span / step) + 1)][:40]
    return tuple((scale.at(zero + timedelta(seconds=m)), _tick(m)) for m in marks)


def _tick(seconds: float) -> str:
    if seconds == 0:
        return "0"
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 120 and seconds % 60:
        return f"{seconds:g} s"
    return f"{seconds / 60:g} min" if seconds < 7200 else f"{seconds / 3600:g} h"
