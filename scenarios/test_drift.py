"""Drift: what people change by hand does not last, and what Git does not describe is left alone."""

from __future__ import annotations

import pytest

from harness import (
    MINUTE,
    SECOND,
    AddLabel,
    CreateByHand,
    DeleteNamespace,
    DeleteObject,
    Drill,
    EditConfigMap,
    Platform,
    ScaleDeployment,
    SwapImage,
    TurnOffSelfHeal,
    at_rest,
    converged,
    healed,
    healed_as_backoff_allows,
    healthy_again,
    left_alone,
    loss_list,
    out_of_sync,
    recovered_within,
    reported_as_unmanaged,
    resumed_within,
    self_heal_waits,
    undisturbed,
)

pytestmark = pytest.mark.drift

OBJECTIVE = 3 * MINUTE  # the account promises three minutes
PATIENCE = 3 * OBJECTIVE
WATCHED = 15 * SECOND  # Argo CD acts on what it sees within two; with the fast profile it also polls every ten
SEVEN = range(7)
AT_ONCE = 15 * SECOND  # from the moment at which the engine may heal

DASHBOARD = "Deployment cortex-knowledge/knowledge-dashboard"
INDEX_SETTINGS = "ConfigMap cortex-knowledge/knowledge-indexer-config"
PLAYGROUND = "cortex-dev"
BY_HAND = "ConfigMap cortex-cicd/left-by-hand"
FRONT_DOOR = "Service cortex-chat/chat-api"
LABEL = "drill.example/owner"


@pytest.mark.smoke
@pytest.mark.drill(blast_radius="namespace", objective=OBJECTIVE)
def test_scaled_deployment_is_healed_back(drill: Drill, platform: Platform) -> None:
    """A Deployment scaled by hand goes back to the replica count in Git, by itself, within three minutes."""
    drill.require(converged(platform))

    drift = drill.inject(ScaleDeployment(platform, "cortex-chat/chat-api", replicas=5))
    drill.until(healed(drift), within=PATIENCE)
    drill.until(converged(platform), within=PATIENCE, settle=3 * SECOND)

    drill.conclude(recovered_within(OBJECTIVE, when="healed"))


@pytest.mark.drill(blast_radius="namespace", objective=OBJECTIVE)
def test_deleted_deployment_comes_back(drill: Drill, platform: Platform) -> None:
    """A Deployment deleted by hand is made anew from Git, and its Pods serve again, within three minutes."""
    drill.require(converged(platform))

    deleted = drill.inject(DeleteObject(platform, DASHBOARD))
    drill.until(healed(deleted), within=PATIENCE)
    drill.until(healthy_again(deleted), within=PATIENCE)
    drill.until(converged(platform), within=PATIENCE, settle=3 * SECOND)

    drill.conclude(recovered_within(OBJECTIVE, when="healed"), recovered_within(OBJECTIVE, when="healthy_again"))


@pytest.mark.drill(blast_radius="namespace", objective=OBJECTIVE)
def test_deleted_config_map_comes_back(drill: Drill, platform: Platform) -> None:
    """A ConfigMap deleted by hand is made anew from Git within three minutes; nothing that uses it restarts."""
    drill.require(converged(platform))

    deleted = drill.inject(DeleteObject(platform, INDEX_SETTINGS))
    drill.until(healed(deleted), within=PATIENCE)
    drill.until(converged(platform), within=PATIENCE, settle=3 * SECOND)

    drill.conclude(recovered_within(OBJECTIVE, when="healed"))


@pytest.mark.drill(blast_radius="namespace", objective=OBJECTIVE)
def test_deleted_namespace_comes_back(drill: Drill, platform: Platform) -> None:
    """A namespace deleted by hand comes back with all that Git puts into it, within three minutes."""
    drill.require(converged(platform))

    deleted = drill.inject(DeleteNamespace(platform, PLAYGROUND))
    drill.until(healed(deleted), within=PATIENCE)
    drill.until(converged(platform), within=PATIENCE, settle=3 * SECOND)

    drill.conclude(recovered_within(OBJECTIVE, when="healed"), recovered_within(OBJECTIVE, when="converged"))


