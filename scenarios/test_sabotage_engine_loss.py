"""The twins of the engine's losses: each story again on a system that must break its promise."""

from __future__ import annotations

import pytest
import test_engine_loss

from harness import SECOND, CutFromGit, Drill, ForgetRoots, HoldDown, Platform, RestartBystander, poll_bound

pytestmark = pytest.mark.engine_loss

AWAITED = "what was waited for came"


@pytest.mark.drill(blast_radius="namespace", twin_of="test_controller_killed_in_the_middle_of_a_sync")
def test_controller_that_does_not_come_back(drill: Drill, platform: Platform) -> None:
    """With the controller held down after its death the interrupted sync never ends, and the drill names it."""
    down = HoldDown(platform, "application-controller")
    with drill.sabotage(down, expect=AWAITED, naming=down.names, patience=15 * SECOND):
        test_engine_loss.test_controller_killed_in_the_middle_of_a_sync(drill, platform)


@pytest.mark.drill(blast_radius="namespace", twin_of="test_repo_server_killed_in_the_middle_of_a_sync")
def test_repo_server_that_does_not_come_back(drill: Drill, platform: Platform) -> None:
    """With the repo-server held down after its death the interrupted sync never ends, and the drill names it."""
    down = HoldDown(platform, "repo-server")
    with drill.sabotage(down, expect=AWAITED, naming=down.names, patience=15 * SECOND):
        test_engine_loss.test_repo_server_killed_in_the_middle_of_a_sync(drill, platform)


@pytest.mark.drill(blast_radius="namespace", twin_of="test_redis_killed_in_the_middle_of_a_sync")
def test_redis_that_does_not_come_back(drill: Drill, platform: Platform) -> None:
    """With the cache held down after its death Argo CD is not whole, though the sync ends, and the drill names it."""
    down = HoldDown(platform, "redis")
    with drill.sabotage(down, expect=AWAITED, naming=down.names, patience=15 * SECOND):
        test_engine_loss.test_redis_killed_in_the_middle_of_a_sync(drill, platform)


@pytest.mark.drill(blast_radius="cluster", twin_of="test_lost_engine_comes_back_without_touching_workloads")
def test_lost_engine_that_takes_a_bystander_along(drill: Drill, platform: Platform) -> None:
    """With a workload restarted while the engine was away, the drill names the Pod that was harmed."""
    harmed = RestartBystander(platform, "cortex-security/policy-scanner")
    with drill.sabotage(harmed, expect="nothing outside the blast radius was harmed", naming=harmed.names):
        test_engine_loss.test_lost_engine_comes_back_without_touching_workloads(drill, platform)


@pytest.mark.drill(blast_radius="cluster", twin_of="test_lost_engine_comes_back_without_touching_workloads")
def test_lost_engine_that_is_told_to_follow_nothing(drill: Drill, platform: Platform) -> None:
    """With the root objects forgotten, Argo CD is back but follows nothing, and the drill says what is missing."""
    with drill.sabotage(ForgetRoots(platform), expect=AWAITED, naming="Application is missing", patience=15 * SECOND):
        test_engine_loss.test_lost_engine_comes_back_without_touching_workloads(drill, platform)


@pytest.mark.drill(blast_radius="namespace", twin_of="test_git_server_down_while_the_cluster_drifts")
def test_git_server_that_does_not_return(drill: Drill, platform: Platform) -> None:
    """With the cluster cut off from Git for good, drift stays, and the drill says so."""
    looked = poll_bound(platform) + 15 * SECOND  # by then an honest Argo CD has looked at Git again
    with drill.sabotage(CutFromGit(platform), expect=AWAITED, naming="spec.replicas 2", patience=looked):
        test_engine_loss.test_git_server_down_while_the_cluster_drifts(drill, platform)
