"""How durations are written and read, everywhere the same.

Here belong formatting and parsing of durations. Nothing else.
"""

from __future__ import annotations

import re
from datetime import timedelta

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h)")


def duration(value: timedelta) -> str:
    """`340 ms`, `12.4 s`, `14m10s`, `2h03m`."""
    total = value.total_seconds()
    sign, total = ("-", -total) if total < 0 else ("", total)
    if total < 1:
        return f"{sign}{total * 1000:.0f} ms"
    if total < 60:
        return f"{sign}{total:.1f} s" if total < 59.95 else f"{sign}1m00s"
    if total < 3600:
        return f"{sign}{int(total // 60)}m{int(total % 60):02d}s"
    return f"{sign}{int(total // 3600)}h{int(total % 3600 // 60):02d}m"


def elapsed(value: timedelta) -> str:
    """`+04:12`, for the left margin of live output."""
    total = max(0, int(value.total_seconds()))
    return f"+{total // 60:02d}:{total % 60:02d}"


def parse_duration(text: str) -> timedelta:
    """`90s`, `15m`, `1h30m`, `500ms`. Raises ValueError that says what is allowed."""
    parts = _PART.findall(text)
    if not parts or "".join(n + u for n, u in parts) != text:
        raise ValueError(f"{text!r} is not a duration such as 90s, 15m, 1h30m or 500ms")
    return timedelta(seconds=sum(float(n) * _UNITS[u] for n, u in parts))
