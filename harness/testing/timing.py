"""Stand-ins for time, and for what happens in it: a clock that passes at once, probes by script, a fault, a sabotage.

Here belongs what knows no cluster. A fake cluster and its engine are in `harness.testing.world`.
"""

from __future__ import annotations

import heapq
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from harness.core.clock import MILLISECOND
from harness.core.faults import BlastRadius, Injected
from harness.core.observation import Observation, State
from harness.effects.waiting import Signal


class FakeClock:
    """Time that passes only when somebody waits, and then at once. Single-threaded.

    What is planned with `after` happens while others wait, in order; that is how a fake world moves on its own.
    """

    def __init__(self, begun: datetime = datetime(2026, 1, 1, tzinfo=UTC)) -> None:
        self._begun, self._now_ns, self._count = begun, 0, 0
        self._plans: list[tuple[int, int, Callable[[], object]]] = []

    def now_ns(self) -> int:
        return self._now_ns

    def utc(self) -> datetime:
        return self._begun + timedelta(microseconds=self._now_ns // 1000)

    def sleep(self, duration: timedelta) -> None:
        """Let `duration` pass; what is planned within it happens."""
        end = self._now_ns + _ns(duration)
        while self._happened(end):
            pass
        self._now_ns = end

    def wait(self, condition: threading.Condition, duration: timedelta) -> bool:
        """Let time pass until the next thing that is planned, at most `duration`: it may have notified `condition`."""
        end = self._now_ns + _ns(duration)
        happened = self._happened(end)
        self._now_ns = self._now_ns if happened else end
        return happened

    def after(self, delay: timedelta, action: Callable[[], object]) -> None:
        """Plan `action` for `delay` from now."""
        self._count += 1  # what is planned first happens first, also at the same moment
        heapq.heappush(self._plans, (self._now_ns + _ns(delay), self._count, action))

    def _happened(self, end: int) -> bool:
        if not self._plans or self._plans[0][0] > end:
            return False
        at, _, action = heapq.heappop(self._plans)
        self._now_ns = max(self._now_ns, at)
        action()
        return True


def _ns(duration: timedelta) -> int:
    return max(duration, timedelta(0)) // timedelta(microseconds=1) * 1000


Answer = State | Exception
Script = Sequence[tuple[timedelta, Answer]]


class FakeProbe:
    """A probe that answers by a script: from each delay (after its making) on, a state, or an error to raise.

    Watched, it notifies its signal at every step and knows the moment exactly; otherwise it must be polled, and knows
    only that it is so now.
    """

    def __init__(self, clock: FakeClock, script: Script, *, subject: str = "probe", watched: bool = False) -> None:
        self._clock, self._script, self._begun = clock, tuple(script), clock.now_ns()
        self.subject, self.asked = subject, 0
        self.signal: Signal | None = Signal(clock) if watched else None
        if self.signal:
            for delay, _ in self._script:
                clock.after(delay, self.signal.notify)

    def observe(self) -> Observation:
        """What the script says for now. Raises what the script says."""
        self.asked += 1
        now = self._clock.now_ns()
        begun, answer = self._begun, self._script[0][1]
        for delay, then in self._script:
            if self._begun + _ns(delay) <= now and then is not answer:
                begun, answer = self._begun + _ns(delay), then
        if isinstance(answer, Exception):
            raise answer
        exact = begun if self.signal else None
        actual = "as asked" if answer is State.MET else answer.lower()
        return Observation(answer, self.subject, "as asked", actual, now if exact is None else exact, exact)


@dataclass(slots=True)
class FakeFault:
    """A fault that takes 2 ms to be accepted. `landed` says what its confirmation answers; `harm` is what it does."""

    clock: FakeClock
    subject: str = "FakeFault"
    blast_radius: BlastRadius = BlastRadius.NAMESPACE
    touches: tuple[str, ...] = ()
    landed: Answer = State.MET
    harm: Callable[[], object] = lambda: None
    injections: int = 0

    def inject(self) -> Injected:
        sent = self.clock.now_ns()
        self.clock.sleep(2 * MILLISECOND)
        self.injections += 1
        self.harm()
        return Injected(sent, self.clock.now_ns(), self.subject)

    def confirm(self) -> Observation:
        if isinstance(self.landed, Exception):
            raise self.landed
        return Observation(self.landed, self.subject, "harmed", f"{self.subject} seen", self.clock.now_ns())


@dataclass(slots=True)
class FakeSabotage:
    """A sabotage made of three actions."""

    subject: str = "FakeSabotage"
    begins: Callable[[], object] = lambda: None
    harmed: Callable[[], object] = lambda: None
    ends: Callable[[], object] = lambda: None
    steps: list[str] = field(default_factory=list)

    def begin(self) -> None:
        self.steps.append("begin")
        self.begins()

    def after_injection(self) -> None:
        self.steps.append("after_injection")
        self.harmed()

    def end(self) -> None:
        self.steps.append("end")
        self.ends()
