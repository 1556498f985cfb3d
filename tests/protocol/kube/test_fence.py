"""A client with a fence sends no write once the right to write is gone, however late that turns out."""

import pytest

from bind_agent.api.resource import CONFIGMAPS
from bind_agent.kube.client import Client
from bind_agent.kube.config import ClusterConfig
from bind_agent.kube.credentials import Credential
from bind_agent.runtime.reconcile import LostLease
from tests.fakes.kube_server import Answer, KubeServer, Request, failure, json_answer

pytestmark = pytest.mark.protocol

OBJECT = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a", "namespace": "ns"}}


async def test_reads_pass_and_writes_do_not_when_the_lease_is_lost(server: KubeServer) -> None:
    leading = True

    def check() -> None:
        if not leading:
            raise LostLease("somebody else leads")

    server.handle(lambda _: json_answer(OBJECT))
    config = ClusterConfig(server=server.url, credential=Credential(token="t"))
    async with Client.open(config, user_agent="test", fence=check) as client:
        await client.merge_patch(CONFIGMAPS, "a", {}, namespace="ns")
        leading = False
        await client.get(CONFIGMAPS, "a", namespace="ns")
        with pytest.raises(LostLease):
            await client.merge_patch(CONFIGMAPS, "a", {}, namespace="ns")
    assert [request.method for request in server.requests] == ["PATCH", "GET"]


async def test_a_write_that_waits_for_its_repetition_is_checked_again(server: KubeServer) -> None:
    leading = True

    def check() -> None:
        if not leading:
            raise LostLease("somebody else leads")

    def throttle(_: Request) -> Answer:
        nonlocal leading
        leading = False  # while we wait as long as the server asked for, the lease passes on
        return failure(429, "TooManyRequests", **{"Retry-After": "0"})

    server.handle(throttle)
    config = ClusterConfig(server=server.url, credential=Credential(token="t"))
    async with Client.open(config, user_agent="test", fence=check) as client:
        with pytest.raises(LostLease):
            await client.delete(CONFIGMAPS, "a", namespace="ns")
    assert len(server.requests) == 1
