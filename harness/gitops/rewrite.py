"""Pointing the manifests of the served copy at the served copy.

Here belongs finding `repoURL`s (Applications, ApplicationSets) and `sourceRepos` (AppProjects) that mean this very
repository, and replacing them in the text, comments and layout kept. Committing the result does not: that is `repo`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import yaml

from harness.gitops.git import display, normalised

_KINDS = ("Application", "ApplicationSet", "AppProject", "List", None)  # None: values files and patches
_LINE = re.compile(
    r"""^(?P<head>\s*(?:-\s+)?repoURL:\s+)(?P<quote>["']?)(?P<url>[^\s"'{}#]+)(?P=quote)(?P<tail>\s*(?:#.*)?)$"""
)


@dataclass(frozen=True, slots=True)
class Rewrite:
    """One address that was replaced on the served copy; `line` starts at 1. Without credentials, fit for reports."""

    file: str
    line: int
    before: str
    after: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.before} -> {self.after}"


def rewrite_all(texts: Mapping[str, str], origins: frozenset[str], url: str) -> tuple[dict[str, str], list[Rewrite]]:
    """The files that change, with their new text, and every replacement.

    `origins` holds normalised addresses. An address that is `url` already is left alone.
    """
    changed: dict[str, str] = {}
    rewrites: list[Rewrite] = []
    for file, text in sorted(texts.items()):
        new, found = rewrite_text(file, text, origins, url)
        if found:
            changed[file] = new
            rewrites += found
    return changed, rewrites


def may_hold_addresses(path: str, text: str) -> bool:
    """Whether a file is worth a look."""
    return path.endswith((".yaml", ".yml", ".json")) and ("repoURL" in text or "sourceRepos" in text)


def rewrite_text(file: str, text: str, origins: frozenset[str], url: str) -> tuple[str, list[Rewrite]]:
    """`text` with every address of this repository replaced by `url`."""
    try:
        scalars = list(_addresses(text))
    except yaml.YAMLError:
        return _rewrite_lines(file, text, origins, url)  # a chart's template, for one, is not YAML
    found: list[Rewrite] = []
    for node in sorted(scalars, key=lambda n: n.start_mark.index, reverse=True):
        before = str(node.value)
        if before == url or normalised(before) not in origins:
            continue
        quote = node.style if node.style in ('"', "'") else ""
        if node.style in ("|", ">"):
            continue  # nobody writes an address as a block; leaving it is visible, breaking it is not
        text = text[: node.start_mark.index] + f"{quote}{url}{quote}" + text[node.end_mark.index :]
        found.append(Rewrite(file, node.start_mark.line + 1, display(before), url))
    return text, found[::-1]


def _addresses(text: str) -> Iterator[yaml.ScalarNode]:
    # The pure Python composer: its marks count characters, those of libyaml count bytes of what it was given.
    for document in yaml.compose_all(text, Loader=yaml.SafeLoader):
        kind = _field(document, "kind")
        if (kind.value if isinstance(kind, yaml.ScalarNode) else None) in _KINDS:
            yield from _walk(document)


def _walk(node: yaml.Node | None) -> Iterator[yaml.ScalarNode]:
    if isinstance(node, yaml.SequenceNode):
        for item in node.value:
            yield from _walk(item)
    elif isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            if key.value == "repoURL" and isinstance(value, yaml.ScalarNode):
                yield value
            elif key.value == "sourceRepos" and isinstance(value, yaml.SequenceNode):
                yield from (item for item in value.value if isinstance(item, yaml.ScalarNode))
            else:
                yield from _walk(value)


def _field(node: yaml.Node | None, name: str) -> yaml.Node | None:
    if isinstance(node, yaml.MappingNode):
        return next((value for key, value in node.value if key.value == name), None)
    return None


def _rewrite_lines(file: str, text: str, origins: frozenset[str], url: str) -> tuple[str, list[Rewrite]]:
    lines, found = text.split("\n"), []
    for number, line in enumerate(lines):
        match = _LINE.match(line)
        if match and match["url"] != url and normalised(match["url"]) in origins:
            lines[number] = f"{match['head']}{match['quote']}{url}{match['quote']}{match['tail']}"
            found.append(Rewrite(file, number + 1, display(match["url"]), url))
    return "\n".join(lines), found
