"""The development issuer's key, made at each start and never written anywhere, and ID tokens under it."""

import hashlib
import secrets
from base64 import urlsafe_b64encode
from collections.abc import Mapping
from typing import Any, Final

from joserfc import jwt
from joserfc.jwk import ECKey

from bind_agent.devcluster.issuer.grants import TOKEN_SECONDS, Grant, told
from bind_agent.devcluster.issuer.people import CLIENT_ID

ALGORITHM: Final = "ES256"


class Signer:
    """Signs ID tokens."""

    def __init__(self) -> None:
        """Make a key."""
        # A name of its own for each start, so that clients see that the key is another one.
        self._key = ECKey.generate_key("P-256", {"kid": secrets.token_hex(8), "use": "sig", "alg": ALGORITHM})

    def key_set(self) -> dict[str, Any]:
        """The public key, as JSON Web Key Set."""
        return {"keys": [self._key.as_dict(private=False)]}

    def id_token(self, issuer: str, grant: Grant, access_token: str, now: float) -> str:
        """An ID token for a redeemed code.

        Args:
            issuer: URL of the issuer.
            grant: what the code was good for.
            access_token: that comes with it.
            now: seconds since 1970.
        """
        half = hashlib.sha256(access_token.encode("ascii")).digest()[:16]
        claims: Mapping[str, Any] = {
            "iss": issuer,
            "aud": CLIENT_ID,
            "iat": int(now),
            "exp": int(now) + TOKEN_SECONDS,
            "at_hash": urlsafe_b64encode(half).rstrip(b"=").decode("ascii"),
            **({"nonce": grant.request.nonce} if grant.request.nonce else {}),
            **told(grant),
        }
        return jwt.encode({"alg": ALGORITHM, "kid": str(self._key.kid)}, dict(claims), self._key)
