"""After something was undone: the platform is what Git says again, or nobody uses it any more.

Here belongs waiting for that, for whatever undoes a fault or a sabotage. What is undone does not.
"""

from __future__ import annotations

from harness.core.clock import MINUTE, SECOND
from harness.core.compose import every
from harness.core.errors import HealFailed
from harness.core.observation import Probe
from harness.effects.waiting import until
from harness.gitops.platform import Platform
from harness.probes.sync import converged

PATIENCE = 3 * MINUTE


def settle(platform: Platform, *also: Probe) -> None:
    """Wait until the platform has converged, and what is asked `also`; one without a cluster needs not.

    Raises HealFailed, and taints the platform.
    """
    if not platform.alive:
        return
    ended = until(every(converged(platform), *also), within=PATIENCE, settle=SECOND, clock=platform.clock)
    if not ended.met:
        platform.tainted = f"after it was undone: {ended.last.sentence()}"
        raise HealFailed(platform.tainted)
