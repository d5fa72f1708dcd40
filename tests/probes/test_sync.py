"""`healed`: between which two moments the heal was accepted. Convergence is tested in tests/gitops."""

from __future__ import annotations

from datetime import timedelta

import pytest

from harness.core.clock import MILLISECOND, SECOND
from harness.core.objects import Object, Ref
from harness.core.observation import State
from harness.faults.live_drift import DeleteObject, ScaleDeployment
from harness.gitops.convergence import Converged
from harness.probes.sync import converged, healed, healthy_again
from tests.stage import Stage, deployment, desired

DELAY = 3_000_000  # ns, from our own write to its event on this stage: 2 ms and 1 ms


@pytest.fixture
def stage() -> Stage:
    made = Stage()
    made.deploy(replicas=1)
    return made


@pytest.fixture
def drift(stage: Stage) -> ScaleDeployment:
    made = ScaleDeployment(stage, "shop/api", 3)  # type: ignore[arg-type]
    made.inject()
    return made


def test_drift_is_pending_and_shows_what_is_live(drift: ScaleDeployment) -> None:
    answer = healed(drift).observe()
    assert (answer.state, answer.expected, answer.actual) == (
        State.PENDING, "spec.replicas 1, as in Git", "spec.replicas 3",
    )  # fmt: skip


def test_a_heal_was_accepted_at_most_one_delivery_before_it_was_seen(stage: Stage, drift: ScaleDeployment) -> None:
    stage.clock.sleep(300 * MILLISECOND)
    stage.view.event(deployment(1, 102))
    seen = stage.clock.now_ns()
    stage.clock.sleep(timedelta(seconds=5))
    answer = healed(drift).observe()
    assert (answer.state, answer.actual) == (State.MET, "spec.replicas 1 again")
    assert (answer.not_before_ns, answer.at_ns) == (seen - DELAY, seen)


def test_a_heal_is_never_said_to_be_older_than_the_drift(stage: Stage, drift: ScaleDeployment) -> None:
    accepted = drift.accepted()
    assert accepted is not None
    stage.clock.sleep(MILLISECOND)
    stage.view.event(deployment(1, 102))
    assert healed(drift).observe().not_before_ns == accepted.received_ns


def test_a_heal_found_after_a_gap_is_bounded_only_by_the_gap(stage: Stage, drift: ScaleDeployment) -> None:
    stage.clock.sleep(100 * MILLISECOND)
    contact = stage.clock.now_ns()
    stage.clock.sleep(900 * MILLISECOND)
    stage.view.event(deployment(1, 102), prompt=False, floor_ns=contact)
    answer = healed(drift).observe()
    assert (answer.not_before_ns, answer.at_ns) == (contact, stage.clock.now_ns())


def test_drift_that_itself_came_late_says_nothing_of_the_delay(stage: Stage) -> None:
    stage.api.lag = None
    stage.clock.after(500 * MILLISECOND, lambda: stage.view.event(deployment(3, 101), prompt=False, floor_ns=5))
    drift = ScaleDeployment(stage, "shop/api", 3)  # type: ignore[arg-type]
    drift.inject()
    accepted = drift.accepted()
    assert accepted is not None
    stage.clock.sleep(100 * MILLISECOND)
    stage.view.event(deployment(1, 102))
    assert healed(drift).observe().not_before_ns == accepted.received_ns


def test_the_first_heal_counts_not_a_later_state(stage: Stage, drift: ScaleDeployment) -> None:
    stage.clock.sleep(10 * MILLISECOND)
    stage.view.event(deployment(1, 102))
    first = stage.clock.now_ns()
    stage.clock.sleep(10 * MILLISECOND)
    stage.view.event(deployment(1, 103))
    assert healed(drift).observe().at_ns == first


def test_what_argo_cd_calls_it_is_told(stage: Stage, drift: ScaleDeployment) -> None:
    named = {"group": "apps", "kind": "Deployment", "namespace": "shop", "name": "api"}
    other = named | {"name": "web", "status": "Synced"}
    for status in ("Synced", "OutOfSync"):
        app = {"apiVersion": "argoproj.io/v1alpha1", "kind": "Application",
               "metadata": {"namespace": "argocd", "name": "shop", "resourceVersion": status},
               "status": {"resources": [other, named | {"status": status}]}}  # fmt: skip
        stage.view.event(app)
        assert healed(drift).observe().actual == f"spec.replicas 3; Argo CD calls it {status}"


def test_gits_value_before_the_drift_is_no_heal(stage: Stage) -> None:
    stage.clock.after(MILLISECOND, lambda: stage.view.event(deployment(1, 100)))  # while our write is under way
    drift = ScaleDeployment(stage, "shop/api", 3)  # type: ignore[arg-type]
    drift.inject()
    assert healed(drift).observe().state is State.PENDING


