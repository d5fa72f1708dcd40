"""The served copy, with real git and real HTTP on loopback."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from harness.core.errors import ConfigError
from harness.gitops.repo import ServedRepo

from .conftest import APPLICATION, ENV, git, write


@pytest.fixture
def repo(work_tree: Path, tmp_path: Path) -> Iterator[ServedRepo]:
    served = ServedRepo.from_path(work_tree, scratch=tmp_path / "scratch")
    yield served
    served.close()


def test_the_copy_is_read_only_towards_the_original(
    work_tree: Path, tmp_path: Path, fingerprint: Callable[[Path], dict[str, bytes]]
) -> None:
    write(work_tree, {"apps/one/new.yaml": "a: 1\n"})
    before = fingerprint(work_tree)
    served = ServedRepo.from_path(work_tree, scratch=tmp_path / "scratch")
    served.serve("127.0.0.1")
    sha = served.commit({"apps/one/cm.yaml": "a: 2\n"}, "change")
    served.revert(sha)
    served.close()
    assert fingerprint(work_tree) == before


def test_the_copy_has_no_remote_and_no_credentials(repo: ServedRepo, tmp_path: Path) -> None:
    assert repo.git.out("remote") == ""
    for file in (tmp_path / "scratch").rglob("*"):
        assert not file.is_file() or b"s3cret" not in file.read_bytes(), file
    with pytest.raises(Exception, match=r"(?i)no configured push destination|does not appear to be a git repository"):
        repo.git.run("push")


def test_addresses_of_the_origin_are_rewritten_and_reported(work_tree: Path, tmp_path: Path) -> None:
    events: list[str] = []
    repo = ServedRepo.from_path(work_tree, scratch=tmp_path / "scratch", on_event=events.append)
    original = repo.head
    url = repo.serve("127.0.0.1")
    try:
        assert url == f"http://127.0.0.1:{url.split(':')[2].split('/')[0]}/gitops.git"
        assert [(r.file, r.before, r.after) for r in repo.rewrites] == [
            ("argocd-apps/one.yaml", "git@git.example.org:team/gitops.git", url),
            ("argocd-apps/two.yaml", "https://git.example.org/Team/gitops", url),
        ]
        assert repo.read("argocd-apps/one.yaml") == APPLICATION.format(name="one", url=url)
        assert repo.git.out("diff", "--numstat", original, repo.head).split("\n") == [
            "1\t1\targocd-apps/one.yaml", "1\t1\targocd-apps/two.yaml",
        ]  # fmt: skip
        assert str(repo.rewrites[0]) == f"argocd-apps/one.yaml:10: git@git.example.org:team/gitops.git -> {url}"
        assert events[0].endswith("served as main")
        assert any(url in event for event in events)
        assert "s3cret" not in str(events)
        assert repo.is_own("ssh://git@git.example.org/team/gitops")
        assert not repo.is_own("https://git.example.org/team/other")
    finally:
        repo.close()


def test_a_clone_through_http_holds_what_was_served(repo: ServedRepo, tmp_path: Path) -> None:
    url = repo.serve("127.0.0.1")
    git("clone", "-q", url, str(tmp_path / "clone"), cwd=tmp_path)
    assert git("rev-parse", "HEAD", cwd=tmp_path / "clone") == repo.head
    assert url in (tmp_path / "clone/argocd-apps/one.yaml").read_text()


def test_commit_adds_changes_and_removes(repo: ServedRepo) -> None:
    before = repo.head
    sha = repo.commit({"apps/one/cm.yaml": None, "apps/one/ü b.yaml": "x: 1\n", "README.md": b"bytes\n"}, "three files")
    assert repo.head == sha
    assert repo.git.out("rev-parse", f"{sha}^") == before
    assert "apps/one/cm.yaml" not in repo.files()
    assert repo.read("apps/one/ü b.yaml") == "x: 1\n"
    assert repo.read("apps/one/cm.yaml", before).startswith("apiVersion")
    assert repo.read_many(["README.md", "nope"]) == {"README.md": "bytes\n"}


def test_an_empty_commit_moves_the_head_only(repo: ServedRepo) -> None:
    before = repo.head
    sha = repo.commit({}, "nothing")
    assert sha != before
    assert repo.git.out("diff", "--stat", before, sha) == ""


@pytest.mark.parametrize("path", ["/etc/passwd", "../x", "a/../b", ".git/config", "a//b", "", "a/./b"])
def test_paths_outside_the_repository_are_refused(repo: ServedRepo, path: str) -> None:
    head = repo.head
    with pytest.raises(ConfigError, match="a path inside the repository"):
        repo.commit({path: "x"}, "bad")
    assert repo.head == head


def test_a_commit_that_changes_nothing_is_refused(repo: ServedRepo) -> None:
    with pytest.raises(ConfigError, match="a commit that changes something"):
        repo.commit({"README.md": "hello\n"}, "same")
    with pytest.raises(ConfigError, match=r"a file nope\.yaml to remove"):
        repo.commit({"nope.yaml": None}, "gone")


def test_revert_restores_the_tree_exactly(repo: ServedRepo) -> None:
    good = repo.head
    bad = repo.commit({"apps/one/cm.yaml": "broken: true\n"}, "bad")
    reverted = repo.revert(bad)
    assert repo.head == reverted not in (good, bad)
    assert repo.git.out("rev-parse", f"{reverted}^{{tree}}") == repo.git.out("rev-parse", f"{good}^{{tree}}")
    assert repo.git.out("rev-parse", f"{reverted}^") == bad
    assert repo.git.out("show", "-s", "--format=%s", reverted) == 'Revert "bad"'
    assert repo.git.out("worktree", "list", "--porcelain").count("worktree ") == 1


def test_revert_of_an_older_commit_keeps_the_later_ones(repo: ServedRepo) -> None:
    bad = repo.commit({"apps/one/cm.yaml": "broken: true\n"}, "bad")
    repo.commit({"README.md": "later\n"}, "later")
    repo.revert(bad)
    assert repo.read("README.md") == "later\n"
    assert "broken" not in repo.read("apps/one/cm.yaml")


def test_reverts_that_cannot_be_made_are_refused(repo: ServedRepo) -> None:
    first = repo.head
    with pytest.raises(ConfigError, match="one parent"):
        repo.revert(first)
    bad = repo.commit({"README.md": "a\n"}, "bad")
    repo.commit({"README.md": "b\n"}, "on top")
    head = repo.head
    with pytest.raises(ConfigError, match="reverted cleanly"):
        repo.revert(bad)
    with pytest.raises(ConfigError, match="a revision"):
        repo.revert("nope")
    assert repo.head == head
    assert repo.git.out("worktree", "list", "--porcelain").count("worktree ") == 1


def test_equal_inputs_give_equal_shas(work_tree: Path, tmp_path: Path) -> None:
    shas = set()
    for n in range(2):
        repo = ServedRepo.from_path(work_tree, scratch=tmp_path / f"scratch{n}")
        bad = repo.commit({"README.md": "x\n"}, "change")
        shas.add(repo.revert(bad))
    assert len(shas) == 1


def test_another_branch_name_for_the_applications(repo: ServedRepo) -> None:
    head = repo.head
    repo.follow(branch="production")
    repo.serve("127.0.0.1")
    assert repo.branch == "production"
    assert repo.git.out("rev-parse", "HEAD") == repo.head
    assert repo.git.out("rev-parse", "refs/heads/main") == head


def test_origins_of_the_plan_count_for_a_folder(work_tree: Path, tmp_path: Path) -> None:
    subprocess.run(["rm", "-rf", str(work_tree / ".git")], check=True)
    repo = ServedRepo.from_path(work_tree, scratch=tmp_path / "scratch")
    assert repo.is_folder
    repo.follow(origins=["https://git.example.org/team/gitops"])
    url = repo.serve("127.0.0.1")
    repo.close()
    assert len(repo.rewrites) == 2
    assert url in repo.read("argocd-apps/two.yaml")


def test_a_user_environment_that_names_another_repository_is_ignored(
    work_tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE"):
        monkeypatch.setenv(name, str(tmp_path / "elsewhere"))
    repo = ServedRepo.from_path(work_tree, scratch=tmp_path / "scratch")
    assert (
        repo.head
        == subprocess.run(
            ["git", "-C", str(work_tree), "rev-parse", "HEAD"], env=ENV, check=True, capture_output=True, text=True
        ).stdout.strip()
    )


def test_an_earlier_tree_is_brought_back_by_a_commit(repo: ServedRepo) -> None:
    tree, head = repo.tree, repo.head
    repo.restore(tree, "nothing to do")
    assert repo.head == head
    repo.commit({"new.txt": "x"}, "more")
    assert repo.tree != tree
    repo.restore(tree, "as it was")
    assert repo.tree == tree
    assert repo.git.out("rev-list", "--count", f"{head}..{repo.head}") == "2"
