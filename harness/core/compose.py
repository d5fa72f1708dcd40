"""Probes made of probes.

Here belong `every` (several questions asked as one) and `patient` (a system that cannot be reached is an answer). The
questions themselves are in `harness.probes`.
"""

from __future__ import annotations

from typing import Any

from harness.core.clock import Clock
from harness.core.errors import ApiRefused, ApiUnreachable, ConfigError
from harness.core.observation import UNREACHABLE, Observation, Probe, State
from harness.core.text import first_line


class _Every:
    def __init__(self, probes: tuple[Probe, ...]) -> None:
        self._probes = probes
        self.subject = " and ".join(p.subject for p in probes)

    @property
    def signal(self) -> Any:
        # One signal can be waited on at a time; the others are covered by the poll interval of `until`.
        return next((p.signal for p in self._probes if p.signal), None)

    def observe(self) -> Observation:
        answers = [p.observe() for p in self._probes]
        expected = "; ".join(a.expected for a in answers)
        open_ones = [a for a in answers if not a.met]
        broken = [a for a in open_ones if a.state is State.BROKEN]
        shown = broken or open_ones or answers
        # True since the last of them became true; not true at any moment at which one was known to be otherwise.
        otherwise = [a.not_before_ns for a in answers if a.not_before_ns is not None]
        counted = next((a for a in answers if a.total is not None), None)
        return Observation(
            State.BROKEN if broken else State.PENDING if open_ones else State.MET,
            self.subject, expected if not open_ones else "; ".join(a.expected for a in shown),
            "; ".join(a.actual for a in shown), max(a.at_ns for a in shown),
            None if open_ones else max(otherwise, default=None),
            counted.done if counted else None, counted.total if counted else None,
            {key: value for a in answers for key, value in a.detail.items()},
        )  # fmt: skip


def every(*probes: Probe) -> Probe:
    """MET when all are MET, from the moment the last became so; BROKEN as soon as one is.

    Raises ConfigError without any probe: all of nothing would always be MET.
    """
    if not probes:
        raise ConfigError("at least one probe", "none", "name what is to be waited for")
    return probes[0] if len(probes) == 1 else _Every(probes)


class _Patient:
    def __init__(self, probe: Probe, clock: Clock) -> None:
        self._probe, self._clock, self.subject = probe, clock, probe.subject

    @property
    def signal(self) -> Any:
        return self._probe.signal

    def observe(self) -> Observation:
        try:
            return self._probe.observe()
        except (ApiUnreachable, ApiRefused) as error:
            detail = {UNREACHABLE: True} if isinstance(error, ApiUnreachable) else {}
            return Observation(State.PENDING, self.subject, "an answer", first_line(error), self._clock.now_ns(),
                               detail=detail)  # fmt: skip


def patient(probe: Probe, clock: Clock) -> Probe:
    """The same probe, for which an API that cannot be reached is PENDING and not an exception."""
    return _Patient(probe, clock)
