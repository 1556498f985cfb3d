"""Clock, back-off, single flight, task helpers and loop lag, in virtual time."""

import asyncio
import gc
from datetime import UTC, datetime, timedelta

import pytest

from bind_agent.aio import tasks
from bind_agent.aio.backoff import Backoff, Policy
from bind_agent.aio.clock import SYSTEM, VirtualClock
from bind_agent.aio.lag import watch_lag
from bind_agent.aio.singleflight import SingleFlight

pytestmark = pytest.mark.unit


class Boom(Exception):  # noqa: N818 - it is no part of any interface
    """What goes wrong in these tests."""


# --- clock ----------------------------------------------------------------------------------------


async def test_system_clock() -> None:
    before = SYSTEM.monotonic()
    await SYSTEM.sleep(-1)
    assert SYSTEM.monotonic() >= before
    assert abs(SYSTEM.now() - datetime.now(UTC)) < timedelta(seconds=5)


async def test_virtual_clock_wakes_in_order() -> None:
    clock = VirtualClock()
    start = clock.now()
    seen: list[tuple[str, float]] = []

    async def sleeper(name: str, *waits: float) -> None:
        for wait in waits:
            await clock.sleep(wait)
            seen.append((name, clock.monotonic()))

    async with asyncio.TaskGroup() as group:
        group.create_task(sleeper("a", 3, 3))
        group.create_task(sleeper("b", 2, 2))
        group.create_task(sleeper("c", 0))
        await clock.advance(10)

    assert seen == [("c", 0), ("b", 2), ("a", 3), ("b", 4), ("a", 6)]
    assert clock.now() == start + timedelta(seconds=10)


async def test_virtual_clock_survives_cancelled_sleepers() -> None:
    clock = VirtualClock()
    task = asyncio.ensure_future(clock.sleep(1))
    await asyncio.sleep(0)
    await tasks.stop(task)

    await clock.advance(2)

    assert clock.monotonic() == 2


async def test_virtual_clock_does_not_run_backwards() -> None:
    with pytest.raises(ValueError, match="backwards"):
        await VirtualClock().advance(-1)


# --- back-off -------------------------------------------------------------------------------------


def test_backoff_grows_to_its_cap_and_starts_again() -> None:
    wait = Backoff(Policy(first=1, cap=8, jitter=0))

    assert [wait.next() for _ in range(5)] == [1, 2, 4, 8, 8]
    assert wait.failures == 5
    wait.reset()
    assert wait.next() == 1


def test_backoff_jitter_takes_its_share() -> None:
    policy = Policy(first=4, cap=60, jitter=0.5)

    assert policy.delay(0, 0.0) == 2
    assert policy.delay(0, 0.5) == 3
    assert policy.delay(0, 1.0) == 4
    assert Backoff(policy, draw=lambda: 0.0).next() == 2


def test_backoff_never_overflows() -> None:
    assert Policy(first=1, cap=60, jitter=0).delay(10**9, 0) == 60
    assert Policy(first=1, cap=60, jitter=0).delay(-1, 0) == 1


def test_backoff_respects_what_the_other_side_asks_for_up_to_its_cap() -> None:
    """Threats A63: a Retry-After of years."""
    wait = Backoff(Policy(first=1, cap=30, jitter=0))

    assert wait.next(at_least=5) == 5
    assert wait.next(at_least=10**9) == 30


@pytest.mark.parametrize(
    "values", [{"first": -1}, {"first": 5, "cap": 1}, {"factor": 0.5}, {"jitter": 1.5}, {"jitter": -0.1}]
)
def test_backoff_refuses_nonsense(values: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="not a back-off policy"):
        Policy(**values)


# --- single flight --------------------------------------------------------------------------------


class Attempt:
    """Counts how often it is made, and waits to be told how to end."""

    def __init__(self) -> None:
        self.made = 0
        self.cancelled = 0
        self.gate: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    async def __call__(self) -> str:
        self.made += 1
        try:
            return await asyncio.shield(self.gate)
        except asyncio.CancelledError:
            self.cancelled += 1
            raise


async def test_callers_share_one_attempt() -> None:
    flights: SingleFlight[str, str] = SingleFlight()
    attempt = Attempt()
    callers = [asyncio.ensure_future(flights.do("k", attempt)) for _ in range(3)]
    await asyncio.sleep(0)
    assert len(flights) == 1
    attempt.gate.set_result("x")

    assert await asyncio.gather(*callers) == ["x"] * 3
    assert attempt.made == 1
    assert len(flights) == 0


async def test_nothing_is_remembered_and_keys_are_apart() -> None:
    flights: SingleFlight[str, int] = SingleFlight()
    count = 0

    async def attempt() -> int:
        nonlocal count
        count += 1
        mine = count
        await asyncio.sleep(0)
        return mine

    assert await flights.do("a", attempt) == 1
    assert await flights.do("a", attempt) == 2
    assert sorted(await asyncio.gather(flights.do("a", attempt), flights.do("b", attempt))) == [3, 4]


