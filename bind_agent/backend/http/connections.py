"""How many connections may be open: in total, and of one client. Pure counting.

A connection costs a file descriptor from the moment it is accepted, long before it says anything that a limit on
requests could look at.
"""

from collections import Counter
from dataclasses import dataclass, replace
from typing import Final, Literal

from bind_agent.backend.http.limits import bucket_key
from bind_agent.backend.options.web import WebOptions
from bind_agent.backend.options.web_flags import DEFAULT_CONNECTIONS, DEFAULT_CONNECTIONS_EACH

RESERVED: Final = 200
"""File descriptors for everything but these connections: watches, requests of logins, files."""

Bound = Literal["total", "address", "idle"]
"""Which bound was reached; `idle` when that on all of them was, and one without a request made room."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """How many connections may be open at once.

    Attributes:
        total: of everybody together.
        each: of one client address, or of one IPv6 network of 64 bits; 0 for no bound.
    """

    total: int = DEFAULT_CONNECTIONS
    each: int = DEFAULT_CONNECTIONS_EACH


def bounds_of(options: WebOptions) -> Bounds:
    """The bounds that flags ask for.

    All connections through one's own proxies have the addresses of these, which say nothing about who is behind them;
    there the proxy has to bound clients.
    """
    each = 0 if options.trusted_proxies else options.max_connections_per_address
    return Bounds(options.max_connections, each)


def within(bounds: Bounds, descriptors: int) -> Bounds:
    """The bounds for a process that may open so many file descriptors; the rest of it needs some as well.

    Args:
        bounds: as asked for.
        descriptors: what the system allows; negative for no limit.
    """
    if descriptors < 0:
        return bounds
    return replace(bounds, total=min(bounds.total, max(descriptors - RESERVED, descriptors // 2)))


class Connections:
    """Counts open connections by client.

    Memory is bounded by the bound on all of them: a client without a connection is forgotten.
    """

    def __init__(self, bounds: Bounds) -> None:
        """Nobody is connected."""
        self._bounds = bounds
        self._open: Counter[str] = Counter()
        self._total = 0

    def __len__(self) -> int:
        return self._total

    def of(self, address: str) -> int:
        """How many the client of an address has."""
        return self._open[bucket_key(address)]

    def take(self, address: str) -> Bound | None:
        """Count a new connection, unless a bound is reached.

        Args:
            address: of the other side, as the socket has it.

        Returns:
            None when it is counted, to be given back by `free`; else the bound that is reached.
        """
        client = bucket_key(address)
        if self._bounds.each and self._open[client] >= self._bounds.each:
            return "address"
        if self._total >= self._bounds.total:
            return "total"
        self._open[client] += 1
        self._total += 1
        return None

    def free(self, address: str) -> None:
        """A connection that was counted is closed."""
        client = bucket_key(address)
        self._total -= 1
        self._open[client] -= 1
        if not self._open[client]:
            del self._open[client]
