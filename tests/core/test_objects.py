"""`harness.core.objects`: names of objects."""

import pytest

from harness.core.errors import ConfigError
from harness.core.objects import Kind, Ref, controlled, dig, group_of, identified, placed, ref_of


def test_a_reference_leaves_the_version_out_and_reads_like_a_sentence() -> None:
    old = ref_of({"apiVersion": "apps/v1beta1", "kind": "Deployment", "metadata": {"name": "api", "namespace": "chat"}})
    new = ref_of({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "api", "namespace": "chat"}})
    assert old == new == Ref("apps", "Deployment", "chat", "api")
    assert str(new) == "Deployment chat/api"
    assert str(Ref("", "Node", "", "n1")) == "Node n1"


def test_a_kind_knows_its_api_version_and_whether_it_can_be_watched() -> None:
    kind = Kind("apps", "v1", "Deployment", "deployments", True, ("get", "list", "watch"))
    assert kind.api_version == "apps/v1"
    assert kind.watchable
    assert kind == Kind("apps", "v1", "Deployment", "deployments", True)
    assert not Kind("", "v1", "Binding", "bindings", True, ("create",)).watchable
    assert (Kind("", "v1", "Pod", "pods", True).api_version, group_of("v1"), group_of("a.b/v2")) == ("v1", "", "a.b")


@pytest.mark.parametrize(
    ("path", "expected"),
    [(("a", "b", 0, "c"), 1), (("a", "b", 1, "c"), "none"), (("a", "n"), "none"), (("a", "b", "c"), "none"), ((), {})],
)
def test_dig_reads_a_path_or_answers_the_default(path: tuple[str | int, ...], expected: object) -> None:
    obj = {"a": {"b": [{"c": 1}], "n": None}} if path else {}
    assert dig(obj, *path, default="none") == expected


def test_what_a_controller_made_is_told_from_what_a_person_asked_for() -> None:
    assert controlled({"metadata": {"ownerReferences": [{"kind": "ReplicaSet", "controller": True}]}})
    assert not controlled({"metadata": {"ownerReferences": [{"kind": "Application"}]}})
    assert not controlled({"metadata": {}})


def test_what_a_scenario_calls_an_object_is_taken_apart() -> None:
    assert placed("shop/api", "Deployment") == ("shop", "api")
    assert identified("ConfigMap shop/settings") == ("ConfigMap", "shop", "settings")


@pytest.mark.parametrize("text", ["", "api", "/api", "shop/", "a/b/c"])
def test_a_place_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match=r"a Service as namespace/name; found .*; correct the scenario"):
        placed(text, "Service")


@pytest.mark.parametrize("text", ["shop/api", " shop/api", "Deployment", "Deployment api"])
def test_an_identity_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match=r"namespace/name.*; found"):
        identified(text)
