"""Commits: changes pushed to the repository that the cluster follows.

Here belongs what a person with a clone could push. What it does to the cluster is the GitOps engine's doing; what is
changed live by hand is `harness.faults.live_drift`.
"""

from __future__ import annotations

import glob
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from harness.core.errors import ConfigError, HealFailed, InjectFailed, ProvisionFailed, ToolError
from harness.core.faults import BlastRadius, Injected
from harness.core.objects import Object, Ref, dig
from harness.core.observation import Observation, State
from harness.core.text import first_line
from harness.gitops.edit import Edit, edited
from harness.gitops.platform import Platform
from harness.gitops.render import application_in_git, desired_applications

Changes = Mapping[str, str | bytes | None] | Edit | Sequence[Edit]


@dataclass(frozen=True, slots=True)
class Effect:
    """What a commit does to the objects that Git describes. `unreadable` says why that cannot be told."""

    added: tuple[Ref, ...] = ()
    changed: tuple[Ref, ...] = ()
    removed: tuple[Ref, ...] = ()
    unreadable: str = ""

    @property
    def refs(self) -> tuple[Ref, ...]:
        return (*self.added, *self.changed, *self.removed)


@dataclass(slots=True)
class PushCommit:
    """`git push` of one commit to the branch that Applications follow.

    `changes` maps paths to their new content (None removes the file; no entry at all makes an empty commit), or is one
    `Edit` or several. After the injection `sha` is the commit, `parent` the one before it, `effect` what it changes,
    `pushed_ns` when it was asked for (monotonic).
    Raises ConfigError for changes that cannot be made, before anything is touched.
    """

    platform: Platform
    changes: Changes
    message: str
    blast_radius: BlastRadius = BlastRadius.NAMESPACE
    sha: str = ""
    parent: str = ""
    pushed_ns: int = 0
    effect: Effect = field(default_factory=Effect)

    def __post_init__(self) -> None:
        self._contents()  # for its errors

    @property
    def subject(self) -> str:
        return f"PushCommit({first_line(self.message) or 'no message'})"

    @property
    def touches(self) -> tuple[str, ...]:
        """The objects that the commit adds, changes or removes; known once it is pushed."""
        return patterns(self.effect.refs)

    def inject(self) -> Injected:
        """Accepted is when the branch of the served repository had moved."""
        repo, contents = self.platform.repo, self._contents()
        follow_applications(self.platform)
        self.parent = repo.head
        sent = self.pushed_ns = self.platform.clock.now_ns()
        try:
            self.sha = repo.commit(contents, self.message)
        except ToolError as error:
            raise InjectFailed(f"the commit could not be made: {error}") from error
        accepted = self.platform.clock.now_ns()
        self.effect = effect_of(self.platform, self.parent, self.sha, tuple(contents))
        with suppress(ProvisionFailed):  # without a cluster there is nothing to follow
            follow(self.platform, self.effect.refs)
        return Injected(sent, accepted, f"pushed {self.sha[:10]} ({_told(self.effect)})", self._detail())

    def confirm(self) -> Observation:
        """Asks the served repository by HTTP, as Argo CD does."""
        return at_served_head(self.platform, self.sha, self.subject)

    def heal(self) -> None:
        """Revert it, where its files are not as before already. Raises HealFailed."""
        if not self.sha:
            return
        repo = self.platform.repo
        try:
            paths = repo.git.out("diff", "--name-only", "-z", self.parent, self.sha).split("\0")
            touched = [path for path in paths if path]
            same = ("diff", "--quiet", self.parent, repo.head, "--", *touched)
            if touched and repo.git.run(*same, check=False).returncode:
                repo.revert(self.sha)
        except (ConfigError, ToolError) as error:
            raise HealFailed(f"{self.sha[:10]} could not be reverted: {error}") from error

    def _contents(self) -> dict[str, str | bytes | None]:
        if isinstance(self.changes, Mapping):
            return dict(self.changes)
        edits = (self.changes,) if isinstance(self.changes, Edit) else tuple(self.changes)
        return dict(edited(self.platform.repo.read_many(sorted({e.file for e in edits})), *edits))

    def _detail(self) -> dict[str, object]:
        refs = {"added": self.effect.added, "changed": self.effect.changed, "removed": self.effect.removed}
        told: dict[str, object] = {name: [str(ref) for ref in found] for name, found in refs.items()}
        if self.effect.unreadable:
            told["unreadable"] = self.effect.unreadable
        return {"sha": self.sha, "parent": self.parent, **told}


