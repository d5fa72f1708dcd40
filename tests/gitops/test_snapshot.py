"""Copies of what users have, and every complaint about it."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from harness.core.errors import ConfigError, ExitCode
from harness.gitops.repo import ServedRepo

from .conftest import CONFIG_MAP, git, write


def copy(source: Path | str, tmp_path: Path, revision: str | None = None) -> ServedRepo:
    return ServedRepo.from_path(source, scratch=tmp_path / "scratch", revision=revision)


def complaint(source: Path | str, tmp_path: Path, revision: str | None = None) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        copy(source, tmp_path, revision)
    assert caught.value.exit_code is ExitCode.USAGE
    assert caught.value.remedy
    return caught.value


def test_a_clean_work_tree_is_taken_as_it_is(work_tree: Path, tmp_path: Path) -> None:
    repo = copy(work_tree, tmp_path)
    assert repo.head == repo.source_revision == git("rev-parse", "HEAD", cwd=work_tree)
    assert (repo.dirty, repo.branch, repo.is_folder) == ((), "main", False)


def test_a_dirty_work_tree_is_taken_by_snapshot(work_tree: Path, tmp_path: Path) -> None:
    write(
        work_tree,
        {"apps/one/ñew file.yaml": "a: 1\n", "README.md": "changed\n", ".gitignore": "secret*\n", "secret.env": "x"},
    )
    git("add", "README.md", cwd=work_tree)
    (work_tree / "apps/two/cm.yaml").unlink()
    repo = copy(work_tree, tmp_path)
    assert repo.dirty == ("README.md", "apps/two/cm.yaml", ".gitignore", "apps/one/ñew file.yaml")
    assert repo.read("README.md") == "changed\n"
    assert repo.read("apps/one/ñew file.yaml") == "a: 1\n"
    assert not {"apps/two/cm.yaml", "secret.env"} & set(repo.files())
    assert repo.git.out("rev-parse", f"{repo.head}^") == repo.source_revision == git("rev-parse", "HEAD", cwd=work_tree)


def test_a_revision_leaves_the_dirt_aside(work_tree: Path, tmp_path: Path) -> None:
    first = git("rev-parse", "HEAD", cwd=work_tree)
    write(work_tree, {"README.md": "second\n"})
    git("commit", "-qam", "second", cwd=work_tree)
    write(work_tree, {"README.md": "dirty\n"})
    repo = copy(work_tree, tmp_path, first[:10])
    assert repo.head == first
    assert repo.branch == "main"
    assert repo.read("README.md") == "hello\n"


def test_a_branch_as_revision_is_served_under_its_name(work_tree: Path, tmp_path: Path) -> None:
    git("branch", "feature/x", cwd=work_tree)
    assert copy(work_tree, tmp_path, "feature/x").branch == "feature/x"


def test_a_detached_head_is_served_as_main(work_tree: Path, tmp_path: Path) -> None:
    git("checkout", "-q", "--detach", cwd=work_tree)
    git("branch", "-qD", "main", cwd=work_tree)
    repo = copy(work_tree, tmp_path)
    assert (repo.branch, repo.head) == ("main", git("rev-parse", "HEAD", cwd=work_tree))


def test_a_work_tree_before_its_first_commit_is_taken_by_snapshot(tmp_path: Path) -> None:
    root = tmp_path / "new"
    root.mkdir()
    git("init", "-q", "-b", "trunk", cwd=root)
    write(root, {"a/cm.yaml": CONFIG_MAP.format(name="a")})
    repo = copy(root, tmp_path)
    assert (repo.branch, repo.files(), repo.source_revision) == ("trunk", ("a/cm.yaml",), "")


def test_a_folder_without_history_is_taken_by_snapshot(tmp_path: Path) -> None:
    root = tmp_path / "Manifests 1"
    write(root, {"a/cm.yaml": CONFIG_MAP.format(name="a"), ".gitignore": "a/\n"})
    repo = copy(root, tmp_path)
    assert repo.is_folder
    assert repo.files() == (".gitignore", "a/cm.yaml")
    assert repo.git.directory.name == "manifests-1.git"


def test_a_folder_inside_a_repository_is_a_folder(work_tree: Path, tmp_path: Path) -> None:
    repo = copy(work_tree / "apps", tmp_path)
    assert repo.is_folder
    assert repo.files() == ("one/cm.yaml", "two/cm.yaml")


def test_a_bare_repository_and_an_address_work_too(work_tree: Path, tmp_path: Path) -> None:
    git("clone", "-q", "--bare", str(work_tree), str(tmp_path / "bare.git"), cwd=tmp_path)
    head = git("rev-parse", "HEAD", cwd=work_tree)
    assert ServedRepo.from_path(tmp_path / "bare.git", scratch=tmp_path / "s1").head == head
    remote = ServedRepo.from_path(f"file://{work_tree}", scratch=tmp_path / "s2")
    assert (remote.head, remote.branch) == (head, "main")
    assert remote.git.out("remote") == ""


def test_somebody_elses_repository_can_be_read(work_tree: Path, tmp_path: Path) -> None:
    for path in [work_tree, *work_tree.rglob("*")]:
        shutil.chown(path, 12345)
    assert copy(work_tree, tmp_path).files()


@pytest.mark.parametrize(
    ("kind", "found"),
    [("missing", "it does not exist"), ("file", "a file"), ("empty", "empty"), ("only-folders", "no files"),
     ("no-commits", "none"), ("nothing", "nothing"), ("corrupt", "fatal:")],
)  # fmt: skip
def test_what_is_no_repository_is_refused(kind: str, found: str, tmp_path: Path) -> None:
    root = tmp_path / "thing"
    if kind == "file":
        root.write_text("x")
    elif kind == "only-folders":
        (root / "a/b").mkdir(parents=True)
    elif kind in ("empty", "no-commits", "corrupt"):
        root.mkdir()
    if kind == "no-commits":
        git("init", "-q", cwd=root)
    if kind == "corrupt":
        (root / ".git").mkdir()
    error = complaint("" if kind == "nothing" else root, tmp_path)
    assert found in error.found
    assert not (tmp_path / "scratch").exists() or kind in ("only-folders", "no-commits", "corrupt")


def test_a_revision_that_does_not_exist_names_the_branches(work_tree: Path, tmp_path: Path) -> None:
    error = complaint(work_tree, tmp_path, "v9")
    assert "'v9'" in error.expected
    assert "branches: main" in error.found


def test_an_option_is_no_revision(work_tree: Path, tmp_path: Path) -> None:
    assert "'--all'" in complaint(work_tree, tmp_path, "--all").expected


def test_a_revision_of_a_folder_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "m", {"a.yaml": "a: 1\n"})
    assert "without history" in complaint(tmp_path / "m", tmp_path, "main").found


def test_an_address_that_does_not_answer_keeps_its_password(tmp_path: Path) -> None:
    error = complaint("http://bob:s3cret@127.0.0.1:9/x.git", tmp_path)
    assert "127.0.0.1:9/x.git" in error.found
    assert "s3cret" not in str(error)
