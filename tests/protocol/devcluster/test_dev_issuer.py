"""The development issuer over HTTP, with our own OpenID Connect client as its client."""

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest
import pytest_asyncio
from yarl import URL

from bind_agent.backend.oidc import flow
from bind_agent.backend.oidc.client import OidcClient
from bind_agent.backend.oidc.config import OidcConfig
from bind_agent.backend.oidc.errors import LoginRefused
from bind_agent.backend.person import Person
from bind_agent.devcluster.errors import ServerError
from bind_agent.devcluster.issuer import launch
from bind_agent.devcluster.issuer.app import DevIssuer
from bind_agent.devcluster.issuer.people import CLIENT_ID
from tests.fakes.issuer import browser, follow_login

pytestmark = pytest.mark.protocol

CALLBACK = "http://127.0.0.1:1/callback"


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def dev_issuer() -> AsyncIterator[DevIssuer]:
    async with DevIssuer() as running:
        yield running


@asynccontextmanager
async def client_of(issuer: DevIssuer) -> AsyncIterator[OidcClient]:
    config = OidcConfig(issuer_url=issuer.url, client_id=CLIENT_ID, callback_url=CALLBACK)
    async with OidcClient(config) as oidc:
        yield oidc


@pytest.mark.parametrize("hinted", [True, False], ids=["by hint", "on the page"])
async def test_our_client_logs_in(dev_issuer: DevIssuer, hinted: bool) -> None:
    verifier, nonce = flow.new_verifier(), flow.new_nonce()
    async with client_of(dev_issuer) as oidc, browser() as session:
        url = await oidc.authorization_url(
            state="the state",
            nonce=nonce,
            code_challenge=flow.challenge(verifier),
            login_hint="operator" if hinted else "",
        )
        landed = await follow_login(session, url, account="operator", stop_at=CALLBACK)
        assert len(landed.visited) == (1 if hinted else 2)
        assert landed.url.query["state"] == "the state"
        person = await oidc.login(
            landed.url.query["code"], code_verifier=verifier, nonce=nonce, issuer=landed.url.query["iss"]
        )
        with pytest.raises(LoginRefused) as refused:
            await oidc.login(
                landed.url.query["code"], code_verifier=verifier, nonce=nonce, issuer=landed.url.query["iss"]
            )
    assert refused.value.reason == "CodeRefused"
    assert person == Person(
        issuer=dev_issuer.url,
        subject="operator",
        name="Olivia Operator",
        email="operator@example.com",
        email_verified=True,
        groups=("operators",),
    )


async def test_an_account_that_does_not_exist_is_asked_for_again(dev_issuer: DevIssuer) -> None:
    async with browser() as session, session.post(address(dev_issuer), data={"account": "root"}) as answer:
        assert answer.status == 200
        assert "Who are you?" in await answer.text()
        assert "form-action" not in answer.headers["Content-Security-Policy"]


async def test_refusing_goes_back_to_the_client(dev_issuer: DevIssuer) -> None:
    async with browser() as session:
        landed = await follow_login(session, address(dev_issuer), stop_at=CALLBACK, deny=True)
    assert (landed.url.query["error"], landed.url.query["iss"]) == ("access_denied", dev_issuer.url)


async def test_a_request_without_pkce_is_sent_back(dev_issuer: DevIssuer) -> None:
    async with browser() as session:
        landed = await follow_login(
            session, address(dev_issuer).without_query_params("code_challenge"), stop_at=CALLBACK
        )
    assert landed.url.query["error"] == "invalid_request"


async def test_a_request_that_leads_elsewhere_gets_a_page(dev_issuer: DevIssuer) -> None:
    elsewhere = address(dev_issuer).update_query(redirect_uri="https://evil.example.com/")
    async with browser() as session, session.get(elsewhere, allow_redirects=False) as answer:
        assert answer.status == 400
        assert "development" in await answer.text()


