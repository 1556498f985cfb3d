"""Clients on the real clusters."""

from collections.abc import AsyncIterator, Callable

import pytest_asyncio

from bind_agent.api.resource import NAMESPACES, Resource
from bind_agent.devcluster import Cluster
from bind_agent.kube.client import Client, user_agent
from bind_agent.kube.config import from_kubeconfig

USER_AGENT = user_agent("test")


@pytest_asyncio.fixture(loop_scope="session")
async def client(provider: Cluster) -> AsyncIterator[Client]:
    async with Client.open(from_kubeconfig(provider.kubeconfig), user_agent=USER_AGENT) as client:
        yield client


@pytest_asyncio.fixture(loop_scope="session")
async def namespace(client: Client, unique: Callable[[str], str]) -> str:
    name = unique("ns")
    await client.create(NAMESPACES, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
    return name


@pytest_asyncio.fixture(loop_scope="session")
async def widgets(client: Client, unique: Callable[[str], str]) -> Resource:
    """A namespaced kind of the test's own, with a status subresource."""
    group = f"{unique('g')}.example"
    crds = Resource("apiextensions.k8s.io", "v1", "customresourcedefinitions", namespaced=False)
    await client.create(
        crds,
        {
            "apiVersion": "apiextensions.k8s.io/v1",
            "kind": "CustomResourceDefinition",
            "metadata": {"name": f"widgets.{group}"},
            "spec": {
                "group": group,
                "scope": "Namespaced",
                "names": {
                    "plural": "widgets",
                    "singular": "widget",
                    "kind": "Widget",
                    "listKind": "WidgetList",
                },
                "versions": [
                    {
                        "name": "v1",
                        "served": True,
                        "storage": True,
                        "subresources": {"status": {}},
                        "schema": {
                            "openAPIV3Schema": {
                                "type": "object",
                                "properties": {
                                    "spec": {
                                        "type": "object",
                                        "properties": {
                                            "size": {"type": "integer", "minimum": 1},
                                            "colour": {"type": "string"},
                                        },
                                    },
                                    "status": {
                                        "type": "object",
                                        "properties": {"phase": {"type": "string"}},
                                    },
                                },
                            }
                        },
                    }
                ],
            },
        },
    )
    return await found(client, group)


async def found(client: Client, group: str) -> Resource:
    import asyncio

    async with asyncio.timeout(30):
        while True:
            client.discovery.invalidate()
            resource = await client.discovery.find(group, "widgets")
            if resource is not None:
                return resource
            await asyncio.sleep(0.1)
