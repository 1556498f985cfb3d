"""The pages with a real API server and a real issuer: who sees what, and who may change what.

Excluded: what they look like (tests/browser), the login and the bind themselves (test_web.py).
"""

import asyncio
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from functools import partial

import aiohttp
import pytest
import pytest_asyncio
from structlog.testing import capture_logs
from yarl import URL

from bind_agent.api import keys, meta
from bind_agent.api.resource import (
    CLUSTER_BINDINGS,
    CRDS,
    EXPORT_REQUESTS,
    EXPORT_TEMPLATES,
    EXPORTS,
    Resource,
)
from bind_agent.backend import names, retirement
from bind_agent.backend.access import Kind
from bind_agent.backend.http import sessions
from bind_agent.backend.http.cookies import Cookies
from bind_agent.backend.http.keyring import Keyring
from bind_agent.backend.http.spent import Spent
from bind_agent.backend.pages import asks, caught_up
from bind_agent.backend.person import Person
from bind_agent.backend.retiring import Retirements
from bind_agent.backend.tenancy import rotation
from bind_agent.kube.client import Client
from bind_agent.kube.config import from_kubeconfig
from bind_agent.kube.errors import ConnectionFailed, Unauthorized
from tests.fakes.backend_lab import Lab, Party, claim, crd_of, eventually, template_of
from tests.fakes.issuer import Issuer, browser, follow_login
from tests.fakes.weblab import KEYS, Cli, Portal, portal

pytestmark = pytest.mark.integration

PAGE = {"Accept": "text/html"}
OPERATOR = "operator"
ONE = "1\N{EN DASH}1 of 1"


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def site(backend: Lab, issuer: Issuer) -> AsyncIterator[Portal]:
    """A web half with operators."""
    async with portal(backend, issuer, admin_groups=("operators",)) as running:
        yield running


@asynccontextmanager
async def signed_in(site: Portal, account: str = "alice") -> AsyncIterator[aiohttp.ClientSession]:
    async with browser() as session:
        await follow_login(session, site.at("/login", next="/clusters"), account=account)
        yield session


async def get(session: aiohttp.ClientSession, site: Portal, path: str, **query: str) -> tuple[int, str]:
    async with session.get(site.at(path, **query), headers=PAGE, allow_redirects=False) as answer:
        return answer.status, await answer.text()


async def post(session: aiohttp.ClientSession, site: Portal, path: str, **form: str) -> tuple[int, str, str]:
    async with session.post(
        site.at(path), data=form, headers=PAGE | {"Origin": site.url}, allow_redirects=False
    ) as answer:
        return answer.status, answer.headers.get("Location", ""), await answer.text()


def token_of(html: str) -> str:
    """The token of the one form that the page is about, not of the one that logs out."""
    found = re.findall(r'name="csrf" value="([^"]+)"', html.partition("<main")[2])
    assert len(found) == 1, html
    return str(found[0])


async def change(session: aiohttp.ClientSession, site: Portal, path: str, **form: str) -> str:
    """Ask, say yes, and give the page on which one lands."""
    status, question = await get(session, site, path)
    assert status == 200, question
    status, target, text = await post(session, site, path, csrf=token_of(question), **form)
    assert status == 303, text
    async with session.get(f"{site.url}{target}", headers=PAGE) as answer:
        assert answer.status == 200
        return await answer.text()


async def member(site: Portal, unique: Callable[[str], str], account: str = "alice") -> Party:
    """A cluster of somebody who can log in."""
    who = Person(site.issuer.url, account)
    party = await site.lab.join(account, unique("c"), person=who)

    async def watched() -> bool:
        return site.watched.views.tenant(party.namespace) is not None and bool(
            site.watched.views.binding(party.namespace)
        )

    await eventually(watched)
    return party


async def shown(site: Portal, party: Party, resource: Resource) -> None:
    async def watched() -> bool:
        return any(
            meta.name(one) == resource.crd_name for one in site.watched.views.exports_in(party.namespace)
        )

    await eventually(watched)


