"""How events read: one sentence an event, the same on the console and on the page.

Here belong sentences of events and the cleaning of untrusted text (logs, object names, error messages). What looks like
a credential is covered here too. Margins, colours and markup do not belong here: they are the renderers' own.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from typing import Any

from harness.core.redaction import redact
from harness.core.text import duration, elapsed
from harness.core.timeline import Event
from harness.core.verdict import Finding

LIMIT = 400  # characters of one sentence; the timeline keeps the rest
_ESCAPES = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[@-Z\\-_])")
# C0 and C1 controls, and characters that reorder or hide what is beside them.
_CONTROLS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff\ud800-\udfff]")


def clean(text: object, limit: int = LIMIT) -> str:
    """`text` on one line, without terminal escapes, controls and direction marks, cut to `limit` characters."""
    whole = str(text)
    raw = whole[: limit * 4]  # what is far beyond the limit is not worth looking at
    shown = redact(" ".join(_CONTROLS.sub("", _ESCAPES.sub("", raw)).split()))
    if len(shown) <= limit and len(raw) == len(whole):
        return shown
    return f"{shown[:limit].rstrip()}… ({len(whole):,} characters)"


def stamp(at: timedelta) -> str:
    """`+04:12.3`: a place on a timeline, tenths of a second."""
    tenths = max(0, round(at.total_seconds() * 10))
    return f"+{tenths // 600:02d}:{tenths % 600 / 10:04.1f}"


def left(value: Any) -> str:
    """`25:48 left`, from seconds."""
    return f"{elapsed(timedelta(seconds=_number(value)))[1:]} left"


def sentence(event: Event, limit: int = LIMIT) -> str:
    """What happened, in words. Any event reads as something, also one of an unknown kind or with fields missing."""
    try:
        return clean(_SENTENCES.get(event.kind, _plain)(event), limit)
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError):
        return clean(_plain(event), limit)


def answer(data: Mapping[str, Any]) -> str:
    """An observation in words: state, progress, what should be and what is."""
    total = data.get("total")
    progress = f" {data.get('done') or 0}/{total}" if total is not None else ""
    if data.get("state") == "MET":
        return f"MET{progress}, {data.get('actual', '')}"
    return f"{data.get('state', '?')}{progress}, should be {data.get('expected', '?')}, is {data.get('actual', '?')}"


def brief(value: Any) -> str:
    """Plain data in a few words; collections by their size."""
    if isinstance(value, str):
        return clean(value, 120)
    if isinstance(value, Mapping) and len(value) > 4:
        return f"{len(value)} entries"
    if isinstance(value, Mapping):
        return ", ".join(f"{clean(k, 60)} {brief(v)}" for k, v in value.items())
    if isinstance(value, Sequence):
        return f"{len(value)} items" if len(value) > 4 else ", ".join(brief(v) for v in value)
    return clean(value, 60)


def _number(value: Any) -> float:
    return float(value) if isinstance(value, int | float) else 0.0


def _seconds(value: Any) -> str:
    return duration(timedelta(seconds=_number(value)))


def _plain(event: Event) -> str:
    facts = ", ".join(f"{key} {brief(value)}" for key, value in event.data.items())
    return " ".join(part for part in (event.kind, event.subject, f"({facts})" if facts else "") if part)


def _begun(event: Event) -> str:
    verb = event.kind.partition(".")[0]
    settle = _number(event.data.get("settle_s"))
    steady = f", then {_seconds(settle)} of holding" if settle else ""
    return f"{verb} {event.subject}: at most {_seconds(event.data['within_s'])}{steady}"


def _ended(event: Event) -> str:
    verb = event.kind.partition(".")[0]
    settle = _number(event.data.get("settle_s")) if event.data["state"] == "MET" else 0.0
    waited = f" after {_seconds(max(event.data['waited_s'] - settle, 0.0))}" if "waited_s" in event.data else ""
    held = f", held for {_seconds(settle)}" if settle else ""
    flaps = event.data.get("flaps")
    lost = f" (was MET and lost again {flaps} times)" if flaps else ""
    if event.data["state"] == "MET":
        return f"{verb} {event.subject}: MET{waited}{held}, {event.data['actual']}{lost}"
    return f"{verb} {event.subject}: gave up{waited}, {answer(event.data)}{lost}"


def _confirmed(event: Event) -> str:
    if event.data["state"] == "MET":
        return f"fault {event.subject}: landed, {event.data['actual']}"
    return f"fault {event.subject}: not landed, {answer(event.data)}"


def _hold_ended(event: Event) -> str:
    looked = _seconds(event.data["waited_s"])
    if event.data["state"] == "MET":
        return f"hold {event.subject}: so for all of {looked}, {event.data['actual']}"
    verb = "lost" if event.data["state"] == "BROKEN" else "not seen at the end"
    return f"hold {event.subject}: {verb} after {looked}, {answer(event.data)}"


def _unanswered(event: Event) -> str:
    return f"{event.kind.partition('.')[0]} {event.subject}: no answer, {event.data['error']}"


def _observed(event: Event) -> str:
    value, reading = event.data["value"], event.data.get("reading")
    if reading in ("census", "inventory", "loss") and isinstance(value, Mapping | list):
        return f"observed {event.subject}: {len(value)} objects"
    return f"observed {event.subject}: {brief(value)}"


def _phase_ended(event: Event) -> str:
    length = duration(event.at - timedelta(microseconds=event.data["begun_us"]))
    outcome = event.data.get("outcome", "done")
    return f"phase {event.subject}: {length}" + ("" if outcome == "done" else f", ended by {outcome}")


def _finding(event: Event) -> str:
    return Finding.from_record(event.data).sentence()


def _gap(event: Event) -> str:
    begin, end = event.data["start_us"], event.data["end_us"]
    until = f" to {stamp(timedelta(microseconds=end))}" if end is not None else " on"
    return f"{event.subject} not observed from {stamp(timedelta(microseconds=begin))}{until}: {event.data['reason']}"


_SENTENCES: Mapping[str, Callable[[Event], str]] = {
    "drill.begun": lambda e: f"drill {e.subject}, blast radius {e.data['blast_radius']}: {e.data['promise']}",
    "drill.ended": lambda e: f"drill {e.subject}: {e.data['verdict']}",
    "run.begun": lambda e: f"run {e.subject}: {e.data['command_line']}",
    "run.ended": lambda e: f"run {e.subject}: ended",
    "require.begun": _begun,
    "until.begun": _begun,
    "require.ended": _ended,
    "until.ended": _ended,
    "probe.changed": lambda e: f"{e.subject}: {answer(e.data)}",
    "heartbeat": lambda e: f"{e.subject}: {answer(e.data)} ({left(e.data['left_s'])})",
    "fault.injecting": lambda e: f"fault {e.subject}: injecting",
    "fault.injected": lambda e: f"fault {e.subject}: accepted, {e.data['what']}",
    "fault.confirmed": _confirmed,
    "phase.begun": lambda e: f"phase {e.subject}: begun",
    "phase.ended": _phase_ended,
    "observed": _observed,
    "finding": _finding,
    "sabotage.begun": lambda e: f"sabotage {e.subject}: begun; '{e.data['expect']}' must come out REFUTED",
    "sabotage.ended": lambda e: f"sabotage {e.subject}: undone",
    "hold.begun": lambda e: f"hold {e.subject}: for {_seconds(e.data['lasting_s'])} it must stay as it is",
    "hold.ended": _hold_ended,
    "require.failed": _unanswered,
    "until.failed": _unanswered,
    "hold.failed": _unanswered,
    "heal.begun": lambda e: f"heal {e.subject}: begun",
    "heal.ended": lambda e: f"heal {e.subject}: done",
    "judging": lambda e: f"judging by {len(e.data['checks'])} checks",
    "heal.failed": lambda e: f"{e.subject} could not be undone: {e.data['error']}",
    "twin.story": lambda e: f"the sabotaged story came out {e.data['verdict']}: {e.data['findings']}",
    "ledger.begun": lambda e: f"{e.subject}: a row every {_seconds(e.data['every_s'])}",
    "ledger.acknowledged": lambda e: f"{e.subject}: {len(e.data['rows'])} rows acknowledged",
    "ledger.ended": lambda e: f"{e.subject}: {e.data['acknowledged']} of {e.data['sent']} rows acknowledged",
    "volume.copied": lambda e: f"volume {e.subject}: copied, {e.data['bytes']} bytes from {e.data['node']}",
    "volume.restored": lambda e: f"volume {e.subject}: put back on {e.data['node']}",
    "by_hand.made": lambda e: f"put in by hand: {', '.join(e.data['identities'])}",
    "gap": _gap,
    "handed.over": lambda e: f"the cluster: {'left clean' if e.data['clean'] else e.data['why']}",
    "note": lambda e: f"{e.subject}: {e.data['text']}",
}
