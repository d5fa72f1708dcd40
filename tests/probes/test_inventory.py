"""The inventory: what Git describes and the API holds, and nothing else."""

from __future__ import annotations

from typing import Any

from harness.core.objects import Object, Ref
from harness.probes.inventory import inventory
from tests.stage import Stage, deployment, desired

API = Ref("apps", "Deployment", "shop", "api")
SETTINGS = Ref("", "ConfigMap", "shop", "settings")
SPACE = Ref("", "Namespace", "", "shop")


def thing(ref: Ref, **rest: Any) -> Object:
    metadata = {"name": ref.name, "uid": "u-1", "resourceVersion": "7"} | (
        {"namespace": ref.namespace} if ref.namespace else {}
    )
    return {"apiVersion": "v1", "kind": ref.kind, "metadata": metadata, **rest}


def read(stage: Stage, *wanted: Ref) -> dict[str, Any]:
    stage.wanted = tuple(desired(ref) for ref in wanted)
    return inventory(stage).read()  # type: ignore[arg-type]


def test_it_holds_what_is_in_git_and_live() -> None:
    stage = Stage()
    stage.api.objects = [deployment(2, 5), thing(SETTINGS, data={"a": "1"}), thing(SPACE)]
    found = read(stage, API, SETTINGS, SPACE)
    assert sorted(found) == ["ConfigMap shop/settings", "Deployment shop/api", "Namespace shop"]
    assert found["Deployment shop/api"]["spec"]["replicas"] == 2
    assert found["ConfigMap shop/settings"]["data"] == {"a": "1"}


def test_what_git_does_not_know_is_left_out() -> None:
    stage = Stage()
    stage.api.objects = [thing(SETTINGS), thing(Ref("", "ConfigMap", "shop", "kube-root-ca.crt"))]
    assert list(read(stage, SETTINGS)) == ["ConfigMap shop/settings"]


def test_what_is_not_live_is_missing() -> None:
    stage = Stage()
    stage.api.objects = [thing(SPACE)]
    assert list(read(stage, SETTINGS, SPACE)) == ["Namespace shop"]


def test_a_kind_that_is_no_longer_served_has_no_objects() -> None:
    stage = Stage()
    stage.api.objects = [thing(SPACE)]
    stage.api.served = {"Namespace"}
    assert list(read(stage, Ref("example.org", "Widget", "shop", "w"), SPACE)) == ["Namespace shop"]


def test_what_differs_in_every_cluster_is_taken_away() -> None:
    one, other = Stage(), Stage()
    one.api.objects = [deployment(2, 5)]
    twin = deployment(2, 900)
    twin["metadata"]["uid"] = "another"
    other.api.objects = [twin]
    assert read(one, API) == read(other, API)
