"""Bad commits, and taking them back: what a person does when a push went wrong.

Here belong the commits that teams really push by mistake, made from an object's name alone, and `git revert` of one.
Pushing a commit as such is `harness.faults.git`.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from harness.core.errors import ConfigError, InjectFailed, ToolError
from harness.core.faults import BlastRadius, Injected
from harness.core.objects import dig
from harness.core.observation import Observation
from harness.faults.git import Effect, PushCommit, at_served_head, effect_of, follow_applications, patterns
from harness.gitops.edit import Edit, Scalar, Steps
from harness.gitops.platform import Platform
from harness.gitops.render import DesiredObject

# No node has it, and no registry listens where it should come from: the pull fails at once, and never leaves the node.
ABSENT_IMAGE = "localhost:1/drill/no-such-image:0"
NO_PORT = 70000  # ports end at 65535: the API refuses it, every tool before it does not look


@dataclass(slots=True)
class RevertCommit:
    """`git revert` of a pushed commit, pushed. Recovery is counted from here: see `recovered_within(since=...)`.

    After the injection `sha` is the new commit and `parent` the one before it.
    """

    bad: PushCommit
    sha: str = ""
    parent: str = ""
    effect: Effect = field(default_factory=Effect)

    @property
    def platform(self) -> Platform:
        return self.bad.platform

    @property
    def subject(self) -> str:
        return f"RevertCommit({self.bad.subject.removeprefix('PushCommit(').removesuffix(')')})"

    @property
    def blast_radius(self) -> BlastRadius:
        return self.bad.blast_radius

    @property
    def touches(self) -> tuple[str, ...]:
        """What the bad commit touched: the revert goes over the same objects once more."""
        return tuple(dict.fromkeys((*self.bad.touches, *patterns(self.effect.refs))))

    def inject(self) -> Injected:
        """Accepted is when the branch of the served repository had moved. Raises InjectFailed: nothing to revert."""
        if not self.bad.sha:
            raise InjectFailed(f"expected a commit that was pushed to revert; found {self.bad.subject}, not yet pushed")
        repo, clock = self.platform.repo, self.platform.clock
        follow_applications(self.platform)
        self.parent, sent = repo.head, clock.now_ns()
        try:
            self.sha = repo.revert(self.bad.sha)
        except (ConfigError, ToolError) as error:
            raise InjectFailed(f"{self.bad.sha[:10]} could not be reverted: {error}") from error
        accepted = clock.now_ns()
        self.effect = effect_of(self.platform, self.parent, self.sha)
        before, now = (repo.git.out("rev-parse", f"{sha}^{{tree}}") for sha in (self.bad.parent, self.sha))
        told = "the tree is that of before" if now == before else "the tree is not that of before"
        detail = {"sha": self.sha, "parent": self.parent, "reverts": self.bad.sha, "tree": now, "tree_before": before}
        return Injected(sent, accepted, f"pushed {self.sha[:10]}, which reverts {self.bad.sha[:10]}; {told}", detail)

    def confirm(self) -> Observation:
        """Asks the served repository by HTTP, as Argo CD does."""
        return at_served_head(self.platform, self.sha, self.subject)


def bad_image(platform: Platform, target: str, image: str = ABSENT_IMAGE) -> PushCommit:
    """The first container of a workload (`Deployment namespace/name`) gets an image that does not exist."""
    found = _desired(platform, target)
    edit = _edit(found, ("spec", "template", "spec", "containers", 0, "image"), image)
    return PushCommit(platform, edit, f"a bad image for {found.ref.name}")


def invalid_manifest(platform: Platform, target: str) -> PushCommit:
    """A Service gets a port that no machine has: YAML and types are right, the API refuses the object."""
    found = _desired(platform, target)
    return PushCommit(platform, _edit(found, ("spec", "ports", 0, "port"), NO_PORT), f"an invalid {found.ref.name}")


def immutable_change(platform: Platform, target: str, value: str = "renamed") -> PushCommit:
    """The selector of a workload, and the labels of its pods, get another value: right in itself, refused as a change.

    The last label of the selector is the one that is changed. Raises ConfigError: there is none.
    """
    found = _desired(platform, target)
    labels = dig(found.manifest, "spec", "selector", "matchLabels", default={})
    if not labels:
        raise ConfigError(f"a workload with a selector at {target}", f"none in {found.path}", "name a Deployment")
    label = list(labels)[-1]
    places: tuple[Steps, ...] = (("spec", "selector", "matchLabels", label),
                                 ("spec", "template", "metadata", "labels", label))  # fmt: skip
    edits = [_edit(found, place, value) for place in places]
    return PushCommit(platform, edits, f"another selector for {found.ref.name}")


def deletion(platform: Platform, *targets: str) -> PushCommit:
    """The manifests of some objects are removed. Raises ConfigError where their files hold others as well."""
    if not targets:
        raise ConfigError("at least one object to delete", "none", "name it as in 'Service shop/api'")
    found = [_desired(platform, target) for target in targets]
    paths = {obj.path for obj in found}
    if kept := [o for o in platform.desired() if o.path in paths and str(o.ref) not in targets]:
        raise ConfigError(f"files that hold nothing but {', '.join(targets)}", f"{kept[0].ref} in {kept[0].path}",
                          "name it too, or another object")  # fmt: skip
    return PushCommit(platform, dict.fromkeys(sorted(paths)), f"delete {', '.join(o.ref.name for o in found)}")


def _desired(platform: Platform, target: str) -> DesiredObject:
    found = next((o for o in platform.desired() if str(o.ref) == target), None)
    if found is None:
        raise ConfigError("an object in Git, as in 'Deployment shop/api'", repr(target), "correct the scenario")
    return found


def _edit(obj: DesiredObject, steps: Steps, value: Scalar) -> Edit:
    return Edit(obj.path, steps, value, of=f"{obj.ref.kind} {obj.ref.name}")
