"""A stored run, judged again from its files."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from harness.core.errors import ConfigError
from harness.core.timeline import Timeline
from harness.core.verdict import Verdict
from harness.effects.store import RunFolder
from harness.rejudging import rejudge
from harness.reporting import write_reports
from tests.worlds import World, loss_story, self_heal_story

BEGUN = datetime(2026, 8, 14, tzinfo=UTC)


def stored(root: Path, stories: Sequence[Any]) -> Path:
    """A run of these stories, with its reports, as a session leaves it."""
    run = RunFolder(root, "cafe0123", BEGUN)
    run.write_run({"command_line": "pytest scenarios", "begun": BEGUN})
    for story in stories:
        name = f"test_{story.__name__}"
        world, folder = World(), run.drill(name)
        folder.save_plan({"name": name, "promise": "It comes back.", "blast_radius": "cluster", "timing": "fast"})
        world.drill.timeline = Timeline(world.clock, (folder.append,))
        story(world)
        world.drill.timeline.add("drill.ended", name, verdict=str(world.drill.verdict))
        folder.save_findings(str(world.drill.verdict), world.drill.findings, {"name": name})
        folder.close()
    write_reports(run.path)
    return run.path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return stored(tmp_path, [self_heal_story, loss_story])


def heal(folder: Path) -> Path:
    return folder / "test_self_heal_story"


def findings(folder: Path, name: str = "findings.json") -> dict[str, Any]:
    return dict(json.loads((heal(folder) / name).read_text()))


def test_a_run_judged_again_is_the_same_and_nothing_is_written(folder: Path) -> None:
    before = {p: (p.stat().st_mtime_ns, p.stat().st_ino) for p in folder.rglob("*")}
    judged = rejudge(folder)
    assert judged.run.verdict is Verdict.HELD
    assert judged.changes == ()
    assert "2 drills judged again, none of them differently" in judged.text()
    assert {p: (p.stat().st_mtime_ns, p.stat().st_ino) for p in folder.rglob("*")} == before


def test_what_differs_is_said_written_and_kept(folder: Path) -> None:
    """The timeline is the truth: here it says that the heal took longer than promised."""
    file = heal(folder) / "timeline.jsonl"
    events = [json.loads(line) for line in file.read_text().splitlines()]
    wait = next(e for e in events if e["kind"] == "until.ended" and e["subject"].startswith("healed"))
    wait["data"] |= {
        "met_us": wait["data"]["met_us"] + 60_000_000,
        "not_before_us": wait["data"]["met_us"] + 59_000_000,
    }
    file.write_text("".join(json.dumps(e) + "\n" for e in events))
    judged = rejudge(folder)
    assert judged.run.verdict is Verdict.REFUTED
    (change,) = judged.changes
    assert change.kept == heal(folder) / "findings.1.json"
    assert "verdict: HELD before, REFUTED now" in change.sentences
    assert "healed within 10.0 s: verdict HELD before, REFUTED now" in change.sentences
    assert (findings(folder)["verdict"], findings(folder, "findings.1.json")["verdict"]) == ("REFUTED", "HELD")
    assert "REFUTED" in (folder / "summary.md").read_text()
    assert "findings.1.json" in judged.text()
    assert rejudge(folder).changes == ()  # once it is written it is the same again


@pytest.mark.parametrize("share", [0.05, 0.3, 0.6, 0.9, 0.999])
def test_a_timeline_cut_off_in_the_middle_of_a_line_is_inconclusive_with_the_reason(folder: Path, share: float) -> None:
    file = heal(folder) / "timeline.jsonl"
    data = file.read_bytes()
    file.write_bytes(data[: int(len(data) * share)])
    judged = rejudge(folder)
    assert {d.title: d.verdict for d in judged.run.drills} == {
        "self_heal_story": Verdict.INCONCLUSIVE, "loss_story": Verdict.HELD,
    }  # fmt: skip
    assert "the timeline is whole: INCONCLUSIVE" in judged.text()
    if findings(folder)["verdict"] == "HELD":
        assert "its findings are left as they are" in judged.text()


def test_a_timeline_that_is_damaged_in_its_middle_is_inconclusive(folder: Path) -> None:
    file = heal(folder) / "timeline.jsonl"
    lines = file.read_text().splitlines(keepends=True)
    file.write_text("".join([*lines[:3], "garbage\n", *lines[3:]]))
    judged = rejudge(folder)
    assert "the stored timeline can be read: INCONCLUSIVE" in judged.text()
    assert judged.run.verdict is Verdict.INCONCLUSIVE


def test_findings_that_are_lost_or_damaged_are_made_again(folder: Path) -> None:
    whole = findings(folder)
    (heal(folder) / "findings.json").unlink()
    judged = rejudge(folder)
    assert [c.kept for c in judged.changes] == [None]
    assert findings(folder) == whole
    (heal(folder) / "findings.json").write_text("{")
    assert rejudge(folder).run.verdict is Verdict.HELD
    assert findings(folder) == whole
    assert (heal(folder) / "findings.1.json").read_text() == "{"


def test_what_an_older_drill_found_is_left_alone(folder: Path) -> None:
    file = heal(folder) / "timeline.jsonl"
    lines = [line for line in file.read_text().splitlines(keepends=True) if '"kind": "judging"' not in line]
    file.write_text("".join(lines))
    before = findings(folder)
    judged = rejudge(folder)
    assert judged.run.verdict is Verdict.INCONCLUSIVE
    assert "its findings are left as they are: its checks were not stored" in judged.text()
    assert findings(folder) == before


def test_what_is_no_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"a run folder with a run\.json"):
        rejudge(tmp_path)


def test_a_run_without_drills_has_nothing_to_judge(tmp_path: Path) -> None:
    judged = rejudge(stored(tmp_path, []))
    assert "nothing to judge" in judged.text()
    assert judged.run.verdict is Verdict.INCONCLUSIVE
