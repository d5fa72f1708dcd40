"""Node-local volumes: where the data of a claim is, and tars out of a node and into one."""

from __future__ import annotations

import io
import secrets
import tarfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from harness.cluster.docker import Docker as RealDocker
from harness.cluster.volumes import LocalVolume, copy_in, copy_out, local_volume
from harness.core.clock import MINUTE
from harness.core.errors import CommandFailed, ProvisionFailed, ToolError
from harness.core.objects import Kind, Object
from tests.cluster import tiny

FOLDER = "/var/lib/rancher/k3s/storage/pvc-1_shop_data-db-0"


def volume(node: str = "agent-0", key: str = "kubernetes.io/hostname", where: str = "matchExpressions",
           **source: Any) -> Object:  # fmt: skip
    terms = [{where: [{"key": key, "operator": "In", "values": [node]}]}]
    affinity = {"required": {"nodeSelectorTerms": terms}}
    return {"spec": {"nodeAffinity": affinity, **(source or {"hostPath": {"path": FOLDER}})}}


@dataclass
class Api:
    """One claim, and its volume where it is bound to one."""

    pv: Object | None = None
    phase: str = "Bound"

    def get(self, kind: Kind, name: str, namespace: str | None = None) -> Object | None:
        if kind.kind == "PersistentVolumeClaim":
            assert (namespace, name) == ("shop", "data-db-0")
            return {"spec": {"volumeName": "pvc-1"} if self.pv else {}, "status": {"phase": self.phase}}
        return self.pv


@pytest.mark.parametrize(
    "pv",
    [volume(), volume(local={"path": FOLDER}), volume(key="metadata.name", where="matchFields")],
    ids=["hostPath", "local", "by-field"],
)
def test_a_folder_of_one_node(pv: Object) -> None:
    assert local_volume(Api(pv), "shop", "data-db-0") == LocalVolume("shop/data-db-0", "pvc-1", "agent-0", FOLDER)


@pytest.mark.parametrize("api", [Api(), Api(volume(), "Pending")], ids=["no-volume", "pending"])
def test_none_while_nothing_is_bound(api: Api) -> None:
    assert local_volume(api, "shop", "data-db-0") is None


def test_no_claim_no_volume() -> None:
    assert local_volume(SimpleNamespace(get=lambda *_: None), "shop", "data-db-0") is None


@pytest.mark.parametrize(
    "pv", [volume(nfs={"server": "nas"}), {"spec": {"hostPath": {"path": "/x"}}}, volume(key="zone")]
)
def test_a_volume_that_is_elsewhere_cannot_be_copied(pv: Object) -> None:
    with pytest.raises(ProvisionFailed, match="pvc-1 of claim shop/data-db-0 is no folder of one node"):
        local_volume(Api(pv), "shop", "data-db-0")


class Inlet(io.BytesIO):
    """A pipe into a command, whose bytes are kept when it is closed. `breaks`: the command has ended already."""

    def __init__(self, breaks: bool) -> None:
        super().__init__()
        self.breaks, self.held = breaks, b""

    def write(self, data: Any) -> int:
        if self.breaks:
            raise BrokenPipeError
        return super().write(data)

    def close(self) -> None:
        self.held = self.held or self.getvalue()
        super().close()


@dataclass
class Docker:
    """Stands in for `docker cp`: says `out`, and keeps what it is told."""

    out: bytes = b""
    returncode: int = 0
    breaks: bool = False
    argv: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.stdin = Inlet(self.breaks)

    @contextmanager
    def __call__(self, argv: Sequence[str], *, timeout: Any) -> Iterator[Any]:
        assert timeout == MINUTE
        self.argv = list(argv)
        yield SimpleNamespace(stdout=io.BytesIO(self.out), stdin=self.stdin, wait=lambda: self.returncode)


def tar(**files: bytes) -> bytes:
    held = io.BytesIO()
    with tarfile.open(fileobj=held, mode="w") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size, member.uid, member.mode = len(content), 65532, 0o644
            archive.addfile(member, io.BytesIO(content))
    return held.getvalue()


def test_out_of_a_node(tmp_path: Path) -> None:
    docker, target = Docker(tar(log=b"one\ntwo\n")), tmp_path / "copy.tar"
    size = copy_out("agent-0", FOLDER, target, streaming=docker)
    assert docker.argv == ["docker", "cp", f"agent-0:{FOLDER}/.", "-"]
    assert target.read_bytes() == docker.out
    assert size == len(docker.out)
    assert target.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    ("docker", "error", "sentence"),
    [
        (Docker(b"", 1), CommandFailed, "is the node there, and the folder in it"),
        (Docker(tar(log=b"x" * 4000)[:2000]), ToolError, "no whole tar|cut short"),
        (Docker(b"nonsense" * 100), ToolError, "no whole tar"),
        (Docker(b""), ToolError, "no whole tar"),
    ],
    ids=["refused", "cut-short", "nonsense", "empty"],
)
def test_a_copy_that_is_none_is_never_kept_in_silence(
    tmp_path: Path, docker: Docker, error: type[Exception], sentence: str
) -> None:
    with pytest.raises(error, match=sentence):
        copy_out("agent-0", FOLDER, tmp_path / "copy.tar", streaming=docker)


def test_into_a_node(tmp_path: Path) -> None:
    docker, source = Docker(), tmp_path / "copy.tar"
    source.write_bytes(tar(log=b"one\n"))
    copy_in(source, "agent-1", FOLDER, streaming=docker)
    assert docker.argv == ["docker", "cp", "-", f"agent-1:{FOLDER}"]
    assert docker.stdin.held == source.read_bytes()


@pytest.mark.parametrize("breaks", [False, True])
def test_what_docker_does_not_take_is_an_error(tmp_path: Path, breaks: bool) -> None:
    source = tmp_path / "copy.tar"
    source.write_bytes(tar(log=b"one\n"))
    with pytest.raises(CommandFailed, match="docker could not copy"):
        copy_in(source, "agent-1", FOLDER, streaming=Docker(returncode=1, breaks=breaks))


@pytest.mark.cluster
def test_what_went_into_a_real_volume_comes_out_of_it_with_its_owner(tmp_path: Path) -> None:
    docker, name = RealDocker.connect(), f"drill-test-{secrets.token_hex(4)}"
    first, again = tmp_path / "first.tar", tmp_path / "again.tar"
    docker.run(tiny.build(), options=["-d", f"--name={name}", "--network=none"])
    try:
        for content in (b"one\n", b"one\ntwo\n"):  # the second replaces the first
            first.write_bytes(tar(log=content))
            copy_in(first, name, "/data")
        copy_out(name, "/data", again)
        with pytest.raises(CommandFailed, match="docker could not copy"):
            copy_out(name, "/nowhere", tmp_path / "none.tar")
        with pytest.raises(CommandFailed, match="docker could not copy"):
            copy_in(first, name, "/nowhere")
    finally:
        docker.remove(name)
    with tarfile.open(again) as found:
        (log,) = [member for member in found if member.isfile()]
        held = found.extractfile(log)
        assert held is not None
        assert held.read() == b"one\ntwo\n"
        assert (Path(log.name).name, log.uid, log.mode & 0o777) == ("log", 65532, 0o644)