async def bound(site: Portal, kind: Resource, unique: Callable[[str], str]) -> Party:
    """A cluster of somebody who can log in, with an API that its page shows."""
    own = await member(site, unique)
    await site.lab.publish(kind)
    await site.lab.bind(own, kind)
    await shown(site, own, kind)
    return own


class TestStart:
    async def test_everybody_sees_the_start_page(self, site: Portal) -> None:
        async with browser() as session:
            status, text = await get(session, site, "/")
        assert status == 200
        assert f"kubectl bind {site.url}/export" in text
        assert 'href="/login?next=%2F"' in text

    async def test_everything_else_asks_for_a_login(self, site: Portal) -> None:
        async with browser() as session:
            for path in (
                "/resources",
                "/resources/a.b",
                "/clusters",
                "/clusters/x",
                "/clusters/x/rotate",
                "/admin",
            ):
                async with session.get(site.at(path), headers=PAGE, allow_redirects=False) as answer:
                    assert answer.status == 302, path
                    assert answer.headers["Location"].startswith("/login?next=")

    async def test_an_open_page_never_begins_a_login(self, site: Portal) -> None:
        """Not even at an issuer that remembers the person: only a click does."""
        async with signed_in(site) as session:
            _, text = await get(session, site, "/clusters")
            token = re.findall(r'name="csrf" value="([^"]+)"', text)[0]
            assert (await post(session, site, "/logout", csrf=token))[0] == 200
            headers = {"HX-Request": "true", "HX-Current-URL": f"{site.url}/clusters?done=rotate"}
            async with session.get(site.at("/clusters"), headers=headers, allow_redirects=False) as answer:
                assert answer.status == 200
                assert "HX-Refresh" not in answer.headers
                target = answer.headers["HX-Redirect"]
            async with session.get(f"{site.url}{target}", headers=PAGE, allow_redirects=False) as answer:
                status, text = answer.status, await answer.text()
            assert status == 200
            assert "Your session has ended" in text
            link = "/login?next=%2Fclusters%3Fdone%3Drotate"
            assert link in text
            async with session.get(f"{site.url}{link}", headers=PAGE) as answer:
                assert (answer.status, str(answer.url)) == (200, f"{site.url}/clusters?done=rotate")

    async def test_static_files_are_kept_for_ever_by_their_content(self, site: Portal) -> None:
        async with browser() as session:
            _, text = await get(session, site, "/")
            (sheet,) = re.findall(r'href="(/static/pages\.css\?v=[0-9a-f]+)"', text)
            async with session.get(f"{site.url}{sheet}") as answer:
                assert answer.status == 200
                assert answer.content_type == "text/css"
                assert "immutable" in answer.headers["Cache-Control"]
                etag = answer.headers["ETag"]
            async with session.get(f"{site.url}{sheet}", headers={"If-None-Match": etag}) as answer:
                assert answer.status == 304
            async with session.get(site.at("/static/pages.css", v="old")) as answer:
                assert (answer.status, answer.headers["Cache-Control"]) == (200, "no-cache")
            async with session.get(f"{site.url}{sheet}", headers={"Accept-Encoding": "identity"}) as answer:
                assert "Content-Encoding" not in answer.headers
            for name in ("README.md", "LICENSE.htmx", "..%2Fview.py", "x.css"):
                async with session.get(site.at(f"/static/{name}")) as answer:
                    assert answer.status == 404, name
            async with session.get(site.at("/favicon.ico")) as answer:
                assert answer.status == 204

    async def test_an_error_page_has_a_next_step(self, site: Portal) -> None:
        async with signed_in(site) as session:
            status, text = await get(session, site, "/resources/no.such.api")
            assert status == 404
            assert "not offered to you" in text
            assert "What you can do" in text


