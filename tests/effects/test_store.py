"""The run folder: what is known is on disk at once, whole, and readable again."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from harness.core.errors import ConfigError
from harness.core.timeline import History, Timeline
from harness.core.verdict import Finding, Verdict
from harness.effects.store import SCHEMA, RunFolder, load_drill, write_findings, write_json, write_text
from harness.testing import FakeClock

BEGUN = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    return RunFolder(tmp_path / "reports", "abc123", BEGUN)


def test_the_folder_is_named_after_its_time_and_run(run: RunFolder, tmp_path: Path) -> None:
    assert run.path == tmp_path / "reports" / "20260102T030405Z-abc123"
    assert run.path.is_dir()


def test_latest_leads_to_the_newest_run(run: RunFolder, tmp_path: Path) -> None:
    latest = tmp_path / "reports" / "latest"
    assert latest.resolve() == run.path
    newer = RunFolder(tmp_path / "reports", "def456", BEGUN)
    assert latest.resolve() == newer.path
    assert not latest.readlink().is_absolute()  # a report folder can be moved as a whole


def test_private_files_are_in_a_folder_of_their_owner(run: RunFolder) -> None:
    path = run.private("kubeconfig")
    path.write_text("secret")
    assert path.parent.stat().st_mode & 0o777 == 0o700
    assert run.private("other").parent == path.parent


def test_run_json_is_written_again_as_facts_become_known(run: RunFolder) -> None:
    run.write_run({"command_line": "pytest"})
    run.write_run({"command_line": "pytest", "begun": BEGUN})
    read = json.loads((run.path / "run.json").read_text())
    assert read == {"schema": SCHEMA, "run_id": "abc123", "command_line": "pytest", "begun": str(BEGUN)}


def test_a_drill_is_read_back_as_it_was_written(run: RunFolder) -> None:
    folder = run.drill("test_x")
    timeline = Timeline(FakeClock(), [folder.append])
    folder.save_plan({"name": "x"})
    timeline.add("note", "ключ", text="line\nbreak \u2028 and \ud800 and \x00")
    timeline.add("note", "two", value=[1, {"a": None}])
    finding = Finding("claim", Verdict.REFUTED, "e", "a", (0, 1), {"recovery_s": 1.5})
    folder.save_findings("REFUTED", [finding], {"name": "x"})
    folder.close()
    plan, history, findings = load_drill(folder.path)
    assert plan == {"schema": SCHEMA, "name": "x"}
    assert history == timeline.history()
    assert [Finding.from_record(f) for f in findings["findings"]] == [finding]
    assert (findings["verdict"], findings["name"]) == ("REFUTED", "x")


def test_an_event_is_on_disk_before_add_returns(run: RunFolder) -> None:
    folder = run.drill("test_x")
    Timeline(FakeClock(), [folder.append]).add("note", "x")
    _, history, _ = load_drill(folder.path)
    folder.close()
    assert [e.subject for e in history] == ["x"]


def test_after_closing_nothing_is_added_and_nothing_fails(run: RunFolder) -> None:
    folder = run.drill("test_x")
    timeline = Timeline(FakeClock(), [folder.append])
    folder.close()
    folder.close()
    timeline.add("note", "late")
    assert load_drill(folder.path)[1] == History(())


def test_a_folder_without_files_is_an_empty_drill(tmp_path: Path) -> None:
    assert load_drill(tmp_path) == ({}, History(()), {})


@pytest.mark.parametrize("cut", [1, 3, 10])
def test_a_timeline_cut_off_anywhere_keeps_its_whole_lines(run: RunFolder, cut: int) -> None:
    folder = run.drill("test_x")
    timeline = Timeline(FakeClock(), [folder.append])
    timeline.add("note", "whole")
    timeline.add("note", "€€€€€€€€€€€€€€€€")  # a cut may go through the middle of a character
    folder.close()
    file = folder.path / "timeline.jsonl"
    text = file.read_bytes()
    file.write_bytes(text[: text.rindex("€".encode()) + cut - 3])
    history = load_drill(folder.path)[1]
    assert ([e.subject for e in history], history.truncated) == (["whole"], True)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("timeline.jsonl", b"nonsense\n"),
        ("timeline.jsonl", b"\xff\xfe\n{}\n"),
        ("plan.json", b"{"),
        ("plan.json", b"\xff"),
        ("findings.json", b"[1]"),
        ("findings.json", b"3"),
    ],
)
def test_a_damaged_file_is_refused_by_name(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ConfigError, match=r"timeline|plan\.json|findings\.json"):
        load_drill(tmp_path)


def test_a_file_is_replaced_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    write_json(path, {"a": 1})
    circle: dict[str, object] = {}
    circle["self"] = circle
    with pytest.raises(ValueError, match="Circular"):
        write_json(path, circle)
    assert json.loads(path.read_text()) == {"a": 1}
    write_text(path, "text \udcff")
    assert path.read_text() == "text \\udcff"
    assert [p.name for p in tmp_path.iterdir()] == ["x.json"]


def test_no_credential_is_written(run: RunFolder) -> None:
    canary = "canary-0123456789"
    run.write_run({"command_line": f"pytest --repo https://bob:{canary}@git.example.org/x.git"})
    folder = run.drill("test_x")
    folder.save_plan({"name": "x", "facts": {"token": canary}})
    timeline = Timeline(FakeClock(), [folder.append])
    timeline.add(
        "note", f"Bearer {canary}", text=f"password={canary}", value={"env": [{"name": "PWD_TOKEN", "value": canary}]}
    )
    folder.save_findings("HELD", [Finding("claim", Verdict.HELD, "e", f"it said token: {canary}")], {})
    folder.close()
    files = [p for p in run.path.rglob("*") if p.is_file()]
    assert len(files) == 4
    assert [p.name for p in files if canary in p.read_text()] == []


def test_earlier_findings_are_kept(tmp_path: Path) -> None:
    finding = Finding("claim", Verdict.HELD, "e", "a")
    kept = [write_findings(tmp_path, verdict, [finding], {"name": "x"}) for verdict in ("HELD", "REFUTED", "HELD")]
    assert kept == [None, tmp_path / "findings.1.json", tmp_path / "findings.2.json"]
    assert [json.loads(p.read_text())["verdict"] for p in (*kept[1:], tmp_path / "findings.json") if p] == [
        "HELD", "REFUTED", "HELD",
    ]  # fmt: skip
