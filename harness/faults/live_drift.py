"""Drift: changes made by hand to live objects.

Here belong faults that write to the API as a person with kubectl would. Each uses its own field manager, so that
managedFields prove who wrote what.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from harness.cluster.kube import Ref, Written
from harness.cluster.live import Seen
from harness.core.clock import between_ns
from harness.core.errors import ApiRefused, ApiUnreachable, ConfigError, InjectFailed
from harness.core.faults import BlastRadius, Injected
from harness.core.observation import Observation, State
from harness.gitops.platform import Platform


@dataclass(slots=True)
class ScaleDeployment:
    """`kubectl scale deployment`: the replica count of a live Deployment is changed by hand."""

    platform: Platform
    target: str  # namespace/name
    replicas: int
    blast_radius: BlastRadius = BlastRadius.NAMESPACE
    before: int | None = None
    written: Written | None = None
    ref: Ref = field(init=False)

    def __post_init__(self) -> None:
        namespace, slash, name = self.target.partition("/")
        if not slash or not namespace or not name:
            raise ConfigError("a Deployment as namespace/name", repr(self.target), "correct the scenario")
        self.ref = Ref("apps", "Deployment", namespace, name)

    @property
    def subject(self) -> str:
        return f"ScaleDeployment({self.target} to {self.replicas})"

    @property
    def touches(self) -> tuple[str, ...]:
        return (str(self.ref),)

    def inject(self) -> Injected:
        api, kind = self.platform.api, self.platform.api.kind("apps", "Deployment")
        self.platform.view.follow(self.ref)
        live = api.get(kind, self.ref.name, self.ref.namespace)
        if live is None:
            raise InjectFailed(f"there is no Deployment {self.target} to scale")
        self.before = int(live["spec"]["replicas"])
        if self.before == self.replicas:
            raise InjectFailed(
                f"Deployment {self.target} already has {self.replicas} replicas: scaling it to that is no drift"
            )
        try:
            # The scale subresource is what `kubectl scale` writes.
            self.written = api.patch(
                kind,
                self.ref.name,
                self.ref.namespace,
                {"spec": {"replicas": self.replicas}},
                subresource="scale",
                manager="drill-drift",
            )
        except (ApiRefused, ApiUnreachable) as error:
            raise InjectFailed(f"scaling {self.target} was not accepted: {error}") from error
        what = f"replicas of Deployment {self.target}: {self.before} to {self.replicas}"
        seen = self.accepted()
        accepted = seen.received_ns if seen else self.written.answered_ns
        return Injected(
            self.written.sent_ns, accepted, what, {"resource_version": self._version(), "before": self.before}
        )

    def accepted(self) -> Seen | None:
        """The watch event of our own write: drift and heal are then timed on one stream. None while it has not come."""
        wanted = self._version()
        deadline = 2_000_000_000 + (self.written.answered_ns if self.written else 0)
        while True:
            version = self.platform.view.signal.version
            for seen in self.platform.view.history(self.ref):
                if seen.object["metadata"]["resourceVersion"] == wanted:
                    return seen
            left = deadline - self.platform.clock.now_ns()
            if left <= 0:
                return None
            self.platform.view.signal.wait_beyond(version, between_ns(0, left))

    def confirm(self) -> Observation:
        seen = self.accepted()
        now = self.platform.clock.now_ns()
        expected = f"spec.replicas {self.replicas} accepted by the API"
        if seen is None:
            return Observation(State.PENDING, self.subject, expected, "no watch event of the write yet", now)
        actual = f"Deployment {self.target} had spec.replicas {seen.object['spec']['replicas']}, Git says {self.before}"
        landed = seen.object["spec"]["replicas"] == self.replicas
        return Observation(State.MET if landed else State.BROKEN, self.subject, expected, actual, seen.received_ns)

    def _version(self) -> str:
        return str(self.written.object["metadata"]["resourceVersion"]) if self.written else ""
