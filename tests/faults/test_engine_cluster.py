"""Losing a real Argo CD whose Applications hold finalizers: what is refused, and what survives when they are gone."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.core.clock import MINUTE, SECOND
from harness.core.errors import UnsafeTarget
from harness.core.objects import NAMESPACE, dig
from harness.core.observation import State
from harness.effects.waiting import until
from harness.faults.engine import LoseEngine
from harness.gitops.argocd import APPLICATION, DEPLOYMENT, STATEFUL_SET
from harness.gitops.platform import Engine, Platform
from harness.probes.census import census
from harness.probes.sync import converged
from harness.session import Options, Session
from tests.gitops.conftest import APPLICATION as TEXT
from tests.gitops.conftest import write

pytestmark = pytest.mark.cluster
CASCADE = "resources-finalizer.argocd.argoproj.io"
WORKLOAD = """\
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      terminationGracePeriodSeconds: 1
      containers: [{name: web, image: 'drill/sample:1', imagePullPolicy: IfNotPresent}]
"""


@pytest.fixture
def platform(tmp_path: Path) -> Iterator[Platform]:
    url = "https://git.example.org/team/gitops.git"
    application = TEXT.format(name="one", url=url) + "    syncOptions: [CreateNamespace=true]\n"
    write(tmp_path / "gitops", {"argocd-apps/one.yaml": application, "apps/one/web.yaml": WORKLOAD})
    session = Session(Options(repo=str(tmp_path / "gitops"), timing="fast", agents=0, reports=tmp_path / "reports"))
    try:
        made = session.platform()
        arrived(made)
        yield made
    finally:
        session.close()


def arrived(platform: Platform) -> None:
    ended = until(converged(platform), within=2 * MINUTE, settle=SECOND, clock=platform.clock)
    assert ended.met, ended.last.sentence()


def test_finalizers_are_refused_and_taken_off_only_when_nobody_acts_on_them(platform: Platform) -> None:
    api = platform.api
    body = {"metadata": {"finalizers": [CASCADE]}}
    api.patch(APPLICATION, "one", "argocd", body)
    before = census(platform).read()

    with pytest.raises(UnsafeTarget, match="found Application one; take them off"):
        LoseEngine(platform).inject()
    assert dig(api.get(NAMESPACE, "argocd"), "status", "phase") == "Active"
    assert dig(api.get(APPLICATION, "one", "argocd"), "metadata", "finalizers") == [CASCADE]
    controller = api.get(STATEFUL_SET, "argocd-application-controller", "argocd")
    assert dig(controller, "spec", "replicas") == 1

    fault = LoseEngine(platform, definitions=True, strip_finalizers=True)
    fault.inject()
    assert fault.confirm().state is State.MET
    assert api.get(DEPLOYMENT, "web", "one") is not None

    Engine(platform).rebuild()
    arrived(platform)
    after = census(platform).read()
    spared = {name for name in before if "argocd" not in name and "argoproj" not in name}
    assert {name: after.get(name) for name in spared} == {name: before[name] for name in spared}
    assert any(name.startswith("Pod one/web-") for name in spared)
