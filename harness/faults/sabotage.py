"""Sabotage: what makes a promise fail on purpose, for the twins.

Here belong things that must turn a story REFUTED. Faults of honest drills do not belong here.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from harness.core.errors import ConfigError
from harness.faults.settling import settle
from harness.gitops.platform import Platform


@dataclass(slots=True)
class SelfHealOff:
    """Automated sync without self-heal: Argo CD sees drift and leaves it."""

    platform: Platform
    application: str

    @property
    def subject(self) -> str:
        return f"SelfHealOff({self.application})"

    def begin(self) -> None:
        self.platform.engine.set_self_heal(self.application, False)

    def after_injection(self) -> None:
        return None

    def end(self) -> None:
        self.platform.engine.set_self_heal(self.application, True)
        settle(self.platform)


@dataclass(slots=True)
class LoseManifest:
    """A file that is gone from Git by the time the cluster is rebuilt."""

    platform: Platform
    path: str
    names: str = field(init=False)
    _commit: str = ""

    def __post_init__(self) -> None:
        lost = [o for o in self.platform.desired() if o.path == self.path]
        if not lost:
            raise ConfigError(
                f"a manifest at {self.path} in the repository", "none", "name a file that holds an object"
            )
        self.names = str(lost[0].ref)

    @property
    def subject(self) -> str:
        return f"LoseManifest({self.path})"

    def begin(self) -> None:
        return None

    def after_injection(self) -> None:
        self._commit = self.platform.repo.commit({self.path: None}, f"lose {self.path}")

    def end(self) -> None:
        if self._commit:
            self.platform.repo.revert(self._commit)
            settle(self.platform)
