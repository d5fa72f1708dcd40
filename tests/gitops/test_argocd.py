"""The engine port, on an API that is played."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from harness.cluster.live_store import Seen
from harness.core.clock import SECOND
from harness.core.errors import ApiUnreachable, ConfigError, ProvisionFailed
from harness.core.objects import Kind, Object, Ref, ref_of
from harness.core.observation import State
from harness.core.profile import FAST
from harness.effects.waiting import Signal
from harness.gitops.argocd import APPLICATION, DEPLOYMENT, STATEFUL_SET, ArgoCd
from harness.testing import FakeClock

from .conftest import write
from .test_argocd_manifests import MANIFESTS


@dataclass
class Image:
    reference: str


class Images:
    """The part of an image set that the engine needs."""

    argocd, redis = Image("drill/argocd:3"), Image("drill/redis:7")

    def __init__(self, folder: Path) -> None:
        self.argocd_manifests = folder


class FakeApi:
    """Keeps objects by reference; merges patches."""

    def __init__(self) -> None:
        self.objects: dict[Ref, Object] = {}
        self.away = False
        self.deaf = False  # whether Argo CD leaves refresh requests lying
        self.refreshes = 0
        self.syncs: list[str] = []

    def apply_many(self, objects: Any, *, namespace: str | None = None) -> tuple[Object, ...]:
        for obj in copy.deepcopy(list(objects)):
            if obj["kind"] not in ("Namespace", "CustomResourceDefinition"):
                obj["metadata"].setdefault("namespace", namespace)
            self.objects[ref_of(obj)] = obj
        return tuple(self.objects.values())

    def get(self, kind: Kind, name: str, namespace: str | None = None) -> Object | None:
        if self.away:
            raise ApiUnreachable("connection refused")
        found = copy.deepcopy(self.objects.get(Ref(kind.group, kind.kind, namespace or "", name)))
        if found and kind == APPLICATION and not self.deaf:
            live = self.objects[ref_of(found)]["metadata"].get("annotations", {})
            status = self.objects[ref_of(found)].setdefault("status", {})
            if operation := self.objects[ref_of(found)].pop("operation", None):
                self.syncs.append(operation["sync"]["revision"])
                status["operationState"] = {"phase": "Succeeded", "syncResult": dict(operation["sync"])}
            self.refreshes += live.pop("argocd.argoproj.io/refresh", None) is not None  # until somebody looks again
        return found

    def list(self, kind: Kind, namespace: str | None = None, labels: str = "") -> Any:
        found = tuple(o for r, o in self.objects.items() if (r.group, r.kind) == (kind.group, kind.kind))
        return type("Listing", (), {"items": found})

    def patch(self, kind: Kind, name: str, namespace: str | None, body: Any) -> Object:
        obj = self.objects[Ref(kind.group, kind.kind, namespace or "", name)]
        _merge(obj, body)
        return obj

    def become_ready(self) -> None:
        for ref, obj in self.objects.items():
            if ref.kind == "CustomResourceDefinition":
                obj["status"] = {"conditions": [{"type": "Established", "status": "True"}]}
            elif ref.kind == "Deployment":
                obj["status"] = {"observedGeneration": 0, "replicas": 1, "updatedReplicas": 1, "availableReplicas": 1}


def _merge(into: Object, body: Any) -> None:
    for key, value in body.items():
        if isinstance(value, dict):
            _merge(into.setdefault(key, {}), value)
        else:
            into[key] = value


class FakeView:
    """Shows Deployments as of now, like a LiveView."""

    def __init__(self, api: FakeApi, clock: FakeClock) -> None:
        self.api, self.clock, self.signal = api, clock, Signal(clock)
        self.kinds = (DEPLOYMENT, STATEFUL_SET)

    def get(self, ref: Ref) -> Seen | None:
        obj = self.api.objects.get(ref)
        return Seen(obj, 7, 3) if obj else None


@pytest.fixture
def engine(tmp_path: Path) -> ArgoCd:
    write(tmp_path, {"core-install.yaml": MANIFESTS})
    made = ArgoCd(FakeApi(), clock=FakeClock())
    made.install(Images(tmp_path), FAST, settings={"a": "b"})
    return made


def fake(engine: ArgoCd) -> FakeApi:
    assert isinstance(engine.api, FakeApi)
    return engine.api


def application(engine: ArgoCd, automated: Object | None) -> Ref:
    ref = Ref("argoproj.io", "Application", "argocd", "shop")
    fake(engine).objects[ref] = {
        "apiVersion": "argoproj.io/v1alpha1", "kind": "Application",
        "metadata": {"name": "shop", "namespace": "argocd"}, "spec": {"syncPolicy": {"automated": automated}},
        "status": {"sync": {"revision": "b"},
                   "operationState": {"phase": "Succeeded", "syncResult": {"revision": "b"}}},
    }  # fmt: skip
    return ref


def test_everything_namespaced_goes_to_argo_cds_namespace(engine: ArgoCd) -> None:
    assert {ref.namespace for ref in fake(engine).objects} == {"", "argocd"}
    assert Ref("", "Namespace", "", "argocd") in fake(engine).objects


def test_what_was_changed_is_data(engine: ArgoCd) -> None:
    assert any("drill/argocd:3" in str(d) for d in engine.deviations)


def test_ready_before_install_is_a_mistake() -> None:
    with pytest.raises(ConfigError, match="install"):
        ArgoCd(FakeApi(), clock=FakeClock()).ready()


def test_not_ready_names_what_is_missing(engine: ArgoCd) -> None:
    probe = engine.ready()
    first = probe.observe()
    assert first.state is State.PENDING
    assert first.actual == "CustomResourceDefinition applications.argoproj.io is not Established"
    assert (first.done, first.total) == (1, 4)  # the AppProject


def test_ready_when_all_is_there(engine: ArgoCd) -> None:
    probe = engine.ready()
    probe.observe()
    fake(engine).become_ready()
    engine.clock.sleep(5 * SECOND)
    seen = probe.observe()
    assert (seen.state, seen.done, seen.at_ns, seen.not_before_ns) == (State.MET, 4, 5 * 10**9, 0)


def test_rollouts_are_read_from_the_view(engine: ArgoCd) -> None:
    view = FakeView(fake(engine), FakeClock())
    probe = engine.ready(view)
    assert probe.signal is view.signal
    fake(engine).become_ready()
    assert probe.observe().met
    fake(engine).objects[Ref("apps", "Deployment", "argocd", "argocd-redis")]["status"]["availableReplicas"] = 0
    assert probe.observe().actual == "Deployment argocd/argocd-redis 0 of 1 replicas available"


def test_an_api_that_is_away_is_pending(engine: ArgoCd) -> None:
    fake(engine).away = True
    assert engine.ready().observe().state is State.PENDING


def test_a_rollout_that_failed_is_final(engine: ArgoCd) -> None:
    fake(engine).become_ready()
    fake(engine).objects[Ref("apps", "Deployment", "argocd", "argocd-redis")]["status"] = {
        "observedGeneration": 0, "conditions": [{"type": "Progressing", "status": "False",
                                                 "reason": "ProgressDeadlineExceeded"}],
    }  # fmt: skip
    assert engine.ready().observe().state is State.BROKEN


def test_refresh_sets_the_annotation(engine: ArgoCd) -> None:
    ref = application(engine, {})
    engine.refresh("shop")
    assert fake(engine).objects[ref]["metadata"]["annotations"] == {"argocd.argoproj.io/refresh": "normal"}
    engine.refresh("shop", hard=True)
    assert fake(engine).objects[ref]["metadata"]["annotations"] == {"argocd.argoproj.io/refresh": "hard"}
    assert engine.applications() == (fake(engine).objects[ref],)
    assert APPLICATION.plural == "applications"


def test_self_heal_goes_off_and_on_and_the_rest_stays(engine: ArgoCd) -> None:
    ref = application(engine, {"prune": True, "selfHeal": True})
    engine.set_self_heal("shop", False)
    assert fake(engine).objects[ref]["spec"]["syncPolicy"]["automated"] == {"prune": True, "selfHeal": False}
    assert fake(engine).refreshes == 2
    engine.set_self_heal("shop", True)
    assert fake(engine).objects[ref]["spec"]["syncPolicy"]["automated"] == {"prune": True, "selfHeal": True}


def test_self_heal_without_automated_sync_is_a_mistake(engine: ArgoCd) -> None:
    application(engine, None)
    with pytest.raises(ConfigError, match="manual sync"):
        engine.set_self_heal("shop", False)
    with pytest.raises(ConfigError, match="none"):
        engine.set_self_heal("nobody", False)


def test_self_heal_goes_off_only_once_the_present_commit_was_synced(engine: ArgoCd) -> None:
    ref = application(engine, {"selfHeal": True})
    fake(engine).objects[ref]["status"]["sync"]["revision"] = "c"  # a commit that did not touch it
    engine.set_self_heal("shop", True)
    assert fake(engine).syncs == []
    engine.set_self_heal("shop", False)
    assert fake(engine).syncs == ["c"]
    engine.set_self_heal("shop", False)
    assert fake(engine).syncs == ["c"]


def test_self_heal_that_argo_cd_takes_no_notice_of(engine: ArgoCd) -> None:
    application(engine, {"selfHeal": True})
    fake(engine).deaf = True
    with pytest.raises(ProvisionFailed, match="took no notice"):
        engine.set_self_heal("shop", False)
