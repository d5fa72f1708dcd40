"""The probe over everything that Git describes: real Git, a view that is played."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from harness.cluster.live import Gap, Outage
from harness.cluster.live_store import Seen
from harness.core.clock import SECOND
from harness.core.errors import ApiRefused, ApiUnreachable, ProvisionFailed
from harness.core.objects import Kind, Object, Ref, dig, ref_of
from harness.core.observation import UNREACHABLE, State
from harness.effects.waiting import Signal, until
from harness.gitops.argocd import DEPLOYMENT, REFRESH
from harness.gitops.convergence import SETTLE, Converged, Moment, latest, watched_kinds
from harness.gitops.explaining import WATCHED
from harness.gitops.plan import BootstrapPlan, read_plan
from harness.gitops.render import desired_applications, desired_objects
from harness.gitops.repo import ServedRepo
from harness.testing import FakeClock

from .conftest import APPLICATION as APP_TEXT
from .conftest import CONFIG_MAP, write

CONFIG_MAPS = Kind("", "v1", "ConfigMap", "configmaps", namespaced=True)
DEPLOYMENT_TEXT = """\
apiVersion: apps/v1
kind: Deployment
metadata: {name: api}
spec: {replicas: 1, template: {spec: {containers: [{name: api, image: 'sample:1'}]}}}
"""


CRD = """\
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: widgets.example.org}
spec:
  group: example.org
  names: {kind: Widget, plural: widgets}
  scope: Namespaced
  versions: [{name: v1, served: true, storage: true}]
"""
WIDGET = "apiVersion: example.org/v1\nkind: Widget\nmetadata: {name: w}\n"
STRANGE = "apiVersion: example.net/v1\nkind: Strange\nmetadata: {name: s}\n"


class FakeView:
    """What a LiveView shows, set by hand."""

    def __init__(self, clock: FakeClock) -> None:
        self.clock, self.signal = clock, Signal(clock)
        self.seen: dict[Ref, Seen] = {}
        self.answering = True
        self.gaps: tuple[Gap, ...] = ()
        self.outages: tuple[Outage, ...] = ()
        self.kinds: tuple[Kind, ...] = (*WATCHED, CONFIG_MAPS)

    def add(self, kinds: Iterable[Kind]) -> None:
        self.kinds = tuple(dict.fromkeys((*self.kinds, *kinds)))

    def get(self, ref: Ref) -> Seen | None:
        return self.seen.get(ref)

    def all(self, kind: Kind, namespace: str | None = None) -> tuple[Seen, ...]:
        of_kind = [(r, s) for r, s in self.seen.items() if (r.group, r.kind) == (kind.group, kind.kind)]
        return tuple(s for r, s in of_kind if namespace in (None, r.namespace))

    def put(self, obj: Object) -> None:
        ref = ref_of(obj)
        before = self.seen.get(ref)
        self.seen[ref] = Seen(copy.deepcopy(obj), self.clock.now_ns(), before.received_ns if before else None)
        self.signal.notify()

    def remove(self, ref: Ref) -> None:
        del self.seen[ref]
        self.signal.notify()


class FakeEngine:
    """Counts refreshes; `answer` plays what Argo CD does then."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, bool]] = []
        self.error: Exception | None = None

    def refresh(self, name: str, *, hard: bool = False) -> None:
        if self.error:
            raise self.error
        self.asked.append((name, hard))


