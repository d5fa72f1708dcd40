"""Metrics: the figures of a run for a Prometheus that reads files or is pushed to.

Here belong the names of the metrics and their text. It is OpenMetrics, kept to gauges so that the older Prometheus text
format reads it too (a textfile collector does). Facts: OpenMetrics 1.0, "Overall Structure", "Escaping".
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta

from harness.core.verdict import Verdict
from harness.report.model import DrillReport, RunReport
from harness.report.words import clean

Sample = tuple[Mapping[str, str], float]


def render(run: RunReport) -> str:
    """One family after the other, each with its type, unit and meaning; what was not measured has no sample."""
    families = [
        _family("drill_run_timestamp_seconds", "seconds", "when the run began, seconds since 1970", _begun(run)),
        _family("drill_run_information", "", "always 1; the labels say which run this is", [(_which(run), 1.0)]),
        _family("drill_run_verdict", "", "1 for the verdict of the whole run, 0 for the others",
                [({"verdict": v.value}, float(run.verdict is v)) for v in Verdict]),
        _family("drill_verdict", "", "1 for the verdict of the drill, 0 for the others",
                [(_labels(d) | {"verdict": v.value}, float(d.verdict is v)) for d in run.drills for v in Verdict]),
        *(_family(name, unit, meaning, _samples(run, name)) for name, unit, meaning in _MEASURED),
        _family("drill_phase_seconds", "seconds", "how long a phase took, the longest of its name", _phases(run)),
    ]  # fmt: skip
    return "".join(f for f in families if f) + "# EOF\n"


_MEASURED = (
    ("drill_recovery_seconds", "seconds", "from the acceptance of the fault to the state that then held"),
    ("drill_resolution_seconds", "seconds", "width of the interval in which the recovery time lies"),
    ("drill_objective_seconds", "seconds", "the recovery time that was promised"),
    ("drill_duration_seconds", "seconds", "from the beginning of the drill to its end"),
    ("drill_acknowledged_writes", "", "writes that were acknowledged before the loss"),
    ("drill_lost_writes", "", "acknowledged writes that were not there afterwards"),
    ("drill_lost_oldest_age_seconds", "seconds", "age of the oldest lost write when the fault struck"),
    ("drill_objects_missing", "", "objects that were there before the fault and did not come back"),
    ("drill_objects_not_in_git", "", "objects, before the fault, that Git alone would not bring back"),
)


def _samples(run: RunReport, name: str) -> list[Sample]:
    values = ((d, _values(d).get(name)) for d in run.drills)
    return [(_labels(d), value) for d, value in values if value is not None]


def _values(drill: DrillReport) -> dict[str, float]:
    found: dict[str, float] = {}

    def put(name: str, value: float | timedelta | None) -> None:
        if value is not None:
            found[name] = value.total_seconds() if isinstance(value, timedelta) else float(value)

    recovery = None if drill.twin_of else drill.recovery  # of a story that is not meant to recover it says nothing
    put("drill_recovery_seconds", recovery.value if recovery else None)
    put("drill_resolution_seconds", recovery.resolution if recovery else None)
    put("drill_objective_seconds", drill.objective)
    put("drill_duration_seconds", drill.history.events[-1].at if drill.history.events else None)
    if drill.written is not None:
        put("drill_acknowledged_writes", drill.written.acknowledged)
        put("drill_lost_writes", drill.written.lost)
        put("drill_lost_oldest_age_seconds", drill.written.oldest if drill.written.lost else None)
    put("drill_objects_missing", len(drill.missing) if drill.inventory else None)
    put("drill_objects_not_in_git", len(drill.loss_list) if drill.loss_list else None)
    return found


def _phases(run: RunReport) -> list[Sample]:
    found: list[Sample] = []
    for drill in run.drills:
        longest: dict[str, float] = {}
        for span in drill.phases:
            name = clean(span.name, 60)
            longest[name] = max(longest.get(name, 0.0), span.length.total_seconds())
        found += [(_labels(drill) | {"phase": name}, value) for name, value in longest.items()]
    return found


def _begun(run: RunReport) -> list[Sample]:
    try:
        at = datetime.fromisoformat(str(run.facts.get("begun"))).timestamp()
    except (ValueError, OverflowError):
        return []
    return [({}, at)]


def _which(run: RunReport) -> dict[str, str]:
    """The run, in the labels of one sample only: in all of them, every run would begin new series."""
    facts = {key: run.facts.get(key) for key in ("harness", "repository", "images")}
    told = {key: value if isinstance(value, Mapping) else {} for key, value in facts.items()}
    return {"run": clean(run.run_id, 60), "harness": clean(told["harness"].get("commit", ""), 60),
            "revision": clean(told["repository"].get("head", ""), 60),
            "images": clean(told["images"].get("source", ""), 60)}  # fmt: skip


def _labels(drill: DrillReport) -> dict[str, str]:
    return {"drill": clean(drill.name, 200), "profile": clean(drill.profile, 40),
            "blast_radius": clean(drill.blast_radius, 40), "twin": "true" if drill.twin_of else "false"}  # fmt: skip


def _family(name: str, unit: str, meaning: str, samples: Iterable[Sample]) -> str:
    """Nothing for a family without samples. Of samples with the same labels the last one counts: there may be one."""
    lines = {_line_head(name, labels): value for labels, value in samples if math.isfinite(value)}
    if not lines:
        return ""
    head = [f"# TYPE {name} gauge"] + ([f"# UNIT {name} {unit}"] if unit else []) + [f"# HELP {name} {meaning}"]
    return "\n".join([*head, *(f"{line} {_number(value)}" for line, value in lines.items())]) + "\n"


def _line_head(name: str, labels: Mapping[str, str]) -> str:
    told = ",".join(key + '="' + _escaped(value) + '"' for key, value in labels.items())
    return f"{name}{{{told}}}" if told else name


def _number(value: float) -> str:
    return str(int(value)) if value.is_integer() and abs(value) < 1e15 else repr(value)


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')
