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
"""

from __future__ import annotations

from harness.core.checks.check import Check
from harness.core.checks.commits import (
    every_push_within,
    everything_kept_its_version,
    no_sync_was_started,
    only_what_left_git_was_pruned,
)
from harness.core.checks.inventory import everything_came_back
from harness.core.checks.landing import fault_landed, stayed_so, waits_ended_met
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
    "deletion_was_undone",
    "every_push_within",
    "everything_came_back",
    "everything_kept_its_version",
    "fault_landed",
    "interval",
    "live_was_left_alone",
    "no_sync_was_started",
    "nothing_was_replaced",
    "only_what_left_git_was_pruned",
    "recovered_within",
    "state_is_as_before",
    "stayed_so",
    "stayed_within_blast_radius",
    "volumes_outlived_it",
    "waits_ended_met",
]

# Every claim stores how it was made, so that a stored run can be judged again with the names of today.
CHECKS = restorables(globals(), __all__)
globals().update(CHECKS)
