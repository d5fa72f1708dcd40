"""The live view: what an API server holds, kept current by watches, with every gap in the observation on record.

Here belong the watch threads, their reconnects and the record of gaps. What is remembered is in
`harness.cluster.live_store`, whether the API answers at all in `harness.cluster.live_outage`, the verbs are in
`harness.cluster.kube`.

How it keeps honest. Each kind is listed, then watched from the list's resourceVersion. The server is asked to end each
watch after at most 6 s: a connection that is silent for longer than 7 s is dead, however open it looks, and the next
watch goes over the same connection at no cost. (Bookmarks would not do: a server sends none for a kind that has been
quiet since it started.) Whatever ends otherwise opens a `Gap`,
which closes when a watch is established again. A prober asks the server once a second, and every 100 ms while it does
not answer: the moment it answers again is recorded in an `Outage`, and wakes the watches.

After a rebuild make a new LiveView from the new cluster's KubeApi: certificates, identities and versions are all new,
and nothing that the old one knows holds.
"""

from __future__ import annotations

import threading
import zlib
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Protocol

from harness.cluster.kube import KubeApi, Written
from harness.cluster.live_outage import Outage, Pace, Prober
from harness.cluster.live_store import Seen, Store
from harness.core.clock import MILLISECOND, SECOND, Clock, between_ns
from harness.core.errors import ApiRefused, ApiUnreachable
from harness.core.objects import Kind, Ref
from harness.effects.waiting import Signal

__all__ = ["Gap", "LiveView", "Outage", "Pace", "Seen", "blindness"]

PROMPT_TURN = 20 * MILLISECOND  # from one watch to the next: below, nothing that waited was late enough to matter
UNNOTICED_TURN = 100 * MILLISECOND  # above, it is a gap like any other
REMEMBERED = 2000  # gaps and outages kept; a drill has a handful


@dataclass(frozen=True, slots=True)
class Gap:
    """A time in which a kind was not observed: from the last contact to the next established watch, None if not yet.

    A contact is a list, an event, a bookmark or the agreed end of a watch: these say that there was nothing else to
    say. A connection that is merely open says nothing, so that on a quiet kind a gap may begin up to one turn (6 s)
    before anything was wrong.
    """

    kind: Kind
    start_ns: int
    end_ns: int | None
    reason: str


