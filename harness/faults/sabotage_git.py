"""Sabotage of the commit flow: what makes a push not arrive, or do more or less than it should.

Here belong changes to how Argo CD treats one Application, made before the story and undone after it. What a second hand
does to live objects is `harness.faults.sabotage_rollback`.

Facts: Argo CD's Application type, `spec.syncPolicy.automated` (`enabled` since 3.1, `prune`, `allowEmpty`) and the
annotation `argocd.argoproj.io/skip-reconcile`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from harness.core.clock import MILLISECOND, SECOND
from harness.core.errors import ConfigError, InjectFailed
from harness.core.objects import Object, dig
from harness.core.observation import Observation, State
from harness.effects.waiting import until
from harness.faults.settling import settle
from harness.gitops.argocd import APPLICATION, REFRESH
from harness.gitops.platform import Platform

SKIP = "argocd.argoproj.io/skip-reconcile"
HEARD_WITHIN = 20 * SECOND


@dataclass(slots=True)
class SyncPolicy:
    """Another policy of automated sync for one Application, for the time of the story."""

    platform: Platform
    application: str
    automated: Mapping[str, Any]
    _before: dict[str, Any] = field(default_factory=dict)

    @property
    def subject(self) -> str:
        told = ", ".join(f"{key} {value}" for key, value in self.automated.items())
        return f"SyncPolicy({self.application}: {told})"

    def begin(self) -> None:
        """Returns when Argo CD has taken notice. Raises ConfigError, InjectFailed."""
        live = _live(self.platform, self.application)
        policy = dig(live, "spec", "syncPolicy", "automated")
        if policy is None:
            raise ConfigError(f"an Application {self.application} that syncs automatically",
                              "none" if live is None else "manual sync", "name another Application")  # fmt: skip
        self._before = {key: policy.get(key) for key in self.automated}  # None takes a key away again
        self._set(self.automated)

    def after_injection(self) -> None:
        return None

    def end(self) -> None:
        """Put the policy back. Raises HealFailed, InjectFailed."""
        if self._before:
            self._set(self._before)
            settle(self.platform)

    def _set(self, automated: Mapping[str, Any]) -> None:
        _patch(self.platform, self.application, {"spec": {"syncPolicy": {"automated": dict(automated)}}})
        # A comparison takes away the request that it began with. The first may have begun before the change.
        for _ in range(2):
            self.platform.engine.refresh(self.application)
            heard = until(_Heard(self.platform, self.application), within=HEARD_WITHIN, clock=self.platform.clock,
                          poll=50 * MILLISECOND)  # fmt: skip
            if not heard.met:
                raise InjectFailed(f"{self.subject}: Argo CD took no notice")


def sync_by_hand(platform: Platform, application: str) -> SyncPolicy:
    """Automated sync is switched off: Argo CD sees a commit and leaves it."""
    return SyncPolicy(platform, application, {"enabled": False})


def prune_off(platform: Platform, application: str) -> SyncPolicy:
    """What leaves Git stays in the cluster."""
    return SyncPolicy(platform, application, {"prune": False})


def empty_allowed(platform: Platform, application: str) -> SyncPolicy:
    """A commit that removes everything of the Application is carried out."""
    return SyncPolicy(platform, application, {"allowEmpty": True})


@dataclass(slots=True)
class Unwatched:
    """Argo CD does not look at one Application any more."""

    platform: Platform
    application: str

    @property
    def subject(self) -> str:
        return f"Unwatched({self.application})"

    def begin(self) -> None:
        """Raises ConfigError: no such Application."""
        if _live(self.platform, self.application) is None:
            raise ConfigError(f"an Application {self.application}", "none", "name another Application")
        self._skip("true")

    def after_injection(self) -> None:
        return None

    def end(self) -> None:
        """Let it be looked at again. Raises HealFailed."""
        self._skip(None)
        settle(self.platform)

    def _skip(self, value: str | None) -> None:
        _patch(self.platform, self.application, {"metadata": {"annotations": {SKIP: value}}})


@dataclass(frozen=True, slots=True)
class _Heard:
    """The refresh that was asked for was taken up."""

    platform: Platform
    application: str
    subject: str = "Argo CD's notice"
    signal: None = None

    def observe(self) -> Observation:
        live = _live(self.platform, self.application)
        pending = live is None or REFRESH in dig(live, "metadata", "annotations", default={})
        state, said = (State.PENDING, "not yet") if pending else (State.MET, "so")
        return Observation(state, self.subject, "no refresh pending", said, self.platform.clock.now_ns())


def _live(platform: Platform, application: str) -> Object | None:
    return platform.api.get(APPLICATION, application, platform.engine.namespace)


def _patch(platform: Platform, application: str, body: Object) -> None:
    platform.api.patch(APPLICATION, application, platform.engine.namespace, body)
