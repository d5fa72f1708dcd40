"""Losing the whole cluster.

Here belongs `DestroyCluster`. Losing one node does not: that is a fault of its own.
"""

from __future__ import annotations

from dataclasses import dataclass

from harness.core.errors import InjectFailed, ProvisionFailed, ToolError
from harness.core.faults import BlastRadius, Injected
from harness.core.observation import Observation, State
from harness.gitops.platform import Platform


@dataclass(slots=True)
class DestroyCluster:
    """`k3d cluster delete`: nodes, volumes and certificates are gone; only Git is left."""

    platform: Platform
    blast_radius: BlastRadius = BlastRadius.CLUSTER
    touches: tuple[str, ...] = ("*",)

    @property
    def subject(self) -> str:
        return f"DestroyCluster({self.platform.name})"

    def inject(self) -> Injected:
        """The loss counts from the moment the deletion is asked for: from then on nobody is served reliably."""
        begun = self.platform.clock.now_ns()
        nodes = len(self.platform.cluster.nodes())
        try:
            self.platform.destroy()
        except (ToolError, ProvisionFailed) as error:
            raise InjectFailed(f"the cluster could not be deleted: {error}") from error
        deleted = (self.platform.clock.now_ns() - begun) / 1e9
        return Injected(begun, begun, f"cluster with {nodes} nodes deleted in {deleted:.1f} s", {"nodes": nodes})

    def confirm(self) -> Observation:
        left = self.platform.clusters.leftovers(self.platform.spec)
        now = self.platform.clock.now_ns()
        expected = "no container, no volume and no API of the cluster left"
        if left:
            return Observation(State.PENDING, self.subject, expected, f"still there: {', '.join(left)}", now)
        return Observation(State.MET, self.subject, expected, expected, now)
