"""Is the platform what Git says? The probe over everything that Git describes.

Here belongs the tree: every Application has arrived at the commit, the objects are exactly those of Git, and each is
live and rolled out; since when, and what the one thing is that is missing. The predicate for one Application and one
object is in `harness.gitops.judgement`. Asking changes nothing in what is observed, with one exception that is counted
and reported: where Argo CD looks at another commit than the newest, it is nudged by a refresh annotation.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Protocol

from harness.cluster.live import blindness
from harness.core.clock import SECOND, Clock, between_ns
from harness.core.errors import ApiRefused, ApiUnreachable, ConfigError, ProvisionFailed
from harness.core.objects import Object, Ref, dig
from harness.core.observation import IN_SIGHT_AGAIN, UNREACHABLE, Observation, State
from harness.gitops.argocd import APPLICATION, DEFINITION, ArgoCd
from harness.gitops.causes import namespace_cause
from harness.gitops.diagnosis import Case
from harness.gitops.explaining import Explainer, watched_kinds
from harness.gitops.judgement import (
    Judgement,
    at_revision,
    errors,
    is_transport,
    judge_application,
    judge_object,
    needs_refresh,
    refresh_pending,
    resting,
)  # fmt: skip
from harness.gitops.render import DesiredApplication, DesiredObject, desired_applications
from harness.gitops.repo import ServedRepo

if TYPE_CHECKING:
    from harness.gitops.plan import BootstrapPlan

__all__ = ["NUDGE_EVERY", "PROVEN_AFTER", "SETTLE", "Converged", "Moment", "Platform", "latest", "watched_kinds"]

SETTLE = 3 * SECOND  # how long convergence has to hold: two reads, at least this far apart
NUDGE_EVERY = 3 * SECOND
PROVEN_AFTER = 10 * SECOND  # an error that outlives this and two forced refreshes is final
_PROVEN_BY = 2
_NEXT_SECOND, _BY_ITSELF = timedelta(seconds=1.02), timedelta(seconds=2.5)  # after the end of a sync


class Platform(Protocol):
    """What is looked at. Its view may change: a rebuilt cluster has a new one."""

    @property
    def view(self) -> Any: ...  # a LiveView
    @property
    def engine(self) -> ArgoCd: ...
    @property
    def repo(self) -> ServedRepo: ...
    @property
    def plan(self) -> BootstrapPlan: ...
    @property
    def api(self) -> Any: ...  # a KubeApi: asked for what no watch shows
    @property
    def clock(self) -> Clock: ...


@dataclass(frozen=True, slots=True)
class Moment:
    """When something became true: not before the first, at the latest at the second (monotonic ns)."""

    not_before_ns: int | None
    at_ns: int


@dataclass(slots=True)
class _Fact:
    """One thing that has to be true: what was said of it last, and since when it holds."""

    seen: Any = None
    judgement: Judgement | None = None
    moment: Moment | None = None
    unmet_ns: int | None = None

    def update(self, judgement: Judgement, received_ns: int | None, previous_ns: int | None, asked_ns: int) -> None:
        self.judgement = judgement
        if not judgement.met:
            self.moment = None
            if judgement.unproven and self.unmet_ns is not None:
                return  # not known to be otherwise: it may be true already
            self.unmet_ns = max(self.unmet_ns or 0, received_ns if received_ns is not None else asked_ns)
        elif self.moment is None:
            at = received_ns if received_ns is not None else asked_ns
            # The event before this one may not have been looked at, and may have made it true already. Only what was
            # seen to be otherwise bounds the moment from below; of an object that is new, the last look.
            before = self.unmet_ns if self.unmet_ns is None or self.unmet_ns <= at else previous_ns
            self.moment = Moment(before, at)


@dataclass(slots=True)
class _Trouble:
    """An error condition that stays: since when, and how many forced refreshes it has outlived: those taken up."""

    message: str
    since_ns: int
    refreshes: int = 0
    asked: bool = False  # for one that is not counted yet


@dataclass(slots=True)
class _Memory:
    """What one probe knows of one view at one commit."""

    view: Any
    head: str
    applications: tuple[DesiredApplication, ...]
    explainer: Explainer
    alone: bool = False  # one Application is looked at: what the others bring is not known
    facts: dict[Ref, _Fact] = field(default_factory=dict)
    nudged_ns: dict[str, int] = field(default_factory=dict)
    troubles: dict[tuple[str, str], _Trouble] = field(default_factory=dict)


class Converged:
    """Every Application has arrived at the newest commit; the objects are those of Git, live, and rolled out.

    `observe` says in `actual` the one thing that is missing, as application, object, cause. When MET, `at_ns` is the
    moment the last needed fact became true, and `detail` holds `applications_ns` (name -> monotonic ns since when it
    and all its objects are complete), `slowest` and the number of `refreshes` that were asked for.
    """

    def __init__(self, platform: Platform, *, nudge: bool = True, only: str = "") -> None:
        """`nudge=False` never asks Argo CD to look: for drills that measure its own polling.

        `only` names the one Application that is looked at, and asked to look.
        """
        self.platform, self.refreshes = platform, 0
        self.subject = f"arrived({only})" if only else "converged"
        self._nudge_wanted, self._only = nudge, only
        self._memory: _Memory | None = None
        self._timer: threading.Timer | None = None

    @property
    def signal(self) -> Any:
        try:
            return self.platform.view.signal
        except ProvisionFailed:
            return None

    @property
    def moments(self) -> Mapping[str, Moment]:
        """For each Application that is complete by now (it and all its objects): since when."""
        found: dict[str, Moment] = {}
        if self._memory is not None:
            for app in self._memory.applications:
                facts = [self._memory.facts.get(ref) for ref in (app.ref, *(o.ref for o in app.objects))]
                if all(fact is not None and fact.moment is not None for fact in facts):
                    found[app.name] = latest(f.moment for f in facts if f is not None and f.moment is not None)
        return found

    def observe(self) -> Observation:
        """An API that does not answer, or no cluster at all, is PENDING; Git that cannot be rendered is BROKEN."""
        now = self.platform.clock.now_ns()
        try:
            view = self.platform.view
        except ProvisionFailed as error:
            self._memory = None
            return self._pending(str(error), now)
        head = self.platform.repo.head
        if self._memory is None or self._memory.view is not view or self._memory.head != head:
            try:
                wanted = desired_applications(self.platform.repo, self.platform.plan, head)
            except ConfigError as error:
                return Observation(
                    State.BROKEN, self.subject, error.expected, f"Git at {head[:10]}: {error.found}", now
                )
            wanted = tuple(app for app in wanted if self._only in ("", app.name))
            if not wanted:
                return Observation(State.BROKEN, self.subject, f"an Application {self._only} in Git", "none", now)
            self._memory = _Memory(view, head, wanted, Explainer(self.platform, self.platform.clock),
                                   bool(self._only))  # fmt: skip
        if blind := blindness(view):
            return self._pending(blind, now, {UNREACHABLE: True})
        return self._judge(self._memory, now)

    # -- how

    def _judge(self, memory: _Memory, now: int) -> Observation:
        problems: list[tuple[Judgement, str]] = []
        cases: list[Callable[[], Case]] = []  # made only where a cause is sought: this is asked at every event
        unmet: list[tuple[str, bool]] = []
        done = total = 0
        memory.explainer.watch_more(memory.view, [o for app in memory.applications for o in app.objects], now)
        for app in memory.applications:
            found, live = self._application(memory, app, now)
            direct = not dig(app.manifest, "spec", "ignoreDifferences")
            objects = [self._object(memory, obj, direct, now) for obj in app.objects]
            done, total = done + sum(o.met for o in objects), total + len(objects)
            if problem := _first_problem(app, found, objects):
                problems.append(problem)
                unmet.append((app.name, any(j.state is State.BROKEN for j in (found, *objects))))
                cases.append(partial(_case, memory, app, live, found, objects))
            self._consider_refresh(memory, app, live, now)
        who = f"Application {self._only}" if self._only else "every Application"
        expected = f"{who} at {memory.head[:10]}, and its objects live and rolled out"
        if not problems and (other := _going(memory) or (None if self._only else _extra(memory))):
            problems.append((other, ""))
        chain = memory.explainer.explain(memory.view, unmet, cases, now)
        if problems:
            judgement, text = min(problems, key=lambda p: p[0].state is not State.BROKEN)
            state, actual = judgement.state, text or judgement.actual
            if chain and (chain.final or state is not State.BROKEN or actual.startswith(f"{chain.application}: ")):
                state, actual = State.BROKEN if chain.final else state, chain.sentence()
            detail = {"chain": chain.to_record()} if chain is not None else {}
            return Observation(state, self.subject, expected, actual, now, None, done, total, detail)
        return self._met(memory, expected, done, total)

    def _met(self, memory: _Memory, expected: str, done: int, total: int) -> Observation:
        moments = self.moments
        last = latest(moments.values())
        restored = _answering_since(memory.view, last.at_ns)
        last = restored or last
        slowest = max(moments, key=lambda name: moments[name].at_ns)
        detail = {
            "revision": memory.head,
            "refreshes": self.refreshes,
            "slowest": slowest,
            "slowest_object": _slowest_object(memory, slowest),
            "applications_ns": {name: moment.at_ns for name, moment in sorted(moments.items())},
            **({IN_SIGHT_AGAIN: True} if restored else {}),
        }
        actual = f"{len(moments)} Applications at {memory.head[:10]}, {done} objects live and rolled out"
        return Observation(
            State.MET, self.subject, expected, actual, last.at_ns, last.not_before_ns, done, total, detail
        )

    def _application(self, memory: _Memory, app: DesiredApplication, now: int) -> tuple[Judgement, Object | None]:
        seen = memory.view.get(app.ref)
        live = seen.object if seen else None
        fact = memory.facts.setdefault(app.ref, _Fact())
        persistent = self._persistent(memory, app.name, live, now)
        if fact.judgement is None or persistent or fact.seen is not seen:
            _learn(fact, judge_application(live, app, persistent=persistent), seen, now)
        assert fact.judgement
        return fact.judgement, live

    def _object(self, memory: _Memory, obj: DesiredObject, direct: bool, now: int) -> Judgement:
        seen = memory.view.get(obj.ref)
        fact = memory.facts.setdefault(obj.ref, _Fact())
        if fact.judgement is None or fact.seen is not seen:
            _learn(fact, judge_object(obj, seen.object if seen else None, direct=direct), seen, now)
        assert fact.judgement
        return fact.judgement

    def _persistent(self, memory: _Memory, name: str, live: Object | None, now: int) -> set[str]:
        """The types of error conditions that have been there for 10 s and outlived two forced refreshes."""
        found = errors(live)
        for key in [k for k in memory.troubles if k[0] == name and k[1] not in found]:
            del memory.troubles[key]
        proven: set[str] = set()
        for kind, message in found.items():
            trouble = memory.troubles.setdefault((name, kind), _Trouble(message, now))
            trouble.message = message
            if is_transport(message):
                trouble.since_ns, trouble.refreshes, trouble.asked = now, 0, False
            elif trouble.refreshes >= _PROVEN_BY and between_ns(trouble.since_ns, now) >= PROVEN_AFTER:
                proven.add(kind)
        return proven

    def _consider_refresh(self, memory: _Memory, app: DesiredApplication, live: Object | None, now: int) -> None:
        troubles = [t for (name, _), t in memory.troubles.items() if name == app.name]
        if not self._nudge_wanted or refresh_pending(live) or not (troubles or needs_refresh(live, app)):
            return  # where a request is pending, nobody has looked: the engine may be down
        early = None if troubles else self._too_early(live, app)
        last = memory.nudged_ns.get(app.name)
        rest = (NUDGE_EVERY if early is None else SECOND) - between_ns(last, now) if last is not None else timedelta(0)
        wait = max(rest, early or timedelta(0))
        if wait > timedelta(0):
            self._wake_in(wait)
            return
        memory.nudged_ns[app.name] = now
        proving = [t for t in troubles if not is_transport(t.message)]
        try:
            self.platform.engine.refresh(app.name, hard=bool(proving))
        except (ApiUnreachable, ApiRefused, ProvisionFailed):
            return  # not there, or not answering: the next observation says so
        self.refreshes += 1
        for trouble in proving:
            trouble.refreshes, trouble.asked = trouble.refreshes + trouble.asked, True

    def _too_early(self, live: Object | None, app: DesiredApplication) -> timedelta | None:
        """Where only a comparison later than the last sync is wanted: how long to wait before asking for it.

        One within the very second in which the sync ended proves nothing; and Argo CD compares by itself after a sync.
        None: that is not what is wanted, or a nudge for it was not heard for a while.
        """
        finished = dig(live, "status", "operationState", "finishedAt")
        reconciled = dig(live, "status", "reconciledAt")
        if not finished or not reconciled or reconciled > finished or not at_revision(live, app):
            return None
        since = self.platform.clock.utc() - datetime.fromisoformat(finished)
        if since > 2 * NUDGE_EVERY:
            return None
        return (_NEXT_SECOND if reconciled == finished else _BY_ITSELF) - since

    def _wake_in(self, wait: timedelta) -> None:
        if self._timer is not None and self._timer.is_alive():
            return
        signal = self.signal
        if signal is not None and wait < SECOND:  # a waiter polls once a second anyhow
            self._timer = threading.Timer(wait.total_seconds(), signal.notify)
            self._timer.daemon = True
            self._timer.start()

    def _pending(self, actual: str, now: int, detail: Mapping[str, Any] = MappingProxyType({})) -> Observation:
        return Observation(State.PENDING, self.subject, "a platform as Git describes it", actual, now, detail=detail)


def latest(moments: Iterable[Moment]) -> Moment:
    """When the last of several things became true: the interval that is certain to hold that moment."""
    known = list(moments)
    before = [m.not_before_ns for m in known if m.not_before_ns is not None]
    return Moment(max(before) if before else None, max(m.at_ns for m in known))


def _learn(fact: _Fact, judgement: Judgement, seen: Any, now: int) -> None:
    fact.update(judgement, seen.received_ns if seen else None, seen.previous_ns if seen else None, now)
    fact.seen = seen


def _first_problem(app: DesiredApplication, found: Judgement, objects: list[Judgement]) -> tuple[Judgement, str] | None:
    """The application, the object and the cause. Where Argo CD itself only waits, the object says why."""
    bad = [(o, j) for o, j in zip(app.objects, objects, strict=True) if not j.met]
    bad.sort(key=lambda pair: (pair[1].state is not State.BROKEN, pair[1].actual == "is missing"))
    if bad and (found.met or found.item in ("health", "sync", "operation", "stale", "resources")):
        obj, judgement = bad[0]
        if found.state is not State.BROKEN:
            return judgement, f"{app.name}: {obj.ref} {judgement.actual}"
    if found.met:
        return None
    return found, f"{app.name}: {found.actual}"


def _case(
    memory: _Memory, app: DesiredApplication, live: Object | None, found: Judgement, objects: list[Judgement]
) -> Case:
    bad = tuple((o, j) for o, j in zip(app.objects, objects, strict=True) if not j.met)
    others = [(seen.object if (seen := memory.view.get(other.ref)) else None, other)
              for other in memory.applications if other is not app]  # fmt: skip
    calm = not memory.alone and all(resting(*pair) for pair in others)
    quiet = calm and all(dig(one, "status", "health", "status") == "Healthy" for one, _ in others)
    defined = {(dig(o.manifest, "spec", "group"), dig(o.manifest, "spec", "names", "kind"))
               for each in memory.applications for o in each.objects if o.ref.kind == DEFINITION.kind}  # fmt: skip
    return Case(app, live, found, bad, calm, quiet, defined)


def _extra(memory: _Memory) -> Judgement | None:
    known = {app.ref for app in memory.applications}
    for seen in memory.view.all(APPLICATION):
        metadata = seen.object["metadata"]
        ref = Ref(APPLICATION.group, APPLICATION.kind, metadata.get("namespace") or "", metadata["name"])
        if ref not in known:
            return Judgement(State.PENDING, "extra", "only Git's Applications", f"{ref} is live but not in Git")
    return None


def _going(memory: _Memory) -> Judgement | None:
    """A namespace that is being deleted: what is in it looks well to the end, and is on its way out all the same."""
    for name in sorted({o.ref.namespace for app in memory.applications for o in app.objects if o.ref.namespace}):
        seen = memory.view.get(Ref("", "Namespace", "", name))
        if seen and (cause := namespace_cause(seen.object)):
            return Judgement(State.PENDING, "namespace", "namespaces that stay", cause.sentence())
    return None


def _answering_since(view: Any, at_ns: int) -> Moment | None:
    """After an outage nothing counts as true before the API answered again, though it may have been so all the time."""
    ended = [o for o in view.outages if o.answered_ns is not None and o.answered_ns > at_ns]
    return Moment(ended[-1].last_failure_ns, ended[-1].answered_ns) if ended else None


def _slowest_object(memory: _Memory, name: str) -> str:
    app = next(a for a in memory.applications if a.name == name)
    refs = [app.ref, *(o.ref for o in app.objects)]
    moments = {ref: fact.moment for ref in refs if (fact := memory.facts[ref]).moment}
    return str(max(moments, key=lambda ref: moments[ref].at_ns))
