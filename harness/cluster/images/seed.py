"""Seeds: what an image's own program makes of its preloaded images once, so that no container has to do it again.

A node would unpack its images at every start (10 s and a gigabyte for each). Here its program does so once, while the
image is built, and the result becomes a layer that every node links to. Here belong running that program and packing
what it wrote. What it writes does not: that is the node's own business.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from harness.cluster.images.commands import Commands
from harness.cluster.images.recipe import Recipe
from harness.core.clock import MINUTE
from harness.effects import proc

_REMEDY = "see that privileged containers start on this machine (drill doctor), and run again"


def make_seed(recipe: Recipe, image: str, archives: Path, target: Path, commands: Commands) -> None:
    """Run the seed command of `recipe` in `image` and leave a build context in `target`: Dockerfile and seed.tar.

    `archives` is the folder of image tars that the command reads. The container has no network. What it writes goes
    to a volume, because layers cannot be unpacked onto an overlay; container and volume are gone afterwards.

    Raises ImageUnavailable.
    """
    seed = recipe.seed
    assert seed is not None
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(parents=True)
    name = f"drill-seed-{recipe.name}-{target.parent.name[-12:]}"
    _remove(name)  # of a build that was killed
    parent, _, folder = seed.path.rpartition("/")
    base = ["docker", "run", "--rm", "--name", name, "--network", "none", "--volume", f"{name}:{seed.path}"]
    try:
        commands.run(
            f"seed {recipe.name}",
            [*base, "--privileged", "--volume", f"{archives}:{seed.archives}:ro", image, *seed.command],
            timeout=15 * MINUTE, remedy=_REMEDY,
        )  # fmt: skip
        commands.run(
            f"seed {recipe.name} pack",
            [*base, "--volume", f"{target}:/out", "--entrypoint", "tar", image,
             "--numeric-owner", "--sort=name", "-C", parent, "-cf", "/out/seed.tar", folder],
            timeout=10 * MINUTE, remedy="see that the disk is not full, and run again",
        )  # fmt: skip
    finally:
        _remove(name)
    shutil.copyfile(recipe.folder / seed.dockerfile, target / "Dockerfile")


def _remove(name: str) -> None:
    proc.run(["docker", "rm", "--force", name], timeout=MINUTE, check=False)
    proc.run(["docker", "volume", "rm", "--force", name], timeout=MINUTE, check=False)
