"""Sabotage of what is said about losses: half a copy, writes sent again, an object that is in Git after all."""

from __future__ import annotations

import io
import tarfile
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from harness.core.clock import SystemClock
from harness.core.errors import ApiRefused, ConfigError, HarnessError
from harness.core.timeline import Journal, Timeline
from harness.faults import sabotage_data
from harness.faults.sabotage_data import CopiesCutShort, PutIntoGit, WritesReplayed, cut_short
from harness.testing import FakeClock


def tar(path: Path, **files: bytes) -> Path:
    with tarfile.open(path, "w") as archive:
        folder = tarfile.TarInfo(".")
        folder.type = tarfile.DIRTYPE
        archive.addfile(folder)
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size, member.uid, member.mode = len(content), 65532, 0o640
            archive.addfile(member, io.BytesIO(content))
    return path


def test_half_of_each_file_is_left_with_its_owner(tmp_path: Path) -> None:
    copy = tar(tmp_path / "copy.tar", log=b"one\ntwo\nten\nsix\n", empty=b"")
    cut_short(copy)
    with tarfile.open(copy) as found:
        log = found.getmember("log")
        held = found.extractfile(log)
        assert held is not None
        assert held.read() == b"one\ntwo\n"
        assert (log.uid, log.mode) == (65532, 0o640)
        assert found.getnames() == [".", "log", "empty"]


def test_every_copy_of_the_run_is_cut_short_once_the_fault_has_landed(tmp_path: Path) -> None:
    (tmp_path / "copies").mkdir()
    copy = tar(tmp_path / "copies" / "a.tar", log=b"12345678")
    before = copy.read_bytes()
    sabotage = CopiesCutShort(SimpleNamespace(clusters=SimpleNamespace(run_dir=tmp_path)))  # type: ignore[arg-type]
    sabotage.begin()
    assert copy.read_bytes() == before
    sabotage.after_injection()
    with tarfile.open(copy) as found:
        assert found.getmember("log").size == 4
    sabotage.end()


def test_without_a_copy_there_is_nothing_to_sabotage(tmp_path: Path) -> None:
    sabotage = CopiesCutShort(SimpleNamespace(clusters=SimpleNamespace(run_dir=tmp_path)))  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="a story that copies a volume"):
        sabotage.after_injection()


@dataclass
class Shop:
    """A platform whose workload takes rows after some refusals."""

    refusals: int = 0
    alive: bool = True
    taken: list[str] = field(default_factory=list)
    clock: SystemClock = field(default_factory=SystemClock)

    def __post_init__(self) -> None:
        self.journal = Journal(Timeline(FakeClock()))
        self.journal.add("ledger.acknowledged", id="canary", target="shop/db", rows=[[1, 100, 110], [2, 200, 210]])

    @property
    def api(self) -> Shop:
        return self

    def raw(self, path: str, *, method: str, body: bytes) -> str:
        assert (method, path) == ("POST", "/api/v1/namespaces/shop/pods/db-0:5432/proxy/append")
        if self.refusals:
            self.refusals -= 1
            raise ApiRefused(503, "", "not ready")
        self.taken.append(body.decode())
        return "1\n"


def replayed(shop: Shop) -> WritesReplayed:
    return WritesReplayed(shop, "shop/db-0:5432")  # type: ignore[arg-type]


@pytest.mark.parametrize("refusals", [0, 1])
def test_the_acknowledged_rows_are_sent_again_until_they_are_taken(refusals: int) -> None:
    shop = Shop(refusals)
    sabotage = replayed(shop)
    sabotage.begin()
    assert shop.taken == []
    sabotage.after_injection()
    assert sabotage._thread is not None
    sabotage._thread.join(10)
    sabotage.end()
    assert shop.taken == ["drill canary 1 100", "drill canary 2 200"]


def test_what_was_never_sent_again_is_no_sabotage() -> None:
    sabotage = replayed(Shop(alive=False))
    sabotage.after_injection()
    with pytest.raises(HarnessError, match="no write could be replayed: the new cluster was never there"):
        sabotage.end()
    assert sabotage._thread is not None
    assert not sabotage._thread.is_alive()


def test_a_sabotage_that_never_came_to_its_turn_is_ended_quietly() -> None:
    replayed(Shop()).end()


def test_an_object_is_in_git_from_the_fault_to_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    diary: list[Any] = []

    def commit(changes: Any, message: str) -> str:
        diary.append((changes, message))
        return "cafe"

    repo = SimpleNamespace(commit=commit, revert=lambda commit: diary.append(("revert", commit)))
    monkeypatch.setattr(sabotage_data, "settle", lambda platform: diary.append("settled"))
    sabotage = PutIntoGit(SimpleNamespace(repo=repo), "apps/notes.yaml", "kind: ConfigMap")  # type: ignore[arg-type]
    sabotage.begin()
    sabotage.end()
    assert diary == []
    sabotage.after_injection()
    assert diary == [({"apps/notes.yaml": "kind: ConfigMap"}, "add apps/notes.yaml")]
    sabotage.end()
    assert diary[1:] == [("revert", "cafe"), "settled"]
