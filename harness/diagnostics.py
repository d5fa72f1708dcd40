"""What to keep when a drill did not end well, before anything is taken down.

Here belongs collecting: node logs, pods, events, Applications. Each may fail on its own; what could not be had is
said in a line. This is one of the three places with a broad `except`: a dead API must not cost the rest.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from harness.core.redaction import redact
from harness.effects.store import write_text
from harness.gitops.platform import Platform

__all__ = ["collect", "redact"]

_LOG_TAIL = 2000  # lines a node
_LISTED = (
    ("pods.json", "", "Pod"),
    ("events.json", "", "Event"),
    ("nodes.json", "", "Node"),
    ("applications.json", "argoproj.io", "Application"),
)


def collect(platform: Platform, folder: Path) -> list[str]:
    """Write what can be had into `folder`; one line for each thing that could not be had."""
    folder.mkdir(parents=True, exist_ok=True)
    problems: list[str] = []

    def attempt(name: str, action: Callable[[], None]) -> None:
        try:
            action()
        except Exception as error:  # noqa: BLE001 - see the module's docstring
            problems.append(f"{name} could not be collected: {next(iter(str(error).splitlines()), repr(error))}")

    def save(name: str, source: Callable[[], str]) -> None:
        attempt(name, lambda: write_text(folder / name, redact(source())))

    def logs() -> None:
        for node in platform.cluster.nodes():
            save(f"node-{node.name}.log", partial(platform.cluster.docker.logs, node.container, tail=_LOG_TAIL))

    save("git-log.txt", lambda: platform.repo.git.out("log", "--stat", "-20", platform.repo.head))
    if platform.alive:
        attempt("node logs", logs)
        for file, group, kind in _LISTED:
            save(file, partial(_listing, platform, group, kind))
    return problems


def _listing(platform: Platform, group: str, kind: str) -> str:
    api = platform.cluster.api
    return json.dumps([_trim(item) for item in api.list(api.kind(group, kind)).items], indent=1)


def _trim(item: dict[str, Any]) -> dict[str, Any]:
    item.get("metadata", {}).pop("managedFields", None)
    return item
