"""What all tests share: how hypothesis draws its examples. Fixtures belong beside the tests that use them."""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

# No deadline: the machine is shared, and a slow example is no failure. A found example prints the blob that repeats it.
_common = {"deadline": None, "print_blob": True, "suppress_health_check": [HealthCheck.too_slow]}
settings.register_profile("drill-laptop", max_examples=60, **_common)
settings.register_profile("drill-ci", max_examples=60, derandomize=True, database=None, **_common)
settings.register_profile("drill-thorough", max_examples=2000, **_common)
settings.load_profile(os.environ.get("DRILL_HYPOTHESIS", "drill-ci" if os.environ.get("CI") else "drill-laptop"))
