"""What is made of the readings about one node."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from harness.core.checks import Check, no_pod_replaced, node_is_fresh, node_works
from harness.core.timeline import Event, History
from harness.core.verdict import Finding, Verdict

NODE: dict[str, Any] = {
    "node": "agent-0", "container": "new", "identity": "beef", "listens": {"10250": True}, "mounts": {"/var/log": True},
    "volumes": {"pvc-1_shop_data": []}, "running": 4, "ghosts": [], "absent": [],
}  # fmt: skip
LOST = {"container": "old", "identity": "cafe", "volumes": ["pvc-1_shop_data"]}
PODS = {"shop/a": {"uid": "1", "restarts": 0}, "shop/b": {"uid": "2", "restarts": 3}}


def judged(check: Check, reading: str, before: Any, after: Any, detail: Any = None) -> Finding:
    told: list[tuple[str, dict[str, Any]]] = []
    if before is not None:
        told.append(("observed", {"reading": reading, "value": before}))
    told.append(("fault.injected", {"detail": detail or {}}))
    if after is not None:
        told.append(("observed", {"reading": reading, "value": after}))
    utc = datetime(2026, 1, 1, tzinfo=UTC)
    return check(History(tuple(Event(n, timedelta(seconds=n), utc, k, "x", d) for n, (k, d) in enumerate(told))))


@pytest.mark.parametrize(
    ("change", "verdict", "told"),
    [
        ({}, Verdict.HELD, "agent-0: 1 ports open, 1 folders mounted, 4 Pods running, all of them the API's"),
        ({"listens": {"10250": False}}, Verdict.REFUTED, "agent-0: nothing listens on 10250"),
        ({"mounts": {"/var/log": False}}, Verdict.REFUTED, "/var/log is not mounted"),
        ({"ghosts": ["u1"]}, Verdict.REFUTED, "runs though the API does not know it: Pod u1"),
        ({"absent": ["u2"]}, Verdict.REFUTED, "does not run though the API says so: Pod u2"),
    ],
)
def test_a_node_works_inside_or_not(change: dict[str, Any], verdict: Verdict, told: str) -> None:
    found = judged(node_works(), "node", None, NODE | change)
    assert (found.verdict, told in found.actual) == (verdict, True)


def test_a_node_that_nobody_looked_into_proves_nothing() -> None:
    assert judged(node_works(), "node", NODE, None).verdict is Verdict.INCONCLUSIVE


@pytest.mark.parametrize("nothing", [{"listens": {}}, {"mounts": {}}])
def test_a_look_that_asked_for_nothing_proves_nothing(nothing: dict[str, Any]) -> None:
    assert judged(node_works(), "node", None, NODE | nothing).verdict is Verdict.INCONCLUSIVE


@pytest.mark.parametrize(
    ("after", "verdict", "told"),
    [
        (PODS | {"shop/new": {"uid": "9", "restarts": 0}}, Verdict.HELD, "2 Pods, the same"),
        ({"shop/a": PODS["shop/a"]}, Verdict.REFUTED, "Pod shop/b is gone"),
        (PODS | {"shop/a": {"uid": "7", "restarts": 0}}, Verdict.REFUTED, "Pod shop/a was replaced"),
        (PODS | {"shop/b": {"uid": "2", "restarts": 4}}, Verdict.REFUTED, "Pod shop/b was restarted 1 times"),
        (None, Verdict.INCONCLUSIVE, "not read"),
    ],
)
def test_pods_that_stayed_or_did_not(after: Any, verdict: Verdict, told: str) -> None:
    found = judged(no_pod_replaced(), "node pods", PODS, after)
    assert (found.verdict, told in found.actual) == (verdict, True)


def test_a_node_without_pods_proves_nothing() -> None:
    assert judged(no_pod_replaced(), "node pods", {}, {}).verdict is Verdict.INCONCLUSIVE


@pytest.mark.parametrize(
    ("change", "verdict", "told"),
    [
        ({}, Verdict.HELD, "container new instead of old; lost: the content of 1 volumes (shop/data)"),
        ({"container": "old"}, Verdict.REFUTED, "the same container"),
        ({"identity": "cafe"}, Verdict.REFUTED, "the same identity"),
        ({"identity": ""}, Verdict.REFUTED, "the same identity"),
        ({"volumes": {"pvc-1_shop_data": [".drill-mark"]}}, Verdict.REFUTED, "still holds what was on the old disk"),
    ],
)
def test_a_replacement_is_fresh_or_not(change: dict[str, Any], verdict: Verdict, told: str) -> None:
    found = judged(node_is_fresh(), "node", None, NODE | change, LOST)
    assert (found.verdict, told in found.actual) == (verdict, True)
    assert found.figures["volumes_lost"] == 1.0


def test_what_was_lost_must_be_known() -> None:
    assert judged(node_is_fresh(), "node", None, NODE, {"volumes": []}).verdict is Verdict.INCONCLUSIVE
    assert judged(node_is_fresh(), "node", None, None, LOST).verdict is Verdict.INCONCLUSIVE
    nothing = judged(node_is_fresh(), "node", None, NODE, LOST | {"volumes": []})
    assert nothing.actual.endswith("lost: nothing, it had no volumes")
