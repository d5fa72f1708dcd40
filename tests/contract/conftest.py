"""The two sides of each contract: the fake at once, the real one on one cluster that all contracts share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.cluster.kube import KubeApi
from harness.core.clock import MINUTE, SECOND, SystemClock
from harness.effects.waiting import until
from harness.fixtures import sample_repository
from harness.gitops.platform import Platform
from harness.session import Options, Session
from tests.cluster.apiserver import ApiServer
from tests.contract.worlds import FakeWorld, RealWorld, World

SIDES = ("fake", pytest.param("real", marks=pytest.mark.cluster))


@pytest.fixture(scope="session")
def real(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    """A platform of its own, with one agent."""
    reports = tmp_path_factory.mktemp("reports")
    session = Session(Options(str(sample_repository()), timing="fast", agents=1, reports=reports, worker="contract"))
    try:
        yield session.platform()
    finally:
        session.close()


@pytest.fixture(params=SIDES)
def world(request: pytest.FixtureRequest) -> World:
    """Converged."""
    made: World = FakeWorld() if request.param == "fake" else RealWorld(request.getfixturevalue("real"))
    ready = until(made.converged(), within=5 * MINUTE, settle=SECOND, clock=made.clock)
    assert ready.met, ready.last.sentence()
    return made


@pytest.fixture(params=SIDES)
def api(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[KubeApi]:
    """A client of the API server double, or of a real one."""
    if request.param == "real":
        platform: Platform = request.getfixturevalue("real")
        yield platform.api
        return
    with ApiServer() as server:
        yield KubeApi(server.kubeconfig(tmp_path), SystemClock(), timeout=5 * SECOND)
