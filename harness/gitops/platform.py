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

    @property
    def cluster(self) -> Cluster:
        """The cluster of now. Raises ProvisionFailed when there is none."""
        if self._cluster is None:
            raise ProvisionFailed(f"platform {self.name} has no cluster at the moment")
        return self._cluster

    @property
    def view(self) -> LiveView:
        """What the API of the cluster of now shows, kept current by watches. Raises ProvisionFailed without a cluster."""
        if self._view is None:
            raise ProvisionFailed(f"platform {self.name} has no cluster to look at")
        return self._view

    @property
    def engine(self) -> ArgoCd:
        """The GitOps engine in the cluster of now. Raises ProvisionFailed without a cluster."""
        if self._engine is None:
            raise ProvisionFailed(f"platform {self.name} has no GitOps engine yet")
        return self._engine

    @property
    def api(self) -> KubeApi:
        return self.cluster.api

    @property
    def alive(self) -> bool:
        return self._cluster is not None

    @property
    def promised(self) -> int | None:
        """The number of objects the repository says it holds (`expected_resources` of drill.yaml), if it says so."""
        return self.plan.expected_resources

    def desired(self) -> tuple[DesiredObject, ...]:
        """What Git says there should be, at the head of the served repository."""
        return desired_objects(self.repo, self.plan)

    def refs(self) -> tuple[Ref, ...]:
        """The identities of `desired`."""
        return tuple(o.ref for o in self.desired())

    def start(self) -> None:
        """Make the cluster and bootstrap it from Git. Returns when the root objects are applied, not when all is converged."""
        with self.journal.phase("cluster"):
            self._cluster = self.clusters.create(self.spec)
        self._bootstrap()

    def rebuild(self) -> None:
        """A new cluster, given only Git: the same name, the same repository, nothing else carried over."""
        if self._cluster is not None:
            raise ProvisionFailed(f"platform {self.name} still has its cluster: destroy it before it is rebuilt")
        self.start()

    def destroy(self) -> None:
        """Delete the cluster; the repository and its address stay."""
        if self._view is not None:
            self._view.stop()
            self._view = None
        self._engine = None
        if self._cluster is not None:
            self.clusters.destroy(self._cluster)
            self._cluster = None

    def _bootstrap(self) -> None:
        with self.journal.phase("argocd"):
            engine = ArgoCd(self.cluster.api, clock=self.clock)
            engine.install(self.images, self.profile, settings=self.plan.settings)
            self._view = LiveView(self.cluster.api, self._watched(), clock=self.clock, on_gap=self._gap)
            self._view.start()
            self._engine = engine
            ready = until(engine.ready(self._view), within=ENGINE_PATIENCE, clock=self.clock, on_change=self._seen)
            if not ready.met:
                raise ProvisionFailed(f"Argo CD did not become ready: {ready.last.sentence()}")
        with self.journal.phase("root"):
            self.cluster.api.apply_many(self.plan.root_objects(self.repo))

    def _watched(self) -> Iterable[object]:
        raise ConfigError("", "", "")
