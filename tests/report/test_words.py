from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.core.timeline import Event
from harness.report.words import answer, brief, clean, sentence, stamp


def event(kind: str, subject: str = "x", at: float = 1.0, **data: Any) -> Event:
    return Event(0, timedelta(seconds=at), datetime(2026, 1, 1, tzinfo=UTC), kind, subject, data)


@pytest.mark.parametrize(
    ("raw", "shown"),
    [
        ("\x1b[31mred\x1b[0m", "red"),
        ("\x1b]0;title\x07after", "after"),
        ("two\nlines\tand  gaps", "two lines and gaps"),
        ("a\u202eb\u200bc", "abc"),
        ("bell\x07 nul\x00", "bell nul"),
        ("lone \ud800 surrogate", "lone surrogate"),
        ("plain text, ± and →", "plain text, ± and →"),
    ],
)
def test_clean_takes_away_what_moves_a_terminal_or_a_reader(raw: str, shown: str) -> None:
    assert clean(raw) == shown


def test_clean_cuts_and_says_how_long_it_was() -> None:
    assert clean("x" * 5000, 10) == "xxxxxxxxxx… (5,000 characters)"


@given(st.text(), st.integers(min_value=1, max_value=50))
def test_clean_is_one_printable_line_that_utf8_can_hold(text: str, limit: int) -> None:
    shown = clean(text, limit)
    assert "\x1b" not in shown
    assert len(shown.splitlines()) <= 1
    shown.encode("utf-8")


def test_stamp_has_tenths() -> None:
    assert stamp(timedelta(minutes=4, seconds=12.34)) == "+04:12.3"
    assert stamp(timedelta(seconds=59.97)) == "+01:00.0"
    assert stamp(timedelta(seconds=-3)) == "+00:00.0"


def test_answer_tells_progress_and_both_sides() -> None:
    seen = {"state": "PENDING", "done": 97, "total": 120, "expected": "A", "actual": "B"}
    assert answer(seen) == "PENDING 97/120, should be A, is B"
    assert answer({"state": "MET", "actual": "B"}) == "MET, B"


def test_phase_ends_with_its_duration_and_outcome() -> None:
    ended = event("phase.ended", "argocd", 27.4, begun_us=16_900_000, outcome="done")
    assert sentence(ended) == "phase argocd: 10.5 s"
    broken = event("phase.ended", "argocd", 27.4, begun_us=16_900_000, outcome="ProvisionFailed")
    assert sentence(broken) == "phase argocd: 10.5 s, ended by ProvisionFailed"


def test_wait_tells_what_it_waited_without_the_settle_window() -> None:
    data: dict[str, Any] = {
        "state": "MET",
        "actual": "ok",
        "expected": "ok",
        "waited_s": 44.6,
        "settle_s": 3.0,
        "flaps": 2,
    }
    assert sentence(event("until.ended", "p", **data)) == (
        "until p: MET after 41.6 s, held for 3.0 s, ok (was MET and lost again 2 times)"
    )


def test_whether_the_next_drill_gets_this_cluster_is_told() -> None:
    assert sentence(event("handed.over", "d", clean=True, why="")) == "the cluster: left clean"
    assert sentence(event("handed.over", "d", clean=False, why="a node is down")) == "the cluster: a node is down"


def test_unknown_kinds_and_missing_fields_still_read_as_something() -> None:
    assert sentence(event("moon.full", "tide", height=3)) == "moon.full tide (height 3)"
    assert sentence(event("until.ended", "p")) == "until.ended p"


def test_brief_counts_what_is_large() -> None:
    assert brief({str(i): i for i in range(120)}) == "120 entries"
    assert brief([1, 2]) == "1, 2"
    assert brief({"a": {"b": 1}}) == "a b 1"
