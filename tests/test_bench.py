"""The arithmetic of the benchmark; what it measures needs a cluster."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from pathlib import Path

import pytest

from harness import bench
from harness.bench import _between_s, _table, main
from harness.bench_report import Measured
from harness.core.clock import SECOND
from harness.core.errors import HarnessError
from harness.core.timeline import Timeline, phase
from harness.effects.store import RunFolder
from harness.testing import FakeClock


def test_a_series_says_its_median_and_its_spread() -> None:
    series = Measured("loss", "loss", "s", "<= 90", "n", [40.0, 10.0, 20.04])
    assert series.row() == ("loss", "3", "20 s", "10 to 40", "<= 90", "n")


def test_the_median_of_an_even_number_lies_between() -> None:
    assert Measured("heal", "heal", "s", "", values=[1.0, 2.0, 3.0, 100.0]).row()[2] == "2.5 s"


def test_what_was_not_measured_says_so() -> None:
    assert Measured("ratio", "ratio", "x", ">= 1.5").row() == ("ratio", "-", "not measured", "", ">= 1.5", "")


def test_a_table_is_aligned_and_has_no_trailing_blanks() -> None:
    assert _table([("figure", "n"), ("a", "10"), ("longest", "")]) == "figure   n\na        10\nlongest\n"


def test_from_the_beginning_of_one_phase_to_the_end_of_another() -> None:
    clock = FakeClock()
    line = Timeline(clock)
    with phase(line, "cluster"):
        clock.sleep(SECOND)
        with phase(line, "argocd.apply"):
            clock.sleep(2 * SECOND)
        clock.sleep(3 * SECOND)
    with phase(line, "argocd"):
        clock.sleep(5 * SECOND)
    history = line.history()
    assert _between_s(history, "cluster", "cluster") == 6.0
    assert _between_s(history, "argocd.apply", "argocd") == 10.0


def test_the_last_of_repeated_phases_counts() -> None:
    clock = FakeClock()
    line = Timeline(clock)
    for length in (9, 4):
        with phase(line, "cluster"):
            clock.sleep(length * SECOND)
    assert _between_s(line.history(), "cluster", "cluster") == 4.0


def test_a_phase_that_is_missing_is_no_number() -> None:
    assert math.isnan(_between_s(Timeline(FakeClock()).history(), "cluster", "cluster"))


@pytest.mark.parametrize("option", ["--cycles", "--drifts"])
@pytest.mark.parametrize("number", ["0", "-1"])
def test_a_benchmark_without_a_measurement_is_refused(
    option: str, number: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        main([f"{option}={number}"])
    assert f"expected 1 or more; found {number}" in capsys.readouterr().err


def test_a_benchmark_that_cannot_write_its_figures_is_taken_down_all_the_same(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    closed: list[str] = []

    class Run:
        """A session that comes to nothing."""

        def __init__(self, *_: object, **__: object) -> None:
            self.folder = RunFolder(tmp_path, "r", datetime(2026, 1, 1, tzinfo=UTC))

        def platform(self) -> None:
            raise HarnessError("no engine")

        def close(self) -> None:
            closed.append("closed")

    def finish(_: object) -> str:
        raise OSError("No space left on device")

    monkeypatch.setattr(bench, "Session", Run)
    monkeypatch.setattr(bench.Bench, "collect", lambda self, times: None)
    monkeypatch.setattr(bench.Bench, "reports", lambda self: None)
    monkeypatch.setattr(bench.Bench, "finish", finish)
    with pytest.raises(OSError, match="No space left"):
        main(["--reports", str(tmp_path)])
    assert closed == ["closed"]
