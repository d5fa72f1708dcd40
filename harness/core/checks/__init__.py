"""Pure judges: a history in, a finding out.

Here belong the claims a drill can make, one module a subject. Each is a function that returns a `Check`; nothing here
asks a cluster, a clock or a disk, so that any stored run can be judged again. What a judge may read is only what the
timeline holds.

Events read here (written by `harness.drill` and `harness.gitops.platform`):
  drill.begun       promise, blast_radius
  fault.injected    sent_us, accepted_us (monotonic, on the timeline): when it was asked for, when it was accepted;
                    touches (patterns over identities)
  fault.confirmed   state, actual
  until.ended       state, expected, actual, met_us, not_before_us, flaps, within_s, waited_s
  hold.ended        state, expected, actual, lasting_s
  observed          reading (name), value
  ledger.*, volume.copied, by_hand.made: see `harness.core.checks.loss`
"""

from __future__ import annotations

from harness.core.checks.check import Check
from harness.core.checks.commits import (
    every_push_within,
    everything_kept_its_version,
    no_sync_was_started,
    only_what_left_git_was_pruned,
)
from harness.core.checks.drift import healed_as_backoff_allows, reported_as_unmanaged, resumed_within
from harness.core.checks.engine import arrived_within, work_done_once
from harness.core.checks.inventory import everything_came_back
from harness.core.checks.landing import fault_landed, stayed_so, waits_ended_met
from harness.core.checks.loss import data_loss_within, git_brings_back_no_data, lost_what_was_listed
from harness.core.checks.nodes import no_pod_replaced, node_is_fresh, node_works
from harness.core.checks.radius import stayed_within_blast_radius
from harness.core.checks.recovery import Interval, interval, recovered_within
from harness.core.checks.registry import restorables
from harness.core.checks.rollback import (
    apply_was_refused,
    deletion_was_undone,
    live_was_left_alone,
    nothing_was_replaced,
    state_is_as_before,
    volumes_outlived_it,
)

__all__ = [
    "CHECKS",
    "Check",
    "Interval",
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
    "interval",
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
    "stayed_so",
    "stayed_within_blast_radius",
    "volumes_outlived_it",
    "waits_ended_met",
    "work_done_once",
]

# Every claim stores how it was made, so that a stored run can be judged again with the names of today.
CHECKS = restorables(globals(), __all__)
globals().update(CHECKS)
