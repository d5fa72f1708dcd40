"""What a probe answers.

Here belong the three states of an observation and the observation itself. How one waits for a state does not: that
is `harness.effects.waiting`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Protocol

UNREACHABLE = "unreachable"  # in `Observation.detail`: nothing could be seen, so that nothing is said of the system
IN_SIGHT_AGAIN = "in_sight_again"  # there, of what is MET: only since it can be seen again; it may have been so before


class State(StrEnum):
    """MET: it is as asked. PENDING: not yet, keep waiting. BROKEN: it will not become so by waiting."""

    MET = "MET"
    PENDING = "PENDING"
    BROKEN = "BROKEN"


@dataclass(frozen=True, slots=True)
class Observation:
    """One answer of a probe.

    `at_ns` is the monotonic moment at which the fact became known. `not_before_ns` is the last moment at which it
    was known to be otherwise: the true moment lies between the two, and their difference is the resolution.
    """

    state: State
    subject: str
    expected: str
    actual: str
    at_ns: int
    not_before_ns: int | None = None
    done: int | None = None
    total: int | None = None
    detail: Mapping[str, Any] = field(default_factory=dict)

    @property
    def met(self) -> bool:
        return self.state is State.MET

    def to_record(self) -> dict[str, Any]:
        """What a timeline keeps of it while it is awaited."""
        return {"state": self.state.value, "expected": self.expected, "actual": self.actual,
                "done": self.done, "total": self.total}  # fmt: skip

    def sentence(self) -> str:
        """One line for people: state, progress, what should be and what is."""
        progress = f" {self.done}/{self.total}" if self.total is not None else ""
        if self.met:
            return f"MET{progress}: {self.actual}"
        return f"{self.state}{progress}: should be {self.expected}, is {self.actual}"


class Signal(Protocol):
    """Something that wakes a waiter; see `harness.effects.waiting.Signal` for the real one."""

    @property
    def version(self) -> int: ...


class Probe(Protocol):
    """A read-only question about the system under test. Asking it changes nothing.

    An unreachable system is an answer (PENDING), not an exception.
    """

    @property
    def subject(self) -> str: ...

    @property
    def signal(self) -> Any:
        """The `Signal` that is notified when the answer may have changed, or None: then the probe is polled."""

    def observe(self) -> Observation: ...
