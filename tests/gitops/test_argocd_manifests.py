"""Fitting upstream's manifests. The sample has the shape of upstream's core-install.yaml, and none of its text."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.core.errors import ConfigError
from harness.core.objects import Object
from harness.core.profile import DEFAULT, FAST
from harness.gitops.argocd_manifests import Fitting, fit

from .conftest import write

MANIFESTS = """\
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata:
  name: applications.argoproj.io
---
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata:
  name: applicationsets.argoproj.io
---
apiVersion: v1
kind: ConfigMap
metadata:
  name: argocd-cm
data: {resource.exclusions: some, timeout.reconciliation: 60s}
---
apiVersion: v1
kind: ConfigMap
metadata:
  name: argocd-cmd-params-cm
---
apiVersion: apps/v1
kind: Deployment
metadata:
  name: argocd-applicationset-controller
spec: {template: {spec: {containers: [{name: a, image: 'quay.io/argoproj/argocd:v3.2.11', imagePullPolicy: Always}]}}}
---
apiVersion: apps/v1
kind: Deployment
metadata:
  name: argocd-redis
spec:
  template:
    spec:
      initContainers:
      - {name: secret-init, image: 'quay.io/argoproj/argocd:v3.2.11'}
      containers:
      - {name: redis, image: 'public.ecr.aws/docker/library/redis:8.2.2-alpine', imagePullPolicy: Always}
---
apiVersion: apps/v1
kind: Deployment
metadata:
  name: argocd-repo-server
spec:
  template:
    spec:
      initContainers:
      - {name: copyutil, image: 'quay.io/argoproj/argocd:v3.2.11'}
      - {name: other, image: 'quay.io/argoproj/argocd:v3.2.11'}
      containers:
      - name: argocd-repo-server
        image: quay.io/argoproj/argocd:v3.2.11
        imagePullPolicy: Always
        readinessProbe: {httpGet: {path: /healthz, port: 8084}, initialDelaySeconds: 5, periodSeconds: 10}
      volumes: [{name: var-files, emptyDir: {}}, {name: tmp, emptyDir: {}}]
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata:
  name: argocd-redis-network-policy
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write(tmp_path, {"core-install.yaml": MANIFESTS})
    return tmp_path


def named(objects: list[Object], kind: str, name: str) -> Object:
    return next(o for o in objects if o["kind"] == kind and o["metadata"]["name"] == name)


def lean(**more: object) -> Fitting:
    return Fitting("drill/argocd:3", "drill/redis:7", FAST, {"kustomize.enabled": "false"}, **more)  # type: ignore[arg-type]


def test_nothing_is_left_that_a_registry_would_be_asked_for(folder: Path) -> None:
    objects, _ = fit(folder, lean())
    for obj in objects:
        spec = obj.get("spec", {}).get("template", {}).get("spec", {})
        for container in [*spec.get("containers", []), *spec.get("initContainers", [])]:
            assert container["image"] in ("drill/argocd:3", "drill/redis:7")
            assert container.get("imagePullPolicy") != "Always"


def test_lean_leaves_out_what_one_repository_does_not_need(folder: Path) -> None:
    objects, deviations = fit(folder, lean())
    names = {(o["kind"], o["metadata"]["name"]) for o in objects}
    assert not [name for _, name in names if "applicationset" in name]
    assert not [kind for kind, _ in names if kind == "NetworkPolicy"]
    repo_server = named(objects, "Deployment", "argocd-repo-server")["spec"]["template"]["spec"]
    assert [c["name"] for c in repo_server["initContainers"]] == ["other"]
    assert [v["name"] for v in repo_server["volumes"]] == ["tmp"]
    assert repo_server["containers"][0]["readinessProbe"] == {
        "httpGet": {"path": "/healthz", "port": 8084}, "initialDelaySeconds": 1, "periodSeconds": 1,
    }  # fmt: skip
    redis = named(objects, "Deployment", "argocd-redis")["spec"]["template"]["spec"]
    assert "initContainers" not in redis
    assert redis["containers"][0]["resources"]["requests"]
    said = "\n".join(map(str, deviations))
    for word in (
        "ApplicationSet",
        "NetworkPolicies",
        "copyutil",
        "secret-init",
        "readiness",
        "imagePullPolicy",
        "image:",
    ):
        assert word in said


def test_redis_keeps_its_password_and_every_cluster_has_its_own(folder: Path) -> None:
    secrets = [named(fit(folder, lean())[0], "Secret", "argocd-redis")["stringData"]["auth"] for _ in range(2)]
    assert len(secrets[0]) >= 32
    assert secrets[0] != secrets[1]


def test_application_sets_bring_their_controller(folder: Path) -> None:
    objects, _ = fit(folder, lean(application_sets=True))
    assert named(objects, "Deployment", "argocd-applicationset-controller")
    assert named(objects, "CustomResourceDefinition", "applicationsets.argoproj.io")


def test_upstream_as_it_is_but_for_what_offline_clusters_need(folder: Path) -> None:
    objects, deviations = fit(folder, Fitting("drill/argocd:3", "drill/redis:7", DEFAULT, {}, lean=False))
    assert len(objects) == 8 + 2
    assert {d.where for d in deviations} == {"image", "imagePullPolicy", "AppProject default"}
    spec = named(objects, "Deployment", "argocd-repo-server")["spec"]["template"]["spec"]
    assert spec["containers"][0]["readinessProbe"]["periodSeconds"] == 10


def test_settings_of_the_repository_and_of_the_profile(folder: Path) -> None:
    objects, deviations = fit(folder, lean())
    assert named(objects, "ConfigMap", "argocd-cm")["data"] == {
        "resource.exclusions": "some", "kustomize.enabled": "false", **FAST.argocd_cm,
    }  # fmt: skip
    assert named(objects, "ConfigMap", "argocd-cmd-params-cm")["data"] == dict(FAST.argocd_params)
    said = {d.where: d for d in deviations}
    assert said["ConfigMap argocd-cm, timeout.reconciliation"].upstream == "60s"
    assert "fast" in said["ConfigMap argocd-cm, timeout.reconciliation"].why
    assert "drill.yaml" in said["ConfigMap argocd-cm, kustomize.enabled"].why


def test_the_default_project_comes_along(folder: Path) -> None:
    objects, _ = fit(folder, lean())
    project = named(objects, "AppProject", "default")
    assert project["metadata"]["namespace"] == "argocd"
    assert project["spec"]["sourceRepos"] == ["*"]


def test_fitting_twice_starts_from_upstream_twice(folder: Path) -> None:
    first, _ = fit(folder, lean())
    first[-1]["metadata"]["name"] = "spoilt"
    second, _ = fit(folder, lean())
    assert "spoilt" not in {o["metadata"]["name"] for o in second}


def test_manifests_that_are_not_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"core-install\.yaml"):
        fit(tmp_path / "nowhere", lean())
