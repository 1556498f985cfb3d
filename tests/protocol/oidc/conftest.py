"""One hostile issuer and one client of it per test; time stands still unless a test moves it."""

from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

import pytest
import pytest_asyncio

from bind_agent.aio.clock import VirtualClock
from bind_agent.backend.oidc.client import OidcClient
from bind_agent.backend.oidc.config import OidcConfig
from bind_agent.backend.oidc.fetch import Limits
from bind_agent.backend.person import Person
from tests.fakes.hostile_issuer import CLIENT, SECRET, HostileIssuer

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
NONCE = "the-nonce"


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock(NOW)


@pytest_asyncio.fixture(loop_scope="session")
async def hostile() -> AsyncIterator[HostileIssuer]:
    async with HostileIssuer() as running:
        running.now = int(NOW.timestamp())
        running.nonce = NONCE
        yield running


@pytest.fixture
def config(hostile: HostileIssuer) -> OidcConfig:
    return OidcConfig(
        issuer_url=hostile.url,
        client_id=CLIENT,
        client_secret=SECRET,
        callback_url="http://127.0.0.1:1/callback",
    )


@pytest_asyncio.fixture(loop_scope="session")
async def oidc(config: OidcConfig, clock: VirtualClock) -> AsyncIterator[OidcClient]:
    # Generous for a slow machine; tests of slowness make clients of their own.
    async with OidcClient(config, clock=clock, limits=Limits(seconds=20)) as client:
        yield client


@pytest.fixture
def log_in(oidc: OidcClient) -> Callable[..., Awaitable[Person]]:
    """Come back from the issuer with a code."""

    async def attempt(code: str = "the-code", **changes: Any) -> Person:
        return await oidc.login(
            code, **{"code_verifier": "the-verifier", "nonce": NONCE, "issuer": None, **changes}
        )

    return attempt
