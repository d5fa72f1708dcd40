from __future__ import annotations

import re

from report_sample import bad_run, data_loss, facts, good_run

from harness.report import markdown
from harness.report.model import build_run


def test_nothing_the_system_said_becomes_markup() -> None:
    text = markdown.render(bad_run())
    assert "\\<script\\>" in text
    assert not re.search(r"(?<!\\)<", text)
    assert "\x1b" not in text


def test_every_row_of_the_table_has_its_six_cells() -> None:
    rows = [line for line in markdown.render(bad_run()).splitlines() if line.startswith("|")]
    assert len(rows) == 2 + 5
    assert {len(re.findall(r"(?<!\\)\|", row)) for row in rows} == {7}


def test_it_says_how_to_repeat_it_and_where_the_time_went() -> None:
    text = markdown.render(good_run())
    assert "    pytest scenarios -p no:cacheprovider --no-header --timing fast --images build\n" in text
    assert "slowest path argocd -\\> cortex-system, 49.1 s of 1m03s (profile fast)" in text


def test_it_says_what_was_lost() -> None:
    text = markdown.render(build_run(facts(), [data_loss()]))
    assert "- git\\_alone\\_brings\\_back\\_no\\_data: lost 37 of 412 writes, the oldest 12.4 s old\n" in text
