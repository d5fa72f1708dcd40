"""Boundary to the Docker engine: every call has a deadline, every error is one of ours.

Here belong the calls the harness needs and the few inspect fields it reads. What a container means to a cluster does
not: that is `harness.cluster.k3d` and above. Lifecycle verbs go through python-on-whales in a thread with a deadline
(it has none of its own); whatever returns data goes through the CLI, so that a field added or dropped by an engine
release can never fail a drill.
"""

from __future__ import annotations

import ipaddress
import json
import os
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlparse

from harness.core.clock import MINUTE, SECOND
from harness.core.errors import CommandFailed, CommandTimeout, EnvironmentUnfit, ToolError, ToolMissing, UnsafeTarget
from harness.core.text import first_line
from harness.effects import proc

QUICK, BRIEF = 20 * SECOND, 10 * SECOND
# Labels that must never reach a log or a report: k3d writes the cluster's join token into one.
_SECRET_LABELS = frozenset({"k3d.cluster.token"})


class Runner(Protocol):
    """What we need of `harness.effects.proc.run`."""

    def __call__(self, argv: Sequence[str], *, timeout: timedelta, check: bool = True) -> proc.Completed: ...


@dataclass(frozen=True, slots=True)
class Engine:
    """Facts about the engine that answers."""

    version: str
    endpoint: str
    name: str
    system: str
    root: str
    storage: str
    default_runtime: str
    runtimes: tuple[str, ...]
    cgroup_version: str
    memory_bytes: int
    cpus: int


@dataclass(frozen=True, slots=True)
class Container:
    """What we read of a container. `addresses` maps network name to IPv4 address."""

    id: str
    name: str
    image: str
    labels: Mapping[str, str]
    running: bool
    paused: bool
    exit_code: int
    pid: int
    restarts: int
    addresses: Mapping[str, str]
    volumes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class DockerNetwork:
    """What we read of a network."""

    id: str
    name: str
    labels: Mapping[str, str]
    subnets: tuple[str, ...]
    gateway: str
    bridge: str
    containers: tuple[str, ...]


