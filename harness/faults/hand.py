"""A hand on the API: one write by a person, seen on the watch, and what became of it.

Here belongs the one engine under all faults of `harness.faults.live_drift`: writing under a field manager of its own,
finding that write again on the watch, and telling from later states of the object whether what was done is still
there. Which harm is done does not belong here.

Facts: Kubernetes API concepts (resourceVersion is opaque and compared for equality only; a deleted object keeps its
UID for as long as it is there, a new one of the same name has another), server-side apply (managedFields).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from harness.cluster.kube import Kind, KubeApi, Ref, Written
from harness.cluster.live import Seen
from harness.core.clock import SECOND, between_ns
from harness.core.drift import ABSENT
from harness.core.errors import ApiRefused, ApiUnreachable, InjectFailed
from harness.core.faults import Injected
from harness.core.objects import Object, dig
from harness.core.observation import Observation, State
from harness.gitops.platform import Platform

MANAGER = "drill-drift"  # in managedFields it proves which writes were ours
RECEIPT = 2 * SECOND  # how long the watch may take to deliver our own write
WATCHED = 10 * SECOND  # how long a kind that was not watched before may take to be listed


class Mark(Protocol):
    """How to tell on the object what was done to it."""

    @property
    def wanted(self) -> str:
        """What it says once the drift is gone."""

    def ours(self, seen: Seen, written: Written) -> bool:
        """Whether this state is our write, as the watch delivered it."""

    def landed(self, seen: Seen) -> bool:
        """Whether the harm shows in this state."""

    def undone(self, seen: Seen) -> bool:
        """Whether Git's state is back."""

    def told(self, seen: Seen) -> str:
        """What this state says, in a few words."""


@dataclass(frozen=True, slots=True)
class Field:
    """A field that Git sets, changed in place."""

    name: str
    read: Callable[[Object], Any]
    before: Any
    after: Any

    @property
    def wanted(self) -> str:
        return f"{self.name} {shown(self.before)}, as in Git"

    def ours(self, seen: Seen, written: Written) -> bool:
        return seen.version == str(dig(written.object, "metadata", "resourceVersion"))

    def landed(self, seen: Seen) -> bool:
        return not seen.deleted and bool(self.read(seen.object) == self.after)

    def undone(self, seen: Seen) -> bool:
        return not seen.deleted and bool(self.read(seen.object) == self.before)

    def told(self, seen: Seen) -> str:
        return "deleted" if seen.deleted else f"{self.name} {shown(self.read(seen.object))}"


@dataclass(frozen=True, slots=True)
class Gone:
    """An object that was deleted. It is back when one of its name has another UID."""

    uid: str
    wanted: str = "an object with a new UID"

    def ours(self, seen: Seen, written: Written) -> bool:
        return self.landed(seen)

    def landed(self, seen: Seen) -> bool:
        leaving = seen.deleted or dig(seen.object, "metadata", "deletionTimestamp") is not None
        return leaving and uid(seen.object) == self.uid

    def undone(self, seen: Seen) -> bool:
        leaving = seen.deleted or dig(seen.object, "metadata", "deletionTimestamp") is not None
        return not leaving and uid(seen.object) != self.uid

    def told(self, seen: Seen) -> str:
        if seen.deleted:
            return "deleted"
        leaving = dig(seen.object, "metadata", "deletionTimestamp") is not None
        return f"{'being deleted' if leaving else 'there'}, UID {uid(seen.object)[:8]}"


@dataclass(frozen=True, slots=True)
class Extra:
    """An object that nobody asked Git for."""

    uid: str
    wanted: str = "no such object"

    def ours(self, seen: Seen, written: Written) -> bool:
        return self.landed(seen)

    def landed(self, seen: Seen) -> bool:
        return not seen.deleted and uid(seen.object) == self.uid

    def undone(self, seen: Seen) -> bool:
        return seen.deleted

    def told(self, seen: Seen) -> str:
        return "deleted" if seen.deleted else f"there, UID {uid(seen.object)[:8]}"


