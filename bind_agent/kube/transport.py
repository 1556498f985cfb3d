"""The connections to one cluster: sessions, TLS, authorization, bounded answers, errors by meaning.

Two sessions per cluster, because every watch keeps a connection for its whole life and would starve the calls of a
shared pool.  Both are made by the session factory of `kubernetes.aio` from one configuration and share one TLS context,
so that a renewed client certificate reaches both.  The request path itself is ours: the factory's session is used
directly, with prepared headers and bytes in and out.
"""

import asyncio
import io
import socket
import ssl
from contextlib import suppress
from typing import Any, Final

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from kubernetes.aio.client.api_client import ApiClient
from kubernetes.aio.client.configuration import Configuration
from yarl import URL

from bind_agent.kube.addresses import AddressPolicy, is_loopback
from bind_agent.kube.config import ClusterConfig
from bind_agent.kube.credentials import TokenSource
from bind_agent.kube.errors import (
    AnswerTooLarge,
    ConfigError,
    ConnectionFailed,
    KubeError,
    MalformedAnswer,
    Unauthorized,
    clean,
    error_from_answer,
)
from bind_agent.kube.throttle import Throttle, retry_delay
from bind_agent.kube.tls import harden, load_certificate

MAX_OBJECT: Final = 16 * 1024 * 1024
MAX_PAGE: Final = 64 * 1024 * 1024
_MAX_ERROR_BODY: Final = 64 * 1024
_LARGE_BODY: Final = 512 * 1024

# Load balancers commonly drop idle connections after 60 s or more, API servers after 90 s or more.
_KEEPALIVE: Final = 75.0
_CALL = aiohttp.ClientTimeout(total=60.0, sock_connect=10.0)
_CONNECT_WATCH: Final = 30.0

_JSON_BODY: Final = "application/json"


