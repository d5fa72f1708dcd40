"""Facts about this run for `run.json`: what is ours, at which state, with which tools.

Here belongs asking for versions. Nothing here changes anything.
"""

from __future__ import annotations

import importlib.metadata
from datetime import timedelta
from pathlib import Path
from typing import Any

from harness.core.errors import ToolError
from harness.core.text import first_line
from harness.effects.proc import run

_PACKAGES = ("drill", "pytest", "pytest-testinfra", "kubernetes", "python-on-whales", "tenacity", "hypothesis")
_SHORT = timedelta(seconds=10)


def git_state() -> dict[str, Any]:
    """Version of the harness; commit and dirty flag where it runs from a checkout."""
    state: dict[str, Any] = {"versions": {name: _version(name) for name in _PACKAGES}}
    root = Path(__file__).parent.parent
    if (root / ".git").exists():
        try:
            state["commit"] = run(["git", "-C", str(root), "rev-parse", "HEAD"], timeout=_SHORT).stdout.strip()
            state["dirty"] = bool(run(["git", "-C", str(root), "status", "--porcelain"], timeout=_SHORT).stdout.strip())
        except ToolError as error:
            state["commit"] = f"unknown: {first_line(error)}"
    return state


def _version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


def tool_versions(k3d: Path) -> dict[str, str]:
    """What the commands we use say of themselves."""
    asked = {
        "git": ["git", "--version"],
        "docker": ["docker", "version", "--format", "{{.Client.Version}} / {{.Server.Version}}"],
        "k3d": [str(k3d), "version"],
    }
    found = {}
    for tool, argv in asked.items():
        try:
            found[tool] = run(argv, timeout=_SHORT).stdout.strip().replace("\n", ", ")
        except ToolError as error:
            found[tool] = f"unknown: {first_line(error)}"
    return found
