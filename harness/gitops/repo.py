"""The repository under test: a scratch bare copy, served from outside every cluster.

Here belong taking the copy (from a clone, a dirty work tree, a plain folder), and commits and reverts on it. The
original is only ever read: the copy has no remote, so that nothing can be pushed back. Serving it is in `serve`,
pointing its manifests at the served address in `rewrite`, taking a copy in `snapshot`.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from harness.core.errors import CommandFailed, ConfigError
from harness.core.text import first_line
from harness.gitops.git import Git, display, normalised
from harness.gitops.rewrite import Rewrite, may_hold_addresses, rewrite_all
from harness.gitops.serve import GitServer, check_git
from harness.gitops.snapshot import Copy, take

OnEvent = Callable[[str], object]


class ServedRepo:
    """A scratch bare repository that stands in for the user's.

    `branch` is what Applications follow (and HEAD); `head` its newest commit. Commits are made on the copy alone.
    """

    def __init__(self, copy: Copy, on_event: OnEvent) -> None:
        self.name, self.branch, self.source = copy.name, copy.branch, display(copy.source)
        self.source_revision, self.dirty, self.is_folder = copy.revision, copy.dirty, copy.is_folder
        self.rewrites: tuple[Rewrite, ...] = ()
        self.git = Git(copy.directory, copy.env)
        self._origins = {normalised(origin) for origin in copy.origins}
        self._on_event = on_event
        self._server = GitServer(copy.directory, copy.env, on_push=self._forget_head)
        self._lock = threading.RLock()
        self._head = ""
        self._listed: dict[str, tuple[str, ...]] = {}  # by sha: a commit's files never change

    @classmethod
    def from_path(
        cls, source: Path | str, *, scratch: Path, revision: str | None = None, on_event: OnEvent = lambda _: None
    ) -> ServedRepo:
        """Copy `source` (a path or an URL) at `revision` (default: the work tree as it is) into `scratch`.

        Raises ConfigError (does not exist, is empty, no such revision), ToolMissing, CommandFailed, CommandTimeout.
        """
        check_git()
        copy = take(source, scratch, revision)
        repo = cls(copy, on_event)
        on_event(repo.describe())
        return repo

    def describe(self) -> str:
        """One line for people: what was copied, and in which state it was."""
        what = f"{self.source} at {self.source_revision[:10] or 'no revision'}, served as {self.branch}"
        if self.is_folder:
            what = f"the folder {self.source} as it is (it has no history)"
        if self.dirty:
            shown = ", ".join(self.dirty[:5]) + (", ..." if len(self.dirty) > 5 else "")
            what += f", with {len(self.dirty)} uncommitted files ({shown})"
        return f"copied {what}"

    # -- serving

    @property
    def url(self) -> str:
        """The address that Applications clone from. Raises ConfigError before `serve`."""
        return self._server.url

    @property
    def serving(self) -> bool:
        return self._server.serving

    def follow(self, *, origins: Sequence[str] = (), branch: str | None = None) -> None:
        """Before `serve`: more addresses that mean this repository, and the name of the branch Applications follow.

        Raises ConfigError: not the name of a branch.
        """
        self._origins |= {normalised(origin) for origin in origins}
        if branch and branch != self.branch:
            self._rename(branch)

    def serve(self, host: str, port: int = 0) -> str:
        """Serve on `host` (port 0: any), point the manifests at the served address, commit that; the address.

        Raises ConfigError: the port is taken, or the address is not this machine's.
        """
        if self._server.serving:
            self._server.stop()
        url = self._server.start(host, port)
        self._rewrite(url)
        self._on_event(f"serving {self.name} at {url}, branch {self.branch}, head {self.head[:10]}")
        return url

    def stop_serving(self) -> None:
        """An outage: connections are refused until `resume`."""
        self._server.stop()
        self._on_event(f"{self.url} is down")

    def resume(self) -> None:
        """End the outage, at the same address. Raises ProvisionFailed."""
        self._server.resume()
        self._on_event(f"{self.url} is up again")

    def close(self) -> None:
        """Stop serving for good. The scratch folder is its owner's to remove."""
        self._server.stop()

    def is_own(self, url: str) -> bool:
        """Whether a `repoURL` means this repository: its served address, or one of its origins."""
        return normalised(url) in self._origins or (self._server.serving and normalised(url) == normalised(self.url))

    # -- reading

    @property
    def head(self) -> str:
        """The sha that `branch` points to. Cheap: probes ask for it at every event."""
        with self._lock:
            self._head = self._head or self.git.out("rev-parse", f"refs/heads/{self.branch}")
            return self._head

    @property
    def tree(self) -> str:
        """The sha of the tree at `head`: equal trees hold the same files."""
        return self.git.out("rev-parse", f"{self.head}^{{tree}}")

    def resolve(self, revision: str) -> str:
        """The sha of a branch, tag or (short) sha. Raises ConfigError."""
        sha = self.git.resolve(revision)
        if sha is None:
            raise ConfigError("a revision of the repository", repr(revision), "name a branch, a tag or a commit")
        return sha

    def files(self, revision: str | None = None) -> tuple[str, ...]:
        """The paths of all files at `revision` (default: `head`), sorted."""
        sha = revision or self.head
        if len(sha) != 40:
            return self.git.files(sha)
        if sha not in self._listed:
            self._listed = {**dict(list(self._listed.items())[-7:]), sha: self.git.files(sha)}
        return self._listed[sha]

    def read(self, path: str, revision: str | None = None) -> str:
        """One file as text. Raises ConfigError if it is not there, or not UTF-8."""
        texts = self.read_many([path], revision)
        if path not in texts:
            raise ConfigError(f"a file {path} in the repository", "none", "name a file of this revision")
        return texts[path]

    def read_many(self, paths: Sequence[str], revision: str | None = None) -> dict[str, str]:
        """Several files as text, in one go; those that are not there are left out. Raises ConfigError: not UTF-8."""
        texts: dict[str, str] = {}
        for path, data in self.git.blobs(revision or self.head, paths).items():
            try:
                texts[path] = data.decode("utf-8-sig")
            except UnicodeDecodeError as error:
                raise ConfigError(f"UTF-8 text in {path}", str(error), "save the file as UTF-8") from None
        return texts

    def is_ancestor(self, commit: str, later: str) -> bool:
        """Whether `later` is that commit, or comes after it. False also where one of them is not here."""
        return self.git.run("merge-base", "--is-ancestor", commit, later, check=False).returncode == 0

    # -- changing the copy

    def commit(self, changes: Mapping[str, str | bytes | None], message: str) -> str:
        """One commit on `branch`: path to new content, None removes it; no changes make an empty commit. Its sha.

        Raises ConfigError: a path outside the repository, nothing to remove, or content that is there already.
        """
        with self._lock:
            head = self.head
            tree = self._tree_with(head, changes)
            if changes and tree == self.git.out("rev-parse", f"{head}^{{tree}}"):
                raise ConfigError("a commit that changes something", f"{', '.join(changes)}: as it is in Git already",
                                  "write other content")  # fmt: skip
            sha = self.git.commit_tree(tree, head, message)
            self._move(sha, head)
        self._on_event(f"commit {sha[:10]} on {self.branch}: {first_line(message) or 'no message'}")
        return sha

    def revert(self, revision: str, message: str | None = None) -> str:
        """`git revert` of one ordinary commit as a new commit on `branch`. Its sha.

        Raises ConfigError: a merge, the first commit, not an ancestor of `head`, or a conflict.
        """
        with self._lock:
            head, bad = self.head, self.resolve(revision)
            parents = self.git.out("rev-list", "--parents", "-n", "1", bad).split()[1:]
            if len(parents) != 1:
                raise ConfigError("a commit with one parent to revert", f"{bad[:10]} with {len(parents)}",
                                  "revert linear commits only")  # fmt: skip
            if not self.is_ancestor(bad, head):
                raise ConfigError(f"a commit of {self.branch}", f"{bad[:10]} elsewhere", "revert what was committed")
            with self._worktree(head) as tree:
                try:
                    self.git.run("revert", "--no-edit", "--no-commit", bad, cwd=tree)
                except CommandFailed as error:
                    raise ConfigError("a commit that can be reverted cleanly", str(error).splitlines()[-1],
                                      "revert later commits to the same lines first") from error  # fmt: skip
                subject = self.git.out("show", "-s", "--format=%s", bad)
                new = self.git.run("write-tree", cwd=tree).stdout.strip()
            text = message or f'Revert "{subject}"\n\nThis reverts commit {bad}.\n'
            sha = self.git.commit_tree(new, head, text)
            self._move(sha, head)
        self._on_event(f"commit {sha[:10]} on {self.branch} reverts {bad[:10]} ({subject})")
        return sha

    def restore(self, tree: str, message: str) -> None:
        """One commit that brings back an earlier `tree`; none where it is so already."""
        with self._lock:
            head = self.head
            if self.tree != tree:
                self._move(self.git.commit_tree(tree, head, message), head)

    # -- how

    def _move(self, sha: str, old: str) -> None:
        self.git.run("update-ref", f"refs/heads/{self.branch}", sha, old)
        self._head = sha

    def _forget_head(self) -> None:
        with self._lock:
            self._head = ""

    def _rename(self, branch: str) -> None:
        if self.git.run("check-ref-format", "--branch", branch, check=False).returncode:
            raise ConfigError("the name of a branch in `repository.branch`", repr(branch), "correct drill.yaml")
        head = self.head
        self.git.run("update-ref", f"refs/heads/{branch}", head)
        self.git.run("symbolic-ref", "HEAD", f"refs/heads/{branch}")
        self.branch = branch
        self._forget_head()

    def _rewrite(self, url: str) -> None:
        paths = [path for path in self.files() if path.endswith((".yaml", ".yml", ".json"))]
        texts: dict[str, str] = {}
        for path, data in self.git.blobs(self.head, paths).items():
            text = data.decode("utf-8", errors="surrogateescape")
            if may_hold_addresses(path, text):
                texts[path] = text
        changed, rewrites = rewrite_all(texts, frozenset(self._origins), url)
        if changed:
            encoded = {path: text.encode("utf-8", errors="surrogateescape") for path, text in changed.items()}
            self.commit(encoded, f"Follow the served copy\n\n{len(rewrites)} addresses now are {url}.")
        self.rewrites += tuple(rewrites)
        self._origins.add(normalised(url))  # served at another address later, these must follow

    def _tree_with(self, head: str, changes: Mapping[str, str | bytes | None]) -> str:
        index = {"GIT_INDEX_FILE": str(self.git.directory / "drill.index")}
        self.git.run("read-tree", head, env=index)
        modes = self._modes(head, changes)
        lines: list[str] = []
        for path, content in changes.items():
            _check_path(path)
            if content is None:
                if path not in modes:
                    raise ConfigError(f"a file {path} to remove", "none", "name a file of this revision")
                lines.append(f"0 {'0' * 40}\t{path}")
            else:
                data = content.encode() if isinstance(content, str) else content
                blob = self.git.out("hash-object", "-w", "--stdin", stdin=data)
                lines.append(f"{modes.get(path, '100644')} {blob}\t{path}")
        self.git.run("update-index", "-z", "--index-info", stdin="\0".join([*lines, ""]).encode(), env=index)
        return self.git.out("write-tree", env=index)

    def _modes(self, head: str, paths: Mapping[str, Any]) -> dict[str, str]:
        listed = self.git.run("ls-tree", "-r", "-z", "--full-tree", head).stdout
        entries = (entry.partition("\t") for entry in listed.split("\0") if entry)
        return {path: meta.split()[0] for meta, _, path in entries if path in paths}

    @contextmanager
    def _worktree(self, revision: str) -> Iterator[Path]:
        place = self.git.directory.parent / f"worktree-{revision[:12]}"
        self.git.run("worktree", "add", "--detach", "--force", str(place), revision)
        try:
            yield place
        finally:
            self.git.run("worktree", "remove", "--force", str(place), check=False)


def _check_path(path: str) -> None:
    parts = path.split("/")
    if not path or path.startswith("/") or {"", ".", "..", ".git"} & set(parts) or re.search(r"[\0\n\\]", path):
        raise ConfigError("a path inside the repository, such as apps/x/api.yaml", repr(path), "correct the path")
