"""From a stored run to its reports, through real files."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from harness.core.clock import SECOND
from harness.core.errors import ConfigError
from harness.core.timeline import Timeline
from harness.core.verdict import Finding, Verdict
from harness.effects.store import RunFolder
from harness.reporting import load_run, write_reports
from harness.testing import FakeClock


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    made = RunFolder(tmp_path, "cafe0123", datetime(2026, 8, 14, tzinfo=UTC))
    made.write_run({"command_line": "pytest scenarios", "begun": datetime(2026, 8, 14, tzinfo=UTC)})
    return made


def drill(folder: RunFolder, clock: FakeClock, name: str, verdict: Verdict = Verdict.HELD) -> None:
    stored = folder.drill(name)
    stored.save_plan({"name": name, "promise": "It comes back.", "blast_radius": "cluster", "timing": "fast"})
    timeline = Timeline(clock, (stored.append,))
    timeline.add("drill.begun", name)
    clock.sleep(SECOND)
    timeline.add("drill.ended", name, verdict=verdict.value)
    stored.save_findings(verdict.value, [Finding("it came back", verdict, "all", "all but <one>")], {"name": name})
    stored.close()


def test_drills_come_in_the_order_they_ran(folder: RunFolder) -> None:
    clock = FakeClock()
    drill(folder, clock, "test_z")
    drill(folder, clock, "test_a", Verdict.REFUTED)
    run = load_run(folder.path)
    assert [(d.name, d.verdict) for d in run.drills] == [("test_z", Verdict.HELD), ("test_a", Verdict.REFUTED)]


def test_a_drill_killed_before_its_first_event_does_not_cost_the_others(folder: RunFolder) -> None:
    drill(folder, FakeClock(), "test_z")
    killed = folder.drill("test_killed")
    killed.save_plan({"name": "test_killed"})
    killed.close()
    run = load_run(folder.path)
    assert [(d.name, d.verdict) for d in run.drills] == [
        ("test_z", Verdict.HELD), ("test_killed", Verdict.INCONCLUSIVE),
    ]  # fmt: skip


def test_every_report_is_written(folder: RunFolder) -> None:
    drill(folder, FakeClock(), "test_z", Verdict.REFUTED)
    summary = write_reports(folder.path)
    assert summary.page == folder.path / "report.html"
    assert "REFUTED" in summary.table
    page = summary.page.read_text()
    assert "all but &lt;one&gt;" in page
    assert "all but <one>" not in page
    assert 'failures="1"' in (folder.path / "junit.xml").read_text()
    assert "REFUTED" in (folder.path / "summary.md").read_text()


def test_rendering_again_changes_nothing(folder: RunFolder) -> None:
    drill(folder, FakeClock(), "test_z")

    def texts() -> list[str]:
        return [(folder.path / name).read_text() for name in ("report.html", "junit.xml", "summary.md")]

    first = (write_reports(folder.path).table, texts())
    assert (write_reports(folder.path).table, texts()) == first


@pytest.mark.parametrize("name", ["nowhere", "empty", "a-file"])
def test_what_is_no_run_folder_is_refused_and_left_alone(tmp_path: Path, name: str) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "a-file").write_text("x")
    with pytest.raises(ConfigError, match=r"a run folder with a run\.json; found .*; give one of the folders below"):
        write_reports(tmp_path / name)
    assert sorted(p.name for p in tmp_path.rglob("*")) == ["a-file", "empty"]


@pytest.mark.parametrize("text", ["{", "7", "", '"a"'])
def test_a_damaged_run_json_is_named(folder: RunFolder, text: str) -> None:
    (folder.path / "run.json").write_text(text)
    with pytest.raises(ConfigError, match=r"a run\.json as a run wrote it; found .*run\.json"):
        load_run(folder.path)


def test_damaged_findings_are_named(folder: RunFolder) -> None:
    drill(folder, FakeClock(), "test_z")
    (folder.path / "test_z" / "findings.json").write_text(json.dumps([1])[:-1])
    with pytest.raises(ConfigError, match=r"findings\.json as a drill wrote it"):
        load_run(folder.path)
