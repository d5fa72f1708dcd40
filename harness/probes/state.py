"""The whole state, to tell later whether it is back: Git's tree, what it renders to, what is live, who runs.

Here belongs the reading. Comparing two of them is `harness.core.checks.rollback`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from harness.core.drift import normalise
from harness.core.errors import ApiRefused
from harness.core.objects import Object, dig, ref_of
from harness.gitops.platform import Platform
from harness.gitops.render import DesiredApplication, application_in_git, desired_applications

# Beside what is in Git: what a person may have left, and what outlives the object it was made for.
_ALSO = (("", "PersistentVolumeClaim"), ("apps", "Deployment"), ("apps", "StatefulSet"))


@dataclass(frozen=True, slots=True)
class _State:
    platform: Platform
    application: str
    name: str = "state"

    def read(self) -> dict[str, Any]:
        """`tree`, `rendered`, `live` and `pods`; asked of Git and of the API, not of Argo CD.

        Objects of `application` are kept whole (normalised), those of all others as digests: enough to see a
        difference, and where it is looked for, to name the field. Raises ApiUnreachable, ApiRefused, ConfigError.
        """
        repo = self.platform.repo
        head = repo.head
        apps = desired_applications(repo, self.platform.plan, head)
        whole = {dig(a.manifest, "spec", "destination", "namespace", default="") for a in apps
                 if a.name == self.application}  # fmt: skip
        return {
            "application": self.application,
            "revision": head,
            "tree": repo.git.out("rev-parse", f"{head}^{{tree}}"),
            "rendered": dict(self._rendered(apps)),
            "live": dict(self._live(apps, whole)),
            "pods": dict(self._pods(whole)),
        }

    def _rendered(self, apps: tuple[DesiredApplication, ...]) -> Iterator[tuple[str, Any]]:
        for app in apps:
            yield str(app.ref), _digest(app.manifest)
            for obj in app.objects:
                yield str(obj.ref), obj.manifest if app.name == self.application else _digest(obj.manifest)

    def _live(self, apps: tuple[DesiredApplication, ...], whole: set[str]) -> Iterator[tuple[str, Any]]:
        refs = [obj.ref for app in apps for obj in app.objects]
        places = {ref.namespace for ref in refs}
        for group, name in sorted({(ref.group, ref.kind) for ref in refs} | set(_ALSO)):
            try:
                kind = self.platform.api.kind(group, name)
            except ApiRefused as error:
                if error.status != 404:
                    raise
                continue  # its CRD is gone, and its objects with it
            for item in self.platform.api.list(kind).items:
                ref = ref_of(item)
                ours = ref.namespace in places if ref.namespace else ref in refs
                if ours and not dig(item, "metadata", "ownerReferences"):
                    yield str(ref), _entry(item, ref.namespace in whole)

    def _pods(self, whole: set[str]) -> Iterator[tuple[str, Any]]:
        """The pods of the Application that are there to stay."""
        kind = self.platform.api.kind("", "Pod")
        for namespace in sorted(whole):
            for pod in self.platform.api.list(kind, namespace).items:
                owner = dig(pod, "metadata", "ownerReferences", 0, default={})
                if owner.get("kind") == "Job" or dig(pod, "metadata", "deletionTimestamp"):
                    continue
                images = [c.get("image") for c in dig(pod, "spec", "containers", default=[])]
                yield pod["metadata"]["name"], {"uid": dig(pod, "metadata", "uid"), "of": owner.get("name", ""),
                                                "images": images}  # fmt: skip


def _entry(item: Object, whole: bool) -> dict[str, Any]:
    kept = normalise(item)
    entry = {"uid": dig(item, "metadata", "uid"), "object": kept if whole else _digest(kept)}
    address = dig(item, "spec", "clusterIP")
    if item["kind"] == "Service" and address not in (None, "", "None"):
        entry["address"] = address
    if item["kind"] == "PersistentVolumeClaim":
        entry["volume"] = dig(item, "spec", "volumeName", default="")
    return entry


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True, default=str).encode()).hexdigest()[:16]


def state(platform: Platform, application: str) -> _State:
    """Everything in Git and in its namespaces, and the pods of one Application. Raises ConfigError: no such one."""
    return _State(platform, application_in_git(platform.repo, platform.plan, application).name)
