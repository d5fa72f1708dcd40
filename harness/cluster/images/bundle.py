"""Bundles: one tar with every image, the k3d command, the Argo CD manifests and the sums of all of them.

Here belong writing, verifying and loading. Verifying reads everything before anything is touched. A bundle proves
that it is whole and for this machine, not who made it: the sums travel with it, so take it from people you trust.
"""

from __future__ import annotations

import dataclasses
import hashlib
import io
import json
import shutil
import tarfile
import tempfile
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import IO, Any

from harness.cluster.images.cache import locked, read_json
from harness.cluster.images.engine import DockerEngine, Engine
from harness.cluster.images.keys import file_digest, machine
from harness.cluster.images.model import ImageSet, ImageSource
from harness.cluster.images.progress import beating
from harness.cluster.images.pull import preload_tar
from harness.cluster.images.sets import recall, remember
from harness.core.clock import MINUTE, Clock, SystemClock
from harness.core.errors import ConfigError, ImageUnavailable

KIND, SCHEMA = "drill-bundle", 1
HEAD, SUMS, IMAGES, K3D, MANIFESTS = "bundle.json", "SHA256SUMS", "images.tar", "bin/k3d", "argocd"
_MEBIBYTE = 1024 * 1024
_LARGEST_HEAD = 4 * _MEBIBYTE
_CHUNK = _MEBIBYTE
_REMEDY = "make it again with `drill bundle create FILE`, or copy it again"


def create_bundle(
    file: Path,
    images: ImageSet,
    *,
    progress: Callable[[str], None],
    docker: Engine | None = None,
    clock: Clock | None = None,
) -> str:
    """Write `images` to `file`; returns the sha256 of the whole file, to be handed over on another way.

    Raises ImageUnavailable when an image of the set is gone; a file that is not complete never has the final name.
    """
    docker, clock = docker or DockerEngine(), clock or SystemClock()
    references = [ref.reference for ref in images.images()]
    absent = [ref for ref in references if ref not in docker.inspect(references)]
    if absent:
        raise ImageUnavailable(f"expected {', '.join(absent)} in Docker; found none; run `drill images` first")
    file.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=file.parent, prefix=".drill-bundle-") as name:
        folder = Path(name)
        with beating(progress, clock, f"bundle: saving {len(references)} images"):
            docker.save(references, folder / IMAGES)
        (folder / "bin").mkdir()
        shutil.copy(images.k3d, folder / K3D)
        shutil.copytree(images.argocd_manifests, folder / MANIFESTS)
        draft = folder / "draft"
        with beating(progress, clock, "bundle: writing"):
            _write_heads(folder, images, clock.utc())
            _pack(folder, draft)
        draft.replace(file)
    progress(f"bundle: {file}, {file.stat().st_size // _MEBIBYTE} MiB")
    return file_digest(file)


def verify_bundle(file: Path) -> dict[str, Any]:
    """Read all of `file` and return its head; nothing is written.

    Raises ConfigError when it is not a bundle, is for another platform or schema, is truncated, holds anything that
    is not listed, or anything whose size or sum is not the listed one.
    """
    try:
        with tarfile.open(file, "r:") as archive:
            return _verify(file, archive)
    except FileNotFoundError as error:
        raise ConfigError(f"a bundle at {file}", "no such file", "mend the path") from error
    except (tarfile.TarError, EOFError, OSError) as error:
        raise _refused(file, f"a tar that cannot be read to its end ({error})") from error


def load_bundle(
    file: Path,
    cache: Path,
    *,
    progress: Callable[[str], None],
    docker: Engine | None = None,
    clock: Clock | None = None,
) -> ImageSet:
    """Verify all of `file`, then take its images into Docker and the rest into the cache.

    Raises ConfigError (see `verify_bundle`) before anything is touched; ImageUnavailable when Docker did not take it.
    """
    docker, clock = docker or DockerEngine(), clock or SystemClock()
    with beating(progress, clock, f"bundle: verifying {file}"):
        head = verify_bundle(file)
    with locked(cache, progress, clock, 30 * MINUTE):
        target = cache / "bundle"
        draft = Path(tempfile.mkdtemp(dir=cache, prefix=".bundle-"))
        try:
            with beating(progress, clock, "bundle: unpacking"):
                _unpack(file, draft, head)
            with beating(progress, clock, "bundle: loading the images into Docker"):
                docker.load(draft / IMAGES)
            (draft / IMAGES).unlink()
            shutil.rmtree(target, ignore_errors=True)
            (draft / HEAD).write_text(json.dumps(head))
            draft.replace(target)
        except BaseException:
            shutil.rmtree(draft, ignore_errors=True)
            raise
        images = _loaded_set(head, target)
        if head["preload"]:
            tar = preload_tar(cache, head["preload"], docker, progress)
            images = dataclasses.replace(images, preload=(tar,))
        remember(cache, images, docker)
    found = recall(cache, ImageSource.BUNDLE.value, docker)
    if found is None:
        raise ImageUnavailable(f"expected every image of {file} in Docker after loading; found some missing; {_REMEDY}")
    progress(f"bundle: loaded {len(found.images())} images, k3d {found.k3d_version}")
    return found


