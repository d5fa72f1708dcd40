"""drill: would Git really bring this cluster back, how long would it take, and what would be lost?

These are the names a scenario may use. Everything else is the harness's own business. They are loaded when they are
first used: collecting scenarios, or importing one small module, must not pay for a Kubernetes client.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from harness.core.checks import (
        every_push_within,
        everything_came_back,
        everything_kept_its_version,
        fault_landed,
        no_sync_was_started,
        only_what_left_git_was_pruned,
        recovered_within,
        waits_ended_met,
    )
    from harness.core.clock import MILLISECOND, MINUTE, SECOND, seconds
    from harness.core.verdict import Verdict
    from harness.drill import Drill
    from harness.faults.cluster import DestroyCluster
    from harness.faults.git import PushCommit, remove_everything
    from harness.faults.live_drift import ScaleDeployment
    from harness.faults.sabotage import LoseManifest, SelfHealOff
    from harness.faults.sabotage_git import SyncPolicy, Unwatched, empty_allowed, prune_off, sync_by_hand
    from harness.gitops.edit import Edit
    from harness.gitops.platform import Platform
    from harness.probes.git import arrived, last_sync, poll_bound, pruned, refused, seen, versions
    from harness.probes.inventory import inventory
    from harness.probes.serving import answers
    from harness.probes.sync import converged, healed

__all__ = [
    "MILLISECOND",
    "MINUTE",
    "SECOND",
    "DestroyCluster",
    "Drill",
    "Edit",
    "LoseManifest",
    "Platform",
    "PushCommit",
    "ScaleDeployment",
    "SelfHealOff",
    "SyncPolicy",
    "Unwatched",
    "Verdict",
    "answers",
    "arrived",
    "converged",
    "empty_allowed",
    "every_push_within",
    "everything_came_back",
    "everything_kept_its_version",
    "fault_landed",
    "healed",
    "inventory",
    "last_sync",
    "no_sync_was_started",
    "only_what_left_git_was_pruned",
    "poll_bound",
    "prune_off",
    "pruned",
    "recovered_within",
    "refused",
    "remove_everything",
    "seconds",
    "seen",
    "sync_by_hand",
    "versions",
    "waits_ended_met",
]

_HOMES = {
    "harness.core.checks": (
        "every_push_within",
        "everything_came_back",
        "everything_kept_its_version",
        "fault_landed",
        "no_sync_was_started",
        "only_what_left_git_was_pruned",
        "recovered_within",
        "waits_ended_met",
    ),
    "harness.core.clock": ("MILLISECOND", "MINUTE", "SECOND", "seconds"),
    "harness.core.verdict": ("Verdict",),
    "harness.drill": ("Drill",),
    "harness.faults.cluster": ("DestroyCluster",),
    "harness.faults.git": ("PushCommit", "remove_everything"),
    "harness.faults.live_drift": ("ScaleDeployment",),
    "harness.faults.sabotage": ("LoseManifest", "SelfHealOff"),
    "harness.faults.sabotage_git": ("SyncPolicy", "Unwatched", "empty_allowed", "prune_off", "sync_by_hand"),
    "harness.gitops.edit": ("Edit",),
    "harness.gitops.platform": ("Platform",),
    "harness.probes.git": ("arrived", "last_sync", "poll_bound", "pruned", "refused", "seen", "versions"),
    "harness.probes.inventory": ("inventory",),
    "harness.probes.serving": ("answers",),
    "harness.probes.sync": ("converged", "healed"),
}
_HOME = {name: home for home, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'harness' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOME[name]), name)
