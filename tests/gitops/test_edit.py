"""One value in the text of a manifest: it alone changes, and nonsense is refused in one sentence."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.core.errors import ConfigError
from harness.core.objects import dig
from harness.gitops.edit import Edit, edited
from harness.gitops.yamlload import documents

FILE = "apps/api.yaml"
TEXT = """\
# first comment
apiVersion: apps/v1
kind: Deployment
metadata:
  name: api
  labels: {app.kubernetes.io/version: "1.4.2"}  # flow
spec:
  replicas: 2   # two of them
  template:
    spec:
      containers:
        - name: api
          image: 'drill/sample:1'
          args: [a, b]
---
kind: ConfigMap
metadata: {name: settings}
data:
  script: |
    one
    two
  level: info
"""
IMAGE = "spec.template.spec.containers.0.image"


def change(at: str | tuple[str | int, ...], value: Any, of: str = "Deployment api") -> str:
    return Edit(FILE, at, value, of).apply(TEXT)


def test_one_value_changes_and_not_a_letter_more() -> None:
    assert change("spec.replicas", 5) == TEXT.replace("replicas: 2 ", "replicas: 5 ")


@pytest.mark.parametrize(
    ("at", "value", "line"),
    [
        (IMAGE, "drill/sample:2", 'image: "drill/sample:2"'),  # what was in quotes stays in quotes
        (("metadata", "labels", "app.kubernetes.io/version"), "1.5", '{app.kubernetes.io/version: "1.5"}  # flow'),
        ("spec.template.spec.containers.0.args.1", "c", "args: [a, c]"),
        ("spec.replicas", None, "replicas: null "),
        ("spec.replicas", "x: y", 'replicas: "x: y" '),
        ("spec.replicas", "7", 'replicas: "7" '),  # text that looks like a number stays text
        ("spec.template.spec.containers.0.name", "web", "- name: web\n"),
    ],
)
def test_values_are_written_as_they_are_meant(at: Any, value: Any, line: str) -> None:
    text = change(at, value)
    assert line in text
    steps = Edit(FILE, at, value).steps
    assert dig(documents(text, FILE)[0].body, *steps) == value


def test_a_block_of_text_gives_way_as_a_whole() -> None:
    text = change("data.script", "three", of="ConfigMap settings")
    assert text.endswith("data:\n  script: three\n  level: info\n")


def test_several_edits_of_one_file_follow_one_another() -> None:
    found = edited({FILE: TEXT, "other": ""}, Edit(FILE, "spec.replicas", 3, "Deployment api"),
                   Edit(FILE, "data.level", "debug", "ConfigMap settings"))  # fmt: skip
    assert found == {FILE: TEXT.replace("replicas: 2", "replicas: 3").replace("level: info", "level: debug")}


@pytest.mark.parametrize(
    ("at", "value", "of", "sentence"),
    [
        ("spec.nodes", 1, "Deployment api", r"a value at spec\.nodes of Deployment api .*; found no 'nodes' at spec"),
        ("nothing", 1, "Deployment api", r"found no 'nothing' at the top"),
        ("spec.template.spec.containers.7.image", 1, "Deployment api", r"found no 7 at spec\.template\.spec\.contain"),
        ("spec.replicas.more", 1, "Deployment api", r"found no 'more' at spec\.replicas"),
        ("spec", 1, "Deployment api", r"a single value at spec of Deployment api in apps/api\.yaml; found a mapping"),
        ("spec.template.spec.containers", 1, "Deployment api", r"found a list; name the value itself"),
        ("spec.replicas", 2, "Deployment api", r"another value at spec\.replicas than now .*; found 2"),
        ("spec.replicas", 3, "", r"one object in apps/api\.yaml; found Deployment api, ConfigMap settings"),
        ("spec.replicas", 3, "Service api", r"one object Service api in apps/api\.yaml; found Deployment api, "),
    ],
)
def test_what_is_not_there_is_told(at: str, value: Any, of: str, sentence: str) -> None:
    with pytest.raises(ConfigError, match=sentence):
        change(at, value, of)


def test_a_file_that_is_not_there_is_told() -> None:
    with pytest.raises(ConfigError, match=r"a file apps/web\.yaml in the repository; found none"):
        edited({FILE: TEXT}, Edit("apps/web.yaml", "spec.replicas", 3))


def test_what_is_no_yaml_cannot_be_edited() -> None:
    with pytest.raises(ConfigError, match=r"valid YAML in apps/api\.yaml"):
        Edit(FILE, "a", 1).apply("a: {")


@given(st.one_of(st.text(max_size=30), st.integers(), st.booleans(), st.none()))
def test_any_value_is_read_back_as_it_was_given(value: Any) -> None:
    text = "kind: X\nmetadata: {name: x}\nbefore: 1\nvalue: old  # kept\nafter: 2\n"
    try:
        (document,) = documents(Edit(FILE, "value", value).apply(text), FILE)
    except ConfigError as error:
        assert value == "old" or "valid YAML" in str(error)  # noqa: PT017 - characters that no YAML may hold
        return
    assert document.body == {"kind": "X", "metadata": {"name": "x"}, "before": 1, "value": value, "after": 2}
