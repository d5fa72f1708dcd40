"""Node loss: an agent crashes, stands still, or is gone for ever; the only server crashes."""

from __future__ import annotations

import pytest

from harness import (
    MINUTE,
    SECOND,
    CrashNode,
    Drill,
    FreezeNode,
    LoseNode,
    Platform,
    api_answering,
    available_elsewhere,
    busiest_agent,
    converged,
    everything_came_back,
    first_agent,
    fresh,
    inventory,
    no_pod_replaced,
    node_is_fresh,
    node_pods,
    node_state,
    node_works,
    not_ready,
    only_server,
    ready_again,
    recovered_within,
)

pytestmark = pytest.mark.node_loss

ELSEWHERE = 7 * MINUTE  # upstream's settings: 50 s until the loss is noticed, 5 minutes more until Pods are replaced
THAWED = 3 * MINUTE
REPLACED = 10 * MINUTE
SERVER_BACK = 2 * MINUTE
PATIENCE = 2


@pytest.mark.drill(blast_radius="node", objective=ELSEWHERE)
def test_agent_crash_moves_its_workloads_elsewhere(drill: Drill, platform: Platform) -> None:
    """An agent crashes: all it ran runs on other nodes within seven minutes. It returns, and nothing runs twice."""
    drill.require(converged(platform))
    drill.observe(inventory(platform))

    with drill.fault(CrashNode(platform, busiest_agent(platform))) as crash:
        drill.until(not_ready(crash), within=PATIENCE * ELSEWHERE)
        drill.until(available_elsewhere(crash), within=PATIENCE * ELSEWHERE)
    drill.until(ready_again(crash), within=PATIENCE * SERVER_BACK)
    drill.until(converged(platform), fresh(crash), within=PATIENCE * ELSEWHERE, settle=3 * SECOND)
    drill.observe(node_state(platform, crash.node), inventory(platform))

    drill.conclude(
        recovered_within(ELSEWHERE, when="available elsewhere"),
        node_works(),
        everything_came_back(at_least=platform.promised),
    )


@pytest.mark.drill(blast_radius="node", objective=THAWED)
def test_frozen_agent_goes_on_where_it_stood_still(drill: Drill, platform: Platform) -> None:
    """An agent stands still until it is missed, and goes on: no Pod of it is replaced or restarted."""
    agent = busiest_agent(platform)
    drill.require(converged(platform))
    drill.observe(node_pods(platform, agent))

    with drill.fault(FreezeNode(platform, agent)) as freeze:
        drill.until(not_ready(freeze), within=PATIENCE * THAWED)
    drill.until(ready_again(freeze), within=PATIENCE * THAWED)
    drill.until(converged(platform), fresh(freeze), within=PATIENCE * THAWED, settle=3 * SECOND)
    drill.observe(node_pods(platform, agent), node_state(platform, agent))

    drill.conclude(recovered_within(THAWED, when="converged"), no_pod_replaced(), node_works())


@pytest.mark.drill(blast_radius="node", objective=REPLACED)
def test_agent_lost_for_ever_is_replaced(drill: Drill, platform: Platform) -> None:
    """An agent is gone for ever: another takes its place, and all runs again. What was on its disk is lost."""
    drill.require(converged(platform))
    drill.observe(inventory(platform))

    lost = drill.inject(LoseNode(platform, first_agent(platform)))
    drill.until(not_ready(lost), within=PATIENCE * REPLACED)
    replacement = lost.replacement()
    drill.rebuild(replacement)
    drill.until(ready_again(replacement), within=PATIENCE * REPLACED)
    drill.until(fresh(replacement), within=PATIENCE * REPLACED)
    drill.until(converged(platform), within=PATIENCE * REPLACED, settle=3 * SECOND)
    drill.observe(node_state(platform, lost.node), inventory(platform))

    drill.conclude(
        recovered_within(REPLACED, when="converged"),
        node_is_fresh(),
        node_works(),
        everything_came_back(at_least=platform.promised),
    )


@pytest.mark.drill(blast_radius="node", objective=SERVER_BACK)
def test_server_crash_keeps_the_state_and_restarts_nothing_elsewhere(drill: Drill, platform: Platform) -> None:
    """The only server crashes and starts: the state is kept, and no workload on an agent was restarted."""
    drill.require(converged(platform))
    drill.observe(inventory(platform))

    with drill.fault(CrashNode(platform, only_server(platform))) as crash:
        pass  # it is started again at once
    drill.until(api_answering(crash), within=PATIENCE * SERVER_BACK)
    drill.until(ready_again(crash), within=PATIENCE * SERVER_BACK)
    drill.until(converged(platform), fresh(crash), within=PATIENCE * SERVER_BACK, settle=3 * SECOND)
    drill.observe(node_state(platform, crash.node), inventory(platform))

    drill.conclude(
        recovered_within(SERVER_BACK, when="converged"),
        node_works(),
        everything_came_back(at_least=platform.promised),
    )
