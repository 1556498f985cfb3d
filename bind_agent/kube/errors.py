"""Failures of talking to an API server, by meaning.

```
KubeError
  ConfigError               the configuration cannot be used at all; a person has to change it
  CredentialError           no usable credential right now (plugin failed, file missing)
  InvalidName               a name that cannot stand in a request path (also a ValueError)
  ConnectionFailed          refused, reset, DNS, TLS, timed out: it is unknown whether the request was
  processed MalformedAnswer           an answer that is not what was asked for
    AnswerTooLarge          ... because it exceeds the bound for its kind
  ApiError                  the server answered with a failure
    BadRequest 400, Unauthorized 401, Forbidden 403, MethodNotAllowed 405
    NotFound 404            the server says that it has no such object (or, of a collection, no such kind)
      AbsenceUnproven 404   asked for an object, answered 404, but not that this object does not exist
    Conflict 409            somebody else was faster, or a precondition failed
      AlreadyExists 409
    Gone 410                history or continue token expired: list again
    PayloadTooLarge 413, UnsupportedMediaType 415, Invalid 422
    TooManyRequests 429     rejected before processing
    ServerError 5xx
      Unavailable 503, ServerTimeout 504 (and 500 with that reason)
```

Messages come from the other side: they are stripped of control characters and cut to 256 characters.  What
the server says about a Secret may quote its content, so such messages are made here (see `withheld`).
"""

from collections.abc import Mapping
from typing import Any, ClassVar

import orjson

from bind_agent.api.refusals import known_reason, says_absent
from bind_agent.api.resource import NAMESPACES
from bind_agent.kube import withheld
from bind_agent.kube.asked import Asked

MAX_MESSAGE = 256
MAX_RETRY_AFTER = 30.0


class KubeError(Exception):
    """Anything that went wrong between this process and an API server."""

    retriable: ClassVar[bool] = False


class ConfigError(KubeError):
    """The configuration of a cluster cannot be used; the message says what to change."""


class CredentialError(KubeError):
    """No usable credential could be had; may pass (a plugin that failed once)."""

    retriable = True


class InvalidName(KubeError, ValueError):  # noqa: N818 - here and below: named by meaning, not by suffix
    """A name, namespace or path piece that must not become part of a request path."""


class ConnectionFailed(KubeError):  # noqa: N818
    """No answer: refused, reset, DNS, TLS or timeout.  A write may or may not have happened.

    Attributes:
        broken: an established connection broke, so that trying again at once is promising.
    """

    retriable = True

    def __init__(self, message: str, *, broken: bool = False) -> None:
        self.broken = broken
        super().__init__(message)


class MalformedAnswer(KubeError):  # noqa: N818
    """The server answered with something else than what was asked for."""

    retriable = True


class AnswerTooLarge(MalformedAnswer):
    """An answer beyond the bound for its kind; it was not read to its end."""


class ApiError(KubeError):
    """The server answered with a failure.

    Attributes:
        code: HTTP status.
        reason: the machine-readable reason word of the Status (`""` when the answer was none).
        message: the server's message, cleaned and cut.
        details: the `details` of the Status (`{}` when absent or when they could quote a Secret).
        retry_after: seconds the server asks to wait, at most 30, or None.
    """

    def __init__(
        self,
        message: str,
        *,
        code: int,
        reason: str = "",
        details: Mapping[str, Any] | None = None,
        retry_after: float | None = None,
    ) -> None:
        self.message = clean(message)
        self.code = code
        self.reason = clean(reason, 64)
        self.details = dict(details or {})
        self.retry_after = retry_after
        super().__init__(self.message)

    def __str__(self) -> str:
        return f"{self.code} {self.reason}: {self.message}" if self.reason else f"{self.code}: {self.message}"


class BadRequest(ApiError):  # noqa: N818
    """400: the server could not make sense of the request."""


class Unauthorized(ApiError):  # noqa: N818
    """401: the credential is missing, wrong, expired or revoked."""


