"""Harm to one node: that it lands is asked of the engine, that it is undone happens once, and nonsense is refused."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from harness.core.clock import SECOND
from harness.core.errors import CommandFailed, CommandTimeout, ConfigError, HealFailed, InjectFailed, UnsafeTarget
from harness.core.faults import BlastRadius
from harness.core.observation import State
from harness.faults import node as faults
from harness.faults.node import CrashNode, FreezeNode, LoseNode
from tests.nodestage import AGENT, BUSY, OTHER, SERVER, NodeStage, node

BROKEN = CommandFailed(["docker"], 1, "", "device or resource busy")


@pytest.fixture
def stage() -> NodeStage:
    return NodeStage()


def crash(stage: NodeStage, name: str = AGENT) -> CrashNode:
    return CrashNode(stage, name)  # type: ignore[arg-type]


def freeze(stage: NodeStage, name: str = AGENT) -> FreezeNode:
    return FreezeNode(stage, name)  # type: ignore[arg-type]


def refusal(text: str = BUSY) -> CommandFailed:
    return CommandFailed(["docker", "pause"], 1, "", text)


# --- crash


def test_a_crash_kills_once_and_is_confirmed_by_the_dead_container(stage: NodeStage) -> None:
    fault = crash(stage)
    done = fault.inject()
    assert stage.docker.diary == [("kill", AGENT)]
    assert (done.sent_ns, done.what) == (fault.away_ns, f"agent {AGENT} killed")
    answer = fault.confirm()
    assert (answer.state, answer.actual) == (State.MET, f"{AGENT} is dead (exit code 137)")


def test_a_kill_that_did_nothing_is_not_confirmed(stage: NodeStage) -> None:
    stage.docker.deaf = True
    fault = crash(stage)
    fault.inject()
    assert (fault.confirm().state, fault.confirm().actual) == (State.PENDING, "it still runs")


def test_a_crash_of_the_server_is_confirmed_only_when_the_api_is_silent(stage: NodeStage) -> None:
    fault = crash(stage, SERVER)
    fault.inject()
    assert fault.confirm().state is State.PENDING
    stage.view.answering = False
    answer = fault.confirm()
    assert (answer.state, answer.expected) == (State.MET, f"{SERVER} dead and the API silent")


def test_it_is_started_again_once(stage: NodeStage) -> None:
    fault = crash(stage)
    fault.inject()
    fault.heal()
    fault.heal()
    assert stage.docker.diary == [("kill", AGENT), ("start", AGENT)]
    assert fault.back_ns is not None


def test_what_was_never_harmed_is_not_healed(stage: NodeStage) -> None:
    crash(stage).heal()
    freeze(stage).heal()
    assert stage.docker.diary == []


def test_a_node_that_cannot_be_started_is_told(stage: NodeStage) -> None:
    fault = crash(stage)
    fault.inject()
    stage.docker.failing = [CommandTimeout(["docker", "start"], SECOND, "", "")]
    with pytest.raises(HealFailed, match=f"{AGENT} could not be started"):
        fault.heal()


def test_a_kill_that_the_engine_refuses_did_not_land(stage: NodeStage) -> None:
    stage.docker.failing = [BROKEN]
    with pytest.raises(InjectFailed, match="could not be killed"):
        crash(stage).inject()


@pytest.mark.parametrize("kind", [CrashNode, FreezeNode])
def test_a_node_that_is_not_there_is_refused_before_anything_is_touched(stage: NodeStage, kind: Any) -> None:
    with pytest.raises(ConfigError, match=f"a node of cluster dr-x; found 'k3d-y'; name one of {SERVER}"):
        kind(stage, "k3d-y").inject()
    assert stage.docker.diary == []


@pytest.mark.parametrize("kind", [CrashNode, FreezeNode])
def test_a_cluster_that_is_not_ours_is_left_alone(stage: NodeStage, kind: Any) -> None:
    stage.cluster.ours = False
    with pytest.raises(UnsafeTarget):
        kind(stage, AGENT).inject()
    assert stage.docker.diary == []


def test_a_node_that_is_down_already_cannot_be_harmed(stage: NodeStage) -> None:
    stage.docker.kill(AGENT)
    with pytest.raises(InjectFailed, match="to run before it is harmed; found it down"):
        crash(stage).inject()


def test_it_touches_the_node_and_nothing_else_and_its_states_are_kept(stage: NodeStage) -> None:
    fault = crash(stage)
    fault.inject()
    assert (fault.touches, fault.blast_radius) == ((f"Node {AGENT}",), BlastRadius.NODE)
    stage.show(node(AGENT, stage.now(), ready=False))
    assert len(stage.view.history(fault.ref)) == 2


# --- freeze


def test_a_freeze_stands_still_until_it_is_thawed(stage: NodeStage) -> None:
    fault = freeze(stage)
    fault.inject()
    assert fault.confirm().state is State.MET
    fault.heal()
    assert stage.docker.diary == [("pause", AGENT), ("unpause", AGENT)]
    assert fault.confirm().state is State.PENDING


def test_an_engine_that_was_unable_is_asked_again_and_that_is_on_record(stage: NodeStage) -> None:
    stage.docker.failing = [refusal(), refusal()]
    fault = freeze(stage)
    done = fault.inject()
    assert done.what == f"agent {AGENT} frozen at attempt 3"
    assert done.detail == {"role": "agent", "refusals": [BUSY, BUSY]}
    assert done.sent_ns == 1_000_000_000 + 2 * 300_000_000  # it counts from the attempt that landed


def test_it_is_not_asked_for_ever_nor_after_another_error(stage: NodeStage) -> None:
    stage.docker.failing = [refusal() for _ in range(9)]
    with pytest.raises(InjectFailed, match="could not be frozen"):
        freeze(stage).inject()
    assert len(stage.docker.diary) == faults.FREEZES
    stage.docker.failing = [refusal("No such container")]
    with pytest.raises(InjectFailed):
        freeze(stage).inject()
    assert len(stage.docker.diary) == faults.FREEZES + 1


def test_a_node_that_thawed_by_itself_is_left_alone_and_one_that_is_gone_is_told(stage: NodeStage) -> None:
    fault = freeze(stage)
    fault.inject()
    stage.docker.unpause(AGENT)
    fault.heal()
    assert stage.docker.diary == [("pause", AGENT), ("unpause", AGENT)]
    other = freeze(stage, OTHER)
    other.inject()
    del stage.docker.there[OTHER]
    with pytest.raises(HealFailed, match="could not be thawed"):
        other.heal()


# --- lost and replaced


class Inside:
    """What a look into a node finds."""

    def __init__(self, found: Any, **_: Any) -> None:
        self.node = found

    def digest(self, path: str) -> str:
        return "cafe"

    def tree(self, path: str) -> tuple[str, ...]:
        return ("pvc-1_shop_data", "pvc-1_shop_data/log")


@pytest.fixture
def losing(stage: NodeStage, monkeypatch: pytest.MonkeyPatch) -> NodeStage:
    monkeypatch.setattr(faults, "NodeView", Inside)
    monkeypatch.setattr(faults, "remove", lambda clusters, cluster, name: stage.docker.there.pop(name))
    monkeypatch.setattr(faults, "add_agent", lambda clusters, cluster, name: stage.docker.diary.append(("add", name)))
    stage.clusters = SimpleNamespace()  # type: ignore[attr-defined]
    return stage


def lose(stage: NodeStage, name: str = AGENT) -> LoseNode:
    return LoseNode(stage, name)  # type: ignore[arg-type]


def test_a_loss_marks_the_disk_and_takes_down_who_it_was(losing: NodeStage) -> None:
    fault = lose(losing)
    done = fault.inject()
    assert losing.docker.diary == [("exec", AGENT, "touch", f"{faults.STORAGE}/pvc-1_shop_data/.drill-mark")]
    assert done.detail == {"container": f"id-{AGENT}"[:12], "identity": "cafe", "volumes": ["pvc-1_shop_data"]}
    assert done.what == f"agent {AGENT} deleted, and with it 1 node-local volumes"
    assert fault.confirm().state is State.MET


def test_a_node_that_is_still_there_is_not_lost(losing: NodeStage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(faults, "remove", lambda *_: None)
    fault = lose(losing)
    fault.inject()
    assert fault.confirm().state is State.PENDING


def test_only_an_agent_whose_name_can_be_given_again_may_be_lost(losing: NodeStage) -> None:
    with pytest.raises(ConfigError, match="an agent whose name ends in -0"):
        lose(losing, OTHER)
    with pytest.raises(ConfigError, match="the only server cannot be replaced"):
        lose(losing, SERVER).inject()


def test_a_node_that_cannot_be_deleted_did_not_get_lost(losing: NodeStage, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any) -> None:
        raise BROKEN

    monkeypatch.setattr(faults, "remove", fail)
    with pytest.raises(InjectFailed, match="could not be deleted"):
        lose(losing).inject()


def test_a_replacement_is_told_to_the_api_and_finds_its_folders(losing: NodeStage) -> None:
    losing.api.objects = [node(AGENT, losing.now())]
    fault = lose(losing)
    fault.inject()
    losing.pass_time(20)
    replacement = fault.replacement()
    replacement.rebuild()
    assert [d["name"] for d in losing.api.deletions] == [AGENT]  # there is no node-password secret here: no error
    folder = f"{faults.STORAGE}/pvc-1_shop_data"
    assert losing.docker.diary[1:] == [
        ("add", AGENT), ("exec", AGENT, "sh", "-c", 'mkdir -p "$@" && chmod 777 "$@"', "sh", folder)
    ]  # fmt: skip
    assert (replacement.away_ns, replacement.node) == (fault.away_ns, AGENT)
    assert replacement.back_ns is not None
    assert fault.touches == (f"Node {AGENT}", f"Secret kube-system/{AGENT}.node-password.k3s")
