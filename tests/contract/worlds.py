"""What a story may rely on, whether its world is fake or real: one port, two worlds behind it.

Here belong the port and its two sides. What must be so on both is in the test files beside this one.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any, Protocol

import yaml

from harness import DestroyCluster, ScaleDeployment, converged, healed
from harness.core.clock import Clock
from harness.core.errors import ApiRefused, ApiUnreachable, ProvisionFailed
from harness.core.faults import Fault
from harness.core.observation import Probe
from harness.gitops.platform import Platform
from harness.testing import FakeClock, FakeConverged, FakeDrift, FakeHealed, FakeLoss, FakePlatform

TARGET, APPLICATION = "cortex-chat/chat-api", "cortex-chat"
MANIFEST = "apps/cortex-chat/chat-api-deployment.yaml"


class World(Protocol):
    """A cluster that follows a repository, and the one Deployment in it that is played with."""

    @property
    def clock(self) -> Clock: ...
    def desired(self) -> int:
        """The replicas in Git."""

    def live(self) -> int | None:
        """The replicas in the API; None when it does not answer or has no such object."""

    def drift(self, replicas: int) -> Fault: ...
    def healed(self, drift: Any) -> Probe: ...
    def converged(self) -> Probe: ...
    def commit(self, replicas: int) -> Any:
        """Another count in Git; what `revert` takes."""

    def revert(self, commit: Any) -> None: ...
    def self_heal(self, on: bool) -> None: ...
    def loss(self) -> Fault: ...
    def rebuild(self) -> None: ...
    def rest(self, duration: timedelta) -> None:
        """Let time pass."""


class FakeWorld:
    """The fakes."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.platform = FakePlatform(self.clock, {"api": {"replicas": 2}, "db": {"replicas": 1}})
        self.rest(timedelta(minutes=1))

    def desired(self) -> int:
        return int(self.platform.repo.desired["api"]["replicas"])

    def live(self) -> int | None:
        try:
            found = self.platform.cluster.read().get("api")
        except ApiUnreachable:
            return None
        return None if found is None else int(found["replicas"])

    def drift(self, replicas: int) -> FakeDrift:
        return FakeDrift(self.platform, "api", {"replicas": replicas})

    def healed(self, drift: Any) -> Probe:
        return FakeHealed(drift)

    def converged(self) -> Probe:
        return FakeConverged(self.platform)

    def commit(self, replicas: int) -> Any:
        return self.platform.repo.commit({"api": {"replicas": replicas}})

    def revert(self, commit: Any) -> None:
        self.platform.repo.revert(commit)

    def self_heal(self, on: bool) -> None:
        self.platform.engine.self_heal = on
        self.platform.engine.reconsider()

    def loss(self) -> Fault:
        return FakeLoss(self.platform)

    def rebuild(self) -> None:
        self.platform.rebuild()

    def rest(self, duration: timedelta) -> None:
        self.clock.sleep(duration)


class RealWorld:
    """A real k3d cluster with a real Argo CD."""

    def __init__(self, platform: Platform) -> None:
        self.platform, self.clock = platform, platform.clock

    def desired(self) -> int:
        return int(yaml.safe_load(self.platform.repo.read(MANIFEST))["spec"]["replicas"])

    def live(self) -> int | None:
        namespace, _, name = TARGET.partition("/")
        try:
            api = self.platform.api
            found = api.get(api.kind("apps", "Deployment"), name, namespace)
        except (ApiUnreachable, ApiRefused, ProvisionFailed):
            return None
        return None if found is None else int(found["spec"]["replicas"])

    def drift(self, replicas: int) -> ScaleDeployment:
        return ScaleDeployment(self.platform, TARGET, replicas=replicas)

    def healed(self, drift: Any) -> Probe:
        return healed(drift)

    def converged(self) -> Probe:
        return converged(self.platform)

    def commit(self, replicas: int) -> Any:
        text = self.platform.repo.read(MANIFEST)
        changed = text.replace(f"replicas: {self.desired()}\n", f"replicas: {replicas}\n", 1)
        return self.platform.repo.commit({MANIFEST: changed}, f"{replicas} replicas")

    def revert(self, commit: Any) -> None:
        self.platform.repo.revert(commit)

    def self_heal(self, on: bool) -> None:
        self.platform.engine.set_self_heal(APPLICATION, on)

    def loss(self) -> Fault:
        return DestroyCluster(self.platform)

    def rebuild(self) -> None:
        self.platform.rebuild()

    def rest(self, duration: timedelta) -> None:
        self.clock.sleep(duration)
