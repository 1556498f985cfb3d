"""Connections of the web half: how many, of whom, and how long they may say nothing or little.

Excluded: what is answered to requests (`tests/integration/backend/test_web_server.py`).
"""

import asyncio
import contextlib
import errno
import gc
import socket
import ssl
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trustme
from aiohttp import web

from bind_agent.aio.tasks import background
from bind_agent.backend.http import accepting
from bind_agent.backend.http import server as module
from bind_agent.backend.http.connections import Bounds, Connections
from bind_agent.backend.http.server import WebServer
from bind_agent.backend.http.tls import Certificate
from bind_agent.obs import metrics
from tests.fakes.eventually import eventually

pytestmark = pytest.mark.protocol

HOG, OTHER = "127.0.0.1", "127.0.0.2"
REQUEST = b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
UNDER_WAY: list[web.Request] = []
MUCH = 2 * 1024 * 1024
Stream = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@asynccontextmanager
async def serving(bounds: Bounds, certificate: Certificate | None = None) -> AsyncIterator[WebServer]:
    async def hello(_: web.Request) -> web.Response:
        return web.Response(text="hello")

    async def much(_: web.Request) -> web.Response:
        return web.Response(body=bytes(MUCH))

    async def long(request: web.Request) -> web.Response:
        UNDER_WAY.append(request)
        try:
            await asyncio.sleep(2)
        finally:
            UNDER_WAY.remove(request)
        return web.Response()

    app = web.Application()
    app.router.add_get("/", hello)
    app.router.add_get("/much", much)
    app.router.add_get("/long", long)
    server = WebServer(HOG, 0, certificate=certificate, bounds=bounds)
    async with background(server.run(app)):
        await server.started()
        yield server
        server.stop()


async def connect(server: WebServer, source: str, **more: Any) -> Stream:
    return await asyncio.open_connection(HOG, server.port, local_addr=(source, 0), **more)


async def answered(server: WebServer, source: str, **more: Any) -> bool:
    """Whether a request from an address is answered; else it was hung up on at once."""
    begun = time.monotonic()
    try:
        reader, writer = await connect(server, source, **more)
        try:
            writer.write(REQUEST)
            async with asyncio.timeout(10):
                text = await reader.read()
        finally:
            writer.close()
    except (ConnectionError, ssl.SSLError):
        text = b""
    assert text or time.monotonic() - begun < 5, "closed late"
    return b"hello" in text


async def crowd(server: WebServer, source: str, size: int) -> list[Stream]:
    """Connections that say nothing."""
    return [await connect(server, source) for _ in range(size)]


def leave(silent: list[Stream]) -> None:
    for _, writer in silent:
        writer.close()


def refused(bound: str) -> float:
    return float(metrics.HTTP_CONNECTIONS_REFUSED(bound)._value.get())


async def test_a_silent_crowd_of_one_address_keeps_nobody_else_out() -> None:
    before = refused("address")
    async with serving(Bounds(total=40, each=10)) as server:
        silent = await crowd(server, HOG, 60)
        assert not await answered(server, HOG), "it has what it gets"
        assert await answered(server, OTHER)
        assert all(await asyncio.gather(*(answered(server, OTHER) for _ in range(5))))
        # Those above the bound were hung up on at once, the others still stand.
        ended = 0
        for reader, _ in silent:
            with contextlib.suppress(ConnectionError, TimeoutError):
                async with asyncio.timeout(0.02):
                    assert await reader.read() == b""
            ended += reader.at_eof() or reader.exception() is not None
        assert ended == 50
        assert refused("address") - before == 51
        leave(silent)
        await eventually(lambda: answered(server, HOG))


async def test_without_a_bound_for_one_address_it_may_have_many() -> None:
    async with serving(Bounds(total=200, each=0)) as server:
        silent = await crowd(server, HOG, 150)
        assert await answered(server, HOG)
        leave(silent)


@pytest.fixture
def tls(tmp_path: Path) -> tuple[Certificate, ssl.SSLContext]:
    ca = trustme.CA()
    leaf = ca.issue_cert("localhost")
    cert, key = tmp_path / "cert", tmp_path / "key"
    cert.write_bytes(b"".join(blob.bytes() for blob in leaf.cert_chain_pems))
    leaf.private_key_pem.write_to_path(key)
    trust = ssl.create_default_context()
    ca.configure_trust(trust)
    return Certificate(str(cert), str(key)), trust