@dataclass(slots=True)
class Hand:
    """One write to one object. Its owner is a fault; probes read it."""

    platform: Platform
    ref: Ref
    mark: Mark = field(init=False)
    written: Written | None = None
    _receipt: Seen | None = None

    def look(self) -> Object:
        """The object as it is; from now on every state of it is kept. Raises InjectFailed: not there, no answer."""
        found = self.find()
        if found is None:
            raise InjectFailed(f"there is no {self.ref} to change")
        return found

    def find(self) -> Object | None:
        """The object as it is, if there is one; from now on every state of it is kept. Raises InjectFailed."""
        try:
            kind = self.kind()
            self.platform.view.add((kind,))
            if not self.platform.view.ready(WATCHED):
                raise InjectFailed(f"{kind} cannot be watched: nothing of {self.ref} would be seen")
            self.platform.view.follow(self.ref)
            return self.platform.api.get(kind, self.ref.name, self.ref.namespace)
        except (ApiRefused, ApiUnreachable) as error:
            raise InjectFailed(f"{self.ref} cannot be looked at: {error}") from error

    def kind(self) -> Kind:
        """Raises ApiRefused(404), ApiUnreachable."""
        return self.platform.api.kind(self.ref.group, self.ref.kind)

    def write(self, doing: str, action: Callable[[KubeApi, Kind], Written]) -> Written:
        """Do it, under our name. Raises InjectFailed when the API does not take it."""
        self._receipt = None
        try:
            self.written = action(self.platform.api, self.kind())
        except (ApiRefused, ApiUnreachable) as error:
            raise InjectFailed(f"{doing} was not accepted: {error}") from error
        return self.written

    def patch(self, doing: str, body: Any, **how: str) -> Written:
        """A patch, by default a merge patch. Raises InjectFailed."""
        return self.write(
            doing, lambda api, kind: api.patch(kind, self.ref.name, self.ref.namespace, body, manager=MANAGER, **how)
        )

    def injected(self, what: str, detail: Mapping[str, object] | None = None) -> Injected:
        """What was done, from the moment the watch showed it: drift and heal are then timed on one stream."""
        assert self.written is not None
        seen = self.receipt()
        version = str(dig(self.written.object, "metadata", "resourceVersion", default=""))
        accepted = seen.received_ns if seen else self.written.answered_ns
        return Injected(self.written.sent_ns, accepted, what, {"resource_version": version, **(detail or {})})

    def receipt(self) -> Seen | None:
        """The watch event of our own write; waits up to 2 s after the API's answer. None: it has not come."""
        written = self.written
        if written is None:
            return None
        deadline = written.answered_ns + int(RECEIPT.total_seconds() * 1e9)
        view = self.platform.view
        while self._receipt is None:
            version = view.signal.version
            since = (s for s in view.history(self.ref) if s.received_ns >= written.sent_ns)
            self._receipt = next((s for s in since if self.mark.ours(s, written)), None)
            left = deadline - self.platform.clock.now_ns()
            if self._receipt is None and left <= 0:
                return None
            if self._receipt is None:
                view.signal.wait_beyond(version, between_ns(0, left))
        return self._receipt

    def since(self) -> tuple[Seen, ...]:
        """Every state after our own write, oldest first."""
        accepted = self.receipt()
        if accepted is None:
            return ()
        states = self.platform.view.history(self.ref)
        place = next((n for n, s in enumerate(states) if s is accepted), -1)  # -1: forgotten, all are later
        return states[place + 1 :]

    def not_before(self, seen: Seen) -> int:
        """The earliest moment at which a later state can have been accepted (monotonic ns).

        The same stream carried our write. Its delay is at most what that took from being sent to being seen, so that
        the API accepted the later one within that time before we saw it. What was found by a list after a gap is
        bounded only by the last contact before it.
        """
        accepted = self.receipt()
        assert accepted is not None
        assert self.written is not None
        delay = accepted.received_ns - self.written.sent_ns
        prompt = accepted.prompt and seen.prompt
        bound = seen.received_ns - delay if prompt else seen.previous_ns or 0
        return max(accepted.received_ns, bound)

    def confirm(self, subject: str, expected: str, *, drift: bool = True) -> Observation:
        """Did our write land? Asked of the watch. An altered one is BROKEN. `drift`: Git says something else."""
        seen, now = self.receipt(), self.platform.clock.now_ns()
        if seen is None:
            return Observation(State.PENDING, subject, expected, "no watch event of the write yet", now)
        landed = self.mark.landed(seen)
        actual = f"{self.ref}: {self.mark.told(seen)}"
        actual += f", should be {self.mark.wanted}" if drift else ", of which Git says nothing"
        return Observation(State.MET if landed else State.BROKEN, subject, expected, actual, seen.received_ns)


class Drift(Protocol):
    """A fault that is one write by hand."""

    @property
    def hand(self) -> Hand: ...


def authors(before: Object, after: Object) -> tuple[str, ...]:
    """The field managers who wrote between two states of an object; not those who only reported its status.

    Empty also where managedFields were not kept: see `LiveView.follow`.
    """
    known = [e for e in dig(before, "metadata", "managedFields", default=[]) if e.get("subresource") != "status"]
    later = [e for e in dig(after, "metadata", "managedFields", default=[]) if e.get("subresource") != "status"]
    return tuple(dict.fromkeys(str(e.get("manager")) for e in later if e not in known))


def uid(obj: Object) -> str:
    """The object's UID, "" if it has none."""
    return str(dig(obj, "metadata", "uid", default=""))


def shown(value: Any) -> str:
    """A value as people write it."""
    return "absent" if value in (None, ABSENT) else str(value)
