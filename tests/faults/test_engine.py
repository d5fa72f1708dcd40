"""Harm to the engine: what counts as the middle of a sync, and what is refused before anything is touched."""

from __future__ import annotations

import pytest

from harness.core.errors import ConfigError, InjectFailed, UnsafeTarget
from harness.core.faults import BlastRadius
from harness.core.observation import State
from harness.faults.engine import KillEngine, LoseEngine, pod_of
from tests.engineroom import COMPONENTS, NODE, EngineRoom, application, pod

CASCADE = "resources-finalizer.argocd.argoproj.io"


@pytest.fixture
def room() -> EngineRoom:
    return EngineRoom()


def kill(room: EngineRoom, component: str = "redis") -> KillEngine:
    return KillEngine(room, component, during="shop")  # type: ignore[arg-type]


def lose(room: EngineRoom, **how: bool) -> LoseEngine:
    return LoseEngine(room, **how)  # type: ignore[arg-type]


# --- a component, in the middle --------------------------------------------------------------------------------------


@pytest.mark.parametrize("component", COMPONENTS)
def test_its_first_process_is_killed_while_a_sync_is_running(room: EngineRoom, component: str) -> None:
    room.sync()
    room.cluster.on_kill = lambda: room.dies(component)
    fault = kill(room, component)
    done = fault.inject()
    assert [ran[0] for ran in room.cluster.ran] == [NODE, NODE]
    assert room.cluster.ran[0][-1] == f"{component}-c1"  # whose processes are looked for
    assert room.cluster.ran[1] == (NODE, "kill", "-9", "4711")
    assert done.what == f"process 4711 of {component} killed on {NODE}, sync of shop since 2026-01-01T00:00:07Z"
    assert done.detail == {"pod": f"argocd-{component}-0", "node": NODE, "sync": "waiting for hook migrate"}
    answer = fault.confirm()
    assert answer.state is State.MET
    assert answer.actual == f"{component} ended with 137 while a sync of shop was Running: waiting for hook migrate"


def test_it_touches_the_workload_and_says_whose_sync(room: EngineRoom) -> None:
    fault = kill(room, "application-controller")
    assert fault.touches == ("StatefulSet argocd/argocd-application-controller",)
    assert kill(room).touches == ("Deployment argocd/argocd-redis",)
    assert fault.subject == "KillEngine(application-controller during a sync of shop)"
    assert fault.blast_radius is BlastRadius.NAMESPACE


@pytest.mark.parametrize(
    "state",
    [{"phase": "Succeeded"}, {"phase": "Failed"}, {"finishedAt": "2026-01-01T00:00:08Z"}],
    ids=["over", "failed", "waiting for a retry"],
)
def test_where_no_sync_is_running_nothing_is_killed(room: EngineRoom, state: dict[str, str]) -> None:
    room.sync(**state)
    with pytest.raises(InjectFailed, match=r"a sync of shop should be running, it is (Succeeded|Failed|Running)"):
        kill(room).inject()
    assert not [ran for ran in room.cluster.ran if ran[1] == "kill"]


@pytest.mark.parametrize("after", [{"phase": "Succeeded"}, {"startedAt": "2026-01-01T00:00:09Z"}])
def test_a_sync_that_had_ended_by_then_is_no_proof(room: EngineRoom, after: dict[str, str]) -> None:
    room.sync()
    room.cluster.on_kill = lambda: room.sync(**after)
    with pytest.raises(InjectFailed, match=r"should be running, it is Succeeded|had ended when redis died"):
        kill(room).inject()


def test_an_attempt_that_failed_by_the_death_itself_is_still_that_sync(room: EngineRoom) -> None:
    room.sync()
    room.cluster.on_kill = lambda: room.sync(finishedAt="2026-01-01T00:00:09Z", message="connection refused")
    assert kill(room).inject().detail["sync"] == "connection refused"  # type: ignore[index]


@pytest.mark.parametrize("pids", ["", "4711\n4712\n", "what?\n"])
def test_a_process_that_cannot_be_told_is_not_killed(room: EngineRoom, pids: str) -> None:
    room.sync()
    room.cluster.pids = pids
    with pytest.raises(InjectFailed, match="one first process of container redis-c1"):
        kill(room).inject()


def test_a_component_that_does_not_run_cannot_be_killed(room: EngineRoom) -> None:
    room.sync()
    room.api.objects = [o for o in room.api.objects if o["kind"] != "Pod"]
    with pytest.raises(InjectFailed, match="no running Pod of Deployment argocd/argocd-redis to kill"):
        kill(room).inject()


def test_a_node_that_does_not_answer_is_no_death(room: EngineRoom) -> None:
    room.sync()
    room.cluster.fails = True
    with pytest.raises(InjectFailed, match="redis could not be killed"):
        kill(room).inject()


def test_a_cluster_of_somebody_else_is_left_alone(room: EngineRoom) -> None:
    room.sync()
    room.cluster.ours = False
    for fault in (kill(room), lose(room)):
        with pytest.raises(UnsafeTarget):
            fault.inject()
    assert (room.cluster.ran, room.api.deletions) == ([], [])


