"""What to keep when a drill did not end well, before anything is taken down.

Here belongs collecting: node logs, pods, events, Applications. Each may fail on its own; what could not be had is
said in a line. This is one of the three places with a broad `except`: a dead API must not cost the rest.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from harness.effects.store import write_text
from harness.gitops.platform import Platform

_LOG_TAIL = 2000  # lines a node
_SECRET = re.compile(
    r"(?i)(token|password|passwd|secret|client-key-data|authorization|bearer)(\"?\s*[:=]\s*\"?)([^\s\",]{6,})"
    r"|(eyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{6,})|(://[^/\s:@]+:)[^@\s/]+(@)"
)


def redact(text: str) -> str:
    """`text` without what looks like a credential."""

    def cover(found: re.Match[str]) -> str:
        if found.group(1):
            return f"{found.group(1)}{found.group(2)}[redacted]"
        return "[redacted]" if found.group(4) else f"{found.group(5)}[redacted]{found.group(6)}"

    return _SECRET.sub(cover, text)


def collect(platform: Platform, folder: Path) -> list[str]:
    """Write what can be had into `folder`; one line for each thing that could not be had."""
    folder.mkdir(parents=True, exist_ok=True)
    problems: list[str] = []
    for name, source in _sources(platform):
        try:
            write_text(folder / name, redact(source()))
        except Exception as error:  # noqa: BLE001 - see the module's docstring
            problems.append(f"{name} could not be collected: {str(error).splitlines()[0] if str(error) else error!r}")
    return problems


def _sources(platform: Platform) -> list[tuple[str, Callable[[], str]]]:
    sources: list[tuple[str, Callable[[], str]]] = [
        ("git-log.txt", lambda: platform.repo.git.out("log", "--stat", "-20", platform.repo.head))
    ]
    if not platform.alive:
        return sources
    cluster = platform.cluster

    def listing(group: str, kind: str) -> Callable[[], str]:
        return lambda: json.dumps([_trim(o) for o in cluster.api.list(cluster.api.kind(group, kind)).items], indent=1)

    for node in cluster.nodes():
        sources.append((f"node-{node.name}.log", lambda n=node: cluster.docker.logs(n.container, tail=_LOG_TAIL)))  # type: ignore[misc]
    sources += [
        ("pods.json", listing("", "Pod")),
        ("events.json", listing("", "Event")),
        ("nodes.json", listing("", "Node")),
        ("applications.json", listing("argoproj.io", "Application")),
    ]
    return sources


def _trim(item: dict[str, Any]) -> dict[str, Any]:
    item.get("metadata", {}).pop("managedFields", None)
    return item
