"""A server that has just started may leave a watch without events: the first ones after an outage are opened anew."""

import asyncio
from typing import Any, cast

import pytest

from bind_agent.api.resource import Resource
from bind_agent.kube.errors import ConnectionFailed, KubeError, NotFound, TooManyRequests
from bind_agent.runtime import reflector
from bind_agent.runtime.informer import Informer
from tests.fakes.eventually import eventually
from tests.fakes.scripted import ScriptedClient, bookmark, event, thing

pytestmark = pytest.mark.unit

THINGS = Resource("example.com", "v1", "things", kind="Thing")


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reflector, "DOUBTS", (0.01, 0.05))


@pytest.mark.parametrize(
    "outage", [ConnectionFailed("refused"), TooManyRequests("storage is (re)initializing", code=429)]
)
async def test_what_a_dead_watch_would_have_told_comes_by_the_next_one(outage: KubeError) -> None:
    client = ScriptedClient()
    first, second = event("ADDED", thing("a", 6)), event("ADDED", thing("b", 7))
    client.watches.extend(
        [
            [bookmark(5, ends_list=True), outage],
            [None],  # nobody feeds this one
            [first, None],  # nor this one any more, after a moment
            [second, None],
        ]
    )
    informer = Informer(cast("Any", client), THINGS)
    run = asyncio.create_task(informer.run())
    try:
        await eventually(lambda: len(informer.store) == 2, seconds=5)
        await asyncio.sleep(0.2)
        # From where it stood, and not once more when both times are over.
        asked = [(opened["resource_version"], opened["initial_events"]) for opened in client.opened]
        assert asked == [("", True), ("5", False), ("5", False), ("6", False)]
        assert informer.last_error is None
        assert client.listed == []
    finally:
        run.cancel()
        await asyncio.gather(run, return_exceptions=True)


@pytest.mark.parametrize("steps", [[], [NotFound("gone", code=404)]], ids=["no failure", "another failure"])
async def test_without_an_outage_a_watch_stays(steps: list[KubeError]) -> None:
    client = ScriptedClient()
    client.watches.extend([[bookmark(5, ends_list=True), *steps, None], [bookmark(8, ends_list=True), None]])
    informer = Informer(cast("Any", client), THINGS)
    run = asyncio.create_task(informer.run())
    try:
        await eventually(lambda: len(client.opened) == 1 + len(steps), seconds=5)
        await asyncio.sleep(0.2)
        assert len(client.opened) == 1 + len(steps)
    finally:
        run.cancel()
        await asyncio.gather(run, return_exceptions=True)
