"""Was anything harmed that no fault had declared?

Here belongs comparing two censuses (see `harness.probes.census`) by what the faults said they would touch.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase
from typing import Any

from harness.core.checks.check import Check
from harness.core.text import some
from harness.core.timeline import History
from harness.core.verdict import Finding, Verdict

Census = Mapping[str, Mapping[str, Any]]


def stayed_within_blast_radius() -> Check:
    """Whatever no fault touches kept its UID and its containers' restarts: not deleted, not recreated, not restarted.

    Touched is what fits a declared pattern, what such an object owns, and what ran on a touched Node. What is new is
    no harm. Two censuses are needed: one before the first fault, one at the end.
    """
    claim = "nothing outside the blast radius was harmed"
    expected = "the same objects, none of them restarted"

    def judge(history: History) -> Finding:
        fault = history.first("fault.injected")
        taken = [e for e in history.of("observed") if e.data["reading"] == "census"]
        before = [e for e in taken if fault and e.seq < fault.seq]
        after = [e for e in taken if fault and e.seq > fault.seq]
        if not before or not after:
            found = f"{len(before)} before, {len(after)} after"
            return Finding(claim, Verdict.INCONCLUSIVE, "a census before the fault and one at the end", found)
        patterns = sorted({p for e in history.of("fault.injected") for p in e.data.get("touches") or ()})
        old, new = before[-1].data["value"], after[-1].data["value"]
        spared = old.keys() - touched(old, patterns)
        evidence = (before[-1].seq, after[-1].seq)
        if not old:
            return Finding(claim, Verdict.INCONCLUSIVE, "at least one object before the fault", "none", evidence)
        figures = {"objects": float(len(old)), "outside_blast_radius": float(len(spared))}
        harmed = [f"{name} was {how}" for name in sorted(spared) if (how := _harm(old[name], new.get(name)))]
        if harmed:
            return Finding(claim, Verdict.REFUTED, expected, some(harmed), evidence, figures)
        where = some(patterns, 3) or "an empty blast radius"
        told = f"{len(spared)} of {len(old)} objects are outside of {where}: none was harmed"
        return Finding(claim, Verdict.HELD, expected, told, evidence, figures)

    return Check(claim, judge)


def touched(census: Census, patterns: Iterable[str]) -> set[str]:
    """The identities that a fault with these patterns may harm."""
    wanted = tuple(patterns)
    found = {name for name in census if any(fnmatchcase(name, pattern) for pattern in wanted)}
    nodes = {name.removeprefix("Node ") for name in found if name.startswith("Node ")}
    found |= {name for name, item in census.items() if item.get("node") in nodes}
    while True:
        owners = {census[name]["uid"] for name in found}
        more = {name for name, item in census.items() if item.get("owner") in owners} - found
        if not more:
            return found
        found |= more


def _harm(old: Mapping[str, Any], new: Mapping[str, Any] | None) -> str:
    if new is None:
        return "deleted"
    if new["uid"] != old["uid"]:
        return "recreated"
    more = int(new.get("restarts") or 0) - int(old.get("restarts") or 0)
    return f"restarted {more} times" if more > 0 else ""
