"""Readiness: each probe MET, PENDING and, where it can be, BROKEN."""

from __future__ import annotations

import copy
import ssl
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.cluster import readiness
from harness.cluster.readiness import AccountThere, ApiReady, DnsAnswering, NodesReady
from harness.core.clock import SystemClock
from harness.core.errors import ApiRefused, ApiUnreachable
from harness.core.objects import ACCOUNT, DEPLOYMENT, NODE, POD, Kind, Object
from harness.core.observation import State

CLOCK = SystemClock()


@dataclass(frozen=True)
class Seen:
    object: Object
    received_ns: int = 7


class View:
    """Objects by kind; no watch."""

    signal = None

    def __init__(self, **objects: list[Object]) -> None:
        kinds: dict[str, Kind] = {"nodes": NODE, "pods": POD, "accounts": ACCOUNT, "deployments": DEPLOYMENT}
        self._objects = {kinds[name]: tuple(map(Seen, found)) for name, found in objects.items()}

    def all(self, kind: Kind) -> Sequence[Seen]:
        return self._objects.get(kind, ())


def node(name: str = "n", ready: str = "True", **spec: Any) -> Object:
    conditions = [{"type": "MemoryPressure", "status": "False"}, {"type": "Ready", "status": ready, "reason": "Why"}]
    return {"metadata": {"name": name}, "spec": spec, "status": {"conditions": conditions}}


def pod(phase: str, **state: Any) -> Object:
    return {
        "metadata": {"name": "p", "namespace": "default"},
        "spec": {"nodeName": "n"},
        "status": {"phase": phase, "containerStatuses": [{"state": state}] if state else []},
    }


def coredns(available: str) -> Object:
    conditions = [{"type": "Available", "status": available}]
    return {"metadata": {"name": "coredns", "namespace": "kube-system"}, "status": {"conditions": conditions}}


NODES = [node("a"), node("b")]


def test_as_many_good_nodes_as_asked_for_are_ready() -> None:
    seen = NodesReady(View(nodes=NODES), CLOCK, 2).observe()

    assert (seen.state, seen.done, seen.total, seen.at_ns) == (State.MET, 2, 2, 7)


@pytest.mark.parametrize(
    ("nodes", "actual"),
    [
        ([], "0 of 0 registered ready"),
        (NODES[:1], "1 of 1 registered ready"),
        ([NODES[0], node("b", "False")], "b not Ready (Why)"),
        ([NODES[0], node("b", "Unknown")], "b not Ready (Why)"),
        ([NODES[0], {"metadata": {"name": "b"}}], "b not Ready"),
        ([NODES[0], node("b", unschedulable=True)], "b cordoned"),
        ([NODES[0], node("b", taints=[{"key": "k", "effect": "NoExecute"}])], "b tainted k"),
        ([*NODES, node("old", "False")], "old not Ready (Why)"),
    ],
)
def test_anything_less_is_pending_and_named(nodes: list[Object], actual: str) -> None:
    seen = NodesReady(View(nodes=nodes), CLOCK, 2).observe()

    assert seen.state is State.PENDING
    assert actual in seen.actual


def test_a_taint_that_only_prefers_is_no_problem() -> None:
    assert not readiness.node_problem(node(taints=[{"key": "k", "effect": "PreferNoSchedule"}]))


@given(st.recursive(st.none() | st.text() | st.booleans(), lambda x: st.lists(x) | st.dictionaries(st.text(), x)))
def test_half_written_nodes_never_crash_the_probe(noise: Any) -> None:
    broken = copy.deepcopy({"metadata": {"name": "n"}, "status": {"conditions": []}, "spec": {"podCIDR": noise}})

    assert readiness.node_problem(broken) == "not Ready"


@pytest.mark.parametrize("answered", [pod("Succeeded"), pod("Running", terminated={"exitCode": 0})])
def test_dns_is_met_by_a_pod_that_ended_well_and_an_available_server(answered: Object) -> None:
    seen = DnsAnswering(View(pods=[answered], deployments=[coredns("True")]), CLOCK, "p").observe()

    assert (seen.state, seen.at_ns) == (State.MET, 7)


