"""The development issuer's pages in a real browser: a person picks who they are, and lands where they came from."""

from collections.abc import AsyncIterator
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
import pytest_asyncio
from aiohttp import web
from playwright.async_api import Browser

from bind_agent.devcluster.issuer.app import DevIssuer
from bind_agent.devcluster.issuer.people import CLIENT_ID
from tests.fakes.looking import DESK, PHONE, Look, looking

pytestmark = pytest.mark.e2e

LOOKS = {
    "light": {"color_scheme": "light", "viewport": DESK},
    "dark": {"color_scheme": "dark", "viewport": DESK},
    "phone": {"color_scheme": "light", "viewport": PHONE, "is_mobile": True, "has_touch": True},
    "without JavaScript": {"java_script_enabled": False},
}


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def dev_issuer() -> AsyncIterator[DevIssuer]:
    async with DevIssuer() as running:
        yield running


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def callback() -> AsyncIterator[str]:
    """Address of an application that people come back to."""

    async def landed(_: web.Request) -> web.Response:
        return web.Response(
            text="<!doctype html><title>landed</title><link rel=icon href=data:,>", content_type="text/html"
        )

    application = web.Application()
    application.router.add_get("/callback", landed)
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/callback"
    finally:
        await runner.cleanup()


def address(dev_issuer: DevIssuer, callback: str) -> str:
    query = {
        "response_type": "code",
        "client_id": CLIENT_ID,
        "redirect_uri": callback,
        "scope": "openid",
        "state": 'a "state" & more',
        "code_challenge": "c" * 43,
        "code_challenge_method": "S256",
    }
    return f"{dev_issuer.url}/authorize?{urlencode(query)}"


async def nothing_is_wrong(look: Look) -> None:
    assert look.complaints == []
    assert look.foreign == []
    assert await look.overflow() == 0


@pytest.mark.parametrize("kind", list(LOOKS))
async def test_a_person_picks_who_they_are(
    browser: Browser, dev_issuer: DevIssuer, callback: str, kind: str
) -> None:
    async with looking(browser, **LOOKS[kind]) as look:
        look.hosts.add(urlsplit(callback).netloc)
        await look.go(address(dev_issuer, callback))
        if kind != "without JavaScript":
            assert await look.broken_rules() == []
            assert await look.violations() == []
        await nothing_is_wrong(look)
        await look.tab_to("button[value=bob]")
        await look.page.keyboard.press("Enter")
        await look.page.wait_for_url(f"{callback}?*")
        found = parse_qs(urlsplit(look.page.url).query)
        assert found["state"] == ['a "state" & more']
        assert len(found["code"]) == 1


async def test_what_cannot_work_is_told(browser: Browser, dev_issuer: DevIssuer) -> None:
    async with looking(browser) as look:
        await look.go(address(dev_issuer, "https://bind.example.com/callback"), status=400)
        assert "development" in await look.page.locator("main").inner_text()
        assert await look.broken_rules() == []


@pytest.mark.parametrize("kind", ["light", "dark", "phone"])
async def test_it_says_what_it_is(browser: Browser, dev_issuer: DevIssuer, kind: str) -> None:
    async with looking(browser, **LOOKS[kind]) as look:
        await look.go(dev_issuer.url)
        await nothing_is_wrong(look)
        assert await look.broken_rules() == []