class Transport:
    """All connections to one cluster.  Must be made and used inside one running event loop.

    Args:
        config: which cluster, and how to prove who we are.
        user_agent: sent with every request.
        max_in_flight: bound on calls that wait for an answer; watches do not count.

    Raises:
        ConfigError: the CA or the proxy cannot be used.
    """

    def __init__(self, config: ClusterConfig, *, user_agent: str, max_in_flight: int) -> None:
        self._base = config.server.rstrip("/")
        self._hostname = config.tls_server_name or None
        self._proxy = config.proxy or None
        local = config.in_cluster or is_loopback(config.host)
        headers = {
            "Accept": _JSON_BODY,
            # Compression costs the server more than a local network does.
            "Accept-Encoding": "identity" if local else "gzip",
            "User-Agent": user_agent,
        }
        try:
            self._rest = ApiClient(_configuration(config)).rest_client
        except (ssl.SSLError, ValueError, OSError) as error:
            raise ConfigError(
                f"the certificate authority of the cluster cannot be used ({_reason(error)})"
            ) from None
        context: ssl.SSLContext = self._rest.ssl_context
        harden(context, strict_x509=config.strict_x509)
        self._context = context
        self._addresses = config.addresses
        self._headers = headers
        self._limit = max_in_flight
        self._connectors: list[aiohttp.TCPConnector] = []
        self._calls = self._session(limit=max_in_flight)
        self._watches = self._session(limit=0)
        self._retired: list[tuple[aiohttp.ClientSession, aiohttp.TCPConnector]] = []
        self._throttle = Throttle(max_in_flight)
        self.source = TokenSource(
            config.credential,
            server=config.server,
            ca_pem=config.ca_pem,
            on_certificate=self._new_certificate,
        )
        self._closed = False

    async def close(self) -> None:
        """Close every connection; calls and watches under way fail."""
        if self._closed:
            return
        self._closed = True
        for session in (self._calls, self._watches):
            await session.close()
        for connector in self._connectors:
            await connector.close()
        # TLS connections end one turn of the loop after they were closed.
        await asyncio.sleep(0)

    async def call(
        self,
        method: str,
        path: str,
        *,
        body: bytes | None = None,
        content_type: str = _JSON_BODY,
        accept: str = "",
        limit: int = MAX_OBJECT,
        sensitive: bool = False,
    ) -> bytes:
        """One request and its JSON answer.

        What may be repeated is repeated a few times: see `throttle.retry_delay`; a 401 is answered once with a fresh
        credential.

        Args:
            method: HTTP method.
            path: encoded path with query.
            body: JSON bytes.
            content_type: of the body.
            accept: other answers than plain JSON.
            limit: most bytes that are read of the answer, after decompression.
            sensitive: answers may quote a Secret.

        Returns:
            The body of a successful answer.

        Raises:
            ApiError: the server answered with a failure.
            ConnectionFailed: there was no answer.
            MalformedAnswer: the answer is too large or no JSON.
            CredentialError: no credential could be had.
        """
        url = URL(self._base + path, encoded=True)
        attempt, waited, renewed = 0, 0.0, False
        while True:
            attempt += 1
            source = self.source
            authorization = source.authorization if source.fresh else await source.refresh()
            try:
                async with self._throttle.slots:
                    return await self._once(
                        method, url, authorization, body, content_type, accept, limit, sensitive
                    )
            except Unauthorized:
                if renewed:
                    raise
                renewed = True
                source.forget(authorization)
                if not source.fresh:
                    await source.refresh()
                if source.authorization == authorization and authorization:
                    raise
            except KubeError as error:
                delay = retry_delay(error, reading=method == "GET", attempt=attempt, waited=waited)
                if delay is None:
                    raise
                waited += delay
                await asyncio.sleep(delay)

    async def open_stream(
        self, path: str, *, inactivity: float, sensitive: bool = False
    ) -> aiohttp.ClientResponse:
        """Start a watch.

        Args:
            path: encoded path with query.
            inactivity: seconds without a byte after which reading fails.
            sensitive: answers may quote a Secret.

        Returns:
            The open answer; whoever gets it must close it.

        Raises:
            ApiError: the server refused; 410 means that the resourceVersion is too old.
            ConnectionFailed: there was no answer within 30 s.
            MalformedAnswer: the answer is no JSON stream.
            CredentialError: no credential could be had.
        """
        url = URL(self._base + path, encoded=True)
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=10.0, sock_read=inactivity)
        renewed = False
        while True:
            source = self.source
            authorization = source.authorization if source.fresh else await source.refresh()
            try:
                return await self._open(url, authorization, timeout, sensitive)
            except Unauthorized:
                if renewed:
                    raise
                renewed = True
                source.forget(authorization)
                if not source.fresh:
                    await source.refresh()
                if source.authorization == authorization and authorization:
                    raise

    async def _once(
        self,
        method: str,
        url: URL,
        authorization: str,
        body: bytes | None,
        content_type: str,
        accept: str,
        limit: int,
        sensitive: bool,
    ) -> bytes:
        headers = {"Authorization": authorization} if authorization else {}
        data: bytes | io.BytesIO | None = body
        if body is not None:
            headers["Content-Type"] = content_type
            if len(body) > _LARGE_BODY:
                # The HTTP library writes large bytes in one go and warns about it; a stream goes out in pieces.
                data = io.BytesIO(body)
        if accept:
            headers["Accept"] = accept
        try:
            response = await self._calls.request(
                method,
                url,
                data=data,
                headers=headers,
                timeout=_CALL,
                # A redirect would carry the token to wherever the other side likes.
                allow_redirects=False,
                server_hostname=self._hostname,
                proxy=self._proxy,
            )
            try:
                if response.status < 300:
                    _require_json(response)
                    return await _read(response, limit)
                raise await _failure(response, sensitive)
            except BaseException:
                response.close()
                raise
        except (aiohttp.ClientError, TimeoutError, OSError, ssl.SSLError) as error:
            raise connection_error(error) from error

    async def _open(
        self, url: URL, authorization: str, timeout: aiohttp.ClientTimeout, sensitive: bool
    ) -> aiohttp.ClientResponse:
        try:
            async with asyncio.timeout(_CONNECT_WATCH):
                response = await self._watches.request(
                    "GET",
                    url,
                    headers={"Authorization": authorization} if authorization else None,
                    timeout=timeout,
                    allow_redirects=False,
                    server_hostname=self._hostname,
                    proxy=self._proxy,
                )
                try:
                    if response.status >= 300:
                        raise await _failure(response, sensitive)
                    _require_json(response)
                except BaseException:
                    response.close()
                    raise
        except (aiohttp.ClientError, TimeoutError, OSError, ssl.SSLError) as error:
            raise connection_error(error) from error
        return response

    def _session(self, *, limit: int) -> aiohttp.ClientSession:
        connector = aiohttp.TCPConnector(
            limit=limit,
            ssl=self._context,
            keepalive_timeout=_KEEPALIVE,
            resolver=_GuardedResolver(self._addresses) if self._addresses else None,
            socket_factory=_socket,
        )
        self._connectors.append(connector)
        self._rest.configuration.client_session_kwargs = {
            "connector": connector,
            # Looking at proxy variables and .netrc costs two thread hops per request, and .netrc breaks it outright.
            "trust_env": False,
            "cookie_jar": aiohttp.DummyCookieJar(),
            "headers": self._headers,
        }
        session: aiohttp.ClientSession = self._rest._create_pool_manager()
        return session

    def _new_certificate(self, certificate: bytes, key: bytes) -> None:
        load_certificate(self._context, certificate, key)


