"""drill: would Git really bring this cluster back, how long would it take, and what would be lost?

These are the names a scenario may use. Everything else is the harness's own business. They are loaded when they are
first used: collecting scenarios, or importing one small module, must not pay for a Kubernetes client.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from harness.core.checks import (
        apply_was_refused,
        arrived_within,
        data_loss_within,
        deletion_was_undone,
        every_push_within,
        everything_came_back,
        everything_kept_its_version,
        fault_landed,
        git_brings_back_no_data,
        healed_as_backoff_allows,
        live_was_left_alone,
        lost_what_was_listed,
        no_pod_replaced,
        no_sync_was_started,
        node_is_fresh,
        node_works,
        nothing_was_replaced,
        only_what_left_git_was_pruned,
        recovered_within,
        reported_as_unmanaged,
        resumed_within,
        state_is_as_before,
        volumes_outlived_it,
        waits_ended_met,
        work_done_once,
    )
    from harness.core.clock import MILLISECOND, MINUTE, SECOND, seconds
    from harness.core.verdict import Verdict
    from harness.drill import Drill
    from harness.faults.bad_commit import RevertCommit, bad_image, deletion, immutable_change, invalid_manifest
    from harness.faults.by_hand import by_hand
    from harness.faults.cluster import DestroyCluster
    from harness.faults.engine import KillEngine, LoseEngine
    from harness.faults.git import PushCommit, remove_everything
    from harness.faults.git_server import CommitUnserved, StopGitServer
    from harness.faults.live_drift import (
        AddLabel,
        CreateByHand,
        DeleteNamespace,
        DeleteObject,
        EditConfigMap,
        ScaleDeployment,
        SwapImage,
    )
    from harness.faults.node import CrashNode, FreezeNode, LoseNode
    from harness.faults.release import release
    from harness.faults.sabotage import LoseManifest, SelfHealOff
    from harness.faults.sabotage_data import CopiesCutShort, PutIntoGit, WritesReplayed
    from harness.faults.sabotage_engine import CutFromGit, ForgetRoots, HoldDown, RestartBystander
    from harness.faults.sabotage_git import SyncPolicy, Unwatched, empty_allowed, prune_off, sync_by_hand
    from harness.faults.sabotage_nodes import CordonNode, KillBystander, PinToNode, ReplacePodOn
    from harness.faults.sabotage_rollback import AutoSyncOff, CommitOnTop, DeletedByHand, LabelledByHand
    from harness.faults.self_heal import TurnOffSelfHeal
    from harness.faults.somebody import LabelWasApplied, SomebodyDeletes, SomebodyPutsBack
    from harness.gitops.backoff import self_heal_waits
    from harness.gitops.backup import copy_volume
    from harness.gitops.edit import Edit
    from harness.gitops.platform import Engine, Platform
    from harness.probes.calm import at_rest, left_alone, out_of_sync, undisturbed
    from harness.probes.engine import engine_ready, git_missed, statuses, syncing, work_done
    from harness.probes.git import arrived, poll_bound, pruned, refused, seen, syncs, versions
    from harness.probes.inventory import inventory
    from harness.probes.ledger import Ledger
    from harness.probes.loss import loss_list
    from harness.probes.node_facts import busiest_agent, first_agent, node_patience, node_pods, node_state, only_server
    from harness.probes.nodes import api_answering, available_elsewhere, fresh, not_ready, ready_again, still_ready
    from harness.probes.rollout import apply_failed, pod_fails, synced
    from harness.probes.serving import answers, front_doors_answer
    from harness.probes.state import state
    from harness.probes.sync import converged, healed, healthy_again

__all__ = [
    "MILLISECOND",
    "MINUTE",
    "SECOND",
    "AddLabel",
    "AutoSyncOff",
    "CommitOnTop",
    "CommitUnserved",
    "CopiesCutShort",
    "CordonNode",
    "CrashNode",
    "CreateByHand",
    "CutFromGit",
    "DeleteNamespace",
    "DeleteObject",
    "DeletedByHand",
    "DestroyCluster",
    "Drill",
    "Edit",
    "EditConfigMap",
    "Engine",
    "ForgetRoots",
    "FreezeNode",
    "HoldDown",
    "KillBystander",
    "KillEngine",
    "LabelWasApplied",
    "LabelledByHand",
    "Ledger",
    "LoseEngine",
    "LoseManifest",
    "LoseNode",
    "PinToNode",
    "Platform",
    "PushCommit",
    "PutIntoGit",
    "ReplacePodOn",
    "RestartBystander",
    "RevertCommit",
    "ScaleDeployment",
    "SelfHealOff",
    "SomebodyDeletes",
    "SomebodyPutsBack",
    "StopGitServer",
    "SwapImage",
    "SyncPolicy",
    "TurnOffSelfHeal",
    "Unwatched",
    "Verdict",
    "WritesReplayed",
    "answers",
    "api_answering",
    "apply_failed",
    "apply_was_refused",
    "arrived",
    "arrived_within",
    "at_rest",
    "available_elsewhere",
    "bad_image",
    "busiest_agent",
    "by_hand",
    "converged",
    "copy_volume",
    "data_loss_within",
    "deletion",
    "deletion_was_undone",
    "empty_allowed",
    "engine_ready",
    "every_push_within",
    "everything_came_back",
    "everything_kept_its_version",
    "fault_landed",
    "first_agent",
    "fresh",
    "front_doors_answer",
    "git_brings_back_no_data",
    "git_missed",
    "healed",
    "healed_as_backoff_allows",
    "healthy_again",
    "immutable_change",
    "invalid_manifest",
    "inventory",
    "left_alone",
    "live_was_left_alone",
    "loss_list",
    "lost_what_was_listed",
    "no_pod_replaced",
    "no_sync_was_started",
    "node_is_fresh",
    "node_patience",
    "node_pods",
    "node_state",
    "node_works",
    "not_ready",
    "nothing_was_replaced",
    "only_server",
    "only_what_left_git_was_pruned",
    "out_of_sync",
    "pod_fails",
    "poll_bound",
    "prune_off",
    "pruned",
    "ready_again",
    "recovered_within",
    "refused",
    "release",
    "remove_everything",
    "reported_as_unmanaged",
    "resumed_within",
    "seconds",
    "seen",
    "self_heal_waits",
    "state",
    "state_is_as_before",
    "statuses",
    "still_ready",
    "sync_by_hand",
    "synced",
    "syncing",
    "syncs",
    "undisturbed",
    "versions",
    "volumes_outlived_it",
    "waits_ended_met",
    "work_done",
    "work_done_once",
]

_HOMES = {
    "harness.core.checks": (
        "apply_was_refused",
        "arrived_within",
        "data_loss_within",
        "deletion_was_undone",
        "every_push_within",
        "everything_came_back",
        "everything_kept_its_version",
        "fault_landed",
        "git_brings_back_no_data",
        "healed_as_backoff_allows",
        "live_was_left_alone",
        "lost_what_was_listed",
        "no_pod_replaced",
        "no_sync_was_started",
        "node_is_fresh",
        "node_works",
        "nothing_was_replaced",
        "only_what_left_git_was_pruned",
        "recovered_within",
        "reported_as_unmanaged",
        "resumed_within",
        "state_is_as_before",
        "volumes_outlived_it",
        "waits_ended_met",
        "work_done_once",
    ),
    "harness.core.clock": (
        "MILLISECOND",
        "MINUTE",
        "SECOND",
        "seconds",
    ),
    "harness.core.verdict": ("Verdict",),
    "harness.drill": ("Drill",),
    "harness.faults.bad_commit": (
        "RevertCommit",
        "bad_image",
        "deletion",
        "immutable_change",
        "invalid_manifest",
    ),
    "harness.faults.by_hand": ("by_hand",),
    "harness.faults.cluster": ("DestroyCluster",),
    "harness.faults.engine": (
        "KillEngine",
        "LoseEngine",
    ),
    "harness.faults.git": (
        "PushCommit",
        "remove_everything",
    ),
    "harness.faults.git_server": (
        "CommitUnserved",
        "StopGitServer",
    ),
    "harness.faults.live_drift": (
        "AddLabel",
        "CreateByHand",
        "DeleteNamespace",
        "DeleteObject",
        "EditConfigMap",
        "ScaleDeployment",
        "SwapImage",
    ),
    "harness.faults.node": (
        "CrashNode",
        "FreezeNode",
        "LoseNode",
    ),
    "harness.faults.release": ("release",),
    "harness.faults.sabotage": (
        "LoseManifest",
        "SelfHealOff",
    ),
    "harness.faults.sabotage_data": (
        "CopiesCutShort",
        "PutIntoGit",
        "WritesReplayed",
    ),
    "harness.faults.sabotage_engine": (
        "CutFromGit",
        "ForgetRoots",
        "HoldDown",
        "RestartBystander",
    ),
    "harness.faults.sabotage_git": (
        "SyncPolicy",
        "Unwatched",
        "empty_allowed",
        "prune_off",
        "sync_by_hand",
    ),
    "harness.faults.sabotage_nodes": (
        "CordonNode",
        "KillBystander",
        "PinToNode",
        "ReplacePodOn",
    ),
    "harness.faults.sabotage_rollback": (
        "AutoSyncOff",
        "CommitOnTop",
        "DeletedByHand",
        "LabelledByHand",
    ),
    "harness.faults.self_heal": ("TurnOffSelfHeal",),
    "harness.faults.somebody": (
        "LabelWasApplied",
        "SomebodyDeletes",
        "SomebodyPutsBack",
    ),
    "harness.gitops.backoff": ("self_heal_waits",),
    "harness.gitops.backup": ("copy_volume",),
    "harness.gitops.edit": ("Edit",),
    "harness.gitops.platform": (
        "Engine",
        "Platform",
    ),
    "harness.probes.calm": (
        "at_rest",
        "left_alone",
        "out_of_sync",
        "undisturbed",
    ),
    "harness.probes.engine": (
        "engine_ready",
        "git_missed",
        "statuses",
        "syncing",
        "work_done",
    ),
    "harness.probes.git": (
        "arrived",
        "poll_bound",
        "pruned",
        "refused",
        "seen",
        "syncs",
        "versions",
    ),
    "harness.probes.inventory": ("inventory",),
    "harness.probes.ledger": ("Ledger",),
    "harness.probes.loss": ("loss_list",),
    "harness.probes.node_facts": (
        "busiest_agent",
        "first_agent",
        "node_patience",
        "node_pods",
        "node_state",
        "only_server",
    ),
    "harness.probes.nodes": (
        "api_answering",
        "available_elsewhere",
        "fresh",
        "not_ready",
        "ready_again",
        "still_ready",
    ),
    "harness.probes.rollout": (
        "apply_failed",
        "pod_fails",
        "synced",
    ),
    "harness.probes.serving": ("answers", "front_doors_answer"),
    "harness.probes.state": ("state",),
    "harness.probes.sync": (
        "converged",
        "healed",
        "healthy_again",
    ),
}
_HOME = {name: home for home, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'harness' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOME[name]), name)
