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

MADE = ("report.html", "junit.xml", "summary.md", "metrics.prom")


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
    page = (folder.path / "test_z" / "report.html").read_text()
    assert "REFUTED" in summary.page.read_text()
    assert "all but &lt;one&gt;" in page
    assert "all but <one>" not in page
    assert 'failures="1"' in (folder.path / "junit.xml").read_text()
    assert "REFUTED" in (folder.path / "summary.md").read_text()
    assert 'drill_verdict{drill="test_z",' in (folder.path / "metrics.prom").read_text()


def test_rendering_again_changes_nothing(folder: RunFolder) -> None:
    drill(folder, FakeClock(), "test_z")

    def texts() -> list[str]:
        return [(folder.path / name).read_text() for name in (*MADE, "test_z/report.html")]

    first = (write_reports(folder.path).table, texts())
    assert (write_reports(folder.path).table, texts()) == first


@pytest.mark.parametrize("name", ["nowhere", "empty", "a-file"])
def test_what_is_no_run_folder_is_refused_and_left_alone(tmp_path: Path, name: str) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "a-file").write_text("x")
    with pytest.raises(ConfigError, match=r"a run folder with a run\.json; found .*; give one of the folders below"):
        write_reports(tmp_path / name)
    assert sorted(p.name for p in tmp_path.rglob("*")) == ["a-file", "empty"]


@pytest.mark.parametrize("text", ["{", "7", "", '"a"', "[]"])
def test_a_damaged_run_json_is_named(folder: RunFolder, text: str) -> None:
    (folder.path / "run.json").write_text(text)
    with pytest.raises(ConfigError, match=r"a run\.json as a run wrote it; found .*run\.json"):
        load_run(folder.path)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("findings.json", b"[1"),
        ("findings.json", b"7"),
        ("plan.json", b"\xff"),
        ("timeline.jsonl", b"nonsense\n{}\n"),
        ("timeline.jsonl", b"\xff\xfe\n{}\n"),
    ],
)
def test_a_damaged_file_costs_one_drill_its_verdict_and_the_others_nothing(
    folder: RunFolder, name: str, content: bytes
) -> None:
    drill(folder, FakeClock(), "test_a")
    drill(folder, FakeClock(), "test_z")
    (folder.path / "test_z" / name).write_bytes(content)
    run = load_run(folder.path)
    assert {d.name: d.verdict for d in run.drills} == {"test_a": Verdict.HELD, "test_z": Verdict.INCONCLUSIVE}
    told = next(d for d in run.drills if d.name == "test_z").reasons[0]
    assert told.startswith("the stored drill can be read: INCONCLUSIVE")
    assert name in told or "line 1" in told
    write_reports(folder.path)
    assert "Could not be judged" in (folder.path / "report.html").read_text()


def test_a_timeline_without_its_plan_is_a_drill_too(folder: RunFolder) -> None:
    drill(folder, FakeClock(), "test_z")
    (folder.path / "test_z" / "plan.json").unlink()
    assert [d.name for d in load_run(folder.path).drills] == ["test_z"]


def test_a_page_for_each_drill_that_links_back_and_to_what_was_collected(folder: RunFolder) -> None:
    for name in ("test_a", "test_z[1/2]".replace("/", "-")):
        drill(folder, FakeClock(), name)
    collected = folder.path / "test_a" / "artifacts" / "agent 0"
    collected.mkdir(parents=True)
    (collected / "k3s.log").write_text("x" * 20_000)
    (collected / "elsewhere").symlink_to("/etc/passwd")
    write_reports(folder.path)
    suite = (folder.path / "report.html").read_text()
    assert 'href="test_a/report.html"' in suite
    assert 'href="test_z%5B1-2%5D/report.html"' in suite
    page = (folder.path / "test_a" / "report.html").read_text()
    assert 'href="../report.html"' in page
    assert 'href="artifacts/agent%200/k3s.log"' in page
    assert "20 kB" in page
    assert "elsewhere" not in page  # a link may lead out of the folder
    assert (folder.path / "test_z[1-2]" / "report.html").is_file()


def test_no_credential_is_in_any_artefact(folder: RunFolder) -> None:
    """Also one that was stored by an older drill, which did not cover what it wrote."""
    canary = "canary-0123456789"
    drill(folder, FakeClock(), "test_z")
    place = folder.path / "test_z"
    said = f"it answered 401 for token={canary}"
    event = {
        "seq": 2,
        "at_us": 1,
        "utc": "2026-08-14T00:00:00+00:00",
        "kind": "note",
        "subject": "x",
        "data": {"text": said},
    }
    with (place / "timeline.jsonl").open("a") as sink:
        sink.write(json.dumps(event) + "\n")
    finding = Finding("it came back", Verdict.REFUTED, f"password: {canary}", said)
    record = {"verdict": "REFUTED", "findings": [finding.to_record()], "name": "test_z"}
    (place / "findings.json").write_text(json.dumps(record))
    url = f"https://bob:{canary}@git.example.org/x.git"
    (folder.path / "run.json").write_text(
        json.dumps({"command_line": f"pytest --repo {url}", "repository": {"head": url}})
    )
    summary = write_reports(folder.path)
    made = [p for p in folder.path.rglob("*") if p.name in MADE]
    assert {p.name for p in made} == set(MADE)
    assert [p.name for p in made if canary in p.read_text()] == []
    assert canary not in summary.table
    assert "[redacted]" in (place / "report.html").read_text()
