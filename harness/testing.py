"""Stand-ins for time, probes, faults, a cluster and the GitOps engine that keeps it.

Here belongs what lets a story run without a cluster and without waiting: for our tests, and for people who write
scenarios. What a real cluster adds (scheduling, health, a network) is not modelled: HELD here says nothing about one.
"""

from __future__ import annotations

import heapq
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from harness.core.clock import MILLISECOND, SECOND
from harness.core.errors import ApiUnreachable, InjectFailed
from harness.core.faults import BlastRadius, Injected
from harness.core.observation import Observation, State
from harness.effects.waiting import Signal

Spec = Mapping[str, Any]
Objects = Mapping[str, Spec]


class FakeClock:
    """Time that passes only when somebody waits, and then at once. Single-threaded.

    What is planned with `after` happens while others wait, in order; that is how a fake world moves on its own.
    """

    def __init__(self, begun: datetime = datetime(2026, 1, 1, tzinfo=UTC)) -> None:
        self._begun, self._now_ns, self._count = begun, 0, 0
        self._plans: list[tuple[int, int, Callable[[], object]]] = []

    def now_ns(self) -> int:
        return self._now_ns

    def utc(self) -> datetime:
        return self._begun + timedelta(microseconds=self._now_ns // 1000)

    def sleep(self, duration: timedelta) -> None:
        """Let `duration` pass; what is planned within it happens."""
        end = self._now_ns + _ns(duration)
        while self._happened(end):
            pass
        self._now_ns = end

    def wait(self, condition: threading.Condition, duration: timedelta) -> bool:
        """Let time pass until the next thing that is planned, at most `duration`: it may have notified `condition`."""
        end = self._now_ns + _ns(duration)
        happened = self._happened(end)
        self._now_ns = self._now_ns if happened else end
        return happened

    def after(self, delay: timedelta, action: Callable[[], object]) -> None:
        """Plan `action` for `delay` from now."""
        self._count += 1  # what is planned first happens first, also at the same moment
        heapq.heappush(self._plans, (self._now_ns + _ns(delay), self._count, action))

    def _happened(self, end: int) -> bool:
        if not self._plans or self._plans[0][0] > end:
            return False
        at, _, action = heapq.heappop(self._plans)
        self._now_ns = max(self._now_ns, at)
        action()
        return True


def _ns(duration: timedelta) -> int:
    return max(duration, timedelta(0)) // timedelta(microseconds=1) * 1000


Answer = State | Exception
Script = Sequence[tuple[timedelta, Answer]]


class FakeProbe:
    """A probe that answers by a script: from each delay (after its making) on, a state, or an error to raise.

    Watched, it notifies its signal at every step and knows the moment exactly; otherwise it must be polled, and knows
    only that it is so now.
    """

    def __init__(self, clock: FakeClock, script: Script, *, subject: str = "probe", watched: bool = False) -> None:
        self._clock, self._script, self._begun = clock, tuple(script), clock.now_ns()
        self.subject, self.asked = subject, 0
        self.signal: Signal | None = Signal(clock) if watched else None
        if self.signal:
            for delay, _ in self._script:
                clock.after(delay, self.signal.notify)

    def observe(self) -> Observation:
        """What the script says for now. Raises what the script says."""
        self.asked += 1
        now = self._clock.now_ns()
        begun, answer = self._begun, self._script[0][1]
        for delay, then in self._script:
            if self._begun + _ns(delay) <= now and then is not answer:
                begun, answer = self._begun + _ns(delay), then
        if isinstance(answer, Exception):
            raise answer
        exact = begun if self.signal else None
        actual = "as asked" if answer is State.MET else answer.lower()
        return Observation(answer, self.subject, "as asked", actual, now if exact is None else exact, exact)


@dataclass(slots=True)
class FakeFault:
    """A fault that takes 2 ms to be accepted. `landed` says what its confirmation answers; `harm` is what it does."""

    clock: FakeClock
    subject: str = "FakeFault"
    blast_radius: BlastRadius = BlastRadius.NAMESPACE
    landed: Answer = State.MET
    harm: Callable[[], object] = lambda: None
    injections: int = 0

    def inject(self) -> Injected:
        sent = self.clock.now_ns()
        self.clock.sleep(2 * MILLISECOND)
        self.injections += 1
        self.harm()
        return Injected(sent, self.clock.now_ns(), self.subject)

    def confirm(self) -> Observation:
        if isinstance(self.landed, Exception):
            raise self.landed
        return Observation(self.landed, self.subject, "harmed", f"{self.subject} seen", self.clock.now_ns())


@dataclass(slots=True)
class FakeRepo:
    """Desired objects by name, revision by revision."""

    revisions: list[Objects]
    on_change: list[Callable[[], object]] = field(default_factory=list)

    @property
    def head(self) -> int:
        return len(self.revisions) - 1

    @property
    def desired(self) -> Objects:
        return self.revisions[-1]

    def commit(self, changes: Mapping[str, Spec | None]) -> int:
        """A new revision in which some objects are other, or gone (None). The revision's number."""
        self._add({name: spec for name, spec in {**self.desired, **changes}.items() if spec is not None})
        return self.head

    def revert(self, revision: int) -> int:
        """A new revision with the content from before `revision`."""
        self._add(self.revisions[revision - 1])
        return self.head

    def _add(self, objects: Objects) -> None:
        self.revisions.append(objects)
        for listener in self.on_change:
            listener()


@dataclass(frozen=True, slots=True)
class Write:
    """A change of a live object that the cluster accepted at `at_ns`."""

    at_ns: int
    name: str
    spec: Spec | None


class FakeCluster:
    """Live objects by name, and every write to them. It can be lost; then it answers nothing."""

    def __init__(self, clock: FakeClock, latency: timedelta = 2 * MILLISECOND) -> None:
        self._clock, self._latency = clock, latency
        self._objects: dict[str, Spec] = {}
        self.alive = True
        self.writes: list[Write] = []
        self.signal = Signal(clock)
        self.on_change: list[Callable[[], object]] = []

    def read(self) -> Objects:
        """Every live object. Raises ApiUnreachable."""
        if not self.alive:
            raise ApiUnreachable("connection refused")
        return dict(self._objects)

    def write(self, name: str, spec: Spec | None) -> Injected:
        """Set an object, or delete it. Raises ApiUnreachable."""
        self.read()
        sent = self._clock.now_ns()
        self._clock.sleep(self._latency)
        self.accept(name, spec)
        return Injected(sent, self._clock.now_ns(), f"{name} written")

    def accept(self, name: str, spec: Spec | None) -> None:
        """A write that arrives now."""
        if spec is None:
            self._objects.pop(name, None)
        else:
            self._objects[name] = spec
        self.writes.append(Write(self._clock.now_ns(), name, spec))
        self._tell()

    def kill(self) -> None:
        """Lose everything."""
        self.alive = False
        self._objects.clear()
        self._tell()

    def start(self) -> None:
        """Come up again, empty."""
        self.alive = True
        self._tell()

    def _tell(self) -> None:
        self.signal.notify()
        for listener in list(self.on_change):
            listener()


class FakeEngine:
    """Keeps a cluster at the head of Git, `notices_after` each change: a new revision always, drift with self-heal."""

    def __init__(self, clock: FakeClock, cluster: FakeCluster, repo: FakeRepo) -> None:
        self._clock, self._cluster, self._repo = clock, cluster, repo
        self.notices_after, self.self_heal, self.synced = SECOND, True, -1
        repo.on_change.append(self._notice)
        cluster.on_change.append(self._notice)

    def sync(self) -> None:
        """Make live equal desired, whoever made the difference. Nothing happens while there is no cluster."""
        if not self._cluster.alive:
            return
        self.synced = self._repo.head
        live, desired = self._cluster.read(), self._repo.desired
        for name in sorted(live.keys() | desired.keys()):
            if live.get(name) != desired.get(name):
                self._cluster.accept(name, desired.get(name))

    def reconsider(self) -> None:
        """Look now."""
        if self.self_heal or self.synced != self._repo.head:
            self.sync()

    def _notice(self) -> None:
        self._clock.after(self.notices_after, self.reconsider)


class FakePlatform:
    """A cluster, its repository and its engine, converged at the start. A rebuild takes `boot` to answer."""

    def __init__(self, clock: FakeClock, desired: Objects, *, boot: timedelta = 10 * SECOND) -> None:
        self.clock, self.boot = clock, boot
        self.repo, self.cluster = FakeRepo([desired]), FakeCluster(clock)
        self.engine = FakeEngine(clock, self.cluster, self.repo)
        self.since_ns: int | None = None
        self.engine.sync()
        self.repo.on_change.append(self._note)
        self.cluster.on_change.append(self._note)
        self._note()

    @property
    def converged(self) -> bool:
        """Live equals desired."""
        return self.cluster.alive and self.cluster.read() == self.repo.desired

    def rebuild(self) -> None:
        """A new cluster, given only Git."""
        self.engine.synced = -1  # it is a new engine
        self.clock.sleep(self.boot)
        self.cluster.start()

    def _note(self) -> None:
        if not self.converged:
            self.since_ns = None
        elif self.since_ns is None:
            self.since_ns = self.clock.now_ns()


class FakeConverged:
    """MET while live equals desired, with the exact moment since when."""

    def __init__(self, platform: FakePlatform) -> None:
        self._platform, self.subject, self.signal = platform, "converged(fake)", platform.cluster.signal

    def observe(self) -> Observation:
        live, desired = self._platform.cluster.read(), self._platform.repo.desired
        right = sum(live.get(name) == spec for name, spec in desired.items())
        since = self._platform.since_ns
        state = State.PENDING if since is None else State.MET
        at = self._platform.clock.now_ns() if since is None else since
        return Observation(state, self.subject, "live equal to Git", f"{right} of {len(desired)} equal", at, since,
                           right, len(desired))  # fmt: skip


@dataclass(slots=True)
class FakeDrift:
    """An object changed by hand on the live cluster."""

    platform: FakePlatform
    name: str
    spec: Spec | None
    blast_radius: BlastRadius = BlastRadius.NAMESPACE
    done: Injected | None = None

    @property
    def subject(self) -> str:
        return f"FakeDrift({self.name})"

    def inject(self) -> Injected:
        """Write. Raises InjectFailed when it is no drift or there is nothing to write to."""
        try:
            if self.platform.cluster.read().get(self.name) == self.spec:
                raise InjectFailed(f"{self.name} is so already: writing that is no drift")
            self.done = self.platform.cluster.write(self.name, self.spec)
        except ApiUnreachable as error:
            raise InjectFailed(str(error)) from error
        return self.done

    def confirm(self) -> Observation:
        accepted = self.done.accepted_ns if self.done else None
        seen = (w for w in self.platform.cluster.writes if w.name == self.name and w.at_ns == accepted)
        state = State.MET if any(w.spec == self.spec for w in seen) else State.PENDING
        return Observation(
            state, self.subject, "the write accepted", f"{self.name} written", self.platform.clock.now_ns()
        )


class FakeHealed:
    """MET from the first write after the drift that put back what Git says."""

    def __init__(self, drift: FakeDrift) -> None:
        self._drift, self.subject = drift, f"healed({drift.name})"
        self.signal = drift.platform.cluster.signal

    def observe(self) -> Observation:
        drift, platform = self._drift, self._drift.platform
        platform.cluster.read()
        since = drift.done.accepted_ns if drift.done else platform.clock.now_ns()
        wanted = platform.repo.desired.get(drift.name)
        for write in platform.cluster.writes:
            if write.name == drift.name and write.at_ns > since and write.spec == wanted:
                return Observation(State.MET, self.subject, "as in Git", "as in Git again", write.at_ns, write.at_ns)
        return Observation(State.PENDING, self.subject, "as in Git", "still drifted", platform.clock.now_ns())


@dataclass(slots=True)
class FakeLoss:
    """The whole fake cluster is gone."""

    platform: FakePlatform
    subject: str = "FakeLoss"
    blast_radius: BlastRadius = BlastRadius.CLUSTER

    def inject(self) -> Injected:
        begun = self.platform.clock.now_ns()
        self.platform.cluster.kill()
        return Injected(begun, begun, "the fake cluster killed")

    def confirm(self) -> Observation:
        state = State.PENDING if self.platform.cluster.alive else State.MET
        return Observation(state, self.subject, "no API", "no API", self.platform.clock.now_ns())


@dataclass(frozen=True, slots=True)
class FakeInventory:
    """The live objects that Git describes."""

    platform: FakePlatform
    name: str = "inventory"

    def read(self) -> dict[str, Any]:
        """Name -> spec. Raises ApiUnreachable."""
        live = self.platform.cluster.read()
        return {name: dict(live[name]) for name in self.platform.repo.desired if name in live}


@dataclass(slots=True)
class FakeSabotage:
    """A sabotage made of three actions."""

    subject: str = "FakeSabotage"
    begins: Callable[[], object] = lambda: None
    harmed: Callable[[], object] = lambda: None
    ends: Callable[[], object] = lambda: None
    steps: list[str] = field(default_factory=list)

    def begin(self) -> None:
        self.steps.append("begin")
        self.begins()

    def after_injection(self) -> None:
        self.steps.append("after_injection")
        self.harmed()

    def end(self) -> None:
        self.steps.append("end")
        self.ends()
