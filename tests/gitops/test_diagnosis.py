"""The chain in words: which object of which Application, in which wave, and the one message that says why."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import SimpleNamespace
from typing import Any

import pytest

from harness.core.objects import Kind, Object, Ref, dig, ref_of
from harness.core.observation import State
from harness.gitops.causes import Cause, namespace_cause, refused_pod, said
from harness.gitops.diagnosis import WAVE, Case, Chain, diagnose, wave_of
from harness.gitops.judgement import Judgement, judge_application, judge_object
from harness.gitops.render import DesiredApplication, DesiredObject

SHA = "a" * 40
IMAGE = "sample:1"
_UIDS: dict[str, int] = {}


class World:
    """What is seen of a cluster."""

    def __init__(self, *objects: Object) -> None:
        self.objects = {ref_of(o): o for o in objects}
        self.said: list[Object] = []
        self.asked: list[str] = []

    def get(self, ref: Ref) -> Any:
        found = self.objects.get(ref)
        return SimpleNamespace(object=found) if found else None

    def all(self, kind: Kind, namespace: str | None = None) -> Any:
        return [SimpleNamespace(object=o) for r, o in self.objects.items()
                if (r.group, r.kind) == (kind.group, kind.kind) and namespace in (None, r.namespace)]  # fmt: skip

    def events(self, namespace: str) -> Sequence[Object]:
        self.asked.append(namespace)
        return self.said

    def tell(self, about: Object, reason: str, message: str, at: str = "2026-01-01T00:00:01Z", **more: Any) -> None:
        self.said.append({"involvedObject": {"uid": about["metadata"]["uid"]}, "type": "Warning", "reason": reason,
                          "message": message, "lastTimestamp": at, **more})  # fmt: skip


def thing(api: str, kind: str, name: str, owner: Object | None = None, **more: Any) -> Object:
    metadata: Object = {"name": name, "namespace": "shop", "uid": f"uid-{kind}-{name}", "generation": 1}
    if kind == "Namespace":
        del metadata["namespace"]
    metadata |= more.pop("metadata", {})
    if owner is not None:
        metadata["ownerReferences"] = [{"uid": owner["metadata"]["uid"], "controller": True}]
    return {"apiVersion": api, "kind": kind, "metadata": metadata, **more}


def deployment(image: str = IMAGE, wave: str = "", **status: Any) -> Object:
    template = {"spec": {"containers": [{"name": "api", "image": image}]}}
    notes = {"annotations": {WAVE: wave}} if wave else {}
    return thing("apps/v1", "Deployment", "api", metadata=notes, spec={"replicas": 1, "template": template},
                 status={"observedGeneration": 1, "replicas": 1, "updatedReplicas": 1, **status})  # fmt: skip


def replica_set(owner: Object, revision: int, **status: Any) -> Object:
    return thing("apps/v1", "ReplicaSet", f"api-{revision}", owner, status=status,
                 metadata={"annotations": {"deployment.kubernetes.io/revision": str(revision)}})  # fmt: skip


def pod(owner: Object, name: str = "api-x", image: str = IMAGE, **status: Any) -> Object:
    spec = {"containers": [{"name": "api", "image": image}]}
    return thing("v1", "Pod", name, owner, spec=spec, status={"phase": "Pending", **status})


def waiting(reason: str, message: str = "", **more: Any) -> Mapping[str, Any]:
    return {"containerStatuses": [
        {"name": "api", "image": IMAGE, "state": {"waiting": {"reason": reason, "message": message}}, **more}
    ]}  # fmt: skip


def desired(manifest: Object) -> DesiredObject:
    return DesiredObject("shop", ref_of(manifest), "v1", "apps/x.yaml", manifest)


def application(**status: Any) -> Object:
    sync = {"status": "Synced", "revision": SHA, "comparedTo": {"source": {"path": "apps"}}}
    result = {"phase": "Succeeded", "finishedAt": "2026-01-01T00:00:01Z", "syncResult": {"revision": SHA}}
    return {
        "apiVersion": "argoproj.io/v1alpha1", "kind": "Application", "metadata": {"name": "shop"},
        "spec": {"source": {"path": "apps"}},
        "status": {"sync": sync, "operationState": result, "reconciledAt": "2026-01-01T00:00:02Z",
                   "health": {"status": "Healthy"}} | status,
    }  # fmt: skip


def find(world: World, *wanted: Object, calm: bool = True, live: Object | None = None, **more: Any) -> Chain | None:
    """The chain of an Application that brings `wanted`."""
    objects = tuple(desired(o) for o in wanted)
    app = DesiredApplication("shop", "argocd", "a.yaml", "", (SHA,), {"spec": {}}, objects)
    live = live or application()
    judged = [(o, judge_object(o, world.objects.get(o.ref))) for o in objects]
    bad = tuple((o, j) for o, j in judged if not j.met)
    return diagnose(Case(app, live, judge_application(live, app), bad, calm, **more), world, world.events)


def rollout(pod_status: Mapping[str, Any], *, image: str = IMAGE, **status: Any) -> tuple[World, Object]:
    """A Deployment whose newest ReplicaSet has one Pod."""
    live = deployment(image, **status)
    newest = replica_set(live, 2)
    return World(live, newest, replica_set(live, 1), pod(newest, image=image, **pod_status)), live


@pytest.mark.parametrize(
    ("reason", "message", "kind", "final"),
    [
        ("ImagePullBackOff", 'Back-off pulling image "sample:1"', "image", False),
        ("ErrImagePull", "failed to resolve reference", "image", False),
        ("InvalidImageName", 'couldn\'t parse image name "A//B"', "image", True),
        ("ErrImageNeverPull", 'Container image "sample:1" is not present with pull policy of Never', "image", True),
        ("CreateContainerConfigError", 'secret "db" not found', "container", False),
        ("RunContainerError", "exec: not found", "container", False),
        ("SomethingNew", "hm", "container", False),
    ],
)
def test_a_container_that_does_not_start(reason: str, message: str, kind: str, final: bool) -> None:
    world, live = rollout(waiting(reason, message))
    chain = find(world, live)
    assert chain is not None
    assert (chain.cause.kind, chain.final, chain.cause.message) == (kind, final, message)
    assert chain.sentence().startswith("shop, wave 0: Deployment shop/api 0 of 1 replicas available, because ")
    assert reason in chain.sentence()
    assert chain.sentence().endswith(message)
    assert world.asked == []  # what the Pod says itself costs no request


def test_a_container_that_crashes_is_told_with_its_last_words() -> None:
    world, live = rollout(waiting("CrashLoopBackOff", "back-off 10s",
                                  lastState={"terminated": {"exitCode": 3, "message": "no database"}}))  # fmt: skip
    chain = find(world, live)
    assert chain is not None
    assert not chain.final
    assert chain.sentence().endswith("starts and ends again and again (CrashLoopBackOff): exit code 3 no database")


@pytest.mark.parametrize("reason", ["ContainerCreating", "PodInitializing"])
def test_what_only_takes_its_time_has_no_cause(reason: str) -> None:
    world, live = rollout(waiting(reason))
    assert find(world, live) is None


def test_a_pod_of_an_older_replica_set_says_nothing() -> None:
    live = deployment()
    old, new = replica_set(live, 1), replica_set(live, 2)
    world = World(live, old, new, pod(old, "old", **waiting("ErrImageNeverPull")), pod(new, "new"))
    assert find(world, live) is None


def test_an_image_that_git_does_not_want_is_not_final() -> None:
    live = deployment()
    newest = replica_set(live, 1)
    world = World(live, newest, pod(newest, image="mirror/sample:1", **waiting("ErrImageNeverPull")))
    chain = find(world, live)
    assert chain is not None
    assert not chain.final


def test_what_is_not_gits_yet_says_nothing_about_git() -> None:
    world, live = rollout(waiting("ErrImageNeverPull"), image="old:1", availableReplicas=1)
    wanted = deployment()
    assert judge_object(desired(wanted), world.objects[ref_of(live)]).expected == "Git's value"
    assert find(world, wanted) is None


QUOTA = ('pods "api-x" is forbidden: exceeded quota: playground, requested: limits.memory=512Mi, '
         "used: limits.memory=900Mi, limited: limits.memory=1Gi")  # fmt: skip


@pytest.mark.parametrize(
    ("message", "kind", "final"),
    [
        (QUOTA, "quota", False),
        (QUOTA.replace("512Mi", "2Gi"), "quota", True),
        ('pods "x" is forbidden: failed quota: q: must specify limits.cpu', "quota", True),
        (
            'pods "x" is forbidden: [maximum memory usage per Container is 128Mi, but limit is 256Mi]',
            "limit range",
            True,
        ),
        ('pods "x" is forbidden: violates PodSecurity "restricted:latest": privileged', "pod security", True),
        ('Internal error occurred: failed calling webhook "a.b": connection refused', "webhook", False),
        ('admission webhook "a.b" denied the request: no', "webhook", False),
        ('pods "x" is forbidden: error looking up service account shop/no: not found', "service account", False),
        ("something else", "forbidden", False),
    ],
)
def test_a_pod_that_cannot_be_created(message: str, kind: str, final: bool) -> None:
    condition = {"type": "ReplicaFailure", "status": "True", "reason": "FailedCreate", "message": message}
    live = deployment(updatedReplicas=0)
    world = World(live, replica_set(live, 1, conditions=[condition]))
    chain = find(world, live)
    assert chain is not None
    assert (chain.cause.kind, chain.final) == (kind, final)
    assert message in chain.sentence()
    unsettled = find(world, live, calm=False)
    assert unsettled is not None
    assert not unsettled.final  # what is still being applied may change it


@pytest.mark.parametrize(
    ("asked", "there", "never"),
    [("cpu=900m", "cpu=500m", True), ("cpu=1", "cpu=500m", True), ("cpu=100m", "cpu=1", False),
     ("pods=1", "pods=20", False), ("memory=2Gi", "memory=1000Mi", True), ("memory=1odd", "memory=1", False)],
)  # fmt: skip
def test_a_quota_that_could_never_hold_the_pod(asked: str, there: str, never: bool) -> None:
    message = f"exceeded quota: q, requested: {asked}, used: {there}, limited: {there}"
    assert refused_pod(message, calm=True).final is never


@pytest.mark.parametrize(
    ("message", "words"),
    [
        ("0/3 nodes are available: 3 Insufficient cpu. preemption: none", "no node has enough cpu"),
        ("0/3 nodes are available: 3 node(s) didn't match Pod's node affinity/selector.", "selector or affinity"),
        ("0/3 nodes are available: 1 node(s) had volume node affinity conflict", "the node that has its volume"),
        ("0/3 nodes are available: 3 node(s) had untolerated taint {a: b}", "a taint"),
        ("0/3 nodes are available: pod has unbound immediate PersistentVolumeClaims", "its volume is not there"),
        ("0/3 nodes are available", "no node takes its Pod"),
    ],
)
def test_a_pod_that_no_node_takes(message: str, words: str) -> None:
    condition = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": message}
    world, live = rollout({"conditions": [condition]})
    chain = find(world, live)
    assert chain is not None
    assert not chain.final
    assert words in chain.cause.words
    assert chain.sentence().endswith(message)


def test_a_pod_that_waits_for_a_claim_is_told_by_the_claim() -> None:
    condition = {"type": "PodScheduled", "status": "False", "message": "unbound immediate PersistentVolumeClaims"}
    world, live = rollout({"conditions": [condition]})
    world.objects[Ref("", "Pod", "shop", "api-x")]["spec"]["volumes"] = [{"persistentVolumeClaim": {"claimName": "c"}}]
    missing = find(world, live)
    claim = thing("v1", "PersistentVolumeClaim", "c", status={"phase": "Pending"})
    world.objects[ref_of(claim)] = claim
    world.tell(claim, "ProvisioningFailed", 'storageclass "fast" not found', type="Normal")
    pending = find(world, live)
    assert missing is not None
    assert pending is not None
    assert missing.cause.words == "its claim c does not exist"
    assert pending.cause.sentence() == 'its claim is not bound to a volume (c): storageclass "fast" not found'


def test_a_claim_of_its_own() -> None:
    claim = thing("v1", "PersistentVolumeClaim", "c", status={"phase": "Pending"})
    world = World(claim)
    world.tell(claim, "FailedBinding", "old news", at="2026-01-01T00:00:00Z")
    world.tell(claim, "FailedBinding", "no persistent volumes available", at="2026-01-01T00:00:09Z")
    chain = find(world, claim)
    assert chain is not None
    assert chain.sentence().endswith("its claim is not bound to a volume: no persistent volumes available")


def test_a_stateful_set_says_only_by_events_that_it_cannot_create() -> None:
    live = thing("apps/v1", "StatefulSet", "db", spec={"replicas": 1}, status={"observedGeneration": 1})
    world = World(live)
    world.tell(live, "FailedCreate", f"create Pod db-0 failed error: {QUOTA}")
    chain = find(world, live)
    assert chain is not None
    assert chain.cause.kind == "quota"
    assert world.asked == ["shop"]


def test_a_stateful_sets_pods_of_the_old_revision_say_nothing() -> None:
    live = thing("apps/v1", "StatefulSet", "db", spec={"replicas": 2, "template": {"spec": {}}},
                 status={"observedGeneration": 1, "readyReplicas": 1, "updateRevision": "new"})  # fmt: skip
    old, new = pod(live, "db-1", **waiting("ErrImagePull", "old")), pod(live, "db-0", **waiting("ErrImagePull", "new"))
    old["metadata"]["labels"] = {"controller-revision-hash": "old"}
    new["metadata"]["labels"] = {"controller-revision-hash": "new"}
    chain = find(World(live, old, new), live)
    assert chain is not None
    assert chain.cause.message == "new"


@pytest.mark.parametrize(
    ("reason", "message", "words"),
    [
        ("FailedMount", 'configmap "x" not found', "a volume cannot be mounted"),
        ("FailedCreatePodSandBox", "no IP address", "its Pod gets no network or sandbox"),
        ("Unhealthy", "Readiness probe failed: 503", "its Pod does not pass its probe"),
    ],
)
def test_what_only_events_say_about_a_pod(reason: str, message: str, words: str) -> None:
    world, live = rollout({})
    world.tell(world.objects[Ref("", "Pod", "shop", "api-x")], reason, message)
    chain = find(world, live)
    assert chain is not None
    assert chain.cause.sentence() == f"{words}: {message}"


def test_a_rollout_past_its_deadline_may_still_come() -> None:
    condition = {"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded", "message": "timed out"}
    world, live = rollout({}, conditions=[condition])
    chain = find(world, live)
    assert chain is not None
    assert (chain.cause.kind, chain.final) == ("deadline", False)


def test_the_lowest_wave_is_what_holds_up_the_others() -> None:
    world, live = rollout(waiting("ImagePullBackOff", "no"))
    later, sooner = thing("v1", "ConfigMap", "later", metadata={"annotations": {WAVE: "2"}}), deployment(wave="1")
    chain = find(world, later, sooner)
    assert chain is not None
    assert (chain.wave, chain.resource) == (1, ref_of(live))


@pytest.mark.parametrize(("text", "wave"), [("3", 3), ("-1", -1), ("soon", 0), ("", 0)])
def test_a_wave(text: str, wave: int) -> None:
    assert wave_of({"metadata": {"annotations": {WAVE: text}}}) == wave


def terminating(*conditions: tuple[str, str]) -> Object:
    listed = [{"type": kind, "status": "True", "message": message} for kind, message in conditions]
    return thing("v1", "Namespace", "shop", metadata={"deletionTimestamp": "2026-01-01T00:00:00Z"},
                 status={"phase": "Terminating", "conditions": listed})  # fmt: skip


def test_a_namespace_that_is_stuck_is_told_by_what_holds_it() -> None:
    space = terminating(("NamespaceContentRemaining", "configmaps. has 1 resource instances"),
                        ("NamespaceFinalizersRemaining", "example.org/hold in 1 resource instances"))  # fmt: skip
    chain = find(World(space), thing("v1", "ConfigMap", "a"))
    assert chain is not None
    assert not chain.final
    assert chain.sentence() == (
        "shop, wave 0: ConfigMap shop/a is missing, because namespace shop is being deleted since "
        "2026-01-01T00:00:00Z: example.org/hold in 1 resource instances"
    )
    assert namespace_cause(thing("v1", "Namespace", "shop")) is None
    own = find(World(space), space)
    assert own is not None
    assert own.resource == ref_of(space)


def test_an_object_that_a_finalizer_holds() -> None:
    live = thing("v1", "ConfigMap", "a", metadata={"deletionTimestamp": "2026-01-01T00:00:00Z",
                                                   "finalizers": ["example.org/hold"]})  # fmt: skip
    chain = find(World(live), live)
    assert chain is not None
    assert chain.cause.sentence().endswith("held by example.org/hold")


def failing(message: str, *, phase: str = "Running", retries: int = 1, status: str = "SyncFailed") -> Object:
    resource = {"group": "", "kind": "Service", "namespace": "shop", "name": "front", "status": status,
                "message": message}  # fmt: skip
    state = {"phase": phase, "retryCount": retries, "message": f"one or more objects failed to apply: {message}",
             "syncResult": {"revision": SHA, "resources": [resource]}}  # fmt: skip
    return application(operationState=state, sync={"status": "OutOfSync", "revision": SHA, "comparedTo": {
        "source": {"path": "apps"}}})  # fmt: skip


FRONT = thing("v1", "Service", "front", metadata={"annotations": {WAVE: "-1"}})


@pytest.mark.parametrize(
    ("message", "kind", "final"),
    [
        ('Service "NOT" is invalid: metadata.name: Invalid value', "invalid", True),
        ("Deployment is invalid: spec.selector: field is immutable", "immutable", True),
        ("the server could not find the requested resource", "crd", False),
        ('no matches for kind "Widget" in version "example.org/v1"', "crd", False),
        ('failed calling webhook "a.b": EOF', "webhook", False),
        ("services is forbidden: User x cannot create resource", "rbac", False),
        ('namespaces "shop" not found', "namespace", False),
        ("odd", "sync", False),
    ],
)
def test_what_argo_cd_cannot_apply(message: str, kind: str, final: bool) -> None:
    chain = find(World(), FRONT, live=failing(message))
    assert chain is not None
    assert (chain.cause.kind, chain.final) == (kind, final)
    assert chain.sentence().startswith(
        "shop, wave -1: Service shop/front could not be applied (2 attempts so far), because "
    )
    assert chain.sentence().endswith(message)
    unsettled = find(World(), FRONT, live=failing(message), calm=False)
    assert unsettled is not None
    assert not unsettled.final


def test_a_kind_that_nothing_can_bring_any_more_is_final() -> None:
    missing = "no matches for kind Service"
    for attempts, quiet, defined, final in (
        (3, True, (), True), (2, True, (), False), (3, False, (), False), (3, True, (("", "Service"),), False),
    ):  # fmt: skip
        live = failing(missing, retries=attempts - 1)
        chain = find(World(), FRONT, live=live, quiet=quiet, defined=defined)
        assert chain is not None
        assert chain.final is final


def test_the_first_attempt_and_another_commits_failure_are_not_final() -> None:
    invalid = 'Service "NOT" is invalid: no'
    first = find(World(), FRONT, live=failing(invalid, retries=0))
    assert first is not None
    assert not first.final
    other = failing(invalid)
    other["status"]["operationState"]["syncResult"]["revision"] = "b" * 40
    chain = find(World(), FRONT, live=other)
    assert chain is None or not chain.final


def test_used_up_retries_are_final_whatever_the_cause() -> None:
    chain = find(World(), FRONT, live=failing('failed calling webhook "a.b": EOF', phase="Failed", retries=5))
    assert chain is not None
    assert chain.final
    assert "the last sync attempt has failed" in chain.sentence()
    assert "an admission webhook cannot be asked" in chain.sentence()


def test_what_cannot_be_applied_into_a_namespace_that_goes_is_told_by_the_namespace() -> None:
    space = terminating(("NamespaceFinalizersRemaining", "example.org/hold in 1 resource instances"))
    chain = find(World(space), FRONT, live=failing('unable to create new content in namespace shop because it is '
                                                   "being terminated"))  # fmt: skip
    assert chain is not None
    assert chain.cause.message == "example.org/hold in 1 resource instances"


@pytest.mark.parametrize(
    ("message", "kind"),
    [
        ("Failed to load target state: app path does not exist", "repository"),
        ("application repo is not permitted in project 'p'", "project"),
    ],
)
def test_an_error_of_the_application_itself(message: str, kind: str) -> None:
    live = application(conditions=[{"type": "ComparisonError", "message": message}])
    chain = find(World(), live=live)
    assert chain is not None
    assert (chain.resource, chain.cause.kind, chain.final) == (None, kind, False)
    assert chain.sentence().startswith(f"shop: ComparisonError: {message}, because ")


def test_an_application_that_only_compares_has_no_cause() -> None:
    assert find(World(), live=application(sync={"status": "OutOfSync", "revision": SHA})) is None


def test_a_record_is_plain_data() -> None:
    chain = Chain("shop", Ref("", "Service", "shop", "front"), 1, "is missing", Cause("crd", "words", "m\n" * 900))
    record = chain.to_record()
    assert (record["resource"], record["wave"], record["final"]) == ("Service shop/front", 1, False)
    assert len(record["message"]) == 1000
    assert len(chain.sentence()) < 400


def test_a_message_that_means_nothing_to_us() -> None:
    assert said("all is well") is None
    assert dig({"a": None}, "a") is None


def test_a_judgement_that_is_broken_makes_its_chain_final() -> None:
    app = DesiredApplication("shop", "argocd", "a.yaml", "", (SHA,), {"spec": {}}, ())
    found = Judgement(State.BROKEN, "error", "no error condition", "ComparisonError: odd")
    chain = diagnose(Case(app, application(), found, (), calm=False), World(), lambda _: ())
    assert chain is not None
    assert chain.final
    assert chain.cause.words == "it stays after forced refreshes"


def test_a_job_that_failed_is_told_with_the_last_words_of_its_pod() -> None:
    live = thing("batch/v1", "Job", "migrate", spec={"template": {"spec": {}}}, status={
        "conditions": [{"type": "Failed", "status": "True", "reason": "BackoffLimitExceeded"}]
    })  # fmt: skip
    ended = {"name": "c", "state": {"terminated": {"exitCode": 2, "message": "no such table"}}}
    world = World(live, pod(live, "migrate-x", phase="Failed", containerStatuses=[ended]))
    chain = find(world, live)
    assert chain is not None
    assert chain.sentence() == (
        "shop, wave 0: Job shop/migrate failed: BackoffLimitExceeded, because a Pod failed (Error): "
        "exit code 2 no such table"
    )
