"""Leader election by a Lease, such that nobody writes who does not lead.

Work runs while the lease is held. It is cancelled, and its end awaited, `renew` seconds after the last
renewal that is known to have succeeded, counted from *before* that renewal was sent; others may take the
lease only `duration` seconds after they saw it. The difference is the time that work has to end. Then the
elector joins the election again. A process that was stopped and wakes up later finds the deadline passed:
writers ask `check` before each write.

Every time here is of a clock that also counts while the machine sleeps.
"""

import asyncio
import contextlib
import random
import socket
import time
import uuid
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Final

import structlog

from bind_agent.aio.clock import SYSTEM, Clock
from bind_agent.api import meta
from bind_agent.api.resource import LEASES
from bind_agent.kube.client import Client
from bind_agent.kube.errors import AbsenceUnproven, Conflict, Forbidden, KubeError, NotFound
from bind_agent.obs import metrics
from bind_agent.runtime.faults import describe
from bind_agent.runtime.lease import Observation, Record, first_record, lease_object, with_record
from bind_agent.runtime.reconcile import LostLease

__all__ = ["LeaderElector", "LostLease", "unique_identity"]

log = structlog.get_logger(__name__)

_RELEASE_LIMIT: Final = 5.0
"""Seconds that giving the lease back may take; others get it without that, only later."""
_LATE: Final = 3.0
"""Seconds beyond the lease for which a leader without renewal still counts as healthy (spec 6.2)."""
_REMEMBERED: Final = 16
"""More attempts than fit between a renewal and its deadline."""


def unique_identity() -> str:
    """An identity for this process: the host name for people, a random part since no two may share one."""
    return f"{socket.gethostname()}_{uuid.uuid4()}"


def next_step(error: BaseException, namespace: str) -> dict[str, str]:
    """What a person can do about an election that fails for a reason that does not pass by itself."""
    if not isinstance(error, Forbidden | NotFound):
        return {}
    return {
        "next": f"give this account rights on Leases in namespace {namespace}, name the namespace in which it has them"
        " with --lease-namespace (the shipped ServiceAccounts: their own), or run a single process with"
        " --no-leader-elect"
    }


def boot_time() -> float:
    """Seconds since boot, counting while the machine sleeps, where the system has such a clock."""
    clock = getattr(time, "CLOCK_BOOTTIME", None)
    return time.monotonic() if clock is None else time.clock_gettime(clock)


