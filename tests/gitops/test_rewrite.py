"""Replacing a repository's own addresses, text kept."""

from __future__ import annotations

import pytest

from harness.gitops.git import display, normalised
from harness.gitops.rewrite import Rewrite, rewrite_text
from harness.gitops.yamlload import documents

URL = "http://172.30.0.1:9000/cortex.git"
ORIGINS = frozenset({normalised("https://github.com/ry-ops/cortex-gitops.git")})

APPLICATION = """\
# the root
apiVersion: argoproj.io/v1alpha1
kind: Application
metadata: {name: a, namespace: argocd}   # flow
spec:
  source:
    repoURL:   "git@github.com:ry-ops/Cortex-GitOps.git"  # é ours
    path: apps/a
---
kind: Application
spec: {sources: [{repoURL: https://github.com/ry-ops/cortex-gitops, path: b}, {repoURL: https://charts.example.org}]}
"""


@pytest.mark.parametrize(
    "spelling",
    [
        "https://github.com/ry-ops/cortex-gitops", "https://github.com/ry-ops/cortex-gitops.git",
        "https://GitHub.com/ry-ops/cortex-gitops/", "https://user:token@github.com/ry-ops/cortex-gitops.git",
        "git@github.com:ry-ops/cortex-gitops.git", "ssh://git@github.com/ry-ops/cortex-gitops",
        "ssh://git@github.com:22/ry-ops/cortex-gitops.git", "git://github.com/ry-ops/cortex-gitops.git/",
        "github.com:ry-ops/cortex-gitops",
    ],
)  # fmt: skip
def test_spellings_of_one_address(spelling: str) -> None:
    assert normalised(spelling) == "github.com/ry-ops/cortex-gitops"


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("https://github.com/a/b", "https://github.com/a/bc"), ("https://github.com/a/b", "https://gitlab.com/a/b"),
        ("https://host:8443/a", "https://host/a"), ("/srv/a", "srv/a"), ("/srv/a", "https://srv/a"),
    ],
)  # fmt: skip
def test_different_repositories_stay_different(one: str, other: str) -> None:
    assert normalised(one) != normalised(other)


def test_local_paths_and_file_urls_agree() -> None:
    assert normalised("file:///srv/git/x.git") == normalised("/srv/git/x")


def test_credentials_never_show() -> None:
    assert display("https://bob:s3cret@example.org/x.git") == "https://example.org/x.git"


def test_only_the_address_changes() -> None:
    text, found = rewrite_text("apps.yaml", APPLICATION, ORIGINS, URL)
    assert found == [
        Rewrite("apps.yaml", 7, "git@github.com:ry-ops/Cortex-GitOps.git", URL),
        Rewrite("apps.yaml", 11, "https://github.com/ry-ops/cortex-gitops", URL),
    ]
    assert f'    repoURL:   "{URL}"  # é ours\n' in text
    assert text.replace(URL, "X") == APPLICATION.replace("git@github.com:ry-ops/Cortex-GitOps.git", "X").replace(
        "https://github.com/ry-ops/cortex-gitops", "X"
    )
    assert documents(text, "f")[1].body["spec"]["sources"][0]["repoURL"] == URL
    assert "https://charts.example.org" in text


def test_rewriting_twice_changes_nothing() -> None:
    once, _ = rewrite_text("a.yaml", APPLICATION, ORIGINS, URL)
    assert rewrite_text("a.yaml", once, ORIGINS | {normalised(URL)}, URL) == (once, [])


def test_source_repos_of_a_project() -> None:
    text = "kind: AppProject\nspec:\n  sourceRepos:\n  - 'https://github.com/ry-ops/cortex-gitops'\n  - '*'\n"
    assert (
        rewrite_text("p.yaml", text, ORIGINS, URL)[0]
        == f"kind: AppProject\nspec:\n  sourceRepos:\n  - '{URL}'\n  - '*'\n"
    )


def test_a_config_map_that_mentions_the_address_keeps_it() -> None:
    text = "kind: ConfigMap\ndata:\n  repoURL: https://github.com/ry-ops/cortex-gitops\n"
    assert rewrite_text("c.yaml", text, ORIGINS, URL) == (text, [])


def test_a_template_that_is_not_yaml_is_edited_by_line() -> None:
    text = "{{- range .Values.apps }}\nspec:\n  repoURL: https://github.com/ry-ops/cortex-gitops # x\n{{- end }}\n"
    new, found = rewrite_text("t.yaml", text, ORIGINS, URL)
    assert new == text.replace("https://github.com/ry-ops/cortex-gitops", URL)
    assert found == [Rewrite("t.yaml", 3, "https://github.com/ry-ops/cortex-gitops", URL)]
