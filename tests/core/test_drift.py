"""`harness.core.drift`: what is left of an object, and how two differ."""

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.core.drift import ABSENT, Change, compare, difference, inventory, normalise
from harness.core.objects import Object, Ref

NAMES = st.sampled_from(["a", "b", "app.kubernetes.io/name", "volume.kubernetes.io/x", "name", "spec", "clusterIP"])
SCALARS = st.none() | st.booleans() | st.integers(-3, 3) | st.sampled_from(["", "x", "None", "sha256:0123456789abcdef"])
VALUES: st.SearchStrategy[Any] = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=12,
)
KINDS = st.sampled_from(
    [("v1", "Service"), ("v1", "Secret"), ("v1", "ConfigMap"), ("apps/v1", "Deployment"), ("batch/v1", "Job"),
     ("v1", "Namespace"), ("v1", "ServiceAccount"), ("v1", "PersistentVolumeClaim"), ("v1", "PersistentVolume"),
     ("rbac.authorization.k8s.io/v1", "ClusterRole"), ("apiextensions.k8s.io/v1", "CustomResourceDefinition")]
)  # fmt: skip
TEXTS = st.dictionaries(NAMES, st.sampled_from(["x", "y"]), max_size=3)


@st.composite
def objects(draw: st.DrawFn) -> Object:
    api_version, kind = draw(KINDS)
    metadata: Object = {"name": draw(st.sampled_from("pq")), "namespace": draw(st.sampled_from("mn"))}
    for field in draw(st.sets(st.sampled_from(["uid", "resourceVersion", "generation", "managedFields"]))):
        metadata[field] = draw(VALUES)
    for field in ("labels", "annotations"):
        if draw(st.booleans()):
            metadata[field] = draw(TEXTS)
    if draw(st.booleans()):
        metadata["ownerReferences"] = [{"kind": "X", "name": "x", "uid": draw(st.sampled_from("12"))}]
    obj: Object = {"apiVersion": api_version, "kind": kind, "metadata": metadata}
    if draw(st.booleans()):
        obj["spec"] = draw(st.dictionaries(NAMES, VALUES, max_size=3))
    if draw(st.booleans()):
        obj["data"] = draw(TEXTS)
    if draw(st.booleans()):
        obj["status"] = draw(VALUES)
    return obj


INVENTORIES = st.lists(objects(), max_size=4).map(
    lambda found: {Ref("", o["kind"], o["metadata"]["namespace"], o["metadata"]["name"]): o for o in found}
)


@given(VALUES)
def test_drift_of_self_is_empty(value: Any) -> None:
    assert difference(value, copy.deepcopy(value)) == ()


@given(VALUES, VALUES)
def test_no_difference_means_equal_and_the_other_way_round(before: Any, after: Any) -> None:
    import json

    alike = json.dumps(before, sort_keys=True) == json.dumps(after, sort_keys=True)
    assert (difference(before, after) == ()) == alike


@given(VALUES, VALUES)
def test_swapping_the_sides_swaps_every_change(before: Any, after: Any) -> None:
    forth = {(c.path, repr(c.before), repr(c.after)) for c in difference(before, after)}
    back = {(c.path, repr(c.after), repr(c.before)) for c in difference(after, before)}
    assert forth == back


@given(objects())
def test_normalising_twice_is_normalising_once_and_never_touches_the_original(obj: Object) -> None:
    original = copy.deepcopy(obj)
    once = normalise(obj)
    assert normalise(once) == once
    assert obj == original


@given(INVENTORIES, INVENTORIES)
def test_comparisons_swap_too_and_an_inventory_equals_itself(before: Any, after: Any) -> None:
    forth, back = compare(before, after), compare(after, before)
    assert (forth.missing, forth.added) == (back.added, back.missing)
    assert [ref for ref, _ in forth.changed] == [ref for ref, _ in back.changed]
    assert compare(before, copy.deepcopy(before)).empty


def service(**spec: Any) -> Object:
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "s", "namespace": "n"}, "spec": spec}


def test_what_every_cluster_writes_anew_is_no_drift() -> None:
    before: Object = {
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {
            "name": "api", "namespace": "n", "uid": "1", "resourceVersion": "7", "generation": 3,
            "creationTimestamp": "2026-01-01T00:00:00Z", "managedFields": [{}],
            "annotations": {"deployment.kubernetes.io/revision": "4", "argocd.argoproj.io/tracking-id": "t"},
            "ownerReferences": [{"kind": "A", "name": "a", "uid": "1"}],
        },
        "spec": {"replicas": 2}, "status": {"replicas": 2},
    }  # fmt: skip
    after = copy.deepcopy(before)
    after["metadata"] |= {"uid": "2", "resourceVersion": "9", "generation": 1, "creationTimestamp": "later"}
    after["metadata"]["annotations"]["deployment.kubernetes.io/revision"] = "1"
    after["metadata"]["ownerReferences"][0]["uid"] = "2"
    del after["metadata"]["managedFields"], after["status"]
    assert difference(normalise(before), normalise(after)) == ()

    after["spec"]["replicas"] = 5
    after["metadata"]["annotations"]["argocd.argoproj.io/tracking-id"] = "other"
    assert difference(normalise(before), normalise(after)) == (
        Change('metadata.annotations["argocd.argoproj.io/tracking-id"]', "t", "other"),
        Change("spec.replicas", 2, 5),
    )