class Docker:
    """The engine behind the `docker` command. Methods raise CommandFailed, CommandTimeout and ToolMissing."""

    def __init__(self, *, run: Runner = proc.run, whales: Callable[[], Any] | None = None) -> None:
        self._run, self._whales = run, whales or _whales

    @classmethod
    def connect(cls) -> Docker:
        """The engine of this machine, which answered just now. Raises EnvironmentUnfit and UnsafeTarget."""
        docker = cls()
        docker.engine()
        return docker

    # --- the engine ------------------------------------------------------------------------------------------------

    def endpoint(self) -> str:
        """Where the CLI would go, found without going there: DOCKER_HOST, else DOCKER_CONTEXT, else what is current."""
        chosen, context = os.environ.get("DOCKER_HOST", ""), _context()
        if chosen:
            return chosen if "://" in chosen else f"tcp://{chosen}"
        # `docker context inspect` greets the engine in use (seen with 20.10): a context is read pointed at nothing.
        at = () if context == "default" else ("--host", "unix:///dev/null")
        return self._cli(*at, "context", "inspect", context, "--format", "{{.Endpoints.docker.Host}}").stdout.strip()

    def engine(self) -> Engine:
        """Facts about the engine, which must be local and must answer. Raises EnvironmentUnfit and UnsafeTarget."""
        try:
            endpoint = self.endpoint()
            _refuse_remote(endpoint)
            done = self._run(["docker", "info", "--format", "{{json .}}"], timeout=QUICK, check=False)
        except ToolMissing as error:
            raise EnvironmentUnfit("the docker command", "none on PATH", _INSTALL) from error
        except CommandTimeout as error:
            raise EnvironmentUnfit("a Docker engine that answers within 20 s", "silence", _RESTART) from error
        facts = _json(done.stdout)
        if done.returncode != 0 or not isinstance(facts, dict) or not facts.get("ServerVersion"):
            raise _no_engine(endpoint, facts, done)
        return Engine(
            version=str(facts["ServerVersion"]), endpoint=endpoint, name=str(facts.get("Name", "")),
            system=str(facts.get("OperatingSystem", "")), root=str(facts.get("DockerRootDir", "/var/lib/docker")),
            storage=str(facts.get("Driver", "")), default_runtime=str(facts.get("DefaultRuntime", "")),
            runtimes=tuple(sorted(facts.get("Runtimes") or {})), cgroup_version=str(facts.get("CgroupVersion", "")),
            memory_bytes=int(facts.get("MemTotal", 0)), cpus=int(facts.get("NCPU", 0)),
        )  # fmt: skip

    def silence(self) -> str:
        """Why the engine gives no answer; "" where it does. Cheap: for asking while one waits."""
        try:
            self._cli("version", "--format", "{{.Server.Version}}", timeout=BRIEF)
        except ToolError as error:
            return first_line(error)
        return ""

    # --- containers ------------------------------------------------------------------------------------------------

    def containers(self, *labels: str, network: str = "") -> tuple[Container, ...]:
        """Every container, running or not, that carries all `labels` ("key" or "key=value")."""
        filters = [f"label={label}" for label in labels] + ([f"network={network}"] if network else [])
        ids = self._ids("ps", "-aq", "--no-trunc", *_filters(filters))
        return tuple(_container(item) for item in self.inspect("container", ids))

    def container(self, name: str) -> Container | None:
        """One container by name or id; None where there is none."""
        found = self.inspect("container", [name])
        return _container(found[0]) if found else None

    def kill(self, name: str, signal: str = "KILL") -> None:
        """Kill the container's first process: a crash. It stays down until started, whatever its restart policy."""
        self._whale(["kill", name], lambda w: w.container.kill(name, signal=signal))

    def pause(self, name: str) -> None:
        """Freeze every process of the container."""
        self._whale(["pause", name], lambda w: w.container.pause(name))

    def unpause(self, name: str) -> None:
        """Thaw a frozen container."""
        self._whale(["unpause", name], lambda w: w.container.unpause(name))

    def stop(self, name: str, grace: timedelta = 10 * SECOND) -> None:
        """Ask the container to end, then kill it after `grace`."""
        seconds = int(grace.total_seconds())
        self._whale(["stop", name], lambda w: w.container.stop(name, time=seconds), QUICK + grace)

    def start(self, name: str) -> None:
        """Start a container that is down."""
        self._whale(["start", name], lambda w: w.container.start(name), MINUTE)

    def remove(self, name: str) -> None:
        """Remove a container, running or not, with its anonymous volumes. One that is gone already is no error."""
        with _ignoring("No such container", "already in progress"):
            self._cli("rm", "-f", "-v", name, timeout=MINUTE)

    def run(
        self, image: str, argv: Sequence[str] = (), *, options: Sequence[str] = (), timeout: timedelta = MINUTE
    ) -> proc.Completed:
        """`docker run` of an image that is present: never a silent pull."""
        return self._cli("run", "--pull=never", *options, image, *argv, timeout=timeout)

    def exec(self, name: str, argv: Sequence[str], *, timeout: timedelta = QUICK, check: bool = True) -> proc.Completed:
        """Run a command in a container. In a frozen one it blocks until the deadline."""
        return self._cli("exec", name, *argv, timeout=timeout, check=check)

    def logs(self, name: str, *, tail: int = 500) -> str:
        """The last lines of both streams."""
        done = self._cli("logs", "--timestamps", "--tail", str(tail), name, check=False)
        return done.stdout + done.stderr

    # --- networks, volumes, images ---------------------------------------------------------------------------------

    def networks(self, *labels: str) -> tuple[DockerNetwork, ...]:
        """Every network that carries all `labels`; without labels every network."""
        ids = self._ids("network", "ls", "-q", "--no-trunc", *_filters(f"label={label}" for label in labels))
        return tuple(_network(item) for item in self.inspect("network", ids))

    def network(self, name: str) -> DockerNetwork | None:
        """One network by name; None where there is none."""
        found = self.inspect("network", [name])
        return _network(found[0]) if found else None

    def create_network(self, name: str, *, subnet: str, gateway: str, bridge: str, labels: Mapping[str, str]) -> str:
        """Make a bridge network; its id."""
        marks = [f"--label={key}={value}" for key, value in labels.items()]
        option = f"--opt=com.docker.network.bridge.name={bridge}"
        done = self._cli(
            "network", "create", "--driver=bridge", f"--subnet={subnet}", f"--gateway={gateway}", option, *marks, name
        )
        return done.stdout.strip()

    def remove_network(self, name: str) -> None:
        """Remove a network. One that is gone already is no error."""
        with _ignoring("not found", "No such network"):
            self._cli("network", "rm", name)

    def volumes(self, *labels: str) -> tuple[str, ...]:
        """Names of the volumes that carry all `labels`; without labels of every volume."""
        return tuple(self._ids("volume", "ls", "-q", *_filters(f"label={label}" for label in labels)))

    def volume_labels(self, name: str) -> Mapping[str, str]:
        """The labels of a volume; empty where it has none or is gone."""
        found = self.inspect("volume", [name])
        return _labels(found[0].get("Labels")) if found else {}

    def create_volume(self, name: str, labels: Mapping[str, str]) -> None:
        """Make a local volume."""
        self._cli("volume", "create", *[f"--label={key}={value}" for key, value in labels.items()], name)

    def remove_volume(self, name: str) -> None:
        """Remove a volume. One that is gone already is no error."""
        with _ignoring("no such volume", "No such volume"):
            self._cli("volume", "rm", name)

    def image_id(self, reference: str) -> str | None:
        """The id of an image that is present, or None."""
        found = self.inspect("image", [reference])
        return str(found[0]["Id"]) if found else None

    # --- plumbing --------------------------------------------------------------------------------------------------

    def _cli(self, *argv: str, timeout: timedelta = QUICK, check: bool = True) -> proc.Completed:
        return self._run(["docker", *argv], timeout=timeout, check=check)

    def _ids(self, *argv: str) -> list[str]:
        return self._cli(*argv).stdout.split()

    def inspect(self, what: str, names: Sequence[str]) -> list[dict[str, Any]]:
        """What can be inspected of `names`: a thing may vanish between listing and asking."""
        if not names:
            return []
        done = self._cli(what, "inspect", *names, check=False)
        missing = all(_is_absence(line) for line in done.stderr.splitlines() if line.strip())
        if done.returncode != 0 and not missing:
            raise CommandFailed(done.argv, done.returncode, done.stdout, done.stderr)
        found = _json(done.stdout) if done.stdout.strip() else []
        if not isinstance(found, list):
            raise ToolError(f"expected a JSON list from `docker {what} inspect`; found {done.stdout[:200]!r}")
        return found

    def _whale(self, argv: Sequence[str], call: Callable[[Any], object], timeout: timedelta = QUICK) -> None:
        """Do `call` with python-on-whales in a thread of its own, so that an engine that hangs cannot hang us."""
        failure: list[BaseException] = []

        def work() -> None:
            try:
                call(self._whales())
            except BaseException as error:  # noqa: BLE001 - carried to the caller's thread and raised there
                failure.append(error)

        thread = threading.Thread(target=work, name=f"docker {argv[0]}", daemon=True)
        thread.start()
        thread.join(timeout.total_seconds())
        if thread.is_alive():
            raise CommandTimeout(["docker", *argv], timeout, "", "the engine did not answer")
        if failure:
            with mapped(["docker", *argv]):
                raise failure[0]


