"""ID tokens that must not be believed, each beside one that differs in just that point and is (threats A51)."""

import base64
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import pytest
from joserfc import jws
from joserfc.jwk import ECKey, OKPKey, RSAKey

from bind_agent.aio.clock import VirtualClock
from bind_agent.backend.oidc.errors import LoginRefused
from bind_agent.backend.oidc.idtoken import LEEWAY, hash_half
from bind_agent.backend.person import Person
from tests.fakes.hostile_issuer import CLIENT, FOREIGN_KEY, HostileIssuer

pytestmark = pytest.mark.protocol

LogIn: TypeAlias = Callable[..., Awaitable[Person]]
Change: TypeAlias = Callable[[HostileIssuer], None]


def claims(**changes: Any) -> Change:
    """Other claims; a function is called with the issuer."""

    def change(hostile: HostileIssuer) -> None:
        hostile.claims = {
            name: value(hostile) if callable(value) else value for name, value in changes.items()
        }

    return change


def token(make: Callable[[HostileIssuer], str]) -> Change:
    def change(hostile: HostileIssuer) -> None:
        hostile.token = make(hostile)

    return change


def header(**changes: Any) -> Change:
    def change(hostile: HostileIssuer) -> None:
        hostile.header = changes

    return change


def nothing(_: HostileIssuer) -> None:
    """The issuer's own, correct token."""


def signed_with_a_foreign_key(hostile: HostileIssuer) -> None:
    hostile.key = FOREIGN_KEY


def with_other_claims(hostile: HostileIssuer) -> str:
    head, _, signature = hostile.id_token().split(".")
    forged = json.dumps({**hostile.payload(), "sub": "operator"}).encode()
    return f"{head}.{base64.urlsafe_b64encode(forged).rstrip(b'=').decode()}.{signature}"


def without_signature(hostile: HostileIssuer) -> str:
    return hostile.id_token().rpartition(".")[0] + "."


def half_hash(hostile: HostileIssuer) -> str:
    return hash_half("RS256", "", hostile.access_token)


def later(seconds: int) -> Callable[[HostileIssuer], int]:
    return lambda hostile: hostile.now + seconds


@dataclass(frozen=True)
class Case:
    """What is refused, why, and its nearest relative that is accepted."""

    name: str
    bad: Change
    reason: str
    good: Change = nothing


