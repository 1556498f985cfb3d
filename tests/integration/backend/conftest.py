"""A provider of its own for the backend's tests, with a backend under its shipped roles."""

from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from datetime import timedelta

import pytest
import pytest_asyncio

from bind_agent.api.resource import Resource
from bind_agent.backend.options.serve import Serve
from bind_agent.devcluster import ClusterOptions, Playground
from bind_agent.devcluster.stage import Stage
from bind_agent.manifests import load_manifests
from tests.fakes.backend_lab import Lab, lab
from tests.fakes.issuer import Issuer
from tests.fakes.weblab import Portal, portal

LAST = "test_every_right"

QUICK = replace(Serve(), fail_after=timedelta(seconds=3), prune_after=timedelta(seconds=12))


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The audit of all requests comes after everything that makes requests."""
    items.sort(key=lambda item: LAST in item.nodeid)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def backend(clusters: Playground, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Lab]:
    """The backend that most tests share."""
    cluster = await clusters.add(ClusterOptions("backend", audit=True))
    stage = Stage(clusters, tmp_path_factory.mktemp("backend"))
    try:
        async with lab(cluster, stage, QUICK) as running:
            yield running
    finally:
        await clusters.remove("backend")


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def web(backend: Lab, issuer: Issuer) -> AsyncIterator[Portal]:
    """The web half that most tests share."""
    async with portal(backend, issuer) as running:
        yield running


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def wide(clusters: Playground, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Lab]:
    """A backend in scope Cluster."""
    cluster = await clusters.add(ClusterOptions("wide", audit=True))
    stage = Stage(clusters, tmp_path_factory.mktemp("wide"))
    overlay = load_manifests("backend/cluster-scope")
    try:
        async with lab(cluster, stage, replace(QUICK, consumer_scope="Cluster"), overlay=overlay) as running:
            yield running
    finally:
        await clusters.remove("wide")


@pytest.fixture
def kind(unique: Callable[[str], str]) -> Resource:
    """A kind of its own for each test."""
    return Resource(f"{unique('g')}.example", "v1", "databases", kind="Database")
