"""Taking a scratch copy of what the user has: a repository, a dirty work tree, a folder, an address.

Here belongs reading the original, which is never written to (not even its index), and every complaint about it. What
is done with the copy does not: that is `harness.gitops.repo`.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.core.errors import CommandFailed, CommandTimeout, ConfigError
from harness.effects import proc
from harness.gitops.git import LOCAL, REMOTE, Git, display, write_config

_TOO_MANY = 20_000  # files in a folder that is no repository: somebody pointed at the wrong place
_SOURCE_REF = "refs/drill/source"


@dataclass(frozen=True, slots=True)
class Copy:
    """A bare scratch repository and where it came from."""

    name: str  # the folder, ending in .git
    directory: Path
    env: dict[str, str]
    source: str
    branch: str
    revision: str  # of the original, or "" for a folder
    origins: tuple[str, ...]  # addresses that mean the original; may hold credentials
    dirty: tuple[str, ...]  # uncommitted files that went into the copy
    is_folder: bool


def take(source: Path | str, scratch: Path, revision: str | None) -> Copy:
    """Copy `source` into a new bare repository under `scratch`.

    Raises ConfigError with what was expected, what was found and what to do.
    """
    text = str(source).strip()
    if not text:
        raise ConfigError("a repository: a path or an address", "nothing", "give --repo PATH or --repo URL")
    remote = _is_address(text)
    path = None if remote else Path(text).expanduser()
    if path is not None:
        _check_path(path)
    scratch.mkdir(parents=True, exist_ok=True)
    env = write_config(scratch / "gitconfig")
    stem = re.split(r"[/:]", (text if path is None else str(path.resolve())).rstrip("/"))[-1].removesuffix(".git")
    name = (re.sub(r"[^a-z0-9._-]+", "-", stem.lower()).strip("-.") or "repository") + ".git"
    git = Git(scratch / name, env)
    if git.directory.exists():
        raise ConfigError("a fresh scratch folder", f"{git.directory}", "give every run its own")
    git.run("init", "--bare", "--quiet", "--template=", "--initial-branch=main", str(git.directory), cwd=scratch)
    if path is None:
        return _from_remote(git, name, text, revision)
    if _is_repository(path):
        return _from_repository(git, name, path.resolve(), revision)
    return _from_folder(git, name, path.resolve(), revision)


def _is_address(text: str) -> bool:
    if re.match(r"^[a-z][a-z0-9+.-]*://", text, re.IGNORECASE):
        return True
    return bool(re.match(r"^[^/\s]+@[^/\s:]+:", text)) and not Path(text).exists()


def _check_path(path: Path) -> None:
    if not path.exists():
        raise ConfigError("a repository or a folder of manifests", f"{path}: it does not exist", "correct the path")
    if not path.is_dir():
        raise ConfigError("a repository or a folder of manifests", f"{path}: a file", "give the folder it lies in")
    try:
        empty = next(path.iterdir(), None) is None
    except PermissionError:
        raise ConfigError("a folder that can be read", f"{path}: no permission", "correct its permissions") from None
    if empty:
        raise ConfigError("a repository or a folder of manifests", f"{path}: empty", "put the manifests into it")


def _is_repository(path: Path) -> bool:
    """Whether `path` is the top of a work tree or a bare repository (a folder *inside* one is a folder to us)."""
    if (path / ".git").exists():
        return True
    return (path / "HEAD").is_file() and (path / "objects").is_dir() and (path / "refs").is_dir()


def _from_repository(git: Git, name: str, path: Path, revision: str | None) -> Copy:
    origins = _remotes(git, path)
    try:
        _fetch(git, str(path))
    except CommandFailed as error:
        raise ConfigError("a Git repository that can be read", f"{path}: {_last_line(error)}", "run git fsck") from None
    bare = not (path / ".git").exists()
    branch = _default_branch(git, str(path))
    head = git.resolve(_SOURCE_REF)
    dirty: tuple[str, ...] = () if bare or revision else _uncommitted(path)
    if head is None and not dirty and not git.out("for-each-ref", "refs/heads"):
        raise ConfigError("a repository with commits", f"{path}: none", "commit the manifests")
    if revision:
        head = _pick(git, revision, path)
        if git.resolve(f"refs/heads/{revision}"):
            branch = revision
    elif head is None and not dirty:
        raise ConfigError(f"commits on the checked-out branch {branch}", f"{path}: none", "check out a branch that has")
    tip = _snapshot(git, path, head, dirty) if dirty else head
    assert tip
    _point(git, branch, tip)
    return Copy(name, git.directory, git.env, str(path), branch, head or "", (str(path), *origins), dirty, False)


def _from_remote(git: Git, name: str, address: str, revision: str | None) -> Copy:
    try:
        _fetch(git, address, user=True)
    except (CommandFailed, CommandTimeout) as error:
        found = f"{display(address)}: {_last_line(error).replace(address, display(address))}"
        raise ConfigError("a Git repository that can be read", found, "correct the address or clone it first") from None
    if not git.out("for-each-ref", "refs/heads"):
        raise ConfigError("a repository with commits", f"{display(address)}: none", "push the manifests first")
    branch = _default_branch(git, address, user=True)
    head = _pick(git, revision, display(address)) if revision else git.resolve(_SOURCE_REF)
    if head is None:
        raise ConfigError("a default branch", f"{display(address)}: its HEAD names none", "give --revision")
    if revision and git.resolve(f"refs/heads/{revision}"):
        branch = revision
    _point(git, branch, head)
    return Copy(name, git.directory, git.env, address, branch, head, (address,), (), False)


def _from_folder(git: Git, name: str, path: Path, revision: str | None) -> Copy:
    if revision:
        raise ConfigError(f"a repository with the revision {revision}", f"{path}: a folder without history",
                          "leave the revision out, or give a repository")  # fmt: skip
    count = 0
    for folder, folders, files in os.walk(path):
        if ".git" in folders:
            folders.remove(".git")
        count += len(files)
        if count > _TOO_MANY:
            raise ConfigError("a folder of manifests", f"{path}: more than {_TOO_MANY} files (in {folder})",
                              "give the folder that holds the manifests")  # fmt: skip
    if not count:
        raise ConfigError("a repository or a folder of manifests", f"{path}: no files", "put the manifests into it")
    index = {"GIT_INDEX_FILE": str(git.directory / "snapshot.index"), "GIT_WORK_TREE": str(path)}
    git.run("add", "--all", "--force", "--", ".", ":(exclude,glob)**/.git/**", env=index, cwd=None)
    tip = git.commit_tree(git.out("write-tree", env=index), None, f"Snapshot of the folder {path.name}")
    _point(git, "main", tip)
    return Copy(name, git.directory, git.env, str(path), "main", "", (str(path),), (), True)


def _fetch(git: Git, source: str, *, user: bool = False) -> None:
    """Every branch and tag, and what HEAD is, without ever giving the copy a remote."""
    env = _users_own(git) if user else git.env
    specs = ["+refs/heads/*:refs/heads/*", "+refs/tags/*:refs/tags/*"]
    listed = proc.run(["git", "ls-remote", "--", source, "HEAD"], env=env, timeout=REMOTE).stdout
    if listed.strip():
        specs.append(f"+HEAD:{_SOURCE_REF}")
    base = ["git", "--git-dir", str(git.directory), "fetch", "--quiet", "--no-write-fetch-head", "--no-auto-gc"]
    proc.run([*base, "--no-recurse-submodules", "--", source, *specs], env=env, timeout=REMOTE)


_ACCESS = ("SSH_AUTH_SOCK", "GIT_SSH_COMMAND", "GIT_ASKPASS")


def _users_own(git: Git) -> dict[str, str]:
    """For reading a remote address the user's credential helpers and SSH agent are wanted; nothing is asked for."""
    extra = {name: os.environ[name] for name in _ACCESS if name in os.environ}
    return {"GIT_TERMINAL_PROMPT": "0", "LC_ALL": git.env["LC_ALL"], **extra}


