"""drill.yaml, and what is told without one."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from harness.core.errors import ConfigError
from harness.gitops.plan import BootstrapPlan, read_plan
from harness.gitops.repo import ServedRepo

from .conftest import APPLICATION, CONFIG_MAP, git, write

URL = "https://git.example.org/team/gitops.git"


def app(name: str, path: str = "", **more: str) -> str:
    text = APPLICATION.format(name=name, url=URL)
    text = text.replace(f"path: apps/{name}", f"path: {path or f'apps/{name}'}")
    for old, new in more.items():
        text = text.replace(f"{old}: main", f"{old}: {new}")
    return text


def folder(tmp_path: Path, files: Mapping[str, str]) -> ServedRepo:
    write(tmp_path / "gitops", files)
    return ServedRepo.from_path(tmp_path / "gitops", scratch=tmp_path / "scratch")


def plan(tmp_path: Path, files: Mapping[str, str]) -> BootstrapPlan:
    return read_plan(folder(tmp_path, files))


def complaint(tmp_path: Path, files: Mapping[str, str]) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        plan(tmp_path, files)
    assert caught.value.expected
    assert caught.value.found
    assert caught.value.remedy
    return caught.value


SERVICE = """\
apiVersion: v1
kind: Service
metadata: {name: api, namespace: shop}
spec: {ports: [{name: http, port: 80}]}
"""
BASE = {"apps/one/cm.yaml": CONFIG_MAP.format(name="one"), "argocd-apps/one.yaml": app("one")}


def test_everything_drill_yaml_can_say(tmp_path: Path) -> None:
    found = plan(tmp_path, BASE | {
        "apps/one/api.yaml": SERVICE,
        "project.yaml": "apiVersion: argoproj.io/v1alpha1\nkind: AppProject\nmetadata: {name: team}\n",
        "drill.yaml": f"""\
