"""Authorization requests, and the codes and tokens that come of them. Pure: time is given, nothing is sent."""

import hashlib
import hmac
import re
import secrets
from base64 import urlsafe_b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Final
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from bind_agent.devcluster.issuer.people import ACCOUNTS, CLIENT_ID

CODE_SECONDS: Final = 60
TOKEN_SECONDS: Final = 300
_MOST: Final = 1000
_LONGEST: Final = 2048
_VERIFIER: Final = re.compile(r"[A-Za-z0-9._~-]{43,128}")
_CHALLENGE: Final = re.compile(r"[A-Za-z0-9_-]{43}")
_SCOPES: Final = {
    "profile": ("name", "preferred_username", "groups"),
    "email": ("email", "email_verified"),
}


class RequestError(Exception):
    """An authorization request that cannot even be answered at the client: the browser gets a page.

    The text is for the developer in front of it.
    """


class AnswerError(Exception):
    """An error of the protocol, to be sent to the client.

    Attributes:
        error: the error word (RFC 6749).
        description: for developers.
    """

    def __init__(self, error: str, description: str) -> None:
        """Name it."""
        super().__init__(f"{error}: {description}")
        self.error = error
        self.description = description


@dataclass(frozen=True, slots=True)
class Request:
    """What a client asks for.

    Attributes:
        redirect_uri: where the answer goes; on this machine.
        state: returned with it; may be empty.
        nonce: returned in the ID token; may be empty.
        challenge: S256 code challenge.
        scopes: what may be told.
        hint: an account that is to be picked without asking; empty to ask.
    """

    redirect_uri: str
    state: str
    nonce: str
    challenge: str
    scopes: tuple[str, ...]
    hint: str

    def answer(self, **parameters: str) -> str:
        """The address that takes an answer to the client; parameters that it has already are kept."""
        parts = urlsplit(self.redirect_uri)
        more = {**parameters, **({"state": self.state} if self.state else {})}
        return urlunsplit(parts._replace(query=urlencode([*parse_qsl(parts.query), *more.items()])))


@dataclass(frozen=True, slots=True)
class Grant:
    """What a code or an access token is good for."""

    request: Request
    subject: str
    ends: float


def read_target(query: Mapping[str, str]) -> Request:
    """Read an authorization request as far as it says where its answer goes.

    Raises:
        RequestError: of another client, or to where no code may be sent.
    """
    if query.get("client_id") != CLIENT_ID:
        raise RequestError(f"The client is not known here. The only one is {CLIENT_ID}.")
    target = query.get("redirect_uri", "")
    if len(target) > _LONGEST or not _is_loopback(target):
        raise RequestError(
            "The redirect_uri does not lead to this machine. This issuer is for development on one machine only."
        )
    return Request(
        redirect_uri=target,
        state=query.get("state", ""),
        nonce=query.get("nonce", ""),
        challenge=query.get("code_challenge", ""),
        scopes=tuple(query.get("scope", "").split()),
        hint=query.get("login_hint", ""),
    )


def check(query: Mapping[str, str], request: Request) -> None:
    """Check the rest of a request.

    Raises:
        AnswerError: it is refused.
    """
    if query.get("response_type") != "code":
        raise AnswerError("unsupported_response_type", "only response_type=code")
    if query.get("code_challenge_method") != "S256" or not _CHALLENGE.fullmatch(request.challenge):
        raise AnswerError(
            "invalid_request", "PKCE is needed: code_challenge_method=S256 and a code_challenge"
        )
    if "openid" not in request.scopes:
        raise AnswerError("invalid_scope", "the scope openid is needed")
    if query.get("prompt") == "none" and request.hint not in ACCOUNTS:
        raise AnswerError("login_required", "nobody is logged in here, ever: name an account with login_hint")


def told(grant: Grant) -> dict[str, object]:
    """Claims that the scopes of a grant cover."""
    claims = ACCOUNTS[grant.subject].claims
    names = {"sub", *(name for scope in grant.request.scopes for name in _SCOPES.get(scope, ()))}
    return {name: value for name, value in claims.items() if name in names}


class Grants:
    """Codes and access tokens that are still good, in memory; the oldest go when there are too many."""

    def __init__(self) -> None:
        """Start with none."""
        self._codes: dict[str, Grant] = {}
        self._tokens: dict[str, Grant] = {}

    def code(self, request: Request, subject: str, now: float) -> str:
        """A new code for an account."""
        return _keep(self._codes, Grant(request, subject, now + CODE_SECONDS), now)

    def redeem(self, form: Mapping[str, str], now: float) -> tuple[Grant, str]:
        """Exchange a code, once.

        Returns:
            What it was good for, and an access token.

        Raises:
            AnswerError: it is not good, or not for who asks.
        """
        if form.get("grant_type") != "authorization_code":
            raise AnswerError("unsupported_grant_type", "only grant_type=authorization_code")
        if form.get("client_id") != CLIENT_ID:
            raise AnswerError("invalid_client", f"the only client is {CLIENT_ID}, without a secret")
        # Whatever comes of it, the code is used up.
        grant = self._codes.pop(form.get("code", ""), None)
        if grant is None or grant.ends <= now:
            raise AnswerError("invalid_grant", "the code is unknown, used or older than a minute")
        if form.get("redirect_uri") != grant.request.redirect_uri:
            raise AnswerError("invalid_grant", "the redirect_uri is not the one of the login")
        verifier = form.get("code_verifier", "")
        if not _VERIFIER.fullmatch(verifier) or not hmac.compare_digest(
            _s256(verifier), grant.request.challenge
        ):
            raise AnswerError("invalid_grant", "the code_verifier is not the one of the login")
        return grant, _keep(self._tokens, Grant(grant.request, grant.subject, now + TOKEN_SECONDS), now)

    def bearer(self, token: str, now: float) -> Grant | None:
        """What an access token is good for; None when for nothing."""
        grant = self._tokens.get(token)
        return grant if grant is not None and grant.ends > now else None


def _keep(kept: dict[str, Grant], grant: Grant, now: float) -> str:
    for name in [name for name, known in kept.items() if known.ends <= now]:
        del kept[name]
    while len(kept) >= _MOST:
        del kept[next(iter(kept))]
    name = secrets.token_urlsafe(32)
    kept[name] = grant
    return name


def _s256(verifier: str) -> str:
    digest = hashlib.sha256(verifier.encode("ascii")).digest()
    return urlsafe_b64encode(digest).rstrip(b"=").decode("ascii")


def _is_loopback(url: str) -> bool:
    if not url.isascii() or not url.isprintable() or "\\" in url or "#" in url or "@" in url:
        return False
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname or "", parts.port
    except ValueError:
        return False
    if parts.scheme not in {"http", "https"}:
        return False
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
