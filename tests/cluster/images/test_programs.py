"""Our own small programs, by their own tests: the Go tool that builds them runs them."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.cluster.images.cache import cache_folder
from harness.cluster.images.gotool import GO_ENV, find_go, needed_version
from harness.cluster.images.recipe import read_recipe, recipes_folder
from harness.core.clock import MINUTE
from harness.effects import proc


@pytest.mark.cluster
@pytest.mark.parametrize("name", ["pause", "sample"])
def test_the_program_passes_its_own_tests(name: str) -> None:
    folder: Path = recipes_folder() / name
    go = find_go(needed_version([read_recipe(folder)]), cache_folder())
    if go is None:
        pytest.skip("no Go here; `drill images` fetches one when it builds")
    answer = proc.run([str(go.path), "test", "-count=1", "./..."], timeout=10 * MINUTE, env=GO_ENV, cwd=folder)
    assert answer.stdout.startswith("ok")
