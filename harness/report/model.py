"""What a report says, built from stored files alone.

Here belong `DrillReport` and `RunReport` and how they are made of `plan.json`, `timeline.jsonl`, `findings.json` and
`run.json`. Reading those files does not belong here, nor does any markup: renderers are the modules beside this one.
Whatever a stored file lacks, or has too much of, a report can be made: a run that died early needs one most.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

from harness.core.checks import interval
from harness.core.text import duration, parse_duration
from harness.core.timeline import Event, History
from harness.core.verdict import Finding, Verdict, join
from harness.report import anatomy
from harness.report import spans as readings
from harness.report.anatomy import Moment, Path
from harness.report.spans import NodeStory, Span

NO_PATH = Path(())


@dataclass(frozen=True, slots=True)
class Recovery:
    """A measured recovery time. The truth lies between `earliest` and `latest`."""

    value: timedelta
    earliest: timedelta
    latest: timedelta
    objective: timedelta | None
    at: timedelta | None  # its end, on the timeline
    claim: str
    since: str = ""  # the fault that it counts from, where that is not the first

    @property
    def resolution(self) -> timedelta:
        return self.latest - self.earliest

    @property
    def share(self) -> float | None:
        """Of the objective; 1.0 is all of it."""
        return self.value / self.objective if self.objective else None


@dataclass(frozen=True, slots=True)
class Written:
    """What became of the writes that were acknowledged before the loss."""

    acknowledged: int
    lost: int
    oldest: timedelta  # age of the oldest lost one, at the loss


@dataclass(frozen=True, slots=True)
class DrillReport:
    """One drill. Of a twin, `verdict` says whether its sabotage was caught, `story` what its story came to."""

    name: str
    promise: str
    blast_radius: str
    verdict: Verdict
    plan: Mapping[str, Any]
    history: History
    findings: tuple[Finding, ...]
    objective: timedelta | None = None
    timing: str = ""
    twin_of: str = ""
    story: str = ""
    story_findings: tuple[Finding, ...] = ()  # of a twin: what its story was found to be
    recovery: Recovery | None = None
    phases: tuple[Span, ...] = ()
    faults: tuple[Span, ...] = ()
    waits: tuple[Span, ...] = ()
    nodes: tuple[NodeStory, ...] = ()
    moments: tuple[Moment, ...] = ()
    undisturbed: tuple[str, ...] = ()
    states: tuple[Span, ...] = ()
    path: Path = NO_PATH
    slowest_object: str = ""
    gaps: tuple[Span, ...] = ()
    heartbeats: int = 0
    missing: tuple[str, ...] = ()
    added: tuple[str, ...] = ()
    inventory: tuple[int, int] | None = None
    written: Written | None = None
    loss_list: tuple[tuple[str, str], ...] = ()
    chain: tuple[tuple[str, str], ...] = ()  # why it did not converge, from the application to the cause
    reasons: tuple[str, ...] = ()
    folder: str = ""  # its name within the run folder
    artifacts: tuple[tuple[str, int], ...] = ()  # collected files below the drill's folder, with their size in bytes

    @property
    def profile(self) -> str:
        """The name of the timing profile alone."""
        return self.timing.partition(" ")[0] or "unknown"

    @property
    def fault_at(self) -> timedelta | None:
        return anatomy.fault_at(self.history)

    @property
    def without(self) -> timedelta | None:
        """How long it was waited for a recovery that did not come; None when it came or was not waited for."""
        fault = self.fault_at
        lost = [s for s in self.states if s.name == "lost"]
        return lost[-1].end - fault if lost and fault is not None else None

    @property
    def title(self) -> str:
        """The name without what every name begins with."""
        return self.name.removeprefix("test_")

    @property
    def subject(self) -> str:
        """What the file that it is written in is about: `cluster loss` for scenarios/test_cluster_loss.py."""
        file = str(self.plan.get("scenario") or "").partition("::")[0].rpartition("/")[2]
        return file.removesuffix(".py").removeprefix("test_").removeprefix("sabotage_").replace("_", " ")

    @property
    def lost(self) -> tuple[str, ...]:
        """What was lost, in a few words each; empty where nothing was, or where it was not looked at."""
        told = []
        if self.written is not None and self.written.lost:
            oldest = f", the oldest {duration(self.written.oldest)} old" if self.written.oldest else ""
            told.append(f"{self.written.lost} of {self.written.acknowledged} writes{oldest}")
        if self.missing:
            told.append(f"{len(self.missing)} {'object' if len(self.missing) == 1 else 'objects'}")
        return tuple(told)


@dataclass(frozen=True, slots=True)
class RunReport:
    """One run: its facts (run.json), its drills in the order they ran, and what happened outside of them."""

    facts: Mapping[str, Any]
    drills: tuple[DrillReport, ...]
    history: History = field(default_factory=lambda: History(()))

    @property
    def run_id(self) -> str:
        return str(self.facts.get("run_id", "unknown"))

    @property
    def verdict(self) -> Verdict:
        return join(d.verdict for d in self.drills)

    @property
    def deviations(self) -> tuple[str, ...]:
        """What differed from the standard set-up, each once, as run.json tells it."""
        stored = self.facts.get("deviations")
        told = [str(d) for d in stored] if isinstance(stored, list | tuple) else []
        return tuple(dict.fromkeys(told))

    @property
    def stories(self) -> tuple[DrillReport, ...]:
        return tuple(d for d in self.drills if not d.twin_of)

    @property
    def twins(self) -> tuple[DrillReport, ...]:
        return tuple(d for d in self.drills if d.twin_of)


def build_run(facts: Mapping[str, Any], drills: Iterable[DrillReport], history: History | None = None) -> RunReport:
    """The report of a run. `history` is the run's own timeline: preparation and teardown."""
    timing = facts.get("timing")
    known = str(timing) if timing else ""
    return RunReport(facts, tuple(d if d.timing else replace(d, timing=known) for d in drills), history or History(()))