def ensure_bundle(
    file: Path, cache: Path, *, progress: Callable[[str], None], docker: Engine, clock: Clock | None = None
) -> ImageSet:
    """The set of `file`: as it was loaded before, when that is still whole and of the same bundle; else loaded now."""
    loaded = read_json(cache / "bundle" / HEAD)
    try:
        with tarfile.open(file, "r:") as archive:
            same = bool(loaded) and json.loads(_small(file, archive, HEAD)) == loaded
    except (tarfile.TarError, OSError, ValueError, ConfigError):
        same = False  # loading says what is wrong with it
    found = recall(cache, ImageSource.BUNDLE.value, docker) if same else None
    return found or load_bundle(file, cache, progress=progress, docker=docker, clock=clock)


# -- writing ---------------------------------------------------------------------------------------------------------


def _write_heads(folder: Path, images: ImageSet, now: datetime) -> None:
    files = {path.relative_to(folder).as_posix(): path for path in sorted(folder.rglob("*")) if path.is_file()}
    preloaded = [ref.reference for ref in images.images() if ref not in (images.node, images.tools)]
    head = {
        "kind": KIND,
        "schema": SCHEMA,
        "platform": machine(),
        "created": now.astimezone(UTC).isoformat(timespec="seconds"),
        "set": json.loads(images.to_json()),
        "references": [ref.reference for ref in images.images()],
        "preload": preloaded if images.preload else [],
        "sizes": {name: path.stat().st_size for name, path in files.items()},
        "describe": images.describe(),
    }
    (folder / HEAD).write_text(json.dumps(head, indent=1, sort_keys=True))
    sums = {**files, HEAD: folder / HEAD}
    (folder / SUMS).write_text("".join(f"{file_digest(path)}  {name}\n" for name, path in sums.items()))


def _pack(folder: Path, target: Path) -> None:
    names = [path.relative_to(folder).as_posix() for path in sorted(folder.rglob("*")) if path.is_file()]
    first = [HEAD, SUMS]
    with tarfile.open(target, "w", format=tarfile.PAX_FORMAT) as archive:
        for name in first + [name for name in names if name not in (*first, target.name)]:
            archive.add(folder / name, arcname=name, recursive=False, filter=_anonymous)


def _anonymous(member: tarfile.TarInfo) -> tarfile.TarInfo:
    member.uid = member.gid = member.mtime = 0
    member.uname = member.gname = ""
    return member


# -- verifying -------------------------------------------------------------------------------------------------------


def _verify(file: Path, archive: tarfile.TarFile) -> dict[str, Any]:
    head_bytes = _small(file, archive, HEAD)
    head = _head(file, head_bytes)
    sums = _sums(file, _small(file, archive, SUMS))
    if sums.pop(HEAD, "") != hashlib.sha256(head_bytes).hexdigest():
        raise _refused(file, f"{HEAD} changed since the sums were written")
    sizes: dict[str, int] = head["sizes"]
    if set(sums) != set(sizes) or not {IMAGES, K3D, f"{MANIFESTS}/core-install.yaml"} <= set(sizes):
        raise _refused(file, "another list of files in the head than in the sums")
    seen: set[str] = set()
    for member in archive:
        if member.name in (HEAD, SUMS):
            continue
        if not member.isreg() or not _harmless(member.name):
            raise _refused(file, f"{member.name!r}, which is a link, a special file or outside the bundle")
        if member.name not in sizes or member.name in seen:
            raise _refused(file, f"{member.name!r}, which is not listed or there twice")
        if member.size != sizes[member.name]:
            raise _refused(file, f"{member.size} bytes in {member.name}, of {sizes[member.name]} listed")
        seen.add(member.name)
        if _sum(archive.extractfile(member)) != sums[member.name]:
            raise _refused(file, f"another sha256 of {member.name} than listed")
        if member.name == IMAGES:
            _check_tags(file, archive.extractfile(member), head["references"])
    if seen != set(sizes):
        raise _refused(file, f"no {', '.join(sorted(set(sizes) - seen))}, which is listed: truncated")
    return head


