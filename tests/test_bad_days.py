"""Bad days: each ends INCONCLUSIVE with its reason, is never a pass, and leaves a record that can be judged again."""

from __future__ import annotations

import errno
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from harness import session as module
from harness.core.clock import MINUTE, SECOND
from harness.core.errors import (
    ApiUnreachable,
    CommandFailed,
    CommandTimeout,
    DrillFailed,
    HarnessError,
    InjectFailed,
    NotConverged,
    ProvisionFailed,
)
from harness.core.faults import BlastRadius
from harness.core.observation import State
from harness.core.verdict import Verdict
from harness.drill import Drill
from harness.effects import store
from harness.rejudging import rejudge
from harness.reporting import load_run
from harness.session import Options, Session
from harness.testing import FakeClock, FakeFault, FakeProbe
from tests.worlds import NOW

DEAD_ENGINE = CommandFailed(["docker", "ps"], 1, "", "Cannot connect to the Docker daemon. Is it running?\nmore")


class Run(Session):
    """A session without a machine."""

    def __init__(self, reports: Path) -> None:
        super().__init__(Options(repo="r", reports=reports), clock=FakeClock())

    def story(
        self, tell: Callable[[Drill], object], radius: BlastRadius = BlastRadius.NAMESPACE
    ) -> BaseException | None:
        """Tell it, as the plugin would; what it ended with."""
        try:
            with self.drilling("d", "It comes back.", radius, {}) as drill:
                tell(drill)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is what the story ended with
            return error
        return None

    def stored(self) -> Any:
        return json.loads((self.folder.path / "d" / "findings.json").read_text())

    def judged_again(self) -> Verdict:
        (drill,) = rejudge(self.folder.path).run.drills
        return drill.verdict


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Run]:
    monkeypatch.setattr(module, "git_state", dict)
    made = Run(tmp_path)
    yield made
    made.close()


def harm(drill: Drill, **fault: Any) -> None:
    drill.inject(FakeFault(drill.clock, **fault))  # type: ignore[arg-type]


def wait(drill: Drill, answer: Any = State.MET) -> None:
    drill.until(FakeProbe(drill.clock, [(NOW, answer)]), within=3 * SECOND)  # type: ignore[arg-type]


def hold(drill: Drill) -> None:
    harm(drill)
    wait(drill)
    drill.conclude()


def proves_nothing(run: Run, *reasons: str) -> None:
    """INCONCLUSIVE everywhere: in the session, on disk, in the report, and when judged again."""
    stored = run.stored()
    said = json.dumps(stored["findings"])
    assert stored["verdict"] == run.verdicts["d"] == Verdict.INCONCLUSIVE
    for reason in reasons:
        assert reason in said
    (drill,) = load_run(run.folder.path).drills
    assert drill.verdict is Verdict.INCONCLUSIVE
    assert run.judged_again() is Verdict.INCONCLUSIVE


@pytest.mark.parametrize("landed", [State.PENDING, State.BROKEN, ApiUnreachable("refused")], ids=str)
def test_a_fault_that_does_not_land(run: Run, landed: Any) -> None:
    error = run.story(lambda drill: harm(drill, landed=landed))
    assert isinstance(error, InjectFailed)
    proves_nothing(run, "not confirmed: FakeFault", "FakeFault did not land")


@pytest.mark.parametrize("trouble", [DEAD_ENGINE, RuntimeError("odd"), OSError(errno.EPIPE, "pipe")], ids=repr)
def test_a_fault_that_cannot_be_injected(run: Run, trouble: Exception) -> None:
    def fail() -> None:
        raise trouble

    assert run.story(lambda drill: harm(drill, harm=fail)) is trouble
    proves_nothing(run, "none was injected", str(trouble).splitlines()[0].replace('"', '\\"'))


ANSWERS = (
    DEAD_ENGINE, CommandTimeout(["docker", "exec"], SECOND, "", ""), KeyError("status"), RuntimeError(""),
    OSError(errno.ENOSPC, "No space left on device"), AssertionError("a probe with an assert"), RecursionError("deep"),
)  # fmt: skip


