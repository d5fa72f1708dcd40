"""When a new cluster is ready: proved from outside and by a pod inside, never by a log line.

Here belong the questions, as probes over watched objects. The order in which they are asked does not: that is
`harness.cluster.clusters`. What makes a cluster usable: the Kubernetes docs on node conditions, ServiceAccount
admission and /readyz.
"""

from __future__ import annotations

import http.client
import ssl
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Protocol

from harness.core.clock import Clock
from harness.core.errors import ApiRefused, ApiUnreachable
from harness.core.objects import ACCOUNT, DEPLOYMENT, NODE, POD, Kind, Object, condition, dig, is_true
from harness.core.observation import Observation, State
from harness.core.text import first_line

WATCHED = (NODE, POD, ACCOUNT, DEPLOYMENT)
PROBE_NAMESPACE = "default"
PROBED_NAME = "kubernetes.default.svc.cluster.local."


class Seen(Protocol):
    """An object as the watch saw it; see `harness.cluster.live`."""

    @property
    def object(self) -> Object: ...
    @property
    def received_ns(self) -> int: ...


class View(Protocol):
    """What we need of `harness.cluster.live.LiveView`."""

    @property
    def signal(self) -> Any: ...
    def all(self, kind: Kind) -> Sequence[Seen]: ...


class Readyz(Protocol):
    """What we need of `harness.cluster.kube.KubeApi`."""

    def raw(self, path: str) -> str: ...


class Listening:
    """Somebody speaks HTTPS on the API's port: any answer will do, for the certificate is not known yet.

    BROKEN when k3d has given up meanwhile.
    """

    signal = None
    subject = "API server listening"

    def __init__(self, host: str, port: int, clock: Clock, gave_up: Callable[[], bool]) -> None:
        self._host, self._port, self._clock, self._gave_up = host, port, clock, gave_up
        # Not the default context: that reads every certificate of this machine, which takes longer than the question.
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        self._context.check_hostname, self._context.verify_mode = False, ssl.CERT_NONE

    def observe(self) -> Observation:
        expected = f"an answer at https://{self._host}:{self._port}"
        state, actual = State.MET, "an answer"
        # Docker's proxy accepts at once whatever happens behind it, so that a connection alone means nothing.
        connection = http.client.HTTPSConnection(self._host, self._port, timeout=0.5, context=self._context)
        try:
            connection.request("GET", "/readyz")
            actual = f"HTTP {connection.getresponse().status}"
        except (OSError, http.client.HTTPException) as error:
            state, actual = State.PENDING, f"no answer ({type(error).__name__})"
            if self._gave_up():
                state, actual = State.BROKEN, "k3d ended with an error"
        finally:
            connection.close()
        return Observation(state, self.subject, expected, actual, self._clock.now_ns())


class ApiReady:
    """/readyz says ok, to our own credentials."""

    signal = None
    subject = "API ready"

    def __init__(self, api: Readyz, clock: Clock) -> None:
        self._api, self._clock = api, clock

    def observe(self) -> Observation:
        try:
            said = self._api.raw("/readyz").strip()
        except (ApiUnreachable, ApiRefused) as error:
            said = first_line(error)[:200]
        state = State.MET if said == "ok" else State.PENDING
        return Observation(state, self.subject, "/readyz ok", f"/readyz {said}", self._clock.now_ns())


class AccountThere:
    """The ServiceAccount `default` exists: without it no pod is admitted."""

    subject = "ServiceAccount default/default"

    def __init__(self, view: View, clock: Clock) -> None:
        self._view, self._clock, self.signal = view, clock, view.signal

    def observe(self) -> Observation:
        found = _named(self._view.all(ACCOUNT), PROBE_NAMESPACE, "default")
        state = State.MET if found else State.PENDING
        at = found.received_ns if found else self._clock.now_ns()
        return Observation(state, self.subject, "there", "there" if found else "absent", at)


