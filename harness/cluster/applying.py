"""Applying many objects: what has to be there first goes first, and the rest side by side.

Here belongs the order. What one application is does not: that is `KubeApi.apply`.
"""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import TYPE_CHECKING

from harness.core.clock import SECOND, between_ns
from harness.core.errors import ApiRefused, ApiUnreachable, ProvisionFailed
from harness.core.objects import DEFINITION, Object, dig, group_of, ref_of
from harness.effects.waiting import retrying

if TYPE_CHECKING:
    from harness.cluster.kube import KubeApi

WORKERS = 8
ESTABLISHED_WITHIN = 30 * SECOND
SERVED_WITHIN = 10 * SECOND  # from Established to served; the API server needs a moment to install the handler
_FOUNDATIONS = {("", "Namespace"), (DEFINITION.group, DEFINITION.kind)}
_WORKLOADS = {
    ("apps", "Deployment"), ("apps", "StatefulSet"), ("apps", "DaemonSet"), ("apps", "ReplicaSet"), ("batch", "Job"),
    ("batch", "CronJob"), ("", "Pod"),
}  # fmt: skip


class _NotServedYet(ApiRefused):
    """A kind whose CRD is Established but whose handler is not there yet."""


def apply_many(api: KubeApi, objects: Iterable[Object], namespace: str | None, manager: str) -> tuple[Object, ...]:
    """See `KubeApi.apply_many`.

    Namespaces and CRDs, then what workloads lean on (a pod refused for want of its ServiceAccount is tried again only
    after a growing pause), then workloads, then objects of the CRDs that came along.
    """
    wanted = list(objects)
    own = {(dig(o, "spec", "group"), dig(o, "spec", "names", "kind")) for o in wanted if _key(o) == _CRD}
    stages: tuple[list[int], ...] = ([], [], [], [])
    for index, obj in enumerate(wanted):
        key = _key(obj)
        stages[0 if key in _FOUNDATIONS else 3 if key in own else 2 if key in _WORKLOADS else 1].append(index)
    applied: dict[int, Object] = {}
    with ThreadPoolExecutor(WORKERS, thread_name_prefix="apply") as pool:
        for number, stage in enumerate(stages):
            patient = number == 3
            running = [(i, pool.submit(_apply, api, wanted[i], namespace, manager, patient)) for i in stage]
            try:
                for index, future in running:
                    applied[index] = future.result()
            except BaseException:
                pool.shutdown(wait=True, cancel_futures=True)
                raise
            if number == 0:
                _await_established(api, [applied[i] for i in stage if _key(wanted[i]) == _CRD])
    return tuple(applied[index] for index in range(len(wanted)))


_CRD = (DEFINITION.group, DEFINITION.kind)


def _key(obj: Object) -> tuple[str, str]:
    return group_of(obj["apiVersion"]), obj["kind"]


def _apply(api: KubeApi, obj: Object, namespace: str | None, manager: str, patient: bool) -> Object:
    def once() -> Object:
        try:
            return api.apply(obj, namespace=namespace, manager=manager)
        except ApiRefused as error:
            kind = _NotServedYet if error.status == 404 and patient else ApiRefused
            raise kind(error.status, error.reason, f"{ref_of(obj)}: {error.message}") from error

    def report(number: int, error: BaseException | None) -> None:
        api.on_retry(f"apply, attempt {number}: {error}")

    return retrying(once, on=(_NotServedYet,), within=SERVED_WITHIN, clock=api.clock, report=report)


def _await_established(api: KubeApi, definitions: list[Object]) -> None:
    """Wait, by a watch, until the API says that it serves what these CRDs define. Raises ProvisionFailed."""
    waiting = {d["metadata"]["name"] for d in definitions if not _established(d)}
    begun = api.clock.now_ns()
    while waiting:
        listing = api.list(DEFINITION)
        waiting -= {item["metadata"]["name"] for item in listing.items if _established(item)}
        left = ESTABLISHED_WITHIN - between_ns(begun, api.clock.now_ns())
        if not waiting:
            break
        if left.total_seconds() <= 0:
            raise ProvisionFailed(
                f"expected every CRD Established within {ESTABLISHED_WITHIN.total_seconds():g} s; found not so: "
                f"{', '.join(sorted(waiting))}; look at their conditions"
            )
        try:
            events = api.watch(DEFINITION, resource_version=listing.resource_version, lasting=left, silence=left)
            with closing(events):
                for event in events:
                    if event.type != "BOOKMARK" and _established(event.object):
                        waiting.discard(event.object["metadata"]["name"])
                    if not waiting:
                        return
        except (ApiUnreachable, ApiRefused):
            continue  # list anew; the deadline above bounds it
    return


def _established(definition: Object) -> bool:
    conditions = dig(definition, "status", "conditions", default=[])
    return any(c.get("type") == "Established" and c.get("status") == "True" for c in conditions)
