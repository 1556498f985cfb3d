"""Requests to one cluster: authorization, bounded answers, and the few repetitions that are always right.

The sessions are used directly, with prepared headers and bytes in and out: what the library would do around
them costs more than the request itself.
"""

import asyncio
import copy
import io
import time
import weakref
from collections.abc import Awaitable, Callable
from typing import Final, NamedTuple

import aiohttp
from yarl import URL

from bind_agent.kube.answers import (
    CONNECTION_ERRORS,
    connection_error,
    raise_for_failure,
    read,
    require_json,
)
from bind_agent.kube.asked import Asked
from bind_agent.kube.config import ClusterConfig
from bind_agent.kube.credentials import TokenSource
from bind_agent.kube.errors import (
    ApiError,
    ConnectionFailed,
    KubeError,
    ServerTimeout,
    Unauthorized,
    Unavailable,
)
from bind_agent.kube.meter import Meter
from bind_agent.kube.sessions import Sessions
from bind_agent.kube.throttle import retry_delay

MAX_OBJECT: Final = 16 * 1024 * 1024
MAX_PAGE: Final = 64 * 1024 * 1024
_LARGE_BODY: Final = 512 * 1024

_METHODS: Final = {
    "get": "GET",
    "list": "GET",
    "create": "POST",
    "update": "PUT",
    "patch": "PATCH",
    "apply": "PATCH",
    "delete": "DELETE",
}
_CALL: Final = aiohttp.ClientTimeout(total=60.0, sock_connect=10.0)
SLOW: Final = 10.0
"""Seconds without an answer that are worth being told."""
# A watch is answered at once, with its header, long before the first event.
_WATCH_HEADERS: Final = 30.0


class _Request(NamedTuple):
    verb: str
    method: str
    url: URL
    body: bytes | None
    content_type: str
    accept: str
    limit: int
    sensitive: bool
    asked: Asked | None


