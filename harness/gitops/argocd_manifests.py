"""Upstream's Argo CD manifests, fitted to a throwaway cluster that reaches no registry.

Here belongs the fitting, as a pure function, and the list of what was changed: a measured install time means little
without it. Applying the result does not belong here: that is `harness.gitops.argocd`.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterable, Mapping
from copy import deepcopy
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from harness.core.errors import ConfigError
from harness.core.objects import Object, dig
from harness.core.profile import Profile
from harness.gitops.yamlload import mappings

FILE = "core-install.yaml"
PART = "applicationset"
_ARGOCD_IMAGE, _REDIS_IMAGE = re.compile(r"(^|/)argoproj/argocd(:|@|$)"), re.compile(r"(^|/)redis(:|@|$)")
# Upstream asks for nothing: such pods get next to no processor time on a busy machine and are the first to be evicted.
_REQUESTS = {"cpu": "100m", "memory": "96Mi"}


@dataclass(frozen=True, slots=True)
class Deviation:
    """One thing that differs from upstream's manifests: where, what upstream says, what is said here, and why."""

    where: str
    upstream: str
    here: str
    why: str

    def __str__(self) -> str:
        return f"{self.where}: {self.here} instead of {self.upstream} ({self.why})"


@dataclass(frozen=True, slots=True)
class Fitting:
    """What the manifests are fitted to. `lean` leaves out what a throwaway cluster of one repository does not need."""

    argocd_image: str
    redis_image: str
    profile: Profile
    settings: Mapping[str, str]
    namespace: str = "argocd"
    lean: bool = True
    application_sets: bool = False


@lru_cache(maxsize=4)
def _texts(folder: Path) -> tuple[str, ...]:
    file = folder / FILE
    try:
        text = file.read_text()
    except OSError as error:
        raise ConfigError(f"Argo CD's manifests at {file}", str(error), "prepare the images anew") from None
    return tuple(part for part in re.split(r"^---\s*$", text, flags=re.MULTILINE) if part.strip())


def load(folder: Path, *, without: str = "") -> list[Object]:
    """The objects of core-install.yaml; those whose name contains `without` are not even parsed (1.3 of 1.4 MB are
    CRDs). Raises ConfigError."""
    found: list[Object] = []
    for text in _texts(folder):
        name = re.search(r"^  name: (\S+)$", text, re.MULTILINE)
        if not (without and name and without in name[1]):
            found += _parsed(text, f"{folder.name}/{FILE}")
    return deepcopy(found)


@lru_cache(maxsize=128)
def _parsed(text: str, file: str) -> tuple[Object, ...]:
    return tuple(document.body for document in mappings(text, file))


def fit(folder: Path, fitting: Fitting) -> tuple[list[Object], tuple[Deviation, ...]]:
    """The objects to apply, and everything that differs from upstream's. Raises ConfigError."""
    skip = PART if fitting.lean and not fitting.application_sets else ""
    objects = load(folder, without=skip)
    changes: list[Deviation] = []
    if skip:
        changes.append(Deviation("ApplicationSet controller", "installed, with its CRD", "left out",
                                 "the repository has no ApplicationSet"))  # fmt: skip
    if fitting.lean and any(o["kind"] == "NetworkPolicy" for o in objects):
        objects = [o for o in objects if o["kind"] != "NetworkPolicy"]
        changes.append(Deviation("NetworkPolicies", "four, ingress only", "none", "nobody else shares the cluster"))
    for obj in objects:
        if obj["kind"] in ("Deployment", "StatefulSet"):
            _fit_workload(obj, fitting, changes)
    _configure(objects, fitting, changes)
    return [*_foundations(fitting, changes), *objects], tuple(dict.fromkeys(changes))


