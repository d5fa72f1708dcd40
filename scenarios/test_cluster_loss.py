"""Cluster loss: the whole cluster is gone, and only Git is left."""

from __future__ import annotations

import pytest

from harness import (
    MINUTE,
    SECOND,
    DestroyCluster,
    Drill,
    Platform,
    answers,
    converged,
    everything_came_back,
    inventory,
    recovered_within,
)

OBJECTIVE = 15 * MINUTE  # the accounts promise fifteen minutes
PATIENCE = 2 * OBJECTIVE
FRONT_DOOR = "cortex-chat/chat-api"


@pytest.mark.drill(blast_radius="cluster", objective=OBJECTIVE)
def test_cluster_is_rebuilt_from_git_alone(drill: Drill, platform: Platform) -> None:
    """A new cluster, given only Git, runs everything the lost one ran, within fifteen minutes."""
    drill.require(converged(platform), answers(platform, FRONT_DOOR))
    drill.observe(inventory(platform))

    drill.inject(DestroyCluster(platform))
    drill.rebuild(platform)
    drill.until(converged(platform), answers(platform, FRONT_DOOR), within=PATIENCE, settle=3 * SECOND)
    drill.observe(inventory(platform))

    drill.conclude(recovered_within(OBJECTIVE), everything_came_back(at_least=platform.promised))
