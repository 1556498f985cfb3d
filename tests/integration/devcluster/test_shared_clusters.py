"""The fixtures that every integration test stands on."""

from collections.abc import Callable

import pytest

from bind_agent.devcluster import Cluster

pytestmark = pytest.mark.integration


async def test_two_separate_clusters_serve(
    provider: Cluster, consumer: Cluster, unique: Callable[[str], str]
) -> None:
    name = unique("ns")
    body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
    assert (await provider.request("POST", "/api/v1/namespaces", body))[0] == 201
    assert (await provider.request("GET", f"/api/v1/namespaces/{name}"))[0] == 200
    assert (await consumer.request("GET", f"/api/v1/namespaces/{name}"))[0] == 404


async def test_a_deleted_namespace_really_goes(provider: Cluster, unique: Callable[[str], str]) -> None:
    name = unique("ns")
    path = f"/api/v1/namespaces/{name}"
    body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
    assert (await provider.request("POST", "/api/v1/namespaces", body))[0] == 201
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}}
    assert (await provider.request("POST", f"{path}/secrets", secret))[0] == 201
    assert (await provider.request("DELETE", path))[0] == 200
    async for _ in _ticks():
        if (await provider.request("GET", path))[0] == 404:
            return


async def test_service_account_tokens_are_issued_and_carry_only_their_own_rights(
    provider: Cluster,
) -> None:
    token = await provider.service_account_token("default", "default", seconds=600)
    assert token.count(".") == 2
    text = provider.kubeconfig_for(token=token, namespace="kube-system")
    assert token in text
    assert "client-key-data" not in text


async def _ticks():  # type: ignore[no-untyped-def]
    import asyncio

    async with asyncio.timeout(20):
        while True:
            yield None
            await asyncio.sleep(0.1)
