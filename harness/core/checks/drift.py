"""What became of a drift: healed when it could be, and not before.

Here belongs judging the engine's self-heal over several drifts, self-heal that was off for a while, and what was put in
by hand. How long one heal took is `harness.core.checks.recovery`.

Events read here, besides those of the package:
  until.ended, require.ended   of `at_rest`, detail: revision, attempt (how many heals in a row it was on that)
  heal.begun                   when we began to undo a fault
  observed                     reading (loss), value: [{identity, why}, ...]
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from harness.core.checks.check import Check
from harness.core.checks.recovery import interval
from harness.core.text import duration, some
from harness.core.timeline import Event, History
from harness.core.verdict import Finding, Verdict

# Argo CD counts from `finishedAt`, which it keeps in whole seconds, rounded down.
ROUNDING = timedelta(seconds=1)


def healed_as_backoff_allows(waits: Sequence[timedelta], *, times: int, allowance: timedelta) -> Check:
    """The same drift, `times` times on one revision: each heal came when the engine's back-off allowed it.

    `waits[n]` is what the engine waits before its heal number n + 1 in a row, counted from the end of the sync before
    it; the last one goes for all that follow. A heal is late when it came more than `allowance` after that (or after
    the drift itself, where that was later), and early when it came before it. It must be the engine's own: its count of
    attempts must have gone up (by more than one where it synced once more, before it saw the effect of its own sync,
    which a back-off would prevent). Raises ValueError without waits.
    """
    if not waits:
        raise ValueError("the engine's waits are needed, at least one")
    claim = "each drift was healed when the back-off allowed it"
    expected = f"{times} heals, each a sync of its own, none early, none later than {duration(allowance)}"

    def judge(history: History) -> Finding:
        rounds = _rounds(history)
        evidence = tuple(e.seq for r in rounds for e in (r.fault, r.wait) if e is not None)
        figures = {f"heal_{n}_s": r.took.total_seconds() for n, r in enumerate(rounds, 1) if r.healed}
        if problems := _problems(rounds, waits, allowance):
            return Finding(claim, Verdict.REFUTED, expected, "; ".join(problems), evidence, figures)
        if len(rounds) < times:
            return Finding(claim, Verdict.INCONCLUSIVE, expected, f"{len(rounds)} drifts", evidence, figures)
        took = ", ".join(duration(r.took) for r in rounds)
        syncs = sum(r.syncs for r in rounds)
        told = f"{len(rounds)} heals on one revision by {syncs} syncs, after {took}"
        return Finding(claim, Verdict.HELD, expected, told, evidence, {**figures, "syncs": float(syncs)})

    return Check(claim, judge)


@dataclass(frozen=True, slots=True)
class _Round:
    """One drift: its fault, its heal, and the Application at rest after it; `before` is how it rested before."""

    fault: Event
    wait: Event | None
    rest: Event | None
    before: Event | None

    @property
    def healed(self) -> bool:
        return self.wait is not None and self.wait.data["state"] == "MET"

    @property
    def took(self) -> timedelta:
        assert self.wait is not None
        return interval(self.fault, self.wait).value

    @property
    def counted(self) -> int | None:
        """The engine's count before it: how many heals there were on this revision. None: its last sync was another."""
        same = _detail(self.before, "revision") == _detail(self.rest, "revision")
        return int(_detail(self.before, "attempt") or 0) if same else None

    @property
    def syncs(self) -> int:
        """How many syncs of the engine there were in this round."""
        now = int(_detail(self.rest, "attempt") or 0)
        return now + 1 if self.counted is None else now - self.counted


def _rounds(history: History) -> list[_Round]:
    faults = history.of("fault.injected")
    resting = [e for kind in ("require.ended", "until.ended") for e in history.of(kind)
               if e.subject.startswith("at_rest(") and e.data["state"] == "MET"]  # fmt: skip
    waits = [e for e in history.of("until.ended") if e.subject.startswith("healed(")]
    found = []
    for fault, end in zip(faults, [*(f.seq for f in faults[1:]), history.events[-1].seq + 1], strict=False):
        wait = next((e for e in waits if fault.seq < e.seq < end), None)
        rest = next((e for e in resting if wait and wait.seq < e.seq < end), None)
        before = [e for e in resting if e.seq < fault.seq]
        found.append(_Round(fault, wait, rest, before[-1] if before else None))
    return found


def _problems(rounds: Sequence[_Round], waits: Sequence[timedelta], allowance: timedelta) -> list[str]:
    said = []
    for number, this in enumerate(rounds, 1):
        if not this.healed:
            said.append(f"drift {number} was not healed")
        elif this.rest is None or this.before is None:
            said.append(f"heal {number}: Argo CD was not seen at rest before and after it")
        elif this.counted is not None and this.syncs < 1:
            said.append(f"heal {number} was no sync of Argo CD: its count of attempts stayed at {this.counted}")
        elif this.counted is None and number > 1:
            said.append(f"heal {number} was at another revision than the one before")
        elif wrong := _timing(this, waits, allowance, first=number == 1):
            said.append(f"heal {number} {wrong}")
    return said


