"""The way through the login, with a real API server and a real issuer: what works, and each thing that must not."""

import asyncio
import base64
import html
import re
from collections.abc import AsyncIterator, Callable, Mapping
from datetime import timedelta
from typing import Any

import aiohttp
import orjson
import pytest
import pytest_asyncio
from yarl import URL

from bind_agent.api import keys, meta
from bind_agent.api.encoding import from_base64
from bind_agent.api.payloads import parse_binding_provider, parse_binding_response
from bind_agent.api.resource import EXPORT_REQUESTS, EXPORT_TEMPLATES, NAMESPACES, Resource
from bind_agent.backend import names
from bind_agent.backend.access import Kind
from bind_agent.backend.http import sessions
from bind_agent.backend.http.cookies import Cookies
from bind_agent.backend.http.keyring import Keyring
from bind_agent.backend.options.web import CookieKeys
from bind_agent.backend.tenancy.address import AddressError
from bind_agent.kube.client import Client
from tests.fakes.backend_lab import Lab, claim, eventually, template_of
from tests.fakes.issuer import browser, follow_login
from tests.fakes.weblab import KEYS, LISTENING, Cli, Portal, field_of, kubeconfig_of, portal, response_of

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


def kind_of(resource: Resource) -> Kind:
    return Kind(resource.group, resource.plural)


async def seen(web: Portal, resource: Resource) -> None:
    async def offered() -> bool:
        return bool(web.watched.views.templates_of(kind_of(resource)))

    await eventually(offered)


async def ask(
    session: aiohttp.ClientSession, url: URL, method: str = "GET", **more: Any
) -> tuple[int, str, Mapping[str, str]]:
    """Status, text and headers, without following anything."""
    async with session.request(method, url, allow_redirects=False, **more) as answer:
        return answer.status, await answer.text(), answer.headers


async def refused(
    session: aiohttp.ClientSession, url: URL, method: str = "GET", **more: Any
) -> tuple[int, str]:
    """Status and error word."""
    status, text, _ = await ask(session, url, method, **more)
    return status, str(orjson.loads(text)["error"])


async def at_callback(web: Portal, session: aiohttp.ClientSession, cli: Cli, account: str = "alice") -> URL:
    """Log in up to the answer of the issuer, which nobody has taken yet."""
    landed = await follow_login(
        session, web.at("/authorize", **cli.query()), account=account, stop_at=f"{web.url}/callback"
    )
    return landed.url


def session_cookie(web: Portal, session: aiohttp.ClientSession) -> str:
    kept = session.cookie_jar.filter_cookies(URL(web.url))
    return "".join(one.value for name, one in sorted(kept.items()) if "klutch-bind-session" in name)


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
        async with portal(web.lab, web.issuer, auto_select=kind_of(offer)) as other:
            # The test switch leads from the login straight to the link that a page would have had.
            cli = Cli.go(unique("c"))
            landed = await follow_login(visitor, other.at("/authorize", **cli.query()), stop_at=LISTENING)
        assert "response" in landed.url.query


