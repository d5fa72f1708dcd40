"""Has an Application arrived at a commit? The predicate, as pure functions of plain objects.

Here belongs what has to hold for one Application and for one object it brings. Watching them, asking for refreshes and
the moments at which things became true do not: that is `harness.gitops.convergence`.

"Synced and Healthy" is never enough: it is what the *previous* commit looks like, and what a cluster shows that has
just been restored. Facts: Argo CD's Application type (status has a resolution of one second and no
observedGeneration), its controller's autoSync (a failed sync of a revision is never tried again), argoproj/argo-cd
#18442, #10367, and the race in `argocd app wait` that a strict comparison of times avoids.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from harness.cluster.health import health
from harness.core.objects import Object, Ref, dig
from harness.core.observation import State
from harness.gitops.argocd import REFRESH
from harness.gitops.render import DesiredApplication, DesiredObject

# What Argo CD says when it could not reach something: it may be able to tomorrow.
_TRANSPORT = re.compile(
    r"dial tcp|connection refused|connection reset|no such host|no route to host|i/o timeout|deadline exceeded|\bEOF\b"
    r"|code = Unavailable|failed to list refs|context canceled|TLS handshake|server misbehaving",
    re.IGNORECASE,
)
_WIPE = "will wipe out all resources"  # an automated sync that would remove everything is never made
_ERRORS = ("ComparisonError", "InvalidSpecError", "SyncError", "UnknownError", "DeletionError")


@dataclass(frozen=True, slots=True)
class Judgement:
    """What the predicate says, and the one item that decided: `item` is its name, "converged" if all hold."""

    state: State
    item: str
    expected: str
    actual: str

    @property
    def met(self) -> bool:
        return self.state is State.MET

    @property
    def unproven(self) -> bool:
        """Everything else holds; only the proof that Argo CD looked late enough is outstanding."""
        return self.item in ("stale", "refresh")


_MET = Judgement(State.MET, "converged", "every item of the predicate", "converged")


def judge_application(app: Object | None, wanted: DesiredApplication, *, persistent: Collection[str] = ()) -> Judgement:
    """Whether `app`, as the API shows it, has arrived where `wanted` says.

    `persistent` holds the types of error conditions that survived forced refreshes: such an error is final (BROKEN).
    """
    if app is None:
        return _pending("present", "the Application to exist", "the Application is missing")
    for judge in (_deleting, _spec, _error, _revision, _compared, _operation, _sync, _health, _resources, _stale):
        found = judge(app, wanted, persistent)
        if found is not None:
            return found
    return _MET


def judge_object(wanted: DesiredObject, live: Object | None, *, direct: bool = True) -> Judgement:
    """Whether one object that Git describes is there, rolled out, and what Git says where that can be told simply.

    With `direct`, replicas and images are compared with Git's here, independent of what Argo CD thinks: for a moment
    after a change it still shows the state of before.
    """
    if live is None:
        return _pending("object", "it to exist", "is missing")
    found = health(live)
    if not found.ok:
        failed = found.ok is False and wanted.ref.kind == "Job"  # it is never started again; all others may recover
        return Judgement(State.BROKEN if failed else State.PENDING, "object", "it to be rolled out", found.text)
    if direct and (difference := _direct(wanted.manifest, live)):
        return _pending("object", "Git's value", difference)
    return _MET


def needs_refresh(app: Object | None, wanted: DesiredApplication) -> bool:
    """Whether asking Argo CD to compare again would help: it has looked, but at another commit, or too early.

    A new Application looks by itself, and a request that is pending already is not repeated.
    """
    if app is None or not dig(app, "status", "reconciledAt") or refresh_pending(app):
        return False
    if under_way(app):
        return not at_revision(app, wanted)
    return not at_revision(app, wanted) or _stale(app, wanted, ()) is not None


def refresh_pending(app: Object | None) -> bool:
    """Whether Argo CD was asked to compare again, and has not taken that up yet."""
    return app is not None and REFRESH in _annotations(app)


def under_way(app: Object) -> bool:
    """Whether a sync is asked for, runs, or waits for its next attempt."""
    return dig(app, "operation") is not None or dig(app, "status", "operationState", "phase") == "Running"


def at_revision(app: Object | None, wanted: DesiredApplication) -> bool:
    """Whether Argo CD has compared with the commit that is wanted."""
    return app is not None and tuple(_revisions(app)) == wanted.revisions


def errors(app: Object | None) -> dict[str, str]:
    """The error conditions: type to message."""
    conditions = dig(app, "status", "conditions", default=[])
    return {str(c.get("type")): str(c.get("message", "")) for c in conditions if str(c.get("type")).endswith("Error")}


def is_transport(message: str) -> bool:
    """Whether an error is about reaching something, and so never final."""
    return bool(_TRANSPORT.search(message))


def sync_revisions(app: Object) -> tuple[str, ...]:
    """The commits of the last sync, or of the one under way; empty where it has no result yet."""
    result = dig(app, "status", "operationState", "syncResult", default={})
    one = result.get("revision")
    return tuple(result.get("revisions") or ((one,) if one else ()))


def resting(app: Object | None, wanted: DesiredApplication) -> bool:
    """Whether Argo CD brings nothing more from this Application: all is applied, or it tries the same again."""
    if app is None or not at_revision(app, wanted):
        return False
    state = dig(app, "status", "operationState", default={})
    if sync_revisions(app) == wanted.revisions and (state.get("retryCount") or _failed(app)):
        return True
    return not under_way(app) and dig(app, "status", "sync", "status") == "Synced"


# -- the items, in the order in which they are told


def _deleting(app: Object, _: DesiredApplication, __: Collection[str]) -> Judgement | None:
    if dig(app, "metadata", "deletionTimestamp"):
        return _pending("present", "the Application to exist", "the Application is being deleted")
    return None


def _spec(app: Object, wanted: DesiredApplication, _: Collection[str]) -> Judgement | None:
    for key in ("project", "source", "sources", "destination"):
        ours = dig(wanted.manifest, "spec", key)
        if ours is not None and not _within(ours, dig(app, "spec", key)):
            return _pending("spec", f"spec.{key} as in Git", f"the live Application has another spec.{key}")
    return None


def _error(app: Object, wanted: DesiredApplication, persistent: Collection[str]) -> Judgement | None:
    found = errors(app)
    for kind in sorted(found, key=lambda k: _ERRORS.index(k) if k in _ERRORS else len(_ERRORS)):
        message = found[kind]
        if kind == "SyncError" and message.startswith("Failed last sync attempt") and _failed(app):
            continue  # the operation itself says more
        refused = kind == "SyncError" and _WIPE in message and at_revision(app, wanted)  # not that of an older commit
        final = refused or (kind in persistent and not is_transport(message))
        state = State.BROKEN if final else State.PENDING
        return Judgement(state, "error", "no error condition", f"{kind}: {_short(message)}")
    return None


def _revision(app: Object, wanted: DesiredApplication, _: Collection[str]) -> Judgement | None:
    found = tuple(_revisions(app))
    if found == wanted.revisions:
        return None
    shown = ", ".join(r[:10] or "none" for r in found) or "none yet"
    return _pending("revision", f"revision {', '.join(r[:10] for r in wanted.revisions)}", f"revision {shown}")


def _compared(app: Object, _: DesiredApplication, __: Collection[str]) -> Judgement | None:
    spec, compared = dig(app, "spec", default={}), dig(app, "status", "sync", "comparedTo", default={})
    for key in ("sources",) if spec.get("sources") else ("source",):
        if _pruned(spec.get(key)) != _pruned(compared.get(key)):
            return _pending(
                "compared", f"a comparison with the present spec.{key}", f"Argo CD compared with an older spec.{key}"
            )
    if _pruned(spec.get("destination")) != _pruned(compared.get("destination")):
        return _pending(
            "compared", "a comparison with the present destination", "Argo CD compared with an older destination"
        )
    return None


def _operation(app: Object, wanted: DesiredApplication, _: Collection[str]) -> Judgement | None:
    state = dig(app, "status", "operationState", default={})
    phase, message = state.get("phase"), _short(str(state.get("message") or ""))
    if dig(app, "operation") is not None and phase in (None, "Succeeded", "Failed", "Error"):
        return _pending("operation", "no operation under way", "a sync was requested")
    if phase in (None, "Succeeded"):
        return None
    if _failed(app):
        return _failure(app, wanted, f"sync {phase}: {message}")
    # Between two attempts a sync is Running, and its message says why the last one failed.
    item = "retrying" if state.get("retryCount") else "operation"
    return _pending(item, "a sync that succeeded", f"sync {phase}: {message}")


def _failure(app: Object, wanted: DesiredApplication, text: str) -> Judgement | None:
    """A sync that ended badly, its retries used up (they are part of it). Argo CD never tries that commit again, and
    one that ended before it had a result it tries again at no commit (alreadyAttemptedSync).

    The failure of another commit does not matter where this one needs no sync at all: after the revert of a manifest
    that never could be applied, Git and cluster agree, no sync runs, and the old failure stays on show for ever.
    """
    synced = sync_revisions(app)
    if synced != wanted.revisions and dig(app, "status", "sync", "status") == "Synced":
        return None
    state = State.BROKEN if synced in (wanted.revisions, ()) else State.PENDING
    return Judgement(state, "operation", "a sync that succeeded", text)


def _sync(app: Object, _: DesiredApplication, __: Collection[str]) -> Judgement | None:
    status = dig(app, "status", "sync", "status", default="Unknown")
    if status == "Synced":
        return None
    for resource in _owned(app):
        if resource.get("status") not in (None, "Synced"):
            what = "is not in Git any more" if resource.get("requiresPruning") else f"is {resource['status']}"
            return _pending("sync", "Synced", f"{status}: {_ref(resource)} {what}")
    return _pending("sync", "Synced", str(status))


def _stale(app: Object, _: DesiredApplication, __: Collection[str]) -> Judgement | None:
    if refresh_pending(app):
        return _pending("refresh", "the refresh that was asked for", "a refresh is pending")
    finished = dig(app, "status", "operationState", "finishedAt")
    reconciled = dig(app, "status", "reconciledAt")
    if not reconciled:
        return _pending("stale", "a comparison with Git", "Argo CD has not compared it with Git yet")
    # RFC 3339 in UTC with whole seconds: text order is time order. Equal seconds prove nothing.
    if finished and not reconciled > finished:
        actual = f"the last comparison began at {reconciled}, the sync ended at {finished}"
        return _pending("stale", "a comparison with Git that began after the sync", actual)
    return None


def _health(app: Object, _: DesiredApplication, __: Collection[str]) -> Judgement | None:
    status = dig(app, "status", "health", "status", default="Unknown")
    if status == "Healthy":
        return None
    for resource in _owned(app):
        if (found := dig(resource, "health", "status")) not in (None, "Healthy"):
            why = _short(str(dig(resource, "health", "message", default="")))
            return _pending("health", "Healthy", f"{status}: {_ref(resource)} is {found} {why}".rstrip())
    return _pending("health", "Healthy", str(status))


def _resources(app: Object, wanted: DesiredApplication, _: Collection[str]) -> Judgement | None:
    owned = {_ref(resource) for resource in _owned(app)}
    ours = {obj.ref for obj in wanted.objects}
    if missing := sorted(ours - owned):
        return _pending("resources", "the objects that Git describes", f"{missing[0]} is not managed by it")
    if extra := sorted(owned - ours):
        return _pending("resources", "the objects that Git describes", f"{extra[0]} as well, which is not in Git")
    return None


# -- reading


def _revisions(app: Object) -> Iterable[str]:
    if dig(app, "spec", "sources"):
        return [str(r) for r in dig(app, "status", "sync", "revisions", default=[])]
    one = dig(app, "status", "sync", "revision")
    return [str(one)] if one else []


def _failed(app: Object) -> bool:
    return dig(app, "status", "operationState", "phase") in ("Failed", "Error")


def _annotations(app: Object) -> Mapping[str, Any]:
    found: Mapping[str, Any] = dig(app, "metadata", "annotations", default={})
    return found


def _owned(app: Object) -> list[Mapping[str, Any]]:
    return [r for r in dig(app, "status", "resources", default=[]) if not r.get("hook")]


def _ref(resource: Mapping[str, Any]) -> Ref:
    return Ref(resource.get("group") or "", resource["kind"], resource.get("namespace") or "", resource["name"])


def _direct(ours: Object, live: Object) -> str:
    replicas = dig(ours, "spec", "replicas")
    if replicas is not None and dig(live, "spec", "replicas") not in (None, replicas):
        return f"has {dig(live, 'spec', 'replicas')} replicas, not {replicas}"
    images = {c.get("name"): c.get("image") for c in dig(ours, "spec", "template", "spec", "containers", default=[])}
    for container in dig(live, "spec", "template", "spec", "containers", default=[]):
        wanted = images.get(container.get("name"))
        if wanted and container.get("image") != wanted:
            return f"has image {container.get('image')}, not {wanted}"
    return ""


def _within(ours: Any, live: Any) -> bool:
    """Whether everything Git says is what the live value says; what is empty on either side is nothing."""
    if isinstance(ours, Mapping):
        return isinstance(live, Mapping) and all(_within(v, live.get(k)) for k, v in ours.items() if _pruned(v))
    if isinstance(ours, list):
        return isinstance(live, list) and len(ours) == len(live) and all(map(_within, ours, live))
    return bool(ours == live)


def _pruned(value: Any) -> Any:
    """Without what is empty: Argo CD leaves empty fields out of the copy of the spec that it compared with."""
    if isinstance(value, Mapping):
        kept = {k: _pruned(v) for k, v in value.items()}
        return {k: v for k, v in kept.items() if v not in (None, "", {}, [], False)}
    if isinstance(value, list):
        return [_pruned(v) for v in value]
    return value


def _short(text: str) -> str:
    flat = " ".join(text.split())
    return flat if len(flat) <= 240 else f"{flat[:237]}..."


def _pending(item: str, expected: str, actual: str) -> Judgement:
    return Judgement(State.PENDING, item, expected, actual)