class LeaderElector:
    """One candidate for one Lease.

    Attributes:
        identity: who this is in the record; unique per process.
        hung: work was cancelled and has not ended although the lease may have passed on. The process should
            end.
    """

    def __init__(
        self,
        client: Client,
        namespace: str,
        name: str,
        identity: str = "",
        *,
        lease: float = 15.0,
        renew: float = 10.0,
        retry: float = 2.0,
        on_hung: Callable[[], None] = lambda: None,
        clock: Clock = SYSTEM,
        boot: Callable[[], float] = boot_time,
        draw: Callable[[], float] = random.random,
    ) -> None:
        """Set up; nothing is asked before `run`.

        Args:
            client: of the cluster that holds the Lease.
            namespace: of the Lease.
            name: of the Lease.
            identity: as in the class; made up when empty.
            lease: seconds for which others keep away after a renewal.
            renew: seconds after a renewal at which work is cancelled unless another one succeeded.
            retry: seconds between attempts.
            on_hung: called once when work does not end in time; an application ends the process here.
            clock: for waits and for the times in the record.
            boot: monotonic seconds that go on while the machine sleeps.
            draw: random numbers from [0, 1).

        Raises:
            ValueError: not retry < renew < lease.
        """
        if not 0 < retry < renew < lease:
            raise ValueError(f"0 < retry ({retry}) < renew ({renew}) < lease ({lease}) must hold")
        self.identity = identity or unique_identity()
        self.hung = False
        self._client = client
        self._namespace = namespace
        self._name = name
        self._duration = lease
        self._renew = renew
        self._retry = retry
        self._on_hung = on_hung
        self._clock = clock
        self._boot = boot
        self._draw = draw
        self._observed: Observation | None = None
        # The Lease as this process wrote it last; its resourceVersion is the lock of the next write.
        self._held: meta.Object | None = None
        # Records that this process sent lately, so that one is recognised whose answer got lost.
        self._sent: deque[Record] = deque(maxlen=_REMEMBERED)
        self._confirmed = float("-inf")
        self._leading = False
        self._gauge = metrics.LEADER(name)
        self._gauge.set(0)

    # --- asking -----------------------------------------------------------------------------------

    @property
    def is_leader(self) -> bool:
        """Whether this process may write at this moment."""
        return self._leading and self._boot() < self._confirmed + self._renew

    def check(self) -> None:
        """To be called before each write; costs less than a microsecond.

        Raises:
            LostLease: this process may not write (any more).
        """
        if not self.is_leader:
            raise LostLease("this process does not hold the lease")

    def healthy(self) -> bool:
        """False when work hangs, or goes on although the lease ended over three seconds ago (spec 6.2)."""
        late = self._leading and self._boot() > self._confirmed + self._duration + _LATE
        return not self.hung and not late

    # --- running ----------------------------------------------------------------------------------

    async def run(self, work: Callable[[], Awaitable[None]]) -> None:
        """Take part in the election for ever, and do the work whenever it is won.

        Returns when work returned by itself; its exception comes out. In both cases, and when cancelled,
        the lease is released, after the work has ended.
        """
        while True:
            await self._acquire()
            if await self._lead(work):
                return

    async def _acquire(self) -> None:
        """Wait until the lease is won."""
        while True:
            try:
                async with asyncio.timeout(self._renew):
                    wait = await self._attempt()
            except (KubeError, TimeoutError) as error:
                log.warning(
                    "election failed, trying again",
                    lease=f"{self._namespace}/{self._name}",
                    error=describe(error),
                    **next_step(error, self._namespace),
                )
                wait = self._retry
            if wait is None:
                return
            # Spread: candidates that saw the same record would all come at the same moment.
            await self._clock.sleep(min(wait, self._retry) * (1.0 + 0.2 * self._draw()))

    async def _attempt(self) -> float | None:
        """Try once to become leader; None when it worked, else seconds after which it may."""
        lease = await self._client.get_or_none(LEASES, self._name, namespace=self._namespace)
        sent = self._boot()
        if lease is None:
            record = first_record(self.identity, now=self._clock.now(), duration=self._duration)
            return await self._claim(
                lease_object(self._name, self._namespace, record), record, sent, create=True
            )
        record = Record.of(lease)
        # A record of ours whose answer got lost, or from before this process was cut off, is not waited out.
        # One that only has our name is: somebody else may be using it.
        if record not in self._sent:
            if self._observed is None:
                self._observed = Observation(record, sent)
            self._observed.look(record, sent)
            wait = self._observed.free_in(sent, default=self._duration)
            if wait > 0:
                return wait
        record = record.taken_by(self.identity, now=self._clock.now(), duration=self._duration)
        return await self._claim(with_record(lease, record), record, sent)

    async def _claim(
        self, lease: meta.Object, record: Record, sent: float, *, create: bool = False
    ) -> float | None:
        try:
            await self._write(lease, record, sent, create=create)
        except Conflict:
            return self._retry
        if self._boot() >= self._confirmed + self._renew:
            # The answer took so long that the lease may be gone again.
            return self._retry
        return None

    async def _write(self, lease: meta.Object, record: Record, sent: float, *, create: bool = False) -> None:
        # As it will be read: the wire knows whole seconds only.
        self._sent.append(Record.of({"spec": record.spec()}))
        if create:
            self._held = await self._client.create(LEASES, lease, namespace=self._namespace)
        else:
            self._held = await self._client.replace(LEASES, lease, namespace=self._namespace)
        self._confirmed = sent

    async def _lead(self, work: Callable[[], Awaitable[None]]) -> bool:
        """Do the work while the lease is held; True when work ended by itself."""
        self._leading = True
        self._gauge.set(1)
        metrics.LEADER_CHANGES(self._name, "won").inc()
        log.info("leading", lease=self._name, identity=self.identity)
        working = asyncio.ensure_future(_call(work))
        renewing = asyncio.ensure_future(self._keep())
        finished = False
        try:
            await asyncio.wait({working, renewing}, return_when=asyncio.FIRST_COMPLETED)
            finished = working.done()
        finally:
            # Also when this task is cancelled: renewing goes on until the work has ended, so that nobody else
            # starts before.
            await self._finish(working, renewing)
        if finished:
            await working
            return True
        if not working.cancelled() and (error := working.exception()) is not None:
            log.warning("work failed while it was being stopped", lease=self._name, error=describe(error))
        log.warning("lease lost", lease=self._name, identity=self.identity)
        return False

    async def _finish(self, working: "asyncio.Future[None]", renewing: "asyncio.Future[None]") -> None:
        """Cancel the work, wait for its end, and give the lease back if it is still held."""
        working.cancel()
        interrupted = False
        patience = self._boot() + self._duration - self._renew
        while not working.done():
            # While renewals succeed they move the end of the lease, so it is looked at again and again.
            left = max(self._confirmed + self._duration, patience) - self._boot()
            if left <= 0 and not self.hung:
                self._report_hung()
            try:
                await asyncio.wait({working}, timeout=min(max(left, 0.05), 1.0))
            except asyncio.CancelledError:
                # The work must have ended before this does; impatience changes nothing about that.
                interrupted = True
                working.cancel()
        renewing.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.wait({renewing})
        held = self.is_leader and not self.hung
        self._leading = False
        self.hung = False
        self._gauge.set(0)
        metrics.LEADER_CHANGES(self._name, "lost").inc()
        if held:
            await self._release()
        if interrupted:
            raise asyncio.CancelledError

    def _report_hung(self) -> None:
        self.hung = True
        log.error("work goes on although the lease has ended; this process should end", lease=self._name)
        self._on_hung()

    # --- renewing ---------------------------------------------------------------------------------

    async def _keep(self) -> None:
        """Renew until that fails for too long, or somebody else holds the lease."""
        while True:
            await self._clock.sleep(min(self._retry, max(self._left(), 0.0)))
            left = self._left()
            if left <= 0:
                return
            try:
                # Half, so that one lost packet leaves time for another attempt.
                async with asyncio.timeout(min(left, self._renew / 2)):
                    await self._renew_once()
            except LostLease:
                self._confirmed = float("-inf")
                return
            except (KubeError, TimeoutError) as error:
                log.warning(
                    "renewal failed", lease=self._name, left=round(self._left(), 1), error=describe(error)
                )

    def _left(self) -> float:
        return self._confirmed + self._renew - self._boot()

    async def _renew_once(self) -> None:
        held = self._held
        if held is None:
            raise LostLease("nothing is held")
        sent = self._boot()
        record = Record.of(held).renewed_at(self._clock.now())
        try:
            await self._write(with_record(held, record), record, sent)
        except Conflict:
            await self._write_after_all(record)
        except AbsenceUnproven:
            raise
        except NotFound:
            # Somebody removed the Lease. Creating it is atomic: it works only if nobody else did meanwhile.
            await self._write(lease_object(self._name, self._namespace, record), record, sent, create=True)

    async def _write_after_all(self, record: Record) -> None:
        """After a conflict: renew on top of a record of ours whose answer got lost; else it is the end."""
        lease = await self._client.get_or_none(LEASES, self._name, namespace=self._namespace)
        if lease is None or Record.of(lease) not in self._sent:
            raise LostLease("somebody else holds the lease")
        try:
            await self._write(with_record(lease, record), record, self._boot())
        except Conflict:
            raise LostLease("somebody else writes the lease") from None

    async def _release(self) -> None:
        held = self._held
        if held is None:
            return
        record = Record.of(held).released(self._clock.now())
        try:
            async with asyncio.timeout(_RELEASE_LIMIT):
                await self._client.replace(LEASES, with_record(held, record), namespace=self._namespace)
        except (KubeError, TimeoutError) as error:
            log.info("lease not released, it will expire", lease=self._name, error=describe(error))
        else:
            log.info("lease released", lease=self._name)


async def _call(work: Callable[[], Awaitable[None]]) -> None:
    await work()