@pytest.mark.parametrize("trouble", ANSWERS, ids=lambda e: type(e).__name__)
@pytest.mark.parametrize("kind", ["until", "hold"])
def test_a_probe_that_cannot_answer(run: Run, kind: str, trouble: Exception) -> None:
    def story(drill: Drill) -> None:
        harm(drill)
        if kind == "until":
            wait(drill, trouble)
        drill.hold(FakeProbe(drill.clock, [(NOW, trouble)]), lasting=SECOND)  # type: ignore[arg-type]

    assert run.story(story) is trouble
    proves_nothing(run, f"no answer: {type(trouble).__name__}")
    assert f'"kind": "{kind}.failed"' in (run.folder.path / "d/timeline.jsonl").read_text()
    assert type(trouble).__name__ in (run.folder.path / "d/artifacts/error.txt").read_text()


def test_a_probe_that_fails_later_takes_back_no_earlier_refutation(run: Run) -> None:
    def story(drill: Drill) -> None:
        harm(drill)
        wait(drill, State.BROKEN)

    assert isinstance(run.story(story), NotConverged)
    assert run.stored()["verdict"] == Verdict.REFUTED
    assert run.judged_again() is Verdict.REFUTED


@pytest.mark.parametrize(
    ("radius", "ending", "verdict"),
    [
        (BlastRadius.NAMESPACE, HarnessError, Verdict.INCONCLUSIVE),  # no fault in a namespace takes an API away
        (BlastRadius.NODE, NotConverged, Verdict.REFUTED),  # this one may: that it does not come back is the news
        (BlastRadius.CLUSTER, NotConverged, Verdict.REFUTED),
    ],
)
def test_an_api_that_dies_in_the_middle(
    run: Run, radius: BlastRadius, ending: type[Exception], verdict: Verdict
) -> None:
    def story(drill: Drill) -> None:
        harm(drill)
        probe = FakeProbe(drill.clock, [(NOW, State.PENDING), (SECOND, ApiUnreachable("connection refused"))])  # type: ignore[arg-type]
        drill.until(probe, within=5 * SECOND)

    error = run.story(story, radius)
    assert isinstance(error, ending)
    assert isinstance(error, DrillFailed) == (verdict is Verdict.REFUTED)
    assert run.stored()["verdict"] == run.judged_again() == verdict
    assert "connection refused" in json.dumps(run.stored()["findings"])


@pytest.mark.parametrize(("answers", "verdict"), [(True, Verdict.REFUTED), (False, Verdict.INCONCLUSIVE)])
def test_a_probe_that_only_waits_while_the_api_is_dead(run: Run, answers: bool, verdict: Verdict) -> None:
    seen = SimpleNamespace(answering=answers, all=lambda _: (), get=lambda _: None)
    run._platform = SimpleNamespace(view=seen, alive=False, tainted="", name="dr-x")  # type: ignore[assignment]

    def story(drill: Drill) -> None:
        harm(drill)
        wait(drill, State.PENDING)  # what it watches does not move: that says nothing while nobody can look

    assert isinstance(run.story(story), HarnessError if verdict is Verdict.INCONCLUSIVE else NotConverged)
    assert run.stored()["verdict"] == run.judged_again() == verdict
    run._platform = None


@pytest.mark.parametrize("verb", ["until", "hold"])
def test_a_system_that_cannot_come_back_is_not_waited_for(run: Run, verb: str) -> None:
    gone = "the cluster cannot come back: expected a Docker engine that answers; found silence"
    answer = State.PENDING if verb == "until" else State.MET

    def story(drill: Drill) -> None:
        harm(drill)
        drill.lost = lambda: gone
        probe = FakeProbe(drill.clock, [(NOW, answer)])  # type: ignore[arg-type]
        if verb == "until":
            drill.until(probe, within=MINUTE)
        else:
            drill.hold(probe, lasting=MINUTE)

    assert isinstance(run.story(story), HarnessError)
    assert run.clock.now_ns() < 30 * 10**9
    proves_nothing(run, gone)


def test_an_api_that_comes_back_costs_nothing(run: Run) -> None:
    def story(drill: Drill) -> None:
        harm(drill)
        probe = FakeProbe(drill.clock, [(NOW, ApiUnreachable("refused")), (SECOND, State.MET)])  # type: ignore[arg-type]
        drill.until(probe, within=5 * SECOND)
        drill.conclude()

    assert run.story(story) is None
    assert run.stored()["verdict"] == Verdict.HELD