class TestCatalogue:
    async def test_what_is_offered_and_how_it_is_bound(
        self, site: Portal, kind: Resource, unique: Callable[[str], str]
    ) -> None:
        text_of = "A database of your own <script>alert(1)</script>\u202e."
        schema = {
            "type": "object",
            "description": text_of,
            "properties": {
                "spec": {"type": "object", "properties": {"size": {"type": "integer", "minimum": 3}}}
            },
        }
        await site.lab.publish(kind, claim("secrets"), schema=schema)

        async def offered() -> bool:
            return bool(site.watched.views.templates_of(Kind(kind.group, kind.plural)))

        await eventually(offered)
        cli = Cli.ours(unique("c"))
        async with browser() as session:
            await site.sign_in(session, cli)
            status, text = await get(session, site, "/resources", s=cli.sid)
            assert status == 200
            assert "A database of your own &lt;script&gt;" in text
            assert "\u202e" not in text
            assert "secrets come down" in text
            anchors = re.findall(rf'<a class="[^"]* {kind.plural}" href="([^"]+)"', text)
            (href,) = [one for one in anchors if f"group={kind.group}&" in one]
            # One click of a machine is enough, without JavaScript.
            async with session.get(
                f"{site.url}{href.replace('&amp;', '&')}", headers=PAGE, allow_redirects=False
            ) as answer:
                assert answer.status == 302
                assert "code=" in answer.headers["Location"]
            _, found = await get(session, site, "/resources", s=cli.sid, q=kind.group)
            assert found.count('class="card_ offer_"') == 1
            _, none = await get(session, site, "/resources", q="nothing-is-called-so")
            assert "Nothing matches" in none
            status, text = await get(session, site, f"/resources/{kind.crd_name}", s=cli.sid)
            assert status == 200
            assert "at least 3" in text
            assert "copied down, from Lab into your cluster" in text

    async def test_a_session_that_did_not_log_in_here_is_told_so(self, site: Portal) -> None:
        async with signed_in(site) as session:
            _, text = await get(session, site, "/resources", s="somebody-elses")
            assert "did not sign in with this browser session" in text
            assert "/bind?" not in text

    async def test_who_may_not_bind_does_not_see(self, site: Portal, kind: Resource) -> None:
        await site.lab.publish(kind, template=False)
        template = template_of(kind)
        template["spec"]["allowed"] = {"users": ["bob"]}
        await site.lab.admin.apply(EXPORT_TEMPLATES, template, field_manager="platform")

        async def offered() -> bool:
            return bool(site.watched.views.templates_of(Kind(kind.group, kind.plural)))

        await eventually(offered)
        for account, sees in (("alice", False), ("bob", True)):
            async with signed_in(site, account) as session:
                _, text = await get(session, site, "/resources")
                assert (kind.group in text) is sees
                status, _ = await get(session, site, f"/resources/{kind.crd_name}")
                assert status == (200 if sees else 404)

    async def test_cluster_scoped_ones_are_left_out(self, site: Portal, kind: Resource) -> None:
        wide = kind.scoped(namespaced=False)
        await site.lab.admin.apply(CRDS, crd_of(wide), field_manager="platform")
        await site.lab.admin.apply(EXPORT_TEMPLATES, template_of(wide), field_manager="platform")

        async def offered() -> bool:
            return bool(site.watched.views.templates_of(Kind(kind.group, kind.plural)))

        await eventually(offered)
        async with signed_in(site) as session:
            _, text = await get(session, site, "/resources")
            assert kind.group not in text