CASES = [
    Case("unsigned", token(lambda it: it.unsigned()), "AlgorithmRefused"),
    Case("unsigned with a signature", token(lambda it: it.unsigned(signature="AAAA")), "AlgorithmRefused"),
    Case("none in capitals", token(lambda it: it.unsigned(algorithm="NONE")), "AlgorithmRefused"),
    Case(
        "symmetric, with the public key",
        token(lambda it: it.signed_with_the_public_key()),
        "AlgorithmRefused",
    ),
    Case("an algorithm that is no text", token(lambda it: it.unsigned(algorithm=[])), "TokenMalformed"),  # type: ignore[arg-type]
    Case("signed with a foreign key of the same name", signed_with_a_foreign_key, "SignatureWrong"),
    Case("claims exchanged", token(with_other_claims), "SignatureWrong"),
    Case("signature cut off", token(without_signature), "SignatureWrong"),
    Case("signed for another algorithm", token(lambda it: _relabelled(it, "PS256")), "SignatureWrong"),
    Case("signed for a curve", token(lambda it: _relabelled(it, "ES256")), "KeyUnknown"),
    Case("an extension to be understood", header(crit=["exp"], exp=1), "TokenMalformed", header(exp=1)),
    Case("a key id that is no text", token(lambda it: _relabelled(it, "RS256", kid=7)), "TokenMalformed"),
    Case("a type that is no text", header(typ=7), "TokenMalformed", header(typ="JWT")),
    Case("no algorithm", token(lambda it: it.unsigned(algorithm=None)), "TokenMalformed"),
    Case("no token", token(lambda _: "certainly no token"), "TokenMalformed"),
    Case("an encrypted token", token(lambda _: "eyJhbGciOiJSU0EtT0FFUCJ9.a.b.c.d"), "TokenMalformed"),
    Case("not ASCII", token(lambda it: it.id_token() + "é"), "TokenMalformed"),
    Case("claims that are no object", token(lambda it: _signed(it, b"[]")), "TokenMalformed"),
    Case("claims that are no JSON", token(lambda it: _signed(it, b"{")), "TokenMalformed"),
    Case("another issuer", claims(iss="https://issuer.example.com"), "WrongIssuer"),
    Case("almost the issuer", claims(iss=lambda it: it.url + "/"), "WrongIssuer"),
    Case("an issuer that is no text", claims(iss=["a"]), "WrongIssuer"),
    Case("no issuer", claims(iss=None), "ClaimMissing"),
    Case("another audience", claims(aud="another-client"), "WrongAudience", claims(aud=[CLIENT])),
    Case("no audience", claims(aud=None), "ClaimMissing"),
    Case("an audience of the wrong type", claims(aud={"0": CLIENT}), "WrongAudience"),
    Case(
        "several audiences and no party",
        claims(aud=[CLIENT, "another-client"]),
        "WrongParty",
        claims(aud=[CLIENT, "another-client"], azp=CLIENT),
    ),
    Case(
        "several audiences and another party",
        claims(aud=[CLIENT, "another-client"], azp="another-client"),
        "WrongParty",
        claims(aud=["another-client", CLIENT], azp=CLIENT),
    ),
    Case("another party", claims(azp="another-client"), "WrongParty", claims(azp=CLIENT)),
    Case("expired", claims(exp=later(-LEEWAY)), "TokenExpired", claims(exp=later(1 - LEEWAY))),
    Case("no expiry", claims(exp=None), "ClaimMissing"),
    Case("an expiry that is text", claims(exp="tomorrow"), "TokenMalformed"),
    Case("an expiry that is true", claims(exp=True), "TokenMalformed"),
    Case("not yet valid", claims(nbf=later(LEEWAY + 1)), "TokenNotYetValid", claims(nbf=later(LEEWAY))),
    Case("issued later", claims(iat=later(LEEWAY + 1)), "TokenNotYetValid", claims(iat=later(LEEWAY))),
    Case("no time of issue", claims(iat=None), "ClaimMissing"),
    Case("another nonce", claims(nonce="another-nonce"), "NonceMismatch"),
    Case("no nonce", claims(nonce=None), "NonceMismatch"),
    Case("a nonce of the wrong type", claims(nonce=["the-nonce"]), "NonceMismatch"),
    Case("no subject", claims(sub=None), "SubjectMissing"),
    Case("an empty subject", claims(sub=""), "SubjectMissing"),
    Case("a blank subject", claims(sub="   "), "SubjectMissing"),
    Case("a subject that is a number", claims(sub=7), "TokenMalformed"),
    Case("a subject that is too long", claims(sub="s" * 256), "SubjectMalformed", claims(sub="s" * 255)),
    Case(
        "a subject with a line break", claims(sub="alice\nroot"), "SubjectMalformed", claims(sub="alice root")
    ),
    Case("a subject that reads backwards", claims(sub="alice\u202eecila"), "SubjectMalformed"),
    Case("a hash of another token", claims(at_hash="AAAA"), "HashMismatch", claims(at_hash=half_hash)),
    Case("a hash of the wrong type", claims(at_hash=7), "HashMismatch"),
]


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
async def test_only_the_right_token_is_believed(hostile: HostileIssuer, log_in: LogIn, case: Case) -> None:
    case.bad(hostile)
    with pytest.raises(LoginRefused) as refused:
        await log_in()
    assert refused.value.reason == case.reason
    _tells_nothing(refused.value, hostile)

    fresh = HostileIssuer()
    hostile.key, hostile.header, hostile.claims, hostile.token = fresh.key, {}, {}, None
    case.good(hostile)
    assert (await log_in()).issuer == hostile.url


