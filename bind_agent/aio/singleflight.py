"""Single flight: callers that want the same thing at the same time share one attempt."""

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
T = TypeVar("T")


class SingleFlight(Generic[K, T]):
    """Runs at most one attempt per key at a time; nothing is remembered once it has ended.

    The attempt belongs to nobody: a caller that is cancelled leaves it running for the others, and only when
    the last caller has gone is it cancelled. An exception goes to every caller.
    """

    def __init__(self) -> None:
        """Start with nothing in flight."""
        self._flights: dict[K, asyncio.Task[T]] = {}
        self._waiting: dict[K, int] = {}

    def __len__(self) -> int:
        return len(self._flights)

    async def do(self, key: K, attempt: Callable[[], Awaitable[T]]) -> T:
        """The result of the attempt in flight for this key, or of a new one.

        Args:
            key: what is wanted.
            attempt: makes it; called only when no other attempt for the key is under way.
        """
        task = self._flights.get(key)
        if task is None:
            task = asyncio.ensure_future(_run(attempt))
            self._flights[key] = task
            self._waiting[key] = 0
            task.add_done_callback(lambda done: self._landed(key, done))
        self._waiting[key] += 1
        try:
            # Shielded: cancelling one caller must not fail the others.
            return await asyncio.shield(task)
        finally:
            self._leave(key, task)

    def _leave(self, key: K, task: "asyncio.Task[T]") -> None:
        if self._flights.get(key) is not task:
            return
        self._waiting[key] -= 1
        if self._waiting[key] == 0 and not task.done():
            self._flights.pop(key)
            self._waiting.pop(key)
            task.cancel()

    def _landed(self, key: K, task: "asyncio.Task[T]") -> None:
        if self._flights.get(key) is task:
            self._flights.pop(key)
            self._waiting.pop(key)
        if not task.cancelled():
            # Mark as seen: callers that were cancelled meanwhile will not look.
            task.exception()


async def _run(attempt: Callable[[], Awaitable[T]]) -> T:
    return await attempt()
