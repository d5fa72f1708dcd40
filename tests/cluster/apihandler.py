"""The requests of the API server double: what each is answered, and the ways in which a watch can go wrong.

Here belongs HTTP. What the double holds and how it lives does not: that is `tests.cluster.apiserver`.
"""

from __future__ import annotations

import base64
import copy
import hashlib
import json
import socket
import struct
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

if TYPE_CHECKING:
    from tests.cluster.apiserver import ApiServer

Object = dict[str, Any]
VERBS = ["create", "delete", "get", "list", "patch", "update", "watch"]


@dataclass
class Resource:
    group: str
    version: str
    kind: str
    plural: str
    namespaced: bool = True
    verbs: list[str] = field(default_factory=lambda: list(VERBS))

    @property
    def api_version(self) -> str:
        return f"{self.group}/{self.version}" if self.group else self.version


def builtin() -> list[Resource]:
    return [
        Resource("", "v1", "ConfigMap", "configmaps"),
        Resource("", "v1", "Pod", "pods"),
        Resource("", "v1", "Service", "services"),
        Resource("", "v1", "ServiceAccount", "serviceaccounts"),
        Resource("", "v1", "Namespace", "namespaces", False),
        Resource("", "v1", "Binding", "bindings", True, ["create"]),
        Resource("apps", "v1", "Deployment", "deployments"),
        Resource("autoscaling", "v2", "HorizontalPodAutoscaler", "horizontalpodautoscalers"),
        Resource("autoscaling", "v1", "HorizontalPodAutoscaler", "horizontalpodautoscalers"),
        Resource("apiextensions.k8s.io", "v1", "CustomResourceDefinition", "customresourcedefinitions", False),
    ]


# --- ways to misbehave: each takes the handler of one watch -----------------------------------------------------------

Misbehaviour = Callable[["Handler"], None]


def gone_status(handler: Handler) -> None:
    """410 as the answer."""
    handler.status(410, "Expired", "too old resource version")


def gone_event(handler: Handler) -> None:
    """200, then 410 as an ERROR event."""
    handler.begin()
    status = {"kind": "Status", "status": "Failure", "code": 410, "reason": "Expired", "message": "too old"}
    handler.line({"type": "ERROR", "object": status})
    handler.end()


def silent_close(handler: Handler) -> None:
    """200, then a clean end at once, without a word."""
    handler.begin()
    handler.end()


def abrupt_close(handler: Handler) -> None:
    """200, then the connection is cut."""
    handler.begin()
    handler.cut()


def half_open(handler: Handler) -> None:
    """200, then nothing, for ever."""
    handler.begin()
    handler.api.stopping.wait(60)


def mute(handler: Handler) -> None:
    """Not even a status."""
    handler.api.stopping.wait(60)


def garbage(handler: Handler) -> None:
    """200, then a line that is no JSON."""
    handler.begin()
    handler.chunk(b'{"type": "MODIFIED", "obj\n')
    handler.end()


def refused(status: int) -> Misbehaviour:
    """An error status."""
    return lambda handler: handler.status(status, "Refused", "not now")


