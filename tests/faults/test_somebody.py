"""Somebody else at the same cluster: what they do, when, and that it is mended afterwards."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest

from harness.core.errors import ApiRefused, ConfigError, HealFailed
from harness.core.objects import Object, Ref, dig
from harness.core.observation import State
from harness.faults import settling, somebody
from harness.faults.somebody import LAST_APPLIED, LabelWasApplied, SomebodyDeletes, SomebodyPutsBack
from harness.testing import FakeProbe
from tests.stage import Stage, deployment, desired, kind
from tests.worlds import NOW

API, SETTINGS = Ref("apps", "Deployment", "shop", "api"), Ref("", "ConfigMap", "shop", "settings")


@dataclass
class Shop(Stage):
    """A Deployment and a ConfigMap in Git, live; self-heal is written into a diary."""

    diary: list[Any] = field(default_factory=list)
    engine: Any = None


@pytest.fixture
def shop(monkeypatch: pytest.MonkeyPatch) -> Shop:
    made = Shop(wanted=(desired(API, manifest=deployment(2, 1)), desired(SETTINGS)))
    made.engine = SimpleNamespace(namespace="argocd", set_self_heal=lambda *said: made.diary.append(said))
    made.deploy(replicas=2)
    annotations = {LAST_APPLIED: json.dumps({"metadata": {"name": "settings"}})}
    metadata = {"namespace": "shop", "name": "settings", "annotations": annotations, "resourceVersion": "5"}
    made.put({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata})
    monkeypatch.setattr(settling, "converged", lambda stage: FakeProbe(stage.clock, [(NOW, State.MET)]))
    return made


def live(shop: Shop, ref: Ref) -> Object:
    found = shop.api.get(kind(ref.group, ref.kind), ref.name, ref.namespace)
    assert found is not None
    return found


def scale(shop: Shop, replicas: int) -> None:
    live(shop, API)["spec"]["replicas"] = replicas


class TestDeletes:
    def test_it_is_gone_right_after_the_fault(self, shop: Shop) -> None:
        done = SomebodyDeletes(shop, "ConfigMap shop/settings")  # type: ignore[arg-type]
        done.begin()
        assert shop.api.deletions == []
        done.after_injection()
        assert shop.api.deletions == [{"name": "settings", "namespace": "shop"}]
        done.end()
        assert done.subject == "SomebodyDeletes(ConfigMap shop/settings)"

    def test_nonsense_is_refused(self, shop: Shop) -> None:
        with pytest.raises(ConfigError, match="an object as `Kind namespace/name`"):
            SomebodyDeletes(shop, "settings")  # type: ignore[arg-type]


class TestLabelWasApplied:
    def test_the_record_of_the_last_apply_claims_the_label_and_is_put_back(self, shop: Shop) -> None:
        before = live(shop, SETTINGS)["metadata"]["annotations"][LAST_APPLIED]
        done = LabelWasApplied(shop, "ConfigMap shop/settings", "owner")  # type: ignore[arg-type]
        done.begin()
        record = json.loads(live(shop, SETTINGS)["metadata"]["annotations"][LAST_APPLIED])
        assert record == {"metadata": {"name": "settings", "labels": {"owner": "applied"}}}
        assert dig(live(shop, SETTINGS), "metadata", "labels") is None  # so that there is no drift before the story
        done.after_injection()
        done.end()
        assert live(shop, SETTINGS)["metadata"]["annotations"][LAST_APPLIED] == before
        assert {p["manager"] for p in shop.api.patches} == {"somebody-else"}

    def test_an_object_without_such_a_record_is_told(self, shop: Shop) -> None:
        with pytest.raises(ConfigError, match="choose another one"):
            LabelWasApplied(shop, "Deployment shop/api", "owner").begin()  # type: ignore[arg-type]

    def test_what_git_does_not_describe_is_told(self, shop: Shop) -> None:
        with pytest.raises(ConfigError, match="an object that Git describes"):
            LabelWasApplied(shop, "Secret shop/api", "owner")  # type: ignore[arg-type]


class TestPutsBack:
    def test_instead_of_argo_it_is_fast_and_self_heal_is_off_meanwhile(self, shop: Shop) -> None:
        done = SomebodyPutsBack(shop, "Deployment shop/api", instead_of_argo=True)  # type: ignore[arg-type]
        done.begin()
        assert shop.diary == [("shop", False)]
        for _ in range(2):
            scale(shop, 5)
            done.after_injection()
            assert live(shop, API)["spec"]["replicas"] == 2
        done.end()
        assert shop.diary == [("shop", False), ("shop", True)]
        assert [p["manager"] for p in shop.api.patches] == ["somebody-else"] * 2

    def test_a_fault_that_is_another_is_none_of_their_business(self, shop: Shop) -> None:
        done = SomebodyPutsBack(shop, "Deployment shop/api")  # type: ignore[arg-type]
        done.begin()
        done.after_injection()
        done.end()
        assert (shop.diary, shop.api.patches) == ([], [])

    def test_otherwise_it_waits_until_argo_cd_shows_the_drift(
        self, shop: Shop, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        answers = iter(["", "Synced", "OutOfSync"])
        monkeypatch.setattr(somebody, "called", lambda *_: next(answers))
        done = SomebodyPutsBack(shop, "Deployment shop/api")  # type: ignore[arg-type]
        scale(shop, 5)
        done.after_injection()
        done.end()
        assert live(shop, API)["spec"]["replicas"] == 2
        assert list(answers) == []

    @pytest.mark.parametrize("trouble", ["never shown", "refused"])
    def test_one_who_could_not_is_told_so_that_the_twin_is_not_believed(
        self, shop: Shop, monkeypatch: pytest.MonkeyPatch, trouble: str
    ) -> None:
        monkeypatch.setattr(somebody, "called", lambda *_: "OutOfSync" if trouble == "refused" else "Synced")
        done = SomebodyPutsBack(shop, "Deployment shop/api")  # type: ignore[arg-type]
        scale(shop, 5)
        if trouble == "refused":
            shop.api.refuses = ApiRefused(403, "Forbidden", "not you")
        done.after_injection()
        with pytest.raises(HealFailed, match=r"not you|should be OutOfSync, is not yet"):
            done.end()

    def test_only_a_deployment_in_git_can_be_put_back(self, shop: Shop) -> None:
        with pytest.raises(ConfigError, match="a Deployment; found ConfigMap shop/settings"):
            SomebodyPutsBack(shop, "ConfigMap shop/settings")  # type: ignore[arg-type]
