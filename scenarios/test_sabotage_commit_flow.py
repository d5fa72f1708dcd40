"""The twins of the commit flow: each story again where it must fail. The named finding must come out REFUTED."""

from __future__ import annotations

import pytest
import test_commit_flow

from harness import (
    SECOND,
    DeletedByHand,
    Drill,
    Platform,
    Unwatched,
    empty_allowed,
    poll_bound,
    prune_off,
    sync_by_hand,
)

pytestmark = pytest.mark.commit


@pytest.mark.drill(blast_radius="namespace", twin_of="test_pushed_commit_converges")
def test_push_with_automated_sync_off(drill: Drill, platform: Platform) -> None:
    """With automated sync switched off, the push is seen and not applied, and the drill says so."""
    by_hand = sync_by_hand(platform, "cortex-chat")
    with drill.sabotage(by_hand, expect="arrived", naming="is OutOfSync", patience=10 * SECOND):
        test_commit_flow.test_pushed_commit_converges(drill, platform)


@pytest.mark.drill(blast_radius="namespace", twin_of="test_pushed_commits_are_seen_by_polling_alone")
def test_polling_with_an_application_that_is_not_looked_at(drill: Drill, platform: Platform) -> None:
    """Where Argo CD skips the application, a push is not seen within what was promised, and the drill says so."""
    promised = poll_bound(platform) + test_commit_flow.COMPARING  # less would call honest polling sabotage
    with drill.sabotage(Unwatched(platform, "cortex-chat"), expect="seen", patience=promised):
        test_commit_flow.test_pushed_commits_are_seen_by_polling_alone(drill, platform)


@pytest.mark.drill(blast_radius="namespace", twin_of="test_commit_that_touches_nothing_changes_nothing")
def test_commit_that_touches_nothing_with_a_second_hand(drill: Drill, platform: Platform) -> None:
    """Where somebody deletes an object meanwhile, it is named as one that did not keep its UID."""
    hand = DeletedByHand(platform, "ConfigMap cortex-chat/chat-web-config")
    with drill.sabotage(hand, expect="every object kept its UID", naming="ConfigMap cortex-chat/chat-web-config"):
        test_commit_flow.test_commit_that_touches_nothing_changes_nothing(drill, platform)


@pytest.mark.drill(blast_radius="namespace", twin_of="test_removed_manifest_is_pruned")
def test_removed_manifest_with_prune_off(drill: Drill, platform: Platform) -> None:
    """With prune switched off, what left Git stays, and the drill names it."""
    kept = prune_off(platform, "cortex-chat")
    with drill.sabotage(kept, expect="pruned", naming="chat-web is still there, and nobody", patience=10 * SECOND):
        test_commit_flow.test_removed_manifest_is_pruned(drill, platform)


@pytest.mark.drill(blast_radius="namespace", twin_of="test_removed_manifest_is_pruned")
def test_removed_manifest_with_a_second_hand(drill: Drill, platform: Platform) -> None:
    """Where somebody deletes another object meanwhile, it is named as one that was harmed beside the commit."""
    hand = DeletedByHand(platform, "ConfigMap cortex-chat/chat-api-config")
    with drill.sabotage(hand, expect="nothing outside the blast radius", naming="chat-api-config"):
        test_commit_flow.test_removed_manifest_is_pruned(drill, platform)


@pytest.mark.drill(blast_radius="namespace", twin_of="test_removing_everything_is_refused")
def test_removing_everything_where_that_is_allowed(drill: Drill, platform: Platform) -> None:
    """Where empty applications are allowed, everything is deleted, and the drill says so."""
    with drill.sabotage(empty_allowed(platform, "cortex-dev"), expect="refused", naming="deleted"):
        test_commit_flow.test_removing_everything_is_refused(drill, platform)
