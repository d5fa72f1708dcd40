"""A copy of a volume: when it was taken, where it is put back, and who is started anew."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from harness.core.clock import MILLISECOND
from harness.core.errors import (
    ApiUnreachable,
    CommandFailed,
    ConfigError,
    ProvisionFailed,
    ToolError,
    UnsafeTarget,
)
from harness.core.objects import Kind, Object
from harness.core.observation import State
from harness.core.timeline import Journal, Timeline
from harness.gitops.backup import VolumeCopy, copies_folder, copy_volume
from harness.testing import FakeClock

CLAIM = "shop/data-db-0"


def pod(name: str, uid: str, *, claim: str = "data-db-0", ready: bool = True) -> Object:
    volumes = [{"name": "data", "persistentVolumeClaim": {"claimName": claim}}, {"name": "config", "configMap": {}}]
    status = {"conditions": [{"type": "Ready", "status": str(ready)}]}
    return {"metadata": {"name": name, "namespace": "shop", "uid": uid}, "spec": {"volumes": volumes}, "status": status}


@dataclass
class Shop:
    """A platform with one claim, two Pods and two nodes."""

    run_dir: Path
    clock: FakeClock = field(default_factory=FakeClock)
    name: str = "dr-x"
    volume: str = "pvc-1"
    node: str = "agent-0"
    pods: list[Object] = field(default_factory=lambda: [pod("db-0", "1"), pod("web-0", "2", claim="other")])
    down: Exception | None = None
    ours: bool = True
    deleted: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.journal = Journal(Timeline(self.clock))
        self.clusters = SimpleNamespace(run_dir=self.run_dir)

    @property
    def api(self) -> Shop:
        if self.down is not None:
            raise self.down
        return self

    @property
    def cluster(self) -> Shop:
        return self

    @property
    def view(self) -> Any:
        raise ProvisionFailed("no cluster to look at")

    def assert_ours(self) -> None:
        if not self.ours:
            raise UnsafeTarget("ours", "another", "leave it")

    def nodes(self) -> tuple[Any, ...]:
        return tuple(SimpleNamespace(name=name, container=f"container of {name}") for name in ("server-0", "agent-0"))

    def get(self, kind: Kind, name: str, namespace: str | None = None) -> Object | None:
        if kind.kind == "PersistentVolumeClaim":
            return {"spec": {"volumeName": self.volume}, "status": {"phase": "Bound"}}
        expression = {"key": "kubernetes.io/hostname", "values": [self.node]}
        affinity = {"required": {"nodeSelectorTerms": [{"matchExpressions": [expression]}]}}
        return {"spec": {"hostPath": {"path": f"/storage/{name}"}, "nodeAffinity": affinity}}

    def list(self, kind: Kind, namespace: str) -> Any:
        assert (kind.kind, namespace) == ("Pod", "shop")
        return SimpleNamespace(items=tuple(self.pods))

    def delete(self, kind: Kind, name: str, namespace: str) -> None:
        assert (kind.kind, namespace) == ("Pod", "shop")
        self.deleted.append(name)

    def told(self, kind: str) -> Sequence[dict[str, Any]]:
        return [dict(e.data) for e in self.journal.timeline.history().of(kind)]


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    return Shop(tmp_path)


def copier(shop: Shop, *failures: Exception) -> Callable[[str, str, Path], int]:
    """Copies in 5 ms, after these failures."""
    left = list(failures)

    def copy(container: str, path: str, file: Path) -> int:
        shop.clock.sleep(5 * MILLISECOND)
        if left:
            raise left.pop(0)
        file.write_text(f"{container}:{path}")
        return file.stat().st_size

    return copy


def taken(shop: Shop) -> VolumeCopy:
    return copy_volume(shop, CLAIM, copy=copier(shop))  # type: ignore[arg-type]


def test_a_copy_knows_when_it_was_taken_and_is_for_our_eyes_only(shop: Shop) -> None:
    shop.clock.sleep(MILLISECOND)
    copy = taken(shop)
    assert (copy.begun_ns, copy.ended_ns) == (1_000_000, 6_000_000)
    assert copy.file.read_text() == "container of agent-0:/storage/pvc-1"
    assert copies_folder(shop).stat().st_mode & 0o777 == 0o700  # type: ignore[arg-type]
    (event,) = shop.told("volume.copied")
    assert (event["claim"], event["begun_us"], event["ended_us"]) == (CLAIM, 1000, 6000)


def test_a_second_copy_does_not_replace_the_first(shop: Shop) -> None:
    assert taken(shop).file != taken(shop).file


def test_a_copy_that_failed_is_told_and_taken_again_with_its_own_moment(shop: Shop) -> None:
    copy = copy_volume(shop, CLAIM, copy=copier(shop, ToolError("cut short")))  # type: ignore[arg-type]
    assert copy.begun_ns == 5_000_000
    assert [note["text"] for note in shop.told("note")] == ["copy 1 of at most 3 failed: cut short"]


def test_a_copy_that_fails_three_times_is_none(shop: Shop) -> None:
    failures = [CommandFailed(["docker", "cp"], 1, "", "gone")] * 3
    with pytest.raises(CommandFailed):
        copy_volume(shop, CLAIM, copy=copier(shop, *failures))  # type: ignore[arg-type]
    assert shop.told("volume.copied") == []


@pytest.mark.parametrize("claim", ["data", "a/b/c", "", "shop/", "/data"])
def test_a_claim_is_a_namespace_and_a_name(shop: Shop, claim: str) -> None:
    with pytest.raises(ConfigError, match="a volume claim as namespace/name"):
        copy_volume(shop, claim)  # type: ignore[arg-type]


def test_no_volume_no_copy(shop: Shop) -> None:
    shop.volume = ""
    with pytest.raises(ProvisionFailed, match="no volume is bound to claim shop/data-db-0"):
        taken(shop)


def test_a_node_that_is_not_ours_is_left_alone(shop: Shop) -> None:
    shop.node = "somebody-elses"
    with pytest.raises(ProvisionFailed, match="which is no node of dr-x"):
        taken(shop)


class TestPuttingItBack:
    def restored(self, shop: Shop) -> tuple[VolumeCopy, list[tuple[Any, ...]]]:
        copy, put = taken(shop), list[tuple[Any, ...]]()
        copy._put_in = lambda *where: put.append(where)
        shop.volume, shop.node = "pvc-9", "server-0"  # the new cluster
        copy.restore()
        return copy, put

    def test_into_the_volume_of_now_and_its_users_start_anew(self, shop: Shop) -> None:
        copy, put = self.restored(shop)
        assert put == [(copy.file, "container of server-0", "/storage/pvc-9")]
        assert shop.deleted == ["db-0"]
        (event,) = shop.told("volume.restored")
        assert (event["claim"], event["node"], event["restarted"]) == (CLAIM, "server-0", ["db-0"])

    def test_a_cluster_that_is_not_ours_is_not_written_to(self, shop: Shop) -> None:
        copy, put = taken(shop), list[tuple[Any, ...]]()
        copy._put_in = lambda *where: put.append(where)
        shop.ours = False
        with pytest.raises(UnsafeTarget):
            copy.restore()
        assert (put, shop.deleted) == ([], [])

    def test_it_is_reopened_by_a_new_pod_that_is_ready(self, shop: Shop) -> None:
        copy, _ = self.restored(shop)
        probe = copy.reopened
        assert probe.observe().actual == "no new Pod yet"
        shop.pods[0] = pod("db-0", "7", ready=False)
        assert probe.observe().actual == "db-0 is not ready"
        shop.clock.sleep(MILLISECOND)
        otherwise = shop.clock.now_ns() - 1_000_000
        shop.pods[0] = pod("db-0", "7")
        met = probe.observe()
        assert (met.state, met.at_ns, met.not_before_ns) == (State.MET, shop.clock.now_ns(), otherwise)
        shop.clock.sleep(MILLISECOND)
        assert probe.observe().at_ns == met.at_ns

    def test_before_it_is_put_back_nothing_is_reopened(self, shop: Shop) -> None:
        assert taken(shop).reopened.observe().actual == "the copy is not put back yet"

    def test_bound(self, shop: Shop) -> None:
        probe = taken(shop).bound
        assert probe.observe().state is State.MET
        shop.volume = ""
        assert probe.observe().actual == "no volume is bound to it"

    @pytest.mark.parametrize("error", [ApiUnreachable("refused\nat length"), ProvisionFailed("no cluster")])
    def test_an_api_that_is_away_is_pending(self, shop: Shop, error: Exception) -> None:
        probe = taken(shop).bound
        shop.down = error
        seen = probe.observe()
        assert (seen.state, seen.actual) == (State.PENDING, str(error).splitlines()[0])
        assert probe.signal is None
