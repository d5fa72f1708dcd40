"""Cleaning: what a run that is gone has left behind, and nothing else.

Here belong finding and removing orphans. What marks a thing as ours, and when its owner is gone, is in
`harness.cluster.labels`. A run that ends in an orderly way cleans up after itself; this is for SIGKILL and power cuts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from harness.cluster import labels
from harness.cluster.docker import Docker
from harness.cluster.images import cache_folder
from harness.cluster.network import Firewall, host_tools, routes_lock
from harness.core.errors import ConfigError, HarnessError

Gone = Callable[[labels.Owner], bool]
_TOOLS = "k3d-{}-tools"  # k3d's helper, which lives for a second and carries no label of ours


@dataclass(frozen=True, slots=True)
class Orphan:
    """Something a run that is gone has left. `what`: container, volume, network or rule."""

    what: str
    id: str
    name: str
    run_id: str

    def __str__(self) -> str:
        return f"{self.what} {self.name} (run {self.run_id})"


def orphans(docker: Docker, *, gone: Gone = labels.gone, firewall: Firewall | None = None) -> tuple[Orphan, ...]:
    """What carries our labels and whose owner is gone, in the order in which it can be removed.

    A thing whose owner cannot be read, lives, or belongs to another machine is not listed.
    """
    firewall = firewall or _firewall(docker)
    left = {c.id: c for c in docker.containers(labels.RUN) if _is_gone(c.labels.get(labels.OWNER, ""), gone)}
    found = [Orphan("container", c.id, c.name, c.labels[labels.RUN]) for c in left.values()]
    nodes = [c for c in left.values() if labels.K3D_CLUSTER in c.labels]
    clusters = {c.labels[labels.K3D_CLUSTER]: c.labels[labels.RUN] for c in nodes}
    for cluster, run_id in clusters.items():
        helper = docker.container(_TOOLS.format(cluster))
        if helper is not None and helper.id not in left:
            found.append(Orphan("container", helper.id, helper.name, run_id))
    # `docker rm -v` takes the anonymous volumes along; named ones of ours carry the labels themselves.
    for volume in docker.volumes(labels.RUN):
        marks = docker.volume_labels(volume)
        if _is_gone(marks.get(labels.OWNER, ""), gone):
            found.append(Orphan("volume", volume, volume, marks.get(labels.RUN, "?")))
    for network in docker.networks(labels.RUN):
        if _is_gone(network.labels.get(labels.OWNER, ""), gone):
            found.append(Orphan("network", network.id, network.name, network.labels[labels.RUN]))
    for mark in _marks(firewall):
        run_id, _, owner = mark.removeprefix(labels.COMMENT).partition(":")
        if _is_gone(owner, gone):
            found.append(Orphan("rule", mark, f"of the host's firewall for {owner}", run_id))
    return tuple(found)


def clean(
    docker: Docker,
    *,
    on_removed: Callable[[str], None] = lambda _: None,
    gone: Gone = labels.gone,
    firewall: Firewall | None = None,
    state: Path | None = None,
    kept: bool = False,
) -> tuple[str, ...]:
    """Remove every orphan; what was removed, in words. Goes on after a failure and raises the first one at the end.

    What a run was asked to keep stays, unless `kept`: only a person who types `drill clean` wants that gone as well.
    """
    firewall, state = firewall or _firewall(docker), state or cache_folder()
    spared = frozenset() if kept else labels.kept(state)
    removed: list[str] = []
    first: HarnessError | None = None
    with routes_lock(state):
        for orphan in orphans(docker, gone=gone, firewall=firewall):
            if orphan.run_id in spared:
                continue
            try:
                _remove(orphan, docker, firewall)
            except HarnessError as error:
                first = first or error
                continue
            removed.append(str(orphan))
            on_removed(str(orphan))
        if not docker.networks(labels.RUN) and _drop_routes(firewall):
            removed.append("routes for pods and Services")
            on_removed(removed[-1])
    for run_id in labels.kept(state) - spared if first is None else ():
        labels.unmark_kept(state, run_id)
    if first is not None:
        raise first
    return tuple(removed)


def _remove(orphan: Orphan, docker: Docker, firewall: Firewall) -> None:
    match orphan.what:
        case "container":
            docker.remove(orphan.id)
        case "volume":
            docker.remove_volume(orphan.id)
        case "network":
            docker.remove_network(orphan.id)
        case _:
            firewall.open_all(orphan.id)


def _is_gone(owner: str, gone: Gone) -> bool:
    known = labels.Owner.parse(owner)
    return known is not None and gone(known)


def _marks(firewall: Firewall) -> Iterable[str]:
    """The rules cannot be read without root and without an image that could read them: then none is ours to remove."""
    try:
        return firewall.marks()
    except (HarnessError, ConfigError):
        return ()


def _drop_routes(firewall: Firewall) -> bool:
    try:
        return firewall.drop_routes()
    except HarnessError:
        return False


def _firewall(docker: Docker) -> Firewall:
    """Without root the host's tools are run from the image of a node that was left behind, if one was."""
    nodes = docker.containers(labels.RUN, labels.K3D_CLUSTER)
    return Firewall(host_tools(docker, nodes[0].image if nodes else "drill/node"))
