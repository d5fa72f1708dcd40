"""`harness.cluster.health`: what an object's status says, MET, not yet and failed for each kind."""

from __future__ import annotations

from typing import Any

import pytest

from harness.cluster.health import Health, has_health, health
from harness.core.objects import Object

DEPLOYMENT, STATEFULSET = "apps/v1 Deployment", "apps/v1 StatefulSet"
DAEMONSET, REPLICASET = "apps/v1 DaemonSet", "apps/v1 ReplicaSet"
JOB, CRONJOB, POD, NODE = "batch/v1 Job", "batch/v1 CronJob", "Pod", "Node"
CRD, APISERVICE = "apiextensions.k8s.io/v1 CustomResourceDefinition", "apiregistration.k8s.io/v1 APIService"
ROLLED = {"observedGeneration": 2, "replicas": 3, "updatedReplicas": 3, "readyReplicas": 3, "availableReplicas": 3}
REVISIONS = {"currentRevision": "r2", "updateRevision": "r2"}


def made(kind: str, spec: Any = None, status: Any = None, **metadata: Any) -> Object:
    head = {"name": "x", "generation": 2, **metadata}
    group, _, name = kind.rpartition(" ")
    return {"apiVersion": group or "v1", "kind": name, "metadata": head, "spec": spec or {}, "status": status or {}}


def condition(name: str, status: str = "True", **more: str) -> dict[str, Any]:
    return {"conditions": [{"type": name, "status": status, **more}]}