@pytest.mark.drill(blast_radius="namespace", objective=OBJECTIVE)
def test_edited_config_map_is_healed_back(drill: Drill, platform: Platform) -> None:
    """A value edited by hand in a ConfigMap goes back to what Git says within three minutes."""
    drill.require(converged(platform))

    drift = drill.inject(EditConfigMap(platform, "cortex/cortex-config", "LOG_LEVEL", "trace"))
    drill.until(healed(drift), within=PATIENCE)
    drill.until(converged(platform), within=PATIENCE, settle=3 * SECOND)

    drill.conclude(recovered_within(OBJECTIVE, when="healed"))


@pytest.mark.drill(blast_radius="namespace", objective=OBJECTIVE)
def test_swapped_image_is_healed_back(drill: Drill, platform: Platform) -> None:
    """An image swapped by hand for one that cannot be had is swapped back within three minutes."""
    drill.require(converged(platform))

    drift = drill.inject(SwapImage(platform, "cortex-security/policy-scanner", "drill/sample:by-hand"))
    drill.until(healed(drift), within=PATIENCE)
    drill.until(healthy_again(drift), within=PATIENCE)
    drill.until(converged(platform), within=PATIENCE, settle=3 * SECOND)

    drill.conclude(recovered_within(OBJECTIVE, when="healed"), recovered_within(OBJECTIVE, when="healthy_again"))


@pytest.mark.drill(blast_radius="namespace")
def test_object_put_in_by_hand_is_reported_and_left_alone(drill: Drill, platform: Platform) -> None:
    """An object that somebody puts in by hand is on the list of what Git would not bring back; nobody removes it."""
    calm = undisturbed(platform, "cortex-cicd")
    drill.require(converged(platform), calm)
    drill.observe(loss_list(platform))

    with drill.fault(CreateByHand(platform, BY_HAND)) as extra:
        drill.hold(left_alone(extra), calm, lasting=WATCHED)
        drill.until(converged(platform), within=PATIENCE)
        drill.observe(loss_list(platform))

    drill.conclude(reported_as_unmanaged(BY_HAND))


@pytest.mark.drill(blast_radius="namespace")
def test_extra_label_is_no_drift(drill: Drill, platform: Platform) -> None:
    """A label that Git does not mention is no drift: nobody writes to the object, and no sync begins."""
    calm = undisturbed(platform, "cortex-chat")
    drill.require(converged(platform), calm)

    with drill.fault(AddLabel(platform, FRONT_DOOR, LABEL)) as labelled:
        drill.hold(left_alone(labelled), calm, lasting=WATCHED)
        drill.until(converged(platform), within=PATIENCE)

    drill.conclude()


@pytest.mark.drill(blast_radius="namespace", objective=OBJECTIVE)
def test_drift_waits_while_self_heal_is_off(drill: Drill, platform: Platform) -> None:
    """With self-heal off, drift is shown as OutOfSync and left alone; switched on, it heals within three minutes."""
    drill.require(converged(platform))

    with drill.fault(TurnOffSelfHeal(platform, "cortex-security")):
        drift = drill.inject(ScaleDeployment(platform, "cortex-security/policy-scanner", replicas=3))
        drill.until(out_of_sync(drift), within=PATIENCE)
        drill.hold(out_of_sync(drift), left_alone(drift), lasting=WATCHED)
    drill.until(healed(drift), within=PATIENCE)
    drill.until(converged(platform), within=PATIENCE, settle=3 * SECOND)

    drill.conclude(resumed_within(OBJECTIVE, after="TurnOffSelfHeal"))


@pytest.mark.drill(blast_radius="namespace")
def test_same_drift_seven_times_is_healed_as_the_backoff_allows(drill: Drill, platform: Platform) -> None:
    """The same drift seven times on one commit is healed each time, as soon as the engine's back-off allows it."""
    waits = self_heal_waits(platform.profile, len(SEVEN))
    drill.require(converged(platform), at_rest(platform, "cortex-cicd"))

    for _ in SEVEN:
        drift = drill.inject(ScaleDeployment(platform, "cortex-cicd/webhook-receiver", replicas=2))
        drill.until(healed(drift), within=PATIENCE)
        drill.until(at_rest(platform, "cortex-cicd"), within=PATIENCE, settle=SECOND / 2)
    drill.until(converged(platform), within=PATIENCE, settle=3 * SECOND)

    drill.conclude(healed_as_backoff_allows(waits, times=len(SEVEN), allowance=AT_ONCE))
