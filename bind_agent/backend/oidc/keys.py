"""The issuer's JSON Web Key Set: public signing keys that we can use, and which of them a token may be checked with."""

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from joserfc.errors import SecurityWarning
from joserfc.jwk import ECKey, JWKRegistry, OKPKey, RSAKey

from bind_agent.backend.oidc.errors import IssuerAway

PublicKey: TypeAlias = RSAKey | ECKey | OKPKey

_MOST_KEYS: Final = 100
_LONGEST_ID: Final = 512
_SMALLEST_MODULUS: Final = 2048
_LARGEST_MODULUS: Final = 8192
_LARGEST_EXPONENT: Final = 2**32
"""Verifying with a huge exponent takes as long as whoever chose it likes."""

_MEMBERS: Final = {"RSA": ("n", "e"), "EC": ("crv", "x", "y"), "OKP": ("crv", "x")}
"""Public members by key type. Nothing else of a key is looked at; symmetric keys have no business in a set that
everybody can read."""

_CURVES: Final = {"P-256": ("ES256",), "P-384": ("ES384",), "P-521": ("ES512",)}
_ED25519: Final = ("EdDSA", "Ed25519")
_EDWARDS: Final = {"Ed25519": _ED25519, "Ed448": ("EdDSA",)}
_RSA: Final = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512")


@dataclass(frozen=True, slots=True)
class SigningKey:
    """One key.

    Attributes:
        id: its `kid`; empty when the set gives none.
        algorithms: signatures that it may be used for.
        key: the key itself.
    """

    id: str
    algorithms: tuple[str, ...]
    key: PublicKey


@dataclass(frozen=True, slots=True)
class Keys:
    """The usable keys of an issuer, in the order of its document."""

    keys: tuple[SigningKey, ...]

    def fitting(self, algorithm: str, kid: str) -> tuple[PublicKey, ...]:
        """Keys that may have made a signature.

        Args:
            algorithm: of the token's header.
            kid: of the token's header; empty when it names none, and then every key that can make such a
                signature may have.
        """
        return tuple(one.key for one in self.keys if algorithm in one.algorithms and kid in {"", one.id})


def parse(document: Mapping[str, Any]) -> Keys:
    """Take the usable keys out of a key set; others are passed over, as RFC 7517 section 5 has it.

    Raises:
        IssuerAway: it is no key set, or none of its keys can be used.
    """
    entries = document.get("keys")
    if not isinstance(entries, list):
        raise IssuerAway("IssuerMisbehaves", "What the sign-in service publishes as its keys is no key set.")
    found = tuple(key for entry in entries[:_MOST_KEYS] if (key := _key(entry)) is not None)
    if not found:
        raise IssuerAway(
            "IssuerMisconfigured", "The sign-in service publishes no key that signatures can be checked with."
        )
    return Keys(found)


def _key(entry: object) -> SigningKey | None:
    if not isinstance(entry, Mapping) or entry.get("use", "sig") != "sig":
        return None
    kind, operations, kid = entry.get("kty"), entry.get("key_ops"), entry.get("kid", "")
    if (
        not isinstance(kind, str)
        or kind not in _MEMBERS
        or not isinstance(kid, str)
        or len(kid) > _LONGEST_ID
    ):
        return None
    if operations is not None and not (isinstance(operations, list) and "verify" in operations):
        return None
    key = _import({"kty": kind, **{name: entry.get(name) for name in _MEMBERS[kind]}})
    if key is None:
        return None
    algorithms, only = _algorithms(key, entry.get("crv")), entry.get("alg")
    if only is not None:
        # A key for EdDSA is one for Ed25519, under the older name.
        same = _ED25519 if only in _ED25519 else (only,)
        algorithms = tuple(name for name in algorithms if name in same)
    return SigningKey(kid, algorithms, key) if algorithms else None


def _import(members: dict[str, Any]) -> PublicKey | None:
    if not all(isinstance(value, str) for value in members.values()):
        return None
    try:
        with warnings.catch_warnings():
            # About short keys, which are passed over below.
            warnings.simplefilter("ignore", SecurityWarning)
            key = JWKRegistry.import_key(members)
            public = key.public_key
    except Exception:
        return None
    if isinstance(public, RSAPublicKey) and not (
        _SMALLEST_MODULUS <= public.key_size <= _LARGEST_MODULUS
        and public.public_numbers().e < _LARGEST_EXPONENT
    ):
        return None
    return key if isinstance(key, RSAKey | ECKey | OKPKey) else None


def _algorithms(key: PublicKey, curve: object) -> tuple[str, ...]:
    if isinstance(key, RSAKey):
        return _RSA
    names = _CURVES if isinstance(key, ECKey) else _EDWARDS
    return names.get(str(curve), ())
