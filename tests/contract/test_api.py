"""What the Kubernetes API promises to those who write, watch and wait: the double and a real server alike."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from itertools import islice

import pytest

from harness.cluster.kube import KubeApi
from harness.core.clock import SECOND
from harness.core.errors import ApiRefused
from harness.core.objects import Kind, Object

NAMESPACE = "default"
CONFIG_MAP = Kind("", "v1", "ConfigMap", "configmaps", namespaced=True)


@pytest.fixture
def name(api: KubeApi) -> Iterator[str]:
    made = f"contract-{secrets.token_hex(3)}"
    yield made
    if api.get(CONFIG_MAP, made, NAMESPACE) is not None:
        api.delete(CONFIG_MAP, made, NAMESPACE)


def settings(name: str, value: str = "1") -> Object:
    metadata = {"name": name, "namespace": NAMESPACE, "labels": {"contract": name}}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"value": value}}


def version(obj: Object) -> str:
    return str(obj["metadata"]["resourceVersion"])


def test_what_is_not_there_is_none_and_cannot_be_deleted(api: KubeApi, name: str) -> None:
    assert api.get(CONFIG_MAP, name, NAMESPACE) is None
    with pytest.raises(ApiRefused) as refused:
        api.delete(CONFIG_MAP, name, NAMESPACE)
    assert refused.value.status == 404


def test_what_is_there_cannot_be_created_again(api: KubeApi, name: str) -> None:
    api.create(settings(name))
    with pytest.raises(ApiRefused) as refused:
        api.create(settings(name))
    assert refused.value.status == 409


def test_a_write_is_stamped_and_changes_the_version_and_not_the_uid(api: KubeApi, name: str) -> None:
    created = api.create(settings(name))
    patched = api.patch(CONFIG_MAP, name, NAMESPACE, {"data": {"value": "2"}})
    assert created.sent_ns < created.answered_ns < patched.answered_ns
    assert version(patched.object) != version(created.object)
    assert patched.object["metadata"]["uid"] == created.object["metadata"]["uid"]
    found = api.get(CONFIG_MAP, name, NAMESPACE)
    assert found is not None
    assert found["data"] == {"value": "2"}


def test_a_patch_that_changes_nothing_keeps_the_version(api: KubeApi, name: str) -> None:
    created = api.create(settings(name))
    again = api.patch(CONFIG_MAP, name, NAMESPACE, {"data": {"value": "1"}})
    assert version(again.object) == version(created.object)


def test_an_old_version_cannot_be_replaced(api: KubeApi, name: str) -> None:
    old = api.create(settings(name)).object
    api.patch(CONFIG_MAP, name, NAMESPACE, {"data": {"value": "2"}})
    with pytest.raises(ApiRefused) as refused:
        api.replace({**old, "data": {"value": "3"}})
    assert refused.value.status == 409


def test_what_is_recreated_has_another_uid(api: KubeApi, name: str) -> None:
    first = api.create(settings(name)).object["metadata"]["uid"]
    api.delete(CONFIG_MAP, name, NAMESPACE)
    assert api.create(settings(name)).object["metadata"]["uid"] != first


def test_applying_twice_is_one_change(api: KubeApi, name: str) -> None:
    first = api.apply(settings(name))
    assert version(api.apply(settings(name))) == version(first)
    assert version(api.apply(settings(name, "2"))) != version(first)


def test_a_list_is_narrowed_by_labels_and_names_its_kind(api: KubeApi, name: str) -> None:
    api.create(settings(name))
    found = api.list(CONFIG_MAP, labels=f"contract={name}").items
    assert [(o["kind"], o["metadata"]["name"]) for o in found] == [("ConfigMap", name)]


def test_a_list_of_metadata_has_that_and_no_more(api: KubeApi, name: str) -> None:
    whole = api.create(settings(name)).object
    (found,) = api.list(CONFIG_MAP, NAMESPACE, f"contract={name}", metadata_only=True).items
    assert found["metadata"] == whole["metadata"]
    assert sorted(found) == ["apiVersion", "kind", "metadata"]
    assert (found["apiVersion"], found["kind"]) == ("v1", "ConfigMap")


def test_a_watch_tells_every_change_after_the_list_in_order(api: KubeApi, name: str) -> None:
    labels = f"contract={name}"
    begun = api.list(CONFIG_MAP, NAMESPACE, labels)
    events = api.watch(CONFIG_MAP, NAMESPACE, labels, resource_version=begun.resource_version, lasting=5 * SECOND)
    try:
        created = api.create(settings(name))
        patched = api.patch(CONFIG_MAP, name, NAMESPACE, {"data": {"value": "2"}})
        api.delete(CONFIG_MAP, name, NAMESPACE)
        told = list(islice((event for event in events if event.type != "BOOKMARK"), 3))
    finally:
        events.close()
    assert [event.type for event in told] == ["ADDED", "MODIFIED", "DELETED"]
    assert [version(event.object) for event in told[:2]] == [version(created.object), version(patched.object)]
    assert told[0].received_ns >= created.sent_ns
    assert [e.received_ns for e in told] == sorted(e.received_ns for e in told)


def test_a_kind_that_is_not_served_is_refused(api: KubeApi) -> None:
    with pytest.raises(ApiRefused) as refused:
        api.kind("example.invalid", "Nothing")
    assert refused.value.status == 404


def test_a_path_that_is_none_is_refused(api: KubeApi) -> None:
    with pytest.raises(ApiRefused) as refused:
        api.raw("/apis/example.invalid/v1/nothings")
    assert refused.value.status == 404
    assert api.raw("/readyz").strip() == "ok"
