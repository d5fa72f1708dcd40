"""What one drill hands over to the next: a platform that is as it was, or the reason why it is not.

Here belongs what is remembered of a cluster before the first drill on it (which objects, how many Nodes, the tree in
Git), and comparing with that. Making a new cluster where something is wrong is the business of `harness.session`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from harness.cluster.health import health
from harness.core.clock import MINUTE, SECOND, Clock
from harness.core.errors import ApiRefused, ApiUnreachable, ProvisionFailed
from harness.core.objects import NODE, POD, REPLICA_SET, dig, owned_by
from harness.core.observation import Observation, Probe, State
from harness.core.text import first_line, some
from harness.effects.waiting import Outcome, until
from harness.gitops.platform import Platform
from harness.probes.census import census
from harness.probes.sync import converged

FIRST_CONVERGENCE = 10 * MINUTE
TIDY_WITHIN = 2 * MINUTE
CROWDED = 4  # movable Pods on a node; fewer are not worth spreading

# These come and go with others, and under names of their own.
_FOLLOWERS = ("Pod ", "ReplicaSet ", "ControllerRevision ", "Node ", "CSINode ", "PersistentVolume ",
              "PersistentVolumeClaim ", "PodDisruptionBudget ")  # fmt: skip


@dataclass(frozen=True, slots=True)
class Pristine:
    """What was there before the first drill on this cluster, and how many Nodes."""

    names: frozenset[str]
    nodes: int

    @classmethod
    def of(cls, census: Mapping[str, Any]) -> Pristine:
        """From a census."""
        return cls(frozenset(_independent(census)), sum(name.startswith("Node ") for name in census))

    def left_behind(self, census: Mapping[str, Any]) -> list[str]:
        """What is there now, was not there then, and belongs to nothing else."""
        return sorted(set(_independent(census)) - self.names)


def _independent(census: Mapping[str, Any]) -> Iterable[str]:
    return (name for name, item in census.items() if not item.get("owner") and not name.startswith(_FOLLOWERS))


class LeftClean:
    """Converged, every Node Ready and schedulable, Git's tree as at first, and nothing left that was not there."""

    subject = "left clean"

    def __init__(self, converged: Probe, view: Any, clock: Clock, pristine: Pristine) -> None:
        self._converged, self._view, self._clock, self._pristine = converged, view, clock, pristine

    @property
    def signal(self) -> Any:
        return self._converged.signal

    def observe(self) -> Observation:
        """PENDING says the first thing that is not as it was."""
        seen = self._converged.observe()
        problem = f"not converged: {seen.actual}" if not seen.met else self._nodes()
        now = self._clock.now_ns()
        expected = f"converged, {self._pristine.nodes} Nodes Ready and schedulable"
        if problem:
            return Observation(State.PENDING, self.subject, expected, problem, now)
        return Observation(State.MET, self.subject, expected, "so", now)

    def _nodes(self) -> str:
        nodes = [seen.object for seen in self._view.all(NODE)]
        names = [n["metadata"]["name"] for n in nodes if not health(n).ok]
        if names:
            return f"Nodes not Ready or not schedulable: {some(sorted(names))}"
        return "" if len(nodes) == self._pristine.nodes else f"{len(nodes)} Nodes"


def _serves(node: Mapping[str, Any]) -> bool:
    return "node-role.kubernetes.io/control-plane" in dig(node, "metadata", "labels", default={})


def _can_move(pod: Mapping[str, Any], engine: str) -> bool:
    away = dig(pod, "metadata", "namespace") in (engine, "kube-system")
    return not away and owned_by(pod, REPLICA_SET.kind)


class Handover:
    """Keeps watch over one platform, across its clusters."""

    def __init__(self, platform: Platform) -> None:
        self.platform, self.tree = platform, platform.repo.tree
        self._pristine: Pristine | None = None
        self._cluster: Any = None

    def begin(self) -> None:
        """Before a drill: on a cluster that is new, wait until all has converged, and remember what is there.

        What does not converge is left for the drill to say.
        """
        if not self.platform.alive or self._cluster is self.platform.cluster:
            return
        self._cluster, self._pristine = self.platform.cluster, None
        with self.platform.journal.phase("converging"):
            if self._until(converged(self.platform), FIRST_CONVERGENCE).met:
                self._pristine = Pristine.of(census(self.platform).read())

    def check(self) -> str:
        """After a drill: why the next one must not have this cluster; "" if it may.

        A cluster that is not the one of before (it was rebuilt) is looked at as far as that is possible.
        """
        if self.platform.repo.tree != self.tree:
            return "Git is not as it was"
        if not self.platform.alive:
            return ""
        try:
            pristine = self._pristine if self._cluster is self.platform.cluster else None
            wanted = pristine or Pristine.of(census(self.platform).read())
            probe = LeftClean(converged(self.platform), self.platform.view, self.platform.clock, wanted)
            ended = self._until(probe, TIDY_WITHIN)
            if ended.met and self._spread():
                ended = self._until(probe, TIDY_WITHIN, settle=2 * SECOND)  # the watch may not show it yet
            if not ended.met:
                return ended.last.actual
            left = wanted.left_behind(census(self.platform).read())
        except (ApiUnreachable, ApiRefused, ProvisionFailed) as error:
            return f"it could not be looked at: {first_line(error)}"
        return f"left behind: {some(left)}" if left else ""

    def _spread(self) -> bool:
        """Whether Pods were moved: what left a lost agent stays where it is, and the next drill would find it empty.

        Half of what can move is taken from the fullest node; the scheduler prefers the empty one.
        """
        view, api = self.platform.view, self.platform.api
        agents = [n.object["metadata"]["name"] for n in view.all(NODE) if not _serves(n.object)]
        pods: dict[str, list[tuple[str, str]]] = {name: [] for name in agents}
        for seen in view.all(POD):
            metadata, node = seen.object["metadata"], dig(seen.object, "spec", "nodeName", default="")
            if _can_move(seen.object, self.platform.engine.namespace):
                pods.setdefault(node, []).append((metadata["namespace"], metadata["name"]))
        fullest = max(pods.values(), key=len, default=[])
        if all(pods[name] for name in agents) or len(fullest) < CROWDED:
            return False
        for namespace, name in sorted(fullest)[::2]:
            api.delete(POD, name, namespace)
        empty = some([name for name in agents if not pods[name]])
        self.platform.journal.add("note", "handover", text=f"{len(fullest[::2])} Pods spread anew: {empty} ran none")
        return True

    def restore_git(self) -> None:
        """Give the next drill the tree that the first one had. Nothing happens where it is so."""
        self.platform.repo.restore(self.tree, "Restore what a drill has changed")

    def _until(self, probe: Probe, within: timedelta, settle: timedelta = timedelta(0)) -> Outcome:
        platform = self.platform
        return until(probe, within=within, settle=settle, clock=platform.clock,
                     on_change=platform.on_change, on_beat=platform.on_beat)  # fmt: skip
