"""The command `drill`: its exit codes, and that what goes wrong is one line on stderr."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from harness import cli
from harness.core.errors import (
    CommandFailed,
    ConfigError,
    EnvironmentUnfit,
    ExitCode,
    HarnessError,
    ProvisionFailed,
    UnsafeTarget,
)
from harness.core.timeline import Timeline
from harness.core.verdict import Verdict
from harness.effects.store import RunFolder
from harness.testing import FakeClock

COMMANDS = ("doctor", "provision", "images", "clean", "bundle", "report", "judge")


def ended(argv: list[str]) -> int:
    """The exit code of a command that argparse ends."""
    with pytest.raises(SystemExit) as end:
        cli.main(argv)
    assert isinstance(end.value.code, int)
    return end.value.code


def test_help_documents_every_command_and_exit_code(capsys: pytest.CaptureFixture[str]) -> None:
    assert ended(["--help"]) == ExitCode.OK
    text = capsys.readouterr().out
    assert [c for c in COMMANDS if f"\n    {c}" not in text] == []
    told = text[text.index("exit codes:") :]
    unsaid = [code for code in ExitCode if code is not ExitCode.INTERNAL and f" {int(code)} " not in told]
    assert unsaid == []


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert ended([command, "--help"]) == ExitCode.OK
    assert f"usage: drill {command}" in capsys.readouterr().out


@pytest.mark.parametrize(
    "argv",
    [[], ["nonsense"], ["report"], ["judge"], ["bundle", "eat", "x"], ["images", "--imagse", "x"], ["doctor", "x"]],
)
def test_bad_usage_has_its_own_code(argv: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert ended(argv) == ExitCode.USAGE
    out, err = capsys.readouterr()
    assert out == ""
    assert err.splitlines()[-1].startswith("drill")


@pytest.mark.parametrize("command", ["report", "judge"])
def test_a_folder_that_is_no_run_is_told_in_one_line(
    command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main([command, str(tmp_path)]) == ExitCode.USAGE
    out, err = capsys.readouterr()
    assert out == ""
    assert err == (
        f"drill: expected a run folder with a run.json; found {tmp_path}; give one of the folders below reports/\n"
    )


@pytest.mark.parametrize("argv", [["images", "--images", "magic"], ["bundle", "create", "f", "--images", "magic"]])
def test_a_source_that_does_not_exist_is_refused(argv: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(argv) == ExitCode.USAGE
    err = capsys.readouterr().err
    assert err.startswith("drill: expected --images to be one of")
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ConfigError("a", "b", "c"), 4),
        (UnsafeTarget("a", "b", "c"), 12),
        (EnvironmentUnfit("a", "b", "c"), 11),
        (ProvisionFailed("a"), 11),
        (HarnessError("a"), 11),
        (KeyboardInterrupt(), 2),
    ],
    ids=lambda value: type(value).__name__,
)
def test_the_exit_code_says_which_class_of_thing_went_wrong(
    error: BaseException, code: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(_: object) -> int:
        raise error

    monkeypatch.setattr(cli, "_doctor", fail)
    assert cli.main(["doctor"]) == code
    out, err = capsys.readouterr()
    assert out == ""
    assert err == f"drill: {error if str(error) else 'interrupted'}\n"


def test_a_tool_that_said_much_is_told_in_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(_: object) -> int:
        raise CommandFailed(["docker", "ps"], 1, "", "Cannot connect.\n  Is it running?\n")

    monkeypatch.setattr(cli, "_doctor", fail)
    assert cli.main(["doctor"]) == ExitCode.ENVIRONMENT
    assert capsys.readouterr().err == "drill: `docker ps` ended with 1: Cannot connect.; Is it running?\n"


def test_a_fault_of_our_own_is_not_dressed_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cli, "_doctor", lambda _: 1 // 0)
    with pytest.raises(ZeroDivisionError):
        cli.main(["doctor"])


def test_a_stored_run_is_rendered_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "run.json").write_text('{"schema": 1, "run_id": "cafe0123"}')
    assert cli.main(["report", str(tmp_path)]) == ExitCode.OK
    assert f"report: {tmp_path / 'report.html'}" in capsys.readouterr().out
    assert (tmp_path / "report.html").is_file()


@pytest.mark.parametrize(
    ("verdict", "code"),
    [
        (Verdict.HELD, ExitCode.OK),
        (Verdict.REFUTED, ExitCode.PROMISE_BROKEN),
        (Verdict.INCONCLUSIVE, ExitCode.ENVIRONMENT),
    ],
)
def test_judging_a_stored_run_ends_by_its_verdict(
    verdict: Verdict, code: ExitCode, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = RunFolder(tmp_path, "cafe0123", datetime(2026, 8, 14, tzinfo=UTC))
    run.write_run({"command_line": "pytest scenarios"})
    folder = run.drill("test_x")
    timeline = Timeline(FakeClock(), (folder.append,))
    timeline.add("fault.injected", "f")
    timeline.add("fault.confirmed", "f", state="MET", actual="gone")
    state = {"state": "MET" if verdict is Verdict.HELD else "PENDING", "expected": "e", "actual": "a", "within_s": 9.0}
    timeline.add("until.ended", "w", **state)
    name = "waits_ended_met" if verdict is not Verdict.INCONCLUSIVE else "moon_is_full"
    timeline.add("judging", "x", checks=[{"name": "fault_landed", "args": {}}, {"name": name, "args": {}}])
    timeline.add("drill.ended", "x")
    folder.close()
    assert cli.main(["judge", str(run.path)]) == code
    out, err = capsys.readouterr()
    assert err == ""
    assert f"x      {verdict.value}" in out
    assert "1 drill judged again, 1 of them differently" in out


def test_a_report_on_a_full_disk_is_told_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "run.json").write_text("{}")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("harness.reporting.write_text", full)
    assert cli.main(["report", str(tmp_path)]) == ExitCode.ENVIRONMENT
    err = capsys.readouterr().err
    assert "No space left on device" in err
    assert err.count("\n") == 1
