"""What must not happen: does everybody leave it alone?

Here belong probes for `Drill.hold`: an object that stays as our hand left it, an Application that does not sync, a
drift that Argo CD sees and bears. Each looks at every state that the watch delivered, not only at the present one:
what was touched and put back was touched.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from harness.cluster.live import Seen, blindness
from harness.core.drift import difference, normalise
from harness.core.errors import ApiUnreachable, ConfigError
from harness.core.objects import Object, Ref, dig
from harness.core.observation import Observation, Probe, State
from harness.faults.hand import Drift, Hand, authors, uid
from harness.gitops.argocd import APPLICATION
from harness.gitops.judgement import under_way
from harness.gitops.platform import Platform
from harness.gitops.render import application_in_git


class _LeftAlone:
    def __init__(self, hand: Hand) -> None:
        self._hand, self.subject = hand, f"left_alone({hand.ref})"

    @property
    def signal(self) -> Any:
        return self._hand.platform.view.signal

    def observe(self) -> Observation:
        hand, now = self._hand, self._hand.platform.clock.now_ns()
        expected = "as our hand left it"
        require_sight(hand.platform, hand.ref.group, hand.ref.kind)
        accepted = hand.receipt()
        if accepted is None:
            return Observation(State.PENDING, self.subject, expected, "our own write is not seen yet", now)
        before = accepted
        for seen in hand.since():
            if touched := _touched(accepted, before, seen):
                return Observation(State.BROKEN, self.subject, expected, touched, seen.received_ns)
            before = seen
        told = f"{hand.mark.told(accepted)}, written by nobody since"
        return Observation(State.MET, self.subject, expected, told, accepted.received_ns)


def left_alone(drift: Drift) -> Probe:
    """The object is as our hand left it: nobody has deleted, recreated or written to it since. Its status may change.

    BROKEN once somebody has. Raises ApiUnreachable while it cannot be seen.
    """
    return _LeftAlone(drift.hand)


def _touched(left: Seen, before: Seen, seen: Seen) -> str:
    if seen.deleted:
        return "was deleted"
    if uid(seen.object) != uid(left.object):
        return "was deleted and made anew"
    writers = authors(before.object, seen.object)
    by = f" by {', '.join(writers)}" if writers else ""
    if changes := difference(normalise(left.object), normalise(seen.object)):
        return f"was changed{by}: {changes[0].sentence()}"
    return f"was written to{by}" if writers else ""


@dataclass(slots=True)
class _Undisturbed:
    platform: Platform
    application: str
    subject: str = field(init=False)
    _first: Seen | None = None

    def __post_init__(self) -> None:
        self.subject = f"undisturbed({self.application})"

    @property
    def signal(self) -> Any:
        return self.platform.view.signal

    def observe(self) -> Observation:
        now, ref = self.platform.clock.now_ns(), _application(self.platform, self.application)
        expected = "no sync of it"
        require_sight(self.platform, ref.group, ref.kind)
        self.platform.view.follow(ref)
        states = self.platform.view.history(ref)
        if self._first is None:
            if not states or states[-1].deleted or under_way(states[-1].object):
                what = "it syncs at the moment" if states and not states[-1].deleted else "there is no such Application"
                return Observation(State.PENDING, self.subject, expected, what, now)
            self._first = states[-1]
        for seen in _after(states, self._first):
            if seen.deleted:
                return Observation(State.BROKEN, self.subject, expected, "it was deleted", seen.received_ns)
            started = _started(seen.object)
            if under_way(seen.object) or started != _started(self._first.object):
                known = started and started != _started(self._first.object)
                told = f"a sync began at {started}" if known else "a sync was asked for"
                return Observation(State.BROKEN, self.subject, expected, told, seen.received_ns)
        last = _started(self._first.object)
        return Observation(State.MET, self.subject, expected, f"the last sync is that of {last}", now)


def undisturbed(platform: Platform, application: str) -> Probe:
    """Argo CD has begun no sync of the Application since this was first asked: ask before the fault.

    BROKEN once it has. Raises ConfigError: no such Application in Git; ApiUnreachable while it cannot be seen.
    """
    return _Undisturbed(platform, application_in_git(platform.repo, platform.plan, application).name)


@dataclass(slots=True)
class _AtRest:
    platform: Platform
    application: str
    subject: str = field(init=False)

    def __post_init__(self) -> None:
        self.subject = f"at_rest({self.application})"

    @property
    def signal(self) -> Any:
        return self.platform.view.signal

    def observe(self) -> Observation:
        ref, now = _application(self.platform, self.application), self.platform.clock.now_ns()
        expected = "no sync under way"
        self.platform.view.follow(ref)
        states = self.platform.view.history(ref)
        if not states or states[-1].deleted:
            return Observation(State.PENDING, self.subject, expected, "there is no such Application", now)
        last = _last_sync(states[-1].object)
        if under_way(states[-1].object):
            return Observation(State.PENDING, self.subject, expected, "a sync is under way", now, detail=last)
        since = states[-1]
        for seen in reversed(states):
            if seen.deleted or under_way(seen.object) or _last_sync(seen.object) != last:
                break
            since = seen
        told = f"the last sync, {last['phase'] or 'none yet'}, ended at {last['finished']}"
        return Observation(State.MET, self.subject, expected, told, since.received_ns, since.previous_ns, detail=last)


def at_rest(platform: Platform, application: str) -> Probe:
    """No sync of the Application is asked for or under way; `detail` tells the last one: attempt, phase, times.

    Raises ConfigError: no such Application in Git.
    """
    return _AtRest(platform, application_in_git(platform.repo, platform.plan, application).name)


@dataclass(slots=True)
class _OutOfSync:
    hand: Hand
    application: str
    subject: str = field(init=False)

    def __post_init__(self) -> None:
        self.subject = f"out_of_sync({self.hand.ref})"

    @property
    def signal(self) -> Any:
        return self.hand.platform.view.signal

    def observe(self) -> Observation:
        platform, accepted = self.hand.platform, self.hand.receipt()
        ref, now = _application(platform, self.application), platform.clock.now_ns()
        expected = f"Application {self.application} OutOfSync because of it"
        require_sight(platform, ref.group, ref.kind)
        platform.view.follow(ref)
        since: Seen | None = None
        told = "our own write is not seen yet" if accepted is None else "nothing was said of it since"
        for seen in platform.view.history(ref) if accepted else ():
            found = _status(seen.object, self.hand.ref)
            bad = not seen.deleted and found == "OutOfSync" and dig(seen.object, "status", "sync", "status") == found
            since = (since or seen) if bad else None
            told = f"Argo CD calls it {found or 'nothing'}"
        if since is None:
            return Observation(State.PENDING, self.subject, expected, told, now)
        return Observation(State.MET, self.subject, expected, told, since.received_ns, since.previous_ns)


def out_of_sync(drift: Drift) -> Probe:
    """Argo CD shows the drifted object, and its Application, as OutOfSync; MET since the last time it began to.

    Raises ConfigError: Git does not describe the object. Raises ApiUnreachable while it cannot be seen.
    """
    platform, ref = drift.hand.platform, drift.hand.ref
    owner = next((o.application for o in platform.desired() if o.ref == ref), None)
    if owner is None:
        raise ConfigError("an object that Git describes", str(ref), "what Git does not know is never OutOfSync")
    return _OutOfSync(drift.hand, owner)


def called(platform: Platform, ref: Ref) -> str:
    """What Argo CD calls an object now, as the watch shows it: Synced, OutOfSync; "" where no Application has it."""
    found = (_status(seen.object, ref) for seen in platform.view.all(APPLICATION))
    return next(filter(None, found), "")


def _status(app: Object, ref: Ref) -> str:
    for found in dig(app, "status", "resources", default=[]):
        name = (found.get("group") or "", found.get("kind"), found.get("namespace") or "", found.get("name"))
        if name == (ref.group, ref.kind, ref.namespace, ref.name):
            return str(found.get("status") or "")
    return ""


def _application(platform: Platform, name: str) -> Ref:
    return Ref(APPLICATION.group, APPLICATION.kind, platform.engine.namespace, name)


def _started(app: Object) -> str:
    return str(dig(app, "status", "operationState", "startedAt", default=""))


def _last_sync(app: Object) -> dict[str, Any]:
    state = dig(app, "status", "operationState", default={})
    sync = dig(state, "operation", "sync", default={})
    return {
        "attempt": int(sync.get("autoHealAttemptsCount") or 0),
        "phase": state.get("phase"),
        "started": state.get("startedAt"),
        "finished": state.get("finishedAt"),
        "revision": dig(state, "syncResult", "revision") or sync.get("revision"),
    }


def _after(states: tuple[Seen, ...], first: Seen) -> Iterator[Seen]:
    place = next((n for n, seen in enumerate(states) if seen is first), -1)
    yield from states[place + 1 :]


def require_sight(platform: Platform, group: str, kind: str) -> None:
    """Raises ApiUnreachable where nothing could be seen if it happened: nothing seen is then no answer."""
    if blind := blindness(platform.view, (group, kind)):
        raise ApiUnreachable(blind)
