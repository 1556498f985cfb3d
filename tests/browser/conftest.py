"""A real Chromium, and pages to look at. Where no browser can be had the tests fail: without one nothing is proven."""

import os
from collections.abc import AsyncIterator

import pytest_asyncio
from aiohttp import web
from playwright.async_api import Browser, async_playwright

from tests.fakes import chromium, pages_preview


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def browser() -> AsyncIterator[Browser]:
    """One browser process; each test takes contexts of its own."""
    found = chromium.find()
    async with async_playwright() as playwright:
        running = await playwright.chromium.launch(
            executable_path=str(found.binary),
            args=list(chromium.FLAGS),
            env={**os.environ, **found.environment},
        )
        try:
            yield running
        finally:
            await running.close()


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def preview() -> AsyncIterator[str]:
    """Address of the pages with made-up content."""
    runner = web.AppRunner(pages_preview.application(), access_log=None)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()