def _head(file: Path, content: bytes) -> dict[str, Any]:
    try:
        head = json.loads(content)
        if head["kind"] != KIND:
            raise ValueError
        schema, platform = head["schema"], head["platform"]
    except (ValueError, KeyError, TypeError):
        raise _refused(file, f"a {HEAD} that is not one of ours") from None
    if schema != SCHEMA:
        raise ConfigError(f"a bundle of schema {SCHEMA} in {file}", f"schema {schema}", "use the drill that made it")
    if platform != machine():
        raise ConfigError(f"a bundle for {machine()} in {file}", f"one for {platform}", "make one on such a machine")
    try:
        ImageSet.from_json(json.dumps(head["set"]))
        sound = (
            all(isinstance(head[key], list) for key in ("references", "preload"))
            and set(head["preload"]) <= set(head["references"])
            and all(isinstance(size, int) and _harmless(name) for name, size in head["sizes"].items())
        )
    except (ValueError, KeyError, TypeError, AttributeError):
        sound = False
    if not sound:
        raise _refused(file, f"a {HEAD} with parts missing")
    return dict(head)


def _sums(file: Path, content: bytes) -> dict[str, str]:
    found = {}
    for line in content.decode(errors="replace").splitlines():
        digest, _, name = line.partition("  ")
        if len(digest) != 64 or not name:
            raise _refused(file, f"a line in {SUMS} that is not 'sum  name'")
        found[name] = digest
    return found


def _check_tags(file: Path, stream: IO[bytes] | None, references: list[str]) -> None:
    """An image tar names what it overwrites: only the images of this set may be named in it."""
    try:
        with tarfile.open(fileobj=stream, mode="r:") as images:
            manifest = images.extractfile("manifest.json")
            entries = json.load(manifest) if manifest else []
        tags = {tag for entry in entries for tag in entry.get("RepoTags") or []}
    except (tarfile.TarError, KeyError, ValueError, AttributeError, TypeError) as error:
        raise _refused(file, f"an {IMAGES} that is not one of Docker's ({error})") from error
    if tags != set(references):
        odd = ", ".join(sorted(tags ^ set(references)))
        raise _refused(file, f"other images in {IMAGES} than listed: {odd}")


def _small(file: Path, archive: tarfile.TarFile, name: str) -> bytes:
    member = archive.next()
    if member is None or member.name != name or not member.isreg() or member.size > _LARGEST_HEAD:
        found = member.name if member else "the end"
        raise _refused(file, f"{found!r} where {name!r} belongs: not a bundle of ours")
    stream = archive.extractfile(member)
    return stream.read() if stream else b""


def _harmless(name: str) -> bool:
    pure = PurePosixPath(name)
    return not pure.is_absolute() and ".." not in pure.parts and name == pure.as_posix() and name != "."


def _sum(stream: IO[bytes] | None) -> str:
    digest = hashlib.sha256()
    while stream and (chunk := stream.read(_CHUNK)):
        digest.update(chunk)
    return digest.hexdigest()


def _refused(file: Path, found: str) -> ConfigError:
    return ConfigError(f"a whole, untouched bundle in {file}", found, _REMEDY)


# -- loading ---------------------------------------------------------------------------------------------------------


def _unpack(file: Path, target: Path, head: dict[str, Any]) -> None:
    """Copy the listed files out, summing them again: the file could have changed since it was verified."""
    with tarfile.open(file, "r:") as archive:
        head_stream = archive.extractfile(HEAD)
        sums_stream = archive.extractfile(SUMS)
        content = sums_stream.read() if sums_stream else b""
        if head_stream is None or json.loads(head_stream.read()) != head:
            raise _refused(file, "another head than a moment ago")
        for name, digest in _sums(file, content).items():
            if name == HEAD:
                continue
            path = target / name
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("wb") as sink:
                shutil.copyfileobj(archive.extractfile(name) or io.BytesIO(), sink, _CHUNK)
            if file_digest(path) != digest:
                raise _refused(file, f"another {name} than a moment ago")
    (target / K3D).chmod(0o755)


def _loaded_set(head: dict[str, Any], target: Path) -> ImageSet:
    images = ImageSet.from_json(json.dumps(head["set"]))
    return dataclasses.replace(
        images,
        source=ImageSource.BUNDLE.value,
        k3d=target / K3D,
        k3d_digest=file_digest(target / K3D),
        argocd_manifests=target / MANIFESTS,
        preload=(),
    )
