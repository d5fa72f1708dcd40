"""Pulling: the official images, by tag and digest, and which registries would have to answer.

Here belong pins, the look whether a registry is there, pulling and pinning. What a cluster does with the images does
not.
"""

from __future__ import annotations

import hashlib
import re
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.cluster.images.cache import write_atomically
from harness.cluster.images.engine import Engine
from harness.cluster.images.model import ImageRef
from harness.cluster.images.progress import beating
from harness.cluster.images.recipe import read_yaml, recipes_folder
from harness.core.clock import Clock, SystemClock, seconds
from harness.core.errors import CommandFailed, CommandTimeout, ConfigError, ImageUnavailable

REGISTRY_PATIENCE = seconds(3)
ROLES = ("node", "tools", "argocd", "redis", "coredns", "pause")
_DIGEST = re.compile(r"^sha256:[0-9a-f]{64}$")


@dataclass(frozen=True, slots=True)
class Pin:
    """One official image. `digest` is empty where nobody has resolved it yet."""

    name: str
    image: str
    version: str
    digest: str

    @property
    def repository(self) -> str:
        """The image without its tag."""
        return self.image.rpartition(":")[0]

    @property
    def exact(self) -> str:
        """What is pulled: repository@digest. The tag is only for people."""
        return f"{self.repository}@{self.digest}"


def pins_file() -> Path:
    """fixtures/images/pins.yaml."""
    return recipes_folder() / "pins.yaml"


def read_pins(path: Path) -> dict[str, Pin]:
    """Every pin by name, the roles of a set first. Raises ConfigError, naming the entry."""
    data = read_yaml(path)
    found: dict[str, Pin] = {}
    for section in ("images", "extra"):
        entries = {} if data.get(section) is None else data[section]
        if not isinstance(entries, dict):
            raise ConfigError(f"a mapping under {section!r} in {path}", type(entries).__name__, "mend the file")
        for name, entry in entries.items():
            found[name] = _pin(path, str(name), entry)
    absent = [role for role in ROLES if role not in found]
    if absent:
        raise ConfigError(f"the images {', '.join(ROLES)} in {path}", f"none for {', '.join(absent)}", "add them")
    return found


def unpinned(pins: Mapping[str, Pin]) -> list[str]:
    """The names whose digest is not known."""
    return [name for name, pin in pins.items() if not pin.digest]


def registries(pins: Iterable[Pin]) -> tuple[str, ...]:
    """The registry hosts that the pins name (an image without a host is on Docker's own)."""
    hosts = {pin.image.partition("/")[0] for pin in pins if "/" in pin.image}
    return tuple(sorted(host for host in hosts if "." in host or ":" in host))


def registries_answer(hosts: Sequence[str]) -> bool:
    """True if every one of `hosts` speaks the registry protocol within 3 s. Never raises."""
    if not hosts:
        return False
    with ThreadPoolExecutor(max_workers=len(hosts)) as pool:
        return all(pool.map(_answers, hosts))


def pull_images(
    pins: Mapping[str, Pin], engine: Engine, progress: Callable[[str], None], path: Path, clock: Clock
) -> dict[str, ImageRef]:
    """Have every pinned image locally, under its tag. What is present is not fetched again.

    Raises ImageUnavailable when a digest is unknown (nothing is pulled then) or an image cannot be had.
    """
    open_pins = unpinned(pins)
    if open_pins:
        raise ImageUnavailable(
            f"expected a digest for every image in {path}; found none for {', '.join(open_pins)}; "
            "run `drill images pin` where the registries answer, review what it wrote, and run again; "
            "or use --images build or --images bundle"
        )
    for number, pin in enumerate(pins.values(), 1):
        present = engine.inspect([pin.image]).get(pin.image)
        if present and pin.exact in present.digests:
            continue
        with beating(progress, clock, f"images: [{number}/{len(pins)}] pulling {pin.image} ({pin.digest[:19]}...)"):
            _pull(engine, pin.exact)
        engine.tag(pin.exact, pin.image)
    return {pin.name: ImageRef(pin.name, pin.image, pin.digest, pin.version) for pin in pins.values()}


