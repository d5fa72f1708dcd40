"""Argo CD: the engine that makes a cluster follow Git.

Here belong installing it, seeing that it is ready, and the few verbs a drill needs (refresh, self-heal on and off),
all by the Kubernetes API: core Argo CD has no server of its own. Whether Applications have arrived where Git is does
not belong here: that is `harness.gitops.convergence`.

Facts: Argo CD's operator manual (core installation; refresh annotation), and its controller's source where the manual
is silent.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

from harness.cluster.health import Health, health
from harness.core.clock import MILLISECOND, SECOND, Clock
from harness.core.errors import ApiRefused, ApiUnreachable, ConfigError, ProvisionFailed
from harness.core.objects import DEFINITION as DEFINITION  # what the engine is made of, for who asks about it
from harness.core.objects import DEPLOYMENT as DEPLOYMENT
from harness.core.objects import STATEFUL_SET as STATEFUL_SET
from harness.core.objects import Kind, Object, Ref, dig, ref_of
from harness.core.observation import Observation, State
from harness.core.profile import Profile
from harness.core.text import first_line
from harness.effects.waiting import until
from harness.gitops.argocd_manifests import Deviation, Fitting, fit

APPLICATION = Kind("argoproj.io", "v1alpha1", "Application", "applications", namespaced=True)
PROJECT = Kind("argoproj.io", "v1alpha1", "AppProject", "appprojects", namespaced=True)
REFRESH = "argocd.argoproj.io/refresh"
HEARD_WITHIN = 20 * SECOND
_ASKED = {kind.kind: kind for kind in (DEPLOYMENT, STATEFUL_SET, DEFINITION, PROJECT)}


class Api(Protocol):
    """What the engine needs of `harness.cluster.kube.KubeApi`."""

    def get(self, kind: Kind, name: str, namespace: str | None = None) -> Object | None: ...
    def list(self, kind: Kind, namespace: str | None = None, labels: str = "") -> Any: ...
    def apply_many(self, objects: Sequence[Object], *, namespace: str | None = None) -> tuple[Object, ...]: ...
    def patch(self, kind: Kind, name: str, namespace: str | None, body: Any) -> Any: ...


class View(Protocol):
    """What the engine needs of `harness.cluster.live.LiveView`."""

    @property
    def signal(self) -> Any: ...
    @property
    def kinds(self) -> tuple[Kind, ...]: ...
    def get(self, ref: Ref) -> Any: ...


class Image(Protocol):
    """One image of an `ImageSet`."""

    @property
    def reference(self) -> str: ...


class Images(Protocol):
    """What the engine needs of `harness.cluster.images.ImageSet`."""

    @property
    def argocd(self) -> Image: ...
    @property
    def redis(self) -> Image: ...
    @property
    def argocd_manifests(self) -> Path: ...


class ArgoCd:
    """Argo CD core in one cluster. Every verb raises ApiUnreachable and ApiRefused."""

    def __init__(self, api: Api, *, clock: Clock, namespace: str = "argocd") -> None:
        self.api, self.clock, self.namespace = api, clock, namespace
        self.deviations: tuple[Deviation, ...] = ()
        self.installed: tuple[Ref, ...] = ()

    # -- installing

    def install(
        self, images: Images, profile: Profile, *, settings: Mapping[str, str] | None = None, lean: bool = True,
        application_sets: bool = False,
    ) -> tuple[Deviation, ...]:  # fmt: skip
        """Apply upstream's manifests, fitted to `images` and `profile`; what was changed, for the report.

        `settings` are keys of argocd-cm that the repository declares; the profile's win. Returns when everything is
        accepted, before it is ready. Raises ConfigError: the manifests are missing.
        """
        fitting = Fitting(images.argocd.reference, images.redis.reference, profile, settings or {}, self.namespace,
                          lean, application_sets)  # fmt: skip
        objects, self.deviations = fit(images.argocd_manifests, fitting)
        self.api.apply_many(objects, namespace=self.namespace)
        self.installed = tuple(self._reference(obj) for obj in objects if obj["kind"] in _ASKED)
        return self.deviations

    def _reference(self, obj: Object) -> Ref:
        ref = ref_of(obj)
        return ref if ref.kind == DEFINITION.kind else replace(ref, namespace=self.namespace)

    def ready(self, view: View | None = None) -> Ready:
        """The probe: CRDs Established, every rollout complete, the `default` AppProject there.

        What `view` watches is read from it, the rest is asked of the API. Raises ConfigError before `install`.
        """
        if not self.installed:
            raise ConfigError("an Argo CD that was installed", "none", "call install() first")
        return Ready(self.api, view, self.installed, self.clock)

    # -- verbs

    def applications(self) -> tuple[Object, ...]:
        """Every Application, as the API has it now."""
        return tuple(self.api.list(APPLICATION, self.namespace).items)

    def refresh(self, name: str, *, hard: bool = False) -> Any:
        """Ask for a comparison with Git now, past the cache of references; `hard` also past the cache of manifests.

        Nothing waits: a request that is set while a comparison runs can be answered from before a push. Repeat it
        until the revision is seen.
        """
        body = {"metadata": {"annotations": {REFRESH: "hard" if hard else "normal"}}}
        return self.api.patch(APPLICATION, name, self.namespace, body)

    def set_self_heal(self, name: str, on: bool) -> None:
        """Switch self-heal of one Application; returns when Argo CD has taken notice, so that it holds from now on.

        Two things were seen live to heal a drift although self-heal is off: the change came a moment before the drift,
        and Argo CD still acted by what it knew; and the Application had not been synced at the present commit (which
        did not touch it), so that automated sync, not self-heal, applied it. The second is ruled out by a sync.

        Raises ConfigError if the Application does not sync automatically at all, ProvisionFailed if no notice is taken.
        """
        app = self.api.get(APPLICATION, name, self.namespace)
        if app is None or dig(app, "spec", "syncPolicy", "automated") is None:
            found = "none" if app is None else "manual sync"
            raise ConfigError(f"an Application {name} that syncs automatically", found, "name another Application")
        body = {"spec": {"syncPolicy": {"automated": {"selfHeal": on}}}}
        self.api.patch(APPLICATION, name, self.namespace, body)
        # A refresh is taken away by a comparison that began with it in sight, and so with the change. The first may
        # have been under way already; comparisons of one Application never overlap.
        for _ in range(2):
            self.refresh(name)
            self._await(
                name, "no refresh pending", lambda app: REFRESH not in dig(app, "metadata", "annotations", default={})
            )
        if not on:
            self._sync_once(name)

    def _sync_once(self, name: str) -> None:
        app = self.api.get(APPLICATION, name, self.namespace)
        if app is None or _synced_here(app):
            return
        revision = dig(app, "status", "sync", "revision")
        if revision:  # an Application with several sources is left as it is
            operation = {"initiatedBy": {"username": "drill"}, "sync": {"revision": revision}}
            self.api.patch(APPLICATION, name, self.namespace, {"operation": operation})
            self._await(name, "a sync at the present commit", _synced_here)

    def _await(self, name: str, expected: str, holds: Callable[[Object], bool]) -> None:
        probe = _Awaited(self, name, expected, holds)
        heard = until(probe, within=HEARD_WITHIN, clock=self.clock, poll=50 * MILLISECOND)
        if not heard.met:
            raise ProvisionFailed(f"Argo CD took no notice of a change to Application {name}: {heard.last.sentence()}")


@dataclass(slots=True)
class Ready:
    """Is Argo CD ready? The answer's moment is that of the last thing that became so."""

    api: Api
    view: View | None
    wanted: tuple[Ref, ...]
    clock: Clock
    subject: str = "argocd ready"
    _met: dict[Ref, tuple[int, int | None]] = field(default_factory=dict)
    _unmet: dict[Ref, int] = field(default_factory=dict)

    @property
    def signal(self) -> Any:
        return self.view.signal if self.view else None

    def observe(self) -> Observation:
        """Reads only. An API that does not answer is PENDING."""
        expected = "CRDs Established, rollouts complete, AppProject default there"
        first: tuple[Ref, Health] | None = None
        for ref in self.wanted:
            asked = self.clock.now_ns()
            found, at = self._judge(ref)
            if found.ok:
                self._met.setdefault(ref, (at, self._unmet.get(ref)))
                continue
            self._met.pop(ref, None)
            self._unmet[ref] = asked
            if first is None or (first[1].ok is None and found.ok is False):
                first = (ref, found)
        done, total = len(self._met), len(self.wanted)
        if first is None:
            at, before = max(self._met.values(), key=lambda pair: pair[0])
            return Observation(State.MET, self.subject, expected, "ready", at, before, done, total)
        state = State.BROKEN if first[1].ok is False else State.PENDING
        return Observation(state, self.subject, expected, f"{first[0]} {first[1].text}", self.clock.now_ns(),
                           None, done, total)  # fmt: skip

    def _judge(self, ref: Ref) -> tuple[Health, int]:
        kind = _ASKED[ref.kind]
        watched = self.view is not None and (kind.group, kind.kind) in {(k.group, k.kind) for k in self.view.kinds}
        if self.view is not None and watched:
            seen = self.view.get(ref)
            return (health(seen.object), seen.received_ns) if seen else (_MISSING, 0)
        if ref in self._met:
            return Health(True, "is there"), self._met[ref][0]
        try:
            obj = self.api.get(kind, ref.name, ref.namespace or None)
        except (ApiUnreachable, ApiRefused) as error:
            return Health(None, first_line(error)[:160]), 0
        return (health(obj) if obj else _MISSING), self.clock.now_ns()


def _synced_here(app: Object) -> bool:
    state, sync = dig(app, "status", "operationState", default={}), dig(app, "status", "sync", default={})
    result = dig(state, "syncResult", default={})
    same = (result.get("revision"), result.get("revisions")) == (sync.get("revision"), sync.get("revisions"))
    return same and state.get("phase") == "Succeeded" and not app.get("operation")


@dataclass(frozen=True, slots=True)
class _Awaited:
    """Something that Argo CD does to an Application when it is asked to."""

    engine: ArgoCd
    name: str
    expected: str
    holds: Callable[[Object], bool]
    subject: str = "Argo CD's notice"
    signal: None = None

    def observe(self) -> Observation:
        now = self.engine.clock.now_ns()
        app = self.engine.api.get(APPLICATION, self.name, self.engine.namespace)
        state = State.MET if app is not None and self.holds(app) else State.PENDING
        return Observation(state, self.subject, self.expected, "so" if state is State.MET else "not yet", now)


_MISSING = Health(None, "is not there")
