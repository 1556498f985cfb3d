"""The queue with its clock, waiters and back-off. The rules themselves: tests/property/runtime."""

import asyncio

import pytest

from bind_agent.aio.backoff import Policy
from bind_agent.runtime.keyqueue import KeyQueue
from bind_agent.runtime.queue import HIGH, LOW, QueueClosed, WorkQueue

pytestmark = pytest.mark.unit


async def take(queue: WorkQueue[str], count: int) -> list[str]:
    async with asyncio.timeout(5):
        return [await queue.get() for _ in range(count)]


async def test_a_key_is_handed_out_once_however_often_it_is_added() -> None:
    queue: WorkQueue[str] = WorkQueue()
    for key in ("a", "b", "a"):
        queue.add(key)
    assert queue.depth == 2
    assert await take(queue, 2) == ["a", "b"]


async def test_a_key_is_not_handed_out_twice_at_once() -> None:
    queue: WorkQueue[str] = WorkQueue()
    queue.add("a")
    assert await queue.get() == "a"
    queue.add("a")
    second = asyncio.ensure_future(queue.get())
    await asyncio.sleep(0.01)
    assert not second.done()
    assert queue.depth == 1
    queue.done("a")
    assert await second == "a"


async def test_priorities_come_first_and_are_raised_not_lowered() -> None:
    queue: WorkQueue[str] = WorkQueue()
    queue.add("low", priority=LOW)
    queue.add("normal")
    queue.add("raised", priority=LOW)
    queue.add("raised", priority=HIGH)
    queue.add("raised", priority=LOW)
    assert await take(queue, 3) == ["raised", "normal", "low"]


async def test_a_flood_of_urgent_keys_does_not_starve_the_others() -> None:
    keys: KeyQueue[str] = KeyQueue()
    keys.add("patient", LOW, 0.0)
    served = []
    for number in range(16):
        keys.add(f"urgent-{number}", HIGH, 0.0)
        served.append(keys.pop()[0])
    assert "patient" in served


async def test_delays_are_kept_and_the_shortest_counts() -> None:
    queue: WorkQueue[str] = WorkQueue()
    loop = asyncio.get_running_loop()
    started = loop.time()
    queue.add_after("late", 0.06)
    queue.add_after("a", 50.0)
    queue.add_after("a", 0.02)
    queue.add_after("a", 30.0)
    assert (queue.delayed, queue.depth) == (2, 0)
    assert await take(queue, 2) == ["a", "late"]
    assert 0.05 < loop.time() - started < 20.0
    assert queue.delayed == 0


async def test_a_key_that_is_added_now_is_not_delayed_any_more() -> None:
    queue: WorkQueue[str] = WorkQueue()
    queue.add_after("a", 0.02)
    queue.add("a")
    assert await queue.get() == "a"
    queue.done("a")
    await asyncio.sleep(0.05)
    assert queue.depth == 0


async def test_retries_back_off_per_key_until_forgotten() -> None:
    queue: WorkQueue[str] = WorkQueue(
        retries=Policy(first=0.005, cap=60.0, jitter=0.5), draw=lambda: 0.999999
    )
    delays = [queue.retry("a") for _ in range(20)]
    assert delays[:3] == pytest.approx([0.005, 0.01, 0.02], rel=1e-3)
    assert delays[-1] == pytest.approx(60.0, rel=1e-3)
    assert queue.retry("b") == pytest.approx(0.005, rel=1e-3)
    assert queue.failures("a") == 20
    queue.forget("a")
    assert queue.failures("a") == 0
    assert queue.retry("a") == pytest.approx(0.005, rel=1e-3)
    queue.close()


async def test_jitter_halves_at_most() -> None:
    queue: WorkQueue[str] = WorkQueue(draw=lambda: 0.0)
    assert queue.retry("a") == pytest.approx(0.0025)
    assert queue.retry("a", at_least=7.0) == 7.0
    queue.close()


