"""Watches on real API servers: events, resuming, streaming lists, restarts and compacted history."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from bind_agent.api.resource import CONFIGMAPS, CORE_EVENTS, SECRETS, Resource
from bind_agent.devcluster import Cluster, ClusterOptions, Playground
from bind_agent.kube import errors
from bind_agent.kube.client import Client
from bind_agent.kube.codec import decode
from bind_agent.kube.config import from_kubeconfig
from bind_agent.kube.watch import Watch, WatchEvent
from tests.fakes.chaos_proxy import ChaosProxy

pytestmark = [pytest.mark.integration, pytest.mark.timeout(120)]


def config_map(name: str, **labels: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "labels": labels}}


def happening(namespace: str, name: str) -> dict[str, Any]:
    """An Event of the core group: a kind without a watch cache, so that etcd itself is asked."""
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": name},
        "involvedObject": {"kind": "ConfigMap", "name": "c", "namespace": namespace},
    }


async def until(watch: Watch, kind: str, name: str = "") -> WatchEvent:
    async with asyncio.timeout(30):
        async for event in watch:
            if event.type == kind and (not name or event.name == name):
                return event
    raise AssertionError(f"the watch ended before {kind} {name}")


async def test_changes_arrive_with_the_object(client: Client, namespace: str) -> None:
    start = (await client.list(CONFIGMAPS, namespace=namespace)).resource_version
    async with client.watch(
        CONFIGMAPS, namespace=namespace, resource_version=start, label_selector="a=b"
    ) as watch:
        made = await client.create(CONFIGMAPS, config_map("w", a="b"), namespace=namespace)
        added = await until(watch, "ADDED")
        assert added.object() == made
        assert (added.uid, added.key) == (made["metadata"]["uid"], f"{namespace}/w")
        await client.merge_patch(CONFIGMAPS, "w", {"data": {"x": "1"}}, namespace=namespace)
        assert (await until(watch, "MODIFIED")).object()["data"] == {"x": "1"}
        # Leaving the selector looks like a deletion.
        await client.merge_patch(CONFIGMAPS, "w", {"metadata": {"labels": None}}, namespace=namespace)
        await until(watch, "DELETED")


async def test_listed_and_watched_bytes_tell_the_same(client: Client, namespace: str) -> None:
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}, "stringData": {"a": "b"}}
    start = (await client.list(SECRETS, namespace=namespace)).resource_version
    await client.create(SECRETS, secret, namespace=namespace)
    async with client.watch(SECRETS, namespace=namespace, resource_version=start) as watch:
        event = await until(watch, "ADDED", "s")
    async for page in client.pages(SECRETS, namespace=namespace, field_selector="metadata.name=s"):
        assert [decode(raw) for raw in page.items] == [event.object()]


async def test_watch_resumes_without_a_gap(client: Client, namespace: str) -> None:
    start = (await client.list(CONFIGMAPS, namespace=namespace)).resource_version
    # The label keeps out what controllers put into the namespace.
    await client.create(CONFIGMAPS, config_map("one", a="b"), namespace=namespace)
    await client.create(CONFIGMAPS, config_map("two", a="b"), namespace=namespace)
    ours = {"namespace": namespace, "label_selector": "a=b"}
    async with client.watch(CONFIGMAPS, resource_version=start, **ours) as watch:
        first = await until(watch, "ADDED", "one")
    async with client.watch(CONFIGMAPS, resource_version=first.resource_version, **ours) as watch:
        assert (await anext(watch)).name == "two"


async def test_streaming_list(client: Client, namespace: str, widgets: Resource) -> None:
    for resource in (CONFIGMAPS, widgets):
        body = {"apiVersion": resource.api_version, "kind": resource.kind}
        for name in ("one", "two"):
            await client.create(resource, body | {"metadata": {"name": name}}, namespace=namespace)
        seen: list[str] = []
        async with client.watch(resource, namespace=namespace, initial_events=True) as watch:
            async with asyncio.timeout(30):
                async for event in watch:
                    if event.initial_events_end:
                        break
                    assert event.type == "ADDED"
                    seen.append(event.name)
            assert int(event.resource_version) > 0
            await client.create(resource, body | {"metadata": {"name": "three"}}, namespace=namespace)
            await until(watch, "ADDED", "three")
        assert sorted(set(seen) - {"kube-root-ca.crt"}) == ["one", "two"]


async def test_broken_connections_and_resume(client: Client, provider: Cluster, namespace: str) -> None:
    async with ChaosProxy("127.0.0.1", provider.port) as proxy:
        config = from_kubeconfig(provider.kubeconfig_text().replace(f":{provider.port}", f":{proxy.port}"))
        async with Client.open(config, user_agent="test") as behind:
            start = (await behind.list(CONFIGMAPS, namespace=namespace)).resource_version
            watch = behind.watch(CONFIGMAPS, namespace=namespace, resource_version=start)
            await client.create(CONFIGMAPS, config_map("one"), namespace=namespace)
            first = await until(watch, "ADDED", "one")
            proxy.reset = True
            proxy.break_connections()
            with pytest.raises(errors.ConnectionFailed):
                await anext(watch)
            await client.create(CONFIGMAPS, config_map("two"), namespace=namespace)
            proxy.hang()
            silent = behind.watch(
                CONFIGMAPS, namespace=namespace, resource_version=first.resource_version, inactivity=0.5
            )
            with pytest.raises(errors.ConnectionFailed):
                await anext(silent)
            proxy.flow()
            again = behind.watch(CONFIGMAPS, namespace=namespace, resource_version=first.resource_version)
            await until(again, "ADDED", "two")
            await again.aclose()


async def test_server_killed_and_restarted_in_the_middle(
    clusters: Playground, unique: Callable[[str], str]
) -> None:
    cluster = await clusters.add(ClusterOptions(unique("c")))
    try:
        async with Client.open(from_kubeconfig(cluster.kubeconfig), user_agent="test") as client:
            start = (await client.list(CONFIGMAPS, namespace="default")).resource_version
            watch = client.watch(CONFIGMAPS, namespace="default", resource_version=start)
            await client.create(CONFIGMAPS, config_map("before"), namespace="default")
            last = await until(watch, "ADDED", "before")
            await cluster.apiserver.kill()
            with pytest.raises(errors.ConnectionFailed):
                await anext(watch)
            with pytest.raises(errors.ConnectionFailed):
                await client.get(CONFIGMAPS, "before", namespace="default")
            await cluster.apiserver.start()
            await cluster.wait_ready()
            await client.create(CONFIGMAPS, config_map("after"), namespace="default")
            watch = client.watch(CONFIGMAPS, namespace="default", resource_version=last.resource_version)
            try:
                assert (await until(watch, "ADDED")).name == "after"
            except (
                errors.Gone
            ):  # a server that starts knows no history from before; it says so, and a list helps
                names = [
                    o["metadata"]["name"] for o in (await client.list(CONFIGMAPS, namespace="default")).items
                ]
                assert {"before", "after"} <= set(names)
            await watch.aclose()
    finally:
        await clusters.remove(cluster.name)


async def test_compacted_history_is_gone(clusters: Playground, client: Client, namespace: str) -> None:
    start = (await client.list(CORE_EVENTS, namespace=namespace)).resource_version
    for number in range(3):
        await client.create(CONFIGMAPS, config_map(f"c{number}"), namespace=namespace)
    await clusters.etcd.compact()
    watch = client.watch(CORE_EVENTS, namespace=namespace, resource_version=start)
    with pytest.raises(errors.Gone):
        async with asyncio.timeout(30):
            await anext(watch)
    fresh = (await client.list(CORE_EVENTS, namespace=namespace)).resource_version
    async with client.watch(CORE_EVENTS, namespace=namespace, resource_version=fresh) as watch:
        await client.create(CORE_EVENTS, happening(namespace, "e"), namespace=namespace)
        await until(watch, "ADDED", "e")


async def test_expired_continue_token_restarts_the_list(
    clusters: Playground, client: Client, namespace: str
) -> None:
    for number in range(6):
        await client.create(CORE_EVENTS, happening(namespace, f"e{number}"), namespace=namespace)
    pages = client.pages(CORE_EVENTS, namespace=namespace, page_size=2)
    await anext(pages)
    await client.create(CORE_EVENTS, happening(namespace, "late"), namespace=namespace)
    await clusters.etcd.compact()
    with pytest.raises(errors.Gone):
        await anext(pages)
    assert len((await client.list(CORE_EVENTS, namespace=namespace, page_size=2)).items) == 7


async def test_watch_of_an_unknown_kind_is_not_found(client: Client) -> None:
    with pytest.raises(errors.NotFound):
        await anext(client.watch(Resource("nobody.example", "v1", "widgets")))
