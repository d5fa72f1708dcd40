"""Sabotages of the commit flow: what they change at an Application, and that it is put back."""

from __future__ import annotations

from typing import Any

import pytest

from harness.core.errors import ConfigError, HealFailed, InjectFailed
from harness.core.objects import Kind, Object
from harness.core.observation import State
from harness.faults import settling
from harness.faults.sabotage_git import SKIP, SyncPolicy, Unwatched, empty_allowed, prune_off, sync_by_hand
from harness.gitops.argocd import APPLICATION, REFRESH
from harness.testing import FakeProbe
from tests.stage import Stage
from tests.worlds import NOW


class Applications(Stage):
    """A stage with one Application; Argo CD takes a refresh up at once, or never."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.namespace, self.hears, self.refreshes = "argocd", True, 0
        self.app: Object = {
            "metadata": {"name": "shop", "annotations": {}},
            "spec": {"syncPolicy": {"automated": {"prune": True, "selfHeal": True}}},
        }
        self.api = self  # type: ignore[assignment]

    @property
    def engine(self) -> Applications:
        return self

    @property
    def automated(self) -> Any:
        return self.app["spec"]["syncPolicy"]["automated"]

    def get(self, kind: Kind, name: str, namespace: str) -> Object | None:
        assert (kind, namespace) == (APPLICATION, "argocd")
        return self.app if name == "shop" else None

    def patch(self, kind: Kind, name: str, namespace: str, body: Any) -> None:
        assert (kind, name, namespace) == (APPLICATION, "shop", "argocd")
        _merge(self.app, body)

    def refresh(self, name: str) -> None:
        self.refreshes += 1
        if not self.hears:
            self.app["metadata"]["annotations"][REFRESH] = "normal"


def _merge(into: Any, body: Any) -> None:
    for key, value in body.items():
        if value is None:
            into.pop(key, None)
        elif isinstance(value, dict):
            _merge(into.setdefault(key, {}), value)
        else:
            into[key] = value


@pytest.fixture
def stage(monkeypatch: pytest.MonkeyPatch) -> Applications:
    settles(monkeypatch, State.MET)
    return Applications()


def settles(monkeypatch: pytest.MonkeyPatch, state: State) -> None:
    # Convergence has tests of its own; here only what is made of its answer counts.
    monkeypatch.setattr(settling, "converged", lambda stage: FakeProbe(stage.clock, [(NOW, state)]))


@pytest.mark.parametrize(
    ("make", "during"),
    [
        (sync_by_hand, {"prune": True, "selfHeal": True, "enabled": False}),
        (prune_off, {"prune": False, "selfHeal": True}),
        (empty_allowed, {"prune": True, "selfHeal": True, "allowEmpty": True}),
    ],
)
def test_another_policy_for_the_time_of_the_story(stage: Applications, make: Any, during: Object) -> None:
    done: SyncPolicy = make(stage, "shop")
    done.begin()
    assert (stage.automated, stage.refreshes) == (during, 2)
    done.after_injection()
    assert stage.automated == during
    done.end()
    assert stage.automated == {"prune": True, "selfHeal": True}


def test_it_says_what_it_changes(stage: Applications) -> None:
    assert prune_off(stage, "shop").subject == "SyncPolicy(shop: prune False)"  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["blog", "shop"])
def test_an_application_without_automated_sync_has_no_such_policy(stage: Applications, name: str) -> None:
    del stage.app["spec"]["syncPolicy"]["automated"]
    done = prune_off(stage, name)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match=f"an Application {name} that syncs automatically; found (none|manual sync)"):
        done.begin()
    done.end()  # what was never changed is not put back
    assert stage.refreshes == 0


def test_an_argo_cd_that_takes_no_notice_is_told(stage: Applications) -> None:
    stage.hears = False
    with pytest.raises(InjectFailed, match=r"SyncPolicy\(shop: prune False\): Argo CD took no notice"):
        prune_off(stage, "shop").begin()  # type: ignore[arg-type]


def test_an_application_that_is_not_looked_at_is_looked_at_again(stage: Applications) -> None:
    done = Unwatched(stage, "shop")  # type: ignore[arg-type]
    done.begin()
    done.after_injection()
    assert stage.app["metadata"]["annotations"] == {SKIP: "true"}
    done.end()
    assert stage.app["metadata"]["annotations"] == {}
    with pytest.raises(ConfigError, match="an Application blog; found none"):
        Unwatched(stage, "blog").begin()  # type: ignore[arg-type]


@pytest.mark.parametrize("make", [prune_off, Unwatched])
def test_a_platform_that_does_not_settle_is_tainted(
    stage: Applications, monkeypatch: pytest.MonkeyPatch, make: Any
) -> None:
    settles(monkeypatch, State.BROKEN)
    done = make(stage, "shop")
    done.begin()
    with pytest.raises(HealFailed, match="after it was undone: BROKEN"):
        done.end()
    assert stage.tainted.startswith("after it was undone")


def test_without_a_cluster_nothing_needs_to_settle(stage: Applications, monkeypatch: pytest.MonkeyPatch) -> None:
    settles(monkeypatch, State.BROKEN)
    stage.alive = False
    settling.settle(stage)  # type: ignore[arg-type]
    assert stage.tainted == ""
