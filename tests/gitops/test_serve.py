"""Smart HTTP on loopback with real git: what clients of every kind get."""

from __future__ import annotations

import http.client
import subprocess
import threading
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from harness.core.errors import ConfigError
from harness.gitops.git import write_config
from harness.gitops.repo import ServedRepo
from harness.gitops.serve import GitServer

from .conftest import ENV, git, write


@pytest.fixture
def repo(work_tree: Path, tmp_path: Path) -> Iterator[ServedRepo]:
    served = ServedRepo.from_path(work_tree, scratch=tmp_path / "scratch")
    served.serve("127.0.0.1")
    yield served
    served.close()


def test_one_sha_can_be_fetched_as_argo_cd_does(repo: ServedRepo, tmp_path: Path) -> None:
    old = repo.head
    repo.commit({"README.md": "newer\n"}, "newer")
    place = tmp_path / "checkout"
    place.mkdir()
    git("init", "-q", cwd=place)
    git("fetch", "-q", "--depth", "1", repo.url, old, cwd=place)
    assert git("rev-parse", "FETCH_HEAD", cwd=place) == old


@pytest.mark.parametrize("protocol", ["0", "1", "2"])
def test_every_protocol_version_lists_the_head(repo: ServedRepo, tmp_path: Path, protocol: str) -> None:
    listed = git("-c", f"protocol.version={protocol}", "ls-remote", repo.url, "HEAD", "refs/heads/main", cwd=tmp_path)
    assert listed.split("\n") == [f"{repo.head}\tHEAD", f"{repo.head}\trefs/heads/main"]


def test_protocol_v2_is_really_spoken(repo: ServedRepo) -> None:
    host, port = repo.url.split("/")[2].split(":")
    connection = http.client.HTTPConnection(host, int(port), timeout=10)
    try:
        connection.request(
            "GET", "/gitops.git/info/refs?service=git-upload-pack", headers={"Git-Protocol": "version=2"}
        )
        answer = connection.getresponse()
        assert answer.status == 200
        assert answer.getheader("Content-Type") == "application/x-git-upload-pack-advertisement"
        assert b"version 2" in answer.read()
    finally:
        connection.close()


def test_a_push_from_this_machine_arrives_also_in_chunks(repo: ServedRepo, tmp_path: Path) -> None:
    clone = tmp_path / "clone"
    git("clone", "-q", repo.url, str(clone), cwd=tmp_path)
    before = repo.head
    write(clone, {"big.bin": "".join(chr(33 + (i * 7919 + i // 93) % 90) for i in range(400_000))})
    git("add", "-A", cwd=clone)
    git("commit", "-qm", "pushed", cwd=clone)
    git("-c", "http.postBuffer=65536", "-c", "core.compression=0", "push", "-q", "origin", "main", cwd=clone)
    assert repo.head == git("rev-parse", "HEAD", cwd=clone) != before
    assert "big.bin" in repo.files()


def test_a_push_from_elsewhere_is_refused(repo: ServedRepo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    original = GitServer.environment

    def from_a_pod(self: GitServer, handler: object, path: str, query: str) -> dict[str, str]:
        handler.client_address = ("10.42.0.7", 1)  # type: ignore[attr-defined]
        return original(self, handler, path, query)  # type: ignore[arg-type]

    monkeypatch.setattr(GitServer, "environment", from_a_pod)
    clone = tmp_path / "clone"
    git("clone", "-q", repo.url, str(clone), cwd=tmp_path)
    head = repo.head
    write(clone, {"README.md": "evil\n"})
    git("commit", "-qam", "evil", cwd=clone)
    with pytest.raises(subprocess.CalledProcessError) as caught:
        git("push", "-q", "origin", "main", cwd=clone)
    assert "403" in caught.value.stderr
    assert repo.head == head


def test_an_outage_refuses_and_the_address_stays(repo: ServedRepo, tmp_path: Path) -> None:
    url = repo.url
    repo.stop_serving()
    with pytest.raises(subprocess.CalledProcessError) as caught:
        git("ls-remote", url, cwd=tmp_path)
    assert "Failed to connect" in caught.value.stderr
    sha = repo.commit({"README.md": "during the outage\n"}, "outage")
    repo.resume()
    repo.resume()
    assert repo.url == url
    assert git("ls-remote", url, "refs/heads/main", cwd=tmp_path).split()[0] == sha


def test_an_outage_cuts_connections_that_are_kept_open(repo: ServedRepo) -> None:
    host, port = repo.url.split("/")[2].split(":")
    connection = http.client.HTTPConnection(host, int(port), timeout=10)
    try:
        connection.request("GET", "/gitops.git/HEAD")
        connection.getresponse().read()
        assert connection.sock is not None
        repo.stop_serving()
        assert connection.sock.recv(1) == b""
    finally:
        connection.close()


@pytest.mark.parametrize(
    "path", ["/", "/other.git/info/refs", "/gitops.git/../gitconfig", "/gitops.git", "/etc/passwd"]
)
def test_nothing_else_is_served(repo: ServedRepo, path: str) -> None:
    host, port = repo.url.split("/")[2].split(":")
    connection = http.client.HTTPConnection(host, int(port), timeout=10)
    try:
        connection.request("GET", path)
        assert connection.getresponse().status == 404
    finally:
        connection.close()


def test_many_clients_at_once(repo: ServedRepo, tmp_path: Path) -> None:
    def clone(number: int) -> None:
        git("clone", "-q", repo.url, str(tmp_path / f"clone{number}"), cwd=tmp_path)

    threads = [threading.Thread(target=clone, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert all((tmp_path / f"clone{n}" / "README.md").exists() for n in range(8))


def test_a_taken_port_is_one_clear_message(repo: ServedRepo, work_tree: Path, tmp_path: Path) -> None:
    other = ServedRepo.from_path(work_tree, scratch=tmp_path / "other")
    head = other.head
    with pytest.raises(ConfigError, match="free port"):
        other.serve("127.0.0.1", int(repo.url.split("/")[2].split(":")[1]))
    with pytest.raises(ConfigError, match="address of this machine"):
        other.serve("192.0.2.1")
    with pytest.raises(ConfigError, match="served"):
        _ = other.url
    assert other.head == head


def test_a_backend_that_hangs_is_cut_off(tmp_path: Path) -> None:
    write(tmp_path, {"bin/git": "#!/bin/sh\nexec sleep 60\n"})
    (tmp_path / "bin/git").chmod(0o755)
    server = GitServer(tmp_path / "x.git", {**write_config(tmp_path / "gitconfig")}, within=timedelta(seconds=0.3))
    url = server.start("127.0.0.1")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", f"{tmp_path}/bin:{ENV['PATH']}")
        host, port = url.split("/")[2].split(":")
        connection = http.client.HTTPConnection(host, int(port), timeout=10)
        try:
            connection.request("GET", "/x.git/info/refs")
            assert connection.getresponse().status == 502
        finally:
            connection.close()
            server.stop()
