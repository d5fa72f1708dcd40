"""Losing Argo CD itself: its parts in the middle of their work, all of it, and the Git server that it reads."""

from __future__ import annotations

import pytest

from harness import (
    MINUTE,
    SECOND,
    CommitUnserved,
    Drill,
    Edit,
    Engine,
    KillEngine,
    LoseEngine,
    Platform,
    PushCommit,
    RevertCommit,
    ScaleDeployment,
    StopGitServer,
    arrived_within,
    converged,
    engine_ready,
    everything_came_back,
    git_missed,
    healed,
    inventory,
    recovered_within,
    release,
    seen,
    statuses,
    syncing,
    work_done,
    work_done_once,
)

pytestmark = pytest.mark.engine_loss

RESUMED = 2 * MINUTE  # from the death of a component to the sync it interrupted being complete
REBOOTSTRAPPED = 5 * MINUTE  # from the loss of the namespace to everything followed again
SELF_HEAL = 3 * MINUTE  # the account promises three minutes, and makes no exception for a Git server that is down
NOTICED = 10 * MINUTE  # Argo CD polls every two to five minutes, where nothing tells it to
ARRIVED = 5 * MINUTE  # from the return of Git to what drifted or was committed meanwhile: a poll at most, and a sync
TARGET, SETTING = "cortex-chat/chat-api", "apps/cortex-chat/chat-api-configmap.yaml"
ROLLED_OUT, MIGRATION = "Deployment cortex-chat/chat-api", "Job cortex-chat/chat-api-migration"


@pytest.mark.smoke
@pytest.mark.drill(blast_radius="namespace", objective=RESUMED)
def test_controller_killed_in_the_middle_of_a_sync(drill: Drill, platform: Platform) -> None:
    """A sync whose controller is killed in the middle goes on when it is back, and does nothing twice."""
    killed_in_the_middle_of_a_sync(drill, platform, "application-controller", "1.5.1")


@pytest.mark.drill(blast_radius="namespace", objective=RESUMED)
def test_repo_server_killed_in_the_middle_of_a_sync(drill: Drill, platform: Platform) -> None:
    """A sync during which the repo-server is killed comes to its end, and does nothing twice."""
    killed_in_the_middle_of_a_sync(drill, platform, "repo-server", "1.5.2")


@pytest.mark.drill(blast_radius="namespace", objective=RESUMED)
def test_redis_killed_in_the_middle_of_a_sync(drill: Drill, platform: Platform) -> None:
    """A sync during which Argo CD's cache is lost comes to its end, and does nothing twice."""
    killed_in_the_middle_of_a_sync(drill, platform, "redis", "1.5.3")


def killed_in_the_middle_of_a_sync(drill: Drill, platform: Platform, component: str, version: str) -> None:
    """The story of all three: a release with a migration, and a part of Argo CD that dies while it runs."""
    drill.require(converged(platform), engine_ready(platform))
    new = release(platform, TARGET, version)
    work = work_done(platform, new.migration)
    drill.observe(work)

    with drill.fault(new.commit) as push:
        drill.until(seen(platform, new.application, push.sha), within=MINUTE)
        drill.until(syncing(platform, new.application), within=MINUTE)
        drill.inject(KillEngine(platform, component, during=new.application))
        drill.until(engine_ready(platform), converged(platform), within=3 * RESUMED, settle=3 * SECOND)
        drill.observe(work)
    drill.until(converged(platform), within=2 * MINUTE)

    drill.conclude(
        recovered_within(RESUMED, when="argocd ready", since="KillEngine"),
        work_done_once(ROLLED_OUT, jobs=(MIGRATION,)),
    )


@pytest.mark.smoke
@pytest.mark.drill(blast_radius="cluster", objective=REBOOTSTRAPPED)
def test_lost_engine_comes_back_without_touching_workloads(drill: Drill, platform: Platform) -> None:
    """Argo CD lost with its namespace and its CRDs is bootstrapped from Git, and no workload notices."""
    drill.require(converged(platform), engine_ready(platform))
    drill.observe(inventory(platform))

    drill.inject(LoseEngine(platform, definitions=True))
    drill.rebuild(Engine(platform))
    drill.until(converged(platform), engine_ready(platform), within=2 * REBOOTSTRAPPED, settle=3 * SECOND)
    drill.observe(inventory(platform))

    drill.conclude(recovered_within(REBOOTSTRAPPED), everything_came_back(at_least=platform.promised))


@pytest.mark.smoke
@pytest.mark.drill(blast_radius="namespace", objective=ARRIVED)
def test_git_server_down_while_the_cluster_drifts(drill: Drill, platform: Platform) -> None:
    """Drift is healed while Git is down until Argo CD misses it; later drift, and commits, when it is back."""
    drill.require(converged(platform), engine_ready(platform))

    last = drill.inject(PushCommit(platform, {}, "the last commit before the outage"))
    drill.until(seen(platform, "cortex-chat", last.sha), within=MINUTE)
    with drill.fault(StopGitServer(platform)) as outage:
        early = drill.inject(ScaleDeployment(platform, TARGET, replicas=4))
        drill.until(healed(early), within=SELF_HEAL + MINUTE)
        drill.until(git_missed(outage, "cortex-dev"), within=NOTICED)
        late = drill.inject(ScaleDeployment(platform, "cortex-dev/dev-portal", replicas=2))
        unserved = drill.inject(CommitUnserved(platform, Edit(SETTING, "data.LOG_LEVEL", "debug"), "while Git is down"))
        drill.observe(statuses(platform))
    drill.until(healed(late), within=3 * ARRIVED)
    drill.until(converged(platform), within=3 * ARRIVED, settle=3 * SECOND)
    drill.observe(statuses(platform))
    drill.inject(RevertCommit(unserved.push))
    drill.until(converged(platform), within=2 * MINUTE)

    drill.conclude(
        recovered_within(SELF_HEAL, when=f"healed({early.ref})", since=early.subject),
        arrived_within(ARRIVED, when=f"healed({late.ref})", after="StopGitServer"),
        arrived_within(ARRIVED, when="converged", after="StopGitServer"),
    )
