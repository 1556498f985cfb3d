"""Logins through a real provider that is not ours: clients, signatures, sources of claims, rotation, absence."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest

from bind_agent.backend.oidc import flow
from bind_agent.backend.oidc.client import OidcClient
from bind_agent.backend.oidc.config import OidcConfig
from bind_agent.backend.oidc.discovery import Timing
from bind_agent.backend.person import Person
from tests.fakes.issuer import Issuer, Landed, Registered, browser, follow_login

pytestmark = pytest.mark.integration

CALLBACK = "http://127.0.0.1:1/callback"
ALICE = {
    "name": "Alice Example",
    "email": "alice@example.com",
    "email_verified": True,
    "groups": ("database-users", "developers"),
}


@asynccontextmanager
async def client_of(
    issuer: Issuer, registered: Registered, *, timing: Timing | None = None, **changes: Any
) -> AsyncIterator[OidcClient]:
    values = {
        "issuer_url": issuer.url,
        "client_id": registered.client_id,
        "client_secret": registered.client_secret,
        "callback_url": CALLBACK,
        **changes,
    }
    async with OidcClient(OidcConfig(**values), timing=timing or Timing()) as oidc:
        yield oidc


class Attempt:
    """One login, up to the callback."""

    def __init__(self, oidc: OidcClient) -> None:
        self.oidc = oidc
        self.verifier, self.nonce = flow.new_verifier(), flow.new_nonce()

    async def callback(
        self, account: str = "alice", *, deny: bool = False, session: aiohttp.ClientSession | None = None
    ) -> Landed:
        url = await self.oidc.authorization_url(
            state="the state", nonce=self.nonce, code_challenge=flow.challenge(self.verifier)
        )
        if session is not None:
            return await follow_login(session, url, account=account, stop_at=CALLBACK, deny=deny)
        async with browser() as own:
            return await follow_login(own, url, account=account, stop_at=CALLBACK, deny=deny)

    async def redeem(self, landed: Landed, **changes: Any) -> Person:
        values = {
            "code_verifier": self.verifier,
            "nonce": self.nonce,
            "issuer": landed.url.query.get("iss"),
            **changes,
        }
        return await self.oidc.login(landed.url.query["code"], **values)


async def log_in(oidc: OidcClient, account: str = "alice") -> Person:
    attempt = Attempt(oidc)
    landed = await attempt.callback(account)
    assert landed.url.query["state"] == "the state"
    return await attempt.redeem(landed)


@pytest.mark.parametrize("authentication", ["client_secret_basic", "client_secret_post", "none"])
async def test_every_kind_of_client_logs_in(issuer: Issuer, authentication: str) -> None:
    registered = await issuer.client(CALLBACK, authentication=authentication)
    async with client_of(issuer, registered) as oidc:
        person = await log_in(oidc)
    assert person == Person(issuer=issuer.url, subject="alice", **ALICE)


@pytest.mark.parametrize("algorithm", ["RS256", "PS256", "ES256"])
async def test_every_signature_is_verified(issuer: Issuer, algorithm: str) -> None:
    registered = await issuer.client(CALLBACK, algorithm=algorithm)
    async with client_of(issuer, registered) as oidc:
        assert (await log_in(oidc, "bob")).subject == "bob"


async def test_claims_come_from_the_userinfo_endpoint_when_the_token_lacks_them() -> None:
    async with Issuer(claimsIn="userinfo") as own:
        registered = await own.client(CALLBACK)
        async with client_of(own, registered) as oidc:
            person = await log_in(oidc)
    assert person == Person(issuer=own.url, subject="alice", **ALICE)
