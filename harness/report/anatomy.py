"""The anatomy of a drill: what its timeline says about where the time went.

Here belong pure readings of a `History`: phases, moments, the four states of the system, the critical path, gaps in
observation, what is missing. Words and pictures do not belong here.

Read beside the events named in `core.checks`:
  phase.begun, phase.ended   begun_seq; nested or overlapping
  until.ended                detail.applications, detail.answers: {name: microseconds on the timeline at which it
                             converged, or first answered};
                             detail.slowest_object: the object that the last application waited for
  observed (inventory)       value: {identity: object}
  gap                        start_us, end_us (null while it lasts), reason: a stretch in which a kind was not observed
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

from harness.core.text import duration
from harness.core.timeline import Event, History
from harness.report.spans import START, Span, end_of, microseconds, waits

SLIVER = timedelta(milliseconds=50)  # shorter stretches between two phases are not worth a name
MAJOR = 0.1  # share of the recovery from which a step is named in the slowest path


@dataclass(frozen=True, slots=True)
class Moment:
    """Something became true: an application converged, or a Service answered for the first time."""

    name: str
    at: timedelta
    what: str  # "converged" or "answered"


@dataclass(frozen=True, slots=True)
class Path:
    """The chain of steps of which each waited for the one before, from the fault to the recovery."""

    steps: tuple[Span, ...]

    @property
    def length(self) -> timedelta:
        return self.steps[-1].end - self.steps[0].begin if self.steps else START

    @property
    def slowest(self) -> str:
        """`argocd -> cortex-system, 41.2 s`: the steps that took a tenth of the time or more, and their sum."""
        major = [step for step in self.steps if step.length >= self.length * MAJOR]
        total = sum((step.length for step in major), START)
        return f"{' -> '.join(step.name for step in major)}, {duration(total)}" if major else ""


def fault_at(history: History) -> timedelta | None:
    """When the first fault was accepted."""
    fault = history.first("fault.injected")
    return None if fault is None else microseconds(fault.data.get("accepted_us"), fault.at)


def phases(history: History) -> tuple[Span, ...]:
    """Every phase in order of its beginning. One without an end lasts until the timeline ends, and says so."""
    ended = {str(e.data.get("begun_seq")): e for e in history.of("phase.ended")}
    last = max((e.at for e in history), default=START)
    spans: list[Span] = []
    open_ones: list[int] = []
    for event in history.of("phase.begun"):
        end = ended.get(str(event.seq))
        span = Span(event.subject, event.at, end.at if end else last, _outcome(end))
        open_ones = [i for i in open_ones if spans[i].end > span.begin]
        around = [i for i in open_ones if spans[i].end >= span.end]
        for index in around:
            spans[index] = replace(spans[index], leaf=False)
        open_ones.append(len(spans))
        spans.append(replace(span, depth=len(around)))
    return tuple(spans)


def _outcome(end: Event | None) -> str:
    return "unfinished" if end is None else str(end.data.get("outcome", "done"))


def moments(history: History) -> tuple[Moment, ...]:
    """When each application converged and each Service first answered, after the fault; in order of time."""
    fault = fault_at(history)
    if fault is None:
        return ()
    found: dict[str, Moment] = {}
    for event in history.of("until.ended"):
        for name, what, at in _told(event):
            # What had converged before the fault and stayed so did not recover: it was never lost.
            if isinstance(at, int | float) and timedelta(microseconds=at) > fault:
                found[f"{what}/{name}"] = Moment(name, timedelta(microseconds=at), what)
    return tuple(sorted(found.values(), key=lambda m: (m.at, m.name)))


def undisturbed(history: History, met: Sequence[Moment]) -> tuple[str, ...]:
    """Applications that had converged before the fault and stayed so, where others had not."""
    recovered = {m.name for m in met if m.what == "converged"}
    told = {n: at for e in history.of("until.ended") for n, what, at in _told(e) if what == "converged"}
    return tuple(sorted(n for n in told if n not in recovered)) if recovered else ()


def _told(event: Event) -> Iterable[tuple[str, str, Any]]:
    detail = event.data.get("detail")
    for key, what in (("applications", "converged"), ("answers", "answered")):
        entries = detail.get(key) if isinstance(detail, Mapping) else None
        for name, at in entries.items() if isinstance(entries, Mapping) else ():
            yield str(name), what, at


def slowest_object(history: History) -> str:
    """What the application that converged last waited for, as the convergence probe names it, or nothing."""
    wait = history.last("until.ended")
    detail = wait.data.get("detail") if wait else None
    return str(detail.get("slowest_object") or "") if isinstance(detail, Mapping) else ""


def recovered_at(history: History) -> timedelta | None:
    """When the last awaited state began, or None while the last wait was not MET."""
    wait = history.last("until.ended")
    if wait is None or wait.data.get("state") != "MET":
        return None
    return microseconds(wait.data.get("met_us"), wait.at)


def states(history: History) -> tuple[Span, ...]:
    """The story as one bar: unproven, steady, harmed, recovering, settled; or lost, when it did not recover.

    Recovering begins at the first sign of it: a phase after the fault, progress of a probe, or a wait that was MET.
    """
    end, fault = end_of(history), fault_at(history)
    required = history.of("require.ended")
    proven = bool(required) and all(e.data.get("state") == "MET" for e in required)
    steady = max(required[-1].at, START) if proven else None
    horizon = end if fault is None else fault
    spans = [Span("unproven", START, horizon if steady is None else min(steady, horizon))]
    if steady is not None:
        spans.append(Span("steady", min(steady, horizon), horizon))
    if fault is not None:
        recovered = recovered_at(history)
        sign = _first_sign(history, fault)
        waited = history.first("until.ended") is not None
        stop = recovered if recovered is not None else end
        turn = min(sign, stop) if sign is not None else stop if recovered is not None or not waited else fault
        spans.append(Span("harmed", fault, max(turn, fault)))
        spans.append(Span("recovering" if recovered is not None or not waited else "lost", max(turn, fault), stop))
        spans.append(Span("settled", stop, max(end, stop)))
    return _overlaid([s for s in spans if s.end > s.begin], history)


def _overlaid(spans: Sequence[Span], history: History) -> tuple[Span, ...]:
    """`spans`, and over them what was left alone and seen to stay so."""
    for hold in (w for w in waits(history) if w.outcome in ("held", "lost")):
        rest = [replace(s, end=min(s.end, hold.begin)) for s in spans if s.begin < hold.begin]
        rest += [Span("held", hold.begin, hold.end)] if hold.outcome == "held" else [Span("lost", hold.begin, hold.end)]
        rest += [replace(s, begin=max(s.begin, hold.end)) for s in spans if s.end > hold.end]
        spans = [s for s in rest if s.end > s.begin]
    return tuple(spans)


def _first_sign(history: History, fault: timedelta) -> timedelta | None:
    after = [e for e in history if e.at > fault]
    signs = [e.at for e in after if e.kind == "phase.begun"][:1]
    signs += [microseconds(e.data.get("met_us"), e.at) for e in history.of("until.ended")
              if e.data.get("state") == "MET"][:1]  # fmt: skip
    done: dict[str, int] = {}
    for event in after:
        now = event.data.get("done") if event.kind == "probe.changed" else None
        if isinstance(now, int) and now > done.setdefault(event.subject, now):
            signs.append(event.at)
            break
    return min((s for s in signs if s > fault), default=None)


def critical_path(history: History, spans: Sequence[Span]) -> Path:
    """Backwards from the recovery: always the phase, or the wait, that ended last before.

    A wait is called by what it waited for last, where it knows: the application or the Service that came last.
    """
    fault, recovered = fault_at(history), recovered_at(history)
    if fault is None or recovered is None or recovered <= fault:
        return Path(())
    awaited = [_called(w, history) for w in waits(history) if w.outcome == "met" and w.end > fault]
    landed = history.first("fault.confirmed")
    leaves = [s for s in spans if s.leaf and s.end > fault and not _around_any(s, awaited)]
    leaves += [w for w in awaited[:-1] if w.end > w.begin]
    if landed is not None and landed.at > fault + SLIVER:
        leaves.append(Span("the loss itself", fault, min(landed.at, recovered)))
    steps: list[Span] = []
    cursor = recovered
    if awaited:
        enabled = max((s.end for s in leaves if s.end < recovered), default=fault)
        steps += [Span(awaited[-1].name, enabled, recovered)] if recovered - enabled > SLIVER else []
        cursor = enabled
    while cursor > fault:
        before = max((s for s in leaves if s.end <= cursor and s.begin < cursor), key=lambda s: s.end, default=None)
        start = before.end if before else fault
        if cursor - start > SLIVER:
            steps.append(Span(_around(spans, start, cursor), start, cursor))
        if before is None:
            break
        cursor = max(before.begin, fault)
        steps.append(Span(before.name, cursor, before.end))
    return Path(tuple(reversed(steps)))


def _called(wait: Span, history: History) -> Span:
    """The wait, by the name of the last thing that it waited for."""
    for event in history.of("until.ended", wait.name):
        if microseconds(event.data.get("met_us"), event.at) == wait.end:
            told = [(at, name) for name, _, at in _told(event) if isinstance(at, int | float)]
            last = max((t for t in told if wait.begin < timedelta(microseconds=t[0]) <= wait.end), default=None)
            return replace(wait, name=last[1]) if last else wait
    return wait


def _around_any(span: Span, awaited: Sequence[Span]) -> bool:
    return any(span.begin <= w.begin and span.end >= w.end for w in awaited)


def _around(spans: Iterable[Span], begin: timedelta, end: timedelta) -> str:
    inside = [s for s in spans if s.begin <= begin and s.end >= end]
    return f"{max(inside, key=lambda s: s.depth).name}, between its phases" if inside else "between phases"


def gaps(history: History) -> tuple[Span, ...]:
    """Stretches in which a kind was not observed, by their beginning. One is told when it begins and when it ends."""
    last = max((e.at for e in history), default=START)
    found: dict[tuple[str, timedelta], Span] = {}
    for event in (e for e in history.of("gap") if "start_us" in e.data):
        begin = microseconds(event.data.get("start_us"), event.at)
        end = microseconds(event.data.get("end_us"), max(last, begin))
        found[event.subject, begin] = Span(event.subject, begin, end, str(event.data.get("reason", "")))
    return tuple(sorted(found.values(), key=lambda g: (g.begin, g.name)))


def inventories(history: History) -> tuple[frozenset[str], frozenset[str]] | None:
    """The identities in the first and in the last inventory, or None unless there are two."""
    values = [e.data.get("value") for e in history.of("observed") if e.data.get("reading") == "inventory"]
    read = [frozenset(map(str, v)) for v in values if isinstance(v, Mapping)]
    return (read[0], read[-1]) if len(read) > 1 else None
