"""Faults, waits and holds as stretches of time, and which nodes were hit.

Here belong pure readings of a `History`, as in `harness.report.anatomy`, which stands on these.

Read beside the events named in `core.checks`:
  fault.injected          accepted_us; touches (patterns over identities)
  heal.begun, heal.ended  subject: that of the fault; heal.failed likewise
  until.begun, until.ended, hold.begun, hold.ended
  until.ended             detail.nodes: {name: microseconds at which it was as awaited}; detail.chain: why it did not
                          converge (application, wave, resource, symptom, words, message)
  until.failed, hold.failed  the probe could not answer
  observed (census)       value: {identity: entry}
  observed (loss)         value: [{identity, why}]
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from fnmatch import fnmatchcase
from typing import Any

from harness.core.timeline import Event, History

START = timedelta(0)


@dataclass(frozen=True, slots=True)
class Span:
    """A named stretch of the timeline."""

    name: str
    begin: timedelta
    end: timedelta
    outcome: str = "done"
    depth: int = 0
    leaf: bool = True

    @property
    def length(self) -> timedelta:
        return self.end - self.begin


def microseconds(value: Any, default: timedelta) -> timedelta:
    """A stored number of microseconds, not before the timeline began; `default` for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return max(default, START)
    return max(timedelta(microseconds=value), START)


def end_of(history: History) -> timedelta:
    """When the story ended: when it was judged, because what follows is judging and undoing."""
    judged = history.first("judging") or history.first("finding")
    return max(judged.at if judged else max((e.at for e in history), default=START), START)


def faults(history: History) -> tuple[Span, ...]:
    """From the acceptance of each fault until we had undone it; to the end where we did not."""
    end, healed = end_of(history), [*history.of("heal.ended"), *history.of("heal.failed")]
    found = []
    for event in history.of("fault.injected"):
        begin = microseconds(event.data.get("accepted_us"), event.at)
        undone = next((e for e in healed if e.seq > event.seq and e.subject == event.subject), None)
        outcome = "not undone" if undone is None else "healed" if undone.kind == "heal.ended" else "heal failed"
        found.append(Span(event.subject, begin, max(undone.at if undone else end, begin), outcome))
    return tuple(found)


def waits(history: History) -> tuple[Span, ...]:
    """Every wait and hold after the first fault; a wait that was MET lasts until what was awaited was there.

    The outcome is met, held, gave up, lost, or unfinished.
    """
    fault = history.first("fault.injected")
    if fault is None:
        return ()
    last = max((e.at for e in history), default=START)
    found = []
    for begun in (e for e in history if e.kind in ("until.begun", "hold.begun") and e.seq > fault.seq):
        kind = begun.kind.partition(".")[0]
        ended = _end(history, begun)
        end = last if ended is None else ended.at
        if ended is not None and kind == "until" and ended.data.get("state") == "MET":
            end = microseconds(ended.data.get("met_us"), ended.at)
        found.append(Span(begun.subject, max(begun.at, START), max(end, begun.at, START), _outcome(kind, ended)))
    return tuple(found)


def _end(history: History, begun: Event) -> Event | None:
    kind = begun.kind.partition(".")[0]
    ends = (*history.of(f"{kind}.ended", begun.subject), *history.of(f"{kind}.failed", begun.subject))
    return min((e for e in ends if e.seq > begun.seq), key=lambda e: e.seq, default=None)


def _outcome(kind: str, ended: Event | None) -> str:
    if ended is None:
        return "unfinished"
    if ended.kind.endswith(".failed"):
        return "no answer"
    if ended.data.get("state") == "MET":
        return "held" if kind == "hold" else "met"
    return "lost" if kind == "hold" else "gave up"


@dataclass(frozen=True, slots=True)
class NodeStory:
    """A node: from when to when it was out of order, if it was. `back` is None where nobody saw it come back.

    `healed` is when we had undone the fault: from there on it may have been back.
    """

    name: str
    hit: timedelta | None = None
    back: timedelta | None = None
    healed: timedelta | None = None


def nodes(history: History) -> tuple[NodeStory, ...]:
    """Every node of the first census, and which of them a fault hit. Empty where no fault named a node."""
    hits: dict[str, NodeStory] = {}
    known = _counted_nodes(history)
    for event, fault in zip(history.of("fault.injected"), faults(history), strict=True):
        healed = None if fault.outcome == "not undone" else fault.end
        for name in _named_nodes(event.data.get("touches"), known):
            hits.setdefault(name, NodeStory(name, fault.begin, None, healed))
    if not hits:
        return ()
    for name, at in _node_moments(history):
        story = hits.get(name)
        if story is not None and story.hit is not None and at > story.hit:
            hits[name] = replace(story, back=at)
    return tuple(hits.get(n) or NodeStory(n) for n in [*known, *(n for n in hits if n not in known)])


def _counted_nodes(history: History) -> list[str]:
    for event in history.of("observed"):
        value = event.data.get("value")
        if event.data.get("reading") == "census" and isinstance(value, Mapping):
            return sorted(str(key)[5:] for key in value if str(key).startswith("Node "))
    return []


def _named_nodes(touches: Any, known: Iterable[str]) -> list[str]:
    patterns = [str(p) for p in touches if str(p).startswith("Node ")] if isinstance(touches, list | tuple) else []
    plain = [p[5:] for p in patterns if not set(p) & set("*?[")]
    return [*plain, *(n for n in known if n not in plain and any(fnmatchcase(f"Node {n}", p) for p in patterns))]


def _node_moments(history: History) -> Iterable[tuple[str, timedelta]]:
    for event in history.of("until.ended"):
        detail = event.data.get("detail")
        told = detail.get("nodes") if isinstance(detail, Mapping) else None
        for name, at in told.items() if isinstance(told, Mapping) else ():
            if isinstance(at, int | float) and not isinstance(at, bool):
                yield str(name).removeprefix("Node "), timedelta(microseconds=at)


_CHAIN = (("application", "Application"), ("wave", "Wave"), ("resource", "Object"), ("symptom", "Found"),
          ("words", "Because"), ("message", "Its controller says"), ("final", "Final"))  # fmt: skip


def chain(history: History) -> tuple[tuple[str, str], ...]:
    """Why the last wait did not end well: from the application down to the one message that matters, as it was told."""
    ended = history.last("until.ended")
    detail = ended.data.get("detail") if ended is not None and ended.data.get("state") != "MET" else None
    told = detail.get("chain") if isinstance(detail, Mapping) else None
    if not isinstance(told, Mapping):
        return ()
    final = {"final": "yes: waiting does not mend it" if told.get("final") else "no: it may heal by itself"}
    told = {**told, **final}
    return tuple((label, str(told[key])) for key, label in _CHAIN if told.get(key) not in (None, ""))


def loss_list(history: History) -> tuple[tuple[str, str], ...]:
    """What Git alone would not bring back, with the reason, as the first loss reading tells."""
    for event in history.of("observed"):
        value = event.data.get("value")
        if event.data.get("reading") == "loss" and isinstance(value, list | tuple):
            items = [item for item in value if isinstance(item, Mapping)]
            return tuple((str(item.get("identity", "?")), str(item.get("why", ""))) for item in items)
    return ()
