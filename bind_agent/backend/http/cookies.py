"""Names and attributes of our cookies (threats A52, W-S8).

`__Host-` binds a cookie to exactly this host, to TLS and to the path `/`: neither a neighbour under the same
domain nor a plain http answer can set one. On a laptop without TLS browsers refuse that prefix, so it goes.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from aiohttp import web

_CHUNK: Final = 3600
"""Characters per cookie; browsers drop a cookie whose name, value and attributes exceed 4096 bytes."""

MAX_CHUNKS: Final = 4
"""Room for some hundred groups of a person; a header beyond that is refused by common proxies."""


class TooLarge(ValueError):  # noqa: N818 - says what is the case
    """What is to be kept does not fit into cookies."""


@dataclass(frozen=True, slots=True)
class Cookies:
    """The cookies of one backend.

    Attributes:
        secure: browsers see us over TLS.
    """

    secure: bool

    @property
    def browser(self) -> str:
        """Name of the cookie that recognises a browser between the two ends of a login."""
        return f"{self._prefix}klutch-bind-browser"

    @property
    def notice(self) -> str:
        """Name of the cookie with what the next page says once (`pages.notices`)."""
        return f"{self._prefix}klutch-bind-notice"

    @property
    def session(self) -> str:
        """Name of the first cookie of a session; further ones end in `-1`, `-2` and so on."""
        return f"{self._prefix}klutch-bind-session"

    @property
    def _prefix(self) -> str:
        return "__Host-" if self.secure else ""

    def names(self) -> list[str]:
        """Names of all session cookies that there may be."""
        return [self.session, *(f"{self.session}-{number}" for number in range(1, MAX_CHUNKS))]

    def read(self, found: Mapping[str, str]) -> str:
        """The text that `write` was given; empty when there is none."""
        parts = []
        for name in self.names():
            if not found.get(name):
                break
            parts.append(found[name])
        return "".join(parts)

    def write(self, response: web.StreamResponse, text: str, *, max_age: int) -> None:
        """Keep a text as the session, in as few cookies as it takes.

        Raises:
            TooLarge: it does not fit.
        """
        chunks = [text[at : at + _CHUNK] for at in range(0, len(text), _CHUNK)]
        if len(chunks) > MAX_CHUNKS:
            raise TooLarge("too large for cookies")
        for position, name in enumerate(self.names()):
            if position < len(chunks):
                self.set(response, name, chunks[position], max_age=max_age)
            else:
                # A shorter session after a longer one must not be read together with its rest.
                self.drop(response, name)

    def forget(self, response: web.StreamResponse) -> None:
        """Have the browser drop the session, its mark and what was to be said in it."""
        for name in (*self.names(), self.browser, self.notice):
            self.drop(response, name)

    def set(self, response: web.StreamResponse, name: str, value: str, *, max_age: int) -> None:
        """Set one cookie. Lax, because the answer of the issuer comes from another site."""
        response.set_cookie(
            name, value, max_age=max_age, path="/", secure=self.secure, httponly=True, samesite="Lax"
        )

    def drop(self, response: web.StreamResponse, name: str) -> None:
        """Have the browser drop one cookie."""
        response.del_cookie(name, path="/", secure=self.secure, httponly=True, samesite="Lax")
