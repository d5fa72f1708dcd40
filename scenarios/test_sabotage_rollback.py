"""The twins of the rollbacks: each story again where the revert must not bring back what was there."""

from __future__ import annotations

import pytest
import test_rollback

from harness import (
    SECOND,
    AutoSyncOff,
    CommitOnTop,
    DeletedByHand,
    Drill,
    Edit,
    LabelledByHand,
    Platform,
)

pytestmark = pytest.mark.rollback

CICD = "cortex-cicd"
RECEIVER = "Deployment cortex-cicd/webhook-receiver"
SETTINGS = "ConfigMap cortex-cicd/webhook-receiver-config"
CLAIM = "PersistentVolumeClaim cortex-security/data-audit-log-0"
LEDGER = "cortex-security/audit-log"
QUIETER = Edit("apps/cortex-cicd/webhook-receiver-configmap.yaml", "data.LOG_LEVEL", "error")


@pytest.mark.drill(blast_radius="namespace", twin_of="test_bad_image_is_reverted")
def test_bad_image_with_another_commit_beside_it(drill: Drill, platform: Platform) -> None:
    """With another commit beside the bad one, its revert is not the state before, and the drill names the field."""
    beside = CommitOnTop(platform, QUIETER, CICD)
    with drill.sabotage(beside, expect="state equals the state before", naming=SETTINGS, patience=40 * SECOND):
        test_rollback.test_bad_image_is_reverted(drill, platform)


@pytest.mark.drill(blast_radius="namespace", twin_of="test_invalid_manifest_is_reverted")
def test_invalid_manifest_while_somebody_works_by_hand(drill: Drill, platform: Platform) -> None:
    """With a live object changed by hand while the commit is refused, the drill does not say that nothing changed."""
    by_hand = LabelledByHand(platform, SETTINGS)
    with drill.sabotage(by_hand, expect="the refused commit changed nothing live", naming=SETTINGS,
                        patience=60 * SECOND):  # fmt: skip
        test_rollback.test_invalid_manifest_is_reverted(drill, platform)


@pytest.mark.drill(blast_radius="namespace", twin_of="test_immutable_change_is_reverted")
def test_immutable_change_forced_by_deletion(drill: Drill, platform: Platform) -> None:
    """With the object deleted by hand to get its way, the drill sees that another one of that name came back."""
    deleted = DeletedByHand(platform, RECEIVER, after_revert=True)
    with drill.sabotage(deleted, expect="no object was replaced", naming=RECEIVER, patience=60 * SECOND):
        test_rollback.test_immutable_change_is_reverted(drill, platform)


@pytest.mark.drill(blast_radius="namespace", twin_of="test_deletion_is_reverted")
def test_deletion_that_took_the_volume_along(drill: Drill, platform: Platform) -> None:
    """With the volume's claim deleted as well, everything comes back but what was written, and the drill says so."""
    deleted = DeletedByHand(platform, CLAIM)
    with drill.sabotage(deleted, expect="data loss within", naming=LEDGER, patience=60 * SECOND):
        test_rollback.test_deletion_is_reverted(drill, platform)


@pytest.mark.drill(blast_radius="namespace", twin_of="test_revert_gets_through_while_the_bad_commit_is_retried")
def test_revert_with_automated_sync_off(drill: Drill, platform: Platform) -> None:
    """With automated sync switched off, a revert that was pushed recovers nothing, and the drill says what is left."""
    off = AutoSyncOff(platform, CICD, after_revert=True)
    with drill.sabotage(off, expect="what was waited for came", naming="OutOfSync", patience=30 * SECOND):
        test_rollback.test_revert_gets_through_while_the_bad_commit_is_retried(drill, platform)
