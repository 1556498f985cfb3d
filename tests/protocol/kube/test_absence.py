"""404 in all its forms: only an API server's word about the object itself says that it does not exist."""

from typing import Any

import orjson
import pytest

from bind_agent.api.resource import CONFIGMAPS, SECRETS, SERVICEACCOUNTS, Resource
from bind_agent.kube import errors
from bind_agent.kube.client import Client
from tests.fakes.kube_server import Answer, KubeServer, failure, json_answer, missing

pytestmark = pytest.mark.protocol

THINGS = Resource("g.example", "v1", "things", kind="Thing")
ONE = "/apis/g.example/v1/namespaces/ns/things/a"
ALL = "/apis/g.example/v1/namespaces/ns/things"
JSON = (("Content-Type", "application/json"),)
HTML = (("Content-Type", "text/html"),)
TEXT = (("Content-Type", "text/plain; charset=utf-8"),)
UNPROVEN = {
    "kind not served": Answer(404, TEXT, [b"404 page not found\n"]),
    "version not served": failure(404, "NotFound", "the server could not find the requested resource"),
    "proxy": Answer(404, HTML, [b"<html>no such upstream</html>"]),
    "proxy in JSON": json_answer({"message": "no route"}, status=404),
    "nothing": Answer(404, JSON, []),
    "another object": missing(THINGS, "b"),
    "another kind": missing(CONFIGMAPS, "a"),
    "no reason": failure(404, "", 'things.g.example "a" not found'),
    "odd details": json_answer({"kind": "Status", "reason": "NotFound", "details": ["a"]}, status=404),
}


def requests(client: Client) -> dict[str, Any]:
    obj = {"apiVersion": "g.example/v1", "kind": "Thing", "metadata": {"name": "a", "namespace": "ns"}}
    return {
        "get": lambda: client.get(THINGS, "a", namespace="ns"),
        "get_or_none": lambda: client.get_or_none(THINGS, "a", namespace="ns"),
        "delete": lambda: client.delete(THINGS, "a", namespace="ns", uid="u"),
        "replace": lambda: client.replace(THINGS, obj),
        "merge_patch": lambda: client.merge_patch(THINGS, "a", {}, namespace="ns"),
        "json_patch": lambda: client.json_patch(THINGS, "a", [], namespace="ns"),
        "apply": lambda: client.apply(THINGS, obj, field_manager="me"),
    }


@pytest.mark.parametrize("form", UNPROVEN)
async def test_nothing_is_concluded_from_other_forms(server: KubeServer, client: Client, form: str) -> None:
    server.script(ONE, UNPROVEN[form])
    for verb, call in requests(client).items():
        with pytest.raises(errors.AbsenceUnproven) as caught:
            await call()
        assert caught.value.retriable, verb
        assert caught.value.code == 404
        assert "does not say that the object is gone" in caught.value.message
        assert "things.g.example/v1 is served" in caught.value.message
    # Trying again is the caller's part: one request each.
    assert len(server.requests) == len(requests(client))


async def test_the_word_about_the_object_counts(server: KubeServer, client: Client) -> None:
    server.script(ONE, missing(THINGS, "a"))
    for verb, call in requests(client).items():
        if verb in {"get_or_none", "delete"}:
            assert await call() is None
            continue
        with pytest.raises(errors.NotFound) as caught:
            await call()
        assert type(caught.value) is errors.NotFound
        assert caught.value.message == 'things.g.example "a" not found'


async def test_of_secrets_too(server: KubeServer, client: Client) -> None:
    path = "/api/v1/namespaces/ns/secrets/a"
    server.script(path, missing(SECRETS, "a"))
    assert await client.get_or_none(SECRETS, "a", namespace="ns") is None
    assert await client.delete(SECRETS, "a", namespace="ns") is None
    server.script(path, failure(404, "NotFound", "canary"))
    for call in (client.get_or_none, client.delete):
        with pytest.raises(errors.AbsenceUnproven, match="does not say") as caught:
            await call(SECRETS, "a", namespace="ns")
        assert "canary" not in str(caught.value)


async def test_a_missing_namespace_is_an_answer_to_whoever_writes_into_it(
    server: KubeServer, client: Client
) -> None:
    answer = missing(Resource("", "v1", "namespaces", namespaced=False), "ns")
    server.script(ALL, answer)
    server.script(ONE, answer)
    made = {"apiVersion": "g.example/v1", "kind": "Thing", "metadata": {"name": "a"}}
    for call in (
        client.create(THINGS, made, namespace="ns"),
        client.apply(THINGS, made, namespace="ns", field_manager="me"),
    ):
        with pytest.raises(errors.NotFound, match='namespaces "ns" not found') as caught:
            await call
        assert type(caught.value) is errors.NotFound
    with pytest.raises(errors.AbsenceUnproven):
        await client.delete(THINGS, "a", namespace="ns")


async def test_collections_that_are_not_served_are_not_found(server: KubeServer, client: Client) -> None:
    for form in ("kind not served", "version not served"):
        server.script(ALL, UNPROVEN[form])
        with pytest.raises(errors.NotFound) as caught:
            await client.list(THINGS, namespace="ns")
        assert type(caught.value) is errors.NotFound
        with pytest.raises(errors.NotFound) as caught:
            await anext(client.watch(THINGS, namespace="ns"))
        assert type(caught.value) is errors.NotFound


async def test_tokens(server: KubeServer, client: Client) -> None:
    path = "/api/v1/namespaces/ns/serviceaccounts/sa/token"
    server.script(path, missing(SERVICEACCOUNTS, "sa"))
    with pytest.raises(errors.NotFound) as caught:
        await client.create_token("ns", "sa", expiration_seconds=600)
    assert type(caught.value) is errors.NotFound
    server.script(path, Answer(404, HTML, [b"gone"]))
    with pytest.raises(errors.AbsenceUnproven):
        await client.create_token("ns", "sa", expiration_seconds=600)


def test_hostile_answers_are_read() -> None:
    for details in (7, None, [], {"name": {}}, {"name": "a", "kind": [1]}, {"causes": "x"}):
        body = orjson.dumps({"kind": "Status", "reason": "NotFound", "details": details})
        assert isinstance(errors.error_from_answer(404, body), errors.NotFound)
