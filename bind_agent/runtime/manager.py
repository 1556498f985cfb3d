"""The life of a program: start everything, wait for its end or a signal, stop everything.

SIGTERM and SIGINT stop in order: who can finish what is under way gets the grace period for it, then all are
cancelled. A second signal cancels at once. SIGUSR1 prints the stacks of all threads.
"""

import asyncio
import contextlib
import faulthandler
import gc
import signal
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from dataclasses import dataclass
from typing import Any, Final, TypeVar

import structlog

from bind_agent.aio.lag import watch_lag
from bind_agent.obs import metrics
from bind_agent.runtime.faults import describe

log = structlog.get_logger(__name__)

T = TypeVar("T")

_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)


@dataclass(frozen=True, slots=True)
class _Runnable:
    name: str
    run: Callable[[], Awaitable[None]]
    stop: Callable[[], None] | None


class Manager:
    """Runs the parts of a program together: when one fails, all end, and the error comes out.

    Attributes:
        ready: true once everything given to `add_startup` has come true, until the end begins.
    """

    def __init__(self, *, grace: float = 20.0, handle_signals: bool = True) -> None:
        """Set up.

        Args:
            grace: seconds that parts with a `stop` get to finish.
            handle_signals: react to SIGTERM and SIGINT; off where a surrounding program does.
        """
        self.ready = False
        self._grace = grace
        self._handle_signals = handle_signals
        self._runnables: list[_Runnable] = []
        self._startup: list[Callable[[], Awaitable[None]]] = []
        self._stopping = asyncio.Event()
        self._impatient = asyncio.Event()

    def add(
        self, runnable: Callable[[], Awaitable[None]], name: str, *, stop: Callable[[], None] | None = None
    ) -> None:
        """Have something run from start to end of the program.

        Args:
            runnable: runs until cancelled, or returns when it has no more to do; an exception ends the
                program.
            name: of its task.
            stop: asks it to finish and return; without one it is cancelled when the end begins.
        """
        self._runnables.append(_Runnable(name, runnable, stop))

    def add_startup(self, wait: Callable[[], Awaitable[None]]) -> None:
        """Let `ready` depend on something, for instance `informer.wait_synced`."""
        self._startup.append(wait)

    def stop(self) -> None:
        """Begin the end, as a signal does."""
        if self._stopping.is_set():
            self._impatient.set()
        self._stopping.set()

    async def run(self) -> None:
        """Run until everything has returned, something failed, or the end was asked for.

        Raises:
            BaseExceptionGroup: what failed.
        """
        with self._signals():
            try:
                await self._run_all()
            finally:
                self.ready = False

    async def _run_all(self) -> None:
        async with asyncio.TaskGroup() as group:
            tasks = {group.create_task(_run(r), name=r.name): r for r in self._runnables}
            end = group.create_task(_wait(self._stopping))
            helpers = (
                end,
                group.create_task(self._start()),
                group.create_task(watch_lag(metrics.report_lag)),
            )
            while tasks and not self._stopping.is_set():
                done, _ = await asyncio.wait({*tasks, end}, return_when=asyncio.FIRST_COMPLETED)
                tasks = {task: runnable for task, runnable in tasks.items() if task not in done}
            await self._end(tasks)
            for helper in helpers:
                helper.cancel()

    async def _end(self, tasks: "dict[asyncio.Task[None], _Runnable]") -> None:
        if not tasks:
            return
        self.ready = False
        log.info("stopping", grace=self._grace)
        finishing = set()
        for task, runnable in tasks.items():
            if runnable.stop is None:
                continue
            finishing.add(task)
            runnable.stop()
        if finishing:
            impatient = asyncio.ensure_future(self._impatient.wait())
            await _first(impatient, finishing, self._grace)
        # Parts without `stop` go last: the others may need them to finish (a lease, a recorder, connections).
        for task in tasks:
            task.cancel()

    async def _start(self) -> None:
        for wait in self._startup:
            await wait()
        freeze()
        self.ready = not self._stopping.is_set()
        # Whether the program can do its work is told by its own checks (`/readyz`).
        log.info("started")

    @contextlib.contextmanager
    def _signals(self) -> Iterator[None]:
        if not self._handle_signals:
            yield
            return
        loop = asyncio.get_running_loop()
        for number in _SIGNALS:
            loop.add_signal_handler(number, self._on_signal, number)
        if hasattr(faulthandler, "register"):
            with contextlib.suppress(OSError, ValueError, AttributeError):
                faulthandler.register(signal.SIGUSR1, all_threads=True)
        try:
            yield
        finally:
            for number in _SIGNALS:
                loop.remove_signal_handler(number)

    def _on_signal(self, number: signal.Signals) -> None:
        log.info("signal", signal=number.name, again=self._stopping.is_set())
        self.stop()


def freeze() -> None:
    """Collect garbage once and take what is left out of later collections.

    Modules and schemas live as long as the process; looking at them in each full collection costs more than
    all JSON together.
    """
    gc.collect()
    gc.freeze()


def run_main(main: Coroutine[Any, Any, T], *, uvloop: bool | None = None) -> T:
    """Run a program's main coroutine in a new event loop.

    Args:
        main: the program.
        uvloop: True to insist on uvloop, False for asyncio's own loop, None for uvloop where it is installed.

    Returns:
        What it returned.

    Raises:
        ModuleNotFoundError: uvloop was insisted on and is not installed.
    """
    factory: Callable[[], asyncio.AbstractEventLoop] | None = None
    if uvloop is not False:
        try:
            import uvloop as installed  # noqa: PLC0415 - optional, and not to be loaded when switched off
        except ModuleNotFoundError:
            if uvloop:
                main.close()
                raise
        else:
            factory = installed.new_event_loop
    with asyncio.Runner(loop_factory=factory) as runner:
        return runner.run(main)


async def _run(runnable: _Runnable) -> None:
    try:
        await runnable.run()
    except asyncio.CancelledError:
        raise
    except BaseException as error:
        # Not `exception`: the text in a traceback may quote content.
        log.error("failed", part=runnable.name, error=describe(error))  # noqa: TRY400
        raise


async def _wait(event: asyncio.Event) -> None:
    await event.wait()


async def _first(
    impatient: "asyncio.Future[Any]", finishing: "set[asyncio.Task[None]]", grace: float
) -> None:
    """Wait until all have finished, patience ends, or the grace period does."""
    all_done = asyncio.ensure_future(asyncio.wait(finishing))
    try:
        await asyncio.wait({impatient, all_done}, timeout=grace, return_when=asyncio.FIRST_COMPLETED)
    finally:
        impatient.cancel()
        all_done.cancel()
