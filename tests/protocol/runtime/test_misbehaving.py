"""Informers against servers that misbehave: bounded requests, nothing lost, recovery (threats A61, A63)."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from bind_agent.api.resource import Resource
from bind_agent.kube.client import Client
from bind_agent.kube.config import from_kubeconfig
from bind_agent.kube.errors import Gone, KubeError, MalformedAnswer
from bind_agent.runtime import course, reflector
from bind_agent.runtime.informer import Informer
from tests.fakes.eventually import eventually
from tests.fakes.following import following
from tests.fakes.kube_server import Answer, KubeServer, Request, failure, json_answer, stream
from tests.fakes.scripted import thing

pytestmark = pytest.mark.protocol

THINGS = Resource("example.com", "v1", "things", kind="Thing")
PATH = "/apis/example.com/v1/things"


def kubeconfig(url: str) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "c",
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
        "clusters": [{"name": "c", "cluster": {"server": url}}],
        "users": [{"name": "u", "user": {"token": "t"}}],
    }


def listing(*objects: dict[str, Any], version: int = 5) -> Answer:
    metadata = {"resourceVersion": str(version)}
    return json_answer(
        {"kind": "ThingList", "apiVersion": "example.com/v1", "metadata": metadata, "items": objects}
    )


def change(kind: str, obj: dict[str, Any]) -> dict[str, Any]:
    return {"type": kind, "object": obj}


GONE = change(
    "ERROR", {"kind": "Status", "status": "Failure", "code": 410, "reason": "Expired", "message": "old"}
)


@contextlib.asynccontextmanager
async def served(answer: Callable[[Request], Answer]) -> AsyncIterator[tuple[KubeServer, Informer]]:
    """A server that answers lists and watches by a function, and an informer without streaming lists."""
    async with KubeServer() as server:
        server.handle(answer)
        async with Client.open(from_kubeconfig(kubeconfig(server.url)), user_agent="test") as client:
            yield server, Informer(client, THINGS, streaming=False)


def is_watch(request: Request) -> bool:
    return request.query.get("watch") == "true"


@pytest.mark.parametrize(
    "watch",
    [
        stream(),
        stream(GONE),
        stream(end="reset"),
        failure(500),
        Answer(200, pieces=[b"not an event\n"], chunked=True),
    ],
    ids=["closed", "expired", "reset", "error", "malformed"],
)
async def test_a_watch_that_ends_at_once_is_asked_for_ever_more_slowly(watch: Answer) -> None:
    def answer(request: Request) -> Answer:
        return watch if is_watch(request) else listing(thing("a", 1))

    async with served(answer) as (server, informer), following(informer):
        await asyncio.sleep(2.0)
        # 0.1 to 0.2 s, doubled each time: about five connections in two seconds, as many lists at the most.
        assert len(server.requests) < 16
        assert sorted(informer.store) == ["ns/a"]


async def test_the_error_is_told_until_things_go_well() -> None:
    answers = [stream(GONE), Answer(200, pieces=[b"nonsense\n"], chunked=True), stream(end="hang")]

    def answer(request: Request) -> Answer:
        if is_watch(request):
            return answers.pop(0) if len(answers) > 1 else answers[0]
        return listing(thing("a", 1))

    seen: list[type[KubeError]] = []
    async with served(answer) as (_, informer), following(informer):

        def look() -> bool:
            if informer.last_error is not None and type(informer.last_error) not in seen:
                seen.append(type(informer.last_error))
            return len(seen) == 2

        await eventually(look, every=0.005)
    assert seen == [Gone, MalformedAnswer]


async def test_an_empty_list_after_a_restore_is_told_as_what_it_is() -> None:
    """The store follows; that nothing is deleted because of it is the part of those who would delete."""
    lists = [listing(thing("a", 1), thing("b", 2)), listing(version=3)]

    def answer(request: Request) -> Answer:
        if not is_watch(request):
            return lists.pop(0) if len(lists) > 1 else lists[0]
        return (
            stream(GONE) if len(lists) > 1 or request.query["resourceVersion"] == "5" else stream(end="hang")
        )

    async with served(answer) as (_, informer), following(informer) as told:
        await eventually(lambda: informer.lists == 2)
        assert told.log == ["ADDED ns/a", "ADDED ns/b", "DELETED ns/a", "DELETED ns/b"]


async def test_a_list_cut_off_between_pages_deletes_nothing() -> None:
    first = [True]

    def answer(request: Request) -> Answer:
        if is_watch(request):
            if first:
                return stream(GONE)
            return stream(end="hang")
        if first and request.query.get("continue") is None and len(calls) == 0:
            calls.append(1)
            return listing(thing("a", 1), thing("b", 2))
        if request.query.get("continue"):
            first.clear()
            return failure(410, "Expired")
        if first:
            page = {"metadata": {"resourceVersion": "9", "continue": "x"}, "items": [thing("a", 1)]}
            return json_answer({"kind": "ThingList", "apiVersion": "example.com/v1", **page})
        return listing(thing("a", 1), thing("b", 2), version=10)

    calls: list[int] = []
    async with served(answer) as (_, informer), following(informer) as told:
        await eventually(lambda: informer.lists == 2)
        assert told.log == ["ADDED ns/a", "ADDED ns/b"]


async def test_silence_is_noticed_where_bookmarks_are_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reflector, "SILENCE", 0.3)
    bookmark = change("BOOKMARK", {"metadata": {"resourceVersion": "7"}})
    watches = [stream(bookmark, 1.1), stream(end="hang"), stream(end="hang"), stream(bookmark, 60.0)]

    def answer(request: Request) -> Answer:
        if is_watch(request):
            return watches.pop(0) if len(watches) > 1 else watches[0]
        return listing(thing("a", 1))

    async with served(answer) as (server, informer), following(informer):
        # Silent twice in a row: the history is distrusted, too.
        await eventually(lambda: informer.lists == 2)
        versions = [r.query["resourceVersion"] for r in server.requests if is_watch(r)]
        assert versions[:3] == ["5", "7", "7"]


async def test_a_wait_of_years_is_cut() -> None:
    def answer(_: Request) -> Answer:
        return failure(429, "TooManyRequests", Retry_After="99999999")

    async with served(answer) as (server, informer), following(informer, synced=False):
        await asyncio.sleep(0.3)
        assert 1 <= len(server.requests) <= 3
    assert course.RECONNECTS.cap == 30.0


async def test_objects_of_another_namespace_are_not_taken_in() -> None:
    hostile = [thing("a", 1), thing("b", 2, namespace="kube-system")]
    async with KubeServer() as server:
        server.handle(lambda r: stream(end="hang") if is_watch(r) else listing(*hostile))
        async with Client.open(from_kubeconfig(kubeconfig(server.url)), user_agent="test") as client:
            informer = Informer(client, THINGS, namespace="ns", streaming=False)
            async with following(informer):
                assert sorted(informer.store) == ["ns/a"]


async def test_streaming_lists_are_tried_and_given_up_where_they_are_refused() -> None:
    def answer(request: Request) -> Answer:
        if request.query.get("sendInitialEvents"):
            return failure(422, "Invalid", "sendInitialEvents is forbidden")
        return stream(end="hang") if is_watch(request) else listing(thing("a", 1))

    async with KubeServer() as server:
        server.handle(answer)
        async with Client.open(from_kubeconfig(kubeconfig(server.url)), user_agent="test") as client:
            informer = Informer(client, THINGS)
            async with following(informer):
                assert [bool(is_watch(r)) for r in server.requests][:2] == [True, False]
                assert informer.last_error is None
