"""k3d: recorded output, supported versions, what its failures become, and that it sees nothing of the user's home."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from harness.cluster import k3d
from harness.cluster.k3d import K3d
from harness.core.clock import MINUTE, SECOND
from harness.core.errors import CommandFailed, CommandTimeout, EnvironmentUnfit, ImageUnavailable, ProvisionFailed
from harness.effects.proc import Completed

RECORDED = Path(__file__).parent / "recorded"
SECRET = "topsecrettopsecret00"
KUBECONFIG = "apiVersion: v1\nclusters: []\nusers: [{name: admin, user: {token: topsecret}}]\n"


class Tool:
    """The k3d command: answers in order of the words, remembers environment and arguments."""

    def __init__(self, **answers: tuple[int, str, str]) -> None:
        self.answers, self.calls, self.environments = answers, [list[str]()], [dict[str, str]()]

    def __call__(
        self, argv: Sequence[str], *, timeout: timedelta, env: Mapping[str, str] | None = None, check: bool = True
    ) -> Completed:
        assert timeout > timedelta(0)
        self.calls.append(list(argv))
        self.environments.append(dict(env or {}))
        code, out, err = self.answers.get("_".join(argv[1:3]), (0, "", ""))
        if check and code:
            raise CommandFailed(argv, code, out, err)
        return Completed(tuple(argv), code, out, err, timedelta(0))


def tool(tmp_path: Path, run: Any, start: Any = None) -> K3d:
    start = start or (lambda *_: None)
    return K3d(Path("/opt/k3d"), tools_image="drill/pause:1", scratch=tmp_path, run=run, start=start)


def recorded(name: str) -> tuple[int, str, str]:
    return 0, (RECORDED / f"k3d-5.9.0-{name}-list.json").read_text(), ""


def test_clusters_are_read_from_recorded_output(tmp_path: Path) -> None:
    (found,) = tool(tmp_path, Tool(cluster_list=recorded("cluster"))).clusters()

    assert (found.name, found.network) == ("dn1", "dev-node-net")
    assert (found.servers, found.servers_running, found.agents, found.agents_running) == (1, 1, 2, 2)
    assert not found.has_loadbalancer


def test_nodes_are_read_from_recorded_output_without_the_token(tmp_path: Path) -> None:
    assert SECRET in recorded("node")[1], "the recording must hold what has to be left out"

    found = tool(tmp_path, Tool(node_list=recorded("node"))).nodes()

    assert {(n.name, n.role, n.cluster, n.running) for n in found} == {
        ("k3d-dn1-server-0", "server", "dn1", True),
        ("k3d-dn1-agent-0", "agent", "dn1", True),
        ("k3d-dn1-agent-1", "agent", "dn1", True),
    }
    assert all(n.address.startswith("172.31.77.") for n in found)
    assert SECRET not in repr(found)


def test_no_cluster_at_all_is_an_empty_list(tmp_path: Path) -> None:
    assert tool(tmp_path, Tool(cluster_list=(0, "null\n", ""))).clusters() == ()


def test_output_that_is_no_json_is_named_without_secrets(tmp_path: Path) -> None:
    broken = tool(tmp_path, Tool(node_list=(0, f"K3S_TOKEN={SECRET} and more", "")))

    with pytest.raises(ProvisionFailed, match="no JSON") as caught:
        broken.nodes()

    assert SECRET not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "version"),
    [
        ('{"k3d":"v5.9.0","k3s":"v1.32.5-k3s1"}', (5, 9, 0)),
        ("k3d version v5.8.3\nk3s version v1.31.5-k3s1 (default)\n", (5, 8, 3)),
        ("k3d version dev\nk3s version v1.2.3\n", None),
        ('{"k3d": "v10.0.1"}', (10, 0, 1)),
    ],
)
def test_the_version_is_k3ds_not_k3ss(text: str, version: tuple[int, int, int] | None) -> None:
    assert k3d.version_of(text) == version


@pytest.mark.parametrize(
    ("version", "good"),
    [((5, 8, 0), True), ((5, 9, 0), True), ((5, 12, 0), True), ((5, 7, 5), False), ((6, 0, 0), False), (None, False)],
)
def test_supported_versions_are_compared_as_numbers(version: tuple[int, int, int] | None, good: bool) -> None:
    assert k3d.supported(version) is good


def test_an_unsupported_version_says_what_is_supported(tmp_path: Path) -> None:
    with pytest.raises(EnvironmentUnfit, match=r"k3d >= 5\.8\.0 and < 6\.0\.0; found 4\.4\.8; install a supported k3d"):
        tool(tmp_path, Tool(**{"version_-o": (0, '{"k3d":"v4.4.8"}', "")})).require_supported()


def test_the_child_sees_no_home_of_the_users(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/somebody")
    monkeypatch.delenv("DOCKER_CONFIG", raising=False)
    run = Tool()

    tool(tmp_path, run).delete("dr-x")

    env = run.environments[-1]
    assert all(env[name].startswith(str(tmp_path)) for name in ("HOME", "KUBECONFIG", "XDG_CONFIG_HOME"))
    assert env["DOCKER_CONFIG"] == "/home/somebody/.docker"
    assert (env["K3D_IMAGE_TOOLS"], env["K3D_FIX_DNS"], env["K3D_FIX_MOUNTS"]) == ("drill/pause:1", "0", "0")
    assert "K3D_FIX_DNS" not in os.environ


@pytest.mark.parametrize(("wanted", "value"), [(True, None), (False, "0")])
def test_nodes_that_see_to_cgroups_themselves_keep_their_entrypoint(
    tmp_path: Path, wanted: bool, value: str | None
) -> None:
    run = Tool()

    K3d(Path("/k3d"), tools_image="x", scratch=tmp_path, run=run, fix_cgroups=wanted).delete("dr-x")

    assert run.environments[-1].get("K3D_FIX_CGROUPV2") == value


def test_the_kubeconfig_is_private_and_never_in_an_error(tmp_path: Path) -> None:
    path = tmp_path / "run" / "kubeconfig"

    tool(tmp_path, Tool(kubeconfig_get=(0, KUBECONFIG, ""))).kubeconfig("dr-x", path)

    assert path.read_text() == KUBECONFIG
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    with pytest.raises(CommandFailed) as caught:
        tool(tmp_path, Tool(kubeconfig_get=(1, "token: topsecret", "no such file"))).kubeconfig("dr-x", path)
    assert "topsecret" not in str(caught.value) + repr(vars(caught.value))


class Child:
    """A process that ends with `code` after being asked `after` times."""

    def __init__(self, code: int, after: int = 0) -> None:
        self.code, self.after, self.pid = code, after, 0

    def poll(self) -> int | None:
        self.after -= 1
        return self.code if self.after < 0 else None


def creating(tmp_path: Path, child: Child, said: str = "") -> k3d.Creation:
    def start(argv: Sequence[str], *, env: Mapping[str, str], log: Path) -> Child:
        log.write_text(said)
        return child

    return tool(tmp_path, Tool(), start).begin_create({"metadata": {"name": "dr-x"}, "servers": 1}, tmp_path)


def test_the_configuration_stays_as_private_evidence(tmp_path: Path) -> None:
    creating(tmp_path, Child(0, after=2)).finish(MINUTE)

    path = tmp_path / "dr-x.k3d.yaml"
    assert "servers: 1" in path.read_text()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.parametrize(
    ("said", "error", "match"),
    [
        ("ERRO[0001] failed to start: port is already allocated\nFATA[0002] rollback", EnvironmentUnfit, "free port"),
        ("ERRO[0001] pull access denied for rancher/k3s", ImageUnavailable, "drill images"),
        ("INFO[0000] x\nERRO[0003] No nodes found\nFATA[0003] rollback deactivated", ProvisionFailed, "No nodes found"),
        ("", ProvisionFailed, "no output"),
    ],
)
def test_a_failed_creation_says_why(tmp_path: Path, said: str, error: type[Exception], match: str) -> None:
    creation = creating(tmp_path, Child(1), said)

    assert creation.failed()
    with pytest.raises(error, match=match):
        creation.finish(MINUTE)


def test_a_creation_that_never_ends_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stopped: list[Child] = []
    monkeypatch.setattr("harness.cluster.k3d.proc.stop", stopped.append)
    child = Child(0, after=10**6)

    with pytest.raises(CommandTimeout):
        creating(tmp_path, child).finish(SECOND / 20)

    assert stopped == [child]


def test_a_node_is_added_with_our_labels(tmp_path: Path) -> None:
    run = Tool()

    labels = {"drill.run": "r"}
    tool(tmp_path, run).node_create("extra", cluster="dr-x", role="agent", image="drill/node:1", labels=labels)

    assert run.calls[-1][1:7] == ["node", "create", "extra", "--cluster=dr-x", "--role=agent", "--image=drill/node:1"]
    assert "--runtime-label=drill.run=r" in run.calls[-1]


def test_ours_is_taken_when_the_one_on_path_is_unsupported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache, path = tmp_path / "cache" / "bin", tmp_path / "path"
    for folder, version in ((cache, "5.9.0"), (path, "4.4.8")):
        folder.mkdir(parents=True)
        (folder / "k3d").write_text(f'#!/bin/sh\necho \'{{"k3d":"v{version}"}}\'\n')
        (folder / "k3d").chmod(0o755)
    monkeypatch.setenv("PATH", f"{path}:/usr/bin:/bin")

    assert k3d.find(tmp_path / "cache") == cache / "k3d"
    (path / "k3d").write_text('#!/bin/sh\necho \'{"k3d":"v5.8.3"}\'\n')
    assert k3d.find(tmp_path / "cache") == path / "k3d"
    (path / "k3d").write_text("#!/bin/sh\nexit 3\n")
    assert k3d.find(tmp_path / "cache") == cache / "k3d", "one that fails is passed over"


def test_redaction_keeps_the_rest() -> None:
    text = json.dumps({"env": [f"K3S_TOKEN={SECRET}"], "k3d.cluster.token": SECRET, "k3d.role": "agent"})

    assert SECRET not in k3d.redacted(text)
    assert '"k3d.role": "agent"' in k3d.redacted(text)
