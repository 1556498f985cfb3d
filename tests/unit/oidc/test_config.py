"""What an operator may say about the issuer, and which addresses an issuer may have."""

from typing import Any

import pytest

from bind_agent.backend.oidc import metadata
from bind_agent.backend.oidc.addresses import endpoint_fault, host_of, on_this_machine
from bind_agent.backend.oidc.config import OidcConfig
from bind_agent.backend.oidc.errors import IssuerAway

pytestmark = pytest.mark.unit


def config(**changes: Any) -> OidcConfig:
    return OidcConfig(
        **{
            "issuer_url": "https://issuer.example.com",
            "client_id": "bind",
            "client_secret": "the secret",
            "callback_url": "https://bind.example.com/callback",
            **changes,
        }
    )


def test_the_secret_is_not_shown() -> None:
    assert "the secret" not in repr(config())


@pytest.mark.parametrize(
    ("scopes", "scope"),
    [
        (("profile",), "openid profile"),
        (("openid", "groups", "groups"), "openid groups"),
        ((), "openid"),
    ],
)
def test_openid_is_always_asked_for(scopes: tuple[str, ...], scope: str) -> None:
    assert config(scopes=scopes).scope == scope


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"issuer_url": ""}, "the issuer's URL is missing"),
        ({"issuer_url": "http://issuer.example.com"}, "plain http"),
        ({"issuer_url": "https://issuer.example.com?a=b"}, "has a query"),
        ({"issuer_url": "https://issuer.example.com#x"}, "a fragment"),
        ({"callback_url": ""}, "the callback URL is missing"),
        ({"callback_url": "/callback"}, "the callback URL is no https URL"),
        ({"client_id": ""}, "client id"),
        ({"client_id": "a\n"}, "client id"),
        ({"client_secret": "a\n"}, "client secret"),
        ({"groups_claim": ""}, "groups claim"),
        ({"scopes": ("openid profile",)}, "a scope"),
        ({"scopes": ("",)}, "a scope"),
    ],
)
def test_what_cannot_work_is_refused(changes: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=says) as refused:
        config(**changes)
    assert "the secret" not in str(refused.value)


@pytest.mark.parametrize(
    "changes",
    [
        {"issuer_url": "http://127.0.0.1:8080"},
        {"issuer_url": "http://[::1]:8080/realm"},
        {"issuer_url": "https://issuer.example.com/realms/a/"},
        {"callback_url": "http://localhost:8080/callback"},
        {"callback_url": "https://bind.example.com/callback?a=b"},
        {"client_secret": ""},
        {"groups_claim": "https://example.com/groups"},
    ],
)
def test_what_can_work_is_taken(changes: dict[str, Any]) -> None:
    assert config(**changes)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "issuer.example.com",
        "ftp://issuer.example.com",
        "http://issuer.example.com",
        "http://127.0.0.1.example.com/",
        "http://127.0.0.1@issuer.example.com/",
        "https://user:word@issuer.example.com",
        "https://issuer.example.com/#part",
        "https://issuer.example.com\\@evil.example.com",
        "https:///path",
        "https://a b/",
        "https://issuer.example.com:99999",
        "https://[::1",
        "https://ïssuer.example.com",
        "https://issuer.example.com/\n",
        "https://issuer.example.com/" + "a" * 2048,
    ],
)
def test_addresses_that_nothing_is_sent_to(url: str) -> None:
    assert endpoint_fault(url)


@pytest.mark.parametrize(
    ("url", "host", "own"),
    [
        ("https://issuer.example.com/token?a=b", "issuer.example.com", False),
        ("https://10.0.0.1:8443/", "10.0.0.1:8443", False),
        ("http://localhost:1/", "localhost:1", True),
        ("http://127.9.9.9/", "127.9.9.9", True),
    ],
)
def test_addresses_that_are_fine(url: str, host: str, own: bool) -> None:
    assert endpoint_fault(url) == ""
    assert (host_of(url), on_this_machine(url)) == (host, own)


def document(**changes: Any) -> dict[str, Any]:
    issuer = "https://issuer.example.com"
    return {
        "issuer": issuer,
        "authorization_endpoint": f"{issuer}/auth",
        "token_endpoint": f"{issuer}/token",
        "jwks_uri": f"{issuer}/keys",
        **changes,
    }


def test_a_bare_document_is_enough() -> None:
    found = metadata.parse(document(), "https://issuer.example.com")
    assert (found.userinfo_endpoint, found.end_session_endpoint, found.names_itself) == ("", "", False)
    assert found.authentication(with_secret=True) == ("client_secret_basic",)
    assert found.authentication(with_secret=False) == ("none",)


@pytest.mark.parametrize("url", ["http://127.0.0.1:10250/", "https://localhost/token"])
def test_an_issuer_elsewhere_does_not_lead_to_this_machine(url: str) -> None:
    with pytest.raises(IssuerAway, match="leads to this machine"):
        metadata.parse(document(token_endpoint=url), "https://issuer.example.com")
    # What is not needed is left out instead.
    assert (
        metadata.parse(document(userinfo_endpoint=url), "https://issuer.example.com").userinfo_endpoint == ""
    )


def test_endpoints_may_be_on_other_hosts() -> None:
    found = metadata.parse(
        document(token_endpoint="https://tokens.example.net/"), "https://issuer.example.com"
    )
    assert found.token_endpoint == "https://tokens.example.net/"
