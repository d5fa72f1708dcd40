"""How long it took, against the objective.

Here belong measured times: every one is an interval, whose width is its resolution.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

from harness.core.checks.check import Check
from harness.core.text import duration
from harness.core.timeline import Event, History
from harness.core.verdict import Finding, Verdict


def recovered_within(objective: timedelta, *, when: str = "", since: str = "") -> Check:
    """The time from the fault's acceptance to the start of the state that then held is within `objective`.

    `when` is the beginning of the awaited subject (such as `healed`); by default the last wait counts. `since` is the
    beginning of the subject of the fault to count from (such as `RevertCommit`); by default the first. Every wait after
    a fault that is named is then a phase of the recovery: it was not over before the last of them was. The time is an
    interval: its width is the resolution, and an objective inside it is INCONCLUSIVE, not a pass. So is a state that
    was there before the fault and never lost, and a wait that was given up before the objective had passed.
    """
    label = f"{when} within {duration(objective)}" if when else f"recovered within {duration(objective)}"
    label += f" of {since}" if since else ""

    def judge(history: History) -> Finding:
        fault = next((e for e in history.of("fault.injected") if e.subject.startswith(since)), None)
        expected = f"at most {duration(objective)}"
        waits = [e for e in history.of("until.ended") if fault and e.seq > fault.seq and e.subject.startswith(when)]
        if fault is None or not waits:
            return Finding(label, Verdict.INCONCLUSIVE, expected, "no fault, or no awaited recovery after it")
        return _judged(label, expected, objective, fault, _last_phase(waits) if since else waits[-1])

    return Check(label, judge)


def _last_phase(waits: list[Event]) -> Event:
    """The last wait, with what all of them know of the moment at which the last thing became true."""
    last = waits[-1]
    if any(wait.data["state"] != "MET" for wait in waits):
        return last
    met_us = max(wait.data["met_us"] for wait in waits)
    known = [wait.data["not_before_us"] for wait in waits if wait.data["not_before_us"] is not None]
    bound = min(max(known), met_us) if known else None
    return replace(last, data={**last.data, "met_us": met_us, "not_before_us": bound})


def _judged(label: str, expected: str, objective: timedelta, fault: Event, wait: Event) -> Finding:
    evidence, actual = (fault.seq, wait.seq), wait.data["actual"]
    if wait.data["state"] != "MET":
        given = wait.at - fault.at
        if wait.data["state"] == "BROKEN" or given >= objective:
            return Finding(label, Verdict.REFUTED, expected, f"not recovered: {actual}", evidence)
        early = f"not recovered: {actual}, but it was given only {duration(given)}"
        return Finding(label, Verdict.INCONCLUSIVE, expected, early, evidence)
    if wait.data["met_us"] < fault.data["sent_us"]:
        never = f"it was so before the fault and never seen lost: {actual}"
        return Finding(label, Verdict.INCONCLUSIVE, expected, never, evidence)
    time = interval(fault, wait)
    figures = {"recovery_s": time.value.total_seconds(), "resolution_s": time.resolution.total_seconds(),
               "objective_s": objective.total_seconds()}  # fmt: skip
    measured = f"{duration(time.value)} (resolution {duration(time.resolution)})"
    late = Verdict.REFUTED if time.earliest > objective else Verdict.INCONCLUSIVE
    return Finding(label, Verdict.HELD if time.latest <= objective else late, expected, measured, evidence, figures)


@dataclass(frozen=True, slots=True)
class Interval:
    """A measured duration: the value, and the bounds between which the truth lies."""

    value: timedelta
    earliest: timedelta
    latest: timedelta

    @property
    def resolution(self) -> timedelta:
        return self.latest - self.earliest


def interval(fault: Event, wait: Event) -> Interval:
    """From the acceptance of `fault` to the moment at which what was awaited became true.

    A wait that does not know when it was last otherwise bounds nothing from below: the truth may be zero.
    """

    def us(value: Any) -> timedelta:
        return timedelta(microseconds=value)

    accepted, sent = us(fault.data["accepted_us"]), us(fault.data["sent_us"])
    met = us(wait.data["met_us"])
    not_before = us(wait.data["not_before_us"]) if wait.data["not_before_us"] is not None else accepted
    nothing = timedelta(0)
    return Interval(max(met - accepted, nothing), max(not_before - accepted, nothing), met - sent)
