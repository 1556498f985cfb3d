"""The person at the browser, played by plain HTTP: opens an address, signs in, presses a button.

Follows `kubectl bind URL` from the address that it prints to its own page on this machine. As a browser does, it keeps
cookies; other than a browser, it goes nowhere but to the provider, the sign-in service and the command line.
"""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import aiohttp
from yarl import URL

from bind_agent.devcluster.demo.tour_pages import Anchor, Page, read_page
from bind_agent.devcluster.errors import DevClusterError

_MOST_HOPS: Final = 20
_LARGEST: Final = 1024 * 1024
_TIMEOUT: Final = aiohttp.ClientTimeout(total=60)
#: Seconds for the catalogue to offer an API that was published a moment ago.
_PATIENCE: Final = 20.0
_PAUSE: Final = 0.5


class LoginNotFollowed(DevClusterError):  # noqa: N818 - named by meaning
    """The login cannot be followed to its end; the text says where it stopped, without queries of addresses."""


@dataclass(frozen=True, slots=True)
class Visit:
    """What the person wants.

    Attributes:
        person: account at the sign-in service.
        issuer: URL of the sign-in service.
        plural: of the API.
        group: of the API.
        patience: seconds for the API to appear in the catalogue.
    """

    person: str
    issuer: str
    plural: str
    group: str
    patience: float = _PATIENCE


async def follow(address: str, visit: Visit, told: Callable[[str], None]) -> None:
    """Log in, bind an API, and bring the answer to the command line that waits for it.

    Args:
        address: as the command line printed it.
        visit: who, where, and what to bind.
        told: told each thing that a person would have done, and what came of it.

    Raises:
        LoginNotFollowed: it ends somewhere on the way.
    """
    begin = _url(address)
    if "u" not in begin.query:
        raise LoginNotFollowed("the address that kubectl bind printed names no place for the answer")
    back = _url(begin.query["u"])
    # Cookies of hosts that are named by an address are kept as well.
    async with aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True), timeout=_TIMEOUT) as session:
        browser = _Browser(session, visit, provider=begin.origin(), back=back)
        here, catalogue = await browser.open(begin)
        told(f"sign-in service: signed in as {visit.person}; no password is asked for there")
        if here.origin() != begin.origin():
            raise LoginNotFollowed(f"the login ends at {_shown(here)}: {_said(catalogue)}")
        link = await _bind_link(browser, here, catalogue, visit)
        told(f"{catalogue.heading}: pressed “{link.text}”")
        here, page = await browser.open(_url(link.href, here))
        if not browser.is_back(here):
            raise LoginNotFollowed(
                f"no answer went to the command line: {_shown(here)} shows “{page.heading}”. {page.words}"
            )
        told(f"page of the command line: {page.heading}")


async def _bind_link(browser: "_Browser", here: URL, catalogue: Page, visit: Visit) -> Anchor:
    """The button of the API; a catalogue without it is loaded again for a while, as a person would."""
    end = time.monotonic() + visit.patience
    while True:
        if anchor := catalogue.bind(visit.plural, visit.group):
            return anchor
        if time.monotonic() >= end:
            raise LoginNotFollowed(
                f"the catalogue offers {visit.person} no button to bind {visit.plural}.{visit.group}: "
                f"{_said(catalogue)}"
            )
        await asyncio.sleep(_PAUSE)
        _, catalogue = await browser.open(here)


class _Browser:
    """Opens pages of the three places that a login leads to, and follows redirects between them."""

    def __init__(self, session: aiohttp.ClientSession, visit: Visit, *, provider: URL, back: URL) -> None:
        self._session = session
        self._visit = visit
        self._issuer = URL(visit.issuer).origin()
        self._provider = provider
        self._back = back

    def is_back(self, url: URL) -> bool:
        """Whether an address is the one that the command line waits at."""
        return (url.origin(), url.path) == (self._back.origin(), self._back.path)

    async def open(self, url: URL) -> tuple[URL, Page]:
        """Open an address.

        Returns:
            Where that led to, and the page there.

        Raises:
            LoginNotFollowed: it leads elsewhere, in circles, or to a page that reports an error.
        """
        here = url
        for _ in range(_MOST_HOPS):
            if here.origin() not in {self._issuer, self._provider} and not self.is_back(here):
                raise LoginNotFollowed(f"the login leads to {_shown(here)}, which is none of its places")
            if here.origin() == self._issuer:
                # What pressing the button of that person does.
                here = here.update_query(login_hint=self._visit.person)
            status, target, text = await self._get(here)
            if 300 <= status < 400 and target:
                here = _url(target, here)
                continue
            page = read_page(text)
            if status != 200:
                raise LoginNotFollowed(f"{_shown(here)} answers {status}: {_said(page)}")
            return here, page
        raise LoginNotFollowed(f"the login goes round in circles, at last to {_shown(here)}")

    async def _get(self, url: URL) -> tuple[int, str, str]:
        try:
            async with self._session.get(
                url, allow_redirects=False, headers={"Accept": "text/html"}
            ) as answer:
                body = b""
                while chunk := await answer.content.read(_LARGEST):
                    body += chunk
                    if len(body) > _LARGEST:
                        raise LoginNotFollowed(f"the page at {_shown(url)} is larger than {_LARGEST} bytes")
                return answer.status, answer.headers.get("Location", ""), body.decode(errors="replace")
        except TimeoutError:
            raise LoginNotFollowed(f"{_shown(url)} does not answer in time") from None
        except (aiohttp.ClientError, OSError) as error:
            # Its own words may repeat the address with all that stands in it.
            raise LoginNotFollowed(f"{_shown(url)} does not answer ({type(error).__name__})") from None


def _url(text: str, here: URL | None = None) -> URL:
    """The address that a link leads to, seen from here."""
    try:
        url = URL(text, encoded=True)
        url = url if here is None else here.join(url)
        readable = url.scheme in {"http", "https"} and bool(url.host) and url.port is not None
    except ValueError:
        readable = False
    if not readable:
        raise LoginNotFollowed("the login leads to an address that cannot be opened")
    return url


def _shown(url: URL) -> str:
    """An address without its query, which may hold what is nobody's business."""
    return str(url.with_query(None).with_fragment(None))


def _said(page: Page) -> str:
    return f"“{page.heading}” {page.words}".strip() if page.heading else page.words or "an empty page"
