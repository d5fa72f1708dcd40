"""Recipes: what an image is made of, as data in fixtures/images/<name>/recipe.yaml.

Here belong the schema, the reading and the order of recipes. Making anything from them does not: that is `build`.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, Literal

import yaml
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from harness.core.errors import ConfigError

DEFAULT_GO = 60  # seconds on two cores, for a recipe that does not say
DEFAULT_DEBIAN = 45


def _inside(path: str) -> str:
    pure = PurePosixPath(path)
    if pure.is_absolute() or ".." in pure.parts or not pure.parts:
        raise ValueError(f"must be a path inside its folder, is {path!r}")
    return path


Inside = Annotated[str, AfterValidator(_inside)]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class GoBuild(_Part):
    """One `go build`. `folder` (below the recipe's) holds go.mod; `expected` is in seconds on two cores."""

    folder: str = "."
    package: str = "."
    output: Inside
    ldflags: str = ""
    expected: float = Field(default=DEFAULT_GO, gt=0)


class Debian(_Part):
    """A debootstrap minbase root with `packages`, trimmed. `drop` are further globs to leave out."""

    suite: str
    packages: tuple[str, ...] = Field(min_length=1)
    drop: tuple[Inside, ...] = ()
    expected: float = Field(default=DEFAULT_DEBIAN, gt=0)


class ModuleFile(_Part):
    """A file that is taken out of a Go module at build time and is never committed."""

    module: str
    source: Inside
    target: Inside
    folder: str = "."


class Seed(_Part):
    """A further layer made by running the image itself once.

    `command` reads the tars of the preloaded images in the folder `archives` and writes the folder `path`. `dockerfile`
    adds it to the image (`BASE`) from seed.tar; the tars themselves stay out of the image.
    """

    command: tuple[str, ...] = Field(min_length=1)
    path: str = Field(pattern=r"^/.+/.+$")
    archives: str = Field(pattern=r"^/")
    dockerfile: Inside


class Recipe(_Part):
    """One image, or one command, and what it is made of."""

    name: str = Field(pattern=r"^[a-z][a-z0-9-]*$")
    version: str
    kind: Literal["image", "command"] = "image"
    image: str = Field(default="", pattern=r"^(drill/[a-z0-9-]+:[A-Za-z0-9._-]+)?$")
    expected: float = Field(default=10, gt=0)
    go: tuple[GoBuild, ...] = ()
    debian: Debian | None = None
    module_files: tuple[ModuleFile, ...] = ()
    artefacts: tuple[ModuleFile, ...] = ()
    copy_files: tuple[Inside, ...] = ()
    base: str = ""
    preload: tuple[str, ...] = ()
    seed: Seed | None = None
    folder: Path

    @model_validator(mode="after")
    def _complete(self) -> Recipe:
        if self.kind == "image" and not self.image:
            raise ValueError("an image needs a tag in 'image'")
        if self.kind == "command" and (len(self.go) != 1 or self.image):
            raise ValueError("a command has one entry in 'go' and no 'image'")
        if self.seed and not self.preload:
            raise ValueError("a seed is made of the images in 'preload'; there are none")
        if (self.module_files or self.artefacts) and not self.go:
            raise ValueError("files out of modules need a 'go' entry")
        return self

    @property
    def needs(self) -> tuple[str, ...]:
        """The recipes that must be made before this one."""
        return (*((self.base,) if self.base else ()), *self.preload)


class _StrictLoader(yaml.SafeLoader):
    """Refuses what plain YAML lets through in silence: a key given twice."""


def _mapping(loader: _StrictLoader, node: yaml.MappingNode) -> dict[Any, Any]:
    keys = [loader.construct_object(key) for key, _ in node.value]
    twice = sorted({str(key) for key in keys if keys.count(key) > 1})
    if twice:
        raise yaml.constructor.ConstructorError(None, None, f"the key {twice[0]!r} is given twice", node.start_mark)
    return {loader.construct_object(key): loader.construct_object(value, deep=True) for key, value in node.value}


_StrictLoader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _mapping)


def read_yaml(path: Path) -> Mapping[str, Any]:
    """The mapping in a YAML file of ours. Raises ConfigError when it is unreadable or not a mapping."""
    try:
        data = yaml.load(path.read_text(encoding="utf-8"), Loader=_StrictLoader)
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        detail = " ".join(str(error).split())
        raise ConfigError(f"readable YAML in {path}", detail, "mend the file") from error
    if not isinstance(data, dict):
        raise ConfigError(f"a mapping in {path}", type(data).__name__, "mend the file")
    return data


def recipes_folder() -> Path:
    """fixtures/images of the checkout, or the copy that an installed drill carries."""
    package = Path(__file__).parents[2]
    installed = package / "_fixtures" / "images"
    return installed if installed.is_dir() else package.parent / "fixtures" / "images"


def read_recipe(folder: Path) -> Recipe:
    """The recipe in `folder`. Raises ConfigError, naming the field, when it cannot be used."""
    path = folder / "recipe.yaml"
    data = dict(read_yaml(path))
    try:
        recipe = Recipe(**data, folder=folder)
    except (ValidationError, TypeError) as error:
        raise ConfigError(f"a recipe in {path}", _first(error), "mend the field") from error
    if recipe.name != folder.name:
        raise ConfigError(f"the recipe in {folder} to be named {folder.name!r}", repr(recipe.name), "rename one")
    return recipe


def read_recipes(folder: Path) -> dict[str, Recipe]:
    """Every recipe below `folder`, each after those it needs. Raises ConfigError."""
    found = {path.parent.name: read_recipe(path.parent) for path in sorted(folder.glob("*/recipe.yaml"))}
    if not found:
        raise ConfigError(f"recipes below {folder}", "none", "use a complete checkout of drill")
    return in_order(found)


def in_order(recipes: Mapping[str, Recipe]) -> dict[str, Recipe]:
    """`recipes` sorted so that each comes after those it needs. Raises ConfigError for an unknown one or a circle."""
    ordered: dict[str, Recipe] = {}

    def visit(name: str, above: tuple[str, ...]) -> None:
        if name in ordered:
            return
        if name in above:
            raise ConfigError("recipes without a circle", " -> ".join((*above, name)), "take one of the needs out")
        if name not in recipes:
            raise ConfigError(f"a recipe named {name!r}, which {above[-1]} needs", "none", "add it or mend the name")
        for need in recipes[name].needs:
            visit(need, (*above, name))
        ordered[name] = recipes[name]

    for name in sorted(recipes):
        visit(name, ())
    return ordered


def _first(error: ValidationError | TypeError) -> str:
    if isinstance(error, TypeError):
        return str(error)
    detail = error.errors()[0]
    where = ".".join(str(part) for part in detail["loc"]) or "the recipe"
    return f"{where}: {detail['msg']}"
