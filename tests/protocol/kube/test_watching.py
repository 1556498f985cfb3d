"""Watches against a server that misbehaves: each way to end has its own type, and nothing leaks."""

import asyncio
import gc
from typing import Any

import orjson
import pytest

from bind_agent.api.resource import CONFIGMAPS, NAMESPACES, SECRETS
from bind_agent.kube import codec, errors, transport
from bind_agent.kube.client import Client
from bind_agent.kube.watch import Watch, WatchEvent
from tests.fakes.kube_server import Answer, KubeServer, failure, stream

pytestmark = pytest.mark.protocol

PATH = "/api/v1/namespaces/ns/configmaps"


def event(kind: str, name: str = "a", rv: str = "5", **more: Any) -> dict[str, Any]:
    meta = {"name": name, "namespace": "ns", "uid": f"uid-{name}", "resourceVersion": rv, "generation": 2}
    return {"type": kind, "object": {"kind": "ConfigMap", "apiVersion": "v1", "metadata": meta | more}}


def bookmark(rv: str, **annotations: str) -> dict[str, Any]:
    meta: dict[str, Any] = {"resourceVersion": rv}
    if annotations:
        meta["annotations"] = {"k8s.io/initial-events-end": "true"}
    return {"type": "BOOKMARK", "object": {"kind": "ConfigMap", "apiVersion": "v1", "metadata": meta}}


def error(code: int, reason: str) -> dict[str, Any]:
    status = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code, "reason": reason}
    return {"type": "ERROR", "object": status | {"message": "too old resource version: 1 (5)"}}


def watch(client: Client, **options: Any) -> Watch:
    return client.watch(CONFIGMAPS, namespace="ns", **options)


async def collect(stream: Watch) -> list[WatchEvent]:
    return [event async for event in stream]


async def test_events_carry_exact_bytes_and_metadata(server: KubeServer, client: Client) -> None:
    server.script(
        PATH, stream(event("ADDED"), event("MODIFIED", rv="6"), event("DELETED", rv="7"), bookmark("9"))
    )
    following = watch(client, resource_version="4")
    events = await collect(following)
    assert [(e.type, e.resource_version) for e in events] == [
        ("ADDED", "5"),
        ("MODIFIED", "6"),
        ("DELETED", "7"),
        ("BOOKMARK", "9"),
    ]
    first = events[0]
    assert first.raw == orjson.dumps(event("ADDED")["object"])
    assert first.object() == event("ADDED")["object"]
    assert first.object() is not first.object()
    assert (first.key, first.name, first.namespace) == ("ns/a", "a", "ns")
    assert (first.uid, first.generation, first.meta.deletion_timestamp) == ("uid-a", 2, "")
    assert (events[3].raw, events[3].key) == (b"", "")
    assert following.received == 4
    query = server.requests[0].query
    assert (query["watch"], query["allowWatchBookmarks"], query["resourceVersion"]) == ("true", "true", "4")
    assert 290 <= int(query["timeoutSeconds"]) <= 590
    assert "sendInitialEvents" not in query


async def test_streaming_list_asks_and_marks_the_end(server: KubeServer, client: Client) -> None:
    server.script(
        PATH, stream(event("ADDED"), bookmark("6"), bookmark("7", end="true"), event("MODIFIED", rv="8"))
    )
    events = await collect(watch(client, initial_events=True, label_selector="a=b", field_selector="x=y"))
    assert [e.initial_events_end for e in events] == [False, False, True, False]
    query = server.requests[0].query
    assert (query["sendInitialEvents"], query["resourceVersionMatch"]) == ("true", "NotOlderThan")
    assert (query["labelSelector"], query["fieldSelector"]) == ("a=b", "x=y")


async def test_streaming_list_refused(server: KubeServer, client: Client) -> None:
    server.script(PATH, failure(422, "Invalid", "sendInitialEvents: Forbidden"))
    with pytest.raises(errors.Invalid):
        await collect(watch(client, initial_events=True))


async def test_cluster_scoped_objects_have_plain_keys(server: KubeServer, client: Client) -> None:
    server.script("/api/v1/namespaces", stream({"type": "ADDED", "object": {"metadata": {"name": "n"}}}))
    events = await collect(client.watch(NAMESPACES))
    assert [(e.key, e.uid, e.generation) for e in events] == [("n", "", 0)]


