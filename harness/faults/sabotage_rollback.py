"""Sabotage of rollbacks: what makes a `git revert` not bring back what was there.

Here belong things that must turn a story of `scenarios/test_rollback.py` REFUTED. Each acts once: after the first
injection of the story, which is the bad commit, or with `after_revert` after the second, which is its revert.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from harness.core.clock import MILLISECOND, SECOND
from harness.core.errors import ConfigError, InjectFailed
from harness.core.objects import Object, Ref, dig
from harness.core.observation import Observation, State
from harness.effects.waiting import until
from harness.faults.sabotage_git import SyncPolicy, sync_by_hand
from harness.faults.settling import settle
from harness.gitops.argocd import APPLICATION
from harness.gitops.edit import Edit, edited
from harness.gitops.platform import Platform
from harness.probes.git import seen

HEARD_WITHIN = 20 * SECOND


@dataclass(slots=True)
class _AtInjection:
    """Acts once."""

    platform: Platform
    after_revert: bool = field(default=False, kw_only=True)
    count: int = field(default=0, init=False)

    def begin(self) -> None:
        self.count = 0

    def after_injection(self) -> None:
        self.count += 1
        if self.count == 1 + self.after_revert:
            self.act()

    def act(self) -> None:
        raise NotImplementedError


@dataclass(slots=True)
class CommitOnTop(_AtInjection):
    """Somebody else pushes a change beside the bad commit: reverting that one alone does not bring the old state back.

    Pushed as soon as Argo CD has looked at the bad commit, so that this one is not passed over.
    """

    edit: Edit
    application: str
    sha: str = field(default="", init=False)

    @property
    def subject(self) -> str:
        return f"CommitOnTop({self.edit.file})"

    def act(self) -> None:
        repo = self.platform.repo
        _await(self.platform, seen(self.platform, self.application, repo.head))
        self.sha = repo.commit(edited(repo.read_many([self.edit.file]), self.edit), f"meanwhile: {self.edit.file}")

    def end(self) -> None:
        if self.sha:
            self.platform.repo.revert(self.sha)
            settle(self.platform)


@dataclass(slots=True)
class LabelledByHand(_AtInjection):
    """A label is put on a live object; Git does not say anything about it, so that nobody takes it away again."""

    target: str  # as in "Deployment shop/api"
    label: str = "drill.example/by-hand"

    @property
    def subject(self) -> str:
        return f"LabelledByHand({self.target})"

    def act(self) -> None:
        self._write("yes")

    def end(self) -> None:
        self._write(None)

    def _write(self, value: str | None) -> None:
        ref, api = _ref(self.platform, self.target), self.platform.api
        body = {"metadata": {"labels": {self.label: value}}}
        api.patch(api.kind(ref.group, ref.kind), ref.name, ref.namespace, body)


@dataclass(slots=True)
class DeletedByHand(_AtInjection):
    """A live object is deleted, and Argo CD makes another one of that name."""

    target: str  # as in "Deployment shop/api"

    @property
    def subject(self) -> str:
        return f"DeletedByHand({self.target})"

    def act(self) -> None:
        ref, api = _ref(self.platform, self.target), self.platform.api
        kind = api.kind(ref.group, ref.kind)
        api.delete(kind, ref.name, ref.namespace)
        _await(self.platform, _Asked(self.platform, f"{self.target} to be gone or going", lambda: _going(
            api.get(kind, ref.name, ref.namespace))))  # fmt: skip

    def end(self) -> None:
        settle(self.platform)


@dataclass(slots=True)
class AutoSyncOff(_AtInjection):
    """Automated sync is switched off, and the sync that is being retried is ended: no later commit is applied."""

    application: str
    _policy: SyncPolicy = field(init=False)

    def __post_init__(self) -> None:
        self._policy = sync_by_hand(self.platform, self.application)

    @property
    def subject(self) -> str:
        return f"AutoSyncOff({self.application})"

    def act(self) -> None:
        self._policy.begin()
        if self._phase() == "Running":
            terminate = {"status": {"operationState": {"phase": "Terminating"}}}  # what `argocd app terminate-op` does
            self.platform.api.patch(APPLICATION, self.application, self.platform.engine.namespace, terminate)
        over = _Asked(self.platform, f"no sync of {self.application} under way",
                      lambda: self._phase() not in ("Running", "Terminating"))  # fmt: skip
        _await(self.platform, over)

    def end(self) -> None:
        self._policy.end()

    def _phase(self) -> object:
        live = self.platform.api.get(APPLICATION, self.application, self.platform.engine.namespace)
        return dig(live, "status", "operationState", "phase")


@dataclass(slots=True)
class _Asked:
    """A question to the API, as a probe."""

    platform: Platform
    expected: str
    so: Callable[[], bool]
    subject: str = "sabotage"
    signal: None = None

    def observe(self) -> Observation:
        state = State.MET if self.so() else State.PENDING
        said = "so" if state is State.MET else "not yet"
        return Observation(state, self.subject, self.expected, said, self.platform.clock.now_ns())


def _going(obj: Object | None) -> bool:
    return obj is None or bool(dig(obj, "metadata", "deletionTimestamp"))


def _ref(platform: Platform, target: str) -> Ref:
    """What a scenario calls an object by; those that are not in Git are claims. Raises ConfigError."""
    kind, _, place = target.partition(" ")
    namespace, slash, name = place.partition("/")
    found = next((ref for ref in platform.refs() if str(ref) == target), None)
    if found is None and kind == "PersistentVolumeClaim" and slash and namespace and name:
        return Ref("", kind, namespace, name)
    if found is None:
        raise ConfigError("an object in Git, as in 'Deployment shop/api'", repr(target), "correct the scenario")
    return found


def _await(platform: Platform, probe: Any) -> None:
    ended = until(probe, within=HEARD_WITHIN, clock=platform.clock, poll=50 * MILLISECOND)
    if not ended.met:
        raise InjectFailed(f"the sabotage had no effect: {ended.last.sentence()}")
