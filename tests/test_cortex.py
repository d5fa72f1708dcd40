"""The sample repository `fixtures/repos/cortex`: 120 resources that are valid, belong together, hold no secret and fit.

Here belongs what can be known from its files alone, without a cluster. That it converges is for the drills to show.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest

from harness.gitops.yamlload import mappings

REPO = Path(__file__).parents[1] / "fixtures" / "repos" / "cortex"
KUBERNETES = "1.34"
ORIGIN = "https://github.com/cortex-example/cortex-gitops.git"
COUNTS = {
    "cortex-system": 49, "cortex": 16, "cortex-chat": 17, "cortex-dev": 8,
    "cortex-cicd": 3, "cortex-security": 12, "cortex-knowledge": 15,
}  # fmt: skip
APPLICATIONS = {("cortex-core" if namespace == "cortex" else namespace): namespace for namespace in COUNTS}
WORKLOADS = ("Deployment", "StatefulSet")
POLICIES = ("LimitRange", "NetworkPolicy", "PodDisruptionBudget", "ResourceQuota", "Role", "RoleBinding")
# All of them namespaced. No claim: one that is an object of its own could be waited for before its consumer exists.
KINDS = {*WORKLOADS, *POLICIES, "ConfigMap", "CronJob", "Service", "ServiceAccount"}


@dataclass(frozen=True, slots=True)
class Resource:
    """One document, the file it stands in (relative to the repository), and what it is called."""

    file: str
    body: Mapping[str, Any]
    kind: str
    namespace: str
    name: str

    @property
    def pod(self) -> Mapping[str, Any] | None:
        """The pod template, for what has one."""
        spec = self.body.get("spec", {})
        if self.kind == "CronJob":
            spec = spec["jobTemplate"]["spec"]
        found: Mapping[str, Any] | None = spec.get("template")
        return found

    @property
    def pods(self) -> int:
        """How many pods run all the time."""
        return int(self.body["spec"]["replicas"]) if self.kind in WORKLOADS else 0

    def __str__(self) -> str:
        return f"{self.kind} {self.namespace}/{self.name}"


def parsed(body: Mapping[str, Any], file: str = "") -> Resource:
    meta = body.get("metadata", {})
    return Resource(file, body, body["kind"], meta.get("namespace", ""), meta.get("name", ""))


def read(pattern: str) -> tuple[Resource, ...]:
    """Every document in these files, by the loader that the harness uses (a key given twice is an error)."""
    return tuple(
        parsed(document.body, str(path.relative_to(REPO)))
        for path in sorted(REPO.glob(pattern))
        for document in mappings(path.read_text(encoding="utf-8"), str(path))
    )


RESOURCES = read("apps/*/*.yaml")  # one level: a plain directory source of Argo CD reads no deeper
WITH_PODS = tuple(resource for resource in RESOURCES if resource.pod)
BY_IDENTITY = {(resource.kind, resource.namespace, resource.name): resource for resource in RESOURCES}


def of_kind(*kinds: str) -> list[Resource]:
    return [resource for resource in RESOURCES if resource.kind in kinds]


def template(resource: Resource) -> Mapping[str, Any]:
    assert resource.pod
    return resource.pod


def containers(resource: Resource) -> list[Mapping[str, Any]]:
    spec = template(resource)["spec"]
    return [*spec.get("initContainers", []), *spec["containers"]]


def labels(resource: Resource) -> Mapping[str, str]:
    return dict(template(resource)["metadata"]["labels"])


def selects(selector: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    """The subset of label selectors that this repository uses; an unknown operator is an error."""
    for rule in selector.get("matchExpressions", []):
        assert rule["operator"] == "In", rule
        if labels.get(rule["key"]) not in rule["values"]:
            return False
    return all(labels.get(key) == value for key, value in selector.get("matchLabels", {}).items())


def selected(namespace: str, selector: Mapping[str, Any]) -> list[Resource]:
    """What runs pods all the time in `namespace` and is chosen by `selector`."""
    return [r for r in WITH_PODS if r.namespace == namespace and r.pods and selects(selector, labels(r))]


def port_names(resource: Resource) -> set[str | int]:
    ports = [port for c in containers(resource) for port in c["ports"]]
    return {port["name"] for port in ports} | {port["containerPort"] for port in ports}


def choosing(kind: str, field: str, workload: Resource) -> list[Mapping[str, Any]]:
    """The specs of this kind whose `field` selects the pods of `workload`."""
    specs = [r.body["spec"] for r in of_kind(kind) if r.namespace == workload.namespace]
    plain = kind == "Service"  # a Service's selector is bare labels
    return [s for s in specs if selects({"matchLabels": s[field]} if plain else s[field], labels(workload))]


def total(resources: Iterable[Resource], kind: str, what: str) -> float:
    """The sum over all pods, in cores or bytes."""
    return sum(r.pods * quantity(c["resources"][kind][what]) for r in resources for c in containers(r))


def quantity(text: str) -> float:
    """A Kubernetes quantity as cores or bytes. Only the spellings that the API server returns unchanged."""
    match = re.fullmatch(r"([1-9][0-9]*)(m|Mi|Gi)?", text)
    assert match, f"{text!r} is not spelled as the API server returns it"
    number, unit = int(match[1]), match[2] or ""
    assert number % {"m": 1000, "Mi": 1024}.get(unit, number + 1) != 0, f"{text!r} has a shorter spelling"
    return number * {"": 1.0, "m": 0.001, "Mi": 1024.0**2, "Gi": 1024.0**3}[unit]


def test_every_namespace_has_the_resources_of_the_account() -> None:
    found = Counter(Path(resource.file).parts[1] for resource in RESOURCES)

    assert found == COUNTS
    assert len(RESOURCES) == 120


def test_the_promise_in_drill_yaml_is_the_count() -> None:
    (document,) = mappings((REPO / "drill.yaml").read_text(encoding="utf-8"), "drill.yaml")

    assert document.body == {
        "apiVersion": "drill/v1", "engine": "argocd", "root": ["argocd-apps"],
        "repository": {"origin": [ORIGIN], "branch": "main"},
        "front_doors": ["cortex-chat/chat-api"],
        "expected_resources": len(RESOURCES),
    }  # fmt: skip


def test_readme_tells_the_same_counts() -> None:
    text = (REPO / "README.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `([a-z-]+)` \| ([a-z-]+) \| (\d+) \|", text, re.MULTILINE)

    assert {namespace: int(count) for namespace, _, count in rows} == COUNTS
    assert {application: namespace for namespace, application, _ in rows} == APPLICATIONS


def test_no_identity_is_used_twice() -> None:
    assert [identity for identity, count in Counter(map(str, RESOURCES)).items() if count > 1] == []


@pytest.mark.parametrize("resource", RESOURCES, ids=str)
def test_resource_is_valid(resource: Resource) -> None:
    """Strictly: a misspelt field is an error, which Argo CD would drop in silence."""
    assert kubernetes_validate.validate(dict(resource.body), KUBERNETES, strict=True) == KUBERNETES


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_a_misspelt_field_would_be_seen(kind: str) -> None:
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate({**of_kind(kind)[0].body, "sepc": {}}, KUBERNETES, strict=True)


@pytest.mark.parametrize("resource", RESOURCES, ids=str)
def test_resource_is_namespaced_in_its_folder_and_labelled(resource: Resource) -> None:
    assert resource.kind in KINDS
    assert resource.namespace == Path(resource.file).parts[1]
    assert resource.body["metadata"]["labels"]["app.kubernetes.io/part-of"] == "cortex"
    assert "status" not in resource.body
    assert not {"uid", "resourceVersion", "creationTimestamp", "managedFields"} & resource.body["metadata"].keys()


def test_seven_applications_follow_the_seven_folders() -> None:
    applications = {resource.name: resource for resource in read("argocd-apps/*.yaml")}

    assert applications.keys() == APPLICATIONS.keys()
    for name, namespace in APPLICATIONS.items():
        body = applications[name].body
        assert (body["apiVersion"], body["kind"]) == ("argoproj.io/v1alpha1", "Application")
        assert body["metadata"]["namespace"] == "argocd"
        assert "finalizers" not in body["metadata"], "deleting an Application must not delete what it deployed"
        spec = body["spec"]
        assert spec["project"] == "default"
        assert spec["source"] == {"repoURL": ORIGIN, "targetRevision": "main", "path": f"apps/{namespace}"}
        assert spec["destination"] == {"server": "https://kubernetes.default.svc", "namespace": namespace}
        assert spec["syncPolicy"]["automated"] == {"prune": True, "selfHeal": True}
        assert spec["syncPolicy"]["syncOptions"] == ["CreateNamespace=true"]
        assert spec["syncPolicy"]["retry"]["limit"] == -1


def strings(value: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """Every string with the path of keys that leads to it; ConfigMap entries that are files count as one string."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from strings(inner, f"{path}/{key}")
    elif isinstance(value, list):
        for inner in value:
            yield from strings(inner, path)
    elif isinstance(value, str):
        yield path, value