class Forbidden(ApiError):  # noqa: N818
    """403: the credential is known and lacks the right, or admission (a policy, a quota) refuses this content.

    Attributes:
        missing_right: it is a right that lacks; False when the words are not those in which API servers say
            so, which then are about one object and may quote it.
    """

    missing_right: bool = True


class NotFound(ApiError):  # noqa: N818
    """404: no such object; of a collection: no such resource."""


class AbsenceUnproven(NotFound):
    """404 to a request for one object that does not say that this object does not exist.

    The kind or its version is not served, perhaps only for a moment, or something in front of the API server
    answered.  Nothing may be concluded from it, least of all that a deletion is done.
    """

    retriable = True


class MethodNotAllowed(ApiError):  # noqa: N818
    """405: the resource does not know this verb."""


class Conflict(ApiError):  # noqa: N818
    """409: a precondition (UID, resourceVersion) failed or a field belongs to somebody else."""


class AlreadyExists(Conflict):
    """409 on create: an object of that name is there."""


class Gone(ApiError):  # noqa: N818
    """410: the resourceVersion or continue token is older than the history the server keeps."""


class PayloadTooLarge(ApiError):  # noqa: N818
    """413: the request body exceeds what the server takes."""


class UnsupportedMediaType(ApiError):  # noqa: N818
    """415: the server does not know this kind of patch."""


class Invalid(ApiError):  # noqa: N818
    """422: the object breaks the rules of its kind."""


class TooManyRequests(ApiError):  # noqa: N818
    """429: rejected before processing, so that sending it again is safe."""

    retriable = True


class ServerError(ApiError):
    """5xx: the server failed; a write may or may not have happened."""

    retriable = True


class Unavailable(ServerError):  # noqa: N818
    """503: the server, or what it depends on, is not ready."""


class ServerTimeout(ServerError):  # noqa: N818
    """504, or 500 with reason ServerTimeout: the server gave up waiting."""


_UNPROVEN = (
    "this does not say that the object is gone: see whether {resource} is served there, and whether the API "
    "server itself answers"
)

_BY_CODE: dict[int, type[ApiError]] = {
    400: BadRequest,
    401: Unauthorized,
    403: Forbidden,
    404: NotFound,
    405: MethodNotAllowed,
    409: Conflict,
    410: Gone,
    413: PayloadTooLarge,
    415: UnsupportedMediaType,
    422: Invalid,
    429: TooManyRequests,
    503: Unavailable,
    504: ServerTimeout,
}
# Reasons that say more than their code does.
_BY_REASON: dict[str, type[ApiError]] = {
    "AlreadyExists": AlreadyExists,
    "Expired": Gone,
    "Gone": Gone,
    "ServerTimeout": ServerTimeout,
    "Timeout": ServerTimeout,
}


def clean(text: str, limit: int = MAX_MESSAGE) -> str:
    """Text of the other side, safe for logs and conditions.

    Args:
        text: anything.
        limit: most characters that remain.

    Returns:
        The text with everything unprintable (control characters, escapes, bidirectional marks) replaced by
        blanks, runs of blanks joined, cut at `limit` with an ellipsis.
    """
    # Cutting first bounds the work on a megabyte of text.
    text = text[: 4 * limit]
    text = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return text if len(text) <= limit else text[: limit - 1] + "…"


def parse_retry_after(value: str | None) -> float | None:
    """Seconds of a Retry-After header, between 0 and 30; None when absent or not a number.

    The form with a date is not used by API servers and is ignored.
    """
    if value is None or not (value.isascii() and value.isdigit()):
        return None
    # A long run of digits is a number of years, and would be slow to convert.
    return MAX_RETRY_AFTER if len(value) > 6 else min(float(value), MAX_RETRY_AFTER)


