"""The life of a program: start, readiness, signals, grace, failures."""

import asyncio
import contextlib
import gc
import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import AsyncIterator, Callable

import pytest
from structlog.testing import capture_logs

from bind_agent.runtime import manager as module
from bind_agent.runtime.manager import Manager, freeze, run_main

pytestmark = pytest.mark.unit


@pytest.fixture(autouse=True)
def _unfreeze() -> object:
    yield
    gc.unfreeze()


@contextlib.asynccontextmanager
async def running(manager: Manager) -> AsyncIterator["asyncio.Task[None]"]:
    task = asyncio.ensure_future(manager.run())
    await asyncio.sleep(0.01)
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.wait([task])


async def for_ever() -> None:
    await asyncio.get_running_loop().create_future()


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110 - there is no event for everything that tests look at
            await asyncio.sleep(0.005)


async def test_it_is_ready_once_everything_given_came_true() -> None:
    manager = Manager(handle_signals=False)
    synced = asyncio.Event()

    async def wait() -> None:
        await synced.wait()

    manager.add(for_ever, "part")
    manager.add_startup(wait)
    with capture_logs() as logs:
        async with running(manager):
            assert not manager.ready
            synced.set()
            await until(lambda: manager.ready)
    # Not "ready": that is what `/readyz` says, of checks that may take longer.
    assert "started" in [one["event"] for one in logs]
    assert "ready" not in [one["event"] for one in logs]


async def test_a_start_freezes_what_lives_for_ever() -> None:
    manager = Manager(handle_signals=False)
    manager.add(for_ever, "part")
    async with running(manager):
        await until(lambda: manager.ready)
        assert gc.get_freeze_count() > 0
    assert not manager.ready


async def test_it_returns_when_everything_has() -> None:
    manager = Manager(handle_signals=False)

    async def short() -> None:
        await asyncio.sleep(0.01)

    manager.add(short, "one")
    manager.add(short, "two")
    await asyncio.wait_for(manager.run(), 30)


async def test_a_part_that_fails_ends_the_others_and_the_error_comes_out() -> None:
    manager = Manager(handle_signals=False)
    ended = []

    async def other() -> None:
        try:
            await for_ever()
        finally:
            ended.append("other")

    async def fails() -> None:
        await asyncio.sleep(0.01)
        raise ValueError("broken")

    manager.add(other, "other")
    manager.add(fails, "fails")
    with pytest.raises(ExceptionGroup) as caught:
        await asyncio.wait_for(manager.run(), 30)
    assert caught.group_contains(ValueError, match="broken")
    assert ended == ["other"]


async def test_a_start_that_fails_ends_the_program() -> None:
    manager = Manager(handle_signals=False)

    async def fails() -> None:
        raise ValueError("no such CRD")

    manager.add(for_ever, "part")
    manager.add_startup(fails)
    with pytest.raises(ExceptionGroup):
        await asyncio.wait_for(manager.run(), 30)


async def test_a_signal_lets_parts_finish_and_cancels_the_others_after_that() -> None:
    manager = Manager(grace=5.0)
    log = []
    told = asyncio.Event()

    async def drains() -> None:
        await told.wait()
        await asyncio.sleep(0.03)
        log.append("drained")

    async def recorder() -> None:
        try:
            await for_ever()
        finally:
            log.append("cancelled")

    manager.add(recorder, "recorder")
    manager.add(drains, "controller", stop=told.set)
    async with running(manager) as task:
        assert signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL
        os.kill(os.getpid(), signal.SIGTERM)
        await asyncio.wait_for(task, 30)
    assert log == ["drained", "cancelled"]
    assert not manager.ready


async def test_the_grace_period_ends() -> None:
    manager = Manager(grace=0.05, handle_signals=False)
    manager.add(for_ever, "stubborn", stop=lambda: None)
    async with running(manager) as task:
        manager.stop()
        await asyncio.wait_for(task, 30)


async def test_a_second_signal_does_not_wait_for_it() -> None:
    manager = Manager(grace=60.0, handle_signals=False)
    manager.add(for_ever, "stubborn", stop=lambda: None)
    async with running(manager) as task:
        manager.stop()
        await asyncio.sleep(0.02)
        assert not task.done()
        manager.stop()
        await asyncio.wait_for(task, 30)


async def test_cancelling_the_manager_cancels_everything() -> None:
    manager = Manager(handle_signals=False)
    ended = []

    async def part() -> None:
        try:
            await for_ever()
        finally:
            ended.append("part")

    manager.add(part, "part")
    async with running(manager):
        pass
    assert ended == ["part"]


def test_freeze_takes_what_is_there_out_of_collections() -> None:
    freeze()
    assert gc.get_freeze_count() > 10_000


async def answer() -> str:
    return type(asyncio.get_running_loop()).__module__


def test_run_main_uses_uvloop_where_it_is_installed_unless_told_otherwise(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert run_main(answer()) == "uvloop"
    assert run_main(answer(), uvloop=True) == "uvloop"
    assert run_main(answer(), uvloop=False).startswith("asyncio")
    monkeypatch.setitem(sys.modules, "uvloop", None)
    assert run_main(answer()).startswith("asyncio")
    with pytest.raises(ModuleNotFoundError):
        run_main(answer(), uvloop=True)


def test_a_program_ends_in_order_on_sigterm_and_prints_stacks_on_sigusr1() -> None:
    script = textwrap.dedent("""
        import asyncio
        from bind_agent.runtime.manager import Manager, run_main

        async def main():
            manager = Manager(grace=5)
            told = asyncio.Event()
            async def part():
                print("started", flush=True)
                await told.wait()
                print("drained", flush=True)
            manager.add(part, "part", stop=told.set)
            await manager.run()
            print("end", flush=True)

        run_main(main())
    """)
    with subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as program:
        assert program.stdout is not None
        assert (
            program.stdout.readline().strip() == "started" or program.stdout.readline().strip() == "started"
        )
        program.send_signal(signal.SIGUSR1)
        program.send_signal(signal.SIGTERM)
        out, errors = program.communicate(timeout=20)
    assert program.returncode == 0
    assert "drained\nend" in out
    assert "most recent call first" in errors


def test_the_module_names_no_signal_twice() -> None:
    assert len(set(module._SIGNALS)) == 2
