"""Waiting: the only module in which time passes on purpose.

Here belong `Signal`, `until` (wait for a probe, woken by watches, with patience and a settle window), `hold` (see that
nothing changes) and `retrying` (transport retries by tenacity, every attempt reported). What is waited for does not:
that is a probe.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TypeVar

import tenacity

from harness.core.clock import SECOND, Clock, SystemClock, between_ns
from harness.core.errors import ApiRefused, ApiUnreachable
from harness.core.observation import IN_SIGHT_AGAIN, UNREACHABLE, Observation, Probe, State
from harness.core.text import first_line

T = TypeVar("T")
HEARTBEAT = 8 * SECOND  # at least every 10 s a person must see what is awaited
NOTHING = timedelta(0)
AN_ANSWER = "an answer"  # what is expected where nothing else could be asked


class Signal:
    """A counter that threads can wait on. `notify` may be called from any thread, as often as one likes."""

    def __init__(self, clock: Clock | None = None) -> None:
        self._condition = threading.Condition()
        self._clock: Clock = clock or SystemClock()
        self._version = 0

    @property
    def version(self) -> int:
        return self._version

    def notify(self) -> None:
        """Wake every waiter."""
        with self._condition:
            self._version += 1
            self._condition.notify_all()

    def wait_beyond(self, version: int, timeout: timedelta) -> int:
        """Wait until the counter has passed `version`, at most `timeout`; the counter's value then."""
        deadline = self._clock.now_ns() + int(timeout.total_seconds() * 1e9)
        with self._condition:
            while self._version <= version:
                left = between_ns(self._clock.now_ns(), deadline)
                if left <= NOTHING:
                    break
                self._clock.wait(self._condition, left)
            return self._version


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a wait ended.

    `last` is the observation that decided. For MET it is the first of the unbroken run of MET observations: its
    `at_ns` is the start of the settle window that held. `flaps` counts how often MET was lost again before that.
    """

    last: Observation
    waited: timedelta
    flaps: int = 0

    @property
    def met(self) -> bool:
        return self.last.met


def until(
    probe: Probe,
    *,
    within: timedelta,
    settle: timedelta = NOTHING,
    clock: Clock,
    on_change: Callable[[Observation], object] = lambda _: None,
    on_beat: Callable[[Observation, timedelta], object] = lambda _, __: None,
    poll: timedelta = SECOND,
) -> Outcome:
    """Wait until `probe` is MET and stays so for `settle`; BROKEN and the end of patience end the wait as well.

    The deadline bounds the *start* of the settle window: a window that began in time may end after it. A probe with
    a signal is asked when something changed and at least every `poll`; `on_change` hears every change of the answer,
    `on_beat` the last answer and the patience left, at least every 8 s.

    Where a probe does not know since when it is MET at the earliest, the last moment this wait saw otherwise is taken.
    """
    begun = clock.now_ns()
    deadline = begun + int(within.total_seconds() * 1e9)
    last_beat, flaps = begun, 0
    first_met: Observation | None = None
    held_since = begun
    otherwise_ns: int | None = None
    said: tuple[State, str] | None = None
    while True:
        version = probe.signal.version if probe.signal else 0
        seen = probe.observe()
        now = clock.now_ns()
        if (seen.state, seen.actual) != said:
            said, last_beat = (seen.state, seen.actual), now
            on_change(seen)
        elif between_ns(last_beat, now) >= HEARTBEAT:
            last_beat = now
            on_beat(seen, between_ns(now, deadline))
        if seen.met:
            if first_met and seen.not_before_ns is not None and seen.not_before_ns > first_met.at_ns:
                # Lost and won again between two looks: the settle window begins anew.
                flaps, first_met = flaps + 1, None
            if first_met is None:
                # What was true before may be news from before a change: it has to hold while we look.
                first_met, held_since = _bounded(seen, otherwise_ns), max(seen.at_ns, now)
            if between_ns(held_since, now) >= settle:
                return Outcome(first_met, between_ns(begun, now), flaps)
        else:
            flaps += first_met is not None
            first_met, otherwise_ns = None, seen.at_ns
            if seen.state is State.BROKEN or now >= deadline:
                return Outcome(seen, between_ns(begun, now), flaps)
        edges = [now + int(poll.total_seconds() * 1e9), last_beat + int(HEARTBEAT.total_seconds() * 1e9)]
        edges.append(held_since + int(settle.total_seconds() * 1e9) if first_met else deadline)
        pause = max(between_ns(now, min(edges)), timedelta(microseconds=200))
        if probe.signal:
            probe.signal.wait_beyond(version, pause)
        else:
            clock.sleep(pause)


def hold(
    probe: Probe,
    *,
    lasting: timedelta,
    clock: Clock,
    on_change: Callable[[Observation], object] = lambda _: None,
    on_beat: Callable[[Observation, timedelta], object] = lambda _, __: None,
    poll: timedelta = SECOND,
) -> Outcome:
    """Look for `lasting`: `probe` must be MET now and all the time. Anything else ends it, and is BROKEN.

    So is what was lost and won again between two looks, where the probe can tell. A system that cannot be reached is
    no answer (an exception, or PENDING with `UNREACHABLE` in its detail): the looking goes on, and only if there is
    none at the end either is the outcome PENDING. What is MET only since it can be seen again was not lost.
    """
    begun = clock.now_ns()
    end = begun + int(lasting.total_seconds() * 1e9)
    last_beat, said = begun, ""
    while True:
        version = probe.signal.version if probe.signal else 0
        seen = _look(probe, clock)
        now = clock.now_ns()
        if seen.actual != said:
            said, last_beat = seen.actual, now
            on_change(seen)
        elif between_ns(last_beat, now) >= HEARTBEAT:
            last_beat = now
            on_beat(seen, between_ns(now, end))
        unseen = seen.state is State.PENDING and bool(seen.detail.get(UNREACHABLE))
        won = seen.met and not seen.detail.get(IN_SIGHT_AGAIN)
        lost = won and seen.not_before_ns is not None and seen.not_before_ns > begun
        if lost or not (seen.met or unseen):
            told = f"lost and won again: {seen.actual}" if lost else seen.actual
            return Outcome(replace(seen, state=State.BROKEN, actual=told), between_ns(begun, now))
        if now >= end:
            return Outcome(seen, between_ns(begun, now))
        edges = (now + int(poll.total_seconds() * 1e9), last_beat + int(HEARTBEAT.total_seconds() * 1e9), end)
        pause = max(between_ns(now, min(edges)), timedelta(microseconds=200))
        if probe.signal:
            probe.signal.wait_beyond(version, pause)
        else:
            clock.sleep(pause)


def _look(probe: Probe, clock: Clock) -> Observation:
    try:
        return probe.observe()
    except (ApiUnreachable, ApiRefused) as error:
        said = first_line(error)
        return Observation(State.PENDING, probe.subject, AN_ANSWER, said, clock.now_ns(), detail={UNREACHABLE: True})


def _bounded(seen: Observation, otherwise_ns: int | None) -> Observation:
    # Never narrower than the probe's own bound: a watch lags, so that an answer of "not yet" may be outdated already.
    if seen.not_before_ns is not None or otherwise_ns is None or otherwise_ns > seen.at_ns:
        return seen
    return replace(seen, not_before_ns=otherwise_ns)


def retrying(
    action: Callable[[], T],
    *,
    on: tuple[type[Exception], ...],
    within: timedelta,
    clock: Clock,
    report: Callable[[int, BaseException | None], None] = lambda _, __: None,
) -> T:
    """Do `action`, again while it raises one of `on`, with growing pauses (0.1 to 2 s) and never beyond `within`.

    Only for transport between us and a tool, never around an injection. `report` hears every failed attempt: no retry
    is silent. Raises what the last attempt raised.
    """
    deadline = clock.now_ns() + int(within.total_seconds() * 1e9)
    retry = tenacity.Retrying(
        # stop_before_delay, but by our clock: tenacity's own reads the machine's.
        stop=lambda s: clock.now_ns() + int(s.upcoming_sleep * 1e9) >= deadline,
        wait=tenacity.wait_exponential(multiplier=0.1, max=2),
        retry=tenacity.retry_if_exception_type(on),
        sleep=lambda pause: clock.sleep(timedelta(seconds=pause)),
        after=lambda s: report(s.attempt_number, s.outcome.exception() if s.outcome else None),
        reraise=True,
    )
    return retry(action)
