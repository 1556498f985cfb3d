"""The secrets of one login: session id, path of the callback, and the proof for the one-time code.

All come from the operating system's generator (W-S9). A web page that calls the callback knows none of them, so its
answer is not taken (threat A59).
"""

import base64
import hashlib
import secrets
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from bind_agent.api import base62

GO_PATH: Final = "/callback"
"""Where a Go backend sends the browser back to: it puts the port alone into the address (spec 4.4)."""

_BYTES: Final = 16


@dataclass(frozen=True, slots=True)
class Attempt:
    """One login.

    Attributes:
        session_id: tells this login from others; the answer has to repeat it.
        cluster_id: which app cluster (spec 12.1).
        back_channel: the answer is a one-time code for the back channel, not the credential itself.
        path: of the callback.
        verifier: what proves that the code is redeemed by whoever began the login (RFC 7636).
    """

    session_id: str = field(repr=False)
    cluster_id: str
    back_channel: bool
    path: str = field(repr=False)
    verifier: str = field(repr=False)

    @property
    def challenge(self) -> str:
        """base64url of the verifier's SHA-256: 43 characters."""
        digest = hashlib.sha256(self.verifier.encode()).digest()
        return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()

    def callback(self, port: int) -> str:
        """Where the browser comes back to."""
        host = "127.0.0.1" if self.back_channel else "localhost"
        return f"http://{host}:{port}{self.path}"

    def address(self, login_url: str, port: int) -> str:
        """The address for the browser: where the provider's login begins, with our parameters (spec 4.3, 4.4).

        Args:
            login_url: as the provider gives it; parameters that it has stay.
            port: of the listener.
        """
        own = {"s": self.session_id, "c": self.cluster_id}
        if self.back_channel:
            own |= {"u": self.callback(port), "code_challenge": self.challenge}
        else:
            own |= {"p": str(port)}
        parts = urlsplit(login_url)
        given = [pair for pair in parse_qsl(parts.query, keep_blank_values=True) if pair[0] not in own]
        return urlunsplit(parts._replace(query=urlencode([*given, *own.items()]), fragment=""))


def begin(namespace_uid: str, *, back_channel: bool) -> Attempt:
    """Begin a login.

    Args:
        namespace_uid: UID of the namespace that stands for the app cluster.
        back_channel: whether the provider has one.
    """
    return Attempt(
        session_id=_word(),
        cluster_id=base62.cluster_id(namespace_uid),
        back_channel=back_channel,
        path=f"/{_word()}" if back_channel else GO_PATH,
        verifier=secrets.token_urlsafe(32),
    )


def _word() -> str:
    """128 bits as letters and digits, which no address has to escape."""
    return base62.encode(b"\1" + secrets.token_bytes(_BYTES))
