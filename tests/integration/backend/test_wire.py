"""What Go's programs see of the backend, byte for byte where they look, against a real API server and issuer.

Excluded: refusals of the login (test_web.py), what pages look like (tests/browser).
"""

import base64
import re
from collections.abc import AsyncIterator, Callable
from typing import Any
from urllib.parse import parse_qs, urlsplit

import aiohttp
import orjson
import pytest
import pytest_asyncio
from yarl import URL

from bind_agent.api import keys, meta
from bind_agent.api.encoding import from_base64
from bind_agent.api.resource import (
    CLUSTERROLEBINDINGS,
    CLUSTERROLES,
    CRDS,
    EXPORT_REQUESTS,
    EXPORT_TEMPLATES,
    EXPORTS,
    SECRETS,
    Resource,
)
from bind_agent.backend.access import Kind
from bind_agent.backend.exports import Policy
from tests.fakes.backend_lab import Lab, claim, crd_of, eventually, granted, instance, template_of
from tests.fakes.issuer import browser, follow_login
from tests.fakes.weblab import Cli, Portal, portal

pytestmark = pytest.mark.integration

PAGE = {"Accept": "text/html"}


@pytest_asyncio.fixture(loop_scope="session")
async def visitor() -> AsyncIterator[aiohttp.ClientSession]:
    """A browser of its own."""
    async with browser() as session:
        yield session


async def seen(web: Portal, *resources: Resource) -> None:
    async def offered() -> bool:
        templates = web.watched.views.templates_of
        return all(templates(Kind(one.group, one.plural)) for one in resources)

    await eventually(offered)


class TestExport:
    async def test_its_bytes(self, web: Portal, visitor: aiohttp.ClientSession) -> None:
        async with visitor.get(web.at("/export")) as answer:
            assert (answer.status, answer.headers["Content-Type"]) == (200, "application/json")
            assert await answer.read() == (
                b'{"kind":"BindingProvider","apiVersion":"v1alpha1","providerPrettyName":"Lab",'
                b'"version":"v0.0.0","authenticationMethods":[{"method":"OAuth2CodeGrant","oauth2CodeGrant":'
                b'{"authenticatedURL":"' + web.url.encode() + b'/authorize"}}]}'
            )


class TestAuthorize:
    async def test_what_the_issuer_is_asked(
        self, web: Portal, visitor: aiohttp.ClientSession, unique: Callable[[str], str]
    ) -> None:
        query = {"p": "12345", "s": "abc123", "c": unique("c")}
        async with visitor.get(web.at("/authorize", **query), allow_redirects=False) as answer:
            assert answer.status == 302
            asked = parse_qs(urlsplit(answer.headers["Location"]).query)
        assert answer.headers["Location"].startswith(web.issuer.url)
        assert asked["response_type"] == ["code"]
        assert asked["redirect_uri"] == [f"{web.url}/callback"]
        assert asked["scope"] == ["openid profile email"]
        # What Go leaves out.
        assert asked["code_challenge_method"] == ["S256"]
        assert len(asked["nonce"][0]) >= 22
        # Whoever sees the state learns nothing from it, and it has no character that one alphabet lacks.
        (state,) = asked["state"]
        assert not re.search(rb"localhost|abc123", base64.urlsafe_b64decode(state + "==="))
        assert not {"+", "/"} & set(state)

    @pytest.mark.parametrize(
        "query",
        [
            {"s": "a", "c": "b"},
            {"p": "1", "c": "b"},
            {"p": "1", "s": "a"},
            {"p": "", "u": "", "s": "a", "c": "b"},
            {"u": "https://portal.example/", "p": "1", "s": "a", "c": "b"},
        ],
        ids=["no target", "no session", "no cluster", "empty target", "u wins"],
    )
    async def test_what_is_missing_is_400(
        self, web: Portal, visitor: aiohttp.ClientSession, query: dict[str, str]
    ) -> None:
        async with visitor.get(web.at("/authorize", **query), allow_redirects=False) as answer:
            assert answer.status == 400
            assert (await answer.json())["error"] == "bad_request"


