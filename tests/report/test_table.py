from __future__ import annotations

from dataclasses import replace

import pytest
from report_sample import bad_run, data_loss, good_run, self_heal, twin

from harness.report import table
from harness.report.model import RunReport, build_run


@pytest.mark.parametrize("run", [good_run(), bad_run()])
def test_no_line_is_wider_than_a_hundred_columns(run: RunReport) -> None:
    assert max(map(len, table.render(run).splitlines())) <= table.WIDTH


def test_a_long_name_is_cut_and_the_figures_stay() -> None:
    run = build_run({}, [replace(self_heal(), name="test_" + "long_" * 40)])
    row = table.render(run).splitlines()[2]
    assert len(row) <= table.WIDTH
    assert "…" in row
    assert row.endswith("16 ms  fast")


def test_twins_are_marked_and_have_no_recovery_of_their_own() -> None:
    (row,) = [line for line in table.render(good_run()).splitlines() if line.startswith("twin: ")]
    assert row.split()[-5:] == ["HELD", "-", "-", "-", "fast"]


def test_an_empty_run_says_so() -> None:
    assert table.render(build_run({}, [])) == "no drill was run"


def test_what_was_lost_is_said() -> None:
    assert "git_alone_brings_back_no_data: lost 37 of 412 writes, the oldest 12.4 s old" in table.render(
        build_run({}, [data_loss()])
    )
    assert ": lost" not in table.render(build_run({}, [self_heal(), twin()]))  # a twin is meant to lose
