"""The predicate for one Application: every item is needed, and no item is enough."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.core.objects import Object, Ref
from harness.core.observation import State
from harness.gitops.judgement import judge_application, judge_object, needs_refresh
from harness.gitops.render import DesiredApplication, DesiredObject

OLD, NEW = "a" * 40, "b" * 40
URL = "http://172.30.0.1:9000/x.git"
SPEC: Object = {
    "project": "default",
    "source": {"repoURL": URL, "targetRevision": "main", "path": "apps/shop", "directory": {"recurse": False}},
    "destination": {"server": "https://kubernetes.default.svc", "namespace": "shop"},
    "syncPolicy": {"automated": {"prune": True, "selfHeal": True}},
}
MANIFEST: Object = {
    "apiVersion": "argoproj.io/v1alpha1",
    "kind": "Application",
    "metadata": {"name": "shop"},
    "spec": SPEC,
}
DEPLOYMENT: Object = {
    "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "api"},
    "spec": {"replicas": 2, "template": {"spec": {"containers": [{"name": "api", "image": "sample:1"}]}}},
}  # fmt: skip


def desired(kind: str, name: str, manifest: Object | None = None) -> DesiredObject:
    group = "apps" if kind == "Deployment" else "batch" if kind == "Job" else ""
    return DesiredObject("shop", Ref(group, kind, "shop", name), "v1", f"apps/shop/{name}.yaml", manifest or {})


WANTED = DesiredApplication(
    "shop", "argocd", "argocd-apps/shop.yaml", "", (NEW,), MANIFEST,
    (desired("Deployment", "api", DEPLOYMENT), desired("ConfigMap", "settings")),
)  # fmt: skip


def arrived() -> Object:
    """An Application, as Argo CD 3.2 shows it, that has arrived at NEW."""
    resources = [
        {
            "group": "apps",
            "version": "v1",
            "kind": "Deployment",
            "namespace": "shop",
            "name": "api",
            "status": "Synced",
        },
        {"version": "v1", "kind": "ConfigMap", "namespace": "shop", "name": "settings", "status": "Synced"},
        {"group": "batch", "version": "v1", "kind": "Job", "namespace": "shop", "name": "hook", "hook": True},
    ]
    spec = copy.deepcopy(SPEC)
    compared = {
        "source": {k: v for k, v in spec["source"].items() if k != "directory"},
        "destination": spec["destination"],
    }
    return copy.deepcopy({
        "apiVersion": "argoproj.io/v1alpha1", "kind": "Application",
        "metadata": {"name": "shop", "namespace": "argocd", "annotations": {}},
        "spec": spec,
        "status": {
            "sync": {"status": "Synced", "revision": NEW, "comparedTo": compared},
            "health": {"status": "Healthy"},
            "reconciledAt": "2026-01-01T00:00:10Z",
            "operationState": {
                "phase": "Succeeded", "startedAt": "2026-01-01T00:00:07Z", "finishedAt": "2026-01-01T00:00:09Z",
                "message": "successfully synced", "operation": {"sync": {"revision": NEW}},
                "syncResult": {"revision": NEW},
            },
            "resources": resources,
        },
    })  # fmt: skip


def test_an_application_that_has_arrived() -> None:
    assert judge_application(arrived(), WANTED).met
    assert not needs_refresh(arrived(), WANTED)


def put(path: str, value: Any) -> Callable[[Object], None]:
    def change(app: Object) -> None:
        *steps, last = path.split("/")
        place: Any = app
        for step in steps:
            place = place[int(step)] if isinstance(place, list) else place.setdefault(step, {})
        if value is None:
            del place[int(last) if isinstance(place, list) else last]
        elif isinstance(place, list):
            place[int(last)] = value
        else:
            place[last] = value

    return change


def condition(kind: str, message: str = "why") -> Callable[[Object], None]:
    return put("status/conditions", [{"type": kind, "message": message}])


# Each breaks exactly one item. (item, change, part of what is said)
MUTATIONS: dict[str, tuple[str, Callable[[Object], None], str]] = {
    "deleting": ("present", put("metadata/deletionTimestamp", "2026-01-01T00:00:11Z"), "being deleted"),
    "other path": ("spec", put("spec/source/path", "apps/elsewhere"), "spec.source"),
    "other project": ("spec", put("spec/project", "team"), "spec.project"),
    "other namespace": ("spec", put("spec/destination/namespace", "x"), "spec.destination"),
    "comparison error": ("error", condition("ComparisonError"), "ComparisonError: why"),
    "invalid spec": ("error", condition("InvalidSpecError"), "InvalidSpecError: why"),
    "unknown error": ("error", condition("SomeNewError"), "SomeNewError: why"),
    "previous commit": ("revision", put("status/sync/revision", OLD), f"revision {OLD[:10]}"),
    "branch name": ("revision", put("status/sync/revision", "main"), "revision main"),
    "no revision": ("revision", put("status/sync/revision", None), "none yet"),
    "older source compared": ("compared", put("status/sync/comparedTo/source/path", "old"), "older spec.source"),
    "older destination compared": ("compared", put("status/sync/comparedTo/destination", {}), "older destination"),
    "refresh pending": ("refresh", put("metadata/annotations/argocd.argoproj.io~refresh", "normal"), "pending"),
    "sync requested": ("operation", put("operation", {"sync": {}}), "requested"),
    "sync running": ("operation", put("status/operationState/phase", "Running"), "sync Running"),
    "sync terminating": ("operation", put("status/operationState/phase", "Terminating"), "sync Terminating"),
    "sync failed": ("operation", put("status/operationState/phase", "Failed"), "sync Failed"),
    "sync error": ("operation", put("status/operationState/phase", "Error"), "sync Error"),
    "out of sync": ("sync", put("status/sync/status", "OutOfSync"), "OutOfSync"),
    "unknown sync": ("sync", put("status/sync/status", "Unknown"), "Unknown"),
    "no sync status": ("sync", put("status/sync/status", None), "Unknown"),
    "compared in the second of the sync": ("stale", put("status/reconciledAt", "2026-01-01T00:00:09Z"), "00:00:09Z"),
    "compared before the sync": ("stale", put("status/reconciledAt", "2026-01-01T00:00:08Z"), "00:00:08Z"),
    "never compared": ("stale", put("status/reconciledAt", None), "not compared"),
    "progressing": ("health", put("status/health/status", "Progressing"), "Progressing"),
    "degraded": ("health", put("status/health/status", "Degraded"), "Degraded"),
    "no health": ("health", put("status/health", None), "Unknown"),
    "an object not managed": ("resources", put("status/resources/1", None), "ConfigMap shop/settings is not managed"),
    "an object too many": ("resources", put("status/resources/2/hook", None), "Job shop/hook as well"),
}  # fmt: skip


def mutated(*names: str) -> Object:
    app = arrived()
    for name in names:
        MUTATIONS[name][1](app)
    annotations = app["metadata"]["annotations"]
    app["metadata"]["annotations"] = {k.replace("~", "/"): v for k, v in annotations.items()}
    return app


@pytest.mark.parametrize("name", MUTATIONS)
def test_every_item_is_needed_and_says_what_is_missing(name: str) -> None:
    item, _, said = MUTATIONS[name]
    found = judge_application(mutated(name), WANTED)
    assert not found.met
    assert (found.item, said in found.actual) == (item, True), found
    assert found.expected != found.actual


@given(st.sets(st.sampled_from(sorted(MUTATIONS))))
def test_met_exactly_if_every_item_holds(names: set[str]) -> None:
    order = sorted(names, key=lambda n: n.startswith("an object"), reverse=True)  # list items by position come first
    order.sort(key=lambda n: n != "an object too many")
    assert judge_application(mutated(*order), WANTED).met is (not names)


@given(
    sync=st.sampled_from(["Synced", "OutOfSync", "Unknown"]), revision=st.sampled_from([OLD, NEW, "main", ""]),
    health=st.sampled_from(["Healthy", "Progressing", "Missing"]),
    phase=st.sampled_from([None, "Succeeded", "Running", "Failed", "Error"]),
    reconciled=st.integers(0, 20), finished=st.integers(0, 20), error=st.booleans(), refresh=st.booleans(),
    requested=st.booleans(), operated=st.sampled_from([OLD, NEW]),
)  # fmt: skip
def test_generated_states_against_the_definition(
    sync: str, health: str, revision: str, phase: str | None, reconciled: int, finished: int, error: bool,
    refresh: bool, requested: bool, operated: str,
) -> None:  # fmt: skip
    app = arrived()
    status = app["status"]
    status["sync"]["status"], status["health"]["status"], status["sync"]["revision"] = sync, health, revision
    status["reconciledAt"] = f"2026-01-01T00:00:{reconciled:02}Z"
    status["operationState"] |= {"phase": phase, "finishedAt": f"2026-01-01T00:00:{finished:02}Z"}
    status["operationState"]["syncResult"]["revision"] = operated
    if phase is None:
        status["operationState"] = None
    if error:
        status["conditions"] = [{"type": "ComparisonError", "message": "dial tcp: connection refused"}]
    if refresh:
        app["metadata"]["annotations"]["argocd.argoproj.io/refresh"] = "normal"
    if requested:
        app["operation"] = {"sync": {}}
    found = judge_application(app, WANTED)
    arrived_there = sync == "Synced" and health == "Healthy" and revision == NEW
    over = phase == "Succeeded" or (phase in ("Failed", "Error") and operated == OLD)
    settled = phase is None or (over and reconciled > finished)
    assert found.met is (arrived_there and settled and not (error or refresh or requested))
    if found.state is State.BROKEN:
        assert phase in ("Failed", "Error")
        assert operated == NEW


def test_no_application_at_all() -> None:
    assert judge_application(None, WANTED).item == "present"
    assert not needs_refresh(None, WANTED)


def test_a_new_application_that_nobody_looked_at_yet() -> None:
    app = arrived()
    app["status"] = {}
    assert judge_application(app, WANTED).state is State.PENDING
    assert not needs_refresh(app, WANTED)


def test_no_sync_was_ever_needed() -> None:
    app = arrived()
    app["status"]["operationState"] = None
    assert judge_application(app, WANTED).met


@pytest.mark.parametrize(
    ("names", "persistent", "state"),
    [
        (["sync failed"], (), State.BROKEN),
        (["sync error"], (), State.BROKEN),
        (["sync running"], (), State.PENDING),
        (["comparison error"], (), State.PENDING),
        (["comparison error"], ("ComparisonError",), State.BROKEN),
        (["invalid spec"], ("InvalidSpecError",), State.BROKEN),
        (["previous commit", "sync failed"], (), State.PENDING),
    ],
)
def test_final_causes(names: list[str], persistent: tuple[str, ...], state: State) -> None:
    assert judge_application(mutated(*names), WANTED, persistent=persistent).state is state


def test_a_sync_that_ended_without_a_result_is_final_at_every_commit() -> None:
    app = mutated("sync error", "out of sync")
    del app["status"]["operationState"]["syncResult"]
    app["status"]["operationState"]["operation"]["sync"]["revision"] = OLD
    assert judge_application(app, WANTED).state is State.BROKEN


def test_a_failed_sync_of_another_commit_is_not_final() -> None:
    app = mutated("sync failed", "out of sync")
    app["status"]["operationState"]["syncResult"]["revision"] = OLD
    assert judge_application(app, WANTED).state is State.PENDING


def test_a_failed_sync_of_another_commit_is_forgotten_where_this_one_needs_none() -> None:
    # Seen live: a manifest the API refuses, reverted. Nothing was applied, so nothing is synced again.
    app = mutated("sync failed")
    app["status"]["operationState"]["syncResult"]["revision"] = OLD
    assert judge_application(app, WANTED).met


def test_a_failed_sync_says_why_and_not_that_it_is_not_tried_again() -> None:
    app = mutated("sync failed")
    app["status"]["operationState"]["message"] = "one or more objects failed to apply: field is immutable"
    app["status"]["conditions"] = [{"type": "SyncError", "message": "Failed last sync attempt to [bbb]: ..."}]
    found = judge_application(app, WANTED)
    assert "field is immutable" in found.actual
    assert found.state is State.BROKEN


@pytest.mark.parametrize(
    "message",
    [
        "Failed to load target state: failed to list refs: dial tcp 172.30.0.1:9000: connect: connection refused",
        "rpc error: code = Unavailable desc = connection error", "context deadline exceeded", "unexpected EOF",
    ],
)  # fmt: skip
def test_a_git_outage_is_never_final(message: str) -> None:
    app = arrived()
    app["status"]["conditions"] = [{"type": "ComparisonError", "message": message}]
    assert judge_application(app, WANTED, persistent={"ComparisonError"}).state is State.PENDING


def test_a_sync_that_would_wipe_everything_is_final() -> None:
    app = arrived()
    app["status"]["conditions"] = [
        {"type": "SyncError", "message": "Skipping sync attempt to b: auto-sync will wipe out all resources"}
    ]
    assert judge_application(app, WANTED).state is State.BROKEN
    app["status"]["sync"]["revision"] = "a" * 40  # said of an older commit: the newest may put back what was removed
    assert judge_application(app, WANTED).state is State.PENDING


def test_warnings_do_not_count() -> None:
    app = arrived()
    app["status"]["conditions"] = [{"type": "OrphanedResourceWarning", "message": "x"}]
    assert judge_application(app, WANTED).met


def test_the_out_of_sync_object_is_named() -> None:
    app = mutated("out of sync")
    app["status"]["resources"][1]["status"] = "OutOfSync"
    assert judge_application(app, WANTED).actual == "OutOfSync: ConfigMap shop/settings is OutOfSync"
    app["status"]["resources"][1]["requiresPruning"] = True
    assert "is not in Git any more" in judge_application(app, WANTED).actual


def test_several_sources_have_to_arrive_all() -> None:
    source = {"repoURL": URL, "path": "apps/shop", "targetRevision": "main"}
    spec = {k: v for k, v in SPEC.items() if k != "source"} | {"sources": [source, {"repoURL": URL, "ref": "values"}]}
    wanted = DesiredApplication("shop", "argocd", "p", "", (NEW, OLD), {**MANIFEST, "spec": spec}, WANTED.objects)
    app = arrived()
    app["spec"] = copy.deepcopy(spec)
    sync = app["status"]["sync"]
    sync["comparedTo"] = {"sources": spec["sources"], "destination": spec["destination"]}
    sync["revisions"] = [NEW, OLD]
    assert judge_application(app, wanted).met
    sync["revisions"] = [NEW, NEW]
    assert judge_application(app, wanted).item == "revision"
    sync["revisions"] = [NEW]
    assert judge_application(app, wanted).item == "revision"


@pytest.mark.parametrize(
    ("names", "wanted"),
    [
        (["previous commit"], True), (["compared in the second of the sync"], True), ([], False),
        (["previous commit", "refresh pending"], False), (["progressing"], False), (["sync running"], False),
        (["previous commit", "sync running"], True), (["never compared"], False),
    ],
)  # fmt: skip
def test_when_asking_for_a_refresh_helps(names: list[str], wanted: bool) -> None:
    assert needs_refresh(mutated(*names), WANTED) is wanted


def live_deployment(**status: Any) -> Object:
    live = copy.deepcopy(DEPLOYMENT)
    live["metadata"] |= {"namespace": "shop", "generation": 3}
    live["status"] = {"observedGeneration": 3, "replicas": 2, "updatedReplicas": 2, "readyReplicas": 2,
                      "availableReplicas": 2} | status  # fmt: skip
    return live


API = WANTED.objects[0]


def test_an_object_that_is_live_and_rolled_out() -> None:
    assert judge_object(API, live_deployment()).met


@pytest.mark.parametrize(
    ("live", "said"),
    [
        (None, "is missing"),
        (live_deployment(observedGeneration=2), "has not seen"),
        (live_deployment(availableReplicas=1), "1 of 2"),
        (live_deployment() | {"spec": {**DEPLOYMENT["spec"], "replicas": 5}}, "replicas"),
        (live_deployment(replicas=3), "old replicas"),
    ],
)
def test_an_object_that_is_not(live: Object | None, said: str) -> None:
    found = judge_object(API, live)
    assert found.state is State.PENDING
    assert said in found.actual


def test_scaled_and_rolled_out_is_still_not_what_git_says() -> None:
    live = live_deployment(replicas=3, updatedReplicas=3, readyReplicas=3, availableReplicas=3)
    live["spec"]["replicas"] = 3
    assert judge_object(API, live).actual == "has 3 replicas, not 2"
    assert judge_object(API, live, direct=False).met


def test_another_image_is_not_what_git_says() -> None:
    live = live_deployment()
    live["spec"]["template"]["spec"]["containers"][0]["image"] = "sample:0"
    assert judge_object(API, live).actual == "has image sample:0, not sample:1"


def test_a_failed_job_is_final_and_a_stuck_deployment_is_not() -> None:
    job = {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "j"},
           "status": {"conditions": [{"type": "Failed", "status": "True", "reason": "Backoff"}]}}  # fmt: skip
    assert judge_object(desired("Job", "j"), job).state is State.BROKEN
    stuck = live_deployment(
        conditions=[{"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded"}]
    )
    assert judge_object(API, stuck).state is State.PENDING
