"""Is live what Git says?

Here belong probes about convergence, and about a drift that goes away again. What must stay is `harness.probes.calm`.
The predicate of convergence itself is `harness.gitops.convergence`.
"""

from __future__ import annotations

from typing import Any

from harness.cluster.health import health
from harness.cluster.live import Seen
from harness.core.observation import Observation, Probe, State
from harness.faults.hand import Drift, Hand, authors
from harness.gitops.convergence import Converged
from harness.gitops.platform import Platform
from harness.probes.calm import called


def converged(platform: Platform) -> Probe:
    """Every Application follows the head of Git, every object in Git is live and healthy."""
    return Converged(platform)


class _Healed:
    """Git's state is back on the live object, in a version newer than the drift. With `healthy`, also rolled out."""

    def __init__(self, hand: Hand, name: str, healthy: bool) -> None:
        self._hand, self._healthy = hand, healthy
        self.subject = f"{name}({hand.ref})"

    @property
    def signal(self) -> Any:
        return self._hand.platform.view.signal

    def observe(self) -> Observation:
        hand, now = self._hand, self._hand.platform.clock.now_ns()
        accepted = hand.receipt()
        if accepted is None:
            waiting = "the drift itself is not seen yet"
            return Observation(State.PENDING, self.subject, "the drift gone", waiting, now)
        expected = f"{hand.mark.wanted}, and healthy" if self._healthy else hand.mark.wanted
        before, text = accepted, hand.mark.told(accepted)
        for seen in hand.since():
            back, text = self._judge(seen)
            if back:
                detail = {"by": list(authors(before.object, seen.object))}
                at, since = seen.received_ns, hand.not_before(seen)
                return Observation(State.MET, self.subject, expected, text, at, since, detail=detail)
            before = seen
        if said := called(hand.platform, hand.ref):  # whether Argo CD has noticed at all
            text = f"{text}; Argo CD calls it {said}"
        return Observation(State.PENDING, self.subject, expected, text, now)

    def _judge(self, seen: Seen) -> tuple[bool, str]:
        told = self._hand.mark.told(seen)
        if not self._hand.mark.undone(seen):
            return False, told
        if not self._healthy:
            return True, f"{told} again" if not seen.deleted else told
        found = health(seen.object)
        return bool(found.ok), found.text


def healed(drift: Drift) -> Probe:
    """The drift is gone from the live object. `by` tells who wrote that state: their field managers."""
    return _Healed(drift.hand, "healed", healthy=False)


def healthy_again(drift: Drift) -> Probe:
    """The drift is gone, and the object was rolled out after that: what it promises, it does again."""
    return _Healed(drift.hand, "healthy_again", healthy=True)
