"""The Git server: down, and what is committed while it is.

Here belong faults between the repository and those who fetch it. What a commit changes is `harness.faults.git`.

Facts, seen live with Argo CD 3.5: drift is healed from the cache of manifests only while the last good comparison is
younger than `timeout.reconciliation`. Once a poll has failed every comparison asks for the branch first, and fails with
it; the status stays Synced for three minutes more, then it is Unknown with a ComparisonError. Drift is then healed by
nobody until Git is back.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from harness.core.clock import SECOND
from harness.core.errors import HealFailed, InjectFailed, ProvisionFailed
from harness.core.faults import BlastRadius, Injected
from harness.core.observation import Observation, State
from harness.core.text import first_line
from harness.faults.git import Changes, PushCommit
from harness.gitops.platform import Platform


@dataclass(slots=True)
class StopGitServer:
    """The Git server refuses connections until it is healed. Nothing in the cluster is touched."""

    platform: Platform
    blast_radius: BlastRadius = BlastRadius.NAMESPACE
    touches: tuple[str, ...] = ()
    begun: datetime | None = None  # wall time, as in the logs of those who ask

    @property
    def subject(self) -> str:
        return f"StopGitServer({self.platform.repo.url})"

    def inject(self) -> Injected:
        """Raises InjectFailed when it is down already."""
        repo, clock = self.platform.repo, self.platform.clock
        if not repo.serving:
            raise InjectFailed(f"{repo.url} is down already")
        sent = clock.now_ns()
        repo.stop_serving()
        self.begun = clock.utc()
        return Injected(sent, clock.now_ns(), f"{repo.url} refuses connections")

    def confirm(self) -> Observation:
        """Asks as Argo CD does, by HTTP."""
        expected, now = "no answer from the Git server", self.platform.clock.now_ns()
        said = unanswered(self.platform)
        if not said:
            return Observation(State.PENDING, self.subject, expected, "it answers", now)
        return Observation(State.MET, self.subject, expected, said, now)

    def heal(self) -> None:
        """Serve again, at the same address. Raises HealFailed."""
        try:
            self.platform.repo.resume()
        except ProvisionFailed as error:
            raise HealFailed(str(error)) from error
        if said := unanswered(self.platform):
            raise HealFailed(f"the Git server is up but does not answer: {said}")


def unanswered(platform: Platform) -> str:
    """Why the Git server gives no answer; "" when it does."""
    repo = platform.repo
    # A proxy of ours must not be asked for an address of this machine.
    asked = repo.git.run("-c", "http.proxy=", "ls-remote", repo.url, "HEAD", check=False, timeout=10 * SECOND)
    if asked.returncode == 0:
        return ""
    return (first_line(asked.stderr.strip()) or f"git ls-remote ended with {asked.returncode}")[:160]


@dataclass(slots=True)
class CommitUnserved:
    """A commit to the branch that Applications follow while nobody can fetch it: the Git server is down.

    What `PushCommit` is otherwise; its own question, whether the server shows the commit, cannot be answered here.
    """

    platform: Platform
    changes: Changes
    message: str
    blast_radius: BlastRadius = BlastRadius.NAMESPACE
    push: PushCommit = field(init=False)

    def __post_init__(self) -> None:
        self.push = PushCommit(self.platform, self.changes, self.message)

    @property
    def subject(self) -> str:
        return f"CommitUnserved({first_line(self.message) or 'no message'})"

    @property
    def touches(self) -> tuple[str, ...]:
        return self.push.touches

    @property
    def sha(self) -> str:
        return self.push.sha

    def inject(self) -> Injected:
        """Raises InjectFailed, also when the server is up: then it would be an ordinary commit."""
        if self.platform.repo.serving:
            raise InjectFailed("the Git server is up: push an ordinary commit instead")
        return self.push.inject()

    def confirm(self) -> Observation:
        """Asks the repository itself for its branch, and the server, which must not answer."""
        repo = self.platform.repo
        expected = f"{repo.branch} at {self.sha[:10]}, and nobody who could fetch it"
        found = repo.git.resolve(f"refs/heads/{repo.branch}") or ""
        said = unanswered(self.platform)
        now = self.platform.clock.now_ns()
        actual = f"{repo.branch} at {found[:10]}, the Git server {f'is silent: {said}' if said else 'answers'}"
        landed = bool(said) and found == self.sha
        return Observation(State.MET if landed else State.BROKEN, self.subject, expected, actual, now)

    def heal(self) -> None:
        """Revert it. Raises HealFailed."""
        self.push.heal()
