"""How durations, lists of names and errors are written and read, everywhere the same.

Here belong formatting and parsing. Nothing else.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import timedelta

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
_PART = re.compile(r"([0-9]+(?:\.[0-9]+)?) ?(ms|s|m|h)")


def duration(value: timedelta) -> str:
    """`340 ms`, `12.4 s`, `14m10s`, `2h03m`."""
    total = value.total_seconds()
    sign, total = ("-", -total) if total < 0 else ("", total)
    if total < 0.9995:
        return f"{sign}{total * 1000:.0f} ms"
    if total < 59.95:
        return f"{sign}{total:.1f} s"
    total = round(total)
    if total < 3600:
        return f"{sign}{total // 60}m{total % 60:02d}s"
    return f"{sign}{total // 3600}h{total % 3600 // 60:02d}m"


def elapsed(value: timedelta) -> str:
    """`+04:12`, for the left margin of live output."""
    total = max(0, int(value.total_seconds()))
    return f"+{total // 60:02d}:{total % 60:02d}"


def parse_duration(text: str) -> timedelta:
    """`90s`, `15m`, `1h30m`, `500ms`, and what `duration` writes. Raises ValueError that says what is allowed."""
    parts = _PART.findall(text)
    if not parts or _PART.sub("", text):
        raise ValueError(f"{text!r} is not a duration such as 90s, 15m, 1h30m or 500ms")
    try:
        return timedelta(seconds=sum(float(n) * _UNITS[u] for n, u in parts))
    except OverflowError:
        raise ValueError(f"{text!r} is longer than any duration can be") from None


def some(names: Sequence[str], limit: int = 5) -> str:
    """The first few of `names`, and how many more there are."""
    more = f" and {len(names) - limit} more" if len(names) > limit else ""
    return ", ".join(names[:limit]) + more


def first_line(said: str | BaseException) -> str:
    """The first line of a text or of an error, with the next where it only announces that one.

    An error without words is told by its type.
    """
    lines = [line.strip() for line in str(said).strip().splitlines()] or [""]
    line = " ".join(lines[:2]) if lines[0].endswith(":") else lines[0]
    return line or (type(said).__name__ if isinstance(said, BaseException) else "")
