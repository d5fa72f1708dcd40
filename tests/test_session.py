"""A run: options, findings whatever happens, what is made anew, what is kept, and how it is taken down. No cluster."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from harness import session as module
from harness.cluster.images import ImageSource
from harness.core.clock import SECOND
from harness.core.errors import ConfigError, EnvironmentUnfit, HarnessError, NotConverged, ProvisionFailed
from harness.core.faults import BlastRadius
from harness.core.observation import State
from harness.core.verdict import Verdict
from harness.drill import Drill
from harness.session import Options, Session
from harness.testing import FakeClock, FakeFault, FakeProbe
from tests.worlds import NOW


@dataclass
class FakePlatform:
    """What a session looks after: how often it was made, and what came of it."""

    diary: list[str]
    name: str = "dr-x"
    tainted: str = ""
    alive: bool = False
    failure: Exception | None = None
    half_made: bool = False
    engine: Any = field(default_factory=lambda: SimpleNamespace(deviations=()))
    view: Any = field(default_factory=lambda: SimpleNamespace(answering=True))

    @property
    def clusters(self) -> Any:
        return SimpleNamespace(keep=lambda: self.diary.append("keep"))

    def start(self) -> None:
        self.diary.append("start")
        if self.failure:
            self.half_made = True
            raise self.failure
        self.alive = True

    def discard(self) -> None:
        """What an attempt before has left behind."""
        if self.half_made:
            self.diary.append("discard")
            self.half_made = False

    def destroy(self) -> None:
        self.diary.append("destroy")
        self.alive = False
        if self.failure:
            raise self.failure

    def how_to_reach(self) -> str:
        return "this way"


class Run(Session):
    """A session whose platform is a fake."""

    def __init__(self, reports: Path, **options: Any) -> None:
        self.diary: list[str] = []
        self.made = FakePlatform(self.diary)
        self.unmakeable: HarnessError | None = None
        super().__init__(Options(repo="r", reports=reports, **options), clock=FakeClock())

    def _make(self) -> Any:
        self.diary.append("make")
        if self.unmakeable:
            raise self.unmakeable
        self._at_close(self.undo, "repository")
        self._at_close(self.undo, "clusters")
        self._at_close(self._part_with, self.made)
        return self.made

    def undo(self, what: str) -> None:
        self.diary.append(f"undo {what}")

    def stored(self, name: str) -> dict[str, Any]:
        return dict(json.loads((self.folder.path / name).read_text()))

    def story(self, name: str, tell: Callable[[Drill], object]) -> None:
        with self.drilling(name, "It comes back.", BlastRadius.CLUSTER, {}) as drill:
            tell(drill)


@pytest.fixture(autouse=True)
def quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    # The boundary: git and the diagnostics have tests of their own.
    monkeypatch.setattr(module, "git_state", dict)
    monkeypatch.setattr(module, "collect", lambda platform, folder, veil: ["pods.json could not be collected"])
    monkeypatch.setattr(module, "learn", lambda platform, veil: [])


@pytest.fixture
def run(tmp_path: Path) -> Any:
    made = Run(tmp_path)
    yield made
    made._run_log.close()


def harm(drill: Drill) -> None:
    drill.inject(FakeFault(drill.clock))  # type: ignore[arg-type]


def hold(drill: Drill) -> None:
    harm(drill)
    drill.until(FakeProbe(drill.clock, [(NOW, State.MET)]), within=SECOND)  # type: ignore[arg-type]
    drill.conclude()


def break_promise(drill: Drill) -> None:
    harm(drill)
    drill.until(FakeProbe(drill.clock, [(NOW, State.PENDING)]), within=SECOND)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        ({"timing": "slow"}, "a timing profile"),
        ({"keep": "maybe"}, "--keep-cluster never"),
        ({"servers": 3}, "one server"),
        ({"agents": -1}, "0 to 8 agents"),
        ({"agents": 9}, "0 to 8 agents"),
        ({"images": ImageSource.BUNDLE}, "--images bundle together with --bundle"),
        ({"bundle": Path("b")}, "--images bundle together with --bundle"),
        ({"images": ImageSource.BUNDLE, "bundle": Path("/no/b")}, "no file /no/b"),
    ],
)
def test_a_bad_option_is_refused_before_anything_is_written(tmp_path: Path, bad: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        Session(Options(repo="r", reports=tmp_path / "reports", **bad), clock=FakeClock())
    assert not (tmp_path / "reports").exists()


def test_what_failed_once_is_said_again_and_not_tried_again(run: Run) -> None:
    run.unmakeable = EnvironmentUnfit("memory", "little", "get more")
    for _ in range(3):
        with pytest.raises(EnvironmentUnfit, match="get more"):
            run.platform()
    assert run.diary == ["make"]


def test_drills_share_one_platform(run: Run) -> None:
    assert run.platform() is run.platform()
    run.story("d", hold)
    run.platform()
    assert run.diary == ["make", "start"]


def test_a_platform_left_without_a_cluster_gets_one(run: Run) -> None:
    run.platform()
    run.made.alive = False
    run.platform()
    assert run.diary == ["make", "start", "start"]


def test_a_cluster_that_did_not_come_up_is_in_nobodys_way(run: Run) -> None:
    run.made.failure = ProvisionFailed("no room")
    with pytest.raises(ProvisionFailed, match="no room"):
        run.platform()
    run.made.failure = None
    run.platform()
    assert run.diary == ["make", "start", "destroy", "discard", "start"]
    assert "it did not come up" in (run.folder.path / "run/timeline.jsonl").read_text()
    assert run.made.tainted == ""


def ends(error: BaseException) -> Callable[[Drill], None]:
    def tell(drill: Drill) -> None:
        harm(drill)
        raise error

    return tell


@pytest.mark.parametrize(
    ("error", "verdict"),
    [
        (NotConverged("not back"), Verdict.REFUTED),
        (HarnessError("no engine"), Verdict.INCONCLUSIVE),
        (KeyboardInterrupt(), Verdict.INCONCLUSIVE),
        (ZeroDivisionError("ours"), Verdict.INCONCLUSIVE),
        (AssertionError("an assert in the story"), Verdict.INCONCLUSIVE),
    ],
    ids=lambda value: type(value).__name__,
)
def test_findings_are_written_however_a_drill_ends(run: Run, error: BaseException, verdict: Verdict) -> None:
    run.platform()
    with pytest.raises(type(error)):
        run.story("d", ends(error))
    stored = run.stored("d/findings.json")
    assert (stored["verdict"], run.verdicts) == (verdict, {"d": verdict})
    last = stored["findings"][-1]
    assert (last["claim"], last["verdict"]) == ("the drill ran to its end", verdict)
    assert last["actual"] == (str(error) or type(error).__name__)
    assert '"drill.ended"' in (run.folder.path / "d/timeline.jsonl").read_text()
    assert "pods.json could not be collected" in (run.folder.path / "d/timeline.jsonl").read_text()


def test_a_broken_promise_has_its_own_finding(run: Run) -> None:
    with pytest.raises(NotConverged):
        run.story("d", break_promise)
    found = {f["claim"]: f["verdict"] for f in run.stored("d/findings.json")["findings"]}
    assert found == {"the fault landed": "HELD", "what was waited for came": "REFUTED"}


def test_a_drill_that_concludes_nothing_is_no_pass(run: Run) -> None:
    run.story("d", harm)
    assert run.stored("d/findings.json")["verdict"] == "INCONCLUSIVE"


def test_an_error_after_the_conclusion_is_no_pass(run: Run) -> None:
    def story(drill: Drill) -> None:
        hold(drill)
        raise HarnessError("afterwards")

    with pytest.raises(HarnessError):
        run.story("d", story)
    assert run.stored("d/findings.json")["verdict"] == "INCONCLUSIVE"
    assert run.stored("d/findings.json")["findings"][-1]["actual"] == "afterwards"


def test_after_a_failing_drill_there_is_a_new_cluster(run: Run) -> None:
    run.platform()
    with pytest.raises(NotConverged):
        run.story("d", break_promise)
    assert run.made.tainted == "drill d did not end well"
    run.platform()
    assert (run.diary, run.made.tainted) == (["make", "start", "destroy", "start"], "")


def test_a_drill_that_harmed_nothing_leaves_the_cluster_good(run: Run) -> None:
    run.platform()
    with pytest.raises(HarnessError):
        run.story("d", lambda drill: drill.require(FakeProbe(drill.clock, [(NOW, State.BROKEN)])))  # type: ignore[arg-type]
    assert run.made.tainted == ""


def test_a_sabotage_that_could_not_be_undone_taints_the_cluster(run: Run) -> None:
    run.platform()

    def story(drill: Drill) -> None:
        hold(drill)
        drill.tainted = "not undone"

    run.story("d", story)
    assert run.made.tainted == "not undone"
    assert run.verdicts["d"] is Verdict.HELD


@pytest.mark.parametrize(
    ("keep", "failing", "kept"),
    [("never", True, False), ("on-failure", True, True), ("on-failure", False, False), ("always", False, True)],
)
def test_the_cluster_is_kept_as_asked(tmp_path: Path, keep: str, failing: bool, kept: bool) -> None:
    run = Run(tmp_path, keep=keep)
    run.platform()
    if failing:
        with pytest.raises(NotConverged):
            run.story("d", break_promise)
    else:
        run.story("d", hold)
    run.close()
    assert run.diary[2:] == ["keep" if kept else "destroy", "undo clusters", "undo repository"]
    assert ("this way" in (run.folder.path / "run/timeline.jsonl").read_text()) is kept


def test_a_cluster_that_is_not_there_cannot_be_kept(tmp_path: Path) -> None:
    run = Run(tmp_path, keep="always")
    run.platform()
    run.made.alive = False
    run.close()
    assert "keep" not in run.diary


def test_closing_goes_backwards_to_its_end_and_raises_the_first_error(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    run.platform()
    run.story("d", hold)
    run.made.failure = ProvisionFailed("first")

    def undo(what: str) -> None:
        run.diary.append(what)
        raise OSError(f"second: {what}")

    run.undo = undo  # type: ignore[method-assign]
    run._stack.pop_all()
    for action in (lambda: undo("repository"), lambda: undo("clusters"), lambda: run._part_with(run.made)):  # type: ignore[arg-type]
        run._at_close(action)
    with pytest.raises(ProvisionFailed, match="first"):
        run.close()
    assert run.diary[2:] == ["destroy", "clusters", "repository"]
    stored = run.stored("run.json")
    assert stored["verdicts"] == {"d": "HELD"}  # how the teardown went does not change what was proved
    assert "ended" in stored
    told = (run.folder.path / "run/timeline.jsonl").read_text()
    assert "ProvisionFailed: first" in told
    assert "OSError: second: repository" in told
