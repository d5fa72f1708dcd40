"""How long Argo CD waits before it heals the same Application again.

Here belongs the arithmetic, from the settings of a timing profile. Judging measured heals by it is
`harness.core.checks.drift`.

Facts: argocd-cmd-params-cm (`controller.self.heal.timeout.seconds`, `controller.self.heal.backoff.timeout.seconds`,
`.factor`, `.cap.seconds`) and the controller's selfHealRemainingBackoff: the wait counts from the end of the last sync;
the count of attempts goes up with each heal and begins anew only with a sync at another revision (3.3 and later).
"""

from __future__ import annotations

from datetime import timedelta

from harness.core.errors import ConfigError
from harness.core.profile import Profile

_PREFIX = "controller.self.heal."
_UPSTREAM = {
    "timeout.seconds": 0.0,
    "backoff.timeout.seconds": 2.0,
    "backoff.factor": 3.0,
    "backoff.cap.seconds": 300.0,
}


def self_heal_waits(profile: Profile, heals: int) -> tuple[timedelta, ...]:
    """What Argo CD waits before its 1st, 2nd, ... heal in a row on one revision: 0, 2, 6, 18, ... s by default.

    Raises ConfigError: a setting that is no number.
    """
    said = {key: _number(profile, key, default) for key, default in _UPSTREAM.items()}
    step = said["backoff.timeout.seconds"]
    if not step:  # no back-off: the same wait each time
        return (timedelta(seconds=said["timeout.seconds"]),) * heals
    steps = (step * said["backoff.factor"] ** n for n in range(heals - 1))
    return (timedelta(0), *(timedelta(seconds=min(s, said["backoff.cap.seconds"])) for s in steps))[:heals]


def _number(profile: Profile, key: str, default: float) -> float:
    text = profile.argocd_params.get(_PREFIX + key)
    try:
        return default if text is None else float(text)
    except ValueError:
        raise ConfigError(f"a number for {_PREFIX}{key}", repr(text), "correct the timing profile") from None
