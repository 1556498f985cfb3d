"""The form in which a server keeps a password (SCRAM-SHA-256, RFC 5802 and 7677). Pure.

Passwords reach the server in this form only: a statement that fails, a log of statements or a monitoring view
can then not show one.
"""

import base64
import binascii
import hashlib
import hmac
import re
from typing import Final

ITERATIONS: Final = 4096  # what PostgreSQL itself uses
_MAX_ITERATIONS: Final = 1_000_000
_VERIFIER = re.compile(r"SCRAM-SHA-256\$(\d{1,9}):([A-Za-z0-9+/=]+)\$([A-Za-z0-9+/=]+):([A-Za-z0-9+/=]+)")


def verifier(password: str, *, salt: bytes, iterations: int = ITERATIONS) -> str:
    """Turn a password into what ``ALTER ROLE ... PASSWORD`` stores unchanged.

    Args:
        password: ASCII, so that no normalisation (SASLprep) applies.
        salt: random bytes, 16 by custom.
        iterations: work factor.
    """
    salted = hashlib.pbkdf2_hmac("sha256", password.encode("ascii"), salt, iterations)
    client = hmac.digest(salted, b"Client Key", "sha256")
    server = hmac.digest(salted, b"Server Key", "sha256")
    stored, served, seed = (
        base64.b64encode(piece).decode() for piece in (hashlib.sha256(client).digest(), server, salt)
    )
    return f"SCRAM-SHA-256${iterations}:{seed}${stored}:{served}"


def matches(stored: str, password: str) -> bool:
    """Whether a stored verifier belongs to the password; False for other forms and non-ASCII passwords."""
    found = _VERIFIER.fullmatch(stored)
    if found is None or not password.isascii() or not 0 < int(found[1]) <= _MAX_ITERATIONS:
        return False
    try:
        salt = base64.b64decode(found[2], validate=True)
    except binascii.Error:
        return False
    return hmac.compare_digest(verifier(password, salt=salt, iterations=int(found[1])), stored)