class TestStates:
    """Threats A50: an answer of the issuer counts once, in the browser that asked, in time."""

    async def test_an_answer_counts_once(
        self, web: Portal, visitor: aiohttp.ClientSession, unique: Callable[[str], str]
    ) -> None:
        callback = await at_callback(web, visitor, Cli.go(unique("c")))
        status, _, headers = await ask(visitor, callback)
        assert (status, URL(headers["Location"]).path) == (302, "/resources")
        # Until the watch shows that it was used, the issuer refuses its code.
        assert (await refused(visitor, callback))[0] == 403

        async def told() -> bool:
            return await refused(visitor, callback) == (403, "login_used")

        await eventually(told)

    async def test_two_at_once_make_one_session(
        self, web: Portal, visitor: aiohttp.ClientSession, unique: Callable[[str], str]
    ) -> None:
        callback = await at_callback(web, visitor, Cli.go(unique("c")))
        answers = await asyncio.gather(*(ask(visitor, callback) for _ in range(4)))
        assert sorted(status for status, *_ in answers) == [302, 403, 403, 403]

    async def test_a_used_state_takes_no_other_code(
        self, web: Portal, visitor: aiohttp.ClientSession, unique: Callable[[str], str]
    ) -> None:
        first = await at_callback(web, visitor, Cli.go(unique("c")))
        second = await at_callback(web, visitor, Cli.go(unique("c")))
        mixed = first.update_query(code=second.query["code"])
        status, word = await refused(visitor, mixed)
        assert (status, word) == (403, "login_refused")

    async def test_of_another_browser(
        self, web: Portal, visitor: aiohttp.ClientSession, unique: Callable[[str], str]
    ) -> None:
        callback = await at_callback(web, visitor, Cli.go(unique("c")))
        async with browser() as other:
            assert await refused(other, callback) == (403, "login_not_yours")
            # Also when the other one has begun a login of its own.
            await at_callback(web, other, Cli.go(unique("c")))
            assert await refused(other, callback) == (403, "login_not_yours")
            assert session_cookie(web, other) == ""
        assert (await ask(visitor, callback))[0] == 302

    @pytest.mark.parametrize("state", ["", "x", "eyJyZWRpcmVjdFVSTCI6Imh0dHA6Ly9sb2NhbGhvc3Q6MS8ifQ=="])
    async def test_forged(
        self, web: Portal, visitor: aiohttp.ClientSession, unique: Callable[[str], str], state: str
    ) -> None:
        callback = await at_callback(web, visitor, Cli.go(unique("c")))
        assert await refused(visitor, callback.update_query(state=state)) == (403, "login_not_yours")

    async def test_late(
        self, web: Portal, visitor: aiohttp.ClientSession, unique: Callable[[str], str]
    ) -> None:
        cli = Cli.go(unique("c"))
        callback = await at_callback(web, visitor, cli)
        web.clock.ahead = timedelta(minutes=11)
        try:
            status, text, _ = await ask(visitor, callback, headers=PAGE)
        finally:
            web.clock.ahead = timedelta(0)
        assert status == 403
        assert "/authorize?" in text, "the page offers to begin again"
        assert (await ask(visitor, callback))[0] == 302, "in time it is good"

    async def test_an_answer_of_another_issuer(
        self, web: Portal, visitor: aiohttp.ClientSession, unique: Callable[[str], str]
    ) -> None:
        callback = await at_callback(web, visitor, Cli.go(unique("c")))
        wrong = callback.update_query(iss="https://evil.example")
        assert await refused(visitor, wrong) == (403, "login_refused")
        assert (await ask(visitor, callback))[0] == 302

    async def test_parameters_given_twice(
        self, web: Portal, visitor: aiohttp.ClientSession, unique: Callable[[str], str]
    ) -> None:
        callback = await at_callback(web, visitor, Cli.go(unique("c")))
        twice = URL(f"{callback}&code=other", encoded=True)
        assert await refused(visitor, twice) == (400, "bad_request")

    async def test_the_issuer_says_no(
        self, web: Portal, visitor: aiohttp.ClientSession, unique: Callable[[str], str]
    ) -> None:
        landed = await follow_login(
            visitor,
            web.at("/authorize", **Cli.go(unique("c")).query()),
            stop_at=f"{web.url}/callback",
            deny=True,
        )
        assert landed.url.query["error"] == "access_denied"
        status, text, _ = await ask(visitor, landed.url, headers=PAGE)
        assert status == 403
        assert "cancelled" in text
        assert session_cookie(web, visitor) == ""
        hostile = landed.url.update_query(error="<script>alert(1)</script>", error_description="<b>x</b>")
        _, text, _ = await ask(visitor, hostile, headers=PAGE)
        assert "alert(1)" not in text
        assert "<b>x" not in text


