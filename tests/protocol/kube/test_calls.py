"""Calls against a server that misbehaves: what is repeated, what is refused, and what it costs."""

import asyncio
import time
from typing import Any

import orjson
import pytest

from bind_agent.api.resource import CONFIGMAPS, SECRETS
from bind_agent.kube import errors, transport
from bind_agent.kube.client import Client
from bind_agent.kube.config import ClusterConfig
from bind_agent.kube.credentials import Credential
from tests.fakes.kube_server import Answer, KubeServer, failure, gzip_answer, json_answer

pytestmark = pytest.mark.protocol

ONE = "/api/v1/namespaces/ns/configmaps/a"
ALL = "/api/v1/namespaces/ns/configmaps"
OBJECT = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a", "namespace": "ns"}}


async def get(client: Client) -> Any:
    return await client.get(CONFIGMAPS, "a", namespace="ns")


async def write(client: Client) -> Any:
    return await client.merge_patch(CONFIGMAPS, "a", {"data": {}}, namespace="ns")


# --- shape of requests ----------------------------------------------------------------------------


async def test_requests_carry_what_the_api_wants(server: KubeServer, client: Client) -> None:
    server.handle(lambda _: json_answer(OBJECT))
    await client.apply(CONFIGMAPS, OBJECT, field_manager="me & you", dry_run=True)
    await client.apply(CONFIGMAPS, OBJECT, field_manager="me", force=False, subresource="status")
    await client.merge_patch(CONFIGMAPS, "a", {"data": None}, namespace="ns")
    await client.json_patch(CONFIGMAPS, "a", [{"op": "remove", "path": "/x"}], namespace="ns")
    await client.delete(
        CONFIGMAPS, "a", namespace="ns", uid="u", resource_version="7", propagation="Foreground"
    )
    applied, status, merge, patch, delete = server.requests
    assert (applied.method, applied.path) == ("PATCH", ONE)
    assert applied.headers["content-type"] == "application/apply-patch+yaml"
    assert applied.headers["authorization"] == "Bearer static"
    assert applied.headers["user-agent"] == "test"
    assert applied.query == {
        "fieldManager": "me & you",
        "force": "true",
        "dryRun": "All",
        "fieldValidation": "Ignore",
    }
    assert applied.json() == OBJECT
    assert status.path == ONE + "/status"
    assert "force" not in status.query
    assert (merge.headers["content-type"], merge.json()) == ("application/merge-patch+json", {"data": None})
    assert patch.headers["content-type"] == "application/json-patch+json"
    assert delete.json() == {
        "apiVersion": "v1",
        "kind": "DeleteOptions",
        "preconditions": {"uid": "u", "resourceVersion": "7"},
        "propagationPolicy": "Foreground",
    }


async def test_one_connection_serves_calls_in_a_row(server: KubeServer, client: Client) -> None:
    server.script(ONE, json_answer(OBJECT))
    for _ in range(5):
        await get(client)
    assert server.connections == 1


async def test_cookies_of_the_server_are_not_kept(server: KubeServer, client: Client) -> None:
    server.script(ONE, json_answer(OBJECT, Set_Cookie="session=1"))
    await get(client)
    await get(client)
    assert "cookie" not in server.requests[1].headers


async def test_requests_in_flight_are_bounded(server: KubeServer) -> None:
    under_way = most = 0

    async def answer(_: object) -> Answer:
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        await asyncio.sleep(0.02)
        under_way -= 1
        return json_answer(OBJECT)

    server.handle(answer)
    config = ClusterConfig(server.url, Credential(token="t"))
    async with Client.open(config, user_agent="test", max_in_flight=3) as client:
        await asyncio.gather(*(get(client) for _ in range(20)))
    assert most == 3


# --- throttling and repetition --------------------------------------------------------------------


async def test_throttled_requests_of_any_kind_are_repeated(
    server: KubeServer, client: Client, slept: list[float]
) -> None:
    server.script(ONE, failure(429, "TooManyRequests", Retry_After="2"), json_answer(OBJECT))
    assert await write(client) == OBJECT
    assert [round(wait) for wait in slept] == [2]
    assert 2.0 <= slept[0] <= 2.6


async def test_endless_throttling_is_raised_with_its_delay(
    server: KubeServer, client: Client, slept: list[float]
) -> None:
    server.script(ONE, failure(429, "TooManyRequests", Retry_After="1"))
    with pytest.raises(errors.TooManyRequests) as caught:
        await write(client)
    assert caught.value.retry_after == 1
    assert len(server.requests) == 4
    assert len(slept) == 3