class LiveView:
    """What the API holds of `kinds`, as of the last event. Threads run from `start` to `stop`.

    A kind that is not served (yet) is empty, and appears when its CRD does. No method raises because the API is away.
    """

    def __init__(
        self,
        api: KubeApi,
        kinds: Iterable[Kind],
        clock: Clock,
        on_gap: Callable[[Gap], None] = lambda _: None,
        *,
        on_outage: Callable[[Outage], None] = lambda _: None,
        keep_managers: bool = False,
        pace: Pace | None = None,
    ) -> None:
        """`on_gap` and `on_outage` hear of each when it begins (without an end) and when it ends; from our threads."""
        self.signal = Signal(clock)
        self._api = api.separate()
        self._clock, self._pace = clock, pace or Pace()
        self._on_gap, self._on_outage = on_gap, on_outage
        self._store = Store(keep_managers=keep_managers)
        self._lock = threading.Lock()
        self._stopped = threading.Event()
        self._gaps: deque[Gap] = deque(maxlen=REMEMBERED)
        self._watchers: dict[tuple[str, str], _Watcher] = {}
        self._prober = Prober(api.separate(self._pace.probe_patience), clock, self._pace, self._outage)
        self._started = False
        self.add(kinds)

    # --- life ---

    def start(self) -> LiveView:
        """Begin to observe. Returns at once: see `ready`."""
        with self._lock:
            self._started = True
            threads = [self._prober.thread, *(w.thread for w in self._watchers.values())]
        for thread in threads:
            thread.start()
        return self

    def stop(self) -> None:
        """Stop observing, within 2 s. What was seen can still be read; gaps that were open stay so."""
        self._stopped.set()
        self._prober.stop()
        self._api.close()
        begun = self._clock.now_ns()
        for thread in [self._prober.thread, *(w.thread for w in self._watchers.values())]:
            left = 2 * SECOND - between_ns(begun, self._clock.now_ns())
            if thread.is_alive():
                thread.join(max(0.0, left.total_seconds()))
        self.signal.notify()

    def __enter__(self) -> LiveView:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def add(self, kinds: Iterable[Kind]) -> None:
        """Observe more kinds, also while running. A kind that is observed already is left alone."""
        fresh = []
        with self._lock:
            for kind in kinds:
                if (kind.group, kind.kind) not in self._watchers:
                    watcher = _Watcher(self, kind)
                    self._watchers[kind.group, kind.kind] = watcher
                    fresh.append(watcher)
            if not self._started:
                return
        for watcher in fresh:
            watcher.thread.start()

    def ready(self, timeout: timedelta) -> bool:
        """Wait until every kind has been listed once; False if that takes longer than `timeout`."""
        deadline = self._clock.now_ns() + int(timeout.total_seconds() * 1e9)
        while True:
            version = self.signal.version
            if all(w.listed for w in list(self._watchers.values())):
                return True
            left = between_ns(self._clock.now_ns(), deadline)
            if left.total_seconds() <= 0 or self._stopped.is_set():
                return False
            self.signal.wait_beyond(version, left)

    # --- what is known ---

    def get(self, ref: Ref) -> Seen | None:
        """The object as last seen, or None if there is none."""
        return self._store.get(ref)

    def all(self, kind: Kind, namespace: str | None = None) -> tuple[Seen, ...]:
        """All objects of a kind, in one namespace or in all."""
        return self._store.all(kind, namespace)

    def snapshot(self) -> Mapping[Ref, Seen]:
        """Everything, at one moment."""
        return self._store.snapshot()

    def follow(self, ref: Ref) -> None:
        """Keep every state of an object from now on, its deletions and its managedFields included."""
        self._store.follow(ref)

    def history(self, ref: Ref) -> tuple[Seen, ...]:
        """The states of a followed object, oldest first, at most the last 512."""
        return self._store.history(ref)

    def receipt(self, ref: Ref, written: Written) -> Seen | None:
        """Our own write as the watch delivered it; None while it has not come. `ref` must be followed.

        The delivery delay of the watch is then at most `received_ns - written.sent_ns`.
        """
        version = str((written.object.get("metadata") or {}).get("resourceVersion") or "")
        return next((seen for seen in self._store.history(ref) if version and seen.version == version), None)

    def fresh(self, kind: Kind) -> int | None:
        """The last contact about a kind (see `Gap`), monotonic ns; None: never yet. In good days 6 s old at most."""
        watcher = self._watchers.get((kind.group, kind.kind))
        return watcher.contact_ns if watcher else None

    @property
    def kinds(self) -> tuple[Kind, ...]:
        return tuple(w.kind for w in list(self._watchers.values()))

    @property
    def gaps(self) -> tuple[Gap, ...]:
        """Every gap so far, also the open ones (without an end), by when they ended."""
        with self._lock:
            return (*self._gaps, *(w.gap for w in self._watchers.values() if w.gap))

    @property
    def outages(self) -> tuple[Outage, ...]:
        """Every outage so far; the last one may still last."""
        return self._prober.outages

    @property
    def answering(self) -> bool:
        """Whether the API answered when it was last asked."""
        return self._prober.answering

    def _outage(self, outage: Outage) -> None:
        self._on_outage(outage)
        self.signal.notify()


