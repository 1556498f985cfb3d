"""What may be sent again, and after how long: the server's word (429, Retry-After) is the only speed limit.

There is no rate limit of our own: API servers protect themselves (priority and fairness) and say so.  What
keeps one agent from filling a server's queues is the bound on requests in flight (`transport`).
"""

import random
from collections.abc import Callable
from typing import Final

from bind_agent.kube.errors import ApiError, ConnectionFailed, KubeError, TooManyRequests, Unavailable

# Attempts of one call, the first included.
ATTEMPTS: Final = 4
# Seconds that one call may spend waiting between its attempts; whoever called has a back-off of its own
# beyond that.
PATIENCE: Final = 30.0


def retry_delay(
    error: KubeError,
    *,
    reading: bool,
    attempt: int,
    waited: float,
    rand: Callable[[], float] = random.random,
) -> float | None:
    """How long to wait before the same request is sent again.

    A 429 was rejected before processing, so any request may be repeated.  After a 503 or a broken connection
    nobody knows whether a write happened: only reads are repeated, and the caller decides about writes.

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
    base = 0.1 * 4.0 ** (attempt - 1) if asked is None else asked
    # Never earlier than asked, and spread, because everybody was told the same number.
    delay = base * (1.0 + 0.25 * rand()) + 0.01
    return delay if waited + delay <= PATIENCE else None
