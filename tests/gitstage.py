"""A stage with a real Git repository on it, for what is told of commits. API and watch are those of the stage."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

from harness.core.errors import ProvisionFailed
from harness.core.objects import Object, Ref
from harness.core.profile import FAST, Profile
from harness.gitops.argocd import REFRESH
from harness.gitops.plan import BootstrapPlan, read_plan
from harness.gitops.render import DesiredObject, desired_objects
from harness.gitops.repo import ServedRepo
from tests.gitops.conftest import APPLICATION, CONFIG_MAP, write
from tests.stage import Stage

URL = "https://git.example.org/team/gitops"
DEPLOYMENT = """\
apiVersion: apps/v1
kind: Deployment
metadata: {name: api}  # keep this comment
spec:
  replicas: 1
  template: {spec: {containers: [{name: api, image: 'sample:1'}]}}
"""
FILES = {
    "argocd-apps/shop.yaml": APPLICATION.format(name="shop", url=URL),
    "argocd-apps/web.yaml": APPLICATION.format(name="web", url=URL),
    "apps/shop/cm.yaml": CONFIG_MAP.format(name="a"),
    "apps/shop/api.yaml": DEPLOYMENT,
    "apps/web/cm.yaml": CONFIG_MAP.format(name="b"),
}
API = Ref("apps", "Deployment", "shop", "api")
SETTINGS = Ref("", "ConfigMap", "shop", "a")
SHOP = Ref("argoproj.io", "Application", "argocd", "shop")


@dataclass
class GitEngine:
    """Argo CD as far as it is asked: what it shows are the Applications of the API in memory."""

    stage: GitStage
    asked: list[str] = field(default_factory=list)
    error: Exception | None = None
    namespace: str = "argocd"

    def refresh(self, name: str, *, hard: bool = False) -> None:
        if self.error is not None:
            raise self.error
        self.asked.append(name)

    def applications(self) -> tuple[Object, ...]:
        return tuple(o for o in self.stage.api.objects if o["kind"] == "Application")


@dataclass
class GitStage(Stage):
    """A stage whose repository is real and served on loopback; two Applications, three objects."""

    folder: Path = field(kw_only=True)
    profile: Profile = FAST
    repo: ServedRepo = field(init=False)
    plan: BootstrapPlan = field(init=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        write(self.folder / "gitops", FILES)
        self.repo = ServedRepo.from_path(self.folder / "gitops", scratch=self.folder / "scratch")
        self.plan = read_plan(self.repo)
        self.repo.serve("127.0.0.1")
        self.engine = GitEngine(self)

    def desired(self) -> tuple[DesiredObject, ...]:
        return desired_objects(self.repo, self.plan)

    def refs(self) -> tuple[Ref, ...]:
        return tuple(obj.ref for obj in self.desired())

    def show(self, revision: str | Mapping[str, Any], *, after: timedelta = timedelta(0), **status: Any) -> Object:
        """After a while the watch delivers Application shop as compared with `revision`."""
        self.clock.sleep(after)
        sync = {"status": "Synced", "revision": revision} if isinstance(revision, str) else dict(revision)
        app: Object = {
            "apiVersion": "argoproj.io/v1alpha1", "kind": "Application",
            "metadata": {"name": "shop", "namespace": "argocd", "annotations": {}},
            "status": {"sync": sync, **status},
        }  # fmt: skip
        self.view.event(app)
        return app

    def pending(self, revision: str) -> None:
        """The same, with a refresh that was asked for and not taken up."""
        app = copy.deepcopy(self.show(revision))
        app["metadata"]["annotations"][REFRESH] = "normal"
        self.view.event(app)


class NoView:
    """In the place of a view: there is no cluster."""

    def __getattr__(self, name: str) -> Any:
        raise ProvisionFailed("platform p has no cluster to look at")
