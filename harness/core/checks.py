"""Pure judges: a history in, a finding out.

Here belong the claims a drill can make. Each is a function that returns a `Check`; nothing here asks a cluster, a clock
or a disk, so that any stored run can be judged again. What a judge may read is only what the timeline holds.

Events read here (written by `harness.drill` and `harness.gitops.platform`):
  drill.begun       promise, blast_radius
  fault.injected    sent_us, accepted_us (monotonic, on the timeline): when it was asked for, when it was accepted
  fault.confirmed   state, actual
  until.ended       state, expected, actual, met_us, not_before_us, flaps, within_s, waited_s
  observed          reading (name), value
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from harness.core.drift import difference
from harness.core.text import duration
from harness.core.timeline import Event, History
from harness.core.verdict import Finding, Verdict


@dataclass(frozen=True, slots=True)
class Check:
    """A claim and the judge that decides it."""

    claim: str
    judge: Callable[[History], Finding]

    def __call__(self, history: History) -> Finding:
        """Judge. A judge that throws says INCONCLUSIVE with its error: never a pass, never a crash."""
        try:
            return self.judge(history)
        except Exception as error:  # noqa: BLE001 - one of the three named places: a broken judge must not look like a verdict
            return Finding(self.claim, Verdict.INCONCLUSIVE, "a judgement", f"the judge failed: {error!r}")


def fault_landed() -> Check:
    """Every fault that was injected was also seen to have landed. A drill without a fault proves nothing."""
    claim = "the fault landed"

    def judge(history: History) -> Finding:
        injected = history.of("fault.injected")
        if not injected:
            return Finding(claim, Verdict.INCONCLUSIVE, "a fault", "none was injected")
        confirmations = [_confirmation(history, e) for e in injected]
        confirmed = [e for e in confirmations if e is not None]
        missing = [e.subject for e, answer in zip(injected, confirmations, strict=True) if answer is None]
        evidence = tuple(e.seq for e in (*injected, *confirmed))
        if missing:
            return Finding(
                claim, Verdict.INCONCLUSIVE, "every fault confirmed", f"not confirmed: {', '.join(missing)}", evidence
            )
        return Finding(
            claim,
            Verdict.HELD,
            "every fault confirmed",
            "; ".join(e.data["actual"] for e in confirmed),
            evidence,
        )

    return Check(claim, judge)


def _confirmation(history: History, injected: Event) -> Event | None:
    """The answer to this injection, if it was MET: the first that follows, not one to an earlier fault of that name."""
    answers = [e for e in history.of("fault.confirmed", injected.subject) if e.seq > injected.seq]
    return answers[0] if answers and answers[0].data["state"] == "MET" else None


def waits_ended_met() -> Check:
    """Every wait of the drill ended as asked. One that ran out of patience after the fault is a broken promise.

    One that ran out of patience before any fault proves nothing: the steady state was not there.
    """
    claim = "what was waited for came"

    def judge(history: History) -> Finding:
        ended = history.of("until.ended")
        if not ended:
            return Finding(claim, Verdict.INCONCLUSIVE, "at least one wait", "nothing was waited for")
        failed = [e for e in ended if e.data["state"] != "MET"]
        if failed:
            first, fault = failed[0], history.first("fault.injected")
            harmed = fault is not None and fault.seq < first.seq
            why = (f"{first.data['actual']}, which waiting does not mend" if first.data["state"] == "BROKEN"
                   else f"{first.data['actual']} after {first.data['within_s']:g} s of patience")  # fmt: skip
            return Finding(claim, Verdict.REFUTED if harmed else Verdict.INCONCLUSIVE,
                           f"{first.subject}: {first.data['expected']}", why, (first.seq,))  # fmt: skip
        return Finding(
            claim, Verdict.HELD, "every wait MET", f"{len(ended)} of {len(ended)} MET", tuple(e.seq for e in ended)
        )

    return Check(claim, judge)


def recovered_within(objective: timedelta, *, when: str = "") -> Check:
    """The time from the fault's acceptance to the start of the state that then held is within `objective`.

    `when` is the beginning of the awaited subject (such as `healed`); by default the last wait counts. The time is an
    interval: its width is the resolution, and an objective inside it is INCONCLUSIVE, not a pass. So is a state that
    was there before the fault and never lost, and a wait that was given up before the objective had passed.
    """
    label = f"{when} within {duration(objective)}" if when else f"recovered within {duration(objective)}"

    def judge(history: History) -> Finding:
        fault = history.first("fault.injected")
        expected = f"at most {duration(objective)}"
        waits = [e for e in history.of("until.ended") if fault and e.seq > fault.seq and e.subject.startswith(when)]
        if fault is None or not waits:
            return Finding(label, Verdict.INCONCLUSIVE, expected, "no fault, or no awaited recovery after it")
        return _judged(label, expected, objective, fault, waits[-1])

    return Check(label, judge)


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


def everything_came_back(*, at_least: int | None = None) -> Check:
    """The same kinds, names and specs as before the loss. `at_least` is the number of objects that Git promises."""
    claim = "everything in Git came back as it was"

    def judge(history: History) -> Finding:
        readings = [e for e in history.of("observed") if e.data["reading"] == "inventory"]
        fault = history.first("fault.injected")
        earlier = [e for e in readings if fault and e.seq < fault.seq]
        later = [e for e in readings if fault and e.seq > fault.seq]
        if not earlier or not later:
            return Finding(claim, Verdict.INCONCLUSIVE, "an inventory before the fault and one after",
                           f"{len(earlier)} before, {len(later)} after")  # fmt: skip
        before, after = earlier[-1], later[-1]
        old: Mapping[str, Any] = before.data["value"]
        new: Mapping[str, Any] = after.data["value"]
        evidence = (before.seq, after.seq)
        figures = {"objects_before": float(len(old)), "objects_after": float(len(new))}
        expected = f"{len(old)} objects as before"
        if not old or (at_least is not None and len(old) < at_least):
            return Finding(
                claim,
                Verdict.INCONCLUSIVE,
                f"at least {at_least or 1} objects before the loss",
                f"{len(old)}",
                evidence,
                figures,
            )
        missing = tuple(sorted(old.keys() - new.keys()))
        changed = tuple(f"{ref} at {changes[0].path}" for ref in sorted(old.keys() & new.keys())
                        if (changes := difference(old[ref], new[ref])))  # fmt: skip
        if missing or changed:
            parts = [f"{len(missing)} missing: {_some(missing)}"] if missing else []
            parts += [f"{len(changed)} changed: {_some(changed)}"] if changed else []
            return Finding(claim, Verdict.REFUTED, expected, "; ".join(parts), evidence, figures)
        return Finding(
            claim, Verdict.HELD, expected, f"{len(new)} objects, the same kinds, names and specs", evidence, figures
        )

    return Check(claim, judge)


def _some(names: tuple[str, ...], limit: int = 5) -> str:
    more = f" and {len(names) - limit} more" if len(names) > limit else ""
    return ", ".join(names[:limit]) + more