def test_assigned_addresses_are_no_drift_but_a_headless_service_is_something_else() -> None:
    one = service(clusterIP="10.43.0.7", clusterIPs=["10.43.0.7"], ports=[{"port": 80, "nodePort": 30001}])
    other = service(clusterIP="10.43.9.9", clusterIPs=["10.43.9.9"], ports=[{"port": 80, "nodePort": 31000}])
    headless = service(clusterIP="None", clusterIPs=["None"], ports=[{"port": 80}])
    assert normalise(one) == normalise(other)
    assert difference(normalise(one), normalise(headless)) == (
        Change("spec.clusterIP", ABSENT, "None"),
        Change("spec.clusterIPs", ABSENT, ["None"]),
    )


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "spec": {"volumeName": "pvc-1"}},
         {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "spec": {}}),
        ({"apiVersion": "v1", "kind": "ServiceAccount", "secrets": [{"name": "x"}]},
         {"apiVersion": "v1", "kind": "ServiceAccount"}),
        ({"apiVersion": "batch/v1", "kind": "Job", "spec": {
            "selector": {"matchLabels": {"batch.kubernetes.io/controller-uid": "1"}},
            "template": {"metadata": {"labels": {"controller-uid": "1", "job": "x"}}}}},
         {"apiVersion": "batch/v1", "kind": "Job", "spec": {"template": {"metadata": {"labels": {"job": "x"}}}}}),
        ({"apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingWebhookConfiguration",
          "webhooks": [{"name": "w", "clientConfig": {"caBundle": "Zm9v"}}]},
         {"apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingWebhookConfiguration",
          "webhooks": [{"name": "w", "clientConfig": {}}]}),
        ({"apiVersion": "v1", "kind": "Namespace", "metadata": {"labels": {"kubernetes.io/metadata.name": "n"}}},
         {"apiVersion": "v1", "kind": "Namespace"}),
        ({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "aggregationRule": {"x": 1},
          "rules": [1]},
         {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "aggregationRule": {"x": 1}}),
    ],
)  # fmt: skip
def test_fields_that_the_server_fills_in(before: Object, after: Object) -> None:
    assert difference(normalise(before), normalise(after)) == ()


def test_a_secret_that_changed_is_reported_without_its_value() -> None:
    before = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}, "data": {"password": "aHVudGVyMg=="}}
    after = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}, "data": {"password": "b3RoZXI="}}
    found = difference(normalise(before), normalise(after))
    assert [change.path for change in found] == ["data.password"]
    assert "aHVudGVyMg" not in found[0].sentence()
    assert "sha256:" in found[0].sentence()


def test_items_with_names_are_compared_by_name_and_order_still_counts() -> None:
    before = {"containers": [{"name": "api", "image": "a:1"}, {"name": "log", "image": "l:1"}]}
    after = {"containers": [{"name": "log", "image": "l:1"}, {"name": "api", "image": "a:2"}]}
    assert difference(before, after) == (
        Change("containers[api].image", "a:1", "a:2"),
        Change("containers[order]", ["api", "log"], ["log", "api"]),
    )
    assert difference({"args": ["x", "y"]}, {"args": ["x"]}) == (Change("args[1]", "y", ABSENT),)


def test_true_is_not_one_and_null_is_not_absent() -> None:
    assert difference({"a": True}, {"a": 1}) == (Change("a", True, 1),)
    assert difference({"a": None}, {}) == (Change("a", None, ABSENT),)


def test_a_comparison_names_what_is_missing_what_is_new_and_what_changed() -> None:
    def deployment(name: str, replicas: int, **metadata: Any) -> Object:
        head = {"name": name, "namespace": "n", **metadata}
        return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": head, "spec": {"replicas": replicas}}

    owned = {"ownerReferences": [{"kind": "Rollout", "name": "x", "uid": "1", "controller": True}]}
    before = inventory([deployment("a", 1), deployment("b", 1), deployment("c", 1), deployment("made", 1, **owned)])
    after = inventory([deployment("b", 3), deployment("c", 1, uid="9"), deployment("d", 1)])
    found = compare(before, after)
    assert found.sentences() == (
        "Deployment n/a is missing",
        "Deployment n/d was not there before",
        "Deployment n/b: spec.replicas should be 1, is 3",
    )
    assert not found.empty
