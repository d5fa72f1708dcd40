"""Faults, waits, holds, nodes and losses, as a timeline tells them."""

from __future__ import annotations

from datetime import timedelta
from itertools import pairwise
from typing import Any

import pytest
from report_sample import Script, census, cluster_loss, data_loss, node_loss, self_heal, us

from harness.core.timeline import History
from harness.report.anatomy import states
from harness.report.picture import timeline
from harness.report.spans import chain, faults, loss_list, nodes, waits


def s(value: float) -> timedelta:
    return timedelta(seconds=value)


def history(script: Script) -> History:
    return History(tuple(script.events))


def injected(*, touches: Any = (), subject: str = "Crash(x)") -> Script:
    script = Script()
    script.say(0.5, "observed", "census", reading="census", value=census())
    script.fault(subject, 1, 1, 1.1, "w", "a")
    script.events[-2].data["touches"] = touches  # type: ignore[index]
    return script


def test_a_fault_lasts_until_it_was_healed() -> None:
    assert [(f.name, f.begin, f.end, f.outcome) for f in faults(node_loss().history)] == [
        ("CrashNode(agent-0)", s(0.61), s(43.1), "healed")
    ]


def test_a_fault_that_we_do_not_undo_has_no_known_end() -> None:
    (only,) = faults(self_heal().history)
    assert (only.outcome, only.begin) == ("not undone", s(0.412))


def test_a_heal_that_failed_is_told() -> None:
    script = injected()
    script.say(5, "heal.begun", "Crash(x)")
    script.say(6, "heal.failed", "Crash(x)", error="no")
    (only,) = faults(history(script))
    assert (only.outcome, only.end) == ("heal failed", s(6))


def test_waits_end_when_what_was_awaited_was_there() -> None:
    found = waits(node_loss().history)
    assert [(w.name, w.outcome, w.begin, w.end) for w in found] == [
        ("not_ready(agent-0)", "met", s(0.91), s(22.4)),
        ("converged(primary)", "met", s(22.41), s(41.7)),
        ("ready(agent-0)", "met", s(43.2), s(49.8)),
        ("unchanged(Pod cortex-core/kept)", "held", s(50), s(60)),
    ]


@pytest.mark.parametrize(
    ("kind", "state", "outcome"),
    [
        ("until", "PENDING", "gave up"),
        ("until", "BROKEN", "gave up"),
        ("hold", "BROKEN", "lost"),
        ("hold", "MET", "held"),
    ],
)
def test_waits_in_vain_and_holds_that_were_lost(kind: str, state: str, outcome: str) -> None:
    script = injected()
    script.say(2, f"{kind}.begun", "p")
    script.say(9, f"{kind}.ended", "p", state=state)
    (only,) = waits(history(script))
    assert (only.outcome, only.length) == (outcome, s(7))


def test_a_wait_that_was_met_before_it_began_takes_no_time_and_one_without_end_lasts() -> None:
    script = injected()
    script.say(5, "until.begun", "early")
    script.say(5.1, "until.ended", "early", state="MET", met_us=us(2))
    script.say(6, "until.begun", "killed")
    script.say(8, "heartbeat", "killed")
    assert [(w.outcome, w.length) for w in waits(history(script))] == [("met", s(0)), ("unfinished", s(2))]


def test_what_was_awaited_before_the_fault_is_no_part_of_the_recovery() -> None:
    script = Script()
    script.wait("until", "p", 0, 1, expected="e", actual="a", within=9)
    assert waits(history(script)) == ()


def test_what_was_left_alone_is_a_state_of_its_own() -> None:
    found = states(node_loss().history)
    assert [x.name for x in found][-4:] == ["recovering", "settled", "held", "settled"]
    for before, after in pairwise(found):
        assert before.end == after.begin
    held = next(x for x in found if x.name == "held")
    assert (held.begin, held.end) == (s(50), s(60))


