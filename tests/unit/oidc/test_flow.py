"""PKCE, nonces, the address that a login begins with, and what a callback may carry."""

import pickle
from urllib.parse import parse_qsl, urlsplit

import pytest

from bind_agent.backend.oidc import flow, metadata
from bind_agent.backend.oidc.config import OidcConfig
from bind_agent.backend.oidc.errors import IssuerAway, LoginError, LoginRefused
from bind_agent.backend.oidc.metadata import Metadata

pytestmark = pytest.mark.unit

CONFIG = OidcConfig(
    issuer_url="https://issuer.example.com",
    client_id="the client",
    client_secret="the secret",
    callback_url="https://bind.example.com/callback",
)
METADATA = Metadata(
    issuer="https://issuer.example.com",
    authorization_endpoint="https://issuer.example.com/auth",
    token_endpoint="https://issuer.example.com/token",
    jwks_uri="https://issuer.example.com/keys",
)


def test_the_challenge_is_that_of_the_standard() -> None:
    """The example of RFC 7636, appendix B."""
    assert (
        flow.challenge("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk")
        == "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"
    )


def test_verifiers_and_nonces_are_long_random_and_fit_into_urls() -> None:
    made = {flow.new_verifier() for _ in range(50)} | {flow.new_nonce() for _ in range(50)}
    assert len(made) == 100
    assert all(len(one) == 43 and one.replace("-", "").replace("_", "").isalnum() for one in made)


def address(endpoint: str, **more: str) -> list[tuple[str, str]]:
    meta = Metadata(METADATA.issuer, endpoint, METADATA.token_endpoint, METADATA.jwks_uri)
    url = flow.authorization_url(meta, CONFIG, state="s&t", nonce="n", code_challenge="c", **more)
    assert url.startswith(endpoint.partition("?")[0] + "?")
    return parse_qsl(urlsplit(url).query, keep_blank_values=True)


OURS = [
    ("response_type", "code"),
    ("client_id", "the client"),
    ("redirect_uri", "https://bind.example.com/callback"),
    ("scope", "openid profile email"),
    ("state", "s&t"),
    ("nonce", "n"),
    ("code_challenge", "c"),
    ("code_challenge_method", "S256"),
]


def test_the_address_carries_what_the_flow_needs() -> None:
    assert address("https://issuer.example.com/auth") == OURS


def test_the_issuers_own_parameters_are_kept_unless_they_are_ours_to_say() -> None:
    found = address(
        "https://issuer.example.com/auth?tenant=blue&p=&tenant=red&client_id=other&response_type=token"
    )
    assert found == [("tenant", "blue"), ("p", ""), ("tenant", "red"), *OURS]


def test_a_hint_is_passed_on() -> None:
    assert address("https://issuer.example.com/auth", login_hint="alice") == [*OURS, ("login_hint", "alice")]


@pytest.mark.parametrize(
    ("error", "reason", "says"),
    [
        ("access_denied", "AccessDenied", "cancelled"),
        ("server_error", "AccessDenied", "failed"),
        ("invalid_scope", "IssuerRefused", "(invalid_scope)"),
        ("<script>alert(1)</script>", "IssuerRefused", "refused the request."),
        ("x" * 65, "IssuerRefused", "refused the request."),
        ("", "IssuerRefused", "refused the request."),
        ("päng", "IssuerRefused", "refused the request."),
    ],
)
def test_refusals_of_the_issuer_are_told_in_our_words(error: str, reason: str, says: str) -> None:
    refused = flow.denied(error)
    assert refused.reason == reason
    assert says in refused.message
    assert "<" not in refused.message


def test_the_callback_is_taken_from_our_issuer() -> None:
    flow.check_callback("code", None, METADATA)
    flow.check_callback("c" * 4096, METADATA.issuer, METADATA)


@pytest.mark.parametrize(
    ("url", "well_known"),
    [
        ("https://a.example.com", "https://a.example.com/.well-known/openid-configuration"),
        ("https://a.example.com/", "https://a.example.com/.well-known/openid-configuration"),
        ("https://a.example.com/realms/x", "https://a.example.com/realms/x/.well-known/openid-configuration"),
    ],
)
def test_where_the_discovery_document_is(url: str, well_known: str) -> None:
    assert metadata.address(url) == well_known


def test_errors_keep_their_parts_when_copied() -> None:
    for error in (LoginRefused("Reason", "A sentence."), IssuerAway("Reason", "A sentence.")):
        copy = pickle.loads(pickle.dumps(error))
        assert (type(copy), copy.reason, copy.message, str(copy)) == (
            type(error),
            "Reason",
            "A sentence.",
            "A sentence.",
        )
        assert isinstance(error, LoginError)
