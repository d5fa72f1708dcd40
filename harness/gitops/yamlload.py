"""YAML as the cluster reads it, and strictly.

Here belongs the one loader for manifests and for drill.yaml: duplicate keys are refused (PyYAML keeps the last one in
silence), `yes`, `12:30:45` and `2026-01-01` stay the strings that kubectl and Argo CD see. What the documents mean does
not belong here.
"""

from __future__ import annotations

import re
from collections.abc import Hashable, Iterator
from dataclasses import dataclass
from typing import Any

import yaml

from harness.core.errors import ConfigError

_Base: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_MERGE = "tag:yaml.org,2002:merge"


@dataclass(frozen=True, slots=True)
class Document:
    """One document of a YAML stream and where it begins (line numbers start at 1)."""

    body: Any
    file: str
    line: int


class _DuplicateKeyError(Exception):
    def __init__(self, key: str, line: int, first: int) -> None:
        self.key, self.line, self.first = key, line, first
        super().__init__(key)


class _StrictLoader(_Base):  # type: ignore[misc]
    """CSafeLoader with the scalars of kubectl (facts: `kubectl kustomize` 5.5) and no duplicate keys."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen: dict[Hashable, int] = {}
        for key_node, _ in node.value:
            if key_node.tag == _MERGE:
                continue
            key = self.construct_object(key_node, deep=True)
            line = key_node.start_mark.line + 1
            if not isinstance(key, Hashable):
                raise yaml.constructor.ConstructorError(None, None, "a key must be a scalar", key_node.start_mark)
            if key in seen:
                raise _DuplicateKeyError(str(key), line, seen[key])
            seen[key] = line
        result: dict[Hashable, Any] = super().construct_mapping(node, deep)
        return result


def _integer(loader: Any, node: yaml.ScalarNode) -> int:
    text = loader.construct_scalar(node).replace("_", "")
    sign, digits = (-1, text[1:]) if text[0] == "-" else (1, text.lstrip("+"))
    if re.fullmatch(r"0[0-7]+", digits):
        return sign * int(digits, 8)
    return sign * int(digits, 0)


_StrictLoader.yaml_implicit_resolvers = {}
for _tag, _pattern, _first in (
    ("bool", r"true|True|TRUE|false|False|FALSE", "tTfF"),
    ("float", r"[-+]?(?:[0-9]+\.[0-9]*|\.[0-9]+|[0-9]+(?=[eE]))(?:[eE][-+]?[0-9]+)?"
              r"|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)", "-+0123456789."),
    ("int", r"[-+]?(?:0b[01_]+|0x[0-9a-fA-F_]+|0o?[0-7_]+|0|[1-9][0-9_]*)", "-+0123456789"),
    ("merge", r"<<", "<"),
    ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
):  # fmt: skip
    _StrictLoader.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(rf"^(?:{_pattern})$"), list(_first))
_StrictLoader.add_constructor("tag:yaml.org,2002:int", _integer)


def documents(text: str, file: str) -> tuple[Document, ...]:
    """Every document of `text` that is not empty.

    Raises ConfigError naming file and line: not YAML, or a key given twice.
    """
    return tuple(_documents(text, file))


def _documents(text: str, file: str) -> Iterator[Document]:
    loader: Any = None
    try:
        loader = _StrictLoader(text)  # the constructor reads already: a control character fails here
        while loader.check_node():
            node = loader.get_node()
            body = loader.construct_document(node)
            if body is not None:
                yield Document(body, file, node.start_mark.line + 1)
    except _DuplicateKeyError as error:
        raise ConfigError(
            f"every key once in {file}",
            f"{error.key!r} in line {error.line} again (first in line {error.first})",
            "keep one of the two",
        ) from None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"line {mark.line + 1}, column {mark.column + 1}" if mark else "an unknown line"
        what = " ".join(part for part in (error.context, error.problem) if part)
        raise ConfigError(f"valid YAML in {file}", f"{what} ({where})", "correct the file") from None
    except (yaml.YAMLError, ValueError) as error:
        raise ConfigError(f"valid YAML in {file}", " ".join(str(error).split()), "correct the file") from None
    finally:
        if loader is not None:
            loader.dispose()


def mappings(text: str, file: str) -> tuple[Document, ...]:
    """Like `documents`, and every document is a mapping; `kind: List` is taken apart. Raises ConfigError."""
    found: list[Document] = []
    for document in documents(text, file):
        body = document.body
        if not isinstance(body, dict):
            found_text = f"{type(body).__name__} at line {document.line}"
            raise ConfigError(f"an object per document in {file}", found_text, "correct the file")
        if body.get("kind") == "List" and isinstance(body.get("items"), list):
            found += [Document(item, file, document.line) for item in body["items"] if isinstance(item, dict)]
        else:
            found.append(document)
    return tuple(found)
