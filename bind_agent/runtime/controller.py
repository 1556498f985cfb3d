"""A controller: workers that take keys from a queue and reconcile them.

The one switch on outcomes is `Controller._settle`; `bind_agent.runtime.reconcile.judge` decides about
errors. Nothing that a reconcile does ends a worker, and no worker ends another.
"""

import asyncio
import itertools
import time
from collections.abc import Callable
from typing import Final

import structlog

from bind_agent.aio.backoff import Policy
from bind_agent.aio.turns import Turns
from bind_agent.obs import metrics
from bind_agent.runtime.faults import describe
from bind_agent.runtime.queue import NORMAL, RETRIES, QueueClosed, WorkQueue
from bind_agent.runtime.reconcile import Outcome, Reconcile, Result, TerminalError, judge

__all__ = ["Controller", "Result", "TerminalError"]

log = structlog.get_logger(__name__)

_LOUD_FROM: Final = 3
"""A quiet failure (a conflict, say) that happens so often in a row is told as a warning after all."""
_TURN: Final = 16
"""Keys in a row before a worker pauses for one turn of the loop."""


class Controller:
    """Reconciles keys, each by one worker at a time.

    Attributes:
        name: label of its metrics and its log lines; bounded in number (never an object's name).
        queue: what is to be done; `enqueue` is the usual way in.
    """

    def __init__(
        self,
        name: str,
        reconcile: Reconcile,
        *,
        workers: int = 4,
        timeout: float = 60.0,
        retries: Policy = RETRIES,
        gate: Callable[[], None] | None = None,
        turns: Turns | None = None,
    ) -> None:
        """Set up; nothing runs before `run`.

        Args:
            name: see the class.
            reconcile: brings the world of one key up to date.
            workers: how many keys are worked on at the same time.
            timeout: seconds after which a reconcile is cancelled and tried again later.
            retries: back-off per key.
            gate: called before each reconcile; raises LostLease when this process may not act
                (`LeaderElector.check`).
            turns: taken before each reconcile, so that a crowd of keys does not hold up what else this process
                does; controllers that share it begin one reconcile in each round of the loop among them.
        """
        self.name = name
        self.workers = workers
        self.timeout = timeout
        self.queue: WorkQueue[str] = WorkQueue(retries=retries, on_wait=metrics.QUEUE_LATENCY(name).observe)
        self._reconcile = reconcile
        self._gate = gate
        self._turns = turns
        self._ids = itertools.count(1)
        self._adds = metrics.QUEUE_ADDS(name)
        self._retried = metrics.QUEUE_RETRIES(name)
        self._results = {outcome: metrics.RECONCILES(name, outcome.value) for outcome in Outcome}
        self._duration = metrics.RECONCILE_DURATION(name)
        self._active = metrics.RECONCILE_ACTIVE(name)
        self._last_success = metrics.RECONCILE_LAST_SUCCESS(name)
        # Looked at only when somebody scrapes, which costs the queue nothing.
        metrics.QUEUE_DEPTH(name).set_function(lambda: float(self.queue.depth))
        metrics.QUEUE_DELAYED(name).set_function(lambda: float(self.queue.delayed))

    def enqueue(self, key: str, *, after: float = 0.0, priority: int = NORMAL) -> None:
        """Have a key reconciled, now or after some seconds; cheap, never waits.

        Args:
            key: `namespace/name`, or `name`.
            after: seconds to wait; the shortest of several waits counts.
            priority: see `queue`; handlers pass `informer.priority`, which is LOW for objects that were there
                before.
        """
        self._adds.inc()
        self.queue.add_after(key, after, priority=priority)

    async def run(self) -> None:
        """Work until cancelled, or until `stop` was called and what is under way has ended.

        Cancelling cancels the reconciles under way and waits for them.
        """
        async with asyncio.TaskGroup() as group:
            for number in range(self.workers):
                group.create_task(self._work(), name=f"{self.name}-{number}")

    def stop(self) -> None:
        """Take no further key; `run` returns when the reconciles under way have ended."""
        self.queue.close()

    async def _work(self) -> None:
        queue = self.queue
        for number in itertools.count(1):
            if number % _TURN == 0:
                # With keys ready and nothing to write a worker would never let others have the loop.
                await asyncio.sleep(0)
            try:
                key = await queue.get()
            except QueueClosed:
                return
            try:
                if self._turns is not None:
                    await self._turns.wait()
                await self._one(key)
            except Exception as error:
                queue.retry(key)
                self._complain("controller failed", error)
            finally:
                queue.done(key)

    async def _one(self, key: str) -> None:
        """One reconcile with all around it: limit, log context, metrics, and what follows from its end."""
        context = structlog.contextvars.bind_contextvars(
            controller=self.name, key=key, reconcile=next(self._ids)
        )
        self._active.inc()
        started = time.perf_counter()
        limit = asyncio.timeout(self.timeout)
        try:
            async with limit:
                if self._gate is not None:
                    self._gate()
                result = await self._reconcile(key)
            self._settle(key, result)
        except asyncio.CancelledError as error:
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise
            self._settle_error(key, error, timed_out=False)
        except Exception as error:
            self._settle_error(key, error, timed_out=limit.expired())
        finally:
            self._duration.observe(time.perf_counter() - started)
            self._active.dec()
            structlog.contextvars.reset_contextvars(**context)

    def _settle(self, key: str, result: Result | None) -> None:
        self.queue.forget(key)
        self._last_success.set_to_current_time()
        if result is None or result.after is None:
            self._results[Outcome.SUCCESS].inc()
        else:
            self._results[Outcome.REQUEUE].inc()
            self.queue.add_after(key, result.after)

    def _settle_error(self, key: str, error: BaseException, *, timed_out: bool) -> None:
        verdict = judge(error, timed_out=timed_out)
        self._results[verdict.outcome].inc()
        if not verdict.retry:
            self.queue.forget(key)
            self._complain("giving up until the next event", error)
            return
        self._retried.inc()
        delay = self.queue.retry(key, at_least=verdict.at_least)
        failures = self.queue.failures(key)
        fields = {"outcome": verdict.outcome.value, "failures": failures, "again_in": round(delay, 3)}
        if timed_out:
            log.warning("reconcile took too long", limit=self.timeout, **fields)
        elif verdict.loud or failures >= _LOUD_FROM:
            self._complain("reconcile failed", error, **fields)
        else:
            log.debug("reconcile to be repeated", error=describe(error), **fields)

    def _complain(self, event: str, error: BaseException, **fields: object) -> None:
        log.warning(event, error=describe(error), **fields)
