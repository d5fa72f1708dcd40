"""The set: what it says of itself, and its way through the cache."""

from __future__ import annotations

import json

import pytest

from harness.cluster.images.model import ImageSet, ImageSource
from harness.core.errors import ConfigError


def test_a_set_survives_its_way_through_the_cache(image_set: ImageSet) -> None:
    assert ImageSet.from_json(image_set.to_json()) == image_set


def test_every_version_and_digest_is_described(image_set: ImageSet) -> None:
    described = image_set.describe()
    assert set(described["images"]) == {"node", "tools", "argocd", "redis", "coredns", "pause", "sample"}
    for entry in described["images"].values():
        assert entry["digest"].startswith("sha256:")
        assert entry["version"]
    assert described["k3d"]["version"] == "5.9.0"
    assert json.loads(json.dumps(described)) == described


def test_an_image_with_two_roles_is_listed_once(image_set: ImageSet) -> None:
    assert [ref.reference for ref in image_set.images()].count("drill/pause:1") == 1


def test_sources_have_names_and_nothing_else_does() -> None:
    assert ImageSource.named("bundle") is ImageSource.BUNDLE
    with pytest.raises(ConfigError, match=r"auto, pull, build, bundle.*'registry'"):
        ImageSource.named("registry")
