"""Is live what Git says?

Here belong probes about convergence and self-heal. The predicate itself is `harness.gitops.convergence`.
"""

from __future__ import annotations

from typing import Any

from harness.core.observation import Observation, Probe, State
from harness.faults.live_drift import ScaleDeployment
from harness.gitops.convergence import Converged
from harness.gitops.platform import Platform


def converged(platform: Platform) -> Probe:
    """Every Application follows the head of Git, every object in Git is live and healthy."""
    return Converged(platform)


class _Healed:
    """Git's value is back on the live object, in a version newer than the drift."""

    def __init__(self, drift: ScaleDeployment) -> None:
        self._drift = drift
        self.subject = f"healed({drift.ref})"

    @property
    def signal(self) -> Any:
        return self._drift.platform.view.signal

    def observe(self) -> Observation:
        drift = self._drift
        expected = f"spec.replicas {drift.before}, as in Git"
        accepted = drift.accepted()
        if accepted is None or drift.written is None:
            return Observation(
                State.PENDING, self.subject, expected, "the drift itself is not seen yet", drift.platform.clock.now_ns()
            )
        # The same stream carried both events. Its delay is at most what our own write took from send to event, so
        # that the API accepted the heal within that time before we saw it.
        delay = accepted.received_ns - drift.written.sent_ns
        later = [s for s in drift.platform.view.history(drift.ref) if s.received_ns > accepted.received_ns]
        for seen in later:
            if not seen.deleted and seen.object["spec"]["replicas"] == drift.before:
                actual = f"spec.replicas {drift.before} again"
                # Found by a list after a gap, an event is bounded only by the one before it.
                prompt = accepted.prompt and seen.prompt
                bound = seen.received_ns - delay if prompt else seen.previous_ns or 0
                since = max(accepted.received_ns, bound)
                return Observation(State.MET, self.subject, expected, actual, seen.received_ns, since)
        last = (later or [accepted])[-1]
        shown = "deleted" if last.deleted else f"spec.replicas {last.object['spec']['replicas']}"
        return Observation(State.PENDING, self.subject, expected, shown, drift.platform.clock.now_ns())


def healed(drift: ScaleDeployment) -> Probe:
    """The drift is gone from the live object, and it was not us who removed it."""
    return _Healed(drift)
