"""The whole way of a login over TLS, with the cookies that people have: other tests run on this machine without it."""

import ssl
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path

import aiohttp
import pytest
import pytest_asyncio
import trustme

from bind_agent.api.resource import Resource
from bind_agent.backend.access import Kind
from bind_agent.devcluster.ports import free_port
from tests.fakes.backend_lab import Lab, eventually
from tests.fakes.issuer import Issuer
from tests.fakes.weblab import LISTENING, Cli, Portal, kubeconfig_of, portal

pytestmark = pytest.mark.integration


@pytest_asyncio.fixture(loop_scope="session")
async def secure(
    backend: Lab, issuer: Issuer, tmp_path: Path
) -> AsyncIterator[tuple[Portal, ssl.SSLContext]]:
    """A web half behind its own certificate, and what trusts it."""
    ca = trustme.CA()
    pair = ca.issue_cert("localhost")
    cert, key = tmp_path / "cert", tmp_path / "key"
    cert.write_bytes(b"".join(blob.bytes() for blob in pair.cert_chain_pems))
    pair.private_key_pem.write_to_path(key)
    trust = ssl.create_default_context()
    ca.configure_trust(trust)
    port = free_port()
    origin = f"https://localhost:{port}"
    files = {"tls_cert_file": str(cert), "tls_key_file": str(key)}
    async with portal(backend, issuer, callback_origin=origin, port=port, **files) as running:
        yield replace(running, url=origin), trust


async def test_from_the_first_request_to_a_credential(
    secure: tuple[Portal, ssl.SSLContext], kind: Resource, unique: Callable[[str], str]
) -> None:
    web, trust = secure
    await web.lab.publish(kind)

    async def offered() -> bool:
        return bool(web.watched.views.templates_of(Kind(kind.group, kind.plural)))

    await eventually(offered)
    jar = aiohttp.CookieJar(unsafe=True)
    async with aiohttp.ClientSession(cookie_jar=jar, connector=aiohttp.TCPConnector(ssl=trust)) as browser:
        async with browser.get(web.at("/export")) as answer:
            assert answer.headers["Strict-Transport-Security"].startswith("max-age=")
            document = await answer.json()
            assert answer.headers["Link"].startswith(f"<{web.url}/redeem>")
        grant = document["authenticationMethods"][0]["oauth2CodeGrant"]
        assert grant["authenticatedURL"] == f"{web.url}/authorize"
        cli = Cli.ours(unique("c"))
        await web.sign_in(browser, cli)
        ours = [one for one in jar if "klutch-bind" in one.key]
        assert {one.key for one in ours} >= {"__Host-klutch-bind-browser", "__Host-klutch-bind-session"}
        for one in ours:
            assert (one["secure"], one["httponly"], one["samesite"], one["path"]) == (True, True, "Lax", "/")
        url = await web.bind(browser, cli, kind)
        assert str(url).startswith(f"{LISTENING}?code=")
        status, document, _ = await web.redeem(url.query["code"], cli.verifier, browser)
        assert status == 200
        assert kubeconfig_of(document).namespace
        kept = {one.key: one.value for one in ours}
    # A cookie without the prefix, as a neighbour or a plain answer could plant it, is nobody.
    planted = {name.removeprefix("__Host-"): value for name, value in kept.items()}
    for cookies, status in ((planted, 401), (kept, 200)):
        query = {"s": cli.sid, "resource": kind.plural, "group": kind.group}
        async with (
            aiohttp.ClientSession(cookies=cookies, connector=aiohttp.TCPConnector(ssl=trust)) as other,
            other.get(web.at("/bind", **query), allow_redirects=False) as answer,
        ):
            assert answer.status == status


async def test_without_tls_nothing_is_answered(secure: tuple[Portal, ssl.SSLContext]) -> None:
    web, _ = secure
    plain = web.url.replace("https:", "http:")
    async with aiohttp.ClientSession() as session:
        with pytest.raises(aiohttp.ClientError):
            await session.get(f"{plain}/export")
