"""Has a commit arrived?

Here belong probes and readings about what the GitOps engine made of a commit: seen, arrived, pruned, refused. Whether
the whole platform is what Git says is `harness.probes.sync`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from harness.cluster.live import Seen
from harness.core.clock import SECOND, between_ns
from harness.core.errors import ApiRefused, ApiUnreachable, ConfigError, ProvisionFailed
from harness.core.objects import Object, Ref, dig
from harness.core.observation import Observation, Probe, State
from harness.core.text import parse_duration, some
from harness.faults.git import PushCommit, follow
from harness.gitops.convergence import NUDGE_EVERY, Converged
from harness.gitops.judgement import refresh_pending
from harness.gitops.platform import Platform
from harness.gitops.render import application_in_git
from harness.probes.calm import require_sight

_NUDGE_AGAIN = SECOND / 2  # after a comparison that looked at another commit
_WIPE = "will wipe out all resources"  # what Argo CD says when it refuses to remove everything
_DEFAULTS = {"resync": "120s", "jitter": "60s", "references": "180s"}


def poll_bound(platform: Platform) -> timedelta:
    """The longest a push can stay unseen where nobody asks for a refresh.

    Argo CD keeps what it last heard of the branch for a while, and two comparisons are at most two intervals and a
    jitter apart. Facts: argocd-cm `timeout.reconciliation` (also the age of the references kept; by default these are
    180 s and the interval 120 s), `timeout.reconciliation.jitter`.
    """
    said = platform.profile.argocd_cm
    every = said.get("timeout.reconciliation", _DEFAULTS["resync"])
    kept = said.get("timeout.reconciliation", _DEFAULTS["references"])
    jitter = said.get("timeout.reconciliation.jitter", _DEFAULTS["jitter"])
    return parse_duration(kept) + 2 * parse_duration(every) + parse_duration(jitter)


@dataclass(slots=True)
class _Seen:
    platform: Platform
    app: Ref
    commit: str
    nudge: bool
    refreshes: int = 0
    _nudged_ns: int | None = None
    _passed: dict[str, bool] = field(default_factory=dict)

    @property
    def subject(self) -> str:
        return f"seen({self.app.name} at {self.commit[:10]})"

    @property
    def signal(self) -> Any:
        return _signal(self.platform)

    def observe(self) -> Observation:
        now = self.platform.clock.now_ns()
        expected = f"Argo CD to compare {self.app.name} with {self.commit[:10]}"
        try:
            states = _states(self.platform, self.app)
        except ProvisionFailed as error:
            return Observation(State.PENDING, self.subject, expected, str(error), now)
        first = next((seen for seen in states if not seen.deleted and self.commit in revisions(seen.object)), None)
        if first is not None:
            detail = {"refreshes": self.refreshes, "seen_ns": {self.app.name: first.received_ns}}
            actual = f"{self.app.name} was compared with {self.commit[:10]}"
            return Observation(State.MET, self.subject, expected, actual, first.received_ns,
                               compared_since(self.platform, first), detail=detail)  # fmt: skip
        if not states or states[-1].deleted:
            return Observation(State.PENDING, self.subject, expected, "the Application is missing", now)
        found = revisions(states[-1].object)
        shown = ", ".join(r[:10] for r in found) or "none yet"
        if any(self._beyond(revision) for revision in found):
            actual = f"revision {shown}, which is newer: this one was passed over"
            return Observation(State.BROKEN, self.subject, expected, actual, now)
        self._ask(states[-1].object, now)
        return Observation(State.PENDING, self.subject, expected, f"revision {shown}", now)

    def _beyond(self, revision: str) -> bool:
        """Whether a revision comes after the commit."""
        if len(revision) != 40:
            return False  # after an error Argo CD shows the branch by its name
        if revision not in self._passed:
            self._passed[revision] = self.platform.repo.is_ancestor(self.commit, revision)
        return self._passed[revision]

    def _ask(self, live: Object, now: int) -> None:
        """A request that is pending is not repeated, unless it stays so: it may have been answered from before."""
        if not self.nudge:
            return
        pending = refresh_pending(live)
        rest = NUDGE_EVERY if pending else _NUDGE_AGAIN
        if self._nudged_ns is not None and between_ns(self._nudged_ns, now) < rest:
            return
        self._nudged_ns = now
        try:
            self.platform.engine.refresh(self.app.name)
        except (ApiUnreachable, ApiRefused, ProvisionFailed):
            return  # the next observation asks again
        self.refreshes += 1


def seen(platform: Platform, app: str, commit: str, *, nudge: bool = True) -> Probe:
    """Argo CD has compared Application `app` with `commit` (a full sha). BROKEN once it looked at a later one instead.

    With `nudge` it is asked to look, as a webhook would; without, its own polling is what is measured. The moment is
    that of the watch event; it is bounded from below by the event before it and by the begin of that comparison.
    Raises ConfigError: no such Application in Git, or not a full sha.
    """
    if len(commit) != 40:
        raise ConfigError("a commit as its full sha", repr(commit), "use `push.sha`, after the injection")
    probe = _Seen(platform, _application(platform, app), commit, nudge)
    follow(platform, (probe.app,))
    return probe


def arrived(platform: Platform, app: str, *, nudge: bool = True) -> Probe:
    """Application `app` is where the head of Git is, and all its objects are live and rolled out.

    `converged` for one Application. Raises ConfigError: no such Application in Git.
    """
    _application(platform, app)
    return Converged(platform, nudge=nudge, only=app)


@dataclass(slots=True)
class _Pruned:
    push: PushCommit

    @property
    def subject(self) -> str:
        return f"pruned({_names(self.push.effect.removed)})"

    @property
    def signal(self) -> Any:
        return _signal(self.push.platform)

    def observe(self) -> Observation:
        removed, platform = self.push.effect.removed, self.push.platform
        expected = f"{len(removed)} objects gone that {self.push.sha[:10]} removed from Git"
        try:
            last = {ref: _states(platform, ref, self.push.pushed_ns)[-1:] for ref in removed}
        except ProvisionFailed as error:
            return Observation(State.PENDING, self.subject, expected, str(error), platform.clock.now_ns())
        gone = {ref: found[0] for ref, found in last.items() if found and found[0].deleted}
        left = [ref for ref in removed if ref not in gone]
        if left:
            going = any(map(_going, last[left[0]]))
            actual = f"{left[0]} is still there, {'being deleted' if going else 'and nobody deletes it'}"
            return Observation(State.PENDING, self.subject, expected, actual, platform.clock.now_ns(),
                               None, len(gone), len(removed))  # fmt: skip
        latest = max(gone.values(), key=lambda state: state.received_ns)
        detail = {"pruned_ns": {str(ref): state.received_ns for ref, state in gone.items()}}
        return Observation(State.MET, self.subject, expected, f"gone: {_names(removed)}", latest.received_ns,
                           latest.previous_ns, len(gone), len(removed), detail)  # fmt: skip


def pruned(push: PushCommit) -> Probe:
    """Every object that the commit removed from Git is gone from the cluster. Raises ConfigError: it removed none."""
    _removing(push)
    follow(push.platform, push.effect.removed)
    return _Pruned(push)


@dataclass(slots=True)
class _Refused:
    push: PushCommit
    app: Ref

    @property
    def subject(self) -> str:
        return f"refused({self.app.name} at {self.push.sha[:10]})"

    @property
    def signal(self) -> Any:
        return _signal(self.push.platform)

    def observe(self) -> Observation:
        platform, removed = self.push.platform, self.push.effect.removed
        now = platform.clock.now_ns()
        expected = f"Argo CD to refuse {self.push.sha[:10]}, and its {len(removed)} objects to stay"
        try:
            for group, kind in sorted({(ref.group, ref.kind) for ref in (self.app, *removed)}):
                require_sight(platform, group, kind)
            lost = [ref for ref in removed if any(map(_going, _states(platform, ref, self.push.pushed_ns)))]
            states = _states(platform, self.app)
        except ProvisionFailed as error:
            return Observation(State.PENDING, self.subject, expected, str(error), now)
        if lost:
            actual = f"{len(lost)} of them deleted: {_names(lost)}"
            return Observation(State.BROKEN, self.subject, expected, actual, now, None,
                               len(removed) - len(lost), len(removed))  # fmt: skip
        since = _run(states, self._holds)
        if since is None:
            shown = dig(states[-1].object, "status", "sync", "status", default="not compared") if states else "missing"
            return Observation(
                State.PENDING, self.subject, expected, f"no refusal yet, {self.app.name} is {shown}", now
            )
        return Observation(State.MET, self.subject, expected, _refusal(since.object), since.received_ns,
                           compared_since(platform, since), len(removed), len(removed))  # fmt: skip

    def _holds(self, app: Object) -> bool:
        return self.push.sha in revisions(app) and bool(_refusal(app))


def refused(push: PushCommit, app: str) -> Probe:
    """Argo CD says that the commit would remove everything of `app`, and removes nothing. BROKEN once it does.

    Asked, it raises ApiUnreachable while it could not be seen if that happened.
    Raises ConfigError: the commit removed no object, or no such Application in Git.
    """
    _removing(push)
    probe = _Refused(push, _application(push.platform, app))
    follow(push.platform, (*push.effect.removed, probe.app))
    return probe


@dataclass(frozen=True, slots=True)
class _Versions:
    platform: Platform
    refs: tuple[Ref, ...]
    name: str = "versions"

    def read(self) -> dict[str, Any]:
        """`objects`: identity -> uid, version, content (a digest without status). `applications`: name -> last sync."""
        wanted, objects = set(self.refs), dict[str, Any]()
        for group, kind in sorted({(ref.group, ref.kind) for ref in wanted}):
            for item in self.platform.api.list(self.platform.api.kind(group, kind)).items:
                ref = Ref(group, kind, item["metadata"].get("namespace") or "", item["metadata"]["name"])
                if ref in wanted:
                    objects[str(ref)] = _version(item)
        return {"objects": objects, "applications": {
            str(app["metadata"]["name"]): {
                "sync": dig(app, "status", "operationState", "startedAt"),
                "history": [entry.get("id") for entry in dig(app, "status", "history", default=[])],
            } for app in self.platform.engine.applications()}}  # fmt: skip


def versions(platform: Platform) -> _Versions:
    """The identity and version of every object in Git now, and the last sync of every Application, whenever read."""
    return _Versions(platform, platform.refs())


@dataclass(frozen=True, slots=True)
class _Syncs:
    push: PushCommit
    app: Ref
    name: str = "syncs"

    def read(self) -> dict[str, Any]:
        """`application`, `revision`, `operations` (how many), `pruned` and `synced` (identities), by its own account.

        Read from every state since the push: while an object is still being deleted, Argo CD syncs once more, and the
        account of that last sync is empty.
        """
        began: set[str] = set()
        by: dict[str, set[str]] = {"Pruned": set(), "Synced": set()}
        for state in _states(self.push.platform, self.app, self.push.pushed_ns):
            operation = dig(state.object, "status", "operationState", default={})
            if dig(operation, "syncResult", "revision") != self.push.sha:
                continue
            began.add(str(operation.get("startedAt")))
            for result in dig(operation, "syncResult", "resources", default=[]):
                ref = Ref(result.get("group") or "", result["kind"], result.get("namespace") or "", result["name"])
                by.setdefault(str(result.get("status")), set()).add(str(ref))
        return {"application": self.app.name, "revision": self.push.sha, "operations": len(began),
                "pruned": sorted(by["Pruned"]), "synced": sorted(by["Synced"])}  # fmt: skip


def syncs(push: PushCommit, app: str) -> _Syncs:
    """What Argo CD says it did to bring one Application to the commit. Raises ConfigError: no such Application."""
    return _Syncs(push, _application(push.platform, app))


def revisions(app: Object) -> tuple[str, ...]:
    """The commits that Argo CD compared an Application with last."""
    sync = dig(app, "status", "sync", default={})
    one = sync.get("revision")
    return tuple(str(r) for r in sync.get("revisions") or ([one] if one else []))


def compared_since(platform: Platform, state: Seen) -> int | None:
    """The latest moment at which what this state of an Application says was not yet known to Argo CD.

    The event before it, or, where that is long ago, the begin of the comparison that this one tells of
    (`reconciledAt`, in whole seconds; the nodes are containers of this machine and share its clock).
    """
    told = dig(state.object, "status", "reconciledAt")
    if not told:
        return state.previous_ns
    clock = platform.clock
    ago = clock.utc() - datetime.fromisoformat(str(told))
    begun = clock.now_ns() - ago // timedelta(microseconds=1) * 1000
    return max(min(begun, state.received_ns), state.previous_ns or 0)


def _application(platform: Platform, name: str) -> Ref:
    return application_in_git(platform.repo, platform.plan, name).ref


def _removing(push: PushCommit) -> None:
    if not push.effect.removed:
        raise ConfigError("a commit that was pushed and removed objects", push.subject, "ask of another commit")


def _states(platform: Platform, ref: Ref, since_ns: int = 0) -> tuple[Seen, ...]:
    """What is remembered of an object; a platform that is drilled twice also remembers the first time."""
    return tuple(state for state in platform.view.history(ref) if state.received_ns >= since_ns)


def _signal(platform: Platform) -> Any:
    try:
        return platform.view.signal
    except ProvisionFailed:
        return None


def _going(state: Seen) -> bool:
    return state.deleted or bool(dig(state.object, "metadata", "deletionTimestamp"))


def _run(states: Sequence[Seen], holds: Callable[[Object], bool]) -> Seen | None:
    """The first of the unbroken run of states, up to the last one, that all hold."""
    first: Seen | None = None
    for state in states:
        good = not state.deleted and holds(state.object)
        first = (first or state) if good else None
    return first


def _refusal(app: Object) -> str:
    said = (str(c.get("message", "")) for c in dig(app, "status", "conditions", default=[]) if c["type"] == "SyncError")
    return next((message[:160] for message in said if _WIPE in message), "")


def _version(item: Mapping[str, Any]) -> dict[str, Any]:
    metadata = {k: v for k, v in item["metadata"].items() if k not in ("resourceVersion", "managedFields")}
    content = {**{k: v for k, v in item.items() if k != "status"}, "metadata": metadata}
    digest = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]
    return {"uid": metadata.get("uid"), "version": item["metadata"].get("resourceVersion"), "content": digest,
            "has_status": "status" in item}  # fmt: skip


def _names(refs: Sequence[Ref]) -> str:
    return some([str(ref) for ref in refs], 3)
