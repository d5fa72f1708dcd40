"""What Git says there should be: the objects of every Application at a revision.

Here belong Argo CD's rules for plain directories (recurse, include, exclude, hooks, default namespaces) and for
Applications that hold Applications. What the cluster holds does not: that is `harness.gitops.convergence`. What drill
cannot render is refused by name, never left out in silence: a drill that forgets an object promises too much.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from harness.core.errors import ConfigError
from harness.core.objects import Object, Ref, dig, group_of
from harness.gitops.repo import ServedRepo
from harness.gitops.yamlload import mappings

if TYPE_CHECKING:
    from harness.gitops.plan import BootstrapPlan

ARGO = "argoproj.io"
MANIFESTS = (".yaml", ".yml", ".json")
_KUSTOMIZE = ("kustomization.yaml", "kustomization.yml", "Kustomization")
_SKIP_FILE = "+argocd:skip-file-rendering"
_HOOKS = ("argocd.argoproj.io/hook", "helm.sh/hook")

# Kinds of Kubernetes itself that live in no namespace (`kubectl api-resources --namespaced=false`, 1.34); those of CRDs
# are read from the CRDs in Git.
_CLUSTER_SCOPED = {
    ("", "Namespace"), ("", "Node"), ("", "PersistentVolume"),
    ("admissionregistration.k8s.io", "MutatingWebhookConfiguration"),
    ("admissionregistration.k8s.io", "ValidatingWebhookConfiguration"),
    ("admissionregistration.k8s.io", "ValidatingAdmissionPolicy"),
    ("admissionregistration.k8s.io", "ValidatingAdmissionPolicyBinding"),
    ("apiextensions.k8s.io", "CustomResourceDefinition"), ("apiregistration.k8s.io", "APIService"),
    ("certificates.k8s.io", "CertificateSigningRequest"), ("flowcontrol.apiserver.k8s.io", "FlowSchema"),
    ("flowcontrol.apiserver.k8s.io", "PriorityLevelConfiguration"), ("networking.k8s.io", "IngressClass"),
    ("networking.k8s.io", "IPAddress"), ("networking.k8s.io", "ServiceCIDR"), ("node.k8s.io", "RuntimeClass"),
    ("rbac.authorization.k8s.io", "ClusterRole"), ("rbac.authorization.k8s.io", "ClusterRoleBinding"),
    ("resource.k8s.io", "DeviceClass"), ("scheduling.k8s.io", "PriorityClass"), ("storage.k8s.io", "CSIDriver"),
    ("storage.k8s.io", "CSINode"), ("storage.k8s.io", "StorageClass"), ("storage.k8s.io", "VolumeAttachment"),
    ("storage.k8s.io", "VolumeAttributesClass"), ("cert-manager.io", "ClusterIssuer"),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class DesiredObject:
    """One object that Git describes. `manifest` is shared: treat it as read-only."""

    application: str
    ref: Ref
    version: str
    path: str
    manifest: Object = field(compare=False, repr=False)

    @property
    def api_version(self) -> str:
        return f"{self.ref.group}/{self.version}" if self.ref.group else self.version

    def __str__(self) -> str:
        return f"{self.ref} ({self.path})"


@dataclass(frozen=True, slots=True)
class DesiredApplication:
    """One Application that Git describes, and the objects it brings.

    `revisions` holds per source the sha that the served repository has for its `targetRevision`. `parent` is the
    Application it comes from, "" for a root object.
    """

    name: str
    namespace: str
    path: str
    parent: str
    revisions: tuple[str, ...]
    manifest: Object = field(compare=False, repr=False)
    objects: tuple[DesiredObject, ...] = field(compare=False, repr=False)

    @property
    def ref(self) -> Ref:
        return Ref(ARGO, "Application", self.namespace, self.name)


def desired_applications(
    repo: ServedRepo, plan: BootstrapPlan, revision: str | None = None
) -> tuple[DesiredApplication, ...]:
    """Every Application at `revision` (default: the head), roots first, each followed by those it holds.

    Raises ConfigError: YAML that is none, an object given twice, or something drill cannot render.
    """
    return _applications(repo, plan, revision or repo.head, repo.serving)


def application_in_git(
    repo: ServedRepo, plan: BootstrapPlan, name: str, revision: str | None = None
) -> DesiredApplication:
    """The Application of that name at `revision` (default: the head). Raises ConfigError, also if there is none."""
    found = {app.name: app for app in desired_applications(repo, plan, revision)}
    if name not in found:
        names = ", ".join(sorted(found)) or "none"
        raise ConfigError("an Application in Git", repr(name), f"name one of these: {names}")
    return found[name]


def desired_objects(repo: ServedRepo, plan: BootstrapPlan, revision: str | None = None) -> tuple[DesiredObject, ...]:
    """The objects of all Applications at `revision` (default: the head). Raises ConfigError."""
    return tuple(o for app in desired_applications(repo, plan, revision) for o in app.objects)


@lru_cache(maxsize=8)
def _applications(repo: ServedRepo, plan: BootstrapPlan, revision: str, _: bool) -> tuple[DesiredApplication, ...]:
    tree = _Tree(repo, revision)
    roots = [(obj, path) for obj, path in plan.roots(repo, revision)]
    scopes = _Scopes(obj for obj, _ in roots)
    found = list(_follow(tree, scopes, roots, "", ()))
    _refuse_twice(o for app in found for o in app.objects)
    return tuple(found)


def _follow(
    tree: _Tree, scopes: _Scopes, objects: Iterable[tuple[Object, str]], parent: str, above: tuple[str, ...]
) -> Iterable[DesiredApplication]:
    for obj, path in objects:
        kind = (group_of(str(obj.get("apiVersion", ""))), obj.get("kind"))
        if kind == (ARGO, "ApplicationSet"):
            raise _cannot(f"ApplicationSet {dig(obj, 'metadata', 'name')} ({path})", "write its Applications out")
        if kind != (ARGO, "Application"):
            continue
        name = str(dig(obj, "metadata", "name", default=""))
        if name in above:
            continue  # a root that manages itself
        app = _render(tree, scopes, obj, path, parent)
        yield app
        yield from _follow(tree, scopes, [(o.manifest, o.path) for o in app.objects], name, (*above, name))


def _render(tree: _Tree, scopes: _Scopes, app: Object, path: str, parent: str) -> DesiredApplication:
    name = str(dig(app, "metadata", "name", default=""))
    sources = dig(app, "spec", "sources") or [dig(app, "spec", "source", default={})]
    objects: list[DesiredObject] = []
    revisions: list[str] = []
    for source in sources:
        revision = _check_source(tree, f"Application {name} ({path})", source)
        revisions.append(revision)
        if not source.get("path"):
            continue  # a `ref` for values files only
        documents = [(obj, file) for file, obj in _directory(tree, revision, name, source) if not _is_hook(obj)]
        scopes.learn(obj for obj, _ in documents)
        objects += [_desired(scopes, app, name, obj, file) for obj, file in documents]
    namespace = dig(app, "metadata", "namespace", default="argocd")
    return DesiredApplication(name, namespace, path, parent, tuple(revisions), app, tuple(objects))


def _check_source(tree: _Tree, who: str, source: Mapping[str, Any]) -> str:
    """The sha that a source means. Raises ConfigError for what drill cannot render or reach."""
    url = str(source.get("repoURL", ""))
    for key in ("chart", "helm", "kustomize", "plugin"):
        if source.get(key):
            raise _cannot(f"{who}: a source with `{key}`", "render it into plain manifests")
    if not tree.repo.is_own(url):
        raise ConfigError(
            f"{who} to follow this repository ({tree.repo.source}): nothing else is reachable from a closed cluster",
            f"repoURL {url or 'none'}",
            "if that is this repository, list the address in drill.yaml under repository.origin",
        )
    target = str(source.get("targetRevision") or "HEAD")
    return tree.revision if target in ("HEAD", tree.repo.branch) else tree.repo.resolve(target)


def _directory(tree: _Tree, revision: str, app: str, source: Mapping[str, Any]) -> list[tuple[str, Object]]:
    folder = str(source["path"]).strip("/").removeprefix("./")
    prefix = "" if folder in ("", ".") else f"{folder}/"
    options = source.get("directory") or {}
    below = [f for f in tree.files(revision) if f.startswith(prefix)]
    if not below:
        raise ConfigError(f"a folder {folder} for Application {app}", "none in the repository", "correct its path")
    here = {f.removeprefix(prefix) for f in below}
    if here & {*_KUSTOMIZE}:
        raise _cannot(f"Application {app}: {folder} is built by kustomize", "render it into plain manifests")
    if "Chart.yaml" in here:
        raise _cannot(f"Application {app}: {folder} is a Helm chart", "render it into plain manifests")
    if jsonnet := sorted(f for f in here if f.endswith(".jsonnet")):
        raise _cannot(f"Application {app}: {prefix}{jsonnet[0]} is jsonnet", "render it into plain manifests")
    wanted = [
        prefix + f
        for f in sorted(here)
        if f.endswith(MANIFESTS) and (options.get("recurse") or "/" not in f) and _selected(f, options)
    ]
    return [(file, obj) for file, text in tree.read(revision, wanted).items() for obj in objects_in(text, file)]


def _selected(file: str, options: Mapping[str, Any]) -> bool:
    if (exclude := options.get("exclude")) and _glob(str(exclude)).fullmatch(file):
        return False
    include = options.get("include")
    return not include or _glob(str(include)).fullmatch(file) is not None


def _glob(pattern: str) -> re.Pattern[str]:
    """Argo CD's patterns: `*` also crosses slashes, `{a,b}` is a choice."""
    out, depth = "", 0
    for char in pattern:
        if char in "{}":
            depth += 1 if char == "{" else -1
            out += "(?:" if char == "{" else ")"
        elif char == "," and depth:
            out += "|"
        else:
            out += {"*": ".*", "?": "."}.get(char, re.escape(char))
    return re.compile(out if depth == 0 else re.escape(pattern))


