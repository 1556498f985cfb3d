"""What a client knows about the health of its server: failures of the server's own, and calls that wait."""

import asyncio

import pytest

from bind_agent.api.resource import CONFIGMAPS
from bind_agent.kube import errors, transport
from bind_agent.kube.client import Client
from tests.fakes.kube_server import Answer, KubeServer, failure, json_answer

pytestmark = pytest.mark.protocol

ONE = "/api/v1/namespaces/ns/configmaps/a"
OBJECT = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a", "namespace": "ns"}}


async def _write(client: Client) -> None:
    await client.merge_patch(CONFIGMAPS, "a", {"data": {}}, namespace="ns")


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (failure(401, "Unauthorized"), errors.Unauthorized),
        (failure(503, "ServiceUnavailable"), errors.Unavailable),
        (failure(504, "Timeout"), errors.ServerTimeout),
        (Answer(pieces=[b'{"metadata"'], length=5000, end="reset"), errors.ConnectionFailed),
    ],
    ids=["rejected", "unavailable", "timeout", "reset"],
)
async def test_a_failure_of_the_server_is_remembered_until_it_answers(
    server: KubeServer, client: Client, answer: Answer, kind: type[errors.KubeError]
) -> None:
    assert client.trouble is None
    server.script(ONE, answer, json_answer(OBJECT))
    with pytest.raises(kind):
        await _write(client)
    assert isinstance(client.trouble, kind)
    await _write(client)
    assert client.trouble is None


@pytest.mark.parametrize("code", [403, 404, 409, 422, 500])
async def test_a_refusal_of_one_request_is_no_trouble(server: KubeServer, client: Client, code: int) -> None:
    server.script(ONE, failure(503, "ServiceUnavailable"), failure(code, "Refused"))
    with pytest.raises(errors.Unavailable):
        await _write(client)
    with pytest.raises(errors.ApiError):
        await _write(client)
    assert client.trouble is None


async def test_a_call_without_an_answer_shows_while_it_waits(
    server: KubeServer, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transport, "SLOW", 0.05)
    server.script(ONE, Answer(end="hang", length=10), json_answer(OBJECT))
    assert client.waiting == 0.0
    call = asyncio.create_task(_write(client))
    await asyncio.sleep(0.1)
    assert client.waiting >= 0.05
    call.cancel()
    await asyncio.gather(call, return_exceptions=True)
    assert client.waiting == 0.0
    assert isinstance(client.trouble, errors.ConnectionFailed)
    await _write(client)
    assert client.trouble is None


async def test_a_call_that_is_given_up_soon_says_nothing(server: KubeServer, client: Client) -> None:
    server.script(ONE, Answer(end="hang", length=10))
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await _write(client)
    assert client.trouble is None