def test_a_docker_daemon_that_dies_takes_no_verdict_with_it(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def dead(*_: object, **__: object) -> Any:
        raise DEAD_ENGINE

    docker = SimpleNamespace(containers=dead, networks=dead, volumes=dead, inspect=dead, logs=dead)
    broken = SimpleNamespace(
        name="dr-x", alive=True, tainted="", destroy=dead, discard=dead,
        repo=SimpleNamespace(head="cafe", source="r", git=SimpleNamespace(out=lambda *_: "commit cafe")),
        clusters=SimpleNamespace(docker=docker, k3d=SimpleNamespace(clusters=dead, nodes=dead), run_id="r"),
        api=SimpleNamespace(raw=dead, list=dead), desired=lambda: (),
    )  # fmt: skip
    run._platform = broken  # type: ignore[assignment]
    run._at_close(broken.destroy)

    def story(drill: Drill) -> None:
        harm(drill)
        wait(drill, DEAD_ENGINE)

    assert run.story(story) is DEAD_ENGINE
    proves_nothing(run, "no answer: CommandFailed")
    text = (run.folder.path / "d/timeline.jsonl").read_text()
    assert "docker.json could not be collected" in text
    assert (run.folder.path / "d/artifacts/git-log.txt").read_text() == "commit cafe"
    with pytest.raises(CommandFailed):  # the next drill is told, and not tried in silence on what may be left
        run.platform()
    with pytest.raises(CommandFailed):
        run.close()
    run._trouble = None
    assert run.stored()["verdict"] == Verdict.INCONCLUSIVE


def test_a_teardown_that_fails_never_hides_the_verdict(run: Run) -> None:
    def fail() -> None:
        raise ProvisionFailed("cluster dr-x could not be deleted")

    run._at_close(fail)
    assert run.story(hold) is None
    with pytest.raises(ProvisionFailed):
        run.close()
    run._trouble = None
    assert "`drill clean` removes" in (run.folder.path / "run" / "timeline.jsonl").read_text()
    assert run.stored()["verdict"] == Verdict.HELD
    assert json.loads((run.folder.path / "run.json").read_text())["verdicts"] == {"d": "HELD"}


def test_a_handover_that_fails_never_hides_the_verdict(run: Run) -> None:
    def fail() -> str:
        raise KeyError("status")

    run._platform = SimpleNamespace(tainted="", alive=False)  # type: ignore[assignment]
    run._handover = SimpleNamespace(begin=lambda: None, check=fail)  # type: ignore[assignment]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "census", lambda _: None)
        patch.setattr(module, "learn", lambda *_: [])
        assert run.story(hold) is None
    assert run.stored()["verdict"] == Verdict.HELD
    assert run._platform.tainted == "it could not be looked at: 'status'"  # type: ignore[union-attr]
    run._platform = None


def test_judging_that_fails_does_not_hide_what_went_wrong_first(run: Run) -> None:
    class Blind:
        """A census that cannot be taken."""

        name = "census"

        def read(self) -> Any:
            raise DEAD_ENGINE

    def story(drill: Drill) -> None:
        harm(drill)
        drill.census = Blind()
        raise HarnessError("first")

    assert str(run.story(story)) == "first"
    proves_nothing(run, "first")


# -- a full disk


def test_a_disk_that_fills_up_in_the_middle_of_a_line(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def story(drill: Drill) -> None:
        harm(drill)
        room = [40]

        def full(file: int, data: bytes) -> int:
            if room[0] == 0:
                raise OSError(errno.ENOSPC, "No space left on device")
            taken, room[0] = os.pwrite(file, data[: room[0]], 0), 0
            return taken

        monkeypatch.setattr(store, "os", SimpleNamespace(**{**vars(os), "write": full}))
        wait(drill)
        drill.conclude()  # in memory all is well

    assert run.story(story) is None
    assert "No space left on device" in run.unrecorded("d")
    assert run.verdicts["d"] is Verdict.INCONCLUSIVE
    monkeypatch.undo()
    said = json.dumps(run.stored()["findings"])
    assert "everything was recorded" in said
    assert "timeline.jsonl could not be written: [Errno 28] No space left on device" in said
    assert run.judged_again() is Verdict.INCONCLUSIVE  # its timeline ends in the middle of a line


def test_lines_that_waited_for_room_are_complete_when_there_is_some(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = Run(tmp_path)

    def story(drill: Drill) -> None:
        monkeypatch.setattr(store.os, "write", _full)
        harm(drill)
        monkeypatch.undo()
        wait(drill)
        drill.conclude()

    assert run.story(story) is None
    run.close()
    assert run.verdicts["d"] is Verdict.INCONCLUSIVE
    lines = (run.folder.path / "d/timeline.jsonl").read_text().splitlines()
    assert [json.loads(line)["seq"] for line in lines] == list(range(len(lines)))
    assert run.judged_again() is Verdict.INCONCLUSIVE


def _full(*_: object) -> int:
    raise OSError(errno.ENOSPC, "No space left on device")


STORY = """
import pytest
from harness.core.clock import SECOND
from harness.core.observation import State
from harness.session import Session
from harness.testing import FakeFault, FakeProbe

Session.platform = lambda self: None

@pytest.mark.drill(blast_radius="namespace")
def test_story(drill, platform):
    '''A promise.'''
    drill.inject(FakeFault(drill.clock))
    drill.until(FakeProbe(drill.clock, [(0 * SECOND, State.{state})]), within=SECOND)
    {more}
    drill.conclude()
"""
FILL = 'for n in range({lines}): drill.timeline.add("note", "padding", text="x" * 1000)'
IN_A_SMALL_DISK = """
mount -t tmpfs -o size=400k none "$1" || exit 99
cd "$2" && "$3" -m pytest -p no:cacheprovider --reports "$1/reports" test_story.py; code=$?
cp -r "$1/reports" "$2/kept"; exit $code
"""


def pytest_of(folder: Path, story: str) -> subprocess.CompletedProcess[str]:
    """pytest on one story, its reports on a disk of 400 kB that is gone with it."""
    disk = folder / "disk"
    disk.mkdir()
    (folder / "test_story.py").write_text(story)
    argv = ["unshare", "--mount", "sh", "-c", IN_A_SMALL_DISK, "sh", str(disk), str(folder), sys.executable]
    env = {**os.environ, "PYTHONPATH": str(Path(__file__).parent.parent), "PYTHONDONTWRITEBYTECODE": "1"}
    return subprocess.run(argv, capture_output=True, text=True, timeout=120, env=env, check=False)


@pytest.mark.skipif(os.geteuid() != 0 or shutil.which("unshare") is None, reason="only root can mount a small disk")
@pytest.mark.parametrize("state", ["MET", "BROKEN"])
def test_a_disk_that_is_really_full(tmp_path: Path, state: str) -> None:
    # The story fills the disk before its wait ends badly, or after it ended well.
    story = STORY.format(state=state, more=FILL.format(lines=900))
    if state == "BROKEN":
        filled = FILL.format(lines=900)
        story = STORY.format(state=state, more="").replace("    drill.until", f"    {filled}\n    drill.until")
    done = pytest_of(tmp_path, story)
    if done.returncode == 99:
        pytest.skip("this machine does not let us mount")
    said = done.stdout + done.stderr
    assert done.returncode == 11, said
    assert "INCONCLUSIVE: HarnessError: timeline.jsonl could not be written: [Errno 28] No space left on device" in said
    assert "Traceback" not in said
    (kept,) = (p.parent for p in (tmp_path / "kept").glob("*/run.json") if not p.parent.is_symlink())
    assert (kept / "test_story/timeline.jsonl").stat().st_size > 100_000
    (drill,) = rejudge(kept).run.drills
    assert drill.verdict is Verdict.INCONCLUSIVE


# -- a timeline that is cut off


def test_a_timeline_cut_off_anywhere_is_never_a_pass(run: Run) -> None:
    run.story(hold)
    run.close()
    file = run.folder.path / "d/timeline.jsonl"
    whole = file.read_bytes()
    assert run.judged_again() is Verdict.HELD
    for cut in range(0, len(whole) - 1, 37):
        file.write_bytes(whole[:cut])
        assert run.judged_again() is Verdict.INCONCLUSIVE, whole[:cut][-80:]
    (drill,) = rejudge(run.folder.path).run.drills
    assert any("middle of a line" in f.actual for f in drill.findings)
