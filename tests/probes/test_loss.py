"""The loss list: what Git would not bring back, and nothing of what it holds."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest

from harness.core.errors import ApiRefused, ApiUnreachable
from harness.core.objects import Kind, Object, Ref
from harness.probes.loss import listed, loss_list

IN_GIT = Ref("apps", "Deployment", "shop", "api")


def obj(kind: str, name: str, *writers: str, group: str = "", namespace: str = "shop", **more: Any) -> Object:
    """An object that these managers wrote; "x/status" wrote its status only, "=x" applied it."""
    entries = []
    for writer in writers:
        manager, _, subresource = writer.partition("/")
        entry = {"manager": manager.removeprefix("="), "operation": "Apply" if manager[0] == "=" else "Update"}
        entries.append(entry | ({"subresource": subresource} if subresource else {}))
    owner, annotations = more.pop("owner", ""), more.pop("annotations", {})
    metadata = {"name": name, "namespace": namespace, "uid": f"uid-{name}", "managedFields": entries,
                "annotations": annotations, "ownerReferences": [{"uid": owner}] if owner else []}  # fmt: skip
    return {"apiVersion": f"{group}/v1" if group else "v1", "kind": kind, "metadata": metadata, **more}


DEPLOYMENT = obj("Deployment", "api", "argocd-controller", "kubectl-edit", group="apps")


@pytest.mark.parametrize(
    "item",
    [
        DEPLOYMENT,
        obj("ReplicaSet", "api-1", "kube-controller-manager", "kubectl-edit", group="apps", owner="uid-api"),
        obj("ConfigMap", "kube-root-ca.crt", "kube-controller-manager"),
        obj("ConfigMap", "coredns", "deploy@k3d-x-server-0", "k3s", namespace="kube-system"),
        obj("StorageClass", "local-path", "=drill-node", group="storage.k8s.io", namespace=""),
        obj("ConfigMap", "argocd-cm", "=drill", "kubectl-edit", namespace="argocd"),
        obj("Service", "kubernetes", "kube-apiserver", "somebody/status", namespace="default"),
        obj("FlowSchema", "probes", "api-priority-and-fairness-config-producer-v1", group="flowcontrol", namespace=""),
        obj("Namespace", "kube-public", namespace=""),
        obj("ServiceAccount", "default"),
        obj("ServiceAccount", "job-controller", namespace="kube-system"),
        obj("PersistentVolume", "pvc-1", "node", namespace="", annotations={"pv.kubernetes.io/provisioned-by": "x"}),
    ],
    ids=lambda item: f"{item['kind']}-{item['metadata']['name']}",
)
def test_what_comes_back_is_not_on_the_list(item: Object) -> None:
    assert listed([DEPLOYMENT, item], [IN_GIT]) == []


@pytest.mark.parametrize(
    ("item", "why"),
    [
        (obj("Secret", "key", "kubectl-create"), "not in Git: written by kubectl-create"),
        (obj("Namespace", "extra", "kubectl", "kube-controller-manager"), "not in Git: written by kubectl"),
        (obj("Secret", "key", "drill"), "not in Git: written by drill"),  # not applied: so not at bootstrap
        (obj("ConfigMap", "x"), "not in Git: written by nobody known"),
        (obj("ServiceAccount", "robot"), "not in Git: written by nobody known"),
        (obj("ServiceAccount", "robot", namespace="default"), "not in Git: written by nobody known"),
        (obj("Namespace", "mine", namespace=""), "not in Git: written by nobody known"),
        (obj("ConfigMap", "x", "helm", owner="uid-of-nobody"), "not in Git: written by helm"),
        (obj("PersistentVolume", "disk", "kubectl", namespace=""), "not in Git: written by kubectl"),
        (
            obj("PersistentVolumeClaim", "data-db-0", "kube-controller-manager", "node",
                spec={"resources": {"requests": {"storage": "64Mi"}}}),
            "volume data (64Mi): a controller makes the claim, nobody what is in it",
        ),
        (obj("PersistentVolumeClaim", "mine", "kubectl"),
         "volume data (size unknown): nobody makes the claim, nobody what is in it"),
        (obj("PersistentVolumeClaim", "set", "argocd-controller"),
         "volume data (size unknown): Git describes the claim, nobody what is in it"),
    ],
    ids=lambda x: x if isinstance(x, str) else "",
)  # fmt: skip
def test_what_does_not_come_back_and_why(item: Object, why: str) -> None:
    wanted = [IN_GIT, Ref("", "PersistentVolumeClaim", "shop", "set")]
    namespace = item["metadata"]["namespace"]
    identity = f"{item['kind']} {namespace}/{item['metadata']['name']}" if namespace else (
        f"{item['kind']} {item['metadata']['name']}")  # fmt: skip
    assert listed([DEPLOYMENT, item], wanted) == [{"identity": identity, "why": why}]


def test_what_a_lost_object_owns_is_lost_with_it_and_not_listed_twice() -> None:
    owner = obj("Deployment", "extra", "kubectl", group="apps")
    pod = obj("Pod", "extra-1", "kube-controller-manager", owner="uid-extra")
    assert [item["identity"] for item in listed([owner, pod], [])] == ["Deployment shop/extra"]


@dataclass
class Shop:
    """A platform whose API lists objects by kind."""

    objects: list[Object] = field(default_factory=list)
    refuses: Exception | None = None

    def __post_init__(self) -> None:
        root = {"apiVersion": "argoproj.io/v1alpha1", "kind": "Application",
                "metadata": {"name": "shop", "namespace": "argocd"}}  # fmt: skip
        self.plan = SimpleNamespace(root_objects=lambda repo: (root,), namespace="argocd")
        self.repo = "the repository"

    @property
    def api(self) -> Shop:
        return self

    def refs(self) -> tuple[Ref, ...]:
        return (IN_GIT,)

    def kinds(self) -> tuple[Kind, ...]:
        both = ("list", "watch")
        return (
            Kind("", "v1", "Secret", "secrets", True, both),
            Kind("", "v1", "Event", "events", True, both),
            Kind("argoproj.io", "v1", "Application", "applications", True, both),
            Kind("", "v1", "Namespace", "namespaces", False, both),
            Kind("", "v1", "TokenReview", "tokenreviews", False, ("create",)),
        )

    def list(self, kind: Kind, *, metadata_only: bool) -> Any:
        assert metadata_only
        assert kind.kind in ("Secret", "Application", "Namespace")
        if self.refuses is not None and kind.kind == "Application":
            raise self.refuses
        found = (o for o in self.objects if o["kind"] == kind.kind)
        return SimpleNamespace(items=tuple({k: o[k] for k in ("apiVersion", "kind", "metadata")} for o in found))


def read(shop: Shop) -> list[dict[str, str]]:
    return loss_list(shop).read()  # type: ignore[arg-type]


def test_every_kind_that_is_kept_is_read_and_a_secret_is_only_named() -> None:
    secret = obj("Secret", "key", "kubectl-create", data={"value": "aHVzaA=="}, type="Opaque")
    root = obj("Application", "shop", "kubectl", group="argoproj.io", namespace="argocd")
    engine = obj("Namespace", "argocd", namespace="")
    found = read(Shop([secret, root, engine]))
    assert found == [{"identity": "Secret shop/key", "why": "not in Git: written by kubectl-create"}]
    assert "aHVzaA" not in json.dumps(found)


def test_a_kind_that_has_gone_has_no_objects() -> None:
    assert read(Shop([obj("Secret", "key", "kubectl")], ApiRefused(404, "NotFound", "gone")))[0]["identity"]


@pytest.mark.parametrize("error", [ApiRefused(403, "Forbidden", "no"), ApiUnreachable("reset")])
def test_a_list_with_holes_is_none(error: Exception) -> None:
    with pytest.raises(type(error)):
        read(Shop(refuses=error))


def test_it_is_called_loss() -> None:
    assert loss_list(Shop()).name == "loss"  # type: ignore[arg-type]