@contextmanager
def mapped(argv: Sequence[str]) -> Iterator[None]:
    """Turn python-on-whales' exceptions into ours."""
    from python_on_whales import ClientNotFoundError
    from python_on_whales.exceptions import DockerException

    try:
        yield
    except ClientNotFoundError as error:
        raise ToolMissing("docker") from error
    except DockerException as error:
        raise CommandFailed(argv, error.return_code or -1, error.stdout or "", error.stderr or str(error)) from error


@contextmanager
def _ignoring(*sentences: str) -> Iterator[None]:
    try:
        yield
    except CommandFailed as error:
        if not any(sentence in error.stderr for sentence in sentences):
            raise


def _whales() -> Any:
    from python_on_whales import DockerClient  # half a second of import that collection must not pay

    return DockerClient(client_call=["docker"])


def _context() -> str:
    """The name of the context in use; see `docker context use` and the property currentContext of config.json."""
    folder = Path(os.environ.get("DOCKER_CONFIG") or Path.home() / ".docker")
    try:
        settings = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        settings = {}
    current = settings.get("currentContext") if isinstance(settings, dict) else None
    return os.environ.get("DOCKER_CONTEXT") or str(current or "default")


def _refuse_remote(endpoint: str) -> None:
    """Our rules, limits and addresses are this machine's: an engine elsewhere would run everything unguarded."""
    url = urlparse(endpoint)
    if url.scheme in ("unix", "npipe", "fd", ""):
        return
    host = url.hostname or ""
    if url.scheme in ("tcp", "http", "https") and (host == "localhost" or _is_loopback(host)):
        return
    raise UnsafeTarget(
        "a Docker engine on this machine", f"the remote engine {url.scheme}://{host or '?'}",
        "unset DOCKER_HOST and DOCKER_CONTEXT, or choose a local one with `docker context use default`",
    )  # fmt: skip


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


