"""Waiting, on a clock that only waiting moves; `Signal` also with real threads."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.core.clock import MILLISECOND, MINUTE, SECOND
from harness.core.observation import Observation, State
from harness.effects.waiting import HEARTBEAT, Outcome, Signal, retrying, until
from harness.testing import FakeClock, FakeProbe, Script

MET, PENDING, BROKEN = State.MET, State.PENDING, State.BROKEN
NOW = timedelta(0)
both = pytest.mark.parametrize("watched", [False, True], ids=["polled", "watched"])


def wait(
    clock: FakeClock, script: Script, within: timedelta, settle: timedelta = NOW, *, watched: bool = False
) -> Outcome:
    return until(FakeProbe(clock, script, watched=watched), within=within, settle=settle, clock=clock)


def s(ns: int | None) -> float | None:
    return None if ns is None else ns / 1e9


@both
def test_met_at_once_takes_no_time(watched: bool) -> None:
    outcome = wait(FakeClock(), [(NOW, MET)], MINUTE, watched=watched)
    assert (outcome.met, outcome.waited, outcome.flaps) == (True, NOW, 0)


def test_a_watched_change_is_seen_at_its_moment() -> None:
    outcome = wait(FakeClock(), [(NOW, PENDING), (3.21 * SECOND, MET)], MINUTE, watched=True)
    assert (s(outcome.last.at_ns), outcome.waited) == (3.21, 3.21 * SECOND)


def test_a_polled_change_lies_between_two_looks() -> None:
    outcome = wait(FakeClock(), [(NOW, PENDING), (3.21 * SECOND, MET)], MINUTE)
    assert (s(outcome.last.not_before_ns), s(outcome.last.at_ns)) == (3.0, 4.0)


def test_what_is_met_at_the_first_look_has_no_lower_bound() -> None:
    assert wait(FakeClock(), [(NOW, MET)], MINUTE).last.not_before_ns is None


def test_the_bound_of_the_probe_is_never_narrowed_by_an_outdated_no() -> None:
    clock = FakeClock()
    seen = iter([Observation(PENDING, "p", "e", "a", 9), Observation(MET, "p", "e", "b", 10, 4)])

    class Lagging:
        subject, signal = "p", None

        def observe(self) -> Observation:
            return next(seen)

    assert until(Lagging(), within=MINUTE, clock=clock).last.not_before_ns == 4


@both
def test_patience_ends_with_the_last_answer(watched: bool) -> None:
    outcome = wait(FakeClock(), [(NOW, PENDING)], 10 * SECOND, watched=watched)
    assert (outcome.met, outcome.last.state, outcome.waited) == (False, PENDING, 10 * SECOND)


@both
def test_a_final_cause_ends_the_wait_at_once(watched: bool) -> None:
    outcome = wait(FakeClock(), [(NOW, PENDING), (2 * SECOND, BROKEN), (3 * SECOND, MET)], MINUTE, watched=watched)
    assert (outcome.last.state, outcome.waited) == (BROKEN, 2 * SECOND)


@both
def test_settling_counts_from_the_start_of_the_window(watched: bool) -> None:
    outcome = wait(FakeClock(), [(NOW, PENDING), (2 * SECOND, MET)], MINUTE, 5 * SECOND, watched=watched)
    assert (s(outcome.last.at_ns), outcome.waited, outcome.flaps) == (2.0, 7 * SECOND, 0)


@both
def test_a_flap_begins_the_window_anew_and_is_counted(watched: bool) -> None:
    script = [(NOW, MET), (2 * SECOND, PENDING), (4 * SECOND, MET), (6 * SECOND, PENDING), (8 * SECOND, MET)]
    outcome = wait(FakeClock(), script, MINUTE, 5 * SECOND, watched=watched)
    assert (s(outcome.last.at_ns), outcome.waited, outcome.flaps) == (8.0, 13 * SECOND, 2)


def test_a_flap_that_nobody_saw_but_the_probe_knows_of_counts_as_well() -> None:
    clock = FakeClock()
    lost = Observation(MET, "p", "e", "a", 2_500_000_000, 2_400_000_000)

    class Knowing:
        subject, signal = "p", None

        def observe(self) -> Observation:
            return lost if clock.now_ns() >= lost.at_ns else Observation(MET, "p", "e", "a", 0)

    outcome = until(Knowing(), within=MINUTE, settle=4 * SECOND, clock=clock)
    assert (s(outcome.last.at_ns), outcome.flaps) == (2.5, 1)
    assert outcome.waited == 7 * SECOND  # seen at 3 s: it has to hold while we look


def test_a_window_that_began_in_time_may_end_after_the_deadline() -> None:
    outcome = wait(FakeClock(), [(NOW, PENDING), (9 * SECOND, MET)], 10 * SECOND, 5 * SECOND)
    assert (outcome.met, outcome.waited) == (True, 14 * SECOND)


def test_a_window_that_breaks_after_the_deadline_gets_no_second_chance() -> None:
    script = [(NOW, PENDING), (9 * SECOND, MET), (12 * SECOND, PENDING), (13 * SECOND, MET)]
    outcome = wait(FakeClock(), script, 10 * SECOND, 5 * SECOND)
    assert (outcome.met, outcome.flaps) == (False, 1)


def test_no_patience_is_still_one_look() -> None:
    clock = FakeClock()
    probe = FakeProbe(clock, [(NOW, PENDING)])
    assert not until(probe, within=NOW, clock=clock).met
    assert probe.asked == 1


def test_a_watched_probe_is_asked_when_something_changed_and_each_poll() -> None:
    clock = FakeClock()
    probe = FakeProbe(clock, [(NOW, PENDING), (2.5 * SECOND, MET)], watched=True)
    until(probe, within=MINUTE, clock=clock)
    # At 0 it is asked; its own first step (also at 0) wakes the waiter once; then at 1 s, 2 s and 2.5 s.
    assert probe.asked == 5


def test_changes_are_told_once_and_silence_is_broken_every_8_s() -> None:
    clock, changes, beats = FakeClock(), list[tuple[float, str]](), list[tuple[float, float]]()
    until(
        FakeProbe(clock, [(NOW, PENDING), (20 * SECOND, BROKEN)]), within=MINUTE, clock=clock,
        on_change=lambda seen: changes.append((clock.now_ns() / 1e9, seen.state.value)),
        on_beat=lambda _, left: beats.append((clock.now_ns() / 1e9, left.total_seconds())),
    )  # fmt: skip
    assert changes == [(0, "PENDING"), (20, "BROKEN")]
    assert beats == [(8, 52), (16, 44)]


@given(st.lists(st.sampled_from([MET, PENDING]), min_size=1, max_size=12), st.integers(0, 6), st.booleans())
def test_met_means_a_whole_unbroken_window_that_began_in_time(steps: list[State], settle: int, watched: bool) -> None:
    script = [(timedelta(seconds=2 * n), state) for n, state in enumerate(steps)]
    patience = timedelta(seconds=15)
    outcome = wait(FakeClock(), script, patience, timedelta(seconds=settle), watched=watched)

    def held_from(start: int) -> bool:
        seconds = range(start, start + settle + 1)
        return all(steps[min(t // 2, len(steps) - 1)] is MET for t in seconds)

    first = next(
        (t for t in range(0, 16) if held_from(t) and (t == 0 or steps[min((t - 1) // 2, len(steps) - 1)] is not MET)),
        None,
    )
    assert outcome.met == (first is not None)
    if first is not None:
        assert s(outcome.last.at_ns) == first


class TestSignal:
    def test_what_was_notified_before_is_not_waited_for(self) -> None:
        clock = FakeClock()
        signal = Signal(clock)
        before = signal.version
        signal.notify()
        assert signal.wait_beyond(before, MINUTE) == before + 1
        assert clock.now_ns() == 0

    def test_without_a_notification_the_time_passes(self) -> None:
        clock = FakeClock()
        signal = Signal(clock)
        assert signal.wait_beyond(signal.version, 3 * SECOND) == 0
        assert clock.now_ns() == 3 * 10**9

    def test_other_things_that_happen_do_not_end_the_wait(self) -> None:
        clock = FakeClock()
        signal = Signal(clock)
        clock.after(SECOND, lambda: None)
        clock.after(2 * SECOND, signal.notify)
        assert signal.wait_beyond(0, MINUTE) == 1
        assert clock.now_ns() == 2 * 10**9

    def test_every_thread_is_woken(self) -> None:
        signal, woken = Signal(), list[int]()
        threads = [threading.Thread(target=lambda: woken.append(signal.wait_beyond(0, 20 * SECOND))) for _ in range(4)]
        for thread in threads:
            thread.start()
        signal.notify()
        for thread in threads:
            thread.join(20)
        assert woken == [1] * 4

    def test_no_notification_is_lost_between_threads(self) -> None:
        signal, heard = Signal(), [0]

        def listen() -> None:
            while heard[0] < 500:
                heard[0] = signal.wait_beyond(heard[0], 20 * SECOND)

        thread = threading.Thread(target=listen)
        thread.start()
        for _ in range(500):
            signal.notify()
        thread.join(20)
        assert heard == [500]


def failing(times: int, error: Exception) -> Callable[[], str]:
    left = [times]

    def action() -> str:
        left[0] -= 1
        if left[0] >= 0:
            raise error
        return "done"

    return action


class TestRetrying:
    def test_until_it_works_and_every_failure_is_told(self) -> None:
        clock, told = FakeClock(), list[tuple[int, str]]()
        found = retrying(failing(3, OSError("reset")), on=(OSError,), within=MINUTE, clock=clock,
                         report=lambda n, e: told.append((n, str(e))))  # fmt: skip
        assert found == "done"
        assert told == [(1, "reset"), (2, "reset"), (3, "reset")]
        assert clock.now_ns() == 700_000_000  # 0.1 + 0.2 + 0.4 s

    def test_never_beyond_its_time_by_our_clock(self) -> None:
        clock, told = FakeClock(), list[int]()
        with pytest.raises(OSError, match="reset"):
            retrying(failing(10**6, OSError("reset")), on=(OSError,), within=30 * SECOND, clock=clock,
                     report=lambda n, _: told.append(n))  # fmt: skip
        assert 20 * 10**9 < clock.now_ns() < 30 * 10**9
        assert told == list(range(1, told[-1] + 1))

    def test_other_errors_are_not_retried(self) -> None:
        clock = FakeClock()
        with pytest.raises(KeyError):
            retrying(failing(1, KeyError("x")), on=(OSError,), within=MINUTE, clock=clock)
        assert clock.now_ns() == 0

    def test_pauses_stay_under_two_seconds(self) -> None:
        clock, at = FakeClock(), list[int]()
        with pytest.raises(OSError, match="x"):
            retrying(
                failing(99, OSError("x")),
                on=(OSError,),
                within=MINUTE,
                clock=clock,
                report=lambda *_: at.append(clock.now_ns()),
            )
        pauses = [(b - a) / 1e9 for a, b in pairwise(at)]
        assert max(pauses) == 2.0
        assert pauses == sorted(pauses)


def test_a_person_hears_something_at_least_every_ten_seconds() -> None:
    assert HEARTBEAT + SECOND <= 10 * SECOND
    assert MILLISECOND * 1000 == SECOND
