"""A changed schema: everything is listed once more, and content that an old schema had hidden is told."""

import asyncio
from typing import Any, cast

import pytest

from bind_agent.api.resource import Resource
from bind_agent.kube.errors import ConnectionFailed
from bind_agent.runtime import reflector
from bind_agent.runtime.informer import Event, Informer
from tests.fakes.eventually import eventually
from tests.fakes.scripted import ScriptedClient, bookmark, event, thing

pytestmark = pytest.mark.unit

THINGS = Resource("example.com", "v1", "things", kind="Thing")


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reflector, "NEW_SCHEMA_SECONDS", 0.01)


async def test_what_an_old_schema_left_out_is_told_after_a_refresh() -> None:
    client = ScriptedClient()
    pruned, whole = thing("a", 5, spec={"size": 1}), thing("a", 5, spec={"size": 1, "colour": "red"})
    client.watches.extend(
        [
            [event("ADDED", pruned), bookmark(5, ends_list=True), None],
            [event("ADDED", whole), bookmark(5, ends_list=True), None],
        ]
    )
    informer = Informer(cast("Any", client), THINGS)
    told: list[tuple[Event, Any]] = []
    informer.add_handler(lambda kind, _, new: told.append((kind, new.object()["spec"] if new else None)))
    run = asyncio.create_task(informer.run())
    try:
        await informer.wait_synced()
        informer.refresh()
        informer.refresh()  # one list serves both
        await eventually(lambda: len(told) == 2, seconds=5)
        assert told == [(Event.ADDED, {"size": 1}), (Event.MODIFIED, {"size": 1, "colour": "red"})]
        assert len(client.opened) == 2
        assert [opened["initial_events"] for opened in client.opened] == [True, True]
        assert informer.last_error is None
    finally:
        run.cancel()
        await asyncio.gather(run, return_exceptions=True)


async def test_a_refresh_finds_its_informer_stopped_or_waiting() -> None:
    client = ScriptedClient()
    client.watches.append([bookmark(5, ends_list=True), None])
    informer = Informer(cast("Any", client), THINGS)
    informer.refresh()
    await asyncio.sleep(0.03)  # not started yet: the first list is to come anyway
    run = asyncio.create_task(informer.run())
    await informer.wait_synced()
    informer.refresh()
    run.cancel()
    await asyncio.gather(run, return_exceptions=True)
    await asyncio.sleep(0.03)
    assert len(client.opened) == 1


async def test_a_refresh_during_a_pause_ends_nothing_and_is_listed_after_it() -> None:
    """There is no connection whose end could be brought forward."""
    client = ScriptedClient()
    client.watches.extend(
        [
            [bookmark(5, ends_list=True), ConnectionFailed("refused")],
            [bookmark(6, ends_list=True), None],
        ]
    )
    informer = Informer(cast("Any", client), THINGS)
    complaints: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context))
    run = asyncio.create_task(informer.run())
    try:
        await eventually(lambda: informer.last_error is not None, seconds=5)
        informer.refresh()
        await asyncio.sleep(0.05)
        assert complaints == []
        await eventually(lambda: informer.lists == 2, seconds=5)
        assert [opened["initial_events"] for opened in client.opened] == [True, True]
    finally:
        asyncio.get_running_loop().set_exception_handler(None)
        run.cancel()
        await asyncio.gather(run, return_exceptions=True)


async def test_the_same_content_is_not_told_again() -> None:
    client = ScriptedClient()
    same = [event("ADDED", thing("a", 5, spec={"size": 1})), bookmark(5, ends_list=True), None]
    client.watches.extend([list(same), list(same)])
    informer = Informer(cast("Any", client), THINGS)
    told: list[Event] = []
    informer.add_handler(lambda kind, *_: told.append(kind))
    run = asyncio.create_task(informer.run())
    try:
        await informer.wait_synced()
        informer.refresh()
        await eventually(lambda: informer.lists == 2, seconds=5)
        assert told == [Event.ADDED]
    finally:
        run.cancel()
        await asyncio.gather(run, return_exceptions=True)
