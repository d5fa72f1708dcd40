"""Commit flow: what is pushed to Git arrives, what does not concern the cluster is left alone, what leaves Git goes."""

from __future__ import annotations

import pytest

from harness import (
    MINUTE,
    SECOND,
    Drill,
    Edit,
    Platform,
    PushCommit,
    arrived,
    converged,
    every_push_within,
    everything_kept_its_version,
    no_sync_was_started,
    only_what_left_git_was_pruned,
    poll_bound,
    pruned,
    recovered_within,
    refused,
    remove_everything,
    seen,
    syncs,
    versions,
)

pytestmark = pytest.mark.commit

REFRESHED = 60 * SECOND  # where a webhook asks for a refresh
PATIENCE = 6 * MINUTE
PUSHES = 4
COMPARING = 15 * SECOND  # what looking takes, once the time to look has come

APP = "cortex-chat"
DEPLOYMENT = "apps/cortex-chat/chat-api-deployment.yaml"  # two replicas
SETTINGS = "apps/cortex-chat/chat-api-configmap.yaml"
RETIRED = "apps/cortex-chat/chat-web-deployment.yaml"
VERSION = "spec.template.spec.containers.0.env.0.value"


@pytest.mark.smoke
@pytest.mark.drill(blast_radius="namespace", objective=REFRESHED)
def test_pushed_commit_converges(drill: Drill, platform: Platform) -> None:
    """A new version that is pushed to Git runs on both replicas within a minute, where a webhook asks for a refresh."""
    drill.require(converged(platform))

    with drill.fault(PushCommit(platform, Edit(DEPLOYMENT, VERSION, "1.4.3"), "chat-api 1.4.3")) as push:
        drill.until(seen(platform, APP, push.sha), within=PATIENCE)
        drill.until(arrived(platform, APP), within=PATIENCE)
        drill.until(converged(platform), within=PATIENCE, settle=3 * SECOND)

        drill.conclude(recovered_within(REFRESHED, when="arrived"), every_push_within(REFRESHED, when="seen"))


@pytest.mark.slow
@pytest.mark.drill(blast_radius="namespace")  # no objective: the settings bound it, and what it takes is measured
def test_pushed_commits_are_seen_by_polling_alone(drill: Drill, platform: Platform) -> None:
    """Without a webhook, every push is seen within what the polling interval allows; how long it takes is measured."""
    bound = poll_bound(platform)
    drill.require(converged(platform))

    for turn in range(PUSHES):
        change = Edit(SETTINGS, "data.LOG_LEVEL", f"level-{turn}")
        with drill.fault(PushCommit(platform, change, f"log level {turn}")) as push:
            drill.until(seen(platform, APP, push.sha, nudge=False), within=2 * bound)
            # From here a refresh does not matter: it only proves sooner that what was seen has arrived.
            drill.until(arrived(platform, APP), within=2 * bound)
            # The next push meets the polling at another moment.
            drill.hold(arrived(platform, APP), lasting=turn * bound / 12)

    drill.conclude(
        every_push_within(bound + COMPARING, when="seen"),
        every_push_within(bound + REFRESHED, when="arrived"),
    )


@pytest.mark.drill(blast_radius="namespace")
def test_commit_that_touches_nothing_changes_nothing(drill: Drill, platform: Platform) -> None:
    """A commit that concerns no object is seen and left at that: no sync, no write, the same objects as before."""
    before_and_after = versions(platform)
    drill.require(converged(platform))
    drill.observe(before_and_after)

    with drill.fault(PushCommit(platform, {"NOTES.md": "Nothing to deploy.\n"}, "notes")) as push:
        drill.until(seen(platform, APP, push.sha), within=PATIENCE)
        drill.until(converged(platform), within=PATIENCE)
        drill.hold(converged(platform), lasting=12 * SECOND)  # with the fast profile a poll lies in it
        drill.observe(before_and_after)

        drill.conclude(no_sync_was_started(), everything_kept_its_version())


@pytest.mark.drill(blast_radius="namespace", objective=REFRESHED)
def test_removed_manifest_is_pruned(drill: Drill, platform: Platform) -> None:
    """What leaves Git leaves the cluster, and nothing else does; put back into Git, it comes back."""
    drill.require(converged(platform))

    with drill.fault(PushCommit(platform, {RETIRED: None}, "retire chat-web")) as push:
        drill.until(seen(platform, APP, push.sha), within=PATIENCE)
        drill.until(pruned(push), within=PATIENCE)
        drill.until(converged(platform), within=PATIENCE)
        drill.observe(syncs(push, APP))
    drill.until(converged(platform), within=PATIENCE, settle=3 * SECOND)

    drill.conclude(recovered_within(REFRESHED, when="pruned"), only_what_left_git_was_pruned())


@pytest.mark.drill(blast_radius="namespace", objective=REFRESHED)
def test_removing_everything_is_refused(drill: Drill, platform: Platform) -> None:
    """A commit that would remove everything of an application is refused: nothing is deleted, and a revert ends it."""
    before_and_after = versions(platform)
    drill.require(converged(platform))
    drill.observe(before_and_after)

    with drill.fault(remove_everything(platform, "cortex-dev")) as push:
        drill.until(seen(platform, "cortex-dev", push.sha), within=PATIENCE)
        drill.until(refused(push, "cortex-dev"), within=PATIENCE)
        drill.hold(refused(push, "cortex-dev"), lasting=12 * SECOND)
        drill.observe(before_and_after)
    drill.until(converged(platform), within=PATIENCE, settle=3 * SECOND)

    drill.conclude(recovered_within(REFRESHED, when="refused"), everything_kept_its_version(), no_sync_was_started())