class Transport:
    """All requests to one cluster.  Make it inside the event loop that uses it.

    Args:
        config: which cluster, and how to prove who we are.
        user_agent: sent with every request.
        max_in_flight: calls that wait for an answer at once; watches do not count.
        cluster: label of the metrics.

    Attributes:
        source: the credential in force.
        trouble: why the latest call failed, when it was the server or the credential that failed; None after
            any other end.

    Raises:
        ConfigError: the CA cannot be used.
    """

    def __init__(
        self,
        config: ClusterConfig,
        *,
        user_agent: str,
        max_in_flight: int,
        cluster: str,
        fence: Callable[[], None] | None = None,
        max_object: int = MAX_OBJECT,
    ) -> None:
        self._fence = fence
        self._max_object = max_object
        self.trouble: KubeError | None = None
        self._waiting: dict[object, float] = {}
        self._base = config.server.rstrip("/")
        self._hostname = config.tls_server_name or None
        self._proxy = config.proxy or None
        self._sessions = Sessions(config, user_agent=user_agent, max_in_flight=max_in_flight)
        self._meter = Meter(cluster)
        # Waiting here does not use up the time limit of a call, waiting for a pooled connection would.
        self._slots = asyncio.Semaphore(max_in_flight)
        self._pause: Callable[[float], Awaitable[None]] = asyncio.sleep
        self._closed = False
        self._answers: set[aiohttp.ClientResponse] = set()
        self._streams: weakref.WeakSet[aiohttp.ClientResponse] = weakref.WeakSet()
        self.source = TokenSource(
            config.credential,
            server=config.server,
            ca_pem=config.ca_pem,
            on_certificate=self._sessions.new_certificate,
        )

    def bearing(self, config: ClusterConfig) -> "Transport":
        """Another one over the same connections, with the bearer token of a configuration of the same server."""
        other = copy.copy(self)
        other.trouble = None
        other._waiting = {}
        other.source = TokenSource(config.credential, server=config.server, ca_pem=config.ca_pem)
        return other

    @property
    def waiting(self) -> float:
        """Seconds that the oldest call has waited for its answer, 0 without any."""
        # Kept in the order of their begin.
        oldest = next(iter(self._waiting.values()), None)
        return 0.0 if oldest is None else time.perf_counter() - oldest

    async def close(self) -> None:
        """Close every connection; calls and watches under way fail."""
        self._closed = True
        # Closing sessions leaves readers of half an answer waiting for the rest.
        for response in [*self._answers, *self._streams]:
            response.close()
        await self._sessions.close()

    async def call(
        self,
        verb: str,
        path: str,
        *,
        body: bytes | None = None,
        content_type: str = "application/json",
        accept: str = "",
        limit: int = 0,
        sensitive: bool = False,
        asked: Asked | None = None,
    ) -> bytes:
        """One request and its JSON answer.

        What may be repeated is repeated a few times (see `throttle.retry_delay`); a 401 is answered once with
        a fresh credential.

        Args:
            verb: what is done, as API servers call it: get, list, create, update, patch, apply, delete.
            path: encoded path with query.
            body: JSON bytes.
            content_type: of the body.
            accept: other answers than plain JSON.
            limit: most bytes that are read of the answer, after decompression; 0 for what one object may have.
            sensitive: answers may quote a Secret.
            asked: the request in the words of the API, for what a failure means.

        Returns:
            The body of a successful answer.

        Raises:
            ApiError: the server answered with a failure.
            ConnectionFailed: there was no answer.
            MalformedAnswer: the answer is too large or no JSON.
            CredentialError: no credential could be had.
        """
        url = URL(self._base + path, encoded=True)
        method = _METHODS[verb]
        limit = limit or self._max_object
        request = _Request(verb, method, url, body, content_type, accept, limit, sensitive, asked)
        source = self.source
        attempt, waited, renewed = 0, 0.0, False
        while True:
            attempt += 1
            authorization = source.authorization if source.fresh else await source.refresh()
            try:
                async with self._slots:
                    # As late as can be: waits for a slot or a retry may have taken longer than the right to write.
                    if self._fence is not None and method != "GET":
                        self._fence()
                    answer = await self._send(request, authorization)
            except Unauthorized as error:
                if renewed or not await self._renew(authorization):
                    self.trouble = error
                    raise
                renewed = True
            except KubeError as error:
                # Any other answer, an internal error about one object included, shows that it serves.
                away = isinstance(error, ConnectionFailed | Unavailable | ServerTimeout)
                self.trouble = error if away else None
                delay = retry_delay(error, reading=method == "GET", attempt=attempt, waited=waited)
                if delay is None:
                    raise
                waited += delay
                if isinstance(error, ApiError):
                    self._meter.throttled(delay)
                await self._pause(delay)
            else:
                self.trouble = None
                return answer

    async def open_stream(
        self, path: str, *, inactivity: float, sensitive: bool = False, asked: Asked | None = None
    ) -> aiohttp.ClientResponse:
        """Start a watch.

        Args:
            path: encoded path with query.
            inactivity: seconds without a byte after which reading fails.
            sensitive: answers may quote a Secret.
            asked: as in `call`.

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
        source = self.source
        authorization = source.authorization if source.fresh else await source.refresh()
        try:
            return await self._open(url, authorization, timeout, sensitive=sensitive, asked=asked)
        except Unauthorized:
            if not await self._renew(authorization):
                raise
        return await self._open(url, source.authorization, timeout, sensitive=sensitive, asked=asked)

    async def _renew(self, rejected: str) -> bool:
        """After a 401: whether there is another credential than the rejected one."""
        source = self.source
        certificate = source.certificate
        source.forget(rejected)
        if not source.fresh:
            await source.refresh()
        return source.authorization != rejected or source.certificate != certificate

    def _require_open(self) -> None:
        if self._closed:
            raise ConnectionFailed("the client is closed")

    async def _send(self, request: _Request, authorization: str) -> bytes:
        headers = {"Authorization": authorization} if authorization else {}
        data: bytes | io.BytesIO | None = request.body
        if request.body is not None:
            headers["Content-Type"] = request.content_type
            if len(request.body) > _LARGE_BODY:
                # The HTTP library would write large bytes in one go, and warns; a stream goes out in pieces.
                data = io.BytesIO(request.body)
        if request.accept:
            headers["Accept"] = request.accept
        self._require_open()
        began, code = self._meter.begin(), 0
        ticket = object()
        self._waiting[ticket] = began
        try:
            response = await self._sessions.calls.request(
                request.method,
                request.url,
                data=data,
                headers=headers,
                timeout=_CALL,
                # A redirect would carry the token to wherever the other side likes.
                allow_redirects=False,
                server_hostname=self._hostname,
                proxy=self._proxy,
            )
            code = response.status
            self._answers.add(response)
            try:
                if code >= 300:
                    await raise_for_failure(response, sensitive=request.sensitive, asked=request.asked)
                require_json(response)
                return await read(response, request.limit)
            finally:
                # Back into the pool when it was read to its end, closed otherwise.
                response.release()
                self._answers.discard(response)
        except CONNECTION_ERRORS as error:
            code = 0
            raise connection_error(error) from error
        except asyncio.CancelledError:
            waited = time.perf_counter() - began
            if waited >= SLOW:
                self.trouble = ConnectionFailed(f"no answer within {waited:.0f} s")
            raise
        finally:
            del self._waiting[ticket]
            self._meter.end(request.verb, code, began)

    async def _open(
        self,
        url: URL,
        authorization: str,
        timeout: aiohttp.ClientTimeout,
        *,
        sensitive: bool,
        asked: Asked | None,
    ) -> aiohttp.ClientResponse:
        self._require_open()
        code = 0
        try:
            async with asyncio.timeout(_WATCH_HEADERS):
                response = await self._sessions.watches.request(
                    "GET",
                    url,
                    headers={"Authorization": authorization} if authorization else None,
                    timeout=timeout,
                    allow_redirects=False,
                    server_hostname=self._hostname,
                    proxy=self._proxy,
                )
                code = response.status
                try:
                    await raise_for_failure(response, sensitive=sensitive, asked=asked)
                    require_json(response)
                except BaseException:
                    response.close()
                    raise
        except CONNECTION_ERRORS as error:
            raise connection_error(error) from error
        finally:
            self._meter.opened(code)
        self._streams.add(response)
        return response
