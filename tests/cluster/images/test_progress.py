"""Stages: order, lanes, estimates, and what happens to the others when one fails."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.cluster.images import progress as module
from harness.cluster.images.progress import Stage, beating, remaining, run_stages
from harness.core.clock import SystemClock, seconds

LANES = {"go": 1, "debian": 1, "docker": 1}


def stage(
    name: str,
    lane: str = "go",
    expected: float = 10,
    needs: tuple[str, ...] = (),
    action: Callable[[], None] | None = None,
) -> Stage:
    return Stage(name, lane, seconds(expected), action or (lambda: None), frozenset(needs))


def test_lanes_run_side_by_side_in_the_estimate() -> None:
    stages = [stage("a", expected=60), stage("b", expected=30), stage("c", "debian", 40)]
    assert remaining(stages, LANES, (), {}) == seconds(90)
    assert remaining(stages, LANES | {"go": 2}, (), {}) == seconds(60)


def test_what_must_wait_is_waited_for_in_the_estimate() -> None:
    stages = [stage("a", expected=60), stage("b", "debian", 40), stage("image", "docker", 5, ("a", "b"))]
    assert remaining(stages, LANES, (), {}) == seconds(65)
    assert remaining(stages, LANES, ("a",), {"b": seconds(15)}) == seconds(30)
    assert remaining(stages, LANES, ("a", "b", "image"), {}) == seconds(0)


def test_a_stage_that_overran_still_counts_a_second() -> None:
    assert remaining([stage("a", expected=10)], LANES, (), {"a": seconds(99)}) == seconds(1)


@given(st.lists(st.tuples(st.sampled_from(sorted(LANES)), st.integers(1, 500)), min_size=1, max_size=12))
def test_the_estimate_lies_between_the_longest_lane_and_the_sum(parts: list[tuple[str, int]]) -> None:
    stages = [stage(str(number), lane, length) for number, (lane, length) in enumerate(parts)]
    longest = max(sum(length for lane, length in parts if lane == name) for name in LANES)
    assert seconds(longest) <= remaining(stages, LANES, (), {}) <= seconds(sum(length for _, length in parts))


def run(stages: list[Stage], said: list[str], cancel: threading.Event | None = None) -> dict[str, timedelta]:
    took: dict[str, timedelta] = {}
    run_stages(stages, LANES, clock=SystemClock(), progress=said.append, cancel=cancel or threading.Event(),
               record=took.__setitem__)  # fmt: skip
    return took


def test_everything_runs_once_after_what_it_needs(said: list[str]) -> None:
    order: list[str] = []
    stages = [
        stage("image", "docker", 5, ("a", "b"), lambda: order.append("image")),
        stage("a", action=lambda: order.append("a")),
        stage("b", "debian", action=lambda: order.append("b")),
    ]
    assert set(run(stages, said)) == {"a", "b", "image"}
    assert sorted(order) == ["a", "b", "image"]
    assert order[-1] == "image"
    assert any("[3/3] image: done" in line for line in said)
    assert any("left" in line for line in said)


def test_stages_of_different_lanes_really_overlap(said: list[str]) -> None:
    meeting = threading.Barrier(2, timeout=5)  # breaks unless both are there at once
    run([stage("a", action=lambda: void(meeting)), stage("b", "debian", action=lambda: void(meeting))], said)


def void(meeting: threading.Barrier) -> None:
    meeting.wait()


def test_one_failure_cancels_the_rest_and_is_the_error_that_is_raised(said: list[str]) -> None:
    cancel, ran = threading.Event(), []

    def fail() -> None:
        raise ValueError("no compiler")

    def long() -> None:
        assert cancel.wait(5), "was not told to stop"

    stages = [stage("a", action=fail), stage("b", "debian", action=long),
              stage("c", "docker", 1, ("a",), lambda: ran.append("c"))]  # fmt: skip
    with pytest.raises(ValueError, match="no compiler"):
        run(stages, said, cancel)
    assert cancel.is_set()
    assert ran == []


def test_a_long_step_is_heard_of_until_it_ends(said: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "HEARTBEAT", seconds(0.01))
    heard = threading.Event()

    def progress(text: str) -> None:
        said.append(text)
        if "so far" in text:
            heard.set()

    with beating(progress, SystemClock(), "loading"):
        assert heard.wait(5)
    assert said[0] == "loading"
    assert all(text.startswith("loading: 00:00 so far") for text in said[1:])
