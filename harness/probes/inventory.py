"""What is in the cluster of the things that Git describes.

Here belongs the inventory reading: identities and normalised specs, for comparing before and after.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from harness.cluster.kube import Ref
from harness.core.drift import normalise
from harness.core.errors import ApiRefused
from harness.gitops.platform import Platform


@dataclass(frozen=True, slots=True)
class _Inventory:
    platform: Platform
    name: str = "inventory"

    def read(self) -> dict[str, Any]:
        """Identity -> normalised object, for every object in Git that is live. Asked of the API, not of Argo CD."""
        wanted = set(self.platform.refs())
        kinds = {(ref.group, ref.kind) for ref in wanted}
        found: dict[str, Any] = {}
        for group, name in sorted(kinds):
            try:
                kind = self.platform.api.kind(group, name)
            except ApiRefused as error:
                if error.status != 404:
                    raise
                continue  # its CRD is gone, and its objects with it: they are missing, which is for the check to say
            for item in self.platform.api.list(kind).items:
                ref = Ref(group, name, item["metadata"].get("namespace", ""), item["metadata"]["name"])
                if ref in wanted:
                    found[str(ref)] = normalise(item)
        return found


def inventory(platform: Platform) -> _Inventory:
    """Every object in Git that is live now, with its normalised spec."""
    return _Inventory(platform)