@dataclass
class FakePlatform:
    """The pieces that convergence looks at."""

    repo: ServedRepo
    plan: BootstrapPlan
    clock: FakeClock = field(default_factory=FakeClock)
    engine: Any = field(default_factory=FakeEngine)
    api: Any = None
    shown: FakeView | None = None

    @property
    def view(self) -> FakeView:
        if self.shown is None:
            raise ProvisionFailed("platform p has no cluster to look at")
        return self.shown

    def arrive(self, revision: str | None = None, **status: Any) -> None:
        """Everything becomes as at `revision` (default: the head)."""
        for app in desired_applications(self.repo, self.plan, revision):
            for obj in app.objects:
                if obj.ref not in self.view.seen or self.view.seen[obj.ref].object["spec"] != obj.manifest.get("spec"):
                    self.view.put(live(obj.manifest, obj.ref))
            self.view.put(self.application(app.name, revision, **status))

    def application(self, name: str, revision: str | None = None, **status: Any) -> Object:
        app = next(a for a in desired_applications(self.repo, self.plan, revision) if a.name == name)
        spec = copy.deepcopy(app.manifest["spec"])
        resources = [{"group": o.ref.group, "kind": o.ref.kind, "namespace": o.ref.namespace, "name": o.ref.name,
                      "status": "Synced"} for o in app.objects]  # fmt: skip
        compared = {"source": spec["source"], "destination": spec["destination"]}
        return copy.deepcopy({
            "apiVersion": "argoproj.io/v1alpha1", "kind": "Application",
            "metadata": {"name": name, "namespace": "argocd"}, "spec": spec,
            "status": {
                "sync": {"status": "Synced", "revision": app.revisions[0], "comparedTo": compared},
                "health": {"status": "Healthy"}, "reconciledAt": "2026-01-01T00:00:10Z", "resources": resources,
                "operationState": {"phase": "Succeeded", "finishedAt": "2026-01-01T00:00:09Z",
                                   "syncResult": {"revision": app.revisions[0]}},
            } | status,
        })  # fmt: skip


def live(manifest: Object, ref: Ref) -> Object:
    obj = copy.deepcopy(manifest)
    obj["metadata"] |= {"namespace": ref.namespace, "generation": 1}
    obj.setdefault("spec", None)
    if ref.kind == "Deployment":
        replicas = obj["spec"]["replicas"]
        obj["status"] = {"observedGeneration": 1, "replicas": replicas, "updatedReplicas": replicas,
                         "readyReplicas": replicas, "availableReplicas": replicas}  # fmt: skip
    return obj


def unready(obj: Object) -> Object:
    return {**obj, "status": {**obj["status"], "availableReplicas": 0}}


@pytest.fixture
def platform(tmp_path: Path) -> Iterator[FakePlatform]:
    root = tmp_path / "gitops"
    url = "https://git.example.org/team/gitops"
    write(root, {
        "argocd-apps/one.yaml": APP_TEXT.format(name="one", url=url),
        "argocd-apps/two.yaml": APP_TEXT.format(name="two", url=url),
        "apps/one/cm.yaml": CONFIG_MAP.format(name="a"), "apps/one/api.yaml": DEPLOYMENT_TEXT,
        "apps/two/cm.yaml": CONFIG_MAP.format(name="b"),
    })  # fmt: skip
    repo = ServedRepo.from_path(root, scratch=tmp_path / "scratch")
    made = FakePlatform(repo, read_plan(repo))
    repo.serve("127.0.0.1")
    made.clock.sleep(100 * SECOND)
    made.shown = FakeView(made.clock)
    yield made
    repo.close()


API = Ref("apps", "Deployment", "one", "api")
ONE = Ref("argoproj.io", "Application", "argocd", "one")


def test_everything_has_arrived(platform: FakePlatform) -> None:
    platform.arrive()
    seen = Converged(platform).observe()
    assert (seen.state, seen.done, seen.total) == (State.MET, 3, 3)
    assert "2 Applications" in seen.actual
    assert platform.engine.asked == []


def test_nothing_is_there_yet(platform: FakePlatform) -> None:
    seen = Converged(platform).observe()
    assert (seen.state, seen.done, seen.total) == (State.PENDING, 0, 3)
    assert seen.actual == "one: the Application is missing"


def test_no_cluster_is_pending(platform: FakePlatform) -> None:
    platform.shown = None
    probe = Converged(platform)
    assert probe.signal is None
    assert probe.observe().state is State.PENDING


def test_one_thing_is_named_application_object_cause(platform: FakePlatform) -> None:
    platform.arrive()
    platform.view.put(unready(platform.view.seen[API].object))
    platform.view.put(platform.application("one", health={"status": "Progressing"}))
    seen = Converged(platform).observe()
    assert seen.actual == "one: Deployment one/api 0 of 1 replicas available"
    assert (seen.done, seen.total) == (2, 3)


