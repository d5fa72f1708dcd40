"""What Argo CD waits before it heals again, by its settings."""

from __future__ import annotations

from datetime import timedelta

import pytest

from harness.core.errors import ConfigError
from harness.core.profile import DEFAULT, FAST, Profile
from harness.gitops.backoff import self_heal_waits


def waits(profile: Profile, heals: int) -> list[float]:
    return [w.total_seconds() for w in self_heal_waits(profile, heals)]


def test_upstream_waits_three_times_as_long_each_time_up_to_five_minutes() -> None:
    assert waits(DEFAULT, 8) == [0, 2, 6, 18, 54, 162, 300, 300]


def test_the_fast_profile_waits_never() -> None:
    assert waits(FAST, 7) == [0] * 7


def test_the_first_heal_never_waits_however_few_are_asked_for() -> None:
    assert self_heal_waits(DEFAULT, 1) == (timedelta(0),)


def test_settings_of_the_profile_win() -> None:
    said = {"backoff.timeout.seconds": "5", "backoff.factor": "2", "backoff.cap.seconds": "15"}
    profile = Profile("mine", argocd_params={f"controller.self.heal.{k}": v for k, v in said.items()})
    assert waits(profile, 5) == [0, 5, 10, 15, 15]


def test_without_backoff_the_fixed_wait_counts() -> None:
    said = {"controller.self.heal.timeout.seconds": "3", "controller.self.heal.backoff.timeout.seconds": "0"}
    assert waits(Profile("mine", argocd_params=said), 3) == [3, 3, 3]


def test_a_setting_that_is_no_number_is_told() -> None:
    profile = Profile("mine", argocd_params={"controller.self.heal.backoff.factor": "often"})
    with pytest.raises(ConfigError, match=r"expected a number for controller\.self\.heal\.backoff\.factor; found 'oft"):
        self_heal_waits(profile, 3)
