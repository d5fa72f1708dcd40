"""Where the data that comes with drill lies: the image recipes and the sample repository.

Here belong paths only. In a checkout they are beside the package, in an installed wheel inside it.
"""

from __future__ import annotations

from pathlib import Path

from harness.core.errors import EnvironmentUnfit


def fixtures_folder() -> Path:
    """The folder `fixtures`. Raises EnvironmentUnfit when the installation lacks it."""
    package = Path(__file__).parent
    for candidate in (package.parent / "fixtures", package / "_fixtures"):
        if (candidate / "repos").is_dir():
            return candidate
    raise EnvironmentUnfit("the fixtures that come with drill", f"none beside {package}", "install drill again")


def sample_repository() -> Path:
    """The sample GitOps repository `cortex`."""
    return fixtures_folder() / "repos" / "cortex"
