"""Drift: what people change by hand does not last."""

from __future__ import annotations

import pytest

from harness import MINUTE, SECOND, Drill, Platform, ScaleDeployment, converged, healed, recovered_within

OBJECTIVE = 3 * MINUTE  # the account promises three minutes
PATIENCE = 3 * OBJECTIVE


@pytest.mark.drill(blast_radius="namespace", objective=OBJECTIVE)
def test_scaled_deployment_is_healed_back(drill: Drill, platform: Platform) -> None:
    """A Deployment scaled by hand goes back to the replica count in Git, by itself, within three minutes."""
    drill.require(converged(platform))

    drift = drill.inject(ScaleDeployment(platform, "cortex-chat/chat-api", replicas=5))
    drill.until(healed(drift), within=PATIENCE)
    drill.until(converged(platform), within=PATIENCE, settle=3 * SECOND)

    drill.conclude(recovered_within(OBJECTIVE, when="healed"))
