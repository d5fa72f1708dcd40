"""Questions about one harmed node: MET only by what was seen after the harm, and since when."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest

from harness.cluster.live import Outage
from harness.core.errors import ApiUnreachable
from harness.core.objects import Object, Ref
from harness.core.observation import Observation, State
from harness.effects.waiting import until
from harness.probes.nodes import api_answering, available_elsewhere, fresh, not_ready, ready_again, still_ready
from tests.nodestage import (
    AGENT,
    OTHER,
    NodeStage,
    application,
    claim,
    node,
    pod,
    replica_set,
    workload,
)

SECOND = 1_000_000_000


@dataclass
class Harmed:
    """A node that is away since now; `back` brings it back."""

    platform: Any
    node: str = AGENT
    away_ns: int | None = None
    back_ns: int | None = None
    restarts_pods: bool = True

    @property
    def ref(self) -> Ref:
        return Ref("", "Node", "", self.node)

    def leave(self) -> Harmed:
        self.platform.view.follow(self.ref)
        self.away_ns = self.platform.clock.now_ns()
        return self

    def back(self) -> None:
        self.back_ns = self.platform.clock.now_ns()


@pytest.fixture
def stage() -> NodeStage:
    made = NodeStage()
    made.pass_time(10)
    return made


def show(stage: NodeStage, *objects: Object) -> None:
    for obj in objects:
        stage.show(obj)


def answer(probe: Any) -> tuple[State, str]:
    seen: Observation = probe.observe()
    return seen.state, seen.actual


PENDING, MET = State.PENDING, State.MET


# --- not ready


def test_a_node_is_not_ready_when_the_api_says_so_after_the_harm(stage: NodeStage) -> None:
    show(stage, node(AGENT, stage.now(), ready=False))  # an older trouble
    show(stage, node(AGENT, stage.now()))
    away = Harmed(stage)
    probe = not_ready(away)
    assert answer(probe) == (PENDING, "nothing was done to it yet")
    away.leave()
    stage.pass_time(12.4)
    assert answer(probe) == (PENDING, "still shown as Ready")
    turned = stage.now()
    stage.pass_time(0.3)
    show(stage, node(AGENT, turned, ready=False))
    seen = probe.observe()
    assert (seen.state, seen.actual) == (MET, "NotReady (NodeStatusUnknown)")
    # The API writes whole seconds; the turn lies between that second's beginning and the event.
    assert seen.at_ns == stage.clock.now_ns()
    assert seen.not_before_ns == seen.at_ns - SECOND * 7 // 10
    show(stage, node(AGENT, stage.now()))
    assert probe.observe().at_ns == seen.at_ns  # it was so, whatever came then


def test_a_silent_api_and_a_deleted_node_are_told(stage: NodeStage) -> None:
    probe = not_ready(Harmed(stage).leave())
    stage.pass_time(1)
    stage.view.answering = False
    assert answer(probe) == (PENDING, "the API does not answer")
    stage.view.answering = True
    stage.show(node(AGENT, stage.now()), deleted=True)
    assert answer(probe) == (PENDING, "its Node object is gone")


def test_a_node_that_nobody_misses_stays_ready_and_one_flicker_breaks_it(stage: NodeStage) -> None:
    probe = still_ready(Harmed(stage).leave())
    stage.pass_time(1)
    assert probe.observe().state is MET
    show(stage, node(AGENT, stage.now(), ready=False), node(AGENT, stage.now()))
    assert answer(probe) == (State.BROKEN, "not Ready (NodeStatusUnknown)")
    stage.view.answering = False
    with pytest.raises(ApiUnreachable):
        probe.observe()


# --- available elsewhere


def populated(stage: NodeStage) -> NodeStage:
    show(stage, workload("api", 2), replica_set("api"), pod("api-a", "api", AGENT), pod("api-b", "api", OTHER))
    return stage


def test_what_a_deployment_says_of_before_the_loss_does_not_count(stage: NodeStage) -> None:
    probe = available_elsewhere(Harmed(populated(stage)).leave())
    seen = probe.observe()
    assert (seen.state, seen.done, seen.total) == (PENDING, 0, 1)
    assert seen.actual == "Deployment shop/api: 1 of 2 Pods ready elsewhere"


def test_it_is_available_since_the_last_pod_it_needs_was_ready(stage: NodeStage) -> None:
    probe = available_elsewhere(Harmed(populated(stage)).leave())
    stage.pass_time(30)
    show(stage, workload("api", 2, available=1), pod("api-a", "api", AGENT, leaving=True))
    show(stage, pod("api-c", "api", OTHER, ready=False, phase="Pending"))
    assert answer(probe)[1].endswith("1 of 2 Pods ready elsewhere (api-c: is Pending, not ready)")
    otherwise = stage.clock.now_ns()
    stage.pass_time(2)
    show(stage, pod("api-c", "api", OTHER), workload("api", 2))
    ready = stage.clock.now_ns()
    stage.pass_time(1)
    seen = probe.observe()
    assert (seen.state, seen.actual) == (MET, "1 workloads available on other nodes")
    assert (seen.not_before_ns, seen.at_ns) == (otherwise, ready)


def test_what_can_go_nowhere_is_told_before_what_is_on_its_way(stage: NodeStage) -> None:
    for name in ("a", "b", "c", "d", "pinned"):
        show(stage, workload(name), replica_set(name), pod(f"{name}-1", name, "", ready=False, phase="Pending"))
    stuck = pod("pinned-1", "pinned", "", ready=False, phase="Pending")
    stuck["status"]["conditions"].append({"type": "PodScheduled", "status": "False", "message": "no node matches"})
    stuck["status"]["containerStatuses"] = []
    show(stage, stuck)
    said = answer(available_elsewhere(Harmed(stage).leave()))[1]
    assert said.startswith(
        "Deployment shop/pinned: 0 of 1 Pods ready elsewhere (pinned-1: not scheduled: no node match"
    )


def test_a_stateful_set_without_a_disk_there_is_not_excused(stage: NodeStage) -> None:
    show(stage, workload("engine", kind="StatefulSet"), pod("engine-0", "engine", AGENT, kind="StatefulSet"))
    assert answer(available_elsewhere(Harmed(stage).leave())) == (
        PENDING, "StatefulSet shop/engine: 0 of 1 Pods ready elsewhere",
    )  # fmt: skip


def test_a_pod_that_waits_for_its_disk_is_left_out_and_named(stage: NodeStage) -> None:
    populated(stage)
    show(stage, pod("api-c", "api", OTHER), claim("data-db-0", AGENT), workload("db", kind="StatefulSet"))
    show(stage, pod("db-0", "db", AGENT, kind="StatefulSet", claim="data-db-0"))
    seen = available_elsewhere(Harmed(stage).leave()).observe()
    assert seen.state is MET
    assert seen.actual == "1 workloads available on other nodes; waiting for their disk: shop/db-0"
    assert seen.detail == {"waiting_for_their_node": ["shop/db-0"]}


def test_nothing_at_all_is_not_available(stage: NodeStage) -> None:
    probe = available_elsewhere(Harmed(stage).leave())
    assert answer(probe) == (PENDING, "no workload")
    stage.view.answering = False
    assert answer(probe) == (PENDING, "the API does not answer")


# --- back


def test_the_api_answers_again_at_the_end_of_the_outage(stage: NodeStage) -> None:
    away = Harmed(stage).leave()
    probe, now = api_answering(away), stage.clock.now_ns()
    assert answer(probe) == (PENDING, "it was never seen silent")
    old = Outage(1, 2, 3, 4, "before our time")
    stage.view.outages = (old, Outage(now, now + 5, now + 90, None, "refused"))
    stage.view.answering = False
    stage.pass_time(3)
    assert answer(probe) == (PENDING, "silent: refused")
    stage.view.outages = (old, Outage(now, now + 5, now + 90, now + 99, "refused"))
    stage.view.answering = True
    seen = probe.observe()
    assert (seen.state, seen.not_before_ns, seen.at_ns) == (MET, now + 90, now + 99)


def test_ready_again_is_the_kubelets_own_word_since_it_is_back(stage: NodeStage) -> None:
    away = Harmed(stage).leave()
    probe = ready_again(away)
    assert answer(probe) == (PENDING, "it was not brought back yet")
    before = stage.now()
    stage.pass_time(5)
    away.back()
    assert answer(probe) == (PENDING, "not seen since it was brought back")
    stage.pass_time(2)
    show(stage, node(AGENT, before))  # somebody else changed it: a label, an annotation
    assert answer(probe) == (PENDING, "its kubelet has said nothing since")
    show(stage, node(AGENT, stage.now(), tainted=True))
    assert answer(probe) == (PENDING, "tainted node.kubernetes.io/unreachable")
    show(stage, node(AGENT, stage.now(), cordoned=True))
    assert answer(probe) == (PENDING, "cordoned")
    stage.pass_time(1)
    show(stage, node(AGENT, stage.now()))
    ready = stage.clock.now_ns()
    stage.pass_time(1)
    show(stage, node(AGENT, stage.now()))
    seen = probe.observe()
    assert (seen.state, seen.not_before_ns, seen.at_ns) == (MET, ready - SECOND, ready)


def test_ready_is_lost_again_with_the_node(stage: NodeStage) -> None:
    away = Harmed(stage).leave()
    away.back()
    stage.pass_time(1)
    show(stage, node(AGENT, stage.now()))
    probe = ready_again(away)
    assert probe.observe().state is MET
    stage.view.answering = False
    assert answer(probe) == (PENDING, "the API does not answer")
    stage.view.answering = True
    stage.show(node(AGENT, stage.now()), deleted=True)
    assert answer(probe) == (PENDING, "not there")


def test_what_was_compared_and_reported_before_is_no_news(stage: NodeStage) -> None:
    away = Harmed(stage).leave()
    probe, before = fresh(away), stage.now()
    show(stage, application("shop", before), pod("api-a", "api", AGENT, began=before))
    assert answer(probe) == (PENDING, "it was not brought back yet")
    stage.pass_time(5)
    away.back()
    assert answer(probe) == (PENDING, "Argo CD has not compared shop since, Pod api-a is shown as it was before")
    stage.pass_time(2)
    show(stage, application("shop", stage.now()), pod("api-a", "api", AGENT, began=stage.now()))
    seen = probe.observe()
    assert (seen.state, seen.at_ns) == (MET, stage.clock.now_ns())


def test_news_is_dated_by_the_second_that_the_api_names(stage: NodeStage) -> None:
    away = Harmed(stage).leave()
    show(stage, application("shop", stage.now()))
    away.back()
    probe = fresh(away)
    probe.observe()
    stage.pass_time(8)
    compared = stage.now()
    stage.pass_time(0.4)
    show(stage, application("shop", compared))
    seen = probe.observe()
    assert seen.not_before_ns == seen.at_ns - SECOND * 4 // 10


def test_a_container_that_does_not_run_is_no_news(stage: NodeStage) -> None:
    away = Harmed(stage).leave()
    away.back()
    show(stage, pod("api-a", "api", AGENT))
    assert answer(fresh(away)) == (PENDING, "Pod api-a is shown as it was before")


def test_an_application_is_asked_to_look_and_not_too_often(stage: NodeStage) -> None:
    away = Harmed(stage).leave()
    show(stage, application("shop", stage.now()))
    stage.pass_time(5)
    away.back()
    until(fresh(away), within=timedelta(seconds=7), clock=stage.clock)
    assert stage.refreshed == ["shop", "shop", "shop"]
    stage.engine_away = True
    assert fresh(away).observe().state is PENDING  # one that cannot be asked is no error


def test_pods_on_their_way_out_are_awaited_and_frozen_ones_need_no_restart(stage: NodeStage) -> None:
    away, before = Harmed(stage, restarts_pods=False).leave(), stage.now()
    probe = fresh(away)
    away.back()
    show(stage, pod("api-a", "api", AGENT, began=before), pod("job-1", "job", AGENT, kind="Job", leaving=True))
    assert probe.observe().state is MET
    show(stage, pod("api-a", "api", AGENT, began=before, leaving=True))
    assert answer(probe) == (PENDING, "Pod api-a is still being deleted")
    stage.view.answering = False
    assert answer(probe) == (PENDING, "the API does not answer")
