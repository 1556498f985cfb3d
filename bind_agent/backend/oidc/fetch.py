"""HTTP to the issuer, bounded in every respect: time, size, connections, and where a request may lead."""

import asyncio
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Final, Self

import aiohttp
import orjson
from yarl import URL

from bind_agent._version import __version__
from bind_agent.backend.oidc.addresses import endpoint_fault, host_of
from bind_agent.backend.oidc.config import OidcConfig
from bind_agent.backend.oidc.errors import IssuerAway
from bind_agent.kube.tls import harden
from bind_agent.obs import metrics

_MOST_CONNECTIONS: Final = 256
_CHUNK: Final = 16384


@dataclass(frozen=True, slots=True)
class Limits:
    """What the issuer may cost.

    Attributes:
        seconds: for a whole request, connecting and reading included.
        connect_seconds: for connecting.
        document_bytes: size of discovery document, key set and answers of the token endpoint.
    """

    seconds: float = 10.0
    connect_seconds: float = 5.0
    document_bytes: int = 262_144


LIMITS: Final = Limits()


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer with any status but a redirect.

    Attributes:
        status: HTTP status.
        body: complete.
    """

    status: int
    body: bytes

    def __repr__(self) -> str:
        return f"Answer(status={self.status}, {len(self.body)} bytes)"

    def document(self) -> dict[str, Any] | None:
        """The body as JSON object; None when it is none."""
        try:
            found = orjson.loads(self.body)
        except orjson.JSONDecodeError:
            return None
        return found if isinstance(found, dict) else None


class Fetcher:
    """Requests to the issuer; use it in an `async with` block.

    No redirect is followed, no proxy or credential of the environment used, no cookie kept, nothing unpacked. A
    connection serves one request: a code can be redeemed once only, so its request must not be lost on a
    connection that the issuer has just closed.
    """

    def __init__(self, config: OidcConfig, limits: Limits = LIMITS) -> None:
        """Prepare; nothing is opened.

        Args:
            config: says whose certificates are believed.
            limits: what the issuer may cost.

        Raises:
            ValueError: the file with the authorities cannot be used.
        """
        self._limits = limits
        self._session: aiohttp.ClientSession | None = None
        try:
            self._tls = ssl.create_default_context(cafile=config.ca_file)
        except OSError as error:  # ssl.SSLError is one
            why = getattr(error, "reason", None) or error.strerror or type(error).__name__
            raise ValueError(
                f"the file with the issuer's certificate authorities cannot be used: {why}"
            ) from None
        harden(self._tls, strict_x509=False)

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=_MOST_CONNECTIONS, ssl=self._tls, force_close=True),
            timeout=aiohttp.ClientTimeout(total=self._limits.seconds, connect=self._limits.connect_seconds),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            trust_env=False,
            headers={
                "User-Agent": f"bind-backend/{__version__}",
                "Accept": "application/json",
                "Accept-Encoding": "identity",
            },
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def get(self, endpoint: str, url: str, *, headers: Mapping[str, str] | None = None) -> Answer:
        """Ask for a document.

        Args:
            endpoint: what it is, for the metric.
            url: where it is.
            headers: further headers.

        Raises:
            IssuerAway: there is no answer, or none that may be used.
        """
        return await self._counted(endpoint, "GET", url, None, headers or {})

    async def post(self, endpoint: str, url: str, form: bytes, *, headers: Mapping[str, str]) -> Answer:
        """Send a form, see `get`.

        Args:
            endpoint: what it is, for the metric.
            url: where it is.
            form: the encoded form.
            headers: further headers.

        Raises:
            IssuerAway: there is no answer, or none that may be used.
        """
        kind = {"Content-Type": "application/x-www-form-urlencoded"}
        return await self._counted(endpoint, "POST", url, form, {**kind, **headers})

    async def _counted(
        self, endpoint: str, method: str, url: str, data: bytes | None, headers: Mapping[str, str]
    ) -> Answer:
        try:
            answer = await self._request(method, url, data, headers)
        except IssuerAway as error:
            metrics.OIDC_REQUESTS(endpoint, error.reason).inc()
            raise
        metrics.OIDC_REQUESTS(endpoint, str(answer.status)).inc()
        return answer

    async def _request(self, method: str, url: str, data: bytes | None, headers: Mapping[str, str]) -> Answer:
        if fault := endpoint_fault(url):
            raise IssuerAway("IssuerMisconfigured", f"An address of the sign-in service {fault}.")
        if self._session is None:
            raise RuntimeError("the fetcher is used outside its block")
        try:
            # The total limit of aiohttp covers an answer that trickles; this one covers everything else as well.
            # The address goes out as the issuer wrote it, not normalised.
            async with (
                asyncio.timeout(self._limits.seconds),
                self._session.request(
                    method, URL(url, encoded=True), data=data, headers=headers, allow_redirects=False
                ) as response,
            ):
                return Answer(response.status, await self._body(response, url))
        except TimeoutError:
            raise IssuerAway(
                "IssuerSilent",
                f"The sign-in service at {host_of(url)} does not answer in time. Try again in a minute.",
            ) from None
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise IssuerAway(
                "IssuerUnreachable",
                f"The sign-in service at {host_of(url)} cannot be reached ({_kind(error)})."
                " Try again in a minute.",
            ) from None

    async def _body(self, response: aiohttp.ClientResponse, url: str) -> bytes:
        if 300 <= response.status < 400:
            raise _misbehaves(url, "leads elsewhere (a redirect)")
        if response.headers.get("Content-Encoding", "identity").lower() != "identity":
            raise _misbehaves(url, "is compressed, which was not asked for")
        body = bytearray()
        async for part in response.content.iter_chunked(_CHUNK):
            body += part
            if len(body) > self._limits.document_bytes:
                raise _misbehaves(url, "is too large")
        return bytes(body)


def _misbehaves(url: str, how: str) -> IssuerAway:
    return IssuerAway(
        "IssuerMisbehaves",
        f"The answer of the sign-in service at {host_of(url)} {how}. The operator of this server has to look"
        " into it.",
    )


def _kind(error: BaseException) -> str:
    if isinstance(error, aiohttp.ClientConnectorCertificateError | aiohttp.ClientConnectorSSLError):
        return "its certificate is not trusted here"
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return "its name is not known here"
    if isinstance(error, aiohttp.ClientConnectorError):
        return "it does not accept connections"
    return "the connection broke"
