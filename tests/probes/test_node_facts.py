"""Which node is harmed, how long its loss may take by the settings, and what is read in it."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from harness.core.errors import PreconditionUnmet, ProvisionFailed
from harness.core.profile import DEFAULT, FAST
from harness.faults.node import STORAGE
from harness.probes import node_facts
from harness.probes.node_facts import (
    busiest_agent,
    evicted_within,
    first_agent,
    node_patience,
    node_pods,
    node_state,
    noticed_within,
    only_server,
)
from tests.nodestage import AGENT, OTHER, SERVER, NodeStage, pod


@pytest.fixture
def stage() -> NodeStage:
    return NodeStage()


def engine(on: str) -> Any:
    made = pod("argocd-application-controller-0", "controller", on, kind="StatefulSet")
    made["metadata"]["namespace"] = "argocd"
    return made


def chosen(choose: Any, stage: NodeStage) -> str:
    return str(choose(stage))


def test_the_agent_with_the_most_pods_is_chosen(stage: NodeStage) -> None:
    for name, on in (("a", AGENT), ("b", OTHER), ("c", OTHER), ("d", SERVER), ("e", SERVER), ("f", SERVER)):
        stage.show(pod(name, "api", on))
    assert chosen(busiest_agent, stage) == OTHER


def test_pods_that_cannot_run_elsewhere_do_not_make_an_agent_busy(stage: NodeStage) -> None:
    for name in ("a", "b", "c"):
        stage.show(pod(name, "logs", AGENT, kind="DaemonSet"))
    stage.show(pod("d", "api", OTHER))
    assert chosen(busiest_agent, stage) == OTHER


def test_never_the_one_with_argo_cds_controller(stage: NodeStage) -> None:
    for name, on in (("a", OTHER), ("b", OTHER), ("c", AGENT)):
        stage.show(pod(name, "api", on))
    stage.show(engine(OTHER))
    assert chosen(busiest_agent, stage) == AGENT


def test_equal_agents_are_chosen_by_name_and_a_dead_one_not_at_all(stage: NodeStage) -> None:
    assert chosen(busiest_agent, stage) == AGENT
    stage.docker.kill(AGENT)
    assert chosen(busiest_agent, stage) == OTHER


def test_without_another_agent_there_is_no_drill(stage: NodeStage) -> None:
    del stage.docker.there[OTHER]
    stage.show(engine(AGENT))
    with pytest.raises(PreconditionUnmet, match=f"controller does not run; found {AGENT}: give the cluster two agents"):
        busiest_agent(stage)  # type: ignore[arg-type]


def test_the_first_agent_and_the_only_server(stage: NodeStage) -> None:
    assert chosen(first_agent, stage) == AGENT
    assert chosen(only_server, stage) == SERVER
    del stage.docker.there[AGENT], stage.docker.there[SERVER]
    with pytest.raises(PreconditionUnmet, match="expected an agent 0; found none"):
        first_agent(stage)  # type: ignore[arg-type]
    with pytest.raises(PreconditionUnmet, match="expected one server; found 0"):
        only_server(stage)  # type: ignore[arg-type]


def test_times_come_from_the_settings_or_from_upstream() -> None:
    assert (noticed_within(FAST), evicted_within(FAST)) == (timedelta(seconds=22), timedelta(seconds=10))
    assert (noticed_within(DEFAULT), evicted_within(DEFAULT)) == (timedelta(seconds=55), timedelta(seconds=300))


def test_patience_covers_the_slower_step(stage: NodeStage) -> None:
    assert node_patience(stage) == timedelta(seconds=27)  # type: ignore[arg-type]
    stage.profile = DEFAULT
    assert node_patience(stage) == timedelta(seconds=315)  # type: ignore[arg-type]


class Inside:
    """A node in which two Pods of the API run, and one that nobody knows."""

    def __init__(self, found: Any, **_: Any) -> None:
        self.node = found

    def pods(self) -> frozenset[str]:
        return frozenset({"p-a", "p-b", "p-ghost"})

    def listening(self) -> frozenset[int]:
        return frozenset({10250})

    def mounts(self) -> frozenset[str]:
        return frozenset({"/var/log", "/var/lib/kubelet"})

    def tree(self, path: str) -> tuple[str, ...]:
        assert path == STORAGE
        return ("pvc-1", "pvc-1/.drill-mark", "pvc-2")

    def digest(self, path: str) -> str:
        return "cafe"


def test_a_look_into_a_node_beside_what_the_api_says(stage: NodeStage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(node_facts, "NodeView", Inside)
    stage.api.objects = [pod("a", "api", AGENT), pod("b", "api", AGENT, leaving=True), pod("c", "api", AGENT),
                         pod("d", "api", AGENT, phase="Pending"), pod("e", "api", AGENT, leaving=True),
                         pod("f", "api", OTHER)]  # fmt: skip
    seen = node_state(stage, AGENT).read()  # type: ignore[arg-type]
    assert seen["ghosts"] == ["p-ghost"]
    assert seen["absent"] == ["p-c"]
    assert seen["listens"] == {"10250": True, "10256": False}
    assert [folder for folder, there in seen["mounts"].items() if there] == ["/var/lib/kubelet", "/var/log"]
    assert seen["volumes"] == {"pvc-1": [".drill-mark"], "pvc-2": []}
    assert (seen["container"], seen["identity"], seen["running"]) == (f"id-{AGENT}"[:12], "cafe", 3)
    server = node_state(stage, SERVER).read()  # type: ignore[arg-type]
    assert list(server["listens"]) == ["10250", "10256", "6443"]


def test_a_node_that_is_gone_cannot_be_looked_into(stage: NodeStage) -> None:
    with pytest.raises(ProvisionFailed, match="expected a node k3d-y; found none"):
        node_state(stage, "k3d-y").read()  # type: ignore[arg-type]


def test_who_runs_on_a_node_but_for_jobs(stage: NodeStage) -> None:
    stage.api.objects = [pod("a", "api", AGENT), pod("j", "job", AGENT, kind="Job"), pod("f", "api", OTHER)]
    assert node_pods(stage, AGENT).read() == {"shop/a": {"uid": "p-a", "restarts": 0}}  # type: ignore[arg-type]
