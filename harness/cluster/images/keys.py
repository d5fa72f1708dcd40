"""Content keys: two builds with the same key would give the same image, so the second need not be made.

Here belong the hashing of recipes and files. Comparing a key with what is present does not: that is `build`.
"""

from __future__ import annotations

import hashlib
import platform
from collections.abc import Mapping
from pathlib import Path

from harness.cluster.images.recipe import Debian, Recipe

# Raise it when the builder itself makes something else from the same recipe.
BUILDER_VERSION = "1"


def machine() -> str:
    """The platform of this machine in Docker's words, such as linux/amd64."""
    names = {"x86_64": "amd64", "aarch64": "arm64"}
    return f"linux/{names.get(platform.machine(), platform.machine())}"


def file_digest(path: Path) -> str:
    """sha256 of a file, in hex."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def content_keys(recipes: Mapping[str, Recipe]) -> dict[str, str]:
    """The key of every recipe. `recipes` must be in order (each after those it needs)."""
    keys: dict[str, str] = {}
    for name, recipe in recipes.items():
        digest = hashlib.sha256(f"{BUILDER_VERSION} {machine()} {name}\n".encode())
        for path in _sources(recipe.folder):
            digest.update(f"{path.relative_to(recipe.folder).as_posix()} {file_digest(path)}\n".encode())
        for need in recipe.needs:
            digest.update(f"needs {need} {keys[need]}\n".encode())
        keys[name] = digest.hexdigest()
    return keys


def rootfs_key(debian: Debian) -> str:
    """The key of a Debian root alone: a change of our Go code must not fetch the packages again."""
    parts = (BUILDER_VERSION, machine(), debian.suite, *debian.packages, "drop", *debian.drop)
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def _sources(folder: Path) -> list[Path]:
    """What an image is made from: tests and documentation beside it are not."""
    return sorted(
        path
        for path in folder.rglob("*")
        if path.is_file() and not path.name.endswith("_test.go") and path.suffix != ".md"
        and not any(part.startswith(".") for part in path.relative_to(folder).parts)
    )  # fmt: skip
