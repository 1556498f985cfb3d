"""A scripted HTTP server for what a real API server does not do on demand.

It knows no Kubernetes: a test says which answer a path gives, one after the other (the last one repeats), and
looks at the requests that came.  Everything below an answer is possible: wrong types, cut bodies, resets,
silence.
"""

import asyncio
import contextlib
import gzip
import socket
import ssl
import struct
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Literal, Self
from urllib.parse import parse_qs, urlsplit

import orjson

from bind_agent.api.resource import Resource

End = Literal["close", "keep", "reset", "hang"]


@dataclass(frozen=True, slots=True)
class Request:
    """One request as it came."""

    method: str
    target: str
    headers: dict[str, str] = field(repr=False)
    body: bytes = field(repr=False)
    time: float

    @property
    def path(self) -> str:
        """Path without query."""
        return urlsplit(self.target).path

    @property
    def query(self) -> dict[str, str]:
        """Query parameters; of repeated ones the first."""
        return {key: values[0] for key, values in parse_qs(urlsplit(self.target).query).items()}

    def json(self) -> Any:
        """The decoded body."""
        return orjson.loads(self.body)


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer, written piece by piece.

    Attributes:
        status: HTTP status.
        headers: on top of those that the body needs.
        pieces: body; a number is a pause in seconds.
        chunked: send the pieces as chunks of unknown total length; otherwise with a Content-Length.
        end: after the pieces keep the connection for the next request, close it, reset it, or stay silent.
        length: a Content-Length that lies.
    """

    status: int = 200
    headers: tuple[tuple[str, str], ...] = (("Content-Type", "application/json"),)
    pieces: Sequence[bytes | float] = ()
    chunked: bool = False
    end: End = "keep"
    length: int | None = None


def json_answer(value: Any, *, status: int = 200, **headers: str) -> Answer:
    """A JSON answer; header names are given with underscores."""
    named = tuple((name.replace("_", "-"), text) for name, text in headers.items())
    return Answer(status, (("Content-Type", "application/json"), *named), [orjson.dumps(value)])


def gzip_answer(body: bytes) -> Answer:
    """A compressed JSON answer."""
    headers = (("Content-Type", "application/json"), ("Content-Encoding", "gzip"))
    return Answer(200, headers, [gzip.compress(body)])


def failure(code: int, reason: str = "", message: str = "", **headers: str) -> Answer:
    """A Status that reports a failure."""
    status = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code}
    return json_answer(status | {"reason": reason, "message": message or reason}, status=code, **headers)


def missing(resource: Resource, name: str) -> Answer:
    """An API server's word that it has no object of that name."""
    details = {"name": name, "kind": resource.plural} | ({"group": resource.group} if resource.group else {})
    message = f'{resource.group_resource} "{name}" not found'
    status = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": 404, "reason": "NotFound"}
    return json_answer(status | {"message": message, "details": details}, status=404)


def stream(*pieces: Any, end: End = "close") -> Answer:
    """A watch: dicts become lines, bytes go out as they are, numbers are pauses.

    With `close` the stream ends in order, with `reset` and `hang` in the middle.
    """
    written = [orjson.dumps(piece) + b"\n" if isinstance(piece, dict) else piece for piece in pieces]
    return Answer(200, pieces=written, chunked=True, end=end)


class KubeServer:
    """The server; use it as an asynchronous context manager.

    Attributes:
        requests: all that came, in order.
        connections: how many were opened.
    """

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self.requests: list[Request] = []
        self.connections = 0
        self._tls = tls
        self._scripts: dict[tuple[str, str], list[Answer]] = {}
        self._handler: Callable[[Request], Awaitable[Answer] | Answer] | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None
        self.port = 0

    @property
    def url(self) -> str:
        """Base URL."""
        return f"http{'s' if self._tls else ''}://127.0.0.1:{self.port}"

    def script(self, path: str, *answers: Answer, method: str = "") -> None:
        """Answers of one path, in order; the last one repeats.  Without a method they hold for all."""
        self._scripts[method, path] = list(answers)

    def handle(self, handler: Callable[[Request], Awaitable[Answer] | Answer]) -> None:
        """Whatever has no script is answered by this function."""
        self._handler = handler

    def count(self, path: str) -> int:
        """Requests of one path so far."""
        return sum(request.path == path for request in self.requests)

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", self.port, ssl=self._tls)
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

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self.connections += 1
        try:
            while (request := await _read(reader)) is not None:
                self.requests.append(request)
                if not await _write(writer, await self._answer(request), reader):
                    break
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError, ssl.SSLError):
            pass
        finally:
            self._tasks.discard(task)
            writer.close()
            with contextlib.suppress(ConnectionError, ssl.SSLError, asyncio.CancelledError):
                await writer.wait_closed()

    async def _answer(self, request: Request) -> Answer:
        answers = self._scripts.get((request.method, request.path)) or self._scripts.get(("", request.path))
        if answers:
            return answers.pop(0) if len(answers) > 1 else answers[0]
        if self._handler is None:
            return failure(404, "NotFound", f"no script for {request.path}")
        found = self._handler(request)
        return found if isinstance(found, Answer) else await found


async def _read(reader: asyncio.StreamReader) -> Request | None:
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError:
        return None
    first, *lines = head.decode("latin-1").split("\r\n")
    method, target, _ = first.split(" ")
    headers = {
        name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines if line)
    }
    if headers.get("transfer-encoding") == "chunked":
        body = b""
        while size := int(await reader.readuntil(b"\r\n"), 16):
            body += await reader.readexactly(size)
            await reader.readexactly(2)
        await reader.readexactly(2)
    else:
        body = await reader.readexactly(int(headers.get("content-length", "0")))
    return Request(method, target, headers, body, asyncio.get_running_loop().time())


async def _write(writer: asyncio.StreamWriter, answer: Answer, reader: asyncio.StreamReader) -> bool:
    """Write an answer; False when the connection is over."""
    lines = [f"HTTP/1.1 {answer.status} x", *(f"{name}: {value}" for name, value in answer.headers)]
    if answer.chunked:
        lines.append("Transfer-Encoding: chunked")
    else:
        size = sum(len(piece) for piece in answer.pieces if isinstance(piece, bytes))
        lines.append(f"Content-Length: {size if answer.length is None else answer.length}")
    writer.write("\r\n".join([*lines, "", ""]).encode("latin-1"))
    await writer.drain()
    for piece in answer.pieces:
        if isinstance(piece, bytes):
            writer.write(b"%x\r\n%s\r\n" % (len(piece), piece) if answer.chunked else piece)
            await writer.drain()
        else:
            await asyncio.sleep(piece)
    if answer.end == "hang":
        # Until the client goes away.
        await reader.read()
        return False
    if answer.end == "reset":
        await asyncio.sleep(0.02)
        raw: socket.socket = writer.get_extra_info("socket")
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.transport.abort()
        return False
    if answer.chunked:
        writer.write(b"0\r\n\r\n")
        await writer.drain()
    return answer.end == "keep"
