"""Waiting for what other processes do."""

import asyncio
import inspect
from collections.abc import Awaitable, Callable


async def eventually(
    condition: Callable[[], bool | Awaitable[bool]], *, seconds: float = 20, every: float = 0.05
) -> None:
    """Wait until a condition holds.

    Args:
        condition: Asked again and again; may be a coroutine function.
        seconds: How long to wait at most.
        every: Seconds between two questions.

    Raises:
        TimeoutError: It does not hold in time.
    """
    async with asyncio.timeout(seconds):
        while True:
            answer = condition()
            if inspect.isawaitable(answer):
                answer = await answer
            if answer:
                return
            await asyncio.sleep(every)