@pytest.mark.parametrize(
    ("algorithm", "key"),
    [
        *((name, FOREIGN_KEY) for name in ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512")),
        ("ES256", ECKey.generate_key("P-256", {"kid": "curve"})),
        ("ES384", ECKey.generate_key("P-384", {"kid": "curve"})),
        ("ES512", ECKey.generate_key("P-521", {"kid": "curve"})),
        ("EdDSA", OKPKey.generate_key("Ed25519", {"kid": "curve"})),
        ("Ed25519", OKPKey.generate_key("Ed25519", {"kid": "curve", "alg": "Ed25519"})),
        ("EdDSA", OKPKey.generate_key("Ed448", {"kid": "curve"})),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
@pytest.mark.filterwarnings("ignore:EdDSA is deprecated")
async def test_asymmetric_signatures_are_believed(
    hostile: HostileIssuer, log_in: LogIn, algorithm: str, key: RSAKey | ECKey | OKPKey
) -> None:
    hostile.rotate(key)
    hostile.algorithm = algorithm
    curve = str(key.get("crv") or "")
    hostile.claims = {"at_hash": hash_half(algorithm, curve, hostile.access_token)}
    assert (await log_in()).subject == "alice"
    hostile.claims = {"at_hash": hash_half(algorithm, curve, "another token")}
    with pytest.raises(LoginRefused) as refused:
        await log_in()
    assert refused.value.reason == "HashMismatch"


async def test_a_token_without_key_id_is_checked_with_every_key_that_fits(
    hostile: HostileIssuer, log_in: LogIn
) -> None:
    hostile.published = [FOREIGN_KEY.as_dict(private=False), *hostile.published]
    hostile.header = {"kid": None}
    assert (await log_in()).subject == "alice"
    hostile.published = hostile.published[:1]


async def test_unknown_members_of_the_header_are_ignored(hostile: HostileIssuer, log_in: LogIn) -> None:
    hostile.header = {"vendor": "x" * 600, "typ": "JWT"}
    assert (await log_in()).subject == "alice"


async def test_a_token_that_is_too_large_is_refused(hostile: HostileIssuer, log_in: LogIn) -> None:
    hostile.claims = {"groups": ["g" * 100] * 900}
    assert (await log_in()).groups == ("g" * 100,)
    hostile.claims = {"groups": ["g" * 100] * 1200}
    with pytest.raises(LoginRefused) as refused:
        await log_in()
    assert refused.value.reason == "TokenMalformed"


async def test_claims_make_the_person(hostile: HostileIssuer, log_in: LogIn) -> None:
    assert await log_in() == Person(
        issuer=hostile.url,
        subject="alice",
        name="Alice Example",
        email="alice@example.com",
        email_verified=True,
        groups=("developers",),
    )


async def test_clocks_may_differ_a_little(hostile: HostileIssuer, log_in: LogIn, clock: VirtualClock) -> None:
    hostile.claims = {"exp": hostile.now + 10}
    await clock.advance(10 + LEEWAY - 1)
    assert (await log_in()).subject == "alice"
    await clock.advance(1)
    with pytest.raises(LoginRefused) as refused:
        await log_in()
    assert refused.value.reason == "TokenExpired"


def _relabelled(hostile: HostileIssuer, algorithm: str, kid: object = "own") -> str:
    _, content, signature = hostile.id_token().split(".")
    head = json.dumps({"alg": algorithm, "kid": kid}).encode()
    return f"{base64.urlsafe_b64encode(head).rstrip(b'=').decode()}.{content}.{signature}"


def _signed(hostile: HostileIssuer, content: bytes) -> str:
    return jws.serialize_compact({"alg": "RS256", "kid": "own"}, content, hostile.key)


def _tells_nothing(error: LoginRefused, hostile: HostileIssuer) -> None:
    """No part of what was exchanged stands in the error."""
    said = f"{error!r} {error} {error.__cause__!r}"
    for secret in (hostile.access_token, "the-code", "the-verifier", "the-nonce", "eyJ", "the secret"):
        assert secret not in said
