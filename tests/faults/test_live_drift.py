"""Drift by hand: when it counts as landed, and every way in which it does not land."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from harness.core.clock import MILLISECOND
from harness.core.errors import ApiRefused, ApiUnreachable, ConfigError, HealFailed, InjectFailed
from harness.core.faults import BlastRadius
from harness.core.objects import Object, Ref
from harness.core.observation import State
from harness.faults.live_drift import (
    AddLabel,
    CreateByHand,
    DeleteNamespace,
    DeleteObject,
    EditConfigMap,
    ScaleDeployment,
    SwapImage,
)
from tests.stage import Stage, deployment, desired


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


# --- the other drifts ------------------------------------------------------------------------------------------------

SETTINGS = Ref("", "ConfigMap", "shop", "settings")
API = Ref("apps", "Deployment", "shop", "api")


def obj(kind: str, name: str, namespace: str = "shop", **body: Any) -> Object:
    group = "apps/v1" if kind == "Deployment" else "v1"
    metadata = {"name": name, "uid": f"uid-{name}", "resourceVersion": "7"}
    metadata |= {"namespace": namespace} if namespace else {}
    return {"apiVersion": group, "kind": kind, "metadata": metadata, **body}


@pytest.fixture
def shop() -> Stage:
    """A namespace with a Deployment and a ConfigMap, all of it in Git."""
    made = Stage(wanted=(desired(API), desired(SETTINGS)))
    containers = [{"name": "api", "image": "api:1"}, {"name": "log", "image": "log:1"}]
    made.put(obj("Namespace", "shop", ""))
    made.put(obj("Deployment", "api", spec={"replicas": 1, "template": {"spec": {"containers": containers}}}))
    made.put(obj("ConfigMap", "settings", data={"LEVEL": "info"}))
    return made


def make(cls: Any, stage: Stage, *args: Any) -> Any:
    return cls(stage, *args)


EACH = [
    (SwapImage, ("shop/api", "api:2"), "image of api in Deployment shop/api: api:1 to api:2"),
    (SwapImage, ("shop/api", "log:2", "log"), "image of log in Deployment shop/api: log:1 to log:2"),
    (EditConfigMap, ("shop/settings", "LEVEL", "debug"), "LEVEL of ConfigMap shop/settings: info to debug"),
    (DeleteObject, ("Deployment shop/api",), "Deployment shop/api deleted"),
    (DeleteNamespace, ("shop",), "Namespace shop deleted, with all that is in it"),
    (AddLabel, ("ConfigMap shop/settings", "owner"), "label owner on ConfigMap shop/settings: absent to by-hand"),
    (CreateByHand, ("ConfigMap shop/mine",), "ConfigMap shop/mine put in by hand"),
    (CreateByHand, ("Secret shop/mine", {"key": "x"}), "Secret shop/mine put in by hand"),
]


@pytest.mark.parametrize(("cls", "args", "what"), EACH)
def test_each_lands_on_the_watch_and_is_confirmed_by_it(shop: Stage, cls: Any, args: Any, what: str) -> None:
    begun = shop.clock.now_ns()
    drift = make(cls, shop, *args)
    done = drift.inject()
    assert (done.sent_ns, done.accepted_ns, done.what) == (begun, begun + ns(3 * MILLISECOND), what)
    answer = drift.confirm()
    assert (answer.state, answer.at_ns, answer.subject) == (State.MET, done.accepted_ns, drift.subject)
    assert drift.blast_radius is BlastRadius.NAMESPACE


@pytest.mark.parametrize(("cls", "args", "what"), EACH)
def test_each_is_pending_until_the_watch_has_shown_it(shop: Stage, cls: Any, args: Any, what: str) -> None:
    shop.api.lag = None
    drift = make(cls, shop, *args)
    drift.inject()
    answer = drift.confirm()
    assert (answer.state, answer.actual) == (State.PENDING, "no watch event of the write yet")


@pytest.mark.parametrize("error", [ApiRefused(403, "Forbidden", "not you"), ApiUnreachable("connection refused")])
@pytest.mark.parametrize(("cls", "args", "what"), EACH)
def test_each_that_the_api_does_not_take_did_not_land(
    shop: Stage, cls: Any, args: Any, what: str, error: Exception
) -> None:
    shop.api.refuses = error
    with pytest.raises(InjectFailed, match=r"was not accepted: .*(not you|connection refused)"):
        make(cls, shop, *args).inject()


@pytest.mark.parametrize(("cls", "args", "what"), EACH)
def test_each_writes_under_a_name_of_its_own(shop: Stage, cls: Any, args: Any, what: str) -> None:
    make(cls, shop, *args).inject()
    writers = {p["manager"] for p in shop.api.patches}
    writers |= {e["manager"] for o in shop.api.objects for e in o["metadata"].get("managedFields", [])}
    assert writers == ({"drill-drift"} if not shop.api.deletions else set())


@pytest.mark.parametrize(
    ("cls", "args", "told"),
    [
        (SwapImage, ("shop/web", "api:2"), "there is no Deployment shop/web"),
        (SwapImage, ("shop/api", "api:2", "sidecar"), "has no container 'sidecar', only api, log"),
        (SwapImage, ("shop/api", "api:1"), "already runs api:1: that is no drift"),
        (EditConfigMap, ("shop/other", "LEVEL", "debug"), "there is no ConfigMap shop/other"),
        (EditConfigMap, ("shop/settings", "COLOUR", "red"), "has no key 'COLOUR' to change"),
        (EditConfigMap, ("shop/settings", "LEVEL", "info"), "already is 'info': that is no drift"),
    ],
)
def test_what_would_be_no_drift_does_not_land(shop: Stage, cls: Any, args: Any, told: str) -> None:
    with pytest.raises(InjectFailed, match=told):
        make(cls, shop, *args).inject()
    assert shop.api.patches == []


@pytest.mark.parametrize(
    ("cls", "args", "expected"),
    [
        (SwapImage, ("api", "api:2"), "a Deployment as namespace/name"),
        (EditConfigMap, ("a/b/c", "LEVEL", "debug"), "a ConfigMap as namespace/name"),
        (DeleteObject, ("shop/api",), "an object as `Kind namespace/name`"),
        (DeleteObject, ("Service shop/api",), "an object that Git describes"),
        (DeleteNamespace, ("kitchen",), "a namespace that Git fills; found 'kitchen'; choose one of shop"),
        (AddLabel, ("Service shop/api", "owner"), "an object that Git describes"),
        (CreateByHand, ("Deployment shop/mine",), "a ConfigMap or a Secret"),
        (CreateByHand, ("ConfigMap shop/settings",), "an object that Git does not describe"),
        (CreateByHand, ("ConfigMap",), "an object as `Kind namespace/name`"),
    ],
)
def test_nonsense_is_refused_before_anything_is_touched(shop: Stage, cls: Any, args: Any, expected: str) -> None:
    with pytest.raises(ConfigError, match=expected):
        make(cls, shop, *args)


def test_what_is_gone_or_there_or_labelled_already_does_not_land(shop: Stage) -> None:
    shop.api.objects[:] = [o for o in shop.api.objects if o["kind"] != "Deployment"]
    shop.put(obj("ConfigMap", "mine"))
    shop.api.get(shop.api.kind("", "ConfigMap"), "settings", "shop")["metadata"]["labels"] = {"owner": "x"}  # type: ignore[index]
    shop.api.get(shop.api.kind("", "Namespace"), "shop")["metadata"]["deletionTimestamp"] = "now"  # type: ignore[index]
    for drift, told in (
        (make(DeleteObject, shop, "Deployment shop/api"), "there is no Deployment shop/api"),
        (make(CreateByHand, shop, "ConfigMap shop/mine"), "ConfigMap shop/mine is there already"),
        (make(AddLabel, shop, "ConfigMap shop/settings", "owner"), "already has a label owner"),
        (make(DeleteNamespace, shop, "shop"), "is being deleted already"),
    ):
        with pytest.raises(InjectFailed, match=told):
            drift.inject()


def test_a_deletion_is_seen_where_the_object_only_begins_to_go(shop: Stage) -> None:
    shop.api.lag = None
    going = obj("Namespace", "shop", "")
    going["metadata"] |= {"deletionTimestamp": "now", "resourceVersion": "900"}
    shop.clock.after(MILLISECOND * 3, lambda: shop.view.event(going))
    drift = make(DeleteNamespace, shop, "shop")
    drift.inject()
    assert drift.confirm().met
    assert "being deleted, UID uid-shop" in drift.confirm().actual


def test_a_write_that_something_altered_is_broken(shop: Stage) -> None:
    shop.api.lag = None
    altered = obj("ConfigMap", "settings", data={"LEVEL": "loud"})
    altered["metadata"]["resourceVersion"] = "101"
    shop.clock.after(MILLISECOND * 3, lambda: shop.view.event(altered))
    drift = make(EditConfigMap, shop, "shop/settings", "LEVEL", "debug")
    drift.inject()
    assert drift.confirm().state is State.BROKEN


def test_a_kind_that_cannot_be_watched_is_not_drilled(shop: Stage) -> None:
    shop.view.listed = False
    with pytest.raises(InjectFailed, match="cannot be watched"):
        make(CreateByHand, shop, "Secret shop/mine").inject()
    assert shop.view.added[-1].kind == "Secret"
    shop.api.served = {"ConfigMap"}
    with pytest.raises(InjectFailed, match="cannot be looked at"):
        make(CreateByHand, shop, "Secret shop/mine").inject()


def test_what_each_may_harm(shop: Stage) -> None:
    assert make(SwapImage, shop, "shop/api", "x").touches == ("Deployment shop/api",)
    assert make(EditConfigMap, shop, "shop/settings", "LEVEL", "x").touches == ("ConfigMap shop/settings",)
    assert make(DeleteObject, shop, "Deployment shop/api").touches == ("Deployment shop/api",)
    assert make(DeleteNamespace, shop, "shop").touches == ("Namespace shop", "* shop/*")
    assert make(AddLabel, shop, "Deployment shop/api", "x").touches == ()
    assert make(CreateByHand, shop, "Secret shop/mine").touches == ("Secret shop/mine",)
    assert fault(shop).touches == ("Deployment shop/api",)


def test_a_label_is_taken_away_again(shop: Stage) -> None:
    drift = make(AddLabel, shop, "ConfigMap shop/settings", "owner")
    drift.inject()
    drift.heal()
    live = shop.api.get(shop.api.kind("", "ConfigMap"), "settings", "shop")
    assert live is not None
    assert live["metadata"]["labels"] == {}
    shop.api.refuses = ApiUnreachable("gone")
    with pytest.raises(HealFailed, match="label owner could not be taken from ConfigMap shop/settings: gone"):
        drift.heal()


def test_what_was_put_in_is_taken_out_again_also_where_somebody_was_faster(shop: Stage) -> None:
    drift = make(CreateByHand, shop, "ConfigMap shop/mine")
    drift.inject()
    drift.heal()
    drift.heal()
    assert [o["metadata"]["name"] for o in shop.api.objects] == ["shop", "api", "settings"]
    shop.api.refuses = ApiUnreachable("gone")
    with pytest.raises(HealFailed, match="ConfigMap shop/mine could not be deleted: gone"):
        drift.heal()
