"""Sabotages: what they break, when, and that it is mended before anybody else comes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest

from harness.core.errors import ConfigError, HealFailed, ProvisionFailed
from harness.core.objects import Ref
from harness.core.observation import State
from harness.faults import settling
from harness.faults.sabotage import LoseManifest, SelfHealOff
from harness.testing import FakeProbe
from tests.stage import Stage, desired
from tests.worlds import NOW


@dataclass
class Saboteurs(Stage):
    """A stage whose engine and repository keep a diary."""

    diary: list[Any] = field(default_factory=list)

    @property
    def engine(self) -> Saboteurs:
        if not self.alive:
            raise ProvisionFailed("no GitOps engine")
        return self

    @property
    def repo(self) -> Saboteurs:
        return self

    def set_self_heal(self, application: str, on: bool) -> None:
        self.diary.append((application, on))

    def commit(self, changes: dict[str, None], message: str) -> str:
        self.diary.append(("commit", changes, message))
        return "cafe"

    def revert(self, commit: str) -> None:
        self.diary.append(("revert", commit))


@pytest.fixture
def stage(monkeypatch: pytest.MonkeyPatch) -> Saboteurs:
    made = Saboteurs(wanted=(desired(Ref("", "Service", "shop", "api"), "apps/api.yaml"),))
    # Convergence has tests of its own; here only what is made of its answer counts.
    monkeypatch.setattr(settling, "converged", lambda stage: FakeProbe(stage.clock, [(NOW, State.MET)]))
    return made


def never_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settling, "converged", lambda stage: FakeProbe(stage.clock, [(NOW, State.BROKEN)]))


def test_self_heal_is_off_from_the_beginning_and_on_at_the_end(stage: Saboteurs) -> None:
    done = SelfHealOff(stage, "shop")  # type: ignore[arg-type]
    done.begin()
    assert stage.diary == [("shop", False)]
    done.after_injection()
    done.end()
    assert stage.diary == [("shop", False), ("shop", True)]
    assert stage.tainted == ""


def test_a_manifest_is_lost_only_after_the_fault_and_comes_back(stage: Saboteurs) -> None:
    done = LoseManifest(stage, "apps/api.yaml")  # type: ignore[arg-type]
    done.begin()
    assert stage.diary == []
    done.after_injection()
    assert stage.diary == [("commit", {"apps/api.yaml": None}, "lose apps/api.yaml")]
    done.end()
    assert stage.diary[-1] == ("revert", "cafe")


def test_it_names_the_object_that_must_be_missed(stage: Saboteurs) -> None:
    assert LoseManifest(stage, "apps/api.yaml").names == "Service shop/api"  # type: ignore[arg-type]


def test_a_manifest_that_is_not_there_cannot_be_lost(stage: Saboteurs) -> None:
    with pytest.raises(ConfigError, match=r"a manifest at apps/web\.yaml in the repository; found none"):
        LoseManifest(stage, "apps/web.yaml")  # type: ignore[arg-type]


def test_what_was_never_lost_is_not_brought_back(stage: Saboteurs) -> None:
    LoseManifest(stage, "apps/api.yaml").end()  # type: ignore[arg-type]
    assert stage.diary == []


def test_a_manifest_comes_back_to_git_also_without_a_cluster(stage: Saboteurs, monkeypatch: pytest.MonkeyPatch) -> None:
    never_again(monkeypatch)
    done = LoseManifest(stage, "apps/api.yaml")  # type: ignore[arg-type]
    done.after_injection()
    stage.alive = False
    done.end()
    assert stage.diary[-1] == ("revert", "cafe")
    assert stage.tainted == ""


@pytest.mark.parametrize("which", ["self-heal", "manifest"])
def test_a_cluster_that_does_not_settle_again_is_tainted(
    stage: Saboteurs, monkeypatch: pytest.MonkeyPatch, which: str
) -> None:
    never_again(monkeypatch)
    done = SelfHealOff(stage, "shop") if which == "self-heal" else LoseManifest(stage, "apps/api.yaml")  # type: ignore[arg-type]
    done.after_injection()
    with pytest.raises(HealFailed, match="after it was undone: BROKEN"):
        done.end()
    assert stage.tainted.startswith("after it was undone")


def test_without_a_cluster_self_heal_cannot_be_put_back_and_says_so(stage: Saboteurs) -> None:
    stage.alive = False
    with pytest.raises(ProvisionFailed, match="no GitOps engine"):
        SelfHealOff(stage, "shop").end()  # type: ignore[arg-type]
