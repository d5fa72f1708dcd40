"""The git command: the boundary to it.

Here belong running git on a scratch repository without the user's configuration, and reading from the user's one
without writing to it. What the repository means to a drill does not: that is `harness.gitops.repo`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import timedelta
from pathlib import Path

from harness.core.clock import MINUTE, SECOND
from harness.effects import proc

LOCAL = 60 * SECOND  # deadline of a command that only touches the disk
REMOTE = 10 * MINUTE  # deadline of a clone
NAME, EMAIL = "drill", "drill@localhost"

# Nothing of the user's or the system's settings may change what a scratch repository does: no hooks, no signing, no
# line ending conversion, no automatic gc in the middle of a fetch; and a scratch copy needs not survive a power cut.
# safe.directory is only honoured from a global file.
_CONFIG = f"""[user]
\tname = {NAME}
\temail = {EMAIL}
[safe]
\tdirectory = *
[core]
\thooksPath = /dev/null
\tautocrlf = false
\tquotePath = false
\tfsync = none
\tlooseCompression = 0
[commit]
\tgpgSign = false
[gc]
\tauto = 0
[maintenance]
\tauto = false
[uploadpack]
\tallowAnySHA1InWant = true
\tallowFilter = true
[receive]
\tautogc = false
[advice]
\tdetachedHead = false
"""


def write_config(file: Path) -> dict[str, str]:
    """Write the settings of our scratch repositories to `file`; the environment that makes git read only them."""
    file.write_text(_CONFIG)
    return {
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": str(file),
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_ADVICE": "0",
        "LC_ALL": "C.UTF-8",
    }


class Git:
    """git on one scratch repository (`directory` is the bare repository itself).

    Every method raises CommandFailed, CommandTimeout and ToolMissing of `harness.core.errors`.
    """

    def __init__(self, directory: Path, env: Mapping[str, str]) -> None:
        self.directory, self.env = directory, dict(env)

    def run(
        self, *args: str, stdin: bytes | None = None, env: Mapping[str, str] | None = None, check: bool = True,
        timeout: timedelta = LOCAL, cwd: Path | None = None,
    ) -> proc.Completed:  # fmt: skip
        """Run one git command on the repository."""
        argv = ["git", *([] if cwd else ["--git-dir", str(self.directory)]), *args]
        return proc.run(argv, timeout=timeout, env={**self.env, **(env or {})}, stdin=stdin, check=check, cwd=cwd)

    def out(self, *args: str, stdin: bytes | None = None, env: Mapping[str, str] | None = None) -> str:
        """What one git command printed, without the white space around it."""
        return self.run(*args, stdin=stdin, env=env).stdout.strip()

    def resolve(self, revision: str) -> str | None:
        """The full sha of the commit that `revision` names, or None."""
        done = self.run("rev-parse", "--verify", "--quiet", "--end-of-options", f"{revision}^{{commit}}", check=False)
        return done.stdout.strip() if done.returncode == 0 else None

    def files(self, revision: str) -> tuple[str, ...]:
        """The paths of all files at `revision`, sorted."""
        listed = self.run("ls-tree", "-r", "--name-only", "-z", "--full-tree", revision).stdout
        return tuple(sorted(path for path in listed.split("\0") if path))

    def blobs(self, revision: str, paths: Iterable[str]) -> dict[str, bytes]:
        """The contents of `paths` at `revision`, in one process. A path that does not exist there is left out."""
        wanted = list(paths)
        found: dict[str, bytes] = {}
        with proc.streaming(
            ["git", "--git-dir", str(self.directory), "cat-file", "--batch"], timeout=LOCAL, env=self.env
        ) as child:
            assert child.stdin
            assert child.stdout
            for path in wanted:
                child.stdin.write(f"{revision}:{path}\n".encode())
                child.stdin.flush()
                head = child.stdout.readline().split()
                if len(head) == 3 and head[1] == b"blob":
                    found[path] = child.stdout.read(int(head[2]))
                    child.stdout.read(1)
                elif len(head) == 3:
                    child.stdout.read(int(head[2]) + 1)
        return found

    def commit_tree(self, tree: str, parent: str | None, message: str) -> str:
        """A commit of `tree`. Its date follows from its parent's, so that equal inputs give equal shas."""
        date = int(self.out("show", "-s", "--format=%ct", parent)) + 1 if parent else 946684800
        stamps = {"GIT_AUTHOR_DATE": f"{date} +0000", "GIT_COMMITTER_DATE": f"{date} +0000"}
        parents = ["-p", parent] if parent else []
        return self.out("commit-tree", tree, *parents, "-F", "-", stdin=message.encode(), env=stamps)


def display(url: str) -> str:
    """`url` without a user name or password: fit for reports."""
    return re.sub(r"^([a-z][a-z0-9+.-]*://)[^/@]*@", r"\1", url, flags=re.IGNORECASE)


def normalised(url: str) -> str:
    """What two spellings of one repository's address have in common.

    `git@host:a/b.git`, `ssh://git@host/a/b` and `https://user@HOST/a/b/` are the same repository to us. Argo CD itself
    also ignores case and the `.git` suffix (facts: NormalizeGitURL).
    """
    text = url.strip().lower()
    scp = re.fullmatch(r"(?:[^@/\s]+@)?([^:/\s]+):(?!//)(.+)", text)
    if scp and len(scp[1]) > 1:
        host, path = scp[1], scp[2]
    elif match := re.fullmatch(r"[a-z][a-z0-9+.-]*://(?:[^/@]*@)?([^/]*)/?(.*)", text):
        host, path = re.sub(r":(22|80|443|9418)$", "", match[1]), match[2]
        if text.startswith("file:"):
            path = "/" + path
    else:
        host, path = "", text
    absolute = "/" if not host and path.startswith("/") else ""
    return f"{host}/{absolute}{path.strip('/').removesuffix('.git').rstrip('/')}" if host or absolute else path
