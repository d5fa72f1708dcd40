"""What the documents show is what runs, and what they list is what there is."""

from __future__ import annotations

import re
import sys
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


@pytest.mark.parametrize(
    "page", [*sorted(ROOT.glob("*.md")), *sorted(ROOT.glob("docs/**/*.md"))], ids=lambda p: str(p.relative_to(ROOT))
)
def test_what_a_page_links_to_is_there(page: Path) -> None:
    targets = LINK.findall(page.read_text(encoding="utf-8"))
    assert [target for target in targets if not (page.parent / target).exists()] == []
