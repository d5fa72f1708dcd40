"""Which kinds an API server serves.

Here belongs the reading of discovery documents. What is done with a kind does not: that is `harness.cluster.kube`.
Facts: Kubernetes API concepts, "API discovery" (aggregated discovery v2, in every server since 1.30; the documents
for each group remain for older and for aggregated servers).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from harness.cluster.transport import Transport
from harness.core.errors import ApiRefused
from harness.core.objects import Kind, Object

_AGGREGATED = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json"


def discover(transport: Transport) -> tuple[Kind, ...]:
    """Every kind in every version, the preferred version of each first. Raises ApiUnreachable and ApiRefused."""
    found: list[Kind] = []
    for root in ("/api", "/apis"):
        document = transport.request("GET", root, accept=_AGGREGATED).json()
        if document.get("kind") == "APIGroupDiscoveryList":
            found.extend(_aggregated(document))
        else:
            found.extend(_classic(transport, root, document))
    return tuple(found)


def _aggregated(document: Object) -> Iterator[Kind]:
    for group in document.get("items") or ():
        name = (group.get("metadata") or {}).get("name") or ""
        for version in group.get("versions") or ():
            for resource in version.get("resources") or ():
                kind = (resource.get("responseKind") or {}).get("kind")
                if kind:  # a resource that exists only for its subresources has none
                    yield Kind(name, version["version"], kind, resource["resource"],
                               resource.get("scope") == "Namespaced", tuple(resource.get("verbs") or ()))  # fmt: skip


def _classic(transport: Transport, root: str, document: Object) -> Iterator[Kind]:
    for group, version in _versions(root, document):
        path = f"/apis/{group}/{version}" if group else f"/api/{version}"
        try:
            resources = transport.request("GET", path).json().get("resources") or ()
        except ApiRefused:
            continue  # the backend of an aggregated API is away: its kinds are not served now
        for resource in resources:
            if "/" not in resource["name"]:
                yield Kind(group, version, resource["kind"], resource["name"], bool(resource["namespaced"]),
                           tuple(resource.get("verbs") or ()))  # fmt: skip


def _versions(root: str, document: Object) -> Iterable[tuple[str, str]]:
    if root == "/api":
        yield from (("", version) for version in document.get("versions") or ())
        return
    for group in document.get("groups") or ():
        preferred = (group.get("preferredVersion") or {}).get("version")
        versions = [v["version"] for v in group.get("versions") or ()]
        yield from ((group["name"], v) for v in sorted(versions, key=lambda v: v != preferred))
