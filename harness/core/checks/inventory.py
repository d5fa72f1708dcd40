"""Did everything that Git describes come back as it was?

Here belongs comparing two inventories (see `harness.probes.inventory`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from harness.core.checks.check import Check
from harness.core.drift import difference
from harness.core.text import some
from harness.core.timeline import History
from harness.core.verdict import Finding, Verdict


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
            parts = [f"{len(missing)} missing: {some(missing)}"] if missing else []
            parts += [f"{len(changed)} changed: {some(changed)}"] if changed else []
            return Finding(claim, Verdict.REFUTED, expected, "; ".join(parts), evidence, figures)
        return Finding(
            claim, Verdict.HELD, expected, f"{len(new)} objects, the same kinds, names and specs", evidence, figures
        )

    return Check(claim, judge)