async def test_a_cancelled_worker_passes_its_turn_on() -> None:
    queue: WorkQueue[str] = WorkQueue()
    first, second = asyncio.ensure_future(queue.get()), asyncio.ensure_future(queue.get())
    await asyncio.sleep(0)
    queue.add("a")
    first.cancel()
    assert await asyncio.wait_for(second, 1) == "a"
    third = asyncio.ensure_future(queue.get())
    await asyncio.sleep(0)
    third.cancel()
    await asyncio.wait({first, third})
    queue.add("b")
    assert await asyncio.wait_for(queue.get(), 1) == "b"


async def test_workers_cancelled_while_keys_arrive_leave_quietly() -> None:
    queue: WorkQueue[str] = WorkQueue()
    waiting = [asyncio.ensure_future(queue.get()) for _ in range(3)]
    await asyncio.sleep(0)
    for worker in waiting[:2]:
        worker.cancel()
    queue.add("a")
    queue.add("b")
    assert await waiting[2] in {"a", "b"}
    results = await asyncio.gather(*waiting, return_exceptions=True)
    assert [type(result) for result in results] == [asyncio.CancelledError, asyncio.CancelledError, str]
    last = asyncio.ensure_future(queue.get())
    assert await last in {"a", "b"}
    idle = asyncio.ensure_future(queue.get())
    await asyncio.sleep(0)
    idle.cancel()
    queue.close()
    assert isinstance((await asyncio.gather(idle, return_exceptions=True))[0], asyncio.CancelledError)


async def test_closing_ends_workers_and_takes_nothing_more() -> None:
    queue: WorkQueue[str] = WorkQueue()
    queue.add_after("later", 0.01)
    waiting = [asyncio.ensure_future(queue.get()) for _ in range(3)]
    await asyncio.sleep(0)
    queue.close()
    queue.close()
    results = await asyncio.gather(*waiting, return_exceptions=True)
    assert all(isinstance(result, QueueClosed) for result in results)
    queue.add("a")
    queue.add_after("b", 0.001)
    await asyncio.sleep(0.02)
    assert queue.depth == 0
    assert queue.closed
    with pytest.raises(QueueClosed):
        await queue.get()


async def test_drained_waits_for_work_under_way_but_not_for_delays() -> None:
    queue: WorkQueue[str] = WorkQueue()
    await queue.drained()
    queue.add_after("later", 60)
    queue.add("a")
    drained = asyncio.ensure_future(queue.drained())
    key = await queue.get()
    await asyncio.sleep(0.01)
    assert not drained.done()
    queue.done(key)
    await asyncio.wait_for(drained, 1)
    queue.close()


async def test_a_closed_queue_is_drained_once_the_workers_are_done() -> None:
    queue: WorkQueue[str] = WorkQueue()
    queue.add("a")
    queue.add("left")
    key = await queue.get()
    drained = asyncio.ensure_future(queue.drained())
    queue.close()
    await asyncio.sleep(0.01)
    assert not drained.done()
    queue.done(key)
    await asyncio.wait_for(drained, 1)


async def test_age_and_waiting_time_are_measured() -> None:
    waits: list[float] = []
    queue: WorkQueue[str] = WorkQueue(on_wait=waits.append)
    assert queue.age == 0.0
    queue.add("a")
    await asyncio.sleep(0.02)
    assert queue.age >= 0.015
    await queue.get()
    assert waits[0] >= 0.015
    assert queue.active == 1


def test_done_without_a_hand_out_is_a_defect() -> None:
    keys: KeyQueue[str] = KeyQueue()
    with pytest.raises(KeyError):
        keys.done("a", 0.0)
    with pytest.raises(IndexError):
        keys.pop()


def test_a_delay_that_was_overtaken_does_not_come_back() -> None:
    keys: KeyQueue[str] = KeyQueue()
    keys.add_at("a", 10.0, 0)
    keys.add("a", 0, 1.0)
    assert keys.pop() == ("a", 1.0)
    keys.done("a", 2.0)
    keys.add_at("a", 20.0, 0)
    assert keys.due(15.0) == 0
    assert keys.due(20.0) == 1


def test_shortening_a_delay_for_ever_takes_no_memory() -> None:
    keys: KeyQueue[str] = KeyQueue()
    for number in range(10_000):
        keys.add_at("a", 1e6 - number, 0)
    assert len(keys._heap) < 200
    assert keys.next_due() == 1e6 - 9_999