@pytest.mark.parametrize("size", [1, 7, 1000], ids=["bytes", "pieces", "large"])
async def test_events_in_pieces(server: KubeServer, client: Client, size: int) -> None:
    text = b"".join(orjson.dumps(event("ADDED", name=f"n{number}")) + b"\n" for number in range(5))
    pieces = [text[start : start + size] for start in range(0, len(text), size)]
    server.script(PATH, stream(*pieces))
    assert [e.name for e in await collect(watch(client))] == ["n0", "n1", "n2", "n3", "n4"]


async def test_blank_lines_mean_nothing(server: KubeServer, client: Client) -> None:
    server.script(PATH, stream(b"\n\r\n", event("ADDED"), b"\n"))
    assert len(await collect(watch(client))) == 1


async def test_silent_close_is_an_orderly_end_without_events(server: KubeServer, client: Client) -> None:
    server.script(PATH, stream())
    following = watch(client, resource_version="1")
    assert await collect(following) == []
    assert following.received == 0
    assert await collect(following) == []
    assert len(server.requests) == 1


@pytest.mark.parametrize("reason", ["Expired", "Gone"])
async def test_expired_history_inside_the_stream(server: KubeServer, client: Client, reason: str) -> None:
    server.script(PATH, stream(event("ADDED"), error(410, reason), event("ADDED")))
    following = watch(client, resource_version="1")
    assert (await anext(following)).name == "a"
    with pytest.raises(errors.Gone) as caught:
        await anext(following)
    assert caught.value.code == 410
    with pytest.raises(StopAsyncIteration):
        await anext(following)


async def test_expired_history_at_the_start(server: KubeServer, client: Client) -> None:
    server.script(PATH, failure(410, "Expired"))
    with pytest.raises(errors.Gone):
        await collect(watch(client, resource_version="1"))


async def test_other_errors_inside_the_stream(server: KubeServer, client: Client) -> None:
    for sent, kind in (
        (error(500, "InternalError"), errors.ServerError),
        (error(429, "TooManyRequests"), errors.TooManyRequests),
        ({"type": "ERROR", "object": {"kind": "Status", "code": "odd"}}, errors.ServerError),
        ({"type": "ERROR", "object": {}}, errors.ServerError),
    ):
        server.script(PATH, stream(sent))
        with pytest.raises(kind):
            await collect(watch(client))


async def test_error_about_secrets_is_not_quoted(server: KubeServer, client: Client) -> None:
    status = {"kind": "Status", "code": 422, "reason": "Invalid", "message": "canary"}
    server.script("/api/v1/secrets", stream({"type": "ERROR", "object": status}))
    with pytest.raises(errors.Invalid) as caught:
        await collect(client.watch(SECRETS))
    assert "canary" not in str(caught.value)


@pytest.mark.parametrize("code", [401, 403, 404, 429, 500])
async def test_refused_watches(server: KubeServer, client: Client, code: int) -> None:
    server.script(PATH, failure(code, Retry_After="3"))
    with pytest.raises(errors.ApiError) as caught:
        await collect(watch(client))
    assert (caught.value.code, caught.value.retry_after) == (code, 3)
    assert len(server.requests) == 1


MALFORMED: dict[str, Any] = {
    "not JSON": b"hello\n",
    "a number": b"7\n",
    "no type": {"object": {"metadata": {"name": "a"}}},
    "no object": {"type": "ADDED"},
    "unknown type": {"type": "EXPLODED", "object": {"metadata": {"name": "a"}}},
    "no metadata": {"type": "ADDED", "object": {}},
    "no name": {"type": "ADDED", "object": {"metadata": {}}},
    "odd name": {"type": "ADDED", "object": {"metadata": {"name": 7}}},
    "name with a slash": {"type": "ADDED", "object": {"metadata": {"name": "a/b"}}},
    "namespace with a slash": {"type": "ADDED", "object": {"metadata": {"name": "a", "namespace": "b/c"}}},
    "object no object": {"type": "ADDED", "object": [1]},
    "bookmark without metadata": {"type": "BOOKMARK", "object": {}},
    "bookmark with odd annotations": {"type": "BOOKMARK", "object": {"metadata": {"annotations": [1]}}},
    "error that is text": {"type": "ERROR", "object": "no"},
    "deep": b'{"type":"ADDED","object":' + b"[" * 100_000 + b"]" * 100_000 + b"}\n",
    "not UTF-8": b'{"type":"ADDED","object":{"metadata":{"name":"\xff"}}}\n',
}


@pytest.mark.parametrize("piece", MALFORMED.values(), ids=MALFORMED.keys())
async def test_lines_that_are_no_events(server: KubeServer, client: Client, piece: Any) -> None:
    server.script(PATH, stream(event("ADDED"), piece))
    following = watch(client)
    await anext(following)
    with pytest.raises(errors.MalformedAnswer):
        await anext(following)


