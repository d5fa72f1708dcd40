"""Did an engine that was interrupted do its work once, and did what it could not see arrive?

Here belong the claims about the GitOps engine itself. See `harness.probes.engine` for what is read.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from harness.core.checks.check import Check
from harness.core.text import duration, some
from harness.core.timeline import Event, History
from harness.core.verdict import Finding, Verdict


def work_done_once(deployment: str, *, jobs: tuple[str, ...] = ()) -> Check:
    """Between the first and the last reading of `work_done`, `deployment` was rolled out exactly once, every other
    Deployment not at all, none was replaced, and each of `jobs` ran exactly once. Names as read: `Deployment shop/api`.
    """
    claim = "what the commit asked for was done once"
    expected = f"one rollout of {deployment}, one run of each of {len(jobs)} jobs, nothing else"

    def judge(history: History) -> Finding:
        taken = [e for e in history.of("observed") if e.data["reading"] == "work done"]
        if len(taken) < 2:
            return Finding(claim, Verdict.INCONCLUSIVE, "a reading before and one after", f"{len(taken)} readings")
        before, after = taken[0], taken[-1]
        told = _more(before.data["value"]["rollouts"], after.data["value"]["rollouts"])
        wrong = [f"{name} {how}" for name, how in told.items() if not (name == deployment and how == ONCE)]
        wrong += [f"{deployment} was not rolled out"] if deployment not in told else []
        seen = [{job: set(e.data["value"]["runs"].get(job, ())) for job in jobs} for e in (before, after)]
        runs = {job: len(seen[1][job] - seen[0][job]) for job in jobs}
        wrong += [f"{job} ran {count} times" for job, count in runs.items() if count != 1]
        evidence = (before.seq, after.seq)
        if wrong:
            return Finding(claim, Verdict.REFUTED, expected, some(wrong), evidence)
        actual = "; ".join([f"{deployment} {ONCE}", *(f"{job} ran once" for job in jobs)])
        return Finding(claim, Verdict.HELD, expected, actual, evidence)

    return Check(claim, judge)


ONCE = "was rolled out once"


def _more(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, str]:
    """What became of each Deployment, where anything did."""
    found: dict[str, str] = {}
    for name, old in before.items():
        new = after.get(name)
        if new is None:
            found[name] = "is gone"
        elif new["uid"] != old["uid"]:
            found[name] = "was replaced by another"
        elif (count := new["rollouts"] - old["rollouts"]) != 0:
            found[name] = ONCE if count == 1 else f"was rolled out {count} times"
    return found


def arrived_within(objective: timedelta, *, when: str, after: str) -> Check:
    """From the healing of the fault whose subject begins with `after`, to the awaited state that begins with `when`.

    The return lies between the beginning and the end of the healing; that, and what the wait does not know, is the
    resolution. A state that was there before the return is INCONCLUSIVE: nothing arrived by it.
    """
    label = f"{when} within {duration(objective)} of the end of {after}"
    expected = f"at most {duration(objective)}"

    def judge(history: History) -> Finding:
        ends = [e for e in history.of("heal.ended") if e.subject.startswith(after)]
        begins = [e for e in history.of("heal.begun") if e.subject.startswith(after)]
        waits = [e for e in history.of("until.ended") if ends and e.seq > ends[0].seq and e.subject.startswith(when)]
        if not ends or not begins or not waits:
            return Finding(label, Verdict.INCONCLUSIVE, expected, f"no healed {after}, or nothing awaited after it")
        return _arrival(label, objective, (begins[0], ends[0]), waits[0])

    return Check(label, judge)


def _arrival(label: str, objective: timedelta, healed: tuple[Event, Event], wait: Event) -> Finding:
    expected, evidence = f"at most {duration(objective)}", (healed[1].seq, wait.seq)
    actual = wait.data["actual"]
    if wait.data["state"] != "MET":
        given = wait.at - healed[0].at
        final = wait.data["state"] == "BROKEN" or given >= objective
        verdict = Verdict.REFUTED if final else Verdict.INCONCLUSIVE
        return Finding(label, verdict, expected, f"not arrived after {duration(given)}: {actual}", evidence)
    met = timedelta(microseconds=wait.data["met_us"])
    if met < healed[0].at:
        return Finding(label, Verdict.INCONCLUSIVE, expected, f"it was so before the return: {actual}", evidence)
    nothing = timedelta(0)
    otherwise = wait.data["not_before_us"]
    earliest = max(timedelta(microseconds=otherwise) - healed[1].at, nothing) if otherwise is not None else nothing
    latest, value = met - healed[0].at, max(met - healed[1].at, nothing)
    figures = {"arrival_s": value.total_seconds(), "resolution_s": (latest - earliest).total_seconds(),
               "objective_s": objective.total_seconds()}  # fmt: skip
    measured = f"{duration(value)} (resolution {duration(latest - earliest)})"
    late = Verdict.REFUTED if earliest > objective else Verdict.INCONCLUSIVE
    return Finding(label, Verdict.HELD if latest <= objective else late, expected, measured, evidence, figures)