def build_drill(plan: Mapping[str, Any], history: History, findings: Mapping[str, Any]) -> DrillReport:
    """The report of one drill, from what `effects.store.load_drill` returns. Unknown content never stops it."""
    begun = history.first("drill.begun")
    told = begun.data if begun else {}
    judged = _findings(findings.get("findings"))
    verdict = _verdict(findings.get("verdict"), judged)
    spans, met = anatomy.phases(history), anatomy.moments(history)
    objective = _objective(plan)
    recovery = _recovery(judged, history, objective)
    story = history.last("twin.story")
    both = anatomy.inventories(history)
    told_findings = (*judged, *_findings([dict(e.data) for e in history.of("finding")]))
    return DrillReport(
        name=str(plan.get("name") or findings.get("name") or (begun.subject if begun else "unnamed drill")),
        promise=str(plan.get("promise") or told.get("promise") or ""),
        blast_radius=str(plan.get("blast_radius") or told.get("blast_radius") or "unknown"),
        verdict=verdict, plan=plan, history=history, findings=judged,
        objective=objective or (recovery.objective if recovery else None),
        timing=str(plan.get("timing") or told.get("timing") or ""), twin_of=str(plan.get("twin_of") or ""),
        story=str(story.data.get("verdict", "")) if story else "", recovery=recovery,
        story_findings=_findings([dict(e.data) for e in history.of("finding") if story and e.seq < story.seq]),
        phases=spans, moments=met, states=anatomy.states(history), undisturbed=anatomy.undisturbed(history, met),
        faults=readings.faults(history), waits=readings.waits(history), nodes=readings.nodes(history),
        written=_written(told_findings), loss_list=readings.loss_list(history), chain=readings.chain(history),
        path=anatomy.critical_path(history, spans), gaps=anatomy.gaps(history),
        slowest_object=anatomy.slowest_object(history),
        heartbeats=len(history.of("heartbeat")),
        missing=tuple(sorted(both[0] - both[1])) if both else (),
        added=tuple(sorted(both[1] - both[0])) if both else (),
        inventory=(len(both[0]), len(both[1])) if both else None,
        reasons=_reasons(judged, history, findings),
    )  # fmt: skip


