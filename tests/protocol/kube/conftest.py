"""A scripted server and a client on it."""

import asyncio
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from bind_agent.kube.client import Client
from bind_agent.kube.config import ClusterConfig
from bind_agent.kube.credentials import Credential
from tests.fakes.kube_server import KubeServer


@pytest_asyncio.fixture(loop_scope="session")
async def server() -> AsyncIterator[KubeServer]:
    async with KubeServer() as server:
        yield server


@pytest_asyncio.fixture(loop_scope="session")
async def client(server: KubeServer) -> AsyncIterator[Client]:
    async with Client.open(
        ClusterConfig(server.url, Credential(token="static")), user_agent="test", cluster="test"
    ) as client:
        yield client


@pytest.fixture
def slept(client: Client, monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Waits of this client between attempts, in seconds; they are noted instead of waited."""
    waits: list[float] = []

    async def pause(seconds: float) -> None:
        waits.append(seconds)
        await asyncio.sleep(0)

    monkeypatch.setattr(client._transport, "_pause", pause)
    return waits
