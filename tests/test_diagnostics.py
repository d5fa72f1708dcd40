"""Diagnostics: no credential gets into them, and one source that fails does not cost the others."""

from __future__ import annotations

import base64
import io
import json
import tarfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from harness.core.clock import SECOND
from harness.core.errors import ApiUnreachable, CommandFailed, CommandTimeout
from harness.core.objects import Ref
from harness.diagnostics import collect, redact
from harness.diagnostics.known import address_secrets, secrets_in
from harness.diagnostics.nodes import node_files
from harness.diagnostics.texts import applications_text, events_text, pods_to_read
from harness.gitops.diagnosis import WAVE
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


CANARY = "canary-4711-hidden"
SECRET = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"},
          "data": {"key": base64.b64encode(CANARY.encode()).decode()}}  # fmt: skip
SERVER, AGENT = (SimpleNamespace(name=n, id=f"id-{n}") for n in ("server-0", "agent-0"))


class Sick(Stage):
    """A platform of which any source may be away."""

    def __init__(self, *away: str, alive: bool = True) -> None:
        super().__init__(alive=alive)
        self.away = away
        self.repo = SimpleNamespace(head="cafe", git=SimpleNamespace(out=self.log), source="https://u:pw-of-git@h/x")
        status = {"phase": "Running", "containerStatuses": [
            {"name": "c", "ready": False, "restartCount": 2, "state": {"running": {"startedAt": "now"}}}
        ]}  # fmt: skip
        self.api.objects = [
            {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p", "namespace": "n", "managedFields": ["long"]},
             "env": f"Bearer {JWT}", "status": status, "spec": {"automountServiceAccountToken": False}},
            {"apiVersion": "v1", "kind": "Event", "metadata": {"name": "e"}, "type": "Warning", "message": CANARY},
            SECRET,
        ]  # fmt: skip
        self.api.answers["/readyz"] = ApiUnreachable("connection refused") if "api" in away else "ok"
        self.api.logs = lambda namespace, pod, container, **how: f"{pod} said {CANARY}"  # type: ignore[attr-defined]
        docker = SimpleNamespace(
            logs=self.node_log, containers=self.containers, inspect=self.inspect,
            networks=lambda *labels: (), volumes=lambda *labels: ("v",),
        )  # fmt: skip
        k3d = SimpleNamespace(clusters=lambda: (), nodes=lambda: ())
        self.clusters = SimpleNamespace(docker=docker, k3d=k3d, run_id="r")
        self.cluster = SimpleNamespace(api=self.api)
        self.view.event({**self.api.objects[0]})
        self.view.all = self.view.store.all  # type: ignore[attr-defined]
        self.view.get = self.view.store.get  # type: ignore[attr-defined]

    def log(self, *args: str) -> str:
        if "git" in self.away:
            raise CommandFailed(["git", "log"], 128, "", "no such commit\nat length")
        return f"commit cafe\n   {CANARY} pw-of-git"

    def containers(self, *labels: str) -> tuple[Any, ...]:
        if "docker" in self.away:
            raise CommandFailed(["docker", "ps"], 1, "", "Cannot connect to the Docker daemon\nIs it running?")
        if "hung" in self.away:
            raise CommandTimeout(["docker", "ps"], SECOND, "", "")
        return (SERVER, AGENT)

    def inspect(self, what: str, names: list[str]) -> list[dict[str, Any]]:
        config = {"Env": [f"K3S_TOKEN={CANARY}"], "Labels": {"k3d.cluster.token": CANARY, "k3d.role": "server"}}
        return [{"Name": name, "Args": [CANARY], "State": {"OOMKilled": True}, "Config": config} for name in names]

    def node_log(self, container: str, *, tail: int) -> str:
        if container in self.away:
            raise RuntimeError
        return f"{container} said token=canary1234 and {CANARY}"


def kept(sick: Sick, folder: Path) -> list[str]:
    """What could not be; a node has the log of its kubelet, and of a Pod where those are asked for."""

    def read(node: str, *, pods: bool) -> list[tuple[str, str]]:
        return [("kubelet.log", f"token: {CANARY}"), *([("pod-n-p-c-0.log", CANARY)] if pods else [])]

    return collect(sick, folder, read=read)  # type: ignore[arg-type]


def files(folder: Path) -> set[str]:
    return {p.name for p in folder.iterdir()}


def everything(folder: Path) -> str:
    return "\n".join(p.read_text() for p in folder.rglob("*") if p.is_file())


LISTS = {"pods.json", "events.json", "nodes.json", "applications.json", "replicasets.json", "namespaces.json",
         "claims.json"}  # fmt: skip
