"""Sets that were made before: remembered in the cache, believed only while everything in them is still there.

Here belong writing and checking. Making a set does not: that is `build`, `pull` and `bundle`.
"""

from __future__ import annotations

import json
from pathlib import Path

from harness.cluster.images.cache import read_json, write_atomically
from harness.cluster.images.engine import Engine
from harness.cluster.images.keys import file_digest
from harness.cluster.images.model import ImageSet


def remember(cache: Path, images: ImageSet, engine: Engine) -> None:
    """Store `images` as what its source last gave, with the content id of every image."""
    references = [ref.reference for ref in images.images()]
    ids = {reference: image.id for reference, image in engine.inspect(references).items()}
    write_atomically(_path(cache, images.source), json.dumps({"set": images.to_json(), "ids": ids}, indent=1))


def recall(cache: Path, source: str, engine: Engine) -> ImageSet | None:
    """The remembered set of `source`, or None when there is none or any part of it is gone or has changed."""
    stored = read_json(_path(cache, source))
    text, ids = stored.get("set"), stored.get("ids")
    if not isinstance(text, str) or not isinstance(ids, dict):
        return None
    try:
        images = ImageSet.from_json(text)
    except (ValueError, KeyError, TypeError):
        return None
    references = [ref.reference for ref in images.images()]
    present = engine.inspect(references)
    same = all(ref in present and present[ref].id == ids.get(ref) for ref in references)
    whole = images.argocd_manifests.joinpath("core-install.yaml").is_file() and all(p.is_file() for p in images.preload)
    if not (same and whole and images.k3d.is_file() and file_digest(images.k3d) == images.k3d_digest):
        return None
    return images


def _path(cache: Path, source: str) -> Path:
    return cache / "sets" / f"{source}.json"
