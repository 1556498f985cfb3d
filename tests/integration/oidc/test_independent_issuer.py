"""The issuer that logins are tested against, itself: it serves, can be followed, rotates, and never outlives us."""

import asyncio
import json
import signal
import sys

import aiohttp
import pytest
from yarl import URL

from bind_agent.devcluster.state import ProcessId
from tests.fakes.eventually import eventually
from tests.fakes.issuer import Issuer, browser, follow_login

pytestmark = pytest.mark.integration

CALLBACK = "http://127.0.0.1:1/callback"
CHALLENGE = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"


async def authorization(issuer: Issuer, client_id: str, **more: str) -> URL:
    document = f"{issuer.url}/.well-known/openid-configuration"
    async with aiohttp.ClientSession() as session, session.get(document) as answer:
        metadata = await answer.json()
    return URL(metadata["authorization_endpoint"]).update_query(
        response_type="code",
        client_id=client_id,
        redirect_uri=CALLBACK,
        scope="openid profile email",
        state="the-state",
        nonce="the-nonce",
        code_challenge=CHALLENGE,
        code_challenge_method="S256",
        **more,
    )


async def keys(issuer: Issuer) -> set[str]:
    async with aiohttp.ClientSession() as session, session.get(f"{issuer.url}/jwks") as answer:
        return {key["kid"] for key in (await answer.json())["keys"]}


async def test_a_login_is_followed_to_the_callback(issuer: Issuer) -> None:
    client = await issuer.client(CALLBACK)
    async with browser() as session:
        landed = await follow_login(
            session, await authorization(issuer, client.client_id), account="bob", stop_at=CALLBACK
        )
    assert landed.url.query["state"] == "the-state"
    assert landed.url.query["code"]
    assert landed.url.query["iss"] == issuer.url


async def test_a_refusal_comes_back_as_an_error(issuer: Issuer) -> None:
    client = await issuer.client(CALLBACK)
    async with browser() as session:
        landed = await follow_login(
            session, await authorization(issuer, client.client_id), stop_at=CALLBACK, deny=True
        )
    assert landed.url.query["error"] == "access_denied"
    assert "code" not in landed.url.query


async def test_it_demands_pkce(issuer: Issuer) -> None:
    client = await issuer.client(CALLBACK)
    url = await authorization(issuer, client.client_id)
    bare = url.without_query_params("code_challenge", "code_challenge_method")
    async with browser() as session:
        landed = await follow_login(session, bare, stop_at=CALLBACK)
    assert landed.url.query["error"] == "invalid_request"


async def test_it_rotates_and_comes_back_on_the_same_port() -> None:
    async with Issuer() as own:
        first, url = await keys(own), own.url
        await own.rotate()
        second = await keys(own)
        assert not first & second
        await own.stop()
        await own.start()
        assert own.url == url
        assert not second & await keys(own)


async def test_it_ends_with_the_program_that_started_it() -> None:
    program = (
        "import asyncio, json\n"
        "from tests.fakes.issuer import Issuer\n"
        "async def main():\n"
        "    async with Issuer() as issuer:\n"
        "        print(json.dumps({'pid': issuer.pid}), flush=True)\n"
        "        await asyncio.sleep(600)\n"
        "asyncio.run(main())\n"
    )
    starter = await asyncio.create_subprocess_exec(
        sys.executable, "-c", program, stdout=asyncio.subprocess.PIPE
    )
    assert starter.stdout is not None
    server = ProcessId.of(json.loads(await starter.stdout.readline())["pid"])
    starter.send_signal(signal.SIGKILL)
    await starter.wait()
    await eventually(lambda: not server.alive)
