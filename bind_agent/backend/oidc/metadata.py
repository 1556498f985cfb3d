"""The issuer's discovery document, checked before any of it is used (OpenID Connect Discovery 1.0, RFC 8414)."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from bind_agent.backend.oidc.addresses import endpoint_fault, on_this_machine
from bind_agent.backend.oidc.errors import IssuerAway

ALGORITHMS: Final = (
    "RS256",
    "RS384",
    "RS512",
    "PS256",
    "PS384",
    "PS512",
    "ES256",
    "ES384",
    "ES512",
    "EdDSA",
    "Ed25519",
)
"""Signatures that ID tokens may have: asymmetric ones only, whatever the issuer offers (threats A51). `Ed25519` is
the name that RFC 9864 gives to what `EdDSA` was."""

BASIC: Final = "client_secret_basic"
POST: Final = "client_secret_post"
PUBLIC: Final = "none"

_PATH: Final = "/.well-known/openid-configuration"
_MOST_WORDS: Final = 100
_MISCONFIGURED: Final = "IssuerMisconfigured"


@dataclass(frozen=True, slots=True)
class Metadata:
    """What we use of the discovery document.

    Attributes:
        issuer: the issuer's URL, equal to the configured one.
        authorization_endpoint: where browsers are sent.
        token_endpoint: where codes are exchanged.
        jwks_uri: where its keys are.
        userinfo_endpoint: where further claims are; empty when there is none.
        end_session_endpoint: where a browser can log out of the issuer; empty when there is none.
        client_authentication: how clients may authenticate at the token endpoint, BASIC when it does not say.
        names_itself: whether it puts `iss` into every answer to the callback (RFC 9207).
    """

    issuer: str
    authorization_endpoint: str
    token_endpoint: str
    jwks_uri: str
    userinfo_endpoint: str = ""
    end_session_endpoint: str = ""
    client_authentication: tuple[str, ...] = (BASIC,)
    names_itself: bool = False

    def authentication(self, *, with_secret: bool) -> tuple[str, ...]:
        """How to authenticate at the token endpoint: PUBLIC, or one or both of BASIC and POST, to be tried in order.

        Issuers that know both may insist on one of them for each client. A public client is not checked against
        the list, since many issuers that accept one do not say so.

        Raises:
            IssuerAway: it accepts secrets in neither of the two ways.
        """
        if not with_secret:
            return (PUBLIC,)
        if methods := tuple(method for method in (BASIC, POST) if method in self.client_authentication):
            return methods
        raise IssuerAway(
            _MISCONFIGURED,
            "The sign-in service does not accept client secrets, neither by basic authentication nor in the "
            "form. The operator has to allow client_secret_basic for this client.",
        )


def address(issuer: str) -> str:
    """Where the discovery document of an issuer is."""
    return issuer.rstrip("/") + _PATH


def parse(document: Mapping[str, Any], issuer: str) -> Metadata:
    """Check a discovery document.

    Args:
        document: the JSON object.
        issuer: the configured issuer.

    Raises:
        IssuerAway: it is of another issuer, lacks what is needed, or leads to where nothing may be sent.
    """
    named = document.get("issuer")
    if named != issuer:
        hint = f": it calls itself {named}" if isinstance(named, str) and not endpoint_fault(named) else ""
        raise IssuerAway(
            _MISCONFIGURED,
            f"The sign-in service is not the one that this server is set up for{hint}. The operator has to set"
            " the issuer's URL exactly as the service writes it.",
        )
    endpoints = {
        name: _endpoint(document, name, issuer, needed=needed)
        for name, needed in (
            ("authorization_endpoint", True),
            ("token_endpoint", True),
            ("jwks_uri", True),
            ("userinfo_endpoint", False),
            ("end_session_endpoint", False),
        )
    }
    offered = _words(document, "response_types_supported")
    if offered is not None and "code" not in offered:
        raise IssuerAway(_MISCONFIGURED, "The sign-in service does not offer the authorization code flow.")
    signed = _words(document, "id_token_signing_alg_values_supported")
    if signed is not None and not set(signed) & set(ALGORITHMS):
        raise IssuerAway(
            _MISCONFIGURED,
            "The sign-in service signs its tokens in no way that this server accepts. The operator has to set it"
            " up for RS256 or ES256.",
        )
    methods = _words(document, "token_endpoint_auth_methods_supported")
    return Metadata(
        issuer=issuer,
        client_authentication=(BASIC,) if methods is None else methods,
        names_itself=document.get("authorization_response_iss_parameter_supported") is True,
        **endpoints,
    )


def _endpoint(document: Mapping[str, Any], name: str, issuer: str, *, needed: bool) -> str:
    url = document.get(name)
    if url is None and not needed:
        return ""
    fault = endpoint_fault(url if isinstance(url, str) else "")
    # Nobody but a development issuer on this machine has business with other ports of this machine.
    if not fault and on_this_machine(url or "") and not on_this_machine(issuer):
        fault = "leads to this machine"
    if fault and needed:
        raise IssuerAway(
            _MISCONFIGURED, f"What the sign-in service says about itself cannot be used: its {name} {fault}."
        )
    return "" if fault else str(url)


def _words(document: Mapping[str, Any], name: str) -> tuple[str, ...] | None:
    found = document.get(name)
    if not isinstance(found, list):
        return None
    return tuple(word for word in found[:_MOST_WORDS] if isinstance(word, str))
