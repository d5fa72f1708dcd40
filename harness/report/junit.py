"""Figures for JUnit XML: properties of the testcase that ran a drill.

Here belong names and values. Writing the XML is pytest's own business.
"""

from __future__ import annotations

from datetime import timedelta

from harness.report.model import DrillReport
from harness.report.words import clean


def properties(report: DrillReport) -> list[tuple[str, str]]:
    """Name and value of every figure; durations in seconds. What was not measured is left out."""
    found = [
        ("drill.verdict", report.verdict.value),
        ("drill.profile", clean(report.profile)),
        ("drill.blast_radius", clean(report.blast_radius)),
    ]
    if report.twin_of:
        found.append(("drill.twin_of", clean(report.twin_of)))
    if report.objective is not None:
        found.append(("drill.objective_s", _seconds(report.objective)))
    if report.recovery is not None:
        found += [("drill.recovery_s", _seconds(report.recovery.value)),
                  ("drill.resolution_s", _seconds(report.recovery.resolution))]  # fmt: skip
    if report.inventory is not None:
        found += [("drill.objects_before", str(report.inventory[0])), ("drill.objects_after", str(report.inventory[1])),
                  ("drill.objects_missing", str(len(report.missing)))]  # fmt: skip
    if report.path.steps:
        found.append(("drill.slowest_path", clean(report.path.slowest)))
    found += [(f"drill.phase.{clean(s.name, 60)}_s", _seconds(s.length)) for s in report.phases]
    if report.fault_at is not None:
        found += [(f"drill.{m.what}.{clean(m.name, 60)}_s", _seconds(m.at - report.fault_at)) for m in report.moments]
    return found


def _seconds(value: timedelta) -> str:
    return f"{value.total_seconds():.6g}"
