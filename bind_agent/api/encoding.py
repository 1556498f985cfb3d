"""base64 of the wire: strict output, tolerant input (spec 12.4).

Go's backend writes the URL-safe alphabet where its peers read the standard one. We write what the reader
accepts and read both.
"""

import base64
import binascii
import re
from typing import Any, Final

import orjson

_ALPHABET: Final = re.compile(r"[A-Za-z0-9+/]*")
_TO_STANDARD: Final = str.maketrans("-_ ", "+/+")
"""A plus that travelled through a query string unescaped arrives as a space."""


class EncodingError(ValueError):
    """The text is not base64 in any alphabet, or does not hold what it should."""


def to_base64(data: bytes) -> str:
    """Standard alphabet with padding: what Go's CLI decodes."""
    return base64.b64encode(data).decode("ascii")


def to_base64_urlsafe(data: bytes) -> str:
    """URL-safe alphabet with padding: what Go's backend writes."""
    return base64.urlsafe_b64encode(data).decode("ascii")


def from_base64(text: str, *, limit: int = 4 * 1024 * 1024) -> bytes:
    """Decode either alphabet, with or without padding, ignoring white space around it.

    Args:
        text: the encoded text.
        limit: most characters that are looked at.

    Raises:
        EncodingError: too long, or not base64.
    """
    stripped = text.strip()
    if len(stripped) > limit:
        message = f"the encoded text has more than {limit} characters"
        raise EncodingError(message)
    standard = stripped.replace("\n", "").replace("\r", "").translate(_TO_STANDARD).rstrip("=")
    if not _ALPHABET.fullmatch(standard):
        message = "not base64: it has characters of neither alphabet"
        raise EncodingError(message)
    try:
        return base64.b64decode(standard + "=" * (-len(standard) % 4), validate=True)
    except binascii.Error as error:
        message = "not base64: its length is impossible"
        raise EncodingError(message) from error


def to_base64_json(value: Any) -> str:
    """Compact JSON in the standard alphabet."""
    return to_base64(orjson.dumps(value))


def from_base64_json(text: str) -> dict[str, Any]:
    """The JSON object in a text of either alphabet.

    Raises:
        EncodingError: not base64, not JSON, or not an object.
    """
    try:
        value = orjson.loads(from_base64(text))
    except orjson.JSONDecodeError as error:
        # The decoder's own message repeats no content; the content may be a credential.
        message = "the encoded text is not JSON"
        raise EncodingError(message) from error
    if not isinstance(value, dict):
        message = "the encoded JSON is not an object"
        raise EncodingError(message)
    return value
