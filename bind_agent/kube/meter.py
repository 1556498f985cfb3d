"""What the connections to one cluster report about themselves."""

import time
from typing import Final

from bind_agent.obs import metrics

_NO_ANSWER: Final = "error"


class Meter:
    """Counts the requests of one cluster.

    Args:
        cluster: short role of the cluster in the program, such as `consumer`; never an address or a name of
            data.
    """

    __slots__ = ("_cluster", "_in_flight", "_throttled")

    def __init__(self, cluster: str) -> None:
        self._cluster = cluster
        self._in_flight = metrics.API_IN_FLIGHT(cluster)
        self._throttled = metrics.API_THROTTLED(cluster)

    def begin(self) -> float:
        """A request goes out; the number returned belongs into `end`."""
        self._in_flight.inc()
        return time.perf_counter()

    def end(self, verb: str, code: int, began: float) -> None:
        """An answer was read, or none came (code 0)."""
        self._in_flight.dec()
        metrics.API_REQUESTS(self._cluster, verb, str(code) if code else _NO_ANSWER).inc()
        metrics.API_DURATION(self._cluster, verb).observe(time.perf_counter() - began)

    def opened(self, code: int) -> None:
        """A watch was answered with this code (0 for no answer)."""
        metrics.API_REQUESTS(self._cluster, "watch", str(code) if code else _NO_ANSWER).inc()

    def throttled(self, seconds: float) -> None:
        """The server asked to wait this long."""
        self._throttled.inc(seconds)
