"""Rollback: what a bad commit broke, `git revert` brings back."""

from __future__ import annotations

import pytest

from harness import (
    MILLISECOND,
    SECOND,
    Drill,
    Edit,
    Ledger,
    Platform,
    PushCommit,
    RevertCommit,
    apply_failed,
    apply_was_refused,
    arrived,
    bad_image,
    converged,
    data_loss_within,
    deletion,
    deletion_was_undone,
    immutable_change,
    invalid_manifest,
    live_was_left_alone,
    nothing_was_replaced,
    pod_fails,
    pruned,
    recovered_within,
    seen,
    state,
    state_is_as_before,
    synced,
    volumes_outlived_it,
)

pytestmark = pytest.mark.rollback

OBJECTIVE = 90 * SECOND  # from the push of the revert to the earlier state, converged
PATIENCE = 2 * OBJECTIVE
CICD, SECURITY = "cortex-cicd", "cortex-security"
RECEIVER = "Deployment cortex-cicd/webhook-receiver"
FRONT = "Service cortex-cicd/webhook-receiver"
LEDGER, ROWS = "cortex-security/audit-log", 20
AUDIT_LOG = ("StatefulSet cortex-security/audit-log", "Service cortex-security/audit-log")
LOUDER = Edit("apps/cortex-cicd/webhook-receiver-configmap.yaml", "data.LOG_LEVEL", "debug")
NO_PORT = Edit("apps/cortex-cicd/webhook-receiver-service.yaml", "spec.ports.0.port", 70000)


@pytest.mark.smoke
@pytest.mark.drill(blast_radius="namespace", objective=OBJECTIVE)
def test_bad_image_is_reverted(drill: Drill, platform: Platform) -> None:
    """A release whose image does not exist is taken back by `git revert`: 90 s after its push all is as before."""
    drill.require(converged(platform))
    drill.observe(state(platform, CICD))

    with drill.fault(bad_image(platform, RECEIVER)) as bad:
        drill.until(seen(platform, CICD, bad.sha), within=PATIENCE)
        drill.until(pod_fails(platform, RECEIVER), within=PATIENCE)
        _revert(drill, platform, bad, CICD)
    drill.observe(state(platform, CICD))

    drill.conclude(recovered_within(OBJECTIVE, since="RevertCommit"), state_is_as_before(), nothing_was_replaced())


@pytest.mark.drill(blast_radius="namespace", objective=OBJECTIVE)
def test_invalid_manifest_is_reverted(drill: Drill, platform: Platform) -> None:
    """A manifest that the API refuses harms nothing that runs, and is taken back within 90 s."""
    drill.require(converged(platform))
    drill.observe(state(platform, CICD))

    with drill.fault(invalid_manifest(platform, FRONT)) as bad:
        drill.until(seen(platform, CICD, bad.sha), within=PATIENCE)
        drill.until(apply_failed(bad, CICD), within=PATIENCE)
        drill.observe(state(platform, CICD))
        _revert(drill, platform, bad, CICD)
    drill.observe(state(platform, CICD))

    drill.conclude(
        apply_was_refused(saying="Invalid value: 70000"), live_was_left_alone(),
        recovered_within(OBJECTIVE, since="RevertCommit"), state_is_as_before(), nothing_was_replaced(),
    )  # fmt: skip


@pytest.mark.drill(blast_radius="namespace", objective=OBJECTIVE)
def test_immutable_change_is_reverted(drill: Drill, platform: Platform) -> None:
    """A change of what cannot be changed (a selector) leaves the live object alone; taken back, it is the same one."""
    drill.require(converged(platform))
    drill.observe(state(platform, CICD))

    with drill.fault(immutable_change(platform, RECEIVER)) as bad:
        drill.until(seen(platform, CICD, bad.sha), within=PATIENCE)
        drill.until(apply_failed(bad, CICD), within=PATIENCE)
        drill.observe(state(platform, CICD))
        _revert(drill, platform, bad, CICD)
    drill.observe(state(platform, CICD))

    drill.conclude(
        apply_was_refused(saying="field is immutable"), live_was_left_alone(),
        recovered_within(OBJECTIVE, since="RevertCommit"), state_is_as_before(), nothing_was_replaced(),
    )  # fmt: skip


@pytest.mark.drill(blast_radius="namespace", objective=OBJECTIVE)
def test_deletion_is_reverted(drill: Drill, platform: Platform) -> None:
    """A database deleted by a commit is back 90 s after the revert, on the volume it had; what is not is told."""
    drill.require(converged(platform))
    ledger = Ledger(platform, LEDGER)
    with ledger.writing():
        drill.require(ledger.acknowledged(at_least=ROWS))
    drill.observe(state(platform, SECURITY))

    with drill.fault(deletion(platform, *AUDIT_LOG)) as bad:
        drill.until(seen(platform, SECURITY, bad.sha), within=PATIENCE)
        drill.until(pruned(bad), within=PATIENCE)
        drill.until(arrived(platform, SECURITY), within=PATIENCE)
        drill.observe(state(platform, SECURITY))
        _revert(drill, platform, bad, SECURITY)
    drill.observe(state(platform, SECURITY), ledger.contents())

    drill.conclude(
        deletion_was_undone(), volumes_outlived_it(), data_loss_within(100 * MILLISECOND),
        recovered_within(OBJECTIVE, since="RevertCommit"), state_is_as_before(),
    )  # fmt: skip


@pytest.mark.drill(blast_radius="namespace", objective=OBJECTIVE)
def test_revert_gets_through_while_the_bad_commit_is_retried(drill: Drill, platform: Platform) -> None:
    """A commit of which half was applied, and whose sync is being retried, is taken back within 90 s all the same."""
    drill.require(converged(platform))
    drill.observe(state(platform, CICD))

    with drill.fault(PushCommit(platform, (LOUDER, NO_PORT), "half a change")) as bad:
        drill.until(seen(platform, CICD, bad.sha), within=PATIENCE)
        drill.until(apply_failed(bad, CICD, attempts=2), within=PATIENCE)
        _revert(drill, platform, bad, CICD)
    drill.observe(state(platform, CICD))

    drill.conclude(recovered_within(OBJECTIVE, since="RevertCommit"), state_is_as_before(), nothing_was_replaced())


def _revert(drill: Drill, platform: Platform, bad: PushCommit, application: str) -> None:
    """Pushed, seen, synced, healthy: each is a wait of its own."""
    revert = drill.inject(RevertCommit(bad))
    drill.until(seen(platform, application, revert.sha), within=PATIENCE)
    drill.until(synced(revert, application), within=PATIENCE)
    drill.until(arrived(platform, application), within=PATIENCE)
    drill.until(converged(platform), within=PATIENCE, settle=3 * SECOND)