@pytest.mark.parametrize("asked", ["86400", "9" * 400], ids=["a day", "ages"])
async def test_patience_is_bounded(
    server: KubeServer, client: Client, slept: list[float], asked: str
) -> None:
    server.script(ONE, failure(429, "TooManyRequests", Retry_After=asked))
    with pytest.raises(errors.TooManyRequests) as caught:
        await get(client)
    assert caught.value.retry_after == 30
    assert sum(slept) <= 31


@pytest.mark.parametrize("asked", ["-1", "soon", "Wed, 21 Oct 2015 07:28:00 GMT", "1.5"])
async def test_odd_retry_after_is_ignored(
    server: KubeServer, client: Client, slept: list[float], asked: str
) -> None:
    server.script(ONE, failure(429, "TooManyRequests", Retry_After=asked), json_answer(OBJECT))
    assert await get(client) == OBJECT
    assert slept[0] < 1


async def test_unavailable_is_repeated_for_reads_only(
    server: KubeServer, client: Client, slept: list[float]
) -> None:
    server.script(ONE, failure(503, "ServiceUnavailable"), failure(503), json_answer(OBJECT), method="GET")
    assert await get(client) == OBJECT
    server.script(ONE, failure(503, "ServiceUnavailable"), json_answer(OBJECT), method="PATCH")
    with pytest.raises(errors.Unavailable):
        await write(client)
    assert len(slept) == 2


async def test_internal_errors_are_raised_at_once(server: KubeServer, client: Client) -> None:
    server.script(ONE, failure(500, "InternalError"), json_answer(OBJECT))
    with pytest.raises(errors.ServerError):
        await get(client)
    assert len(server.requests) == 1


async def test_reset_read_is_repeated_and_reset_write_is_not(
    server: KubeServer, client: Client, slept: list[float]
) -> None:
    half = Answer(pieces=[b'{"metadata"'], length=5000, end="reset")
    server.script(ONE, half, json_answer(OBJECT), method="GET")
    assert await get(client) == OBJECT
    server.script(ONE, half, json_answer(OBJECT), method="PATCH")
    with pytest.raises(errors.ConnectionFailed) as caught:
        await write(client)
    assert caught.value.broken
    assert len(server.requests) == 3


async def test_closed_in_the_middle_is_a_broken_connection(
    server: KubeServer, client: Client, slept: list[float]
) -> None:
    server.script(ONE, Answer(pieces=[b"{}"], length=5000, end="close"))
    with pytest.raises(errors.ConnectionFailed):
        await write(client)


async def test_nobody_listens(server: KubeServer) -> None:
    config = ClusterConfig("http://127.0.0.1:1", Credential(token="secret-token"))
    async with Client.open(config, user_agent="test") as client:
        with pytest.raises(errors.ConnectionFailed) as caught:
            await get(client)
    assert not caught.value.broken
    assert "secret-token" not in str(caught.value)


async def test_silence_ends_in_a_timeout(
    server: KubeServer, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    import aiohttp

    monkeypatch.setattr(transport, "_CALL", aiohttp.ClientTimeout(total=0.3))
    server.script(ONE, Answer(pieces=[b"{"], length=100, end="hang"))
    began = time.monotonic()
    with pytest.raises(errors.ConnectionFailed, match="in time"):
        await get(client)
    assert time.monotonic() - began < 20
    assert len(server.requests) == 1


async def test_slow_answer_arrives(server: KubeServer, client: Client) -> None:
    body = orjson.dumps(OBJECT)
    server.script(ONE, Answer(pieces=[body[:20], 0.2, body[20:40], 0.2, body[40:]], chunked=True))
    assert await get(client) == OBJECT


async def test_cancelled_call_leaves_the_client_usable(server: KubeServer, client: Client) -> None:
    server.script(ONE, Answer(end="hang", length=10), json_answer(OBJECT))
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.1):
            await get(client)
    assert await get(client) == OBJECT


# --- answers that are no answers ------------------------------------------------------------------

HTML = (("Content-Type", "text/html"),)
JSON = (("Content-Type", "application/json"),)
MALFORMED = {
    "not JSON": Answer(pieces=[b"{nonsense"]),
    "nothing": Answer(pieces=[]),
    "a list": Answer(pieces=[b"[1, 2]"]),
    "no object": Answer(pieces=[b'{"kind": "ConfigMap"}']),
    "a page": Answer(200, HTML, [b"<html>login</html>"]),
    "no type": Answer(200, (), [b"{}"]),
    "not UTF-8": Answer(pieces=[b'{"a": "\xff"}']),
    "deep": Answer(pieces=[b'{"metadata":' * 20000]),
    "redirect": Answer(302, (("Location", "https://evil.example/"),)),
    "gzip that is none": Answer(200, (*JSON, ("Content-Encoding", "gzip")), [b"hello"]),
    "unasked encoding": Answer(200, (*JSON, ("Content-Encoding", "br")), [b"hello"]),
}


