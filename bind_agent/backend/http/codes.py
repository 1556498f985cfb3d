"""One-time codes: what our CLI gets in the redirect instead of a credential (threats A54). Pure.

A code says, sealed, who may fetch what. It is good for a minute and for one use, and only together with the
verifier that the CLI kept to itself; whoever reads it in a browser's history has nothing.
"""

import secrets
import zlib
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

import msgspec

from bind_agent.backend.http.keyring import Keyring, SealBroken
from bind_agent.backend.http.sessions import Bind, Session
from bind_agent.backend.person import Person

LIFE: Final = timedelta(seconds=60)
SPENT: Final = "code"
"""Kind under which used codes are noted."""

_PURPOSE: Final = "code"
_MAX_PLAIN: Final = 256 * 1024


class CodeBroken(ValueError):  # noqa: N818 - says what is the case
    """The text is no code of ours."""


@dataclass(frozen=True, slots=True)
class Code:
    """What a code stands for.

    Attributes:
        id: random.
        session: id of the session that asked; ended by a logout, the code ends with it.
        person: who logged in.
        bind: for which CLI.
        group: of the chosen API.
        plural: of the chosen API.
        expires: seconds since the epoch.
    """

    id: str
    session: str
    person: Person
    bind: Bind
    group: str
    plural: str
    expires: int

    def __repr__(self) -> str:
        return "Code()"

    def expired(self, now: datetime) -> bool:
        """Whether it came too late."""
        return self.expires <= now.timestamp()


def new(session: Session, bind: Bind, *, group: str, plural: str, now: datetime) -> Code:
    """A code for what a person just chose. It is about as long as the session's cookies."""
    expires = int((now + LIFE).timestamp())
    return Code(secrets.token_urlsafe(16), session.id, session.person, bind, group, plural, expires)


def seal(keyring: Keyring, code: Code, now: datetime) -> str:
    """The parameter `code`."""
    return keyring.seal(_PURPOSE, zlib.compress(msgspec.json.encode(code), 6), now)


def unseal(keyring: Keyring, text: str) -> Code:
    """What a code stands for, whether used or expired or not.

    Raises:
        CodeBroken: see there.
    """
    try:
        plain = zlib.decompressobj().decompress(keyring.open(_PURPOSE, text), _MAX_PLAIN)
        return msgspec.json.decode(plain, type=Code)
    except (SealBroken, zlib.error, msgspec.DecodeError):
        raise CodeBroken("not a code of ours") from None
