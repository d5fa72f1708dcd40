"""What must not happen: probes that see every touch, also one that was undone."""

from __future__ import annotations

import copy
from types import SimpleNamespace
from typing import Any

import pytest

from harness.core.clock import MILLISECOND, SECOND
from harness.core.errors import ApiUnreachable, ConfigError
from harness.core.objects import Object, Ref
from harness.core.observation import State
from harness.faults.live_drift import AddLabel, CreateByHand, ScaleDeployment
from harness.probes import calm
from harness.probes.calm import at_rest, left_alone, out_of_sync, undisturbed
from tests.stage import Stage, deployment, desired, kind

API = Ref("apps", "Deployment", "shop", "api")


@pytest.fixture
def stage(monkeypatch: pytest.MonkeyPatch) -> Stage:
    def found(repo: Any, plan: Any, name: str) -> Any:
        if name == "nobody":
            raise ConfigError("an Application in Git", repr(name), "name another")
        return SimpleNamespace(name=name)

    monkeypatch.setattr(calm, "application_in_git", found)
    made = Stage(wanted=(desired(API),))
    made.repo = made.plan = None  # type: ignore[attr-defined]
    made.engine = SimpleNamespace(namespace="argocd")  # type: ignore[attr-defined]
    made.deploy(replicas=1)
    return made


def state(stage: Stage, ref: Ref = API) -> Object:
    """The object as the API has it, to be changed and shown by `event`."""
    return copy.deepcopy(stage.api.get(kind(ref.group, ref.kind), ref.name, ref.namespace) or {})


def written(obj: Object, version: int, manager: str = "", **entry: Any) -> Object:
    obj["metadata"]["resourceVersion"] = str(version)
    if manager:
        fields = obj["metadata"].setdefault("managedFields", [])
        fields.append({"manager": manager, "time": version, **entry})
    return obj


class TestLeftAlone:
    @pytest.fixture
    def drift(self, stage: Stage) -> AddLabel:
        made = AddLabel(stage, "Deployment shop/api", "owner")  # type: ignore[arg-type]
        made.inject()
        return made

    def test_what_nobody_touches_is_met_since_our_write(self, stage: Stage, drift: AddLabel) -> None:
        stage.clock.sleep(10 * SECOND)
        answer = left_alone(drift).observe()
        assert answer.state is State.MET
        assert answer.actual == "label owner by-hand, written by nobody since"
        receipt = drift.hand.receipt()
        assert receipt is not None
        assert answer.at_ns == receipt.received_ns

    def test_before_our_own_write_is_seen_it_is_pending(self, stage: Stage) -> None:
        stage.api.lag = None
        drift = AddLabel(stage, "Deployment shop/api", "owner")  # type: ignore[arg-type]
        drift.inject()
        assert left_alone(drift).observe().state is State.PENDING

    def test_a_new_status_is_no_touch(self, stage: Stage, drift: AddLabel) -> None:
        reported = written(state(stage), 200, "kube-controller-manager", subresource="status")
        reported["status"] = {"replicas": 3}
        stage.view.event(reported)
        assert left_alone(drift).observe().met

    def test_a_change_is_broken_and_says_which_by_whom(self, stage: Stage, drift: AddLabel) -> None:
        changed = written(state(stage), 200, "argocd-controller")
        del changed["metadata"]["labels"]
        stage.view.event(changed)
        answer = left_alone(drift).observe()
        assert (answer.state, answer.at_ns) == (State.BROKEN, stage.clock.now_ns())
        assert answer.actual == (
            "was changed by argocd-controller: metadata.labels should be {'owner': 'by-hand'}, is absent"
        )

    def test_a_change_that_was_undone_is_still_broken(self, stage: Stage, drift: AddLabel) -> None:
        ours = state(stage)
        changed = written(copy.deepcopy(ours), 200, "argocd-controller")
        changed["spec"]["replicas"] = 9
        stage.view.event(changed)
        stage.clock.sleep(MILLISECOND)
        stage.view.event(written(copy.deepcopy(ours), 201, "kubectl"))
        assert left_alone(drift).observe().actual.startswith("was changed by argocd-controller: spec.replicas")

    def test_a_write_that_changes_nothing_is_a_touch(self, stage: Stage, drift: AddLabel) -> None:
        stage.view.event(written(state(stage), 200, "argocd-controller"))
        assert left_alone(drift).observe().actual == "was written to by argocd-controller"

    def test_a_deletion_is_broken(self, stage: Stage, drift: AddLabel) -> None:
        stage.view.event(state(stage), deleted=True)
        assert left_alone(drift).observe().actual == "was deleted"

    def test_another_object_of_that_name_is_broken(self, stage: Stage, drift: AddLabel) -> None:
        anew = written(state(stage), 200)
        anew["metadata"]["uid"] = "another"
        stage.view.event(anew)
        assert left_alone(drift).observe().actual == "was deleted and made anew"

    def test_what_cannot_be_seen_is_no_answer(self, stage: Stage, drift: AddLabel) -> None:
        stage.view.gaps = [SimpleNamespace(kind=kind("", "ConfigMap"), end_ns=None, reason="reset")]
        assert left_alone(drift).observe().met  # another kind's gap
        stage.view.gaps.append(SimpleNamespace(kind=kind("apps", "Deployment"), end_ns=None, reason="reset"))
        with pytest.raises(ApiUnreachable, match=r"no current view of Deployment\.apps: reset"):
            left_alone(drift).observe()
        stage.view.answering = False
        with pytest.raises(ApiUnreachable, match="the API does not answer"):
            left_alone(drift).observe()

    def test_what_was_put_in_by_hand(self, stage: Stage) -> None:
        extra = CreateByHand(stage, "ConfigMap shop/mine")  # type: ignore[arg-type]
        extra.inject()
        probe = left_alone(extra)
        assert (probe.subject, probe.observe().state) == ("left_alone(ConfigMap shop/mine)", State.MET)
        extra.heal()
        stage.clock.sleep(SECOND)
        assert probe.observe().actual == "was deleted"