class TestBind:
    async def test_the_redirect_and_the_bytes_of_the_answer(
        self, web: Portal, visitor: aiohttp.ClientSession, kind: Resource, unique: Callable[[str], str]
    ) -> None:
        """A target with `?` and `~`, on which Go's own state breaks (W-B7, spec 12.4)."""
        await web.lab.publish(kind, claim("secrets"))
        await seen(web, kind)
        cli = Cli.go(unique("c"))
        await web.sign_in(visitor, cli, u="http://localhost:1/c?ab=1&tilde=~&space=a%20b")
        url = await web.bind(visitor, cli, kind)
        assert (url.scheme, url.host, url.port, url.path) == ("http", "localhost", 1, "/c")
        assert list(url.query) == ["ab", "tilde", "space", "response"]
        assert (url.query["ab"], url.query["tilde"], url.query["space"]) == ("1", "~", "a b")
        text = base64.b64decode(url.query["response"], validate=True)
        document = orjson.loads(text)
        assert text == orjson.dumps(document), "compact, nothing around it"
        assert list(document) == ["kind", "apiVersion", "authentication", "kubeconfig", "requests"]
        assert document["authentication"] == {
            "oauth2CodeGrant": {"sid": cli.sid, "id": f"{web.issuer.url}/alice"}
        }
        (request,) = document["requests"]
        assert list(request) == ["kind", "apiVersion", "metadata", "spec", "status"]
        assert (request["metadata"], request["status"]) == ({"name": kind.crd_name}, {})
        (wanted,) = request["spec"]["resources"]
        assert list(wanted) == ["group", "resource", "permissionClaims"]
        kubeconfig = from_base64(document["kubeconfig"]).decode()
        top = re.findall(r"^(\S+):", kubeconfig, re.MULTILINE)
        assert top == [
            "apiVersion",
            "clusters",
            "contexts",
            "current-context",
            "kind",
            "preferences",
            "users",
        ]

    async def test_without_claims_the_field_is_left_out(
        self, web: Portal, visitor: aiohttp.ClientSession, kind: Resource, unique: Callable[[str], str]
    ) -> None:
        await web.lab.publish(kind)
        await seen(web, kind)
        cli = Cli.go(unique("c"))
        await web.sign_in(visitor, cli)
        url = await web.bind(visitor, cli, kind)
        (request,) = orjson.loads(base64.b64decode(url.query["response"]))["requests"]
        assert request["spec"] == {"resources": [{"group": kind.group, "resource": kind.plural}]}


class TestResources:
    async def test_the_page_that_machines_read(
        self, web: Portal, visitor: aiohttp.ClientSession, unique: Callable[[str], str]
    ) -> None:
        """Cards by name, anchors with class = plural, the address of spec 4.3, no caching, no asset of others."""
        base = unique("order")
        kinds = [
            Resource(f"{base}.example", "v1", plural, kind=plural.title())
            for plural in ("zebras", "ants", "mice")
        ]
        for one in kinds:
            await web.lab.publish(one)
        await seen(web, *kinds)
        cli = Cli.go(unique("c"))
        landed = await follow_login(visitor, web.at("/authorize", **cli.query()))
        assert (landed.url.path, landed.url.query["s"], landed.status) == ("/resources", cli.sid, 200)
        assert landed.headers["Content-Type"].startswith("text/html")
        assert landed.headers["Expires"] == "Thu, 01 Jan 1970 00:00:00 UTC"
        assert landed.headers["Cache-Control"] == "no-cache, no-store, must-revalidate, max-age=0"
        assert landed.headers["X-Accel-Expires"] == "0"
        anchors = re.findall(r'<a class="([^"]*)" href="(/bind\?[^"]*)"', landed.body)
        mine = [
            (classes.split(), parse_qs(urlsplit(href.replace("&amp;", "&")).query))
            for classes, href in anchors
        ]
        found = [(classes, query) for classes, query in mine if query["group"] == [f"{base}.example"]]
        assert [query["resource"] for _, query in found] == [["ants"], ["mice"], ["zebras"]]
        for classes, query in found:
            assert query["resource"][0] in classes
            assert (query["s"], set(query)) == ([cli.sid], {"s", "resource", "group", "t"})
        assert not re.findall(r'(?:src|href)="(?:https?:)?//', landed.body), "W-S13"

    async def test_it_is_for_people_who_logged_in(
        self, web: Portal, visitor: aiohttp.ClientSession, kind: Resource
    ) -> None:
        """W-S13: Go shows it to everybody."""
        await web.lab.publish(kind)
        await seen(web, kind)
        for path in ("/resources", f"/resources/{kind.crd_name}"):
            async with visitor.get(web.at(path, s="x"), allow_redirects=False) as answer:
                assert answer.status == 401
                assert kind.group not in await answer.text()
            async with visitor.get(web.at(path, s="x"), headers=PAGE, allow_redirects=False) as answer:
                assert (answer.status, URL(answer.headers["Location"]).path) == (302, "/login")
        landed = await follow_login(visitor, web.at("/login", next="/resources"))
        assert kind.group in landed.body

    async def test_cluster_scoped_ones_with_scope_cluster(
        self, web: Portal, visitor: aiohttp.ClientSession, kind: Resource
    ) -> None:
        wide = kind.scoped(namespaced=False)
        await web.lab.publish(wide)
        await seen(web, wide)
        landed = await follow_login(visitor, web.at("/login", next="/resources"))
        assert kind.group not in landed.body
        async with portal(web.lab, web.issuer, policy=Policy(scope="Cluster")) as other:
            await seen(other, wide)
            landed = await follow_login(visitor, other.at("/login", next="/resources"))
            assert kind.group in landed.body


