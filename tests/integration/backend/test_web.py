"""The way through the login, with a real API server and a real issuer: what works, and each thing that must not."""

import base64
from collections.abc import AsyncIterator, Callable
from typing import Any

import aiohttp
import pytest
import pytest_asyncio
from yarl import URL

from bind_agent.api import keys, meta
from bind_agent.api.payloads import parse_binding_provider, parse_binding_response
from bind_agent.api.resource import EXPORT_REQUESTS, NAMESPACES, Resource
from bind_agent.kube.client import Client
from tests.fakes.backend_lab import Lab, claim, eventually
from tests.fakes.issuer import browser, follow_login
from tests.fakes.weblab import LISTENING, Cli, Portal, kubeconfig_of, portal, response_of

pytestmark = pytest.mark.integration

PAGE = {"Accept": "text/html"}


@pytest_asyncio.fixture(loop_scope="session")
async def visitor() -> AsyncIterator[aiohttp.ClientSession]:
    """A browser of its own."""
    async with browser() as session:
        yield session


@pytest_asyncio.fixture(loop_scope="session")
async def offer(backend: Lab, kind: Resource) -> Resource:
    """A kind that everybody may bind."""
    await backend.publish(kind, claim("secrets"))
    return kind


async def tenants_of(lab: Lab, cluster_id: str) -> list[str]:
    found = await lab.admin.list(NAMESPACES)
    return [
        meta.name(one)
        for one in found.items
        if meta.annotation(one, keys.IDENTITY).endswith(f"#{cluster_id}") and not meta.is_deleting(one)
    ]


async def seen(web: Portal, kind: Resource) -> None:
    async def offered() -> bool:
        from bind_agent.backend.access import Kind

        return bool(web.watched.views.templates_of(Kind(kind.group, kind.plural)))

    await eventually(offered)


class TestTheWay:
    async def test_of_gos_cli(
        self, web: Portal, visitor: aiohttp.ClientSession, offer: Resource, unique: Callable[[str], str]
    ) -> None:
        await seen(web, offer)
        async with visitor.get(web.at("/export")) as answer:
            provider = parse_binding_provider(await answer.json())
        assert (provider.provider_pretty_name, provider.version) == ("Lab", "v0.0.0")
        cli = Cli.go(unique("c"))
        begin = URL(provider.login_url()).update_query(cli.query())
        landed = await follow_login(visitor, begin, stop_at=f"{web.url}/resources")
        assert landed.url.query["s"] == cli.sid
        url = await web.bind(visitor, cli, offer)
        assert (url.origin(), url.path, set(url.query)) == (URL(LISTENING).origin(), "/cli", {"response"})
        # Exactly what Go's CLI does with it: the standard alphabet, nothing else.
        text = url.query["response"]
        base64.b64decode(text, validate=True)
        response = parse_binding_response(text, session_id=cli.sid)
        document = response_of(url)
        assert document["authentication"]["oauth2CodeGrant"]["id"] == f"{web.issuer.url}/alice"
        (request,) = document["requests"]
        assert request["metadata"]["name"] == offer.crd_name
        (wanted,) = request["spec"]["resources"]
        assert [one["resource"] for one in wanted["permissionClaims"]] == ["secrets"]
        assert request["status"] == {}
        # The tenant may ask at once, as the CLI does next, and the request is met.
        config = kubeconfig_of(document)
        async with Client.open(config, user_agent="tenant-in-tests") as tenant:
            namespace = config.namespace
            (checked,) = response.export_requests()
            assert checked.spec.resources[0].resource == offer.plural
            await tenant.create(EXPORT_REQUESTS, request, namespace=namespace)

            async def met() -> bool:
                found = await tenant.get(EXPORT_REQUESTS, offer.crd_name, namespace=namespace)
                return bool(found.get("status", {}).get("phase") == "Succeeded")

            await eventually(met)

    async def test_of_our_cli(
        self, web: Portal, visitor: aiohttp.ClientSession, offer: Resource, unique: Callable[[str], str]
    ) -> None:
        await seen(web, offer)
        cli = Cli.ours(unique("c"))
        await web.sign_in(visitor, cli)
        url = await web.bind(visitor, cli, offer)
        assert set(url.query) == {"code", "s"}
        assert url.query["s"] == cli.sid
        # Nothing exists before the code is redeemed.
        assert await tenants_of(web.lab, cli.cluster_id) == []
        status, document, headers = await web.redeem(url.query["code"], cli.verifier)
        assert status == 200
        assert headers["Cache-Control"] == "no-store"
        assert document["kind"] == keys.KIND_BINDING_RESPONSE
        assert document["authentication"]["oauth2CodeGrant"]["sid"] == cli.sid
        async with Client.open(kubeconfig_of(document), user_agent="tenant-in-tests") as tenant:
            namespace = kubeconfig_of(document).namespace
            assert (await tenant.list(EXPORT_REQUESTS, namespace=namespace)).items == []

    async def test_the_link_of_a_page_binds_without_a_form(
        self, web: Portal, visitor: aiohttp.ClientSession, offer: Resource, unique: Callable[[str], str]
    ) -> None:
        await seen(web, offer)
        async with portal(web.lab, web.issuer, auto_select=_kind(offer)) as other:
            # The test switch leads from the login straight to the link that a page would have had.
            cli = Cli.go(unique("c"))
            landed = await follow_login(
                visitor, other.at("/authorize", **cli.query()), stop_at=LISTENING.rpartition("/")[0]
            )
        assert "response" in landed.url.query


def _kind(resource: Resource) -> Any:
    from bind_agent.backend.access import Kind

    return Kind(resource.group, resource.plural)