class TestFixation:
    """Threats A52: no id that somebody chose survives a login."""

    async def test_each_login_makes_a_new_session(
        self, web: Portal, visitor: aiohttp.ClientSession, unique: Callable[[str], str]
    ) -> None:
        await web.sign_in(visitor, Cli.go(unique("c")))
        first = session_cookie(web, visitor)
        await web.sign_in(visitor, Cli.go(unique("c")))
        assert first
        assert session_cookie(web, visitor) not in {"", first}

    async def test_a_planted_session_gives_nothing_to_the_next_person(
        self, web: Portal, visitor: aiohttp.ClientSession, offer: Resource, unique: Callable[[str], str]
    ) -> None:
        await seen(web, offer)
        trap = Cli.go(unique("c"))
        async with browser() as attacker:
            await web.sign_in(attacker, trap, account="mallory")
            jar = attacker.cookie_jar.filter_cookies(URL(web.url))
        # Not those of the issuer, which has the same host here.
        planted = {name: one.value for name, one in jar.items() if name.startswith("klutch-bind")}
        visitor.cookie_jar.update_cookies(planted, URL(web.url))
        cli = Cli.go(unique("c"))
        await web.sign_in(visitor, cli, account="alice")
        query = {"resource": offer.plural, "group": offer.group}
        # What waited in the planted session would have sent the victim's credential elsewhere.
        assert await refused(visitor, web.at("/bind", s=trap.sid, **query)) == (409, "unknown_session")
        assert (await ask(visitor, web.at("/bind", s=cli.sid, **query)))[0] == 200

    async def test_made_up_cookies_are_nobody(self, web: Portal, visitor: aiohttp.ClientSession) -> None:
        visitor.cookie_jar.update_cookies({"klutch-bind-session": "made-up"}, URL(web.url))
        assert await refused(visitor, web.at("/bind", s="x")) == (401, "login_required")
        status, _, headers = await ask(visitor, web.at("/bind", s="x"), headers=PAGE)
        login = URL(headers["Location"])
        assert (status, login.path, login.query["next"]) == (302, "/login", "/bind?s=x")


