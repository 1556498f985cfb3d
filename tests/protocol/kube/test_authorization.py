"""Credentials over the wire: renewal after a 401, files, plugins, single flight, rotation in place."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pytest

from bind_agent.api.resource import CONFIGMAPS
from bind_agent.kube import errors
from bind_agent.kube.client import Client
from bind_agent.kube.config import ClusterConfig
from bind_agent.kube.credentials import Credential
from bind_agent.kube.execplugin import ExecPlugin
from tests.fakes.kube_server import Answer, KubeServer, Request, failure, json_answer, stream

pytestmark = pytest.mark.protocol

PLUGIN = """#!/bin/sh
n=$(cat {count} 2>/dev/null || echo 0)
n=$((n + 1))
echo $n > {count}
sleep {delay}
echo '{{"apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential",
       "status": {{"token": "token-'$n'"}}}}'
"""


def opened(server: KubeServer, credential: Credential) -> Client:
    return Client.open(ClusterConfig(server.url, credential), user_agent="test")


def only(*tokens: str) -> Callable[[Request], Answer]:
    """A server that takes these tokens and nothing else."""

    def answer(request: Request) -> Answer:
        if request.headers.get("authorization") in {f"Bearer {token}" for token in tokens}:
            return stream() if "watch" in request.query else json_answer({"metadata": {}})
        return failure(401, "Unauthorized")

    return answer


def plugin(folder: Path, delay: float = 0) -> ExecPlugin:
    script = folder / "plugin"
    script.write_text(PLUGIN.format(count=folder / "count", delay=delay))
    script.chmod(0o755)
    return ExecPlugin(command=str(script))


async def get(client: Client) -> object:
    return await client.get(CONFIGMAPS, "a", namespace="ns")


async def test_changed_file_is_read_again_after_a_401(server: KubeServer, tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("old\n")
    server.handle(only("old"))
    async with opened(server, Credential(token_file=str(file))) as client:
        await get(client)
        server.handle(only("new"))
        file.write_text("new\n")
        await get(client)
        assert [request.headers["authorization"] for request in server.requests] == [
            "Bearer old",
            "Bearer old",
            "Bearer new",
        ]


async def test_unchanged_token_is_not_tried_again(server: KubeServer, tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("old")
    server.handle(only("new"))
    for credential in (Credential(token="old"), Credential(token_file=str(file))):
        server.requests.clear()
        async with opened(server, credential) as client:
            with pytest.raises(errors.Unauthorized):
                await get(client)
            assert len(server.requests) == 1


async def test_only_one_repetition_after_a_401(server: KubeServer, tmp_path: Path) -> None:
    server.handle(only("none"))
    async with opened(server, Credential(plugin=plugin(tmp_path))) as client:
        with pytest.raises(errors.Unauthorized):
            await get(client)
    assert len(server.requests) == 2


async def test_revoked_plugin_token_is_fetched_once_for_all(server: KubeServer, tmp_path: Path) -> None:
    server.handle(only("token-2"))
    async with opened(server, Credential(plugin=plugin(tmp_path, delay=0.1))) as client:
        await asyncio.gather(*(get(client) for _ in range(8)))
    assert (tmp_path / "count").read_text().strip() == "2"


async def test_watch_gets_a_fresh_token_after_a_401(server: KubeServer, tmp_path: Path) -> None:
    server.handle(only("token-2"))
    async with opened(server, Credential(plugin=plugin(tmp_path))) as client:
        assert [event async for event in client.watch(CONFIGMAPS)] == []
    assert len(server.requests) == 2


async def test_failing_plugin_sends_nothing(server: KubeServer) -> None:
    async with opened(server, Credential(plugin=ExecPlugin(command="false"))) as client:
        for _ in range(3):
            with pytest.raises(errors.CredentialError):
                await get(client)
    assert server.requests == []


async def test_rotation_does_not_disturb_what_runs(server: KubeServer) -> None:
    line = {"type": "BOOKMARK", "object": {"metadata": {"resourceVersion": "1"}}}
    server.script("/api/v1/configmaps", stream(line, 0.4, line))
    server.handle(only("old", "new"))
    config = ClusterConfig(server.url, Credential(token="old"))
    async with Client.open(config, user_agent="test") as client:
        following = client.watch(CONFIGMAPS)
        await anext(following)
        client.update_credential(ClusterConfig(server.url, Credential(token="new")))
        await get(client)
        assert server.requests[-1].headers["authorization"] == "Bearer new"
        assert (await anext(following)).resource_version == "1"
        assert client.config.credential.token == "new"
        with pytest.raises(errors.ConfigError):
            client.update_credential(ClusterConfig("https://other.example", Credential(token="x")))
        assert client.config.server == server.url


async def test_rotated_token_is_used_for_the_call_that_was_rejected(server: KubeServer) -> None:
    config = ClusterConfig(server.url, Credential(token="old"))
    async with Client.open(config, user_agent="test") as client:

        def answer(request: Request) -> Answer:
            if request.headers["authorization"] == "Bearer old":
                client.update_credential(ClusterConfig(server.url, Credential(token="new")))
                return failure(401, "Unauthorized")
            return json_answer({"metadata": {}})

        server.handle(answer)
        await get(client)
    assert len(server.requests) == 2


async def test_connections_are_lent_to_other_tokens(server: KubeServer) -> None:
    server.handle(only("anna", "bob"))
    async with opened(server, Credential()) as client:
        for token in ("anna", "bob"):
            await get(client.bearing(token))
        with pytest.raises(errors.Unauthorized):
            await get(client.bearing("mallory"))
        with pytest.raises(errors.CredentialError):
            await get(client)
        assert server.connections == 1
    with pytest.raises(errors.ConnectionFailed):
        await get(client.bearing("anna"))


@pytest.mark.parametrize(
    "credential",
    [Credential(certificate=b"PEM", key=b"PEM"), Credential(plugin=ExecPlugin(command="/bin/false"))],
)
def test_a_certificate_is_not_lent(credential: Credential) -> None:
    config = ClusterConfig("https://api.example:6443", credential)
    with pytest.raises(errors.ConfigError, match="certificate"):
        Client(config, cast("Any", None)).bearing("anna")
