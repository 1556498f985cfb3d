"""Discovery: aggregated where known, classic otherwise; cached, asked once at a time, never trusting."""

import asyncio
from typing import Any

import pytest

from bind_agent.api.resource import Resource
from bind_agent.kube import discovery, errors
from bind_agent.kube.client import Client
from tests.fakes.kube_server import Answer, KubeServer, failure, json_answer

pytestmark = pytest.mark.protocol


def aggregated(*groups: Any) -> Answer:
    return json_answer({"kind": "APIGroupDiscoveryList", "items": list(groups)})


def group(name: str, **versions: list[str]) -> dict[str, Any]:
    return {
        "metadata": {"name": name},
        "versions": [
            {
                "version": version,
                "resources": [
                    {
                        "resource": plural,
                        "scope": "Namespaced",
                        "responseKind": {"kind": plural.title()},
                        "verbs": ["get", "list"],
                        "subresources": [{"subresource": "status"}],
                    }
                    for plural in plurals
                ],
            }
            for version, plurals in versions.items()
        ],
    }


def serve(server: KubeServer, *groups: Any) -> None:
    server.script("/api", aggregated(group("", v1=["pods"])))
    server.script("/apis", aggregated(*groups))


async def test_two_requests_tell_everything(server: KubeServer, client: Client) -> None:
    serve(server, group("example.org", v2=["widgets"], v1=["widgets", "things"]))
    found = client.discovery
    assert await found.find("example.org", "widgets") == Resource(
        "example.org", "v2", "widgets", True, "Widgets"
    )
    old = await found.find("example.org", "widgets", "v1")
    assert old is not None
    assert old.version == "v1"
    described = await found.describe("example.org", "things")
    assert described is not None
    assert described.subresources == {"status"}
    assert described.verbs == {"get", "list"}
    assert await found.find("", "pods") is not None
    assert await found.served(old)
    assert len(server.requests) == 2
    assert "APIGroupDiscoveryList" in server.requests[0].headers["accept"]


async def test_misses_are_asked_again_but_not_all_the_time(
    server: KubeServer, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    serve(server)
    assert await client.discovery.find("example.org", "widgets") is None
    for _ in range(20):
        assert await client.discovery.find("example.org", "widgets") is None
    assert len(server.requests) == 2
    monkeypatch.setattr(discovery, "_MISS", 0.0)
    serve(server, group("example.org", v1=["widgets"]))
    assert await client.discovery.find("example.org", "widgets") is not None
    assert len(server.requests) == 4


async def test_invalidation(server: KubeServer, client: Client) -> None:
    serve(server, group("example.org", v1=["widgets"]))
    await client.discovery.find("example.org", "widgets")
    serve(server)
    assert await client.discovery.find("example.org", "widgets") is not None
    client.discovery.invalidate("example.org")
    assert await client.discovery.find("example.org", "widgets") is None
    serve(server, group("example.org", v1=["widgets"]))
    client.discovery.invalidate()
    assert await client.discovery.find("example.org", "widgets") is not None


async def test_many_who_ask_cause_one_request(server: KubeServer, client: Client) -> None:
    serve(server, group("example.org", v1=["widgets"]))
    await asyncio.gather(*(client.discovery.find("example.org", "widgets") for _ in range(20)))
    assert len(server.requests) == 2


async def test_older_servers_are_asked_the_classic_way(server: KubeServer, client: Client) -> None:
    server.script("/api", json_answer({"kind": "APIVersions", "versions": ["v1"]}))
    server.script("/apis", json_answer({"kind": "APIGroupList", "groups": []}))
    server.script(
        "/apis/example.org",
        json_answer(
            {
                "kind": "APIGroup",
                "versions": [{"version": "v1"}, {"version": "v2"}, {"version": "v3"}],
                "preferredVersion": {"version": "v2"},
            }
        ),
    )
    entries = [
        {"name": "widgets", "namespaced": True, "kind": "Widget", "verbs": ["get"]},
        {"name": "widgets/status", "namespaced": True, "kind": "Widget", "verbs": ["patch"]},
    ]
    for version in ("v1", "v2"):
        path = f"/apis/example.org/{version}"
        server.script(path, json_answer({"kind": "APIResourceList", "resources": entries}))
    server.script("/apis/example.org/v3", failure(404, "NotFound"))
    pods = [{"name": "pods", "namespaced": True, "kind": "Pod", "verbs": ["get"]}]
    server.script("/api/v1", json_answer({"kind": "APIResourceList", "resources": pods}))
    server.script("/apis/absent.example", failure(404, "NotFound"))
    described = await client.discovery.describe("example.org", "widgets")
    assert described is not None
    assert described.resource == Resource("example.org", "v2", "widgets", True, "Widget")
    assert described.subresources == {"status"}
    assert await client.discovery.find("example.org", "widgets", "v1") is not None
    assert await client.discovery.find("", "pods") == Resource("", "v1", "pods", True, "Pod")
    assert await client.discovery.find("absent.example", "widgets") is None
    known = len(server.requests)
    await client.discovery.find("example.org", "widgets")
    assert len(server.requests) == known


async def test_odd_documents_serve_nothing(server: KubeServer, client: Client) -> None:
    server.script("/api", aggregated())
    server.script(
        "/apis",
        aggregated(
            "text",
            {"metadata": [], "versions": {}},
            {
                "metadata": {"name": "example.org"},
                "versions": [{"version": 7, "resources": [{"resource": "x"}]}],
            },
            {
                "metadata": {"name": "../etc"},
                "versions": [{"version": "v1", "resources": [{"resource": "x"}]}],
            },
            group("example.org", v1=["../secrets", "widgets"]),
        ),
    )
    assert await client.discovery.find("example.org", "../secrets") is None
    assert await client.discovery.find("../etc", "x") is None
    assert await client.discovery.find("example.org", "widgets") is not None


async def test_endless_documents_are_refused(
    server: KubeServer, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(discovery, "_MAX_RESOURCES", 5)
    serve(server, group("example.org", v1=[f"w{number}" for number in range(10)]))
    with pytest.raises(errors.MalformedAnswer):
        await client.discovery.find("example.org", "w1")


async def test_failures_are_raised_and_not_remembered(server: KubeServer, client: Client) -> None:
    server.script("/api", failure(403, "Forbidden"))
    with pytest.raises(errors.Forbidden):
        await client.discovery.find("example.org", "widgets")
    serve(server, group("example.org", v1=["widgets"]))
    assert await client.discovery.find("example.org", "widgets") is not None