_INSTALL = "install Docker, or on Debian or Ubuntu run `sudo drill provision`"
_RESTART = "look at `journalctl -u docker` or /var/log/dockerd.log and restart the engine"


def _no_engine(endpoint: str, facts: object, done: proc.Completed) -> EnvironmentUnfit:
    said = " ".join(facts.get("ServerErrors") or []) if isinstance(facts, dict) else ""
    said = said or done.stderr.strip() or "no answer"
    remedy = "start it with `systemctl start docker`, or on Debian or Ubuntu run `sudo drill provision`"
    if "permission denied" in said.lower():
        remedy = "add yourself to its group with `sudo usermod -aG docker $USER` and log in again"
    return EnvironmentUnfit(f"a Docker engine answering at {endpoint}", said.splitlines()[-1][:300], remedy)


def _filters(values: Iterable[str]) -> list[str]:
    return [word for value in values for word in ("--filter", value)]


def _is_absence(line: str) -> bool:
    return "no such" in line.lower() or "not found" in line.lower()


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return None


def _labels(found: Any) -> dict[str, str]:
    return {key: str(value) for key, value in (found or {}).items() if key not in _SECRET_LABELS}


def _container(item: Mapping[str, Any]) -> Container:
    state, config = item.get("State") or {}, item.get("Config") or {}
    attached = (item.get("NetworkSettings") or {}).get("Networks") or {}
    return Container(
        id=str(item["Id"]), name=str(item.get("Name", "")).lstrip("/"), image=str(config.get("Image", "")),
        labels=_labels(config.get("Labels")), running=bool(state.get("Running")), paused=bool(state.get("Paused")),
        exit_code=int(state.get("ExitCode") or 0),
        pid=int(state.get("Pid") or 0), restarts=int(item.get("RestartCount") or 0),
        addresses={name: str(net.get("IPAddress") or "") for name, net in attached.items()},
        volumes=tuple(str(m["Name"]) for m in item.get("Mounts") or () if m.get("Type") == "volume" and m.get("Name")),
    )  # fmt: skip


def _network(item: Mapping[str, Any]) -> DockerNetwork:
    ranges = (item.get("IPAM") or {}).get("Config") or []
    bridge = (item.get("Options") or {}).get("com.docker.network.bridge.name") or f"br-{str(item['Id'])[:12]}"
    return DockerNetwork(
        id=str(item["Id"]), name=str(item["Name"]), labels=_labels(item.get("Labels")),
        subnets=tuple(str(r["Subnet"]) for r in ranges if r.get("Subnet")),
        gateway=next((str(r["Gateway"]) for r in ranges if r.get("Gateway")), ""),
        bridge=str(bridge), containers=tuple(item.get("Containers") or ()),
    )  # fmt: skip
