"""Self-heal switched off: somebody tells Argo CD to look on.

Here belongs the fault. As a sabotage of other stories it is `harness.faults.sabotage.SelfHealOff`.
"""

from __future__ import annotations

from dataclasses import dataclass

from harness.core.errors import ApiRefused, ApiUnreachable, ConfigError, HealFailed, InjectFailed, ProvisionFailed
from harness.core.faults import BlastRadius, Injected
from harness.core.objects import dig
from harness.core.observation import Observation, State
from harness.faults.hand import shown
from harness.gitops.platform import Platform


@dataclass(slots=True)
class TurnOffSelfHeal:
    """Self-heal of one Application is switched off, and on again by `heal`."""

    platform: Platform
    application: str
    blast_radius: BlastRadius = BlastRadius.NAMESPACE

    @property
    def subject(self) -> str:
        return f"TurnOffSelfHeal({self.application})"

    @property
    def touches(self) -> tuple[str, ...]:
        return (f"Application {self.platform.engine.namespace}/{self.application}",)

    def inject(self) -> Injected:
        """Returns when Argo CD has taken notice. Raises ConfigError (see `ArgoCd.set_self_heal`), InjectFailed."""
        sent = self.platform.clock.now_ns()
        try:
            self.platform.engine.set_self_heal(self.application, False)
        except (ApiRefused, ApiUnreachable, ProvisionFailed) as error:
            raise InjectFailed(f"self-heal of {self.application} was not switched off: {error}") from error
        return Injected(sent, self.platform.clock.now_ns(), f"self-heal of {self.application}: on to off")

    def confirm(self) -> Observation:
        apps = {dig(a, "metadata", "name"): a for a in self.platform.engine.applications()}
        on = dig(apps.get(self.application), "spec", "syncPolicy", "automated", "selfHeal")
        state = State.MET if on is False else State.PENDING
        said = f"selfHeal of Application {self.application} is {shown(on)}"
        return Observation(state, self.subject, "selfHeal False", said, self.platform.clock.now_ns())

    def heal(self) -> None:
        """Switch it on. Raises HealFailed."""
        try:
            self.platform.engine.set_self_heal(self.application, True)
        except (ConfigError, ApiRefused, ApiUnreachable, ProvisionFailed) as error:
            raise HealFailed(f"self-heal of {self.application} was not switched on: {error}") from error
