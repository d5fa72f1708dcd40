"""Pushing a commit: real Git, served on loopback."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from harness.core.errors import CommandFailed, ConfigError, HealFailed, InjectFailed
from harness.core.faults import BlastRadius, Reversible
from harness.core.observation import State
from harness.faults.git import Effect, PushCommit, effect_of, patterns, remove_everything
from harness.gitops.edit import Edit
from tests.gitstage import API, SETTINGS, SHOP, GitStage, NoView

SCALE = Edit("apps/shop/api.yaml", "spec.replicas", 3)


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[GitStage]:
    made = GitStage(folder=tmp_path)
    yield made
    made.repo.close()


def commit(stage: GitStage, changes: Any = SCALE, message: str = "three of them") -> PushCommit:
    return PushCommit(stage, changes, message)  # type: ignore[arg-type]


def tree(stage: GitStage, revision: str = "HEAD") -> str:
    return stage.repo.git.out("rev-parse", f"{revision}^{{tree}}")


# --- injecting -------------------------------------------------------------------------------------------------------


def test_one_line_changes_and_the_objects_that_follow_are_named(stage: GitStage) -> None:
    before = stage.repo.head
    push = commit(stage)
    begun = stage.clock.now_ns()
    done = push.inject()
    assert (push.sha, push.parent) == (stage.repo.head, before)
    assert (done.sent_ns, push.pushed_ns) == (begun, begun)
    assert done.accepted_ns >= begun
    assert done.what == f"pushed {push.sha[:10]} (1 changed)"
    assert done.detail == {"sha": push.sha, "parent": before, "added": [], "changed": [str(API)], "removed": []}
    assert stage.repo.git.out("diff", "--numstat", before, push.sha) == "1\t1\tapps/shop/api.yaml"
    assert push.touches == ("Deployment shop/api",)


def test_it_is_named_by_its_message(stage: GitStage) -> None:
    push = commit(stage, message="three of them\n\nbecause")
    assert push.subject == "PushCommit(three of them)"
    assert (push.blast_radius, push.touches) == (BlastRadius.NAMESPACE, ())
    assert commit(stage, message="").subject == "PushCommit(no message)"


def test_files_are_added_changed_and_removed(stage: GitStage) -> None:
    new = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c}\n"
    push = commit(stage, {"apps/web/cm.yaml": new, "apps/shop/cm.yaml": None})
    done = push.inject()
    assert done.what == f"pushed {push.sha[:10]} (1 added, 2 removed)"
    assert push.touches == ("ConfigMap web/c", "ConfigMap shop/a", "ConfigMap web/b")


def test_a_commit_may_concern_no_object_at_all(stage: GitStage) -> None:
    for changes in ({}, {"README.md": "x\n"}):
        push = commit(stage, changes)
        assert push.inject().what == f"pushed {push.sha[:10]} (no object changes)"
        assert (push.touches, push.confirm().state) == ((), State.MET)


def test_an_application_that_changes_counts(stage: GitStage) -> None:
    push = commit(stage, Edit("argocd-apps/shop.yaml", "spec.syncPolicy.automated.prune", False))
    push.inject()
    assert push.effect == Effect(changed=(SHOP,))


def test_what_cannot_be_read_counts_by_its_file(stage: GitStage) -> None:
    push = commit(stage, {"apps/shop/api.yaml": "kind: {"})
    done = push.inject()
    assert done.what.endswith("(not readable)")
    assert done.detail is not None
    assert "valid YAML in apps/shop/api.yaml" in str(done.detail["unreadable"])
    assert push.touches == ("Deployment shop/api",)


def test_an_object_that_another_application_holds_from_now_on_has_changed(stage: GitStage) -> None:
    text = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: %s, namespace: shop}\n"
    before = stage.repo.commit({"apps/shop/m.yaml": text % "m"}, "in shop")
    after = stage.repo.commit({"apps/shop/m.yaml": None, "apps/web/m.yaml": text % "m"}, "in web")
    found = effect_of(stage, before, after)  # type: ignore[arg-type]
    assert [str(ref) for ref in found.changed] == ["ConfigMap shop/m"]


def test_patterns_match_names_and_nothing_else() -> None:
    odd = SETTINGS.__class__("", "ClusterRole", "", "a[b]*")
    assert patterns((odd,)) == ("ClusterRole a[[]b][*]",)


def test_every_state_of_what_it_changes_is_kept(stage: GitStage) -> None:
    push = commit(stage)
    push.inject()
    stage.deploy()
    stage.show(push.sha)
    assert len(stage.view.history(API)) == len(stage.view.history(SHOP)) == 1


def test_it_can_be_pushed_without_a_cluster(stage: GitStage) -> None:
    stage.view = NoView()  # type: ignore[assignment]
    push = commit(stage)
    push.inject()
    assert push.touches == ("Deployment shop/api",)


# --- what is refused -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        (Edit("apps/shop/none.yaml", "spec.replicas", 3), r"a file apps/shop/none\.yaml in the repository"),
        (Edit("apps/shop/api.yaml", "spec.nodes", 3), r"a value at spec\.nodes of the object in apps/shop/api\.yaml"),
        ([SCALE, SCALE], r"another value at spec\.replicas than now"),
    ],
)
def test_an_edit_that_cannot_be_made_is_refused_at_once(stage: GitStage, changes: Any, sentence: str) -> None:
    before = stage.repo.head
    with pytest.raises(ConfigError, match=sentence):
        commit(stage, changes)
    assert stage.repo.head == before


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"apps/none.yaml": None}, r"a file apps/none\.yaml to remove"),
        ({"../up": "x"}, r"a path inside the repository"),
        ({"apps/shop/cm.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata: {a: '1'}\n"},
         r"a commit that changes something"),
    ],
)  # fmt: skip
def test_a_commit_that_cannot_be_made_is_refused(stage: GitStage, changes: Any, sentence: str) -> None:
    before = stage.repo.head
    with pytest.raises(ConfigError, match=sentence):
        commit(stage, changes).inject()
    assert stage.repo.head == before


def test_a_git_that_fails_did_not_push(stage: GitStage, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any) -> str:
        raise CommandFailed(["git"], 128, "", "no space left on device")

    monkeypatch.setattr(stage.repo, "commit", fail)
    with pytest.raises(InjectFailed, match=r"the commit could not be made: .*\n?.*no space left"):
        commit(stage).inject()


# --- confirming ------------------------------------------------------------------------------------------------------


def test_it_is_confirmed_by_what_is_served(stage: GitStage) -> None:
    push = commit(stage)
    push.inject()
    answer = push.confirm()
    assert (answer.state, answer.actual) == (State.MET, f"the served branch main is at {push.sha[:10]}")


def test_what_was_never_pushed_is_pending(stage: GitStage) -> None:
    assert commit(stage).confirm().state is State.PENDING


def test_another_commit_on_top_is_not_ours(stage: GitStage) -> None:
    push = commit(stage)
    push.inject()
    other = stage.repo.commit({}, "on top")
    answer = push.confirm()
    assert (answer.state, answer.actual) == (State.PENDING, f"the served branch main is at {other[:10]}")


def test_a_server_that_does_not_answer_is_pending(stage: GitStage) -> None:
    push = commit(stage)
    push.inject()
    stage.repo.stop_serving()
    answer = push.confirm()
    assert answer.state is State.PENDING
    assert "unable to access" in answer.actual or "onnect" in answer.actual


# --- healing ---------------------------------------------------------------------------------------------------------


def test_healed_git_is_as_it_was(stage: GitStage) -> None:
    before = tree(stage)
    push = commit(stage)
    assert isinstance(push, Reversible)
    push.inject()
    assert tree(stage) != before
    push.heal()
    assert tree(stage) == before
    assert stage.repo.git.out("log", "-1", "--format=%s") == 'Revert "three of them"'


def test_what_the_story_reverted_itself_is_not_reverted_again(stage: GitStage) -> None:
    push = commit(stage)
    push.inject()
    stage.repo.revert(push.sha)
    stage.repo.commit({"README.md": "more\n"}, "something else")
    head = stage.repo.head
    push.heal()
    assert stage.repo.head == head


def test_what_somebody_else_pushed_meanwhile_stays(stage: GitStage) -> None:
    push = commit(stage)
    push.inject()
    stage.repo.commit({"README.md": "more\n"}, "something else")
    push.heal()
    assert stage.repo.read("README.md") == "more\n"
    assert "replicas: 1" in stage.repo.read("apps/shop/api.yaml")


def test_an_empty_commit_and_one_that_was_never_made_need_no_revert(stage: GitStage) -> None:
    push, never = commit(stage, {}), commit(stage)
    push.inject()
    head = stage.repo.head
    push.heal()
    never.heal()
    assert stage.repo.head == head


def test_a_conflict_is_told(stage: GitStage) -> None:
    push = commit(stage)
    push.inject()
    stage.repo.commit({"apps/shop/api.yaml": "kind: other\n"}, "all other")
    with pytest.raises(HealFailed, match=f"{push.sha[:10]} could not be reverted"):
        push.heal()


# --- removing everything ---------------------------------------------------------------------------------------------


def test_everything_of_one_application_goes_and_its_folder_stays(stage: GitStage) -> None:
    push = remove_everything(stage, "shop")  # type: ignore[arg-type]
    push.inject()
    assert sorted(push.effect.removed) == sorted((API, SETTINGS))
    assert [f for f in stage.repo.files() if f.startswith("apps/")] == ["apps/shop/README", "apps/web/cm.yaml"]
    push.heal()
    assert "apps/shop/README" not in stage.repo.files()


def test_it_needs_an_application_with_objects(stage: GitStage) -> None:
    with pytest.raises(ConfigError, match="an Application in Git; found 'x'"):
        remove_everything(stage, "x")  # type: ignore[arg-type]
    remove_everything(stage, "web").inject()  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="found one without"):
        remove_everything(stage, "web")  # type: ignore[arg-type]
