"""A plain TCP balancer: each connection goes to the next server that takes it. It knows nothing of HTTP."""

import asyncio
import contextlib
import itertools
from collections.abc import Sequence
from types import TracebackType
from typing import Final, Self

_PIECE: Final = 64 * 1024


class Balancer:
    """Use it as an asynchronous context manager.

    Attributes:
        port: listened on, 127.0.0.1.
        served: connections by backend port.
    """

    def __init__(self, ports: Sequence[int], port: int = 0) -> None:
        self.port = port
        self.served: dict[int, int] = dict.fromkeys(ports, 0)
        self._turn = itertools.cycle(ports)
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def url(self) -> str:
        """Its origin."""
        return f"http://127.0.0.1:{self.port}"

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._server is not None
        self._server.close()
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            for port in itertools.islice(self._turn, len(self.served)):
                try:
                    far = await asyncio.open_connection("127.0.0.1", port)
                except OSError:
                    continue
                self.served[port] += 1
                await _join((reader, writer), far)
                return
        finally:
            self._tasks.discard(task)
            writer.close()


async def _join(
    near: tuple[asyncio.StreamReader, asyncio.StreamWriter],
    far: tuple[asyncio.StreamReader, asyncio.StreamWriter],
) -> None:
    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(_copy(near[0], far[1]))
            group.create_task(_copy(far[0], near[1]))
    finally:
        far[1].close()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while piece := await reader.read(_PIECE):
            writer.write(piece)
            await writer.drain()
    with contextlib.suppress(OSError, RuntimeError):
        writer.write_eof()
