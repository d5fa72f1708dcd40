"""Data loss: what was written to volumes, and how much of it comes back."""

from __future__ import annotations

import pytest

from harness import (
    MINUTE,
    SECOND,
    DestroyCluster,
    Drill,
    Ledger,
    Platform,
    converged,
    copy_volume,
    data_loss_within,
    git_brings_back_no_data,
    recovered_within,
)

pytestmark = pytest.mark.data_loss

OBJECTIVE = 15 * MINUTE
PATIENCE = 2 * OBJECTIVE
DATABASE = "cortex-system/postgresql"
ROWS = 20


@pytest.mark.drill(blast_radius="cluster", objective=OBJECTIVE)
def test_git_alone_brings_back_no_data(drill: Drill, platform: Platform) -> None:
    """After a rebuild from Git alone, everything that was ever written to volumes is lost: this is how much."""
    drill.require(converged(platform))
    ledger = Ledger(platform, DATABASE)

    with ledger.writing():
        drill.require(ledger.acknowledged(at_least=ROWS))
        drill.observe(ledger.contents())
        drill.inject(DestroyCluster(platform))
    drill.rebuild(platform)
    drill.until(converged(platform), within=PATIENCE, settle=3 * SECOND)
    drill.observe(ledger.contents())

    drill.conclude(recovered_within(OBJECTIVE), git_brings_back_no_data())


@pytest.mark.smoke
@pytest.mark.drill(blast_radius="cluster", objective=OBJECTIVE)
def test_copy_of_the_volume_bounds_the_loss(drill: Drill, platform: Platform) -> None:
    """With a copy of the volume put back, no write is lost that was acknowledged before the copy was taken."""
    drill.require(converged(platform))
    ledger = Ledger(platform, DATABASE)

    with ledger.writing():
        drill.require(ledger.acknowledged(at_least=ROWS))
        copy = copy_volume(platform, ledger.claim)
        drill.require(ledger.acknowledged(at_least=ROWS, since=copy))
        drill.inject(DestroyCluster(platform))
    drill.rebuild(platform)
    drill.until(copy.bound, within=PATIENCE)
    copy.restore()
    drill.until(copy.reopened, within=PATIENCE)
    drill.until(converged(platform), within=PATIENCE, settle=3 * SECOND)
    drill.observe(ledger.contents())

    drill.conclude(recovered_within(OBJECTIVE), data_loss_within())