class NodesReady:
    """As many nodes as asked for, each Ready, none cordoned or tainted away."""

    def __init__(self, view: View, clock: Clock, expected: int) -> None:
        self._view, self._clock, self._expected = view, clock, expected
        self.subject, self.signal = f"{expected} nodes", view.signal

    def observe(self) -> Observation:
        seen = self._view.all(NODE)
        problems = {dig(s.object, "metadata", "name"): node_problem(s.object) for s in seen}
        good = sum(not problem for problem in problems.values())
        met = good == self._expected == len(seen)
        bad = [f"{name} {problem}" for name, problem in sorted(problems.items()) if problem]
        actual = f"{good} of {len(seen)} registered ready" + (f": {', '.join(bad)}" if bad else "")
        at = max((s.received_ns for s in seen), default=0) if met else self._clock.now_ns()
        state = State.MET if met else State.PENDING
        expected = f"{self._expected} nodes Ready and schedulable"
        return Observation(state, self.subject, expected, actual, at, done=good, total=self._expected)


class DnsAnswering:
    """CoreDNS is available, and a pod that was scheduled and ran got an answer from it."""

    subject = "DNS from a pod"

    def __init__(self, view: View, clock: Clock, pod: str) -> None:
        self._view, self._clock, self._pod, self.signal = view, clock, pod, view.signal

    def observe(self) -> Observation:
        server = _named(self._view.all(DEPLOYMENT), "kube-system", "coredns")
        pod = _named(self._view.all(POD), PROBE_NAMESPACE, self._pod)
        missing = [problem for problem in (deployment_problem(server), pod_problem(pod)) if problem]
        expected = f"coredns available and a pod that resolves {PROBED_NAME}"
        if missing or server is None or pod is None:
            # A look-up that ran out of time has had more of it than a healthy cluster ever needs.
            final = pod is not None and dig(pod.object, "status", "phase") == "Failed"
            state = State.BROKEN if final else State.PENDING
            return Observation(state, self.subject, expected, "; ".join(missing), self._clock.now_ns())
        at = max(server.received_ns, pod.received_ns)
        return Observation(State.MET, self.subject, expected, "answered", at)


def node_problem(node: Object) -> str:
    """Why a pod cannot run on the node; empty if it can."""
    if not is_true(node, "Ready"):
        reason = condition(node, "Ready").get("reason")
        return "not Ready" + (f" ({reason})" if reason else "")
    if dig(node, "spec", "unschedulable"):
        return "cordoned"
    taints = [t["key"] for t in dig(node, "spec", "taints", default=[]) if t.get("effect") != "PreferNoSchedule"]
    return f"tainted {','.join(sorted(taints))}" if taints else ""


def deployment_problem(seen: Seen | None) -> str:
    """Why CoreDNS is not available; empty if it is."""
    if seen is None:
        return "no Deployment kube-system/coredns"
    return "" if is_true(seen.object, "Available") else "coredns not available"


def pod_problem(seen: Seen | None) -> str:
    """What the probing pod still lacks; empty once it has its answer."""
    if seen is None:
        return "no probing pod"
    phase = dig(seen.object, "status", "phase", default="Unknown")
    state = dig(seen.object, "status", "containerStatuses", 0, "state", default={})
    # The container's own end is reported about a second before the pod's phase follows.
    if phase == "Succeeded" or dig(state, "terminated", "exitCode") == 0:
        return ""
    reason = next((dig(v, "reason") for v in state.values() if dig(v, "reason")), "")
    where = dig(seen.object, "spec", "nodeName", default="no node")
    return f"probing pod {phase} on {where}" + (f" ({reason})" if reason else "")


def probing_pod(name: str, image: str) -> Object:
    """A pod that ends well once it has resolved the API's own name; it asks for two minutes."""
    container = {
        "name": "resolve",
        "image": image,
        "imagePullPolicy": "IfNotPresent",
        "args": ["resolve", "-timeout", "120s", PROBED_NAME],
        "resources": {"requests": {"cpu": "1m", "memory": "8Mi"}},
    }
    spec = {
        "restartPolicy": "Never",
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": 0,
        # The first question may be lost while the rules for the DNS Service are written: ask again after 1 s, not 5.
        "dnsConfig": {"options": [{"name": "timeout", "value": "1"}]},
        "containers": [container],
    }
    metadata = {"name": name, "namespace": PROBE_NAMESPACE, "labels": {"app.kubernetes.io/managed-by": "drill"}}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}


def _named(seen: Iterable[Seen], namespace: str, name: str) -> Seen | None:
    for one in seen:
        metadata = one.object.get("metadata") or {}
        if metadata.get("name") == name and metadata.get("namespace") == namespace:
            return one
    return None
