"""The data canary: rows that a workload acknowledges once they are on its volume, and what is found of them later.

Here belong the writer, its one probe and its reading. Judging loss is `harness.core.checks.loss`; a copy of the volume
is `harness.gitops.backup`.

The workload has to keep an append-only log as the sample image does: `POST /append` answers with a count after fsync,
`GET /log` serves every line. It is asked through the API's Pod proxy, so that no port of the cluster has to be open.
Rows carry the canary's own id: what other drills wrote to the same volume is not counted.
"""

from __future__ import annotations

import secrets
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Protocol

from harness.core.clock import MILLISECOND, SECOND
from harness.core.errors import ApiRefused, ApiUnreachable, ConfigError, HarnessError, ProvisionFailed
from harness.core.objects import Object, dig, placed
from harness.core.observation import Observation, State
from harness.core.text import first_line
from harness.effects.waiting import Signal
from harness.gitops.platform import Platform

EVERY = 50 * MILLISECOND
ANSWER_WITHIN = 2 * SECOND  # per row: a workload that is gone must not hold up the next attempt
REPORT_EVERY = SECOND  # rows become one event on the timeline at least this often
_NO_ANSWER = (ApiUnreachable, ApiRefused, ProvisionFailed)


class Moment(Protocol):
    """Something that was over at a known moment, such as a copy."""

    @property
    def ended_ns(self) -> int: ...


@dataclass(slots=True)
class Ledger:
    """Writes rows to a StatefulSet's first pod (`namespace/name`, as in Git) and remembers what it acknowledged.

    A row that was sent and not answered is neither promised nor denied: it is never sent again, and never counted.
    Raises ConfigError, before anything is written, unless Git describes such a StatefulSet with a volume.
    """

    platform: Platform
    target: str
    id: str = field(default_factory=lambda: secrets.token_hex(4))
    claim: str = field(init=False)  # namespace/name of the volume claim
    signal: Signal = field(init=False)
    sent: int = 0
    acknowledged_ns: list[int] = field(default_factory=list)
    failures: int = 0
    last_failure: str = ""
    _place: _Place = field(init=False)
    _unreported: list[tuple[int, int, int]] = field(default_factory=list)
    _reported_ns: int = 0
    _writing: bool = False

    def __post_init__(self) -> None:
        name = _name(self.target)
        self._place = _placed(self.target, (o.manifest for o in self.platform.desired() if str(o.ref) == name))
        self.claim = f"{self._place.namespace}/{self._place.claim}"
        self.signal = Signal(self.platform.clock)

    @property
    def subject(self) -> str:
        return f"ledger({self.target})"

    def append(self) -> bool:
        """Write the next row; whether it was acknowledged."""
        clock = self.platform.clock
        self.sent += 1
        number, sent = self.sent, clock.now_ns()
        row = f"drill {self.id} {number} {sent}".encode()
        try:
            answer = self.platform.api.raw(self._place.path("append"), method="POST", body=row, timeout=ANSWER_WITHIN)
        except _NO_ANSWER as error:
            return self._failed(first_line(error))
        heard = clock.now_ns()
        if not answer.strip().isdigit():
            return self._failed(f"an answer that is no count: {answer[:40]!r}")
        self._unreported.append((number, sent, heard))
        self.acknowledged_ns.append(heard)
        if heard - self._reported_ns >= REPORT_EVERY.total_seconds() * 1e9:
            self._report()
        self.signal.notify()
        return True

    @contextmanager
    def writing(self, *, every: timedelta = EVERY) -> Iterator[Ledger]:
        """Append a row at once and then `every` so often, in a thread, until the end of the block.

        Raises HarnessError at its end if the thread broke down.
        """
        journal, stop, crash = self.platform.journal, threading.Condition(), list[Exception]()
        journal.add("ledger.begun", self.subject, id=self.id, claim=self.claim, every_s=every.total_seconds())

        def work() -> None:
            try:
                while self._writing:
                    self.append()
                    with stop:
                        if self._writing:
                            self.platform.clock.wait(stop, every)
            except Exception as error:  # noqa: BLE001 - carried to the caller's thread and raised there
                crash.append(error)
                self._writing = False

        thread = threading.Thread(target=work, name=self.subject, daemon=True)
        self._writing = True
        thread.start()
        try:
            yield self
        finally:
            with stop:
                self._writing = False
                stop.notify_all()
            thread.join(3 * ANSWER_WITHIN.total_seconds())
            self._report()
            journal.add("ledger.ended", self.subject, id=self.id, sent=self.sent, failures=self.failures,
                        acknowledged=len(self.acknowledged_ns), last_failure=self.last_failure)  # fmt: skip
        if crash:
            raise HarnessError(f"{self.subject} broke down: {crash[0]!r}") from crash[0]

    def acknowledged(self, *, at_least: int, since: Moment | None = None) -> _Acknowledged:
        """So many rows have been acknowledged, or so many since something was over (a copy)."""
        return _Acknowledged(self, at_least, since)

    def contents(self) -> _Contents:
        """What the workload serves of our rows now."""
        return _Contents(self)

    def rows(self) -> str:
        """Everything that the workload serves. Raises ApiUnreachable, ApiRefused, ProvisionFailed."""
        return self.platform.api.raw(self._place.path("log"))

    @property
    def writer_at_work(self) -> bool:
        return self._writing

    def _failed(self, why: str) -> bool:
        self.failures, self.last_failure = self.failures + 1, why[:160]
        self.signal.notify()
        return False

    def _report(self) -> None:
        """What was acknowledged, as one event for many rows, so that a stored run can be judged."""
        rows, self._unreported = self._unreported, []
        self._reported_ns = self.platform.clock.now_ns()
        if rows:
            line = self.platform.journal.timeline

            def us(ns: int) -> int:
                return line.moment(ns) // timedelta(microseconds=1)

            told = [[number, us(sent), us(heard)] for number, sent, heard in rows]
            line.add("ledger.acknowledged", self.subject, id=self.id, target=self.target, rows=told)


