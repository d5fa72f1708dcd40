"""Twins of the stories about data: a backup that is worth less than it seems, and data that comes from elsewhere."""

from __future__ import annotations

import pytest
import test_data_loss

from harness import CopiesCutShort, Drill, Platform, WritesReplayed

pytestmark = pytest.mark.data_loss


@pytest.mark.drill(blast_radius="cluster", twin_of="test_git_alone_brings_back_no_data")
def test_data_that_somebody_brings_back(drill: Drill, platform: Platform) -> None:
    """When lost writes are there again although only Git was given, the drill does not call them lost."""
    replayed = WritesReplayed(platform, "cortex-system/postgresql-0:5432")
    with drill.sabotage(replayed, expect="Git alone brings back no data", naming="nothing restored them"):
        test_data_loss.test_git_alone_brings_back_no_data(drill, platform)


@pytest.mark.drill(blast_radius="cluster", twin_of="test_copy_of_the_volume_bounds_the_loss")
def test_copy_that_holds_half_of_the_data(drill: Drill, platform: Platform) -> None:
    """When the copy holds only half of the data, the drill counts the writes that should have been in it."""
    with drill.sabotage(CopiesCutShort(platform), expect="data loss within", naming="older than the copy"):
        test_data_loss.test_copy_of_the_volume_bounds_the_loss(drill, platform)
