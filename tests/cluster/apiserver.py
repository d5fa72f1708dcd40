"""An API server double on 127.0.0.1: enough of the protocol to be listed, watched and written to, and ways to fail.

Here belong the double's memory and life. It holds objects, numbers them, and keeps a log for watches; `misbehave`
makes the next watches of a kind go wrong in a chosen way, `freeze`, `stop` and `start` the whole server. What each
request is answered is in `tests.cluster.apihandler`.
"""

from __future__ import annotations

import copy
import json
import socket
import threading
import time
from collections import defaultdict, deque
from contextlib import suppress
from http.server import ThreadingHTTPServer
from pathlib import Path
from typing import Any

from tests.cluster.apihandler import Handler, Misbehaviour, Object, Resource, builtin


class ApiServer:
    """The double. Use as a context manager."""

    def __init__(self, *, aggregated: bool = True, establish_after: float = 0.0) -> None:
        self.aggregated, self.establish_after = aggregated, establish_after
        self.port = 0
        self.resources = builtin()
        self.objects: dict[tuple[str, str, str], Object] = {}  # plural, namespace, name
        self.log: list[tuple[int, str, str, Object]] = []  # number, plural, type, object
        self.texts: dict[str, str] = {}
        self.requests: list[tuple[int, str, str]] = []  # monotonic ns, method, path with query
        self.written_ns: dict[str, int] = {}  # resourceVersion -> when the event was made available
        self.compacted = 0
        self.list_statuses: defaultdict[str, deque[int]] = defaultdict(deque)
        self.changed = threading.Condition()
        self.stopping, self.thawed = threading.Event(), threading.Event()
        self._number, self._uid = 100, 0
        self._misbehaviours: defaultdict[str, deque[Misbehaviour]] = defaultdict(deque)
        self._server: _Server | None = None
        self._thread: threading.Thread | None = None
        self.thawed.set()

    # --- life ---

    def start(self) -> ApiServer:
        """Listen: on a free port, or again on the port of before."""
        self.stopping.clear()
        self._server = _Server(("127.0.0.1", self.port), self)
        self.port = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()
        return self

    def stop(self) -> None:
        """Refuse connections and cut those that are open. Objects stay."""
        if self._server is None or self._thread is None:
            return
        self.stopping.set()
        self.thawed.set()
        with self.changed:
            self.changed.notify_all()
        self._server.shutdown()
        self._server.server_close()
        self._server.cut_all()
        self._thread.join(5)
        self._server = None

    def __enter__(self) -> ApiServer:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def freeze(self) -> None:
        """Accept, read, and send nothing: a paused node."""
        self.thawed.clear()

    def thaw(self) -> None:
        self.thawed.set()

    def kubeconfig(self, folder: Path) -> Path:
        path = folder / "kubeconfig"
        path.write_text(json.dumps({
            "apiVersion": "v1", "kind": "Config", "current-context": "double",
            "clusters": [{"name": "double", "cluster": {"server": f"http://127.0.0.1:{self.port}"}}],
            "contexts": [{"name": "double", "context": {"cluster": "double", "user": "double"}}],
            "users": [{"name": "double", "user": {"token": "a-token"}}],
        }))  # fmt: skip
        return path

    # --- content ---

    def misbehave(self, plural: str, *ways: Misbehaviour) -> None:
        """The next watches of `plural` go wrong in these ways, in this order."""
        self._misbehaviours[plural].extend(ways)

    def misbehaviour(self, plural: str) -> Misbehaviour | None:
        queue = self._misbehaviours[plural]
        return queue.popleft() if queue else None

    def put(self, obj: Object) -> Object:
        """Create or replace, as somebody else would."""
        resource = self.resource_of(obj)
        obj = copy.deepcopy(obj)
        metadata = obj["metadata"]
        key = (resource.plural, metadata.get("namespace", "") if resource.namespaced else "", metadata["name"])
        with self.changed:
            old = self.objects.get(key)
            self._number += 1
            self._uid += old is None
            metadata.setdefault("uid", old["metadata"]["uid"] if old else f"uid-{self._uid}")
            metadata["resourceVersion"] = str(self._number)
            metadata["generation"] = (old["metadata"].get("generation", 1) if old else 0) + 1
            metadata.setdefault("managedFields", [{"manager": "somebody"}])
            self.objects[key] = obj
            self._append(resource.plural, "MODIFIED" if old else "ADDED", obj)
        if resource.kind == "CustomResourceDefinition":
            self._define(obj)
        return copy.deepcopy(obj)

    def remove(self, plural: str, namespace: str, name: str) -> Object:
        with self.changed:
            gone = self.objects.pop((plural, namespace, name))
            gone = copy.deepcopy(gone)
            self._number += 1
            gone["metadata"]["resourceVersion"] = str(self._number)
            self._append(plural, "DELETED", gone)
        return gone

    def compact(self) -> None:
        """Forget the past: watches from before now get 410."""
        with self.changed:
            self.compacted = self._number
            self.log.clear()

    @property
    def number(self) -> int:
        return self._number

    def _append(self, plural: str, kind: str, obj: Object) -> None:
        self.log.append((self._number, plural, kind, copy.deepcopy(obj)))
        self.written_ns[str(self._number)] = time.monotonic_ns()
        self.changed.notify_all()

    def _define(self, obj: Object) -> None:
        conditions = obj.get("status", {}).get("conditions", [])
        if any(c["type"] == "Established" for c in conditions):
            return
        spec = obj["spec"]

        def establish() -> None:
            names = spec["names"]
            self.resources.append(Resource(spec["group"], spec["versions"][0]["name"], names["kind"], names["plural"],
                                           spec["scope"] == "Namespaced"))  # fmt: skip
            self.put({**obj, "status": {"conditions": [{"type": "Established", "status": "True"}]}})

        timer = threading.Timer(self.establish_after, establish)
        timer.daemon = True
        timer.start()

    def resource_of(self, obj: Object) -> Resource:
        return next(r for r in self.resources if (r.api_version, r.kind) == (obj["apiVersion"], obj["kind"]))

    def count(self, method: str, part: str) -> int:
        """How many requests had `part` in their path."""
        return sum(m == method and part in path for _, m, path in list(self.requests))


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 128

    def __init__(self, address: tuple[str, int], api: ApiServer) -> None:
        self.api = api
        self.open: set[socket.socket] = set()
        super().__init__(address, Handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        self.open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        self.open.discard(request)
        super().shutdown_request(request)

    def cut_all(self) -> None:
        for each in list(self.open):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request: Any, client_address: Any) -> None:
        return  # a client that went away is part of what is tested