async def test_page_instead_of_a_stream(server: KubeServer, client: Client) -> None:
    server.script(PATH, Answer(200, (("Content-Type", "text/html"),), [b"<html>"]))
    with pytest.raises(errors.MalformedAnswer):
        await collect(watch(client))


async def test_line_without_end_is_bounded(
    server: KubeServer, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(codec.LineSplitter.__init__, "__defaults__", (100_000,))
    server.script(
        PATH, stream(event("ADDED", filler="x" * 90_000), b'{"type": "' + b"x" * 200_000, end="hang")
    )
    following = watch(client)
    await anext(following)
    with pytest.raises(errors.AnswerTooLarge):
        await anext(following)


async def test_who_follows_hears_of_half_an_event_and_may_end_it(server: KubeServer, client: Client) -> None:
    told: list[int] = []

    def on_half(size: int) -> None:
        told.append(size)
        if size > 100_000:
            raise errors.AnswerTooLarge("enough")

    whole = [event("ADDED", filler="x" * 90_000), event("MODIFIED", rv="6")]
    server.script(PATH, stream(*whole, b'{"type": "' + b"x" * 2_000_000, end="hang"))
    following = watch(client, on_half=on_half)
    assert [(await anext(following)).type for _ in whole] == ["ADDED", "MODIFIED"]
    with pytest.raises(errors.AnswerTooLarge, match="enough"):
        await anext(following)
    assert told[-1] == 0
    assert 100_000 < max(told) < 1_000_000
    await following.aclose()
    assert told.count(0) <= 2


async def test_end_inside_an_event(server: KubeServer, client: Client) -> None:
    server.script(PATH, stream(event("ADDED"), b'{"type": "MOD'))
    following = watch(client)
    await anext(following)
    with pytest.raises(errors.ConnectionFailed, match="inside an event"):
        await anext(following)


async def test_reset_in_the_middle(server: KubeServer, client: Client) -> None:
    server.script(PATH, stream(event("ADDED"), end="reset"))
    following = watch(client)
    await anext(following)
    with pytest.raises(errors.ConnectionFailed):
        await anext(following)


async def test_silence_is_noticed(server: KubeServer, client: Client) -> None:
    server.script(PATH, stream(event("ADDED"), end="hang"))
    following = watch(client, inactivity=0.2)
    await anext(following)
    with pytest.raises(errors.ConnectionFailed, match="in time"):
        await anext(following)


async def test_no_header_is_noticed(
    server: KubeServer, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transport, "_WATCH_HEADERS", 0.2)

    async def never(_: object) -> Answer:
        await asyncio.Event().wait()
        raise AssertionError

    server.handle(never)
    with pytest.raises(errors.ConnectionFailed, match="in time"):
        await anext(watch(client))


async def test_quiet_watch_with_bookmarks_stays(server: KubeServer, client: Client) -> None:
    server.script(PATH, stream(0.15, bookmark("1"), 0.15, bookmark("2"), 0.15, bookmark("3")))
    assert len(await collect(watch(client, inactivity=0.3))) == 3


async def test_many_watches_do_not_starve_calls(server: KubeServer, client: Client) -> None:
    server.script(PATH, stream(event("ADDED"), end="hang"))
    server.script("/version", Answer(pieces=[b"{}"]))
    watches = [watch(client) for _ in range(150)]
    await asyncio.gather(*(anext(following) for following in watches))
    async with asyncio.timeout(5):
        assert await client.raw_get("/version") == {}
    for following in watches:
        await following.aclose()


async def test_watch_left_early_closes_its_connection(server: KubeServer, client: Client) -> None:
    server.script(PATH, stream(event("ADDED"), end="hang"))
    async for _ in watch(client):
        break
    gc.collect()
    async with watch(client) as following:
        await anext(following)
    with pytest.raises(StopAsyncIteration):
        await anext(following)


async def test_cancelled_watch_closes_its_connection(server: KubeServer, client: Client) -> None:
    server.script(PATH, stream(event("ADDED"), end="hang"))
    task = asyncio.create_task(collect(watch(client)))
    await asyncio.sleep(0.2)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_one_large_chunk_is_split_in_linear_time(server: KubeServer, client: Client) -> None:
    text = (orjson.dumps(event("ADDED")) + b"\n") * 20_000
    server.script(PATH, stream(text))
    assert len(await collect(watch(client))) == 20_000
