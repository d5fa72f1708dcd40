"""A stage with a shop: a small repository of real Git, for bad commits and what becomes of them.

Here belong a Deployment, a Service and a file of two objects to break, and Application `shop` as Argo CD shows it. Git
answers by HTTP on the loopback address, as it answers Argo CD; nothing leaves the machine.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from harness.cluster.live_store import Seen
from harness.core.objects import Kind, Object
from harness.gitops.plan import read_plan
from harness.gitops.render import desired_objects
from harness.gitops.repo import ServedRepo
from tests.stage import Stage

ORIGIN = "https://git.example.org/team/shop.git"
FILES = {
    "argocd-apps/shop.yaml": f"""\
apiVersion: argoproj.io/v1alpha1
kind: Application
metadata: {{name: shop, namespace: argocd}}
spec:
  project: default
  source: {{repoURL: {ORIGIN}, targetRevision: main, path: apps/shop}}
  destination: {{server: https://kubernetes.default.svc, namespace: shop}}
  syncPolicy: {{automated: {{prune: true, selfHeal: true}}}}
""",
    "apps/shop/api.yaml": """\
apiVersion: apps/v1
kind: Deployment
metadata: {name: api, namespace: shop}
spec:
  replicas: 2
  selector:
    matchLabels:
      app: api
      part: front
  template:
    metadata:
      labels:
        app: api
        part: front
    spec:
      containers:
        - name: api
          image: shop:1
""",
    "apps/shop/front.yaml": """\
apiVersion: v1
kind: Service
metadata: {name: api, namespace: shop}
spec:
  ports:
    - port: 80
""",
    "apps/shop/both.yaml": """\
apiVersion: v1
kind: ConfigMap
metadata: {name: one, namespace: shop}
data: {level: info}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: two, namespace: shop}
data: {level: info}
""",
}


class ShopStage(Stage):
    """What is desired is what is in Git."""

    repo: ServedRepo
    plan: Any
    engine: Any

    def __post_init__(self) -> None:
        super().__post_init__()
        view: Any = self.view
        view.all = self._all

    def desired(self) -> tuple[Any, ...]:
        return desired_objects(self.repo, self.plan)

    def refs(self) -> tuple[Any, ...]:
        return tuple(o.ref for o in self.desired())

    def _all(self, kind: Kind, namespace: str | None = None) -> tuple[Seen, ...]:
        return self.view.store.all(kind, namespace)


@contextmanager
def shop_stage(root: Path) -> Iterator[Any]:
    """A stage that follows a served repository with one Application, `shop`. It fits where a Platform is wanted."""
    source = root / "shop"
    for name, text in FILES.items():
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).write_text(text)
    repo = ServedRepo.from_path(source, scratch=root / "scratch")
    stage: Any = ShopStage()
    stage.repo, stage.plan = repo, read_plan(repo)
    stage.engine = SimpleNamespace(namespace="argocd", refreshed=[])
    stage.engine.refresh = lambda name, hard=False: stage.engine.refreshed.append(name)
    repo.serve("127.0.0.1")
    try:
        yield stage
    finally:
        repo.close()


def application(revision: str, status: str = "Synced", operation: Object | None = None, **more: Any) -> Object:
    """Application shop as Argo CD shows it after a comparison with `revision`."""
    told = {"sync": {"revision": revision, "status": status}, "health": {"status": "Healthy"}, **more}
    if operation is not None:
        told["operationState"] = operation
    return {"apiVersion": "argoproj.io/v1alpha1", "kind": "Application",
            "metadata": {"name": "shop", "namespace": "argocd", "resourceVersion": "1"}, "status": told}  # fmt: skip
