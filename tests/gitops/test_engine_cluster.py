"""A real Argo CD follows a real served repository: installing, arriving, failing, and what drill says of it."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest

from harness.cluster.clusters import Clusters, ClusterSpec
from harness.cluster.docker import Docker
from harness.cluster.images import ImageSource, cache_folder, prepare
from harness.cluster.kube import KubeApi
from harness.cluster.live import LiveView
from harness.core.clock import MINUTE, SECOND, Clock, SystemClock
from harness.core.observation import State
from harness.core.profile import FAST
from harness.core.timeline import Journal, Timeline
from harness.effects.waiting import Outcome, until
from harness.gitops.argocd import DEPLOYMENT, ArgoCd
from harness.gitops.convergence import SETTLE, Converged, watched_kinds
from harness.gitops.plan import BootstrapPlan, read_plan
from harness.gitops.render import desired_objects
from harness.gitops.repo import ServedRepo

from .conftest import APPLICATION, CONFIG_MAP, write

pytestmark = pytest.mark.cluster
URL = "https://git.example.org/team/gitops.git"
RETRY = "    syncOptions: [CreateNamespace=true]\n    retry: {limit: 1, backoff: {duration: 1s, maxDuration: 2s}}\n"
WORKLOAD = """\
apiVersion: apps/v1
kind: Deployment
metadata: {{name: web}}
spec:
  replicas: 1
  selector: {{matchLabels: {{app: web}}}}
  template:
    metadata: {{labels: {{app: web}}}}
    spec:
      terminationGracePeriodSeconds: 1
      containers: [{{name: web, image: '{image}', imagePullPolicy: IfNotPresent}}]
"""
QUOTA = """\
apiVersion: v1
kind: ResourceQuota
metadata: {name: small, annotations: {argocd.argoproj.io/sync-wave: "-1"}}
spec: {hard: {requests.cpu: 100m}}
"""
WIDGET = """\
apiVersion: example.org/v1
kind: Widget
metadata: {name: w, annotations: {argocd.argoproj.io/sync-wave: "2"}}
"""
CRD = """\
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: widgets.example.org, annotations: {argocd.argoproj.io/sync-wave: "-1"}}
spec:
  group: example.org
  names: {kind: Widget, plural: widgets, singular: widget, listKind: WidgetList}
  scope: Namespaced
  versions: [{name: v1, served: true, storage: true, schema: {openAPIV3Schema: {type: object}}}]
