"""base62 of the wire: ids and hashes that Go programs compute in the same way (spec 12.1)."""

import hashlib
from typing import Final

DIGITS: Final = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"

CLUSTER_ID_LENGTH: Final = 6


def encode(data: bytes) -> str:
    """The bytes as one big-endian integer in base 62, most significant digit first, without padding.

    The integer zero gives an empty text, as does empty input.
    """
    number = int.from_bytes(data, "big")
    digits = []
    while number:
        number, digit = divmod(number, 62)
        digits.append(DIGITS[digit])
    return "".join(reversed(digits))


def sha224(data: bytes) -> str:
    """base62 of the SHA-224 of the data: the spec hash of exports (spec 3.10.3)."""
    return encode(hashlib.sha224(data).digest())


def cluster_id(namespace_uid: str) -> str:
    """Identity of an app cluster as CLIs send it: the first six digits of a hash.

    Args:
        namespace_uid: UID of its namespace `klutch-bind` (spec 7.2 step 7, 12.1).
    """
    return sha224(namespace_uid.encode())[:CLUSTER_ID_LENGTH]
