"""Twins of the stories about cluster loss: each again on a system that must break the promise."""

from __future__ import annotations

import pytest
import test_cluster_loss

from harness import Drill, LoseManifest, Platform, PutIntoGit

pytestmark = pytest.mark.cluster_loss

NOTES_IN_GIT = """\
apiVersion: v1
kind: ConfigMap
metadata: {name: notes-made-by-hand, namespace: default}
data: {note: in Git after all}
"""


@pytest.mark.smoke
@pytest.mark.drill(blast_radius="cluster", twin_of="test_cluster_is_rebuilt_from_git_alone")
def test_cluster_loss_with_a_manifest_missing(drill: Drill, platform: Platform) -> None:
    """With a manifest missing from Git when the cluster is rebuilt, the drill names the object that is missing."""
    lost = LoseManifest(platform, "apps/cortex-dev/code-formatter-service.yaml")
    with drill.sabotage(lost, expect="everything in Git came back", naming=lost.names):
        test_cluster_loss.test_cluster_is_rebuilt_from_git_alone(drill, platform)


@pytest.mark.drill(blast_radius="cluster", twin_of="test_loss_list_names_all_that_git_does_not_bring_back")
def test_loss_list_with_an_object_that_survives(drill: Drill, platform: Platform) -> None:
    """When something on the loss list is there after the rebuild, the drill names it."""
    survivor = PutIntoGit(platform, "apps/cortex-dev/notes.yaml", NOTES_IN_GIT)
    with drill.sabotage(survivor, expect="what the loss list names", naming=test_cluster_loss.NOTES):
        test_cluster_loss.test_loss_list_names_all_that_git_does_not_bring_back(drill, platform)
