"""The callback of ``kubectl bind URL`` in a real Chromium: what it sends by itself, and what our page does there."""

import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from aiohttp import web
from playwright.async_api import Browser, Page

from cli.errors import WaitTimeoutError
from cli.login.answers import OneTimeCode
from cli.login.listener import Listener
from cli.login.session import Attempt, begin
from tests.fakes.eventually import eventually

pytestmark = [pytest.mark.integration, pytest.mark.timeout(120)]

CODE = "0123456789abcdefghij"


@asynccontextmanager
async def site(**pages: web.Response | str) -> AsyncIterator[str]:
    """Some pages on this machine, of another origin than the callback."""

    async def answer(request: web.Request) -> web.Response:
        page = pages[request.match_info["name"]]
        return page if isinstance(page, web.Response) else web.Response(text=page, content_type="text/html")

    app = web.Application()
    app.add_routes([web.get("/{name}", answer)])
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        here = web.TCPSite(runner, "127.0.0.1", 0)
        await here.start()
        yield f"http://localhost:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


@contextlib.asynccontextmanager
async def page_of(browser: Browser) -> AsyncIterator[tuple[Page, list[str]]]:
    context = await browser.new_context()
    page = await context.new_page()
    said: list[str] = []
    page.on("console", lambda message: said.append(f"{message.type}: {message.text}"))
    page.on("pageerror", lambda error: said.append(str(error)))
    try:
        yield page, said
    finally:
        await context.close()


def callback(listener: Listener, attempt: Attempt) -> str:
    return f"{attempt.callback(listener.port)}?code={CODE}&s={attempt.session_id}"


def nothing_came(listener: Listener) -> bool:
    with contextlib.suppress(WaitTimeoutError):
        listener.wait(timeout=0.1, waiting=lambda _: None)
        return False
    return True


async def test_a_redirect_is_taken_and_leaves_the_address_bar(browser: Browser) -> None:
    attempt = begin("uid", back_channel=True)
    with Listener(attempt) as listener:
        back = web.Response(status=302, headers={"Location": callback(listener, attempt)})
        async with (
            site(bind='<a href="/go">bind</a>', go=back) as provider,
            page_of(browser) as (page, said),
        ):
            await page.goto(f"{provider}/bind")
            await page.click("a")
            await page.wait_for_selector("h1")
            assert await page.inner_text("h1") == "Logged in"
            assert "close this window" in await page.inner_text("p")
            assert page.url == f"http://127.0.0.1:{listener.port}/"
            assert CODE not in await page.evaluate(
                "location.href + document.referrer + document.body.innerHTML"
            )
            assert said == []
        assert listener.wait(timeout=5, waiting=lambda _: None) == OneTimeCode(CODE)


async def test_pages_of_strangers_bring_nothing_even_if_they_knew_the_secrets(browser: Browser) -> None:
    """Images, fetches, frames and prefetching (threat A59); the person's own window then does."""
    attempt = begin("uid", back_channel=True)
    notes: list[str] = []
    with Listener(attempt, note=notes.append) as listener:
        target = callback(listener, attempt)
        evil = f"""<!doctype html><title>evil</title>
            <link rel=prefetch href="{target}"><img src="{target}"><iframe src="{target}"></iframe>
            <script>
              fetch("{target}", {{mode: "no-cors"}}).catch(() => 0)
              fetch("{target}").catch(() => 0)
              navigator.sendBeacon("{target}", "x")
            </script>"""
        async with site(evil=evil) as stranger, page_of(browser) as (page, _):
            await page.goto(f"{stranger}/evil")
            await page.wait_for_load_state("networkidle")
            assert nothing_came(listener)
            # A window that it opens lacks the secrets.
            await page.evaluate(
                f"location.href = 'http://127.0.0.1:{listener.port}/callback?code={CODE}&s=x'"
            )

            async def turned_away() -> bool:
                return await page.title() == "Nothing here"

            await eventually(turned_away)
            assert nothing_came(listener)
            await page.goto(target)
            assert await page.title() == "Logged in"
        assert listener.wait(timeout=5, waiting=lambda _: None) == OneTimeCode(CODE)
    assert notes == []