def test_a_hold_that_was_lost_is_no_settled_state() -> None:
    script = injected()
    script.wait("until", "p", 1.2, 2, expected="e", actual="a", within=9)
    script.say(3, "hold.begun", "h", lasting_s=10.0)
    script.say(4, "hold.ended", "h", state="BROKEN", waited_s=1.0)
    assert "lost" in [x.name for x in states(history(script))]


def test_a_hit_node_is_away_until_it_was_seen_back_and_the_others_are_untouched() -> None:
    assert [(n.name, n.hit, n.back) for n in nodes(node_loss().history)] == [
        ("k3d-dr-main-agent-0", s(0.61), s(49.8)),
        ("k3d-dr-main-agent-1", None, None),
        ("k3d-dr-main-server-0", None, None),
    ]


@pytest.mark.parametrize(
    ("touches", "hit"),
    [
        (["Node k3d-dr-main-agent-1"], ["k3d-dr-main-agent-1"]),
        (["Node *agent*"], ["k3d-dr-main-agent-0", "k3d-dr-main-agent-1"]),
        (["Node somebody-elses"], ["somebody-elses"]),
        (["Deployment a/b", "* cortex/*"], []),
        ("Node x", []),
        (None, []),
    ],
)
def test_faults_name_the_nodes_they_hit(touches: Any, hit: list[str]) -> None:
    found = nodes(history(injected(touches=touches)))
    assert [n.name for n in found if n.hit is not None] == hit
    assert bool(found) == bool(hit)


def test_the_loss_list_is_the_one_of_before_the_fault() -> None:
    found = loss_list(data_loss().history)
    assert found[:2] == (
        ("PersistentVolumeClaim cortex-system/data-postgres-0", "its data is in no repository"),
        ("Secret cortex-chat/made-by-hand", "put in by kubectl"),
    )
    assert loss_list(cluster_loss().history) == ()


@pytest.mark.parametrize("value", [None, 7, {"a": 1}, [1, "x", None], [{"why": 3}]])
def test_a_loss_list_of_another_shape_is_read_as_far_as_it_goes(value: Any) -> None:
    script = Script()
    script.say(1, "observed", "loss", reading="loss", value=value)
    assert loss_list(history(script)) == ((("?", "3"),) if value == [{"why": 3}] else ())


def test_a_probe_that_could_not_answer_ends_its_wait() -> None:
    script = injected()
    script.say(2, "until.begun", "p")
    script.say(4, "until.failed", "p", error="ValueError: x")
    script.say(9, "note", "x", text="later")
    (only,) = waits(history(script))
    assert (only.outcome, only.length) == ("no answer", s(2))


@pytest.mark.parametrize("detail", [None, {}, {"chain": 7}, {"chain": {}}])
def test_without_a_chain_only_finality_is_told_where_there_is_one(detail: Any) -> None:
    script = injected()
    script.say(9, "until.ended", "p", state="BROKEN", detail=detail)
    told = chain(history(script))
    assert told == ((("Final", "no: it may heal by itself"),) if detail == {"chain": {}} else ())


def test_a_node_that_was_healed_and_never_looked_at_may_have_been_back_from_then_on() -> None:
    script = injected(touches=["Node k3d-dr-main-agent-1"])
    script.say(5, "heal.begun", "Crash(x)")
    script.say(6, "heal.ended", "Crash(x)")
    (hit,) = [n for n in nodes(history(script)) if n.hit is not None]
    assert (hit.back, hit.healed) == (None, s(6))


def test_lanes_of_nodes_leave_out_what_all_names_have_in_common() -> None:
    drawn = timeline(node_loss())
    assert drawn is not None
    lanes = dict(drawn.groups)["Nodes"]
    assert [(lane.name, lane.title.partition(":")[0]) for lane in lanes] == [
        ("agent-0", "k3d-dr-main-agent-0"), ("agent-1", "k3d-dr-main-agent-1"), ("server-0", "k3d-dr-main-server-0"),
    ]  # fmt: skip
