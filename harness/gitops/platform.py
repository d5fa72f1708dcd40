"""A platform: one cluster, the repository it follows, and the engine between them.

Here belongs putting the three together, taking them apart and making them anew from Git alone. How a cluster is made
is in `harness.cluster.clusters`, what the engine needs in `harness.gitops.argocd`.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from harness.cluster.live import Gap, LiveView
from harness.core.clock import MINUTE, SECOND, Clock, between_ns
from harness.core.errors import ProvisionFailed
from harness.core.objects import Ref
from harness.core.observation import Observation
from harness.core.profile import Profile
from harness.core.timeline import Journal
from harness.effects.waiting import until
from harness.gitops.argocd import ArgoCd
from harness.gitops.convergence import watched_kinds
from harness.gitops.render import DesiredObject, desired_objects
from harness.gitops.repo import ServedRepo

if TYPE_CHECKING:  # what makes clusters and images is loaded when one is made: collecting scenarios must not pay for it
    from harness.cluster.clusters import Cluster, Clusters, ClusterSpec
    from harness.cluster.images import ImageSet
    from harness.cluster.kube import KubeApi
    from harness.gitops.plan import BootstrapPlan

ENGINE_PATIENCE = 5 * MINUTE
DOCKER_RESTART = 15 * SECOND  # a Docker engine that is silent for longer is gone, and with it the nodes


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
    _silent_ns: int | None = None  # since when the Docker engine gives no answer

    @property
    def cluster(self) -> Cluster:
        """The cluster of now. Raises ProvisionFailed when there is none."""
        if self._cluster is None:
            raise ProvisionFailed(f"platform {self.name} has no cluster at the moment")
        return self._cluster

    @property
    def view(self) -> LiveView:
        """What its API shows, kept current by watches. Raises ProvisionFailed without a cluster."""
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
        """Make the cluster and bootstrap it from Git. Returns before all has converged.

        Raises what `Clusters.create` does, and ProvisionFailed when Argo CD does not become ready.
        """
        with self.journal.phase("cluster"):
            self._cluster = self.clusters.create(self.spec, meanwhile=self._bootstrap)
        with self.journal.phase("argocd"):
            self._await_engine()

    def rebuild(self) -> None:
        """A new cluster, given only Git: the same name, the same repository, nothing else carried over.

        Raises what `start` does, and ProvisionFailed while the old cluster is still there.
        """
        if self._cluster is not None:
            raise ProvisionFailed(f"platform {self.name} still has its cluster: destroy it before it is rebuilt")
        self.start()

    def rebootstrap(self) -> None:
        """Argo CD and the root objects once more, on the cluster that is there: after the engine was lost.

        Returns when Argo CD is ready, before all has converged. What is looked at goes on. Raises ProvisionFailed.
        """
        self._bootstrap(self.cluster)
        with self.journal.phase("argocd"):
            self._await_ready(self.view)

    def destroy(self) -> None:
        """Delete the cluster; the repository and its address stay."""
        if self._view is not None:
            self._view.stop()
        self._view, self._engine = None, None
        if self._cluster is not None:
            cluster, self._cluster = self._cluster, None
            self.clusters.destroy(cluster)

    def discard(self) -> None:
        """Remove what stands of a cluster that did not come up. Raises UnsafeTarget, ProvisionFailed."""
        if self._cluster is None and (names := self.clusters.discard(self.spec)):
            self.journal.add("note", self.name, text=f"a cluster did not come up; removed: {', '.join(names)}")

    def let_go(self) -> Cluster:
        """Stop looking after the cluster, which goes on: it is the caller's. For the benchmark's twin."""
        cluster = self.cluster
        if self._view is not None:
            self._view.stop()
        self._view, self._engine, self._cluster = None, None, None
        cluster.destroyed = True
        return cluster

    def how_to_reach(self) -> str:
        """For people who kept it: how to look at it and how to delete it."""
        return self.cluster.how_to_reach()

    def lost(self) -> str:
        """Why the cluster cannot come back by itself; "" where it may. To be asked at intervals, while one waits.

        Its nodes are containers: while the API is silent, the Docker engine is asked. A short silence may be a restart.
        """
        why, now = "", self.clock.now_ns()
        if self._cluster is not None and self._view is not None and not self._view.answering:
            why = self._cluster.docker.silence()
        self._silent_ns = (self._silent_ns or now) if why else None
        if self._silent_ns is None or between_ns(self._silent_ns, now) < DOCKER_RESTART:
            return ""
        return f"the cluster cannot come back: {why}"

    def _bootstrap(self, cluster: Cluster) -> None:
        """Argo CD, then the root objects: accepted by an API whose nodes may still be coming up."""
        engine = ArgoCd(cluster.api, clock=self.clock)
        sets = self.plan.has_application_sets(self.repo)
        with self.journal.phase("argocd.apply"):
            engine.install(self.images, self.profile, settings=self.plan.settings, application_sets=sets)
        with self.journal.phase("root"):
            cluster.api.apply_many(self.plan.root_objects(self.repo))
        self._engine = engine

    def _await_engine(self) -> None:
        kinds = watched_kinds(self.api.kind, self.desired())
        self._view = LiveView(self.api, kinds, clock=self.clock, on_gap=self._gap).start()
        self._await_ready(self._view)

    def _await_ready(self, view: LiveView) -> None:
        probe = self.engine.ready(view)
        ready = until(probe, within=ENGINE_PATIENCE, clock=self.clock, on_change=self.on_change, on_beat=self.on_beat)
        if not ready.met:
            raise ProvisionFailed(f"Argo CD did not become ready: {ready.last.sentence()}")

    def _gap(self, gap: Gap) -> None:
        if gap.end_ns is None:
            return  # told again when it ends; one that never ends shows as an outage of the API
        line = self.journal.timeline
        begin, end = (line.moment(ns) // timedelta(microseconds=1) for ns in (gap.start_ns, gap.end_ns))
        line.add("gap", str(gap.kind), start_us=begin, end_us=end, reason=gap.reason)

    def on_change(self, seen: Observation) -> None:
        """What a wait says when the answer changed, for the current timeline."""
        self.journal.add("probe.changed", seen.subject, **seen.to_record())

    def on_beat(self, seen: Observation, left: timedelta) -> None:
        """What a wait says from time to time, for the current timeline. Raises ProvisionFailed: see `lost`."""
        self.journal.add("heartbeat", seen.subject, **seen.to_record(), left_s=left.total_seconds())
        if why := self.lost():
            raise ProvisionFailed(why)


@dataclass(frozen=True, slots=True)
class Engine:
    """The engine of a platform alone, as something that can be made anew: `drill.rebuild(Engine(platform))`."""

    platform: Platform

    def rebuild(self) -> None:
        """Bootstrap it again on the cluster that is there. Raises ProvisionFailed."""
        self.platform.rebootstrap()
