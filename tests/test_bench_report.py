"""The stored runs that the benchmark measures are real ones, and are what they are called."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness import bench_report
from harness.bench_report import Measured, rows, store
from harness.core.verdict import Verdict
from harness.rejudging import rejudge
from harness.reporting import load_run


def test_a_measured_run_can_be_judged_again(tmp_path: Path) -> None:
    folder = store(tmp_path, drills=2, events=100)
    run = load_run(folder)
    assert [len(d.history.events) for d in run.drills] == [100, 100]
    assert [d.verdict for d in run.drills] == [Verdict.HELD, Verdict.HELD]
    judged = rejudge(folder)
    assert (judged.changes, judged.run.verdict) == ((), Verdict.HELD)
    assert len(judged.run.drills[0].findings) == 4


def test_a_row_has_its_n_median_and_spread() -> None:
    measured = Measured("k", "rendering", "s", "<= 1", "cold", [0.3, 0.1, 0.2], [0.05, 0.05, 0.05])
    assert measured.row() == ("rendering", "3", "0.2 s", "0.1 to 0.3", "<= 1", "cold, CPU 0.05 s")


def test_every_row_is_measured_as_the_command_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench_report, "EVENTS", 60)
    monkeypatch.setattr(bench_report, "DRILLS", 2)
    measured = rows(times=1)
    assert [m.key for m in measured] == ["render", "size", "judge", "judge_all"]
    assert [len(m.values) for m in measured] == [1, 1, 1, 1]
    assert all(m.values[0] > 0 for m in measured)
    assert measured[1].values[0] < 0.2