def preload_tar(cache: Path, references: Sequence[str], engine: Engine, progress: Callable[[str], None]) -> Path:
    """One tar with `references`, for nodes that do not carry them; made once for the same content.

    Raises ImageUnavailable when Docker does not have one of them.
    """
    present = engine.inspect(references)
    absent = [reference for reference in references if reference not in present]
    if absent:
        raise ImageUnavailable(f"expected these images in Docker: {', '.join(absent)}; found none; run again")
    text = "\n".join(f"{reference} {present[reference].id}" for reference in sorted(references))
    target = cache / "preload" / f"images-{hashlib.sha256(text.encode()).hexdigest()[:16]}.tar"
    if not target.exists():
        progress(f"images: packing {len(references)} of them for the nodes")
        engine.save(list(references), target)
        for other in target.parent.glob("images-*.tar"):
            if other != target:
                other.unlink()
    return target


def pin_images(engine: Engine, progress: Callable[[str], None], path: Path | None = None) -> dict[str, str]:
    """Resolve every tag by pulling it and write the digests into the file; returns the new ones by name.

    Raises ImageUnavailable when a registry does not answer; the file is then as it was.
    """
    path, clock = path or pins_file(), SystemClock()
    pins = read_pins(path)
    text, resolved = path.read_text(encoding="utf-8"), {}
    for name, pin in pins.items():
        with beating(progress, clock, f"images: resolving {pin.image}"):
            _pull(engine, pin.image)
        image = engine.inspect([pin.image]).get(pin.image)
        digests = [item.rpartition("@")[2] for item in (image.digests if image else ())
                   if item.startswith(f"{pin.repository}@")]  # fmt: skip
        if not digests:
            raise ImageUnavailable(f"expected Docker to know the digest of {pin.image}; found none; pull it by hand")
        if digests[0] != pin.digest:
            resolved[name] = digests[0]
            text = _with_digest(text, pin.image, digests[0])
    if resolved:
        write_atomically(path, text)
    return resolved


def _pin(path: Path, name: str, entry: Any) -> Pin:
    if not isinstance(entry, dict) or set(entry) != {"image", "version", "digest"}:
        raise ConfigError(f"image, version and digest for {name!r} in {path}", repr(entry), "mend the entry")
    digest = entry["digest"] or ""
    image = str(entry["image"])
    if not re.fullmatch(r"[a-z0-9./:_-]+:[A-Za-z0-9._-]+", image):
        raise ConfigError(f"an image with a tag for {name!r} in {path}", repr(image), "write repository:tag")
    if digest and not _DIGEST.match(str(digest)):
        raise ConfigError(f"sha256:<64 hex digits> or null for {name!r} in {path}", repr(digest), "mend the digest")
    return Pin(name, image, str(entry["version"]), str(digest))


def _pull(engine: Engine, reference: str) -> None:
    try:
        engine.pull(reference)
    except (CommandFailed, CommandTimeout) as error:
        raise ImageUnavailable(
            f"expected to pull {reference}; found: {error}; see that the registry is reachable (docker pull), "
            "or use --images build or --images bundle"
        ) from error


def _answers(host: str) -> bool:
    request = urllib.request.Request(f"https://{host}/v2/", method="GET")
    try:
        with urllib.request.urlopen(request, timeout=REGISTRY_PATIENCE.total_seconds()) as answer:
            headers = answer.headers
    except urllib.error.HTTPError as error:
        # 401 is how a registry greets somebody without a token. A proxy's error page has no such header.
        headers = error.headers
    except (OSError, ValueError):
        return False
    return "registry/2" in (headers.get("Docker-Distribution-Api-Version") or "")


def _with_digest(text: str, image: str, digest: str) -> str:
    """`text` with the digest of `image` replaced; comments and order stay as people wrote them."""
    pattern = re.compile(rf"(image: {re.escape(image)}\n(?:\s+version: .*\n)?\s+digest: ).*")
    changed, count = pattern.subn(rf"\g<1>{digest}", text)
    if count != 1:
        raise ConfigError(f"image, version and digest of {image} in this order in the pins", "another order", "sort it")
    return changed