def _findings(records: Any) -> tuple[Finding, ...]:
    found: list[Finding] = []
    for record in records if isinstance(records, list) else ():
        try:
            found.append(Finding.from_record(record))
        except (KeyError, TypeError, ValueError) as error:
            found.append(Finding("a readable finding", Verdict.INCONCLUSIVE, "a finding", f"{record!r}: {error!r}"))
    return tuple(found)


def _verdict(stored: Any, judged: tuple[Finding, ...]) -> Verdict:
    try:
        return Verdict(stored)
    except ValueError:
        return join(f.verdict for f in judged)


def _objective(plan: Mapping[str, Any]) -> timedelta | None:
    seconds = plan.get("objective_s")
    if isinstance(seconds, int | float) and not isinstance(seconds, bool):
        return timedelta(seconds=seconds)
    try:
        return parse_duration(str(plan["objective"]))
    except (KeyError, ValueError):
        return None


def _recovery(judged: tuple[Finding, ...], history: History, objective: timedelta | None) -> Recovery | None:
    """The figure of the worst finding that has one. A twin's own has none: its story's findings are events."""
    told = _findings([dict(e.data) for e in history.of("finding")])
    for source in (judged, told):
        timed = [f for f in source if "recovery_s" in f.figures]
        if timed:
            worst = join(f.verdict for f in timed)
            return _measured(next(f for f in timed if f.verdict is worst), history, objective)
    return None


def _measured(finding: Finding, history: History, objective: timedelta | None) -> Recovery:
    value = timedelta(seconds=_figure(finding, "recovery_s"))
    width = timedelta(seconds=_figure(finding, "resolution_s"))
    goal = timedelta(seconds=_figure(finding, "objective_s")) if "objective_s" in finding.figures else objective
    cited = [e for e in history if e.seq in finding.evidence]
    fault = next((e for e in cited if e.kind == "fault.injected"), None)
    wait = next((e for e in cited if e.kind == "until.ended"), None)
    try:
        if fault is not None and wait is not None:
            # The figures may rest on more than the wait that is cited: every phase of a recovery bounds it.
            exact, accepted = interval(fault, wait), timedelta(microseconds=fault.data["accepted_us"])
            latest = value + exact.latest - exact.value
            first = history.first("fault.injected")
            since = fault.subject if first is not None and first.seq != fault.seq else ""
            earliest, end = max(latest - width, timedelta(0)), accepted + value
            return Recovery(value, earliest, latest, goal, end, finding.claim, since)
    except (KeyError, TypeError):
        pass  # an older or foreign timeline: the figures stand alone
    return Recovery(value, max(value - width, timedelta(0)), value, goal, None, finding.claim)


def _written(findings: Iterable[Finding]) -> Written | None:
    """The figures of the finding that lost most, where writes were counted."""
    found = [
        (_figure(f, "lost_writes"), _figure(f, "acknowledged_writes"), _figure(f, "oldest_lost_age_s"))
        for f in findings
        if "lost_writes" in f.figures
    ]
    if not found:
        return None
    lost, acknowledged, oldest = max(found)
    return Written(int(acknowledged), int(lost), timedelta(seconds=oldest))


def _figure(finding: Finding, name: str) -> float:
    """A figure that can be shown and, taken as seconds, be a duration; 0 for anything else."""
    value = finding.figures.get(name, 0.0)
    plain = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if plain and 0 <= value < 1e9 else 0.0


def _reasons(judged: tuple[Finding, ...], history: History, findings: Mapping[str, Any]) -> tuple[str, ...]:
    """Why the verdict is not HELD, and what taints it."""
    told = [f.sentence() for f in judged if f.verdict is not Verdict.HELD]
    if not findings:
        told.append("no findings were written: the run ended before this drill was judged")
    elif not judged:
        told.append("nothing was judged")
    if history.truncated:
        told.append("the timeline is cut off in the middle of a line: what came after it is lost")
    told += [f"{e.subject} could not be undone: {e.data.get('error', '')}" for e in _failed_heals(history)]
    return tuple(told)


def _failed_heals(history: History) -> tuple[Event, ...]:
    return history.of("heal.failed")
