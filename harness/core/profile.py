"""Timing profiles: the settings that decide how fast Kubernetes and the GitOps engine notice things.

Here belong the two profiles, as data. Applying them does not: nodes take theirs in `harness.cluster.clusters`, Argo CD
in `harness.gitops.argocd`. A measured time without its profile means nothing, so that every report names it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from harness.core.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Profile:
    """Explicit timing settings. An absent key means upstream's own default."""

    name: str
    argocd_cm: Mapping[str, str] = field(default_factory=dict)  # ConfigMap argocd-cm
    argocd_params: Mapping[str, str] = field(default_factory=dict)  # ConfigMap argocd-cmd-params-cm
    apiserver_args: tuple[str, ...] = ()
    controller_manager_args: tuple[str, ...] = ()
    kubelet_args: tuple[str, ...] = ()

    def describe(self) -> str:
        """One line for people, printed beside measured times."""
        parts = [f"{k}={v}" for k, v in {**self.argocd_cm, **self.argocd_params}.items()]
        parts += [*self.apiserver_args, *self.controller_manager_args, *self.kubelet_args]
        return f"{self.name} ({', '.join(parts) or 'upstream defaults'})"


DEFAULT = Profile("default")

# Values and their effects: Argo CD's argocd-cm.yaml and argocd-cmd-params-cm.yaml; Kubernetes' flag references.
# Kubelets renew their lease every 10 s, so that a grace period under 20 s would call healthy nodes dead.
FAST = Profile(
    "fast",
    argocd_cm={"timeout.reconciliation": "10s", "timeout.reconciliation.jitter": "0s"},
    argocd_params={"controller.self.heal.timeout.seconds": "0", "controller.self.heal.backoff.timeout.seconds": "0"},
    apiserver_args=("default-not-ready-toleration-seconds=10", "default-unreachable-toleration-seconds=10"),
    controller_manager_args=("node-monitor-grace-period=20s", "node-monitor-period=2s"),
)

PROFILES: Mapping[str, Profile] = {profile.name: profile for profile in (DEFAULT, FAST)}


def profile(name: str) -> Profile:
    """The profile called `name`. Raises ConfigError."""
    if name not in PROFILES:
        raise ConfigError(f"a timing profile, one of {', '.join(PROFILES)}", repr(name), "choose one of these")
    return PROFILES[name]
