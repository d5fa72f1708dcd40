"""One value of one manifest, replaced in the text.

Here belongs finding a value by its path and writing another in its place; comments, order and spelling of all the rest
stay as people wrote them, so that a commit changes one line. Committing it does not: that is `harness.gitops.repo`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

import yaml

from harness.core.errors import ConfigError
from harness.core.objects import dig
from harness.gitops.yamlload import documents

Scalar = str | int | float | bool | None
Steps = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Edit:
    """Another `value` at `at` in `file`.

    `at` is a path such as `spec.template.spec.containers.0.image`, or its steps as a tuple where a key holds a dot.
    `of` names the object (`Deployment api`) where the file holds several.
    """

    file: str
    at: str | Steps
    value: Scalar
    of: str = ""

    @property
    def steps(self) -> Steps:
        """The path, taken apart; numbers are places in a list."""
        if not isinstance(self.at, str):
            return self.at
        return tuple(int(s) if s.isdigit() else s for s in self.at.split("."))

    def apply(self, text: str) -> str:
        """`text` with the other value in it.

        Raises ConfigError: no YAML, no such object, nothing at that path, more than one value there, or that value
        already.
        """
        node = self._find(text)
        if not isinstance(node, yaml.ScalarNode):
            found = "a mapping" if isinstance(node, yaml.MappingNode) else "a list"
            raise self._wrong(f"a single value at {self._shown()}", found, "name the value itself")
        begin, end = node.start_mark.index, node.end_mark.index
        tail = "\n" if text[begin:end].endswith("\n") else ""  # a block of text ends after its last line
        other = text[:begin] + _written(self.value, node.style) + tail + text[end:]
        if _bodies(other, self.file) == _bodies(text, self.file):
            raise self._wrong(f"another value at {self._shown()} than now", repr(self.value), "write another value")
        return other

    def _find(self, text: str) -> yaml.Node:
        documents(text, self.file)  # for its message, where it is no YAML
        roots = [node for node in yaml.compose_all(text, Loader=yaml.SafeLoader) if isinstance(node, yaml.MappingNode)]
        named = [node for node in roots if not self.of or _name(node) == self.of]
        if len(named) != 1:
            names = ", ".join(_name(node) for node in roots) or "none"
            wanted = f"one object {self.of}".rstrip() + f" in {self.file}"
            raise ConfigError(wanted, names, "name the object to edit, as in of='Deployment api'")
        node: yaml.Node = named[0]
        for done, step in enumerate(self.steps):
            inner = _step(node, step)
            if inner is None:
                there = ".".join(map(str, self.steps[:done])) or "the top"
                raise self._wrong(f"a value at {self._shown()}", f"no {step!r} at {there}", "correct the path")
            node = inner
        return node

    def _shown(self) -> str:
        return ".".join(map(str, self.steps))

    def _wrong(self, expected: str, found: str, remedy: str) -> ConfigError:
        return ConfigError(f"{expected} of {self.of or 'the object'} in {self.file}", found, remedy)


def edited(texts: Mapping[str, str], *edits: Edit) -> dict[str, str]:
    """The files of `texts` that `edits` change, one after the other. Raises ConfigError, also for a file not there."""
    found: dict[str, str] = {}
    for edit in edits:
        text = found.get(edit.file, texts.get(edit.file))
        if text is None:
            raise ConfigError(f"a file {edit.file} in the repository", "none", "name a file of this revision")
        found[edit.file] = edit.apply(text)
    return found


def _bodies(text: str, file: str) -> list[object]:
    return [document.body for document in documents(text, file)]


def _step(node: yaml.Node, step: str | int) -> yaml.Node | None:
    if isinstance(node, yaml.MappingNode):
        return next((value for key, value in node.value if key.value == str(step)), None)
    if isinstance(node, yaml.SequenceNode) and isinstance(step, int) and step < len(node.value):
        found: yaml.Node = node.value[step]
        return found
    return None


def _name(node: yaml.MappingNode) -> str:
    kind, metadata = _step(node, "kind"), _step(node, "metadata")
    name = _step(metadata, "name") if metadata is not None else None
    return f"{kind.value if kind else '?'} {name.value if name else '?'}"


def _written(value: Scalar, style: str | None) -> str:
    """`value` as it stands in a manifest; text that would be read as something else is put in quotes."""
    if not isinstance(value, str):
        return json.dumps(value)
    plain = style not in ("'", '"') and _plain(value)
    return value if plain else "".join(map(_visible, json.dumps(value, ensure_ascii=False)))


def _visible(character: str) -> str:
    """As it may stand between double quotes in YAML, which folds line breaks that JSON leaves bare."""
    if character.isprintable():
        return character
    return f"\\u{ord(character):04x}" if ord(character) < 0x10000 else f"\\U{ord(character):08x}"


def _plain(value: str) -> bool:
    try:
        (document,) = documents(f"a: {value}\n", "")
    except (ConfigError, ValueError):
        return False
    return bool(dig(document.body, "a") == value)
