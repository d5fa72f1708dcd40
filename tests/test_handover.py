"""What one drill hands over to the next: clean as it was, or the reason why not."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest

from harness import handover as module
from harness.core.errors import ApiUnreachable
from harness.core.observation import State
from harness.handover import Handover
from harness.testing import FakeClock, FakeProbe
from tests.worlds import NOW

CENSUS: dict[str, Any] = {
    "Node agent-0": {"uid": "n"},
    "ConfigMap shop/settings": {"uid": "c"},
    "Deployment shop/api": {"uid": "d"},
    "Pod shop/api-1": {"uid": "p", "owner": "r"},
}


def node(name: str = "agent-0", *, ready: str = "True", **spec: Any) -> Any:
    status = {"conditions": [{"type": "Ready", "status": ready}]}
    metadata = {"name": name}
    return SimpleNamespace(
        object={"apiVersion": "v1", "kind": "Node", "metadata": metadata, "spec": spec, "status": status}
    )


@dataclass
class World:
    """A platform as far as a handover looks at it."""

    clock: FakeClock = field(default_factory=FakeClock)
    tree: str = "tree-1"
    alive: bool = True
    cluster: Any = "first"
    there: Any = field(default_factory=lambda: dict(CENSUS))
    nodes: list[Any] = field(default_factory=lambda: [node()])
    state: State = State.MET
    restored: list[str] = field(default_factory=list)
    pods: list[Any] = field(default_factory=list)
    deleted: list[str] = field(default_factory=list)
    engine: Any = field(default_factory=lambda: SimpleNamespace(namespace="argocd"))

    @property
    def repo(self) -> Any:
        return SimpleNamespace(tree=self.tree, restore=lambda tree, _: self.restored.append(tree))

    @property
    def view(self) -> Any:
        return SimpleNamespace(all=lambda kind: self.nodes if kind.kind == "Node" else self.pods)

    @property
    def api(self) -> Any:
        return SimpleNamespace(delete=lambda kind, name, namespace: self.deleted.append(f"{namespace}/{name}"))

    @property
    def journal(self) -> Any:
        return SimpleNamespace(phase=lambda name: nullcontext(), add=lambda *_, **__: None)

    def on_change(self, *_: Any) -> None: ...

    def on_beat(self, *_: Any) -> None: ...


@dataclass
class Reading:
    world: World

    def read(self) -> Any:
        if isinstance(self.world.there, Exception):
            raise self.world.there
        return self.world.there


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    made = World()
    monkeypatch.setattr(module, "census", Reading)
    monkeypatch.setattr(module, "converged", lambda world: FakeProbe(world.clock, [(NOW, world.state)]))
    return made


@pytest.fixture
def handover(world: World) -> Handover:
    made = Handover(world)  # type: ignore[arg-type]
    made.begin()
    return made


def test_what_is_as_it_was_may_be_used_again(handover: Handover) -> None:
    assert handover.check() == ""


def test_what_comes_and_goes_with_others_is_not_left_behind(world: World, handover: Handover) -> None:
    world.there = CENSUS | {"Pod shop/api-2": {"uid": "x"}, "Secret shop/made": {"uid": "s", "owner": "d"}}
    assert handover.check() == ""


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"tree": "tree-2"}, "Git is not as it was"),
        ({"state": State.PENDING}, "not converged"),
        ({"nodes": []}, "0 Nodes"),
        ({"nodes": [node(ready="Unknown")]}, "agent-0"),
        ({"nodes": [node(unschedulable=True)]}, "agent-0"),
        ({"there": CENSUS | {"ConfigMap shop/mine": {"uid": "m"}}}, "left behind: ConfigMap shop/mine"),
        ({"there": ApiUnreachable("refused")}, "could not be looked at: refused"),
    ],
)
def test_what_is_not_as_it_was_is_told(world: World, handover: Handover, change: dict[str, Any], told: str) -> None:
    for name, value in change.items():
        setattr(world, name, value)
    assert told in handover.check()


def test_a_rebuilt_cluster_is_its_own_measure(world: World, handover: Handover) -> None:
    world.cluster, world.there = "second", CENSUS | {"ConfigMap shop/new": {"uid": "m"}}
    assert handover.check() == ""
    handover.begin()
    world.there = CENSUS
    assert handover.check() == ""


def test_no_cluster_leaves_nothing_to_look_at(world: World, handover: Handover) -> None:
    world.alive = False
    handover.begin()
    assert handover.check() == ""


def test_git_gets_its_first_tree_back(world: World, handover: Handover) -> None:
    world.tree = "tree-2"
    handover.restore_git()
    assert world.restored == ["tree-1"]


def pod(name: str, node: str, *, namespace: str = "shop", owner: str = "ReplicaSet") -> Any:
    metadata = {"name": name, "namespace": namespace, "ownerReferences": [{"kind": owner}]}
    return SimpleNamespace(object={"metadata": metadata, "spec": {"nodeName": node}})


def test_what_left_a_lost_agent_is_spread_anew(world: World) -> None:
    world.there = CENSUS | {"Node agent-1": {"uid": "n1"}}
    world.nodes = [node("agent-0"), node("agent-1")]
    world.pods = [pod(f"api-{n}", "agent-0") for n in range(6)]
    world.pods += [pod("db-0", "agent-1", owner="StatefulSet"), pod("cd", "agent-1", namespace="argocd")]
    handover = Handover(world)  # type: ignore[arg-type]
    handover.begin()
    assert handover.check() == ""
    assert world.deleted == ["shop/api-0", "shop/api-2", "shop/api-4"]


@pytest.mark.parametrize("spread", [["agent-0", "agent-1"], ["agent-0"]])
def test_what_is_spread_or_hardly_there_is_left_alone(world: World, spread: list[str]) -> None:
    world.there = CENSUS | {"Node agent-1": {"uid": "n1"}}
    world.nodes = [node("agent-0"), node("agent-1")]
    world.pods = [pod(f"api-{name}-{n}", name) for name in spread for n in range(3)]
    handover = Handover(world)  # type: ignore[arg-type]
    handover.begin()
    assert handover.check() == ""
    assert world.deleted == []
