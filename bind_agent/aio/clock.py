"""Clocks that are given to code instead of called by it, so that tests run in virtual time."""

import asyncio
import heapq
import itertools
import time
from datetime import UTC, datetime, timedelta
from typing import Final, Protocol

_EPOCH: Final = datetime(2026, 1, 1, tzinfo=UTC)


class Clock(Protocol):
    """Both times that a program needs, and waiting."""

    def now(self) -> datetime:
        """Wall-clock time in UTC: for the wire and for people, never for measuring."""
        ...

    def monotonic(self) -> float:
        """Seconds since some start, never going back: for deadlines and measuring."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Wait; 0 or less gives others a turn."""
        ...


class SystemClock:
    """The machine's clocks."""

    def now(self) -> datetime:
        """Wall-clock time in UTC."""
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """`time.monotonic`."""
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        """`asyncio.sleep`."""
        await asyncio.sleep(max(seconds, 0.0))


SYSTEM: Final = SystemClock()
"""The clock to use unless a test gives another."""


class VirtualClock:
    """A clock that stands still until somebody advances it.

    Sleepers wake in the order of their deadlines; each gets the loop before the next one wakes, so what they
    do in between happens at the right virtual time.
    """

    def __init__(self, start: datetime = _EPOCH) -> None:
        """Start at the wall-clock time `start` (with a zone) and at 0 seconds of monotonic time."""
        self._start = start
        self._elapsed = 0.0
        self._order = itertools.count()
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []

    def now(self) -> datetime:
        """Start plus what was advanced."""
        return self._start + timedelta(seconds=self._elapsed)

    def monotonic(self) -> float:
        """Seconds advanced so far."""
        return self._elapsed

    async def sleep(self, seconds: float) -> None:
        """Wait until the clock has been advanced that far."""
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        woken = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (self._elapsed + seconds, next(self._order), woken))
        await woken

    async def advance(self, seconds: float) -> None:
        """Let that many seconds pass.

        Raises:
            ValueError: time does not run backwards.
        """
        if seconds < 0:
            message = "a clock does not run backwards"
            raise ValueError(message)
        target = self._elapsed + seconds
        await self._settle()
        while self._sleepers and self._sleepers[0][0] <= target:
            self._elapsed, _, woken = heapq.heappop(self._sleepers)
            if not woken.done():
                woken.set_result(None)
            await self._settle()
        self._elapsed = target
        await self._settle()

    @staticmethod
    async def _settle() -> None:
        # A woken task may take a few turns of the loop until it sleeps again; 20 covers chains of awaits.
        for _ in range(20):
            await asyncio.sleep(0)
