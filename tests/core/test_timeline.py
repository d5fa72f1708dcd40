"""Events, the append-only timeline, and its way to JSON lines and back."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.core.errors import ConfigError
from harness.core.timeline import Event, History, Journal, Timeline, phase
from harness.testing import FakeClock

scalars = st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False)
json_values = st.recursive(
    scalars | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=8,
)
moments = st.timedeltas(timedelta(days=-2), timedelta(days=2))
walls = st.datetimes(datetime(2000, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC))
events = st.builds(
    Event,
    st.integers(0, 10**6),
    moments,
    walls,
    st.text(max_size=20),
    st.text(),
    st.dictionaries(st.text(), json_values, max_size=4),
)
histories = st.lists(events, max_size=6).map(lambda found: History(tuple(found)))


@given(histories)
def test_json_lines_lead_back_to_the_same_events(history: History) -> None:
    assert History.from_lines(history.to_lines()) == history


@given(events)
def test_an_event_is_one_line_of_strict_json(event: Event) -> None:
    line = event.to_json()
    assert "\n" not in line
    assert json.loads(line)["kind"] == event.kind


@given(histories.filter(lambda h: h.events), st.data())
def test_a_cut_off_last_line_is_dropped_and_told(history: History, data: st.DataObject) -> None:
    text = history.to_lines()
    start = text.rindex("\n", 0, len(text) - 1) + 1 if len(history.events) > 1 else 0
    cut = data.draw(st.integers(start + 1, len(text) - 2))
    read = History.from_lines(text[:cut])
    assert read == History(history.events[:-1], truncated=True)


def test_a_whole_last_line_without_newline_is_kept() -> None:
    line = Event(0, timedelta(0), datetime(2026, 1, 1, tzinfo=UTC), "note", "x").to_json()
    read = History.from_lines(line)
    assert (len(read.events), read.truncated) == (1, False)


@pytest.mark.parametrize("separator", ["\u2028", "\x85", "\x0b", "\r", "\n", "\x1e"])
def test_what_only_unicode_calls_a_line_break_does_not_break_a_line(separator: str) -> None:
    history = History((Event(0, timedelta(0), datetime(2026, 1, 1, tzinfo=UTC), "note", f"a{separator}b"),) * 2)
    assert History.from_lines(history.to_lines()) == history


def test_no_text_is_an_empty_history() -> None:
    assert History.from_lines("") == History(())


@pytest.mark.parametrize(
    "bad", ["{}", "[]", "3", "nonsense", "", '{"seq": "x"}', '{"seq": 1, "at_us": 1e400, "utc": "x"}']
)
def test_a_line_that_is_no_event_is_refused_with_its_number(bad: str) -> None:
    good = Event(0, timedelta(0), datetime(2026, 1, 1, tzinfo=UTC), "note", "x").to_json()
    with pytest.raises(ConfigError, match="line 2"):
        History.from_lines(f"{good}\n{bad}\n{good}\n")


def test_data_that_is_no_object_is_refused() -> None:
    good = Event(0, timedelta(0), datetime(2026, 1, 1, tzinfo=UTC), "note", "x").to_json()
    with pytest.raises(ConfigError, match="data should be an object"):
        History.from_lines(good.replace('"data": {}', '"data": [1]') + "\n")


def test_a_number_that_json_does_not_know_is_refused_when_written() -> None:
    event = Event(0, timedelta(0), datetime(2026, 1, 1, tzinfo=UTC), "note", "x", {"value": float("nan")})
    with pytest.raises(ValueError, match="not JSON compliant"):
        event.to_json()


def test_events_are_numbered_and_timed_from_the_beginning() -> None:
    clock = FakeClock()
    clock.sleep(timedelta(seconds=7))
    timeline = Timeline(clock)
    clock.sleep(timedelta(seconds=2))
    first = timeline.add("a")
    earlier = timeline.add("b", at_ns=clock.now_ns() - 500_000_000)
    assert (first.seq, first.at) == (0, timedelta(seconds=2))
    assert (earlier.seq, earlier.at) == (1, timedelta(seconds=1.5))
    assert first.utc - clock.utc() == timedelta(0)


def test_listeners_hear_each_event_in_order() -> None:
    heard: list[str] = []
    timeline = Timeline(FakeClock(), [lambda e: heard.append(f"one {e.kind}"), lambda e: heard.append(f"two {e.kind}")])
    timeline.add("a")
    timeline.add("b")
    assert heard == ["one a", "two a", "one b", "two b"]


def test_a_listener_may_add_an_event_of_its_own() -> None:
    clock = FakeClock()
    timeline = Timeline(clock, [lambda e: timeline.add("echo") if e.kind == "a" else None])
    timeline.add("a")
    assert [(e.seq, e.kind) for e in timeline.events] == [(0, "a"), (1, "echo")]


def test_queries() -> None:
    clock = FakeClock()
    timeline = Timeline(clock)
    for kind, subject in (("a", "x"), ("b", "x"), ("a", "y")):
        timeline.add(kind, subject)
        clock.sleep(timedelta(seconds=1))
    history = timeline.history()
    assert [e.subject for e in history.of("a")] == ["x", "y"]
    assert [e.seq for e in history.of("a", "y")] == [2]
    assert [e.seq for e in history] == [0, 1, 2]
    first, last = history.first("a"), history.last("a")
    assert [e and e.seq for e in (first, last)] == [0, 2]
    assert history.first("nothing") is None
    assert history.last("a", "nobody") is None
    assert [e.seq for e in history.between(timedelta(seconds=1), timedelta(seconds=2))] == [1, 2]


def test_a_history_does_not_grow_with_its_timeline() -> None:
    timeline = Timeline(FakeClock())
    timeline.add("a")
    history = timeline.history()
    timeline.add("b")
    assert len(history.events) == 1


def test_a_phase_says_how_it_ended_and_where_it_began() -> None:
    clock = FakeClock()
    timeline = Timeline(clock)
    clock.sleep(timedelta(seconds=1))
    with pytest.raises(KeyboardInterrupt), phase(timeline, "outer", nodes=3):
        with phase(timeline, "inner"):
            clock.sleep(timedelta(seconds=2))
        raise KeyboardInterrupt
    ended = timeline.history().of("phase.ended")
    assert [(e.subject, e.data["outcome"]) for e in ended] == [("inner", "done"), ("outer", "KeyboardInterrupt")]
    assert [e.data["begun_us"] for e in ended] == [1_000_000, 1_000_000]
    assert timeline.events[0].data == {"nodes": 3}
    assert ended[1].data["begun_seq"] == 0


def test_a_journal_writes_to_the_running_drill_and_then_to_the_run_again() -> None:
    clock = FakeClock()
    run, drill = Timeline(clock), Timeline(clock)
    journal = Journal(run)
    journal.add("a")
    with pytest.raises(RuntimeError, match="boom"), journal.writing_to(drill):
        with journal.phase("p"):
            journal.add("b")
        raise RuntimeError("boom")
    journal.add("c")
    assert [e.kind for e in run.events] == ["a", "c"]
    assert [e.kind for e in drill.events] == ["phase.begun", "b", "phase.ended"]
