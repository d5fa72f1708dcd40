"""Boundary to the k3d command: configuration files in, JSON out, a hard deadline on every call.

Here belong k3d's verbs, its environment and the reading of its output. When a cluster is ready does not: k3d's own
waiting for log lines is no proof of that; see `harness.cluster.readiness`.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, Protocol

import yaml

from harness.core.clock import MILLISECOND, MINUTE, SECOND, Clock, SystemClock, between_ns
from harness.core.errors import (
    CommandFailed,
    CommandTimeout,
    EnvironmentUnfit,
    ImageUnavailable,
    ProvisionFailed,
    ToolError,
)
from harness.effects import proc

SUPPORTED = (
    (5, 8, 0),
    (6, 0, 0),
)  # from, below: the configuration schema and the flags were read in 5.8 and 5.9, measured with 5.9
API_VERSION = "k3d.io/v1alpha5"
NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?")
_QUICK = 20 * SECOND
_SECRETS = re.compile(r"(K3S_TOKEN=|k3d\.cluster\.token[=:\"\s]+|clusterToken[\":\s]+)[^\s\",\]]+")


class Runner(Protocol):
    """What we need of `harness.effects.proc.run`."""

    def __call__(
        self, argv: Sequence[str], *, timeout: timedelta, env: Mapping[str, str] | None = None, check: bool = True
    ) -> proc.Completed: ...


@dataclass(frozen=True, slots=True)
class ClusterEntry:
    """A cluster as `k3d cluster list` shows it."""

    name: str
    network: str
    servers: int
    agents: int
    servers_running: int
    agents_running: int
    has_loadbalancer: bool


@dataclass(frozen=True, slots=True)
class NodeEntry:
    """A node as `k3d node list` shows it. `labels` never holds the join token."""

    name: str
    role: str
    cluster: str
    running: bool
    status: str
    address: str
    labels: Mapping[str, str]


def version_of(text: str) -> tuple[int, int, int] | None:
    """The version in `k3d version` output, plain or JSON; None for a build without one."""
    found = re.search(r"k3d(?: version |\"\s*:\s*\")v(\d+)\.(\d+)\.(\d+)", text)
    return (int(found[1]), int(found[2]), int(found[3])) if found else None


def supported(version: tuple[int, int, int] | None) -> bool:
    """Whether the harness knows this version's configuration and output."""
    return version is not None and SUPPORTED[0] <= version < SUPPORTED[1]


def version_at(binary: Path, run: Runner = proc.run) -> tuple[int, int, int] | None:
    """The version of the k3d at `binary`. Raises ToolError."""
    return version_of(run([str(binary), "version", "-o", "json"], timeout=_QUICK).stdout)


def find(cache: Path, run: Runner = proc.run) -> Path | None:
    """The k3d on PATH if its version is supported, else ours in `cache`/bin, else None.

    One that fails to answer is passed over.
    """
    for binary in (proc.which("k3d"), cache / "bin" / "k3d"):
        with suppress(ToolError):
            if binary is not None and binary.exists() and supported(version_at(binary, run)):
                return binary
    return None


