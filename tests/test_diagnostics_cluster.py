"""Diagnostics of a real cluster: kept also when the API's node is killed, and no planted secret in any file."""

from __future__ import annotations

import base64
import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.core.clock import SECOND
from harness.core.errors import HarnessError, PreconditionUnmet
from harness.core.faults import BlastRadius
from harness.fixtures import sample_repository
from harness.gitops.platform import Platform
from harness.probes.sync import converged
from harness.reporting import write_reports
from harness.session import Options, Session

pytestmark = pytest.mark.cluster
IN_SECRET, IN_ENV, IN_URL, BY_HAND = ("canary-in-secret-1", "canary-in-env-22", "canary-in-url-333", "canary-by-hand-4")
CANARIES = (IN_SECRET, IN_ENV, IN_URL, BY_HAND)
DEPLOYMENT = "apps/cortex-dev/code-formatter-deployment.yaml"
PLANTED = f"""\
apiVersion: v1
kind: Secret
metadata: {{name: planted}}
data: {{word: {base64.b64encode(IN_SECRET.encode()).decode()}}}
---
apiVersion: v1
kind: ConfigMap
metadata: {{name: planted}}
data: {{database: 'postgres://app:{IN_URL}@db.example.org/x'}}
"""


@pytest.fixture
def session(tmp_path: Path) -> Iterator[Session]:
    """A run on one Application of the sample repository, with secrets planted in it."""
    repo = tmp_path / "gitops"
    for part in ("argocd-apps/cortex-dev.yaml", *(f"apps/cortex-dev/{p.name}" for p in
                                                  (sample_repository() / "apps/cortex-dev").iterdir())):  # fmt: skip
        (repo / part).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(sample_repository() / part, repo / part)
    text = (repo / DEPLOYMENT).read_text()
    (repo / DEPLOYMENT).write_text(
        text.replace("env:\n", f"env:\n            - name: API_TOKEN\n              value: {IN_ENV}\n")
    )
    (repo / "apps/cortex-dev/planted.yaml").write_text(PLANTED)
    made = Session(Options(str(repo), timing="fast", agents=1, reports=tmp_path / "reports", worker="diag"))
    yield made
    made.close()


def told(session: Session, name: str) -> Path:
    return session.folder.path / name / "artifacts"


def test_what_is_kept_and_what_is_not(session: Session) -> None:
    platform = session.platform()
    by_hand = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "by-hand", "namespace": "default"},
               "stringData": {"word": BY_HAND}}  # fmt: skip
    platform.api.create(by_hand)
    with_api(session, platform)
    without_api(session, platform)
    write_reports(session.folder.path)
    session.close()
    nowhere_in(session.folder.path)


def with_api(session: Session, platform: Platform) -> None:
    """A commit whose image cannot be had, and whose name the kubelet writes into events and into the node's log."""
    with (
        pytest.raises(PreconditionUnmet, match="an image cannot be had"),
        session.drilling("alive", "It comes back.", BlastRadius.NAMESPACE, {}) as drill,
    ):
        text = platform.repo.read(DEPLOYMENT).replace("drill/sample:1", f"nowhere.invalid/{BY_HAND}:1")
        text = text.replace("IfNotPresent", "Never")
        platform.repo.commit({DEPLOYMENT: text}, f"a password in a message: {IN_SECRET}")
        drill.require(converged(platform), within=12 * SECOND)
    artifacts = told(session, "alive")
    assert (
        "wave 0  Synced  Deployment cortex-dev/code-formatter 1 old replicas left"
        in (artifacts / "applications.txt").read_text()
    )
    assert "nowhere.invalid/[redacted]" in (artifacts / "events.txt").read_text()
    kubelets = [p.read_text() for p in artifacts.glob("node-*-kubelet.log")]
    assert len(kubelets) == 2
    assert any("nowhere.invalid/[redacted]" in text for text in kubelets)
    assert "a password in a message: [redacted]" in (artifacts / "git-log.txt").read_text()
    assert list(artifacts.glob("log-argocd-*"))
    assert not list(artifacts.glob("last-seen-*"))


def without_api(session: Session, platform: Platform) -> None:
    """The container of the only server is killed."""
    with (
        pytest.raises(HarnessError, match="the server is dead"),
        session.drilling("dead", "It comes back.", BlastRadius.NODE, {}),
    ):
        platform.cluster.docker.kill(f"k3d-{platform.name}-server-0")
        raise HarnessError("the server is dead")
    artifacts = told(session, "dead")
    state = json.loads((artifacts / "docker.json").read_text())
    running = {c["Name"].lstrip("/"): c["State"]["Running"] for c in state["containers"]}
    assert running[f"k3d-{platform.name}-server-0"] is False
    assert running[f"k3d-{platform.name}-agent-0"] is True
    assert [n["name"] for n in state["networks"]] == [platform.spec.network.name]
    server, agent = (f"node-k3d-{platform.name}-{node}" for node in ("server-0", "agent-0"))
    for log in (f"{server}.log", f"{server}-kube-apiserver.log", f"{server}-etcd.log", f"{agent}-kubelet.log"):
        assert (artifacts / log).stat().st_size > 400, log
    assert list(artifacts.glob("node-*-pod-argocd-argocd-repo-server-*.log"))
    assert "Application cortex-dev: Synced" in (artifacts / "last-seen-applications.txt").read_text()
    assert json.loads((artifacts / "last-seen-pods.json").read_text())
    assert "what the API says could not be collected" in (session.folder.path / "dead/timeline.jsonl").read_text()


def nowhere_in(folder: Path) -> None:
    """No canary, plain or in base64, in any file; no token of the cluster either."""
    files = [p for p in folder.rglob("*") if p.is_file()]
    assert len(files) > 30
    for canary in CANARIES:
        for form in (canary, base64.b64encode(canary.encode()).decode().rstrip("=")):
            assert [p for p in files if form.encode() in p.read_bytes()] == [], form
    assert [p for p in files if b"K3S_TOKEN=" in p.read_bytes()] == []
