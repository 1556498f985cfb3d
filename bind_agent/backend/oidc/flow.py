"""The authorization code flow as far as it is arithmetic: PKCE, nonce, where to send the browser (RFC 6749, 7636)."""

import hashlib
import secrets
from base64 import urlsafe_b64encode
from typing import Final
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from bind_agent.backend.oidc.config import OidcConfig
from bind_agent.backend.oidc.errors import LoginRefused
from bind_agent.backend.oidc.metadata import Metadata

_RANDOM_BYTES: Final = 32
_LONGEST_CODE: Final = 4096
_LONGEST_WORD: Final = 64

CANCELLED: Final = "access_denied"
"""Error word for a person who thinks better of it, or is not let in."""

_DENIED: Final = {
    CANCELLED: "The sign-in was cancelled, or the sign-in service does not let you in.",
    "login_required": "The sign-in service wants you to sign in again.",
    "interaction_required": "The sign-in service wants to ask you something first.",
    "consent_required": "The sign-in service needs your consent.",
    "temporarily_unavailable": "The sign-in service is busy right now.",
    "server_error": "The sign-in service failed.",
}
"""Error words of the authorization endpoint that a person can do something about (RFC 6749 4.1.2.1, OpenID Connect
Core 3.1.2.6)."""


def new_verifier() -> str:
    """A fresh PKCE code verifier: 43 characters, 256 bits (RFC 7636 4.1)."""
    return _random()


def new_nonce() -> str:
    """A fresh nonce: 43 characters, 256 bits."""
    return _random()


def challenge(verifier: str) -> str:
    """The S256 code challenge of a verifier (RFC 7636 4.2)."""
    return _base64(hashlib.sha256(verifier.encode("ascii")).digest())


def authorization_url(
    metadata: Metadata,
    config: OidcConfig,
    *,
    state: str,
    nonce: str,
    code_challenge: str,
    login_hint: str = "",
) -> str:
    """The address that begins a login at the issuer.

    Query parameters of the issuer's endpoint are kept, except those that are ours to say.

    Args:
        metadata: of the issuer.
        config: ours.
        state: comes back with the answer.
        nonce: comes back inside the ID token.
        code_challenge: of the verifier that will be shown with the code.
        login_hint: who probably logs in; the issuer may ignore it.
    """
    ours = {
        "response_type": "code",
        "client_id": config.client_id,
        "redirect_uri": config.callback_url,
        "scope": config.scope,
        "state": state,
        "nonce": nonce,
        "code_challenge": code_challenge,
        "code_challenge_method": "S256",
    }
    if login_hint:
        ours["login_hint"] = login_hint
    parts = urlsplit(metadata.authorization_endpoint)
    kept = [
        (name, value) for name, value in parse_qsl(parts.query, keep_blank_values=True) if name not in ours
    ]
    return urlunsplit(parts._replace(query=urlencode([*kept, *ours.items()])))


def denied(error: str) -> LoginRefused:
    """The refusal for an `error` parameter of the callback, as an exception to be raised or shown.

    Args:
        error: the parameter, as it came from the browser; anything but an error word is not repeated.
    """
    if sentence := _DENIED.get(error):
        return LoginRefused("AccessDenied", f"{sentence} Go back to where you came from and try again.")
    word = f" ({error})" if is_word(error) else ""
    return LoginRefused(
        "IssuerRefused",
        f"The sign-in service refused the request{word}. If it happens again, tell the operator of this server.",
    )


def check_callback(code: str, issuer: str | None, metadata: Metadata) -> None:
    """Check what the callback carries before any of it is used.

    Args:
        code: the authorization code.
        issuer: the parameter `iss` (RFC 9207), None when there is none.
        metadata: of our issuer.

    Raises:
        LoginRefused: the answer is of another issuer, or cannot be one.
    """
    if issuer is None and metadata.names_itself:
        raise LoginRefused(
            "ResponseIssuerMissing",
            "The answer does not say which sign-in service it comes from, although ours always does."
            " Start again from the beginning.",
        )
    if issuer is not None and issuer != metadata.issuer:
        raise LoginRefused(
            "ResponseIssuerMismatch",
            "The answer comes from another sign-in service than ours. Start again from the beginning.",
        )
    if not 0 < len(code) <= _LONGEST_CODE or not code.isascii() or not code.isprintable():
        raise LoginRefused(
            "CodeMalformed", "The answer of the sign-in service is damaged. Start again from the beginning."
        )


def is_word(text: object) -> bool:
    """Whether a text is an error word of the protocol and nothing else, so that it may be shown and logged."""
    return (
        isinstance(text, str)
        and 0 < len(text) <= _LONGEST_WORD
        and text.isascii()
        and text.replace("_", "").replace("-", "").isalnum()
    )


def _random() -> str:
    return _base64(secrets.token_bytes(_RANDOM_BYTES))


def _base64(data: bytes) -> str:
    return urlsafe_b64encode(data).rstrip(b"=").decode("ascii")