def objects_in(text: str, file: str) -> tuple[Object, ...]:
    """The Kubernetes objects in a file. Raises ConfigError: unparsable, duplicate keys, or not an object."""
    if _SKIP_FILE in text:
        return ()
    found: list[Object] = []
    for document in mappings(text, file):
        body = document.body
        for key in ("apiVersion", "kind"):
            if not isinstance(body.get(key), str) or not body[key]:
                raise ConfigError(f"`{key}` in the object at {file}, line {document.line}", f"{body.get(key)!r}",
                                  "complete it, or move the file out of the Application's folder")  # fmt: skip
        if not isinstance(dig(body, "metadata", "name"), str) and not _is_hook(body):
            raise ConfigError(f"`metadata.name` in the {body['kind']} at {file}, line {document.line}",
                              f"{dig(body, 'metadata', 'name')!r}", "name the object")  # fmt: skip
        found.append(body)
    return tuple(found)


def _is_hook(obj: Object) -> bool:
    return any(dig(obj, "metadata", "annotations", hook) for hook in _HOOKS)


def _desired(scopes: _Scopes, app: Object, name: str, obj: Object, file: str) -> DesiredObject:
    group, kind = group_of(obj["apiVersion"]), obj["kind"]
    namespace = ""
    if scopes.namespaced(group, kind):
        namespace = dig(obj, "metadata", "namespace") or dig(app, "spec", "destination", "namespace", default="")
        if not namespace:
            raise ConfigError(f"a namespace for {kind} {obj['metadata']['name']} ({file})", "none",
                              f"give it one, or give Application {name} a destination namespace")  # fmt: skip
    ref = Ref(group, kind, namespace, obj["metadata"]["name"])
    return DesiredObject(name, ref, obj["apiVersion"].rpartition("/")[2], file, obj)


