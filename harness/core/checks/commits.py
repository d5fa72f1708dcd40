"""What commits did, and what they did not do.

Here belong claims about pushes: how long each took to be noticed, what was left alone, what was removed. How long
recovery took is `harness.core.checks.recovery`.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from statistics import median
from typing import Any

from harness.core.checks.check import Check
from harness.core.checks.recovery import Interval, interval
from harness.core.text import duration, some
from harness.core.timeline import Event, History
from harness.core.verdict import Finding, Verdict


def every_push_within(objective: timedelta, *, when: str = "seen") -> Check:
    """Every push was `when` (the beginning of the awaited subject) within `objective`; the distribution as figures.

    Each time is an interval from the acceptance of that push. One whose interval holds the objective is INCONCLUSIVE,
    and so is a push after which nothing of that name was awaited.
    """
    claim = f"every push {when} within {duration(objective)}"
    expected = f"at most {duration(objective)} each"

    def judge(history: History) -> Finding:
        pushes = [e for e in history.of("fault.injected") if dict(e.data.get("detail") or {}).get("sha")]
        waits = [_wait_after(history, push, pushes, when) for push in pushes]
        evidence = tuple(e.seq for pair in zip(pushes, waits, strict=True) for e in pair if e is not None)
        unawaited = [push.subject for push, wait in zip(pushes, waits, strict=True) if wait is None]
        if not pushes or unawaited:
            found = f"not awaited after {some(unawaited)}" if pushes else "nothing was pushed"
            return Finding(claim, Verdict.INCONCLUSIVE, f"{expected}, awaited after every push", found, evidence)
        lost = [w for w in waits if w is not None and w.data["state"] != "MET"]
        if lost:
            return Finding(claim, Verdict.REFUTED, expected, f"{lost[0].subject}: {lost[0].data['actual']}", evidence)
        times = [interval(push, wait) for push, wait in zip(pushes, waits, strict=True) if wait is not None]
        return _distribution(claim, expected, objective, times, evidence)

    return Check(claim, judge)


def _wait_after(history: History, push: Event, pushes: list[Event], when: str) -> Event | None:
    """The wait that follows a push, before the next one."""
    following = min((p.seq for p in pushes if p.seq > push.seq), default=None)
    waits = (e for e in history.of("until.ended") if e.subject.startswith(when) and e.seq > push.seq)
    return next((e for e in waits if following is None or e.seq < following), None)


def _distribution(
    claim: str, expected: str, objective: timedelta, times: list[Interval], evidence: tuple[int, ...]
) -> Finding:
    values = sorted(t.value for t in times)
    middle = timedelta(seconds=median(v.total_seconds() for v in values))
    worst = max(t.resolution for t in times)
    figures = {"n": float(len(times)), "min_s": values[0].total_seconds(), "median_s": middle.total_seconds(),
               "max_s": values[-1].total_seconds(), "resolution_s": worst.total_seconds(),
               "objective_s": objective.total_seconds()}  # fmt: skip
    told = (f"{len(times)} pushes: {duration(values[0])} to {duration(values[-1])}, median {duration(middle)} "
            f"(resolution {duration(worst)})")  # fmt: skip
    if any(t.earliest > objective for t in times):
        verdict = Verdict.REFUTED
    else:
        verdict = Verdict.HELD if all(t.latest <= objective for t in times) else Verdict.INCONCLUSIVE
    return Finding(claim, verdict, expected, told, evidence, figures)


def everything_kept_its_version() -> Check:
    """No object in Git was recreated, changed or written to between the readings `versions` before and after.

    Where only the version moved of an object that has a status, that was its own controller, and is no write of ours.
    """
    claim = "every object kept its UID and version"

    def judge(history: History) -> Finding:
        pair = _readings(history)
        if pair is None:
            return _unread(claim, "versions", history)
        before, after = pair
        old, new = before.data["value"]["objects"], after.data["value"]["objects"]
        evidence = (before.seq, after.seq)
        figures = {"objects": float(len(old))}
        expected = f"{len(old)} objects as before"
        if not old:
            return Finding(claim, Verdict.INCONCLUSIVE, "at least one object", "none was read", evidence, figures)
        harmed = [f"{name} was {how}" for name in sorted(old) if (how := _written(old[name], new.get(name)))]
        if harmed:
            return Finding(claim, Verdict.REFUTED, expected, some(harmed), evidence, figures)
        same = sum(old[name]["version"] == new[name]["version"] for name in old)
        figures["same_version"] = float(same)
        told = f"{len(old)} objects with their UID and content, {same} of them without any write"
        return Finding(claim, Verdict.HELD, expected, told, evidence, figures)

    return Check(claim, judge)


def _written(old: Mapping[str, Any], new: Mapping[str, Any] | None) -> str:
    if new is None:
        return "deleted"
    if new["uid"] != old["uid"]:
        return "recreated"
    if new["content"] != old["content"]:
        return "changed"
    return "" if new["version"] == old["version"] or old["has_status"] else "written to"


def no_sync_was_started() -> Check:
    """Between the readings `versions` before and after, Argo CD began no sync and wrote no history."""
    claim = "no sync was started"

    def judge(history: History) -> Finding:
        pair = _readings(history)
        if pair is None:
            return _unread(claim, "versions", history)
        before, after = pair
        old, new = before.data["value"]["applications"], after.data["value"]["applications"]
        evidence = (before.seq, after.seq)
        figures = {"applications": float(len(old))}
        expected = f"the last sync and the history of {len(old)} Applications as before"
        if not old:
            return Finding(claim, Verdict.INCONCLUSIVE, "at least one Application", "none was read", evidence)
        moved = [name for name in sorted(old) if old[name] != new.get(name)]
        if moved:
            told = f"{moved[0]}: last sync {_sync(old[moved[0]])}, then {_sync(new.get(moved[0]))}"
            return Finding(claim, Verdict.REFUTED, expected, told, evidence, figures)
        return Finding(claim, Verdict.HELD, expected, f"{len(old)} Applications without a new sync", evidence, figures)

    return Check(claim, judge)


def _sync(entry: Mapping[str, Any] | None) -> str:
    return "none" if entry is None else f"{entry['sync']} with {len(entry['history'])} in its history"


def only_what_left_git_was_pruned() -> Check:
    """The engine's own account of its syncs of the pushed commit names as pruned just what that removed from Git."""
    claim = "just what left Git was pruned"

    def judge(history: History) -> Finding:
        pushes = [e for e in history.of("fault.injected") if dict(e.data.get("detail") or {}).get("removed")]
        sha = pushes[-1].data["detail"]["sha"] if pushes else None
        told = [
            e for e in history.of("observed") if e.data["reading"] == "syncs" and e.data["value"]["revision"] == sha
        ]
        if not pushes or not told or not told[-1].data["value"]["operations"]:
            return Finding(claim, Verdict.INCONCLUSIVE, "a push that removes objects, and a sync of that commit",
                           f"{len(pushes)} such pushes, {len(told)} readings of `syncs` at the last one")  # fmt: skip
        push, reading = pushes[-1], told[-1]
        removed, found = set(push.data["detail"]["removed"]), set(reading.data["value"]["pruned"])
        expected, actual = f"pruned: {some(sorted(removed))}", f"pruned: {some(sorted(found)) or 'nothing'}"
        figures = {"pruned": float(len(found)), "operations": float(reading.data["value"]["operations"])}
        verdict = Verdict.HELD if found == removed else Verdict.REFUTED
        return Finding(claim, verdict, expected, actual, (push.seq, reading.seq), figures)

    return Check(claim, judge)


def _readings(history: History) -> tuple[Event, Event] | None:
    """The last `versions` before the first fault and the first after the last one."""
    readings = [e for e in history.of("observed") if e.data["reading"] == "versions"]
    faults = history.of("fault.injected")
    earlier = [e for e in readings if faults and e.seq < faults[0].seq]
    later = [e for e in readings if faults and e.seq > faults[-1].seq]
    return (earlier[-1], later[0]) if earlier and later else None


def _unread(claim: str, reading: str, history: History) -> Finding:
    found = f"{len([e for e in history.of('observed') if e.data['reading'] == reading])} readings in all"
    return Finding(claim, Verdict.INCONCLUSIVE, f"`{reading}` read before the fault and after it", found)
