"""A copy of a volume: taken from the cluster of now, put back into the next one.

Here belong the copy and the two questions about putting it back. Where a volume is, and how its files travel, is
`harness.cluster.volumes`. A copy is not checked when it is put back: whether a backup is any good is what a drill is
to find out, by the rows that are there afterwards.

The copy is taken while the workload runs. That is sound for files that are only appended to and flushed before a write
is acknowledged: all rows acknowledged before the copy began are in it, and at most one torn row after them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

from harness.cluster.volumes import LocalVolume, copy_in, copy_out, local_volume
from harness.core.errors import ApiRefused, ApiUnreachable, ProvisionFailed, ToolError
from harness.core.objects import POD, Object, dig, is_true, placed
from harness.core.observation import Observation, Probe, State
from harness.core.text import first_line
from harness.gitops.platform import Platform

ATTEMPTS = 3  # a file that grows at the wrong moment makes `docker cp` give up


@dataclass(slots=True)
class VolumeCopy:
    """The files of a claim (namespace/name) as they were between `begun_ns` and `ended_ns`."""

    platform: Platform
    claim: str
    file: Path
    begun_ns: int
    ended_ns: int
    _replaced: frozenset[str] = frozenset()
    _put_back: bool = False
    _put_in: Callable[..., None] = field(default=copy_in, repr=False)

    @property
    def bound(self) -> Probe:
        """The claim of that name has a volume in the cluster of now: there is somewhere to put the copy."""
        return _Asked(self.platform, f"bound({self.claim})", "a volume bound to the claim", self._bound)

    @property
    def reopened(self) -> Probe:
        """The workload has been started anew on what was put back, and is ready."""
        return _Asked(self.platform, f"reopened({self.claim})", "a ready Pod, newer than the files", self._reopened)

    def restore(self) -> None:
        """Put the files back, and delete the Pod that has the old ones open; its controller makes another one.

        Raises ProvisionFailed when no volume is bound, UnsafeTarget, ToolError, ApiUnreachable and ApiRefused.
        """
        platform = self.platform
        with platform.journal.phase("restore"):
            platform.cluster.assert_ours()
            volume = _volume_of(platform, self.claim)
            self._put_in(self.file, _container(platform, volume), volume.path)
            users = self._users()
            self._replaced = frozenset(str(pod["metadata"]["uid"]) for pod in users)
            for pod in users:
                platform.api.delete(POD, pod["metadata"]["name"], pod["metadata"]["namespace"])
            self._put_back = True
            size = self.file.stat().st_size
            platform.journal.add("volume.restored", self.claim, claim=self.claim, node=volume.node, bytes=size,
                                 restarted=[pod["metadata"]["name"] for pod in users])  # fmt: skip

    def _bound(self) -> str:
        namespace, _, name = self.claim.partition("/")
        return "" if local_volume(self.platform.api, namespace, name) else "no volume is bound to it"

    def _reopened(self) -> str:
        if not self._put_back:
            return "the copy is not put back yet"
        fresh = [pod for pod in self._users() if pod["metadata"]["uid"] not in self._replaced]
        if not fresh:
            return "no new Pod yet"
        waiting = [pod["metadata"]["name"] for pod in fresh if not is_true(pod, "Ready")]
        return f"{waiting[0]} is not ready" if waiting else ""

    def _users(self) -> tuple[Object, ...]:
        """The Pods that mount the claim."""
        namespace, _, name = self.claim.partition("/")
        pods: tuple[Object, ...] = self.platform.api.list(POD, namespace).items
        return tuple(pod for pod in pods if any(dig(v, "persistentVolumeClaim", "claimName") == name
                                                for v in dig(pod, "spec", "volumes", default=[])))  # fmt: skip


def copy_volume(platform: Platform, claim: str, *, copy: Callable[..., int] = copy_out) -> VolumeCopy:
    """Copy the volume of a claim (namespace/name) to the run's private folder, while its workload runs.

    Raises ConfigError, ProvisionFailed (no node-local volume is bound to it), ToolError, ApiUnreachable, ApiRefused.
    """
    placed(claim, "volume claim")
    clock, journal = platform.clock, platform.journal
    volume = _volume_of(platform, claim)
    container = _container(platform, volume)
    file = _file(platform, claim)
    for attempt in range(1, ATTEMPTS + 1):
        begun = clock.now_ns()
        try:
            size = copy(container, volume.path, file)
        except ToolError as error:
            journal.add("note", claim, text=f"copy {attempt} of at most {ATTEMPTS} failed: {error}")
            if attempt == ATTEMPTS:
                raise
            continue
        break
    ended = clock.now_ns()
    begun_us, ended_us = (journal.timeline.moment(ns) // timedelta(microseconds=1) for ns in (begun, ended))
    journal.add("volume.copied", claim, claim=claim, node=volume.node, bytes=size, begun_us=begun_us, ended_us=ended_us)
    return VolumeCopy(platform, claim, file, begun, ended)


def copies_folder(platform: Platform) -> Path:
    """Where the copies of a run are."""
    return platform.clusters.run_dir / "copies"


def _file(platform: Platform, claim: str) -> Path:
    folder = copies_folder(platform)
    folder.mkdir(mode=0o700, exist_ok=True)
    return folder / f"{claim.replace('/', '.')}-{len(list(folder.iterdir()))}.tar"


def _volume_of(platform: Platform, claim: str) -> LocalVolume:
    namespace, _, name = claim.partition("/")
    volume = local_volume(platform.api, namespace, name)
    if volume is None:
        raise ProvisionFailed(f"no volume is bound to claim {claim}")
    return volume


def _container(platform: Platform, volume: LocalVolume) -> str:
    """The container of the volume's node, which is one of this cluster's."""
    for node in platform.cluster.nodes():
        if node.name == volume.node:
            return node.container
    raise ProvisionFailed(f"volume {volume.volume} is on node {volume.node}, which is no node of {platform.name}")


@dataclass(slots=True)
class _Asked:
    """A question whose answer is what is still missing: nothing when it is MET."""

    platform: Platform
    subject: str
    expected: str
    missing: Callable[[], str]
    first_ns: int | None = None
    otherwise_ns: int | None = None

    @property
    def signal(self) -> Any:
        try:
            return self.platform.view.signal
        except ProvisionFailed:
            return None

    def observe(self) -> Observation:
        now = self.platform.clock.now_ns()
        try:
            missing = self.missing()
        except (ApiUnreachable, ApiRefused, ProvisionFailed) as error:
            missing = first_line(error)
        if missing:
            self.first_ns, self.otherwise_ns = None, now
            return Observation(State.PENDING, self.subject, self.expected, missing[:160], now)
        self.first_ns = self.first_ns or self.platform.clock.now_ns()
        return Observation(State.MET, self.subject, self.expected, self.expected, self.first_ns, self.otherwise_ns)
