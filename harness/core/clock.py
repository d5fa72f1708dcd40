"""Time: one port, one real clock.

Here belong the `Clock` protocol and the real implementation. The fake clock does not: it is in `harness.testing`.
Durations are `timedelta` everywhere; points in time on the monotonic clock are `int` nanoseconds (they are only
ever subtracted). Wall time is for display and for joining with other people's logs.
"""

from __future__ import annotations

import threading
import time
from datetime import UTC, datetime, timedelta
from typing import Protocol

MILLISECOND = timedelta(milliseconds=1)
SECOND = timedelta(seconds=1)
MINUTE = timedelta(minutes=1)


def seconds(value: float) -> timedelta:
    """A duration of `value` seconds."""
    return timedelta(seconds=value)


def between_ns(start: int, end: int) -> timedelta:
    """The duration between two monotonic points, microsecond resolution."""
    return timedelta(microseconds=(end - start) / 1000)


class Clock(Protocol):
    """What the harness needs to know about time."""

    def now_ns(self) -> int:
        """Monotonic nanoseconds; only differences mean anything."""

    def utc(self) -> datetime:
        """Wall time, timezone-aware."""

    def sleep(self, duration: timedelta) -> None:
        """Let `duration` pass."""

    def wait(self, condition: threading.Condition, duration: timedelta) -> bool:
        """Wait on an *acquired* condition for at most `duration`; True if it was notified."""


class SystemClock:
    """The machine's clocks."""

    def now_ns(self) -> int:
        return time.monotonic_ns()

    def utc(self) -> datetime:
        return datetime.now(UTC)

    def sleep(self, duration: timedelta) -> None:
        time.sleep(max(0.0, duration.total_seconds()))

    def wait(self, condition: threading.Condition, duration: timedelta) -> bool:
        return condition.wait(max(0.0, duration.total_seconds()))
