"""Docker: what is read of its output, how its failures become ours, and the real engine for the lifecycle verbs."""

from __future__ import annotations

import json
import secrets
import threading
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from python_on_whales import ClientNotFoundError
from python_on_whales.exceptions import DockerException

from harness.cluster import docker as module
from harness.cluster.docker import Docker
from harness.core.clock import seconds
from harness.core.errors import CommandFailed, CommandTimeout, EnvironmentUnfit, ToolMissing, UnsafeTarget
from harness.effects.proc import Completed
from tests.cluster import tiny

LOCAL = "unix:///var/run/docker.sock"
# As printed by Docker 20.10 and 28, shortened to what is read and some of what is not.
INFO = {
    "ID": "LMZO", "ServerVersion": "20.10.24", "Driver": "overlay2", "CgroupVersion": "1", "NCPU": 2, "Name": "vm",
    "OperatingSystem": "Debian GNU/Linux 12", "MemTotal": 25272844288, "DockerRootDir": "/var/lib/docker",
    "Runtimes": {"runc": {"path": "runc"}, "drill": {"path": "/x"}}, "DefaultRuntime": "drill", "Warnings": ["x"],
}  # fmt: skip
CONTAINER = {
    "Id": "ab" * 32, "Name": "/k3d-dr-x-server-0", "RestartCount": 1, "Path": "/bin/k3s",
    "State": {"Status": "running", "Running": True, "Paused": False, "ExitCode": 0, "Pid": 77,
              "StartedAt": "2026-01-02T03:04:05.6Z"},
    "Config": {"Image": "drill/node:1", "Env": ["K3S_TOKEN=topsecret"],
               "Labels": {"drill.run": "r1", "k3d.cluster.token": "topsecret", "k3d.role": "server"}},
    "Mounts": [{"Type": "volume", "Name": "v1"}, {"Type": "bind", "Source": "/x"}, {"Type": "volume", "Name": "v2"}],
    "NetworkSettings": {"Networks": {"drill-r1": {"IPAddress": "172.28.1.2"}, "other": {"IPAddress": ""}}},
}  # fmt: skip
NETWORK = {
    "Id": "cd" * 32, "Name": "drill-r1", "Labels": {"drill.run": "r1"}, "Containers": {"ab": {}},
    "Options": {"com.docker.network.bridge.name": "drl-1"},
    "IPAM": {"Driver": "default", "Options": None, "Config": [{"Subnet": "172.28.1.0/24", "Gateway": "172.28.1.1"}]},
}  # fmt: skip


