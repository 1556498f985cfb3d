"""Clients on real clusters, one of them for tests that break servers."""

from collections.abc import AsyncIterator, Callable

import pytest
import pytest_asyncio

from bind_agent.api.resource import NAMESPACES
from bind_agent.devcluster import Cluster, ClusterOptions, Playground
from bind_agent.kube.client import Client
from bind_agent.kube.config import from_kubeconfig


@pytest_asyncio.fixture(loop_scope="session")
async def client(provider: Cluster) -> AsyncIterator[Client]:
    async with Client.open(from_kubeconfig(provider.kubeconfig), user_agent="test-runtime") as client:
        yield client


@pytest_asyncio.fixture(loop_scope="session")
async def namespace(client: Client, unique: Callable[[str], str]) -> str:
    name = unique("ns")
    await client.create(NAMESPACES, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
    return name


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def fragile(clusters: Playground, request: pytest.FixtureRequest) -> AsyncIterator[Cluster]:
    """A cluster whose server may be killed, paused and restarted; without a controller-manager."""
    name = "fragile-" + request.module.__name__.rpartition("test_")[2][:20]
    cluster = await clusters.add(ClusterOptions(name, audit=True, controller_manager=False))
    try:
        yield cluster
    finally:
        await clusters.remove(name)


@pytest_asyncio.fixture(loop_scope="session")
async def fragile_client(fragile: Cluster) -> AsyncIterator[Client]:
    async with Client.open(from_kubeconfig(fragile.kubeconfig), user_agent="test-runtime") as client:
        yield client
