"""Which Go is used."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from harness.cluster.images.gotool import find_go, needed_version, own_go, pinned_go, version_tuple
from harness.cluster.images.recipe import read_recipe, read_recipes, recipes_folder


@pytest.mark.parametrize(
    ("older", "newer"), [("go1.9", "go1.26"), ("1.26", "go1.26.3"), ("go1.26.2", "go1.26.10"), ("", "go1.1")]
)
def test_versions_are_numbers_not_text(older: str, newer: str) -> None:
    assert version_tuple(older) < version_tuple(newer)


def test_the_newest_go_line_counts(recipe_at: Callable[..., Path]) -> None:
    one, two = recipe_at("one", go=[{"output": "x"}]), recipe_at("two", go=[{"output": "x"}])
    (one / "go.mod").write_text("module x\n\ngo 1.26.3\n")
    (two / "go.mod").write_text("module x\n\ngo 1.9\n")
    assert needed_version([read_recipe(one), read_recipe(two)]) == "1.26.3"


def test_the_pinned_go_is_new_enough_for_every_recipe() -> None:
    needed = needed_version(read_recipes(recipes_folder()).values())
    assert version_tuple(pinned_go()) >= version_tuple(needed)


def test_ours_in_the_cache_is_used_where_the_machines_is_too_old(tmp_path: Path) -> None:
    own = own_go(tmp_path)
    own.parent.mkdir(parents=True)
    own.touch()
    answers = {own: "go1.26.6"}
    found = find_go("1.26.3", tmp_path, lambda path: answers.get(path, "go1.19.8"))
    assert found is not None
    assert (found.path, found.version) == (own, "go1.26.6")
    assert find_go("1.27", tmp_path, lambda path: answers.get(path, "go1.19.8")) is None