def test_synced_and_healthy_at_the_previous_commit_is_not_enough(platform: FakePlatform) -> None:
    platform.arrive()
    before = platform.repo.head
    platform.repo.commit({"README.md": "x\n"}, "next")
    probe = Converged(platform)
    seen = probe.observe()
    assert seen.state is State.PENDING
    assert seen.actual == f"one: revision {before[:10]}"
    assert platform.engine.asked == [("one", False), ("two", False)]


def test_a_drifted_object_is_seen_before_argo_cd_sees_it(platform: FakePlatform) -> None:
    platform.arrive()
    present = platform.view.seen[API].object
    platform.view.put(live({**present, "spec": {**present["spec"], "replicas": 4}}, API))
    assert Converged(platform).observe().actual == "one: Deployment one/api has 4 replicas, not 1"


def test_the_moment_is_that_of_the_last_fact_and_no_later_event_moves_it(platform: FakePlatform) -> None:
    clock, view = platform.clock, platform.view
    probe = Converged(platform)
    platform.arrive()
    view.put(unready(view.seen[API].object))
    probe.observe()
    unready_ns = clock.now_ns()
    clock.sleep(5 * SECOND)
    view.put(live(view.seen[API].object, API))
    ready_ns = clock.now_ns()
    clock.sleep(2 * SECOND)
    first = probe.observe()
    view.put(platform.application("one", reconciledAt="2026-01-01T00:05:00Z"))
    clock.sleep(2 * SECOND)
    second = probe.observe()
    for seen in (first, second):
        assert seen.met
        assert (seen.not_before_ns, seen.at_ns) == (unready_ns, ready_ns)
    assert first.detail["slowest"] == "one"
    assert first.detail["slowest_object"] == "Deployment one/api"
    assert first.detail["applications_ns"]["one"] == ready_ns
    assert first.detail["applications_ns"]["two"] == unready_ns
    assert probe.moments["one"] == Moment(unready_ns, ready_ns)


def test_what_is_lost_again_starts_anew(platform: FakePlatform) -> None:
    probe = Converged(platform)
    platform.arrive()
    first = probe.observe()
    platform.clock.sleep(SECOND)
    gone = platform.view.seen[API].object
    platform.view.remove(API)
    lost = probe.observe()
    assert lost.actual == "one: Deployment one/api is missing"
    platform.clock.sleep(SECOND)
    platform.view.put(gone)
    again = probe.observe()
    assert again.met
    assert again.at_ns == first.at_ns + 2 * 10**9
    assert again.not_before_ns == first.at_ns + 10**9


def test_a_new_commit_is_a_new_question(platform: FakePlatform) -> None:
    probe = Converged(platform)
    platform.arrive()
    assert probe.observe().met
    platform.repo.commit({"apps/two/more.yaml": CONFIG_MAP.format(name="more")}, "one more")
    seen = probe.observe()
    assert (seen.state, seen.done, seen.total) == (State.PENDING, 3, 4)
    platform.arrive()
    assert probe.observe().total == 4
    assert probe.observe().met


def test_a_rebuilt_cluster_starts_from_nothing(platform: FakePlatform) -> None:
    probe = Converged(platform)
    platform.arrive()
    assert probe.observe().met
    platform.shown = None
    assert not probe.observe().met
    platform.clock.sleep(60 * SECOND)
    platform.shown = FakeView(platform.clock)
    assert probe.observe().done == 0
    platform.arrive()
    assert probe.observe().at_ns == platform.clock.now_ns()


def test_an_outage_hides_everything_and_dates_what_is_seen_after_it(platform: FakePlatform) -> None:
    probe = Converged(platform)
    platform.arrive()
    assert probe.observe().met
    platform.view.answering = False
    assert probe.observe().actual == "the API does not answer"
    platform.clock.sleep(9 * SECOND)
    now = platform.clock.now_ns()
    platform.view.answering = True
    platform.view.outages = (Outage(None, now - 9 * 10**9, now - 10**8, now, "refused"),)
    seen = probe.observe()
    assert seen.met
    assert (seen.not_before_ns, seen.at_ns) == (now - 10**8, now)