async def test_who_never_begins_tls_is_counted_too(tls: tuple[Certificate, ssl.SSLContext]) -> None:
    certificate, trust = tls
    over_tls = {"ssl": trust, "server_hostname": "localhost"}
    async with serving(Bounds(total=40, each=5), certificate) as server:
        assert await answered(server, HOG, **over_tls)
        silent = await crowd(server, HOG, 20)
        assert not await answered(server, HOG, **over_tls)
        assert await answered(server, OTHER, **over_tls)
        leave(silent)
        await eventually(lambda: answered(server, HOG, **over_tls))


async def test_a_crowd_costs_time_and_not_the_process() -> None:
    """With a request under way each, nobody has to go."""
    before = refused("total")
    async with serving(Bounds(total=3, each=0)) as server:
        busy = [await asking(server, "/long") for _ in range(3)]
        await eventually(lambda: len(UNDER_WAY) == 3)
        assert not await answered(server, HOG)
        assert not await answered(server, OTHER)
        assert refused("total") - before == 2
        leave(busy)
        await eventually(lambda: answered(server, OTHER))


async def hung_up(stream: Stream) -> bool:
    with contextlib.suppress(ConnectionError, TimeoutError):
        async with asyncio.timeout(0.1):
            await stream[0].read()
    return stream[0].at_eof() or stream[0].exception() is not None


async def test_who_has_most_makes_room_for_others() -> None:
    """The one of these goes that has been idle for the longest time."""
    before = refused("idle")
    async with serving(Bounds(total=6, each=5)) as server:
        few = await connect(server, OTHER)
        first, *silent = await crowd(server, HOG, 4)
        busy = await asking(server, "/long")
        await eventually(lambda: len(UNDER_WAY) == 1)
        # Asking makes it the one that was idle for the shortest time.
        first[1].write(REQUEST.replace(b"close", b"keep-alive"))
        assert b"hello" in await first[0].readuntil(b"hello")
        assert await answered(server, "127.0.0.3")
        assert refused("idle") - before == 1
        assert [await hung_up(one) for one in (few, busy, first, *silent)] == [False] * 3 + [True] + [
            False
        ] * 2
        newcomers = [await connect(server, f"127.0.0.{n}") for n in (4, 5, 6)]
        await asyncio.sleep(0.1)
        assert [await hung_up(one) for one in (few, busy, first, *silent)] == [False] * 3 + [True] * 3
        leave([few, first, busy, *silent, *newcomers])


async def test_who_never_begins_tls_makes_room_too(tls: tuple[Certificate, ssl.SSLContext]) -> None:
    certificate, trust = tls
    async with serving(Bounds(total=5, each=5), certificate) as server:
        silent = await crowd(server, HOG, 5)
        begun = time.monotonic()
        assert await answered(server, OTHER, ssl=trust, server_hostname="localhost")
        assert time.monotonic() - begun < 5
        assert [await hung_up(one) for one in silent] == [True] + [False] * 4
        leave(silent)


async def test_a_handshake_takes_a_bounded_time(
    tls: tuple[Certificate, ssl.SSLContext], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(accepting, "HANDSHAKE", 0.5)
    certificate, trust = tls
    async with serving(Bounds(total=40, each=2), certificate) as server:
        streams = await crowd(server, HOG, 2)
        streams[1][1].write(b"no TLS at all, but an end of it")
        for reader, _ in streams:
            async with asyncio.timeout(10):
                with contextlib.suppress(ConnectionError):
                    await reader.read()
        # What did not come about is not counted for ever.
        await eventually(lambda: answered(server, HOG, ssl=trust, server_hostname="localhost"))
        leave(streams)


async def test_whoever_says_nothing_is_hung_up_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "KEEP_ALIVE", 0.5)
    async with serving(Bounds()) as server:
        for sent in (b"", b"GET / HTTP/1.1\r\nHo"):
            reader, writer = await connect(server, HOG)
            writer.write(sent)
            async with asyncio.timeout(10):
                assert await reader.read() == b""
            writer.close()


@pytest.mark.parametrize("before", [b"", REQUEST.replace(b"close", b"keep-alive")], ids=["first", "second"])
async def test_a_head_that_comes_in_drops_ends(monkeypatch: pytest.MonkeyPatch, before: bytes) -> None:
    """Each drop would win time if the clock began anew with it."""
    monkeypatch.setattr(module, "KEEP_ALIVE", 1.0)
    async with serving(Bounds()) as server:
        reader, writer = await connect(server, HOG)
        if before:
            writer.write(before)
            assert b"hello" in await reader.readuntil(b"hello")
        begun = time.monotonic()
        writer.write(b"GET / HTTP/1.1\r\n")
        ended = asyncio.ensure_future(reader.read())
        dropped = 0
        while not ended.done():
            with contextlib.suppress(ConnectionError):
                writer.write(b"X-Drop: a\r\n"[dropped % 11 :][:1])
                await writer.drain()
            dropped += 1
            await asyncio.sleep(0.05)
            assert time.monotonic() - begun < 20
        assert dropped > 5, "it was not ended for what it said"
        with contextlib.suppress(ConnectionError):
            assert await ended == b""
        assert await answered(server, HOG)
        writer.close()