def test_nobody_else_is_called_a_component(room: EngineRoom) -> None:
    with pytest.raises(ConfigError, match="one of application-controller, repo-server, redis; found 'server'"):
        kill(room, "server")


def test_until_the_kubelet_tells_it_is_pending(room: EngineRoom) -> None:
    room.sync()
    fault = kill(room)
    fault.inject()
    assert (fault.confirm().state, fault.confirm().actual) == (
        State.PENDING, "the kubelet has not told of its end yet",
    )  # fmt: skip


def test_a_process_that_ended_by_itself_was_not_killed(room: EngineRoom) -> None:
    room.sync()
    room.cluster.on_kill = lambda: room.dies("redis", code=1)
    fault = kill(room)
    fault.inject()
    assert fault.confirm().state is State.BROKEN


def test_a_pod_that_was_replaced_takes_the_proof_along(room: EngineRoom) -> None:
    room.sync()
    room.cluster.on_kill = lambda: room.dies("redis", uid="p2")
    fault = kill(room)
    fault.inject()
    assert fault.confirm().state is State.BROKEN


def test_a_pod_on_its_way_out_is_not_the_one_that_runs(room: EngineRoom) -> None:
    leaving = pod("redis", uid="old")
    leaving["metadata"] |= {"name": "argocd-redis-old", "deletionTimestamp": "2026-01-01T00:00:00Z"}
    room.api.objects.insert(0, leaving)
    found = pod_of(room, kill(room).workload)  # type: ignore[arg-type]
    assert found is not None
    assert found["metadata"]["uid"] == "p1"


# --- all of it -------------------------------------------------------------------------------------------------------


def definition(name: str, group: str) -> dict[str, object]:
    return {"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": {"name": name},
            "spec": {"group": group}}  # fmt: skip


def test_the_namespace_and_all_that_is_in_it_is_gone(room: EngineRoom) -> None:
    fault = lose(room)
    begun = room.clock.now_ns()
    done = fault.inject()
    assert done.sent_ns == begun
    assert done.accepted_ns > begun
    assert done.detail == {"applications": 1}
    assert [d["name"] for d in room.api.deletions] == ["argocd"]
    assert fault.confirm().state is State.MET
    assert fault.touches == ("Namespace argocd", "* argocd/*")
    assert fault.blast_radius is BlastRadius.NAMESPACE


def test_its_own_crds_go_too_where_that_is_asked_and_nobody_elses(room: EngineRoom) -> None:
    own, other = definition("applications.argoproj.io", "argoproj.io"), definition("x.shop.example", "shop.example")
    room.api.objects += [own, other]
    fault = lose(room, definitions=True)
    fault.inject()
    assert [d["name"] for d in room.api.deletions] == ["argocd", "applications.argoproj.io"]
    room.api.served = {"Namespace", "CustomResourceDefinition"}  # nobody serves Applications any more
    assert fault.confirm().state is State.MET
    assert fault.touches[2:] == ("CustomResourceDefinition *.argoproj.io", "APIService *.argoproj.io")
    assert fault.blast_radius is BlastRadius.CLUSTER


def test_what_is_still_there_is_told(room: EngineRoom) -> None:
    answer = lose(room).confirm()
    assert (answer.state, answer.actual) == (State.PENDING, "still there: namespace argocd, Application shop")


def test_applications_that_would_take_workloads_along_are_refused_before_anything_is_touched(room: EngineRoom) -> None:
    room.becomes(application(finalizers=[CASCADE]))
    with pytest.raises(UnsafeTarget, match=r"Applications without finalizers.*found Application shop; take them off"):
        lose(room).inject()
    assert (room.api.deletions, room.api.patches) == ([], [])


def test_finalizers_are_taken_off_only_when_nobody_is_there_to_act_on_them(room: EngineRoom) -> None:
    room.becomes(application(finalizers=[CASCADE]))
    lose(room, strip_finalizers=True).inject()
    assert [(p["name"], p["body"]) for p in room.api.patches] == [
        ("argocd-application-controller", {"spec": {"replicas": 0}}),
        ("shop", {"metadata": {"finalizers": None}}),
    ]
    assert [d["name"] for d in room.api.deletions] == ["argocd"]


def test_a_controller_that_does_not_stop_keeps_its_finalizers(room: EngineRoom) -> None:
    room.becomes(application(finalizers=[CASCADE]))
    room.api.stuck = True
    with pytest.raises(InjectFailed, match="Pod argocd-application-controller-0 is still there"):
        lose(room, strip_finalizers=True).inject()
    assert room.api.deletions == []


def test_a_namespace_that_does_not_go_did_not_land(room: EngineRoom) -> None:
    room.api.stuck = True
    begun = room.clock.now_ns()
    with pytest.raises(InjectFailed, match="Namespace argocd is still there"):
        lose(room).inject()
    assert 120 * 10**9 <= room.clock.now_ns() - begun < 125 * 10**9
