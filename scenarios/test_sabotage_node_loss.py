"""The twins of node loss: each story again where the promise must be broken."""

from __future__ import annotations

import pytest
import test_node_loss

from harness import (
    CordonNode,
    Drill,
    KillBystander,
    PinToNode,
    Platform,
    ReplacePodOn,
    busiest_agent,
    first_agent,
    node_patience,
    only_server,
)

pytestmark = pytest.mark.node_loss

PINNED = "apps/cortex-chat/chat-web-deployment.yaml"


@pytest.mark.drill(blast_radius="node", twin_of="test_agent_crash_moves_its_workloads_elsewhere")
def test_agent_crash_with_a_workload_that_may_run_nowhere_else(drill: Drill, platform: Platform) -> None:
    """With a Deployment pinned to the agent that crashes, the drill names the Deployment that stays away."""
    pin, patience = PinToNode(platform, busiest_agent, PINNED), node_patience(platform)
    with drill.sabotage(pin, expect="available elsewhere", naming=pin.names, patience=patience):
        test_node_loss.test_agent_crash_moves_its_workloads_elsewhere(drill, platform)


@pytest.mark.drill(blast_radius="node", twin_of="test_agent_that_stands_still_for_a_moment_is_not_missed")
def test_agent_that_stands_still_while_a_pod_of_it_is_replaced(drill: Drill, platform: Platform) -> None:
    """With a Pod of the frozen agent replaced by force, the drill says that it is gone."""
    replaced = ReplacePodOn(platform, busiest_agent)
    with drill.sabotage(replaced, expect="no Pod of the node was replaced", naming="is gone"):
        test_node_loss.test_agent_that_stands_still_for_a_moment_is_not_missed(drill, platform)


@pytest.mark.drill(blast_radius="node", twin_of="test_frozen_agent_goes_on_and_nothing_runs_twice")
def test_frozen_agent_that_is_cordoned(drill: Drill, platform: Platform) -> None:
    """With the frozen agent cordoned while it is away, the drill says that it does not come back into use."""
    cordon, patience = CordonNode(platform, busiest_agent), node_patience(platform)
    with drill.sabotage(cordon, expect="ready again", naming="cordoned", patience=patience):
        test_node_loss.test_frozen_agent_goes_on_and_nothing_runs_twice(drill, platform)


@pytest.mark.drill(blast_radius="node", twin_of="test_agent_lost_for_ever_is_replaced")
def test_lost_agent_with_a_label_that_only_it_had(drill: Drill, platform: Platform) -> None:
    """With a Deployment that follows a label put on the lost agent by hand, the drill names the one that stays away."""
    pin, patience = PinToNode(platform, first_agent, PINNED), node_patience(platform)
    with drill.sabotage(pin, expect="converged", naming=pin.names, patience=patience):
        test_node_loss.test_agent_lost_for_ever_is_replaced(drill, platform)


@pytest.mark.drill(blast_radius="node", twin_of="test_server_crash_keeps_the_state_and_restarts_nothing_elsewhere")
def test_server_crash_while_a_pod_on_an_agent_restarts(drill: Drill, platform: Platform) -> None:
    """With a process killed on an agent while the server is down, the drill says which Pod was restarted."""
    killed = KillBystander(platform, besides=only_server(platform))
    with drill.sabotage(killed, expect="nothing outside the blast radius", naming="was restarted"):
        test_node_loss.test_server_crash_keeps_the_state_and_restarts_nothing_elsewhere(drill, platform)
