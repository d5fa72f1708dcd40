"""Node-local volumes: where one is, and its files out of a node or into one.

Here belong the way from a claim to a folder in a node's container, and the two streams of `docker cp`. When a volume is
copied, and what a copy is good for, does not: that is `harness.gitops.backup`.

Facts: docs.docker.com, `docker cp`: with `-` a tar is written to stdout or read from stdin; SRC/. means what is in the
folder; numeric owners in the tar are kept. Kubernetes, "Local volumes": a volume's node is in spec.nodeAffinity.
"""

from __future__ import annotations

import shutil
import tarfile
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, Protocol

from harness.core.clock import MINUTE
from harness.core.errors import CommandFailed, ProvisionFailed, ToolError
from harness.core.objects import CLAIM, VOLUME, Kind, Object, dig
from harness.effects import proc

Streaming = Callable[..., AbstractContextManager[Any]]


class Api(Protocol):
    """What we need of `harness.cluster.kube.KubeApi`."""

    def get(self, kind: Kind, name: str, namespace: str | None = None) -> Object | None: ...


@dataclass(frozen=True, slots=True)
class LocalVolume:
    """The folder `path` on node `node` (a container's name as well) that holds the data of a claim."""

    claim: str
    volume: str
    node: str
    path: str


def local_volume(api: Api, namespace: str, claim: str) -> LocalVolume | None:
    """Where the data of a claim is; None while no volume is bound to it.

    Raises ApiUnreachable, ApiRefused, and ProvisionFailed for a volume that is not one node's folder.
    """
    found = api.get(CLAIM, claim, namespace)
    name = dig(found, "spec", "volumeName", default="")
    if not name or dig(found, "status", "phase") != "Bound":
        return None
    volume = api.get(VOLUME, name)
    path = dig(volume, "spec", "hostPath", "path") or dig(volume, "spec", "local", "path")
    node = _node_of(volume or {})
    if not path or not node:
        raise ProvisionFailed(f"the volume {name} of claim {namespace}/{claim} is no folder of one node: only such "
                              "volumes can be copied")  # fmt: skip
    return LocalVolume(f"{namespace}/{claim}", name, node, str(path))


def _node_of(volume: Object) -> str:
    for term in dig(volume, "spec", "nodeAffinity", "required", "nodeSelectorTerms", default=[]):
        for expression in [*(term.get("matchExpressions") or ()), *(term.get("matchFields") or ())]:
            values: list[Any] = expression.get("values") or []
            if expression.get("key") in ("kubernetes.io/hostname", "metadata.name") and len(values) == 1:
                return str(values[0])
    return ""


def copy_out(
    container: str, path: str, target: Path, *, timeout: timedelta = MINUTE, streaming: Streaming = proc.streaming
) -> int:
    """Write what is in the folder `path` of a container to the tar `target`, for our eyes only; its size in bytes.

    Files may grow meanwhile: what is in the tar is what they held at some moment. Raises ToolError, also for a tar that
    is cut short.
    """
    argv = ["docker", "cp", f"{container}:{path}/.", "-"]
    target.touch(mode=0o600)
    with streaming(argv, timeout=timeout) as child, target.open("wb") as sink:
        shutil.copyfileobj(child.stdout, sink)
        _ended(argv, child)
    try:
        with tarfile.open(target) as archive:
            for member in archive:
                held = archive.extractfile(member) if member.isfile() else None
                if held is not None and len(held.read()) != member.size:
                    raise ToolError(f"the copy of {container}:{path} is cut short at {member.name}")
    except tarfile.TarError as error:
        raise ToolError(f"the copy of {container}:{path} is no whole tar: {error}") from error
    return target.stat().st_size


def copy_in(
    source: Path, container: str, path: str, *, timeout: timedelta = MINUTE, streaming: Streaming = proc.streaming
) -> None:
    """Put what is in the tar `source` into the folder `path` of a container. A file of the same name is replaced, not
    written over: who has it open keeps the old one. Raises ToolError.
    """
    argv = ["docker", "cp", "-", f"{container}:{path}"]
    with streaming(argv, timeout=timeout) as child, source.open("rb") as held:
        try:
            shutil.copyfileobj(held, child.stdin)
            child.stdin.close()
        except BrokenPipeError:
            pass  # it ended before it had read all: its return code says so
        _ended(argv, child)


def _ended(argv: list[str], child: Any) -> None:
    returncode = child.wait()  # not for ever: the stream has a deadline, and ends it
    if returncode != 0:
        raise CommandFailed(argv, returncode, "", "docker could not copy: is the node there, and the folder in it?")
