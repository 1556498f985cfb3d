"""What has to hold for an ID token before a word of it is believed (OpenID Connect Core 3.1.3.7, threats A51)."""

import hashlib
import hmac
from base64 import urlsafe_b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import orjson
from joserfc import jws
from joserfc.errors import ClaimError, ExpiredTokenError, JoseError, MissingClaimError
from joserfc.jws import CompactSignature, JWSRegistry
from joserfc.jwt import JWTClaimsRegistry

from bind_agent.backend.oidc.errors import LoginRefused
from bind_agent.backend.oidc.keys import Keys
from bind_agent.backend.oidc.metadata import ALGORITHMS

LEEWAY: Final = 30
"""Seconds that the issuer's clock and ours may differ."""

SIGNATURE_WRONG: Final = "SignatureWrong"
"""Reason of a refusal that other keys may turn."""

_LONGEST_HEADER: Final = 8192
_LONGEST_PAYLOAD: Final = 131072
_AGAIN: Final = " Start again from the beginning."
_CLOCKS: Final = " If it happens again, the clocks of the sign-in service and of this server differ."
_HASHES: Final = {"256": hashlib.sha256, "384": hashlib.sha384, "512": hashlib.sha512}


class _Registry(JWSRegistry):
    """Our algorithms and nothing else; headers that we do not know are ignored, as RFC 7515 section 4 demands."""

    max_header_length = _LONGEST_HEADER
    max_payload_length = _LONGEST_PAYLOAD

    def __init__(self) -> None:
        super().__init__(algorithms=ALGORITHMS, strict_check_header=False)

    def get_alg(self, name: str) -> Any:
        # The header was checked against our list already; here only the warning about the name EdDSA is spared.
        return self.algorithms[name]


_REGISTRY: Final = _Registry()


@dataclass(frozen=True, slots=True)
class Token:
    """An ID token that has been taken apart and not yet been verified.

    Attributes:
        algorithm: one of ours.
        key_id: the key that it says it is signed with; may be empty.
    """

    algorithm: str
    key_id: str
    _object: CompactSignature

    def __repr__(self) -> str:
        return f"Token(algorithm={self.algorithm!r}, key_id={self.key_id!r})"


@dataclass(frozen=True, slots=True)
class Expected:
    """What the claims have to say.

    Attributes:
        issuer: `iss`.
        client_id: in `aud`, and `azp` where it stands.
        nonce: the one that this login began with.
        now: seconds since 1970.
    """

    issuer: str
    client_id: str
    nonce: str
    now: int


def read(text: str) -> Token:
    """Take a token apart.

    Raises:
        LoginRefused: it is no signed token, too large, or signed in a way that we do not accept: not at all,
            or with a symmetric key.
    """
    try:
        found = jws.extract_compact(text.encode("ascii"), registry=_REGISTRY)
        header = found.headers()
        _REGISTRY.check_header(header)
    except (JoseError, ValueError, TypeError) as error:
        raise _malformed() from error.__cause__
    algorithm, key_id = header.get("alg"), header.get("kid", "")
    if not isinstance(algorithm, str) or algorithm not in ALGORITHMS:
        raise LoginRefused(
            "AlgorithmRefused",
            "The sign-in service did not sign its answer in a way that this server accepts. The operator has to"
            " set it up for RS256 or ES256.",
        )
    # No extension that a header could demand to be understood is known here (RFC 7515 4.1.11).
    if not isinstance(key_id, str) or "crit" in header:
        raise _malformed()
    return Token(algorithm, key_id, found)


def verify(token: Token, keys: Keys, expected: Expected, *, access_token: str | None) -> dict[str, Any]:
    """Verify signature and claims.

    Args:
        token: from `read`.
        keys: of the issuer; at least one has to fit, see `Keys.fitting`.
        expected: what the claims have to say.
        access_token: that came with it; compared with `at_hash` where that stands.

    Returns:
        The claims.

    Raises:
        LoginRefused: one of the checks fails; the reason says which.
    """
    candidates = keys.fitting(token.algorithm, token.key_id)
    if not candidates:
        raise LoginRefused(
            "KeyUnknown",
            "The sign-in service signed its answer with a key that it does not publish. Try again in a minute.",
        )
    signer = next((key for key in candidates if _signed(token, key)), None)
    if signer is None:
        raise LoginRefused(
            SIGNATURE_WRONG, "The signature of the sign-in service's answer is wrong." + _AGAIN
        )
    claims = _claims(token)
    _check_standard(claims, expected)
    _check_party(claims, expected.client_id)
    _check_nonce(claims, expected.nonce)
    if access_token is not None and "at_hash" in claims:
        _check_hash(claims["at_hash"], token, signer, access_token)
    return claims


