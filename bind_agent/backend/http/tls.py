"""TLS with a certificate that may change while we serve (W-B15)."""

import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import structlog

from bind_agent.aio.clock import SYSTEM, Clock

log = structlog.get_logger(__name__)

_EVERY: Final = 10.0

Stamp = tuple[tuple[int, int, int], ...]


class Certificate:
    """A certificate and key from files, loaded anew when they change.

    A new pair is loaded as a whole or not at all: connections get the new one from then on, and while the files do
    not fit together (one was written, the other not yet) the old one stays.
    """

    def __init__(self, cert: str, key: str, *, clock: Clock = SYSTEM) -> None:
        """Load.

        Raises:
            OSError: the files cannot be read, or are no pair.
        """
        self._cert, self._key = cert, key
        self._clock = clock
        self._stamp = self._look()
        self._current = _load(cert, key)
        self.context = _load(cert, key)
        self.context.sni_callback = self._choose

    async def follow(self) -> None:
        """Look at the files again and again, until cancelled."""
        while True:
            await self._clock.sleep(_EVERY)
            self.refresh()

    def refresh(self) -> bool:
        """Load the files if they changed.

        Returns:
            Whether a new certificate is in use.
        """
        try:
            stamp = self._look()
            if stamp == self._stamp:
                return False
            self._current = _load(self._cert, self._key)
        except OSError as error:
            log.warning("the new certificate cannot be used, the old one stays", error=error.strerror)
            return False
        self._stamp = stamp
        log.info("certificate renewed", file=self._cert)
        return True

    def _look(self) -> Stamp:
        found = (Path(path).stat() for path in (self._cert, self._key))
        return tuple((one.st_mtime_ns, one.st_size, one.st_ino) for one in found)

    def _choose(self, connection: Any, _name: str | None, _context: ssl.SSLContext) -> None:
        """Called in each handshake, with and without a name."""
        connection.context = self._current


def _load(cert: str, key: str) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    context.load_cert_chain(cert, key, password=_none)
    return context


_none: Callable[[], str] = lambda: ""  # noqa: E731 - instead of a prompt on the terminal
