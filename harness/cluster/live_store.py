"""What a live view remembers: the present state of each object, and the past of those that are followed.

Here belongs memory under one lock, and nothing that talks to a server: that is `harness.cluster.live`.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from harness.core.objects import Kind, Object, Ref, ref_of

HISTORY = 512  # states kept for each followed object; the oldest are dropped


@dataclass(frozen=True, slots=True)
class Seen:
    """One state of one object, as we learned of it. Treat `object` as read-only: it is shared.

    `previous_ns` is the latest moment at which the state before it was still known to hold: the receipt of the event
    before it for this object, or the last contact before a gap; None for what was there at the first list. `prompt`
    tells that it came by an established watch, so that it was accepted at most one delivery delay before
    `received_ns`; otherwise it was found by a list after a gap, and only the interval is known. `deleted` marks the
    last state of an object that is gone.
    """

    object: Object
    received_ns: int
    previous_ns: int | None
    prompt: bool = True
    deleted: bool = False

    @property
    def version(self) -> str:
        """The resourceVersion. Opaque: compare it for equality only."""
        return str(self.object["metadata"].get("resourceVersion") or "")


class Store:
    """Thread-safe. Writers hand over an object once and never touch it again."""

    def __init__(self, *, keep_managers: bool = False) -> None:
        """`keep_managers`: keep metadata.managedFields of all objects, not only of the followed ones."""
        self._lock = threading.Lock()
        self._kinds: dict[tuple[str, str], dict[Ref, Seen]] = {}
        self._history: dict[Ref, deque[Seen]] = {}
        self._keep_managers = keep_managers

    def get(self, ref: Ref) -> Seen | None:
        with self._lock:
            return self._kinds.get((ref.group, ref.kind), {}).get(ref)

    def all(self, kind: Kind, namespace: str | None = None) -> tuple[Seen, ...]:
        with self._lock:
            found = self._kinds.get((kind.group, kind.kind), {})
            return tuple(seen for ref, seen in found.items() if namespace in (None, ref.namespace))

    def snapshot(self) -> Mapping[Ref, Seen]:
        with self._lock:
            return MappingProxyType({ref: seen for found in self._kinds.values() for ref, seen in found.items()})

    def follow(self, ref: Ref) -> None:
        with self._lock:
            if ref not in self._history:
                present = self._kinds.get((ref.group, ref.kind), {}).get(ref)
                self._history[ref] = deque([present] if present else [], HISTORY)

    def history(self, ref: Ref) -> tuple[Seen, ...]:
        with self._lock:
            return tuple(self._history.get(ref, ()))

    def event(
        self, obj: Object, received_ns: int, *, deleted: bool, prompt: bool = True, floor_ns: int | None = None
    ) -> None:
        """An event of a watch; not `prompt` if it may have waited. It happened after `floor_ns`."""
        ref = ref_of(obj)
        with self._lock:
            self._strip(ref, obj)
            found = self._kinds.setdefault((ref.group, ref.kind), {})
            self._put(found, ref, obj, received_ns, floor_ns=floor_ns, prompt=prompt, deleted=deleted)

    def relist(self, kind: Kind, items: Iterable[Object], received_ns: int, contact_ns: int | None) -> None:
        """The complete content of a kind. What differs from before happened after `contact_ns`, the last contact."""
        with self._lock:
            found = self._kinds.setdefault((kind.group, kind.kind), {})
            gone = set(found)
            for obj in items:
                ref = ref_of(obj)
                gone.discard(ref)
                self._strip(ref, obj)
                old = found.get(ref)
                if old is None or old.version != str(obj["metadata"].get("resourceVersion") or ""):
                    self._put(found, ref, obj, received_ns, floor_ns=contact_ns, prompt=False, deleted=False)
            for ref in gone:
                last = found[ref].object
                self._put(found, ref, last, received_ns, floor_ns=contact_ns, prompt=False, deleted=True)

    def _put(
        self, found: dict[Ref, Seen], ref: Ref, obj: Object, received_ns: int, *,
        floor_ns: int | None, prompt: bool, deleted: bool,
    ) -> None:  # fmt: skip
        before = found.get(ref) or (self._history.get(ref) or [None])[-1]
        # What comes late may have waited together with the state before it: the receipt of that one bounds nothing.
        previous = before.received_ns if before and prompt else floor_ns
        seen = Seen(obj, received_ns, previous, prompt, deleted)
        if deleted:
            found.pop(ref, None)
        else:
            found[ref] = seen
        if ref in self._history:
            self._history[ref].append(seen)

    def _strip(self, ref: Ref, obj: Object) -> None:
        # managedFields is half of a small object; who wrote what matters only for objects under test.
        if not self._keep_managers and ref not in self._history:
            obj["metadata"].pop("managedFields", None)
