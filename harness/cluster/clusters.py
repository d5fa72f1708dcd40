"""Clusters of ours: made, proved ready, destroyed.

Here belongs the order of their making and of their end. What one is, and the guard in front of every destructive act,
is in `harness.cluster.cluster`; what runs in it is in `harness.gitops`.
"""

from __future__ import annotations

import importlib
import re
import secrets
import socket
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from urllib.parse import urlparse

from harness.cluster import labels
from harness.cluster.cluster import Cluster, cluster_uid
from harness.cluster.docker import Container, Docker
from harness.cluster.images import FLAVOUR_K3S, ImageSet, cache_folder
from harness.cluster.k3d import Creation, K3d
from harness.cluster.kube import KubeApi
from harness.cluster.live import LiveView
from harness.cluster.network import Firewall, Network, Networks, host_tools
from harness.cluster.readiness import (
    PROBE_NAMESPACE,
    WATCHED,
    AccountThere,
    ApiReady,
    DnsAnswering,
    Listening,
    NodesReady,
    probing_pod,
)
from harness.cluster.spec import LOOPBACK, ClusterSpec, free_port, k3d_config
from harness.core.clock import MILLISECOND, MINUTE, SECOND, Clock
from harness.core.errors import (
    ApiRefused,
    ApiUnreachable,
    CommandFailed,
    HarnessError,
    ProvisionFailed,
    ToolError,
    UnsafeTarget,
)
from harness.core.objects import POD
from harness.core.observation import Observation, Probe
from harness.core.timeline import Journal
from harness.effects.waiting import retrying, until

__all__ = ["Cluster", "ClusterSpec", "Clusters", "Network", "k3d_config"]