class TestRights:
    async def test_scope_namespaced_grants_nothing_cluster_wide(self, backend: Lab, kind: Resource) -> None:
        """W-B1: Go makes and removes a ClusterRoleBinding by turns."""
        party = await backend.join("narrow")
        await backend.publish(kind, claim("secrets"))
        await backend.bind(party, kind)
        mark = backend.cluster.audit_mark()
        wake = {"metadata": {"labels": {"touched": "yes"}}}
        await backend.admin.merge_patch(EXPORT_REQUESTS, kind.crd_name, wake, namespace=party.namespace)
        await granted(party, kind, await backend.mapping(party, "team"))
        name = keys.dynamic_role(party.namespace)
        assert await backend.admin.get_or_none(CLUSTERROLEBINDINGS, name) is None
        touched = [
            one.uri
            for one in backend.cluster.audit_requests(since=mark)
            if one.resource == "clusterrolebindings" and one.verb not in {"get", "list", "watch"}
        ]
        assert touched == []

    async def test_exports_that_come_and_change_later_reach_namespaces_that_stand(
        self, backend: Lab, kind: Resource
    ) -> None:
        """W-B13: in Go, changes of exports reach no service namespace."""
        party = await backend.join("later")
        home = await backend.mapping(party, "team")
        await backend.publish(kind)
        await backend.bind(party, kind)
        await granted(party, kind, home)
        await party.client.create(kind, instance(kind, "one"), namespace=home)
        assert not (
            await party.client.can_i(verb="list", group="", resource="secrets", namespace=home)
        ).allowed
        await backend.publish(kind, claim("secrets"), crd=False)
        await granted(party, SECRETS, home)

    async def test_rules_are_sorted_and_single(self, backend: Lab, unique: Callable[[str], str]) -> None:
        """W-B2, with two exports that claim the same kind."""
        base = unique("rules")
        party = await backend.join("rules")
        kinds = [Resource(f"{base}.example", "v1", one, kind=one.title()) for one in ("zebras", "ants")]
        for one in kinds:
            await backend.publish(one, claim("secrets"))
            await backend.bind(party, one)

        async def settled() -> bool:
            role = await backend.admin.get(CLUSTERROLES, keys.dynamic_role(party.namespace))
            found = [rule["resources"] for rule in role["rules"]]
            return found == [["secrets"], ["ants"], ["zebras"]]

        await eventually(settled)
        role = await backend.admin.get(CLUSTERROLES, keys.dynamic_role(party.namespace))
        owner = meta.controller_reference(role)
        assert owner is not None
        assert (owner["apiVersion"], owner["kind"], owner["name"]) == ("v1", "Namespace", party.namespace)