def remove_everything(platform: Platform, application: str) -> PushCommit:
    """Every manifest of an Application is removed; a README stays, so that its folder does. Raises ConfigError."""
    app = application_in_git(platform.repo, platform.plan, application)
    if not app.objects:
        raise ConfigError(f"an Application {application} with objects in Git", "one without", "name another")
    folder = str(dig(app.manifest, "spec", "source", "path", default="")).strip("/")
    removed: dict[str, str | bytes | None] = dict.fromkeys(sorted({obj.path for obj in app.objects}))
    return PushCommit(platform, {**removed, f"{folder}/README": "Nothing left.\n"}, f"remove all of {application}")


def at_served_head(platform: Platform, sha: str, subject: str) -> Observation:
    """Whether the branch of the served repository, asked by HTTP, is at `sha`. PENDING while nothing answers."""
    repo = platform.repo
    expected = f"the served branch {repo.branch} at {sha[:10]}"
    try:
        # A proxy of ours must not be asked for an address of this machine.
        done = repo.git.run("-c", "http.proxy=", "ls-remote", repo.url, f"refs/heads/{repo.branch}")
    except (ToolError, ConfigError) as error:
        said = (str(error).splitlines() or [repr(error)])[-1]
        return Observation(State.PENDING, subject, expected, said[:160], platform.clock.now_ns())
    found = done.stdout.partition("\t")[0].strip()
    actual = f"the served branch {repo.branch} is at {found[:10] or 'nothing'}"
    state = State.MET if sha and found == sha else State.PENDING
    return Observation(state, subject, expected, actual, platform.clock.now_ns())


def effect_of(platform: Platform, before: str, after: str, paths: Sequence[str] = ()) -> Effect:
    """What lies between two commits. Where the later one cannot be read, the objects of `paths` count as changed."""
    old = _objects(platform, before)
    try:
        new = _objects(platform, after)
    except ConfigError as error:
        changed = tuple(ref for ref, (path, _, _) in old.items() if path in paths)
        return Effect(changed=changed, unreadable=f"expected {error.expected}; found {error.found}")
    return Effect(
        added=tuple(ref for ref in new if ref not in old),
        changed=tuple(ref for ref in new if ref in old and new[ref][1:] != old[ref][1:]),
        removed=tuple(ref for ref in old if ref not in new),
    )


def patterns(refs: Sequence[Ref]) -> tuple[str, ...]:
    """Identities as patterns that match just these (see `harness.core.faults.Fault.touches`)."""
    return tuple(glob.escape(str(ref)) for ref in refs)


def follow(platform: Platform, refs: Sequence[Ref]) -> None:
    """From now on every state of these objects is kept. Raises ProvisionFailed: there is no cluster."""
    for ref in refs:
        platform.view.follow(ref)


def follow_applications(platform: Platform) -> None:
    """From now on every state of the Applications is kept, so that no revision they pass through is missed."""
    with suppress(ProvisionFailed, ConfigError):  # no cluster, or nothing in Git to follow: a commit can be made anyhow
        follow(platform, [app.ref for app in desired_applications(platform.repo, platform.plan)])


def _objects(platform: Platform, revision: str) -> dict[Ref, tuple[str, str, Object]]:
    """Every object at a revision, Applications included: its file, its Application and its content."""
    found: dict[Ref, tuple[str, str, Object]] = {}
    for app in desired_applications(platform.repo, platform.plan, revision):
        found[app.ref] = (app.path, app.parent, app.manifest)
        found.update({o.ref: (o.path, o.application, o.manifest) for o in app.objects})
    return found


def _told(effect: Effect) -> str:
    if effect.unreadable:
        return "not readable"
    parts = [f"{len(refs)} {how}" for how, refs in
             (("added", effect.added), ("changed", effect.changed), ("removed", effect.removed)) if refs]  # fmt: skip
    return ", ".join(parts) or "no object changes"