def test_a_kind_that_is_not_observed_hides_everything(platform: FakePlatform) -> None:
    platform.arrive()
    platform.view.gaps = (Gap(DEPLOYMENT, 1, None, "the server closed the watch"),)
    seen = Converged(platform).observe()
    assert seen.state is State.PENDING
    assert "no current view of Deployment.apps" in seen.actual
    platform.view.gaps = (Gap(DEPLOYMENT, 1, 2, "the server closed the watch"),)
    assert Converged(platform).observe().met


def test_an_application_that_git_does_not_know(platform: FakePlatform) -> None:
    platform.arrive()
    extra = platform.application("one")
    extra["metadata"]["name"] = "stray"
    platform.view.put(extra)
    assert Converged(platform).observe().actual == "Application argocd/stray is live but not in Git"


def test_a_failed_sync_ends_the_wait(platform: FakePlatform) -> None:
    platform.arrive()
    state = {"phase": "Failed", "finishedAt": "2026-01-01T00:00:09Z", "message": "field is immutable",
             "syncResult": {"revision": platform.repo.head}}  # fmt: skip
    platform.view.put(platform.application("two", operationState=state))
    platform.view.remove(API)
    seen = Converged(platform).observe()
    assert seen.state is State.BROKEN
    assert seen.actual == "two: sync Failed: field is immutable, because Git changes what cannot be changed"


def test_git_that_cannot_be_rendered_is_final(platform: FakePlatform) -> None:
    platform.arrive()
    platform.repo.commit({"apps/one/cm.yaml": "a: [1\n"}, "broken")
    seen = Converged(platform).observe()
    assert seen.state is State.BROKEN
    assert "apps/one/cm.yaml" in seen.expected


def test_an_error_is_final_only_after_forced_refreshes(platform: FakePlatform) -> None:
    platform.arrive()
    conditions = [{"type": "ComparisonError", "message": "app path does not exist"}]
    platform.view.put(platform.application("one", conditions=conditions))
    outcome = until(Converged(platform), within=60 * SECOND, clock=platform.clock)
    assert outcome.last.state is State.BROKEN
    assert "app path does not exist" in outcome.last.actual
    assert 10 * SECOND <= outcome.waited <= 13 * SECOND
    assert platform.engine.asked[:2] == [("one", True), ("one", True)]


def test_an_error_that_nobody_was_there_to_look_at_again_is_not_final(platform: FakePlatform) -> None:
    platform.arrive()
    shown = platform.application("one", conditions=[{"type": "InvalidSpecError", "message": "project is missing"}])
    platform.view.put(shown)

    def pending(name: str, *, hard: bool = False) -> None:
        platform.engine.asked.append((name, hard))
        annotations = {**dig(shown, "metadata", "annotations", default={}), REFRESH: "hard"}
        platform.view.put({**shown, "metadata": {**shown["metadata"], "annotations": annotations}})

    platform.engine.refresh = pending  # the engine is down: what is asked for stays on the object
    outcome = until(Converged(platform), within=60 * SECOND, clock=platform.clock)
    assert outcome.last.state is State.PENDING
    assert platform.engine.asked == [("one", True)]


def test_a_git_outage_is_waited_for(platform: FakePlatform) -> None:
    platform.arrive()
    conditions = [{"type": "ComparisonError", "message": "failed to list refs: dial tcp: connection refused"}]
    platform.view.put(platform.application("one", conditions=conditions))
    platform.clock.after(40 * SECOND, platform.arrive)
    outcome = until(Converged(platform), within=60 * SECOND, settle=SETTLE, clock=platform.clock)
    assert outcome.met
    assert timedelta(seconds=43) <= outcome.waited <= timedelta(seconds=45)


def test_refreshes_are_repeated_but_not_at_every_look(platform: FakePlatform) -> None:
    platform.arrive()
    platform.repo.commit({"README.md": "x\n"}, "next")
    probe = Converged(platform)
    for _ in range(20):
        probe.observe()
        platform.clock.sleep(0.5 * SECOND)
    assert 6 <= len(platform.engine.asked) <= 8  # two Applications, every 3 s
    assert probe.refreshes == len(platform.engine.asked)


