"""What the renderers say of a run made by hand, word for word. `report_sample.py golden` writes the files again."""

from __future__ import annotations

import pytest
from report_sample import GOLDEN, goldens


@pytest.mark.parametrize("name", sorted(goldens()))
def test_text_is_as_kept(name: str) -> None:
    assert goldens()[name] == (GOLDEN / name).read_text(encoding="utf-8")


def test_every_kept_file_is_still_made() -> None:
    assert sorted(p.name for p in GOLDEN.iterdir()) == sorted(goldens())