class _Scopes:
    """Which kinds live in namespaces."""

    def __init__(self, objects: Iterable[Object]) -> None:
        self._defined: dict[tuple[str, str], bool] = {}
        self.learn(objects)

    def learn(self, objects: Iterable[Object]) -> None:
        """Read the scopes that CRDs define."""
        for obj in objects:
            if obj.get("kind") == "CustomResourceDefinition":
                key = (str(dig(obj, "spec", "group")), str(dig(obj, "spec", "names", "kind")))
                self._defined[key] = dig(obj, "spec", "scope") != "Cluster"

    def namespaced(self, group: str, kind: str) -> bool:
        return self._defined.get((group, kind), (group, kind) not in _CLUSTER_SCOPED)


class _Tree:
    """The files of the repository at a few revisions, listed once each."""

    def __init__(self, repo: ServedRepo, revision: str) -> None:
        self.repo, self.revision = repo, revision
        self._files: dict[str, tuple[str, ...]] = {}

    def files(self, revision: str) -> tuple[str, ...]:
        if revision not in self._files:
            self._files[revision] = self.repo.files(revision)
        return self._files[revision]

    def read(self, revision: str, paths: Sequence[str]) -> dict[str, str]:
        return self.repo.read_many(paths, revision)


def _refuse_twice(objects: Iterable[DesiredObject]) -> None:
    first: dict[Ref, DesiredObject] = {}
    for obj in objects:
        if (other := first.setdefault(obj.ref, obj)) is not obj:
            raise ConfigError(f"{obj.ref} once in Git", f"it in {other.path} and again in {obj.path}", "keep one")


def _cannot(what: str, remedy: str) -> ConfigError:
    return ConfigError("plain manifests in folders of this repository (drill renders nothing else yet)", what, remedy)
