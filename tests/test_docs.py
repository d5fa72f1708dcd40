"""What the documents show is what runs, and what they list is what there is."""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

import harness

ROOT = Path(__file__).parent.parent
LINK = re.compile(r"\]\((?!https?://|#)([^)#]+)")


def test_the_tutorial_runs_as_it_stands(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    text = (ROOT / "docs/tutorial/first-drill.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    assert len(blocks) == 4
    tutorial = ModuleType("tutorial")
    monkeypatch.setitem(sys.modules, "tutorial", tutorial)  # dataclasses look their module up
    exec(compile("\n".join(blocks), "first-drill.md", "exec"), tutorial.__dict__)
    assert "healed within 10.0 s: HELD" in capsys.readouterr().out


def test_every_public_name_is_in_the_reference() -> None:
    text = (ROOT / "docs/reference/names.md").read_text(encoding="utf-8")
    assert [name for name in harness.__all__ if f"`{name}" not in text] == []
    listed = re.findall(r"^\| `(\w+)", text, re.MULTILINE)
    assert [name for name in listed if name not in harness.__all__] == []


def kinds_written() -> Iterator[str]:
    """The kind of every event that some module adds to a timeline; `require` and `until` are written by one line."""
    for path in ROOT.glob("harness/**/*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "add"):
                continue
            told = node.args and isinstance(node.args[0], ast.Constant | ast.JoinedStr)
            if told and ast.unparse(node.func.value).rpartition(".")[2] in ("journal", "timeline", "line"):
                kind = ast.unparse(node.args[0]).removeprefix("f").strip("'\"")
                yield from (kind.replace("{kind}", word) for word in ("require", "until"))


def test_every_kind_of_event_is_in_the_reference_and_no_other() -> None:
    text = (ROOT / "docs/reference/events.md").read_text(encoding="utf-8")
    rows = [line.split("|")[1] for line in text.splitlines() if line.startswith("| `") and line.count("|") > 3]
    told = {kind for row in rows for kind in re.findall(r"`([a-z_.]+)`", row)}
    assert told - {"hold.failed"} == set(kinds_written())  # that one is written by the line of `until.failed`


@pytest.mark.parametrize(
    "page", [*sorted(ROOT.glob("*.md")), *sorted(ROOT.glob("docs/**/*.md"))], ids=lambda p: str(p.relative_to(ROOT))
)
def test_what_a_page_links_to_is_there(page: Path) -> None:
    targets = LINK.findall(page.read_text(encoding="utf-8"))
    assert [target for target in targets if not (page.parent / target).exists()] == []