class TestClusters:
    async def test_own_clusters_and_nobody_elses(self, site: Portal, unique: Callable[[str], str]) -> None:
        own, other = await member(site, unique), await member(site, unique, "bob")
        unnamed = await site.lab.join("alice", unique("c"))  # of the command line, with the same subject
        async with signed_in(site) as session:
            _, text = await get(session, site, "/clusters")
            assert own.namespace in text
            assert "issued <time" in text
            for foreign in (other, unnamed):
                assert foreign.namespace not in text
                for path in ("", "/rotate", "/revoke", "/exports/a.b/unbind"):
                    status, _ = await get(session, site, f"/clusters/{foreign.namespace}{path}")
                    assert status == 404
            status, text = await get(session, site, f"/clusters/{own.namespace}")
            assert status == 200
            assert "not connected yet" in text
            assert "renewed by itself" in text

    async def test_a_form_for_ones_own_cluster_does_not_change_another_one(
        self, site: Portal, unique: Callable[[str], str]
    ) -> None:
        own, other = await member(site, unique), await member(site, unique, "bob")
        async with signed_in(site) as session:
            _, question = await get(session, site, f"/clusters/{own.namespace}/revoke")
            token = token_of(question)
            for path in (f"/clusters/{other.namespace}/revoke", f"/clusters/{own.namespace}/rotate"):
                assert (await post(session, site, path, csrf=token))[0] == 403
            assert (await post(session, site, f"/clusters/{own.namespace}/revoke"))[0] == 403
            async with session.post(
                site.at(f"/clusters/{own.namespace}/revoke"),
                data={"csrf": token},
                headers=PAGE | {"Origin": "https://attacker.example"},
            ) as answer:
                assert answer.status == 403
        for party in (own, other):
            binding = await site.lab.binding(party)
            assert not meta.annotation(binding, names.REVOKED)

    async def test_looking_and_asking_change_nothing(
        self, site: Portal, unique: Callable[[str], str]
    ) -> None:
        own = await member(site, unique)
        before = await site.lab.binding(own)
        async with signed_in(site) as session:
            for path in ("", "/rotate", "/revoke"):
                assert (await get(session, site, f"/clusters/{own.namespace}{path}"))[0] == 200
        assert meta.annotations(await site.lab.binding(own)) == meta.annotations(before)

    async def test_rotate(self, site: Portal, unique: Callable[[str], str]) -> None:
        own = await member(site, unique)
        before = await site.lab.tenants.credential(await site.lab.tenants.find(own.namespace))
        async with signed_in(site) as session:
            with capture_logs() as lines:
                text = await change(session, site, f"/clusters/{own.namespace}/rotate")
            assert "A new credential is in force" in text
            assert "an earlier one ends" in text
            _, text = await get(session, site, f"/clusters/{own.namespace}")
            assert "A new credential is in force" not in text, "it is said once"
        after = await site.lab.tenants.credential(await site.lab.tenants.find(own.namespace))
        assert after.generation == before.generation + 1
        assert after.issued is None
        # The old one works on for a while.
        await own.client.get(CLUSTER_BINDINGS, keys.CLUSTER_BINDING_NAME, namespace=own.namespace)
        (line,) = [one for one in lines if one["event"] == "audit"]
        assert (line["action"], line["outcome"], line["subject"]) == ("rotate", "done", "alice")
        assert (line["tenant"], line["remote"]) == (own.namespace, "127.0.0.1")

    async def test_rotations_do_not_pile_up_credentials(
        self, site: Portal, unique: Callable[[str], str]
    ) -> None:
        own = await member(site, unique)
        tenant = await site.lab.tenants.find(own.namespace)
        path = f"/clusters/{own.namespace}/{asks.ROTATE}"
        async with signed_in(site) as session:
            _, question = await get(session, site, path)
            for _ in range(rotation.MOST_RETIRING):
                assert (await post(session, site, path, csrf=token_of(question)))[0] == 303
            before = await site.lab.tenants.credential(tenant)
            with capture_logs() as lines:
                async with session.post(
                    site.at(path), data={"csrf": token_of(question)}, headers=PAGE | {"Origin": site.url}
                ) as answer:
                    assert answer.status == 429
                    assert 60 < int(answer.headers["Retry-After"]) <= 600
                    assert "You can rotate again in 9 minutes" in await answer.text()
            (line,) = [one for one in lines if one["event"] == "audit"]
            assert (line["outcome"], line["reason"]) == ("refused", "TooManyCredentials")
            assert await site.lab.tenants.credential(tenant) == before
            # Without overlap all of them end, so there is room again.
            await site.lab.tenants.rotate(tenant, overlap=timedelta(0))
            assert (await post(session, site, path, csrf=token_of(question)))[0] == 303

    async def test_what_an_address_says_was_done_is_not_said(
        self, site: Portal, unique: Callable[[str], str]
    ) -> None:
        own, other = await member(site, unique), await member(site, unique)
        said = "A new credential is in force"
        async with signed_in(site) as session, signed_in(site) as elsewhere:
            for word in asks.DONE:
                status, text = await get(session, site, f"/clusters/{own.namespace}", done=word)
                assert status == 200
                assert asks.DONE[word] not in text
            # What was done in one session to one cluster is said nowhere else.
            _, question = await get(session, site, f"/clusters/{own.namespace}/rotate")
            answer = await post(session, site, f"/clusters/{own.namespace}/rotate", csrf=token_of(question))
            assert answer[:2] == (303, f"/clusters/{own.namespace}")
            elsewhere.cookie_jar.update_cookies(
                {one.key: one.value for one in session.cookie_jar if one.key.endswith("notice")},
                URL(site.url),
            )
            assert said not in (await get(elsewhere, site, f"/clusters/{own.namespace}"))[1]
            assert said not in (await get(session, site, f"/clusters/{other.namespace}"))[1]
            assert said in (await get(session, site, f"/clusters/{own.namespace}"))[1]

    async def test_revoke_and_come_back(self, site: Portal, unique: Callable[[str], str]) -> None:
        own = await member(site, unique)
        async with signed_in(site) as session:
            _, question = await get(session, site, f"/clusters/{own.namespace}/rotate")
            early = token_of(question)
            text = await change(session, site, f"/clusters/{own.namespace}/revoke")
            assert "All credentials of this cluster have ended" in text
            # At once, though it is another one who watches: nothing on this page says otherwise.
            assert "binding again issues a new one" in text
            assert "/rotate" not in text
            assert meta.annotation(await site.lab.binding(own), names.REVOKED_BY) == names.BY_PERSON

            async def ended() -> bool:
                async with Client.open(from_kubeconfig(own.added.kubeconfig), user_agent="tenant") as client:
                    try:
                        await client.get(CLUSTER_BINDINGS, keys.CLUSTER_BINDING_NAME, namespace=own.namespace)
                    except Unauthorized:
                        return True
                return False

            await eventually(ended, timeout=30)
            # Neither is it asked, nor does a question help that was open before.
            for status, text in (
                await get(session, site, f"/clusters/{own.namespace}/rotate"),
                (await post(session, site, f"/clusters/{own.namespace}/rotate", csrf=early))[::2],
            ):
                assert status == 409
                assert "nothing to rotate" in text
        async with signed_in(site, OPERATOR) as session:
            _, text = await get(session, site, f"/admin/tenants/{own.namespace}")
            assert "its owner, on the pages" in text
        # Whoever revoked it oneself may bind again.
        again = await site.lab.tenants.add(
            (await site.lab.tenants.find(own.namespace)).who or pytest.fail("no identity"),
            prefix="cluster",
            pretty_name="Lab",
            person=Person(site.issuer.url, "alice"),
        )
        assert not again.created

    async def test_what_an_operator_revoked_is_not_said_to_be_done_by_a_person(
        self, site: Portal, unique: Callable[[str], str]
    ) -> None:
        own = await member(site, unique)
        base = f"/clusters/{own.namespace}"
        async with signed_in(site) as session:
            # The question was open before the operator came.
            _, question = await get(session, site, f"{base}/revoke")
            await site.lab.tenants.revoke(await site.lab.tenants.find(own.namespace), delete=False)
            before = await site.lab.binding(own)
            with capture_logs() as lines:
                status, _, text = await post(session, site, f"{base}/revoke", csrf=token_of(question))
            assert status == 409
            assert "An operator of this provider has revoked this cluster already" in text
            assert "All credentials of this cluster have ended" not in text
            (line,) = [one for one in lines if one["event"] == "audit"]
            assert (line["action"], line["outcome"], line["reason"]) == ("revoke", "refused", "TenantRevoked")
            assert meta.annotations(await site.lab.binding(own)) == meta.annotations(before)

            async def told() -> bool:
                return "only they let it in again" in (await get(session, site, base))[1]

            await eventually(told)
            # Who comes later is not asked first, and is not told that binding again helps.
            for status, text in (
                await get(session, site, f"{base}/revoke"),
                await get(session, site, f"{base}/rotate"),
            ):
                assert status == 409
                assert "has revoked this cluster already" in text
                assert "Bind an API again" not in text

    async def test_a_session_that_another_replica_has_just_ended_changes_nothing(
        self, site: Portal, kind: Resource, unique: Callable[[str], str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        own = await bound(site, kind, unique)
        base = f"/clusters/{own.namespace}"
        changes: dict[str, dict[str, str]] = {f"{base}/{asks.ROTATE}": {}, f"{base}/{asks.REVOKE}": {}}
        changes[f"{base}/exports/{kind.crd_name}/{asks.UNBIND}"] = {"choice": "1d"}
        changes[f"{base}/exports/{kind.crd_name}/{asks.KEEP}"] = {}
        end = site.clock.now() + timedelta(days=3)
        kind_ = Kind(kind.group, kind.plural)
        await Retirements(site.lab.own).retire(own.namespace, kind_, at=end, by=names.BY_PERSON)
        views = site.watched.views
        assert await caught_up.until(caught_up.end(views, own.namespace, kind.crd_name, end), 30)
        before = await site.lab.binding(own), await site.lab.export(own, kind)
        async with signed_in(site) as session:
            forms = {path: token_of((await get(session, site, path))[1]) for path in changes}
            ended = sessions.read(
                Cookies(site.options.secure),
                Keyring(KEYS),
                {one.key: one.value for one in session.cookie_jar},
                site.clock.now(),
            )
            assert ended is not None
            # What is watched here is behind: the logout came to the other replica a moment ago.
            monkeypatch.setattr(Spent, "known", lambda *_: False)
            end = site.clock.now() + timedelta(hours=1)
            spent = site.watched.spent
            assert spent is not None
            assert await spent.use(sessions.SPENT, ended.id, end)
            assert (await get(session, site, base))[0] == 200
            with capture_logs() as lines:
                for path, more in changes.items():
                    status, _, text = await post(session, site, path, csrf=forms[path], **more)
                    assert status == 401, path
                    assert "You have signed out" in text
                    assert "Sign out" not in text, "the answer is for nobody"
            assert not [one for one in lines if one["event"] == "audit"]
        after = await site.lab.binding(own), await site.lab.export(own, kind)
        assert [meta.annotations(one or {}) for one in after] == [
            meta.annotations(one or {}) for one in before
        ]

    async def test_whether_a_session_has_ended_must_be_known_before_a_change(
        self, site: Portal, unique: Callable[[str], str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        own = await member(site, unique)

        async def cut_off(*_: object) -> bool:
            raise ConnectionFailed("no answer")

        async with signed_in(site) as session:
            path = f"/clusters/{own.namespace}/{asks.REVOKE}"
            _, question = await get(session, site, path)
            with monkeypatch.context() as patch:
                patch.setattr(Spent, "used", cut_off)
                assert (await post(session, site, path, csrf=token_of(question)))[0] == 503
            assert not meta.annotation(await site.lab.binding(own), names.REVOKED)
            assert (await post(session, site, path, csrf=token_of(question)))[0] == 303

    async def test_unbind_and_think_better_of_it(
        self, site: Portal, kind: Resource, unique: Callable[[str], str]
    ) -> None:
        own = await bound(site, kind, unique)
        base = f"/clusters/{own.namespace}/exports/{kind.crd_name}"
        async with signed_in(site) as session:
            _, question = await get(session, site, f"{base}/unbind")
            token = token_of(question)
            for wrong in ("", "99d", "x"):
                assert (await post(session, site, f"{base}/unbind", csrf=token, choice=wrong))[0] == 400
            with capture_logs() as lines:
                text = await change(session, site, f"{base}/unbind", choice="1d")
            assert "will be taken off" in text
            assert "Keep it" in text
            assert f"{base}/unbind" not in text
            (line,) = [one for one in lines if one["event"] == "audit"]
            assert (line["action"], line["resource"]) == ("unbind", kind.crd_name)
            export = await site.lab.export(own, kind)
            planned = retirement.planned(export or {})
            assert planned is not None
            assert planned.by == names.BY_PERSON
            assert planned.at - site.clock.now() > timedelta(hours=23)
            text = await change(session, site, f"{base}/keep")
            assert "The API stays" in text
            assert f"{base}/keep" not in text
            assert f"{base}/unbind" in text
            # Now it does not end, so nothing is to be taken back.
            status, text = await get(session, site, f"{base}/keep")
            assert status == 409
            assert "does not end, so there is nothing to take back" in text
            assert "as if you had never unbound it" not in text
            assert retirement.planned(await site.lab.export(own, kind) or {}) is None

    async def test_a_page_after_a_change_waits_for_what_is_watched(
        self, site: Portal, kind: Resource, unique: Callable[[str], str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        own = await bound(site, kind, unique)
        loop = asyncio.get_running_loop()
        for informer in (site.watched.views.exports, site.watched.views.cluster_bindings):
            # Every change is seen late.
            plain = informer.change
            monkeypatch.setattr(informer, "change", partial(loop.call_later, 0.7, plain))
        base = f"/clusters/{own.namespace}"
        api = f"{base}/exports/{kind.crd_name}"
        async with signed_in(site) as session:
            text = await change(session, site, f"{api}/unbind", choice="1d")
            assert (f"{api}/keep" in text, f"{api}/unbind" in text) == (True, False)
            text = await change(session, site, f"{api}/keep")
            assert (f"{api}/keep" in text, f"{api}/unbind" in text) == (False, True)
            text = await change(session, site, f"{base}/revoke")
            assert (f"{base}/rotate" in text, "binding again issues a new one" in text) == (False, True)
        # What is still on its way must not arrive after what others do next.
        await asyncio.sleep(1)

    async def test_an_api_ends_and_can_be_bound_again(
        self, site: Portal, kind: Resource, unique: Callable[[str], str]
    ) -> None:
        own = await member(site, unique)
        await site.lab.publish(kind)
        await site.lab.bind(own, kind)
        # Its time has come: what the form does, with the shortest time that there is.
        at = site.clock.now() + timedelta(seconds=1)
        await Retirements(site.lab.own).retire(
            own.namespace, Kind(kind.group, kind.plural), at=at, by=names.BY_PERSON
        )

        async def gone() -> bool:
            return await site.lab.export(own, kind) is None

        await eventually(gone, timeout=40)
        assert retirement.retired(await site.lab.binding(own)) == {}

        async def asked_again() -> bool:
            return not await site.lab.admin.get_or_none(
                EXPORT_REQUESTS, kind.crd_name, namespace=own.namespace
            )

        await eventually(asked_again, timeout=40)
        await site.lab.bind(own, kind)

    async def test_what_is_being_removed_is_shown_as_long_as_it_counts(
        self, site: Portal, kind: Resource, unique: Callable[[str], str]
    ) -> None:
        own = await bound(site, kind, unique)
        patch = {"metadata": {"finalizers": ["platform.example/slow"]}}
        await site.lab.admin.merge_patch(EXPORTS, kind.crd_name, patch, namespace=own.namespace)
        await site.lab.admin.delete(EXPORTS, kind.crd_name, namespace=own.namespace)

        async def going() -> bool:
            return all(meta.is_deleting(one) for one in site.watched.views.exports_in(own.namespace))

        await eventually(going)
        async with signed_in(site) as session:
            _, text = await get(session, site, f"/clusters/{own.namespace}")
            assert kind.crd_name in text.replace("<wbr>", "")
            assert "being removed" in text
            assert "/unbind" not in text
            base = f"/clusters/{own.namespace}/exports/{kind.crd_name}"
            assert (await get(session, site, f"{base}/unbind"))[0] == 404
        async with signed_in(site, OPERATOR) as session:
            _, text = await get(session, site, f"/admin/tenants/{own.namespace}")
            assert "being removed" in text
        patch = {"metadata": {"finalizers": []}}
        await site.lab.admin.merge_patch(EXPORTS, kind.crd_name, patch, namespace=own.namespace)

    async def test_what_the_provider_ends_is_not_a_persons_to_keep(
        self, site: Portal, kind: Resource, unique: Callable[[str], str]
    ) -> None:
        own = await bound(site, kind, unique)
        base = f"/clusters/{own.namespace}/exports/{kind.crd_name}"
        async with signed_in(site) as session:
            early = {asks.UNBIND: token_of((await get(session, site, f"{base}/unbind"))[1])}
            await change(session, site, f"{base}/unbind", choice="1d")
            early[asks.KEEP] = token_of((await get(session, site, f"{base}/keep"))[1])
            at = site.clock.now() + timedelta(days=9)
            await Retirements(site.lab.own).retire(
                own.namespace, Kind(kind.group, kind.plural), at=at, note="use v2"
            )

            async def told() -> bool:
                return "use v2" in (await get(session, site, f"/clusters/{own.namespace}"))[1]

            await eventually(told)
            for action, form in (("keep", {}), ("unbind", {"choice": "7d"})):
                status, text = await get(session, site, f"{base}/{action}")
                assert status == 409
                assert "The provider itself has announced the end" in text
                # A question that was open before does not help.
                answer = await post(session, site, f"{base}/{action}", csrf=early[action], **form)
                assert answer[0] == 409
                assert "ask its operators" in answer[2]
            assert (await get(session, site, f"/clusters/{own.namespace}/exports/x.y/unbind"))[0] == 404
        planned = retirement.planned(await site.lab.export(own, kind) or {})
        assert planned is not None
        assert (planned.by, planned.note) == (names.BY_OPERATOR, "use v2")


class TestOperators:
    async def test_operators_only(self, site: Portal, unique: Callable[[str], str]) -> None:
        party = await member(site, unique, "bob")
        paths = ["/admin", "/admin/tenants", "/admin/exports", f"/admin/tenants/{party.namespace}"]
        async with signed_in(site) as session:
            for path in paths:
                status, text = await get(session, site, path)
                assert status == 403, path
                assert party.namespace not in text
            _, text = await get(session, site, "/clusters")
            assert 'href="/admin"' not in text
        async with signed_in(site, OPERATOR) as session:
            for path in paths:
                assert (await get(session, site, path))[0] == 200, path
            _, text = await get(session, site, "/clusters")
            assert 'href="/admin"' in text

    async def test_tenants_and_exports_are_found(
        self, site: Portal, kind: Resource, unique: Callable[[str], str]
    ) -> None:
        party = await member(site, unique, "bob")
        await site.lab.publish(kind)
        await site.lab.bind(party, kind)
        await shown(site, party, kind)
        cluster = party.added.namespace
        who = (await site.lab.tenants.find(cluster)).who
        assert who is not None
        async with signed_in(site, OPERATOR) as session:
            _, text = await get(session, site, "/admin")
            assert kind.crd_name in text.replace("<wbr>", "")
            _, text = await get(session, site, "/admin/tenants", q=who.cluster_id)
            assert cluster in text
            assert ONE in text
            _, text = await get(session, site, "/admin/tenants", q="nobody-is-called-so")
            assert "none found" in text
            _, text = await get(session, site, "/admin/exports", q=kind.group)
            assert cluster in text
            assert ONE in text
            mapped = await site.lab.mapping(party, "shop")

            async def told() -> bool:
                return mapped in (await get(session, site, f"/admin/tenants/{cluster}"))[1]

            await eventually(told)
            assert (await get(session, site, "/admin/tenants/kube-system"))[0] == 404

    async def test_only_those_in_trouble(self, site: Portal, unique: Callable[[str], str]) -> None:
        sound, bad = await member(site, unique), await member(site, unique, "bob")
        await site.lab.tenants.revoke(await site.lab.tenants.find(bad.namespace), delete=False)
        async with signed_in(site, OPERATOR) as session:

            async def listed() -> bool:
                _, text = await get(session, site, "/admin/tenants", only="trouble", q=bad.namespace)
                return bad.namespace in text and ONE in text

            await eventually(listed)
            _, text = await get(session, site, "/admin/tenants", only="trouble", q=sound.namespace)
            assert "none found" in text
