from __future__ import annotations

from datetime import timedelta

from report_sample import Script, cluster_loss, inconclusive, refuted, self_heal, us

from harness.core.timeline import History
from harness.report.anatomy import gaps, moments, phases, states


def history(script: Script) -> History:
    return History(tuple(script.events))


def s(value: float) -> timedelta:
    return timedelta(seconds=value)


def test_phases_know_their_depth_and_what_is_inside() -> None:
    script = Script()
    script.phase("outer", 1, 9, [("inner", 2, 4), ("other", 4, 8)])
    found = phases(history(script))
    assert [(p.name, p.depth, p.leaf) for p in found] == [("outer", 0, False), ("inner", 1, True), ("other", 1, True)]
    assert found[1].length == s(2)


def test_overlapping_phases_are_beside_each_other() -> None:
    script = Script()
    a = script.say(1, "phase.begun", "a")
    b = script.say(2, "phase.begun", "b")
    script.say(3, "phase.ended", "a", begun_seq=a.seq, begun_us=us(1), outcome="done")
    script.say(4, "phase.ended", "b", begun_seq=b.seq, begun_us=us(2), outcome="done")
    assert [(p.name, p.depth, p.leaf) for p in phases(history(script))] == [("a", 0, True), ("b", 0, True)]


def test_a_phase_without_an_end_lasts_until_the_timeline_ends() -> None:
    script = Script()
    script.say(1, "phase.begun", "argocd")
    script.say(6, "note", "x", text="killed here")
    (only,) = phases(history(script))
    assert (only.outcome, only.length) == ("unfinished", s(5))


def test_a_recovered_drill_is_steady_harmed_recovering_settled() -> None:
    found = states(cluster_loss().history)
    assert [x.name for x in found] == ["unproven", "steady", "harmed", "recovering", "settled"]
    assert (found[2].begin, found[3].begin, found[4].begin) == (s(4.1), s(6.8), s(66.92))


def test_states_follow_each_other_without_a_gap() -> None:
    for drill in (self_heal(), cluster_loss(), refuted(), inconclusive()):
        for before, after in zip(drill.states, drill.states[1:], strict=False):
            assert before.end == after.begin


def test_what_was_steady_before_the_timeline_began_is_steady_from_its_beginning() -> None:
    assert self_heal().states[0].name == "steady"
    assert self_heal().states[0].begin == s(0)


def test_a_drill_that_never_recovered_is_lost_to_its_end() -> None:
    last = states(refuted().history)[-1]
    assert (last.name, last.end) == ("lost", s(180.36) + s(0.04))


def test_without_a_fault_nothing_was_harmed() -> None:
    assert [x.name for x in states(inconclusive().history)] == ["unproven"]


def test_a_steady_state_of_which_one_part_was_missing_is_not_proven() -> None:
    script = Script()
    script.wait("require", "converged", 1, 2, expected="e", actual="a", within=9)
    script.say(9, "require.ended", "answers", state="PENDING", expected="e", actual="a")
    assert [x.name for x in states(history(script))] == ["unproven"]


def test_the_path_goes_from_the_fault_to_the_recovery_without_a_gap() -> None:
    path = cluster_loss().path
    assert [x.name for x in path.steps] == [
        "the loss itself", "between phases", "cluster.api", "cluster.nodes", "cluster.dns",
        "cluster, between its phases", "argocd", "root",
        "cortex-system",
    ]  # fmt: skip
    assert path.steps[0].begin == s(4.1)
    assert path.steps[-1].end == s(66.92)
    for before, after in zip(path.steps, path.steps[1:], strict=False):
        assert before.end == after.begin
    assert path.slowest == "argocd -> cortex-system, 49.1 s"


def test_a_phase_around_the_waiting_does_not_change_the_path() -> None:
    assert cluster_loss(converge_phase=False).path == cluster_loss().path


def test_of_parallel_phases_the_one_that_ended_last_is_on_the_path() -> None:
    script = Script()
    script.fault("f", 0, 0, 0.01, "w", "a")
    short = script.say(1, "phase.begun", "short")
    long = script.say(1, "phase.begun", "long")
    script.say(3, "phase.ended", "short", begun_seq=short.seq, begun_us=us(1), outcome="done")
    script.say(9, "phase.ended", "long", begun_seq=long.seq, begun_us=us(1), outcome="done")
    script.wait("until", "ready", 9, 9.02, expected="e", actual="a", within=60)
    drill = script.stored({"name": "x"}, [])
    assert [x.name for x in drill.path.steps] == ["between phases", "long"]


def test_what_converged_before_the_fault_did_not_recover() -> None:
    script = Script()
    script.fault("f", 5, 5, 5.1, "w", "a")
    detail = {"applications": {"untouched": us(2), "healed": us(6)}, "answers": {"front": us(7)}}
    script.say(
        7,
        "until.ended",
        "converged(x) and answers(front)",
        state="MET",
        met_us=us(7),
        not_before_us=None,
        detail=detail,
    )
    assert [(m.name, m.what) for m in moments(history(script))] == [("healed", "converged"), ("front", "answered")]


def test_gaps_are_told_with_their_reason() -> None:
    (gap,) = gaps(cluster_loss().history)
    assert (gap.name, gap.length, gap.outcome) == ("Pod", s(1.2), "the watch was closed by the server")


def test_a_gap_that_never_ended_lasts_until_the_timeline_ends() -> None:
    script = Script()
    script.say(2, "gap", "Pod", start_us=us(1), end_us=None, reason="refused")
    script.say(9, "note", "x", text="the end")
    assert [g.length for g in gaps(history(script))] == [s(8)]
