"""Stand-ins for a cluster, its repository and the GitOps engine that keeps it.

Here belongs a world small enough to be understood at once. What a real cluster adds (scheduling, health, a network) is
not modelled: HELD here says nothing about one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from harness.core.clock import MILLISECOND, SECOND
from harness.core.errors import ApiUnreachable, InjectFailed
from harness.core.faults import BlastRadius, Injected
from harness.core.observation import Observation, State
from harness.effects.waiting import Signal
from harness.testing.timing import FakeClock

Spec = Mapping[str, Any]
Objects = Mapping[str, Spec]


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
        told = f"{right} of {len(desired)} equal"
        return Observation(state, self.subject, "live equal to Git", told, at, since, right, len(desired))


@dataclass(slots=True)
class FakeDrift:
    """An object changed by hand on the live cluster."""

    platform: FakePlatform
    name: str
    spec: Spec | None
    blast_radius: BlastRadius = BlastRadius.NAMESPACE
    touches: tuple[str, ...] = ("*",)
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
        now = self.platform.clock.now_ns()
        return Observation(state, self.subject, "the write accepted", f"{self.name} written", now)


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
    touches: tuple[str, ...] = ("*",)

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
