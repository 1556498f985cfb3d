"""A TCP proxy that breaks connections below HTTP: delays, silence, cuts, resets; for any real API server."""

import asyncio
import contextlib
import socket
import struct
from types import TracebackType
from typing import Self


class ChaosProxy:
    """Passes bytes on until told otherwise; use it as an asynchronous context manager.

    Attributes:
        delay: seconds before each piece towards the client.
        cut_after: connections break after so many bytes towards the client; None for never.
        reset: a break is a reset instead of an orderly end.
        connections: how many were accepted.
    """

    def __init__(self, host: str, port: int) -> None:
        self.delay = 0.0
        self._flows = asyncio.Event()
        self._flows.set()
        self.cut_after: int | None = None
        self.reset = False
        self.connections = 0
        self.port = 0
        self._target = (host, port)
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._writers: set[asyncio.StreamWriter] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._server is not None
        self._server.close()
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._server.wait_closed()

    def hang(self) -> None:
        """From now on nothing goes towards the client; connections stay open."""
        self._flows.clear()

    def flow(self) -> None:
        """End a hang."""
        self._flows.set()

    def break_connections(self) -> None:
        """Break every connection that is open now."""
        for writer in list(self._writers):
            self._break(writer)

    def retarget(self, host: str, port: int) -> None:
        """From now on connections lead to another server; those that are open break."""
        self._target = (host, port)
        self.break_connections()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self.connections += 1
        self._writers.add(writer)
        upstream: asyncio.StreamWriter | None = None
        try:
            answers, upstream = await asyncio.open_connection(*self._target)
            async with asyncio.TaskGroup() as group:
                group.create_task(self._pipe(reader, upstream, up=True))
                group.create_task(self._pipe(answers, writer, up=False))
        except* (ConnectionError, OSError, _Done):
            pass
        finally:
            self._tasks.discard(task)
            self._writers.discard(writer)
            for end in (writer, upstream):
                if end is not None:
                    end.close()
                    with contextlib.suppress(ConnectionError, OSError, asyncio.CancelledError):
                        await end.wait_closed()

    async def _pipe(self, source: asyncio.StreamReader, target: asyncio.StreamWriter, *, up: bool) -> None:
        sent = 0
        while data := await source.read(65536):
            if not up:
                if self.delay:
                    await asyncio.sleep(self.delay)
                await self._flows.wait()
                if self.cut_after is not None and sent + len(data) >= self.cut_after:
                    target.write(data[: self.cut_after - sent])
                    await target.drain()
                    self._break(target)
                    break
            target.write(data)
            await target.drain()
            sent += len(data)
        # One direction is over, so is the other: HTTP clients and servers do not half-close.
        raise _Done

    def _break(self, writer: asyncio.StreamWriter) -> None:
        if self.reset:
            raw: socket.socket = writer.get_extra_info("socket")
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            writer.transport.abort()
        else:
            writer.close()


class _Done(Exception):  # noqa: N818 - ends a task group, is no failure
    pass
