"""Whether a password is kept, set again or replaced. Pure, but for the randomness that is asked for."""

import secrets
from dataclasses import dataclass, field
from enum import StrEnum

from bind_agent.devcluster.demo import scram
from bind_agent.devcluster.demo.plan import Role

_BYTES = 24
_SALT = 16


class Origin(StrEnum):
    """Where the password of an object comes from."""

    KEPT = "Kept"
    CREATED = "Created"
    ROTATED = "PasswordRotated"


@dataclass(frozen=True, slots=True)
class Choice:
    """A decision about a password.

    Attributes:
        verifier: form to store on the server, None when the server has the right one.
    """

    password: str = field(repr=False)
    verifier: str | None = field(repr=False)
    origin: Origin


def choose(in_secret: str | None, role: Role | None, *, announced: bool) -> Choice:
    """Decide what the password is.

    A password that the Secret holds and the server accepts is never changed. One that the server does not
    know yet, because the role had to be created, is set there. Everything else is replaced: a Secret that is
    gone or damaged may have been taken away on purpose, and a password that somebody chose by hand may be a
    weak one.

    Args:
        in_secret: password of the Secret, empty when it holds none that could work, None without a Secret.
        role: the role on the server.
        announced: whether the object has reported credentials before.
    """
    if in_secret:
        if role is None:
            return Choice(in_secret, _verifier(in_secret), Origin.KEPT)
        if role.verifier is None or scram.matches(role.verifier, in_secret):
            return Choice(in_secret, None, Origin.KEPT)
    password = secrets.token_urlsafe(_BYTES)
    return Choice(password, _verifier(password), Origin.ROTATED if announced else Origin.CREATED)


def _verifier(password: str) -> str:
    return scram.verifier(password, salt=secrets.token_bytes(_SALT))