@dataclass(slots=True)
class Clusters:
    """Makes and destroys the clusters of one run. `close` destroys what is left, then the networks."""

    docker: Docker
    images: ImageSet
    run_id: str
    run_dir: Path
    clock: Clock
    journal: Journal
    egress_allowed: bool = False
    state: Path | None = None
    k3d: K3d = field(init=False)
    networks: Networks = field(init=False)
    owner: labels.Owner = field(init=False)
    _made: dict[str, Cluster | None] = field(default_factory=dict)
    _open_networks: list[Network] = field(default_factory=list)
    _volumes: dict[str, set[str]] = field(default_factory=dict)
    _kept: bool = False
    connect: Callable[[Path, Clock], KubeApi] = KubeApi

    def __post_init__(self) -> None:
        self.run_dir = self.run_dir.resolve()
        self.run_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.owner = labels.Owner.me()
        self.k3d = K3d(
            self.images.k3d, tools_image=self.images.tools.reference, scratch=self.run_dir, clock=self.clock,
            fix_cgroups=self.images.flavour == FLAVOUR_K3S,
        )  # fmt: skip
        firewall = Firewall(host_tools(self.docker, self.images.node.reference))
        self.networks = Networks(
            self.docker, firewall, run_id=self.run_id, owner=self.owner, clock=self.clock,
            state=self._shared,
        )  # fmt: skip

    def make_network(self) -> Network:
        """A network of this run, closed unless egress was allowed.

        Raises EnvironmentUnfit for a k3d that is not supported, UnsafeTarget, ProvisionFailed.
        """
        self.k3d.require_supported()
        network = self.networks.make("allow" if self.egress_allowed else "deny")
        self._open_networks.append(network)
        return network

    def create(self, spec: ClusterSpec, *, meanwhile: Callable[[Cluster], None] = lambda _: None) -> Cluster:
        """Make a cluster and return once it is ready (see `harness.cluster.readiness`).

        `meanwhile` is done as soon as the API answers, while nodes and DNS are still coming up.

        Raises ConfigError, UnsafeTarget (a cluster of that name that is not ours, an open network), EnvironmentUnfit (a
        port in use), ImageUnavailable and ProvisionFailed; what was made then stays as evidence until `close`.
        """
        spec.checked()
        self._require_absent(spec.name)
        self.networks.verify(spec.network)
        port = free_port(spec.api_port)
        marks = labels.labels(self.run_id, self.owner, self.clock.utc())
        self._made[spec.name] = None
        self._make_image_volume(spec.name, marks)
        creation = self.k3d.begin_create(k3d_config(spec, self.images, marks, port), self.run_dir)
        threading.Thread(target=_warm_up, daemon=True).start()
        try:
            cluster = self._bring_up(spec, port, creation, meanwhile)
        except BaseException as error:
            creation.abort()
            if isinstance(error, HarnessError):
                self._save_evidence(spec, error)
            raise
        self._made[spec.name] = cluster
        return cluster

    def destroy(self, cluster: Cluster) -> None:
        """`k3d cluster delete`, then proof that it is gone. Raises UnsafeTarget, ProvisionFailed."""
        cluster.assert_ours()
        self._delete(cluster.name)
        cluster.destroyed = True
        cluster.api.close()

    def discard(self, spec: ClusterSpec) -> tuple[str, ...]:
        """Remove what stands of a cluster that did not come up: names. Raises UnsafeTarget, ProvisionFailed."""
        if names := tuple(c.name for c in self._containers(spec.name)):
            self._require_ours(spec.name)
            self._delete(spec.name)
        return names

    def leftovers(self, spec: ClusterSpec) -> tuple[str, ...]:
        """What still stands of a cluster: containers by name, volumes, an API that answers. Empty when it is gone."""
        found = [c.name for c in self.docker.containers(f"{labels.K3D_CLUSTER}={spec.name}")]
        there = set(self.docker.volumes())
        found += sorted(f"volume {v[:12]}" for v in self._volumes.get(spec.name, set()) & there)
        cluster = self._made.get(spec.name)
        if cluster is not None and _answers(cluster.api.server):
            found.append(f"API at {cluster.api.server}")
        return tuple(found)

    def keep(self) -> None:
        """Leave clusters and networks standing at `close`, and when later runs look for orphans."""
        self._kept = True
        labels.mark_kept(self._shared, self.run_id)

    @property
    def _shared(self) -> Path:
        """What all runs of this user share: locks and notes."""
        return self.state or cache_folder()

    def close(self) -> None:
        """Destroy every cluster and network left, also those that came up only in part. The first error is raised."""
        if self._kept:
            return
        first: Exception | None = None
        for name, cluster in list(self._made.items()):
            if cluster is not None and cluster.destroyed:
                continue
            try:
                if cluster is not None:
                    self.destroy(cluster)
                else:
                    self._require_ours(name)
                    self._delete(name)
            except HarnessError as error:
                first = first or error
        for network in list(self._open_networks):
            try:
                self.networks.remove(network)
                self._open_networks.remove(network)
            except HarnessError as error:
                first = first or error
        if first is not None:
            raise first

    # --- making ----------------------------------------------------------------------------------------------------

    def _bring_up(
        self, spec: ClusterSpec, port: int, creation: Creation, meanwhile: Callable[[Cluster], None]
    ) -> Cluster:
        """Everything is awaited from the start; the phases are milestones, each as late as its slowest part."""
        with self.journal.phase("cluster.api"):
            listening = Listening(LOOPBACK, port, self.clock, creation.failed)
            self._await(listening, spec, poll=50 * MILLISECOND, creation=creation)
            cluster = self._connected(spec)
            self._await(ApiReady(cluster.api, self.clock), spec, poll=100 * MILLISECOND)
            cluster.uid = cluster_uid(cluster.api)
        view = LiveView(cluster.api, WATCHED, clock=self.clock, on_gap=lambda _: None)
        view.start()
        try:
            pod = f"drill-ready-{secrets.token_hex(3)}"
            with self.journal.phase("cluster.nodes"):
                self._await(AccountThere(view, self.clock), spec)
                cluster.api.create(probing_pod(pod, self.images.sample.reference))
                meanwhile(cluster)
                self._await(NodesReady(view, self.clock, spec.servers + spec.agents), spec)
            with self.journal.phase("cluster.dns"):
                self._await(DnsAnswering(view, self.clock, pod), spec)
            with suppress(ApiUnreachable, ApiRefused):
                cluster.api.delete(POD, pod, PROBE_NAMESPACE, grace=timedelta(0))
        finally:
            view.stop()
        with self.journal.phase("cluster.k3d"):
            creation.finish(spec.patience)
        self._volumes[spec.name].update(v for c in cluster.containers() for v in c.volumes)
        return cluster

    def _make_image_volume(self, name: str, marks: Mapping[str, str]) -> None:
        """k3d makes this one if it is absent, but then without our labels: it would outlive a run that was killed."""
        volume = f"k3d-{name}-images"
        self.docker.create_volume(volume, {"app": "k3d", labels.K3D_CLUSTER: name, **marks})
        self._volumes[name] = {volume}

    def _connected(self, spec: ClusterSpec) -> Cluster:
        """k3s writes its kubeconfig a little after its API has begun to answer."""
        path = self.run_dir / f"{spec.name}.kubeconfig"
        retrying(
            lambda: self.k3d.kubeconfig(spec.name, path), on=(CommandFailed,), within=MINUTE, clock=self.clock,
            report=lambda _, error: self._note(spec.name, f"no kubeconfig yet: {str(error)[-200:]}"),
        )  # fmt: skip
        api = self.connect(path, self.clock)
        api.on_retry = lambda text: self._note(spec.name, text)
        return Cluster(spec.name, path, api, spec.network, self.docker, spec, self.run_id, uid="")

    def _await(
        self, probe: Probe, spec: ClusterSpec, *, poll: timedelta = SECOND, creation: Creation | None = None
    ) -> None:
        outcome = until(
            probe, within=spec.patience, clock=self.clock, poll=poll, on_change=self._changed, on_beat=self._beat
        )
        if outcome.met:
            return
        if creation is not None and creation.failed():
            creation.finish(spec.patience)  # raises what k3d said
        waited = f"{outcome.waited.total_seconds():.0f} s"
        raise ProvisionFailed(f"cluster {spec.name} did not become ready in {waited}: {outcome.last.sentence()}")

    def _note(self, subject: str, text: str) -> None:
        self.journal.add("note", subject, text=text)

    def _changed(self, seen: Observation) -> None:
        self.journal.add("probe.changed", seen.subject, **seen.to_record())

    def _beat(self, seen: Observation, left: timedelta) -> None:
        self.journal.add("heartbeat", seen.subject, **seen.to_record(), left_s=left.total_seconds())

    def _save_evidence(self, spec: ClusterSpec, error: HarnessError) -> None:
        """Save what the nodes said: a cluster that never came up has no API to ask."""
        folder = self.run_dir / f"{spec.name}.failed"
        with suppress(ToolError):
            for container in self._containers(spec.name):
                folder.mkdir(exist_ok=True, mode=0o700)
                said = self.docker.logs(container.name)
                (folder / f"{container.name}.log").write_text(said)
                if "too many open files" in said:
                    error.add_note(f"{container.name} ran out of inotify instances: see `drill doctor`")
        error.add_note(f"what the nodes of {spec.name} said: {folder}; k3d: {self.run_dir / spec.name}.k3d.log")

    # --- guarding and destroying -----------------------------------------------------------------------------------

    def _containers(self, name: str) -> tuple[Container, ...]:
        return self.docker.containers(f"{labels.K3D_CLUSTER}={name}")

    def _require_absent(self, name: str) -> None:
        if self._containers(name):
            self._require_ours(name)
            raise ProvisionFailed(f"cluster {name} of this run still stands: destroy it before it is made again")

    def _require_ours(self, name: str) -> None:
        for container in self._containers(name):
            if container.labels.get(labels.RUN) != self.run_id and not _tools_of(container, name):
                raise UnsafeTarget(
                    f"no cluster {name}, or one of run {self.run_id}", f"one that is not ours ({container.name})",
                    f"delete it yourself with `k3d cluster delete {name}` if you do not need it",
                )  # fmt: skip

    def _delete(self, name: str) -> None:
        containers = self._containers(name)
        self._volumes.setdefault(name, set()).update(v for c in containers for v in c.volumes)
        failure = ""
        try:
            if containers:
                self.k3d.delete(name)
        except (ToolError, ProvisionFailed) as error:  # half made, or half gone: what is left is removed below
            failure = str(error)
        for container in self._containers(name):
            self.docker.remove(container.id)
        there = set(self.docker.volumes())
        for volume in self._volumes[name] & there:
            self.docker.remove_volume(volume)
        left = [c.name for c in self._containers(name)]
        if left:
            raise ProvisionFailed(f"cluster {name} could not be deleted, {', '.join(left)} left: {failure}")
        if failure:
            self._note(name, f"k3d could not delete it ({failure}): removed by drill itself")


def _warm_up() -> None:
    """The client takes up to a second to import; better while k3d makes containers than when the API waits for us."""
    importlib.import_module("kubernetes.config")


def _answers(server: str) -> bool:
    url = urlparse(server)
    with suppress(OSError), socket.create_connection((url.hostname or LOOPBACK, url.port or 6443), 1):
        return True
    return False


def _tools_of(container: Container, name: str) -> bool:
    """k3d's short-lived helper carries only k3d's own labels; one may be left when k3d was killed."""
    return re.fullmatch(rf"k3d-{re.escape(name)}-tools", container.name) is not None