async def test_a_slow_head_that_ends_in_time_is_answered() -> None:
    async with serving(Bounds()) as server:
        reader, writer = await connect(server, HOG)
        for byte in REQUEST:
            writer.write(bytes([byte]))
            await asyncio.sleep(0.005)
        async with asyncio.timeout(10):
            assert b"hello" in await reader.read()
        writer.close()


class Listener(socket.socket):
    """Fails a few times, as a process without file descriptors does."""

    failures = 0

    def accept(self) -> Any:
        if self.failures:
            self.failures -= 1
            raise OSError(errno.EMFILE, "Too many open files")
        return super().accept()


async def test_a_system_without_descriptors_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(accepting, "_PAUSE", 0.05)
    with Listener(socket.AF_INET, socket.SOCK_STREAM) as listener:
        listener.bind((HOG, 0))
        listener.listen()
        listener.setblocking(False)
        listener.failures = 3
        acceptor = accepting.Acceptor(listener, asyncio.Protocol, Connections(Bounds(each=1)))
        async with background(acceptor.run()):
            first = await asyncio.open_connection(*listener.getsockname())
            second = await asyncio.open_connection(*listener.getsockname())
            async with asyncio.timeout(10):
                with contextlib.suppress(ConnectionError):
                    assert await second[0].read() == b"", "refused, so accepting goes on"
            assert listener.failures == 0
            assert not first[0].at_eof()
            leave([first, second])


async def test_whoever_comes_at_the_end_is_hung_up_on() -> None:
    """Nothing is left open of a connection that arrives while the listener stops (a warning would fail this)."""
    for _ in range(20):
        async with serving(Bounds()) as server:
            coming = [asyncio.ensure_future(connect(server, HOG)) for _ in range(5)]
            await asyncio.sleep(0)
        for stream in await asyncio.gather(*coming, return_exceptions=True):
            if not isinstance(stream, BaseException):
                with contextlib.suppress(ConnectionError):
                    async with asyncio.timeout(10):
                        await stream[0].read()
                stream[1].close()
    gc.collect()


async def test_at_the_end_handshakes_under_way_do_not_hold_it_up(
    tls: tuple[Certificate, ssl.SSLContext],
) -> None:
    open_before = metrics.HTTP_CONNECTIONS()._value.get()
    begun = time.monotonic()
    async with serving(Bounds(), tls[0]) as server:
        silent = await crowd(server, HOG, 5)
        await asyncio.sleep(0.05)
    assert time.monotonic() - begun < 5
    leave(silent)
    assert metrics.HTTP_CONNECTIONS()._value.get() == open_before


async def asking(server: WebServer, *requests: str, trust: ssl.SSLContext | None = None) -> Stream:
    """A connection with requests, of whose answers nothing is read."""
    plug = socket.socket()
    plug.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16 * 1024)
    plug.setblocking(False)
    await asyncio.get_running_loop().sock_connect(plug, (HOG, server.port))
    over_tls: dict[str, Any] = {"ssl": trust, "server_hostname": "localhost"} if trust else {}
    reader, writer = await asyncio.open_connection(sock=plug, limit=1024, **over_tls)
    for one in requests:
        writer.write(REQUEST.replace(b"close", b"keep-alive").replace(b"/", one.encode(), 1))
    return reader, writer


def standing() -> float:
    return float(metrics.HTTP_CONNECTIONS()._value.get())


@pytest.fixture(params=["asyncio", "uvloop"])
def on_loop(request: pytest.FixtureRequest) -> Callable[[Coroutine[Any, Any, None]], None]:
    """Runs a test on a loop of its own."""
    make = (
        asyncio.new_event_loop if request.param == "asyncio" else pytest.importorskip("uvloop").new_event_loop
    )

    def run(test: Coroutine[Any, Any, None]) -> None:
        with asyncio.Runner(loop_factory=make) as runner:
            runner.run(test)

    return run


OnLoop = Callable[[Coroutine[Any, Any, None]], None]


