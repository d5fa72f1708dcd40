"""Pulling by digest: pins, presence, refusal, and who counts as a registry."""

from __future__ import annotations

import http.server
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.cluster.images import pull
from harness.cluster.images.pull import (
    ROLES,
    pin_images,
    pins_file,
    preload_tar,
    pull_images,
    read_pins,
    registries,
    registries_answer,
    unpinned,
)
from harness.core.clock import SystemClock
from harness.core.errors import ConfigError, ImageUnavailable

from .conftest import FakeEngine

DIGEST = "sha256:" + "a" * 64


def pins_at(tmp_path: Path, digest: str = DIGEST, **changes: str) -> Path:
    lines = ["# a comment that must survive", "images:"]
    for role in ROLES:
        image = changes.get(role, f"registry.example/{role}:1")
        lines += [f"  {role}:", f"    image: {image}", '    version: "1"', f"    digest: {digest}"]
    path = tmp_path / "pins.yaml"
    path.write_text("\n".join(lines) + "\n")
    return path


def full(path: Path, engine: FakeEngine) -> None:
    """Everything in `path` can be pulled, by tag and by digest."""
    for pin in read_pins(path).values():
        engine.registry[pin.image] = DIGEST
        engine.registry[f"{pin.repository}@{DIGEST}"] = DIGEST


def test_our_own_pins_are_readable_and_name_every_role() -> None:
    pins = read_pins(pins_file())
    assert set(ROLES) <= set(pins)
    assert pins["node"].image.startswith("rancher/k3s:v1.34")
    assert pins["argocd"].version == "3.2.11"


def test_images_are_pulled_by_digest_and_named_by_tag(tmp_path: Path, engine: FakeEngine, said: list[str]) -> None:
    path = pins_at(tmp_path)
    full(path, engine)
    refs = pull_images(read_pins(path), engine, said.append, path, SystemClock())
    assert engine.pulled == [f"registry.example/{role}@{DIGEST}" for role in ROLES]
    assert refs["argocd"].reference == "registry.example/argocd:1"
    assert refs["argocd"].digest == DIGEST
    assert "registry.example/argocd:1" in engine.local
    assert "[3/6]" in said[2]


def test_what_is_present_is_not_pulled_again(tmp_path: Path, engine: FakeEngine, said: list[str]) -> None:
    path = pins_at(tmp_path)
    full(path, engine)
    pull_images(read_pins(path), engine, said.append, path, SystemClock())
    engine.pulled.clear()
    pull_images(read_pins(path), engine, said.append, path, SystemClock())
    assert engine.pulled == []


def test_a_tag_with_other_content_is_pulled(tmp_path: Path, engine: FakeEngine, said: list[str]) -> None:
    path = pins_at(tmp_path)
    full(path, engine)
    engine.add("registry.example/argocd:1", content="made by somebody")
    pull_images(read_pins(path), engine, said.append, path, SystemClock())
    assert f"registry.example/argocd@{DIGEST}" in engine.pulled


def test_an_unknown_digest_refuses_before_anything_is_pulled(
    tmp_path: Path, engine: FakeEngine, said: list[str]
) -> None:
    path = pins_at(tmp_path, digest="null")
    assert unpinned(read_pins(path)) == list(ROLES)
    with pytest.raises(ImageUnavailable, match="drill images pin"):
        pull_images(read_pins(path), engine, said.append, path, SystemClock())
    assert engine.pulled == []


def test_an_image_that_cannot_be_had_is_told_with_the_other_ways(
    tmp_path: Path, engine: FakeEngine, said: list[str]
) -> None:
    path = pins_at(tmp_path)
    with pytest.raises(ImageUnavailable, match=r"(?s)registry\.example/node@.*no such host.*--images build"):
        pull_images(read_pins(path), engine, said.append, path, SystemClock())


def test_pinning_writes_digests_and_keeps_comments(tmp_path: Path, engine: FakeEngine, said: list[str]) -> None:
    path = pins_at(tmp_path, digest="null")
    full(path, engine)
    assert pin_images(engine, said.append, path) == dict.fromkeys(ROLES, DIGEST)
    assert unpinned(read_pins(path)) == []
    assert "# a comment that must survive" in path.read_text()
    assert pin_images(engine, said.append, path) == {}, "nothing new the second time"


def test_pinning_without_a_registry_leaves_the_file_alone(tmp_path: Path, engine: FakeEngine, said: list[str]) -> None:
    path = pins_at(tmp_path, digest="null")
    before = path.read_text()
    full(path, engine)
    del engine.registry["registry.example/pause:1"]
    with pytest.raises(ImageUnavailable):
        pin_images(engine, said.append, path)
    assert path.read_text() == before


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("images: []\n", "a mapping under 'images'"),
        ("images: {}\n", "none for node"),
        ("images: {node: {image: a}}\n", "image, version and digest"),
        ("images: {node: {image: a, version: 1, digest: null}}\n", "an image with a tag"),
        ("images: {node: {image: 'a:1', version: 1, digest: 'sha256:12'}}\n", "64 hex digits"),
    ],
)
def test_a_bad_pin_is_named(tmp_path: Path, text: str, complaint: str) -> None:
    (tmp_path / "pins.yaml").write_text(text)
    with pytest.raises(ConfigError, match=complaint):
        read_pins(tmp_path / "pins.yaml")


def test_the_preload_is_packed_once_for_the_same_content(tmp_path: Path, engine: FakeEngine, said: list[str]) -> None:
    engine.add("a:1")
    first = preload_tar(tmp_path, ["a:1"], engine, said.append)
    assert preload_tar(tmp_path, ["a:1"], engine, said.append) == first
    assert len(said) == 1
    engine.add("a:1", content="new")
    second = preload_tar(tmp_path, ["a:1"], engine, said.append)
    assert second != first
    assert not first.exists(), "the old one is never used again"
    with pytest.raises(ImageUnavailable, match="b:1"):
        preload_tar(tmp_path, ["b:1"], engine, said.append)


def test_only_hosts_that_are_named_are_asked(tmp_path: Path) -> None:
    pins = read_pins(pins_at(tmp_path, node="rancher/k3s:1", redis="redis:8.2.3", pause="localhost:5000/pause:1"))
    assert registries(pins.values()) == ("localhost:5000", "registry.example")


@pytest.fixture
def server() -> Iterator[http.server.HTTPServer]:
    """Answers 401 to everything, with the registry header only below /v2/."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(401)
            if self.path == "/v2/":
                self.send_header("Docker-Distribution-Api-Version", "registry/2.0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            return

    with http.server.HTTPServer(("127.0.0.1", 0), Handler) as listening:
        thread = threading.Thread(target=listening.serve_forever, daemon=True)
        thread.start()
        yield listening
        listening.shutdown()
        thread.join()


def test_a_registry_is_known_by_its_header_and_nothing_else_is_one(
    server: http.server.HTTPServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = pull.urllib.request.Request

    def plain(url: str, method: str) -> object:
        return real(url.replace("https://", "http://"), method=method)

    monkeypatch.setattr(pull.urllib.request, "Request", plain)
    host = f"127.0.0.1:{server.server_port}"
    assert registries_answer([host])
    assert not registries_answer([host, "127.0.0.1:1"]), "all of them must answer"
    assert not registries_answer([])
    monkeypatch.setattr(
        pull.urllib.request, "Request", lambda url, method: real(f"http://{host}/proxy-error", method=method)
    )
    assert not registries_answer([host]), "an answer without the header is not a registry"
