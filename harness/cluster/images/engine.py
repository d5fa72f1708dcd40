"""What the image sources need of Docker: inspect, pull, tag, save, load, remove.

Here belong the commands and the reading of their answers. Containers and networks do not: that is `cluster.docker`.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Protocol

from harness.core.clock import MINUTE
from harness.core.errors import CommandFailed, ToolError
from harness.effects import proc

_QUICK = timedelta(seconds=30)


@dataclass(frozen=True, slots=True)
class LocalImage:
    """An image that the engine has."""

    id: str
    tags: tuple[str, ...] = ()
    digests: tuple[str, ...] = ()
    labels: dict[str, str] = field(default_factory=dict)
    platform: str = ""


class Engine(Protocol):
    """The port. `DockerEngine` is the real one."""

    def inspect(self, references: Sequence[str]) -> dict[str, LocalImage]:
        """Those of `references` that are present."""

    def pull(self, reference: str) -> None:
        """Fetch an image from its registry. Raises CommandFailed or CommandTimeout."""

    def tag(self, reference: str, name: str) -> None:
        """Give a present image another name."""

    def save(self, references: Sequence[str], target: Path) -> None:
        """Write images into one tar, shared layers once."""

    def load(self, source: Path) -> None:
        """Take every image out of a tar."""

    def remove(self, reference: str) -> None:
        """Take a name away from an image, and the image where it was the last; no error when there is none."""

    def unnamed(self, label: str) -> tuple[str, ...]:
        """Ids of the images that carry `label` and that no name leads to any more."""


class DockerEngine:
    """The `docker` command."""

    def inspect(self, references: Sequence[str]) -> dict[str, LocalImage]:
        if not references:
            return {}
        # One command for all: it prints what it finds and complains about the rest with code 1.
        answer = proc.run(["docker", "image", "inspect", *references], timeout=_QUICK, check=False)
        try:
            images = [_local(data) for data in json.loads(answer.stdout or "[]")]
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ToolError(f"expected JSON from `docker image inspect`; found {answer.stdout[:200]!r}") from error
        if answer.returncode != 0 and "no such image" not in answer.stderr.lower():
            raise CommandFailed(answer.argv, answer.returncode, answer.stdout, answer.stderr)
        found: dict[str, LocalImage] = {}
        for reference in references:
            for image in images:
                if reference in (*image.tags, *image.digests, image.id):
                    found[reference] = image
        return found

    def pull(self, reference: str) -> None:
        proc.run(["docker", "pull", "--quiet", reference], timeout=15 * MINUTE)

    def tag(self, reference: str, name: str) -> None:
        proc.run(["docker", "tag", reference, name], timeout=_QUICK)

    def save(self, references: Sequence[str], target: Path) -> None:
        target.parent.mkdir(parents=True, exist_ok=True)
        draft = target.with_name(f".{target.name}.part")
        try:
            proc.run(["docker", "save", "--output", str(draft), *references], timeout=10 * MINUTE)
            draft.replace(target)
        finally:
            draft.unlink(missing_ok=True)

    def load(self, source: Path) -> None:
        proc.run(["docker", "load", "--quiet", "--input", str(source)], timeout=10 * MINUTE)

    def remove(self, reference: str) -> None:
        proc.run(["docker", "image", "rm", reference], timeout=MINUTE, check=False)

    def unnamed(self, label: str) -> tuple[str, ...]:
        filters = ["--filter", "dangling=true", "--filter", f"label={label}"]
        return tuple(proc.run(["docker", "image", "ls", "--quiet", *filters], timeout=_QUICK).stdout.split())


def _local(data: dict[str, object]) -> LocalImage:
    config = data.get("Config") or {}
    labels = config.get("Labels") if isinstance(config, dict) else None
    return LocalImage(
        id=str(data["Id"]),
        tags=tuple(_strings(data.get("RepoTags"))),
        digests=tuple(_strings(data.get("RepoDigests"))),
        labels=dict(labels or {}),
        platform=f"{data.get('Os')}/{data.get('Architecture')}",
    )


def _strings(value: object) -> list[str]:
    return [str(item) for item in value] if isinstance(value, list) else []
