"""How fast the client goes: a bound on requests in flight, and what the server asks for.

There is no rate limit of our own by default: API servers protect themselves (priority and fairness) and say so with 429
and Retry-After, which is honoured here.  The bound in flight keeps one agent from filling a server's queues.
"""

import asyncio
import random
from collections.abc import Callable

from bind_agent.kube.errors import ApiError, ConnectionFailed, KubeError, TooManyRequests, Unavailable

# Attempts of one call, the first included.
ATTEMPTS = 4
# Seconds that one call may spend waiting between its attempts; whoever called has its own back-off beyond that.
PATIENCE = 30.0


class Throttle:
    """The bound on requests in flight.

    Args:
        max_in_flight: at most so many requests wait for an answer at once; watches do not count.
    """

    __slots__ = ("slots",)

    def __init__(self, max_in_flight: int) -> None:
        self.slots = asyncio.Semaphore(max_in_flight)


def retry_delay(
    error: KubeError,
    *,
    reading: bool,
    attempt: int,
    waited: float,
    rand: Callable[[], float] = random.random,
) -> float | None:
    """How long to wait before the same request is sent again.

    A 429 was rejected before processing, so any request may be repeated.  After a 503 or a broken connection nobody
    knows whether a write happened: only reads are repeated, and the caller decides about writes.

    Args:
        error: what happened.
        reading: the request was a GET.
        attempt: how many times it was sent so far.
        waited: seconds spent waiting so far.
        rand: uniform numbers in [0, 1).

    Returns:
        Seconds, or None when the error is to be raised.
    """
    if attempt >= ATTEMPTS:
        return None
    broken = isinstance(error, ConnectionFailed) and error.broken
    if not isinstance(error, TooManyRequests) and not (
        reading and (broken or isinstance(error, Unavailable))
    ):
        return None
    asked = error.retry_after if isinstance(error, ApiError) else None
    base = asked if asked is not None else 0.1 * 4 ** (attempt - 1)
    # Spread over a quarter more: everybody was told the same number.  Never earlier than asked.
    delay = base * (1.0 + 0.25 * rand()) + 0.01 * rand()
    return delay if waited + delay <= PATIENCE else None
