"""Timing profiles are explicit."""

from __future__ import annotations

import pytest

from harness.core.errors import ConfigError
from harness.core.profile import DEFAULT, FAST, PROFILES, profile


def test_profiles_are_found_by_name() -> None:
    assert [profile(name) for name in PROFILES] == [DEFAULT, FAST]


def test_an_unknown_profile_is_refused_with_the_ones_there_are() -> None:
    with pytest.raises(ConfigError, match="default, fast; found 'quick'"):
        profile("quick")


def test_default_means_what_upstream_chose() -> None:
    assert DEFAULT.describe() == "default (upstream defaults)"
    assert (*DEFAULT.argocd_cm, *DEFAULT.argocd_params) == ()
    assert (*DEFAULT.apiserver_args, *DEFAULT.controller_manager_args, *DEFAULT.kubelet_args) == ()


def test_every_setting_of_fast_is_told_beside_its_figures() -> None:
    told = FAST.describe()
    settings = {**FAST.argocd_cm, **FAST.argocd_params}
    assert all(f"{key}={value}" in told for key, value in settings.items())
    assert all(flag in told for flag in (*FAST.apiserver_args, *FAST.controller_manager_args, *FAST.kubelet_args))


def test_fast_leaves_a_healthy_kubelet_two_renewals_of_its_lease() -> None:
    grace = next(a for a in FAST.controller_manager_args if a.startswith("node-monitor-grace-period="))
    assert int(grace.partition("=")[2].removesuffix("s")) >= 20
