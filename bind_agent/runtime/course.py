"""What a reflector does after each kind of end, and how long it waits before. Pure."""

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from bind_agent.aio.backoff import Backoff, Policy
from bind_agent.kube.errors import ApiError, NotFound

RECONNECTS: Final = Policy(first=0.2, cap=30.0)
"""Waits between connections after failures, half of each random."""
CROWDED: Final = Policy(first=30.0, cap=300.0)
"""Waits before a collection is listed again that did not fit into memory: each attempt may cost a whole list, and what
makes room is done by people."""
HEALTHY: Final = 10.0
"""A watch that lived so many seconds ends a series of failures."""
BRIEF: Final = 2.0
"""A watch that ends in order within so many seconds, and brought nothing, says that its start is unknown:
kinds without a watch cache answer an old resourceVersion like that instead of with 410."""
BARREN_LIMIT: Final = 2
"""So many watches in a row that brought nothing, brief or silent: list again."""
SILENCE: Final = 180.0
"""Servers that send bookmarks do so about once a minute; after so many seconds without a byte the
connection counts as dead. Where no bookmark was ever seen the limit of the watch itself holds (about ten
minutes)."""


@dataclass(slots=True)
class Course:
    """Where a reflector stands, and what follows.

    Attributes:
        version: resourceVersion to resume at; empty when a list is due.
        barren: watches in a row that brought nothing.
        backoff: counts failures since the last healthy watch.
        silence: seconds without a byte after which a connection counts as dead.
        crowding: counts what did not fit since the last complete list.
    """

    version: str
    barren: int
    backoff: Backoff
    silence: float = SILENCE
    crowding: Backoff = field(default_factory=lambda: Backoff(CROWDED))

    @classmethod
    def start(cls, draw: Callable[[], float] = random.random, *, silence: float = SILENCE) -> "Course":
        """Nothing known yet."""
        return cls("", 0, Backoff(RECONNECTS, draw=draw), silence, Backoff(CROWDED, draw=draw))

    def advance(self, version: str) -> None:
        """An event or bookmark was taken in."""
        self.barren = 0
        if version:
            self.version = version

    def closed(self, *, lasted: float, received: int) -> float:
        """The server ended a watch in order.

        Args:
            lasted: seconds it lived.
            received: events and bookmarks it brought.

        Returns:
            Seconds to wait before the next connection.
        """
        if lasted >= HEALTHY:
            self.backoff.reset()
            return 0.0
        if received:
            # Servers with short limits end watches all the time; only one that ends them at once is slowed
            # down.
            return self.backoff.next() if lasted < 1.0 else self.backoff.policy.first
        if lasted < BRIEF:
            self._count_barren()
        return self.backoff.next()

    def expired(self, *, lasted: float) -> float:
        """The server does not know the history any more; returns seconds to wait before the list."""
        if lasted >= HEALTHY:
            self.backoff.reset()
        self.version = ""
        self.barren = 0
        return self.backoff.next()

    def failed(self, error: Exception, *, lasted: float, received: int) -> float:
        """A list or a watch failed; what is known stays known.

        Returns:
            Seconds to wait before the next attempt.
        """
        if lasted >= HEALTHY and received:
            self.backoff.reset()
        if lasted >= self.silence and not received:
            self._count_barren()
        if isinstance(error, NotFound):
            # The kind is gone; should it come back, the old history is of no use.
            self.version = ""
        asked = error.retry_after if isinstance(error, ApiError) else None
        return self.backoff.next(at_least=asked or 0.0)

    def crowded(self) -> float:
        """What came does not fit into memory.

        What was refused is not told again by a watch, and what makes room may come after it: only a list helps.

        Returns:
            Seconds to wait before it.
        """
        self.version = ""
        self.barren = 0
        return self.crowding.next()

    def roomy(self) -> None:
        """A complete list was taken in."""
        self.crowding.reset()

    def _count_barren(self) -> None:
        self.barren += 1
        if self.barren >= BARREN_LIMIT:
            self.version = ""
            self.barren = 0
