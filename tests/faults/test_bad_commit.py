"""Bad commits and their reverts: what is really pushed, and what is refused before anything is."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from harness.core.errors import ConfigError, InjectFailed
from harness.core.faults import BlastRadius
from harness.core.observation import State
from harness.faults.bad_commit import (
    ABSENT_IMAGE,
    NO_PORT,
    RevertCommit,
    bad_image,
    deletion,
    immutable_change,
    invalid_manifest,
)
from harness.faults.git import PushCommit
from tests.shopstage import FILES, shop_stage

API, FRONT, ONE, TWO = "Deployment shop/api", "Service shop/api", "ConfigMap shop/one", "ConfigMap shop/two"


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Any]:
    with shop_stage(tmp_path) as made:
        yield made


def changed(stage: Any, bad: PushCommit) -> str:
    return str(stage.repo.git.out("diff", "--unified=0", bad.parent, bad.sha))


class TestBadCommits:
    def test_a_bad_image_changes_that_line_and_no_other(self, stage: Any) -> None:
        bad = bad_image(stage, API)
        bad.inject()
        lines = [line for line in changed(stage, bad).splitlines() if line[0] in "+-" and line[1] not in "+-"]
        assert lines == ["-          image: shop:1", f"+          image: {ABSENT_IMAGE}"]
        assert (bad.touches, bad.confirm().state) == ((API,), State.MET)

    def test_an_invalid_manifest_is_one_that_only_the_api_refuses(self, stage: Any) -> None:
        bad = invalid_manifest(stage, FRONT)
        bad.inject()
        assert f"+    - port: {NO_PORT}" in changed(stage, bad)
        assert bad.touches == (FRONT,)

    def test_an_immutable_change_is_right_in_itself(self, stage: Any) -> None:
        immutable_change(stage, API).inject()
        spec = next(o for o in stage.desired() if str(o.ref) == API).manifest["spec"]
        assert spec["selector"]["matchLabels"] == {"app": "api", "part": "renamed"}
        assert spec["template"]["metadata"]["labels"] == {"app": "api", "part": "renamed"}

    def test_a_deletion_removes_the_manifests(self, stage: Any) -> None:
        bad = deletion(stage, API, FRONT)
        bad.inject()
        assert [str(o.ref) for o in stage.desired()] == [ONE, TWO]
        assert sorted(bad.touches) == [API, FRONT]

    def test_a_file_of_several_objects_goes_if_all_of_them_are_named(self, stage: Any) -> None:
        deletion(stage, ONE, TWO).inject()
        assert "apps/shop/both.yaml" not in stage.repo.files()

    @pytest.mark.parametrize(
        ("make", "said"),
        [
            (lambda s: bad_image(s, "Deployment shop/web"), "an object in Git.*'Deployment shop/web'"),
            (lambda s: bad_image(s, "shop/api"), "an object in Git"),
            (lambda s: bad_image(s, FRONT), "containers"),
            (lambda s: bad_image(s, API, "shop:1"), "shop:1"),
            (lambda s: invalid_manifest(s, API), "ports"),
            (lambda s: immutable_change(s, FRONT), "a workload with a selector"),
            (lambda s: immutable_change(s, API, "front"), "front"),
            (lambda s: deletion(s), "at least one object to delete"),
            (lambda s: deletion(s, ONE), "nothing but ConfigMap shop/one; found ConfigMap shop/two"),
        ],
        ids=[
            "no object",
            "no kind",
            "no image",
            "that image",
            "no port",
            "no selector",
            "that label",
            "none",
            "shared",
        ],
    )
    def test_nonsense_is_refused_before_anything_is_pushed(self, stage: Any, make: Any, said: str) -> None:
        head = stage.repo.head
        with pytest.raises(ConfigError, match=said):
            make(stage)
        assert stage.repo.head == head


class TestRevertCommit:
    def test_it_is_pushed_and_the_tree_is_that_of_before(self, stage: Any) -> None:
        bad = bad_image(stage, API)
        bad.inject()
        revert = RevertCommit(bad)
        done = revert.inject()
        assert done.what.endswith("the tree is that of before")
        assert done.detail is not None
        assert done.detail["tree"] == done.detail["tree_before"]
        assert (done.detail["reverts"], done.detail["parent"]) == (bad.sha, bad.sha)
        assert stage.repo.read("apps/shop/api.yaml") == FILES["apps/shop/api.yaml"]
        assert (revert.sha, revert.confirm().state) == (stage.repo.head, State.MET)

    def test_it_touches_what_the_bad_commit_touched(self, stage: Any) -> None:
        bad = deletion(stage, API, FRONT)
        bad.inject()
        revert = RevertCommit(bad)
        assert sorted(revert.touches) == [API, FRONT]
        revert.inject()
        assert sorted(revert.touches) == [API, FRONT]
        assert (revert.subject, revert.blast_radius) == ("RevertCommit(delete api, api)", BlastRadius.NAMESPACE)

    def test_with_another_commit_beside_it_the_tree_is_not_that_of_before(self, stage: Any) -> None:
        bad = bad_image(stage, API)
        bad.inject()
        stage.repo.commit({"README.md": "hello\n"}, "meanwhile")
        assert RevertCommit(bad).inject().what.endswith("the tree is not that of before")

    def test_a_commit_that_was_not_pushed_cannot_be_reverted(self, stage: Any) -> None:
        with pytest.raises(InjectFailed, match="expected a commit that was pushed"):
            RevertCommit(bad_image(stage, API)).inject()

    def test_a_conflict_is_told(self, stage: Any) -> None:
        bad = bad_image(stage, API)
        bad.inject()
        text = stage.repo.read("apps/shop/api.yaml").replace(ABSENT_IMAGE, "shop:2")
        stage.repo.commit({"apps/shop/api.yaml": text}, "forward")
        with pytest.raises(InjectFailed, match="could not be reverted"):
            RevertCommit(bad).inject()

    def test_it_is_pending_while_the_served_branch_is_elsewhere_or_nothing_answers(self, stage: Any) -> None:
        bad = bad_image(stage, API)
        bad.inject()
        revert = RevertCommit(bad)
        revert.inject()
        stage.repo.commit({"README.md": "hello\n"}, "meanwhile")
        assert revert.confirm().state is State.PENDING
        stage.repo.stop_serving()
        assert revert.confirm().state is State.PENDING

    def test_the_bad_commit_has_nothing_left_to_heal(self, stage: Any) -> None:
        bad = bad_image(stage, API)
        bad.inject()
        RevertCommit(bad).inject()
        head = stage.repo.head
        bad.heal()
        assert stage.repo.head == head
