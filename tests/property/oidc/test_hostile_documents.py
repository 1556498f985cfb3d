"""Whatever an issuer says in JSON: it is taken within bounds, or refused in our words, and nothing else happens."""

import base64
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bind_agent.backend.oidc import claims, flow, idtoken, keys, metadata
from bind_agent.backend.oidc.addresses import endpoint_fault, host_of, on_this_machine
from bind_agent.backend.oidc.errors import IssuerAway, LoginRefused
from bind_agent.backend.person import Person

pytestmark = pytest.mark.property

ISSUER = "https://issuer.example.com"

anything = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text(max_size=40)
    | st.just("x" * 300),
    lambda inner: st.lists(inner, max_size=6) | st.dictionaries(st.text(max_size=12), inner, max_size=6),
    max_leaves=5,
)
likely = st.sampled_from(
    ["", ISSUER, "alice", "true", "sig", "RSA", "EC", "OKP", "P-256", "Ed25519", "AQAB", "verify"]
)


def documents(*names: str) -> st.SearchStrategy[dict[str, Any]]:
    """Objects with members of these names, of any type."""
    return st.dictionaries(
        st.sampled_from(names) | st.text(max_size=8), likely | anything, max_size=len(names)
    )


@given(documents("sub", "name", "preferred_username", "email", "email_verified", "groups"))
def test_a_person_is_bounded_or_refused(found: dict[str, Any]) -> None:
    try:
        person = claims.person({**found, "iss": ISSUER}, groups_claim="groups")
    except LoginRefused as error:
        refused = error.reason
    else:
        _check(person)
        return
    assert refused in {"SubjectMissing", "SubjectMalformed"}


def _check(person: Person) -> None:
    assert 0 < len(person.subject) <= claims.LONGEST_SUBJECT
    assert len(person.name) <= claims.LONGEST_NAME
    assert len(person.email) <= claims.LONGEST_EMAIL
    assert all(0 < len(group) <= claims.LONGEST_GROUP for group in person.groups)
    assert all(text.isprintable() for text in (person.subject, person.name, person.email, *person.groups))
    assert person.groups == tuple(sorted(set(person.groups)))


@given(
    documents("keys", "kty"),
    st.lists(documents("kty", "crv", "n", "e", "x", "y", "kid", "alg", "use", "key_ops")),
)
def test_a_key_set_is_usable_or_refused(found: dict[str, Any], entries: list[dict[str, Any]]) -> None:
    for document in (found, {"keys": entries}):
        try:
            parsed = keys.parse(document)
        except IssuerAway:
            continue
        assert parsed.keys
        assert all(set(key.algorithms) <= set(metadata.ALGORITHMS) for key in parsed.keys)


@given(
    documents(
        "issuer",
        "authorization_endpoint",
        "token_endpoint",
        "jwks_uri",
        "userinfo_endpoint",
        "response_types_supported",
        "id_token_signing_alg_values_supported",
        "token_endpoint_auth_methods_supported",
    )
)
def test_a_discovery_document_is_safe_or_refused(found: dict[str, Any]) -> None:
    base = dict.fromkeys(("authorization_endpoint", "token_endpoint", "jwks_uri"), f"{ISSUER}/x")
    for document in (found, {"issuer": ISSUER, **base, **found}):
        try:
            parsed = metadata.parse(document, ISSUER)
        except IssuerAway:
            continue
        for url in (parsed.authorization_endpoint, parsed.token_endpoint, parsed.jwks_uri):
            assert url.startswith("https://")
        assert parsed.userinfo_endpoint == "" or parsed.userinfo_endpoint.startswith("https://")


@given(st.text(max_size=200) | st.from_regex(r"https?://[a-z@:\[\]./\\#?]{0,30}", fullmatch=True))
def test_addresses_are_https_or_this_machine_or_refused(url: str) -> None:
    if endpoint_fault(url):
        return
    assert url.lower().startswith("https://") or on_this_machine(url)
    assert host_of(url)
    assert url.isascii()


@given(
    st.text(max_size=200) | st.binary(max_size=200).map(lambda data: base64.urlsafe_b64encode(data).decode())
)
def test_a_token_is_read_or_refused(text: str) -> None:
    for candidate in (text, f"{text}.{text}.{text}", f"{_segment({'alg': 'RS256'})}.{text}.{text}"):
        outcome = _outcome(candidate)
        assert outcome in {"TokenMalformed", "AlgorithmRefused", *metadata.ALGORITHMS}


@given(documents("alg", "kid", "typ", "crit", "jku", "x5c", "b64", "cty"))
def test_a_header_is_read_or_refused(header: dict[str, Any]) -> None:
    text = f"{_segment({'alg': 'RS256', **header})}.{_segment({'sub': 'alice'})}.AAAA"
    expected = idtoken.Expected(ISSUER, "client", "nonce", 0)
    outcome = _outcome(text)
    assert outcome in {"TokenMalformed", "AlgorithmRefused", *metadata.ALGORITHMS}
    if outcome in metadata.ALGORITHMS:
        with pytest.raises(LoginRefused) as refused:
            idtoken.verify(idtoken.read(text), keys.Keys(()), expected, access_token=None)
        assert refused.value.reason == "KeyUnknown"


@given(st.text(max_size=200))
def test_an_error_of_the_issuer_is_repeated_only_when_it_is_a_word(error: str) -> None:
    message = flow.denied(error).message
    assert message.isprintable()
    assert "<" not in message


def _outcome(text: str) -> str:
    try:
        return idtoken.read(text).algorithm
    except LoginRefused as error:
        return error.reason


def _segment(value: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()