SENSITIVE = re.compile(r"passw(or)?d|secret|token|credential|api[-_]?key|private[-_]?key", re.IGNORECASE)
LOOKS_SECRET = re.compile(
    r"-----BEGIN|AKIA[0-9A-Z]{12}|gh[pousr]_[0-9A-Za-z]{20}|xox[abp]-|eyJ[0-9A-Za-z_-]{10}|://[^/\s:]+:[^@/\s]+@"
    r"|(?i:passw(or)?d|secret|token|api[-_]?key)\s*[=:]\s*\S|\b[0-9a-fA-F]{32,}\b|\b[0-9A-Za-z+/]{40,}={0,2}"
)


def secret_values(body: Mapping[str, Any]) -> list[str]:
    """Where something that looks like a credential stands in plain text: by its shape, or by the name it is given."""
    found = [path for path, text in strings(body) if LOOKS_SECRET.search(text)]
    found += [path for path, _ in strings(body.get("data", {})) if SENSITIVE.search(path)]
    for container in (parsed(body).pod or {}).get("spec", {}).get("containers", []):
        found += [e["name"] for e in container.get("env", []) if "value" in e and SENSITIVE.search(e["name"])]
    return found


def test_no_secret_is_in_git() -> None:
    assert [r for r in (*RESOURCES, *read("argocd-apps/*.yaml")) if r.kind == "Secret"] == []
    for resource in RESOURCES:
        assert secret_values(resource.body) == [], resource


