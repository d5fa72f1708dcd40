"""Stand-ins for what a story needs, so that it can be told without a cluster and without waiting.

For our tests, and for people who write scenarios.
"""

from __future__ import annotations

from harness.testing.timing import Answer, FakeClock, FakeFault, FakeProbe, FakeSabotage, Script
from harness.testing.world import (
    FakeCluster,
    FakeConverged,
    FakeDrift,
    FakeEngine,
    FakeHealed,
    FakeInventory,
    FakeLoss,
    FakePlatform,
    FakeRepo,
    Objects,
    Spec,
    Write,
)

__all__ = [
    "Answer",
    "FakeClock",
    "FakeCluster",
    "FakeConverged",
    "FakeDrift",
    "FakeEngine",
    "FakeFault",
    "FakeHealed",
    "FakeInventory",
    "FakeLoss",
    "FakePlatform",
    "FakeProbe",
    "FakeRepo",
    "FakeSabotage",
    "Objects",
    "Script",
    "Spec",
    "Write",
]