"""
REFUSED = "apiVersion: v1\nkind: Service\nmetadata: {name: NOT_A_NAME}\nspec: {ports: [{port: 1}]}\n"


@dataclass
class Followed:
    """A cluster that follows a repository: what `Converged` looks at."""

    api: KubeApi
    view: LiveView
    engine: ArgoCd
    repo: ServedRepo
    plan: BootstrapPlan
    clock: Clock
    ready: Outcome

    def wait(self, within: timedelta = MINUTE) -> Outcome:
        return until(Converged(self), within=within, settle=SETTLE, clock=self.clock)


@pytest.fixture(scope="module")
def followed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Followed]:
    clock, run, folder = SystemClock(), f"t{secrets.token_hex(3)}", tmp_path_factory.mktemp("run")
    images = prepare(ImageSource.AUTO, cache=cache_folder(), progress=lambda _: None)
    write(folder / "gitops", {
        "argocd-apps/one.yaml": APPLICATION.format(name="one", url=URL) + RETRY,
        "argocd-apps/two.yaml": APPLICATION.format(name="two", url=URL) + RETRY,
        "apps/one/web.yaml": WORKLOAD.format(image=images.sample.reference),
        "apps/two/cm.yaml": CONFIG_MAP.format(name="two"),
    })  # fmt: skip
    repo = ServedRepo.from_path(folder / "gitops", scratch=folder / "scratch")
    plan = read_plan(repo)
    clusters = Clusters(Docker.connect(), images, run, folder / "clusters", clock, Journal(Timeline(clock)))
    view: LiveView | None = None
    try:
        network = clusters.make_network()
        repo.serve(network.gateway)
        api = clusters.create(ClusterSpec(f"dr-test-{run}", network, agents=0, profile=FAST)).api
        engine = ArgoCd(api, clock=clock)
        engine.install(images, FAST)
        view = LiveView(api, watched_kinds(api.kind, desired_objects(repo, plan)), clock).start()
        ready = until(engine.ready(view), within=2 * MINUTE, clock=clock)
        api.apply_many(plan.root_objects(repo))
        made = Followed(api, view, engine, repo, plan, clock, ready)
        first = made.wait(2 * MINUTE)
        assert first.met, first.last.sentence()
        yield made
    finally:
        if view is not None:
            view.stop()
        clusters.close()
        repo.close()


@pytest.fixture
def settled(followed: Followed) -> Iterator[Followed]:
    """Put back at the end: Git to what it was, self-heal on."""
    before = followed.repo.head
    yield followed
    while (
        followed.repo.head != before
        and followed.repo.git.run("diff", "--quiet", before, "HEAD", check=False).returncode
    ):
        names = followed.repo.git.out("diff", "--name-only", before, "HEAD").split()
        old = followed.repo.read_many(names, before)
        followed.repo.commit({name: old.get(name) for name in names}, "put back")
    followed.engine.set_self_heal("one", True)
    assert followed.wait().met


def test_argo_cd_becomes_ready_within_its_budget(followed: Followed) -> None:
    assert followed.ready.met
    assert followed.ready.waited < timedelta(seconds=60)


def test_a_push_arrives_and_so_does_its_revert(settled: Followed) -> None:
    began = settled.clock.now_ns()
    sha = settled.repo.commit({"apps/two/more.yaml": CONFIG_MAP.format(name="more")}, "more")
    pushed = settled.wait()
    assert pushed.met, pushed.last.sentence()
    assert pushed.last.total == 3
    assert began < (pushed.last.not_before_ns or 0) <= pushed.last.at_ns
    settled.repo.revert(sha)
    reverted = settled.wait()
    assert reverted.met, reverted.last.sentence()
    assert reverted.last.total == 2
    assert settled.api.get(settled.api.kind("", "ConfigMap"), "more", "two") is None


def test_a_manifest_that_the_api_refuses_is_final_and_its_revert_is_not(settled: Followed) -> None:
    sha = settled.repo.commit({"apps/two/bad.yaml": REFUSED}, "bad")
    failed = settled.wait()
    assert failed.last.state is State.BROKEN, failed.last.sentence()
    assert "NOT_A_NAME" in failed.last.actual
    settled.repo.revert(sha)
    reverted = settled.wait()
    assert reverted.met, reverted.last.sentence()


def broken_image(text: str) -> dict[str, str]:
    never = text.replace("IfNotPresent", "Never")
    return {"apps/one/web.yaml": never.replace("image: '", "image: 'nowhere.invalid/")}


def too_large(text: str) -> dict[str, str]:
    asking = text.replace("imagePullPolicy", "resources: {requests: {cpu: 200m}}, imagePullPolicy")
    return {"apps/one/web.yaml": asking, "apps/one/quota.yaml": QUOTA}


def nameless_kind(_: str) -> dict[str, str]:
    return {"apps/two/widget.yaml": WIDGET}


@pytest.mark.parametrize(
    ("change", "chain", "message"),
    [
        (broken_image, "one, wave 0: Deployment one/web", "is not present with pull policy of Never"),
        (too_large, "one, wave 0: Deployment one/web", "exceeded quota: small, requested: requests.cpu=200m"),
        (nameless_kind, "two, wave 2: Widget two/w", 'Make sure the "Widget" CRD is installed'),
    ],
    ids=["image", "quota", "crd"],
)
def test_what_cannot_come_ends_the_wait_early_with_its_chain(
    settled: Followed, change: Callable[[str], dict[str, str]], chain: str, message: str
) -> None:
    settled.repo.commit(dict(change(settled.repo.read("apps/one/web.yaml"))), "broken")
    failed = settled.wait()
    assert failed.last.state is State.BROKEN, failed.last.sentence()
    assert failed.last.actual.startswith(chain), failed.last.sentence()
    assert message in failed.last.actual
    assert failed.waited < 20 * SECOND
    assert failed.last.detail["chain"]["final"] is True


def test_a_kind_that_comes_with_its_definition_is_observed(settled: Followed) -> None:
    settled.repo.commit({"apps/two/crd.yaml": CRD, "apps/two/widget.yaml": WIDGET}, "a kind of its own")
    arrived = settled.wait()
    assert arrived.met, arrived.last.sentence()
    assert arrived.last.total == 4


def test_a_git_outage_is_waited_out(settled: Followed) -> None:
    settled.repo.stop_serving()
    settled.repo.commit({"apps/two/more.yaml": CONFIG_MAP.format(name="more")}, "during the outage")
    away = settled.wait(8 * SECOND)
    settled.repo.resume()
    assert away.last.state is State.PENDING
    back = settled.wait()
    assert back.met, back.last.sentence()


def test_drift_is_told_while_self_heal_is_off_and_healed_when_it_is_on(settled: Followed) -> None:
    settled.engine.set_self_heal("one", False)
    settled.api.patch(DEPLOYMENT, "web", "one", {"spec": {"replicas": 2}})
    drifted = settled.wait(8 * SECOND)
    assert drifted.last.state is State.PENDING
    assert "Deployment one/web" in drifted.last.actual
    settled.engine.set_self_heal("one", True)
    healed = settled.wait()
    assert healed.met, healed.last.sentence()


def test_nothing_in_the_cluster_can_push(followed: Followed, tmp_path: Path) -> None:
    pod = next(p for p in followed.api.list(followed.api.kind("", "Pod"), "argocd").items
               if p["metadata"]["name"].startswith("argocd-repo-server"))  # fmt: skip
    script = (
        f"cd /tmp && rm -rf c && git clone -q {followed.repo.url} c && cd c && echo x > x && git add x && "
        "git -c user.name=x -c user.email=x@x commit -qm x && git push -q origin HEAD:main"
    )
    head = followed.repo.head
    _, error, code = followed.api.exec(
        "argocd", pod["metadata"]["name"], ["sh", "-c", script], timeout=timedelta(seconds=30)
    )
    assert code != 0
    assert "403" in error, error
    assert followed.repo.git.out("rev-parse", "refs/heads/main") == head
