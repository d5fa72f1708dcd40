"""Live lines: what a drill is doing, as it does it.

Here belongs turning one event into at most one line. Where the line goes does not belong here.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta

from harness.core.clock import SECOND
from harness.core.text import elapsed
from harness.core.timeline import Event
from harness.report import words

_QUIET = frozenset({"fault.injecting", "judging", "drill.ended", "run.ended", "until.begun", "require.begun"})
_COLOURS = {"HELD": "32", "MET": "32", "landed": "32", "INCONCLUSIVE": "33", "PENDING": "33", "gave up": "31",
            "REFUTED": "31", "BROKEN": "31", "not landed": "31"}  # fmt: skip
_STATES = re.compile(r"\b(?:" + "|".join(sorted(_COLOURS, key=len, reverse=True)) + r")\b")
_DIM, _RESET = "\x1b[2m", "\x1b[0m"


def colour_wanted(tty: bool, environment: Mapping[str, str]) -> bool:
    """ANSI colours only on a terminal, and not where NO_COLOR asks for none (no-color.org)."""
    return tty and not environment.get("NO_COLOR") and environment.get("TERM") != "dumb"


@dataclass(slots=True)
class _Wait:
    verb: str
    deadline: timedelta
    settles: bool


@dataclass(slots=True)
class Console:
    """Lines of one run. It remembers only what later lines need: open waits, open phases, what was said last."""

    colour: bool = False
    _waits: dict[str, _Wait] = field(default_factory=dict)
    _said: dict[str, tuple[str, timedelta]] = field(default_factory=dict)
    _open: list[int] = field(default_factory=list)

    def line(self, event: Event) -> str | None:
        """The line of `event`, or None when it is not worth one."""
        text = self._text(event)
        if text is None:
            return None
        margin = elapsed(event.at)
        if not self.colour:
            return f"{margin} {text}"
        shown = _STATES.sub(lambda found: f"\x1b[{_COLOURS[found[0]]}m{found[0]}{_RESET}", text, count=1)
        return f"{_DIM}{margin}{_RESET} {shown}"

    def _text(self, event: Event) -> str | None:
        if event.kind in ("until.begun", "require.begun"):
            self._expect(event)
        if event.kind in _QUIET:
            return None
        if event.kind in ("probe.changed", "heartbeat"):
            return self._progress(event)
        if event.kind in ("phase.begun", "phase.ended"):
            return self._phase(event)
        if event.kind in ("until.ended", "require.ended"):
            self._said.pop(event.subject, None)
        return words.sentence(event)

    def _expect(self, event: Event) -> None:
        within, settle = (event.data.get(key) for key in ("within_s", "settle_s"))
        limit = timedelta(seconds=within) if isinstance(within, int | float) else timedelta(0)
        self._waits[event.subject] = _Wait(event.kind.partition(".")[0], event.at + limit, bool(settle))

    def _progress(self, event: Event) -> str | None:
        wait = self._waits.get(event.subject)
        state = str(event.data.get("state"))
        if event.kind == "probe.changed":
            before, when = self._said.get(event.subject, ("", timedelta(0)))
            if state == "MET" and not (wait and wait.settles):
                return None  # the end of the wait says the same in the next line
            if state == before and event.at - when < SECOND:
                return None  # a counter that runs: the next change or heartbeat tells
        self._said[event.subject] = (state, event.at)
        verb = f"{wait.verb} " if wait else ""
        if state == "MET":
            return words.clean(f"{verb}{event.subject}: {words.answer(event.data)}; does it hold?")
        seconds = event.data.get("left_s")
        if seconds is None and wait:
            seconds = (wait.deadline - event.at).total_seconds()
        remaining = f" ({words.left(seconds)})" if seconds is not None else ""
        return words.clean(f"{verb}{event.subject}: {words.answer(event.data)}") + remaining

    def _phase(self, event: Event) -> str | None:
        if event.kind == "phase.begun":
            self._open.append(event.seq)
            # An outermost phase may be long and silent, so that it is announced; inner ones tell at their end.
            return words.sentence(event) if len(self._open) == 1 else None
        begun = event.data.get("begun_seq")
        if begun in self._open:
            self._open.remove(begun)
        return "  " * len(self._open) + words.sentence(event)