def error_from_status(
    status: Mapping[str, Any],
    *,
    code: int = 0,
    retry_after: float | None = None,
    sensitive: bool = False,
    asked: Asked | None = None,
) -> ApiError:
    """The typed error for a `Status` object.

    Args:
        status: the decoded Status, of whatever shape the other side sent.
        code: HTTP status of the answer; 0 for an event inside a watch, where the Status carries the code.
        retry_after: seconds from the header; the Status' own `details.retryAfterSeconds` is used otherwise.
        sensitive: the request was about Secrets or tokens, so nothing of the server's words is repeated.
        asked: the request, where it is about one kind.

    Returns:
        An error of the class for the reason and the code.
    """
    own_code = status.get("code")
    if code == 0:
        code = own_code if isinstance(own_code, int) and 400 <= own_code <= 599 else 500
    reason = _text(status.get("reason"))
    message = _text(status.get("message")) or reason or "no message"
    details_ = status.get("details")
    details: Mapping[str, Any] = details_ if isinstance(details_, dict) else {}
    if retry_after is None:
        seconds = details.get("retryAfterSeconds")
        if isinstance(seconds, int) and seconds > 0:
            retry_after = min(float(seconds), MAX_RETRY_AFTER)
    kind = _BY_REASON.get(reason)
    if code == 422 and set(_fields(details)) == {"metadata.uid"}:
        # The object was replaced by another of its name: some verbs report the failed precondition this way.
        kind = Conflict
    kind = kind or _BY_CODE.get(code) or (ServerError if code >= 500 else ApiError)
    if kind is NotFound and asked is not None and asked.name and not _is_word_on(status, asked):
        kind = AbsenceUnproven
    right = code == 403 and (asked is None or withheld.is_missing_right(message, asked))
    if sensitive:
        message = withheld.message(
            asked,
            code=code,
            reason=reason,
            said=message,
            fields=_fields(details),
            right=right and asked is not None,
        )
        reason, details = known_reason(reason), {}
    if kind is AbsenceUnproven and asked is not None:
        said = "404" if sensitive else clean(message, 64)
        message = f"{said}; {_UNPROVEN.format(resource=asked.resource)}"
    error = kind(message, code=code, reason=reason, details=details, retry_after=retry_after)
    if isinstance(error, Forbidden):
        error.missing_right = right
    return error


def error_from_answer(
    code: int,
    body: bytes,
    *,
    retry_after: str | None = None,
    sensitive: bool = False,
    asked: Asked | None = None,
) -> ApiError:
    """The typed error for an answer with a failing HTTP status.

    Args:
        code: HTTP status, 400 or more.
        body: what was read of the answer; anything but a JSON Status is withheld, because proxies put whole
            pages there.
        retry_after: value of the Retry-After header.
        sensitive: as in `error_from_status`.
        asked: likewise.

    Returns:
        An error of the class for the reason and the code.
    """
    seconds = parse_retry_after(retry_after)
    try:
        status = orjson.loads(body)
    except orjson.JSONDecodeError:
        status = None
    if not isinstance(status, dict) or status.get("kind") != "Status":
        return error_from_status(
            {"message": "the answer carries no Status (a proxy, or not an API server?)"},
            code=code,
            retry_after=seconds,
            asked=asked,
        )
    return error_from_status(status, code=code, retry_after=seconds, sensitive=sensitive, asked=asked)


def _is_word_on(status: Mapping[str, Any], asked: Asked) -> bool:
    """Whether a 404 says that what was asked for is not there, or the namespace that it is to be written into."""
    if says_absent(status, asked.resource, asked.name):
        return True
    return asked.verb in {"create", "update", "patch", "apply"} and says_absent(
        status, NAMESPACES, asked.namespace
    )


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _fields(details: Mapping[str, Any]) -> list[str]:
    """Paths of the fields that a Status complains about."""
    causes = details.get("causes")
    if not isinstance(causes, list):
        return []
    return [field for cause in causes if isinstance(cause, dict) and (field := _text(cause.get("field")))]