@pytest.mark.parametrize("requests", [("/much",), ("/much",) * 20], ids=["one", "pipelined"])
def test_who_asks_and_does_not_read_is_hung_up_on(
    monkeypatch: pytest.MonkeyPatch, on_loop: OnLoop, requests: tuple[str, ...]
) -> None:
    monkeypatch.setattr(accepting, "WRITING", 0.5)

    async def test() -> None:
        before = standing()
        async with serving(Bounds()) as server:
            _, writer = await asking(server, *requests)
            await eventually(lambda: standing() == before + 1)
            await eventually(lambda: standing() == before)
            assert await answered(server, HOG)
            writer.close()

    on_loop(test())


@pytest.mark.parametrize(
    "requests",
    [("/much",), ("/much",) * 20, ("/",) * 300],
    ids=["one", "pipelined", "little"],
)
def test_over_tls_too(
    monkeypatch: pytest.MonkeyPatch,
    on_loop: OnLoop,
    tls: tuple[Certificate, ssl.SSLContext],
    requests: tuple[str, ...],
) -> None:
    """What is left of it may be in two places there: encrypted already, and not yet."""
    certificate, trust = tls
    monkeypatch.setattr(accepting, "WRITING", 0.5)
    monkeypatch.setattr(accepting, "_GOODBYE", 0.5)
    monkeypatch.setattr(module, "KEEP_ALIVE", 0.2)
    monkeypatch.setattr(module, "_UNSENT", 1024)

    async def test() -> None:
        before = standing()
        async with serving(Bounds(), certificate) as server:
            _, writer = await asking(server, *requests, trust=trust)
            await eventually(lambda: standing() == before + 1)
            await eventually(lambda: standing() == before)
            assert await answered(server, HOG, ssl=trust, server_hostname="localhost")
            # The loop ends with the test: no time to agree on an end.
            writer.transport.abort()
            await asyncio.sleep(0.1)

    on_loop(test())


def test_a_connection_that_is_closed_with_something_unread_ends(
    monkeypatch: pytest.MonkeyPatch, on_loop: OnLoop
) -> None:
    """What is left is too little for anybody to wait to write, and its end waits for the client."""
    monkeypatch.setattr(accepting, "WRITING", 0.5)
    monkeypatch.setattr(module, "KEEP_ALIVE", 0.2)
    monkeypatch.setattr(module, "_UNSENT", 1024)

    async def test() -> None:
        before = standing()
        async with serving(Bounds()) as server:
            _, writer = await asking(server, *["/"] * 300)
            await eventually(lambda: standing() == before + 1)
            await eventually(lambda: standing() == before)
            writer.close()

    on_loop(test())


def test_who_reads_slowly_and_steadily_gets_the_whole_answer(
    monkeypatch: pytest.MonkeyPatch, on_loop: OnLoop
) -> None:
    monkeypatch.setattr(accepting, "WRITING", 0.5)

    async def test() -> None:
        async with serving(Bounds()) as server:
            reader, writer = await asking(server, "/much")
            begun, head = time.monotonic(), await reader.readuntil(b"\r\n\r\n")
            assert b" 200 " in head
            found = 0
            while found < MUCH:
                part = await reader.read(20 * 1024)
                assert part, "cut"
                found += len(part)
                await asyncio.sleep(0.02)
            assert found == MUCH
            assert time.monotonic() - begun > 3 * accepting.WRITING
            writer.close()

    on_loop(test())


@pytest.mark.parametrize(
    "requests", [("/much",), ("/much",) * 20, ("/long",)], ids=["one", "pipelined", "slow"]
)
def test_the_end_waits_for_nobody_beyond_its_time(
    monkeypatch: pytest.MonkeyPatch, on_loop: OnLoop, requests: tuple[str, ...]
) -> None:
    monkeypatch.setattr(module, "FINISH", 1.0)

    async def test() -> None:
        before = standing()
        async with serving(Bounds()) as server:
            _, writer = await asking(server, *requests)
            await eventually(lambda: standing() == before + 1)
            await asyncio.sleep(0.2)
            begun = time.monotonic()
        assert 0.8 < time.monotonic() - begun < 20
        assert standing() == before
        writer.close()

    on_loop(test())


def test_at_the_end_an_answer_is_read_to_its_end(monkeypatch: pytest.MonkeyPatch, on_loop: OnLoop) -> None:
    monkeypatch.setattr(module, "FINISH", 60.0)

    async def test() -> None:
        async with serving(Bounds()) as server:
            reader, writer = await asking(server, "/much")
            await reader.readuntil(b"\r\n\r\n")
            server.stop()
            await asyncio.sleep(0.5)
            assert len(await reader.readexactly(MUCH)) == MUCH
            begun = time.monotonic()
        assert time.monotonic() - begun < 30
        writer.close()

    on_loop(test())