@dataclass(frozen=True, slots=True)
class _Acknowledged:
    """How many rows the workload has promised to keep."""

    ledger: Ledger
    at_least: int
    since: Moment | None

    @property
    def subject(self) -> str:
        return f"acknowledged({self.ledger.target}, {self.at_least} rows{' more' if self.since else ''})"

    @property
    def signal(self) -> Any:
        return self.ledger.signal

    def observe(self) -> Observation:
        ledger, now = self.ledger, self.ledger.platform.clock.now_ns()
        working = ledger.writer_at_work
        since = self.since.ended_ns if self.since else 0
        moments = [ns for ns in ledger.acknowledged_ns if ns > since]
        told = f"{len(moments)} rows acknowledged"
        expected = f"at least {self.at_least} rows acknowledged"
        if len(moments) >= self.at_least:
            at = moments[self.at_least - 1] if self.at_least else now
            return Observation(State.MET, self.subject, expected, told, at, done=len(moments), total=self.at_least)
        why = f"{told}; last failure: {ledger.last_failure}" if ledger.last_failure else told
        state = State.PENDING if working else State.BROKEN
        why = why if working else f"{why}; nobody is writing"
        return Observation(state, self.subject, expected, why, now, done=len(moments), total=self.at_least)


@dataclass(frozen=True, slots=True)
class _Contents:
    """Which of our rows the workload has."""

    ledger: Ledger
    name: str = "ledger"

    def read(self) -> dict[str, Any]:
        """The rows that are there, as ranges of sequence numbers; `strays` are lines in our name that we never sent.
        What was acknowledged before `asked_us` has to be among them.

        Raises ApiUnreachable, ApiRefused, ProvisionFailed.
        """
        ledger, clock = self.ledger, self.ledger.platform.clock
        asked = ledger.platform.journal.timeline.moment(clock.now_ns()) // timedelta(microseconds=1)
        lines = ledger.rows().splitlines()
        ours = [line.split() for line in lines if line.startswith(f"drill {ledger.id} ")]
        numbers = [int(words[2]) for words in ours if len(words) == 4 and words[2].isdigit()]
        known = {number for number in numbers if 1 <= number <= ledger.sent}
        strays = len(ours) - len(known)  # torn, twice, or never sent
        return {"id": ledger.id, "target": ledger.target, "claim": ledger.claim, "lines": len(lines),
                "asked_us": asked, "present": ranges(known), "strays": strays}  # fmt: skip


def ranges(numbers: Iterable[int]) -> list[list[int]]:
    """`[[first, last], ...]`, ascending: a thousand rows in a row are one pair."""
    found: list[list[int]] = []
    for number in sorted(numbers):
        if found and number == found[-1][1] + 1:
            found[-1][1] = number
        else:
            found.append([number, number])
    return found


@dataclass(frozen=True, slots=True)
class _Place:
    """Where the rows go."""

    namespace: str
    pod: str
    port: int
    claim: str

    def path(self, verb: str) -> str:
        return f"/api/v1/namespaces/{self.namespace}/pods/{self.pod}:{self.port}/proxy/{verb}"


def _name(target: str) -> str:
    placed(target, "StatefulSet")
    return f"StatefulSet {target}"


def _placed(target: str, found: Iterable[Object]) -> _Place:
    namespace, _, name = target.partition("/")
    for manifest in found:
        templates = [str(dig(t, "metadata", "name")) for t in dig(manifest, "spec", "volumeClaimTemplates", default=[])]
        for container in dig(manifest, "spec", "template", "spec", "containers", default=[]):
            mounted = {mount.get("name") for mount in container.get("volumeMounts") or ()}
            held = [template for template in templates if template in mounted]
            port = dig(container, "ports", 0, "containerPort")
            if held and port:
                return _Place(namespace, f"{name}-0", int(port), f"{held[0]}-{name}-0")
        raise ConfigError(f"a container of StatefulSet {target} with a port and a volume claim", "none in Git",
                          "name a StatefulSet whose data is on a volume")  # fmt: skip
    raise ConfigError(f"a StatefulSet {target} in Git", "none", "name one that the repository describes")