@pytest.mark.parametrize("answer", MALFORMED.values(), ids=MALFORMED.keys())
async def test_malformed_answers(server: KubeServer, client: Client, answer: Answer) -> None:
    server.script(ONE, answer)
    with pytest.raises(errors.MalformedAnswer):
        await get(client)
    server.script(ONE, json_answer(OBJECT))
    assert await get(client) == OBJECT


async def test_redirects_are_not_followed(server: KubeServer, client: Client) -> None:
    async with KubeServer() as other:
        server.script(ONE, Answer(307, (("Location", other.url + ONE),)))
        with pytest.raises(errors.MalformedAnswer, match="redirects"):
            await get(client)
        assert other.requests == []


@pytest.mark.parametrize("chunked", [True, False], ids=["chunked", "with length"])
async def test_huge_answers_are_not_read(
    server: KubeServer, client: Client, monkeypatch: pytest.MonkeyPatch, chunked: bool
) -> None:
    monkeypatch.setattr(
        transport.Transport.call,
        "__kwdefaults__",
        {
            **(transport.Transport.call.__kwdefaults__ or {}),
            "limit": 100_000,
        },
    )
    server.script(ONE, Answer(pieces=[b" " * 50_000] * 4, chunked=chunked))
    with pytest.raises(errors.AnswerTooLarge):
        await get(client)
    server.script(ONE, json_answer({**OBJECT, "data": {"x": "y" * 50_000}}))
    assert len((await get(client))["data"]["x"]) == 50_000


async def test_compression_bomb_is_not_unpacked(server: KubeServer, client: Client) -> None:
    server.script(ONE, gzip_answer(b'{"metadata":{},"x":"' + b"a" * 200_000_000 + b'"}'))
    with pytest.raises(errors.AnswerTooLarge):
        await get(client)


async def test_compressed_answers_are_read(server: KubeServer, client: Client) -> None:
    server.script(ONE, gzip_answer(orjson.dumps(OBJECT)))
    assert await get(client) == OBJECT
    # This machine: compressing would cost more than it saves.
    assert server.requests[0].headers["accept-encoding"] == "identity"


# --- failures -------------------------------------------------------------------------------------

STATUS = {
    400: errors.BadRequest,
    401: errors.Unauthorized,
    403: errors.Forbidden,
    405: errors.MethodNotAllowed,
    409: errors.Conflict,
    410: errors.Gone,
    413: errors.PayloadTooLarge,
    415: errors.UnsupportedMediaType,
    422: errors.Invalid,
    500: errors.ServerError,
    504: errors.ServerTimeout,
    418: errors.ApiError,
    599: errors.ServerError,
}


@pytest.mark.parametrize(("code", "kind"), STATUS.items())
async def test_failures_have_types(
    server: KubeServer, client: Client, code: int, kind: type[errors.ApiError]
) -> None:
    server.script(ONE, failure(code, "Reason", "text\x1b[31m\u202e of\nthe server"))
    with pytest.raises(kind) as caught:
        await write(client)
    assert type(caught.value) is kind
    assert caught.value.code == code
    assert caught.value.message == "text [31m of the server"


async def test_failure_without_a_status_is_withheld(server: KubeServer, client: Client) -> None:
    for answer in (
        Answer(404, HTML, [b"<html>secret page</html>"]),
        Answer(404, JSON, [b'{"secret": "page"}']),
        Answer(404, JSON, [b"secret page"]),
        Answer(404, JSON, [b"secret page" * 100_000]),
    ):
        server.script(ONE, answer)
        with pytest.raises(errors.NotFound) as caught:
            await get(client)
        assert "secret" not in str(caught.value)


async def test_long_message_is_cut(server: KubeServer, client: Client) -> None:
    server.script(ONE, failure(403, "Forbidden", "no " * 10_000))
    with pytest.raises(errors.Forbidden) as caught:
        await get(client)
    assert len(caught.value.message) <= 256


