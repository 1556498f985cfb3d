"""The supervisor process and servers under it, played with small programs instead of API servers."""

import asyncio
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
import pytest_asyncio

from bind_agent.devcluster import adminhttp
from bind_agent.devcluster.errors import DevClusterError, ServerError
from bind_agent.devcluster.server import Server
from bind_agent.devcluster.state import ProcessId
from bind_agent.devcluster.supervision import Supervision
from tests.fakes.eventually import eventually

pytestmark = pytest.mark.protocol

#: Says that it is up, then lives until it is told to end.
PLAIN = "import time; print('up', flush=True); time.sleep(60)"
#: The same, but does not obey.
STUBBORN = f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); {PLAIN}"
#: Writes without pause.
BUSY = "while True: print('up', flush=True)"
#: Says when it ends.
POLITE = (
    "import signal, sys, time\n"
    "def end(*_): open(sys.argv[1], 'a').write(sys.argv[2]); sys.exit(0)\n"
    "signal.signal(signal.SIGTERM, end); print('up', flush=True); time.sleep(60)"
)


@pytest_asyncio.fixture(loop_scope="session")
async def supervision() -> AsyncIterator[Supervision]:
    supervision = await Supervision.open()
    yield supervision
    await supervision.close()


def server(
    supervision: Supervision,
    folder: Path,
    program: str,
    *arguments: str,
    rank: int = 0,
    ready: Callable[[Server], Awaitable[bool]] | None = None,
) -> Server:
    async def up() -> bool:
        return "up" in made.tail() if ready is None else await ready(made)

    argv = [sys.executable, "-c", program, *arguments]
    log = folder / f"{rank}-{len(list(folder.iterdir()))}.log"
    made = Server(supervision, name="small", argv=argv, log=log, rank=rank, ready=up)
    return made


async def test_a_server_is_started_once_and_stopped(supervision: Supervision, tmp_path: Path) -> None:
    small = server(supervision, tmp_path, PLAIN)
    assert (small.running, small.pid) == (False, None)
    await small.start()
    pid = small.pid
    await small.start()
    assert small.pid == pid
    await small.stop()
    assert not small.running
    await small.stop()
    assert small.log.stat().st_mode & 0o777 == 0o600
    await small.restart()
    await eventually(lambda: small.tail() == "up\nup")


async def test_one_that_does_not_obey_is_killed(supervision: Supervision, tmp_path: Path) -> None:
    small = server(supervision, tmp_path, STUBBORN)
    await small.start()
    await small.stop(grace=0.3)
    assert not small.running


async def test_one_that_is_not_ready_in_time_is_killed(supervision: Supervision, tmp_path: Path) -> None:
    async def never(_: Server) -> bool:
        raise OSError("nobody answers")

    small = server(supervision, tmp_path, PLAIN, ready=never)
    with pytest.raises(ServerError, match=r"is not ready after 0 s"):
        await small.start(timeout=0.4)
    assert not small.running


async def test_one_that_ends_shows_its_last_words(supervision: Supervision, tmp_path: Path) -> None:
    small = server(supervision, tmp_path, "import sys; print('no such luck'); sys.exit(3)")
    with pytest.raises(ServerError, match=r"ended with status 3(?s:.*)no such luck"):
        await small.start()
    async with asyncio.timeout(5):
        await small.ended_by_itself()


async def test_a_program_that_does_not_exist_cannot_be_started(
    supervision: Supervision, tmp_path: Path
) -> None:
    with pytest.raises(DevClusterError, match=r"cannot start: .*No such file"):
        await supervision.spawn([str(tmp_path / "none")], log=tmp_path / "log", rank=0)


async def test_a_log_that_cannot_be_written_is_an_error(supervision: Supervision, tmp_path: Path) -> None:
    with pytest.raises(DevClusterError, match="cannot start"):
        await supervision.spawn(["true"], log=tmp_path / "none" / "log", rank=0)


async def test_an_asked_for_end_is_no_failure_and_a_later_one_is(
    supervision: Supervision, tmp_path: Path
) -> None:
    small = server(supervision, tmp_path, PLAIN)
    await small.start()
    await small.kill()
    await small.start()
    ended = asyncio.create_task(small.ended_by_itself())
    await asyncio.sleep(0.1)
    assert not ended.done()
    assert small.pid is not None
    ProcessId.of(small.pid).signal(signal.SIGKILL)
    async with asyncio.timeout(5):
        await ended


async def test_a_paused_one_does_nothing_more(supervision: Supervision, tmp_path: Path) -> None:
    """From the moment on that the call returns, and not when the signal has come through at some time."""
    busy = server(supervision, tmp_path, BUSY)
    await busy.start()
    for _ in range(5):
        await busy.pause()
        written = busy.log.stat().st_size
        await asyncio.sleep(0.05)
        assert busy.log.stat().st_size == written
        await busy.resume()
        await eventually(lambda before=written: busy.log.stat().st_size > before)
    await busy.pause()
    await busy.pause()
    assert busy.running
    await busy.kill()
    await busy.pause()


async def test_one_that_ends_while_it_is_paused_is_not_waited_for(
    supervision: Supervision, tmp_path: Path
) -> None:
    small = server(supervision, tmp_path, PLAIN)
    await small.start()
    pid = small.pid
    assert pid is not None
    ProcessId.of(pid).signal(signal.SIGKILL)
    async with asyncio.timeout(5):
        await small.pause()
        await small.ended_by_itself()


async def test_closing_ends_higher_ranks_first_and_removes_scratch_folders(tmp_path: Path) -> None:
    supervision = await Supervision.open()
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    (scratch / "file").write_text("")
    supervision.scratch(scratch)
    order = tmp_path / "order"
    servers = [server(supervision, tmp_path, POLITE, str(order), str(rank), rank=rank) for rank in (1, 3, 2)]
    for each in servers:
        await each.start()
    await servers[0].pause()
    await supervision.close()
    assert order.read_text() == "321"
    assert not scratch.exists()
    assert not any(each.running for each in servers)
    await supervision.close()


async def test_closing_does_not_wait_for_ever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    supervision = await Supervision.open()
    stubborn = server(supervision, tmp_path, STUBBORN)
    await stubborn.start()
    pid = stubborn.pid
    assert pid is not None
    process = ProcessId.of(pid)
    monkeypatch.setattr("bind_agent.devcluster.supervision.CLOSE_TIMEOUT", 0.3)
    await supervision.close()
    await eventually(lambda: not process.alive)
    assert not stubborn.running


async def test_a_supervisor_told_to_end_ends_its_servers(tmp_path: Path) -> None:
    supervision = await Supervision.open()
    small = server(supervision, tmp_path, PLAIN)
    await small.start()
    ProcessId.of(supervision.pid).signal(signal.SIGTERM)
    await eventually(lambda: not small.running)
    with pytest.raises(DevClusterError, match="start the playground again"):
        await small.start()
    await supervision.close()


async def test_an_answer_that_is_no_http_is_an_error_of_the_connection(tmp_path: Path) -> None:
    async def chatter(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"hello\r\n\r\n")
        writer.close()

    listener = await asyncio.start_unix_server(chatter, tmp_path / "socket")
    async with listener:
        with pytest.raises(OSError, match="BadStatusLine from /health"):
            await adminhttp.request(tmp_path / "socket", "GET", "/health")
