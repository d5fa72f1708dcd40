"""What a fault is.

Here belong the blast radius and the contracts of faults and sabotages. The faults themselves are in `harness.faults`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import Protocol, runtime_checkable

from harness.core.observation import Observation


class BlastRadius(IntEnum):
    """What a drill may touch. A larger one includes the smaller."""

    NAMESPACE = 1
    NODE = 2
    CLUSTER = 3


@dataclass(frozen=True, slots=True)
class Injected:
    """A harm that was asked for at `sent_ns` and accepted by the system at `accepted_ns` (monotonic)."""

    sent_ns: int
    accepted_ns: int
    what: str
    detail: Mapping[str, object] | None = None


class Fault(Protocol):
    """A harm done on purpose. It knows how to inject itself and how to confirm that it landed."""

    @property
    def subject(self) -> str: ...

    @property
    def blast_radius(self) -> BlastRadius: ...

    @property
    def touches(self) -> tuple[str, ...]:
        """Shell patterns over identities (`Deployment shop/api`, `Node agent-0`, `* shop/*`): all it may harm.

        What such an object owns, and what runs on such a Node, is meant as well.
        """

    def inject(self) -> Injected:
        """Do the harm. Raises InjectFailed when it could not be done."""

    def confirm(self) -> Observation:
        """Did it land? Asked of the system, not of our own return code."""


@runtime_checkable
class Reversible(Protocol):
    """A fault that can be undone by us."""

    def heal(self) -> None:
        """Undo it. Raises HealFailed."""


class Sabotage(Protocol):
    """Something that must make a promise fail. Used by twins only."""

    @property
    def subject(self) -> str: ...

    def begin(self) -> None:
        """Before the story begins."""

    def after_injection(self) -> None:
        """Right after a fault has landed."""

    def end(self) -> None:
        """Undo it, so that the next drill finds the system as Git says."""
