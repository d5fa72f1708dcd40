"""`answers`: since when a Service answers, and that no failure of asking escapes."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from harness.core.clock import SECOND
from harness.core.errors import ApiRefused, ApiUnreachable, ConfigError, ProvisionFailed
from harness.core.objects import Ref
from harness.core.observation import Probe, State
from harness.probes.serving import answers, front_doors_answer
from tests.stage import Stage

PATH = "/api/v1/namespaces/shop/services/api:http/proxy/healthz"


@pytest.fixture
def stage() -> Stage:
    return Stage(wanted=(SimpleNamespace(ref=Ref("", "Service", "shop", "api")),))


@pytest.fixture
def probe(stage: Stage) -> Probe:
    return answers(stage, "shop/api")  # type: ignore[arg-type]


def test_the_first_answer_is_kept(stage: Stage, probe: Probe) -> None:
    stage.api.answers[PATH] = "ok\n"
    first = stage.clock.now_ns()
    assert probe.observe().at_ns == first
    stage.clock.sleep(5 * SECOND)
    again = probe.observe()
    assert (again.state, again.at_ns, again.not_before_ns) == (State.MET, first, None)
    assert again.actual == "answered: ok"
    assert again.detail == {"answers_ns": {"shop/api": first}}


def test_it_answers_not_before_the_last_failure(stage: Stage, probe: Probe) -> None:
    stage.api.answers[PATH] = ApiRefused(503, "ServiceUnavailable", "no endpoints")
    probe.observe()
    failed = stage.clock.now_ns()
    stage.clock.sleep(SECOND)
    stage.api.answers[PATH] = "ok"
    seen = probe.observe()
    assert (seen.not_before_ns, seen.at_ns) == (failed, stage.clock.now_ns())


def test_a_failure_forgets_the_first_answer(stage: Stage, probe: Probe) -> None:
    stage.api.answers[PATH] = "ok"
    probe.observe()
    stage.clock.sleep(SECOND)
    stage.api.answers[PATH] = ApiUnreachable("connection refused")
    probe.observe()
    lost = stage.clock.now_ns()
    stage.clock.sleep(SECOND)
    stage.api.answers[PATH] = "ok"
    seen = probe.observe()
    assert (seen.not_before_ns, seen.at_ns) == (lost, stage.clock.now_ns())


@pytest.mark.parametrize(
    "error",
    [
        ApiUnreachable("connection refused\nat length"),
        ApiUnreachable(""),
        ApiRefused(503, "ServiceUnavailable", "no endpoints"),
        ProvisionFailed("platform has no cluster"),
    ],
    ids=repr,
)
def test_no_answer_is_pending_and_says_why_in_one_line(stage: Stage, probe: Probe, error: Exception) -> None:
    stage.api.answers[PATH] = error
    seen = probe.observe()
    assert seen.state is State.PENDING
    assert seen.actual
    assert "\n" not in seen.actual
    assert seen.expected == "an answer from Service shop/api"


def test_another_path_may_be_asked(stage: Stage) -> None:
    stage.api.answers[PATH.replace("/healthz", "/ready")] = "yes"
    assert answers(stage, "shop/api", "/ready").observe().state is State.MET  # type: ignore[arg-type]


@pytest.mark.parametrize("service", ["api", "a/b/c", "", "/", "shop/", "/api"])
def test_a_service_must_be_a_namespace_and_a_name(stage: Stage, service: str) -> None:
    with pytest.raises(ConfigError, match="a Service as namespace/name"):
        answers(stage, service)  # type: ignore[arg-type]


def test_each_front_door_is_a_question_of_its_own(stage: Stage) -> None:
    stage.plan = SimpleNamespace(front_doors=("shop/api",))  # type: ignore[attr-defined]
    (asked,) = front_doors_answer(stage)  # type: ignore[arg-type]
    assert asked.subject == "answers(shop/api)"
    stage.plan = SimpleNamespace(front_doors=())  # type: ignore[attr-defined]
    assert front_doors_answer(stage) == ()  # type: ignore[arg-type]


def test_a_service_that_git_does_not_describe_is_a_mistake_of_the_scenario(stage: Stage) -> None:
    with pytest.raises(ConfigError, match="expected a Service shop/web in Git; found none"):
        answers(stage, "shop/web")  # type: ignore[arg-type]
