"""Logins through a real provider that is not ours: clients, signatures, sources of claims, rotation, absence."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest

from bind_agent.aio.backoff import Policy
from bind_agent.aio.tasks import background
from bind_agent.backend.oidc import flow
from bind_agent.backend.oidc.client import OidcClient
from bind_agent.backend.oidc.config import OidcConfig
from bind_agent.backend.oidc.discovery import Timing
from bind_agent.backend.oidc.errors import IssuerAway, LoginRefused
from bind_agent.backend.person import Person
from tests.fakes.eventually import eventually
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


async def test_a_wrong_secret_is_told_to_the_operator(issuer: Issuer) -> None:
    registered = await issuer.client(CALLBACK)
    async with client_of(issuer, registered, client_secret="wrong") as oidc:
        with pytest.raises(LoginRefused) as refused:
            await log_in(oidc)
    assert refused.value.reason == "ClientRefused"


async def test_a_person_who_refuses_is_not_logged_in(issuer: Issuer) -> None:
    async with client_of(issuer, await issuer.client(CALLBACK)) as oidc:
        landed = await Attempt(oidc).callback(deny=True)
    assert flow.denied(landed.url.query["error"]).reason == "AccessDenied"


async def test_a_code_is_good_once(issuer: Issuer) -> None:
    async with client_of(issuer, await issuer.client(CALLBACK)) as oidc:
        attempt = Attempt(oidc)
        landed = await attempt.callback()
        assert (await attempt.redeem(landed)).subject == "alice"
        with pytest.raises(LoginRefused) as refused:
            await attempt.redeem(landed)
    assert refused.value.reason == "CodeRefused"


async def test_a_code_that_took_too_long_is_refused() -> None:
    async with Issuer(codeLifetime=1) as own:
        registered = await own.client(CALLBACK)
        async with client_of(own, registered) as oidc:
            attempt = Attempt(oidc)
            landed = await attempt.callback()
            # The lifetime is the issuer's; its clock counts whole seconds.
            await asyncio.sleep(2.5)
            with pytest.raises(LoginRefused) as refused:
                await attempt.redeem(landed)
    assert refused.value.reason == "CodeRefused"


@pytest.mark.parametrize(("part", "reason"), [("code_verifier", "CodeRefused"), ("nonce", "NonceMismatch")])
async def test_a_code_of_another_login_is_refused(issuer: Issuer, part: str, reason: str) -> None:
    """Somebody's own code, put into another browser's callback (threats A50)."""
    async with client_of(issuer, await issuer.client(CALLBACK)) as oidc:
        theirs, ours = Attempt(oidc), Attempt(oidc)
        landed = await theirs.callback("mallory")
        with pytest.raises(LoginRefused) as refused:
            await theirs.redeem(landed, **{part: ours.verifier if part == "code_verifier" else ours.nonce})
        assert refused.value.reason == reason
        again = await theirs.callback("mallory")
        assert (await theirs.redeem(again)).subject == "mallory"


async def test_a_code_for_another_client_is_refused(issuer: Issuer) -> None:
    first, second = await issuer.client(CALLBACK), await issuer.client(CALLBACK)
    async with client_of(issuer, first) as one, client_of(issuer, second) as other:
        attempt = Attempt(one)
        landed = await attempt.callback()
        with pytest.raises(LoginRefused) as refused:
            await other.login(
                landed.url.query["code"],
                code_verifier=attempt.verifier,
                nonce=attempt.nonce,
                issuer=issuer.url,
            )
    assert refused.value.reason == "CodeRefused"


async def test_the_issuer_names_itself_and_has_to(issuer: Issuer) -> None:
    async with client_of(issuer, await issuer.client(CALLBACK)) as oidc:
        attempt = Attempt(oidc)
        landed = await attempt.callback()
        for named, reason in (
            (None, "ResponseIssuerMissing"),
            ("https://other.example.com", "ResponseIssuerMismatch"),
        ):
            with pytest.raises(LoginRefused) as refused:
                await attempt.redeem(landed, issuer=named)
            assert refused.value.reason == reason
        assert (await attempt.redeem(landed)).subject == "alice"


async def test_an_unverified_address_is_not_verified(issuer: Issuer) -> None:
    async with client_of(issuer, await issuer.client(CALLBACK)) as oidc:
        person = await log_in(oidc, "mallory")
    assert (person.email, person.email_verified) == ("alice@example.com", False)


async def test_a_browser_that_the_issuer_knows_is_not_asked_again(issuer: Issuer) -> None:
    async with client_of(issuer, await issuer.client(CALLBACK)) as oidc, browser() as session:
        for expected in ("bob", "bob"):
            attempt = Attempt(oidc)
            landed = await attempt.callback(expected, session=session)
            assert (await attempt.redeem(landed)).subject == expected


async def test_logins_at_the_same_time(issuer: Issuer) -> None:
    async with client_of(issuer, await issuer.client(CALLBACK)) as oidc:
        people = await asyncio.gather(*(log_in(oidc, name) for name in ("alice", "bob", "operator") * 3))
    assert [person.subject for person in people] == ["alice", "bob", "operator"] * 3


async def test_rotated_keys_are_followed() -> None:
    async with Issuer() as own:
        registered = await own.client(CALLBACK)
        async with client_of(own, registered, timing=Timing(unknown_key=0)) as oidc:
            assert (await log_in(oidc)).subject == "alice"
            await own.rotate()
            assert (await log_in(oidc)).subject == "alice"


async def test_an_issuer_may_be_away_at_start_and_later() -> None:
    timing = Timing(refresh=0.2, pause=0, retry=Policy(first=0.05, cap=0.1))
    async with Issuer() as own:
        registered = await own.client(CALLBACK)
        await own.stop()
        async with client_of(own, registered, timing=timing) as oidc, background(oidc.run()):
            with pytest.raises(IssuerAway):
                await log_in(oidc)
            assert oidc.trouble
            await own.start()
            await eventually(lambda: oidc.trouble == "")
            assert (await log_in(oidc)).subject == "alice"

            await own.stop()
            await eventually(lambda: oidc.trouble != "")
            # What was known still leads browsers to the issuer, which will tell them itself.
            attempt = Attempt(oidc)
            assert await oidc.authorization_url(state="s", nonce=attempt.nonce, code_challenge="c")
            with pytest.raises(IssuerAway):
                await oidc.login("code", code_verifier=attempt.verifier, nonce=attempt.nonce, issuer=own.url)

            await own.start()
            await eventually(lambda: oidc.trouble == "")
            assert (await log_in(oidc)).subject == "alice"


async def test_claims_come_from_the_userinfo_endpoint_when_the_token_lacks_them() -> None:
    async with Issuer(claimsIn="userinfo") as own:
        registered = await own.client(CALLBACK)
        async with client_of(own, registered) as oidc:
            person = await log_in(oidc)
    assert person == Person(issuer=own.url, subject="alice", **ALICE)