class _Watcher:
    """Follows one kind: list, watch, reconnect. Only its own thread writes to it."""

    def __init__(self, view: LiveView, kind: Kind) -> None:
        self.kind, self.listed = kind, False
        self.gap: Gap | None = None
        self.contact_ns: int | None = None
        self.thread = threading.Thread(target=self._run, name=f"watch {kind}", daemon=True)
        self._view = view
        self._version: str | None = None
        self._pause = view._pace.first_pause
        self._fruitless = 0
        self._ended_ns: int | None = None  # when the last watch ended as agreed
        self._floor_ns: int | None = None  # the last contact before the interruption that they waited for
        self._prompt_from_ns = 0  # events before it may have waited for us
        # Not all kinds at once: the seconds of the first watch spread their turns.
        self._lasting = view._pace.lasting - (zlib.crc32(str(kind).encode()) % 3 * SECOND)
        self._lasting = max(self._lasting, min(view._pace.lasting, 3 * SECOND))

    def _run(self) -> None:
        view = self._view
        try:
            while not view._stopped.is_set():
                try:
                    trouble = self._turn()
                except ApiUnreachable as error:
                    trouble = str(error)
                    view._prober.look()
                except ApiRefused as error:
                    trouble = self._refused(error)
                if trouble is not None:
                    self._rest(trouble)
        finally:
            if not view._stopped.is_set():  # a fault of ours: never let a view look current that is not
                self._open_gap("the watch thread ended by an error of its own")

    def _turn(self) -> str | None:
        """One watch, with a list before it where needed. None if the server ended it as agreed, else what was wrong."""
        view, pace = self._view, self._view._pace
        if self._version is None:
            self._ended_ns = None
            listing = view._api.list(self.kind)
            view._store.relist(self.kind, listing.items, listing.received_ns, self.contact_ns)
            self._version, self._fruitless = listing.resource_version, 0
            self._touch(listing.sent_ns)
            self.listed = True
            view.signal.notify()
        events = view._api.watch(self.kind, resource_version=self._version, lasting=self._lasting, silence=pace.silence)
        self._opened(view._clock.now_ns())
        opened = view._clock.now_ns()
        for event in events:  # which closes itself when it ends, however it ends
            self._version = event.object["metadata"]["resourceVersion"]
            self._fruitless, self._pause = 0, pace.first_pause
            if event.type != "BOOKMARK":
                event.object.setdefault("apiVersion", self.kind.api_version)
                event.object.setdefault("kind", self.kind.kind)
                prompt = event.received_ns >= self._prompt_from_ns
                view._store.event(event.object, event.received_ns, deleted=event.type == "DELETED", prompt=prompt,
                                  floor_ns=self.contact_ns if prompt else self._floor_ns)  # fmt: skip
            self._touch(event.received_ns)
            if event.type != "BOOKMARK":
                view.signal.notify()
        ended = view._clock.now_ns()
        lasted = between_ns(opened, ended)
        if lasted >= self._lasting - min(SECOND, self._lasting / 2):
            self._fruitless, self._pause, self._ended_ns = 0, pace.first_pause, ended
            self._touch(ended)
            return None
        return f"the server closed the watch after {lasted.total_seconds():.1f} s"

    def _opened(self, moment_ns: int) -> None:
        """A watch is established: close the gap, and know which events may have waited for it."""
        view = self._view
        turn = between_ns(self._ended_ns, moment_ns) if self._ended_ns is not None and self.gap is None else None
        if turn is None or turn > PROMPT_TURN:
            self._prompt_from_ns = moment_ns + int(view._pace.backlog.total_seconds() * 1e9)
            self._floor_ns = self.contact_ns
        if turn is not None and turn > UNNOTICED_TURN:
            took = turn.total_seconds() * 1000
            self._open_gap(f"the next watch took {took:.0f} ms to open", since_ns=self._ended_ns)
        self._ended_ns = None
        self._close_gap(moment_ns)

    def _refused(self, error: ApiRefused) -> str | None:
        """An error answer is never a reason to trust the old version: list anew."""
        view = self._view
        self._version = None
        if error.status == 404:  # not served: no CRD, or no longer. Known, and empty.
            now = view._clock.now_ns()
            view._store.relist(self.kind, (), now, self.contact_ns)
            self._touch(now)
            self._close_gap(now)
            changed, self.listed = not self.listed, True
            if changed:
                view.signal.notify()
            view._stopped.wait(view._pace.absent_pause.total_seconds())
            return None
        return f"the API answered {error.status} {error.reason}: {error.message}"

    def _rest(self, trouble: str) -> None:
        """After trouble: put it on record, wait a moment, and for as long as the API is known to be away."""
        view = self._view
        self._open_gap(trouble)
        self._fruitless += 1
        if self._fruitless >= 3:  # the server may have forgotten our version without saying so
            self._version = None
        view._stopped.wait(self._pause.total_seconds())
        self._pause = min(self._pause * 2, view._pace.longest_pause)
        if not view._prober.answering:
            view._prober.await_answer()
            self._pause = view._pace.first_pause

    def _touch(self, moment_ns: int) -> None:
        self.contact_ns = max(moment_ns, self.contact_ns or moment_ns)

    def _open_gap(self, reason: str, since_ns: int | None = None) -> None:
        view = self._view
        if self.gap is not None or view._stopped.is_set():
            return
        gap = Gap(self.kind, since_ns or self.contact_ns or view._clock.now_ns(), None, reason)
        with view._lock:
            self.gap = gap
        view._on_gap(gap)
        view.signal.notify()

    def _close_gap(self, moment_ns: int) -> None:
        view = self._view
        if self.gap is None:
            return
        closed = replace(self.gap, end_ns=moment_ns)
        with view._lock:
            self.gap = None
            view._gaps.append(closed)
        view._on_gap(closed)
        view.signal.notify()


class Watching(Protocol):
    """What `blindness` asks of a view."""

    @property
    def answering(self) -> bool: ...
    @property
    def gaps(self) -> tuple[Gap, ...]: ...


def blindness(view: Watching, kind: tuple[str, str] | None = None) -> str:
    """Why nothing that the view shows (of one group and kind, if given) can be trusted now; "" if it can."""
    if not view.answering:
        return "the API does not answer"
    for gap in view.gaps:
        if gap.end_ns is None and kind in (None, (gap.kind.group, gap.kind.kind)):
            return f"no current view of {gap.kind}: {gap.reason}"
    return ""
