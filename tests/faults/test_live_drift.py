"""Drift by hand: when it counts as landed, and every way in which it does not land."""

from __future__ import annotations

from datetime import timedelta

import pytest

from harness.core.clock import MILLISECOND
from harness.core.errors import ApiRefused, ApiUnreachable, ConfigError, InjectFailed
from harness.core.faults import BlastRadius
from harness.core.observation import State
from harness.faults.live_drift import ScaleDeployment
from tests.stage import Stage, deployment


def ns(duration: timedelta) -> int:
    return duration // timedelta(microseconds=1) * 1000


@pytest.fixture
def stage() -> Stage:
    made = Stage()
    made.deploy(replicas=1)
    return made


def fault(stage: Stage, replicas: int = 3, target: str = "shop/api") -> ScaleDeployment:
    return ScaleDeployment(stage, target, replicas)  # type: ignore[arg-type]


def test_it_is_accepted_when_the_watch_delivers_our_own_write(stage: Stage) -> None:
    begun = stage.clock.now_ns()
    done = fault(stage).inject()
    assert done.sent_ns == begun
    assert done.accepted_ns == begun + ns(3 * MILLISECOND)  # 2 ms for the answer, 1 ms for the event
    assert done.what == "replicas of Deployment shop/api: 1 to 3"
    assert done.detail == {"resource_version": "101", "before": 1}


def test_it_writes_as_kubectl_scale_does_under_a_name_of_its_own(stage: Stage) -> None:
    fault(stage).inject()
    assert stage.api.patches == [
        {"name": "api", "namespace": "shop", "body": {"spec": {"replicas": 3}}, "subresource": "scale",
         "manager": "drill-drift"}
    ]  # fmt: skip


def test_an_event_of_somebody_elses_write_is_not_ours(stage: Stage) -> None:
    stage.clock.after(MILLISECOND, lambda: stage.view.event(deployment(7, 500)))
    drift = fault(stage)
    drift.inject()
    seen = drift.accepted()
    assert seen is not None
    assert seen.version == "101"


def test_without_an_event_it_counts_from_the_answer_and_is_not_confirmed(stage: Stage) -> None:
    stage.api.lag = None
    begun = stage.clock.now_ns()
    drift = fault(stage)
    assert drift.inject().accepted_ns == begun + ns(2 * MILLISECOND)
    answer = drift.confirm()
    assert (answer.state, answer.actual) == (State.PENDING, "no watch event of the write yet")
    assert stage.clock.now_ns() == begun + ns(timedelta(seconds=2, milliseconds=2))  # it was given 2 s, once


def test_it_is_confirmed_by_what_the_api_showed(stage: Stage) -> None:
    drift = fault(stage)
    done = drift.inject()
    answer = drift.confirm()
    assert (answer.state, answer.at_ns) == (State.MET, done.accepted_ns)
    assert answer.actual == "Deployment shop/api: spec.replicas 3, should be spec.replicas 1, as in Git"


def test_a_write_that_something_altered_on_its_way_is_broken(stage: Stage) -> None:
    stage.api.lag = None
    stage.clock.after(2 * MILLISECOND, lambda: stage.view.event(deployment(1, 101)))
    drift = fault(stage)
    drift.inject()
    assert drift.confirm().state is State.BROKEN


def test_scaling_to_the_same_count_is_no_drift(stage: Stage) -> None:
    with pytest.raises(InjectFailed, match="already has 1 replicas: scaling it to that is no drift"):
        fault(stage, replicas=1).inject()
    assert stage.api.patches == []


def test_a_deployment_that_is_not_there_cannot_be_scaled(stage: Stage) -> None:
    with pytest.raises(InjectFailed, match="there is no Deployment shop/web to change"):
        fault(stage, target="shop/web").inject()


@pytest.mark.parametrize("error", [ApiRefused(403, "Forbidden", "not you"), ApiUnreachable("connection refused")])
def test_a_write_that_the_api_does_not_take_did_not_land(stage: Stage, error: Exception) -> None:
    stage.api.refuses = error
    with pytest.raises(InjectFailed, match=r"scaling shop/api was not accepted: .*(not you|connection refused)"):
        fault(stage).inject()


@pytest.mark.parametrize("target", ["api", "/api", "shop/", ""])
def test_a_target_must_be_a_namespace_and_a_name(stage: Stage, target: str) -> None:
    with pytest.raises(ConfigError, match="a Deployment as namespace/name"):
        fault(stage, target=target)


def test_it_stays_within_a_namespace(stage: Stage) -> None:
    drift = fault(stage)
    assert drift.blast_radius is BlastRadius.NAMESPACE
    assert drift.subject == "ScaleDeployment(shop/api to 3)"
