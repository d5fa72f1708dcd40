"""What all tests share: how hypothesis draws its examples, and what happens to cluster tests without an engine.

Fixtures belong beside the tests that use them.
"""

from __future__ import annotations

import os
import shutil

import pytest
from hypothesis import HealthCheck, settings

from harness.cluster.docker import Docker
from harness.core.errors import HarnessError

BROWSERS = (
    os.environ.get("DRILL_BROWSER", ""),
    "chromium",
    "chromium-browser",
    "google-chrome",
    "google-chrome-stable",
)
# No deadline: the machine is shared, and a slow example is no failure. A found example prints the blob that repeats it.
_common = {"deadline": None, "print_blob": True, "suppress_health_check": [HealthCheck.too_slow]}
settings.register_profile("drill-laptop", max_examples=25, **_common)
settings.register_profile("drill-ci", max_examples=25, derandomize=True, database=None, **_common)
settings.register_profile("drill-thorough", max_examples=2000, **_common)
settings.load_profile(os.environ.get("DRILL_HYPOTHESIS", "drill-ci" if os.environ.get("CI") else "drill-laptop"))


def pytest_runtest_setup(item: pytest.Item) -> None:
    """A laptop without Docker, or without a browser, skips what needs it; with --require-runtime (CI) that fails."""
    if item.get_closest_marker("browser") is not None and not any(map(shutil.which, BROWSERS)):
        missing = f"no browser here: none of {', '.join(BROWSERS)} (apt-get install chromium)"
        if item.config.getoption("--require-runtime"):
            pytest.fail(f"--require-runtime: {missing}", pytrace=False)
        pytest.skip(missing)
    if item.get_closest_marker("cluster") is None:
        return
    try:
        Docker.connect().engine()
    except HarnessError as error:
        if item.config.getoption("--require-runtime"):
            pytest.fail(f"--require-runtime: {error}", pytrace=False)
        pytest.skip(str(error))