class Handler(BaseHTTPRequestHandler):
    """One connection. Public methods are for misbehaviours."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: Any

    @property
    def api(self) -> ApiServer:
        api: ApiServer = self.server.api
        return api

    def log_message(self, *_: object) -> None:
        return

    # --- answers ---

    def status(self, code: int, reason: str, message: str) -> None:
        self.document({"kind": "Status", "code": code, "reason": reason, "message": message}, code)

    def document(self, body: Any, code: int = 200) -> None:
        data = body.encode() if isinstance(body, str) else json.dumps(body).encode()
        self._unfrozen()
        self.send_response(code)
        self.send_header("Content-Type", "text/plain" if isinstance(body, str) else "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def begin(self) -> None:
        self._unfrozen()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()

    def chunk(self, data: bytes) -> None:
        self._unfrozen()
        self.wfile.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")

    def line(self, event: Object) -> None:
        self.chunk(json.dumps(event).encode() + b"\n")

    def end(self) -> None:
        self.wfile.write(b"0\r\n\r\n")

    def cut(self) -> None:
        self.close_connection = True
        self.connection.shutdown(socket.SHUT_RDWR)

    def _unfrozen(self) -> None:
        self.api.thawed.wait(60)
        if self.api.stopping.is_set():
            raise ConnectionAbortedError

    # --- requests ---

    def do_GET(self) -> None:
        self._dispatch("GET")

    def do_POST(self) -> None:
        self._dispatch("POST")

    def do_PUT(self) -> None:
        self._dispatch("PUT")

    def do_PATCH(self) -> None:
        self._dispatch("PATCH")

    def do_DELETE(self) -> None:
        self._dispatch("DELETE")

    def _dispatch(self, method: str) -> None:
        self.api.requests.append((time.monotonic_ns(), method, self.path))
        parts = urlsplit(self.path)
        self.query = {k: v[-1] for k, v in parse_qs(parts.query).items()}
        raw = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.headers.get("Authorization") != "Bearer a-token":
            self.status(401, "Unauthorized", "who are you?")
        elif parts.path in self.api.texts:
            self.document(self.api.texts[parts.path])
        elif parts.path in ("/livez/ping", "/readyz"):
            self.document("ok")
        elif parts.path.endswith("/exec"):
            self._exec(parse_qs(parts.query).get("command", []))
        elif parts.path in ("/api", "/apis") or len(parts.path.strip("/").split("/")) == (
            2 if parts.path.startswith("/api/") else 3
        ):
            self._discovery(parts.path)
        else:
            self._object(method, parts.path, json.loads(raw) if raw else None)

    def _discovery(self, path: str) -> None:
        core = path.startswith("/api/") or path == "/api"
        chosen = [r for r in self.api.resources if (r.group == "") == core]
        if path in ("/api", "/apis") and self.api.aggregated:
            self.document({"kind": "APIGroupDiscoveryList", "items": _aggregated(chosen)})
        elif path == "/api":
            self.document({"kind": "APIVersions", "versions": ["v1"]})
        elif path == "/apis":
            groups = [
                {"name": g, "versions": [{"version": v} for v in sorted(vs)],
                 "preferredVersion": {"version": sorted(vs)[-1]}}
                for g, vs in _versions(chosen).items()
            ]  # fmt: skip
            self.document({"kind": "APIGroupList", "groups": groups})
        else:
            wanted = path.removeprefix("/apis/").removeprefix("/api/")
            found = [{"name": r.plural, "kind": r.kind, "namespaced": r.namespaced, "verbs": r.verbs}
                     for r in chosen if r.api_version == wanted]  # fmt: skip
            sub = [{"name": "deployments/scale", "kind": "Scale", "namespaced": True, "verbs": ["patch"]}]
            self.document({"kind": "APIResourceList", "resources": found + sub})

    def _object(self, method: str, path: str, body: Any) -> None:
        steps = path.strip("/").split("/")
        prefix = "/".join(steps[1:2] if steps[0] == "api" else steps[1:3])
        steps = steps[2:] if steps[0] == "api" else steps[3:]
        namespace = ""
        if steps[0] == "namespaces" and len(steps) > 2:
            namespace, steps = steps[1], steps[2:]
        plural, name, sub = (*steps, "", "", "")[:3]
        resource = next((r for r in self.api.resources if (r.api_version, r.plural) == (prefix, plural)), None)
        if resource is None:
            self.status(404, "NotFound", "the server could not find the requested resource")
        elif method == "GET" and not name:
            self._collection(resource, namespace)
        else:
            self._single(method, resource, (plural, namespace, name), sub, body)

    def _collection(self, resource: Resource, namespace: str) -> None:
        if "watch" in self.query:
            way = self.api.misbehaviour(resource.plural)
            (way or Handler._watch)(self) if way else self._watch(resource, namespace)
            return
        if self.api.list_statuses[resource.plural]:
            self.status(self.api.list_statuses[resource.plural].popleft(), "Refused", "not now")
            return
        with self.api.changed:
            items = [copy.deepcopy(o) for (p, ns, _), o in self.api.objects.items()
                     if p == resource.plural and namespace in ("", ns) and self._selected(o)]  # fmt: skip
            version = str(self.api.number)
        for item in items:
            item.pop("apiVersion"), item.pop("kind")
        if "as=PartialObjectMetadataList" in self.headers.get("Accept", ""):
            items = [{"metadata": item["metadata"]} for item in items]
        self.document({"kind": f"{resource.kind}List", "metadata": {"resourceVersion": version}, "items": items})

    def _selected(self, obj: Object) -> bool:
        wanted = self.query.get("labelSelector", "")
        labels = obj["metadata"].get("labels", {})
        return all(labels.get(k) == v for k, _, v in (t.partition("=") for t in wanted.split(",") if t))

    def _watch(self, resource: Resource, namespace: str) -> None:
        api, after = self.api, int(self.query["resourceVersion"])
        lasting = float(self.query.get("timeoutSeconds", "60"))
        ends = time.monotonic() + lasting
        bookmark_at = ends - min(2.0, lasting / 2)
        if after < api.compacted:
            gone_event(self)
            return
        self.begin()
        while not api.stopping.is_set():
            with api.changed:
                due = [e for e in api.log if e[0] > after]
                if not due:
                    api.changed.wait(max(0.0, min(ends, bookmark_at) - time.monotonic()))
                    due = [e for e in api.log if e[0] > after]
            for number, plural, kind, obj in due:
                after = number
                if plural == resource.plural and namespace in ("", obj["metadata"].get("namespace", "")):
                    self.line({"type": kind, "object": obj})
            if time.monotonic() >= bookmark_at:
                bookmark_at = float("inf")
                head = {"kind": resource.kind, "apiVersion": resource.api_version}
                self.line({"type": "BOOKMARK", "object": {**head, "metadata": {"resourceVersion": str(after)}}})
            if time.monotonic() >= ends:
                self.end()
                return

    def _single(self, method: str, resource: Resource, key: tuple[str, str, str], sub: str, body: Any) -> None:
        api, (plural, namespace, name) = self.api, key
        present = api.objects.get(key)
        manager = [{"manager": self.query.get("fieldManager", "")}]
        if method == "POST":
            key = (plural, namespace, body["metadata"]["name"])
            if key in api.objects:
                self.status(409, "AlreadyExists", f"{key[2]} exists")
                return
            self.document(api.put(_with(body, namespace, manager)), 201)
        elif method == "PATCH" and self.headers["Content-Type"] == "application/apply-patch+yaml":
            self.document(_changed(api, present or {}, _merged(present or {}, body), namespace, manager))
        elif present is None:
            self.status(404, "NotFound", f"{plural} {name!r} not found")
        elif method == "GET":
            self.document(present)
        elif method == "PATCH":
            written = _changed(api, present, _merged(present, body), namespace, manager)
            scale = {"kind": "Scale", "metadata": written["metadata"], "spec": {}}
            self.document(scale if sub == "scale" else written)
        elif method == "PUT":
            if body["metadata"].get("resourceVersion") not in (None, present["metadata"]["resourceVersion"]):
                self.status(409, "Conflict", "the object has been modified")
                return
            self.document(api.put(_with(body, namespace, manager)))
        else:
            api.requests.append((time.monotonic_ns(), "OPTIONS", json.dumps(body)))
            self.document(api.remove(*key))

    def _exec(self, command: list[str]) -> None:
        """`fail N` ends with N, `hang` does not end; anything else is echoed."""
        if command[:1] == ["absent"]:
            self.status(404, "NotFound", "pods not found")
            return
        accept = base64.b64encode(
            hashlib.sha1((self.headers["Sec-WebSocket-Key"] + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11").encode()).digest()
        ).decode()
        self.send_response(101)
        for name, value in (("Upgrade", "websocket"), ("Connection", "Upgrade"), ("Sec-WebSocket-Accept", accept),
                            ("Sec-WebSocket-Protocol", "v4.channel.k8s.io")):  # fmt: skip
            self.send_header(name, value)
        self.end_headers()
        self.close_connection = True
        if command == ["hang"]:
            self.api.stopping.wait(60)
            return
        self._frame(b"\x01" + " ".join(command).encode())
        self._frame(b"\x02a warning")
        status: Object = {"status": "Success"}
        if command[0] == "fail":
            causes = [{"reason": "ExitCode", "message": command[1]}]
            status = {"status": "Failure", "code": 500, "details": {"causes": causes}}
        self._frame(b"\x03" + json.dumps(status).encode())
        self.wfile.write(b"\x88\x02" + struct.pack(">H", 1000))

    def _frame(self, data: bytes) -> None:
        size = bytes([len(data)]) if len(data) < 126 else b"\x7e" + struct.pack(">H", len(data))
        self.wfile.write(b"\x82" + size + data)


def _changed(api: ApiServer, old: Object, new: Object, namespace: str, manager: list[dict[str, str]]) -> Object:
    """What is stored: a write that changes nothing leaves the object and its version as they were."""
    return old if old and _bare(old) == _bare(new) else api.put(_with(new, namespace, manager))


def _bare(obj: Object) -> Object:
    kept = {k: v for k, v in obj["metadata"].items() if k not in ("managedFields", "resourceVersion", "namespace")}
    return {**obj, "metadata": kept}


def _with(obj: Object, namespace: str, manager: list[Object]) -> Object:
    head = {**obj["metadata"], "managedFields": manager, **({"namespace": namespace} if namespace else {})}
    return {**obj, "metadata": head}


def _merged(old: Any, new: Any) -> Any:
    if not (isinstance(old, dict) and isinstance(new, dict)):
        return copy.deepcopy(new)
    result = {**old, **{k: _merged(old.get(k), v) for k, v in new.items()}}
    return {k: v for k, v in result.items() if v is not None}


def _versions(resources: list[Resource]) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for r in resources:
        found.setdefault(r.group, set()).add(r.version)
    return found


def _aggregated(resources: list[Resource]) -> list[Object]:
    items = []
    for group, versions in _versions(resources).items():
        listed = []
        for version in sorted(versions, reverse=True):
            entries = [
                {"resource": r.plural, "responseKind": {"kind": r.kind}, "verbs": r.verbs,
                 "scope": "Namespaced" if r.namespaced else "Cluster",
                 "subresources": [{"subresource": "status", "responseKind": {"kind": r.kind}}]}
                for r in resources if (r.group, r.version) == (group, version)
            ]  # fmt: skip
            listed.append({"version": version, "resources": entries})
        items.append({"metadata": {"name": group} if group else {}, "versions": listed})
    return items
