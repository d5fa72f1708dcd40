"""The timeline: everything that happened in one drill, in order, append-only.

Here belong `Event`, `Timeline` and the JSON-lines round trip. Judging does not: checks read a timeline and decide.
Writing to disk does not either: a `Timeline` only tells its listeners (the store, the console) of each event.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from harness.core.clock import Clock, between_ns
from harness.core.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that happened.

    `at` is the time since the drill began on the monotonic clock (microseconds); `utc` is wall time, for display. For
    what was observed, `at` is when the fact became known, which may be earlier than the event's place in the list.
    """

    seq: int
    at: timedelta
    utc: datetime
    kind: str
    subject: str
    data: Mapping[str, Any] = field(default_factory=dict)

    def to_json(self) -> str:
        """One line of JSON, without the newline."""
        record = {"seq": self.seq, "at_us": _microseconds(self.at), "utc": self.utc.isoformat(), "kind": self.kind,
                  "subject": self.subject, "data": dict(self.data)}  # fmt: skip
        return json.dumps(record, ensure_ascii=False, sort_keys=True, allow_nan=False)

    @classmethod
    def from_json(cls, line: str) -> Event:
        """The event that `to_json` wrote. Raises ValueError or KeyError for anything else."""
        record = json.loads(line)
        if not isinstance(record["data"], dict):
            raise ValueError(f"data should be an object, is {record['data']!r}")
        return cls(int(record["seq"]), timedelta(microseconds=record["at_us"]), datetime.fromisoformat(record["utc"]),
                   str(record["kind"]), str(record["subject"]), record["data"])  # fmt: skip


def _microseconds(duration: timedelta) -> int:
    return duration // timedelta(microseconds=1)


class Timeline:
    """An append-only list of events. `add` may be called from any thread."""

    def __init__(self, clock: Clock, listeners: Iterable[Callable[[Event], None]] = ()) -> None:
        self._clock = clock
        self._origin_ns = clock.now_ns()
        self._events: list[Event] = []
        self._listeners = list(listeners)
        self._lock = threading.RLock()

    def moment(self, monotonic_ns: int) -> timedelta:
        """The place on this timeline of a point on the monotonic clock."""
        return between_ns(self._origin_ns, monotonic_ns)

    def add(self, kind: str, subject: str = "", *, at_ns: int | None = None, **data: Any) -> Event:
        """Append an event; it happened now unless `at_ns` says when. Listeners hear it before this returns."""
        with self._lock:
            at = self.moment(self._clock.now_ns() if at_ns is None else at_ns)
            event = Event(len(self._events), at, self._clock.utc(), kind, subject, data)
            self._events.append(event)
            for listener in self._listeners:
                listener(event)
        return event

    @property
    def events(self) -> tuple[Event, ...]:
        with self._lock:
            return tuple(self._events)

    def history(self) -> History:
        """What happened so far, for checks."""
        return History(self.events)


@contextmanager
def phase(timeline: Timeline, name: str, **facts: Any) -> Iterator[None]:
    """`phase.begun` and `phase.ended` around what happens inside, also when it fails. Phases may overlap."""
    begun = timeline.add("phase.begun", name, **facts)
    outcome = "done"
    try:
        yield
    except BaseException as error:
        outcome = type(error).__name__
        raise
    finally:
        timeline.add("phase.ended", name, begun_seq=begun.seq, begun_us=_microseconds(begun.at), outcome=outcome)


class Journal:
    """Where things that happen are written now: the timeline of the running drill, or the run's own.

    A platform outlives one drill; what it does while a drill runs belongs on that drill's timeline.
    """

    def __init__(self, run: Timeline) -> None:
        self._stack = [run]

    @property
    def timeline(self) -> Timeline:
        return self._stack[-1]

    def add(self, kind: str, subject: str = "", *, at_ns: int | None = None, **data: Any) -> Event:
        """Append to the current timeline."""
        return self.timeline.add(kind, subject, at_ns=at_ns, **data)

    @contextmanager
    def phase(self, name: str, **facts: Any) -> Iterator[None]:
        """A named stretch of time on the current timeline."""
        with phase(self.timeline, name, **facts):
            yield

    @contextmanager
    def writing_to(self, timeline: Timeline) -> Iterator[None]:
        """Until the end of the block, `timeline` is the current one."""
        self._stack.append(timeline)
        try:
            yield
        finally:
            self._stack.remove(timeline)


@dataclass(frozen=True, slots=True)
class History:
    """A finished or stored timeline: queries only."""

    events: tuple[Event, ...]
    truncated: bool = False

    def __iter__(self) -> Iterator[Event]:
        return iter(self.events)

    def of(self, kind: str, subject: str | None = None) -> tuple[Event, ...]:
        """Events of a kind (and subject), in order."""
        return tuple(e for e in self.events if e.kind == kind and (subject is None or e.subject == subject))

    def first(self, kind: str, subject: str | None = None) -> Event | None:
        found = self.of(kind, subject)
        return found[0] if found else None

    def last(self, kind: str, subject: str | None = None) -> Event | None:
        found = self.of(kind, subject)
        return found[-1] if found else None

    def between(self, start: timedelta, end: timedelta) -> tuple[Event, ...]:
        """Events that happened from `start` to `end`, both included."""
        return tuple(e for e in self.events if start <= e.at <= end)

    def to_lines(self) -> str:
        """JSON lines, one event a line."""
        return "".join(event.to_json() + "\n" for event in self.events)

    @classmethod
    def from_lines(cls, text: str) -> History:
        """Read JSON lines back. A last line cut off in the middle is dropped and `truncated` says so.

        Raises ConfigError when any other line is not an event.
        """
        events: list[Event] = []
        # Not splitlines(): that also splits at characters which JSON leaves bare inside a string, such as U+2028.
        lines = text.removesuffix("\n").split("\n") if text else []
        for number, line in enumerate(lines, 1):
            try:
                events.append(Event.from_json(line))
            except (ValueError, KeyError, TypeError, OverflowError) as error:
                if number == len(lines) and not text.endswith("\n"):
                    return cls(tuple(events), truncated=True)
                raise ConfigError("a timeline: one JSON event a line", f"line {number}: {error}",
                                  "give the timeline.jsonl that a drill wrote") from error  # fmt: skip
        return cls(tuple(events))