async def test_refused_secret_is_not_quoted(server: KubeServer, client: Client) -> None:
    status = {
        "kind": "Status",
        "code": 422,
        "reason": "Invalid",
        "message": 'Secret "a" is invalid: data[x]: Invalid value: "canary"',
        "details": {"name": "a", "causes": [{"field": "data[x]", "message": 'Invalid value: "canary"'}]},
    }
    server.script("/api/v1/namespaces/ns/secrets/a", json_answer(status, status=422))
    with pytest.raises(errors.Invalid, match=r"Invalid.*data\[x\]") as caught:
        await client.merge_patch(SECRETS, "a", {"data": {"x": "canary"}}, namespace="ns")
    assert "canary" not in f"{caught.value!r} {caught.value.details} {caught.value}"
    server.script(ONE, json_answer(status, status=422))
    with pytest.raises(errors.Invalid, match="canary"):
        await write(client)


# --- lists ----------------------------------------------------------------------------------------


def page(names: list[str], *, rv: str = "9", following: str = "") -> Answer:
    meta = {"resourceVersion": rv, "continue": following}
    items = [{"metadata": {"name": name, "namespace": "ns"}} for name in names]
    return json_answer({"kind": "ConfigMapList", "apiVersion": "v1", "metadata": meta, "items": items})


async def test_list_follows_pages(server: KubeServer, client: Client) -> None:
    server.script(ALL, page(["a"], following="t/1=&"), page([], following="t2"), page(["b"]))
    found = await client.list(CONFIGMAPS, namespace="ns", label_selector="a=b,c!=d", resource_version="0")
    assert [obj["metadata"]["name"] for obj in found.items] == ["a", "b"]
    assert found.resource_version == "9"
    assert [request.query.get("continue") for request in server.requests] == [None, "t/1=&", "t2"]
    assert [request.query.get("resourceVersion") for request in server.requests] == ["0", None, None]
    assert server.requests[0].query["labelSelector"] == "a=b,c!=d"
    assert server.requests[0].query["limit"] == "500"


async def test_expired_pages_start_again(server: KubeServer, client: Client) -> None:
    server.script(ALL, page(["a"], following="t"), failure(410, "Expired"), page(["a", "b"]))
    found = await client.list(CONFIGMAPS, namespace="ns")
    assert [obj["metadata"]["name"] for obj in found.items] == ["a", "b"]


async def test_pages_that_always_expire_are_given_up(server: KubeServer, client: Client) -> None:
    server.script(ALL, failure(410, "Expired"))
    with pytest.raises(errors.Gone):
        await client.list(CONFIGMAPS, namespace="ns")
    assert len(server.requests) == 3


async def test_half_a_list_is_never_handed_out(server: KubeServer, client: Client) -> None:
    server.script(ALL, page(["a"], following="t"), failure(500, "InternalError"))
    with pytest.raises(errors.ServerError):
        await client.list(CONFIGMAPS, namespace="ns")