SAID = {"applications.txt", "events.txt", "log-n-p-c.txt", "log-n-p-c-previous.txt"}
INSIDE = {"node-server-0-kubelet.log", "node-agent-0-kubelet.log"}
LOGS = {"node-server-0.log", "node-agent-0.log", *INSIDE}
PODS = {"node-server-0-pod-n-p-c-0.log", "node-agent-0-pod-n-p-c-0.log"}
DOCKER = {"docker.json", "k3d.json"}
GIT = {"git-log.txt"}
LAST_SEEN = {f"last-seen-{name}" for name in LISTS - {"events.json"} | {"applications.txt"}}


def test_everything_is_kept_covered_and_without_ballast(tmp_path: Path) -> None:
    assert kept(Sick(), tmp_path / "a" / "b") == []
    assert files(tmp_path / "a" / "b") == GIT | LOGS | DOCKER | LISTS | SAID
    assert (tmp_path / "a/b/node-agent-0.log").read_text() == "id-agent-0 said token=[redacted] and [redacted]"
    (pod,) = json.loads((tmp_path / "a/b/pods.json").read_text())
    assert pod["metadata"] == {"name": "p", "namespace": "n"}
    assert pod["env"] == "Bearer [redacted]"
    state = json.loads((tmp_path / "a/b/docker.json").read_text())
    assert [c["State"]["OOMKilled"] for c in state["containers"]] == [True, True]
    assert state["containers"][0]["Config"] == {"Labels": {"k3d.role": "server"}}


def test_what_a_secret_holds_is_covered_wherever_it_turns_up(tmp_path: Path) -> None:
    kept(Sick(), tmp_path)
    text = everything(tmp_path)
    assert "said" in text
    for hidden in (CANARY, base64.b64encode(CANARY.encode()).decode().rstrip("="), "pw-of-git", "canary1234", JWT):
        assert hidden not in text


def test_what_is_secret_in_git_is_covered_without_an_api(tmp_path: Path) -> None:
    sick = Sick("api")
    sick.wanted = (SimpleNamespace(ref=None, path="x", manifest=SECRET),)
    sick.wanted[0].ref = Ref("", "Secret", "n", "s")
    kept(sick, tmp_path)
    assert "node-agent-0.log" in files(tmp_path)
    assert CANARY not in everything(tmp_path)


@pytest.mark.parametrize(
    ("away", "left", "said", "lines"),
    [
        ("git", LOGS | DOCKER | LISTS | SAID, "git-log.txt could not be collected: `git log` ended with 128:", 1),
        ("docker", GIT | LISTS | SAID | {"k3d.json"},
         "docker.json could not be collected: `docker ps` ended with 1:", 2),
        ("hung", GIT | LISTS | SAID, "docker.json could not be collected: `docker ps` did not end within 1 s:", 1),
        ("id-agent-0", GIT | DOCKER | LISTS | SAID | INSIDE | {"node-server-0.log"},
         "node-agent-0.log could not be collected: RuntimeError", 1),
        ("api", GIT | LOGS | PODS | DOCKER | LAST_SEEN,
         "what the API says could not be collected: connection refused", 1),
    ],
)  # fmt: skip
def test_one_source_that_fails_does_not_cost_the_others(
    tmp_path: Path, away: str, left: set[str], said: str, lines: int
) -> None:
    problems = kept(Sick(away), tmp_path)
    assert files(tmp_path) == left
    assert problems[0].startswith(said)
    assert all("\n" not in problem for problem in problems)
    assert len(problems) == lines
    assert CANARY not in everything(tmp_path) or away == "api"


def test_without_a_cluster_there_is_still_the_repository_and_what_stands_in_docker(tmp_path: Path) -> None:
    assert kept(Sick(alive=False), tmp_path) == []
    assert files(tmp_path) >= GIT | LOGS | DOCKER


def test_a_folder_that_cannot_be_made_is_a_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    (problem,) = kept(Sick(), tmp_path / "file")
    assert problem.startswith("the folder could not be collected:")


def test_secrets_are_found_in_what_objects_hold() -> None:
    pod = {"kind": "Pod", "spec": {"containers": [{"env": [{"name": "API_TOKEN", "value": "t0ken-in-env"},
                                                          {"name": "LOG_LEVEL", "value": "debug"}]}]}}  # fmt: skip
    plain = {"apiVersion": "v1", "kind": "Secret", "stringData": {"a": "first line here\nsecond line here"}}
    odd = {"apiVersion": "v1", "kind": "Secret", "data": {"a": "*no base64*", "b": "//4="}}
    assert list(secrets_in([pod])) == ["t0ken-in-env"]
    assert list(secrets_in([plain]))[1:] == ["first line here", "second line here"]
    assert list(secrets_in([odd])) == ["*no base64*", "//4="]
    assert list(secrets_in([{"apiVersion": "x.io/v1", "kind": "Secret", "data": {"a": "not Kubernetes' own"}}])) == []