CASES: list[tuple[str, Object, bool | None, str]] = [
    ("rolled out", made(DEPLOYMENT, {"replicas": 3}, ROLLED), True, "3 of 3 replicas available"),
    ("scaled to nothing", made(DEPLOYMENT, {"replicas": 0}, {"observedGeneration": 2}), True, "0 of 0"),
    ("one by default", made(DEPLOYMENT, {}, {"observedGeneration": 2}), None, "0 of 1 replicas updated"),
    ("no status yet", made(DEPLOYMENT, {"replicas": 0}), None, "has not seen"),
    ("old status", made(DEPLOYMENT, {"replicas": 3}, ROLLED | {"observedGeneration": 1}), None, "not seen"),
    ("updating", made(DEPLOYMENT, {"replicas": 3}, ROLLED | {"updatedReplicas": 1}), None, "1 of 3"),
    ("old ones left", made(DEPLOYMENT, {"replicas": 3}, ROLLED | {"replicas": 4}), None, "1 old"),
    ("not available", made(DEPLOYMENT, {"replicas": 3}, ROLLED | {"availableReplicas": 2}), None, "2 of 3"),
    ("scaling down", made(DEPLOYMENT, {"replicas": 2}, ROLLED), None, "3 replicas, 2 wanted"),
    ("paused", made(DEPLOYMENT, {"replicas": 3, "paused": True}, ROLLED), None, "paused"),
    ("stuck", made(DEPLOYMENT, {"replicas": 3}, ROLLED | condition(
        "Progressing", "False", reason="ProgressDeadlineExceeded", message="timed out")), False, "timed out"),
    ("ready", made(STATEFULSET, {"replicas": 3}, ROLLED | REVISIONS), True, "3 of 3 replicas ready"),
    ("not ready", made(STATEFULSET, {"replicas": 3}, ROLLED | REVISIONS | {"readyReplicas": 1}), None, "1 of"),
    ("not for long enough", made(STATEFULSET, {"replicas": 3}, ROLLED | REVISIONS | {"availableReplicas": 0}),
     None, "0 of 3"),
    ("not current", made(STATEFULSET, {"replicas": 3}, ROLLED | {"currentRevision": "a",
     "updateRevision": "b"}), None, "newest revision"),
    ("partition", made(STATEFULSET, {"replicas": 3, "updateStrategy": {"rollingUpdate": {"partition": 2}}},
     ROLLED | {"updatedReplicas": 1, "currentRevision": "a", "updateRevision": "b"}), True, "3 of 3"),
    ("on delete", made(STATEFULSET, {"replicas": 3, "updateStrategy": {"type": "OnDelete"}},
     ROLLED | {"updatedReplicas": 0}), True, "3 of 3"),
    ("too many", made(STATEFULSET, {"replicas": 1}, ROLLED | REVISIONS), None, "3 replicas, 1 wanted"),
    ("every node", made(DAEMONSET, {}, {"observedGeneration": 2, "desiredNumberScheduled": 2,
     "updatedNumberScheduled": 2, "numberAvailable": 2}), True, "2 of 2 nodes"),
    ("one node", made(DAEMONSET, {}, {"observedGeneration": 2, "desiredNumberScheduled": 2,
     "updatedNumberScheduled": 2, "numberAvailable": 1}), None, "1 of 2 nodes"),
    ("an old one", made(DAEMONSET, {}, {"observedGeneration": 2, "desiredNumberScheduled": 2,
     "updatedNumberScheduled": 1, "numberAvailable": 2}), None, "1 of 2 nodes updated"),
    ("unseen", made(DAEMONSET), None, "has not seen"),
    ("replicas", made(REPLICASET, {"replicas": 3}, ROLLED), True, "3 of 3"),
    ("some replicas", made(REPLICASET, {"replicas": 4}, ROLLED), None, "3 of 4"),
    ("done", made(JOB, {}, condition("Complete")), True, "completed"),
    ("failed", made(JOB, {}, condition("Failed", reason="BackoffLimitExceeded")), False, "BackoffLimit"),
    ("at work", made(JOB), None, "0 completions"),
    ("suspended", made(JOB, {"suspend": True}), True, "suspended"),
    ("scheduled", made(CRONJOB, {"schedule": "0 3 * * *"}), True, "0 3 * * *"),
    ("ready", made(POD, {}, {"phase": "Running"} | condition("Ready")), True, "ready"),
    ("not ready", made(POD, {}, {"phase": "Running"} | condition("Ready", "False")), None, "Running, not ready"),
    ("succeeded", made(POD, {}, {"phase": "Succeeded"}), True, "succeeded"),
    ("failed", made(POD, {}, {"phase": "Failed", "reason": "Evicted"}), False, "Evicted"),
    ("no image", made(POD, {}, {"phase": "Pending", "containerStatuses": [
        {"name": "c", "state": {"waiting": {"reason": "ErrImageNeverPull"}}}]}), None, "c waits: ErrImageNeverPull"),
    ("no node", made(POD, {}, {"phase": "Pending"} | condition("PodScheduled", "False", message="0/1 nodes")),
     None, "0/1 nodes"),
    ("bound", made("PersistentVolumeClaim", {}, {"phase": "Bound"}), True, "Bound"),
    ("pending", made("PersistentVolumeClaim", {}, {"phase": "Pending"}), None, "Pending"),
    ("lost", made("PersistentVolumeClaim", {}, {"phase": "Lost"}), False, "Lost"),
    ("free", made("PersistentVolume", {}, {"phase": "Available"}), True, "Available"),
    ("active", made("Namespace", {}, {"phase": "Active"}), True, "Active"),
    ("ending", made("Namespace", {}, {"phase": "Terminating"}), None, "Terminating"),
    ("node", made(NODE, {}, condition("Ready")), True, "Ready"),
    ("cordoned", made(NODE, {"unschedulable": True}, condition("Ready")), None, "cordoned"),
    ("lost node", made(NODE, {}, condition("Ready", "Unknown", reason="NodeStatusUnknown")), None, "NodeStatus"),
    ("cluster ip", made("Service", {"type": "ClusterIP"}), True, "there"),
    ("no balancer", made("Service", {"type": "LoadBalancer"}), None, "no load balancer"),
    ("established", made(CRD, {}, condition("Established")), True, "is Es"),
    ("name taken", made(CRD, {}, condition(
        "NamesAccepted", "False", message="taken")), False, "taken"),
    ("new", made(CRD), None, "not Established"),
    ("answers", made(APISERVICE, {}, condition("Available")), True, "Available"),
    ("silent", made(APISERVICE, {}, condition("Available", "False", reason="X")), None, "X"),
    ("no notion", made("ConfigMap"), True, "is there"),
    ("on its way out", made("ConfigMap", deletionTimestamp="2026-01-01T00:00:00Z"), None, "being deleted"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("obj", "ok", "text"), [case[1:] for case in CASES], ids=[f"{c[1]['kind']} {c[0]}" for c in CASES]
)
def test_health(obj: Object, ok: bool | None, text: str) -> None:
    found = health(obj)
    assert isinstance(found, Health)
    assert found.ok is ok, found.text
    assert text in found.text


def test_every_kind_with_a_notion_of_health_has_a_good_and_a_bad_case() -> None:
    for kind in {case[1]["kind"] for case in CASES if has_health(case[1])} - {"CronJob", "PersistentVolume"}:
        answers = {case[2] for case in CASES if case[1]["kind"] == kind}
        assert True in answers, kind
        assert answers - {True}, kind


def test_a_bare_object_has_some_health() -> None:
    assert health({"kind": "Deployment", "apiVersion": "apps/v1", "metadata": {}}).ok is None
    assert health({}).ok is True