class K3d:
    """One k3d program. Errors are ProvisionFailed, ImageUnavailable, EnvironmentUnfit, or a ToolError as it came."""

    def __init__(
        self, binary: Path, *, tools_image: str, scratch: Path, run: Runner = proc.run, clock: Clock | None = None,
        start: Callable[..., Any] = proc.start, fix_cgroups: bool = True,
    ) -> None:  # fmt: skip
        """`scratch`: a private folder of the run, k3d's idea of a home, so that it edits nothing in the user's.

        `fix_cgroups`: on cgroup v2, let k3d wrap the node's entrypoint (official k3s needs it; a server then drains on
        `docker stop`). Nodes built here see to cgroups themselves.
        """
        self.binary, self._scratch, self._run, self._start = binary, scratch, run, start
        self._tools_image, self._clock = tools_image, clock or SystemClock()
        self._fixes = {"K3D_FIX_DNS": "0", "K3D_FIX_MOUNTS": "0", **({} if fix_cgroups else {"K3D_FIX_CGROUPV2": "0"})}

    def version(self) -> tuple[int, int, int] | None:
        """This k3d's version, None if it has none."""
        return version_at(self.binary, self._run)

    def require_supported(self) -> None:
        """Raises EnvironmentUnfit for a version the harness does not know."""
        found = self.version()
        if not supported(found):
            low, high = (".".join(map(str, v)) for v in SUPPORTED)
            raise EnvironmentUnfit(
                f"k3d >= {low} and < {high}", ".".join(map(str, found)) if found else "a k3d without a version",
                f"install a supported k3d, or take {self.binary} off PATH: drill then uses its own",
            )  # fmt: skip

    def begin_create(self, config: Mapping[str, Any], folder: Path) -> Creation:
        """Start `k3d cluster create` and return at once: the API answers seconds before k3d ends.

        The configuration stays in `folder` (0600) as evidence, beside k3d's log.
        """
        name = str(config["metadata"]["name"])
        path, log = folder / f"{name}.k3d.yaml", folder / f"{name}.k3d.log"
        write_private(path, yaml.safe_dump(dict(config), sort_keys=False))
        write_private(log, "")
        argv = [str(self.binary), "cluster", "create", "--config", str(path), "--timestamps"]
        child = self._start(argv, env=self.environment(), log=log)
        return Creation(argv, child, log, self._clock)

    def delete(self, name: str, *, timeout: timedelta = 2 * MINUTE) -> None:
        """Delete a cluster: containers and their anonymous volumes; a network made beforehand stays."""
        self._call("cluster", "delete", name, timeout=timeout)

    def clusters(self) -> tuple[ClusterEntry, ...]:
        """Every k3d cluster of the engine, ours or not."""
        return tuple(_cluster(item) for item in self._json("cluster", "list", "-o", "json"))

    def nodes(self) -> tuple[NodeEntry, ...]:
        """Every k3d node of the engine, ours or not."""
        return tuple(_node(item) for item in self._json("node", "list", "-o", "json"))

    def node_create(
        self, name: str, *, cluster: str, role: str, image: str, labels: Mapping[str, str],
        k3s_args: Sequence[str] = (), timeout: timedelta = 2 * MINUTE,
    ) -> None:  # fmt: skip
        """Add a node `k3d-<name>-0`; k3d copies image, environment and mounts of one with the same role."""
        marks = [f"--runtime-label={key}={value}" for key, value in labels.items()]
        extra = [f"--k3s-arg={arg}" for arg in k3s_args]
        base = ("node", "create", name, f"--cluster={cluster}", f"--role={role}", f"--image={image}", "--wait")
        self._call(*base, f"--timeout={int(timeout.total_seconds())}s", *marks, *extra, timeout=timeout + _QUICK)

    def node_delete(self, name: str, *, timeout: timedelta = MINUTE) -> None:
        """Delete a node's container and its anonymous volumes. The Node object in Kubernetes stays."""
        self._call("node", "delete", name, timeout=timeout)

    def kubeconfig(self, name: str, path: Path) -> Path:
        """Write the admin kubeconfig of the cluster to `path`, 0600. Its content never reaches a log or an error."""
        argv = [str(self.binary), "kubeconfig", "get", name]
        done = self._run(argv, timeout=_QUICK, env=self.environment(), check=False)
        if done.returncode != 0 or "clusters:" not in done.stdout:
            raise CommandFailed(argv, done.returncode, "", redacted(done.stderr))
        write_private(path, done.stdout)
        return path

    def environment(self) -> dict[str, str]:
        """No k3d entrypoint scripts (with them `docker stop` drains a server), our tools image, and nothing of the
        user's home: `k3d cluster delete` rewrites the default kubeconfig even when told to leave it alone."""
        home = self._scratch / "k3d-home"
        home.mkdir(parents=True, exist_ok=True, mode=0o700)
        docker = os.environ.get("DOCKER_CONFIG") or str(Path(os.environ.get("HOME", "/root")) / ".docker")
        return {
            "HOME": str(home), "XDG_CONFIG_HOME": str(home), "KUBECONFIG": str(home / "kubeconfig"),
            "DOCKER_CONFIG": docker, "K3D_IMAGE_TOOLS": self._tools_image, **self._fixes,
        }  # fmt: skip

    def _call(self, *argv: str, timeout: timedelta) -> proc.Completed:
        with mapped():
            return self._run([str(self.binary), *argv], timeout=timeout, env=self.environment())

    def _json(self, *argv: str) -> list[dict[str, Any]]:
        done = self._call(*argv, timeout=_QUICK)
        try:
            found = json.loads(done.stdout or "null") or []
        except json.JSONDecodeError as error:
            raise ProvisionFailed(f"`k3d {' '.join(argv)}` printed no JSON: {redacted(done.stdout[:300])}") from error
        if not isinstance(found, list):
            raise ProvisionFailed(f"`k3d {' '.join(argv)}` printed no list: {redacted(done.stdout[:300])}")
        return found


