"""When to ask why a platform does not converge, and what to ask the API for: sparingly, so that nothing gets slower.

Here belongs the pace of diagnosing and the two questions that a live view cannot answer (events; kinds that were not
there when it began). The chain itself is in `harness.gitops.diagnosis`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from harness.core.clock import SECOND, Clock, between_ns
from harness.core.errors import ApiRefused, ApiUnreachable, ProvisionFailed
from harness.core.objects import (
    CLAIM,
    DEPLOYMENT,
    EVENT,
    NAMESPACE,
    NODE,
    POD,
    REPLICA_SET,
    STATEFUL_SET,
    Kind,
    Object,
    dig,
)
from harness.gitops.argocd import APPLICATION, DEFINITION
from harness.gitops.diagnosis import Case, Chain, diagnose
from harness.gitops.render import DesiredObject

DIAGNOSE_AFTER = 3 * SECOND  # before that an Application is only on its way
DIAGNOSE_EVERY = SECOND
EVENTS_EVERY = 10 * SECOND
KINDS_EVERY = 2 * SECOND
# Not in Git, but what happens to it explains what is: where Pods run, and what a fault took away.
BYSTANDERS = (REPLICA_SET, POD, NODE, NAMESPACE, CLAIM)
WATCHED = (APPLICATION, DEPLOYMENT, STATEFUL_SET, *BYSTANDERS)
_AWAY = (ApiUnreachable, ApiRefused, ProvisionFailed)


def watched_kinds(find: Callable[[str, str], Kind], objects: Iterable[DesiredObject]) -> tuple[Kind, ...]:
    """The kinds that a LiveView must hold: those in Git, and what tells readiness, causes and the state of nodes.

    `find` is `KubeApi.kind`. A kind whose CRD is in Git, but not in the cluster yet, is taken from the CRD: a view
    shows it as soon as it is served. One that is neither is left out: `Explainer.watch_more` adds it when it appears.
    """
    known = tuple(objects)
    found = {(k.group, k.kind): k for k in WATCHED}
    for group, name in sorted({(o.ref.group, o.ref.kind) for o in known} - found.keys()):
        try:
            found[group, name] = find(group, name)
        except ApiRefused:
            if (defined := _defined(group, name, known)) is not None:
                found[group, name] = defined
    return tuple(found.values())


def _defined(group: str, name: str, objects: Iterable[DesiredObject]) -> Kind | None:
    for obj in objects:
        spec = dig(obj.manifest, "spec", default={})
        if obj.ref.kind != DEFINITION.kind or (spec.get("group"), dig(spec, "names", "kind")) != (group, name):
            continue
        versions = [v["name"] for v in dig(spec, "versions", default=[]) if v.get("served") and v.get("name")]
        if versions:
            plural, namespaced = str(dig(spec, "names", "plural")), spec.get("scope") == "Namespaced"
            return Kind(group, versions[0], name, plural, namespaced, ("list", "watch"))
    return None


@dataclass(slots=True)
class Explainer:
    """Asks for the chain of what does not arrive: after 3 s, once a second at most, and at once where it is final."""

    platform: Any  # a harness.gitops.convergence.Platform
    clock: Clock
    _open_ns: dict[str, int] = field(default_factory=dict)
    _looked_ns: int | None = None
    _chain: Chain | None = None
    _events: dict[str, tuple[int, tuple[Object, ...]]] = field(default_factory=dict)
    _unwatched: tuple[DesiredObject, ...] | None = None
    _asked_kinds_ns: int | None = None

    def explain(
        self, view: Any, unmet: Sequence[tuple[str, bool]], cases: Sequence[Callable[[], Case]], now: int
    ) -> Chain | None:
        """The chain of the case that matters most: a final one, else the first of which anything is known.

        `unmet` names the Applications that have not arrived, and says whether they are BROKEN; `cases` make theirs.
        """
        self._open_ns = {name: self._open_ns.get(name, now) for name, _ in unmet}
        due = [i for i, (name, broken) in enumerate(unmet)
               if broken or between_ns(self._open_ns[name], now) >= DIAGNOSE_AFTER]  # fmt: skip
        if not due:
            self._chain = None
            return None
        at_once = any(broken for _, broken in unmet)
        if at_once or self._looked_ns is None or between_ns(self._looked_ns, now) >= DIAGNOSE_EVERY:
            self._looked_ns = now
            chains = [chain for i in due if (chain := diagnose(cases[i](), view, self._events_of))]
            self._chain = min(chains, key=lambda c: not c.final, default=None)
        return self._chain

    def _events_of(self, namespace: str) -> tuple[Object, ...]:
        """The events of a namespace, fetched at most every 10 s; those of before where the API does not answer."""
        now = self.clock.now_ns()
        asked, known = self._events.get(namespace, (None, ()))
        if asked is None or between_ns(asked, now) >= EVENTS_EVERY:
            with suppress(*_AWAY):
                known = tuple(self.platform.api.list(EVENT, namespace).items)
            self._events[namespace] = (now, known)
        return known

    def watch_more(self, view: Any, objects: Sequence[DesiredObject], now: int) -> None:
        """Have kinds observed that came with a later commit, or whose CRD something in the cluster installs."""
        if self._unwatched is None:
            self._unwatched = objects_unwatched(view, objects)
        if not self._unwatched:
            return
        if self._asked_kinds_ns is not None and between_ns(self._asked_kinds_ns, now) < KINDS_EVERY:
            return
        self._asked_kinds_ns = now
        with suppress(*_AWAY):
            view.add(watched_kinds(self.platform.api.kind, objects))
        self._unwatched = objects_unwatched(view, self._unwatched)


def objects_unwatched(view: Any, objects: Iterable[DesiredObject]) -> tuple[DesiredObject, ...]:
    """The objects of whose kind `view` shows nothing."""
    seen = {(k.group, k.kind) for k in view.kinds}
    return tuple(o for o in objects if (o.ref.group, o.ref.kind) not in seen)