class TestCrossSite:
    """Threats A53, W-S8: nothing is bound unless the person asked for it on our own page."""

    @pytest_asyncio.fixture(loop_scope="session")
    async def cli(
        self, web: Portal, visitor: aiohttp.ClientSession, offer: Resource, unique: Callable[[str], str]
    ) -> Cli:
        await seen(web, offer)
        cli = Cli.go(unique("c"))
        await web.sign_in(visitor, cli)
        return cli

    async def token(self, web: Portal, visitor: aiohttp.ClientSession, cli: Cli, offer: Resource) -> str:
        url = web.at("/bind", s=cli.sid, resource=offer.plural, group=offer.group)
        status, text, _ = await ask(visitor, url, headers=PAGE)
        assert status == 200
        return field_of(text, "csrf")

    async def test_a_link_only_asks(
        self, web: Portal, visitor: aiohttp.ClientSession, cli: Cli, offer: Resource
    ) -> None:
        await self.token(web, visitor, cli, offer)
        assert await tenants_of(web.lab, cli.cluster_id) == []

    async def test_a_link_with_the_pages_proof_binds(
        self, web: Portal, visitor: aiohttp.ClientSession, cli: Cli, offer: Resource
    ) -> None:
        proof = await self.token(web, visitor, cli, offer)
        query = {"s": cli.sid, "resource": offer.plural, "group": offer.group, "t": proof}
        status, _, headers = await ask(visitor, web.at("/bind", **query))
        assert status == 302
        assert headers["Location"].startswith(LISTENING)
        assert len(await tenants_of(web.lab, cli.cluster_id)) == 1

    @pytest.mark.parametrize(
        "sent",
        [
            {"Sec-Fetch-Site": "cross-site"},
            {"Sec-Fetch-Site": "same-site"},
            {"Origin": "https://evil.example"},
            {"Origin": "null"},
            {"Sec-Purpose": "prefetch;prerender"},
            {"Purpose": "prefetch"},
        ],
        ids=str,
    )
    async def test_even_the_proof_does_not_bind_from_elsewhere(
        self, web: Portal, visitor: aiohttp.ClientSession, cli: Cli, offer: Resource, sent: dict[str, str]
    ) -> None:
        proof = await self.token(web, visitor, cli, offer)
        query = {"s": cli.sid, "resource": offer.plural, "group": offer.group, "t": proof}
        status, _, _ = await ask(visitor, web.at("/bind", **query), headers=PAGE | sent)
        assert status == 200
        assert await tenants_of(web.lab, cli.cluster_id) == []

    @pytest.mark.parametrize(
        ("sent", "change"),
        [
            ({}, {"csrf": ""}),
            ({}, {"csrf": "x" * 43}),
            ({"Origin": "https://evil.example"}, {}),
            ({"Origin": "null"}, {}),
            ({"Sec-Fetch-Site": "cross-site"}, {}),
            ({"Sec-Fetch-Site": "cross-site", "Origin": "null"}, {}),
        ],
        ids=["no token", "another token", "another origin", "no origin", "another site", "a frame elsewhere"],
    )
    async def test_forms_of_others(
        self,
        web: Portal,
        visitor: aiohttp.ClientSession,
        cli: Cli,
        offer: Resource,
        sent: dict[str, str],
        change: dict[str, str],
    ) -> None:
        form = {"s": cli.sid, "resource": offer.plural, "group": offer.group}
        form["csrf"] = await self.token(web, visitor, cli, offer)
        found = await refused(visitor, web.at("/bind"), "POST", data=form | change, headers=sent)
        assert found == (403, "not_confirmed")
        assert await tenants_of(web.lab, cli.cluster_id) == []
        # The second one is what browsers say about forms of pages that send no referrer, as ours are.
        for origin in (web.url, "null"):
            own = {"Origin": origin, "Sec-Fetch-Site": "same-origin"}
            assert (await ask(visitor, web.at("/bind"), "POST", data=form, headers=own))[0] == 302

    @pytest.mark.parametrize(
        ("content_type", "body"),
        [
            ("application/x-www-form-urlencoded; charset=nonsense", b"s=x"),
            ("application/x-www-form-urlencoded", b"s=\xff"),
            ("application/x-www-form-urlencoded; charset=punycode", b"s=\xff"),
            ("multipart/form-data", b"s=x"),
            ("multipart/form-data; boundary=b", b"s=x"),
        ],
    )
    async def test_forms_that_cannot_be_read(
        self,
        web: Portal,
        visitor: aiohttp.ClientSession,
        cli: Cli,
        offer: Resource,
        content_type: str,
        body: bytes,
    ) -> None:
        await self.token(web, visitor, cli, offer)
        for path in ("/bind", "/logout"):
            found = await refused(
                visitor,
                web.at(path),
                "POST",
                data=body,
                headers={"Content-Type": content_type, "Origin": web.url},
            )
            assert found == (400, "bad_request")
        assert await tenants_of(web.lab, cli.cluster_id) == []

    async def test_a_token_is_for_one_session_and_one_run(
        self,
        web: Portal,
        visitor: aiohttp.ClientSession,
        cli: Cli,
        offer: Resource,
        unique: Callable[[str], str],
    ) -> None:
        token = await self.token(web, visitor, cli, offer)
        async with browser() as other:
            await web.sign_in(other, cli, account="bob")
            form = {"s": cli.sid, "resource": offer.plural, "group": offer.group, "csrf": token}
            found = await refused(other, web.at("/bind"), "POST", data=form)
            assert found == (403, "not_confirmed")

    @pytest.mark.parametrize("path", ["/bind", "/callback", "/authorize", "/login"])
    async def test_head_does_nothing(self, web: Portal, visitor: aiohttp.ClientSession, path: str) -> None:
        assert (await ask(visitor, web.at(path), "HEAD"))[0] == 405

    async def test_the_compatibility_switch(
        self, web: Portal, visitor: aiohttp.ClientSession, offer: Resource, unique: Callable[[str], str]
    ) -> None:
        async with portal(web.lab, web.issuer, plain_get_bind=True) as other:
            await seen(other, offer)
            cli = Cli.go(unique("c"))
            await other.sign_in(visitor, cli)
            query = {"s": cli.sid, "resource": offer.plural, "group": offer.group}
            status, _, headers = await ask(visitor, other.at("/bind", **query))
        assert status == 302
        assert "response=" in headers["Location"]


