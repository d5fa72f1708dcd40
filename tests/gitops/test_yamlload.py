"""The strict YAML loader."""

from __future__ import annotations

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.core.errors import ConfigError
from harness.gitops.yamlload import documents, mappings


def one(text: str) -> object:
    (document,) = documents(text, "f.yaml")
    return document.body


@pytest.mark.parametrize(
    ("scalar", "value"),
    [
        ("yes", "yes"), ("on", "on"), ("n", "n"), ("true", True), ("False", False), ("0644", 420), ("0o644", 420),
        ("12:30:45", "12:30:45"), ("2026-01-01", "2026-01-01"), ("1.20", 1.2), ("1e3", 1000.0), ("-7", -7),
        ("0", 0), ("0x1F", 31), ("1_000", 1000), ("~", None), ("null", None), ("'012'", "012"), ("1.2.3", "1.2.3"),
        ("08", "08"),
        ("-", "-"), ("+", "+"), (".", "."), ("1Gi", "1Gi"), ("100m", "100m"), (".inf", math.inf),
    ],
)  # fmt: skip
def test_scalars_are_what_kubectl_makes_of_them(scalar: str, value: object) -> None:
    if scalar == "-":
        scalar = '"-"'
    found = one(f"a: {scalar}\n")
    assert found == {"a": value}
    assert type(found["a"]) is type(value)  # type: ignore[index]


def test_a_duplicate_key_names_file_and_both_lines() -> None:
    with pytest.raises(ConfigError) as caught:
        documents("a: 1\nspec:\n  replicas: 1\n  other: 2\n  replicas: 3\n", "apps/x.yaml")
    assert "apps/x.yaml" in str(caught.value)
    assert "'replicas' in line 5 again (first in line 3)" in str(caught.value)


def test_a_duplicate_key_in_the_second_document_is_found() -> None:
    with pytest.raises(ConfigError, match="'b' in line 5"):
        documents("a: 1\n---\nc: 1\nb: 1\nb: 2\n", "f.yaml")


def test_merge_keys_may_be_overridden() -> None:
    assert one("base: &b {x: 1, y: 2}\nuse:\n  <<: *b\n  y: 3\n") == {"base": {"x": 1, "y": 2}, "use": {"x": 1, "y": 3}}


@pytest.mark.parametrize(
    ("text", "line"),
    [("a: [1, 2\nb: 3\n", "line 2"), ("a: b: c\n", "line 1"), ("x:\n\t- 1\n", "line 2"), ("a: *nope\n", "line 1"),
     ("a: !!python/object:os.system {}\n", "line 1"), ("? [1, 2]\n: 3\n", "line 1")],
)  # fmt: skip
def test_what_is_not_yaml_is_refused_with_file_and_line(text: str, line: str) -> None:
    with pytest.raises(ConfigError) as caught:
        documents(text, "bad.yaml")
    assert "bad.yaml" in str(caught.value)
    assert line in str(caught.value)


def test_control_characters_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"bad\.yaml"):
        documents("a: \x00\n", "bad.yaml")


def test_several_documents_and_where_they_begin() -> None:
    found = documents("# only a comment\n---\na: 1\n---\n---\nb: 2\n", "f.yaml")
    assert [(d.body, d.line) for d in found] == [({"a": 1}, 3), ({"b": 2}, 6)]


def test_lists_of_objects_are_taken_apart() -> None:
    found = mappings("kind: List\napiVersion: v1\nitems:\n- {kind: A}\n- {kind: B}\n", "f.yaml")
    assert [d.body["kind"] for d in found] == ["A", "B"]


def test_a_document_that_is_no_object_is_refused() -> None:
    with pytest.raises(ConfigError, match="list at line 1"):
        mappings("- a\n- b\n", "f.yaml")


plain = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.text(st.characters(codec="utf-8", exclude_categories=("Cs", "Cc", "Cn"))),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text("abcdef", min_size=1), inner, max_size=4),
    max_leaves=12,
)


@given(st.dictionaries(st.text("abcdef", min_size=1), plain, min_size=1))
def test_json_reads_the_same_in_both_languages(value: dict[str, object]) -> None:
    assert one(json.dumps(value, ensure_ascii=False)) == value
