"""Recipes: what may stand in them, in which order they are made, and what a bad one is told."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from harness.cluster.images.recipe import read_recipe, read_recipes, recipes_folder
from harness.core.errors import ConfigError

RecipeAt = Callable[..., Path]


def test_our_own_recipes_are_readable_and_pinned() -> None:
    recipes = read_recipes(recipes_folder())
    assert {"argocd", "coredns", "k3d", "pause", "redis", "sample"} <= set(recipes)
    for recipe in recipes.values():
        for build in recipe.go:
            folder = recipe.folder / build.folder
            assert (folder / "go.mod").is_file(), f"{recipe.name}: no go.mod"
            assert (folder / "go.sum").is_file(), f"{recipe.name}: not pinned by go.sum"
        if recipe.kind == "image":
            assert (recipe.folder / "Dockerfile").is_file(), f"{recipe.name}: no Dockerfile"


def test_recipes_come_after_what_they_need(recipe_at: RecipeAt, tmp_path: Path) -> None:
    recipe_at("a-node", preload=["pause", "redis"])
    recipe_at("redis", base="zarg")
    recipe_at("pause")
    recipe_at("zarg")
    order = list(read_recipes(tmp_path / "recipes"))
    assert order.index("zarg") < order.index("redis") < order.index("a-node")
    assert order.index("pause") < order.index("a-node")


def test_a_circle_is_refused_by_name(recipe_at: RecipeAt, tmp_path: Path) -> None:
    recipe_at("a", base="b")
    recipe_at("b", base="a")
    with pytest.raises(ConfigError, match="a -> b -> a"):
        read_recipes(tmp_path / "recipes")


def test_an_unknown_need_is_refused_by_name(recipe_at: RecipeAt, tmp_path: Path) -> None:
    recipe_at("a", preload=["nowhere"])
    with pytest.raises(ConfigError, match="'nowhere', which a needs"):
        read_recipes(tmp_path / "recipes")


def test_no_recipes_at_all_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="found none"):
        read_recipes(tmp_path)


@pytest.mark.parametrize(
    ("fields", "complaint"),
    [
        ({"colour": "red"}, "colour"),
        ({"image": "postgres:16"}, "image"),
        ({"image": None}, "needs a tag"),
        ({"go": [{"output": "../../bin/sh"}]}, "inside its folder"),
        ({"go": [{"output": "/bin/sh"}]}, "inside its folder"),
        ({"go": [{"output": "x", "expected": -1}]}, "expected"),
        ({"debian": {"suite": "bookworm", "packages": []}}, "packages"),
        ({"kind": "command", "image": None}, "one entry in 'go'"),
        ({"artefacts": [{"module": "m", "source": "a", "target": "b"}]}, "need a 'go' entry"),
        ({"seed": {"command": ["x"], "path": "/o/s", "archives": "/a", "dockerfile": "S"}}, "preload"),
        ({"version": ["1"]}, "version"),
    ],
)
def test_a_bad_field_is_named(recipe_at: RecipeAt, fields: dict[str, object], complaint: str) -> None:
    folder = recipe_at("thing", **fields)
    with pytest.raises(ConfigError) as caught:
        read_recipe(folder)
    assert complaint in str(caught.value)
    assert str(folder) in str(caught.value)


def test_the_name_must_be_that_of_the_folder(recipe_at: RecipeAt) -> None:
    with pytest.raises(ConfigError, match="'other'"):
        read_recipe(recipe_at("thing", name="other"))


@pytest.mark.parametrize("text", ["a: [", "- a\n", "name: a\nname: b\n", "\x00"])
def test_unreadable_yaml_is_a_clear_refusal(tmp_path: Path, text: str) -> None:
    (tmp_path / "recipe.yaml").write_text(text)
    with pytest.raises(ConfigError, match=r"recipe\.yaml"):
        read_recipe(tmp_path)
