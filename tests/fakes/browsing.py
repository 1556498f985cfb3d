"""A run of ``kubectl bind URL`` and the person at the browser."""

import asyncio
import contextlib
import re
import signal
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp

from tests.fakes.tenant import Finished

_ANCHOR = re.compile(r'href="(/bind[^"]*)"')
NAVIGATION = {"Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document", "Sec-Fetch-Site": "cross-site"}


@dataclass
class Run:
    """A CLI that waits for a login."""

    process: asyncio.subprocess.Process
    said: str = ""

    async def address(self) -> str:
        """The address that is printed for the browser."""
        assert self.process.stderr is not None
        while True:
            line = (await self.process.stderr.readline()).decode()
            assert line, f"no address was printed: {self.said}"
            self.said += line
            if line.startswith("    http"):
                return line.strip()

    async def finish(self, stdin: str = "", *, timeout: float = 120.0) -> Finished:
        """Wait for the end."""
        out, err = await asyncio.wait_for(self.process.communicate(stdin.encode()), timeout)
        return Finished(self.process.returncode or 0, out.decode(), self.said + err.decode())

    def interrupt(self) -> None:
        """Ctrl-C."""
        self.process.send_signal(signal.SIGINT)


@asynccontextmanager
async def running(*arguments: str, environment: Mapping[str, str] | None = None) -> AsyncIterator[Run]:
    """Run ``kubectl-bind`` while the block runs."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "cli.main",
        *arguments,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=dict(environment) if environment is not None else None,
    )
    try:
        yield Run(process)
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.communicate()


async def visit(
    url: str, headers: Mapping[str, str] | None = None, *, method: str = "GET"
) -> tuple[int, str]:
    """One request without following redirects: status and text."""
    async with (
        aiohttp.ClientSession() as session,
        session.request(method, url, headers=headers, allow_redirects=False) as answer,
    ):
        return answer.status, await answer.text()


async def browse(address: str) -> tuple[int, str]:
    """Log in, click the first anchor, and come back to the CLI: status and text of its page."""
    async with aiohttp.ClientSession(headers=NAVIGATION) as session:
        async with session.get(address) as page:
            found = _ANCHOR.search(await page.text())
            assert found, (page.status, await page.text())
            base: Any = page.url
        target = base.join(type(base)(found[1].replace("&amp;", "&")))
        async with session.get(target) as page:
            return page.status, await page.text()