def _default_branch(git: Git, source: str, *, user: bool = False) -> str:
    """The branch that HEAD names, also before its first commit; `main` when it is detached."""
    if not user:
        argv = ["git", "-C", source, "symbolic-ref", "--quiet", "--short", "HEAD"]
        return proc.run(argv, env=git.env, timeout=LOCAL, check=False).stdout.strip() or "main"
    argv = ["git", "ls-remote", "--symref", "--", source, "HEAD"]
    listed = proc.run(argv, env=_users_own(git), timeout=REMOTE).stdout
    match = re.search(r"^ref: refs/heads/(\S+)\s+HEAD$", listed, re.MULTILINE)
    return match[1] if match else "main"


def _remotes(git: Git, path: Path) -> tuple[str, ...]:
    listed = proc.run(["git", "-C", str(path), "config", "--get-regexp", r"^remote\..*\.(push)?url$"],
                      env=git.env, timeout=LOCAL, check=False).stdout  # fmt: skip
    return tuple(dict.fromkeys(line.split(maxsplit=1)[1] for line in listed.splitlines() if " " in line))


def _uncommitted(path: Path) -> tuple[str, ...]:
    # With the user's own settings (their ignore file decides what counts), but without refreshing their index.
    argv = ["git", "--no-optional-locks", "-C", str(path), "-c", "core.fsmonitor=false"]
    env = {"GIT_CONFIG_COUNT": "1", "GIT_CONFIG_KEY_0": "safe.directory", "GIT_CONFIG_VALUE_0": "*"}
    listed = proc.run([*argv, "status", "--porcelain=v1", "-z", "--untracked-files=all", "--no-renames",
                       "--ignore-submodules=all"], env=env, timeout=LOCAL).stdout  # fmt: skip
    return tuple(entry[3:] for entry in listed.split("\0") if len(entry) > 3 and not entry.endswith("/"))


