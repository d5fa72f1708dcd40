"""Desired objects, by Argo CD's rules for plain directories."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from harness.core.errors import ConfigError
from harness.core.objects import Ref
from harness.gitops.plan import BootstrapPlan, read_plan
from harness.gitops.render import desired_applications, desired_objects
from harness.gitops.repo import ServedRepo

from .conftest import APPLICATION, CONFIG_MAP, write

URL = "https://git.example.org/team/gitops.git"
ROOT = {"drill.yaml": f"root: [argocd-apps]\nrepository: {{origin: {URL}}}\n"}


def app(name: str, source: str = "", path: str = "") -> str:
    text = APPLICATION.format(name=name, url=URL).replace(f"path: apps/{name}", f"path: {path or f'apps/{name}'}")
    return text.replace("    targetRevision: main\n", f"    targetRevision: main\n{source}")


def opened(tmp_path: Path, files: Mapping[str, str]) -> tuple[ServedRepo, BootstrapPlan]:
    write(tmp_path / "gitops", {**ROOT, "argocd-apps/one.yaml": app("one"), **files})
    repo = ServedRepo.from_path(tmp_path / "gitops", scratch=tmp_path / "scratch")
    return repo, read_plan(repo)


def refs(tmp_path: Path, files: Mapping[str, str]) -> list[str]:
    return [str(o.ref) for o in desired_objects(*opened(tmp_path, files))]


def refused(tmp_path: Path, files: Mapping[str, str]) -> str:
    with pytest.raises(ConfigError) as caught:
        opened(tmp_path, files)
    return str(caught.value)


def obj(kind: str, name: str, api: str = "v1", more: str = "") -> str:
    return f"apiVersion: {api}\nkind: {kind}\nmetadata:\n  name: {name}\n{more}"


def test_objects_know_where_they_come_from_and_where_they_go(tmp_path: Path) -> None:
    repo, plan = opened(tmp_path, {
        "apps/one/a.yaml": obj("Deployment", "api", "apps/v1"),
        "apps/one/b.yaml": obj("ConfigMap", "cm", more="  namespace: elsewhere\n"),
        "apps/one/c.yaml": obj("Namespace", "one"),
    })  # fmt: skip
    first, second, third = desired_objects(repo, plan)
    assert (first.application, first.path, first.api_version) == ("one", "apps/one/a.yaml", "apps/v1")
    assert first.ref == Ref("apps", "Deployment", "one", "api")
    assert first.manifest["kind"] == "Deployment"
    assert second.ref == Ref("", "ConfigMap", "elsewhere", "cm")
    assert third.ref == Ref("", "Namespace", "", "one")


def test_files_of_a_plain_directory(tmp_path: Path) -> None:
    assert refs(tmp_path, {
        "apps/one/a.yaml": CONFIG_MAP.format(name="a") + "---\n" + CONFIG_MAP.format(name="b"),
        "apps/one/c.json": '{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}}',
        "apps/one/d.yml": "kind: List\nitems:\n- {apiVersion: v1, kind: ConfigMap, metadata: {name: d}}\n",
        "apps/one/README.md": "no",
        "apps/one/sub/e.yaml": CONFIG_MAP.format(name="e"),
        "apps/one/skipped.yaml": "# +argocd:skip-file-rendering\nanything: true\n",
        "apps/one-more/f.yaml": CONFIG_MAP.format(name="f"),
    }) == ["ConfigMap one/a", "ConfigMap one/b", "ConfigMap one/c", "ConfigMap one/d"]  # fmt: skip


def test_recurse_include_and_exclude(tmp_path: Path) -> None:
    source = "    directory: {recurse: true, include: '{*.yaml,*.yml}', exclude: '*/secret*'}\n"
    assert refs(tmp_path, {
        "argocd-apps/one.yaml": app("one", source),
        "apps/one/a.json": '{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}}',
        "apps/one/b.yaml": CONFIG_MAP.format(name="b"),
        "apps/one/x/c.yml": CONFIG_MAP.format(name="c"),
        "apps/one/x/secret-d.yaml": CONFIG_MAP.format(name="d"),
    }) == ["ConfigMap one/b", "ConfigMap one/c"]  # fmt: skip


def test_hooks_come_and_go_and_are_not_desired(tmp_path: Path) -> None:
    hook = obj("Job", "migrate", "batch/v1", "  annotations: {argocd.argoproj.io/hook: PreSync}\n")
    assert refs(tmp_path, {"apps/one/a.yaml": CONFIG_MAP.format(name="a"), "apps/one/h.yaml": hook}) == [
        "ConfigMap one/a"
    ]


def test_scopes_of_custom_kinds_are_read_from_their_definitions(tmp_path: Path) -> None:
    crd = obj("CustomResourceDefinition", "widgets.example.org", "apiextensions.k8s.io/v1",
              "spec: {group: example.org, scope: Cluster, names: {kind: Widget}}\n")  # fmt: skip
    assert refs(tmp_path, {"apps/one/w.yaml": obj("Widget", "w", "example.org/v1"), "apps/one/x.yaml": crd}) == [
        "Widget w", "CustomResourceDefinition widgets.example.org",
    ]  # fmt: skip


def test_applications_that_hold_applications(tmp_path: Path) -> None:
    repo, plan = opened(tmp_path, {
        "argocd-apps/one.yaml": app("root", path="children"),
        "children/child.yaml": app("child"),
        "apps/child/a.yaml": CONFIG_MAP.format(name="a"),
    })  # fmt: skip
    root, child = desired_applications(repo, plan)
    assert (root.name, root.parent, child.name, child.parent) == ("root", "", "child", "root")
    assert [str(o.ref) for o in root.objects] == ["Application argocd/child"]
    assert [str(o.ref) for o in desired_objects(repo, plan)] == ["Application argocd/child", "ConfigMap child/a"]
    assert child.ref == Ref("argoproj.io", "Application", "argocd", "child")


def test_an_older_revision_renders_as_it_was(tmp_path: Path) -> None:
    repo, plan = opened(tmp_path, {"apps/one/a.yaml": CONFIG_MAP.format(name="a")})
    before = repo.head
    repo.commit({"apps/one/a.yaml": None, "apps/one/b.yaml": CONFIG_MAP.format(name="b")}, "swap")
    assert [o.ref.name for o in desired_objects(repo, plan)] == ["b"]
    assert [o.ref.name for o in desired_objects(repo, plan, before)] == ["a"]
    assert desired_applications(repo, plan)[0].revisions == (repo.head,)


def test_another_target_revision_is_resolved(tmp_path: Path) -> None:
    repo, plan = opened(tmp_path, {"apps/one/a.yaml": CONFIG_MAP.format(name="a")})
    old = repo.head
    text = app("one").replace("targetRevision: main", f"targetRevision: {old}")
    repo.commit({"argocd-apps/one.yaml": text, "apps/one/b.yaml": CONFIG_MAP.format(name="b")}, "pin")
    (pinned,) = desired_applications(repo, plan)
    assert pinned.revisions == (old,)
    assert [o.ref.name for o in pinned.objects] == ["a"]


def test_several_sources(tmp_path: Path) -> None:
    text = app("one").replace(
        f"  source:\n    repoURL: {URL}  # and this one\n    targetRevision: main\n    path: apps/one\n",
        f"  sources:\n  - {{repoURL: {URL}, path: apps/one}}\n  - {{repoURL: {URL}, ref: values}}\n",
    )
    assert "sources" in text
    repo, plan = opened(tmp_path, {"argocd-apps/one.yaml": text, "apps/one/a.yaml": CONFIG_MAP.format(name="a")})
    (found,) = desired_applications(repo, plan)
    assert found.revisions == (repo.head, repo.head)
    assert len(found.objects) == 1


CM = {"apps/one/a.yaml": CONFIG_MAP.format(name="a")}


@pytest.mark.parametrize(
    ("files", "parts"),
    [
        ({"apps/one/kustomization.yaml": "resources: [a.yaml]\n", **CM}, ["kustomize", "apps/one"]),
        ({"apps/one/Chart.yaml": "name: x\n", **CM}, ["Helm chart"]),
        ({"apps/one/x.jsonnet": "{}\n", **CM}, ["jsonnet"]),
        ({"argocd-apps/one.yaml": app("one", "    helm: {a: x}\n"), **CM}, ["`helm`", "argocd-apps/one.yaml"]),
        ({"argocd-apps/two.yaml": obj("ApplicationSet", "s", "argoproj.io/v1alpha1"), **CM}, ["ApplicationSet s"]),
        ({}, ["a folder apps/one for Application one"]),
        ({"argocd-apps/one.yaml": APPLICATION.format(name="one", url="https://other.example.org/x"), **CM},
         ["https://other.example.org/x", "repository.origin"]),
        ({**CM, "apps/one/b.yaml": CONFIG_MAP.format(name="a")}, ["ConfigMap one/a once", "again in apps/one/b.yaml"]),
        ({"apps/one/a.yaml": "kind: ConfigMap\nmetadata: {name: a}\n"}, ["`apiVersion`", "apps/one/a.yaml, line 1"]),
        ({"apps/one/a.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata: {}\n"}, ["`metadata.name`"]),
        ({"apps/one/a.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: 1}\n"}, ["`metadata.name`", "1"]),
        ({"argocd-apps/one.yaml": app("one").replace("    namespace: one\n", ""), **CM}, ["a namespace for ConfigMap"]),
        ({"argocd-apps/one.yaml": app("one").replace("targetRevision: main", "targetRevision: v9"),
          "argocd-apps/two.yaml": app("two"), "argocd-apps/three.yaml": app("three"), **CM}, ["'v9'"]),
    ],
)  # fmt: skip
def test_what_cannot_be_rendered_is_refused_by_name(tmp_path: Path, files: dict[str, str], parts: list[str]) -> None:
    message = refused(tmp_path, files)
    assert [part for part in parts if part not in message] == [], message


def test_the_sample_repository_holds_what_it_says(tmp_path: Path) -> None:
    sample = Path(__file__).parents[2] / "fixtures/repos/cortex"
    repo = ServedRepo.from_path(sample, scratch=tmp_path / "scratch")
    plan = read_plan(repo)
    assert len(desired_objects(repo, plan)) == plan.expected_resources == 120
    assert len(desired_applications(repo, plan)) == 7