@pytest.mark.parametrize(
    ("address", "found"),
    [("https://bob:pass@word@h/x", ["pass@word"]), ("https://ghp_token@h/x", ["ghp_token"]), ("https://h/x", []),
     ("/srv/git", []), ("git@h:x", [])],
)  # fmt: skip
def test_the_password_of_an_address(address: str, found: list[str]) -> None:
    assert list(address_secrets(address)) == found


def test_applications_read_as_trees() -> None:
    app = {"metadata": {"name": "shop", "deletionTimestamp": "t0", "finalizers": ["f"]}, "status": {
        "sync": {"status": "OutOfSync", "revision": "cafe"}, "health": {"status": "Degraded"},
        "conditions": [{"type": "SyncError", "lastTransitionTime": "t1", "message": "failed"}],
        "operationState": {"phase": "Running", "retryCount": 2, "startedAt": "t2", "message": "again",
                           "syncResult": {"resources": [{"kind": "Service", "namespace": "shop", "name": "front",
                                                         "status": "SyncFailed", "message": "is invalid"}]}},
        "resources": [{"group": "apps", "kind": "Deployment", "namespace": "shop", "name": "api", "status": "Synced"}],
    }}  # fmt: skip
    wave = {"metadata": {"annotations": {WAVE: "-1"}}}
    front = SimpleNamespace(ref=Ref("", "Service", "shop", "front"), manifest=wave)
    known = {"api": "0 of 1"}
    told = applications_text([app], [front], lambda ref: known.get(ref.name, "is missing"))  # type: ignore[list-item]
    assert told == (
        "Application shop: OutOfSync, Degraded at cafe\n"
        "  is being deleted, held by ['f']\n"
        "  SyncError since t1: failed\n"
        "  last sync Running, 2 retries, t2 to now: again\n"
        "  wave -1  not applied  Service shop/front is missing; is invalid\n"
        "  wave 0  Synced  Deployment shop/api 0 of 1\n"
    )
    young = applications_text([{"metadata": {"name": "new"}}], [], str)
    assert young == "Application new: None, None at no revision\n"


def test_events_read_as_lines_in_order() -> None:
    late = {"lastTimestamp": "2026-01-01T00:00:09Z", "type": "Warning", "reason": "Failed", "count": 3,
            "message": "two\nlines", "involvedObject": {"kind": "Pod", "namespace": "shop", "name": "x"}}  # fmt: skip
    early = {"eventTime": "2026-01-01T00:00:01Z", "type": "Normal", "reason": "Began",
             "involvedObject": {"kind": "Node", "name": "n"}}  # fmt: skip
    assert events_text([late, early]) == (
        "2026-01-01T00:00:01Z Normal Node n Began: \n2026-01-01T00:00:09Z Warning Pod shop/x Failed (x3): two lines\n"
    )


def test_whose_logs_are_kept() -> None:
    def pod(name: str, *, ready: bool, restarts: int = 0, began: bool = True, phase: str = "Running") -> dict[str, Any]:
        state = {"running": {"startedAt": "t"}} if began else {"waiting": {"reason": "ContainerCreating"}}
        status = {"name": "c", "ready": ready, "restartCount": restarts, "state": state}
        return {"metadata": {"name": name}, "status": {"phase": phase, "containerStatuses": [status]}}

    pods = [pod("argocd-repo-server", ready=True), pod("good", ready=True), pod("bad", ready=False, restarts=1),
            pod("young", ready=False, began=False), pod("done", ready=False, phase="Succeeded")]  # fmt: skip
    found = [(p["metadata"]["name"], previous) for p, _, previous in pods_to_read(pods)]
    assert found == [("bad", False), ("bad", True), ("argocd-repo-server", False)]
    assert len(pods_to_read([pod("bad", ready=False)] * 99)) == 12


def test_the_logs_inside_a_node_are_read_from_its_tar(tmp_path: Path) -> None:
    long = "".join(f"line {n}\n" for n in range(5000))
    members = {"kubelet.log": long, "pods/shop_api-x_uid-1/api/0.log": "said\n", "containers/x": "a link's target",
               "pods/shop_api-x_uid-1/api/odd": "no log", "empty.log": "", "huge.log": "x" * 500_000}  # fmt: skip

    def copy(container: str, path: str, target: Path) -> int:
        assert (container, path) == ("server-0", "/var/log")
        with tarfile.open(target, "w") as archive:
            for name, text in members.items():
                info = tarfile.TarInfo(f"./{name}")
                info.size = len(text)
                archive.addfile(info, io.BytesIO(text.encode()))
        return 1

    found = dict(node_files("server-0", pods=True, copy=copy))
    assert set(found) == {"kubelet.log", "huge.log", "pod-shop-api-x-api-0.log"}
    assert found["kubelet.log"].splitlines()[0] == "line 3000"
    assert len(found["huge.log"]) == 400_000
    assert set(dict(node_files("server-0", pods=False, copy=copy))) == {"kubelet.log", "huge.log"}
