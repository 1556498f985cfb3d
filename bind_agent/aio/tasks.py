"""Helpers for task groups: stop one, run until told, first to end decides."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterable
from typing import Any, TypeVar

T = TypeVar("T")


async def stop(task: "asyncio.Task[Any]") -> None:
    """Cancel a task and wait until it has really ended; what it raises on its way out is raised here.

    A cancellation of the caller itself while it waits is not swallowed.
    """
    task.cancel()
    await asyncio.wait([task])
    if not task.cancelled() and (error := task.exception()) is not None:
        raise error


@contextlib.asynccontextmanager
async def background(
    *workers: Coroutine[Any, Any, None], name: str = ""
) -> AsyncIterator[tuple["asyncio.Task[None]", ...]]:
    """Run workers for the length of a block; leaving it cancels them and waits for their end.

    A worker that fails cancels the block, and its error comes out of it in an ExceptionGroup, as from any
    TaskGroup.
    """
    async with asyncio.TaskGroup() as group:
        tasks = tuple(
            group.create_task(worker, name=f"{name}-{number}" if name else None)
            for number, worker in enumerate(workers)
        )
        try:
            yield tasks
        finally:
            for task in tasks:
                task.cancel()


async def run_until(work: Callable[[], Awaitable[T]], stopped: asyncio.Event) -> T | None:
    """Run work until it ends or the event is set, in which case it is cancelled and awaited.

    Returns:
        The result of the work, or None when it was stopped. An error that it raises while it is being stopped
        is raised here like any other.
    """
    working = asyncio.ensure_future(_call(work))
    waiting = asyncio.ensure_future(stopped.wait())
    try:
        await asyncio.wait({working, waiting}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        working.cancel()
        waiting.cancel()
        await asyncio.wait({working, waiting})
        if not working.cancelled():
            # Seen here, so that nothing is reported as never retrieved when the caller itself was cancelled.
            working.exception()
    return None if working.cancelled() else working.result()


async def bounded(limit: int, jobs: Iterable[Callable[[], Awaitable[T]]]) -> list[T]:
    """Run jobs with at most `limit` at a time.

    Returns:
        Results in the order of the jobs.

    Raises:
        ExceptionGroup: a job failed; the others were cancelled.
        ValueError: the limit is below 1.
    """
    if limit < 1:
        message = "at least one job has to run at a time"
        raise ValueError(message)
    gate = asyncio.Semaphore(limit)

    async def one(job: Callable[[], Awaitable[T]]) -> T:
        async with gate:
            return await job()

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(one(job)) for job in jobs]
    return [task.result() for task in tasks]


async def _call(work: Callable[[], Awaitable[T]]) -> T:
    return await work()