def _timing(this: _Round, waits: Sequence[timedelta], allowance: timedelta, *, first: bool) -> str:
    """What is wrong with when it came, or nothing. All moments are microseconds on the timeline."""
    assert this.wait is not None
    assert this.before is not None
    # A first sync at a revision is no heal, and waits for nothing.
    wait = timedelta(0) if this.counted is None else waits[min(this.counted, len(waits) - 1)]
    ended, ended_not_before = this.before.data["met_us"], this.before.data["not_before_us"]
    came, came_not_before = this.wait.data["met_us"], this.wait.data["not_before_us"]
    due = max(_time(ended) + wait, _time(this.fault.data["accepted_us"]))
    if _time(came_not_before if came_not_before is not None else came) > due + allowance:
        return f"came {duration(_time(came) - due)} after it was due (back-off {duration(wait)})"
    # How long ago the last sync before the drill ended is not known, so that the first heal cannot be called early.
    if not first and ended_not_before is not None and _time(came) < _time(ended_not_before) + wait - ROUNDING:
        return f"came {duration(_time(came) - _time(ended))} after the sync before it (back-off {duration(wait)})"
    return ""


def _detail(rest: Event | None, key: str) -> Any:
    return rest.data["detail"].get(key) if rest else None


def _time(us: Any) -> timedelta:
    return timedelta(microseconds=us)


def resumed_within(objective: timedelta, *, after: str, when: str = "healed") -> Check:
    """From when we began to undo the fault `after` to the state `when`: at most `objective`, and not before.

    `after` and `when` are beginnings of subjects. What was back before the fault was undone is REFUTED: it was not the
    fault that had stood in its way.
    """
    claim = f"{when} within {duration(objective)} of the end of {after}"

    def judge(history: History) -> Finding:
        expected = f"at most {duration(objective)}, and not before"
        undone = next((e for e in history.of("heal.begun") if e.subject.startswith(after)), None)
        waits = [e for e in history.of("until.ended") if e.subject.startswith(when)]
        if undone is None or not waits:
            return Finding(claim, Verdict.INCONCLUSIVE, expected, f"{after} was not undone, or nothing awaited of it")
        wait, evidence = waits[-1], (undone.seq, waits[-1].seq)
        if wait.data["state"] != "MET":
            return Finding(claim, Verdict.REFUTED, expected, f"not so: {wait.data['actual']}", evidence)
        latest = _time(wait.data["met_us"]) - undone.at
        known = wait.data["not_before_us"]
        earliest = max(_time(known) - undone.at if known is not None else timedelta(0), timedelta(0))
        if latest < timedelta(0):
            return Finding(claim, Verdict.REFUTED, expected, f"it was so {duration(-latest)} before that", evidence)
        figures = {"recovery_s": latest.total_seconds(), "resolution_s": (latest - earliest).total_seconds(),
                   "objective_s": objective.total_seconds()}  # fmt: skip
        told = f"{duration(latest)} (resolution {duration(latest - earliest)})"
        late = Verdict.REFUTED if earliest > objective else Verdict.INCONCLUSIVE
        return Finding(claim, Verdict.HELD if latest <= objective else late, expected, told, evidence, figures)

    return Check(claim, judge)


def reported_as_unmanaged(*identities: str) -> Check:
    """What was put in by hand is on the list of what Git would not bring back, and was not there before.

    Identities as in `ConfigMap shop/by-hand`. Needs the reading `loss` before the fault and after it.
    """
    claim = "what was put in by hand is reported"

    def judge(history: History) -> Finding:
        fault = history.first("fault.injected")
        readings = [e for e in history.of("observed") if e.data["reading"] == "loss"]
        before = [e for e in readings if fault and e.seq < fault.seq]
        after = [e for e in readings if fault and e.seq > fault.seq]
        expected = f"{some(identities)} on the loss list since the fault"
        if not identities or not before or not after:
            found = f"{len(before)} lists before, {len(after)} after"
            return Finding(claim, Verdict.INCONCLUSIVE, expected, found)
        old, new = (({i["identity"]: i["why"] for i in e.data["value"]}) for e in (before[-1], after[-1]))
        evidence = (before[-1].seq, after[-1].seq)
        figures = {"listed_before": float(len(old)), "listed_after": float(len(new))}
        wrong = [f"{name} is not on it" for name in identities if name not in new]
        wrong += [f"{name} was on it before" for name in identities if name in old]
        if wrong:
            return Finding(claim, Verdict.REFUTED, expected, some(wrong), evidence, figures)
        told = "; ".join(f"{name}: {new[name]}" for name in identities)
        return Finding(claim, Verdict.HELD, expected, told, evidence, figures)

    return Check(claim, judge)