def app(version: int, *, started: str = "10:00:00", phase: str = "Succeeded", requested: bool = False,
        status: str = "Synced", attempt: int = 0, finished: str | None = "10:00:01") -> Object:  # fmt: skip
    """An Application `shop` that brings Deployment shop/api."""
    resource = {"group": "apps", "kind": "Deployment", "namespace": "shop", "name": "api", "status": status}
    operation = {"sync": {"revision": "abc", "autoHealAttemptsCount": attempt}}
    state = {"phase": phase, "startedAt": started, "finishedAt": finished, "operation": operation,
             "syncResult": {"revision": "abc"}}  # fmt: skip
    made = {
        "apiVersion": "argoproj.io/v1alpha1", "kind": "Application",
        "metadata": {"namespace": "argocd", "name": "shop", "resourceVersion": str(version)},
        "status": {"operationState": state, "sync": {"status": status}, "resources": [resource]},
    }  # fmt: skip
    return made | ({"operation": operation} if requested else {})


class TestUndisturbed:
    def test_no_sync_since_it_was_first_asked(self, stage: Stage) -> None:
        stage.view.event(app(1))
        probe = undisturbed(stage, "shop")  # type: ignore[arg-type]
        assert probe.observe().met
        stage.view.event(app(2, status="OutOfSync"))  # seen is not acted upon
        answer = probe.observe()
        assert (answer.state, answer.actual) == (State.MET, "the last sync is that of 10:00:00")
        assert probe.signal is stage.view.signal

    @pytest.mark.parametrize(
        ("later", "told"),
        [
            (app(2, started="10:05:00"), "a sync began at 10:05:00"),
            (app(2, started="10:05:00", phase="Running"), "a sync began at 10:05:00"),
            (app(2, requested=True), "a sync was asked for"),
        ],
        ids=["ended", "running", "requested"],
    )
    def test_a_sync_is_broken_also_after_its_end(self, stage: Stage, later: Object, told: str) -> None:
        stage.view.event(app(1))
        probe = undisturbed(stage, "shop")  # type: ignore[arg-type]
        probe.observe()
        stage.view.event(later)
        stage.view.event(app(3))
        assert (probe.observe().state, probe.observe().actual) == (State.BROKEN, told)

    def test_one_that_syncs_when_first_asked_is_pending_until_it_rests(self, stage: Stage) -> None:
        probe = undisturbed(stage, "shop")  # type: ignore[arg-type]
        assert probe.observe().actual == "there is no such Application"
        stage.view.event(app(1, phase="Running"))
        assert (probe.observe().state, probe.observe().actual) == (State.PENDING, "it syncs at the moment")
        stage.view.event(app(2))
        assert probe.observe().met

    def test_an_application_that_is_deleted_is_broken(self, stage: Stage) -> None:
        stage.view.event(app(1))
        probe = undisturbed(stage, "shop")  # type: ignore[arg-type]
        probe.observe()
        stage.view.event(app(2), deleted=True)
        assert (probe.observe().state, probe.observe().actual) == (State.BROKEN, "it was deleted")

    def test_what_cannot_be_seen_is_no_answer(self, stage: Stage) -> None:
        stage.view.answering = False
        with pytest.raises(ApiUnreachable):
            undisturbed(stage, "shop").observe()  # type: ignore[arg-type]


