"""Real commands, short ones."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from datetime import timedelta
from pathlib import Path

import pytest

from harness.core.clock import SECOND
from harness.core.errors import CommandFailed, CommandTimeout, ToolError, ToolMissing
from harness.effects import proc

LONG = 30 * SECOND


def python(code: str) -> list[str]:
    return [sys.executable, "-c", code]


def gone(pid: int, within: float = 5.0) -> bool:
    """Has the process ended? (A zombie that nobody has collected has.)"""
    deadline = time.monotonic() + within
    while time.monotonic() < deadline:
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except FileNotFoundError:
            return True
        if state == "Z":
            return True
        time.sleep(0.02)
    return False


def test_both_streams_and_the_code_come_back() -> None:
    done = proc.run(
        python("import sys; print('out'); print('err', file=sys.stderr); sys.exit(3)"), timeout=LONG, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (3, "out\n", "err\n")
    assert timedelta(0) < done.elapsed < LONG


def test_failure_is_an_error_with_everything_needed() -> None:
    argv = python("import sys; print('what went wrong', file=sys.stderr); sys.exit(7)")
    with pytest.raises(CommandFailed, match="ended with 7:\nwhat went wrong") as caught:
        proc.run(argv, timeout=LONG)
    assert (caught.value.argv, caught.value.returncode) == (tuple(argv), 7)


def test_what_is_not_utf8_is_replaced_not_a_crash() -> None:
    assert proc.run(python(r"import sys; sys.stdout.buffer.write(b'a\xffb')"), timeout=LONG).stdout == "a\ufffdb"


def test_more_than_a_pipe_holds_flows_both_ways() -> None:
    size = 300_000
    code = "import sys; d = sys.stdin.buffer.read(); sys.stdout.buffer.write(d); sys.stderr.write('e' * len(d))"
    done = proc.run(python(code), timeout=LONG, stdin=b"x" * size)
    assert (len(done.stdout), len(done.stderr)) == (size, size)


def test_a_child_that_does_not_read_its_input_is_judged_by_its_code() -> None:
    assert proc.run(python("pass"), timeout=LONG, stdin=b"x" * 1_000_000).returncode == 0


def test_lines_and_log_come_while_it_runs(tmp_path: Path) -> None:
    log, lines = tmp_path / "log", list[str]()
    log.write_text("before\n")
    proc.run(python("print('one'); print('two')"), timeout=LONG, log=log, on_line=lines.append)
    assert lines == ["one", "two"]
    assert log.read_text() == "before\none\ntwo\n"


def test_a_deadline_kills_also_what_the_child_started_and_keeps_what_was_said(tmp_path: Path) -> None:
    note = tmp_path / "pid"
    script = f"(trap '' TERM; sleep 60) & echo $! > {note}; echo begun; wait"
    with pytest.raises(CommandTimeout, match=r"did not end within 0\.5 s:\nbegun") as caught:
        proc.run(["sh", "-c", script], timeout=timedelta(seconds=0.5))
    assert caught.value.stdout == "begun\n"
    assert gone(int(note.read_text()))


def test_a_child_that_ignores_the_polite_signal_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(proc, "_GRACE", 0.2)
    note = tmp_path / "pid"
    script = f"trap '' TERM; echo $$ > {note}; while :; do sleep 0.1; done"
    with pytest.raises(CommandTimeout):
        proc.run(["sh", "-c", script], timeout=timedelta(seconds=0.3))
    assert gone(int(note.read_text()))


def test_an_interrupt_takes_the_child_along(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    note = tmp_path / "pid"

    def interrupt(*_: object) -> None:
        while not note.exists() or not note.read_text():
            time.sleep(0.01)
        raise KeyboardInterrupt

    monkeypatch.setattr(proc.subprocess.Popen, "wait", _first(interrupt, proc.subprocess.Popen.wait))
    with pytest.raises(KeyboardInterrupt):
        proc.run(["sh", "-c", f"echo $$ > {note}; exec sleep 60"], timeout=LONG)
    assert gone(int(note.read_text()))


def _first(once: object, then: object) -> object:
    calls = iter([once])
    return lambda *args, **kwargs: next(calls, then)(*args, **kwargs)  # type: ignore[operator]


def test_a_missing_tool_is_named_with_a_remedy() -> None:
    with pytest.raises(
        ToolMissing, match="expected the command 'no-such-tool-1' on PATH; found none; install no-such-tool-1"
    ):
        proc.run(["no-such-tool-1"], timeout=LONG)
    with pytest.raises(ToolMissing):
        proc.run(["/nowhere/no-such-tool-1"], timeout=LONG, nice=5)
    with pytest.raises(ToolMissing):
        proc.start(["no-such-tool-1"], log=Path(os.devnull))


def test_what_cannot_be_started_is_told_for_what_it_is(tmp_path: Path) -> None:
    with pytest.raises(ToolError, match=r"could not be started.*nowhere"):
        proc.run([sys.executable, "-V"], timeout=LONG, cwd=tmp_path / "nowhere")
    plain = tmp_path / "plain"
    plain.write_text("no program")
    with pytest.raises(ToolError, match="could not be started"):
        proc.run([str(plain)], timeout=LONG)


def test_a_program_may_be_named_relative_to_the_working_folder(tmp_path: Path) -> None:
    tool = tmp_path / "tool"
    tool.write_text("#!/bin/sh\necho here\n")
    tool.chmod(0o755)
    assert proc.run(["./tool"], timeout=LONG, cwd=tmp_path).stdout == "here\n"


def test_children_do_not_see_what_would_lead_them_to_another_cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("KUBECONFIG", "ARGOCD_SERVER", "HELM_KUBECONTEXT", "KUBERNETES_SERVICE_HOST", "GIT_DIR"):
        monkeypatch.setenv(name, "theirs")
    seen = proc.run(["env"], timeout=LONG, env={"OURS": "yes"}).stdout
    assert "theirs" not in seen
    assert "OURS=yes" in seen
    assert "PATH=" in seen


def test_nice_is_passed_on() -> None:
    usual = int(proc.run(["nice"], timeout=LONG).stdout)
    assert int(proc.run(["nice"], timeout=LONG, nice=3).stdout) == min(19, usual + 3)


def test_a_long_lived_child_ends_with_all_it_started(tmp_path: Path) -> None:
    log, note = tmp_path / "log", tmp_path / "pid"
    child = proc.start(["sh", "-c", f"sleep 60 & echo $! > {note}; echo up; wait"], log=log)
    deadline = time.monotonic() + 10
    while not (log.exists() and "up" in log.read_text()) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert child.poll() is None
    proc.stop(child)
    assert gone(int(note.read_text()))
    assert child.poll() is not None
    proc.stop(child)  # twice is once


def test_talking_to_a_child_through_its_pipes() -> None:
    with proc.streaming(["cat"], timeout=LONG) as child:
        assert child.stdin
        assert child.stdout
        child.stdin.write(b"hello\n")
        child.stdin.flush()
        assert child.stdout.readline() == b"hello\n"
    assert child.poll() is not None


def test_the_output_of_a_streaming_child_just_ends_at_its_deadline() -> None:
    with proc.streaming(["sleep", "60"], timeout=timedelta(seconds=0.2)) as child:
        assert child.stdout
        assert child.stdout.read() == b""


def test_commands_may_run_side_by_side() -> None:
    found: list[str] = []
    threads = [
        threading.Thread(target=lambda n=n: found.append(proc.run(["echo", str(n)], timeout=LONG).stdout.strip()))  # type: ignore[misc]
        for n in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(found) == [str(n) for n in range(8)]


def test_which_also_looks_where_system_tools_are(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    tool = tmp_path / "our-tool"
    tool.write_text("#!/bin/sh\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert proc.which("our-tool") == tool
    assert proc.which("no-such-tool-1") is None


def test_a_launched_daemon_is_nobodys_child_and_writes_to_its_log(tmp_path: Path) -> None:
    log = tmp_path / "daemon log"
    proc.launch(["sh", "-c", 'echo "$PPID $$"; exec sleep 30'], log=log)
    deadline = time.monotonic() + 10
    while not (log.exists() and log.read_text().strip()) and time.monotonic() < deadline:
        time.sleep(0.01)
    _, pid = log.read_text().split()
    try:
        assert os.getsid(int(pid)) != os.getsid(0)
        with pytest.raises(ChildProcessError):
            os.waitpid(int(pid), os.WNOHANG)
    finally:
        os.kill(int(pid), signal.SIGKILL)
