"""Sealing what browsers keep for us: encrypted, authenticated, for one purpose, with keys that can be rotated.

Keys are derived (HKDF) from the ones that an operator gives, one per purpose: a text that was sealed as a
session is no login state, whatever it says.
"""

import hashlib
import hmac
from base64 import urlsafe_b64encode
from datetime import datetime
from typing import Final

from cachetools import LRUCache
from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from bind_agent.backend.options.web import CookieKeys

_LENGTH: Final = 32
_LONGEST: Final = 64 * 1024
_KEPT: Final = 2048
_KEPT_LENGTH: Final = 4096
"""Opened texts that are remembered, and how long they may be: a browser shows its session with every request."""


class SealBroken(ValueError):  # noqa: N818 - says what is the case
    """The text was not sealed by us for this purpose, or was changed; nothing about it is repeated."""


class Keyring:
    """Seals and opens. Replicas with the same keys open each other's texts."""

    def __init__(self, keys: CookieKeys) -> None:
        """Set up.

        Args:
            keys: as given by the operator; the first of each kind writes, every combination reads.

        Raises:
            ValueError: there is no signing key.
        """
        if not keys.signing:
            raise ValueError("a keyring needs a key")
        self._material = [(s, e) for s in keys.signing for e in keys.encryption or (b"",)]
        self._sealers: LRUCache[str, MultiFernet] = LRUCache(maxsize=32)
        self._proof_keys: LRUCache[tuple[int, str], bytes] = LRUCache(maxsize=64)
        self._opened: LRUCache[tuple[str, str], bytes] = LRUCache(maxsize=_KEPT)

    def seal(self, purpose: str, data: bytes, now: datetime) -> str:
        """Encrypt for a purpose; characters that cookies and URLs take as they are.

        Args:
            purpose: what the text is for; only the same word opens it.
            data: what is to be kept.
            now: noted in the text.
        """
        text = self._sealer(purpose).encrypt_at_time(data, int(now.timestamp()))
        return text.rstrip(b"=").decode("ascii")

    def open(self, purpose: str, text: str) -> bytes:
        """What was sealed.

        Raises:
            SealBroken: see there.
        """
        if len(text) > _LONGEST:
            raise SealBroken("too long")
        known = self._opened.get((purpose, text))
        if known is not None:
            return known
        try:
            sealed = text.encode("ascii")
            plain = self._sealer(purpose).decrypt(sealed + b"=" * (-len(sealed) % 4))
        except (InvalidToken, UnicodeEncodeError, ValueError):
            raise SealBroken("not sealed by us for this") from None
        # What opens once opens always: keys change with the process only.
        if len(text) <= _KEPT_LENGTH:
            self._opened[purpose, text] = plain
        return plain

    def proof(self, purpose: str, *parts: str) -> str:
        """A token that only we can make, for these parts: 43 characters, always the same."""
        return self._proof(0, purpose, parts)

    def proves(self, token: str, purpose: str, *parts: str) -> bool:
        """Whether a token was made for these parts, with any of the keys."""
        found = False
        # Headers may bring bytes that are no text; they are as wrong as any others.
        given = token.encode("utf-8", "surrogatepass")
        for number in range(len(self._material)):
            # Every key is tried, so that time tells nothing.
            found |= hmac.compare_digest(self._proof(number, purpose, parts).encode(), given)
        return found

    def _proof(self, number: int, purpose: str, parts: tuple[str, ...]) -> str:
        # Length prefixes: ("ab", "c") is not ("a", "bc").
        message = b"".join(len(raw := part.encode()).to_bytes(4, "big") + raw for part in parts)
        key = self._proof_keys.get((number, purpose))
        if key is None:
            key = self._proof_keys[number, purpose] = _derive(self._material[number], f"proof:{purpose}")
        return urlsafe_b64encode(hmac.digest(key, message, hashlib.sha256)).rstrip(b"=").decode("ascii")

    def _sealer(self, purpose: str) -> MultiFernet:
        found = self._sealers.get(purpose)
        if found is None:
            found = MultiFernet(
                [Fernet(urlsafe_b64encode(_derive(one, f"seal:{purpose}"))) for one in self._material]
            )
            self._sealers[purpose] = found
        return found


def _derive(material: tuple[bytes, bytes], purpose: str) -> bytes:
    signing, encryption = material
    info = f"klutch-bind-backend/{purpose}".encode()
    return HKDF(algorithm=SHA256(), length=_LENGTH, salt=encryption or None, info=info).derive(signing)
