"""The twins of the drift stories: self-heal is off, or somebody interferes. The named finding must come out REFUTED."""

from __future__ import annotations

import pytest
import test_drift

from harness import (
    SECOND,
    Drill,
    LabelWasApplied,
    Platform,
    SelfHealOff,
    SomebodyDeletes,
    SomebodyPutsBack,
)

pytestmark = pytest.mark.drift

SEEN = "Argo CD calls it OutOfSync"  # it has looked: the wait was not merely too short for that
SHORT = 6 * SECOND  # several times what an honest heal takes: one that is only slow must not look like the sabotage
NAMESPACE = 35 * SECOND  # an honest one takes half of it: the old namespace has to go first
HELD = "what had to stay so stayed so"


@pytest.mark.smoke
@pytest.mark.drill(blast_radius="namespace", twin_of="test_scaled_deployment_is_healed_back")
def test_scaled_deployment_with_self_heal_off(drill: Drill, platform: Platform) -> None:
    """With self-heal switched off, a Deployment scaled by hand stays scaled, and the drill says so."""
    with drill.sabotage(SelfHealOff(platform, "cortex-chat"), expect="healed within", naming=SEEN, patience=SHORT):
        test_drift.test_scaled_deployment_is_healed_back(drill, platform)


@pytest.mark.drill(blast_radius="namespace", twin_of="test_deleted_deployment_comes_back")
def test_deleted_deployment_with_self_heal_off(drill: Drill, platform: Platform) -> None:
    """With self-heal switched off, a deleted Deployment stays away, and the drill says so."""
    with drill.sabotage(SelfHealOff(platform, "cortex-knowledge"), expect="healed within", naming=SEEN, patience=SHORT):
        test_drift.test_deleted_deployment_comes_back(drill, platform)


@pytest.mark.drill(blast_radius="namespace", twin_of="test_deleted_config_map_comes_back")
def test_deleted_config_map_with_self_heal_off(drill: Drill, platform: Platform) -> None:
    """With self-heal switched off, a deleted ConfigMap stays away, and the drill says so."""
    with drill.sabotage(SelfHealOff(platform, "cortex-knowledge"), expect="healed within", naming=SEEN, patience=SHORT):
        test_drift.test_deleted_config_map_comes_back(drill, platform)


@pytest.mark.drill(blast_radius="namespace", twin_of="test_deleted_namespace_comes_back")
def test_deleted_namespace_with_self_heal_off(drill: Drill, platform: Platform) -> None:
    """With self-heal switched off, a deleted namespace stays away, and the drill says so."""
    off = SelfHealOff(platform, "cortex-dev")  # the old one must be gone: one that is only slow to go is no proof
    with drill.sabotage(off, expect="healed within", naming="is deleted", patience=NAMESPACE):
        test_drift.test_deleted_namespace_comes_back(drill, platform)


@pytest.mark.drill(blast_radius="namespace", twin_of="test_edited_config_map_is_healed_back")
def test_edited_config_map_with_self_heal_off(drill: Drill, platform: Platform) -> None:
    """With self-heal switched off, an edited ConfigMap stays edited, and the drill says so."""
    with drill.sabotage(SelfHealOff(platform, "cortex-core"), expect="healed within", naming=SEEN, patience=SHORT):
        test_drift.test_edited_config_map_is_healed_back(drill, platform)


@pytest.mark.drill(blast_radius="namespace", twin_of="test_swapped_image_is_healed_back")
def test_swapped_image_with_self_heal_off(drill: Drill, platform: Platform) -> None:
    """With self-heal switched off, a swapped image stays, and the drill says so."""
    with drill.sabotage(SelfHealOff(platform, "cortex-security"), expect="healed within", naming=SEEN, patience=SHORT):
        test_drift.test_swapped_image_is_healed_back(drill, platform)


@pytest.mark.drill(blast_radius="namespace", twin_of="test_object_put_in_by_hand_is_reported_and_left_alone")
def test_object_put_in_by_hand_that_somebody_deletes(drill: Drill, platform: Platform) -> None:
    """Where somebody deletes what was put in by hand, the drill says that it was not left alone."""
    with drill.sabotage(SomebodyDeletes(platform, test_drift.BY_HAND), expect=HELD, naming="was deleted"):
        test_drift.test_object_put_in_by_hand_is_reported_and_left_alone(drill, platform)


@pytest.mark.drill(blast_radius="namespace", twin_of="test_extra_label_is_no_drift")
def test_extra_label_that_was_applied_before(drill: Drill, platform: Platform) -> None:
    """Where the last apply had set the label, Argo CD removes it, and the drill says that it was not left alone."""
    applied = LabelWasApplied(platform, test_drift.FRONT_DOOR, test_drift.LABEL)
    with drill.sabotage(applied, expect=HELD):
        test_drift.test_extra_label_is_no_drift(drill, platform)


@pytest.mark.drill(blast_radius="namespace", twin_of="test_drift_waits_while_self_heal_is_off")
def test_drift_that_somebody_puts_back_while_self_heal_is_off(drill: Drill, platform: Platform) -> None:
    """Where somebody puts the drift back while self-heal is off, the drill says that it was not left alone."""
    somebody = SomebodyPutsBack(platform, "Deployment cortex-security/policy-scanner")
    with drill.sabotage(somebody, expect=HELD, naming="somebody-else"):
        test_drift.test_drift_waits_while_self_heal_is_off(drill, platform)


@pytest.mark.drill(blast_radius="namespace", twin_of="test_same_drift_seven_times_is_healed_as_the_backoff_allows")
def test_same_drift_seven_times_healed_by_somebody_else(drill: Drill, platform: Platform) -> None:
    """Where somebody heals in place of an engine that is switched off, the drill says that Argo CD did not."""
    somebody = SomebodyPutsBack(platform, "Deployment cortex-cicd/webhook-receiver", instead_of_argo=True)
    with drill.sabotage(somebody, expect="each drift was healed when", naming="was no sync of Argo CD"):
        test_drift.test_same_drift_seven_times_is_healed_as_the_backoff_allows(drill, platform)
