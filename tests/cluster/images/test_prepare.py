"""Which source is taken, and what a complete set looks like from each."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from harness.cluster.images.build import LABEL_CONTENT, Builder
from harness.cluster.images.k3dtool import supported
from harness.cluster.images.keys import file_digest
from harness.cluster.images.model import ImageSet, ImageSource
from harness.cluster.images.prepare import Context, prepare_with
from harness.cluster.images.sets import remember
from harness.core.errors import ImageUnavailable

from .conftest import FakeEngine, InstantClock
from .test_pull import full, pins_at

RecipeAt = Callable[..., Path]
GO = [{"output": "x"}]
FILES = [{"module": "m", "source": "core-install.yaml", "target": "core-install.yaml"}]


@pytest.fixture
def context(
    tmp_path: Path, recipe_at: RecipeAt, engine: FakeEngine, clock: InstantClock, said: list[str],
    monkeypatch: pytest.MonkeyPatch,
) -> Context:  # fmt: skip
    """A complete folder of recipes, nothing built, no k3d on PATH, no registry; building does as if it had built."""
    for name in ("pause", "coredns", "redis", "sample", "node"):
        recipe_at(name, go=GO)
    recipe_at("argocd", go=GO, artefacts=FILES)
    recipe_at("k3d", kind="command", image=None, go=GO)
    pins_at(tmp_path / "recipes")

    def pretend(builder: Builder, missing: object) -> None:
        said.append("built")
        build_all(builder, engine)

    monkeypatch.setattr(Builder, "_run", pretend)
    return Context(tmp_path / "cache", said.append, engine, clock, tmp_path / "recipes",
                   answers=lambda hosts: False, find_k3d=lambda: None)  # fmt: skip


def build_all(builder: Builder, engine: FakeEngine) -> None:
    for name, recipe in builder.recipes.items():
        if recipe.kind == "image":
            engine.add(recipe.image, {LABEL_CONTENT: builder.keys[name]})
    path = builder.command_path("k3d")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("k3d")
    record = {"key": builder.keys["k3d"], "sha256": file_digest(path), "version": "5.9.0"}
    path.with_suffix(".json").write_text(json.dumps(record))
    folder = builder.artefacts_path("argocd")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "core-install.yaml").write_text("kind: List")


def test_building_gives_a_complete_set_and_the_second_time_builds_nothing(context: Context, said: list[str]) -> None:
    first = prepare_with(ImageSource.BUILD, context)
    assert (first.source, first.flavour) == ("build", "upstream Kubernetes, built here")
    assert first.preload == ()
    assert first.tools == first.pause
    assert (first.argocd_manifests / "core-install.yaml").is_file()
    assert said.count("built") == 1
    assert prepare_with(ImageSource.BUILD, context) == first
    assert said.count("built") == 1


@pytest.mark.parametrize("harm", ["image", "label", "k3d", "manifests", "recipe"])
def test_whatever_is_missing_or_changed_is_built_again(
    context: Context, said: list[str], engine: FakeEngine, harm: str, recipe_at: RecipeAt
) -> None:
    images = prepare_with(ImageSource.BUILD, context)
    if harm == "image":
        engine.remove("drill/redis:1")
    elif harm == "label":
        engine.add("drill/redis:1", {LABEL_CONTENT: "of another checkout"})
    elif harm == "k3d":
        images.k3d.write_text("something else")
    elif harm == "manifests":
        (images.argocd_manifests / "core-install.yaml").unlink()
        images.argocd_manifests.rmdir()
    else:
        (recipe_at("redis", go=GO) / "main.go").write_text("package main")
    prepare_with(ImageSource.BUILD, context)
    assert said.count("built") == 2


def test_a_k3d_on_path_is_used_if_it_is_one_we_know(context: Context, tmp_path: Path, said: list[str]) -> None:
    theirs = tmp_path / "k3d"
    theirs.write_text("theirs")
    for version, ours in (("5.9.1", False), ("4.4.8", True), ("unknown", True)):
        given = Context(context.cache, said.append, context.engine, context.clock, context.folder,
                        context.answers, lambda v=version: (theirs, v))  # type: ignore[misc]  # fmt: skip
        images = prepare_with(ImageSource.BUILD, given)
        assert (images.k3d != theirs) is ours
        assert images.k3d_digest == file_digest(images.k3d)
        assert any("expected k3d" in line and version in line for line in said) is ours


@pytest.mark.parametrize(
    ("version", "expected"),
    [("5.9.0", True), ("5.10.0", True), ("5.8.3", True), ("5.7.5", False), ("6.0.0", False), ("", False)],
)
def test_versions_of_k3d_are_compared_as_numbers(version: str, expected: bool) -> None:
    assert supported(version) is expected


def test_pulling_adds_what_no_registry_has(context: Context, engine: FakeEngine) -> None:
    assert context.folder is not None
    full(context.folder / "pins.yaml", engine)
    images = prepare_with(ImageSource.PULL, context)
    assert (images.source, images.flavour) == ("pull", "k3s")
    assert images.node.reference == "registry.example/node:1"
    assert images.sample.reference == "drill/sample:1"
    assert len(images.preload) == 1
    assert images.preload[0].is_file()


def test_without_a_bundle_the_message_says_how_to_load_one(context: Context) -> None:
    with pytest.raises(ImageUnavailable, match="drill bundle load"):
        prepare_with(ImageSource.BUNDLE, context)


def test_auto_takes_what_is_present_first(
    context: Context, engine: FakeEngine, image_set: ImageSet, said: list[str]
) -> None:
    remember(context.cache, replace(image_set, source="bundle"), engine)
    assert prepare_with(ImageSource.AUTO, context).source == "bundle"
    build_all(context.builder(), engine)
    assert prepare_with(ImageSource.AUTO, context).source == "build"
    assert "built" not in said


def test_auto_pulls_where_a_registry_answers(context: Context, engine: FakeEngine, said: list[str]) -> None:
    assert context.folder is not None
    full(context.folder / "pins.yaml", engine)
    asked: list[tuple[str, ...]] = []

    def answers(hosts: object) -> bool:
        asked.append(tuple(hosts))  # type: ignore[arg-type]
        return True

    given = Context(context.cache, said.append, engine, context.clock, context.folder, answers, lambda: None)
    assert prepare_with(ImageSource.AUTO, given).source == "pull"
    assert asked == [("registry.example",)]


def test_auto_builds_where_none_answers_and_says_so(context: Context, said: list[str]) -> None:
    assert prepare_with(ImageSource.AUTO, context).source == "build"
    assert any("no container registry answers" in line for line in said)


def test_auto_builds_where_the_official_images_are_not_pinned_and_says_so(context: Context, said: list[str]) -> None:
    assert context.folder is not None
    pins_at(context.folder, digest="null")
    given = Context(context.cache, said.append, context.engine, context.clock, context.folder,
                    lambda hosts: True, lambda: None)  # fmt: skip
    assert prepare_with(ImageSource.AUTO, given).source == "build"
    assert any("not pinned yet" in line for line in said)
