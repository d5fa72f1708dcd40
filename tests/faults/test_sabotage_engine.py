"""Sabotages of an engine: when each strikes, and that it is undone."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from harness.core.errors import CommandFailed, ConfigError, HealFailed
from harness.core.objects import Object, Ref
from harness.faults import sabotage_engine
from harness.faults.sabotage_engine import CutFromGit, ForgetRoots, HoldDown, RestartBystander
from tests.engineroom import COMPONENTS, NODE, Cluster, EngineRoom, pod
from tests.gitstage import GitStage
from tests.stage import desired


@pytest.fixture(autouse=True)
def settled(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """That the platform settles has tests of its own; here it is kept that somebody waited for it."""
    waited: list[Any] = []
    monkeypatch.setattr(sabotage_engine, "settle", lambda platform, *also: waited.append([p.subject for p in also]))
    return waited


@pytest.fixture
def room() -> EngineRoom:
    return EngineRoom()


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[GitStage]:
    made = GitStage(folder=tmp_path)
    made.cluster = Cluster()  # type: ignore[attr-defined]
    yield made
    made.repo.close()


# --- held down -------------------------------------------------------------------------------------------------------


def hold(room: EngineRoom, component: str = "redis") -> HoldDown:
    return HoldDown(room, component)  # type: ignore[arg-type]


@pytest.mark.parametrize("component", COMPONENTS)
def test_a_component_is_held_down_once_it_was_killed_and_let_up_at_the_end(
    room: EngineRoom, component: str, settled: list[Any]
) -> None:
    done = hold(room, component)
    done.begin()
    done.after_injection()  # of another fault: nobody was killed
    assert room.api.patches == []
    room.dies(component)
    done.after_injection()
    done.after_injection()
    assert [(p["name"], p["body"]) for p in room.api.patches] == [(f"argocd-{component}", {"spec": {"replicas": 0}})]
    done.end()
    assert room.api.patches[-1]["body"] == {"spec": {"replicas": 1}}
    assert settled == [["argocd ready"]]


def test_a_container_that_ended_counts_as_killed_though_nobody_has_counted_it_yet(room: EngineRoom) -> None:
    done = hold(room)
    done.begin()
    dead = pod("redis")
    dead["status"]["containerStatuses"][0]["state"] = {"terminated": {"exitCode": 137}}
    room.becomes(dead)
    done.after_injection()
    assert len(room.api.patches) == 1


def test_what_does_not_run_cannot_be_held_down(room: EngineRoom) -> None:
    room.api.objects = [o for o in room.api.objects if o["kind"] != "Pod"]
    with pytest.raises(ConfigError, match="a running redis of Argo CD; found none"):
        hold(room).begin()
    with pytest.raises(ConfigError, match="a component of Argo CD"):
        hold(room, "server")


def test_a_pod_that_stays_in_spite_of_it_is_told(room: EngineRoom) -> None:
    done = hold(room)
    done.begin()
    room.dies("redis")
    room.api.stuck = True  # type: ignore[attr-defined]
    with pytest.raises(ConfigError, match="no redis within a minute; found 1 left"):
        done.after_injection()


def test_what_was_never_held_down_is_not_scaled(room: EngineRoom, settled: list[Any]) -> None:
    done = hold(room)
    done.begin()
    done.end()
    assert room.api.patches == []
    assert len(settled) == 1


# --- a bystander -----------------------------------------------------------------------------------------------------


def bystander(name: str, owner: str) -> Object:
    made = pod(name)
    made["metadata"] |= {"namespace": "shop", "name": name, "ownerReferences": [{"name": owner}]}
    return made


def test_the_pods_of_one_deployment_are_deleted_once(room: EngineRoom, settled: list[Any]) -> None:
    room.wanted = (desired(Ref("apps", "Deployment", "shop", "api")),)
    room.api.objects += [bystander("api-7d-a", "api-7d"), bystander("web-1", "web"), bystander("apix-1", "apix-9c")]
    done = RestartBystander(room, "shop/api")  # type: ignore[arg-type]
    done.begin()
    assert room.api.deletions == []
    done.after_injection()
    room.api.objects.append(bystander("api-7d-b", "api-7d"))
    done.after_injection()
    assert [d["name"] for d in room.api.deletions] == ["api-7d-a"]
    assert done.names == "Pod shop/api-"
    done.end()
    assert settled == [["argocd ready"]]


def test_a_bystander_must_be_there(room: EngineRoom) -> None:
    with pytest.raises(ConfigError, match="a Deployment shop/api in Git; found none"):
        RestartBystander(room, "shop/api")  # type: ignore[arg-type]
    room.wanted = (desired(Ref("apps", "Deployment", "shop", "api")),)
    with pytest.raises(ConfigError, match="a Pod of shop/api; found none"):
        RestartBystander(room, "shop/api").after_injection()  # type: ignore[arg-type]


# --- roots -----------------------------------------------------------------------------------------------------------


def test_roots_are_forgotten_by_those_who_apply_them_and_by_nobody_else(
    stage: GitStage, monkeypatch: pytest.MonkeyPatch, settled: list[Any]
) -> None:
    before, objects, applied = stage.plan, stage.desired(), list[Any]()
    monkeypatch.setattr(stage.api, "apply_many", applied.append, raising=False)
    done = ForgetRoots(stage)  # type: ignore[arg-type]
    done.begin()
    assert stage.plan.root_objects(stage.repo) == ()
    assert [getattr(stage.plan, f.name) for f in fields(before)] == [getattr(before, f.name) for f in fields(before)]
    assert stage.desired() == objects
    done.after_injection()
    assert applied == []
    done.end()
    assert stage.plan is before
    assert [o["metadata"]["name"] for o in applied[0]] == ["shop", "web"]
    assert len(settled) == 1


# --- the way to Git --------------------------------------------------------------------------------------------------


def test_every_node_is_cut_off_once_and_joined_again(stage: GitStage, settled: list[Any]) -> None:
    cluster: Cluster = stage.cluster  # type: ignore[attr-defined]
    port = stage.repo.url.rpartition(":")[2].partition("/")[0]
    done = CutFromGit(stage)  # type: ignore[arg-type]
    done.begin()
    done.after_injection()  # of another fault: the server is up
    assert cluster.ran == []
    stage.repo.stop_serving()
    done.after_injection()
    done.after_injection()
    rule = ("FORWARD", "-d", "127.0.0.1", "-p", "tcp", "--dport", port, "-j", "REJECT")
    assert cluster.ran == [(n, "iptables", "-w", "5", "-I", *rule) for n in (NODE, "k3d-x-server-0")]
    done.end()
    assert cluster.ran[2:] == [(n, "iptables", "-w", "5", "-D", *rule) for n in ("k3d-x-server-0", NODE)]
    assert len(settled) == 1


def test_what_the_story_committed_and_could_not_take_back_is_taken_back(stage: GitStage) -> None:
    tree = stage.repo.git.out("rev-parse", "HEAD^{tree}")
    done = CutFromGit(stage)  # type: ignore[arg-type]
    done.begin()
    stage.repo.stop_serving()
    for number in (1, 2):
        stage.repo.commit({"README.md": f"{number}\n"}, "while Git is down")
    done.end()
    assert stage.repo.git.out("rev-parse", "HEAD^{tree}") == tree
    assert stage.repo.serving


def test_a_way_that_stays_cut_is_told(stage: GitStage, monkeypatch: pytest.MonkeyPatch) -> None:
    done = CutFromGit(stage)  # type: ignore[arg-type]
    done.begin()
    stage.repo.stop_serving()
    done.after_injection()

    def fails(name: str, argv: list[str], **_: Any) -> None:
        raise CommandFailed(argv, 1, "", "Bad rule")

    monkeypatch.setattr(stage.cluster, "exec", fails)  # type: ignore[attr-defined]
    with pytest.raises(HealFailed, match=f"still cut on {NODE}, k3d-x-server-0"):
        done.end()


def test_without_a_cluster_there_is_no_way_to_mend(stage: GitStage) -> None:
    done = CutFromGit(stage)  # type: ignore[arg-type]
    done.begin()
    stage.repo.stop_serving()
    done.after_injection()
    stage.alive = False
    done.end()
    assert len(stage.cluster.ran) == 2  # type: ignore[attr-defined]
