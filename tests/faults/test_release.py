"""A release whose sync lasts: what it commits, and what cannot be released."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from harness.core.clock import SECOND
from harness.core.errors import ConfigError
from harness.core.objects import Ref
from harness.faults.release import Release, release
from tests.gitstage import API, GitStage

VERSIONED = """\
apiVersion: apps/v1
kind: Deployment
metadata: {name: api}  # keep this comment
spec:
  template:
    spec:
      containers:
        - name: api
          image: sample:1
          env:
            - {name: LEVEL, value: info}
            - {name: VERSION, value: "1.4.2"}
"""


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[GitStage]:
    made = GitStage(folder=tmp_path)
    yield made
    made.repo.close()


def released(stage: GitStage, target: str = "shop/api", version: str = "1.5.0") -> Release:
    return release(stage, target, version, lasting=7 * SECOND)  # type: ignore[arg-type]


def test_a_version_changes_after_a_migration_that_takes_its_time(stage: GitStage) -> None:
    stage.repo.commit({"apps/shop/api.yaml": VERSIONED}, "a version to change")
    new = released(stage)
    assert (new.application, new.deployment) == ("shop", API)
    assert new.migration == Ref("batch", "Job", "shop", "api-migration")
    new.commit.inject()
    assert set(new.commit.touches) == {"Deployment shop/api", "Job shop/api-migration"}
    assert stage.repo.read("apps/shop/api.yaml") == VERSIONED.replace("1.4.2", "1.5.0")
    job = yaml.safe_load(stage.repo.read("apps/shop/api-migration.yaml"))
    assert job["metadata"]["annotations"] == {"argocd.argoproj.io/sync-wave": "-1"}, "before all else, and no hook"
    assert job["metadata"]["namespace"] == "shop"
    assert job["spec"]["template"]["spec"]["containers"][0]["args"] == ["job", "-sleep", "7s", "schema", "migrated"]


def test_it_is_undone_as_any_commit(stage: GitStage) -> None:
    stage.repo.commit({"apps/shop/api.yaml": VERSIONED}, "a version to change")
    tree = stage.repo.git.out("rev-parse", "HEAD^{tree}")
    new = released(stage)
    new.commit.inject()
    new.commit.heal()
    assert stage.repo.git.out("rev-parse", "HEAD^{tree}") == tree


def test_what_has_no_version_cannot_be_released(stage: GitStage) -> None:
    with pytest.raises(ConfigError, match="a variable VERSION in Deployment shop/api"):
        released(stage)


def test_what_is_not_in_git_cannot_be_released(stage: GitStage) -> None:
    with pytest.raises(ConfigError, match="a Deployment shop/web in Git; found none"):
        released(stage, "shop/web")


def test_the_version_it_has_already_is_no_release(stage: GitStage) -> None:
    stage.repo.commit({"apps/shop/api.yaml": VERSIONED}, "a version to change")
    with pytest.raises(ConfigError, match=r"another value at spec\.template.*found '1\.4\.2'"):
        released(stage, version="1.4.2")