def _foundations(fitting: Fitting, changes: list[Deviation]) -> list[Object]:
    project = {
        "apiVersion": "argoproj.io/v1alpha1", "kind": "AppProject",
        "metadata": {"name": "default", "namespace": fitting.namespace},
        "spec": {
            "sourceRepos": ["*"], "destinations": [{"namespace": "*", "server": "*"}],
            "clusterResourceWhitelist": [{"group": "*", "kind": "*"}],
        },
    }  # fmt: skip
    changes.append(Deviation("AppProject default", "made by argocd-server, which core leaves out", "applied",
                             "Applications name it"))  # fmt: skip
    found: list[Object] = [
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": fitting.namespace}}, project
    ]  # fmt: skip
    if fitting.lean:
        found.append({
            "apiVersion": "v1", "kind": "Secret", "type": "Opaque",
            "metadata": {"name": "argocd-redis", "namespace": fitting.namespace},
            "stringData": {"auth": secrets.token_hex(16)},
        })  # fmt: skip
    return found


def _fit_workload(obj: Object, fitting: Fitting, changes: list[Deviation]) -> None:
    spec = obj["spec"]["template"]["spec"]
    name = obj["metadata"]["name"]
    if fitting.lean:
        _without_init(name, spec, changes)
    for container in [*spec.get("initContainers", []), *spec["containers"]]:
        _fit_image(container, fitting, changes)
        if container.get("imagePullPolicy") == "Always":
            container["imagePullPolicy"] = "IfNotPresent"
            changes.append(Deviation("imagePullPolicy", "Always", "IfNotPresent", "no registry is reachable"))
    if fitting.lean:
        for container in spec["containers"]:
            _fit_readiness(name, container, changes)
            if not container.get("resources"):
                container["resources"] = {"requests": dict(_REQUESTS)}
                asked = ", ".join(f"{key} {value}" for key, value in _REQUESTS.items())
                changes.append(Deviation("resource requests", "none", asked, "a share of a busy machine"))


def _fit_image(container: Object, fitting: Fitting, changes: list[Deviation]) -> None:
    image = container["image"]
    for pattern, ours in ((_ARGOCD_IMAGE, fitting.argocd_image), (_REDIS_IMAGE, fitting.redis_image)):
        if pattern.search(image) and image != ours:
            container["image"] = ours
            changes.append(Deviation("image", image, ours, "the image source of this run"))


def _fit_readiness(name: str, container: Object, changes: list[Deviation]) -> None:
    probe = container.get("readinessProbe")
    if probe:
        was = f"first after {probe.get('initialDelaySeconds', 0)} s, then every {probe.get('periodSeconds', 10)} s"
        probe["initialDelaySeconds"], probe["periodSeconds"] = 1, 1
        changes.append(Deviation(f"readiness of {name}", was, "every second",
                                 "measured times should not be rounded up"))  # fmt: skip


def _without_init(name: str, spec: Object, changes: list[Deviation]) -> None:
    """Without the two init containers whose work is not wanted here, each of which costs a container start."""
    kept = []
    for container in spec.pop("initContainers", []):
        if container["name"] == "secret-init":
            changes.append(Deviation(f"init container secret-init of {name}", "makes a Redis password", "left out",
                                     "Secret argocd-redis holds a random password from the start"))  # fmt: skip
        elif container["name"] == "copyutil":
            changes.append(Deviation(f"init container copyutil of {name}", "copies the plugin server", "left out",
                                     "there are no config management plugins"))  # fmt: skip
            spec["volumes"] = [volume for volume in spec["volumes"] if volume["name"] != "var-files"]
        else:
            kept.append(container)
    if kept:
        spec["initContainers"] = kept


def _configure(objects: Iterable[Object], fitting: Fitting, changes: list[Deviation]) -> None:
    wanted = {
        "argocd-cm": ({**fitting.settings, **fitting.profile.argocd_cm}, fitting.settings),
        "argocd-cmd-params-cm": (dict(fitting.profile.argocd_params), {}),
    }
    for obj in objects:
        if obj["kind"] != "ConfigMap" or obj["metadata"]["name"] not in wanted:
            continue
        name = obj["metadata"]["name"]
        data, declared = wanted[name]
        for key, value in data.items():
            why = f"timing profile {fitting.profile.name}" if key not in declared else "drill.yaml of the repository"
            was = str(dig(obj, "data", key, default="upstream's default"))
            changes.append(Deviation(f"ConfigMap {name}, {key}", " ".join(was.split())[:60], value, why))
        if data:
            obj["data"] = {**(obj.get("data") or {}), **data}
