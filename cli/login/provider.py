"""Who the provider is and how one logs in there: fetched and checked before a browser opens (spec 3.10.1, 7.2)."""

import json
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from requests.utils import parse_header_links

from bind_agent._version import __version__
from bind_agent.api import keys
from bind_agent.api.payloads import parse_binding_provider
from bind_agent.api.validation import InvalidObject
from cli.errors import CliError, UnreachableError
from cli.output import inert
from cli.web import Answer, TooLargeError, Web, origin

MAX_BYTES: Final = 64 * 1024
OLDEST: Final = (0, 3, 0)
"""Oldest version of a backend whose wire is the one that is spoken here (spec 7.2 step 3)."""

_UNVERSIONED: Final = frozenset({"v0.0.0", "v0.0.0-master+$Format:%H$"})
_SEMVER: Final = re.compile(
    r"v?(\d{1,9})\.(\d{1,9})\.(\d{1,9})(?:-([0-9A-Za-z.-]{1,100}))?(?:\+[0-9A-Za-z.-]{1,100})?"
)
_ASK: Final = "check the address, or ask the provider for the one that ends in /export"


@dataclass(frozen=True, slots=True)
class Provider:
    """A provider that can be logged in at.

    Attributes:
        name: what it calls itself, made harmless.
        login_url: where the browser begins.
        redeem_url: its back channel; empty when it has none (Go backends).
    """

    name: str
    login_url: str
    redeem_url: str = ""


def fetch(web: Web, url: str, *, sleep: Callable[[float], None] = time.sleep) -> Provider:
    """Ask an address who the provider is.

    Args:
        web: how web servers are reached.
        url: what the person gave.
        sleep: replaced in tests.

    Raises:
        UsageError: the address that was given is not safe.
        CliError: the answer is no provider that can be used.
        UnreachableError: nothing usable came.
    """
    try:
        answer = web.patiently(lambda: web.get(url, limit=MAX_BYTES), sleep=sleep)
    except TooLargeError as error:
        raise CliError(error.message, next_step=_ASK) from None
    if answer.status != 200:
        raise UnreachableError(
            f"{inert(answer.url)} answered {answer.status} instead of describing a provider", next_step=_ASK
        )
    return read(web, answer)


def read(web: Web, answer: Answer, *, own: str = __version__) -> Provider:
    """Check what the provider says about itself.

    Args:
        web: says which addresses are safe.
        answer: of `GET /export`.
        own: version of this program.

    Raises:
        CliError: another document, another version, no way to log in, or an address that is not safe.
    """
    shown = inert(answer.url)
    try:
        document = json.loads(answer.body)
    except (ValueError, RecursionError):
        document = None
    if not isinstance(document, dict):
        raise CliError(f"{shown} does not describe a provider", next_step=_ASK)
    stated = document.get("version")
    if trouble := version_trouble(stated if isinstance(stated, str) else "", own=own):
        raise CliError(f"{shown}: {trouble}", next_step="ask the provider to update its backend")
    try:
        found = parse_binding_provider(document)
    except InvalidObject as error:
        raise CliError(
            f"{shown} does not describe a provider that can be used: "
            f"{inert('; '.join(str(one) for one in error.problems), limit=300)}",
            next_step=_ASK,
        ) from None
    login_url = found.login_url()
    web.check_stated(login_url, what="the provider's login address")
    return Provider(
        name=inert(found.provider_pretty_name, limit=80) or "the provider",
        login_url=login_url,
        redeem_url=_back_channel(web, answer),
    )


def version_trouble(version: str, *, own: str = __version__) -> str:
    """Why a provider's version does not fit ours; empty when it does (spec 7.2 step 3).

    A build without a version, on either side, is trusted to be recent. A version of our own that cannot be read keeps
    nobody from working (W-C12).

    Args:
        version: as the provider states it.
        own: as this program states it.
    """
    if not version:
        return "the provider does not state its version, as backends before v0.3.0 do"
    ours = _SEMVER.fullmatch(own)
    if version in _UNVERSIONED or (ours is not None and _core(ours) == (0, 0, 0)):
        return ""
    found = _SEMVER.fullmatch(version)
    if found is None:
        return f"the provider's version {inert(version, limit=80)} cannot be read"
    if _core(found) < OLDEST or (_core(found) == OLDEST and found[4]):
        return f"the provider's version {version} is older than v0.3.0"
    return ""


def _core(found: re.Match[str]) -> tuple[int, int, int]:
    return int(found[1]), int(found[2]), int(found[3])


def _back_channel(web: Web, answer: Answer) -> str:
    """The address for one-time codes, if the provider has one: it has to be the provider's own.

    An address elsewhere is refused and not left out: leaving it out would bring the credential itself into the
    browser's address bar.
    """
    for link in parse_header_links(answer.headers.get("Link", "")[:4096]):
        if keys.REDEEM_RELATION not in link.get("rel", "").split():
            continue
        url = web.follow(answer.url, link.get("url", ""), what="the provider's address for one-time codes")
        if origin(urlsplit(url)) != origin(urlsplit(answer.url)):
            raise CliError(
                f"the provider's address for one-time codes is elsewhere: {inert(url, limit=200)}",
                next_step="ask the provider to serve it under the same host as /export",
            )
        return url
    return ""