@pytest.fixture(autouse=True)
def no_context(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Whatever the user's own docker command is pointed at stays out; the folder of its configuration."""
    for name in ("DOCKER_HOST", "DOCKER_CONTEXT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    return tmp_path


class Cli:
    """Answers the docker command from a table: the first entry whose words are all there."""

    def __init__(self, *answers: tuple[str, int, str, str]) -> None:
        self.answers, self.calls = answers, [("",)]

    def __call__(self, argv: Sequence[str], *, timeout: timedelta, check: bool = True) -> Completed:
        self.calls.append(tuple(argv))
        assert timeout > timedelta(0)
        for words, code, out, err in self.answers:
            if set(words.split()) <= set(argv):
                if check and code:
                    raise CommandFailed(argv, code, out, err)
                return Completed(tuple(argv), code, out, err, timedelta(0))
        raise AssertionError(f"unexpected call {argv}")


def with_engine(info: object, code: int = 0, endpoint: str = LOCAL, err: str = "") -> Docker:
    return Docker(run=Cli(("context inspect", 0, endpoint + "\n", ""), ("info", code, json.dumps(info), err)))


def test_the_engines_facts_are_read() -> None:
    engine = with_engine(INFO).engine()

    assert (engine.version, engine.endpoint, engine.default_runtime) == ("20.10.24", LOCAL, "drill")
    assert (engine.storage, engine.root, engine.cgroup_version) == ("overlay2", "/var/lib/docker", "1")
    assert (engine.runtimes, engine.cpus) == (("drill", "runc"), 2)


@pytest.mark.parametrize("endpoint", ["ssh://me@example.net", "tcp://192.0.2.7:2375", "https://docker.example:2376"])
def test_a_remote_engine_is_refused_before_it_is_asked(endpoint: str) -> None:
    cli = Cli(("context inspect", 0, endpoint, ""))

    with pytest.raises(UnsafeTarget, match="unset DOCKER_HOST"):
        Docker(run=cli).engine()

    assert len(cli.calls) == 2


@pytest.mark.parametrize("address", ["tcp://192.0.2.10:2375", "192.0.2.10:2375", "ssh://me@example.net"])
def test_a_remote_docker_host_is_refused_without_one_command(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", address)
    cli = Cli()

    with pytest.raises(UnsafeTarget, match="remote engine"):
        Docker(run=cli).engine()

    assert cli.calls == [("",)]


@pytest.mark.parametrize("by_variable", [True, False])
def test_a_context_is_looked_up_with_the_cli_pointed_at_nothing(
    by_variable: bool, no_context: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if by_variable:
        monkeypatch.setenv("DOCKER_CONTEXT", "far")
    else:
        (no_context / "config.json").write_text('{"currentContext": "far"}')
    cli = Cli(("context inspect far", 0, "ssh://me@example.net", ""))

    with pytest.raises(UnsafeTarget):
        Docker(run=cli).engine()

    assert cli.calls[1][:6] == ("docker", "--host", "unix:///dev/null", "context", "inspect", "far")


@pytest.mark.parametrize("endpoint", [LOCAL, "tcp://127.0.0.1:2375", "tcp://localhost:2375", "unix:///home/u/d.sock"])
def test_an_engine_of_this_machine_is_taken(endpoint: str) -> None:
    assert with_engine(INFO, endpoint=endpoint).engine().endpoint == endpoint


def test_no_engine_says_how_to_get_one() -> None:
    said = {"ServerErrors": ["Cannot connect to the Docker daemon at unix:///var/run/docker.sock."]}

    with pytest.raises(EnvironmentUnfit, match=r"Cannot connect.*sudo drill provision"):
        with_engine(said, code=1).engine()


def test_an_engine_we_may_not_use_says_how_to_be_let_in() -> None:
    with pytest.raises(EnvironmentUnfit, match="usermod -aG docker"):
        with_engine({}, code=1, err="permission denied while trying to connect").engine()


def test_no_docker_command_is_an_unfit_environment() -> None:
    def run(argv: Sequence[str], *, timeout: timedelta, check: bool = True) -> Completed:
        raise ToolMissing("docker")

    with pytest.raises(EnvironmentUnfit, match="none on PATH"):
        Docker(run=run).engine()


def test_a_silent_engine_is_an_unfit_environment() -> None:
    def run(argv: Sequence[str], *, timeout: timedelta, check: bool = True) -> Completed:
        if "info" in argv:
            raise CommandTimeout(argv, timeout, "", "")
        return Completed(tuple(argv), 0, LOCAL, "", timeout)

    with pytest.raises(EnvironmentUnfit, match="silence"):
        Docker(run=run).engine()


def test_a_containers_fields_are_read_and_its_token_is_not() -> None:
    cli = Cli(("ps", 0, "ab\n", ""), ("container inspect", 0, json.dumps([CONTAINER]), ""))

    (found,) = Docker(run=cli).containers("drill.run=r1")

    assert "label=drill.run=r1" in cli.calls[1]
    assert (found.name, found.running, found.pid, found.restarts) == ("k3d-dr-x-server-0", True, 77, 1)
    assert found.addresses == {"drill-r1": "172.28.1.2", "other": ""}
    assert found.volumes == ("v1", "v2")
    assert "topsecret" not in repr(found)


def test_a_container_that_vanishes_between_listing_and_asking_is_left_out() -> None:
    cli = Cli(
        ("ps", 0, "ab cd", ""),
        ("container inspect", 1, json.dumps([CONTAINER]), "Error: No such container: cd"),
    )

    assert [c.name for c in Docker(run=cli).containers("x")] == ["k3d-dr-x-server-0"]


def test_any_other_failure_to_inspect_is_a_failure() -> None:
    cli = Cli(("ps", 0, "ab", ""), ("container inspect", 1, "[]", "Cannot connect to the Docker daemon"))

    with pytest.raises(CommandFailed, match="Cannot connect"):
        Docker(run=cli).containers("x")


def test_a_network_is_read() -> None:
    cli = Cli(("network inspect", 0, json.dumps([NETWORK]), ""))

    found = Docker(run=cli).network("drill-r1")

    assert found is not None
    assert (found.subnets, found.gateway, found.bridge) == (("172.28.1.0/24",), "172.28.1.1", "drl-1")
    assert found.containers == ("ab",)


def test_what_is_not_there_is_none() -> None:
    cli = Cli(("inspect", 1, "[]", "Error response from daemon: network drill-r1 not found"))

    assert Docker(run=cli).network("drill-r1") is None


def test_removing_what_is_gone_is_no_error() -> None:
    Docker(run=Cli(("rm", 1, "", "Error: No such container: x"))).remove("x")
    with pytest.raises(CommandFailed):
        Docker(run=Cli(("rm", 1, "", "Error: device busy"))).remove("x")


def whale(**verbs: Any) -> SimpleNamespace:
    return SimpleNamespace(container=SimpleNamespace(**verbs))


def test_a_verb_that_hangs_ends_at_its_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    release = threading.Event()
    monkeypatch.setattr(module, "QUICK", seconds(0.05))
    docker = Docker(whales=lambda: whale(pause=lambda name: release.wait(5)))

    with pytest.raises(CommandTimeout, match="docker pause x"):
        docker._whale(["pause", "x"], lambda w: w.container.pause("x"), seconds(0.05))

    release.set()


@pytest.mark.parametrize(
    ("foreign", "ours"),
    [
        (DockerException(["docker", "kill", "x"], 1, b"", b"No such container: x"), CommandFailed),
        (ClientNotFoundError("no docker"), ToolMissing),
    ],
)
def test_foreign_errors_become_ours(foreign: Exception, ours: type[Exception]) -> None:
    def fail(name: str, signal: str) -> None:
        raise foreign

    with pytest.raises(ours):
        Docker(whales=lambda: whale(kill=fail)).kill("x")


def test_every_foreign_error_is_mapped() -> None:
    import python_on_whales.exceptions as foreign

    known = {e for e in vars(foreign).values() if isinstance(e, type) and issubclass(e, Exception)}
    assert known
    assert all(issubclass(e, DockerException) for e in known), "a new kind of error needs a line in `mapped`"


@pytest.mark.cluster
def test_the_lifecycle_verbs_do_what_they_say() -> None:
    docker, name = Docker.connect(), f"drill-test-{secrets.token_hex(3)}"
    docker.run(tiny.build(), options=["-d", f"--name={name}", "--network=none", "--label=drill.test=1"])
    try:
        found = docker.container(name)
        assert found is not None
        assert found.running
        docker.pause(name)
        assert state(docker, name).paused
        docker.unpause(name)
        assert not state(docker, name).paused
        docker.kill(name)
        assert not state(docker, name).running
        docker.start(name)
        assert state(docker, name).running
        docker.stop(name, grace=timedelta(0))
        assert not state(docker, name).running
        assert docker.volumes()
    finally:
        docker.remove(name)
    assert docker.container(name) is None
    assert not set(found.volumes) & set(docker.volumes()), "its anonymous volume must go with it"


def state(docker: Docker, name: str) -> module.Container:
    found = docker.container(name)
    assert found is not None
    return found
