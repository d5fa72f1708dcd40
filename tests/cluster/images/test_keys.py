"""Content keys: the same content has the same key, any change that could matter has another."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from harness.cluster.images import keys as module
from harness.cluster.images.keys import content_keys, rootfs_key
from harness.cluster.images.recipe import Debian, read_recipes

RecipeAt = Callable[..., Path]


def computed(folder: Path) -> dict[str, str]:
    return content_keys(read_recipes(folder / "recipes"))


def test_nothing_changed_means_the_same_key(recipe_at: RecipeAt, tmp_path: Path) -> None:
    recipe_at("pause")
    assert computed(tmp_path) == computed(tmp_path)


@pytest.mark.parametrize("name", ["main.go", "Dockerfile", "deep/folder/file"])
def test_a_new_or_changed_file_changes_the_key(recipe_at: RecipeAt, tmp_path: Path, name: str) -> None:
    folder = recipe_at("pause")
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    before = computed(tmp_path)
    path.write_text("one")
    added = computed(tmp_path)
    path.write_text("two")
    assert len({before["pause"], added["pause"], computed(tmp_path)["pause"]}) == 3


def test_tests_and_documentation_do_not_change_the_key(recipe_at: RecipeAt, tmp_path: Path) -> None:
    folder = recipe_at("pause")
    before = computed(tmp_path)
    (folder / "main_test.go").write_text("package main")
    (folder / "README.md").write_text("words")
    assert computed(tmp_path) == before


def test_moving_content_between_files_changes_the_key(recipe_at: RecipeAt, tmp_path: Path) -> None:
    folder = recipe_at("pause")
    (folder / "a.go").write_text("x")
    before = computed(tmp_path)
    (folder / "a.go").rename(folder / "b.go")
    assert computed(tmp_path) != before


def test_a_change_reaches_everything_that_carries_it_and_nothing_else(recipe_at: RecipeAt, tmp_path: Path) -> None:
    folder = recipe_at("pause")
    recipe_at("node", preload=["pause"])
    recipe_at("over", base="node")
    recipe_at("other")
    before = computed(tmp_path)
    (folder / "main.go").write_text("package main")
    after = computed(tmp_path)
    assert {name for name in before if before[name] != after[name]} == {"pause", "node", "over"}


def test_a_new_builder_makes_everything_anew(
    recipe_at: RecipeAt, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe_at("pause")
    before = computed(tmp_path)
    monkeypatch.setattr(module, "BUILDER_VERSION", "next")
    assert computed(tmp_path) != before


def test_a_debian_root_has_a_key_of_its_own() -> None:
    base = Debian(suite="bookworm", packages=("git",))
    assert rootfs_key(base) == rootfs_key(Debian(suite="bookworm", packages=("git",), expected=1))
    others = [Debian(suite="trixie", packages=("git",)), Debian(suite="bookworm", packages=("git", "tini")),
              Debian(suite="bookworm", packages=("git",), drop=("tini",))]  # fmt: skip
    assert len({rootfs_key(debian) for debian in (base, *others)}) == 4
