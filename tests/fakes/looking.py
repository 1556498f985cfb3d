"""Looking at pages in a browser: what went wrong in it, what it asked for, whether everybody can use it."""

import functools
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from playwright.async_api import Browser, BrowserContext, ConsoleMessage, Page, Request

from bind_agent.devcluster.progress import Progress
from tests.fakes import npm

SCREENSHOTS: Final = "BIND_AGENT_SCREENSHOTS"
"""Set it to have pictures written to `docs/images`."""

IMAGES: Final = Path(__file__).parents[2] / "docs" / "images"
DESK: Final = {"width": 1200, "height": 800}
PHONE: Final = {"width": 360, "height": 740}

_AXE: Final = Path(__file__).parent / "browser" / "axe"
_MOST_TABS: Final = 80

_LISTEN: Final = """
window.__violations = [];
document.addEventListener('securitypolicyviolation', event =>
  window.__violations.push(event.violatedDirective + ' ' + event.blockedURI));
"""
_RULES: Final = """async () => {
  const found = await axe.run(document, {resultTypes: ['violations']});
  return found.violations.map(one => one.id + ': ' + one.nodes.map(node => node.html.slice(0, 160)).join(' | '));
}"""


@functools.cache
def axe() -> str:
    """The accessibility rules as a script."""
    packages = npm.installed(_AXE, "test-axe", Progress.stderr())
    return (packages / "node_modules" / "axe-core" / "axe.min.js").read_text()


@dataclass
class Look:
    """One page of a browser, and what happened in it.

    Attributes:
        page: the page.
        complaints: errors and warnings of its console, and exceptions of its scripts.
        foreign: requests to other hosts than the first one.
    """

    page: Page
    complaints: list[str] = field(default_factory=list)
    foreign: list[str] = field(default_factory=list)
    hosts: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        """Begin to listen."""
        self.page.on("console", self._console)
        self.page.on("pageerror", lambda error: self.complaints.append(f"exception: {error}"))
        self.page.on("request", self._request)

    async def go(self, url: str, *, status: int = 200) -> None:
        """Open an address; its host is one that may be asked."""
        self.hosts.add(urlsplit(url).netloc)
        answer = await self.page.goto(url)
        assert answer is not None
        assert answer.status == status, await self.page.content()

    async def violations(self) -> list[str]:
        """What the content security policy stopped."""
        found: list[str] = await self.page.evaluate("window.__violations")
        return found

    async def broken_rules(self) -> list[str]:
        """Accessibility rules that the page breaks."""
        await self.page.evaluate(axe())
        found: list[str] = await self.page.evaluate(_RULES)
        return found

    async def crowded(self) -> list[str]:
        """Headings of sections that touch what stands above or below them."""
        found: list[str] = await self.page.evaluate(
            """() => [...document.querySelectorAll('main section > h2')].filter(heading => {
                const own = heading.getBoundingClientRect(), below = heading.nextElementSibling;
                const above = heading.parentElement.previousElementSibling;
                const shown = one => one && one.getClientRects().length > 0;
                return (shown(below) && below.getBoundingClientRect().top - own.bottom < 6)
                    || (shown(above) && own.top - above.getBoundingClientRect().bottom < 12);
            }).map(one => one.textContent)"""
        )
        return found

    async def overflow(self) -> int:
        """Pixels by which the page is wider than its window."""
        found: int = await self.page.evaluate("document.documentElement.scrollWidth - window.innerWidth")
        return max(0, found)

    async def tab_to(self, selector: str) -> None:
        """Press Tab until an element has the focus, and see that the focus shows."""
        wanted = self.page.locator(selector).first
        for _ in range(_MOST_TABS):
            await self.page.keyboard.press("Tab")
            if await wanted.evaluate("one => one === document.activeElement"):
                outline = await wanted.evaluate("one => getComputedStyle(one).outlineStyle")
                assert outline != "none", f"the focus on {selector} does not show"
                return
        raise AssertionError(f"{selector} cannot be reached by the keyboard")

    async def picture(self, name: str, *, whole: bool = True) -> None:
        """Keep a picture, if pictures are wanted."""
        if os.environ.get(SCREENSHOTS):
            IMAGES.mkdir(parents=True, exist_ok=True)
            await self.page.screenshot(path=IMAGES / f"{name}.png", full_page=whole)

    def _console(self, message: ConsoleMessage) -> None:
        if message.type in {"error", "warning"}:
            self.complaints.append(f"{message.type}: {message.text}")

    def _request(self, request: Request) -> None:
        parts = urlsplit(request.url)
        if parts.scheme in {"http", "https", "ws", "wss"} and parts.netloc not in self.hosts:
            self.foreign.append(request.url)


@asynccontextmanager
async def looking(browser: Browser, **options: Any) -> AsyncIterator[Look]:
    """A fresh browser profile with one page.

    Args:
        browser: the browser.
        options: of the profile: `color_scheme`, `viewport`, `java_script_enabled`, …
    """
    context: BrowserContext = await browser.new_context(**{"viewport": DESK, "locale": "en-GB", **options})
    try:
        await context.add_init_script(_LISTEN)
        yield Look(await context.new_page())
    finally:
        await context.close()
