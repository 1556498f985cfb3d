"""Events: aggregation, bounds, and that they never disturb anybody."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any, cast

import pytest

from bind_agent.aio.clock import VirtualClock
from bind_agent.kube.client import Client
from bind_agent.kube.errors import ConnectionFailed, Forbidden, TooManyRequests
from bind_agent.obs import metrics
from bind_agent.runtime import recorder as module
from bind_agent.runtime.recorder import Recorder, clip, event_name, object_reference
from tests.fakes.scripted import FakeObjects, thing

pytestmark = pytest.mark.unit


class Bench:
    def __init__(self) -> None:
        self.server = FakeObjects()
        self.clock = VirtualClock()
        self.recorder = Recorder(cast("Client", self.server), "konnector", instance="pod-1", clock=self.clock)

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        task = asyncio.ensure_future(self.recorder.run())
        try:
            yield
        finally:
            task.cancel()
            await asyncio.wait([task])

    @property
    def events(self) -> list[dict[str, Any]]:
        return list(self.server.objects.values())

    def warn(self, obj: dict[str, Any], message: str = "not ours") -> None:
        self.recorder.event(obj, type="Warning", reason="Conflict", message=message, action="Sync")

    async def settle(self) -> None:
        for _ in range(4):
            await self.clock.advance(0)


async def test_an_event_says_what_about_what_by_whom() -> None:
    bench = Bench()
    async with bench.running():
        bench.warn(thing("a", 7))
        await bench.settle()
    (event,) = bench.events
    assert event["metadata"]["namespace"] == "ns"
    assert event["metadata"]["name"].startswith("a.")
    assert event["involvedObject"] == {
        "apiVersion": "example.com/v1",
        "kind": "Thing",
        "namespace": "ns",
        "name": "a",
        "uid": "uid-a",
    }
    told = (
        "type",
        "reason",
        "message",
        "action",
        "count",
        "reportingComponent",
        "reportingInstance",
        "source",
    )
    assert {field: event[field] for field in told} == {
        "type": "Warning",
        "reason": "Conflict",
        "message": "not ours",
        "action": "Sync",
        "count": 1,
        "reportingComponent": "konnector",
        "reportingInstance": "pod-1",
        "source": {"component": "konnector"},
    }
    assert event["firstTimestamp"] == event["lastTimestamp"] == "2026-01-01T00:00:00Z"


async def test_events_about_cluster_scoped_objects_go_to_default() -> None:
    bench = Bench()
    async with bench.running():
        bench.warn(thing("a", 7, namespace=""))
        await bench.settle()
    assert bench.events[0]["metadata"]["namespace"] == "default"
    assert "namespace" not in bench.events[0]["involvedObject"]


async def test_equal_events_are_counted_in_one_object_and_written_rarely() -> None:
    bench = Bench()
    async with bench.running():
        for version in range(50):
            bench.warn(thing("a", version))
            await bench.settle()
        assert bench.events[0]["count"] == 1
        await bench.clock.advance(11)
        assert bench.events[0]["count"] == 50
        bench.warn(thing("a", 1))
        await bench.clock.advance(11)
    assert len(bench.events) == 1
    assert bench.events[0]["count"] == 51
    assert [verb for verb, _ in bench.server.calls] == ["create", "patch", "patch"]


async def test_another_message_is_another_event() -> None:
    bench = Bench()
    async with bench.running():
        bench.warn(thing("a", 1), "one")
        bench.warn(thing("a", 1), "two")
        bench.warn(thing("b", 1), "one")
        await bench.settle()
    assert sorted((e["involvedObject"]["name"], e["message"]) for e in bench.events) == [
        ("a", "one"),
        ("a", "two"),
        ("b", "one"),
    ]


async def test_an_event_that_the_server_forgot_is_created_again_with_the_rest_of_the_count() -> None:
    bench = Bench()
    async with bench.running():
        for _ in range(3):
            bench.warn(thing("a", 1))
        await bench.settle()
        assert bench.events[0]["count"] == 3
        bench.server.objects.clear()
        await bench.clock.advance(3600)
        bench.warn(thing("a", 1))
        await bench.settle()
    assert bench.events[0]["count"] == 1
    assert bench.events[0]["firstTimestamp"] == "2026-01-01T01:00:00Z"


async def test_too_many_different_events_about_one_object_are_dropped() -> None:
    bench = Bench()
    before = metrics.EVENTS_DROPPED("rate")._value.get()
    async with bench.running():
        for number in range(100):
            bench.warn(thing("noisy", 1), f"attempt {number}")
        bench.warn(thing("quiet", 1))
        await bench.settle()
        for _ in range(40):
            await bench.clock.advance(0)
    assert len([e for e in bench.events if e["involvedObject"]["name"] == "noisy"]) == 25
    assert len([e for e in bench.events if e["involvedObject"]["name"] == "quiet"]) == 1
    assert metrics.EVENTS_DROPPED("rate")._value.get() - before == 75


async def test_what_waits_is_bounded() -> None:
    bench = Bench()
    for number in range(module._PENDING + 100):
        bench.warn(thing(f"a{number}", 1))
    assert bench.recorder.pending == module._PENDING


async def test_memory_of_series_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_REMEMBERED", 50)
    bench = Bench()
    for number in range(200):
        bench.warn(thing(f"a{number}", 1))
    assert len(bench.recorder._series) == 50
    assert len(bench.recorder._budgets) == 50


@pytest.mark.parametrize(
    "error", [ConnectionFailed("reset"), TooManyRequests("slow", code=429, retry_after=3.0)]
)
async def test_passing_failures_are_tried_again_a_few_times(error: Exception) -> None:
    bench = Bench()
    faults = [error, error]
    bench.server.fault = lambda _: faults.pop() if faults else None
    async with bench.running():
        bench.warn(thing("a", 1))
        await bench.settle()
        assert bench.events == []
        await bench.clock.advance(30)
    assert len(bench.events) == 1


@pytest.mark.parametrize(
    ("error", "calls"),
    [
        (Forbidden("being terminated", code=403), 1),
        (ConnectionFailed("reset"), 4),
        (RuntimeError("defect"), 1),
    ],
    ids=lambda value: type(value).__name__,
)
async def test_what_cannot_be_written_is_dropped_and_the_next_one_comes_through(
    error: Exception, calls: int
) -> None:
    bench = Bench()
    bench.server.fault = lambda _: error
    async with bench.running():
        bench.warn(thing("a", 1))
        await bench.clock.advance(120)
        assert len(bench.server.calls) == calls
        assert bench.recorder.pending == 0
        bench.server.fault = lambda _: None
        bench.warn(thing("b", 1))
        await bench.settle()
    assert len(bench.events) == 1


@pytest.mark.parametrize("obj", [{}, {"metadata": None}, {"metadata": {"name": 1}}, None, []], ids=repr)
async def test_nothing_that_is_said_fails_the_caller(obj: Any) -> None:
    bench = Bench()
    async with bench.running():
        bench.warn(obj)
        bench.recorder.event(thing("a", 1), type="Normal", reason="", message=None)  # type: ignore[arg-type]
        bench.warn(thing("b", 1))
        await bench.settle()
    assert any(e["involvedObject"].get("name") == "b" for e in bench.events)


async def test_flush_writes_what_waits_within_a_limit() -> None:
    bench = Bench()
    bench.warn(thing("a", 1))
    await bench.recorder.flush()
    assert len(bench.events) == 1
    bench.warn(thing("b", 1))
    bench.server.open_gate.clear()
    await bench.recorder.flush(limit=0.02)
    assert bench.recorder.pending == 0
    bench.server.open_gate.set()
    bench.server.fault = lambda _: ConnectionFailed("reset")
    bench.warn(thing("c", 1))
    await bench.recorder.flush()
    assert bench.recorder.pending == 0


async def test_the_end_of_run_writes_what_waits() -> None:
    bench = Bench()
    async with bench.running():
        bench.server.open_gate.clear()
        bench.warn(thing("a", 1))
        await bench.settle()
        bench.warn(thing("b", 1))
        bench.server.open_gate.set()
    assert sorted(e["involvedObject"]["name"] for e in bench.events) == ["a", "b"]


async def test_an_event_whose_answer_got_lost_is_not_written_twice() -> None:
    bench = Bench()
    create = bench.server.create
    lost = iter([True])

    async def loses_an_answer(*arguments: Any, **more: Any) -> Any:
        stored = await create(*arguments, **more)
        if next(lost, False):
            raise ConnectionFailed("reset")
        return stored

    bench.server.create = loses_an_answer  # type: ignore[method-assign]
    async with bench.running():
        bench.warn(thing("a", 1))
        await bench.clock.advance(30)
        bench.warn(thing("a", 1))
        await bench.clock.advance(30)
    assert [event["count"] for event in bench.events] == [2]


def test_messages_are_cleaned_and_clipped() -> None:
    assert clip("a\x00\x1b[31m\nb\u202e") == "a [31m b"
    assert 1000 < len(clip("x" * 5000).encode()) <= 1024
    assert len(clip("ü" * 1024).encode()) <= 1024
    clip("\ud800").encode()


def test_names_are_unique_and_within_limits() -> None:
    long = event_name("a" * 253)
    assert len(long) == 253
    assert event_name("a") != event_name("a")
    assert event_name("").startswith("event.")
    assert ".." not in event_name("a." * 126 + "b")


def test_references_are_taken_as_they_are() -> None:
    reference = {
        "apiVersion": "v1",
        "kind": "Secret",
        "namespace": "ns",
        "name": "x",
        "uid": "u",
        "resourceVersion": "7",
    }
    assert object_reference(reference) == {k: v for k, v in reference.items() if k != "resourceVersion"}
