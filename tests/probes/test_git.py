"""What became of a commit: seen, arrived, pruned, refused; when, and within which bounds."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from harness.core.clock import MILLISECOND, SECOND
from harness.core.errors import ApiUnreachable, ConfigError
from harness.core.objects import Object
from harness.core.observation import Probe, State
from harness.core.profile import DEFAULT, FAST
from harness.faults.git import PushCommit
from harness.gitops.convergence import Converged
from harness.probes.git import (
    arrived,
    compared_since,
    poll_bound,
    pruned,
    refused,
    revisions,
    seen,
    syncs,
    versions,
)
from tests.gitstage import API, SETTINGS, SHOP, GitStage, NoView

REMOVE = {"apps/shop/api.yaml": None, "apps/shop/cm.yaml": None, "apps/shop/README": "nothing\n"}
WIPE = {"type": "SyncError", "message": "Skipping sync attempt to x: auto-sync will wipe out all resources"}


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[GitStage]:
    made = GitStage(folder=tmp_path)
    yield made
    made.repo.close()


def pushed(stage: GitStage, changes: Any = None) -> PushCommit:
    push = PushCommit(stage, {"README.md": "x\n"} if changes is None else changes, "a change")  # type: ignore[arg-type]
    push.inject()
    return push


def watching(stage: GitStage, commit: str, *, nudge: bool = True) -> Probe:
    return seen(stage, "shop", commit, nudge=nudge)  # type: ignore[arg-type]


# --- seen ------------------------------------------------------------------------------------------------------------


def test_a_commit_is_seen_once_argo_cd_has_compared_with_it(stage: GitStage) -> None:
    before = stage.repo.head
    stage.show(before)
    push = pushed(stage)
    probe = watching(stage, push.sha)
    answer = probe.observe()
    assert (answer.state, answer.actual) == (State.PENDING, f"revision {before[:10]}")
    otherwise = stage.clock.now_ns()
    stage.show(before)
    stage.show(push.sha, after=SECOND)
    at = stage.clock.now_ns()
    stage.show(push.sha, after=SECOND)  # what comes later does not move the moment
    answer = probe.observe()
    assert (answer.state, answer.at_ns, answer.not_before_ns) == (State.MET, at, otherwise)
    assert answer.detail["seen_ns"] == {"shop": at}
    assert probe.subject == f"seen(shop at {push.sha[:10]})"


def test_a_commit_that_was_seen_and_left_behind_was_seen(stage: GitStage) -> None:
    push = pushed(stage)
    stage.show(push.sha)
    at = stage.clock.now_ns()
    stage.show(stage.repo.commit({}, "next"), after=SECOND)
    answer = watching(stage, push.sha).observe()  # asked late: the states of Applications are kept since the push
    assert (answer.state, answer.at_ns) == (State.MET, at)


def test_a_commit_that_was_passed_over_is_broken(stage: GitStage) -> None:
    stage.show(stage.repo.head)
    push = pushed(stage)
    probe = watching(stage, push.sha)
    later = stage.repo.commit({}, "next")
    stage.show(later)
    answer = probe.observe()
    assert (answer.state, answer.actual) == (
        State.BROKEN, f"revision {later[:10]}, which is newer: this one was passed over",
    )  # fmt: skip


def test_the_branch_by_its_name_as_after_an_error_is_no_later_commit(stage: GitStage) -> None:
    push = pushed(stage)
    stage.show({"status": "Unknown", "revision": stage.repo.branch})
    answer = watching(stage, push.sha).observe()
    assert (answer.state, answer.actual) == (State.PENDING, f"revision {stage.repo.branch}")


def test_of_several_sources_each_may_show_it(stage: GitStage) -> None:
    push = pushed(stage)
    stage.show({"status": "Synced", "revisions": ["a" * 40, push.sha]})
    assert watching(stage, push.sha).observe().met


def test_an_application_that_is_not_there_is_pending(stage: GitStage) -> None:
    push = pushed(stage)
    assert watching(stage, push.sha).observe().actual == "the Application is missing"
    stage.view.event(stage.show(stage.repo.resolve(push.parent)), deleted=True)
    assert watching(stage, push.sha).observe().actual == "the Application is missing"


def test_no_cluster_is_pending(stage: GitStage) -> None:
    push = pushed(stage)
    probe = watching(stage, push.sha)
    stage.view = NoView()  # type: ignore[assignment]
    assert (probe.observe().state, probe.signal) == (State.PENDING, None)


def test_it_asks_for_a_look_but_not_while_one_is_pending(stage: GitStage) -> None:
    before = stage.repo.head
    stage.show(before)
    probe = watching(stage, pushed(stage).sha)
    for _ in range(3):
        probe.observe()
    assert stage.engine.asked == ["shop"]
    stage.pending(before)
    stage.clock.sleep(SECOND)
    probe.observe()
    assert stage.engine.asked == ["shop"]
    stage.show(before)  # taken up, by a comparison from before the push
    probe.observe()
    assert stage.engine.asked == ["shop", "shop"]
    stage.pending(before)
    stage.clock.sleep(4 * SECOND)  # nobody takes it up
    probe.observe()
    assert stage.engine.asked == ["shop"] * 3


def test_polling_alone_asks_for_nothing(stage: GitStage) -> None:
    stage.show(stage.repo.head)
    probe = watching(stage, pushed(stage).sha, nudge=False)
    stage.clock.sleep(60 * SECOND)
    assert probe.observe().state is State.PENDING
    assert stage.engine.asked == []


def test_a_request_that_fails_is_no_crash(stage: GitStage) -> None:
    stage.show(stage.repo.head)
    stage.engine.error = ApiUnreachable("connection refused")
    assert watching(stage, pushed(stage).sha).observe().state is State.PENDING


def test_nonsense_is_refused(stage: GitStage) -> None:
    with pytest.raises(ConfigError, match=r"an Application in Git; found 'blog'; name one of these: shop, web"):
        seen(stage, "blog", "c" * 40)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match=r"a commit as its full sha; found ''"):
        seen(stage, "shop", "")  # type: ignore[arg-type]


def test_a_comparison_bounds_what_it_tells(stage: GitStage) -> None:
    """Where the event before is long ago, what counts is when the comparison began: whole seconds of the same clock."""
    stage.show(stage.repo.head)
    stage.clock.sleep(60 * SECOND)
    begun = stage.clock.utc()
    begun_ns = stage.clock.now_ns()
    told = begun.replace(microsecond=0).isoformat().replace("+00:00", "Z")
    push = pushed(stage)
    stage.show(push.sha, after=300 * MILLISECOND, reconciledAt=told)
    answer = watching(stage, push.sha).observe()
    assert answer.not_before_ns == begun_ns - begun.microsecond * 1000


def test_a_bound_never_lies_after_the_event_nor_before_the_last_one(stage: GitStage) -> None:
    stage.show(stage.repo.head)
    last = stage.clock.now_ns()
    stage.show(stage.repo.head, after=SECOND)
    second = stage.clock.now_ns()
    stage.view.follow(SHOP)
    state = stage.view.history(SHOP)[-1]

    def told(text: str) -> Any:
        return replace(state, object={"status": {"reconciledAt": text}})

    assert compared_since(stage, told("2999-01-01T00:00:00Z")) == second  # type: ignore[arg-type]
    assert compared_since(stage, told("1999-01-01T00:00:00Z")) == last  # type: ignore[arg-type]
    assert compared_since(stage, replace(state, object={})) == last  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("status", "found"),
    [
        ({}, ()),
        ({"sync": {"revision": "a"}}, ("a",)),
        ({"sync": {"revision": "", "revisions": ["a", "b"]}}, ("a", "b")),
    ],
)
def test_revisions_of_an_application(status: Object, found: tuple[str, ...]) -> None:
    assert revisions({"status": status}) == found


# --- arrived, and polling --------------------------------------------------------------------------------------------


def test_arrived_is_convergence_of_one_application(stage: GitStage) -> None:
    probe = arrived(stage, "shop", nudge=False)  # type: ignore[arg-type]
    assert isinstance(probe, Converged)
    assert probe.subject == "arrived(shop)"
    with pytest.raises(ConfigError, match="an Application in Git"):
        arrived(stage, "blog")  # type: ignore[arg-type]


def test_the_bound_of_polling_follows_the_profile(stage: GitStage) -> None:
    stage.profile = FAST
    assert poll_bound(stage) == 30 * SECOND  # type: ignore[arg-type]
    stage.profile = DEFAULT
    assert poll_bound(stage) == 480 * SECOND  # type: ignore[arg-type]


# --- pruned ----------------------------------------------------------------------------------------------------------


def on_stage(stage: GitStage) -> tuple[Object, Object]:
    """What Git describes of shop is live."""
    stage.deploy()
    config: Object = {"apiVersion": "v1", "kind": "ConfigMap",
                      "metadata": {"namespace": "shop", "name": "a", "resourceVersion": "7", "uid": "u"}}  # fmt: skip
    stage.view.event(config)
    return stage.api.objects[0], config


def test_pruned_is_when_the_last_of_them_was_gone(stage: GitStage) -> None:
    api, config = on_stage(stage)
    push = pushed(stage, REMOVE)
    probe = pruned(push)
    stage.clock.sleep(SECOND)
    stage.view.event(config, deleted=True)
    answer = probe.observe()
    assert (answer.state, answer.done, answer.total, answer.actual) == (
        State.PENDING, 1, 2, "Deployment shop/api is still there, and nobody deletes it",
    )  # fmt: skip
    going = copy.deepcopy(api)
    going["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:01Z"
    stage.view.event(going)
    leaving = stage.clock.now_ns()
    answer = probe.observe()
    assert (answer.state, answer.actual) == (State.PENDING, "Deployment shop/api is still there, being deleted")
    stage.clock.sleep(SECOND)
    stage.view.event(going, deleted=True)
    answer = probe.observe()
    assert (answer.state, answer.at_ns, answer.not_before_ns) == (State.MET, stage.clock.now_ns(), leaving)
    assert probe.subject.startswith("pruned(")
    assert set(answer.detail["pruned_ns"]) == {str(API), str(SETTINGS)}


def test_what_was_gone_once_before_the_commit_was_not_pruned_by_it(stage: GitStage) -> None:
    api, config = on_stage(stage)
    stage.view.follow(API)
    stage.view.event(api, deleted=True)
    stage.clock.sleep(SECOND)
    stage.view.event(api)
    stage.clock.sleep(SECOND)
    push = pushed(stage, REMOVE)
    stage.view.event(config, deleted=True)
    assert pruned(push).observe().actual == "Deployment shop/api is still there, and nobody deletes it"


def test_what_came_back_is_not_gone(stage: GitStage) -> None:
    api, config = on_stage(stage)
    push = pushed(stage, REMOVE)
    for obj in (api, config):
        stage.view.event(obj, deleted=True)
    assert pruned(push).observe().met
    stage.view.event(api)
    assert not pruned(push).observe().met


@pytest.mark.parametrize("make", [pruned, lambda push: refused(push, "shop")], ids=["pruned", "refused"])
def test_a_commit_that_removes_nothing_cannot_be_asked_for(stage: GitStage, make: Any) -> None:
    with pytest.raises(ConfigError, match=r"a commit that was pushed and removed objects"):
        make(pushed(stage))
    with pytest.raises(ConfigError, match=r"a commit that was pushed and removed objects"):
        make(PushCommit(stage, REMOVE, "not pushed"))  # type: ignore[arg-type]


# --- refused ---------------------------------------------------------------------------------------------------------


def test_a_refusal_holds_from_when_it_was_said_while_all_stays(stage: GitStage) -> None:
    on_stage(stage)
    stage.show(stage.repo.head)
    push = pushed(stage, REMOVE)
    probe = refused(push, "shop")
    assert (probe.observe().state, probe.observe().actual) == (State.PENDING, "no refusal yet, shop is Synced")
    stage.show({"revision": push.sha, "status": "OutOfSync"}, after=SECOND, conditions=[WIPE])
    at = stage.clock.now_ns()
    stage.show({"revision": push.sha, "status": "OutOfSync"}, after=SECOND, conditions=[WIPE])
    answer = probe.observe()
    assert (answer.state, answer.at_ns, answer.done, answer.total) == (State.MET, at, 2, 2)
    assert "will wipe out all resources" in answer.actual


@pytest.mark.parametrize(
    "conditions", [[], [{"type": "SyncError", "message": "x"}], [{**WIPE, "type": "OrphanedResourceWarning"}]]
)
def test_another_condition_is_no_refusal(stage: GitStage, conditions: list[Object]) -> None:
    on_stage(stage)
    push = pushed(stage, REMOVE)
    stage.show(push.sha, conditions=conditions)
    assert refused(push, "shop").observe().state is State.PENDING


def test_nothing_is_said_of_a_refusal_while_nothing_can_be_seen(stage: GitStage) -> None:
    on_stage(stage)
    push = pushed(stage, REMOVE)
    probe = refused(push, "shop")
    stage.show(push.sha, conditions=[WIPE])
    stage.view.answering = False
    with pytest.raises(ApiUnreachable):
        probe.observe()
    stage.view.answering = True
    assert probe.observe().state is State.MET


def test_a_refusal_of_another_commit_is_none_of_this(stage: GitStage) -> None:
    on_stage(stage)
    stage.show(stage.repo.head, conditions=[WIPE])
    assert refused(pushed(stage, REMOVE), "shop").observe().state is State.PENDING


def test_a_refusal_that_was_taken_back_begins_anew(stage: GitStage) -> None:
    on_stage(stage)
    push = pushed(stage, REMOVE)
    probe = refused(push, "shop")
    for conditions in ([WIPE], [], [WIPE]):
        stage.show(push.sha, after=SECOND, conditions=conditions)
    assert probe.observe().at_ns == stage.clock.now_ns()


@pytest.mark.parametrize("how", ["gone", "going"])
def test_one_object_that_is_deleted_breaks_it(stage: GitStage, how: str) -> None:
    api, _ = on_stage(stage)
    push = pushed(stage, REMOVE)
    stage.show(push.sha, conditions=[WIPE])
    leaving = copy.deepcopy(api)
    leaving["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:01Z"
    stage.view.event(leaving, deleted=how == "gone")
    answer = refused(push, "shop").observe()
    assert (answer.state, answer.actual) == (State.BROKEN, "1 of them deleted: Deployment shop/api")


def test_a_missing_application_refuses_nothing(stage: GitStage) -> None:
    on_stage(stage)
    push = pushed(stage, REMOVE)
    assert refused(push, "shop").observe().actual == "no refusal yet, shop is missing"
    probe = refused(push, "shop")
    stage.view = NoView()  # type: ignore[assignment]
    assert probe.observe().state is State.PENDING


# --- readings --------------------------------------------------------------------------------------------------------


def test_versions_tell_apart_a_write_from_a_status(stage: GitStage) -> None:
    stage.api.objects = [
        {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"namespace": "shop", "name": "api", "uid": "d",
         "resourceVersion": "1", "managedFields": [{}]}, "spec": {"replicas": 1}, "status": {"replicas": 1}},
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"namespace": "shop", "name": "a", "uid": "c",
         "resourceVersion": "2"}, "data": {}},
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"namespace": "kube-system", "name": "x", "uid": "x"}},
        {"apiVersion": "argoproj.io/v1alpha1", "kind": "Application", "metadata": {"namespace": "argocd",
         "name": "shop"}, "status": {"operationState": {"startedAt": "then"}, "history": [{"id": 3}, {"id": 4}]}},
    ]  # fmt: skip
    reading = versions(stage)  # type: ignore[arg-type]
    first = reading.read()
    assert first["applications"] == {"shop": {"sync": "then", "history": [3, 4]}}
    assert set(first["objects"]) == {"Deployment shop/api", "ConfigMap shop/a"}
    assert first["objects"]["ConfigMap shop/a"]["uid"] == "c"
    deployment = stage.api.objects[0]
    deployment["status"] = {"replicas": 0}
    deployment["metadata"] |= {"resourceVersion": "9", "managedFields": []}
    again = reading.read()["objects"]["Deployment shop/api"]
    before = first["objects"]["Deployment shop/api"]
    assert (again["version"], again["content"], again["has_status"]) == ("9", before["content"], True)
    deployment["spec"]["replicas"] = 2
    assert reading.read()["objects"]["Deployment shop/api"]["content"] != before["content"]


def test_versions_are_of_what_was_in_git_when_they_were_asked_for(stage: GitStage) -> None:
    reading = versions(stage)  # type: ignore[arg-type]
    pushed(stage, REMOVE)
    assert (API in reading.refs, reading.name) == (True, "versions")


def test_what_argo_cd_says_it_did_counts_over_all_syncs_of_the_commit(stage: GitStage) -> None:
    """While a Deployment is being deleted, Argo CD syncs once more, and then there is nothing left to do."""
    push = pushed(stage, REMOVE)
    results = [
        {"group": "apps", "kind": "Deployment", "namespace": "shop", "name": "api", "status": "Pruned"},
        {"group": "", "kind": "ConfigMap", "namespace": "shop", "name": "a", "status": "Synced"},
        {"group": "", "kind": "ConfigMap", "namespace": "shop", "name": "b", "status": "PruneSkipped"},
    ]
    for began, revision, resources in (
        ("1", push.parent, results[1:]),
        ("2", push.sha, results),
        ("3", push.sha, None),
    ):
        done = {"startedAt": began, "syncResult": {"revision": revision, "resources": resources}}
        stage.show(push.sha, operationState=done)
    assert syncs(push, "shop").read() == {
        "application": "shop", "revision": push.sha, "operations": 2,
        "pruned": ["Deployment shop/api"], "synced": ["ConfigMap shop/a"],
    }  # fmt: skip
    assert syncs(push, "web").read()["operations"] == 0
    with pytest.raises(ConfigError, match="an Application in Git"):
        syncs(push, "blog")