class _GuardedResolver(AbstractResolver):
    """Resolves names and drops every address that the policy refuses."""

    def __init__(self, policy: AddressPolicy) -> None:
        self._policy = policy
        self._inner = aiohttp.ThreadedResolver()

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        found = await self._inner.resolve(host, port, family)
        allowed = [entry for entry in found if not self._policy.refusal(entry["host"])]
        if not allowed:
            why = self._policy.refusal(found[0]["host"]) if found else "has no address"
            raise OSError(None, f"connections to {host} are not allowed: its address {why}")
        return allowed

    async def close(self) -> None:
        await self._inner.close()


def _configuration(config: ClusterConfig) -> Any:
    """What the library needs to know for its TLS context and its sessions."""
    configuration = Configuration(host=config.server)
    configuration.verify_ssl = not config.insecure_skip_tls_verify
    if config.ca_pem:
        configuration.ca_cert_data = config.ca_pem.decode("ascii", "replace")
    return configuration


def _socket(info: Any) -> socket.socket:
    """A socket that notices within about a minute that the other end is gone, also when nothing is being sent."""
    family, kind, protocol, _, _ = info
    made = socket.socket(family, kind, protocol)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in (("TCP_KEEPIDLE", 30), ("TCP_KEEPINTVL", 10), ("TCP_KEEPCNT", 3)):
        option = getattr(socket, name, None)
        if option is not None:
            with suppress(OSError):
                made.setsockopt(socket.IPPROTO_TCP, option, value)
    return made


def _require_json(response: aiohttp.ClientResponse) -> None:
    kind = response.headers.get("Content-Type", "")
    if not kind.startswith(_JSON_BODY):
        raise MalformedAnswer(
            f"the answer is {clean(kind, 64) or 'of no type'} instead of JSON (is the address that of an API server?)"
        )


async def _read(response: aiohttp.ClientResponse, limit: int) -> bytes:
    """The whole body, bounded also when it is compressed or of unknown length."""
    length = response.content_length
    if length is not None and length > limit:
        raise AnswerTooLarge(f"an answer of {length} bytes; at most {limit} are read")
    if length is not None and "Content-Encoding" not in response.headers:
        return await response.read()
    chunks: list[bytes] = []
    size = 0
    async for chunk in response.content.iter_any():
        size += len(chunk)
        if size > limit:
            raise AnswerTooLarge(f"an answer of more than {limit} bytes")
        chunks.append(chunk)
    return b"".join(chunks)


async def _failure(response: aiohttp.ClientResponse, sensitive: bool) -> KubeError:
    if response.status < 400:
        return MalformedAnswer(
            f"the server redirects ({response.status}), which API servers do not; check its address"
        )
    body = b""
    if response.headers.get("Content-Type", "").startswith(_JSON_BODY):
        try:
            body = await _read(response, _MAX_ERROR_BODY)
        except AnswerTooLarge:
            body = b""
    else:
        response.close()
    return error_from_answer(
        response.status, body, retry_after=response.headers.get("Retry-After"), sensitive=sensitive
    )


def connection_error(error: BaseException) -> KubeError:
    if isinstance(error, (aiohttp.ConnectionTimeoutError, aiohttp.SocketTimeoutError, TimeoutError)):
        return ConnectionFailed("the server did not answer in time")
    if isinstance(error, aiohttp.ContentTypeError) or "encoding" in type(error).__name__.lower():
        return MalformedAnswer("the answer cannot be decoded")
    if isinstance(error, (aiohttp.ClientConnectorCertificateError, ssl.SSLCertVerificationError)):
        return ConnectionFailed(f"the server's certificate is not accepted: {_reason(error)}")
    if isinstance(error, aiohttp.ClientConnectorError):
        return ConnectionFailed(f"cannot connect: {_reason(error.os_error)}")
    broken = isinstance(
        error,
        (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError, aiohttp.ClientPayloadError, ConnectionError),
    )
    return ConnectionFailed(f"the connection failed: {_reason(error)}", broken=broken)


def _reason(error: BaseException) -> str:
    """A short reason without addresses of memory, URLs or bodies."""
    inner = getattr(error, "certificate_error", None) or error
    text = (
        getattr(inner, "verify_message", "") or getattr(inner, "strerror", "") or getattr(inner, "reason", "")
    )
    return clean(str(text or type(inner).__name__))