def test_a_refresh_can_be_left_to_argo_cd(platform: FakePlatform) -> None:
    platform.arrive()
    platform.repo.commit({"README.md": "x\n"}, "next")
    assert not Converged(platform, nudge=False).observe().met
    assert platform.engine.asked == []


def test_one_application_can_be_looked_at_alone(platform: FakePlatform) -> None:
    platform.arrive()
    head = platform.repo.commit({"README.md": "x\n"}, "next")
    probe = Converged(platform, only="two")
    assert (probe.subject, probe.observe().state) == ("arrived(two)", State.PENDING)
    assert {name for name, _ in platform.engine.asked} == {"two"}
    platform.view.put(platform.application("two", head))
    seen = probe.observe()
    assert (seen.state, seen.done, seen.total, list(probe.moments)) == (State.MET, 1, 1, ["two"])
    assert "Application two" in seen.expected


def test_an_application_that_left_git_never_arrives(platform: FakePlatform) -> None:
    platform.arrive()
    probe = Converged(platform, only="two")
    platform.repo.commit({"argocd-apps/two.yaml": None}, "without two")
    assert (probe.observe().state, probe.observe().expected) == (State.BROKEN, "an Application two in Git")


@pytest.mark.parametrize("error", [ApiUnreachable("x"), ApiRefused(404, "NotFound", "x"), ProvisionFailed("x")])
def test_a_refresh_that_fails_is_no_crash(platform: FakePlatform, error: Exception) -> None:
    platform.arrive()
    platform.repo.commit({"README.md": "x\n"}, "next")
    platform.engine.error = error
    probe = Converged(platform)
    assert probe.observe().state is State.PENDING
    assert probe.refreshes == 0


def test_a_comparison_in_the_second_of_the_sync_is_asked_for_again_after_it(platform: FakePlatform) -> None:
    platform.arrive()
    second = platform.clock.utc().strftime("%Y-%m-%dT%H:%M:%SZ")
    state = {"phase": "Succeeded", "finishedAt": second, "syncResult": {"revision": platform.repo.head}}
    platform.view.put(platform.application("one", operationState=state, reconciledAt=second))
    probe = Converged(platform)
    assert not probe.observe().met
    assert platform.engine.asked == []
    platform.clock.sleep(1.1 * SECOND)
    probe.observe()
    assert platform.engine.asked == [("one", False)]


def test_what_a_view_has_to_watch(platform: FakePlatform) -> None:
    def find(group: str, kind: str) -> Kind:
        if kind == "ConfigMap":
            return CONFIG_MAPS
        raise ApiRefused(404, "NotFound", kind)

    platform.repo.commit({"apps/two/crd.yaml": CRD, "apps/two/widget.yaml": WIDGET, "apps/two/x.yaml": STRANGE}, "more")
    kinds = watched_kinds(find, desired_objects(platform.repo, platform.plan))
    assert kinds[: len(WATCHED)] == WATCHED
    # Not served yet: the widget is known from its CRD in Git, the CRD's own kind and the other are not known at all.
    assert kinds[len(WATCHED) :] == (CONFIG_MAPS, Kind("example.org", "v1", "Widget", "widgets", namespaced=True))


def test_the_latest_of_several_intervals() -> None:
    assert latest([Moment(1, 5), Moment(3, 4), Moment(None, 2)]) == Moment(3, 5)
    assert latest([Moment(None, 2)]) == Moment(None, 2)


def test_waiting_for_proof_widens_the_interval(platform: FakePlatform) -> None:
    clock, view = platform.clock, platform.view
    platform.arrive()
    probe = Converged(platform)
    view.put(platform.application("one", sync={"status": "OutOfSync", "revision": platform.repo.head}))
    probe.observe()
    otherwise_ns = clock.now_ns()
    clock.sleep(SECOND)
    view.put(
        platform.application("one", reconciledAt="2026-01-01T00:00:09Z")
    )  # the very second in which the sync ended
    assert not probe.observe().met
    clock.sleep(SECOND)
    view.put(platform.application("one"))
    seen = probe.observe()
    assert seen.met
    assert (seen.not_before_ns, seen.at_ns) == (otherwise_ns, clock.now_ns())


