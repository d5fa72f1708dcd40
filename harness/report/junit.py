"""JUnit XML: a testcase for each drill, its figures as properties.

Here belong the names of the figures and the XML. The same figures are attached to pytest's own testcases by the plugin.
"""

from __future__ import annotations

from datetime import timedelta
from xml.etree import ElementTree

from harness.core.verdict import Verdict
from harness.report.model import DrillReport, RunReport
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
        found += [
            ("drill.recovery_s", _seconds(report.recovery.value)),
            ("drill.resolution_s", _seconds(report.recovery.resolution)),
        ]
    if report.inventory is not None:
        found += [
            ("drill.objects_before", str(report.inventory[0])),
            ("drill.objects_after", str(report.inventory[1])),
            ("drill.objects_missing", str(len(report.missing))),
        ]
    if report.written is not None:
        found += [("drill.acknowledged_writes", str(report.written.acknowledged)),
                  ("drill.lost_writes", str(report.written.lost)),
                  ("drill.lost_oldest_age_s", _seconds(report.written.oldest))]  # fmt: skip
    if report.path.steps:
        found.append(("drill.slowest_path", clean(report.path.slowest)))
    found += [(f"drill.phase.{clean(s.name, 60)}_s", _seconds(s.length)) for s in report.phases]
    if report.fault_at is not None:
        found += [(f"drill.{m.what}.{clean(m.name, 60)}_s", _seconds(m.at - report.fault_at)) for m in report.moments]
    return found


def _seconds(value: timedelta) -> str:
    return f"{value.total_seconds():.6g}"


def render(run: RunReport) -> str:
    """JUnit XML: REFUTED is a failure, INCONCLUSIVE an error, HELD a pass; the figures are properties of each case."""
    counts = {v: sum(d.verdict is v for d in run.drills) for v in Verdict}
    suite = ElementTree.Element(
        "testsuite",
        name="drill",
        tests=str(len(run.drills)),
        failures=str(counts[Verdict.REFUTED]),
        errors=str(counts[Verdict.INCONCLUSIVE]),
    )
    for report in run.drills:
        length = report.history.events[-1].at if report.history.events else timedelta(0)
        case = ElementTree.SubElement(
            suite, "testcase", classname="scenarios", name=clean(report.name), time=_seconds(length)
        )
        holder = ElementTree.SubElement(case, "properties")
        for name, value in properties(report):
            ElementTree.SubElement(holder, "property", name=name, value=value)
        if report.verdict is not Verdict.HELD:
            tag = "failure" if report.verdict is Verdict.REFUTED else "error"
            told = [f.sentence() for f in report.findings if f.verdict is not Verdict.HELD]
            ElementTree.SubElement(
                case, tag, message=clean(told[0] if told else report.verdict.value)
            ).text = "\n".join(clean(t, 1000) for t in told)
    suites = ElementTree.Element("testsuites")
    suites.append(suite)
    ElementTree.indent(suites)
    return ElementTree.tostring(suites, encoding="unicode", xml_declaration=True) + "\n"
