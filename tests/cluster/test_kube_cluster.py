"""`harness.cluster.kube` and `live` against a real API server: what the double claims must be so there."""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from harness.cluster.clusters import Cluster, Clusters, ClusterSpec
from harness.cluster.docker import Docker
from harness.cluster.health import health
from harness.cluster.images import ImageSource, cache_folder, prepare
from harness.cluster.kube import KubeApi, Object, Ref
from harness.cluster.live import LiveView
from harness.core.clock import SECOND, SystemClock
from harness.core.drift import compare, inventory
from harness.core.errors import ApiRefused, CommandFailed
from harness.core.profile import FAST
from harness.core.timeline import Journal, Timeline

pytestmark = pytest.mark.cluster
NAMESPACE = "drill-test"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Cluster, str]]:
    clock, run = SystemClock(), f"t{secrets.token_hex(3)}"
    images = prepare(ImageSource.AUTO, cache=cache_folder(), progress=lambda _: None)
    folder = tmp_path_factory.mktemp("run")
    clusters = Clusters(Docker.connect(), images, run, folder, clock, Journal(Timeline(clock)))
    try:
        cluster = clusters.create(ClusterSpec(f"dr-test-{run}", clusters.make_network(), agents=0, profile=FAST))
        yield cluster, images.sample.reference
    finally:
        clusters.close()


@pytest.fixture
def api(made: tuple[Cluster, str]) -> KubeApi:
    return made[0].api


@pytest.fixture
def view(api: KubeApi) -> Iterator[LiveView]:
    with LiveView(api, [k for k in api.kinds() if k.watchable], SystemClock()) as seen:
        assert seen.ready(10 * SECOND)
        time.sleep(1.2)  # until nothing that comes may have waited for a watch
        yield seen


def soon(condition: Callable[[], object], within: float) -> bool:
    deadline = time.monotonic() + within
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.02)
    return False


def stack(image: str) -> list[Object]:
    """A workload behind a Service, a CRD and an object of it, and their namespace, in the wrong order."""
    labels = {"app": "web"}
    container = {"name": "web", "image": image, "imagePullPolicy": "IfNotPresent", "ports": [{"containerPort": 8080}]}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [container]}}
    schema = {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}}
    version = {"name": "v1", "served": True, "storage": True, "schema": schema}
    return [
        {"apiVersion": "drill.example.com/v1", "kind": "Widget", "metadata": {"name": "w"}, "spec": {"size": 1}},
        {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"},
         "spec": {"replicas": 1, "selector": {"matchLabels": labels}, "template": template}},
        {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "web"},
         "spec": {"selector": labels, "ports": [{"name": "http", "port": 80, "targetPort": 8080}]}},
        {"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
         "metadata": {"name": "widgets.drill.example.com"},
         "spec": {"group": "drill.example.com", "scope": "Namespaced", "versions": [version],
                  "names": {"kind": "Widget", "plural": "widgets", "singular": "widget", "listKind": "WidgetList"}}},
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}},
    ]  # fmt: skip


def test_a_stack_is_applied_rolls_out_answers_and_can_be_entered(
    made: tuple[Cluster, str], api: KubeApi, view: LiveView
) -> None:
    objects = stack(made[1])
    applied = api.apply_many(objects, namespace=NAMESPACE)
    assert [o["kind"] for o in applied] == [o["kind"] for o in objects]

    web = Ref("apps", "Deployment", NAMESPACE, "web")
    assert soon(lambda: (seen := view.get(web)) and health(seen.object).ok, 60)
    service = f"/api/v1/namespaces/{NAMESPACE}/services/web:http/proxy/healthz"
    assert soon(lambda: api.raw(service).strip() == "ok", 5)

    pods = [s.object for s in view.all(api.kind("", "Pod"), NAMESPACE)]
    name = pods[0]["metadata"]["name"]
    assert api.exec(NAMESPACE, name, ["/sample", "get", "http://127.0.0.1:8080/healthz"]) == ("ok\n", "", 0)
    out, error, code = api.exec(NAMESPACE, name, ["/sample", "no-such-command"], container="web")
    assert (out, code) == ("", 2)
    assert "no-such-command" in error
    with pytest.raises(ApiRefused, match="not found"):
        api.exec(NAMESPACE, "absent", ["/sample"])
    assert "listening" in api.logs(NAMESPACE, name)

    before, after = inventory(applied), inventory(api.apply_many(objects, namespace=NAMESPACE))
    assert len(before) == len(objects)
    assert compare(before, after).sentences() == (), "applied twice is no drift"


def test_a_write_is_delivered_promptly_with_its_writer(api: KubeApi, view: LiveView) -> None:
    api.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}})
    ref, kind = Ref("", "ConfigMap", NAMESPACE, "c"), api.kind("", "ConfigMap")
    view.follow(ref)
    api.apply(
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}, "data": {"n": "0"}}, namespace=NAMESPACE
    )
    writes = [api.patch(kind, "c", NAMESPACE, {"data": {"n": str(n)}}, manager="drill-drift") for n in range(1, 101)]
    assert soon(lambda: view.receipt(ref, writes[-1]), 5)
    seen = [view.receipt(ref, write) for write in writes]
    assert all(s is not None and s.prompt for s in seen)
    assert "drill-drift" in {m["manager"] for s in seen if s for m in s.object["metadata"]["managedFields"]}
    api.delete(kind, "c", NAMESPACE)
    assert soon(lambda: view.history(ref)[-1].deleted, 5)


def paused(docker: Docker, container: str) -> bool:
    """Pause; the kernel's freezer gives up ("unable to freeze") while the container is starting processes."""
    try:
        docker.pause(container)
    except CommandFailed:
        return False
    return True


def test_a_paused_server_is_noticed_and_so_is_its_return(
    made: tuple[Cluster, str], api: KubeApi, view: LiveView
) -> None:
    server = made[0].nodes()[0].container
    assert view.gaps == ()
    docker = made[0].docker
    assert soon(lambda: paused(docker, server), 20)
    try:
        assert soon(lambda: not view.answering, 5)
        assert soon(lambda: len([g for g in view.gaps if g.end_ns is None]) == len(view.kinds), 10)
    finally:
        docker.unpause(server)
    assert soon(lambda: view.answering, 10)
    assert soon(lambda: all(g.end_ns for g in view.gaps), 10)
    outage = view.outages[-1]
    assert outage.answered_ns is not None
    # A quarter of a second where the machine is at rest; how wide it is under load is for the benchmark to say.
    assert outage.answered_ns - outage.last_failure_ns <= 2_000_000_000
    begun = time.monotonic()
    view.stop()
    assert time.monotonic() - begun < 2
    assert not [t for t in threading.enumerate() if t.name.startswith(("watch ", "probe "))]


def test_the_kubeconfig_and_what_is_made_of_it_are_private(made: tuple[Cluster, str]) -> None:
    folder: Path = made[0].kubeconfig.parent
    keys = [p for p in folder.iterdir() if p.is_file() and b"PRIVATE KEY" in p.read_bytes()]
    assert keys, "the client's key is written beside the kubeconfig"
    assert [p for p in keys if p.stat().st_mode & 0o77] == []
