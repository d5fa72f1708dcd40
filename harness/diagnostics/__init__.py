"""What to keep when a drill did not end well, before anything is taken down, also where the API or Docker is dead.

Here belongs what is kept and in which order: the Git log, the state of Docker and k3d, the nodes' logs, and what the
API says, or what was seen of it last. How it reads is in `harness.diagnostics.texts`, what must be covered in
`harness.diagnostics.known`. Each source may fail on its own; what could not be had is said in a line. This is one of
the three places with a broad `except`: a dead API must not cost the rest.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from harness.cluster import labels
from harness.cluster.health import health
from harness.core.clock import SECOND
from harness.core.errors import CommandTimeout, ProvisionFailed
from harness.core.objects import CLAIM, EVENT, NAMESPACE, NODE, POD, REPLICA_SET, SECRET, Kind, Object, Ref, dig
from harness.core.redaction import Veil, redact
from harness.core.text import first_line
from harness.diagnostics.known import address_secrets, secrets_in
from harness.diagnostics.nodes import node_files
from harness.diagnostics.texts import applications_text, events_text, pods_to_read
from harness.effects.store import write_json, write_text
from harness.gitops.argocd import APPLICATION
from harness.gitops.platform import Platform

__all__ = ["collect", "learn", "redact"]

NodeFiles = Callable[..., Iterable[tuple[str, str]]]
_LOG_TAIL = 2000  # lines a node
_POD_TAIL = 300  # lines a container
_ANSWERS_WITHIN = 2 * SECOND
_LISTED = (
    ("pods.json", POD),
    ("events.json", EVENT),
    ("nodes.json", NODE),
    ("applications.json", APPLICATION),
    ("replicasets.json", REPLICA_SET),
    ("namespaces.json", NAMESPACE),
    ("claims.json", CLAIM),
)
_UNTOLD = ("Env", "Cmd", "Args", "Entrypoint")  # of a container: the cluster's token is among them


def collect(platform: Platform, folder: Path, veil: Veil | None = None, *, read: NodeFiles = node_files) -> list[str]:
    """Write what can be had into `folder`; one line for each thing that could not be had. Raises nothing.

    What `veil` knows to be secret is covered, and so is what is in the Secrets of Git and of the cluster now.
    """
    found = _Collection(platform, folder, veil or Veil(), read)
    found.attempt("the folder", lambda: folder.mkdir(parents=True, exist_ok=True))
    if found.problems:
        return found.problems
    answering = found.asked()  # first of all: what the cluster's Secrets hold must be known before anything is written
    found.save("git-log.txt", lambda: platform.repo.git.out("log", "--stat", "-20", platform.repo.head))
    found.attempt("what Docker says", partial(found.docker, answering=answering))
    found.attempt("what the API holds", found.api if answering else found.last_seen)
    return found.problems


def learn(platform: Platform | None, veil: Veil) -> list[str]:
    """Let `veil` know what the Secrets of Git and of the cluster hold now; what could not be asked. Raises nothing."""
    if platform is None:
        return []
    found = _Collection(platform, Path(), veil)
    found.asked()
    return found.problems


@dataclass(slots=True)
class _Collection:
    """One collection: what was saved, and what could not be."""

    platform: Platform
    folder: Path
    veil: Veil
    read: NodeFiles = node_files
    problems: list[str] = field(default_factory=list)

    def attempt(self, name: str, action: Callable[[], object]) -> bool:
        """Do it, or say why not. False if it took too long: what is asked the same way next would too."""
        try:
            action()
        except Exception as error:  # noqa: BLE001 - see the module's docstring
            self.problems.append(self.veil.text(f"{name} could not be collected: {first_line(error)}"))
            return not isinstance(error, CommandTimeout)
        return True

    def save(self, name: str, source: Callable[[], str]) -> bool:
        """Keep a text, covered."""
        return self.attempt(name, lambda: write_text(self.folder / name, self.veil.text(source())))

    def save_data(self, name: str, source: Callable[[], Any]) -> bool:
        """Keep plain data as JSON, covered before it is text: what is covered must stay JSON."""
        return self.attempt(name, lambda: write_json(self.folder / name, self.veil.data(source())))

    # -- what must be covered, and whether the API answers

    def asked(self) -> bool:
        """Whether the API answers; learns what must be covered, from Git and from there."""
        self.attempt("the secrets in Git", self._learn_git)
        if not self.platform.alive:
            return False
        answered = []

        def ask() -> None:
            self.platform.api.raw("/readyz", timeout=_ANSWERS_WITHIN)
            self.veil.learn(secrets_in(self.platform.api.list(SECRET).items))
            answered.append(True)

        self.attempt("what the API says", ask)
        return bool(answered)

    def _learn_git(self) -> None:
        self.veil.learn(address_secrets(str(self.platform.repo.source)))
        self.veil.learn(secrets_in(o.manifest for o in self.platform.desired()))

    # -- Docker and k3d, with or without an API

    def docker(self, *, answering: bool) -> None:
        """Every container, network and volume of ours, and what the nodes said, running or not.

        Without an API, what Pods have said is read from their nodes.
        """
        engine, name = self.platform.clusters.docker, self.platform.name
        ours = f"{labels.RUN}={self.platform.clusters.run_id}"

        def state() -> Any:
            names = {c.name for mark in (ours, f"{labels.K3D_CLUSTER}={name}") for c in engine.containers(mark)}
            networks = [asdict(n) for n in engine.networks(ours)]
            containers = [_told(c) for c in engine.inspect("container", sorted(names))]
            return {"containers": containers, "networks": networks, "volumes": engine.volumes(ours)}

        def logs() -> None:
            for container in engine.containers(f"{labels.K3D_CLUSTER}={name}"):
                if not self.save(f"node-{container.name}.log", partial(engine.logs, container.id, tail=_LOG_TAIL)):
                    return
                self.attempt(f"log files of {container.name}", partial(files, container.name))

        def files(node: str) -> None:
            for file, text in self.read(node, pods=not answering):
                self.save(f"node-{node}-{file}", partial(str, text))

        if self.save_data("docker.json", state) and self.attempt("node logs", logs):
            k3d = self.platform.clusters.k3d
            self.save_data("k3d.json", lambda: {"clusters": [asdict(c) for c in k3d.clusters()],
                                                "nodes": [asdict(n) for n in k3d.nodes()]})  # fmt: skip

    # -- the API, or what was seen of it last

    def api(self) -> None:
        """Lists, the trees of the Applications, the events in order, and what unready Pods and Argo CD said."""
        api, held = self.platform.api, dict[str, Sequence[Object]]()

        def listing(file: str, kind: Kind) -> Any:
            held[file] = [_trim(item) for item in api.list(kind).items]
            return held[file]

        for file, kind in _LISTED:
            self.save_data(file, partial(listing, file, kind))
        self._texts(held.get("applications.json", ()), held.get("events.json", ()), "")
        for pod, container, previous in pods_to_read(held.get("pods.json", ())):
            namespace, name = pod["metadata"]["namespace"], pod["metadata"]["name"]
            file = f"log-{namespace}-{name}-{container}{'-previous' if previous else ''}.txt"
            self.save(file, partial(api.logs, namespace, name, container, tail=_POD_TAIL, previous=previous))

    def last_seen(self) -> None:
        """Without an API: what the watches delivered before it went away."""
        try:
            view = self.platform.view
        except ProvisionFailed:
            return
        for file, kind in _LISTED:
            if kind is not EVENT:
                self.save_data(f"last-seen-{file}", partial(_seen, view, kind))
        self._texts(_seen(view, APPLICATION), (), "last-seen-")

    def _texts(self, applications: Iterable[Object], events: Iterable[Object], before: str) -> None:
        known = tuple(applications)
        self.save(f"{before}applications.txt", lambda: applications_text(known, self.platform.desired(), self._health))
        if told := tuple(events):
            self.save("events.txt", lambda: events_text(told))

    def _health(self, ref: Ref) -> str:
        """What an object's own status said last."""
        try:
            seen = self.platform.view.get(ref)
        except ProvisionFailed:
            return "not seen"
        return health(seen.object).text if seen else "is missing"


def _seen(view: Any, kind: Kind) -> list[Object]:
    return [_trim(dict(seen.object)) for seen in view.all(kind)]


def _trim(item: Object) -> Object:
    metadata = {k: v for k, v in item.get("metadata", {}).items() if k != "managedFields"}
    return {**item, "metadata": metadata}


def _told(container: Object) -> Object:
    """What `docker inspect` says, without how it was started and k3d's token."""
    config = {k: v for k, v in dig(container, "Config", default={}).items() if k not in _UNTOLD}
    config["Labels"] = {k: v for k, v in dig(config, "Labels", default={}).items() if "token" not in k}
    return {**{k: v for k, v in container.items() if k not in _UNTOLD}, "Config": config}
