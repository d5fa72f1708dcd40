"""Sabotage of node drills: what it does, to whom, and that it is undone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest
import yaml

from harness.core.errors import ConfigError, InjectFailed
from harness.core.objects import Ref
from harness.faults import sabotage_nodes
from harness.faults.sabotage_nodes import LABEL, CordonNode, KillBystander, PinToNode, ReplacePodOn
from tests.nodestage import AGENT, OTHER, SERVER, NodeStage, node, pod

PATH = "apps/api.yaml"
MANIFEST = "kind: Deployment\nspec:\n  template:\n    spec:\n      containers: []\n"


@dataclass
class Saboteurs(NodeStage):
    """A stage with a repository of one Deployment."""

    diary: list[Any] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__post_init__()
        self.wanted = (SimpleNamespace(ref=Ref("apps", "Deployment", "shop", "api"), path=PATH),)
        self.api.objects = [node(AGENT, self.now())]

    @property
    def repo(self) -> Saboteurs:
        return self

    def read(self, path: str) -> str:
        assert path == PATH
        return MANIFEST

    def commit(self, changes: dict[str, str], message: str) -> str:
        self.diary.append(("commit", yaml.safe_load(changes[PATH])))
        return "cafe"

    def revert(self, commit: str) -> None:
        self.diary.append(("revert", commit))


@pytest.fixture
def stage(monkeypatch: pytest.MonkeyPatch) -> Saboteurs:
    made = Saboteurs()
    monkeypatch.setattr(sabotage_nodes, "settle", lambda platform: platform.diary.append("settle"))
    return made


def choose(_: Any) -> str:
    return AGENT


Make = Callable[..., Any]


def labels(stage: Saboteurs) -> dict[str, Any]:
    found: dict[str, Any] = stage.api.objects[0]["metadata"].get("labels", {})
    return found


def test_a_workload_is_pinned_by_a_label_that_git_does_not_know(stage: Saboteurs) -> None:
    pin = PinToNode(stage, choose, PATH)  # type: ignore[arg-type]
    pin.begin()
    assert labels(stage) == {LABEL: "yes"}
    manifest = stage.diary[1][1]
    assert manifest["spec"]["template"]["spec"] == {"containers": [], "nodeSelector": {LABEL: "yes"}}
    assert [stage.diary[0], stage.diary[2]] == ["settle", "settle"]
    pin.end()
    assert stage.diary[3:] == [("revert", "cafe"), "settle"]
    assert labels(stage).get(LABEL) is None
    assert pin.names == "Deployment shop/api"


def test_a_label_that_went_with_its_node_need_not_be_removed(stage: Saboteurs) -> None:
    pin = PinToNode(stage, choose, PATH)  # type: ignore[arg-type]
    pin.begin()
    stage.api.objects.clear()
    stage.api.refuses = sabotage_nodes.ApiRefused(404, "NotFound", AGENT)
    pin.end()


def test_only_a_manifest_of_one_deployment_can_be_pinned(stage: Saboteurs) -> None:
    with pytest.raises(ConfigError, match=r"one Deployment at apps/web\.yaml"):
        PinToNode(stage, choose, "apps/web.yaml")  # type: ignore[arg-type]


def test_a_node_is_cordoned_after_the_harm_and_not_before(stage: Saboteurs) -> None:
    cordon = CordonNode(stage, choose)  # type: ignore[arg-type]
    cordon.begin()
    assert stage.api.patches == []
    cordon.after_injection()
    assert stage.api.patches[-1]["body"] == {"spec": {"unschedulable": True}}
    cordon.end()
    assert stage.api.patches[-1]["body"] == {"spec": {"unschedulable": False}}


def test_a_pod_of_the_node_is_deleted_by_force(stage: Saboteurs) -> None:
    for made in (pod("a", "api", OTHER), pod("b", "api", AGENT, phase="Pending"), pod("c", "api", AGENT)):
        stage.api.objects.append(made)
        stage.show(made)
    replace = ReplacePodOn(stage, choose)  # type: ignore[arg-type]
    replace.begin()
    replace.after_injection()
    assert [(d["name"], d["grace"].total_seconds()) for d in stage.api.deletions] == [("c", 0.0)]


def test_a_bystander_is_killed_on_another_node(stage: Saboteurs) -> None:
    for name, on in (("a", SERVER), ("b", OTHER)):
        made = pod(name, "api", on, began=stage.now())
        made["status"]["containerStatuses"][0]["containerID"] = f"containerd://{name}123"
        stage.show(made)
    KillBystander(stage, besides=SERVER).after_injection()  # type: ignore[arg-type]
    (verb, where, *argv), = stage.docker.diary  # fmt: skip
    assert (verb, where, argv[0], argv[-1]) == ("exec", OTHER, "sh", "b123")


def test_without_a_victim_nothing_is_proved(stage: Saboteurs) -> None:
    with pytest.raises(InjectFailed, match="no running Pod of a Deployment on"):
        KillBystander(stage, besides=SERVER).after_injection()  # type: ignore[arg-type]
    stage.show(pod("a", "api", AGENT))
    with pytest.raises(InjectFailed, match="has no running container to kill"):
        KillBystander(stage, besides=SERVER).after_injection()  # type: ignore[arg-type]
