"""A platform: one cluster, the repository it follows, and the engine between them.

Here belongs putting the three together, taking them apart and making them anew from Git alone. How a cluster is made
is in `harness.cluster.clusters`, what the engine needs in `harness.gitops.argocd`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from harness.cluster.clusters import Cluster, Clusters, ClusterSpec
from harness.cluster.images import ImageSet
from harness.cluster.kube import KubeApi, Ref
from harness.cluster.live import Gap, LiveView
from harness.core.clock import MINUTE, Clock
from harness.core.errors import ConfigError, ProvisionFailed
from harness.core.profile import Profile
from harness.core.timeline import Journal
from harness.effects.waiting import until
from harness.gitops.argocd import ArgoCd
from harness.gitops.plan import BootstrapPlan
from harness.gitops.render import DesiredObject, desired_objects
from harness.gitops.repo import ServedRepo

ENGINE_PATIENCE = 5 * MINUTE


@dataclass(slots=True)
class Platform:
    """What a scenario drills. Its repository outlives its cluster; its name stays the same across a rebuild."""

    name: str
    clusters: Clusters
    spec: ClusterSpec
    repo: ServedRepo
    plan: BootstrapPlan
    images: ImageSet
    profile: Profile
    journal: Journal
    clock: Clock
    tainted: str = ""
    _cluster: Cluster | None = None
    _view: LiveView | None = None
    _engine: ArgoCd | None = None
