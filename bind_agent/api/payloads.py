"""Documents that travel over HTTP between backend, browser and CLI (spec 3.10.1, 3.10.2, 12.2).

Fields stand in the order in which Go writes them, so that the documents can be compared byte by byte.
"""

from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import urlsplit

import msgspec

from bind_agent.api import encoding, keys
from bind_agent.api.decoding import decode, decode_part
from bind_agent.api.encoding import EncodingError
from bind_agent.api.export_request import ExportRequest
from bind_agent.api.shared import Part, to_wire
from bind_agent.api.validation import InvalidObject, Problem, not_empty

_RESPONSE: Final = "response"
"""What a response is called in messages: it has no name."""


class OAuth2CodeGrant(Part, frozen=True, kw_only=True, rename={"authenticated_url": "authenticatedURL"}):
    """Where the browser begins to log in."""

    authenticated_url: str


class AuthenticationMethod(
    Part,
    frozen=True,
    kw_only=True,
    rename={"oauth2_code_grant": "oauth2CodeGrant"},
):
    """One way to log in."""

    method: str
    oauth2_code_grant: OAuth2CodeGrant | None = None


class BindingProvider(Part, frozen=True, kw_only=True):
    """Answer of `GET /export`: who the provider is, and how one logs in."""

    kind: str
    api_version: str
    provider_pretty_name: str = ""
    version: str = ""
    authentication_methods: tuple[AuthenticationMethod, ...] = ()

    def login_url(self) -> str:
        """Where the browser begins; empty when no known method is offered."""
        for method in self.authentication_methods:
            if method.method == keys.OAUTH2_CODE_GRANT and method.oauth2_code_grant:
                return method.oauth2_code_grant.authenticated_url
        return ""


class CodeGrantSession(Part, frozen=True, kw_only=True):
    """The session that the CLI began (`sid`), and who logged in (`id`, for information only)."""

    sid: str
    id: str = ""


class ResponseAuthentication(
    Part,
    frozen=True,
    kw_only=True,
    rename={"oauth2_code_grant": "oauth2CodeGrant"},
):
    """How the answer was authenticated."""

    oauth2_code_grant: CodeGrantSession | None = None


class BindingResponse(Part, frozen=True, kw_only=True):
    """What the CLI gets at the end of a login. Its kubeconfig is a credential: never print it.

    Attributes:
        kubeconfig: standard base64 of the kubeconfig.
        requests: export requests to create on the provider, still unchecked.
    """

    kind: str
    api_version: str
    authentication: ResponseAuthentication
    kubeconfig: str
    requests: tuple[dict[str, Any], ...] = ()

    def __repr__(self) -> str:
        return f"BindingResponse(session={self.session_id!r}, requests={len(self.requests)})"

    def __rich_repr__(self) -> Any:
        """Without the kubeconfig as well."""
        yield "requests", len(self.requests)

    @property
    def session_id(self) -> str:
        """The session that this answers; empty when it names none."""
        grant = self.authentication.oauth2_code_grant
        return grant.sid if grant else ""

    def kubeconfig_bytes(self) -> bytes:
        """The kubeconfig itself.

        Raises:
            EncodingError: not base64.
        """
        return encoding.from_base64(self.kubeconfig)

    def export_requests(self) -> tuple[ExportRequest, ...]:
        """The requests, checked.

        Raises:
            InvalidObject: one of them is not a valid export request.
        """
        return tuple(decode(ExportRequest, request) for request in self.requests)


def binding_provider(pretty_name: str, version: str, login_url: str) -> dict[str, Any]:
    """The document for `GET /export`."""
    grant = OAuth2CodeGrant(authenticated_url=login_url)
    return to_wire(
        BindingProvider(
            api_version=keys.BINDING_PROVIDER_API_VERSION,
            kind=keys.KIND_BINDING_PROVIDER,
            provider_pretty_name=pretty_name,
            version=version,
            authentication_methods=(
                AuthenticationMethod(method=keys.OAUTH2_CODE_GRANT, oauth2_code_grant=grant),
            ),
        )
    )


