"""Sabotage of node drills: what makes the promises about one node's loss fail.

Here belong things that only twins do. Honest harm to a node is `harness.faults.node`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta

import yaml

from harness.core.errors import ApiRefused, ConfigError, InjectFailed
from harness.core.objects import NODE, POD, REPLICA_SET, Object, dig
from harness.faults.settling import settle
from harness.gitops.platform import Platform

LABEL = "drill.invalid/pinned"
Choice = Callable[[Platform], str]  # which node: what the story itself asks, once the platform has settled


def chosen(platform: Platform, choose: Choice) -> str:
    """The node that the story will choose: it asks the same of the same state. Raises HealFailed, PreconditionUnmet."""
    settle(platform)
    return choose(platform)


@dataclass(slots=True)
class PinToNode:
    """A Deployment that may run on one node only: by a label that somebody put on that node by hand.

    Git knows the selector and not the label: nothing brings it back.
    """

    platform: Platform
    choose: Choice
    path: str
    names: str = field(init=False)
    node: str = ""
    _commit: str = ""

    def __post_init__(self) -> None:
        found = [o for o in self.platform.desired() if o.path == self.path and o.ref.kind == "Deployment"]
        if len(found) != 1:
            raise ConfigError(f"one Deployment at {self.path} in the repository", f"{len(found)}", "name its manifest")
        self.names = str(found[0].ref)

    @property
    def subject(self) -> str:
        return f"PinToNode({self.names})"

    def begin(self) -> None:
        self.node = chosen(self.platform, self.choose)
        self._label("yes")
        manifest = yaml.safe_load(self.platform.repo.read(self.path))
        manifest["spec"]["template"]["spec"]["nodeSelector"] = {LABEL: "yes"}
        text = yaml.safe_dump(manifest, sort_keys=False)
        self._commit = self.platform.repo.commit({self.path: text}, f"pin {self.names}")
        settle(self.platform)

    def after_injection(self) -> None:
        return None

    def end(self) -> None:
        if self._commit:
            self.platform.repo.revert(self._commit)
            settle(self.platform)
        if self.platform.alive and self.node:
            self._label(None)

    def _label(self, value: str | None) -> None:
        try:
            self.platform.api.patch(NODE, self.node, None, {"metadata": {"labels": {LABEL: value}}})
        except ApiRefused as error:
            if error.status != 404 or value is not None:
                raise


@dataclass(slots=True)
class CordonNode:
    """The harmed node is cordoned while it is away: it comes back, and takes no Pods."""

    platform: Platform
    choose: Choice
    node: str = ""

    @property
    def subject(self) -> str:
        return f"CordonNode({self.choose.__name__})"

    def begin(self) -> None:
        self.node = chosen(self.platform, self.choose)

    def after_injection(self) -> None:
        self._cordon(True)

    def end(self) -> None:
        if self.node:
            self._cordon(False)
        settle(self.platform)

    def _cordon(self, on: bool) -> None:
        self.platform.api.patch(NODE, self.node, None, {"spec": {"unschedulable": on}})


@dataclass(slots=True)
class ReplacePodOn:
    """A Pod of the harmed node is deleted by force while nobody there can object: its Deployment makes another."""

    platform: Platform
    choose: Choice
    node: str = ""

    @property
    def subject(self) -> str:
        return f"ReplacePodOn({self.choose.__name__})"

    def begin(self) -> None:
        self.node = chosen(self.platform, self.choose)

    def after_injection(self) -> None:
        pod = replaceable_pod(self.platform, {self.node})
        self.platform.api.delete(POD, pod["metadata"]["name"], pod["metadata"]["namespace"], grace=timedelta(0))

    def end(self) -> None:
        settle(self.platform)


@dataclass(slots=True)
class KillBystander:
    """The process of a Pod on another node is killed: it restarts, though no fault was to touch it."""

    platform: Platform
    besides: str  # the node that is harmed anyway

    @property
    def subject(self) -> str:
        return f"KillBystander(besides {self.besides})"

    def begin(self) -> None:
        return None

    def after_injection(self) -> None:
        cluster = self.platform.cluster
        others = {node.name for node in cluster.nodes() if node.running and node.name != self.besides}
        pod = replaceable_pod(self.platform, others)
        identity = str(dig(pod, "status", "containerStatuses", 0, "containerID", default="")).rpartition("/")[2]
        if not identity:
            raise InjectFailed(f"Pod {pod['metadata']['name']} has no running container to kill")
        # Every process of a container is in a control group that carries its name.
        cluster.docker.exec(dig(pod, "spec", "nodeName"), ["sh", "-c", _KILL, identity])

    def end(self) -> None:
        settle(self.platform)


def replaceable_pod(platform: Platform, nodes: set[str]) -> Object:
    """The first running Pod of a Deployment that Git describes, on one of `nodes`. Raises InjectFailed: none."""
    ours = {o.ref.namespace for o in platform.desired() if o.ref.kind == "Deployment"}
    for seen in sorted(platform.view.all(POD), key=lambda s: str(s.object["metadata"]["name"])):
        pod, owner = seen.object, dig(seen.object, "metadata", "ownerReferences", 0, "kind")
        placed = dig(pod, "spec", "nodeName") in nodes and dig(pod, "metadata", "namespace") in ours
        if placed and owner == REPLICA_SET.kind and dig(pod, "status", "phase") == "Running":
            found: Object = pod
            return found
    raise InjectFailed(f"no running Pod of a Deployment on {', '.join(sorted(nodes)) or 'no node'}")


_KILL = """
killed=0
for file in $(grep -l "$0" /proc/[0-9]*/cgroup 2>/dev/null); do
  pid=${file#/proc/}; kill -9 "${pid%/cgroup}" && killed=1
done
test $killed = 1
"""
