"""What was lost that Git does not hold: written data, and objects that nobody described.

Here belongs judging the data canary and the loss list. How they are had does not: that is `harness.probes.ledger`,
`harness.probes.loss` and `harness.probes.census`.

Events read here:
  ledger.acknowledged   id, target, rows: [[sequence number, sent_us, acknowledged_us], ...]
  volume.copied         claim, begun_us, ended_us
  observed (ledger)     value: id, target, claim, asked_us, present ([[first, last], ...] of sequence numbers), strays
  observed (loss)       value: [{identity, why}, ...]
  observed (census)     value: {identity: {uid, owner, ...}}
  by_hand.made          identities
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from fnmatch import fnmatchcase
from typing import Any

from harness.core.checks.check import Check
from harness.core.text import duration, some
from harness.core.timeline import Event, History
from harness.core.verdict import Finding, Verdict

CLAIM = "PersistentVolumeClaim "
# Made by the cluster under a name of chance: a claim's volume (the claim stands for it), the token by which nodes join.
_BY_CHANCE = ("PersistentVolume pvc-*", "Secret kube-system/bootstrap-token-*")


def data_loss_within(limit: timedelta | None = None) -> Check:
    """No acknowledged write that is missing after the recovery was older than `limit` when the fault struck.

    Without a `limit`: than the copy of the volume, the last one taken before the fault. Age counts from the
    acknowledgement, which lies between sending the row and hearing the answer; a limit inside that is INCONCLUSIVE. So
    is a drill in which no write was old enough to break the promise.
    """
    label = f"data loss within {'the age of the copy' if limit is None else duration(limit)}"

    def judge(history: History) -> Finding:
        fault, books = history.first("fault.injected"), _books(history)
        expected = f"no acknowledged write lost that was older than {_limit(limit)}"
        if problem := _unready(fault, books):
            return Finding(label, Verdict.INCONCLUSIVE, expected, problem)
        assert fault is not None
        told = [_within(history, book, fault, limit) for book in books]
        return _joined(history, label, expected, books, told)

    return Check(label, judge)


def git_brings_back_no_data() -> Check:
    """Every acknowledged write is missing after a rebuild from Git alone. That is no failure: it is what Git can do.

    How much that was, and how old, is in the figures. A write that is there nevertheless came from somewhere else. The
    control is a reading before the fault that shows the writes: a canary that keeps nothing would be found empty too.
    """
    label = "Git alone brings back no data"

    def judge(history: History) -> Finding:
        fault, books = history.first("fault.injected"), _books(history)
        expected = "every acknowledged write lost"
        if problem := _unready(fault, books):
            return Finding(label, Verdict.INCONCLUSIVE, expected, problem)
        assert fault is not None
        told = []
        for book in books:
            there = len(book.rows) - len(book.lost)
            if problem := _unproven(book, fault):
                told.append((Verdict.INCONCLUSIVE, problem))
            elif there:
                told.append((Verdict.REFUTED, f"{there} of {len(book.rows)} are there, though nothing restored them"))
            else:
                told.append((Verdict.HELD, ""))
        return _joined(history, label, expected, books, told)

    return Check(label, judge)


def lost_what_was_listed() -> Check:
    """What the loss list of before the fault names is gone after the rebuild, and nothing else is.

    Of a volume claim its data is meant: gone when the claim is another one (another UID). What was put in by hand must
    be on the list. "Nothing else" is asked of every object that nobody owns: owned ones come back under other names.
    """
    label = "what the loss list names is lost, and nothing else"

    def judge(history: History) -> Finding:
        expected = "each object on the list gone, every other one there"
        fault = history.first("fault.injected")
        listed = _before(history, "loss", fault)
        old, new = _before(history, "census", fault), _after(history, "census", fault)
        if listed is None or old is None or new is None:
            return Finding(label, Verdict.INCONCLUSIVE, expected, "no loss list before, or no census before and after")
        names = {item["identity"] for item in listed.data["value"]}
        made = [name for e in history.of("by_hand.made") if e.seq < listed.seq for name in e.data["identities"]]
        evidence = (listed.seq, old.seq, new.seq)
        figures = {"listed": float(len(names)), "volumes": float(sum(name.startswith(CLAIM) for name in names))}
        if not names:
            return Finding(label, Verdict.INCONCLUSIVE, expected, "nothing was on the list", evidence, figures)
        wrong = _mistakes(names, made, old.data["value"], new.data["value"])
        if wrong:
            return Finding(label, Verdict.REFUTED, expected, "; ".join(wrong), evidence, figures)
        told = f"{len(names)} listed and lost ({figures['volumes']:.0f} volumes), nothing else"
        return Finding(label, Verdict.HELD, expected, told, evidence, figures)

    return Check(label, judge)


# --- how: written data ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Row:
    """A write that was acknowledged between the two moments."""

    number: int
    sent_us: int
    acknowledged_us: int


@dataclass(frozen=True, slots=True)
class _Book:
    """What one canary wrote, and what was found of it after the fault (None: it was not read)."""

    id: str
    target: str
    rows: tuple[_Row, ...]
    reading: Event | None
    control: Event | None  # the last reading before the fault

    @property
    def lost(self) -> tuple[_Row, ...]:
        return self._missing(self.reading)

    @property
    def kept(self) -> bool:
        """Whether a look before the fault found every write that had been acknowledged by then, and there were some."""
        asked_us = self.control.data["value"].get("asked_us", 0) if self.control else 0
        owed = {row for row in self.rows if row.acknowledged_us <= asked_us}
        return bool(owed) and owed.isdisjoint(self._missing(self.control))

    def _missing(self, reading: Event | None) -> tuple[_Row, ...]:
        there = [] if reading is None else reading.data["value"]["present"]
        return tuple(row for row in self.rows if not any(first <= row.number <= last for first, last in there))


def _books(history: History) -> tuple[_Book, ...]:
    fault = history.first("fault.injected")
    rows: dict[tuple[str, str], list[_Row]] = {}
    for event in history.of("ledger.acknowledged"):
        key = (event.data["id"], event.data["target"])
        rows.setdefault(key, []).extend(_Row(*row) for row in event.data["rows"])
    seen = [e for e in history.of("observed") if e.data["reading"] == "ledger" and fault]
    after = {e.data["value"]["id"]: e for e in seen if fault and e.seq > fault.seq}
    before = {e.data["value"]["id"]: e for e in seen if fault and e.seq < fault.seq}
    return tuple(_Book(id, target, tuple(found), after.get(id), before.get(id)) for (id, target), found in rows.items())


def _unready(fault: Event | None, books: Sequence[_Book]) -> str:
    """Why nothing can be said, or nothing."""
    if fault is None:
        return "no fault"
    if not books:
        return "no write was acknowledged"
    unread = [book.target for book in books if book.reading is None]
    return f"not read after the fault: {some(unread)}" if unread else ""


def _unproven(book: _Book, fault: Event) -> str:
    """Why it would prove nothing that all its writes are missing; "" if it would."""
    if not any(row.acknowledged_us < fault.data["sent_us"] for row in book.rows):
        return "nothing was acknowledged before the fault"
    return "" if book.kept else "no look before the fault found all writes: they may never have been kept"


def _within(history: History, book: _Book, fault: Event, limit: timedelta | None) -> tuple[Verdict, str]:
    assert book.reading is not None
    if strays := book.reading.data["value"]["strays"]:
        return Verdict.REFUTED, f"{strays} rows are there that nobody wrote"
    if limit is None:
        copy = _copy(history, book, fault)
        if copy is None:
            return Verdict.INCONCLUSIVE, "no copy of its volume before the fault"
        earliest = latest = copy.data["begun_us"]
    else:
        width = limit // timedelta(microseconds=1)
        earliest, latest = fault.data["sent_us"] - width, fault.data["accepted_us"] - width
    owed = [row for row in book.rows if row.acknowledged_us <= earliest]
    missing = set(book.lost)
    broken = [row for row in owed if row in missing]
    if broken:
        return Verdict.REFUTED, f"{len(broken)} of {len(owed)} writes lost that are older than {_limit(limit)}"
    if not owed:
        return Verdict.INCONCLUSIVE, f"no write was older than {_limit(limit)}: none could break the promise"
    if limit is not None and any(row.sent_us < latest for row in missing):
        return Verdict.INCONCLUSIVE, f"a lost write may have been older than {_limit(limit)}"
    return Verdict.HELD, ""


def _copy(history: History, book: _Book, fault: Event) -> Event | None:
    claim = book.reading.data["value"]["claim"] if book.reading else ""
    taken = [e for e in history.of("volume.copied") if e.seq < fault.seq and e.data["claim"] == claim]
    return taken[-1] if taken else None


def _limit(limit: timedelta | None) -> str:
    return "the copy" if limit is None else duration(limit)


def _joined(
    history: History, label: str, expected: str, books: Sequence[_Book], told: Sequence[tuple[Verdict, str]]
) -> Finding:
    """One finding for all canaries: the worst verdict, with what was lost in words and figures."""
    fault = history.of("fault.injected")[0]
    order = (Verdict.REFUTED, Verdict.INCONCLUSIVE, Verdict.HELD)
    verdict = min((said for said, _ in told), key=order.index)
    rows, lost = [row for b in books for row in b.rows], [row for b in books for row in b.lost]
    oldest = max((_age(fault, row) for row in lost), default=0.0)
    figures = {"acknowledged_writes": float(len(rows)), "lost_writes": float(len(lost)), "oldest_lost_age_s": oldest}
    measured = f"{len(lost)} of {len(rows)} acknowledged writes lost"
    if lost:
        measured += f", the oldest {duration(timedelta(seconds=oldest))} old at the loss"
    copies = [copy for book in books if (copy := _copy(history, book, fault))]
    if copies:
        figures["copy_age_s"] = max((fault.data["accepted_us"] - copy.data["begun_us"]) / 1e6 for copy in copies)
        measured += f"; the copy was {duration(timedelta(seconds=figures['copy_age_s']))} old"
    reasons = [f"{book.target}: {why}" for book, (_, why) in zip(books, told, strict=True) if why]
    evidence = (fault.seq, *(copy.seq for copy in copies), *(b.reading.seq for b in books if b.reading))
    return Finding(label, verdict, expected, "; ".join([*reasons, measured]), evidence, figures)


def _age(fault: Event, row: _Row) -> float:
    """Seconds from the acknowledgement as we heard it to the fault; a write acknowledged while it struck has none."""
    accepted_us: int = fault.data["accepted_us"]
    return max(0.0, (accepted_us - row.acknowledged_us) / 1e6)


# --- how: objects -----------------------------------------------------------------------------------------------------


def _mistakes(
    listed: set[str], made: Iterable[str], old: Mapping[str, Mapping[str, Any]], new: Mapping[str, Mapping[str, Any]]
) -> list[str]:
    unlisted = [name for name in made if name not in listed]
    survived = [name for name in sorted(listed) if name in new and not _emptied(name, old, new)]
    gone = sorted(old.keys() - new.keys() - listed)
    also = [name for name in gone if not old[name].get("owner") and not _named_by_chance(name)]
    return [
        *([f"put in by hand and not listed: {some(unlisted)}"] if unlisted else []),
        *([f"listed, and there after the rebuild: {some(survived)}"] if survived else []),
        *([f"lost and not listed: {some(also)}"] if also else []),
    ]


def _named_by_chance(name: str) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in _BY_CHANCE)


def _emptied(name: str, old: Mapping[str, Mapping[str, Any]], new: Mapping[str, Mapping[str, Any]]) -> bool:
    return name.startswith(CLAIM) and name in old and old[name]["uid"] != new[name]["uid"]


def _before(history: History, reading: str, fault: Event | None) -> Event | None:
    found = [e for e in history.of("observed") if e.data["reading"] == reading and fault and e.seq < fault.seq]
    return found[-1] if found else None


def _after(history: History, reading: str, fault: Event | None) -> Event | None:
    found = [e for e in history.of("observed") if e.data["reading"] == reading and fault and e.seq > fault.seq]
    return found[-1] if found else None
