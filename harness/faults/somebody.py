"""Somebody else: a second person at the same cluster, for the twins of stories in which nobody should interfere.

Here belong sabotages that write to live objects while a story runs. Each uses a field manager that is not the drill's.
"""

from __future__ import annotations

import json
import threading
from dataclasses import dataclass, field
from datetime import timedelta

from harness.cluster.kube import Ref
from harness.core.clock import SECOND
from harness.core.errors import ApiRefused, ApiUnreachable, ConfigError, HealFailed
from harness.core.objects import dig, identified
from harness.core.observation import Observation, State
from harness.effects.waiting import until
from harness.faults.live_drift import in_git
from harness.faults.settling import settle
from harness.gitops.platform import Platform
from harness.probes.calm import called

SOMEBODY = "somebody-else"
LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
PATIENCE = 30 * SECOND


@dataclass(slots=True)
class SomebodyDeletes:
    """Right after the fault, an object is deleted that was to be left alone."""

    platform: Platform
    target: str  # as in `ConfigMap shop/by-hand`

    def __post_init__(self) -> None:
        identified(self.target)

    @property
    def subject(self) -> str:
        return f"SomebodyDeletes({self.target})"

    def begin(self) -> None:
        return None

    def after_injection(self) -> None:
        kind, namespace, name = identified(self.target)
        self.platform.api.delete(self.platform.api.kind("", kind), name, namespace)

    def end(self) -> None:
        settle(self.platform)


@dataclass(slots=True)
class LabelWasApplied:
    """An object whose last `kubectl apply` claims to have set a label: adding that label is drift, not decoration.

    Git lacks the label and the record of the last apply has it, so that the three-way comparison removes it. Without
    the label on the object there is nothing to remove, and the object counts as Synced.
    """

    platform: Platform
    target: str  # as in `Service shop/api`
    label: str
    ref: Ref = field(init=False)
    _before: str = ""

    def __post_init__(self) -> None:
        self.ref = in_git(self.platform, self.target)

    @property
    def subject(self) -> str:
        return f"LabelWasApplied({self.target} {self.label})"

    def begin(self) -> None:
        """Raises ConfigError: the object was not applied in that way."""
        live = self.platform.api.get(self.platform.api.kind_of_ref(self.ref), self.ref.name, self.ref.namespace)
        self._before = dig(live, "metadata", "annotations", LAST_APPLIED, default="")
        if not self._before:
            raise ConfigError(f"an object that carries {LAST_APPLIED}", self.target, "choose another one")
        record = json.loads(self._before)
        record.setdefault("metadata", {}).setdefault("labels", {})[self.label] = "applied"
        self._annotate(json.dumps(record))

    def after_injection(self) -> None:
        return None

    def end(self) -> None:
        self._annotate(self._before)
        settle(self.platform)

    def _annotate(self, record: str) -> None:
        body = {"metadata": {"annotations": {LAST_APPLIED: record}}}
        kind = self.platform.api.kind_of_ref(self.ref)
        self.platform.api.patch(kind, self.ref.name, self.ref.namespace, body, manager=SOMEBODY)


@dataclass(slots=True)
class SomebodyPutsBack:
    """A scaled Deployment goes back to Git's count, but by somebody's hand and not by Argo CD.

    With `instead_of_argo` self-heal is off all the time, and the hand is fast. Otherwise it waits until Argo CD shows
    the Deployment as OutOfSync.
    """

    platform: Platform
    target: str  # as in `Deployment shop/api`
    instead_of_argo: bool = False
    ref: Ref = field(init=False)
    application: str = field(init=False)
    replicas: int = field(init=False)
    _thread: threading.Thread | None = None
    _trouble: str = ""

    def __post_init__(self) -> None:
        self.ref = in_git(self.platform, self.target)
        found = next(o for o in self.platform.desired() if o.ref == self.ref)
        if self.ref.kind != "Deployment":
            raise ConfigError("a Deployment", self.target, "choose one")
        self.application, self.replicas = found.application, int(dig(found.manifest, "spec", "replicas", default=1))

    @property
    def subject(self) -> str:
        return f"SomebodyPutsBack({self.target})"

    def begin(self) -> None:
        if self.instead_of_argo:
            self.platform.engine.set_self_heal(self.application, False)

    def after_injection(self) -> None:
        live = self.platform.api.get(self.platform.api.kind_of_ref(self.ref), self.ref.name, self.ref.namespace)
        if dig(live, "spec", "replicas") == self.replicas:
            return  # that fault was another one
        if self.instead_of_argo:
            self._put_back()
        else:
            self._thread = threading.Thread(target=self._once_seen, name="somebody", daemon=True)
            self._thread.start()

    def end(self) -> None:
        """Raises HealFailed: it could not be put back, so that the twin may have failed for another reason."""
        if self._thread is not None:
            self._thread.join(PATIENCE.total_seconds())
        if self.instead_of_argo:
            self.platform.engine.set_self_heal(self.application, True)
        settle(self.platform)
        if self._trouble:
            raise HealFailed(self._trouble)

    def _once_seen(self) -> None:
        seen = until(_Shown(self), within=PATIENCE, clock=self.platform.clock, poll=timedelta(milliseconds=100))
        try:
            self._put_back()
        except (ApiRefused, ApiUnreachable) as error:
            self._trouble = f"{self.subject}: {error}"
        if not seen.met:
            self._trouble = f"{self.subject}: {seen.last.sentence()}"

    def _put_back(self) -> None:
        kind, body = self.platform.api.kind_of_ref(self.ref), {"spec": {"replicas": self.replicas}}
        self.platform.api.patch(kind, self.ref.name, self.ref.namespace, body, subresource="scale", manager=SOMEBODY)


@dataclass(frozen=True, slots=True)
class _Shown:
    """Does Argo CD show it as OutOfSync?"""

    hand: SomebodyPutsBack
    subject: str = "shown as OutOfSync"
    signal: None = None

    def observe(self) -> Observation:
        platform = self.hand.platform
        shown = called(platform, self.hand.ref) == "OutOfSync"
        state = State.MET if shown else State.PENDING
        return Observation(state, self.subject, "OutOfSync", "so" if shown else "not yet", platform.clock.now_ns())
