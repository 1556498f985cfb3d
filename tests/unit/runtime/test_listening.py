"""An address that cannot be listened on is named, with the flag that sets another."""

import socket
from collections.abc import Iterator
from types import ModuleType

import pytest
from aiohttp import web

from bind_agent.backend import serve as backend
from bind_agent.backend.http.server import WebServer
from bind_agent.backend.options.serve import Serve
from bind_agent.runtime.faults import describe
from bind_agent.runtime.health import HealthServer
from bind_agent.runtime.listening import ListenError, listener
from konnector import app as konnector
from konnector.options import Options

pytestmark = pytest.mark.unit


@pytest.fixture
def taken() -> Iterator[int]:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        yield other.getsockname()[1]


def test_a_free_address_is_taken() -> None:
    with listener("127.0.0.1", 0, flag="--x", unsent=4096) as bound:
        assert bound.getsockname()[1] > 0
        assert not bound.getblocking()


def test_a_taken_one_is_named(taken: int) -> None:
    with pytest.raises(ListenError) as refused:
        listener("127.0.0.1", taken, flag="--x-address")
    assert str(refused.value) == (
        f"cannot listen on 127.0.0.1:{taken}: Address already in use; name another address with --x-address"
    )


@pytest.mark.parametrize(
    ("host", "port", "shown"),
    [
        ("192.0.2.1", 80, "192.0.2.1:80"),
        ("2001:db8::1", 80, "[2001:db8::1]:80"),
        ("127.0.0.1", 70000, "127.0.0.1:70000"),
        ("no.such.host.invalid", 80, "no.such.host.invalid:80"),
    ],
)
def test_others_that_cannot_be(host: str, port: int, shown: str) -> None:
    with pytest.raises(ListenError, match=r"; name another address with --x") as refused:
        listener(host, port, flag="--x")
    assert str(refused.value).startswith(f"cannot listen on {shown}: ")


async def test_each_server_names_its_flag(taken: int) -> None:
    with pytest.raises(ListenError, match="--health-address") as refused:
        await HealthServer("127.0.0.1", taken).run()
    assert f"127.0.0.1:{taken}" in describe(refused.value)
    with pytest.raises(ListenError, match="--listen-address"):
        await WebServer("127.0.0.1", taken).run(web.Application())


@pytest.mark.parametrize(("program", "options"), [(konnector, Options()), (backend, Serve())])
def test_a_program_that_cannot_start_says_why_in_one_line_each(
    program: ModuleType, options: object, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """However deep the part that failed: task groups wrap what they raise."""

    async def serve(_: object) -> None:
        inner = ExceptionGroup("unhandled errors in a TaskGroup", [ListenError("cannot listen on X")])
        raise ExceptionGroup("unhandled errors in a TaskGroup", [inner])

    monkeypatch.setattr(program, "serve", serve)
    with pytest.raises(SystemExit) as ended:
        program.run(options)
    assert ended.value.code == 1
    said = "".join(capsys.readouterr())
    assert "cannot serve" in said
    assert "cannot listen on X" in said
    assert "TaskGroup" not in said
    assert "Traceback" not in said
