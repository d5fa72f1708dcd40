"""Repositories for the tests of the GitOps layer: real git, no network."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

ENV = {
    "PATH": "/usr/local/bin:/usr/bin:/bin", "GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": "/dev/null",
    "GIT_AUTHOR_NAME": "somebody", "GIT_AUTHOR_EMAIL": "somebody@localhost", "GIT_COMMITTER_NAME": "somebody",
    "GIT_COMMITTER_EMAIL": "somebody@localhost", "GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C.UTF-8",
}  # fmt: skip


def git(*args: str, cwd: Path) -> str:
    """git as a user would run it, in `cwd`."""
    done = subprocess.run(["git", *args], cwd=cwd, env=ENV, check=True, capture_output=True, text=True, timeout=30)
    return done.stdout.strip()


def write(root: Path, files: Mapping[str, str]) -> None:
    """Put `files` under `root`."""
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)


APPLICATION = """\
# keep this comment
apiVersion: argoproj.io/v1alpha1
kind: Application
metadata:
  name: {name}
  namespace: argocd
spec:
  project: default
  source:
    repoURL: {url}  # and this one
    targetRevision: main
    path: apps/{name}
  destination:
    server: https://kubernetes.default.svc
    namespace: {name}
  syncPolicy:
    automated: {{prune: true, selfHeal: true}}
"""
CONFIG_MAP = "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {name}}}\ndata: {{a: '1'}}\n"


@pytest.fixture
def work_tree(tmp_path: Path) -> Path:
    """A clone as people have it: one commit on main, an origin with credentials in its address."""
    root = tmp_path / "gitops"
    root.mkdir()
    git("init", "-q", "-b", "main", cwd=root)
    git("remote", "add", "origin", "https://bob:s3cret@git.example.org/team/gitops.git", cwd=root)
    write(root, {
        "argocd-apps/one.yaml": APPLICATION.format(name="one", url="git@git.example.org:team/gitops.git"),
        "argocd-apps/two.yaml": APPLICATION.format(name="two", url="https://git.example.org/Team/gitops"),
        "apps/one/cm.yaml": CONFIG_MAP.format(name="one"),
        "apps/two/cm.yaml": CONFIG_MAP.format(name="two"),
        "README.md": "hello\n",
    })  # fmt: skip
    git("add", "-A", cwd=root)
    git("commit", "-q", "-m", "first", cwd=root)
    return root


@pytest.fixture
def fingerprint() -> Callable[[Path], dict[str, bytes]]:
    """Every byte under a folder, to prove that nothing in it was touched."""

    def read(root: Path) -> dict[str, bytes]:
        return {str(p.relative_to(root)): p.read_bytes() for p in sorted(root.rglob("*")) if p.is_file()}

    return read
