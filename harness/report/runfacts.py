"""What a run was made on: its facts, as every page shows them.

Here belongs turning run.json into rows of text. Where they stand on a page is in the templates.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from harness.core.text import duration
from harness.core.verdict import Verdict
from harness.report.model import DrillReport, RunReport
from harness.report.words import clean

LISTED = 200  # rows of a section


def ground(run: RunReport, drill: DrillReport | None = None) -> dict[str, Any]:
    """What the pages of a run and of its drills have in common; times are those of the `drill`, where there is one."""
    events = drill.history.events if drill else ()
    own = {"begun": events[0].utc, "ended": events[-1].utc} if events else {"begun": None, "ended": None}
    return {
        "facts": _facts_line(run.facts if drill is None else {**run.facts, **own}),
        "sections": _sections({**run.facts, "deviations": run.deviations}),
        "command": clean(run.facts.get("command_line", ""), 2000),
        "egress": _egress(run.facts),
        "dirty": bool(_mapping(run.facts.get("harness")).get("dirty")),
    }


def headline(run: RunReport) -> str:
    """What it comes to, in one sentence."""
    if not run.drills:
        return "No drill was run, so that nothing is proved."
    count, twins = len(run.stories), len(run.twins)
    parts = [f"{_held(run.stories)} of {count} {'promise' if count == 1 else 'promises'} held"] if count else []
    parts += [f"{_held(run.twins)} of {twins} {'sabotage' if twins == 1 else 'sabotages'} caught"] if twins else []
    return ", ".join(parts) + "."


def _held(drills: tuple[DrillReport, ...]) -> int:
    return sum(d.verdict is Verdict.HELD for d in drills)


def _facts_line(facts: Mapping[str, Any]) -> list[tuple[str, str]]:
    images, repository = _mapping(facts.get("images")), _mapping(facts.get("repository"))
    told = {
        "begun": _date(facts.get("begun")),
        "took": _took(facts),
        "repository": clean(repository.get("source", ""), 120),
        "at": clean(str(repository.get("head", ""))[:12]),
        "profile": clean(facts.get("timing", ""), 300).partition(" ")[0],
        "images": clean(images.get("source", ""), 40),
        "network": clean(facts.get("egress", ""), 40),
    }
    return [(name, value) for name, value in told.items() if value]


def _moment(value: Any) -> datetime | None:
    try:
        return datetime.fromisoformat(str(value))
    except ValueError:
        return None


def _date(value: Any) -> str:
    at = _moment(value)
    return f"{at:%Y-%m-%d %H:%M} UTC" if at else clean(value or "", 40)


def _took(facts: Mapping[str, Any]) -> str:
    begun, ended = _moment(facts.get("begun")), _moment(facts.get("ended"))
    comparable = begun and ended and (begun.tzinfo is None) == (ended.tzinfo is None)
    return duration(ended - begun) if begun and ended and comparable else ""


def _egress(facts: Mapping[str, Any]) -> str:
    told = {"closed": "Closed: nothing in the cluster could reach beyond this machine.",
            "allowed": "Open: the cluster was allowed to reach beyond this machine."}  # fmt: skip
    value = clean(facts.get("egress", ""), 80)
    return told.get(value, value or "not recorded")


_SECTIONS = (
    ("Settings", ("timing", "nodes", "keep_cluster", "network")),
    ("Repository", ("repository",)),
    ("Images", ("images",)),
    ("Deviations from the standard set-up", ("deviations",)),
    ("Tools and versions", ("tools", "harness")),
    ("Environment", ("machine",)),
)
_IMAGE = ("reference", "version", "digest")
_SHOWN_ELSEWHERE = ("schema", "run_id", "begun", "ended", "command_line", "verdicts", "egress")


def _sections(facts: Mapping[str, Any]) -> list[tuple[str, list[tuple[str, list[str]]]]]:
    """Every fact of run.json in some section: what is new to this module goes to the last."""
    known = {key for _, keys in _SECTIONS for key in keys} | set(_SHOWN_ELSEWHERE)
    rest = ("Further facts", tuple(key for key in facts if key not in known))
    found = []
    for title, keys in (*_SECTIONS, rest):
        rows = [row for key in keys if key in facts for row in _flat((key,) if len(keys) > 1 else (), facts[key])]
        if rows:
            found.append((title, rows[:LISTED]))
    return found


def _flat(path: tuple[str, ...], value: Any) -> list[tuple[str, list[str]]]:
    """Nested facts as rows of a name and lines."""
    label = clean(" ".join(path).replace("_", " "), 120)
    if isinstance(value, Mapping) and "digest" not in value:
        plain_first = sorted(value.items(), key=lambda item: isinstance(item[1], Mapping | list | tuple))
        return [row for key, inner in plain_first for row in _flat((*path, str(key)), inner)]
    if isinstance(value, Mapping):
        named = [*(k for k in _IMAGE if k in value), *(k for k in value if k not in _IMAGE)]
        items: Any = [value[key] for key in named]
    else:
        items = value if isinstance(value, list | tuple) else [value]
    return [(label, [clean(_item(v), 400) for v in items][:LISTED])]


def _item(value: Any) -> Any:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return ", ".join(map(str, value.values())) if isinstance(value, Mapping) else value


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
