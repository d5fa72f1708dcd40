"""What an observation says in one line."""

from __future__ import annotations

import pytest

from harness.core.observation import Observation, State


@pytest.mark.parametrize(
    ("seen", "sentence"),
    [
        (Observation(State.MET, "s", "14 ready", "14 ready", 0), "MET: 14 ready"),
        (
            Observation(State.PENDING, "s", "14 ready", "3 ready", 0, done=3, total=14),
            "PENDING 3/14: should be 14 ready, is 3 ready",
        ),
        (Observation(State.PENDING, "s", "all", "none", 0, done=0, total=0), "PENDING 0/0: should be all, is none"),
        (Observation(State.BROKEN, "s", "synced", "sync failed", 0), "BROKEN: should be synced, is sync failed"),
    ],
)
def test_sentence(seen: Observation, sentence: str) -> None:
    assert seen.sentence() == sentence
    assert seen.met == (seen.state is State.MET)


def test_details_are_not_shared() -> None:
    one, other = Observation(State.MET, "s", "e", "a", 0), Observation(State.MET, "s", "e", "a", 0)
    assert one.detail == {}
    assert one.detail is not other.detail