def _signed(token: Token, key: Any) -> bool:
    try:
        return jws.validate_compact(token._object, key, registry=_REGISTRY)
    except (JoseError, ValueError):
        # Keys come from outside; one that fails in the middle of the arithmetic has signed nothing.
        return False


def _claims(token: Token) -> dict[str, Any]:
    try:
        found = orjson.loads(token._object.payload)
    except orjson.JSONDecodeError:
        raise _malformed() from None
    if not isinstance(found, dict):
        raise _malformed()
    return found


def _check_standard(claims: Mapping[str, Any], expected: Expected) -> None:
    registry = JWTClaimsRegistry(
        now=expected.now,
        leeway=LEEWAY,
        iss={"essential": True, "value": expected.issuer},
        aud={"essential": True, "value": expected.client_id},
        exp={"essential": True},
        iat={"essential": True},
    )
    try:
        registry.validate(dict(claims))
    except MissingClaimError as error:
        raise LoginRefused(
            "ClaimMissing",
            f"The answer of the sign-in service is incomplete: {error.claim} is missing. The operator of this"
            " server has to look into it.",
        ) from None
    except ExpiredTokenError:
        raise LoginRefused(
            "TokenExpired", "The answer of the sign-in service had expired." + _AGAIN + _CLOCKS
        ) from None
    except ClaimError as error:
        raise _claim_refused(error.claim) from None


def _claim_refused(claim: str) -> LoginRefused:
    if claim == "iss":
        return LoginRefused(
            "WrongIssuer", "The answer comes from another sign-in service than ours." + _AGAIN
        )
    if claim == "aud":
        return LoginRefused(
            "WrongAudience", "The answer was meant for another application than this one." + _AGAIN
        )
    if claim in {"nbf", "iat"}:
        return LoginRefused(
            "TokenNotYetValid", "The answer of the sign-in service is not valid yet." + _AGAIN + _CLOCKS
        )
    return _malformed()


def _check_party(claims: Mapping[str, Any], client_id: str) -> None:
    audience, party = claims.get("aud"), claims.get("azp")
    several = isinstance(audience, list) and len(audience) > 1
    if (several or party is not None) and party != client_id:
        raise LoginRefused(
            "WrongParty", "The answer was given to another application than this one." + _AGAIN
        )


def _check_nonce(claims: Mapping[str, Any], nonce: str) -> None:
    found = claims.get("nonce")
    if not nonce or not isinstance(found, str) or not hmac.compare_digest(found.encode(), nonce.encode()):
        raise LoginRefused("NonceMismatch", "The answer belongs to another sign-in than this one." + _AGAIN)


def _check_hash(found: object, token: Token, key: Any, access_token: str) -> None:
    half = hash_half(token.algorithm, str(key.get("crv") or ""), access_token)
    if not isinstance(found, str) or not hmac.compare_digest(found.encode(), half.encode()):
        raise LoginRefused("HashMismatch", "The two parts of the answer do not belong together." + _AGAIN)


def hash_half(algorithm: str, curve: str, value: str) -> str:
    """The left half of a hash of a value, as `at_hash` carries it (OpenID Connect Core 3.1.3.6).

    Args:
        algorithm: of the token; it decides which hash.
        curve: of the key, for EdDSA: Ed25519 goes with SHA-512, Ed448 with SHAKE256 of 114 bytes.
        value: the access token.
    """
    data = value.encode("utf-8", "surrogatepass")
    if curve == "Ed448":
        digest = hashlib.shake_256(data).digest(114)
    else:
        digest = _HASHES.get(algorithm[2:], hashlib.sha512)(data).digest()
    return urlsafe_b64encode(digest[: len(digest) // 2]).rstrip(b"=").decode("ascii")


def _malformed() -> LoginRefused:
    return LoginRefused(
        "TokenMalformed",
        "The sign-in service's answer is no ID token that can be read. The operator of this server has to look"
        " into it.",
    )
