"""Questions about the engine: ready, in the middle, missing Git; and what is read of its work."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from harness.core.clock import SECOND
from harness.core.errors import ConfigError, ProvisionFailed
from harness.core.objects import Object, Ref
from harness.core.observation import State
from harness.faults.git_server import StopGitServer
from harness.probes import engine as module
from harness.probes.engine import engine_ready, git_missed, statuses, syncing, work_done
from harness.testing import FakeProbe
from tests.engineroom import COMPONENTS, EngineRoom, application
from tests.gitstage import SHOP, GitStage
from tests.stage import desired
from tests.worlds import NOW

HEAD = "a" * 40
JOB = Ref("batch", "Job", "shop", "migrate")


@pytest.fixture
def room() -> EngineRoom:
    made = EngineRoom()
    made.repo = SimpleNamespace(head=HEAD, url="http://10.0.0.1:4000/x.git")  # type: ignore[attr-defined]
    return made


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[GitStage]:
    made = GitStage(folder=tmp_path)
    yield made
    made.repo.close()


# --- ready -----------------------------------------------------------------------------------------------------------


@dataclass
class Readiness:
    """An engine that answers by a script, and counts how often it was asked for its probe."""

    platform: Any
    state: State = State.MET
    made: list[Any] = field(default_factory=list)

    def ready(self, view: Any) -> FakeProbe:
        self.made.append(view)
        return FakeProbe(self.platform.clock, [(NOW, self.state)], subject="argocd")


@pytest.mark.parametrize("state", list(State))
def test_it_is_the_engines_own_answer(room: EngineRoom, state: State) -> None:
    room.engine = Readiness(room, state)  # type: ignore[assignment]
    probe = engine_ready(room)  # type: ignore[arg-type]
    assert (probe.observe().state, probe.signal, probe.subject) == (state, room.view.signal, "argocd ready")


@pytest.mark.parametrize("component", COMPONENTS)
def test_a_component_of_which_nobody_is_wanted_is_not_ready(room: EngineRoom, component: str) -> None:
    room.engine = Readiness(room)  # type: ignore[assignment]
    workload = room.workload(component)
    workload["metadata"]["resourceVersion"] = "1"
    room.view.event(workload)
    probe = engine_ready(room)  # type: ignore[arg-type]
    assert probe.observe().state is State.MET
    workload["spec"]["replicas"] = 0
    room.view.event(workload)
    answer = probe.observe()
    assert answer.state is State.PENDING
    assert answer.actual == f"{workload['kind']} argocd/argocd-{component} is held at no replicas"


def test_after_a_bootstrap_it_is_another_engine_that_is_asked(room: EngineRoom) -> None:
    first, second = Readiness(room), Readiness(room, State.PENDING)
    room.engine = first  # type: ignore[assignment]
    probe = engine_ready(room)  # type: ignore[arg-type]
    probe.observe()
    probe.observe()
    room.engine = second  # type: ignore[assignment]
    assert probe.observe().state is State.PENDING
    assert (first.made, second.made) == ([room.view], [room.view])


class Nothing:
    """A platform without a cluster."""

    def __init__(self, clock: Any) -> None:
        self.clock = clock

    def __getattr__(self, name: str) -> Any:
        raise ProvisionFailed("platform p has no GitOps engine yet")


def test_without_an_engine_it_is_pending(room: EngineRoom) -> None:
    probe = engine_ready(Nothing(room.clock))  # type: ignore[arg-type]
    assert probe.signal is None
    assert (probe.observe().state, probe.observe().actual) == (State.PENDING, "platform p has no GitOps engine yet")


# --- in the middle of a sync -----------------------------------------------------------------------------------------


def middle(room: EngineRoom) -> Any:
    return module._Syncing(room, SHOP)  # type: ignore[arg-type]


def shown(room: EngineRoom, revision: str = HEAD, **state: Any) -> None:
    begun = {
        "phase": "Running",
        "message": "waiting for\nhook",
        "syncResult": {"revision": revision, "resources": [{}]},
    }
    live = application(**{**begun, **state})
    live["metadata"]["resourceVersion"] = "1"
    room.view.event(live)


def test_a_sync_to_the_head_that_has_begun_its_work_is_met_since_its_event(room: EngineRoom) -> None:
    room.clock.sleep(SECOND)
    shown(room)
    at = room.clock.now_ns()
    room.clock.sleep(SECOND)
    answer = middle(room).observe()
    assert (answer.state, answer.at_ns) == (State.MET, at)
    assert answer.actual == f"Running at {HEAD[:10]}: waiting for hook"
    assert middle(room).signal is room.view.signal


@pytest.mark.parametrize(
    "state",
    [
        {"phase": "Succeeded"},
        {"finishedAt": "2026-01-01T00:00:00Z"},
        {"revision": "b" * 40},
        {"syncResult": {"revision": HEAD}},
    ],
    ids=["over", "waiting for a retry", "another commit", "nothing begun"],
)
def test_anything_else_is_not_the_middle(room: EngineRoom, state: dict[str, Any]) -> None:
    shown(room, **state)
    assert middle(room).observe().state is State.PENDING


def test_an_application_that_is_not_there_is_pending(room: EngineRoom) -> None:
    assert middle(room).observe().actual == "no such Application"


def test_an_application_must_be_in_git(stage: GitStage) -> None:
    assert syncing(stage, "shop").subject == "syncing(shop)"  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="an Application in Git; found 'chat'; name one of these: shop, web"):
        syncing(stage, "chat")  # type: ignore[arg-type]


# --- missing Git -----------------------------------------------------------------------------------------------------


def log(room: EngineRoom, *lines: str) -> None:
    room.api.answers["log argocd-application-controller-0"] = "\n".join(lines)


def missed(room: EngineRoom) -> Any:
    outage = StopGitServer(room)  # type: ignore[arg-type]
    outage.begun = room.clock.utc()
    return git_missed(outage, "shop")


FAILED = "Ignoring temporary failed attempt to compare app state against repo: failed to get repo objects"
IN_JSON = f'{{"application":"shop","level":"warning","msg":"{FAILED}"}}'
IN_TEXT = f'level=warning msg="{FAILED}" application=shop project=default'


@pytest.mark.parametrize("told", [IN_JSON, IN_TEXT])
def test_a_comparison_that_failed_since_the_outage_is_met_when_it_failed(room: EngineRoom, told: str) -> None:
    probe = missed(room)
    room.clock.sleep(10 * SECOND)
    log(room, "2026-01-01T00:00:08.123456789Z started", f"2026-01-01T00:00:09.500000001Z {told}",
        f"2026-01-01T00:00:10.5Z {told}")  # fmt: skip
    answer = probe.observe()
    assert (answer.state, answer.actual) == (State.MET, "a comparison of shop failed for want of Git")
    assert room.clock.now_ns() - answer.at_ns == 1_500_000_000  # the clock says 00:00:11
    assert probe.subject == "Git missed for shop"


@pytest.mark.parametrize(
    "line",
    [
        f"2025-12-31T23:59:59Z {IN_JSON}",
        f"2026-01-01T00:00:09Z {IN_JSON.replace('shop', 'shop-web')}",
        '2026-01-01T00:00:09Z {"application":"shop","msg":"Comparing app state"}',
        f"yesterday {IN_JSON}",
        "",
    ],
    ids=["of an earlier outage", "another Application", "it could", "no time", "nothing"],
)
def test_anything_else_in_the_log_is_not_missing_it(room: EngineRoom, line: str) -> None:
    probe = missed(room)
    room.clock.sleep(10 * SECOND)
    log(room, line)
    assert (probe.observe().state, probe.observe().actual) == (State.PENDING, "none in the controller's log yet")


def test_without_an_outage_or_without_a_controller_it_is_pending(room: EngineRoom) -> None:
    assert git_missed(StopGitServer(room), "shop").observe().actual == "no outage yet"  # type: ignore[arg-type]
    room.api.objects = [o for o in room.api.objects if o["kind"] != "Pod"]
    assert missed(room).observe().actual == "no controller that runs"


# --- readings --------------------------------------------------------------------------------------------------------


def test_statuses_are_what_argocd_says(room: EngineRoom) -> None:
    live = application(phase="Succeeded")
    live["status"] |= {
        "sync": {"status": "Unknown", "revision": HEAD}, "health": {"status": "Healthy"}, "reconciledAt": "then",
        "conditions": [{"type": "ComparisonError", "message": "x" * 500}],
    }  # fmt: skip
    room.becomes(live)
    assert statuses(room).read() == {"shop": {  # type: ignore[arg-type]
        "sync": "Unknown", "health": "Healthy", "revision": HEAD, "operation": "Succeeded", "reconciled": "then",
        "conditions": {"ComparisonError": "x" * 200},
    }}  # fmt: skip


def rolled(name: str, count: int, uid: str = "u1") -> Object:
    made = EngineRoom.workload(name)
    made["kind"] = "Deployment"
    made["metadata"] |= {
        "namespace": "shop", "name": name, "uid": uid,
        "annotations": {"deployment.kubernetes.io/revision": str(count)},
    }  # fmt: skip
    return made


def job(uid: str) -> Object:
    return {"apiVersion": "batch/v1", "kind": "Job",
            "metadata": {"namespace": "shop", "name": "migrate", "uid": uid, "resourceVersion": uid}}  # fmt: skip


def test_work_is_counted_for_what_is_in_git_and_for_jobs_since_the_first_look(room: EngineRoom) -> None:
    room.wanted = (desired(Ref("apps", "Deployment", "shop", "api")), desired(Ref("", "Service", "shop", "api")))
    room.api.objects += [rolled("api", 3), rolled("other", 1)]
    reading = work_done(room, JOB)  # type: ignore[arg-type]
    first = {"rollouts": {"Deployment shop/api": {"uid": "u1", "rollouts": 3}}, "runs": {"Job shop/migrate": []}}
    assert reading.read() == first
    assert [k.kind for k in room.view.added] == ["Job"]
    room.view.event(job("j1"))
    room.view.event(job("j1"), deleted=True)
    room.view.event(job("j2"))
    assert reading.read()["runs"] == {"Job shop/migrate": ["j1", "j2"]}
    assert len(room.view.added) == 1
