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
    still_ready,
)

pytestmark = pytest.mark.node_loss

ELSEWHERE = 7 * MINUTE  # upstream's settings: 50 s until the loss is noticed, 5 minutes more until Pods are replaced
BACK = 2 * MINUTE
STILL = 5 * SECOND  # shorter than any grace period, also when the node's last word is 10 s old
REPLACED = 10 * MINUTE
PATIENCE = 2


@pytest.mark.smoke
@pytest.mark.drill(blast_radius="node", objective=ELSEWHERE)
def test_agent_crash_moves_its_workloads_elsewhere(drill: Drill, platform: Platform) -> None:
    """An agent crashes: all it ran runs on other nodes within seven minutes. It returns, and nothing runs twice."""
    drill.require(converged(platform))
    drill.observe(inventory(platform))

    with drill.fault(CrashNode(platform, busiest_agent(platform))) as crash:
        drill.until(not_ready(crash), within=PATIENCE * ELSEWHERE)
        drill.until(available_elsewhere(crash), within=PATIENCE * ELSEWHERE)
    drill.until(ready_again(crash), within=PATIENCE * BACK)
    drill.until(converged(platform), fresh(crash), within=PATIENCE * ELSEWHERE, settle=3 * SECOND)
    drill.observe(node_state(platform, crash.node), inventory(platform))

    drill.conclude(
        recovered_within(ELSEWHERE, when="available elsewhere"),
        node_works(),
        everything_came_back(at_least=platform.promised),
    )


@pytest.mark.drill(blast_radius="node", objective=BACK)
def test_agent_that_stands_still_for_a_moment_is_not_missed(drill: Drill, platform: Platform) -> None:
    """An agent stands still for a few seconds and goes on: it stays Ready, no Pod of it is replaced or restarted."""
    drill.require(converged(platform))
    agent = busiest_agent(platform)
    drill.observe(node_pods(platform, agent))

    with drill.fault(FreezeNode(platform, agent)) as freeze:
        drill.hold(still_ready(freeze), lasting=STILL)
    drill.until(converged(platform), fresh(freeze), within=PATIENCE * BACK, settle=3 * SECOND)
    drill.observe(node_pods(platform, agent), node_state(platform, agent))

    drill.conclude(recovered_within(BACK, when="converged"), no_pod_replaced(), node_works())


@pytest.mark.drill(blast_radius="node", objective=ELSEWHERE)
def test_frozen_agent_goes_on_and_nothing_runs_twice(drill: Drill, platform: Platform) -> None:
    """An agent stands still until its workloads run elsewhere, and goes on: what it still ran is ended."""
    drill.require(converged(platform))

    with drill.fault(FreezeNode(platform, busiest_agent(platform))) as freeze:
        drill.until(not_ready(freeze), within=PATIENCE * ELSEWHERE)
        drill.until(available_elsewhere(freeze), within=PATIENCE * ELSEWHERE)
    drill.until(ready_again(freeze), within=PATIENCE * BACK)
    drill.until(converged(platform), fresh(freeze), within=PATIENCE * ELSEWHERE, settle=3 * SECOND)
    drill.observe(node_state(platform, freeze.node))

    drill.conclude(recovered_within(ELSEWHERE, when="available elsewhere"), node_works())


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


@pytest.mark.smoke
@pytest.mark.drill(blast_radius="node", objective=BACK)
def test_server_crash_keeps_the_state_and_restarts_nothing_elsewhere(drill: Drill, platform: Platform) -> None:
    """The only server crashes and starts: the state is kept, and no workload on an agent was restarted."""
    drill.require(converged(platform))
    drill.observe(inventory(platform))

    with drill.fault(CrashNode(platform, only_server(platform))) as crash:
        pass  # it is started again at once
    drill.until(api_answering(crash), within=PATIENCE * BACK)
    drill.until(ready_again(crash), within=PATIENCE * BACK)
    drill.until(converged(platform), fresh(crash), within=PATIENCE * BACK, settle=3 * SECOND)
    drill.observe(node_state(platform, crash.node), inventory(platform))

    drill.conclude(
        recovered_within(BACK, when="converged"),
        node_works(),
        everything_came_back(at_least=platform.promised),
    )