async def test_an_error_goes_to_every_caller() -> None:
    flights: SingleFlight[str, str] = SingleFlight()
    attempt = Attempt()
    callers = [asyncio.ensure_future(flights.do("k", attempt)) for _ in range(2)]
    await asyncio.sleep(0)
    attempt.gate.set_exception(Boom())

    results = await asyncio.gather(*callers, return_exceptions=True)

    assert [type(result) for result in results] == [Boom, Boom]


async def test_a_cancelled_caller_leaves_the_attempt_to_the_others() -> None:
    flights: SingleFlight[str, str] = SingleFlight()
    attempt = Attempt()
    first, second = (asyncio.ensure_future(flights.do("k", attempt)) for _ in range(2))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    first.cancel()
    await asyncio.sleep(0)
    attempt.gate.set_result("x")

    assert await second == "x"
    assert attempt.cancelled == 0
    assert first.cancelled()


async def test_the_last_caller_to_go_ends_the_attempt() -> None:
    flights: SingleFlight[str, str] = SingleFlight()
    attempt = Attempt()
    caller = asyncio.ensure_future(flights.do("k", attempt))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    await tasks.stop(caller)
    await asyncio.sleep(0)
    await asyncio.sleep(0)

    assert attempt.cancelled == 1
    assert len(flights) == 0
    # A new caller does not get the cancelled attempt.
    again = Attempt()
    again.gate.set_result("y")
    assert await flights.do("k", again) == "y"


async def test_an_error_that_nobody_waits_for_is_not_reported_as_lost() -> None:
    flights: SingleFlight[str, str] = SingleFlight()
    attempt = Attempt()
    caller = asyncio.ensure_future(flights.do("k", attempt))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    attempt.gate.set_exception(Boom())
    caller.cancel()
    results = await asyncio.gather(caller, return_exceptions=True)

    assert isinstance(results[0], Boom | asyncio.CancelledError)
    del results, caller
    gc.collect()


# --- tasks ----------------------------------------------------------------------------------------


async def test_stop_waits_for_the_end() -> None:
    ended = False

    async def worker() -> None:
        nonlocal ended
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            ended = True

    task = asyncio.ensure_future(worker())
    await asyncio.sleep(0)
    await tasks.stop(task)

    assert ended


async def test_stop_of_what_ended_well_is_quiet() -> None:
    task = asyncio.ensure_future(asyncio.sleep(0))
    await task
    await tasks.stop(task)


async def test_stop_raises_what_went_wrong_on_the_way_out() -> None:
    async def worker() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            raise Boom

    task = asyncio.ensure_future(worker())
    await asyncio.sleep(0)

    with pytest.raises(Boom):
        await tasks.stop(task)


async def test_background_ends_with_its_block() -> None:
    async with tasks.background(asyncio.sleep(100), asyncio.sleep(100), name="w") as workers:
        await asyncio.sleep(0)
        assert [worker.get_name() for worker in workers] == ["w-0", "w-1"]

    assert all(worker.cancelled() for worker in workers)


async def test_background_failure_cancels_the_block() -> None:
    async def fails() -> None:
        raise Boom

    with pytest.raises(ExceptionGroup) as caught:
        async with tasks.background(fails()):
            await asyncio.sleep(100)

    assert isinstance(caught.value.exceptions[0], Boom)


async def test_run_until() -> None:
    async def work() -> str:
        await asyncio.sleep(0)
        return "done"

    async def endless() -> None:
        await asyncio.Event().wait()

    async def fails() -> None:
        raise Boom

    async def fails_on_the_way_out() -> None:
        try:
            await endless()
        finally:
            raise Boom

    stopped = asyncio.Event()
    assert await tasks.run_until(work, stopped) == "done"
    with pytest.raises(Boom):
        await tasks.run_until(fails, stopped)
    asyncio.get_running_loop().call_later(0.01, stopped.set)
    assert await tasks.run_until(endless, stopped) is None
    stopped.clear()
    asyncio.get_running_loop().call_later(0.01, stopped.set)
    with pytest.raises(Boom):
        await tasks.run_until(fails_on_the_way_out, stopped)


async def test_run_until_can_be_cancelled() -> None:
    ended = False

    async def work() -> None:
        nonlocal ended
        try:
            await asyncio.Event().wait()
        finally:
            ended = True

    task = asyncio.ensure_future(tasks.run_until(work, asyncio.Event()))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    await tasks.stop(task)

    assert ended


async def test_bounded_keeps_order_and_limit() -> None:
    running = most = 0

    async def job(number: int) -> int:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0)
        running -= 1
        return number

    assert await tasks.bounded(2, [lambda n=n: job(n) for n in range(5)]) == [0, 1, 2, 3, 4]  # type: ignore[misc]
    assert most == 2
    with pytest.raises(ValueError, match="at least one"):
        await tasks.bounded(0, [])


# --- loop lag -------------------------------------------------------------------------------------


async def test_lag_reports_how_late_it_is() -> None:
    class Late(VirtualClock):
        """Wakes a quarter of a second late."""

        async def sleep(self, seconds: float) -> None:
            await super().sleep(seconds + 0.25)

    clock, seen = Late(), []
    async with tasks.background(watch_lag(seen.append, interval=1, clock=clock)):
        await clock.advance(2.5)

    assert seen == [0.25, 0.25]