class TestCodes:
    """Threats A54: what stands in an address is worth nothing by itself."""

    @pytest_asyncio.fixture(loop_scope="session")
    async def cli(self, unique: Callable[[str], str]) -> Cli:
        return Cli.ours(unique("c"))

    @pytest_asyncio.fixture(loop_scope="session")
    async def code(self, web: Portal, visitor: aiohttp.ClientSession, offer: Resource, cli: Cli) -> str:
        await seen(web, offer)
        await web.sign_in(visitor, cli)
        return (await web.bind(visitor, cli, offer)).query["code"]

    async def test_it_is_good_once(self, web: Portal, cli: Cli, code: str) -> None:
        assert (await web.redeem(code, cli.verifier))[0] == 200
        status, document, headers = await web.redeem(code, cli.verifier)
        assert (status, document["error"]) == (410, "code_used")
        assert headers["Cache-Control"] == "no-store"

    async def test_of_several_at_once_one_gets_the_answer(self, web: Portal, cli: Cli, code: str) -> None:
        answers = await asyncio.gather(*(web.redeem(code, cli.verifier) for _ in range(5)))
        assert sorted(status for status, *_ in answers) == [200, 410, 410, 410, 410]
        assert len(await tenants_of(web.lab, cli.cluster_id)) == 1

    async def test_without_the_verifier_it_is_nothing(self, web: Portal, cli: Cli, code: str) -> None:
        status, document, _ = await web.redeem(code, "x" * 43)
        assert (status, document["error"]) == (403, "wrong_verifier")
        assert await tenants_of(web.lab, cli.cluster_id) == []
        assert (await web.redeem(code, cli.verifier))[0] == 200, "and whoever guesses does not use it up"

    async def test_after_a_minute_it_is_over(self, web: Portal, cli: Cli, code: str) -> None:
        web.clock.ahead = timedelta(seconds=61)
        try:
            status, document, _ = await web.redeem(code, cli.verifier)
        finally:
            web.clock.ahead = timedelta(0)
        assert (status, document["error"]) == (410, "code_expired")
        assert (await web.redeem(code, cli.verifier))[0] == 200

    async def test_it_ends_with_its_session(
        self, web: Portal, visitor: aiohttp.ClientSession, offer: Resource, cli: Cli, code: str
    ) -> None:
        assert await log_out(web, visitor) == 204
        status, document, _ = await web.redeem(code, cli.verifier)
        assert (status, document["error"]) == (403, "logged_out")
        assert await tenants_of(web.lab, cli.cluster_id) == []

    @pytest.mark.parametrize(
        ("body", "word"),
        [
            ({"code": "x", "code_verifier": "y" * 43}, "code_unknown"),
            ({"code": "x"}, "bad_request"),
            ({"code": "x", "code_verifier": "short"}, "bad_request"),
            ({"code": 1, "code_verifier": "y" * 43}, "bad_request"),
            ({"code": "x", "code_verifier": "y" * 43, "more": 1}, "bad_request"),
            ([], "bad_request"),
        ],
        ids=str,
    )
    async def test_other_bodies(
        self, web: Portal, visitor: aiohttp.ClientSession, body: Any, word: str
    ) -> None:
        assert (await refused(visitor, web.at("/redeem"), "POST", json=body))[1] == word

    async def test_forms_and_giants(self, web: Portal, visitor: aiohttp.ClientSession) -> None:
        assert await refused(visitor, web.at("/redeem"), "POST", data={"code": "x"}) == (400, "bad_request")
        giant = b'{"code": "' + b"x" * 100_000 + b'"}'
        sent = {"Content-Type": "application/json"}
        assert await refused(visitor, web.at("/redeem"), "POST", data=giant, headers=sent) == (
            413,
            "too_large",
        )

    async def test_a_code_holds_no_credential(self, web: Portal, cli: Cli, code: str) -> None:
        _, document, _ = await web.redeem(code, cli.verifier)
        kubeconfig = from_base64(document["kubeconfig"]).decode()
        token = re.search(r"token: (\S+)", kubeconfig)
        assert token is not None
        assert token[1] not in code


