"""The Git server that is down, and what is committed meanwhile: real Git, served on loopback."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.core.errors import ConfigError, HealFailed, InjectFailed, ProvisionFailed
from harness.core.faults import BlastRadius, Reversible
from harness.core.observation import State
from harness.faults.git_server import CommitUnserved, StopGitServer
from harness.gitops.edit import Edit
from tests.gitstage import GitStage

SCALE = Edit("apps/shop/api.yaml", "spec.replicas", 3)


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[GitStage]:
    made = GitStage(folder=tmp_path)
    yield made
    made.repo.close()


def stop(stage: GitStage) -> StopGitServer:
    return StopGitServer(stage)  # type: ignore[arg-type]


def unserved(stage: GitStage) -> CommitUnserved:
    return CommitUnserved(stage, SCALE, "while Git is down")  # type: ignore[arg-type]


def test_an_outage_refuses_connections_and_ends_at_the_same_address(stage: GitStage) -> None:
    fault, url = stop(stage), stage.repo.url
    assert isinstance(fault, Reversible)
    assert (fault.touches, fault.blast_radius) == ((), BlastRadius.NAMESPACE)
    assert fault.confirm().state is State.PENDING
    done = fault.inject()
    assert done.what == f"{url} refuses connections"
    assert fault.begun == stage.clock.utc()
    answer = fault.confirm()
    assert answer.state is State.MET
    assert "unable to access" in answer.actual
    fault.heal()
    assert stage.repo.url == url
    assert fault.confirm().actual == "it answers"


def test_what_is_down_already_cannot_go_down(stage: GitStage) -> None:
    stop(stage).inject()
    with pytest.raises(InjectFailed, match="is down already"):
        stop(stage).inject()


def test_a_server_that_cannot_come_back_is_not_healed(stage: GitStage, monkeypatch: pytest.MonkeyPatch) -> None:
    def taken() -> None:
        raise ProvisionFailed("the Git server could not come back: the port is taken")

    fault = stop(stage)
    fault.inject()
    monkeypatch.setattr(stage.repo, "resume", taken)
    with pytest.raises(HealFailed, match="the port is taken"):
        fault.heal()


def test_a_server_that_is_up_but_silent_is_not_healed(stage: GitStage, monkeypatch: pytest.MonkeyPatch) -> None:
    fault = stop(stage)
    fault.inject()
    monkeypatch.setattr(stage.repo, "resume", lambda: None)
    with pytest.raises(HealFailed, match="up but does not answer: fatal: unable to access"):
        fault.heal()


def test_a_commit_lands_in_the_repository_though_nobody_can_fetch_it(stage: GitStage) -> None:
    stop(stage).inject()
    fault = unserved(stage)
    fault.inject()
    assert fault.sha == stage.repo.head
    assert fault.touches == ("Deployment shop/api",)
    assert fault.subject == "CommitUnserved(while Git is down)"
    answer = fault.confirm()
    assert answer.state is State.MET
    assert answer.actual.startswith(f"main at {fault.sha[:10]}, the Git server is silent: fatal")


def test_with_a_server_that_is_up_it_is_an_ordinary_commit(stage: GitStage) -> None:
    before = stage.repo.head
    with pytest.raises(InjectFailed, match="the Git server is up: push an ordinary commit instead"):
        unserved(stage).inject()
    assert stage.repo.head == before


def test_a_server_that_answers_after_all_breaks_the_claim(stage: GitStage) -> None:
    outage, fault = stop(stage), unserved(stage)
    outage.inject()
    fault.inject()
    outage.heal()
    assert (fault.confirm().state, fault.confirm().actual[-7:]) == (State.BROKEN, "answers")


def test_it_is_reverted_by_its_heal(stage: GitStage) -> None:
    tree = stage.repo.git.out("rev-parse", "HEAD^{tree}")
    outage, fault = stop(stage), unserved(stage)
    outage.inject()
    fault.inject()
    outage.heal()
    fault.heal()
    assert stage.repo.git.out("rev-parse", "HEAD^{tree}") == tree


def test_nonsense_is_refused_when_it_is_written_down(stage: GitStage) -> None:
    with pytest.raises(ConfigError, match=r"a file apps/web/api\.yaml"):
        CommitUnserved(stage, Edit("apps/web/api.yaml", "spec.replicas", 3), "x")  # type: ignore[arg-type]