def test_why_a_sync_is_tried_again_and_again_is_told(platform: FakePlatform) -> None:
    platform.arrive()
    app = platform.application("one", operationState={
        "phase": "Running", "retryCount": 2, "message": "StatefulSet is invalid: immutable. Retrying attempt #2",
        "finishedAt": "2026-01-01T00:00:09Z",
    })  # fmt: skip
    app["operation"] = {"sync": {}}
    platform.view.put(app)
    platform.view.remove(API)
    seen = Converged(platform).observe()
    assert seen.state is State.PENDING
    assert seen.actual == "one: sync Running: StatefulSet is invalid: immutable. Retrying attempt #2"


def test_argo_cd_is_left_a_moment_to_compare_by_itself(platform: FakePlatform) -> None:
    platform.arrive()
    now = platform.clock.utc().replace(microsecond=0)
    state = {"phase": "Succeeded", "finishedAt": now.strftime("%Y-%m-%dT%H:%M:%SZ"),
             "syncResult": {"revision": platform.repo.head}}  # fmt: skip
    before = (now - timedelta(seconds=4)).strftime("%Y-%m-%dT%H:%M:%SZ")
    platform.view.put(platform.application("one", operationState=state, reconciledAt=before))
    probe = Converged(platform)
    for _ in range(4):
        probe.observe()
        assert platform.engine.asked == []
        platform.clock.sleep(0.6 * SECOND)
    platform.clock.sleep(SECOND)
    probe.observe()
    assert platform.engine.asked == [("one", False)]


def test_the_cause_is_told_after_three_seconds_and_ends_the_wait_where_it_is_final(platform: FakePlatform) -> None:
    platform.arrive()
    stuck = unready(platform.view.seen[API].object)
    stuck["metadata"]["uid"] = "uid-api"
    platform.view.put(stuck)
    refusal = 'pods "x" is forbidden: [maximum memory usage per Container is 128Mi, but limit is 256Mi]'
    platform.view.put({
        "apiVersion": "apps/v1", "kind": "ReplicaSet", "spec": {}, "metadata": {
            "name": "api-1", "namespace": "one", "uid": "uid-rs", "ownerReferences": [{"uid": "uid-api"}]},
        "status": {"conditions": [{"type": "ReplicaFailure", "status": "True", "message": refusal}]},
    })  # fmt: skip
    said: list[str] = []
    outcome = until(Converged(platform), within=60 * SECOND, clock=platform.clock,
                    on_change=lambda seen: said.append(seen.actual))  # fmt: skip
    assert outcome.last.state is State.BROKEN
    assert outcome.waited == 3 * SECOND
    assert said == [
        "one: Deployment one/api 0 of 1 replicas available",
        "one, wave 0: Deployment one/api 0 of 1 replicas available, because a LimitRange does not allow it: " + refusal,
    ]
    assert outcome.last.detail["chain"]["cause"] == "limit range"


def test_a_kind_that_comes_with_a_later_commit_is_observed(platform: FakePlatform) -> None:
    widgets = Kind("example.org", "v1", "Widget", "widgets", namespaced=True)
    platform.api = SimpleNamespace(kind=lambda group, kind: widgets)
    platform.arrive()
    probe = Converged(platform)
    assert probe.observe().met
    platform.repo.commit({"apps/two/widget.yaml": WIDGET}, "a widget")
    probe.observe()
    assert widgets in platform.view.kinds
    platform.arrive()
    assert probe.observe().total == 4
    assert probe.observe().met


def test_an_api_that_cannot_be_seen_is_told_as_such(platform: FakePlatform) -> None:
    platform.arrive()
    platform.view.answering = False
    assert Converged(platform).observe().detail == {UNREACHABLE: True}


def test_what_is_in_a_namespace_that_is_being_deleted_has_not_arrived(platform: FakePlatform) -> None:
    platform.arrive()
    space: Object = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "one"}, "spec": {}}
    platform.view.put(space)
    assert Converged(platform).observe().met
    space["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    platform.view.put(space)
    seen = Converged(platform).observe()
    assert seen.state is State.PENDING
    assert seen.actual == "namespace one is being deleted since 2026-01-01T00:00:00Z"
