"""Who is logged in: a sealed cookie, the same for every replica.

A session is made by a login and never changed from outside; its id is ours and new each time (A52). It ends
after an hour, or when its person logs out: then its id is noted where every replica sees it (`spent`).
"""

import secrets
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final
from urllib.parse import quote

import msgspec
from aiohttp import web

from bind_agent.backend.http import background, context
from bind_agent.backend.http.cookies import Cookies
from bind_agent.backend.http.keyring import Keyring, SealBroken
from bind_agent.backend.http.refusal import Refusal, wants_page
from bind_agent.backend.person import Person

LIFE: Final = timedelta(hours=1)
PATIENCE: Final = timedelta(minutes=10)
"""How long command lines wait."""
KEPT: Final = 5
"""Binds under way that a session remembers."""

PURPOSE: Final = "session"
SPENT: Final = "session"
"""Kind under which ended sessions are noted."""

_MAX_PLAIN: Final = 256 * 1024
_FOUND: Final = web.RequestKey("session", object)


@dataclass(frozen=True, slots=True)
class Bind:
    """One `kubectl bind` that waits for this browser.

    Attributes:
        sid: session id that the CLI chose; names the bind, proves nothing.
        cluster_id: of the app cluster.
        redirect: loopback URL at which the CLI listens, already checked.
        challenge: S256 challenge of our CLI; empty for one that takes the response from the redirect.
        begun: when this browser was sent here for it, in seconds since the epoch.
    """

    sid: str
    cluster_id: str
    redirect: str
    challenge: str = ""
    begun: int = 0

    def waits(self, now: datetime) -> bool:
        """Whether its command line probably still waits; the time is theirs (spec 7.2)."""
        return now.timestamp() < self.begun + PATIENCE.total_seconds()


@dataclass(frozen=True, slots=True)
class Session:
    """A login.

    Attributes:
        id: random; never shown.
        person: who logged in.
        expires: seconds since the epoch.
        binds: the latest ones, oldest first.
    """

    id: str
    person: Person
    expires: int
    binds: tuple[Bind, ...] = ()

    def __repr__(self) -> str:
        return f"Session(person={self.person.id!r})"

    def bind(self, sid: str) -> Bind | None:
        """The bind of a CLI's session id; None when this browser did not log in for it."""
        return next((one for one in self.binds if one.sid == sid), None)


def new(person: Person, now: datetime, *, binds: tuple[Bind, ...] = ()) -> Session:
    """A session with an id that nobody has had before."""
    return Session(secrets.token_urlsafe(24), person, int((now + LIFE).timestamp()), binds[-KEPT:])


def with_bind(session: Session, bind: Bind) -> Session:
    """The session with one more bind; an earlier one of the same session id is replaced."""
    others = tuple(one for one in session.binds if one.sid != bind.sid)
    return replace(session, binds=(*others, bind)[-KEPT:])


def seal(keyring: Keyring, session: Session, now: datetime) -> str:
    """The cookie's text."""
    return keyring.seal(PURPOSE, zlib.compress(msgspec.json.encode(session), 6), now)


def unseal(keyring: Keyring, text: str, now: datetime) -> Session | None:
    """The session in a cookie's text; None when it is not ours, was changed, or is over."""
    try:
        inflater = zlib.decompressobj()
        plain = inflater.decompress(keyring.open(PURPOSE, text), _MAX_PLAIN)
        session = msgspec.json.decode(plain, type=Session)
    except (SealBroken, zlib.error, msgspec.DecodeError):
        # After an upgrade an older form may come: like no session.
        return None
    return session if session.expires > now.timestamp() else None


def read(cookies: Cookies, keyring: Keyring, found: Mapping[str, str], now: datetime) -> Session | None:
    """The session that a browser's cookies hold, whether ended by a logout or not."""
    text = cookies.read(found)
    return unseal(keyring, text, now) if text else None


def store(response: web.StreamResponse, app: "context.Web", session: Session) -> None:
    """Have the browser keep a session.

    Raises:
        TooLarge: the person has more groups than cookies can hold.
    """
    now = app.clock.now()
    left = max(1, session.expires - int(now.timestamp()))
    app.cookies.write(response, seal(app.keyring, session, now), max_age=left)


def current(request: web.Request) -> Session | None:
    """The session of a request; None when nobody is logged in, or they logged out."""
    if _FOUND in request:
        return request[_FOUND]  # type: ignore[return-value]
    app = request.app[context.WEB]
    session = read(app.cookies, app.keyring, request.cookies, app.clock.now())
    if session is not None and app.spent.known(SPENT, session.id):
        session = None
    request[_FOUND] = session
    return session


def forget(request: web.Request) -> None:
    """The session of this request has just ended: what is rendered from here on is for nobody."""
    request[_FOUND] = None


def require(request: web.Request) -> Session:
    """The session of a request.

    Raises:
        web.HTTPFound: nobody is logged in, and a person opens a page: to the login and back.
        Refusal: nobody is logged in, and this is no page that one could come back to.
    """
    session = current(request)
    if session is not None:
        return session
    if request.method == "GET" and wants_page(request) and not background.unasked(request):
        raise web.HTTPFound(f"/login?next={quote(request.rel_url.raw_path_qs, safe='')}")
    raise Refusal(
        401,
        "login_required",
        "You are not signed in, or your session has ended.",
        "Sign in and try again; a session lasts one hour.",
        login=True,
    )