def parse_binding_provider(obj: Mapping[str, Any]) -> BindingProvider:
    """Check what `GET /export` answered.

    Raises:
        InvalidObject: another document, no known way to log in, no version, or a login address that is no
            URL.
    """
    found = decode_part(BindingProvider, obj)
    problems = _head(
        found.api_version, keys.BINDING_PROVIDER_API_VERSION, found.kind, keys.KIND_BINDING_PROVIDER
    )
    problems += not_empty("version", found.version)
    url = found.login_url()
    if not url:
        problems.append(Problem("authenticationMethods", f"must offer {keys.OAUTH2_CODE_GRANT}"))
    elif not _is_http_url(url):
        problems.append(
            Problem("authenticationMethods", "the authenticatedURL must be an absolute http or https URL")
        )
    if problems:
        raise InvalidObject(keys.KIND_BINDING_PROVIDER, found.provider_pretty_name, problems)
    return found


def binding_response(
    *, session_id: str, identity: str, kubeconfig: bytes, requests: tuple[Mapping[str, Any], ...]
) -> dict[str, Any]:
    """The document at the end of a login.

    Args:
        session_id: as the CLI gave it.
        identity: `<issuer>/<subject>`.
        kubeconfig: as it is to be stored.
        requests: export requests as plain data.
    """
    session = CodeGrantSession(sid=session_id, id=identity)
    return to_wire(
        BindingResponse(
            api_version=keys.API_VERSION,
            kind=keys.KIND_BINDING_RESPONSE,
            authentication=ResponseAuthentication(oauth2_code_grant=session),
            kubeconfig=encoding.to_base64(kubeconfig),
            requests=tuple(dict(request) for request in requests),
        )
    )


def encode_binding_response(document: Mapping[str, Any]) -> str:
    """The text for the `response` parameter: the standard alphabet, which Go's CLI expects."""
    return encoding.to_base64_json(document)


def parse_binding_response(text: str, *, session_id: str) -> BindingResponse:
    """Check a `response` parameter, in either alphabet.

    Args:
        text: the parameter.
        session_id: the session that the caller began; an answer to another one is refused.

    Raises:
        InvalidObject: not such a document, or not for this session; the message repeats none of its content.
    """
    try:
        document = encoding.from_base64_json(text)
    except EncodingError as error:
        raise InvalidObject(keys.KIND_BINDING_RESPONSE, _RESPONSE, [Problem("", str(error))]) from None
    return check_binding_response(document, session_id=session_id)


def check_binding_response(document: Mapping[str, Any], *, session_id: str) -> BindingResponse:
    """Check a BindingResponse as the back channel hands it out.

    Args:
        document: decoded JSON.
        session_id: the session that the caller began; an answer to another one is refused.

    Raises:
        InvalidObject: not such a document, or not for this session; the message repeats none of its content.
    """
    try:
        found = decode_part(BindingResponse, document)
        found.kubeconfig_bytes()
    except EncodingError as error:
        raise InvalidObject(keys.KIND_BINDING_RESPONSE, _RESPONSE, [Problem("", str(error))]) from None
    problems = _head(found.api_version, keys.API_VERSION, found.kind, keys.KIND_BINDING_RESPONSE)
    problems += not_empty("kubeconfig", found.kubeconfig)
    if not session_id or found.session_id != session_id:
        problems.append(
            Problem(
                "authentication.oauth2CodeGrant.sid", "the answer belongs to another session; start again"
            )
        )
    if problems:
        raise InvalidObject(keys.KIND_BINDING_RESPONSE, _RESPONSE, problems)
    return found


class LoginState(Part, frozen=True, kw_only=True, rename={"redirect_url": "redirectURL"}):
    """What Go's backend carries through the issuer in `state` (spec 12.2)."""

    redirect_url: str
    sid: str
    cid: str


def encode_state(state: LoginState) -> str:
    """The state as Go's backend writes it: compact JSON in the URL-safe alphabet."""
    return encoding.to_base64_urlsafe(msgspec.json.encode(state))


def decode_state(text: str) -> LoginState:
    """The state of either alphabet.

    Raises:
        EncodingError: not base64 of a JSON object.
        InvalidObject: fields are missing.
    """
    return decode_part(LoginState, encoding.from_base64_json(text))


def _head(api_version: str, wanted_version: str, kind: str, wanted_kind: str) -> list[Problem]:
    problems = []
    if api_version != wanted_version:
        problems.append(Problem("apiVersion", f"must be {wanted_version}"))
    if kind != wanted_kind:
        problems.append(Problem("kind", f"must be {wanted_kind}"))
    return problems


def _is_http_url(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return parts.scheme in {"http", "https"} and bool(parts.hostname)
    except ValueError:
        return False
