"""Sabotage of what is said about losses, for the twins.

Here belongs what makes a copy of a volume worth less, brings data back that should be lost, or lets an object survive
that should not. Sabotage of everything else is `harness.faults.sabotage`.
"""

from __future__ import annotations

import io
import tarfile
import threading
from dataclasses import dataclass, field
from pathlib import Path

from harness.core.clock import MILLISECOND
from harness.core.errors import ApiRefused, ApiUnreachable, ConfigError, HarnessError, ProvisionFailed
from harness.faults.settling import settle
from harness.gitops.backup import copies_folder
from harness.gitops.platform import Platform

_AGAIN = 200 * MILLISECOND


@dataclass(slots=True)
class CopiesCutShort:
    """Every copy of a volume loses the second half of each file: a backup that nobody had tried to restore."""

    platform: Platform

    @property
    def subject(self) -> str:
        return "CopiesCutShort"

    def begin(self) -> None:
        return None

    def after_injection(self) -> None:
        """Raises ConfigError where the story has made no copy: there is nothing to sabotage."""
        copies = sorted(copies_folder(self.platform).glob("*.tar"))
        if not copies:
            raise ConfigError("a story that copies a volume", "one without a copy", "sabotage another story")
        for copy in copies:
            cut_short(copy)

    def end(self) -> None:
        return None


def cut_short(copy: Path) -> None:
    """Halve each file in a tar, keeping names, owners and modes."""
    halved = io.BytesIO()
    with tarfile.open(copy) as old, tarfile.open(fileobj=halved, mode="w", format=tarfile.PAX_FORMAT) as new:
        for member in old:
            held = old.extractfile(member) if member.isfile() else None
            content = held.read() if held is not None else b""
            member.size = len(content) // 2
            new.addfile(member, io.BytesIO(content[: member.size]) if held is not None else None)
    copy.write_bytes(halved.getvalue())


@dataclass(slots=True)
class WritesReplayed:
    """Somebody sends the lost writes once more to the new cluster: data that did not come from Git."""

    platform: Platform
    pod: str  # namespace/name:port
    _stop: threading.Condition = field(default_factory=threading.Condition)
    _over: bool = False
    _thread: threading.Thread | None = None
    _failure: str = ""

    @property
    def subject(self) -> str:
        return f"WritesReplayed({self.pod})"

    def begin(self) -> None:
        return None

    def after_injection(self) -> None:
        """From now on, until the workload of the new cluster has taken one row of each canary."""
        self._thread = threading.Thread(target=self._work, name=self.subject, daemon=True)
        self._thread.start()

    def end(self) -> None:
        """Raises HarnessError if not one row could be sent: then nothing was sabotaged."""
        with self._stop:
            self._over = True
            self._stop.notify_all()
        if self._thread is not None:
            self._thread.join(10)
        if self._failure:
            raise HarnessError(f"no write could be replayed: {self._failure}")

    def _work(self) -> None:
        namespace, _, pod = self.pod.partition("/")
        path = f"/api/v1/namespaces/{namespace}/pods/{pod}/proxy/append"
        self._failure = "the new cluster was never there"
        while not self._over:
            # The old cluster is gone by now, and the ledger has told which of its rows were acknowledged.
            rows = [(e.data["id"], *row) for e in self.platform.journal.timeline.history().of("ledger.acknowledged")
                    for row in e.data["rows"]]  # fmt: skip
            try:
                for name, number, sent_us, _ in rows if self.platform.alive else ():
                    self.platform.api.raw(path, method="POST", body=f"drill {name} {number} {sent_us}".encode())
                    self._failure = ""
                if not self._failure:
                    return
            except (ApiUnreachable, ApiRefused, ProvisionFailed) as error:
                self._failure = self._failure and str(error)
            with self._stop:
                if not self._over:
                    self.platform.clock.wait(self._stop, _AGAIN)


@dataclass(slots=True)
class PutIntoGit:
    """Between loss and rebuild somebody commits an object that was only in the cluster: so it survives after all."""

    platform: Platform
    path: str
    manifest: str
    _commit: str = ""

    @property
    def subject(self) -> str:
        return f"PutIntoGit({self.path})"

    def begin(self) -> None:
        return None

    def after_injection(self) -> None:
        self._commit = self.platform.repo.commit({self.path: self.manifest}, f"add {self.path}")

    def end(self) -> None:
        if self._commit:
            self.platform.repo.revert(self._commit)
            settle(self.platform)
