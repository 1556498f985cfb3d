"""Events on a real API server, under the least rights."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import pytest

from bind_agent.api.resource import CONFIGMAPS, CORE_EVENTS, NAMESPACES, ROLEBINDINGS, ROLES
from bind_agent.devcluster import Cluster
from bind_agent.kube.client import Client
from bind_agent.kube.config import from_kubeconfig
from bind_agent.obs import metrics
from bind_agent.runtime import recorder as module
from bind_agent.runtime.recorder import Recorder
from tests.fakes.eventually import eventually

pytestmark = [pytest.mark.integration, pytest.mark.timeout(120)]


@contextlib.asynccontextmanager
async def recording(recorder: Recorder) -> AsyncIterator[None]:
    task = asyncio.ensure_future(recorder.run())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])


async def events(client: Client, namespace: str) -> list[dict[str, Any]]:
    return (await client.list(CORE_EVENTS, namespace=namespace)).items


async def test_events_are_aggregated_with_create_and_patch_alone(
    provider: Cluster, client: Client, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_QUIET", 0.3)
    user = f"recorder-{namespace}"
    rules = [{"apiGroups": [""], "resources": ["events"], "verbs": ["create", "patch"]}]
    group = {"apiVersion": ROLES.api_version, "metadata": {"name": "recorder"}}
    await client.create(ROLES, {**group, "kind": "Role", "rules": rules}, namespace=namespace)
    binding = {
        **group,
        "kind": "RoleBinding",
        "roleRef": {"apiGroup": ROLES.group, "kind": "Role", "name": "recorder"},
        "subjects": [{"kind": "User", "name": user, "apiGroup": ROLES.group}],
    }
    await client.create(ROLEBINDINGS, binding, namespace=namespace)
    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "about"}}
    about = await client.create(CONFIGMAPS, body, namespace=namespace)
    config = from_kubeconfig(provider.user_kubeconfig(user, []))
    async with Client.open(config, user_agent="recorder") as own:
        recorder = Recorder(own, "konnector", instance="pod-1")
        async with recording(recorder):
            for _ in range(30):
                recorder.event(about, type="Warning", reason="Conflict", message="not ours", action="Sync")
                await asyncio.sleep(0.01)
            recorder.event(about, type="Normal", reason="Synced", message="up\x00 to date" + "x" * 5000)

            async def counted() -> bool:
                return sorted(event["count"] for event in await events(client, namespace)) == [1, 30]

            await eventually(counted)
    found = {event["reason"]: event for event in await events(client, namespace)}
    assert found["Conflict"]["involvedObject"]["uid"] == about["metadata"]["uid"]
    assert found["Conflict"]["type"] == "Warning"
    assert found["Synced"]["message"].startswith("up to date")
    # The other face of the same object, which kubectl events shows.
    status, seen = await provider.request("GET", f"/apis/events.k8s.io/v1/namespaces/{namespace}/events")
    assert status == 200
    assert {event["regarding"]["name"] for event in seen["items"]} == {"about"}
    assert {event["reportingController"] for event in seen["items"]} == {"konnector"}


async def test_an_event_that_was_removed_begins_anew(
    client: Client, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_QUIET", 0.1)
    about = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a", "namespace": namespace}}
    recorder = Recorder(client, "konnector")
    async with recording(recorder):
        recorder.event(about, type="Normal", reason="Synced", message="x")

        async def one() -> bool:
            return len(await events(client, namespace)) == 1

        await eventually(one)
        name = (await events(client, namespace))[0]["metadata"]["name"]
        await client.delete(CORE_EVENTS, name, namespace=namespace)
        recorder.event(about, type="Normal", reason="Synced", message="x")
        await eventually(one)
    assert (await events(client, namespace))[0]["metadata"]["name"] != name


async def test_events_about_cluster_scoped_objects(client: Client, namespace: str) -> None:
    about = await client.get(NAMESPACES, namespace)
    recorder = Recorder(client, "konnector")
    recorder.event(about, type="Normal", reason="Bound", message=f"namespace {namespace} is bound")
    await recorder.flush()
    found = [e for e in await events(client, "default") if e["involvedObject"]["name"] == namespace]
    assert [event["reason"] for event in found] == ["Bound"]


async def test_an_event_for_a_namespace_that_is_gone_is_dropped(client: Client, namespace: str) -> None:
    before = metrics.EVENTS_DROPPED("refused")._value.get()
    recorder = Recorder(client, "konnector")
    gone = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a", "namespace": f"{namespace}-x"}}
    here = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a", "namespace": namespace}}
    async with recording(recorder):
        recorder.event(gone, type="Normal", reason="Synced", message="x")
        recorder.event(here, type="Normal", reason="Synced", message="x")
        await eventually(lambda: recorder.pending == 0)

        async def written() -> bool:
            return len(await events(client, namespace)) == 1

        await eventually(written)
    assert metrics.EVENTS_DROPPED("refused")._value.get() == before + 1