async def log_out(web: Portal, session: aiohttp.ClientSession, **more: Any) -> int:
    cookies = {one.key: one.value for one in session.cookie_jar}
    found = sessions.read(web_cookies(web), Keyring(KEYS), cookies, web.clock.now())
    assert found is not None
    token = Keyring(KEYS).proof("csrf", found.id, "logout")
    sent = {"Origin": web.options.origin, **more.pop("headers", {})}
    status, *_ = await ask(session, web.at("/logout"), "POST", data={"csrf": token}, headers=sent, **more)
    return status


def web_cookies(web: Portal) -> Cookies:
    return Cookies(web.options.secure)


class TestSessions:
    async def test_a_logout_counts_on_every_replica(
        self, web: Portal, visitor: aiohttp.ClientSession, offer: Resource, unique: Callable[[str], str]
    ) -> None:
        await seen(web, offer)
        cli = Cli.go(unique("c"))
        await web.sign_in(visitor, cli)
        query = {"s": cli.sid, "resource": offer.plural, "group": offer.group}
        sent = {"Host": URL(web.url).authority}
        cookies = {one.key: one.value for one in visitor.cookie_jar}
        async with (
            portal(web.lab, web.issuer, callback_origin=web.url) as other,
            aiohttp.ClientSession() as thief,
        ):
            await seen(other, offer)
            jar = {"Cookie": "; ".join(f"{name}={value}" for name, value in cookies.items())}
            url = other.at("/bind", **query)
            assert (await ask(thief, url, headers=sent | jar))[0] == 200
            assert await log_out(web, visitor) == 204
            assert session_cookie(web, visitor) == "", "the browser forgets"

            async def known() -> bool:
                return (await ask(thief, url, headers=sent | jar))[0] == 401

            # Somebody kept a copy of the cookie: it is worth nothing any more, anywhere.
            await eventually(known)
            assert await refused(thief, url, headers=sent | jar) == (401, "login_required")

    async def test_a_person_sees_that_it_is_over(
        self, web: Portal, visitor: aiohttp.ClientSession, unique: Callable[[str], str]
    ) -> None:
        await web.sign_in(visitor, Cli.go(unique("c")))
        assert await log_out(web, visitor, headers=PAGE) == 200

    async def test_others_cannot_log_me_out(
        self, web: Portal, visitor: aiohttp.ClientSession, unique: Callable[[str], str]
    ) -> None:
        await web.sign_in(visitor, Cli.go(unique("c")))
        found = await refused(visitor, web.at("/logout"), "POST", data={"csrf": "x" * 43})
        assert found == (403, "not_confirmed")
        assert (await ask(visitor, web.at("/logout")))[0] == 405
        assert session_cookie(web, visitor)

    async def test_keys_are_replaced_without_ending_sessions(
        self, web: Portal, visitor: aiohttp.ClientSession, offer: Resource, unique: Callable[[str], str]
    ) -> None:
        cli = Cli.go(unique("c"))
        await web.sign_in(visitor, cli)
        cookies = {one.key: one.value for one in visitor.cookie_jar}
        jar = {"Cookie": "; ".join(f"{name}={value}" for name, value in cookies.items())}
        sent = {"Host": URL(web.url).authority} | jar
        query = {"s": cli.sid, "resource": offer.plural, "group": offer.group}
        between = CookieKeys((b"n" * 64, *KEYS.signing), KEYS.encryption)
        for keys_, status in ((between, 200), (CookieKeys((b"n" * 64,), KEYS.encryption), 401)):
            async with (
                portal(web.lab, web.issuer, callback_origin=web.url, cookie_keys=keys_) as other,
                aiohttp.ClientSession() as session,
            ):
                await seen(other, offer)
                assert (await ask(session, other.at("/bind", **query), headers=sent))[0] == status

    async def test_an_hour_later_one_logs_in_again(
        self, web: Portal, visitor: aiohttp.ClientSession, unique: Callable[[str], str]
    ) -> None:
        cli = Cli.go(unique("c"))
        await web.sign_in(visitor, cli)
        web.clock.ahead = timedelta(hours=1, seconds=1)
        try:
            assert await refused(visitor, web.at("/bind", s=cli.sid)) == (401, "login_required")
        finally:
            web.clock.ahead = timedelta(0)

    async def test_two_runs_in_one_browser(
        self, web: Portal, visitor: aiohttp.ClientSession, offer: Resource, unique: Callable[[str], str]
    ) -> None:
        await seen(web, offer)
        one, two = Cli.ours(unique("c")), Cli.ours(unique("c"))
        await web.sign_in(visitor, one)
        await web.sign_in(visitor, two)
        for cli in (one, two):
            url = await web.bind(visitor, cli, offer)
            assert (await web.redeem(url.query["code"], cli.verifier))[1]["authentication"][
                "oauth2CodeGrant"
            ]["sid"] == cli.sid


