"""A CRD that is in place says nothing about whether the API server serves it."""

from typing import Any

import pytest

from konnector.controllers import schema_status
from tests.fakes.schema_world import World, offer

pytestmark = pytest.mark.unit

ESTABLISHED = {"type": "Established", "status": "True"}
ACCEPTED = {"type": "NamesAccepted", "status": "True"}
TAKEN = {
    "type": "NamesAccepted",
    "status": "False",
    "reason": "KindConflict",
    "message": '"Db" is already in use',
}
NOT_YET = {"type": "Established", "status": "False", "reason": "Installing", "message": "the initial names"}
NEVER = {"type": "Established", "status": "False", "reason": "NotAccepted", "message": "not all names"}
IN_SYNC = ("True", "", "")


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [100.0]
    monkeypatch.setattr(schema_status, "_now", lambda: now[0])
    return now


def world(*stated: dict[str, Any]) -> World:
    made = World(offer("a"), offer("a"))
    made.serve(*stated)
    return made


async def test_a_name_that_is_taken_is_told_at_once_and_taken_back_when_it_is_free() -> None:
    one = world(NEVER, TAKEN)
    assert await one.look() is None
    assert one.verdict == ("False", "NamesNotAccepted", "Error")
    assert '"Db" is already in use' in one.message
    # In place it is all the same.
    assert one.conditions["Connected"].status == "True"
    one.serve(NOT_YET, ACCEPTED)
    await one.look()
    assert one.verdict[0] == "False"
    one.serve(ESTABLISHED, ACCEPTED)
    assert await one.look() is None
    assert one.verdict == IN_SYNC


async def test_of_a_new_crd_nothing_is_said_before_it_is_known(clock: list[float]) -> None:
    one = world(NOT_YET, ACCEPTED)
    again = await one.look()
    assert set(one.conditions) == {"Connected"}
    assert again is not None
    assert again.after == 15.0
    clock[0] += 1.0
    one.serve(ESTABLISHED, ACCEPTED)
    assert await one.look() is None
    assert one.verdict == IN_SYNC


async def test_what_lasts_is_told(clock: list[float]) -> None:
    one = world(NOT_YET, ACCEPTED)
    await one.look()
    clock[0] += 15.0
    assert await one.look() is None
    assert one.verdict == ("False", "CustomResourceDefinitionNotEstablished", "Error")
    one.serve(ESTABLISHED, ACCEPTED)
    await one.look()
    assert one.verdict == IN_SYNC
    # The next time it has its time again.
    one.serve(NOT_YET, ACCEPTED)
    await one.look()
    assert one.verdict == IN_SYNC


async def test_a_served_crd_with_a_short_name_that_is_taken_is_a_warning() -> None:
    one = world(ESTABLISHED, TAKEN)
    await one.look()
    assert one.verdict == ("False", "NamesNotAccepted", "Warning")


async def test_an_update_is_as_served_as_the_crd_was() -> None:
    one = World(offer("a", "b"), offer("a"))
    one.serve(NEVER, TAKEN)
    await one.look()
    assert len(one.written) == 1
    assert one.verdict == ("False", "NamesNotAccepted", "Error")
