"""The census: who is there, told by uid, owner, node and restarts."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from harness.core.errors import ApiRefused
from harness.core.objects import Kind
from harness.probes.census import census, everything

VERBS = ("list", "watch")
POD = Kind("", "v1", "Pod", "pods", True, VERBS)
GONE = Kind("x.example", "v1", "Widget", "widgets", True, VERBS)
CONFIG = Kind("", "v1", "ConfigMap", "configmaps", True, VERBS)
EVENT = Kind("", "v1", "Event", "events", True, VERBS)
REVIEW = Kind("authentication.k8s.io", "v1", "TokenReview", "tokenreviews", False, ("create",))


def pod(name: str, owner: str, **status: Any) -> dict[str, Any]:
    metadata = {"namespace": "shop", "name": name, "uid": f"{name}-0123456789",
                "ownerReferences": [{"kind": owner, "uid": "owner-0123456789", "controller": True}]}  # fmt: skip
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": {"nodeName": "agent-0"}, "status": status}


class Api:
    def __init__(self, status: int = 404) -> None:
        self.status = status

    def kinds(self) -> tuple[Kind, ...]:
        return (POD, EVENT, REVIEW, GONE, CONFIG)

    def list(self, kind: Kind, *, metadata_only: bool) -> Any:
        if kind == GONE:
            raise ApiRefused(self.status, "", "no")
        if kind == CONFIG:
            assert metadata_only
            metadata = {"namespace": "shop", "name": "settings", "uid": "settings-0123"}
            return SimpleNamespace(items=({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata},))
        assert kind in (POD, EVENT, REVIEW)
        assert not metadata_only
        started = pod("api-aaaa", "ReplicaSet", containerStatuses=[{"restartCount": 2}, {"restartCount": 1}])
        return SimpleNamespace(items=(started, pod("task", "Job")))


def test_an_entry_tells_what_harm_would_change() -> None:
    platform: Any = SimpleNamespace(api=Api())
    assert census(platform).read() == {
        "Pod shop/api-aaaa": {"uid": "api-aaaa", "owner": "owner-01", "node": "agent-0", "restarts": 3},
        "ConfigMap shop/settings": {"uid": "settings"},
    }


def test_a_refusal_that_is_not_an_absence_is_raised() -> None:
    platform: Any = SimpleNamespace(api=Api(403))
    with pytest.raises(ApiRefused):
        census(platform).read()


def test_what_comes_and_goes_by_itself_is_not_counted() -> None:
    api: Any = Api()
    assert [item["metadata"]["name"] for item in everything(api)] == ["api-aaaa", "task", "settings"]