def _snapshot(git: Git, path: Path, head: str | None, dirty: Sequence[str]) -> str:
    index = {"GIT_INDEX_FILE": str(git.directory / "snapshot.index"), "GIT_WORK_TREE": str(path)}
    if head:
        git.run("read-tree", head, env=index)
    git.run("--literal-pathspecs", "add", "--all", "--force", "--pathspec-from-file=-", "--pathspec-file-nul",
            stdin="\0".join(dirty).encode(), env=index)  # fmt: skip
    message = "\n".join([f"Snapshot of {len(dirty)} uncommitted files", "", *dirty[:50]])
    return git.commit_tree(git.out("write-tree", env=index), head, message)


def _pick(git: Git, revision: str, where: Path | str) -> str:
    sha = git.resolve(revision)
    if sha is None:
        branches = git.out("for-each-ref", "--format=%(refname:short)", "--count=10", "refs/heads").split()
        raise ConfigError(f"the revision {revision!r} in {where}", f"none (branches: {', '.join(branches) or 'none'})",
                          "name a branch, a tag or a commit that exists")  # fmt: skip
    return sha


def _point(git: Git, branch: str, sha: str) -> None:
    git.run("update-ref", f"refs/heads/{branch}", sha)
    git.run("symbolic-ref", "HEAD", f"refs/heads/{branch}")
    git.run("update-ref", "-d", _SOURCE_REF, check=False)


def _last_line(error: CommandFailed | CommandTimeout) -> str:
    # git's own complaint, not the hints after it
    lines = [line for line in error.stderr.splitlines() if line.strip()]
    return next((line for line in lines if line.startswith("fatal:")), lines[-1] if lines else "no answer")