@pytest.mark.parametrize("host", ["evil.example.com", "127.0.0.1:1", "localhost.example.com"])
async def test_other_names_are_not_answered(dev_issuer: DevIssuer, host: str) -> None:
    async with aiohttp.ClientSession() as session:
        async with session.get(dev_issuer.url, headers={"Host": host}) as answer:
            assert answer.status == 403
        async with session.get(dev_issuer.url.replace("127.0.0.1", "localhost")) as answer:
            assert answer.status == 200
            assert "for development" in await answer.text()


async def test_strangers_get_nothing(dev_issuer: DevIssuer) -> None:
    async with aiohttp.ClientSession() as session:
        for headers in ({}, {"Authorization": "Bearer x"}, {"Authorization": "Basic eDp5"}):
            async with session.get(f"{dev_issuer.url}/userinfo", headers=headers) as answer:
                assert answer.status == 401
        async with session.post(
            f"{dev_issuer.url}/token", data={"grant_type": "authorization_code"}
        ) as answer:
            assert (answer.status, (await answer.json())["error"]) == (401, "invalid_client")
        async with session.get(f"{dev_issuer.url}/style.css") as answer:
            assert answer.content_type == "text/css"


async def test_claims_are_told_to_who_has_the_token(dev_issuer: DevIssuer) -> None:
    verifier = flow.new_verifier()
    begin = address(dev_issuer, challenge=flow.challenge(verifier)).update_query(login_hint="bob")
    async with browser() as session:
        landed = await follow_login(session, begin, stop_at=CALLBACK)
        form = {
            "grant_type": "authorization_code",
            "client_id": CLIENT_ID,
            "code": landed.url.query["code"],
            "redirect_uri": CALLBACK,
            "code_verifier": verifier,
        }
        async with session.post(f"{dev_issuer.url}/token", data=form) as answer:
            token = (await answer.json())["access_token"]
        async with session.get(
            f"{dev_issuer.url}/userinfo", headers={"Authorization": f"Bearer {token}"}
        ) as answer:
            assert (await answer.json())["groups"] == ["developers"]


async def test_a_port_that_is_taken_is_an_error(dev_issuer: DevIssuer) -> None:
    taken = URL(dev_issuer.url).port
    assert taken is not None
    with pytest.raises(OSError, match="address already in use"):
        await DevIssuer(taken).__aenter__()


def address(dev_issuer: DevIssuer, *, challenge: str = "c" * 43) -> URL:
    return URL(f"{dev_issuer.url}/authorize").with_query(
        response_type="code",
        client_id=CLIENT_ID,
        redirect_uri=CALLBACK,
        scope="openid profile email",
        state="s",
        nonce="n",
        code_challenge=challenge,
        code_challenge_method="S256",
    )


async def test_as_a_program_it_serves_until_it_is_ended() -> None:
    program = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "bind_agent.devcluster.issuer", "0", stdout=asyncio.subprocess.PIPE
    )
    assert program.stdout is not None
    url = URL((await program.stdout.readline()).decode().strip())
    assert url.port is not None
    assert await launch.answers(url.port)
    program.terminate()
    assert await program.wait() == 0
    with pytest.raises(OSError, match=r"refused|failed"):
        await launch.answers(url.port)


class Playground:
    """Stands in for clusters that are not needed here: programs that fail to start so many times."""

    def __init__(self, failures: int) -> None:
        self.failures = failures
        self.ports: list[str] = []

    def program(self, name: str, argv: list[str], *, ready: object) -> "Playground":
        self.ports.append(argv[-1])
        return self

    async def start(self) -> None:
        if len(self.ports) <= self.failures:
            raise ServerError("issuer", "ended with status 1", log=Path("/log"), tail="")


async def test_a_port_that_somebody_took_meanwhile_is_changed() -> None:
    issuer, playground = launch.Issuer(), Playground(failures=2)
    await issuer.start(playground)  # type: ignore[arg-type]
    assert issuer.url == f"http://127.0.0.1:{playground.ports[2]}"
    assert issuer.server is not None

    playground = Playground(failures=3)
    with pytest.raises(ServerError):
        await launch.Issuer().start(playground)  # type: ignore[arg-type]
    assert len(playground.ports) == 3
