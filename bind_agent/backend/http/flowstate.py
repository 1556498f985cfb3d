"""What a login has to remember until the issuer answers: pure.

It travels as `state` through the issuer, sealed, so any replica can go on. It is good for ten minutes, for one
browser (which holds the mark that this is a hash of) and for one use.
"""

import hashlib
import hmac
import re
import secrets
import zlib
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

import msgspec

from bind_agent.backend.http.keyring import Keyring, SealBroken
from bind_agent.backend.http.sessions import PATIENCE, Bind

LIFE: Final = PATIENCE
"""As long as CLIs wait (spec 7.2)."""

SPENT: Final = "state"
"""Kind under which used states are noted."""

MARK_LIFE: Final = timedelta(hours=1)
_PURPOSE: Final = "state"
_MAX_PLAIN: Final = 16 * 1024
_MARK: Final = re.compile(r"[A-Za-z0-9_-]{43}")


class StateBroken(ValueError):  # noqa: N818 - says what is the case
    """The state is not ours, was changed, or belongs to another browser."""


class StateExpired(ValueError):  # noqa: N818 - says what is the case
    """The login took too long.

    Attributes:
        flow: what it was about, to start again.
    """

    def __init__(self, flow: "Flow") -> None:
        super().__init__("the login took too long")
        self.flow = flow


@dataclass(frozen=True, slots=True)
class Flow:
    """A login under way.

    Attributes:
        id: random.
        nonce: that the ID token has to repeat.
        verifier: of PKCE towards the issuer.
        mark: hash of the browser's mark.
        expires: seconds since the epoch.
        bind: what a CLI waits for; None when somebody only looks at pages.
        back: page to go to afterwards when no CLI waits.
    """

    id: str
    nonce: str
    verifier: str
    mark: str
    expires: int
    bind: Bind | None = None
    back: str = "/"

    def __repr__(self) -> str:
        return "Flow()"


def begin(
    *, nonce: str, verifier: str, mark: str, now: datetime, bind: Bind | None = None, back: str = "/"
) -> Flow:
    """A new login of the browser with this mark."""
    expires = int((now + LIFE).timestamp())
    return Flow(secrets.token_urlsafe(16), nonce, verifier, digest(mark), expires, bind, back)


def new_mark() -> str:
    """A mark for a browser: 256 random bits."""
    return secrets.token_urlsafe(32)


def is_mark(text: str) -> bool:
    """Whether a cookie holds a mark of our form."""
    return _MARK.fullmatch(text) is not None


def digest(mark: str) -> str:
    """What the state holds of a mark: whoever sees the state cannot make the cookie."""
    return hashlib.sha256(mark.encode()).hexdigest()


def seal(keyring: Keyring, flow: Flow, now: datetime) -> str:
    """The parameter `state`."""
    return keyring.seal(_PURPOSE, zlib.compress(msgspec.json.encode(flow), 6), now)


def unseal(keyring: Keyring, state: str, *, mark: str, now: datetime) -> Flow:
    """The login that an answer of the issuer belongs to.

    Args:
        keyring: opens it.
        state: as it came back.
        mark: of the browser that brings it; empty when it has none.
        now: wall-clock time.

    Raises:
        StateBroken: see there.
        StateExpired: it is this browser's, but too late.
    """
    try:
        plain = zlib.decompressobj().decompress(keyring.open(_PURPOSE, state), _MAX_PLAIN)
        flow = msgspec.json.decode(plain, type=Flow)
    except (SealBroken, zlib.error, msgspec.DecodeError):
        raise StateBroken("not a state of ours") from None
    if not is_mark(mark) or not hmac.compare_digest(flow.mark, digest(mark)):
        raise StateBroken("a state of another browser")
    if flow.expires <= now.timestamp():
        raise StateExpired(flow)
    return flow
