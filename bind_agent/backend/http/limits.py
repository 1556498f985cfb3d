"""How much one client may ask: a token bucket per address, in bounded memory.

Pure but for the clock. The address is that of the connection, or what the last trusted proxy noted.
"""

import functools
import ipaddress
import math
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from aiohttp import web

_CLIENTS: Final = 10_000
"""Addresses remembered; about 2 MB."""

BURST: Final = 5
"""Seconds of the allowed rate that may come at once."""

COSTLY: Final = 4.0
"""What a step of a login costs, where a page costs one."""

_COSTLY_PATHS: Final = frozenset({"/authorize", "/callback", "/login", "/bind", "/redeem", "/logout"})
_FREE_PATHS: Final = frozenset({"/healthz", "/readyz"})


@dataclass(slots=True)
class _Bucket:
    tokens: float
    at: float


class Limiter:
    """Token buckets by client."""

    def __init__(self, rate: float, *, monotonic: Callable[[], float], clients: int = _CLIENTS) -> None:
        """Set up.

        Args:
            rate: requests a second; 0 for no limit.
            monotonic: seconds that never go back.
            clients: how many are remembered.
        """
        self._rate = float(rate)
        self._burst = self._rate * BURST
        self._monotonic = monotonic
        self._clients = clients
        self._buckets: OrderedDict[str, _Bucket] = OrderedDict()

    def __len__(self) -> int:
        return len(self._buckets)

    def take(self, client: str, cost: float = 1.0) -> int:
        """Take tokens.

        Args:
            client: see `address`.
            cost: how many.

        Returns:
            0 when the request may go on, else the seconds after which it may.
        """
        if not self._rate or not cost:
            return 0
        now = self._monotonic()
        bucket = self._buckets.pop(client, None) or _Bucket(self._burst, now)
        bucket.tokens = min(self._burst, bucket.tokens + (now - bucket.at) * self._rate)
        bucket.at = now
        self._buckets[client] = bucket
        # The client that was quiet for the longest time has a full bucket first, so little is forgiven.
        while len(self._buckets) > self._clients:
            self._buckets.popitem(last=False)
        cost = min(cost, self._burst)
        if bucket.tokens >= cost:
            bucket.tokens -= cost
            return 0
        return max(1, math.ceil((cost - bucket.tokens) / self._rate))


def cost(path: str) -> float:
    """What a request costs; probes are free."""
    if path in _FREE_PATHS:
        return 0.0
    return COSTLY if costly(path) else 1.0


def costly(path: str) -> bool:
    """Whether it is a step of a login."""
    return path in _COSTLY_PATHS


def client_address(peer: str, forwarded: str, trusted: int) -> str:
    """The address of the client.

    Args:
        peer: address of the connection.
        forwarded: the X-Forwarded-For header, joined by commas; each proxy appended the address it saw.
        trusted: how many proxies are our own. What stands further left was written by the client.
    """
    if not trusted:
        return peer
    hops = [hop.strip() for hop in forwarded.split(",") if hop.strip()]
    return hops[-trusted] if len(hops) >= trusted else (hops[0] if hops else peer)


@functools.lru_cache(maxsize=1024)
def bucket_key(address: str) -> str:
    """The client that an address stands for: a network of 64 bits for IPv6, where one host has many."""
    text = address.strip("[]").partition("%")[0]
    try:
        found = ipaddress.ip_address(text)
    except ValueError:
        # A proxy may append a port to an IPv4 address, or say something odd, which is one client then.
        host, colon, port = text.rpartition(":")
        return bucket_key(host) if colon and port.isdecimal() and host.count(".") == 3 else "unknown"
    if isinstance(found, ipaddress.IPv6Address):
        if found.ipv4_mapped is not None:
            return str(found.ipv4_mapped)
        return str(ipaddress.ip_network((found, 64), strict=False))
    return str(found)


def remote(request: web.Request, trusted: int) -> str:
    """Address of the client of a request, for limits and for the audit log."""
    peer = request.transport.get_extra_info("peername") if request.transport else None
    text = str(peer[0]) if isinstance(peer, tuple) and peer else "unknown"
    return client_address(text, ",".join(request.headers.getall("X-Forwarded-For", [])), trusted)
