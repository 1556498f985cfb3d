"""Requests that no person made at this moment: polls of an open page, search as you type, links loaded ahead.

None of them may begin a login. The sign-in service often remembers who somebody is and asks nothing, so a tab that was
left open would sign a person in again who has just signed out elsewhere, and sessions would never end.
"""

from typing import Final

from aiohttp import web

HTMX: Final = "HX-Request"
"""What our pages send with the parts that they ask for."""

_ASIDE: Final = ("Sec-Purpose", "Purpose", "X-Moz")


def of_a_page(request: web.Request) -> bool:
    """Whether an open page of ours asks for a part of itself."""
    return request.headers.get(HTMX) == "true"


def prefetched(request: web.Request) -> bool:
    """Whether a link is loaded before anybody clicks: browsers and extensions do so; that is no wish."""
    purposes = (request.headers.get(name, "") for name in _ASIDE)
    return any("prefetch" in purpose or "prerender" in purpose for purpose in purposes)


def unasked(request: web.Request) -> bool:
    """Whether no person asked. Programs and old browsers, which do not say so, are taken at their word."""
    mode = request.headers.get("Sec-Fetch-Mode", "navigate")
    return mode != "navigate" or of_a_page(request) or prefetched(request)
