"""The system that all end-to-end tests share: own clusters, programs under the shipped roles, audit logs on."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from bind_agent.api import keys
from bind_agent.api.resource import Resource
from bind_agent.devcluster import ClusterOptions, ControlPlane, Playground
from tests.fakes.system import Service, System, claim, start_system, stop_system

LAST = "test_audit"


ALLOW_TICKETS = "--allow-claim=tickets.claimed.example"
"""A kind that is no Secret and no ConfigMap crosses only where each side was told to allow it."""


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The audit of all requests comes after everything that makes requests."""
    items.sort(key=lambda item: LAST in item.nodeid)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def system(
    control_plane: ControlPlane, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[System]:
    """Backend and konnector running, a tenant made."""
    options = [ClusterOptions(name, audit=True) for name in ("provider", "consumer")]
    async with Playground(*options, control_plane=control_plane) as playground:
        running = await start_system(
            playground,
            tmp_path_factory.mktemp("system"),
            backend_flags=[ALLOW_TICKETS],
            # So little memory for each provider that a test can use it up.
            konnector_flags=["--log-level=debug", "--provider-memory-budget=24Mi", ALLOW_TICKETS],
        )
        try:
            yield running
        finally:
            await stop_system(running)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def databases(system: System) -> Service:
    """A bound kind whose provider writes Secrets and ConfigMaps for the consumer."""
    service = await system.publish(
        Resource("e2e.example", "v1", "databases", kind="Database"),
        claims=[
            claim("secrets", keys.OWNER_PROVIDER),
            claim("configmaps", keys.OWNER_PROVIDER, labelSelectors=[{"share": "yes"}]),
        ],
    )
    await system.bind(service)
    return service


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def pipelines(system: System) -> Service:
    """A bound kind whose provider reads the consumer's ConfigMaps with a label."""
    service = await system.publish(
        Resource("e2e.example", "v1", "pipelines", kind="Pipeline"),
        claims=[claim("configmaps", keys.OWNER_CONSUMER, labelSelectors=[{"pipeline": "input"}])],
    )
    await system.bind(service)
    return service
