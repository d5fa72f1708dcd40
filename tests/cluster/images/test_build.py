"""The builder: its plan without Docker, and one tiny image really built with it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from harness.cluster.images.build import Builder, Targets
from harness.cluster.images.commands import Commands
from harness.cluster.images.engine import DockerEngine
from harness.cluster.images.gotool import GoTool, find_go
from harness.cluster.images.recipe import recipes_folder
from harness.core.clock import SystemClock
from harness.core.errors import EnvironmentUnfit, ImageUnavailable
from harness.effects import proc

from .conftest import FakeEngine, InstantClock

RecipeAt = Callable[..., Path]
GO = GoTool(Path("/usr/bin/go"), "go1.26.6")
SELFTEST = "drill/selftest:1"


def builder_at(folder: Path, tmp_path: Path, engine: FakeEngine, said: list[str]) -> Builder:
    return Builder.at(tmp_path / "cache", engine, InstantClock(), said.append, folder)


def plan(builder: Builder) -> list[tuple[str, str, set[str]]]:
    commands = Commands(builder.cache / "logs", builder.cancel, builder.clock)
    missing = builder.missing(builder.everything())
    return [(stage.name, stage.lane, set(stage.needs)) for stage in builder._stages(missing, GO, commands)]


def test_the_plan_for_our_own_recipes(tmp_path: Path, engine: FakeEngine, said: list[str]) -> None:
    stages = plan(builder_at(recipes_folder(), tmp_path, engine, said))
    needs = {name: need for name, _, need in stages}
    order = [name for name, _, _ in stages]
    assert needs["image argocd"] == {"go argocd/argocd", "go argocd/helm", "go argocd/kustomize", "debian argocd"}
    assert needs["image redis"] == {"image argocd"}
    assert needs["command k3d"] == {"go k3d/k3d"}
    assert order.index("go argocd/argocd") < order.index("go argocd/helm") < order.index("go pause/pause")
    assert len(order) == len(set(order))
    assert set().union(*needs.values()) <= set(order), "a stage waits for one that is not planned"


def test_the_plan_holds_only_what_is_missing(tmp_path: Path, engine: FakeEngine, said: list[str]) -> None:
    builder = builder_at(recipes_folder(), tmp_path, engine, said)
    for name, recipe in builder.recipes.items():
        if recipe.kind == "image" and name != "redis":
            engine.add(recipe.image, {"drill.content": builder.keys[name]})
    assert builder.missing(builder.everything()).images == {"redis"}
    assert ("image redis", "docker", set()) in plan(builder)


def test_a_past_duration_counts_more_than_the_recipes_guess(
    recipe_at: RecipeAt, tmp_path: Path, engine: FakeEngine, said: list[str]
) -> None:
    recipe_at("pause", go=[{"output": "pause", "expected": 100}])
    builder = builder_at(tmp_path / "recipes", tmp_path, engine, said)
    builder._record("go pause/pause", timedelta(seconds=7))
    commands = Commands(builder.cache / "logs", builder.cancel, builder.clock)
    stages = builder._stages(builder.missing(builder.everything()), GO, commands)
    assert {stage.name: stage.expected.total_seconds() for stage in stages}["go pause/pause"] == 7


def test_a_host_that_cannot_run_debootstrap_is_told_before_anything_starts(
    recipe_at: RecipeAt, tmp_path: Path, engine: FakeEngine, said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe_at("thing", debian={"suite": "bookworm", "packages": ["git"]})
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    builder = builder_at(tmp_path / "recipes", tmp_path, engine, said)
    with pytest.raises(EnvironmentUnfit, match="root"):
        builder.ensure(builder.everything())
    assert said == []


def test_too_little_disk_is_told_before_anything_starts(
    recipe_at: RecipeAt, tmp_path: Path, engine: FakeEngine, said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe_at("argocd", go=[{"output": "x"}])
    usage = type("Usage", (), {"free": 1024**3})
    monkeypatch.setattr("harness.cluster.images.build.shutil.disk_usage", lambda path: usage)
    builder = builder_at(tmp_path / "recipes", tmp_path, engine, said)
    with pytest.raises(EnvironmentUnfit, match=r"1\.0 GiB"):
        builder.ensure(builder.everything())


def test_what_a_killed_build_of_other_content_left_is_swept_away(
    recipe_at: RecipeAt, tmp_path: Path, engine: FakeEngine, said: list[str]
) -> None:
    recipe_at("pause", go=[{"output": "pause"}])
    builder = builder_at(tmp_path / "recipes", tmp_path, engine, said)
    mine = builder._work(builder.recipes["pause"])
    old = builder.cache / "work" / "pause-0123456789abcdef"
    for folder in (mine, old):
        (folder / "root" / "etc").mkdir(parents=True)
    builder._sweep()
    assert mine.is_dir()
    assert not old.exists()


# -- really built ------------------------------------------------------------------------------------------------------


@pytest.fixture
def selftest(tmp_path: Path) -> Iterator[Path]:
    """A recipe of one tiny program, and nothing left of it afterwards."""
    folder = tmp_path / "recipes" / "selftest"
    folder.mkdir(parents=True)
    text = f'name: selftest\nversion: "1"\nimage: {SELFTEST}\ngo: [{{output: program}}]\n'
    (folder / "recipe.yaml").write_text(text)
    (folder / "go.mod").write_text("module selftest\n\ngo 1.21\n")
    (folder / "main.go").write_text('package main\n\nfunc main() { println("one") }\n')
    (folder / "Dockerfile").write_text('FROM scratch\nCOPY program /\nENTRYPOINT ["/program"]\n')
    if find_go("1.21", tmp_path) is None:
        pytest.skip("no Go here; fetching one is the business of the real build")
    engine = DockerEngine()
    engine.remove(SELFTEST)
    yield folder
    engine.remove(SELFTEST)


def output() -> str:
    argv = ["docker", "run", "--rm", "--network", "none", SELFTEST]
    return proc.run(argv, timeout=timedelta(minutes=1)).stderr.strip()


@pytest.mark.cluster
def test_an_image_is_built_once_and_again_when_its_content_changes(
    selftest: Path, tmp_path: Path, said: list[str]
) -> None:
    engine = DockerEngine()

    def ensure() -> Targets:
        builder = Builder.at(tmp_path / "cache", engine, SystemClock(), said.append, selftest.parent)
        return builder.ensure(builder.everything())

    assert ensure().images == {"selftest"}
    assert output() == "one"
    first = engine.inspect([SELFTEST])[SELFTEST]
    assert not ensure(), "the second run built something"
    (selftest / "main.go").write_text('package main\n\nfunc main() { println("two") }\n')
    assert ensure().images == {"selftest"}
    assert output() == "two"
    assert engine.inspect([first.id]) == {}, "the old content was left behind without a name"
    assert list((tmp_path / "cache" / "work").iterdir()) == []


@pytest.mark.cluster
@pytest.mark.parametrize(
    ("name", "content", "stage", "line"),
    [
        ("main.go", "package main\n\nfunc main() { nonsense }\n", "go selftest/program", "undefined: nonsense"),
        ("Dockerfile", "FROM scratch\nCOPY nowhere /\n", "image selftest", "nowhere"),
    ],
)
def test_a_failed_build_names_its_stage_and_tags_nothing(
    selftest: Path, tmp_path: Path, said: list[str], name: str, content: str, stage: str, line: str
) -> None:
    (selftest / name).write_text(content)
    engine = DockerEngine()
    builder = Builder.at(tmp_path / "cache", engine, SystemClock(), said.append, selftest.parent)
    with pytest.raises(ImageUnavailable) as caught:
        builder.ensure(builder.everything())
    assert f"{stage!r} failed" in str(caught.value)
    assert line in str(caught.value)
    assert engine.inspect([SELFTEST]) == {}