class TestAtRest:
    def test_it_rests_since_the_state_that_showed_the_end_of_the_last_sync(self, stage: Stage) -> None:
        probe = at_rest(stage, "shop")  # type: ignore[arg-type]
        probe.observe()
        stage.view.event(app(1, phase="Running", finished=None))
        running = stage.clock.now_ns()
        assert (probe.observe().state, probe.observe().actual) == (State.PENDING, "a sync is under way")
        stage.clock.sleep(SECOND)
        stage.view.event(app(2, attempt=3))
        ended = stage.clock.now_ns()
        stage.clock.sleep(SECOND)
        stage.view.event(app(3, attempt=3, status="Unknown"))  # later states tell of the same sync
        answer = probe.observe()
        assert (answer.state, answer.at_ns, answer.not_before_ns) == (State.MET, ended, running)
        assert answer.detail == {"attempt": 3, "phase": "Succeeded", "started": "10:00:00", "finished": "10:00:01",
                                 "revision": "abc"}  # fmt: skip

    def test_an_application_that_is_not_there_is_pending(self, stage: Stage) -> None:
        probe = at_rest(stage, "shop")  # type: ignore[arg-type]
        assert probe.observe().state is State.PENDING
        assert (probe.subject, probe.signal) == ("at_rest(shop)", stage.view.signal)


class TestOutOfSync:
    @pytest.fixture
    def drift(self, stage: Stage) -> ScaleDeployment:
        stage.view.event(app(1))
        made = ScaleDeployment(stage, "shop/api", 3)  # type: ignore[arg-type]
        made.inject()
        return made

    def test_it_is_met_since_argo_cd_first_showed_it(self, stage: Stage, drift: ScaleDeployment) -> None:
        probe = out_of_sync(drift)
        answer = probe.observe()
        assert (answer.state, answer.actual) == (State.PENDING, "Argo CD calls it Synced")
        before = stage.clock.now_ns()
        stage.view.event(app(2))
        stage.clock.sleep(SECOND)
        stage.view.event(app(3, status="OutOfSync"))
        at = stage.clock.now_ns()
        stage.clock.sleep(SECOND)
        stage.view.event(app(4, status="OutOfSync"))
        answer = probe.observe()
        assert (answer.state, answer.at_ns, answer.not_before_ns) == (State.MET, at, before)

    def test_lost_and_shown_again_counts_from_the_second_time(self, stage: Stage, drift: ScaleDeployment) -> None:
        probe = out_of_sync(drift)
        probe.observe()
        for version, status in enumerate(("OutOfSync", "Synced", "OutOfSync"), 2):
            stage.clock.sleep(SECOND)
            stage.view.event(app(version, status=status))
        assert probe.observe().at_ns == stage.clock.now_ns()
        stage.view.event(app(9))
        assert probe.observe().state is State.PENDING

    def test_a_drift_that_is_not_seen_is_pending(self, stage: Stage) -> None:
        stage.api.lag = None
        drift = ScaleDeployment(stage, "shop/api", 3)  # type: ignore[arg-type]
        drift.inject()
        assert out_of_sync(drift).observe().actual == "our own write is not seen yet"

    def test_what_git_does_not_describe_is_never_out_of_sync(self, stage: Stage) -> None:
        extra = CreateByHand(stage, "ConfigMap shop/mine")  # type: ignore[arg-type]
        with pytest.raises(ConfigError, match="what Git does not know is never OutOfSync"):
            out_of_sync(extra)

    def test_what_cannot_be_seen_is_no_answer(self, stage: Stage, drift: ScaleDeployment) -> None:
        stage.view.answering = False
        with pytest.raises(ApiUnreachable):
            out_of_sync(drift).observe()


def test_the_stage_shows_what_it_is_told(stage: Stage) -> None:
    stage.view.event(deployment(5, 900))
    seen = stage.view.get(API)
    assert seen is not None
    assert seen.object["spec"]["replicas"] == 5


@pytest.mark.parametrize("probe", [undisturbed, at_rest])
def test_an_application_that_git_does_not_describe_is_a_mistake_of_the_scenario(stage: Stage, probe: Any) -> None:
    with pytest.raises(ConfigError, match="an Application in Git; found 'nobody'"):
        probe(stage, "nobody")
