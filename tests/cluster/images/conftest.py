"""What the tests of the images share: a folder of recipes, an engine in memory, a clock that is not waited for."""

from __future__ import annotations

import io
import json
import shutil
import tarfile
import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import yaml

from harness.cluster.images.engine import LocalImage
from harness.cluster.images.keys import file_digest
from harness.cluster.images.model import FLAVOUR_BUILT, ImageRef, ImageSet
from harness.core.errors import CommandFailed


class InstantClock:
    """A clock on which sleeping costs nothing."""

    def __init__(self) -> None:
        self.ns = 0

    def now_ns(self) -> int:
        return self.ns

    def utc(self) -> datetime:
        return datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)

    def sleep(self, duration: timedelta) -> None:
        self.ns += int(duration.total_seconds() * 1e9)

    def wait(self, condition: threading.Condition, duration: timedelta) -> bool:
        self.sleep(duration)
        return False


class FakeEngine:
    """Docker in memory. `registry` is what can be pulled: reference -> digest."""

    def __init__(self) -> None:
        self.local: dict[str, LocalImage] = {}
        self.registry: dict[str, str] = {}
        self.loaded: list[Path] = []
        self.removed: list[str] = []
        self.pulled: list[str] = []

    def add(self, reference: str, labels: dict[str, str] | None = None, *, content: str = "") -> None:
        self.local[reference] = LocalImage(f"sha256:{content or reference}", (reference,), (), labels or {})

    def inspect(self, references: Sequence[str]) -> dict[str, LocalImage]:
        return {reference: self.local[reference] for reference in references if reference in self.local}

    def pull(self, reference: str) -> None:
        if reference not in self.registry:
            raise CommandFailed(["docker", "pull", reference], 1, "", "no such host")
        self.pulled.append(reference)
        repository = reference.partition("@")[0] if "@" in reference else reference.rpartition(":")[0]
        exact = f"{repository}@{self.registry[reference]}"
        self.local[reference] = LocalImage(f"sha256:{exact}", (reference,), (exact,))

    def tag(self, reference: str, name: str) -> None:
        self.local[name] = replace(self.local[reference], tags=(name,))

    def save(self, references: Sequence[str], target: Path) -> None:
        target.parent.mkdir(parents=True, exist_ok=True)
        content = json.dumps([{"Config": "c", "RepoTags": list(references), "Layers": []}]).encode()
        with tarfile.open(target, "w") as archive:
            member = tarfile.TarInfo("manifest.json")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))

    def load(self, source: Path) -> None:
        self.loaded.append(source)
        with tarfile.open(source) as archive:
            stream = archive.extractfile("manifest.json")
            assert stream is not None
            for entry in json.load(stream):
                for reference in entry["RepoTags"]:
                    self.add(reference, content="loaded")

    def remove(self, reference: str) -> None:
        self.removed.append(reference)
        self.local.pop(reference, None)

    def unnamed(self, label: str) -> tuple[str, ...]:
        return ()


@pytest.fixture
def engine() -> FakeEngine:
    return FakeEngine()


@pytest.fixture
def clock() -> InstantClock:
    return InstantClock()


@pytest.fixture
def said() -> list[str]:
    """What progress was told."""
    return []


@pytest.fixture
def recipe_at(tmp_path: Path) -> Callable[..., Path]:
    """Writes a recipe folder below tmp_path/recipes: `recipe_at("pause", go=[...])`."""

    def write(name: str, /, **fields: object) -> Path:
        folder = tmp_path / "recipes" / name
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        data = {"name": name, "version": "1", "image": f"drill/{name}:1"} | fields
        (folder / "recipe.yaml").write_text(yaml.safe_dump({k: v for k, v in data.items() if v is not None}))
        (folder / "go.mod").write_text("module x\n\ngo 1.24.0\n")
        return folder

    return write


@pytest.fixture
def image_set(tmp_path: Path, engine: FakeEngine) -> ImageSet:
    """A complete set whose images are all in `engine`, whose files are all on disk."""
    refs = {name: ImageRef(name, f"drill/{name}:1", f"sha256:{name}", "1") for name in
            ("node", "argocd", "redis", "coredns", "pause", "sample")}  # fmt: skip
    for ref in refs.values():
        engine.add(ref.reference)
    k3d = tmp_path / "made" / "k3d"
    manifests = tmp_path / "made" / "argocd"
    (manifests / "crds").mkdir(parents=True)
    (manifests / "core-install.yaml").write_text("kind: List\n")
    (manifests / "crds" / "application-crd.yaml").write_text("kind: CustomResourceDefinition\n")
    k3d.write_bytes(b"#!/bin/sh\necho k3d\n")
    k3d.chmod(0o755)
    return ImageSet(
        "build", FLAVOUR_BUILT, refs["node"], refs["pause"], refs["argocd"], refs["redis"], refs["coredns"],
        refs["pause"], refs["sample"], k3d, "5.9.0", file_digest(k3d), manifests,
    )  # fmt: skip
