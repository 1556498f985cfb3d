"""The HTTP sessions of one cluster.

Two, because every watch keeps a connection for its whole life and would starve the calls of a shared pool.
Both come from the session factory of `kubernetes.aio`, made from one configuration, and share one TLS
context, so that a renewed client certificate reaches both.
"""

import asyncio
import socket
import ssl
from contextlib import suppress
from typing import Any, Final

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from kubernetes.aio.client.api_client import ApiClient
from kubernetes.aio.client.configuration import Configuration

from bind_agent.kube.addresses import AddressPolicy, is_loopback
from bind_agent.kube.answers import reason
from bind_agent.kube.config import ClusterConfig
from bind_agent.kube.errors import ConfigError
from bind_agent.kube.tls import harden, load_certificate

# Load balancers commonly drop idle connections after 60 s or more, API servers after 90 s or more; a
# connection that the server just dropped costs one failed write.
_KEEPALIVE: Final = 75.0
# A connection with an outdated client certificate finishes what is under way, then goes.
_RETIREMENT: Final = 90.0


class Sessions:
    """Sessions for calls and for watches of one cluster.  Make them inside a running loop.

    Args:
        config: which cluster.
        user_agent: sent with every request.
        max_in_flight: connections that calls may use; watches may use any number.

    Attributes:
        calls: for everything that is answered at once.
        watches: for streams.

    Raises:
        ConfigError: the CA cannot be used.
    """

    def __init__(self, config: ClusterConfig, *, user_agent: str, max_in_flight: int) -> None:
        configuration = Configuration(host=config.server)
        configuration.verify_ssl = not config.insecure_skip_tls_verify
        if config.ca_pem:
            configuration.ca_cert_data = config.ca_pem.decode("ascii", "replace")
        try:
            self._factory = ApiClient(configuration).rest_client
        except (ssl.SSLError, ValueError, OSError) as error:
            raise ConfigError(
                f"the certificate authority of the cluster cannot be used ({reason(error)})"
            ) from None
        self._context: ssl.SSLContext = self._factory.ssl_context
        harden(self._context, strict_x509=config.strict_x509)
        local = config.in_cluster or is_loopback(config.host)
        self._headers = {
            "Accept": "application/json",
            # Compression costs the server more than a local network does.
            "Accept-Encoding": "identity" if local else "gzip",
            "User-Agent": user_agent,
        }
        self._addresses = config.addresses
        self._max_in_flight = max_in_flight
        self._connectors: dict[aiohttp.ClientSession, aiohttp.TCPConnector] = {}
        self._retiring: set[asyncio.Task[None]] = set()
        self._has_certificate = False
        self.calls = self._open(limit=max_in_flight)
        self.watches = self._open(limit=0)

    def new_certificate(self, certificate: bytes, key: bytes) -> None:
        """Use a client certificate (PEM) from the next connection on.

        Idle connections of the past would go on with the old one, so a certificate that replaces another
        comes with a new pool.  Watches keep theirs: a server checks it when a request starts.

        Raises:
            CredentialError: certificate and key cannot be used.
        """
        load_certificate(self._context, certificate, key)
        if self._has_certificate:
            old, self.calls = self.calls, self._open(limit=self._max_in_flight)
            task = asyncio.get_running_loop().create_task(self._retire(old))
            self._retiring.add(task)
            task.add_done_callback(self._retiring.discard)
        self._has_certificate = True

    async def close(self) -> None:
        """Close all connections."""
        retiring = list(self._retiring)
        for task in retiring:
            task.cancel()
        await asyncio.gather(*retiring, return_exceptions=True)
        for session in list(self._connectors):
            await self._close(session)
        # Transports end one turn of the loop after they were closed.
        await asyncio.sleep(0)

    async def _retire(self, session: aiohttp.ClientSession) -> None:
        await asyncio.sleep(_RETIREMENT)
        await self._close(session)

    async def _close(self, session: aiohttp.ClientSession) -> None:
        connector = self._connectors.pop(session, None)
        await session.close()
        if connector is not None:
            await connector.close()

    def _open(self, *, limit: int) -> aiohttp.ClientSession:
        connector = aiohttp.TCPConnector(
            limit=limit,
            ssl=self._context,
            keepalive_timeout=_KEEPALIVE,
            resolver=_GuardedResolver(self._addresses) if self._addresses else None,
            socket_factory=_socket,
        )
        self._factory.configuration.client_session_kwargs = {
            "connector": connector,
            # Looking at proxy variables and .netrc costs two thread hops per request, and .netrc breaks
            # authenticated requests outright.
            "trust_env": False,
            "cookie_jar": aiohttp.DummyCookieJar(),
            "headers": self._headers,
        }
        session: aiohttp.ClientSession = self._factory._create_pool_manager()
        self._connectors[session] = connector
        return session


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
            why = self._policy.refusal(found[0]["host"]) if found else "has none"
            raise OSError(None, f"its address {why}, which is not allowed")
        return allowed

    async def close(self) -> None:
        await self._inner.close()


def _socket(info: Any) -> socket.socket:
    """A socket that notices within about a minute that the other machine is gone, also while idle."""
    family, kind, protocol = info[:3]
    made = socket.socket(family, kind, protocol)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in (("TCP_KEEPIDLE", 30), ("TCP_KEEPINTVL", 10), ("TCP_KEEPCNT", 3)):
        # Not every system knows these names.
        option = getattr(socket, name, None)
        if option is not None:
            with suppress(OSError):
                made.setsockopt(socket.IPPROTO_TCP, option, value)
    return made