def test_another_value_than_gits_is_no_heal(stage: Stage, drift: ScaleDeployment) -> None:
    stage.clock.sleep(MILLISECOND)
    stage.view.event(deployment(2, 102))
    answer = healed(drift).observe()
    assert (answer.state, answer.actual) == (State.PENDING, "spec.replicas 2")


def test_an_object_that_is_deleted_is_not_healed(stage: Stage, drift: ScaleDeployment) -> None:
    stage.clock.sleep(MILLISECOND)
    stage.view.event(deployment(1, 102), deleted=True)
    answer = healed(drift).observe()
    assert (answer.state, answer.actual) == (State.PENDING, "deleted")


def test_a_drift_that_was_not_seen_cannot_be_healed(stage: Stage) -> None:
    stage.api.lag = None
    drift = ScaleDeployment(stage, "shop/api", 3)  # type: ignore[arg-type]
    drift.inject()
    stage.view.event(deployment(1, 102))
    answer = healed(drift).observe()
    assert (answer.state, answer.actual) == (State.PENDING, "the drift itself is not seen yet")


def test_it_is_woken_by_the_watch_and_says_whose_heal(stage: Stage, drift: ScaleDeployment) -> None:
    probe = healed(drift)
    assert probe.signal is stage.view.signal
    assert probe.subject == "healed(Deployment shop/api)"


def test_converged_is_the_tree_predicate_on_this_platform(stage: Stage) -> None:
    probe = converged(stage)  # type: ignore[arg-type]
    assert isinstance(probe, Converged)
    assert (probe.subject, probe.platform) == ("converged", stage)


# --- what was deleted ------------------------------------------------------------------------------------------------


def anew(version: int, **status: int) -> Object:
    made = deployment(1, version)
    made["metadata"] |= {"uid": "new", "generation": 1}
    return made | ({"status": {"observedGeneration": 1, **status}} if status else {})


@pytest.fixture
def deleted(stage: Stage) -> DeleteObject:
    stage.wanted = (desired(Ref("apps", "Deployment", "shop", "api")),)
    stage.api.objects[0]["metadata"]["uid"] = "old"
    made = DeleteObject(stage, "Deployment shop/api")  # type: ignore[arg-type]
    made.inject()
    return made


def test_a_deleted_object_is_pending_until_one_with_a_new_uid_is_there(stage: Stage, deleted: DeleteObject) -> None:
    answer = healed(deleted).observe()
    assert (answer.state, answer.expected, answer.actual) == (State.PENDING, "an object with a new UID", "deleted")
    stage.clock.sleep(SECOND)
    stage.view.event(anew(300))
    answer = healed(deleted).observe()
    assert (answer.state, answer.at_ns) == (State.MET, stage.clock.now_ns())
    assert answer.not_before_ns == stage.clock.now_ns() - DELAY
    assert answer.actual == "there, UID new again"


def test_one_that_is_being_deleted_again_is_not_back(stage: Stage, deleted: DeleteObject) -> None:
    going = anew(300)
    going["metadata"]["deletionTimestamp"] = "now"
    stage.clock.sleep(SECOND)
    stage.view.event(going)
    answer = healed(deleted).observe()
    assert (answer.state, answer.actual) == (State.PENDING, "being deleted, UID new")


def test_it_is_healthy_again_when_it_is_rolled_out_not_when_it_is_there(stage: Stage, deleted: DeleteObject) -> None:
    probe = healthy_again(deleted)
    assert probe.subject == "healthy_again(Deployment shop/api)"
    assert probe.observe().state is State.PENDING
    stage.clock.sleep(SECOND)
    stage.view.event(anew(300))
    answer = probe.observe()
    assert (answer.state, answer.actual) == (State.PENDING, "its controller has not seen the newest spec")
    stage.clock.sleep(SECOND)
    stage.view.event(anew(301, replicas=1, updatedReplicas=1, availableReplicas=1))
    answer = probe.observe()
    assert (answer.state, answer.at_ns) == (State.MET, stage.clock.now_ns())


def test_a_heal_says_who_wrote_it(stage: Stage, drift: ScaleDeployment) -> None:
    back = deployment(1, 102)
    back["metadata"]["managedFields"] = [
        {"manager": "argocd-controller", "time": 1},
        {"manager": "kube-controller-manager", "subresource": "status"},
    ]
    stage.clock.sleep(MILLISECOND)
    stage.view.event(back)
    assert healed(drift).observe().detail == {"by": ["argocd-controller"]}


def test_a_drift_that_was_never_injected_is_pending(stage: Stage) -> None:
    answer = healed(ScaleDeployment(stage, "shop/api", 3)).observe()  # type: ignore[arg-type]
    assert (answer.state, answer.actual) == (State.PENDING, "the drift itself is not seen yet")
