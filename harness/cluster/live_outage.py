"""Does the API answer? Asked again and again, each outage on record with the resolution of its beginning and its end.

Here belongs the prober of a live view. The watches themselves do not: see `harness.cluster.live`.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import timedelta

from harness.cluster.kube import KubeApi
from harness.core.clock import MILLISECOND, SECOND, Clock, between_ns
from harness.core.errors import ApiRefused, ApiUnreachable

REMEMBERED = 1000


@dataclass(frozen=True, slots=True)
class Outage:
    """A time in which the API did not answer. Monotonic ns.

    It began between `last_answer_ns` (None: it never had answered) and `first_failure_ns`, and ended between
    `last_failure_ns` and `answered_ns`, None while it lasts. A failure is dated by when its request was sent, or, where
    that request hung, by the last moment at which it had waited in vain.
    """

    last_answer_ns: int | None
    first_failure_ns: int
    last_failure_ns: int
    answered_ns: int | None
    reason: str


@dataclass(frozen=True, slots=True)
class Pace:
    """How patient the threads of a live view are."""

    lasting: timedelta = 6 * SECOND  # after which the server is asked to end a watch politely
    silence: timedelta = 7 * SECOND  # after which a connection counts as dead
    first_pause: timedelta = 100 * MILLISECOND
    longest_pause: timedelta = SECOND
    absent_pause: timedelta = 300 * MILLISECOND  # between looks for a kind that is not served
    backlog: timedelta = SECOND  # what comes so soon after a watch was interrupted may have waited for it
    probe: timedelta = SECOND
    probe_in_outage: timedelta = 100 * MILLISECOND
    probe_patience: timedelta = 2 * SECOND


class Prober:
    """Asks from a thread of its own; any answer counts, also an error."""

    def __init__(self, api: KubeApi, clock: Clock, pace: Pace, on_change: Callable[[Outage], None]) -> None:
        """`api` is ours alone, and closed by `stop`. `on_change` hears each outage begin and end."""
        self.thread = threading.Thread(target=self._run, name="probe the API", daemon=True)
        self._api, self._clock, self._pace, self._on_change = api, clock, pace, on_change
        self._stopped, self._wake, self._up = threading.Event(), threading.Event(), threading.Event()
        self._up.set()
        self._lock = threading.Lock()
        self._past: deque[Outage] = deque(maxlen=REMEMBERED)
        self._now: Outage | None = None
        self._last_answer_ns: int | None = None

    @property
    def answering(self) -> bool:
        return self._now is None

    @property
    def outages(self) -> tuple[Outage, ...]:
        with self._lock:
            return (*self._past, *([self._now] if self._now else []))

    def look(self) -> None:
        """Ask now: somebody has seen a connection break."""
        self._wake.set()

    def await_answer(self) -> None:
        """Block until the API answers or we are stopped."""
        while not self._stopped.is_set() and not self._up.wait(0.5):
            continue

    def stop(self) -> None:
        """End the thread, and a request that it waits for."""
        self._stopped.set()
        self._up.set()
        self._wake.set()
        self._api.close()

    def _run(self) -> None:
        while not self._stopped.is_set():
            self._wake.clear()
            sent = self._clock.now_ns()
            failure = self._ask()
            ended = self._clock.now_ns()
            if self._stopped.is_set():
                return
            tick = self._pace.probe_in_outage
            hung = between_ns(sent, ended) > 2 * tick
            vain = ended - int(tick.total_seconds() * 1e9) if hung else sent
            if failure is None:
                self._answered(ended, vain if hung else None)
                self._wake.wait(self._pace.probe.total_seconds())
            else:
                self._failed(sent, vain, failure)
                self._stopped.wait(max(0.0, (tick - between_ns(sent, ended)).total_seconds()))

    def _ask(self) -> str | None:
        try:
            self._api.raw("/livez/ping")  # needs no data store, and every authenticated user may
        except ApiUnreachable as error:
            return str(error)
        except ApiRefused:
            return None
        return None

    def _answered(self, moment_ns: int, vain_ns: int | None) -> None:
        outage, self._last_answer_ns = self._now, moment_ns
        if outage is None:
            return
        ended = replace(outage, last_failure_ns=vain_ns or outage.last_failure_ns, answered_ns=moment_ns)
        with self._lock:
            self._now = None
            self._past.append(ended)
        self._up.set()
        self._on_change(ended)

    def _failed(self, sent_ns: int, vain_ns: int, reason: str) -> None:
        begun = self._now is None
        with self._lock:
            if self._now is None:
                self._now = Outage(self._last_answer_ns, sent_ns, vain_ns, None, reason)
            else:
                self._now = replace(self._now, last_failure_ns=vain_ns)
            now = self._now
        if begun:
            self._up.clear()
            self._on_change(now)
