"""Taking connections: each is counted before it may do anything, and until its socket is closed.

The server of asyncio knows a TLS connection only once its handshake is over, and says nothing about who it is when
it makes a protocol. So whoever connects and says nothing could not be counted there.
"""

import asyncio
import contextlib
import functools
import socket
import ssl
from collections.abc import Callable, Iterator
from typing import Final, cast

import structlog

from bind_agent.backend.http.connections import Bound, Connections
from bind_agent.obs import metrics
from bind_agent.runtime.faults import describe

log = structlog.get_logger(__name__)

HANDSHAKE: Final = 10.0
"""Seconds that a TLS handshake may take."""

WRITING: Final = 20.0
"""Seconds in which a client has to take what is written to it, or at least `_STEP` bytes of that."""

_STEP: Final = 16 * 1024
_LOOKS: Final = 8
"""How often in `WRITING` it is looked at."""

_GOODBYE: Final = 5.0
"""Seconds that the other side gets to agree to the end of a TLS connection."""

_PAUSE: Final = 0.5
"""Seconds without accepting after the system could not give a descriptor; one that closes makes room."""

_CUT: Final = 1.0
"""Seconds until the loop has said of every connection that was cut that it is gone."""

_TOLD_EVERY: Final = 60.0


class Acceptor:
    """Accepts the connections of one listening socket."""

    def __init__(
        self,
        listener: socket.socket,
        protocol: Callable[[], asyncio.Protocol],
        connections: Connections,
        *,
        context: ssl.SSLContext | None = None,
    ) -> None:
        """Set up.

        Args:
            listener: listening, non-blocking; stays the caller's to close.
            protocol: makes what serves a connection.
            connections: counts them.
            context: for TLS.
        """
        self._listener = listener
        self._protocol = protocol
        self._connections = connections
        self._context = context
        self._told = dict[Bound, float]()
        self._open = dict[asyncio.BaseProtocol, _Counted]()
        self._nobody = asyncio.Event()
        self._nobody.set()

    async def follow(self) -> None:
        """Until cancelled, cut connections whose clients ask and do not read.

        Nothing else would end them: a handler that waits to write waits without limit, and so does the end of a
        connection with something left to send.
        """
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(WRITING / _LOOKS)
            for one in tuple(self._open.values()):
                if one.stuck(loop.time()):
                    log.debug("a client does not read what it asked for")
                    one.abort()

    async def finish(self, deadline: float) -> None:
        """Wait for connections that are being closed; cut what is left then.

        Args:
            deadline: as the loop's clock has it.
        """
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout_at(deadline):
                await self._nobody.wait()
        for one in tuple(self._open.values()):
            one.abort()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_CUT):
                await self._nobody.wait()

    async def run(self) -> None:
        """Accept until cancelled; handshakes under way end then, connections that stand go on."""
        taking = set[asyncio.Task[None]]()
        try:
            while True:
                # One for each turn of the loop, so that a crowd in the queue holds nobody else up.
                await self._readable()
                try:
                    found, peer = self._listener.accept()
                except BlockingIOError:
                    continue
                except OSError as error:
                    # No descriptors, or whoever came went again at once.
                    log.warning("cannot accept a connection", error=describe(error))
                    await asyncio.sleep(_PAUSE)
                    continue
                address = str(peer[0])
                bound = self._connections.take(address)
                if bound == "total" and self._make_room():
                    self._tell("idle", address)
                    bound = self._connections.take(address)
                if bound is not None:
                    found.close()
                    self._tell(bound, address)
                    continue
                found.setblocking(False)
                counted = _Counted(self._protocol(), address, self._free)
                self._open[counted.inner] = counted
                self._nobody.clear()
                metrics.HTTP_CONNECTIONS().inc()
                task = asyncio.create_task(self._take(found, counted))
                counted.taking = task
                taking.add(task)
                task.add_done_callback(taking.discard)
                task.add_done_callback(functools.partial(_unless_begun, counted, found))
        finally:
            for task in taking:
                task.cancel()
            await asyncio.gather(*taking, return_exceptions=True)

    async def _readable(self) -> None:
        """Wait until somebody is in the queue.

        The accepting itself is done without waiting: a cancellation that came between would lose the socket.
        """
        loop = asyncio.get_running_loop()
        waiter = loop.create_future()
        loop.add_reader(self._listener, _settle, waiter)
        try:
            await waiter
        finally:
            loop.remove_reader(self._listener)

    @contextlib.contextmanager
    def busy(self, protocol: asyncio.BaseProtocol) -> Iterator[None]:
        """A request of a connection is under way, which closes it for nobody else's sake.

        Args:
            protocol: what serves the connection.
        """
        counted = self._open.get(protocol)
        if counted is not None:
            counted.requests += 1
        try:
            yield
        finally:
            if counted is not None:
                counted.requests -= 1
                counted.touch()

    def _make_room(self) -> bool:
        """Close a connection without a request, of the client that has most: the longest idle one."""
        idle = [one for one in self._open.values() if one.idle]
        if not idle:
            return False
        chosen = max(idle, key=lambda one: (self._connections.of(one.address), -one.touched))
        chosen.abort()
        # Its socket is closed in this turn of the loop or the next.
        chosen.ended()
        return True

    async def _take(self, found: socket.socket, counted: "_Counted") -> None:
        """Hand a connection to a protocol, after its handshake."""
        counted.begun = True
        try:
            await asyncio.get_running_loop().connect_accepted_socket(
                lambda: counted,
                found,
                ssl=self._context,
                ssl_handshake_timeout=HANDSHAKE if self._context else None,
                ssl_shutdown_timeout=_GOODBYE if self._context else None,
            )
        except OSError as error:
            # Not TLS, another TLS, too slow: the other side's fault, and nobody's to look after.
            log.debug("no connection came about", error=describe(error))
            counted.ended()
        except BaseException:
            counted.ended()
            raise

    def _free(self, counted: "_Counted") -> None:
        self._connections.free(counted.address)
        del self._open[counted.inner]
        if not self._open:
            self._nobody.set()
        metrics.HTTP_CONNECTIONS().dec()

    def _tell(self, bound: Bound, address: str) -> None:
        metrics.HTTP_CONNECTIONS_REFUSED(bound).inc()
        now = asyncio.get_running_loop().time()
        if now - self._told.get(bound, -_TOLD_EVERY) >= _TOLD_EVERY:
            self._told[bound] = now
            log.warning("too many connections, some are closed", bound=bound, remote=address)


