"""Proof that a change was asked for on our own page (threats A53, W-S8).

Two walls: what the browser says about where a request comes from (Sec-Fetch-Site, Origin), and a token that
only our pages know. The token belongs to one session and one purpose.
"""

from typing import Final
from urllib.parse import urlsplit

from aiohttp import web

from bind_agent.backend.http import context
from bind_agent.backend.http.parameters import form
from bind_agent.backend.http.refusal import Refusal
from bind_agent.backend.http.sessions import Session, require

FIELD: Final = "csrf"
"""Name of the form field."""

HEADER: Final = "X-CSRF-Token"
"""Header for requests by script (htmx)."""

_PURPOSE: Final = "csrf"
_OWN: Final = frozenset({"same-origin", "none"})


def bind_purpose(sid: str) -> str:
    """The purpose of the proof `t` of `/bind`: this browser's pages, for the CLI session that waits."""
    return f"bind/{sid}"


def token(app: "context.Web", session: Session, purpose: str) -> str:
    """The token for a form or link; always the same for one session and purpose."""
    return app.keyring.proof(_PURPOSE, session.id, purpose)


def proves(app: "context.Web", session: Session, purpose: str, given: str) -> bool:
    """Whether a token is the one for this session and purpose."""
    return bool(given) and app.keyring.proves(given, _PURPOSE, session.id, purpose)


def foreign(request: web.Request) -> bool:
    """Whether the browser says that another site's page made this request."""
    app = request.app[context.WEB]
    site = request.headers.get("Sec-Fetch-Site")
    if site is not None and site not in _OWN:
        return True
    origin = request.headers.get("Origin")
    if origin is None:
        return False
    if origin == "null" and site in _OWN:
        # What browsers send with forms of a page that has `no-referrer`, as all of ours have. The other header
        # cannot be set by pages, so it tells whose form it was.
        return False
    # Browsers write lower case; the port that is the scheme's own is left out by them and by us.
    return _origin(origin) != _origin(app.options.origin)


async def check(request: web.Request, purpose: str) -> Session:
    """The session of a request that changes something, proven to be meant.

    Args:
        request: with the token as form field `FIELD` or header `HEADER`.
        purpose: what the token was made for.

    Raises:
        Refusal: nobody is logged in, another site asks, the token is not the right one, or the form cannot
            be read.
    """
    session = require(request)
    given = request.headers.get(HEADER, "")
    if not given:
        field = (await form(request)).get(FIELD, "")
        given = field if isinstance(field, str) else ""
    if foreign(request) or not proves(request.app[context.WEB], session, purpose, given):
        raise Refusal(
            403,
            "not_confirmed",
            "It is not certain that you asked for this yourself, so nothing was done.",
            "Open the page again and use its button.",
        )
    return session


def _origin(text: str) -> str:
    try:
        parts = urlsplit(text.lower())
        port = parts.port
    except ValueError:
        return ""
    default = {"http": 80, "https": 443}.get(parts.scheme)
    return f"{parts.scheme}://{parts.hostname}:{port or default}"
