"""Probes made of probes."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.core.clock import SECOND
from harness.core.compose import every, patient
from harness.core.errors import ApiRefused, ApiUnreachable, ConfigError
from harness.core.observation import Observation, State
from harness.testing import FakeClock, FakeProbe

MET, PENDING, BROKEN = State.MET, State.PENDING, State.BROKEN
NOW = timedelta(0)


@dataclass
class Fixed:
    """A probe with one answer."""

    answer: Observation
    signal: object = None

    @property
    def subject(self) -> str:
        return self.answer.subject

    def observe(self) -> Observation:
        return self.answer


def answer(state: State, at: int, not_before: int | None = None, name: str = "a", **more: int) -> Fixed:
    return Fixed(Observation(state, name, f"{name} right", f"{name} {state.lower()}", at, not_before, **more))  # type: ignore[arg-type]


states = st.sampled_from(State)
answers = st.builds(
    lambda state, at, width: answer(state, at, None if width is None else at - width), states, st.integers(100, 200),
    st.none() | st.integers(0, 100),
)  # fmt: skip


@given(st.lists(answers, min_size=1, max_size=4))
def test_met_when_all_are_and_broken_when_one_is(probes: list[Fixed]) -> None:
    seen = every(*probes).observe()
    given_states = [p.answer.state for p in probes]
    assert seen.met == all(s is MET for s in given_states)
    assert (seen.state is BROKEN) == (BROKEN in given_states)


@given(st.lists(answers.filter(lambda p: p.answer.met), min_size=2, max_size=4))
def test_all_are_met_since_the_last_became_so(probes: list[Fixed]) -> None:
    seen = every(*probes).observe()
    assert seen.at_ns == max(p.answer.at_ns for p in probes)
    bounds = [p.answer.not_before_ns for p in probes if p.answer.not_before_ns is not None]
    assert seen.not_before_ns == max(bounds, default=None)
    assert seen.not_before_ns is None or seen.not_before_ns <= seen.at_ns


def test_the_bound_may_come_from_another_probe_than_the_moment() -> None:
    seen = every(answer(MET, 100, 20), answer(MET, 90, 80, "b")).observe()
    assert (seen.at_ns, seen.not_before_ns) == (100, 80)


def test_what_is_open_is_told_and_nothing_else() -> None:
    seen = every(answer(MET, 9), answer(PENDING, 5, name="b"), answer(PENDING, 6, name="c")).observe()
    assert (seen.subject, seen.expected, seen.actual) == ("a and b and c", "b right; c right", "b pending; c pending")
    assert seen.at_ns == 6


def test_what_is_broken_is_told_before_what_is_open() -> None:
    seen = every(answer(PENDING, 5), answer(BROKEN, 6, name="b")).observe()
    assert (seen.state, seen.actual) == (BROKEN, "b broken")


def test_progress_is_that_of_the_first_that_counts() -> None:
    seen = every(answer(MET, 1), answer(PENDING, 1, name="b", done=3, total=120)).observe()
    assert (seen.done, seen.total) == (3, 120)


def test_the_first_signal_wakes() -> None:
    clock = FakeClock()
    silent, loud = FakeProbe(clock, [(NOW, MET)]), FakeProbe(clock, [(NOW, MET)], watched=True)
    assert every(silent, loud).signal is loud.signal
    assert every(silent, silent).signal is None


def test_one_is_itself() -> None:
    probe = answer(MET, 1)
    assert every(probe) is probe


def test_all_of_nothing_is_refused() -> None:
    with pytest.raises(ConfigError, match="at least one probe"):
        every()


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (ApiUnreachable("connection refused\nby peer"), "connection refused"),
        (ApiUnreachable(""), "ApiUnreachable"),
        (ApiRefused(503, "ServiceUnavailable", "starting"), "the API answered 503 ServiceUnavailable: starting"),
    ],
)
def test_an_api_that_does_not_answer_is_an_answer(error: Exception, told: str) -> None:
    clock = FakeClock()
    clock.sleep(SECOND)
    seen = patient(FakeProbe(clock, [(NOW, error)], subject="s"), clock).observe()
    assert (seen.state, seen.subject, seen.actual, seen.at_ns) == (PENDING, "s", told, 10**9)


def test_patience_changes_nothing_else() -> None:
    clock = FakeClock()
    probe = FakeProbe(clock, [(NOW, MET)], watched=True)
    wrapped = patient(probe, clock)
    assert (wrapped.signal, wrapped.subject, wrapped.observe()) == (probe.signal, probe.subject, probe.observe())


def test_an_error_of_our_own_stays_an_error() -> None:
    clock = FakeClock()
    with pytest.raises(ZeroDivisionError):
        patient(FakeProbe(clock, [(NOW, ZeroDivisionError())]), clock).observe()