class TestWhoMayBind:
    async def test_what_is_not_offered_makes_nothing(
        self, web: Portal, visitor: aiohttp.ClientSession, unique: Callable[[str], str]
    ) -> None:
        cli = Cli.go(unique("c"))
        await web.sign_in(visitor, cli)
        query = {"s": cli.sid, "resource": "nothings", "group": "example.org"}
        assert await refused(visitor, web.at("/bind", **query)) == (403, "not_offered")
        assert await tenants_of(web.lab, cli.cluster_id) == []

    async def test_a_template_names_its_users(
        self, web: Portal, backend: Lab, kind: Resource, unique: Callable[[str], str]
    ) -> None:
        await backend.publish(kind, template=False)
        wanted = template_of(kind)
        wanted["spec"]["allowed"] = {"groups": ["database-users"]}
        await backend.admin.apply(EXPORT_TEMPLATES, wanted, field_manager="platform")
        await seen(web, kind)
        async with browser() as bob, browser() as alice:
            theirs, hers = Cli.ours(unique("c")), Cli.ours(unique("c"))
            await web.sign_in(bob, theirs, account="bob")
            query = {"s": theirs.sid, "resource": kind.plural, "group": kind.group}
            assert await refused(bob, web.at("/bind", **query)) == (403, "not_offered")
            assert await tenants_of(web.lab, theirs.cluster_id) == []
            await web.sign_in(alice, hers)
            url = await web.bind(alice, hers, kind)
            assert (await web.redeem(url.query["code"], hers.verifier))[0] == 200

    async def test_a_template_that_cannot_be_exported_says_why(
        self,
        web: Portal,
        visitor: aiohttp.ClientSession,
        backend: Lab,
        kind: Resource,
        unique: Callable[[str], str],
    ) -> None:
        await backend.publish(kind, crd=False)
        await seen(web, kind)
        cli = Cli.go(unique("c"))
        await web.sign_in(visitor, cli)
        query = {"s": cli.sid, "resource": kind.plural, "group": kind.group}
        status, text, _ = await ask(visitor, web.at("/bind", **query))
        assert (status, orjson.loads(text)["error"]) == (409, "not_exportable")
        assert "CRDNotFound" in text
        assert await tenants_of(web.lab, cli.cluster_id) == []

    @pytest.mark.parametrize("style", [Cli.go, Cli.ours], ids=["go", "ours"])
    async def test_without_an_address_for_consumers_nothing_is_made(
        self,
        web: Portal,
        visitor: aiohttp.ClientSession,
        offer: Resource,
        unique: Callable[[str], str],
        style: Callable[[str], Cli],
    ) -> None:
        # In a pod without flags Go hands out a kubeconfig that nobody can use (W-B8).
        async with portal(web.lab, web.issuer, endpoint=AddressError("set the flag")) as other:
            await seen(other, offer)
            cli = style(unique("c"))
            await other.sign_in(visitor, cli)
            query = {"s": cli.sid, "resource": offer.plural, "group": offer.group}
            status, text, _ = await ask(visitor, other.at("/bind", **query), headers=PAGE)
            assert status == 200
            form = query | {"csrf": field_of(text, "csrf")}
            found = await refused(visitor, other.at("/bind"), "POST", data=form)
        assert found == (503, "no_external_address")
        assert await tenants_of(web.lab, cli.cluster_id) == []

    @pytest.mark.parametrize(
        ("by", "found"), [(names.BY_OPERATOR, (403, "tenant_revoked")), (names.BY_PERSON, None)]
    )
    async def test_who_was_shut_out_stays_out(
        self,
        web: Portal,
        visitor: aiohttp.ClientSession,
        offer: Resource,
        unique: Callable[[str], str],
        by: str,
        found: tuple[int, str] | None,
    ) -> None:
        await seen(web, offer)
        cli = Cli.go(unique("c"))
        await web.sign_in(visitor, cli)
        await web.bind(visitor, cli, offer)
        (namespace,) = await tenants_of(web.lab, cli.cluster_id)
        await web.lab.tenants.revoke(await web.lab.tenants.find(namespace), delete=False, by=by)
        query = {"s": cli.sid, "resource": offer.plural, "group": offer.group}

        async def known() -> bool:
            entry = web.watched.views.cluster_bindings.store.get(f"{namespace}/cluster")
            return entry is not None and bool(meta.annotation(entry.object(), names.REVOKED))

        await eventually(known)
        if found is None:
            # Whoever ended it may begin again.
            assert "response" in (await web.bind(visitor, cli, offer)).query
            return
        _, text, _ = await ask(visitor, web.at("/bind", **query), headers=PAGE)
        form = query | {"csrf": field_of(text, "csrf")}
        assert await refused(visitor, web.at("/bind"), "POST", data=form) == found

    async def test_a_target_that_browsers_stop_after_a_form_gets_a_link(
        self, web: Portal, visitor: aiohttp.ClientSession, offer: Resource, unique: Callable[[str], str]
    ) -> None:
        await seen(web, offer)
        cli = Cli.go(unique("c"))
        await web.sign_in(visitor, cli, u="http://[::1]:1/cli")
        query = {"s": cli.sid, "resource": offer.plural, "group": offer.group}
        _, text, _ = await ask(visitor, web.at("/bind", **query), headers=PAGE)
        link = re.search(r'href="(/bind[^"]+)"', text)
        assert link is not None, text
        _, _, headers = await ask(visitor, URL(web.url + html.unescape(link[1]), encoded=True))
        assert headers["Location"].startswith("http://[::1]:1/cli?response=")

    async def test_another_persons_run_is_unknown(
        self, web: Portal, visitor: aiohttp.ClientSession, offer: Resource, unique: Callable[[str], str]
    ) -> None:
        await web.sign_in(visitor, Cli.go(unique("c")))
        query = {"s": "somebodys", "resource": offer.plural, "group": offer.group}
        assert await refused(visitor, web.at("/bind", **query)) == (409, "unknown_session")

    async def test_concurrent_first_logins_make_one_tenant(
        self, web: Portal, offer: Resource, unique: Callable[[str], str]
    ) -> None:
        await seen(web, offer)
        cluster_id = unique("c")

        async def once() -> str:
            async with browser() as session:
                cli = Cli.go(cluster_id)
                await web.sign_in(session, cli)
                return str(kubeconfig_of(response_of(await web.bind(session, cli, offer))).namespace)

        found = await asyncio.gather(*(once() for _ in range(4)))
        assert len(set(found)) == 1
        assert await tenants_of(web.lab, cluster_id) == [found[0]]

    async def test_two_people_with_one_cluster_are_two_tenants(
        self, web: Portal, offer: Resource, unique: Callable[[str], str]
    ) -> None:
        await seen(web, offer)
        cluster_id = unique("c")
        for account in ("alice", "bob"):
            async with browser() as session:
                cli = Cli.go(cluster_id)
                await web.sign_in(session, cli, account=account)
                await web.bind(session, cli, offer)
        assert len(await tenants_of(web.lab, cluster_id)) == 2
