"""Nothing outside the blast radius: what counts as touched, and what as harm."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from harness.core.checks import stayed_within_blast_radius
from harness.core.checks.radius import touched
from harness.core.timeline import Event, History
from harness.core.verdict import Finding, Verdict

BEFORE: dict[str, dict[str, Any]] = {
    "Deployment shop/api": {"uid": "d1"},
    "ReplicaSet shop/api-1": {"uid": "r1", "owner": "d1"},
    "Pod shop/api-1-a": {"uid": "p1", "owner": "r1", "node": "agent-0", "restarts": 1},
    "Deployment shop/web": {"uid": "d2"},
    "Pod shop/web-a": {"uid": "p2", "owner": "d2", "node": "agent-1"},
    "Node agent-0": {"uid": "n0"},
    "Node agent-1": {"uid": "n1"},
}


def judged(touches: list[str], after: dict[str, Any] | None, before: dict[str, Any] = BEFORE) -> Finding:
    told = [("observed", {"reading": "census", "value": before}), ("fault.injected", {"touches": touches})]
    if after is not None:
        told.append(("observed", {"reading": "census", "value": after}))
    utc = datetime(2026, 1, 1, tzinfo=UTC)
    events = [Event(n, timedelta(seconds=n), utc, kind, "x", data) for n, (kind, data) in enumerate(told)]
    return stayed_within_blast_radius()(History(tuple(events)))


def without(*names: str) -> dict[str, Any]:
    return {name: item for name, item in BEFORE.items() if name not in names}


def test_what_a_touched_object_owns_is_touched() -> None:
    assert touched(BEFORE, ["Deployment shop/api"]) == {
        "Deployment shop/api",
        "ReplicaSet shop/api-1",
        "Pod shop/api-1-a",
    }


def test_what_runs_on_a_touched_node_is_touched() -> None:
    assert touched(BEFORE, ["Node agent-1"]) == {"Node agent-1", "Pod shop/web-a"}


@pytest.mark.parametrize(
    ("after", "verdict", "told"),
    [
        (BEFORE, Verdict.HELD, "4 of 7 objects"),
        (without("Pod shop/api-1-a"), Verdict.HELD, "4 of 7 objects"),
        (BEFORE | {"ConfigMap shop/new": {"uid": "c"}}, Verdict.HELD, "4 of 7 objects"),
        (without("Pod shop/web-a"), Verdict.REFUTED, "Pod shop/web-a was deleted"),
        (BEFORE | {"Pod shop/web-a": {"uid": "p9"}}, Verdict.REFUTED, "Pod shop/web-a was recreated"),
        (BEFORE | {"Pod shop/web-a": {"uid": "p2", "restarts": 2}}, Verdict.REFUTED, "restarted 2 times"),
        (None, Verdict.INCONCLUSIVE, "1 before, 0 after"),
    ],
)
def test_harm_is_told_by_uid_and_restarts(after: dict[str, Any] | None, verdict: Verdict, told: str) -> None:
    found = judged(["Deployment shop/api"], after)
    assert found.verdict is verdict, found
    assert told in found.actual


def test_the_whole_cluster_declared_spares_nothing() -> None:
    assert judged(["*"], {}).verdict is Verdict.HELD


def test_where_nobody_was_counted_nobody_was_spared() -> None:
    found = judged(["Deployment shop/api"], BEFORE, before={})
    assert (found.verdict, found.actual) == (Verdict.INCONCLUSIVE, "none")
