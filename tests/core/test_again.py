"""A drill on a fake world, stored and judged again: the same findings; and INCONCLUSIVE where something is missing."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.core.checks import CHECKS, Check, recovered_within
from harness.core.checks.again import RAN, judge_again
from harness.core.clock import SECOND
from harness.core.errors import DrillFailed, HarnessError
from harness.core.timeline import Event, History
from harness.core.verdict import Finding, Verdict, join
from harness.testing import FakeSabotage
from tests.worlds import World, loss_story, self_heal_story


def stored(world: World, *, ended: bool = True) -> History:
    if ended:
        world.drill.timeline.add("drill.ended", "x", verdict=str(world.drill.verdict))
    return History.from_lines(world.drill.timeline.history().to_lines())


def told(world: World) -> tuple[Verdict | None, list[Finding]]:
    return world.drill.verdict, world.drill.findings


@pytest.fixture
def world() -> World:
    return World()


def slow_engine(world: World) -> None:
    world.platform.engine.self_heal = False
    with suppress(DrillFailed):
        self_heal_story(world)


@pytest.mark.parametrize("story", [self_heal_story, loss_story, slow_engine])
def test_the_same_findings_come_out(world: World, story: Callable[[World], object]) -> None:
    story(world)
    judged = judge_again(stored(world), CHECKS)
    assert (judged.verdict, list(judged.findings)) == told(world)
    assert len(judged.findings) > 1


def twin(world: World, expect: str, naming: str = "") -> None:
    def switch(on: bool) -> Callable[[], None]:
        return lambda: setattr(world.platform.engine, "self_heal", on)

    sabotage = FakeSabotage("SelfHealOff", begins=switch(False), ends=switch(True))
    with suppress(DrillFailed), world.drill.sabotage(sabotage, expect=expect, naming=naming, patience=5 * SECOND):
        self_heal_story(world)


@pytest.mark.parametrize(
    ("expect", "naming", "verdict"),
    [("healed within", "", Verdict.HELD), ("healed within", "moon", Verdict.REFUTED), ("moon", "", Verdict.REFUTED)],
)
def test_a_twin_is_judged_as_a_twin(world: World, expect: str, naming: str, verdict: Verdict) -> None:
    twin(world, expect, naming)
    judged = judge_again(stored(world), CHECKS)
    assert judged.verdict is verdict
    assert (judged.verdict, list(judged.findings)) == told(world)


def test_a_twin_whose_story_was_never_judged_settles_nothing(world: World) -> None:
    twin(world, "healed within")
    events = tuple(e for e in stored(world) if e.kind != "twin.story")
    assert judge_again(History(events), CHECKS).verdict is Verdict.INCONCLUSIVE


def test_what_the_harness_found_stands(world: World) -> None:
    self_heal_story(world)
    error = Finding(RAN, Verdict.INCONCLUSIVE, "a conclusion", "the disk is full")
    world.drill.timeline.add("finding", error.claim, **error.to_record())
    judged = judge_again(stored(world), CHECKS)
    assert judged.verdict is Verdict.INCONCLUSIVE
    assert judged.findings[-1] == error


def test_an_error_of_ours_outranks_what_was_found_before_it(world: World) -> None:
    slow_engine(world)
    error = Finding(RAN, Verdict.INCONCLUSIVE, "a conclusion", "the disk is full")
    world.drill.timeline.add("finding", error.claim, **error.to_record())
    judged = judge_again(stored(world), CHECKS)
    assert Verdict.REFUTED in {f.verdict for f in judged.findings}
    assert judged.verdict is Verdict.INCONCLUSIVE


def test_todays_checks_judge(world: World) -> None:
    """The timeline says what happened; what that is worth is decided now."""
    self_heal_story(world)
    stricter = {**CHECKS, "recovered_within": lambda *_, **__: recovered_within(SECOND / 1000, when="healed")}
    judged = judge_again(stored(world), stricter)
    assert judged.verdict is Verdict.REFUTED
    assert "healed within 1 ms" in [f.claim for f in judged.findings if f.verdict is Verdict.REFUTED]


def test_a_check_of_somebody_else_is_named(world: World) -> None:
    mine = Check("mine", lambda _: Finding("mine", Verdict.HELD, "e", "a"))
    self_heal_story(world)
    world.drill.judge([mine])
    judged = judge_again(stored(world), CHECKS)
    assert judged.verdict is Verdict.INCONCLUSIVE
    assert judged.findings[-1].claim == "the check 'mine' can be made again"


def test_a_timeline_cut_off_anywhere_can_be_judged(world: World) -> None:
    loss_story(world)
    text = stored(world).to_lines()
    whole = judge_again(History.from_lines(text), CHECKS)
    assert whole.verdict is Verdict.HELD
    cuts = sorted({*range(0, len(text) - 1, max(1, len(text) // 97)), len(text) - 2})
    for cut in cuts:
        judged = judge_again(History.from_lines(text[:cut]), CHECKS)
        assert judged.verdict is Verdict.INCONCLUSIVE, cut
        assert judged.findings[-1].claim == "the timeline is whole"
    assert len(cuts) > 50


def test_the_reason_says_where_it_was_cut_off(world: World) -> None:
    self_heal_story(world)
    lines = stored(world).to_lines().splitlines(keepends=True)
    judged = judge_again(History.from_lines("".join(lines[:4]) + lines[4][:20]), CHECKS)
    assert judged.findings[-1].actual == "it is cut off in the middle of a line after event 3 (fault.injecting)"
    assert [f.actual for f in judged.findings if f.claim == "the conclusion is on the timeline"] == [
        "none: it ended before it was judged"
    ]
    assert judge_again(History(()), CHECKS).findings[-1].actual == "it ends before its first event"


def test_a_run_of_an_older_drill_is_inconclusive_and_told_so(world: World) -> None:
    self_heal_story(world)
    old = History(tuple(e for e in stored(world) if e.kind != "judging"))
    judged = judge_again(old, CHECKS)
    assert judged.verdict is Verdict.INCONCLUSIVE
    assert judged.findings[-1].actual == "none: it was written by a drill that did not store them"


@pytest.mark.parametrize("kind", ["finding", "judging", "fault.injected", "until.ended", "sabotage.begun"])
def test_events_without_what_they_should_hold_never_raise(world: World, kind: str) -> None:
    twin(world, "healed within")

    def bare(event: Event) -> Event:
        return replace(event, data={}) if event.kind == kind else event

    judged = judge_again(History(tuple(bare(e) for e in stored(world))), CHECKS)
    assert judged.findings
    assert (judged.verdict is Verdict.HELD) == (kind == "fault.injected")  # of which nothing is read here


def test_the_verdict_is_the_join_of_the_findings(world: World) -> None:
    with suppress(HarnessError):
        self_heal_story(world)
    judged = judge_again(stored(world), CHECKS)
    assert judged.verdict is join(f.verdict for f in judged.findings)


KINDS = ("judging", "finding", "fault.injected", "fault.confirmed", "until.begun", "until.ended", "hold.ended",
         "observed", "sabotage.begun", "twin.story", "drill.ended", "drill.begun")  # fmt: skip
SPEC = st.fixed_dictionaries({"name": st.sampled_from([*sorted(CHECKS), "moon"]), "args": st.just({})})
VALUE = st.none() | st.integers(-9, 9) | st.text(max_size=4) | st.lists(SPEC | st.integers(0, 3), max_size=3)
FIELDS = ("checks", "claim", "verdict", "expect", "naming", "state", "reading", "value", "detail", "met_us")
DATA = st.dictionaries(st.sampled_from(FIELDS), VALUE)


@given(st.lists(st.tuples(st.sampled_from(KINDS), DATA), max_size=10), st.booleans())
def test_any_timeline_can_be_judged_and_only_a_whole_one_can_be_held(
    made: list[tuple[str, dict[str, Any]]], cut: bool
) -> None:
    begun = datetime(2026, 1, 1, tzinfo=UTC)
    events = tuple(Event(i, timedelta(seconds=i), begun, kind, "x", data) for i, (kind, data) in enumerate(made))
    judged = judge_again(History(events, truncated=cut), CHECKS)
    kinds = {event.kind for event in events}
    assert judged.findings or "judging" in kinds
    if judged.verdict is Verdict.HELD:
        assert {"judging", "drill.ended"} <= kinds