@pytest.mark.parametrize(
    ("pods", "servers", "actual"),
    [
        ([], [coredns("True")], "no probing pod"),
        ([pod("Succeeded")], [], "no Deployment kube-system/coredns"),
        ([pod("Succeeded")], [coredns("False")], "coredns not available"),
        ([pod("Pending", waiting={"reason": "ErrImagePull"})], [coredns("True")], "Pending on n (ErrImagePull)"),
        ([pod("Running", terminated={"exitCode": 1})], [coredns("True")], "probing pod Running on n"),
        ([pod("Running", running={})], [coredns("True")], "probing pod Running on n"),
    ],
)
def test_dns_is_pending_until_then(pods: list[Object], servers: list[Object], actual: str) -> None:
    seen = DnsAnswering(View(pods=pods, deployments=servers), CLOCK, "p").observe()

    assert seen.state is State.PENDING
    assert actual in seen.actual


def test_a_look_up_that_ran_out_of_time_is_final() -> None:
    failed = pod("Failed", terminated={"reason": "Error"})

    seen = DnsAnswering(View(pods=[failed], deployments=[coredns("True")]), CLOCK, "p").observe()

    assert seen.state is State.BROKEN


def test_the_account_is_awaited_in_the_pods_namespace() -> None:
    elsewhere = {"metadata": {"name": "default", "namespace": "kube-system"}}
    here = {"metadata": {"name": "default", "namespace": "default"}}

    assert AccountThere(View(accounts=[elsewhere]), CLOCK).observe().state is State.PENDING
    assert AccountThere(View(accounts=[elsewhere, here]), CLOCK).observe().met


class Api:
    def __init__(self, answer: str | Exception) -> None:
        self.answer = answer

    def raw(self, path: str) -> str:
        assert path == "/readyz"
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


@pytest.mark.parametrize(
    ("answer", "state"),
    [
        ("ok\n", State.MET),
        ("[-]etcd failed", State.PENDING),
        (ApiUnreachable("refused"), State.PENDING),
        (ApiRefused(500, "InternalError", "[-]poststarthook"), State.PENDING),
    ],
)
def test_the_api_is_ready_when_it_says_ok(answer: str | Exception, state: State) -> None:
    assert ApiReady(Api(answer), CLOCK).observe().state is state


def test_nobody_listening_is_pending_and_broken_once_k3d_gave_up() -> None:
    given_up: list[bool] = []
    probe = readiness.Listening("127.0.0.1", 1, CLOCK, lambda: bool(given_up))

    assert probe.observe().state is State.PENDING
    given_up.append(True)
    assert probe.observe().state is State.BROKEN


def test_a_port_that_accepts_and_says_nothing_is_not_listening() -> None:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as server:
        seen = readiness.Listening("127.0.0.1", server.getsockname()[1], CLOCK, lambda: False).observe()

    assert seen.state is State.PENDING


def test_any_https_answer_means_that_somebody_listens(tmp_path: Path) -> None:
    server = HTTPServer(("127.0.0.1", 0), Refusing)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate(tmp_path))
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.handle_request, daemon=True)
    thread.start()

    seen = readiness.Listening("127.0.0.1", server.server_port, CLOCK, lambda: False).observe()

    thread.join(5)
    server.server_close()
    assert (seen.state, seen.actual) == (State.MET, "HTTP 401")


class Refusing(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(401)
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        return


def certificate(folder: Path) -> Path:
    import subprocess

    path = folder / "pem"
    argv = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=x"]
    subprocess.run([*argv, "-keyout", path, "-out", folder / "crt"], check=True, capture_output=True)
    path.write_text(path.read_text() + (folder / "crt").read_text())
    return path


def test_the_probing_pod_carries_no_credentials_and_never_pulls_anew() -> None:
    made = readiness.probing_pod("p", "drill/sample:1")

    assert made["spec"]["automountServiceAccountToken"] is False
    assert made["spec"]["containers"][0]["imagePullPolicy"] == "IfNotPresent"
    assert made["spec"]["restartPolicy"] == "Never"
