"""Reading answers: bounded, of the expected type, failures turned into errors by meaning."""

import ssl
from typing import Final

import aiohttp

from bind_agent.kube.asked import Asked
from bind_agent.kube.errors import (
    AnswerTooLarge,
    ConnectionFailed,
    KubeError,
    MalformedAnswer,
    clean,
    error_from_answer,
)

# What can go wrong below HTTP, in one place for every `except`.
CONNECTION_ERRORS: Final = (aiohttp.ClientError, TimeoutError, OSError, ssl.SSLError)

_JSON: Final = "application/json"
_MAX_ERROR_BODY: Final = 64 * 1024


def require_json(response: aiohttp.ClientResponse) -> None:
    """Refuse an answer that does not claim to be JSON.

    Raises:
        MalformedAnswer: it is something else: a proxy's page, most of the time.
    """
    kind = response.headers.get("Content-Type", "")
    if not kind.startswith(_JSON):
        raise MalformedAnswer(
            f"the answer is {clean(kind, 64) or 'of no type'} instead of JSON "
            "(is the address that of an API server?)"
        )


async def read(response: aiohttp.ClientResponse, limit: int) -> bytes:
    """The whole body, bounded also when it is compressed or of unknown length.

    Args:
        response: an answer of which nothing was read yet.
        limit: most bytes, after decompression.

    Returns:
        The body.

    Raises:
        AnswerTooLarge: there is more; the caller has to close the response.
    """
    length = response.content_length
    if length is not None:
        if length > limit:
            raise AnswerTooLarge(f"an answer of {length} bytes; at most {limit} are read")
        if "Content-Encoding" not in response.headers:
            return await response.read()
    chunks: list[bytes] = []
    size = 0
    async for chunk in response.content.iter_any():
        size += len(chunk)
        if size > limit:
            raise AnswerTooLarge(f"an answer of more than {limit} bytes")
        chunks.append(chunk)
    return b"".join(chunks)


async def raise_for_failure(
    response: aiohttp.ClientResponse, *, sensitive: bool, asked: Asked | None = None
) -> None:
    """Turn a failing answer into its error.

    Args:
        response: an answer of which nothing was read yet.
        sensitive: its Status may quote a Secret.
        asked: the request, where it is about one kind.

    Raises:
        ApiError: the status is 400 or more.
        MalformedAnswer: the server redirects.
    """
    status = response.status
    if status < 300:
        return
    if status < 400:
        raise MalformedAnswer(
            f"the server redirects ({status}), which API servers do not do; check its address"
        )
    body = b""
    if response.headers.get("Content-Type", "").startswith(_JSON):
        try:
            body = await read(response, _MAX_ERROR_BODY)
        except AnswerTooLarge:
            response.close()
    raise error_from_answer(
        status, body, retry_after=response.headers.get("Retry-After"), sensitive=sensitive, asked=asked
    )


def connection_error(error: BaseException) -> KubeError:
    """The error by meaning for one of `CONNECTION_ERRORS`.

    Args:
        error: what the HTTP library raised.

    Returns:
        A `ConnectionFailed`, or a `MalformedAnswer` for an answer that cannot be parsed.
    """
    # A body that does not decompress comes with the same class as one that was cut off.
    undecodable = isinstance(error.__cause__, aiohttp.http_exceptions.ContentEncodingError)
    if undecodable or isinstance(error, aiohttp.ClientResponseError):
        return MalformedAnswer("the answer cannot be decoded as HTTP")
    broken = False
    if isinstance(error, TimeoutError):
        message = "the server did not answer in time"
    elif isinstance(error, aiohttp.ClientConnectorCertificateError | ssl.SSLCertVerificationError):
        message = f"the server's certificate is not accepted: {reason(error)}"
    elif isinstance(error, aiohttp.ClientConnectorError):
        message = f"cannot connect: {reason(error.os_error)}"
    else:
        broken = isinstance(
            error,
            aiohttp.ServerDisconnectedError
            | aiohttp.ClientOSError
            | aiohttp.ClientPayloadError
            | ConnectionError,
        )
        message = f"the connection broke: {reason(error)}"
    return ConnectionFailed(message, broken=broken)


def reason(error: BaseException) -> str:
    """A short reason out of an exception of the HTTP or TLS library, without URLs and bodies."""
    inner = getattr(error, "certificate_error", None) or error
    for attribute in ("verify_message", "strerror", "reason"):
        text = getattr(inner, attribute, None)
        if isinstance(text, str) and text:
            return clean(text)
    return type(inner).__name__
