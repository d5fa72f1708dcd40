"""Cluster loss: the whole cluster is gone, and only Git is left."""

from __future__ import annotations

import pytest

from harness import (
    MINUTE,
    SECOND,
    DestroyCluster,
    Drill,
    Platform,
    by_hand,
    converged,
    everything_came_back,
    front_doors_answer,
    inventory,
    loss_list,
    lost_what_was_listed,
    recovered_within,
)

pytestmark = pytest.mark.cluster_loss

OBJECTIVE = 15 * MINUTE  # the accounts promise fifteen minutes
PATIENCE = 2 * OBJECTIVE
KEY, NOTES = "Secret default/key-made-by-hand", "ConfigMap default/notes-made-by-hand"


@pytest.mark.smoke
@pytest.mark.drill(blast_radius="cluster", objective=OBJECTIVE)
def test_cluster_is_rebuilt_from_git_alone(drill: Drill, platform: Platform) -> None:
    """A new cluster, given only Git, runs everything the lost one ran, within fifteen minutes."""
    drill.require(converged(platform), *front_doors_answer(platform))
    drill.observe(inventory(platform), loss_list(platform))

    drill.inject(DestroyCluster(platform))
    drill.rebuild(platform)
    drill.until(converged(platform), *front_doors_answer(platform), within=PATIENCE, settle=3 * SECOND)
    drill.observe(inventory(platform))

    drill.conclude(recovered_within(OBJECTIVE), everything_came_back(at_least=platform.promised))


@pytest.mark.drill(blast_radius="cluster", objective=OBJECTIVE)
def test_loss_list_names_all_that_git_does_not_bring_back(drill: Drill, platform: Platform) -> None:
    """What Git does not describe is known beforehand, by name: exactly that is gone after a rebuild from Git."""
    drill.require(converged(platform))

    with by_hand(platform, KEY, NOTES):
        drill.observe(loss_list(platform))
        drill.inject(DestroyCluster(platform))
        drill.rebuild(platform)
        drill.until(converged(platform), within=PATIENCE, settle=3 * SECOND)
        drill.observe(loss_list(platform))

    drill.conclude(recovered_within(OBJECTIVE), lost_what_was_listed())
