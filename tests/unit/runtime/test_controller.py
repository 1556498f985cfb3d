"""The controller: what becomes of a key after each outcome. Excluded: the decision table (test_reconcile)."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
import structlog
from structlog.testing import capture_logs

from bind_agent.aio.backoff import Policy
from bind_agent.aio.turns import Turns
from bind_agent.kube.errors import Conflict, KubeError, TooManyRequests
from bind_agent.obs import metrics
from bind_agent.runtime.controller import Controller, Result, TerminalError
from bind_agent.runtime.queue import LOW
from bind_agent.runtime.reconcile import LostLease, Outcome

pytestmark = pytest.mark.unit

QUICK = Policy(first=0.001, cap=0.01)


@contextlib.asynccontextmanager
async def running(controller: Controller) -> AsyncIterator[None]:
    task = asyncio.ensure_future(controller.run())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])


def count(controller: Controller, outcome: Outcome) -> float:
    return metrics.RECONCILES(controller.name, outcome.value)._value.get()


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110 - there is no event for everything that tests look at
            await asyncio.sleep(0.001)


class Script:
    """A reconciler that plays answers, the last one for ever."""

    def __init__(self, *answers: Result | BaseException | None) -> None:
        self.answers = list(answers)
        self.calls: list[str] = []

    async def __call__(self, key: str) -> Result | None:
        self.calls.append(key)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, BaseException):
            raise answer
        return answer


async def test_success_is_the_end_of_it() -> None:
    script = Script(None)
    controller = Controller("t-success", script)
    async with running(controller):
        controller.enqueue("ns/a")
        await until(lambda: count(controller, Outcome.SUCCESS) == 1)
        await controller.queue.drained()
        await asyncio.sleep(0.02)
    assert script.calls == ["ns/a"]
    assert controller.queue.delayed == 0


async def test_a_result_with_a_delay_comes_again() -> None:
    script = Script(Result(after=0.01), None)
    controller = Controller("t-after", script)
    async with running(controller):
        controller.enqueue("a")
        await until(lambda: len(script.calls) == 2)
    assert count(controller, Outcome.REQUEUE) == 1


@pytest.mark.parametrize(
    ("error", "outcome", "logged"),
    [
        (Conflict("changed", code=409), Outcome.CONFLICT, False),
        (TooManyRequests("slow", code=429, retry_after=0.01), Outcome.THROTTLED, False),
        (KubeError("away"), Outcome.ERROR, True),
        (ValueError("payload"), Outcome.PANIC, True),
        (LostLease("other"), Outcome.LOST, False),
        (ExceptionGroup("several", [Conflict("changed", code=409)]), Outcome.CONFLICT, False),
        (asyncio.CancelledError(), Outcome.ERROR, True),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else "",
)
async def test_failures_are_tried_again(error: BaseException, outcome: Outcome, logged: bool) -> None:
    script = Script(error, None)
    controller = Controller(f"t-retry-{type(error).__name__}", script, retries=QUICK)
    with capture_logs() as logs:
        async with running(controller):
            controller.enqueue("a")
            await until(lambda: count(controller, Outcome.SUCCESS) == 1)
    assert script.calls == ["a", "a"]
    assert count(controller, outcome) == 1
    assert controller.queue.failures("a") == 0
    assert any(entry["log_level"] == "warning" for entry in logs) is logged


async def test_the_wait_that_a_server_asks_for_is_respected() -> None:
    script = Script(TooManyRequests("slow", code=429, retry_after=0.05), None)
    controller = Controller("t-429", script, retries=QUICK)
    async with running(controller):
        controller.enqueue("a")
        started = time.monotonic()
        await until(lambda: len(script.calls) == 2)
        assert time.monotonic() - started >= 0.045


async def test_a_terminal_error_waits_for_the_next_event() -> None:
    script = Script(TerminalError("the template is not valid"), None)
    controller = Controller("t-terminal", script, retries=QUICK)
    with capture_logs() as logs:
        async with running(controller):
            controller.enqueue("a")
            await until(lambda: count(controller, Outcome.TERMINAL) == 1)
            await asyncio.sleep(0.05)
            assert script.calls == ["a"]
            controller.enqueue("a")
            await until(lambda: len(script.calls) == 2)
    assert "the template is not valid" in logs[0]["error"]


async def test_a_reconcile_that_takes_too_long_is_cancelled_and_repeated() -> None:
    calls = []

    async def hangs_once(key: str) -> None:
        calls.append(key)
        if len(calls) == 1:
            await asyncio.sleep(60)

    controller = Controller("t-timeout", hangs_once, timeout=0.02, retries=QUICK)
    async with running(controller):
        controller.enqueue("a")
        await until(lambda: len(calls) == 2)
    assert count(controller, Outcome.TIMEOUT) == 1


async def test_texts_of_unknown_errors_stay_out_of_the_log() -> None:
    script = Script(
        ValueError("s3cr3t"), KeyError("s3cr3t"), ExceptionGroup("s3cr3t", [ValueError("s3cr3t")]), None
    )
    controller = Controller("t-secret", script, retries=QUICK)
    with capture_logs() as logs:
        async with running(controller):
            controller.enqueue("a")
            await until(lambda: count(controller, Outcome.SUCCESS) == 1)
    assert len(logs) == 3
    assert "s3cr3t" not in repr(logs)
    assert "ValueError at test_controller.py" in logs[0]["error"]


async def test_a_conflict_that_does_not_end_is_told_after_all() -> None:
    controller = Controller("t-conflicts", Script(Conflict("changed", code=409)), retries=QUICK)
    with capture_logs() as logs:
        async with running(controller):
            controller.enqueue("a")
            await until(lambda: count(controller, Outcome.CONFLICT) >= 4)
    assert [entry for entry in logs if entry["log_level"] == "warning"]


async def test_no_key_is_reconciled_twice_at_once_and_workers_work_in_parallel() -> None:
    busy: set[str] = set()
    most = 0

    async def work(key: str) -> None:
        nonlocal most
        assert key not in busy
        busy.add(key)
        most = max(most, len(busy))
        controller.enqueue(key) if len(seen) < 40 else None
        await asyncio.sleep(0.001)
        busy.remove(key)
        seen.append(key)

    seen: list[str] = []
    controller = Controller("t-parallel", work, workers=3)
    async with running(controller):
        for number in range(6):
            controller.enqueue(f"k{number}", priority=LOW)
        await until(lambda: len(seen) >= 40)
        await controller.queue.drained()
    assert most == 3
    assert count(controller, Outcome.PANIC) == 0


async def test_a_defect_around_the_reconcile_ends_no_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    script = Script(None)
    controller = Controller("t-defect", script, workers=1, retries=QUICK)
    settle: Callable[..., None] = controller._settle
    broken = iter([True])

    def once(key: str, result: Any) -> None:
        if next(broken, False):
            raise RuntimeError("defect")
        settle(key, result)

    monkeypatch.setattr(controller, "_settle", once)
    monkeypatch.setattr(controller, "_settle_error", once)
    async with running(controller):
        controller.enqueue("a")
        await until(lambda: len(script.calls) == 2)
        controller.enqueue("b")
        await until(lambda: "b" in script.calls)


async def test_cancelling_waits_for_what_is_under_way() -> None:
    events = []

    async def work(_: str) -> None:
        try:
            await asyncio.sleep(60)
        finally:
            await asyncio.sleep(0.01)
            events.append("cleaned up")

    controller = Controller("t-cancel", work)
    async with running(controller):
        controller.enqueue("a")
        await until(lambda: controller.queue.active == 1)
    assert events == ["cleaned up"]
    assert controller.queue.active == 0


async def test_stop_finishes_what_is_under_way_and_returns() -> None:
    finished = []

    async def work(key: str) -> None:
        await asyncio.sleep(0.02)
        finished.append(key)

    controller = Controller("t-stop", work, workers=1)
    task = asyncio.ensure_future(controller.run())
    controller.enqueue("a")
    controller.enqueue("b")
    await until(lambda: controller.queue.active == 1)
    controller.stop()
    await asyncio.wait_for(task, 2)
    assert finished == ["a"]


async def test_nothing_is_reconciled_behind_a_closed_gate() -> None:
    allowed = False

    def gate() -> None:
        if not allowed:
            raise LostLease("not leading")

    script = Script(None)
    controller = Controller("t-gate", script, gate=gate, retries=QUICK)
    async with running(controller):
        controller.enqueue("a")
        await until(lambda: count(controller, Outcome.LOST) >= 2)
        assert script.calls == []
        allowed = True
        await until(lambda: script.calls == ["a"])


async def test_log_lines_of_a_reconcile_carry_its_context() -> None:
    seen: list[dict[str, Any]] = []

    async def work(_: str) -> None:
        seen.append(structlog.contextvars.get_contextvars())

    controller = Controller("t-context", work)
    async with running(controller):
        controller.enqueue("ns/a")
        await until(lambda: len(seen) == 1)
    assert seen[0] == {"controller": "t-context", "key": "ns/a", "reconcile": 1}
    assert structlog.contextvars.get_contextvars() == {}


async def test_gauges_show_the_queue() -> None:
    gate = asyncio.Event()

    async def work(_: str) -> None:
        await gate.wait()

    controller = Controller("t-gauges", work, workers=1)
    async with running(controller):
        for key in ("a", "b", "c"):
            controller.enqueue(key)
        controller.enqueue("later", after=60)
        await until(lambda: controller.queue.active == 1)
        body, _ = metrics.exposition()
        assert b'klutch_bind_queue_depth{controller="t-gauges"} 2.0' in body
        assert b'klutch_bind_queue_delayed{controller="t-gauges"} 1.0' in body
        gate.set()


async def test_a_long_queue_without_writes_leaves_the_loop_to_others() -> None:
    turns = 0

    async def others() -> None:
        nonlocal turns
        while True:
            await asyncio.sleep(0)
            turns += 1

    controller = Controller("t-turns", Script(None), workers=1)
    for number in range(800):
        controller.enqueue(str(number))
    other = asyncio.ensure_future(others())
    async with running(controller):
        await controller.queue.drained()
    other.cancel()
    assert turns >= 40


async def test_controllers_that_take_turns_let_others_come_in_between() -> None:
    """Two crowds of keys that are ready at the same moment: one reconcile begins in each round of the loop."""
    rounds: list[int] = []
    begun: list[int] = []

    async def reconcile(key: str) -> None:
        begun.append(len(rounds))

    async def page() -> None:
        while len(begun) < 20:
            rounds.append(len(begun))
            await asyncio.sleep(0)

    turns = Turns()
    first, second = (
        Controller(f"t-turns-{name}", reconcile, workers=10, turns=turns) for name in ("first", "second")
    )
    async with running(first), running(second):
        await asyncio.sleep(0)  # all workers wait for keys
        for number in range(10):
            first.enqueue(f"a{number}")
            second.enqueue(f"b{number}")
        async with asyncio.timeout(5):
            await page()
    assert len(set(begun)) == 20, "no two began in the same round"
