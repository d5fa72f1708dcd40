"""What makes a revert not bring back what was there: that it does its harm, when, and that it is undone."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from harness.core.errors import ConfigError, InjectFailed
from harness.core.objects import dig
from harness.faults import sabotage_rollback
from harness.faults.sabotage_rollback import AutoSyncOff, CommitOnTop, DeletedByHand, LabelledByHand
from harness.gitops.edit import Edit
from tests.shopstage import application, shop_stage

API, CONFIG, CLAIM = "Deployment shop/api", "ConfigMap shop/one", "PersistentVolumeClaim shop/data-0"
LOUDER = Edit("apps/shop/both.yaml", "data.level", "debug", of="ConfigMap one")


@pytest.fixture
def stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A shop that is live as in Git; `settled` counts how often somebody waited for it to be so again."""
    with shop_stage(tmp_path) as made:
        for obj in made.desired():
            metadata = {**obj.manifest["metadata"], "uid": "u", "resourceVersion": "1"}
            made.put({**obj.manifest, "metadata": metadata})
        made.settled = 0

        def settle(platform: Any) -> None:
            platform.settled += 1

        monkeypatch.setattr(sabotage_rollback, "settle", settle)
        monkeypatch.setattr("harness.faults.sabotage_git.settle", settle)
        yield made


def strike(sabotage: Any, injections: int = 1) -> None:
    sabotage.begin()
    for _ in range(injections):
        sabotage.after_injection()


class TestWhen:
    def test_after_the_first_injection_and_only_then(self, stage: Any) -> None:
        label = LabelledByHand(stage, CONFIG)
        label.begin()
        assert stage.api.patches == []
        strike(label, injections=3)
        assert len(stage.api.patches) == 1

    def test_or_after_the_revert(self, stage: Any) -> None:
        label = LabelledByHand(stage, CONFIG, after_revert=True)
        strike(label)
        assert stage.api.patches == []
        label.after_injection()
        assert len(stage.api.patches) == 1


class TestCommitOnTop:
    def test_it_waits_until_the_bad_commit_was_seen(self, stage: Any) -> None:
        bad = stage.repo.head
        beside = CommitOnTop(stage, LOUDER, "shop")
        with pytest.raises(InjectFailed, match="the sabotage had no effect"):
            strike(beside)
        assert stage.repo.head == bad

        stage.view.event(application(bad))
        strike(beside)
        assert (stage.repo.head, "level: debug" in stage.repo.read(LOUDER.file)) == (beside.sha, True)

    def test_it_is_reverted(self, stage: Any) -> None:
        before = stage.repo.read(LOUDER.file)
        stage.view.event(application(stage.repo.head))
        beside = CommitOnTop(stage, LOUDER, "shop")
        beside.end()  # of nothing
        strike(beside)
        beside.end()
        assert (stage.repo.read(LOUDER.file), stage.settled) == (before, 1)


class TestLabelledByHand:
    def test_the_label_comes_and_goes(self, stage: Any) -> None:
        label = LabelledByHand(stage, CONFIG)
        strike(label)
        live = next(o for o in stage.api.objects if o["metadata"]["name"] == "one")
        assert live["metadata"]["labels"] == {"drill.example/by-hand": "yes"}
        label.end()
        assert live["metadata"]["labels"] == {}

    def test_an_object_that_is_not_in_git(self, stage: Any) -> None:
        with pytest.raises(ConfigError, match="an object in Git"):
            strike(LabelledByHand(stage, "ConfigMap shop/none"))


class TestDeletedByHand:
    def test_the_live_object_is_gone_and_git_is_left_alone(self, stage: Any) -> None:
        head = stage.repo.head
        deleted = DeletedByHand(stage, API)
        strike(deleted)
        assert [d["name"] for d in stage.api.deletions] == ["api"]
        deleted.end()
        assert (stage.repo.head, stage.settled) == (head, 1)

    def test_a_claim_is_in_no_repository(self, stage: Any) -> None:
        claim = {
            "apiVersion": "v1",
            "kind": "PersistentVolumeClaim",
            "metadata": {"namespace": "shop", "name": "data-0"},
        }
        stage.put(claim)
        strike(DeletedByHand(stage, CLAIM))
        assert [d["name"] for d in stage.api.deletions] == ["data-0"]


class TestAutoSyncOff:
    def live(self, stage: Any, phase: str) -> dict[str, Any]:
        app = application(stage.repo.head, "OutOfSync", {"phase": phase})
        app["spec"] = {"syncPolicy": {"automated": {"prune": True, "selfHeal": True}}}
        app["metadata"]["annotations"] = {}
        stage.put(app)
        return app

    def test_automation_is_off_and_the_sync_that_is_retried_is_ended(self, stage: Any) -> None:
        app = self.live(stage, "Running")
        off = AutoSyncOff(stage, "shop", after_revert=True)
        patch = stage.api.patch

        def controller(*args: Any, **how: Any) -> Any:
            done = patch(*args, **how)
            if dig(app, "status", "operationState", "phase") == "Terminating":
                app["status"]["operationState"]["phase"] = "Failed"
            return done

        stage.api.patch = controller
        strike(off)
        assert dig(app, "spec", "syncPolicy", "automated") == {"prune": True, "selfHeal": True}
        off.after_injection()
        assert dig(app, "spec", "syncPolicy", "automated") == {"prune": True, "selfHeal": True, "enabled": False}
        assert dig(app, "status", "operationState", "phase") == "Failed"

        off.end()
        assert dig(app, "spec", "syncPolicy", "automated") == {"prune": True, "selfHeal": True}
        assert stage.settled == 1

    def test_a_sync_that_does_not_end_is_no_sabotage(self, stage: Any) -> None:
        self.live(stage, "Running")
        with pytest.raises(InjectFailed, match="no sync of shop under way"):
            strike(AutoSyncOff(stage, "shop"))

    def test_without_a_sync_there_is_nothing_to_end(self, stage: Any) -> None:
        self.live(stage, "Succeeded")
        strike(AutoSyncOff(stage, "shop"))
        assert all("status" not in p["body"] for p in stage.api.patches)
