"""A part that fails is started again, and the log says where it failed without quoting what it failed on."""

import asyncio
from types import SimpleNamespace
from typing import Any, cast

import pytest
from structlog.testing import capture_logs

from bind_agent.api.resource import SECRETS
from bind_agent.kube.errors import ConnectionFailed
from konnector import hub
from konnector.controllers.claims import Claims
from konnector.controllers.exports import Exports

pytestmark = pytest.mark.unit

CANARY = "hunter2"


class Part:
    """Fails with an error whose text quotes a Secret, beside one of the client."""

    resource = SECRETS

    def __init__(self) -> None:
        self.runs = 0
        self.ran = asyncio.Event()

    async def run(self) -> None:
        self.runs += 1
        self.ran.set()
        async with asyncio.TaskGroup() as group:
            for error in (ValueError(f"cannot decode {CANARY}"), ConnectionFailed("no route")):
                group.create_task(_fail(error))


async def _fail(error: Exception) -> None:
    raise error


class Enqueued:
    """Notes what is to be looked at again."""

    def __init__(self) -> None:
        self.keys: list[tuple[str, float]] = []

    def enqueue(self, key: str, *, after: float = 0.0) -> None:
        self.keys.append((key, after))


async def _session(part: Part, _: Enqueued) -> None:
    supervised = asyncio.create_task(hub._supervise(cast("Any", part)))
    await part.ran.wait()
    await asyncio.sleep(0.01)
    supervised.cancel()
    await asyncio.gather(supervised, return_exceptions=True)


async def _objects(part: Part, queue: Enqueued) -> None:
    await Exports._sync(cast("Any", SimpleNamespace(controller=queue)), "things.g", cast("Any", part))


async def _claims(part: Part, queue: Enqueued) -> None:
    await Claims._sync(cast("Any", SimpleNamespace(_controller=queue)), cast("Any", part))


@pytest.mark.parametrize(
    ("fail", "again"),
    [(_session, []), (_objects, [("things.g", 5.0)]), (_claims, [("all", 5.0)])],
    ids=["session", "objects", "claims"],
)
async def test_the_log_names_the_place_and_quotes_nothing(fail: Any, again: list[Any]) -> None:
    part, queue = Part(), Enqueued()
    with capture_logs() as lines:
        await fail(part, queue)
    (line,) = lines
    assert line["log_level"] == "error"
    assert CANARY not in str(line)
    # A traceback would quote it.
    assert not line.get("exc_info")
    # What helps is there: which error, where, and the client's own words.
    assert "ValueError at test_failing_parts.py" in line["error"]
    assert "ConnectionFailed: no route" in line["error"]
    assert part.runs == 1
    assert queue.keys == again