@pytest.mark.parametrize(
    "body",
    [
        {"kind": "ConfigMap", "data": {"REDIS_PASSWORD": "hunter2"}},
        {"kind": "ConfigMap", "data": {"app.conf": "user = a\npassword = hunter2\n"}},
        {"kind": "ConfigMap", "data": {"URL": "postgres://cortex:hunter2@postgresql/cortex"}},
        {"spec": {"template": {"spec": {"containers": [{"env": [{"name": "API_KEY", "value": "x"}]}]}}}, "kind": "Job"},
        {"kind": "ConfigMap", "data": {"a": "ghp_0123456789abcdefghijklmnopqrstuvwxyz"}},
    ],
)  # fmt: skip
def test_a_secret_would_be_seen(body: Mapping[str, Any]) -> None:
    assert secret_values(body) != []


def test_secrets_are_optional_so_that_a_rebuild_does_not_wait_for_them() -> None:
    variables = [variable for r in WITH_PODS for c in containers(r) for variable in c.get("env", [])]
    wanted = [variable["valueFrom"]["secretKeyRef"]["optional"] for variable in variables if "valueFrom" in variable]

    assert len(wanted) >= 5
    assert all(wanted)


@pytest.mark.parametrize("resource", of_kind(*WORKLOADS), ids=str)
def test_workload_selects_its_own_pods_and_no_other(resource: Resource) -> None:
    assert selected(resource.namespace, resource.body["spec"]["selector"]) == [resource]
    assert isinstance(resource.body["spec"]["replicas"], int), "without it a scaled Deployment is no drift"


def test_no_selector_of_a_workload_matches_the_pods_of_a_cronjob() -> None:
    for cronjob in of_kind("CronJob"):
        assert [spec for kind in WORKLOADS for spec in choosing(kind, "selector", cronjob)] == [], cronjob


@pytest.mark.parametrize("service", of_kind("Service"), ids=str)
def test_service_selects_pods_and_names_a_port_of_theirs(service: Resource) -> None:
    targets = selected(service.namespace, {"matchLabels": service.body["spec"]["selector"]})

    assert len(targets) == 1
    for port in service.body["spec"]["ports"]:
        assert port["targetPort"] in port_names(targets[0])


@pytest.mark.parametrize("workload", of_kind(*WORKLOADS), ids=str)
def test_workload_can_be_asked_over_http_through_a_service(workload: Resource) -> None:
    assert choosing("Service", "selector", workload) != []


@pytest.mark.parametrize("workload", of_kind("StatefulSet"), ids=str)
def test_stateful_set_has_its_headless_service_and_a_volume_of_its_own(workload: Resource) -> None:
    spec = workload.body["spec"]
    governing = BY_IDENTITY["Service", workload.namespace, spec["serviceName"]]
    assert governing.body["spec"]["clusterIP"] == "None"

    (claim,) = spec["volumeClaimTemplates"]
    (container,) = containers(workload)
    (mount,) = [m for m in container["volumeMounts"] if m["name"] == claim["metadata"]["name"]]
    assert {"name": "DATA", "value": mount["mountPath"]} in container["env"]
    assert "storageClassName" not in claim["spec"], "the cluster's default class"
    assert quantity(claim["spec"]["resources"]["requests"]["storage"]) <= 128 * 1024**2


@pytest.mark.parametrize("policy", of_kind("PodDisruptionBudget", "NetworkPolicy"), ids=str)
def test_policy_selects_pods_and_names_ports_of_theirs(policy: Resource) -> None:
    spec = policy.body["spec"]
    targets = selected(policy.namespace, spec.get("selector", spec.get("podSelector")))

    assert targets != []
    offered = set().union(*(port_names(target) for target in targets))
    for rule in spec.get("ingress", []):
        assert {port["port"] for port in rule["ports"]} <= offered