def _settle(waiter: "asyncio.Future[None]") -> None:
    if not waiter.done():
        waiter.set_result(None)


def _unless_begun(counted: "_Counted", found: socket.socket, _: "asyncio.Task[None]") -> None:
    """Give up a connection whose task ended before its first step."""
    if not counted.begun:
        found.close()
        counted.ended()


class _Counted(asyncio.Protocol):
    """Hands everything on to the protocol that serves, and tells its end, once."""

    def __init__(self, inner: asyncio.Protocol, address: str, ended: Callable[["_Counted"], None]) -> None:
        self.inner = inner
        self.address = address
        self.begun = False
        self.requests = 0
        self.touched = 0.0
        self.taking: asyncio.Task[None] | None = None
        self._ended: Callable[[_Counted], None] | None = ended
        self._transport: asyncio.Transport | None = None
        self._unread = 0
        self._since = 0.0
        self.touch()

    def touch(self) -> None:
        """It is used: idle from now on, at the earliest."""
        self.touched = asyncio.get_running_loop().time()

    @property
    def idle(self) -> bool:
        """Nothing is asked, and nothing of an answer left to send."""
        return not self.requests and not (self._transport and self._transport.get_write_buffer_size())

    def stuck(self, now: float) -> bool:
        """Whether what was written has not been taken for too long; to be asked now and then.

        Args:
            now: as the loop's clock has it.
        """
        waiting = self._transport.get_write_buffer_size() if self._transport else 0
        if not waiting or not self._unread or waiting <= self._unread - _STEP:
            self._unread, self._since = waiting, now
        # What is written meanwhile wins no time.
        self._unread = max(self._unread, waiting)
        return waiting > 0 and now - self._since >= WRITING

    def abort(self) -> None:
        """End it, whatever is left to send."""
        if self._transport is not None:
            self._transport.abort()
        elif self.taking is not None:
            self.taking.cancel()

    def ended(self) -> None:
        """The connection is no more, or never came about."""
        if self._ended is not None:
            ended, self._ended = self._ended, None
            ended(self)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Hand on."""
        self._transport = cast("asyncio.Transport", transport)
        self.inner.connection_made(transport)

    def data_received(self, data: bytes) -> None:
        """Hand on."""
        self.inner.data_received(data)

    def eof_received(self) -> bool | None:
        """Hand on."""
        return self.inner.eof_received()

    def pause_writing(self) -> None:
        """Hand on."""
        self.inner.pause_writing()

    def resume_writing(self) -> None:
        """Hand on; the client has read a good deal."""
        self._unread = 0
        self.inner.resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        """Hand on, and tell."""
        try:
            self.inner.connection_lost(exc)
        finally:
            self.ended()
