"""The twins: each story again on a system that must break the promise. The named finding must come out REFUTED.

A drill whose twin passes proves nothing. A test of the harness fails when a scenario has no twin here.
"""

from __future__ import annotations

import pytest
import test_cluster_loss
import test_self_heal

from harness import SECOND, Drill, LoseManifest, Platform, SelfHealOff


@pytest.mark.drill(blast_radius="namespace", twin_of="test_scaled_deployment_is_healed_back")
def test_scaled_deployment_with_self_heal_off(drill: Drill, platform: Platform) -> None:
    """With self-heal switched off, a Deployment scaled by hand stays scaled, and the drill says so."""
    with drill.sabotage(SelfHealOff(platform, "cortex-chat"), expect="healed within", patience=20 * SECOND):
        test_self_heal.test_scaled_deployment_is_healed_back(drill, platform)


@pytest.mark.drill(blast_radius="cluster", twin_of="test_cluster_is_rebuilt_from_git_alone")
def test_cluster_loss_with_a_manifest_missing(drill: Drill, platform: Platform) -> None:
    """With a manifest missing from Git when the cluster is rebuilt, the drill names the object that is missing."""
    lost = LoseManifest(platform, "apps/cortex-dev/code-formatter-service.yaml")
    with drill.sabotage(lost, expect="everything in Git came back", naming=lost.names):
        test_cluster_loss.test_cluster_is_rebuilt_from_git_alone(drill, platform)