def test_no_budget_forbids_a_drain_for_ever() -> None:
    for budget in of_kind("PodDisruptionBudget"):
        (target,) = selected(budget.namespace, budget.body["spec"]["selector"])
        spare = target.pods - budget.body["spec"].get("minAvailable", 0)
        assert min(spare, budget.body["spec"].get("maxUnavailable", spare)) >= 1, budget


def test_every_pod_that_serves_is_let_in_where_a_policy_denies() -> None:
    for workload in [r for r in WITH_PODS if r.pods]:
        policies = choosing("NetworkPolicy", "podSelector", workload)
        opened = {port["port"] for spec in policies for rule in spec.get("ingress", []) for port in rule["ports"]}
        assert not policies or opened & port_names(workload), workload


def references(resource: Resource) -> Iterator[tuple[str, str]]:
    """(kind, name) of the ConfigMaps and the ServiceAccount that a workload needs in order to start."""
    spec = template(resource)["spec"]
    if "serviceAccountName" in spec:
        yield "ServiceAccount", spec["serviceAccountName"]
    mounted = [volume["configMap"]["name"] for volume in spec.get("volumes", []) if "configMap" in volume]
    imported = [source["configMapRef"]["name"] for c in containers(resource) for source in c.get("envFrom", [])]
    yield from (("ConfigMap", name) for name in [*mounted, *imported])


def test_what_workloads_refer_to_exists_and_nothing_lies_about_unused() -> None:
    used = {(kind, r.namespace, name) for r in WITH_PODS for kind, name in references(r)}

    assert used == {identity for identity in BY_IDENTITY if identity[0] in ("ConfigMap", "ServiceAccount")}


def test_role_bindings_bind_what_exists() -> None:
    for binding in of_kind("RoleBinding"):
        assert ("Role", binding.namespace, binding.body["roleRef"]["name"]) in BY_IDENTITY
        for subject in binding.body["subjects"]:
            assert (subject["kind"], subject["namespace"], subject["name"]) in BY_IDENTITY


@pytest.mark.parametrize("resource", WITH_PODS, ids=str)
def test_pod_is_small_unprivileged_and_quick(resource: Resource) -> None:
    spec = template(resource)["spec"]
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["terminationGracePeriodSeconds"] <= 5
    for container in containers(resource):
        assert (container["image"], container["imagePullPolicy"]) == ("drill/sample:1", "IfNotPresent")
        assert container["securityContext"]["allowPrivilegeEscalation"] is False
        assert quantity(container["resources"]["requests"]["cpu"]) <= 0.005
        assert quantity(container["resources"]["limits"]["memory"]) <= 64 * 1024**2
        if resource.pods:
            probe = container["readinessProbe"]
            assert probe["httpGet"]["path"] == "/healthz"
            assert probe["httpGet"]["port"] in port_names(resource)
            assert (probe["periodSeconds"], probe.get("initialDelaySeconds", 0)) == (2, 0)
        else:
            assert container["args"][0] == "job"


def test_all_of_it_fits_a_small_machine() -> None:
    assert 30 <= sum(r.pods for r in WITH_PODS) <= 36
    assert total(WITH_PODS, "requests", "cpu") <= 0.25, "two cores, which the control plane needs too"
    assert total(WITH_PODS, "requests", "memory") <= 0.5 * 1024**3
    assert total(WITH_PODS, "limits", "memory") <= 2 * 1024**3, "4 GiB, of which the cluster itself takes half"


def test_the_playground_fits_its_own_quota_twice() -> None:
    """Twice, since a rolling update runs old and new side by side."""
    (quota,) = of_kind("ResourceQuota")
    hard = quota.body["spec"]["hard"]
    tenants = [r for r in WITH_PODS if r.namespace == quota.namespace]

    assert 2 * sum(r.pods for r in tenants) <= int(hard["pods"])
    for key in ("requests.cpu", "requests.memory", "limits.memory"):
        kind, what = key.split(".")
        assert 2 * total(tenants, kind, what) <= quantity(hard[key])


def test_cronjobs_are_awake_and_rarely_run() -> None:
    for spec in (cronjob.body["spec"] for cronjob in of_kind("CronJob")):
        minute, hour, *_ = spec["schedule"].split()
        assert (minute + hour).isdigit(), "once a day at most"
        assert spec["suspend"] is False
        assert spec["timeZone"] == "Etc/UTC"


def test_the_front_door_that_drills_knock_at() -> None:
    """Scenarios scale this Deployment and time the first answer of this Service."""
    assert BY_IDENTITY["Deployment", "cortex-chat", "chat-api"].pods == 2
    assert BY_IDENTITY["Service", "cortex-chat", "chat-api"].body["spec"]["ports"][0]["port"] == 80
