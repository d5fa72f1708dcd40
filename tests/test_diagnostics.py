"""Diagnostics: no credential gets into them, and one source that fails does not cost the others."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from harness.core.errors import ApiUnreachable, CommandFailed
from harness.diagnostics import collect, redact
from tests.stage import Stage

JWT = "eyJhbGciOiJSUzI1NiIsImtpZCI6IngifQ.eyJpc3MiOiJrdWJlcm5ldGVzIn0.c2lnbmF0dXJlLWNhbmFyeQ"
CANARIES = {
    "token": ("token: canary-0123456789", "canary-0123456789"),
    "quoted token": ('{"token": "canary-0123456789"}', "canary-0123456789"),
    "token inside JSON inside JSON": (json.dumps({"a": json.dumps({"token": "canary-1"})}), "canary-1"),
    "bearer JWT": (f"Authorization: Bearer {JWT}", "c2lnbmF0dXJlLWNhbmFyeQ"),
    "bare JWT": (f"got {JWT} from the server", JWT),
    "opaque bearer": ("Authorization: Bearer canary0123456789", "canary0123456789"),
    "bearer without header": ("curl -H 'Bearer canary0123456789'", "canary0123456789"),
    "basic": ("authorization: Basic Y2FuYXJ5OmNhbmFyeQ==", "Y2FuYXJ5"),
    "URL userinfo": ("fatal: https://bob:canary@git.example.org/x.git", "canary"),
    "URL password with an at sign": ("https://bob:canary@more@git.example.org/x.git", "more"),
    "URL token": ("https://ghp_canary@git.example.org/x.git", "ghp_canary"),
    "kubeconfig key": ("    client-key-data: LS0tLS1CRUdJTiBSU0Eg\n", "LS0tLS1CRUdJ"),
    "password": ("password: canary", "canary"),
    "short password": ("password: x", "x"),
    "password on a command line": ("--password=canary", "canary"),
    "secret key": ("AWS_SECRET_ACCESS_KEY=canary", "canary"),
    "environment": ('{"name": "DB_PASSWORD",\n  "value": "canary with spaces"}', "canary"),
    "node join token": (f"K10{'a' * 64}::server:canary", "canary"),
    "private key": ("-----BEGIN EC PRIVATE KEY-----\nMHcCAQcanary\n-----END EC PRIVATE KEY-----", "canary"),
}  # fmt: skip


@pytest.mark.parametrize("name", CANARIES)
def test_a_credential_is_covered(name: str) -> None:
    text, canary = CANARIES[name]
    assert canary in text
    assert canary not in redact(text)
    assert "[redacted]" in redact(text)


@pytest.mark.parametrize(
    "text",
    [
        "level=info msg=\"Reconciled\" app=shop",
        "https://git.example.org/team/gitops.git at main",
        '"secretName": "db-credentials"',
        'secrets "db-credentials" not found',
        "image: drill/node@sha256:0123456789abcdef",
        '{"name": "LOG_LEVEL", "value": "debug"}',
    ],
)  # fmt: skip
def test_what_is_no_credential_stays(text: str) -> None:
    assert redact(text) == text


def test_json_stays_json() -> None:
    obj = {"volumes": [{"secret": {"secretName": "x"}}], "env": [{"name": "TOKEN", "value": "canary"}], "password": "a"}
    covered = json.loads(redact(json.dumps(obj, indent=1)))
    assert covered == {**obj, "env": [{"name": "TOKEN", "value": "[redacted]"}], "password": "[redacted]"}


class Sick(Stage):
    """A platform of which any source may be away."""

    def __init__(self, *away: str, alive: bool = True) -> None:
        super().__init__(alive=alive)
        self.away = away
        self.repo = SimpleNamespace(head="cafe", git=SimpleNamespace(out=self.log))
        self.api.objects = [
            {"kind": "Pod", "metadata": {"name": "p", "managedFields": ["long"]}, "env": f"Bearer {JWT}"},
            {"kind": "Event", "metadata": {"name": "e"}},
        ]
        if "api" in away:
            self.api.served = set()
        self.cluster = SimpleNamespace(api=self.api, nodes=self.nodes, docker=SimpleNamespace(logs=self.node_log))

    def log(self, *args: str) -> str:
        if "git" in self.away:
            raise CommandFailed(["git", "log"], 128, "", "no such commit\nat length")
        return "commit cafe"

    def nodes(self) -> tuple[Any, ...]:
        if "docker" in self.away:
            raise ApiUnreachable("no engine")
        return tuple(SimpleNamespace(name=n, container=f"id-{n}") for n in ("server-0", "agent-0"))

    def node_log(self, container: str, *, tail: int) -> str:
        if container in self.away:
            raise RuntimeError
        return f"{container} said token=canary1234"


def files(folder: Path) -> set[str]:
    return {p.name for p in folder.iterdir()}


LISTS = {"pods.json", "events.json", "nodes.json", "applications.json"}
LOGS = {"node-server-0.log", "node-agent-0.log"}


def test_everything_is_kept_covered_and_without_ballast(tmp_path: Path) -> None:
    assert collect(Sick(), tmp_path / "a" / "b") == []  # type: ignore[arg-type]
    assert files(tmp_path / "a" / "b") == {"git-log.txt", *LOGS, *LISTS}
    assert (tmp_path / "a/b/node-agent-0.log").read_text() == "id-agent-0 said token=[redacted]"
    (pod,) = json.loads((tmp_path / "a/b/pods.json").read_text())
    assert pod == {"kind": "Pod", "metadata": {"name": "p"}, "env": "Bearer [redacted]"}


@pytest.mark.parametrize(
    ("away", "lost", "said"),
    [
        ("git", {"git-log.txt"}, "git-log.txt could not be collected: `git log` ended with 128:"),
        ("docker", LOGS, "node logs could not be collected: no engine"),
        ("id-agent-0", {"node-agent-0.log"}, "node-agent-0.log could not be collected: RuntimeError()"),
        ("api", LISTS, "pods.json could not be collected: the API answered 404"),
    ],
)
def test_one_source_that_fails_does_not_cost_the_others(tmp_path: Path, away: str, lost: set[str], said: str) -> None:
    problems = collect(Sick(away), tmp_path)  # type: ignore[arg-type]
    assert files(tmp_path) == {"git-log.txt", *LOGS, *LISTS} - lost
    assert problems[0].startswith(said)
    assert all("\n" not in problem for problem in problems)
    assert len(problems) == (4 if away == "api" else 1)


def test_without_a_cluster_there_is_still_the_repository(tmp_path: Path) -> None:
    assert collect(Sick("docker", alive=False), tmp_path) == []  # type: ignore[arg-type]
    assert files(tmp_path) == {"git-log.txt"}
