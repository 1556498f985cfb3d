"""The two requests that a login needs: the code for tokens, and further claims (OpenID Connect Core 3.1.3, 5.3)."""

import base64
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote_plus, urlencode

from bind_agent.backend.oidc.config import OidcConfig
from bind_agent.backend.oidc.errors import IssuerAway, LoginError, LoginRefused
from bind_agent.backend.oidc.fetch import Answer, Fetcher
from bind_agent.backend.oidc.flow import is_word
from bind_agent.backend.oidc.metadata import BASIC, POST, Metadata

CLIENT_REFUSED: Final = "ClientRefused"

_LONGEST_TOKEN: Final = 131_072
_OPERATOR: Final = " The operator of this server has to look into it."


@dataclass(frozen=True, slots=True)
class Tokens:
    """What the token endpoint gave.

    Attributes:
        id_token: not verified yet.
        access_token: for the userinfo endpoint; None when there is none that can be sent.
    """

    id_token: str
    access_token: str | None

    def __repr__(self) -> str:
        return "Tokens([redacted])"


class Exchange:
    """Talks to the issuer's endpoints on behalf of one client."""

    def __init__(self, fetcher: Fetcher, config: OidcConfig) -> None:
        """Set who asks.

        Args:
            fetcher: does the requests.
            config: client id and secret.
        """
        self._fetcher = fetcher
        self._config = config
        self._method = ""

    async def redeem(self, metadata: Metadata, code: str, verifier: str) -> Tokens:
        """Exchange a code.

        Args:
            metadata: of the issuer.
            code: from the callback.
            verifier: the PKCE verifier of this login.

        Raises:
            IssuerAway: the issuer does not answer, or not as a token endpoint does.
            LoginRefused: it refuses the code, or us.
        """
        offered = metadata.authentication(with_secret=bool(self._config.client_secret))
        # The one that has worked first.
        methods = sorted(offered, key=lambda method: method != self._method)
        for method in methods[:-1]:
            try:
                return await self._redeem(metadata, method, code, verifier)
            except LoginRefused as error:
                # The client is looked at before the code, so the code is still good.
                if error.reason != CLIENT_REFUSED:
                    raise
        return await self._redeem(metadata, methods[-1], code, verifier)

    async def _redeem(self, metadata: Metadata, method: str, code: str, verifier: str) -> Tokens:
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": self._config.callback_url,
            "code_verifier": verifier,
        }
        headers: dict[str, str] = {}
        if method == BASIC:
            headers["Authorization"] = _basic(self._config.client_id, self._config.client_secret)
        else:
            form["client_id"] = self._config.client_id
            if method == POST:
                form["client_secret"] = self._config.client_secret
        body = urlencode(form).encode("ascii")
        answer = await self._fetcher.post("token", metadata.token_endpoint, body, headers=headers)
        if answer.status != 200:
            raise _refusal(answer)
        self._method = method
        return _tokens(answer)

    async def userinfo(self, metadata: Metadata, access_token: str) -> dict[str, Any] | None:
        """Claims of the userinfo endpoint.

        Args:
            metadata: of the issuer; it has such an endpoint.
            access_token: from `redeem`.

        Returns:
            The claims; None when the issuer does not give them, or not as JSON.

        Raises:
            IssuerAway: it does not answer, or fails.
        """
        answer = await self._fetcher.get(
            "userinfo", metadata.userinfo_endpoint, headers={"Authorization": f"Bearer {access_token}"}
        )
        if answer.status == 429 or answer.status >= 500:
            raise _failed(answer)
        return answer.document() if answer.status == 200 else None


def _basic(client_id: str, client_secret: str) -> str:
    # Both parts are form-encoded before they are put together (RFC 6749 2.3.1).
    pair = f"{quote_plus(client_id)}:{quote_plus(client_secret)}"
    return "Basic " + base64.b64encode(pair.encode("ascii")).decode("ascii")


def _tokens(answer: Answer) -> Tokens:
    document = answer.document()
    if document is None:
        raise IssuerAway(
            "IssuerMisbehaves", "The sign-in service answers with something that is no JSON." + _OPERATOR
        )
    id_token, access_token = document.get("id_token"), document.get("access_token")
    if not isinstance(id_token, str) or not id_token:
        raise LoginRefused(
            "TokenMissing", "The sign-in service did not say who you are: there is no ID token." + _OPERATOR
        )
    return Tokens(id_token, access_token if _sendable(access_token, document.get("token_type")) else None)


def _sendable(access_token: object, kind: object) -> bool:
    return (
        isinstance(access_token, str)
        and 0 < len(access_token) <= _LONGEST_TOKEN
        and access_token.isascii()
        and access_token.isprintable()
        and isinstance(kind, str)
        and kind.lower() == "bearer"
    )


def _refusal(answer: Answer) -> LoginError:
    """What an error answer of the token endpoint means (RFC 6749 5.2)."""
    if answer.status == 429 or answer.status >= 500:
        return _failed(answer)
    word = (answer.document() or {}).get("error")
    error = word if is_word(word) else None
    if error == "invalid_grant":
        return LoginRefused(
            "CodeRefused",
            "The sign-in took too long, or its answer was used before. Start again from the beginning.",
        )
    if error in {"invalid_client", "unauthorized_client"} or (answer.status == 401 and error is None):
        return LoginRefused(
            CLIENT_REFUSED,
            "The sign-in service does not accept this server: its client id or secret is wrong." + _OPERATOR,
        )
    if error is not None:
        return LoginRefused(
            "IssuerRefused", f"The sign-in service refused the request ({error})." + _OPERATOR
        )
    return IssuerAway(
        "IssuerMisbehaves",
        f"The sign-in service answers with the status {answer.status} and nothing that explains it."
        + _OPERATOR,
    )


def _failed(answer: Answer) -> IssuerAway:
    how = "is busy" if answer.status == 429 else "failed"
    return IssuerAway(
        "IssuerFailed", f"The sign-in service {how} (status {answer.status}). Try again in a minute."
    )