apiVersion: drill/v1
engine: argocd
root: argocd-apps/
projects: [project.yaml]
settings: {{application.resourceTrackingMethod: annotation}}
repository: {{origin: {URL}, branch: main}}
front_doors: shop/api
expected_resources: 2
""",
    })  # fmt: skip
    assert (found.root, found.projects) == (("argocd-apps/",), ("project.yaml",))
    assert found.settings == {"application.resourceTrackingMethod": "annotation"}
    assert found.front_doors == ("shop/api",)
    assert (found.origins, found.branch, found.expected_resources) == ((URL,), "main", 2)


def test_projects_come_before_the_root_and_everything_is_placed(tmp_path: Path) -> None:
    files = BASE | {
        "p.yaml": "apiVersion: argoproj.io/v1alpha1\nkind: AppProject\nmetadata: {name: team}\n",
        "drill.yaml": "root: [argocd-apps]\nprojects: [p.yaml]\n",
    }
    repo = folder(tmp_path, files)
    objects = read_plan(repo).root_objects(repo)
    assert [(o["kind"], o["metadata"]["namespace"]) for o in objects] == [
        ("AppProject", "argocd"), ("Application", "argocd"),
    ]  # fmt: skip


def test_a_front_door_needs_a_port_that_can_be_asked(tmp_path: Path) -> None:
    files = BASE | {"apps/one/api.yaml": SERVICE.replace("http", "grpc"), "drill.yaml": "front_doors: [shop/api]\n"}
    assert "with a port named http" in str(complaint(tmp_path, files))


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("roots: [a]\n", ["did you mean 'root'?", "drill.yaml", "roots"]),
        ("repository: {orign: a}\n", ["repository.orign", "did you mean 'origin'?"]),
        ("front_door: shop/api\n", ["front_door", "did you mean 'front_doors'?"]),
        ("front_doors: [1]\n", ["front_doors.0", "string"]),
        ("front_doors: [api]\n", ["with a port named http", "drill.yaml (front_doors)", "'api'", "are none"]),
        ("engine: flux\n", ["engine", "'argocd'", "'flux'"]),
        ("expected_resources: 0\n", ["expected_resources", "greater than 0"]),
        ("settings: {a: 1}\n", ["settings.a", "string"]),
        ("root: [nowhere]\n", ["manifests at nowhere", "none"]),
        ("root: [apps]\n", ["at least one Argo CD Application", "none in apps"]),
        ("repository: {branch: 'a b'}\n", ["repository.branch", "'a b'"]),
        ("- a\n", ["an object per document", "list"]),
        ("root: [a]\nroot: [b]\n", ["'root' in line 2 again"]),
        ("root: [a\n", ["valid YAML in drill.yaml", "line 2"]),
        ("a: 1\n---\nb: 1\n", ["one document"]),
    ],
)  # fmt: skip
def test_a_bad_drill_yaml_is_one_clear_message(tmp_path: Path, text: str, parts: list[str]) -> None:
    message = str(complaint(tmp_path, BASE | {"drill.yaml": text}))
    assert [part for part in parts if part not in message] == [], message


def test_detection_prefers_the_known_folder(tmp_path: Path) -> None:
    found = plan(tmp_path, BASE | {"argocd-apps/two.yaml": app("two"), "apps/two/cm.yaml": CONFIG_MAP.format(name="b")})
    assert found.root == ("argocd-apps",)
    assert "detected argocd-apps" in found.note


def test_detection_finds_bootstrap(tmp_path: Path) -> None:
    assert plan(tmp_path, {
        "bootstrap/all.yml": app("one"), "apps/one/cm.yaml": CONFIG_MAP.format(name="one"),
    }).root == ("bootstrap",)  # fmt: skip


def test_detection_finds_the_app_of_apps(tmp_path: Path) -> None:
    found = plan(tmp_path, BASE | {"root.yaml": app("root", "argocd-apps")})
    assert found.root == ("root.yaml",)


def test_a_root_that_holds_itself_is_found(tmp_path: Path) -> None:
    found = plan(tmp_path, BASE | {"argocd-apps/root.yaml": app("root", "argocd-apps")})
    assert found.root == ("argocd-apps/root.yaml",)


def test_detection_names_the_files_where_other_things_lie_beside(tmp_path: Path) -> None:
    found = plan(tmp_path, BASE | {"argocd-apps/values.yaml": "a: 1\n"})
    assert found.root == ("argocd-apps/one.yaml",)


def test_a_repository_without_applications(tmp_path: Path) -> None:
    error = complaint(tmp_path, {"apps/one/cm.yaml": CONFIG_MAP.format(name="one"), "x.md": "kind: Application\n"})
    assert error.expected == "at least one Argo CD Application"
    assert "drill.yaml" in error.remedy


def test_unparsable_manifests_are_named_before_anything_is_made(tmp_path: Path) -> None:
    error = complaint(tmp_path, BASE | {"apps/one/bad.yaml": "a: [1\nb: 2\n"})
    assert "apps/one/bad.yaml" in error.expected
    assert "line 2" in error.found


def test_duplicate_keys_in_a_manifest_are_named(tmp_path: Path) -> None:
    text = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x}\ndata:\n  a: '1'\n  a: '2'\n"
    error = complaint(tmp_path, BASE | {"apps/one/twice.yaml": text})
    assert "apps/one/twice.yaml" in error.expected
    assert "'a' in line 6" in error.found


def test_unparsable_files_that_nobody_deploys_are_left_alone(tmp_path: Path) -> None:
    assert plan(tmp_path, BASE | {"chart/templates/x.yaml": "{{ if }}\n", "notes.yaml": "a: [\n"}).root


def test_a_folder_takes_the_address_its_applications_share_for_its_own(tmp_path: Path) -> None:
    repo = folder(tmp_path, BASE)
    assert read_plan(repo).origins == (URL,)
    repo.serve("127.0.0.1")
    repo.close()
    assert [r.file for r in repo.rewrites] == ["argocd-apps/one.yaml"]


def test_a_folder_with_an_address_that_cannot_be_its_own_says_what_to_do(tmp_path: Path) -> None:
    error = complaint(tmp_path, {"argocd-apps/one.yaml": app("one")})
    assert URL in error.found
    assert "repository.origin" in error.remedy


def test_the_branch_that_applications_follow_is_served(work_tree: Path, tmp_path: Path) -> None:
    git("checkout", "-q", "-b", "feature", cwd=work_tree)
    write(work_tree, {"apps/one/cm.yaml": CONFIG_MAP.format(name="changed")})
    git("commit", "-qam", "on a branch", cwd=work_tree)
    repo = ServedRepo.from_path(work_tree, scratch=tmp_path / "scratch")
    read_plan(repo)
    assert repo.branch == "main"
    assert repo.head == git("rev-parse", "feature", cwd=work_tree)


def test_a_tag_that_applications_follow_stays_a_tag(work_tree: Path, tmp_path: Path) -> None:
    git("tag", "v1", cwd=work_tree)
    for name in ("one", "two"):
        write(work_tree, {f"argocd-apps/{name}.yaml": app(name, targetRevision="v1")})
    git("commit", "-qam", "follow the tag", cwd=work_tree)
    repo = ServedRepo.from_path(work_tree, scratch=tmp_path / "scratch")
    read_plan(repo)
    assert repo.branch == "main"


def test_applications_elsewhere_are_refused(tmp_path: Path) -> None:
    text = app("one").replace("namespace: argocd", "namespace: team-a")
    error = complaint(tmp_path, BASE | {"argocd-apps/one.yaml": text})
    assert error.found == "team-a"
