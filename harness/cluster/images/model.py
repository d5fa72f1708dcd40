"""What the image sources hand over: references, versions, digests, paths.

Here belong the data that everything above sees. How an image is had does not: that is `build`, `pull` and `bundle`.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from enum import Enum
from pathlib import Path
from typing import Any

from harness.core.errors import ConfigError

FLAVOUR_BUILT = "upstream Kubernetes, built here"
FLAVOUR_K3S = "k3s"
SET_SCHEMA = 1
_ROLES = ("node", "tools", "argocd", "redis", "coredns", "pause", "sample")


class ImageSource(Enum):
    """Where images come from. AUTO: what is present, else PULL if a registry answers within 3 s, else BUILD."""

    AUTO = "auto"
    PULL = "pull"
    BUILD = "build"
    BUNDLE = "bundle"

    @classmethod
    def named(cls, text: str) -> ImageSource:
        """The source called `text`. Raises ConfigError for any other word."""
        try:
            return cls(text)
        except ValueError:
            words = ", ".join(source.value for source in cls)
            raise ConfigError(f"--images to be one of {words}", repr(text), "choose one of these") from None


@dataclass(frozen=True, slots=True)
class ImageRef:
    """One image: what it is for, how to name it to Docker and in a pod, which exact content, which version.

    `digest` is the registry's digest for pulled images and the content id for images built here.
    """

    name: str
    reference: str
    digest: str
    version: str


@dataclass(frozen=True, slots=True)
class ImageSet:
    """Everything a cluster is made of.

    `preload` holds tars to mount below /var/lib/rancher/k3s/agent/images on every node; it is empty where the node
    image carries its images itself. `argocd_manifests` is a folder with `core-install.yaml` (CRDs included) and the
    CRDs alone below `crds/`. `extra` are images that only the node itself uses.
    """

    source: str
    flavour: str
    node: ImageRef
    tools: ImageRef
    argocd: ImageRef
    redis: ImageRef
    coredns: ImageRef
    pause: ImageRef
    sample: ImageRef
    k3d: Path
    k3d_version: str
    k3d_digest: str
    argocd_manifests: Path
    preload: tuple[Path, ...] = ()
    extra: tuple[ImageRef, ...] = ()

    def images(self) -> tuple[ImageRef, ...]:
        """Every image, each once: two roles may be played by one image."""
        return tuple({ref.reference: ref for ref in self._roles().values()}.values())

    def describe(self) -> dict[str, Any]:
        """For run.json: source, flavour, every version and digest."""
        return {
            "source": self.source,
            "flavour": self.flavour,
            "images": {
                role: {"reference": ref.reference, "digest": ref.digest, "version": ref.version}
                for role, ref in self._roles().items()
            },
            "k3d": {"version": self.k3d_version, "digest": self.k3d_digest},
        }

    def _roles(self) -> dict[str, ImageRef]:
        roles = {name: getattr(self, name) for name in _ROLES}
        return roles | {ref.name: ref for ref in self.extra}

    def to_json(self) -> str:
        """For the cache: which set a source last made. Read back by `from_json`."""
        data = asdict(self) | {"schema": SET_SCHEMA, "k3d": str(self.k3d)}
        data["argocd_manifests"] = str(self.argocd_manifests)
        data["preload"] = [str(path) for path in self.preload]
        return json.dumps(data, indent=2, sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> ImageSet:
        """The set that `to_json` wrote. Raises ValueError, KeyError or TypeError when it is not one."""
        data = json.loads(text)
        if data.pop("schema") != SET_SCHEMA:
            raise ValueError("another schema")
        roles = {name: ImageRef(**data.pop(name)) for name in _ROLES}
        return cls(
            **roles,
            source=data["source"],
            flavour=data["flavour"],
            k3d=Path(data["k3d"]),
            k3d_version=data["k3d_version"],
            k3d_digest=data["k3d_digest"],
            argocd_manifests=Path(data["argocd_manifests"]),
            preload=tuple(Path(path) for path in data["preload"]),
            extra=tuple(ImageRef(**ref) for ref in data["extra"]),
        )
