"""How a repository is brought up: its drill.yaml, or what can be told without one.

Here belong the file's model and the detection of root objects. What the Applications bring is in
`harness.gitops.render`; how the engine is installed in `harness.gitops.argocd`.
"""

from __future__ import annotations

import difflib
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, PositiveInt, ValidationError

from harness.core.errors import ConfigError
from harness.core.objects import Object, dig, group_of
from harness.core.text import some
from harness.gitops.render import ARGO, MANIFESTS, desired_objects, objects_in
from harness.gitops.repo import ServedRepo
from harness.gitops.yamlload import mappings

FILE = "drill.yaml"
NAMESPACE = "argocd"  # upstream's ClusterRoleBindings name it
_PREFERRED = ("argocd-apps", "bootstrap")
_APPLICATION = re.compile(r"^\s*[\"']?kind[\"']?:\s*[\"']?Application(Set)?[\"']?\s*,?\s*$", re.MULTILINE)


def _one_or_many(value: object) -> object:
    return [value] if isinstance(value, str) else value


_Texts = Annotated[list[str], BeforeValidator(_one_or_many)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class _Repository(_Strict):
    origin: _Texts = []
    branch: str | None = None


class _File(_Strict):
    apiVersion: Literal["drill/v1"] = "drill/v1"  # noqa: N815  # Kubernetes' spelling
    engine: Literal["argocd"] = "argocd"
    root: _Texts = []
    projects: _Texts = []
    settings: dict[str, str] = {}
    repository: _Repository = _Repository()
    front_doors: _Texts = []
    expected_resources: PositiveInt | None = None


@dataclass(frozen=True, slots=True, eq=False)
class BootstrapPlan:
    """What turns an empty cluster into the platform: the engine, its settings, and the root objects in Git.

    `root` and `projects` are paths of the repository, applied after Argo CD is ready, projects first. `settings` are
    keys of ConfigMap argocd-cm. `front_doors` are Services (namespace/name, with a port named `http`) that
    answer at /healthz when the platform serves.
    `note` says how the plan came about.
    """

    root: tuple[str, ...]
    note: str
    engine: str = "argocd"
    namespace: str = NAMESPACE
    projects: tuple[str, ...] = ()
    settings: Mapping[str, str] = field(default_factory=dict)
    origins: tuple[str, ...] = ()
    branch: str | None = None
    front_doors: tuple[str, ...] = ()
    expected_resources: int | None = None

    def roots(self, repo: ServedRepo, revision: str | None = None) -> tuple[tuple[Object, str], ...]:
        """The objects to apply at `revision` (default: the head), each with its file. Raises ConfigError."""
        found: list[tuple[Object, str]] = []
        for path in (*self.projects, *self.root):
            for file, text in _below(repo, path, revision or repo.head).items():
                found += [(_placed(obj, self.namespace, file), file) for obj in objects_in(text, file)]
        if not any(_is_application(obj) for obj, _ in found):
            raise _no_application(", ".join(self.root))
        return tuple(found)

    def root_objects(self, repo: ServedRepo, revision: str | None = None) -> tuple[Object, ...]:
        """The objects to apply, without their files. Raises ConfigError."""
        return tuple(obj for obj, _ in self.roots(repo, revision))

    def has_application_sets(self, repo: ServedRepo) -> bool:
        """Whether the ApplicationSet controller is needed."""
        return any(obj["kind"] == "ApplicationSet" for obj in self.root_objects(repo))


def read_plan(repo: ServedRepo) -> BootstrapPlan:
    """The plan of a repository; tells `repo` which addresses and which branch are its own. Call it before `serve`.

    Everything the plan leads to is read and rendered once, so that what is wrong is said before anything is made.
    Raises ConfigError: drill.yaml, a manifest or an Application is not usable, or there is no Application at all.
    """
    declared = _read_file(repo) if FILE in repo.files() else _File()
    root = tuple(declared.root) or _detect(repo)
    note = f"{FILE} of the repository" if FILE in repo.files() else f"no {FILE}: detected {', '.join(root)}"
    plan = BootstrapPlan(
        root, note, projects=tuple(declared.projects), settings=declared.settings,
        origins=tuple(declared.repository.origin) or _likely_origin(repo, root),
        branch=declared.repository.branch, front_doors=tuple(declared.front_doors),
        expected_resources=declared.expected_resources,
    )  # fmt: skip
    repo.follow(origins=plan.origins, branch=plan.branch or _followed_branch(repo, plan))
    doors = {f"{o.ref.namespace}/{o.ref.name}" for o in desired_objects(repo, plan) if _is_door(o.manifest)}
    if strangers := [door for door in plan.front_doors if door not in doors]:
        raise ConfigError(f"Services in Git, as namespace/name, with a port named http, in {FILE} (front_doors)",
                          repr(strangers[0]), f"there are {some(sorted(doors)) or 'none'}")  # fmt: skip
    return plan


def _read_file(repo: ServedRepo) -> _File:
    documents = mappings(repo.read(FILE), FILE)
    if len(documents) != 1:
        raise ConfigError(f"one document in {FILE}", str(len(documents)), "keep one")
    try:
        return _File.model_validate(documents[0].body)
    except ValidationError as error:
        raise _friendly(error) from None


def _friendly(error: ValidationError) -> ConfigError:
    first, more = error.errors()[0], error.error_count() - 1
    where = ".".join(str(step) for step in first["loc"])
    rest = f" (and {more} more)" if more else ""
    if first["type"] == "extra_forbidden":
        model: type[BaseModel] = _File
        for step in first["loc"][:-1]:
            default = model.model_fields[str(step)].default
            model = type(default)
        known = list(model.model_fields)
        guess = difflib.get_close_matches(str(first["loc"][-1]), known, 1)
        remedy = f"did you mean {guess[0]!r}?" if guess else "remove it"
        return ConfigError(f"only the keys {', '.join(known)} there in {FILE}", f"{where}{rest}", remedy)
    expected = first["msg"].removeprefix("Value error, ").removeprefix("Input ")
    return ConfigError(f"{where} in {FILE}: {expected}", f"{first['input']!r}{rest}", "correct the file")


def _below(repo: ServedRepo, path: str, revision: str) -> dict[str, str]:
    wanted = path.strip("/").removeprefix("./")
    files = [f for f in repo.files(revision) if f == wanted or (f.startswith(f"{wanted}/") and f.endswith(MANIFESTS))]
    if not files:
        raise ConfigError(f"manifests at {path} (drill.yaml: root, projects)", "none in the repository",
                          "correct the path")  # fmt: skip
    if kustomization := [f for f in files if f.rpartition("/")[2].lower().startswith("kustomization.")]:
        raise ConfigError("plain manifests as root objects", kustomization[0], "name the files that hold Applications")
    return repo.read_many(files, revision)


def _placed(obj: Object, namespace: str, file: str) -> Object:
    if group_of(obj["apiVersion"]) != ARGO:
        return obj
    found = dig(obj, "metadata", "namespace", default=namespace)
    if found != namespace:
        raise ConfigError(f"{obj['kind']} {obj['metadata']['name']} ({file}) in namespace {namespace}", found,
                          "drill supports Applications in any other namespace not yet: move it")  # fmt: skip
    return {**obj, "metadata": {**obj["metadata"], "namespace": namespace}}


def _is_door(obj: Mapping[str, Any]) -> bool:
    ports = dig(obj, "spec", "ports", default=[])
    return obj.get("kind") == "Service" and any(port.get("name") == "http" for port in ports)


def _is_application(obj: Mapping[str, Any]) -> bool:
    return group_of(str(obj.get("apiVersion", ""))) == ARGO and obj.get("kind") in ("Application", "ApplicationSet")


def _no_application(where: str) -> ConfigError:
    return ConfigError("at least one Argo CD Application", f"none in {where}",
                       f"add one, or name where they are in {FILE} (root: [argocd-apps])")  # fmt: skip


def _detect(repo: ServedRepo) -> tuple[str, ...]:
    """Where the Applications are that no other Application brings: one known folder, else their files."""
    candidates = [f for f in repo.files() if f.endswith(MANIFESTS)]
    texts = {f: t for f, t in repo.read_many(candidates).items() if ARGO in t and _APPLICATION.search(t)}
    held: dict[str, list[Object]] = {}
    for file, text in texts.items():
        if "{{" in text and "Application" in text and file.split("/")[-2:-1] == ["templates"]:
            continue  # a chart's template is rendered by the chart
        if found := [d.body for d in mappings(text, file) if _is_application(d.body)]:
            held[file] = found
    if not held:
        raise _no_application("the repository")
    tops = [file for file in held if not _brought_by_another(file, held)] or sorted(held)
    for folder in _PREFERRED:
        inside = [f for f in candidates if f.startswith(f"{folder}/")]
        if inside and all(top.startswith(f"{folder}/") for top in tops) and set(inside) == set(tops):
            return (folder,)
    return tuple(sorted(tops))


def _brought_by_another(file: str, held: Mapping[str, list[Object]]) -> bool:
    for other, apps in held.items():
        for app in apps if other != file else ():
            for source in dig(app, "spec", "sources") or [dig(app, "spec", "source", default={})]:
                path = str(source.get("path") or "-").strip("/").removeprefix("./")
                deep = dig(source, "directory", "recurse", default=False)
                inside = file.startswith(f"{path}/") if path not in ("", ".") else True
                if inside and (deep or "/" not in file.removeprefix(f"{path}/").removeprefix("./")):
                    return True
    return False


def _sources(repo: ServedRepo, root: tuple[str, ...]) -> list[Mapping[str, Any]]:
    found: list[Mapping[str, Any]] = []
    for path in root:
        for file, text in _below(repo, path, repo.head).items():
            for obj in objects_in(text, file):
                if obj["kind"] == "Application" and _is_application(obj):
                    found += dig(obj, "spec", "sources") or [dig(obj, "spec", "source", default={})]
    return found


def _likely_origin(repo: ServedRepo, root: tuple[str, ...]) -> tuple[str, ...]:
    """For a folder that names no origin: the address all Applications share, if every path they name is there."""
    sources = _sources(repo, root)
    addresses = {str(source.get("repoURL")) for source in sources}
    if any(repo.is_own(address) for address in addresses) or len(addresses) != 1:
        return ()
    paths = [str(source.get("path") or "-").strip("/").removeprefix("./") for source in sources]
    files = repo.files()
    return tuple(addresses) if all(any(f.startswith(f"{p}/") for f in files) for p in paths) else ()


def _followed_branch(repo: ServedRepo, plan: BootstrapPlan) -> str | None:
    """The branch that most of the repository's own Applications name, unless it is a tag or a commit."""
    repo.follow(origins=plan.origins)
    targets = Counter(
        str(source.get("targetRevision") or "HEAD")
        for source in _sources(repo, plan.root)
        if repo.is_own(str(source.get("repoURL", "")))
    )
    name = targets.most_common(1)[0][0] if targets else "HEAD"
    if name == "HEAD" or re.fullmatch(r"[0-9a-f]{7,40}", name) or repo.git.resolve(f"refs/tags/{name}"):
        return None
    return name