class Creation:
    """A `k3d cluster create` that is under way."""

    def __init__(self, argv: Sequence[str], child: Any, log: Path, clock: Clock) -> None:
        self._argv, self._child, self._log, self._clock = argv, child, log, clock
        self._begun = clock.now_ns()

    def failed(self) -> bool:
        """Has k3d ended with an error already?"""
        return self._child.poll() not in (None, 0)

    def finish(self, within: timedelta) -> None:
        """Wait until k3d ends, at most `within` from its start. Raises ProvisionFailed and kin."""
        while (code := self._child.poll()) is None:
            if between_ns(self._begun, self._clock.now_ns()) > within:
                self.abort()
                raise CommandTimeout(self._argv, within, "", self._said())
            self._clock.sleep(20 * MILLISECOND)
        if code != 0:
            with mapped():
                raise CommandFailed(self._argv, code, "", self._said())

    def abort(self) -> None:
        """Kill k3d. What it made stays, as evidence, until it is deleted."""
        proc.stop(self._child)

    def _said(self) -> str:
        return redacted(self._log.read_text(errors="replace")[-4000:])


@contextmanager
def mapped() -> Iterator[None]:
    """Turn k3d's failures into errors that say what to do."""
    try:
        yield
    except CommandFailed as error:
        raise _explained(error) from error


def _explained(error: CommandFailed) -> Exception:
    said = redacted(error.stderr + error.stdout)
    line = _reason(said)
    if "port is already allocated" in said or "address already in use" in said:
        remedy = "choose another port or end what listens there"
        return EnvironmentUnfit("a free port for the cluster's API", line, remedy)
    if re.search(r"pull access denied|manifest unknown|no such host|failed to pull image|No such image", said):
        return ImageUnavailable(f"k3d needs an image that cannot be had: {line}; run `drill images` first")
    return ProvisionFailed(f"`{' '.join(error.argv[1:4])}` ended with {error.returncode}: {line}")


def _reason(said: str) -> str:
    """The line that matters: k3d's last word is only that everything was rolled back."""
    lines = [re.sub(r"\x1b\[[0-9;]*m", "", line).strip() for line in said.splitlines() if line.strip()]
    telling = [line for line in lines if re.match(r"(ERRO|FATA|Error)", line)]
    return (telling or lines or ["no output"])[0][:600]


def redacted(text: str) -> str:
    """`text` without join tokens: k3d prints them among labels and environment variables."""
    return _SECRETS.sub(r"\1(removed)", text)


def write_private(path: Path, text: str) -> None:
    """Write a file only its owner can read, from the first byte on."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)


def _cluster(item: Mapping[str, Any]) -> ClusterEntry:
    return ClusterEntry(
        name=str(item["name"]), network=str((item.get("network") or {}).get("name", "")),
        servers=int(item.get("serversCount") or 0), agents=int(item.get("agentsCount") or 0),
        servers_running=int(item.get("serversRunning") or 0), agents_running=int(item.get("agentsRunning") or 0),
        has_loadbalancer=bool(item.get("hasLoadbalancer")),
    )  # fmt: skip


def _node(item: Mapping[str, Any]) -> NodeEntry:
    marks = {k: str(v) for k, v in (item.get("runtimeLabels") or {}).items() if k != "k3d.cluster.token"}
    state, address = item.get("State") or {}, item.get("IP") or {}
    return NodeEntry(
        name=str(item["name"]), role=str(item.get("role", "")), cluster=marks.get("k3d.cluster", ""),
        running=bool(state.get("Running")), status=str(state.get("Status", "")),
        address=str(address.get("IP") or ""), labels=marks,
    )  # fmt: skip
