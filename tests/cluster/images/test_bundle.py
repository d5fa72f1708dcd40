"""Bundles: what comes out is what went in; anything else is refused before a thing is touched."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from harness.cluster.images.bundle import create_bundle, ensure_bundle, load_bundle, verify_bundle
from harness.cluster.images.model import ImageSet
from harness.core.errors import ConfigError, ImageUnavailable

from .conftest import FakeEngine, InstantClock

Members = list[tuple[tarfile.TarInfo, bytes]]


@pytest.fixture
def bundle(tmp_path: Path, image_set: ImageSet, engine: FakeEngine, said: list[str], clock: InstantClock) -> Path:
    file = tmp_path / "out" / "drill.bundle"
    digest = create_bundle(file, image_set, docker=engine, progress=said.append, clock=clock)
    assert digest == hashlib.sha256(file.read_bytes()).hexdigest()
    return file


def refused(file: Path, tmp_path: Path, complaint: str) -> None:
    """Loading is refused with `complaint`, and neither Docker nor the cache was touched."""
    engine, cache = FakeEngine(), tmp_path / "fresh"
    with pytest.raises(ConfigError) as caught:
        load_bundle(file, cache, docker=engine, progress=lambda text: None)
    assert complaint in str(caught.value)
    assert str(file) in str(caught.value)
    assert engine.loaded == []
    assert not cache.exists()


def rewritten(file: Path, change: Callable[[Members], None]) -> Path:
    """`file` with its members changed by somebody who does not mend the sums."""
    members: Members = []
    with tarfile.open(file) as archive:
        for member in archive:
            stream = archive.extractfile(member)
            members.append((member, stream.read() if stream else b""))
    change(members)
    with tarfile.open(file, "w") as archive:
        for member, content in members:
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return file


def mended(file: Path, edit: Callable[[dict[str, object]], None]) -> Path:
    """`file` with another head and sums that fit it: as a careful stranger would make it."""

    def change(members: Members) -> None:
        head = json.loads(members[0][1])
        edit(head)
        content = json.dumps(head).encode()
        lines = [line for line in members[1][1].decode().splitlines() if not line.endswith("  bundle.json")]
        lines.append(f"{hashlib.sha256(content).hexdigest()}  bundle.json")
        members[0] = (members[0][0], content)
        members[1] = (members[1][0], "\n".join(lines).encode())

    return rewritten(file, change)


def test_a_loaded_bundle_gives_the_set_that_went_in(
    bundle: Path, tmp_path: Path, image_set: ImageSet, said: list[str]
) -> None:
    engine, cache = FakeEngine(), tmp_path / "fresh"
    loaded = load_bundle(bundle, cache, docker=engine, progress=said.append)
    assert loaded.source == "bundle"
    assert loaded.flavour == image_set.flavour
    assert loaded.images() == image_set.images()
    assert loaded.k3d.read_bytes() == image_set.k3d.read_bytes()
    assert loaded.k3d.stat().st_mode & 0o111
    assert (loaded.argocd_manifests / "crds" / "application-crd.yaml").is_file()
    assert loaded.preload == ()
    assert set(engine.local) == {ref.reference for ref in image_set.images()}
    assert sorted(path.name for path in cache.iterdir()) == ["bundle", "lock", "sets"], "something was left behind"


def test_a_bundle_is_loaded_once_and_again_when_it_is_another_or_was_lost(
    bundle: Path, tmp_path: Path, image_set: ImageSet, engine: FakeEngine
) -> None:
    target, cache = FakeEngine(), tmp_path / "fresh"

    def ensure() -> int:
        ensure_bundle(bundle, cache, docker=target, progress=lambda text: None)
        return len(target.loaded)

    assert (ensure(), ensure()) == (1, 1)
    target.remove("drill/redis:1")
    assert ensure() == 2
    create_bundle(bundle, replace(image_set, k3d_version="5.9.1"), docker=engine, progress=lambda text: None)
    assert ensure() == 3
    bundle.write_bytes(b"no longer a bundle")
    with pytest.raises(ConfigError):
        ensure()


def test_loading_again_is_fine(bundle: Path, tmp_path: Path) -> None:
    for _ in range(2):
        load_bundle(bundle, tmp_path / "fresh", docker=FakeEngine(), progress=lambda text: None)


def test_a_pulled_set_gets_its_preload_made_again(
    tmp_path: Path, image_set: ImageSet, engine: FakeEngine, said: list[str]
) -> None:
    pulled = replace(image_set, preload=(image_set.k3d,))
    file = tmp_path / "pulled.bundle"
    create_bundle(file, pulled, docker=engine, progress=said.append)
    loaded = load_bundle(file, tmp_path / "fresh", docker=FakeEngine(), progress=said.append)
    with tarfile.open(loaded.preload[0]) as archive:
        stream = archive.extractfile("manifest.json")
        assert stream is not None
        tags = json.load(stream)[0]["RepoTags"]
    assert "drill/argocd:1" in tags
    assert "drill/node:1" not in tags


def test_a_set_with_a_missing_image_makes_no_bundle(
    tmp_path: Path, image_set: ImageSet, engine: FakeEngine, said: list[str]
) -> None:
    engine.remove("drill/redis:1")
    with pytest.raises(ImageUnavailable, match="drill/redis:1"):
        create_bundle(tmp_path / "x" / "b", image_set, docker=engine, progress=said.append)
    assert not (tmp_path / "x").exists()


def test_a_changed_byte_is_refused_wherever_it_is(bundle: Path, tmp_path: Path) -> None:
    whole = bundle.read_bytes()
    with tarfile.open(bundle) as archive:
        places = {member.name: member.offset_data for member in archive}
    for name, offset in places.items():
        changed = bytearray(whole)
        changed[offset] ^= 1
        bundle.write_bytes(changed)
        with pytest.raises(ConfigError):
            verify_bundle(bundle)
        assert name
    bundle.write_bytes(whole)
    verify_bundle(bundle)


def test_a_tampered_k3d_is_refused_by_name(bundle: Path, tmp_path: Path) -> None:
    with tarfile.open(bundle) as archive:
        offset = archive.getmember("bin/k3d").offset_data
    content = bytearray(bundle.read_bytes())
    content[offset + 3] ^= 1
    bundle.write_bytes(content)
    refused(bundle, tmp_path, "another sha256 of bin/k3d")


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.9])
def test_a_truncated_bundle_is_refused(bundle: Path, tmp_path: Path, share: float) -> None:
    content = bundle.read_bytes().rstrip(b"\0")
    bundle.write_bytes(content[: int(len(content) * share)])
    refused(bundle, tmp_path, "bundle")


def test_a_bundle_cut_between_two_files_is_refused(bundle: Path, tmp_path: Path) -> None:
    refused(rewritten(bundle, lambda members: void(members.pop())), tmp_path, "truncated")


def void(_: object) -> None:
    return


@pytest.mark.parametrize("content", [b"", b"hello", b"PK\x03\x04" + b"x" * 2000])
def test_a_file_that_is_no_tar_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "file").write_bytes(content)
    refused(tmp_path / "file", tmp_path, "bundle")


def test_a_path_that_does_not_exist_is_refused(tmp_path: Path) -> None:
    refused(tmp_path / "nowhere", tmp_path, "no such file")


def test_somebody_elses_tar_is_refused(tmp_path: Path, engine: FakeEngine) -> None:
    engine.save(["postgres:16"], tmp_path / "images.tar")
    refused(tmp_path / "images.tar", tmp_path, "not a bundle of ours")


@pytest.mark.parametrize("name", ["../../etc/cron.d/x", "/etc/cron.d/x", "argocd/../../x", "./argocd/x"])
def test_a_path_that_leads_outside_is_refused(bundle: Path, tmp_path: Path, name: str) -> None:
    refused(rewritten(bundle, lambda members: members.append((tarfile.TarInfo(name), b"x"))), tmp_path, repr(name))


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.DIRTYPE])
def test_a_link_or_special_file_is_refused(bundle: Path, tmp_path: Path, kind: bytes) -> None:
    def change(members: Members) -> None:
        member = tarfile.TarInfo("argocd/extra")
        member.type, member.linkname = kind, "bin/k3d"
        members.append((member, b""))

    refused(rewritten(bundle, change), tmp_path, "argocd/extra")


def test_a_file_that_is_not_listed_or_twice_is_refused(bundle: Path, tmp_path: Path) -> None:
    whole = bundle.read_bytes()
    refused(rewritten(bundle, lambda m: m.append((tarfile.TarInfo("argocd/more.yaml"), b"x"))), tmp_path, "not listed")
    bundle.write_bytes(whole)
    refused(rewritten(bundle, lambda m: m.append((tarfile.TarInfo("bin/k3d"), m[-1][1]))), tmp_path, "bin/k3d")


@pytest.mark.parametrize(
    ("field", "value", "complaint"),
    [
        ("platform", "plan9/mips", "for plan9/mips"),
        ("schema", 99, "schema 99"),
        ("kind", "other", "not one of ours"),
        ("set", {}, "parts missing"),
        ("sizes", {"bin/k3d": 1}, "another list of files"),
        ("sizes", {"../k3d": 1}, "parts missing"),
        ("references", ["postgres:16"], "other images"),
        ("preload", ["postgres:16"], "parts missing"),
    ],
)
def test_a_foreign_head_is_refused(bundle: Path, tmp_path: Path, field: str, value: object, complaint: str) -> None:
    refused(mended(bundle, lambda head: head.update({field: value})), tmp_path, complaint)


def test_a_head_changed_without_its_sum_is_refused(bundle: Path, tmp_path: Path) -> None:
    def change(members: Members) -> None:
        members[0] = (members[0][0], members[0][1].replace(b"5.9.0", b"6.6.6"))

    refused(rewritten(bundle, change), tmp_path, "changed since")


def test_an_image_that_docker_did_not_take_is_an_error(bundle: Path, tmp_path: Path) -> None:
    class Forgetful(FakeEngine):
        def load(self, source: Path) -> None:
            super().load(source)
            self.remove("drill/node:1")

    with pytest.raises(ImageUnavailable, match="every image"):
        load_bundle(bundle, tmp_path / "fresh", docker=Forgetful(), progress=lambda text: None)
