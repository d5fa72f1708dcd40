"""The measured series of the drills that share a cluster: commits, reverts, deletions, nodes.

Here belongs what is measured after the rebuilds of `harness.bench`, which owns the table.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager

from harness.core.checks import interval
from harness.core.clock import MINUTE, SECOND
from harness.core.faults import BlastRadius
from harness.core.timeline import History
from harness.drill import Drill
from harness.gitops.platform import Platform

Drilling = Callable[[str, BlastRadius], AbstractContextManager[Drill]]
Record = Callable[[str, float], None]  # key, seconds

APPLICATION = "cortex-chat"
DEPLOYMENT = "apps/cortex-chat/chat-api-deployment.yaml"  # two replicas
VERSION = "spec.template.spec.containers.0.env.0.value"
DELETED = "Deployment cortex-knowledge/knowledge-dashboard"
PATIENCE = 5 * MINUTE

# key, name, unit, goal
SERIES = (
    ("push", "push accepted, to converged (one application, two replicas, refresh)", "s", "median <= 5"),
    ("revert", "revert pushed, to the earlier state converged", "s", "median <= 5"),
    ("recreated", "deletion of a Deployment accepted, to it being there again", "s", "<= 1"),
    ("healthy", "deletion of a Deployment accepted, to Healthy again", "s", "<= 4"),
    ("elsewhere", "agent crash, to every workload Available elsewhere, Argo CD included", "s", "<= 45"),
    ("api", "server started after a crash, to the API answering", "s", "<= 5"),
    ("state", "server started after a crash, to converged on fresh observations", "s", "<= 20"),
)


def push_and_revert(platform: Platform, drilling: Drilling, record: Record, number: int) -> None:
    """A new version on two replicas, and back by `git revert`."""
    from harness import Edit, PushCommit, RevertCommit, arrived, converged

    with drilling(f"push-{number}", BlastRadius.NAMESPACE) as drill:
        drill.require(converged(platform))
        push = drill.inject(PushCommit(platform, Edit(DEPLOYMENT, VERSION, f"bench-{number}"), f"bench {number}"))
        drill.until(arrived(platform, APPLICATION), within=PATIENCE)
        drill.until(converged(platform), within=PATIENCE)
        drill.inject(RevertCommit(push))
        drill.until(arrived(platform, APPLICATION), within=PATIENCE)
        drill.until(converged(platform), within=PATIENCE)
        drill.judge([])
    history = drill.timeline.history()
    record("push", _seconds(history, 0, 0))
    record("revert", _seconds(history, 1, 2))


def deletion(platform: Platform, drilling: Drilling, record: Record, number: int) -> None:
    """A Deployment deleted by hand, the first drift on its revision."""
    from harness import DeleteObject, converged, healed, healthy_again

    platform.repo.commit({}, f"bench: revision for deletion {number}")
    with drilling(f"deletion-{number}", BlastRadius.NAMESPACE) as drill:
        drill.require(converged(platform))
        deleted = drill.inject(DeleteObject(platform, DELETED))
        drill.until(healed(deleted), within=PATIENCE)
        drill.until(healthy_again(deleted), within=PATIENCE)
        drill.until(converged(platform), within=PATIENCE)
        drill.judge([])
    history = drill.timeline.history()
    record("recreated", _seconds(history, 0, 0))
    record("healthy", _seconds(history, 0, 1))


def agent_crash(platform: Platform, drilling: Drilling, record: Record, number: int) -> None:
    """The agent that runs most crashes, and returns."""
    from harness import CrashNode, available_elsewhere, busiest_agent, converged, fresh, ready_again

    with drilling(f"agent-{number}", BlastRadius.NODE) as drill:
        drill.require(converged(platform))
        with drill.fault(CrashNode(platform, busiest_agent(platform))) as crash:
            drill.until(available_elsewhere(crash), within=PATIENCE)
        drill.until(ready_again(crash), within=PATIENCE)
        drill.until(converged(platform), fresh(crash), within=PATIENCE, settle=SECOND)
        drill.judge([])
    record("elsewhere", _seconds(drill.timeline.history(), 0, 0))


def server_crash(platform: Platform, drilling: Drilling, record: Record, number: int) -> None:
    """The only server crashes and is started at once: counted from the start."""
    from harness import CrashNode, api_answering, converged, fresh, only_server

    with drilling(f"server-{number}", BlastRadius.NODE) as drill:
        drill.require(converged(platform))
        with drill.fault(CrashNode(platform, only_server(platform))) as crash:
            pass
        drill.until(api_answering(crash), within=PATIENCE)
        drill.until(converged(platform), fresh(crash), within=PATIENCE, settle=SECOND)
        drill.judge([])
    history = drill.timeline.history()
    begun = history.last("heal.begun")
    ended = history.of("until.ended")
    if begun is not None:
        start = begun.at.total_seconds()
        record("api", ended[0].data["met_us"] / 1e6 - start)
        record("state", ended[1].data["met_us"] / 1e6 - start)


def _seconds(history: History, fault: int, wait: int) -> float:
    """From the acceptance of the n-th fault to what the n-th wait after the steady state waited for."""
    return interval(history.of("fault.injected")[fault], history.of("until.ended")[wait]).value.total_seconds()