class TestRequests:
    async def test_an_export_on_its_way_out_is_waited_for(self, backend: Lab, kind: Resource) -> None:
        """In Go it counts as the one that was asked for, and is gone a moment later."""
        party = await backend.join("again")
        await backend.publish(kind)
        await backend.bind(party, kind)
        held = {"metadata": {"finalizers": ["example.org/hold"]}}
        await backend.admin.merge_patch(EXPORTS, kind.crd_name, held, namespace=party.namespace)
        old = await backend.export(party, kind)
        assert old is not None
        await backend.admin.delete(EXPORTS, kind.crd_name, namespace=party.namespace)
        await backend.admin.delete(EXPORT_REQUESTS, kind.crd_name, namespace=party.namespace)
        await backend.gone(EXPORT_REQUESTS, kind.crd_name, party.namespace)
        await backend.request(party, kind)
        await backend.condition(party, EXPORT_REQUESTS, kind.crd_name, "ExportsReady", "ExportConflict")
        free = {"metadata": {"finalizers": None}}
        await backend.admin.merge_patch(EXPORTS, kind.crd_name, free, namespace=party.namespace)
        await backend.phase(party, kind, "Succeeded")
        new = await backend.export(party, kind)
        assert new is not None
        assert meta.uid(new) != meta.uid(old)

    async def test_several_resources_of_one_request(self, backend: Lab, unique: Callable[[str], str]) -> None:
        """One that is missing holds the request, not the others."""
        base = unique("several")
        party = await backend.join("several")
        kinds = [Resource(f"{base}.example", "v1", one, kind=one.title()) for one in ("ants", "mice")]
        await backend.publish(kinds[0], crd=False)
        await backend.publish(kinds[1])
        body = {
            "apiVersion": keys.API_VERSION,
            "kind": keys.KIND_EXPORT_REQUEST,
            "metadata": {"name": base, "namespace": party.namespace},
            "spec": {"resources": [{"group": one.group, "resource": one.plural} for one in kinds]},
        }
        await party.client.create(EXPORT_REQUESTS, body)
        await backend.condition(party, EXPORT_REQUESTS, base, "ExportsReady", "CRDNotFound")

        async def exported() -> bool:
            return await backend.export(party, kinds[1]) is not None

        await eventually(exported)
        await backend.publish(kinds[0], template=False, role=False)

        async def done() -> bool:
            found = await backend.admin.get(EXPORT_REQUESTS, base, namespace=party.namespace)
            return bool(found["status"]["phase"] == "Succeeded")

        await eventually(done)


class TestVersions:
    """Spec 3.10.3, 9.6 and W-B17 on a real API server."""

    def crd(self, kind: Resource) -> dict[str, Any]:
        crd = crd_of(kind)
        (version,) = crd["spec"]["versions"]
        old = {**version, "name": "v1alpha1", "storage": False}
        crd["spec"]["versions"] = [old, {**version, "name": "v1"}]
        return crd

    async def test_webhook_conversion_leaves_the_storage_version(self, backend: Lab, kind: Resource) -> None:
        party = await backend.join("hook")
        crd = self.crd(kind)
        crd["spec"]["conversion"] = {
            "strategy": "Webhook",
            "webhook": {
                "clientConfig": {"url": "https://127.0.0.1:1/convert"},
                "conversionReviewVersions": ["v1"],
            },
        }
        await backend.publish(kind, crd=False)
        await backend.admin.create(CRDS, crd)
        await backend.bind(party, kind)
        export = await backend.export(party, kind)
        assert export is not None
        assert [(one["name"], one["storage"]) for one in export["spec"]["versions"]] == [("v1", True)]

    async def test_a_storage_version_that_is_not_served_is_said(self, backend: Lab, kind: Resource) -> None:
        party = await backend.join("unserved")
        crd = self.crd(kind)
        crd["spec"]["versions"][1]["served"] = False
        await backend.publish(kind, crd=False)
        await backend.admin.create(CRDS, crd)
        await backend.request(party, kind)
        found = await backend.condition(party, EXPORT_REQUESTS, kind.crd_name, "ExportsReady", "CRDInvalid")
        assert "storage version 'v1' of the CRD is not served" in found.message
        assert await backend.export(party, kind) is None
        crd = await backend.admin.get(CRDS, kind.crd_name)
        crd["spec"]["versions"][1]["served"] = True
        await backend.admin.replace(CRDS, crd)
        await backend.phase(party, kind, "Succeeded")


async def test_two_kinds_of_one_plural_are_two_cards(
    web: Portal, visitor: aiohttp.ClientSession, unique: Callable[[str], str]
) -> None:
    """And two templates of one kind are one card, that cannot be bound (W-B9)."""
    base = unique("twins")
    one, other = (Resource(f"{part}.{base}.example", "v1", "foos", kind="Foo") for part in ("one", "other"))
    for kind in (one, other):
        await web.lab.publish(kind)
    second = template_of(other, name=f"second-{base}")
    await web.lab.admin.create(EXPORT_TEMPLATES, second)

    async def both() -> bool:
        await seen(web, one)
        return len(web.watched.views.templates_of(Kind(other.group, other.plural))) == 2

    await eventually(both)
    cli = Cli.go(unique("c"))
    landed = await follow_login(visitor, web.at("/authorize", **cli.query()))
    hrefs = [href for href in re.findall(r'href="(/bind\?[^"]*)"', landed.body) if base in href]
    assert len(hrefs) == 1
    assert f"group={one.group}&" in hrefs[0].replace("&amp;", "&")
    assert landed.body.count(f'<h2><a href="/resources/foos.other.{base}.example') == 1
