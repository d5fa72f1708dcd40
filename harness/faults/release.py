"""A release that takes its time: a commit whose sync is long enough to be interrupted.

Here belongs making such a commit. That it is pushed is `harness.faults.git`, that it is interrupted
`harness.faults.engine`.

Facts: Argo CD's sync waves: what has a later wave is applied when all of the earlier ones is healthy, and a Job is when
it has completed; until then the operation is Running. A PreSync hook would last as long, but was seen live to hang for
ever (3.5.1): a sync that failed while the repo-server was away is retried, the Job of the first attempt is deleted, and
the retry waits for the completion of a hook that is no longer there.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

import yaml

from harness.core.clock import SECOND
from harness.core.errors import ConfigError
from harness.core.objects import Object, Ref, dig
from harness.faults.git import PushCommit
from harness.gitops.edit import Edit, edited
from harness.gitops.platform import Platform
from harness.gitops.render import DesiredObject

_IMAGE = "drill/sample:1"  # on every node, and it can wait: `job -sleep`


@dataclass(frozen=True, slots=True)
class Release:
    """A commit to push, the Deployment it rolls out, the Application that brings it, and the Job that runs before."""

    commit: PushCommit
    application: str
    deployment: Ref
    migration: Ref


def release(platform: Platform, target: str, version: str, *, lasting: timedelta = 10 * SECOND) -> Release:
    """`version` of the Deployment `target` (namespace/name), after a migration that takes `lasting`.

    Raises ConfigError: no such Deployment in Git, its first container has no environment to change, or it has that
    version already.
    """
    found = [
        o for o in platform.desired() if o.ref.kind == "Deployment" and f"{o.ref.namespace}/{o.ref.name}" == target
    ]
    if not found:
        raise ConfigError(f"a Deployment {target} in Git", "none", "name one as namespace/name")
    deployment = found[0]
    migration = _migration(deployment, lasting)
    folder = deployment.path.rpartition("/")[0]
    edit = Edit(deployment.path, _version(deployment), version, f"Deployment {deployment.ref.name}")
    changes: dict[str, str | bytes | None] = dict(edited(platform.repo.read_many([deployment.path]), edit))
    changes[f"{folder}/{migration['metadata']['name']}.yaml"] = yaml.safe_dump(migration, sort_keys=False)
    commit = PushCommit(platform, changes, f"release {version} of {deployment.ref.name}, with a migration")
    job = Ref("batch", "Job", deployment.ref.namespace, migration["metadata"]["name"])
    return Release(commit, deployment.application, deployment.ref, job)


def _version(deployment: DesiredObject) -> tuple[str | int, ...]:
    variables = dig(deployment.manifest, "spec", "template", "spec", "containers", 0, "env", default=[])
    for number, variable in enumerate(variables):
        if variable.get("name") == "VERSION":
            return ("spec", "template", "spec", "containers", 0, "env", number, "value")
    raise ConfigError(f"a variable VERSION in {deployment}", "none", "release another Deployment")


def _migration(deployment: DesiredObject, lasting: timedelta) -> Object:
    name = f"{deployment.ref.name}-migration"
    container = {
        "name": "migration", "image": _IMAGE, "imagePullPolicy": "IfNotPresent",
        "args": ["job", "-sleep", f"{lasting.total_seconds():g}s", "schema", "migrated"],
        "resources": {"requests": {"cpu": "1m", "memory": "8Mi"}, "limits": {"memory": "32Mi"}},
        "securityContext": {"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True,
                            "capabilities": {"drop": ["ALL"]}},
    }  # fmt: skip
    pod = {
        "restartPolicy": "Never", "automountServiceAccountToken": False, "terminationGracePeriodSeconds": 5,
        "securityContext": {"runAsNonRoot": True, "runAsUser": 65532, "runAsGroup": 65532,
                            "seccompProfile": {"type": "RuntimeDefault"}},
        "containers": [container],
    }  # fmt: skip
    return {
        "apiVersion": "batch/v1", "kind": "Job",
        "metadata": {"name": name, "namespace": deployment.ref.namespace, "annotations": {
            "argocd.argoproj.io/sync-wave": "-1"}},
        "spec": {"backoffLimit": 0, "activeDeadlineSeconds": 120, "template": {"spec": pod}},
    }  # fmt: skip
