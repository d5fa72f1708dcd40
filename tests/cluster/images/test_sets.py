"""Remembered sets are believed only while everything in them is still what it was."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from harness.cluster.images.model import ImageSet
from harness.cluster.images.sets import recall, remember

from .conftest import FakeEngine


def test_what_was_remembered_comes_back(tmp_path: Path, image_set: ImageSet, engine: FakeEngine) -> None:
    remember(tmp_path, image_set, engine)
    assert recall(tmp_path, "build", engine) == image_set
    assert recall(tmp_path, "pull", engine) is None


def _no_image(images: ImageSet, engine: FakeEngine) -> None:
    engine.remove(images.argocd.reference)


def _other_content(images: ImageSet, engine: FakeEngine) -> None:
    engine.add(images.argocd.reference, content="somebody else's")


def _no_k3d(images: ImageSet, engine: FakeEngine) -> None:
    images.k3d.unlink()


def _other_k3d(images: ImageSet, engine: FakeEngine) -> None:
    images.k3d.write_text("other")


def _no_manifests(images: ImageSet, engine: FakeEngine) -> None:
    (images.argocd_manifests / "core-install.yaml").unlink()


@pytest.mark.parametrize("harm", [_no_image, _other_content, _no_k3d, _other_k3d, _no_manifests])
def test_any_missing_or_changed_part_is_noticed(
    tmp_path: Path, image_set: ImageSet, engine: FakeEngine, harm: Callable[[ImageSet, FakeEngine], None]
) -> None:
    remember(tmp_path, image_set, engine)
    harm(image_set, engine)
    assert recall(tmp_path, "build", engine) is None


def test_a_missing_preload_is_noticed(tmp_path: Path, image_set: ImageSet, engine: FakeEngine) -> None:
    remember(tmp_path, replace(image_set, preload=(tmp_path / "gone.tar",)), engine)
    assert recall(tmp_path, "build", engine) is None


@pytest.mark.parametrize("text", ["{", "{}", '{"set": "{}", "ids": {}}', '{"set": 1, "ids": 2}'])
def test_a_damaged_file_counts_as_none(tmp_path: Path, engine: FakeEngine, text: str) -> None:
    (tmp_path / "sets").mkdir()
    (tmp_path / "sets" / "build.json").write_text(text)
    assert recall(tmp_path, "build", engine) is None
