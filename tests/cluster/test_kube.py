"""`harness.cluster.kube`, with `transport`, `discovery`, `applying` and `podexec`, against the API server double."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import urllib3

from harness.cluster.kube import KubeApi, Ref, ref_of
from harness.cluster.transport import FOREIGN, Transport, mapped
from harness.core.clock import SECOND, SystemClock
from harness.core.errors import ApiRefused, ApiUnreachable, ConfigError, ProvisionFailed
from tests.cluster.apihandler import Object, abrupt_close, garbage, gone_event, gone_status, half_open
from tests.cluster.apiserver import ApiServer

QUICK = timedelta(milliseconds=400)


def config_map(name: str = "c", namespace: str = "n", **data: str) -> Object:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": namespace}, "data": data}


def deployment(name: str = "d", replicas: int = 1) -> Object:
    head = {"name": name, "namespace": "n"}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": head, "spec": {"replicas": replicas}}


@pytest.fixture
def server() -> Iterator[ApiServer]:
    with ApiServer() as double:
        yield double


@pytest.fixture
def api(server: ApiServer, tmp_path: Path) -> Iterator[KubeApi]:
    client = KubeApi(server.kubeconfig(tmp_path), SystemClock(), timeout=2 * SECOND)
    yield client
    client.close()


# --- kubeconfig ---


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", "no cluster"),
        ("a: [", "while parsing"),
        ("clusters: [{name: x}]", "no cluster and current-context"),
        ("{clusters: [{name: c, cluster: {server: 'http://x'}}], contexts: [{name: c, context: {cluster: c, user: u}}],"
         " current-context: c, users: [{name: u, user: {exec: {command: aws}}}]}", "running a command"),
        ("{clusters: [{name: c, cluster: {server: 'https://x', certificate-authority-data: bm8=}}], "
         "contexts: [{name: c, context: {cluster: c, user: u}}], current-context: c, users: [{name: u, user: {}}]}",
         "certificates do not load"),
        ("{clusters: [{name: c, cluster: {server: 'http://x'}}], contexts: [], current-context: c, users: []}", "c"),
    ],
)  # fmt: skip
def test_a_kubeconfig_that_cannot_be_used_is_refused_before_anything_is_sent(
    tmp_path: Path, text: str, found: str
) -> None:
    path = tmp_path / "kubeconfig"
    path.write_text(text)
    with pytest.raises(ConfigError, match=found):
        KubeApi(path, SystemClock())


def test_a_missing_kubeconfig_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="absent"):
        KubeApi(tmp_path / "absent", SystemClock())


def test_proxies_of_the_environment_are_not_used(
    server: ApiServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    api = KubeApi(server.kubeconfig(tmp_path), SystemClock(), timeout=QUICK)
    assert api.raw("/livez/ping") == "ok"
    api.close()


# --- errors ---


def test_every_error_of_the_library_below_becomes_ours() -> None:
    def family(kind: type[BaseException]) -> Iterator[type[BaseException]]:
        yield kind
        for each in kind.__subclasses__():
            yield from family(each)

    known = [e for e in family(urllib3.exceptions.HTTPError) if not issubclass(e, Warning)]
    named = {e for e in vars(urllib3.exceptions).values() if isinstance(e, type) and issubclass(e, Exception)}
    named = {e for e in named if e.__module__ == "urllib3.exceptions" and not issubclass(e, Warning)}
    named.discard(urllib3.exceptions.ProxySchemeUnsupported)  # a ValueError, about proxies, which we never use
    assert len(known) > 20
    assert [error for error in named | set(known) if not issubclass(error, FOREIGN)] == []
    with pytest.raises(ApiUnreachable, match="GET /x: no answer in time"), mapped("GET /x"):
        raise TimeoutError
    with pytest.raises(ZeroDivisionError), mapped("GET /x"):
        raise ZeroDivisionError  # a bug of ours is never disguised as an outage


def test_a_refused_connection_is_unreachable_at_once(server: ApiServer, api: KubeApi) -> None:
    server.stop()
    begun = time.monotonic()
    with pytest.raises(ApiUnreachable, match=r"GET /livez/ping: .*[Rr]efused"):
        api.raw("/livez/ping")
    assert time.monotonic() - begun < 0.5, "a hidden retry"


def test_a_frozen_server_is_unreachable_after_the_deadline(server: ApiServer, api: KubeApi) -> None:
    server.freeze()
    begun = time.monotonic()
    with pytest.raises(ApiUnreachable, match="no answer in time"):
        api.raw("/livez/ping", timeout=QUICK)
    assert 0.3 < time.monotonic() - begun < 1.5


def test_after_an_outage_the_next_call_uses_a_new_connection(server: ApiServer, api: KubeApi) -> None:
    assert api.raw("/livez/ping") == "ok"
    server.stop()
    server.start()
    assert api.raw("/livez/ping") == "ok"


def test_a_refusal_carries_what_the_api_said(api: KubeApi) -> None:
    config_maps = api.kind("v1", "ConfigMap")
    with pytest.raises(ApiRefused, match=r"DELETE .*configmaps/absent: .*not found") as caught:
        api.delete(config_maps, "absent", "n")
    assert (caught.value.status, caught.value.reason) == (404, "NotFound")


def test_close_ends_a_call_in_another_thread(server: ApiServer, tmp_path: Path) -> None:
    api = KubeApi(server.kubeconfig(tmp_path), SystemClock(), timeout=30 * SECOND)
    server.freeze()
    ended: list[object] = []

    def call() -> None:
        try:
            api.raw("/livez/ping")
        except ApiUnreachable as error:
            ended.append(error)

    thread = threading.Thread(target=call)
    thread.start()
    while server.count("GET", "/livez/ping") == 0:
        time.sleep(0.01)
    api.close()
    thread.join(2)
    assert ended
    with pytest.raises(ApiUnreachable, match="closed"):
        api.raw("/livez/ping")


# --- kinds ---


@pytest.mark.parametrize("aggregated", [True, False])
def test_kinds_are_discovered_in_their_preferred_version(tmp_path: Path, aggregated: bool) -> None:
    with ApiServer(aggregated=aggregated) as server:
        api = KubeApi(server.kubeconfig(tmp_path), SystemClock(), timeout=2 * SECOND)
        kinds = {(k.group, k.kind): k for k in api.kinds()}
        assert kinds["autoscaling", "HorizontalPodAutoscaler"].version == "v2"
        assert api.kind("autoscaling/v1", "HorizontalPodAutoscaler").version == "v1"
        assert api.kind("autoscaling", "HorizontalPodAutoscaler").version == "v2"
        assert api.kind("", "Pod") == api.kind("v1", "Pod")
        assert api.kind("apps", "Deployment").watchable
        assert not api.kind("", "Binding").watchable
        assert not api.kind("", "Namespace").namespaced
        assert not any("/" in k.plural or k.kind == "Scale" for k in api.kinds())
        api.close()


def test_an_unknown_kind_is_asked_for_once_more_and_then_refused(server: ApiServer, api: KubeApi) -> None:
    api.kinds()
    before = server.count("GET", "/apis")
    with pytest.raises(ApiRefused, match="serves no kind Widget"):
        api.kind("example.com/v1", "Widget")
    assert server.count("GET", "/apis") == before + 1


# --- reading and writing ---


def test_objects_are_created_read_patched_replaced_and_deleted(server: ApiServer, api: KubeApi) -> None:
    config_maps = api.kind("v1", "ConfigMap")
    assert api.get(config_maps, "c", "n") is None

    created = api.create(config_map(a="1"))
    patched = api.patch(config_maps, "c", "n", {"data": {"b": "2"}}, manager="drill-drift")
    assert patched.object["data"] == {"a": "1", "b": "2"}
    assert created.sent_ns < created.answered_ns < patched.sent_ns < patched.answered_ns
    assert patched.object["metadata"]["managedFields"] == [{"manager": "drill-drift"}]

    replaced = api.replace(config_map(c="3") | {"metadata": patched.object["metadata"]})
    assert replaced.object["data"] == {"c": "3"}
    with pytest.raises(ApiRefused, match="modified"):
        api.replace(config_map() | {"metadata": created.object["metadata"]})
    with pytest.raises(ApiRefused, match="exists"):
        api.create(config_map())

    api.delete(config_maps, "c", "n", grace=0 * SECOND, propagation="Foreground")
    assert api.get(config_maps, "c", "n") is None
    options = json.loads(next(path for _, method, path in server.requests if method == "OPTIONS"))
    assert (options["gracePeriodSeconds"], options["propagationPolicy"]) == (0, "Foreground")


def test_a_list_names_the_kind_of_its_items_and_can_be_narrowed(server: ApiServer, api: KubeApi) -> None:
    for namespace, name, app in (("n", "a", "x"), ("n", "b", "y"), ("m", "c", "x")):
        obj = config_map(name, namespace)
        obj["metadata"]["labels"] = {"app": app}
        server.put(obj)
    config_maps = api.kind("v1", "ConfigMap")
    everything = api.list(config_maps)
    assert {str(ref_of(item)) for item in everything.items} == {"ConfigMap n/a", "ConfigMap n/b", "ConfigMap m/c"}
    assert everything.resource_version == str(server.number)
    assert [i["metadata"]["name"] for i in api.list(config_maps, "n", "app=x").items] == ["a"]


def test_the_scale_subresource_answers_with_the_version_of_the_write(server: ApiServer, api: KubeApi) -> None:
    server.put(deployment(replicas=2))
    written = api.patch(api.kind("apps", "Deployment"), "d", "n", {"spec": {"replicas": 5}}, subresource="scale")
    assert written.object["kind"] == "Scale"
    assert written.object["metadata"]["resourceVersion"] == str(server.number)
    assert server.objects["deployments", "n", "d"]["spec"]["replicas"] == 5


def test_raw_reads_text_also_through_a_service(server: ApiServer, api: KubeApi) -> None:
    server.texts["/api/v1/namespaces/n/services/s:http/proxy/healthz"] = "fine"
    assert api.raw("/api/v1/namespaces/n/services/s:http/proxy/healthz") == "fine"
    server.texts["/api/v1/namespaces/n/pods/p/log"] = "line\n"
    assert api.logs("n", "p", "main", tail=5, previous=True) == "line\n"
    assert "tailLines=5" in server.requests[-1][2]
    assert "previous=true" in server.requests[-1][2]


def test_a_namespaced_object_needs_its_namespace(api: KubeApi) -> None:
    with pytest.raises(ValueError, match="name it"):
        api.get(api.kind("v1", "ConfigMap"), "c")


def test_one_client_serves_many_threads(server: ApiServer, api: KubeApi) -> None:
    config_maps = api.kind("v1", "ConfigMap")
    failures: list[BaseException] = []

    def work(number: int) -> None:
        try:
            for turn in range(10):
                api.create(config_map(f"c{number}-{turn}", a=str(number)))
                found = api.get(config_maps, f"c{number}-{turn}", "n")
                assert found is not None
                assert found["data"]["a"] == str(number)
        except (ApiRefused, ApiUnreachable, AssertionError) as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert not failures
    assert len(api.list(config_maps).items) == 120


# --- apply ---


def crd(kind: str = "Widget") -> Object:
    plural = kind.lower() + "s"
    return {
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.example.com"},
        "spec": {"group": "example.com", "scope": "Namespaced", "names": {"kind": kind, "plural": plural},
                 "versions": [{"name": "v1"}]},
    }  # fmt: skip


def test_many_objects_are_applied_in_an_order_that_works(tmp_path: Path) -> None:
    with ApiServer(establish_after=0.3) as server:
        api = KubeApi(server.kubeconfig(tmp_path), SystemClock(), timeout=2 * SECOND)
        widget: Object = {"apiVersion": "example.com/v1", "kind": "Widget", "metadata": {"name": "w"}, "spec": {}}
        namespace: Object = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "n"}}
        account: Object = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "s"}}
        wanted = [widget, deployment(), account, crd(), namespace]
        applied = api.apply_many(wanted, namespace="n")
        assert [ref_of(o) for o in applied] == [
            Ref("example.com", "Widget", "n", "w"), Ref("apps", "Deployment", "n", "d"),
            Ref("", "ServiceAccount", "n", "s"),
            Ref("apiextensions.k8s.io", "CustomResourceDefinition", "", "widgets.example.com"),
            Ref("", "Namespace", "", "n"),
        ]  # fmt: skip
        order = [p.split("?")[0].split("/")[-2] for _, m, p in server.requests if m == "PATCH"]
        assert order.index("serviceaccounts") < order.index("deployments") < order.index("widgets")
        assert max(order.index("customresourcedefinitions"), order.index("namespaces")) < order.index("serviceaccounts")
        patches = [p for _, m, p in server.requests if m == "PATCH"]
        assert all("fieldManager=drill" in p and "force=true" in p for p in patches)
        api.close()


def test_an_object_that_is_refused_is_named(api: KubeApi) -> None:
    with pytest.raises(ApiRefused, match=r"Gadget g: .*serves no kind Gadget"):
        api.apply_many([config_map(), {"apiVersion": "x.io/v1", "kind": "Gadget", "metadata": {"name": "g"}}])


def test_a_crd_that_never_becomes_established_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("harness.cluster.applying.ESTABLISHED_WITHIN", timedelta(seconds=1.2))
    with ApiServer(establish_after=60) as server:
        api = KubeApi(server.kubeconfig(tmp_path), SystemClock(), timeout=2 * SECOND)
        with pytest.raises(ProvisionFailed, match=r"found not so: widgets\.example\.com"):
            api.apply_many([crd()])
        api.close()


# --- watch ---


def watching(api: KubeApi, version: str, **options: Any) -> Iterator[Any]:
    return api.watch(api.kind("v1", "ConfigMap"), resource_version=version, lasting=1 * SECOND, **options)


def test_a_watch_delivers_what_happens_then_a_bookmark_and_ends(server: ApiServer, api: KubeApi) -> None:
    events = watching(api, api.list(api.kind("v1", "ConfigMap")).resource_version)
    server.put(config_map(a="1"))
    server.put(config_map(a="2"))
    server.remove("configmaps", "n", "c")
    seen = list(events)
    assert [e.type for e in seen] == ["ADDED", "MODIFIED", "DELETED", "BOOKMARK"]
    assert seen[-1].object["metadata"]["resourceVersion"] == str(server.number)
    made = [server.written_ns[e.object["metadata"]["resourceVersion"]] for e in seen[:3]]
    assert all(0 < e.received_ns - ns < 500_000_000 for e, ns in zip(seen, made, strict=False))


@pytest.mark.parametrize("way", [gone_status, gone_event])
def test_a_version_that_is_too_old_is_410_in_either_form(server: ApiServer, api: KubeApi, way: Any) -> None:
    server.misbehave("configmaps", way)
    with pytest.raises(ApiRefused) as caught:
        list(watching(api, "1"))
    assert caught.value.status == 410


@pytest.mark.parametrize(
    ("way", "match"),
    [(abrupt_close, "GET /api"), (garbage, "a watch line that is none"), (half_open, "no answer in time")],
)
def test_a_broken_watch_is_unreachable(server: ApiServer, api: KubeApi, way: Any, match: str) -> None:
    server.misbehave("configmaps", way)
    with pytest.raises(ApiUnreachable, match=match):
        list(watching(api, str(server.number), silence=QUICK))


def test_a_line_that_comes_in_pieces_is_put_together(server: ApiServer, api: KubeApi) -> None:
    line = json.dumps({"type": "ADDED", "object": config_map() | {"metadata": {"name": "c", "resourceVersion": "9"}}})

    def pieces(handler: Any) -> None:
        handler.begin()
        for piece in (line[:10], line[10:] + "\n" + line, "\n\n"):
            handler.chunk(piece.encode())
            time.sleep(0.02)
        handler.end()

    server.misbehave("configmaps", pieces)
    first, second = watching(api, "1")
    assert first.object == second.object
    assert second.received_ns - first.received_ns > 10_000_000


# --- exec ---


def test_exec_returns_both_streams_and_the_code(api: KubeApi) -> None:
    assert api.exec("n", "p", ["echo", "hello"]) == ("echo hello", "a warning", 0)
    assert api.exec("n", "p", ["fail", "3"], container="main")[2] == 3


def test_exec_has_a_deadline_and_says_when_there_is_no_pod(api: KubeApi) -> None:
    with pytest.raises(ApiUnreachable, match=r"not ended after 0\.4 s"):
        api.exec("n", "p", ["hang"], timeout=QUICK)
    with pytest.raises(ApiRefused, match="pods not found") as caught:
        api.exec("n", "p", ["absent"])
    assert caught.value.status == 404


def test_a_transport_has_one_address(server: ApiServer, tmp_path: Path) -> None:
    transport = Transport(server.kubeconfig(tmp_path), SystemClock(), SECOND)
    assert transport.server == f"http://127.0.0.1:{server.port}"
    assert transport.websocket_options()[0] == f"ws://127.0.0.1:{server.port}"
    transport.close()
