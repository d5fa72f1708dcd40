"""One drill: binds probes, faults, clock, timeline and checks.

Here belongs `Drill`, the object a scenario talks to. It knows no Kubernetes, no Docker and no pytest: what it is given
are probes, faults and checks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Protocol, TypeVar

from harness.core.checks import Check, fault_landed, stayed_so, stayed_within_blast_radius, waits_ended_met
from harness.core.checks.registry import spec_of
from harness.core.checks.twin import open_end, sabotage_caught
from harness.core.clock import MINUTE, SECOND, Clock
from harness.core.compose import every, patient
from harness.core.errors import (
    ApiRefused,
    ApiUnreachable,
    ConfigError,
    DrillFailed,
    HarnessError,
    InjectFailed,
    NotConverged,
    ObjectiveMissed,
    PreconditionUnmet,
    ProvisionFailed,
    UnsafeTarget,
)
from harness.core.faults import BlastRadius, Fault, Reversible, Sabotage
from harness.core.observation import UNREACHABLE, Observation, Probe, State
from harness.core.text import first_line
from harness.core.timeline import Timeline, phase
from harness.core.verdict import Finding, Verdict, join
from harness.effects.waiting import Outcome, hold, until

F = TypeVar("F", bound=Fault)
R = TypeVar("R", bound="ReversibleFault")
CONFIRMATION = 30 * SECOND  # a fault that has not landed by then did not land
NOTHING = timedelta(0)


class ReversibleFault(Fault, Reversible, Protocol):
    """A fault that we undo."""


class Reading(Protocol):
    """Something that is read once and kept on the timeline."""

    @property
    def name(self) -> str: ...

    def read(self) -> Any:
        """The value; plain data."""


class Rebuildable(Protocol):
    """A system that can be made anew from Git."""

    def rebuild(self) -> None: ...


@dataclass(slots=True)
class _Expectation:
    """What a sabotaged twin must show."""

    claim: str
    naming: str
    sabotage: Sabotage
    patience: timedelta | None


@dataclass(slots=True)
class Drill:
    """One execution of a scenario."""

    name: str
    promise: str
    blast_radius: BlastRadius
    timeline: Timeline
    clock: Clock
    objective: timedelta | None = None
    patience_factor: float = 1.0
    findings: list[Finding] = field(default_factory=list)
    verdict: Verdict | None = None
    census: Reading | None = None  # who is there, to tell who was harmed; None where a drill has no cluster
    answering: Callable[[], bool] = lambda: True  # whether the system can be seen at all, now
    lost: Callable[[], str] = lambda: ""  # why the system cannot come back by itself, asked while one waits
    tainted: str = ""  # why what was drilled must not be used again
    _expected: _Expectation | None = None

    def require(self, *probes: Probe, within: timedelta = 5 * MINUTE) -> None:
        """The steady state that must be MET before injection. Raises PreconditionUnmet, ConfigError without a probe."""
        if not probes:
            raise ConfigError("at least one probe of the steady state", "none", "a drill without one proves nothing")
        for probe in probes:
            outcome = self._wait(probe, within, NOTHING, "require")
            if not outcome.met:
                raise PreconditionUnmet(f"{probe.subject}: {outcome.last.sentence()}")

    def inject(self, fault: F) -> F:
        """Do the harm and prove that it landed. Raises UnsafeTarget (before anything is touched) or InjectFailed."""
        if fault.blast_radius > self.blast_radius:
            raise UnsafeTarget(f"a fault within the declared blast radius ({self.blast_radius.name.lower()})",
                               f"{fault.subject}, which reaches the {fault.blast_radius.name.lower()}",
                               f"declare blast_radius={fault.blast_radius.name.lower()!r} on the scenario")  # fmt: skip
        if not self._harmed:
            self._take_census()
        self.timeline.add("fault.injecting", fault.subject)
        done = fault.inject()
        self.timeline.add("fault.injected", fault.subject, at_ns=done.accepted_ns, what=done.what,
                          sent_us=self._us(done.sent_ns), accepted_us=self._us(done.accepted_ns),
                          touches=list(fault.touches), detail=dict(done.detail or {}))  # fmt: skip
        question = patient(_Confirmation(fault), self.clock)  # the harm may be that the system cannot be reached
        landed = until(question, within=CONFIRMATION, clock=self.clock, poll=timedelta(milliseconds=50))
        self.timeline.add("fault.confirmed", fault.subject, at_ns=landed.last.at_ns, state=landed.last.state.value,
                          actual=landed.last.actual, expected=landed.last.expected)  # fmt: skip
        if not landed.met:
            raise InjectFailed(f"{fault.subject} did not land: {landed.last.sentence()}")
        if self._expected:
            self._expected.sabotage.after_injection()
        return fault

    @contextmanager
    def fault(self, fault: R) -> Iterator[R]:
        """Inject, and heal at the end of the block, whatever happened inside.

        A heal that fails is recorded and taints the system; it never hides the first error. Raises what `inject` does.
        """
        try:
            yield self.inject(fault)
        finally:
            subject = str(getattr(fault, "subject", fault))
            self.timeline.add("heal.begun", subject)
            if self._undone(subject, fault.heal):
                self.timeline.add("heal.ended", subject)

    def hold(self, *probes: Probe, lasting: timedelta) -> Observation:
        """See that every probe is MET now and stays so for `lasting`: what is to be left alone is.

        Raises NotConverged when one is not: the drill has then its own REFUTED finding; HarnessError when that could
        not be seen at the end; before any fault PreconditionUnmet. Raises ConfigError without a probe.
        """
        probe = every(*probes)
        self.timeline.add("hold.begun", probe.subject, lasting_s=lasting.total_seconds())
        with self._answering("hold", probe):
            outcome = hold(probe, lasting=lasting, clock=self.clock, on_change=self._changed, on_beat=self._beat)
        last = outcome.last
        self.timeline.add("hold.ended", probe.subject, state=last.state.value, expected=last.expected,
                          actual=last.actual, lasting_s=lasting.total_seconds(),
                          waited_s=outcome.waited.total_seconds(), detail=self._placed(last.detail))  # fmt: skip
        if outcome.met:
            return last
        told = f"{probe.subject}: {last.sentence()}"
        if not self._harmed:
            raise PreconditionUnmet(told)
        self.judge(())
        raise NotConverged(told) if last.state is State.BROKEN else HarnessError(told)

    def until(self, *probes: Probe, within: timedelta, settle: timedelta = NOTHING) -> Observation:
        """Wait until every probe is MET, and stays so for `settle`.

        Raises NotConverged when patience runs out or the cause is final: the drill has then its own REFUTED finding.
        Before any fault that is no broken promise: PreconditionUnmet; HarnessError where nothing could be seen at the
        end, and no fault of this drill explains that. Raises ConfigError without a probe.
        """
        probe = every(*(patient(p, self.clock) for p in probes))
        outcome = self._wait(probe, within, settle, "until")
        if outcome.met:
            return outcome.last
        told = f"{probe.subject}: {outcome.last.sentence()}"
        if not self._harmed:
            raise PreconditionUnmet(told)
        self.judge(())
        if self.verdict is Verdict.INCONCLUSIVE:
            raise HarnessError(told)
        raise NotConverged(told)

    def observe(self, *readings: Reading) -> None:
        """Read once, and keep what was read on the timeline."""
        for reading in readings:
            self.timeline.add("observed", reading.name, reading=reading.name, value=reading.read())

    def rebuild(self, system: Rebuildable) -> None:
        """Make the system anew from Git alone."""
        with self.phase("rebuild"):
            system.rebuild()

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """A named stretch of time on the timeline."""
        with phase(self.timeline, name):
            yield

    def conclude(self, *checks: Check) -> None:
        """Judge. Raises ObjectiveMissed when a finding is REFUTED, HarnessError when one is INCONCLUSIVE."""
        self.judge(checks)
        if self.verdict is Verdict.REFUTED:
            raise ObjectiveMissed("\n".join(f.sentence() for f in self.findings if f.verdict is Verdict.REFUTED))
        if self.verdict is Verdict.INCONCLUSIVE:
            raise HarnessError("\n".join(f.sentence() for f in self.findings if f.verdict is Verdict.INCONCLUSIVE))

    def judge(self, checks: Sequence[Check]) -> Verdict:
        """Every check on the timeline so far, and always those that every drill owes (see `_owed`)."""
        if self._harmed:
            self._take_census()
        history = self.timeline.history()
        asked = (*self._owed(), *checks)
        self.timeline.add("judging", self.name, checks=[dict(spec_of(check)) for check in asked])
        self.findings = [check(history) for check in asked]
        self.verdict = join(f.verdict for f in self.findings)
        for finding in self.findings:
            self.timeline.add("finding", finding.claim, **finding.to_record())
        return self.verdict

    @contextmanager
    def sabotage(
        self, sabotage: Sabotage, *, expect: str, naming: str = "", patience: timedelta | None = None
    ) -> Iterator[None]:
        """Run a story that must fail: the finding whose claim begins with `expect` must be REFUTED (and name `naming`).

        `patience` shortens the waits of the story after the fault: it cannot succeed, so that nothing is gained by
        waiting as long as for an honest one. Raises ObjectiveMissed when the story passes, or fails for another reason.
        """
        self._expected = _Expectation(expect, naming, sabotage, patience)
        self.timeline.add("sabotage.begun", sabotage.subject, expect=expect, naming=naming)
        try:
            sabotage.begin()
            try:
                yield
            except DrillFailed as failure:
                self._judge_open_end(failure, expect)
            self._conclude_twin()
        finally:
            self._expected = None
            if self._undone(sabotage.subject, sabotage.end):
                self.timeline.add("sabotage.ended", sabotage.subject)

    def _owed(self) -> tuple[Check, ...]:
        held = bool(self.timeline.history().of("hold.ended"))
        counted = self.census is not None and self._harmed
        return (fault_landed(), waits_ended_met(), *([stayed_so()] if held else []),
                *([stayed_within_blast_radius()] if counted else []))  # fmt: skip

    def _take_census(self) -> None:
        if self.census is None:
            return
        try:
            self.observe(self.census)
        except (ApiUnreachable, ApiRefused, ProvisionFailed) as error:  # the check says that one is missing
            self.timeline.add("note", "census", text=f"not taken: {str(error) or repr(error)}")

    def _undone(self, subject: str, undo: Callable[[], None]) -> bool:
        # What was judged stands whatever happens here; an undo that fails is recorded and taints the system.
        try:
            undo()
        except Exception as error:  # noqa: BLE001 - the heal stack: an undo must never hide the first error
            told = str(error) or repr(error)
            self.tainted = self.tainted or f"{subject} could not be undone: {told}"
            self.timeline.add("heal.failed", subject, error=told)
            return False
        return True

    def _judge_open_end(self, failure: DrillFailed, expect: str) -> None:
        """A story that ended in a wait, before its conclusion: judge the claim it would have made of that wait."""
        if not isinstance(failure, NotConverged):
            return
        finding = open_end(self.timeline.history(), expect)
        if finding is not None:
            self.findings.append(finding)
            self.timeline.add("finding", finding.claim, **finding.to_record())

    def _conclude_twin(self) -> None:
        wanted = self._expected
        assert wanted is not None
        told = "; ".join(f"{f.claim}: {f.verdict}" for f in self.findings) or "nothing was judged"
        self.timeline.add("twin.story", wanted.sabotage.subject, verdict=str(self.verdict), findings=told)
        finding = sabotage_caught(self.findings, expect=wanted.claim, naming=wanted.naming)
        self.findings = [finding]
        self.verdict = finding.verdict
        self.timeline.add("finding", finding.claim, **finding.to_record())
        if self.verdict is Verdict.INCONCLUSIVE:
            raise HarnessError(finding.actual)
        if self.verdict is Verdict.REFUTED:
            raise ObjectiveMissed(finding.sentence())

    def _wait(self, probe: Probe, within: timedelta, settle: timedelta, kind: str) -> Outcome:
        if self._expected and self._expected.patience and self._harmed:
            within = min(within, self._expected.patience)
        within *= self.patience_factor
        self.timeline.add(
            f"{kind}.begun", probe.subject, within_s=within.total_seconds(), settle_s=settle.total_seconds()
        )
        with self._answering(kind, probe):
            outcome = until(
                patient(probe, self.clock), within=within, settle=settle, clock=self.clock,
                on_change=self._changed, on_beat=self._beat,
            )  # fmt: skip
        last = outcome.last
        blind = {} if last.met or self.answering() else {UNREACHABLE: True}
        self.timeline.add(
            f"{kind}.ended", probe.subject, at_ns=last.at_ns if last.met else None, state=last.state.value,
            expected=last.expected, actual=last.actual, met_us=self._us(last.at_ns) if last.met else None,
            not_before_us=self._us(last.not_before_ns) if last.met and last.not_before_ns is not None else None,
            flaps=outcome.flaps, within_s=within.total_seconds(), settle_s=settle.total_seconds(),
            waited_s=outcome.waited.total_seconds(), detail=self._placed(last.detail) | blind,
        )  # fmt: skip
        return outcome

    @contextmanager
    def _answering(self, kind: str, probe: Probe) -> Iterator[None]:
        """A probe that cannot answer ends the drill, and the timeline says so: nothing is said of the system."""
        try:
            yield
        except Exception as error:
            self.timeline.add(f"{kind}.failed", probe.subject, error=f"{type(error).__name__}: {first_line(error)}")
            raise

    @property
    def _harmed(self) -> bool:
        return self.timeline.history().first("fault.injected") is not None

    def _changed(self, seen: Observation) -> None:
        self.timeline.add("probe.changed", seen.subject, **seen.to_record())

    def _beat(self, seen: Observation, left: timedelta) -> None:
        self.timeline.add("heartbeat", seen.subject, **seen.to_record(), left_s=left.total_seconds())
        if why := self.lost():
            raise HarnessError(why)

    def _placed(self, detail: Mapping[str, Any]) -> dict[str, Any]:
        """`detail` with its monotonic moments (`*_ns`, alone or by name) as microseconds on the timeline."""
        placed: dict[str, Any] = {}
        for key, value in detail.items():
            if not key.endswith("_ns"):
                placed[key] = value
            elif isinstance(value, Mapping):
                placed[key[:-3]] = {name: self._us(ns) for name, ns in value.items()}
            else:
                placed[key[:-3]] = self._us(value)
        return placed

    def _us(self, monotonic_ns: int) -> int:
        return self.timeline.moment(monotonic_ns) // timedelta(microseconds=1)


class _Confirmation:
    """A fault's own question, as a probe."""

    signal = None

    def __init__(self, fault: Fault) -> None:
        self.subject = f"landed({fault.subject})"
        self.observe: Callable[[], Observation] = fault.confirm


def blast_radius(name: str) -> BlastRadius:
    """The blast radius called `name`. Raises ConfigError."""
    try:
        return BlastRadius[name.upper()]
    except KeyError:
        names = ", ".join(r.name.lower() for r in BlastRadius)
        raise ConfigError(f"a blast radius, one of {names}", repr(name), "correct the drill marker") from None
