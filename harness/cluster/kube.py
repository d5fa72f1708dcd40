"""The Kubernetes API: plain dicts in, plain dicts out, every write stamped.

Here belong the verbs. How a request travels and how it fails is in `harness.cluster.transport`, following objects over
time in `harness.cluster.live`, applying many at once in `harness.cluster.applying`, what an object's fields say about
it in `harness.cluster.health`.

After a rebuild the cluster has a new CA and new certificates: make a new `KubeApi` from its new kubeconfig.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

from harness.cluster import podexec
from harness.cluster.applying import apply_many
from harness.cluster.discovery import discover
from harness.cluster.transport import Answer, Query, Transport
from harness.core.clock import SECOND, Clock
from harness.core.errors import ApiRefused, ApiUnreachable
from harness.core.objects import Kind, Object, Ref, ref_of

__all__ = ["Kind", "KubeApi", "Listing", "Object", "Ref", "WatchEvent", "Written", "ref_of"]

MANAGER = "drill"
_CONTENT = {
    "merge": "application/merge-patch+json",
    "strategic": "application/strategic-merge-patch+json",
    "json": "application/json-patch+json",
    "apply": "application/apply-patch+yaml",
}
# As kubectl asks for it. A server that cannot do that answers with the whole objects.
_METADATA = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,application/json"


@dataclass(frozen=True, slots=True)
class Listing:
    """All objects of a kind at one moment between `sent_ns` and `received_ns` (monotonic).

    `resource_version` is opaque: it is only ever handed back.
    """

    items: tuple[Object, ...]
    resource_version: str
    sent_ns: int
    received_ns: int


@dataclass(frozen=True, slots=True)
class Written:
    """A write that the API accepted: between `sent_ns` and `answered_ns` (monotonic)."""

    object: Object
    sent_ns: int
    answered_ns: int


@dataclass(frozen=True, slots=True)
class WatchEvent:
    """One line of a watch: ADDED, MODIFIED, DELETED or BOOKMARK. Stamped on receipt, before it was parsed."""

    type: str
    object: Object
    received_ns: int


class KubeApi:
    """One cluster's API. Safe to use from several threads.

    Every method raises ApiUnreachable when no answer came within the deadline, and ApiRefused when the answer was no.
    """

    def __init__(self, kubeconfig: Path, clock: Clock, timeout: timedelta = 10 * SECOND) -> None:
        """`timeout` bounds every wait for bytes. Raises ConfigError for a kubeconfig that cannot be used."""
        self.kubeconfig, self.clock, self.timeout = kubeconfig, clock, timeout
        self.on_retry: Callable[[str], object] = lambda _: None  # hears of every write that is tried again
        self._transport = Transport(kubeconfig, clock, timeout)
        self._kinds: tuple[Kind, ...] | None = None
        self._discovering = threading.Lock()

    @property
    def server(self) -> str:
        """The address of the API server, as in the kubeconfig."""
        return self._transport.server

    def separate(self, timeout: timedelta | None = None) -> KubeApi:
        """Another client of the same cluster with connections of its own, which `close` can end without ending ours."""
        other = KubeApi(self.kubeconfig, self.clock, timeout or self.timeout)
        other._kinds = self._kinds
        return other

    def close(self) -> None:
        """End every call under way, in whatever thread, and refuse new ones."""
        self._transport.close()

    # --- kinds ---

    def kinds(self) -> tuple[Kind, ...]:
        """Every kind, once, in its preferred version. Discovered at first use."""
        seen: dict[tuple[str, str], Kind] = {}
        for kind in self._all_kinds():
            seen.setdefault((kind.group, kind.kind), kind)
        return tuple(seen.values())

    def refresh_kinds(self) -> tuple[Kind, ...]:
        """Ask anew which kinds there are: after a CRD came or went."""
        found = discover(self._transport)
        self._kinds = found
        return self.kinds()

    def kind(self, api_version_or_group: str, kind: str) -> Kind:
        """The kind of an apiVersion ("apps/v1") or, in its preferred version, of a group ("apps", "" for core).

        Asks once more before it says no: the CRD may be new. Raises ApiRefused(404).
        """
        for attempt in range(2):
            for known in self._all_kinds():
                wanted = (known.api_version, known.group)
                if known.kind == kind and api_version_or_group in wanted:
                    return known
            if not attempt:
                self.refresh_kinds()
        raise ApiRefused(404, "NotFound", f"the API at {self.server} serves no kind {kind} in {api_version_or_group!r}")

    def kind_of(self, obj: Object) -> Kind:
        """The kind of an object that carries apiVersion and kind. Raises ApiRefused(404)."""
        return self.kind(obj["apiVersion"], obj["kind"])

    def kind_of_ref(self, ref: Ref) -> Kind:
        """The kind, in its preferred version, of what `ref` points to. Raises ApiRefused(404)."""
        return self.kind(ref.group, ref.kind)

    def _all_kinds(self) -> tuple[Kind, ...]:
        with self._discovering:
            if self._kinds is None:
                self._kinds = discover(self._transport)
            return self._kinds

    # --- reading ---

    def get(self, kind: Kind, name: str, namespace: str | None = None) -> Object | None:
        """One object, or None if it is not there."""
        try:
            return self._transport.request("GET", _path(kind, namespace, name)).json()
        except ApiRefused as error:
            if error.status == 404:
                return None
            raise

    def list(
        self, kind: Kind, namespace: str | None = None, labels: str = "", *, metadata_only: bool = False
    ) -> Listing:
        """All objects of a kind, in one namespace or in all, selected by labels.

        With `metadata_only` an object has its metadata and no more: the definitions of a cluster are megabytes.
        """
        query = [("labelSelector", labels)] if labels else []
        accept = _METADATA if metadata_only else "application/json"
        answer = self._transport.request("GET", _path(kind, namespace, every=True), query=query, accept=accept)
        body = answer.json()
        items = tuple(body.get("items") or ())
        for item in items:  # a list names the kind once for all
            item["apiVersion"], item["kind"] = kind.api_version, kind.kind
        version = str((body.get("metadata") or {}).get("resourceVersion") or "")
        return Listing(items, version, answer.sent_ns, answer.answered_ns)

    def watch(
        self,
        kind: Kind,
        namespace: str | None = None,
        labels: str = "",
        *,
        resource_version: str,
        lasting: timedelta = 60 * SECOND,
        silence: timedelta = 70 * SECOND,
    ) -> Generator[WatchEvent, None, None]:
        """Everything that happened after `resource_version`, as it happens.

        The watch is established when this returns; `close` it to end it early. It ends when the server closes it:
        politely after `lasting`, with a bookmark about 2 s before. Raises ApiUnreachable after `silence` without a
        line, when the connection breaks or when a line is none; ApiRefused for an error event or status (410:
        `resource_version` is too old, list anew).
        """
        query = [("watch", "1"), ("allowWatchBookmarks", "true"), ("resourceVersion", resource_version),
                 ("timeoutSeconds", str(max(1, int(lasting.total_seconds()))))]  # fmt: skip
        if labels:
            query.append(("labelSelector", labels))
        lines = self._transport.lines(_path(kind, namespace, every=True), query, silence)
        return _events(lines)

    def raw(
        self, path: str, *, method: str = "GET", body: bytes | None = None, timeout: timedelta | None = None
    ) -> str:
        """The text at any path: /readyz, /version, a Service by
        /api/v1/namespaces/NAMESPACE/services/NAME:PORT/proxy/PATH. Raises ApiRefused for a status of 400 and more.
        """
        answer = self._transport.request(
            method, path, body=body, content_type="application/octet-stream", accept="*/*", timeout=timeout
        )
        return answer.body.decode(errors="replace")

    def logs(
        self, namespace: str, pod: str, container: str | None = None, *, tail: int = 200, previous: bool = False
    ) -> str:
        """The last `tail` lines that a container said."""
        query = [("tailLines", str(tail)), ("timestamps", "true")]
        query += [("container", container)] if container else []
        query += [("previous", "true")] if previous else []
        path = f"/api/v1/namespaces/{quote(namespace)}/pods/{quote(pod)}/log"
        return self._transport.request("GET", path, query=query, accept="*/*").body.decode(errors="replace")

    def exec(
        self,
        namespace: str,
        pod: str,
        argv: Sequence[str],
        container: str | None = None,
        timeout: timedelta | None = None,
    ) -> tuple[str, str, int]:
        """Run a command in a container to its end: standard output, standard error, return code."""
        return podexec.execute(self._transport, namespace, pod, argv, container, timeout or self.timeout)

    # --- writing ---

    def apply(self, obj: Object, *, namespace: str | None = None, manager: str = MANAGER, force: bool = True) -> Object:
        """Server-side apply. `namespace` is for namespaced objects that name none ("default" otherwise)."""
        kind = self.kind_of(obj)
        query = [("fieldManager", manager), ("force", str(force).lower())]
        path = _path(kind, _namespace(obj, namespace), obj["metadata"]["name"])
        return self._write("PATCH", path, query, obj, _CONTENT["apply"]).object

    def apply_many(
        self, objects: Iterable[Object], *, namespace: str | None = None, manager: str = MANAGER
    ) -> tuple[Object, ...]:
        """Apply in a sensible order, eight at a time; the applied objects in the order given.

        Raises ProvisionFailed when a CRD is not Established within 30 s.
        """
        return apply_many(self, objects, namespace, manager)

    def patch(
        self,
        kind: Kind,
        name: str,
        namespace: str | None,
        body: Any,
        *,
        subresource: str = "",
        manager: str = MANAGER,
        type: str = "merge",
    ) -> Written:
        """Patch an object or its subresource. `type`: merge, strategic, json (`body` is a list) or apply."""
        path = _path(kind, namespace, name, subresource)
        query = [("fieldManager", manager), *([("force", "true")] if type == "apply" else [])]
        return self._write("PATCH", path, query, body, _CONTENT[type])

    def create(self, obj: Object, *, namespace: str | None = None, manager: str = MANAGER) -> Written:
        """Create an object. Raises ApiRefused(409) if it is there."""
        path = _path(self.kind_of(obj), _namespace(obj, namespace), every=True)
        return self._write("POST", path, [("fieldManager", manager)], obj)

    def replace(self, obj: Object, *, namespace: str | None = None, manager: str = MANAGER) -> Written:
        """Replace an object by this one; with a resourceVersion in it, only that version."""
        path = _path(self.kind_of(obj), _namespace(obj, namespace), obj["metadata"]["name"])
        return self._write("PUT", path, [("fieldManager", manager)], obj)

    def delete(
        self,
        kind: Kind,
        name: str,
        namespace: str | None = None,
        *,
        grace: timedelta | None = None,
        propagation: str | None = None,
    ) -> Written:
        """Ask for a deletion; finalizers may make it last. `propagation`: Foreground, Background or Orphan.

        Raises ApiRefused(404) if it is not there.
        """
        options: Object = {"apiVersion": "v1", "kind": "DeleteOptions"}
        if grace is not None:
            options["gracePeriodSeconds"] = int(grace.total_seconds())
        if propagation:
            options["propagationPolicy"] = propagation
        return self._write("DELETE", _path(kind, namespace, name), [], options)

    def _write(self, method: str, path: str, query: Query, body: Any, content: str = "application/json") -> Written:
        answer: Answer = self._transport.request(method, path, query=query, body=body, content_type=content)
        return Written(answer.json(), answer.sent_ns, answer.answered_ns)


def _path(kind: Kind, namespace: str | None, name: str = "", subresource: str = "", *, every: bool = False) -> str:
    if not every and not name:
        raise ValueError(f"a name is needed for one {kind}")
    if kind.namespaced and not namespace and name:
        raise ValueError(f"{kind} {name} lives in a namespace: name it")
    root = f"/apis/{kind.group}/{kind.version}" if kind.group else f"/api/{kind.version}"
    steps = ["namespaces", namespace] if kind.namespaced and namespace else []
    steps += [kind.plural, *([name] if name else []), *([subresource] if subresource else [])]
    return "/".join([root, *(quote(step, safe="") for step in steps)])


def _namespace(obj: Object, fallback: str | None) -> str:
    return obj["metadata"].get("namespace") or fallback or "default"


def _events(lines: Generator[tuple[bytes, int], None, None]) -> Generator[WatchEvent, None, None]:
    with closing(lines):  # a line that is none ends the connection too
        for line, received in lines:
            yield _event(line, received)


def _event(line: bytes, received_ns: int) -> WatchEvent:
    try:
        parsed = json.loads(line)
        kind, obj = parsed["type"], parsed["object"]
        version = obj["metadata"]["resourceVersion"] if kind != "ERROR" else ""
    except (ValueError, KeyError, TypeError) as error:
        raise ApiUnreachable(f"a watch line that is none: {line[:80]!r}") from error
    if kind == "ERROR":
        status = obj if isinstance(obj, dict) else {}
        raise ApiRefused(int(status.get("code") or 500), status.get("reason") or "", status.get("message") or "")
    if not isinstance(version, str):
        raise ApiUnreachable(f"a watch line without a resourceVersion: {line[:80]!r}")
    return WatchEvent(kind, obj, received_ns)
