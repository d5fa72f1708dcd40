"""Durations, written and read."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.core.text import duration, elapsed, first_line, parse_duration

positive = st.timedeltas(timedelta(0), timedelta(days=30))


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 ms"), (0.34, "340 ms"), (0.9994, "999 ms"), (0.9996, "1.0 s"), (12.44, "12.4 s"), (59.94, "59.9 s"),
        (59.96, "1m00s"), (60, "1m00s"), (850, "14m10s"), (119.7, "2m00s"), (3599.4, "59m59s"), (3599.6, "1h00m"),
        (7380, "2h03m"), (90000, "25h00m"), (-1.5, "-1.5 s"),
    ],
)  # fmt: skip
def test_written(seconds: float, text: str) -> None:
    assert duration(timedelta(seconds=seconds)) == text


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90s", 90),
        ("15m", 900),
        ("1h30m", 5400),
        ("500ms", 0.5),
        ("1.5h", 5400),
        ("0s", 0),
        ("12.4 s", 12.4),
        ("1m1m", 120),
    ],
)
def test_read(text: str, seconds: float) -> None:
    assert parse_duration(text) == timedelta(seconds=seconds)


@pytest.mark.parametrize(
    "text", ["", " ", "5", "s", "5 parsecs", "-5s", "5s ", " 5s", "1h 30m", "5m,", "s5", "٣s", "1.s", "1e3s"]
)
def test_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not a duration such as 90s"):
        parse_duration(text)


def test_refused_when_it_is_longer_than_any_duration() -> None:
    with pytest.raises(ValueError, match="longer than any"):
        parse_duration("9" * 20 + "h")


@given(positive)
def test_what_is_written_reads_back_within_what_was_shown(value: timedelta) -> None:
    steps = ((3599, 60.0), (59, 1.0), (0.99, 0.1), (-1, 0.001))
    shown = timedelta(seconds=next(step for above, step in steps if value.total_seconds() > above))
    assert abs(parse_duration(duration(value)) - value) <= shown


@given(positive)
def test_writing_again_what_was_read_changes_nothing(value: timedelta) -> None:
    text = duration(value)
    assert duration(parse_duration(text)) == text


@pytest.mark.parametrize(("seconds", "text"), [(0, "+00:00"), (252.9, "+04:12"), (-3, "+00:00"), (6000, "+100:00")])
def test_elapsed(seconds: float, text: str) -> None:
    assert elapsed(timedelta(seconds=seconds)) == text


@pytest.mark.parametrize(
    ("said", "line"),
    [
        ("one\ntwo", "one"),
        ("`docker ps` ended with 1:\n  no daemon\nmore", "`docker ps` ended with 1: no daemon"),
        ("nothing after it:", "nothing after it:"),
        ("\n boom\nmore", "boom"),
        ("it said: \nno", "it said: no"),
        ("", ""),
        (ValueError("bad\nworse"), "bad"),
        (ValueError(), "ValueError"),
    ],
)
def test_the_first_line_says_what_went_wrong(said: str | BaseException, line: str) -> None:
    assert first_line(said) == line