@pytest.mark.parametrize("names", [[], ["a"]], ids=["empty", "full"])
async def test_lists_without_end_are_noticed(
    server: KubeServer, client: Client, names: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bind_agent.kube.lists.MAX_OBJECTS", 10_000)
    server.script(ALL, page(names, following="same"))
    with pytest.raises(errors.MalformedAnswer):
        await client.list(CONFIGMAPS, namespace="ns")
    counter = iter(range(10**9))
    server.script(ALL)
    server.handle(lambda _: page(names * 1_000, following=f"t{next(counter)}"))
    with pytest.raises(errors.MalformedAnswer, match="does not end"):
        async for _ in client.pages(CONFIGMAPS, namespace="ns"):
            pass


async def test_large_pages_are_asked_for_in_smaller_portions(
    server: KubeServer, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bind_agent.kube.lists.MAX_PAGE", 2000)

    def answer(request: Any) -> Answer:
        return page(["x" * 50] * int(request.query["limit"]))

    server.handle(answer)
    found = await client.list(CONFIGMAPS, namespace="ns")
    assert [request.query["limit"] for request in server.requests] == ["500", "50", "5"]
    assert len(found.items) == 5


async def test_pages_may_have_a_bound_of_their_own(server: KubeServer, client: Client) -> None:
    server.handle(lambda request: page(["x" * 50] * int(request.query["limit"])))
    found = [one async for one in client.pages(CONFIGMAPS, namespace="ns", page_bytes=2000)]
    assert [request.query["limit"] for request in server.requests] == ["500", "50", "5"]
    assert [len(one.items) for one in found] == [5]


async def test_a_list_that_is_decoded_as_a_whole_has_a_closer_bound(
    server: KubeServer, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bind_agent.kube.lists.MAX_COLLECTED_OBJECTS", 30)
    counter = iter(range(10**9))
    server.handle(
        lambda _: page(["a"] * 20, following=f"t{next(counter)}" if len(server.requests) < 3 else "")
    )
    with pytest.raises(errors.MalformedAnswer, match="does not end"):
        await client.list(CONFIGMAPS, namespace="ns")
    server.requests.clear()
    assert len([one async for one in client.pages(CONFIGMAPS, namespace="ns")]) == 3


async def test_one_object_beyond_the_bound_is_refused(
    server: KubeServer, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bind_agent.kube.lists.MAX_PAGE", 200)
    server.handle(lambda _: page(["x" * 500]))
    with pytest.raises(errors.AnswerTooLarge):
        await client.list(CONFIGMAPS, namespace="ns", page_size=20)
    assert [request.query["limit"] for request in server.requests] == ["20", "2", "1"]


async def test_objects_without_a_place_are_not_sent(server: KubeServer, client: Client) -> None:
    for broken in ({}, {"metadata": None}, {"metadata": {"namespace": "ns"}}, {"metadata": {"name": "a"}}):
        with pytest.raises(errors.InvalidName):
            await client.replace(CONFIGMAPS, broken)
    with pytest.raises(errors.InvalidName):
        await client.create(CONFIGMAPS, {"metadata": {"name": "a"}})
    assert server.requests == []
    server.script(ALL, json_answer(OBJECT), method="POST")
    await client.create(CONFIGMAPS, {"metadata": {"generateName": "a-", "namespace": "ns"}})


LISTS = {
    "items null": ({"metadata": {"resourceVersion": "1"}, "items": None}, True),
    "no items": ({"metadata": {"resourceVersion": "1"}}, True),
    "an object": ({"metadata": {"name": "x"}}, False),
    "items no list": ({"metadata": {"resourceVersion": "1"}, "items": {}}, False),
    "no metadata": ({"items": None}, False),
    "odd version": ({"metadata": {"resourceVersion": 7}, "items": []}, False),
    "items no objects": ({"metadata": {"resourceVersion": "1"}, "items": [1]}, False),
}


@pytest.mark.parametrize(("body", "fine"), LISTS.values(), ids=LISTS.keys())
async def test_shapes_of_lists(server: KubeServer, client: Client, body: Any, fine: bool) -> None:
    server.script(ALL, json_answer(body))
    if fine:
        assert (await client.list(CONFIGMAPS, namespace="ns")).items == []
    else:
        with pytest.raises(errors.MalformedAnswer):
            await client.list(CONFIGMAPS, namespace="ns")


# --- token requests and reviews -------------------------------------------------------------------


async def test_token_request(server: KubeServer, client: Client) -> None:
    path = "/api/v1/namespaces/ns/serviceaccounts/sa/token"
    status = {"token": "t", "expirationTimestamp": "2030-01-01T00:00:00Z"}
    server.script(path, json_answer({"status": status}))
    bound = {"kind": "Secret", "apiVersion": "v1", "name": "s", "uid": "u"}
    answer = await client.create_token(
        "ns", "sa", expiration_seconds=900, audiences=["x"], bound_object=bound
    )
    assert answer["status"] == status
    assert server.requests[0].json()["spec"] == {
        "expirationSeconds": 900,
        "audiences": ["x"],
        "boundObjectRef": bound,
    }
    server.script(path, json_answer({"status": {"token": ""}}))
    with pytest.raises(errors.MalformedAnswer):
        await client.create_token("ns", "sa", expiration_seconds=900)


REVIEWS: dict[str, tuple[Any, bool | None]] = {
    "allowed": ({"status": {"allowed": True, "reason": "RBAC"}}, True),
    "not allowed": ({"status": {"allowed": False}}, False),
    "denied": ({"status": {"allowed": True, "denied": True}}, False),
    "no verdict": ({"status": {}}, None),
    "no status": ({}, None),
    "odd verdict": ({"status": {"allowed": "yes"}}, None),
}


@pytest.mark.parametrize(("answer", "verdict"), REVIEWS.values(), ids=REVIEWS.keys())
async def test_access_reviews(server: KubeServer, client: Client, answer: Any, verdict: bool | None) -> None:
    server.script("/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", json_answer(answer))
    question = client.can_i(verb="list", group="", resource="secrets", namespace="ns")
    if verdict is None:
        with pytest.raises(errors.MalformedAnswer):
            await question
        return
    assert (await question).allowed is verdict
    attributes = server.requests[0].json()["spec"]["resourceAttributes"]
    assert attributes == {"verb": "list", "resource": "secrets", "namespace": "ns"}
