"""The listener and what stands around every handler: hosts, headers, limits, TLS, an orderly end."""

import asyncio
import contextlib
import socket
import ssl
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import aiohttp
import orjson
import pytest
import pytest_asyncio
import structlog
import trustme
from aiohttp import web as aioweb
from yarl import URL

from bind_agent.aio.tasks import background
from bind_agent.api.resource import LEASES, Resource
from bind_agent.backend import names
from bind_agent.backend.access import Kind
from bind_agent.backend.http import headers
from bind_agent.backend.http.app import create_app
from bind_agent.backend.http.server import WebServer
from bind_agent.backend.http.spent import lease_name
from bind_agent.backend.http.tls import Certificate
from bind_agent.devcluster.ports import free_port
from bind_agent.devcluster.stage import BACKEND_NAMESPACE
from tests.fakes.backend_lab import Lab, eventually
from tests.fakes.issuer import Issuer, browser, follow_login
from tests.fakes.weblab import Cli, Portal, portal

pytestmark = pytest.mark.integration

PAGE = {"Accept": "text/html"}


@pytest_asyncio.fixture(loop_scope="session")
async def visitor() -> AsyncIterator[aiohttp.ClientSession]:
    async with browser() as session:
        yield session


class TestHosts:
    @pytest.mark.parametrize(
        "host", ["evil.example", "127.0.0.1", "127.0.0.1:1", "localhost", "localhost.evil.example:{port}"]
    )
    async def test_other_names_are_not_answered(
        self, web: Portal, visitor: aiohttp.ClientSession, host: str
    ) -> None:
        sent = {"Host": host.format(port=URL(web.url).port)}
        async with visitor.get(web.at("/export"), headers=sent) as answer:
            assert answer.status == 421
            assert (await answer.json())["error"] == "wrong_host"
        async with visitor.get(web.at("/healthz"), headers=sent) as answer:
            assert answer.status == 200

    @pytest.mark.parametrize("name", ["localhost", "LOCALHOST", "[::1]"])
    async def test_browsers_that_come_by_another_name_of_this_machine_are_sent_on(
        self, web: Portal, visitor: aiohttp.ClientSession, name: str
    ) -> None:
        sent = {"Host": f"{name}:{URL(web.url).port}"}
        for path in (
            "/",
            "/login?next=/clusters",
            "/authorize?u=a%2Bb&s=1",
            "/callback?state=x",
            "//evil.example",
        ):
            async with visitor.get(
                URL(web.url + path, encoded=True), headers=sent, allow_redirects=False
            ) as answer:
                assert (answer.status, answer.headers["Location"]) == (302, web.url + path)
                assert "Set-Cookie" not in answer.headers
        async with visitor.post(web.at("/logout"), headers=sent, allow_redirects=False) as answer:
            assert answer.status == 421
            assert web.url in (await answer.json())["message"]

    async def test_a_target_that_is_no_path_leads_nowhere(self, web: Portal) -> None:
        port = URL(web.url).port
        for target in (b"@evil.example/", b"http://evil.example/", b".evil.example/", b"*"):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(
                b"GET %s HTTP/1.1\r\nHost: localhost:%d\r\nConnection: close\r\n\r\n" % (target, port)
            )
            answer = await reader.read()
            writer.close()
            assert answer.split()[1] in {b"400", b"404", b"421"}, answer
            assert b"evil" not in answer.partition(b"\r\n\r\n")[0]

    @pytest.mark.parametrize(("begun", "callback"), [("localhost", "127.0.0.1"), ("127.0.0.1", "localhost")])
    async def test_a_whole_bind_by_another_name_of_this_machine(
        self,
        backend: Lab,
        issuer: Issuer,
        kind: Resource,
        unique: Callable[[str], str],
        begun: str,
        callback: str,
    ) -> None:
        """Cookies belong to one name: what begins under another one has to go on under that of the callback."""
        await backend.publish(kind)
        port = free_port()
        ours = f"http://{callback}:{port}"
        async with portal(backend, issuer, port=port, callback_origin=ours) as other, browser() as person:
            web = replace(other, url=ours)

            async def offered() -> bool:
                return bool(web.watched.views.templates_of(Kind(kind.group, kind.plural)))

            await eventually(offered)
            cli = Cli.ours(unique("c"))
            async with aiohttp.ClientSession() as program:
                asked = f"http://{begun}:{port}"
                async with program.get(f"{asked}/export") as answer:
                    (method,) = (await answer.json())["authenticationMethods"]
                    assert answer.headers["Link"].startswith(f"<{asked}/redeem>")
                begin = method["oauth2CodeGrant"]["authenticatedURL"]
                assert begin == f"{ours}/authorize"
                # Whoever has the other address from elsewhere gets through as well.
                for address in (begin, f"{asked}/authorize"):
                    landed = await follow_login(person, URL(address).with_query(cli.query()))
                    assert (landed.status, str(landed.url.origin())) == (200, ours), landed.body
                code = (await web.bind(person, cli, kind)).query["code"]
                body = {"code": code, "code_verifier": cli.verifier}
                async with program.post(f"{asked}/redeem", json=body) as answer:
                    assert answer.status == 200, await answer.text()
            pages = await follow_login(person, f"{asked}/clusters")
            assert (pages.status, pages.url.host) == (200, callback)

    async def test_what_a_client_says_about_a_proxy_does_not_count(
        self, web: Portal, visitor: aiohttp.ClientSession
    ) -> None:
        sent = {"X-Forwarded-Host": "evil.example", "X-Forwarded-Proto": "https", "Forwarded": "host=evil"}
        async with visitor.get(web.at("/export"), headers=sent) as answer:
            text = await answer.text()
            assert "evil" not in text
            assert f"{web.url}/authorize" in text
            assert answer.headers["Link"] == f'<{web.url}/redeem>; rel="{names.REDEEM_RELATION}"'

    async def test_what_an_own_proxy_says_does(self, backend: Lab, issuer: Issuer) -> None:
        async with (
            portal(backend, issuer, trusted_proxies=1) as other,
            aiohttp.ClientSession() as session,
            session.get(other.at("/export"), headers={"X-Forwarded-Proto": "https"}) as answer,
        ):
            document = await answer.json()
        grant = document["authenticationMethods"][0]["oauth2CodeGrant"]
        assert grant["authenticatedURL"] == f"{other.url.replace('http:', 'https:')}/authorize"

    async def test_the_advertised_address(self, backend: Lab, issuer: Issuer) -> None:
        url = "https://login.example/authorize"
        async with (
            portal(backend, issuer, authorize_url=url) as other,
            aiohttp.ClientSession() as session,
            session.get(other.at("/export")) as answer,
        ):
            document = await answer.json()
        assert document["authenticationMethods"][0]["oauth2CodeGrant"]["authenticatedURL"] == url


class TestHeaders:
    @pytest.mark.parametrize(
        ("path", "status"),
        [
            ("/export", 200),
            ("/authorize", 400),
            ("/nothing", 404),
            ("/bind", 401),
            ("/callback", 403),
            ("/healthz", 200),
        ],
    )
    @pytest.mark.parametrize("accept", ["text/html", "application/json"])
    async def test_every_answer_has_them(self, web: Portal, path: str, status: int, accept: str) -> None:
        async with (
            browser() as visitor,
            visitor.get(web.at(path), headers={"Accept": accept}, allow_redirects=False) as answer,
        ):
            assert answer.status in {status, 302} if path == "/bind" else answer.status == status
            for name, value in headers.security(path, secure=False).items():
                assert answer.headers[name] == value, name
            assert answer.headers["Server"] == "bind-backend"
            if answer.status >= 400:
                assert answer.content_type == accept

    async def test_other_methods(self, web: Portal, visitor: aiohttp.ClientSession) -> None:
        async with visitor.delete(web.at("/redeem")) as answer:
            assert answer.status == 405
            assert answer.headers["Allow"] == "POST"
            assert (await answer.json())["error"] == "method_not_allowed"


class TestLimits:
    async def test_one_client_is_slowed_down_and_others_are_not(self, backend: Lab, issuer: Issuer) -> None:
        async with (
            portal(backend, issuer, rate_limit=1, trusted_proxies=1) as other,
            aiohttp.ClientSession() as session,
        ):
            mine = {"X-Forwarded-For": "9.9.9.9, 1.1.1.1"}
            statuses = []
            for _ in range(8):
                async with session.get(other.at("/export"), headers=mine) as answer:
                    statuses.append(answer.status)
                    last = answer
            assert statuses[:5] == [200] * 5
            assert 429 in statuses
            assert int(last.headers["Retry-After"]) >= 1
            # What stands left of our proxy's word was written by the client and does not help.
            async with session.get(
                other.at("/export"), headers={"X-Forwarded-For": "8.8.8.8, 1.1.1.1"}
            ) as answer:
                assert answer.status == 429
            async with session.get(other.at("/export"), headers=mine | PAGE) as answer:
                assert answer.status == 429
                assert answer.content_type == "text/html"
            async with session.get(other.at("/export"), headers={"X-Forwarded-For": "2.2.2.2"}) as answer:
                assert answer.status == 200
            async with session.get(other.at("/healthz"), headers=mine) as answer:
                assert answer.status == 200

    @pytest.mark.parametrize(
        "sent",
        [
            b"GET /" + b"a" * 20_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"a" * 50_000 + b"\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost: x\r\n" + b"".join(b"X%d: a\r\n" % n for n in range(200)) + b"\r\n",
            b"GET / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\nhello",
            b"nonsense\r\n\r\n",
        ],
        ids=["line", "field", "fields", "smuggling", "nonsense"],
    )
    async def test_requests_beyond_all_bounds(
        self, web: Portal, sent: bytes, caplog: pytest.LogCaptureFixture
    ) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", URL(web.url).port)
        writer.write(sent)
        await writer.drain()
        async with asyncio.timeout(10):
            line = await reader.readline()
        assert line.startswith((b"HTTP/1.1 4", b"HTTP/1.0 4")), line
        assert caplog.records == [], "nobody fills the log this way, and no address gets into it"
        writer.close()
        await writer.wait_closed()

    async def test_a_person_with_many_groups_fits(
        self, web: Portal, visitor: aiohttp.ClientSession, unique: Callable[[str], str]
    ) -> None:
        import uuid

        name = unique("many")
        groups = [str(uuid.uuid4()) for _ in range(200)]
        await web.issuer.accounts(**{name: {"name": "Many", "groups": groups}})
        await web.sign_in(visitor, Cli.go(unique("c")), account=name)
        async with visitor.get(web.at("/bind", s="x"), allow_redirects=False) as answer:
            assert answer.status == 409, "logged in, only the run is unknown"

    async def test_a_person_with_too_many_groups_is_told(
        self, web: Portal, visitor: aiohttp.ClientSession, unique: Callable[[str], str]
    ) -> None:
        import random

        draw = random.Random(1)
        name = unique("most")
        groups = ["".join(draw.choices("abcdefghijklmnopqrstuvwxyz0123456789", k=200)) for _ in range(300)]
        await web.issuer.accounts(**{name: {"name": "Most", "groups": groups}})
        landed = await follow_login(
            visitor, web.at("/authorize", **Cli.go(unique("c")).query()), account=name
        )
        assert (landed.status, orjson.loads(landed.body)["error"]) == (403, "too_many_groups")


class TestIssuer:
    async def test_away_at_the_start_and_back_later(
        self, backend: Lab, unique: Callable[[str], str], visitor: aiohttp.ClientSession
    ) -> None:
        async with Issuer() as issuer:
            port = free_port()
            client = await issuer.client(f"http://127.0.0.1:{port}/callback")
            await issuer.stop()
            async with portal(backend, issuer, port=port, registered=client) as other:
                begin = other.at("/authorize", **Cli.go(unique("c")).query())
                async with visitor.get(begin, headers=PAGE) as answer:
                    assert answer.status == 503
                    assert "sign-in service" in await answer.text()
                    assert int(answer.headers["Retry-After"]) > 0
                async with visitor.get(other.at("/readyz")) as answer:
                    assert answer.status == 200, "another replica would not reach the issuer either"
                    assert (await answer.json())["issuer"] == "degraded"
                async with visitor.get(other.at("/export")) as answer:
                    assert answer.status == 200
                await issuer.start()

                async def works() -> bool:
                    async with visitor.get(begin, allow_redirects=False) as answer:
                        return answer.status == 302

                await eventually(works, timeout=40)
                await other.sign_in(visitor, Cli.go(unique("c")))

    async def test_gone_in_the_middle_of_a_login(
        self, backend: Lab, unique: Callable[[str], str], visitor: aiohttp.ClientSession
    ) -> None:
        async with Issuer() as issuer, portal(backend, issuer) as other:
            begin = other.at("/authorize", **Cli.go(unique("c")).query())
            callback = (await follow_login(visitor, begin, stop_at=f"{other.url}/callback")).url
            await issuer.stop()
            async with visitor.get(callback, headers=PAGE, allow_redirects=False) as answer:
                assert answer.status == 503
                assert "Retry-After" in answer.headers

    async def test_a_public_client(
        self, backend: Lab, issuer: Issuer, unique: Callable[[str], str], visitor: aiohttp.ClientSession
    ) -> None:
        port = free_port()
        client = await issuer.client(f"http://127.0.0.1:{port}/callback", authentication="none")
        async with portal(backend, issuer, port=port, registered=client) as other:
            await other.sign_in(visitor, Cli.go(unique("c")))


class TestProbes:
    async def test_figures_for_this_machine_and_for_operators(
        self, backend: Lab, issuer: Issuer, unique: Callable[[str], str]
    ) -> None:
        async with portal(backend, issuer, admin_groups=("operators",)) as other:
            async with browser() as nobody, nobody.get(other.at("/metrics")) as answer:
                assert answer.status == 200
                assert "klutch_bind_http_requests_total" in await answer.text()
            # Through a proxy on this machine: the address is that of the proxy, the wish somebody else's.
            behind = {"X-Forwarded-For": "9.9.9.9"}
            async with browser() as nobody, nobody.get(other.at("/metrics"), headers=behind) as answer:
                assert answer.status == 403
                assert "--health-address" in await answer.text()
            for account, status in (("alice", 403), ("operator", 200)):
                async with browser() as person:
                    await other.sign_in(person, Cli.go(unique("c")), account=account)
                    async with person.get(other.at("/metrics"), headers=behind) as answer:
                        assert answer.status == status

    async def test_ready(self, web: Portal, visitor: aiohttp.ClientSession) -> None:
        async def all_well() -> bool:
            async with visitor.get(web.at("/readyz")) as answer:
                assert answer.status == 200
                return bool(await answer.json() == {"serving": "ok", "informers": "ok", "issuer": "ok"})

        # The issuer was not asked anything before the first login, or the first round of its caches.
        await eventually(all_well)


class TestPages:
    async def test_a_login_without_a_cli_leads_back(
        self, web: Portal, visitor: aiohttp.ClientSession
    ) -> None:
        landed = await follow_login(visitor, web.at("/login", next="/readyz"))
        assert (landed.url.path, landed.status) == ("/readyz", 200)

    @pytest.mark.parametrize("back", ["https://evil.example/", "//evil.example", "/\\evil.example"])
    async def test_and_nowhere_else(self, web: Portal, visitor: aiohttp.ClientSession, back: str) -> None:
        landed = await follow_login(visitor, web.at("/login", next=back), stop_at="https:")
        assert (landed.url.host, landed.url.path) == ("127.0.0.1", "/")

    @pytest.mark.parametrize(
        "target",
        ["https://evil.example/", "http://localhost:1@evil.example/", "http://evil.example\\@localhost/"],
    )
    async def test_no_cli_elsewhere(self, web: Portal, visitor: aiohttp.ClientSession, target: str) -> None:
        cli = Cli.go()
        async with visitor.get(web.at("/authorize", **cli.query(u=target)), allow_redirects=False) as answer:
            assert answer.status == 400
            assert "this machine" in (text := await answer.text()) or "characters" in text
        async with visitor.get(web.at("/authorize", **cli.query()), allow_redirects=False) as answer:
            assert answer.status == 302


class TestSecrets:
    async def test_no_line_of_the_log_holds_one(
        self,
        web: Portal,
        backend: Lab,
        kind: Resource,
        unique: Callable[[str], str],
        visitor: aiohttp.ClientSession,
    ) -> None:
        await backend.publish(kind)

        async def offered() -> bool:
            from bind_agent.backend.access import Kind

            return bool(web.watched.views.templates_of(Kind(kind.group, kind.plural)))

        await eventually(offered)
        with structlog.testing.capture_logs() as lines:
            cli = Cli.ours(unique("c"))
            begin = web.at("/authorize", **cli.query())
            landed = await follow_login(visitor, begin, stop_at=f"{web.url}/resources")
            url = await web.bind(visitor, cli, kind)
            _, document, _ = await web.redeem(url.query["code"], cli.verifier)
            await web.redeem(url.query["code"], cli.verifier)
        secrets = [url.query["code"], cli.verifier, document["kubeconfig"]]
        secrets += [one.value for one in visitor.cookie_jar if "klutch-bind" in one.key]
        secrets += [
            value for one in landed.visited for name, value in one.query.items() if name in {"state", "code"}
        ]
        text = str(lines)
        assert len(secrets) >= 6
        assert [secret for secret in secrets if secret in text] == []
        found = [(line["action"], line["outcome"]) for line in lines if line["event"] == "audit"]
        assert found == [("login", "done"), ("bind", "done")]

    async def test_what_was_used_is_removed_when_it_is_over(self, web: Portal) -> None:
        from datetime import timedelta

        spent = web.watched.spent
        assert spent is not None
        now = web.clock.now()
        assert await spent.use("code", "old", now - timedelta(hours=1))
        assert await spent.use("code", "young", now + timedelta(hours=1))
        assert not await spent.use("code", "young", now + timedelta(hours=1))
        web.clock.ahead = timedelta(minutes=6)
        try:

            async def pruned() -> bool:
                await spent.prune()
                found = await web.lab.admin.get_or_none(
                    LEASES, lease_name("code", "old"), namespace=BACKEND_NAMESPACE
                )
                return found is None

            await eventually(pruned)
        finally:
            web.clock.ahead = timedelta(0)
        assert await spent.used("code", "young")
        assert not await spent.used("code", "old")


class TestTls:
    async def test_a_new_certificate_is_taken_over_and_a_broken_one_is_not(self, tmp_path: Path) -> None:
        ca = trustme.CA()
        cert, key = tmp_path / "cert", tmp_path / "key"

        def write(pair: trustme.LeafCert) -> None:
            cert.write_bytes(b"".join(blob.bytes() for blob in pair.cert_chain_pems))
            pair.private_key_pem.write_to_path(key)

        write(ca.issue_cert("first.example", "localhost"))
        certificate = Certificate(str(cert), str(key))
        server = WebServer("127.0.0.1", 0, certificate=certificate)

        async def hello(_: aioweb.Request) -> aioweb.Response:
            return aioweb.Response(text="hello")

        app = aioweb.Application()
        app.router.add_get("/", hello)
        trust = ssl.create_default_context()
        ca.configure_trust(trust)

        async def name() -> str:
            """Who answers, to a client that checks."""
            reader, writer = await asyncio.open_connection(
                "127.0.0.1", server.port, ssl=trust, server_hostname="localhost"
            )
            found = writer.get_extra_info("peercert")["subjectAltName"][0][1]
            writer.write(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            assert b"hello" in await reader.read()
            writer.close()
            with contextlib.suppress(ssl.SSLError, ConnectionError):
                await writer.wait_closed()
            return str(found)

        async with background(server.run(app)):
            await server.started()
            assert await name() == "first.example"
            assert not certificate.refresh()
            write(ca.issue_cert("second.example", "localhost"))
            assert certificate.refresh()
            assert await name() == "second.example"
            # Half of a pair: the key is not there yet.
            third = ca.issue_cert("third.example", "localhost")
            cert.write_bytes(b"".join(blob.bytes() for blob in third.cert_chain_pems))
            assert not certificate.refresh()
            assert await name() == "second.example"
            third.private_key_pem.write_to_path(key)
            assert certificate.refresh()
            assert await name() == "third.example"
            server.stop()


class TestFaults:
    """What goes wrong inside is told without its content, as a page or as JSON."""

    @pytest_asyncio.fixture(loop_scope="session")
    async def faulty(self, web: Portal, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[str]:
        async def broken(_: aioweb.Request) -> aioweb.Response:
            raise RuntimeError("canary")

        async def slow(_: aioweb.Request) -> aioweb.Response:
            await asyncio.sleep(60)
            raise AssertionError

        monkeypatch.setattr("bind_agent.backend.http.app.LONGEST", 0.2)
        server = WebServer("127.0.0.1", 0)
        spent = web.watched.spent
        assert spent is not None
        context = web.half._context(web.watched, spent, web.half._oidc)
        extra = [aioweb.get("/broken", broken), aioweb.get("/slow", slow)]
        async with background(server.run(create_app(context, web.half._view, extra=extra))):
            await server.started()
            yield f"http://127.0.0.1:{server.port}"
            server.stop()

    @pytest.mark.parametrize("accept", ["text/html", "application/json"])
    @pytest.mark.parametrize(
        ("path", "status", "said"), [("/broken", 500, "reference"), ("/slow", 503, "too long")]
    )
    async def test_they_are_answers(
        self, web: Portal, faulty: str, path: str, status: int, said: str, accept: str
    ) -> None:
        sent = {"Host": URL(web.url).authority, "Accept": accept}
        with structlog.testing.capture_logs() as lines:
            async with aiohttp.ClientSession() as session, session.get(faulty + path, headers=sent) as answer:
                text = await answer.text()
                assert (answer.status, answer.content_type) == (status, accept)
                assert answer.headers["Cache-Control"] == "no-store"
        assert said in text
        assert "canary" not in text + str(lines)
        if status == 500:
            reference = next(line["reference"] for line in lines if line.get("reference"))
            assert reference in text

    async def test_nobody_is_served_from_half_a_view(self, web: Portal) -> None:
        spent = web.watched.spent
        assert spent is not None

        class Starting:
            ready = False

        context = replace(web.half._context(web.watched, spent, web.half._oidc), views=Starting())  # type: ignore[arg-type]
        server = WebServer("127.0.0.1", 0)
        async with background(server.run(create_app(context, web.half._view))):
            await server.started()
            sent = {"Host": URL(web.url).authority}
            async with aiohttp.ClientSession() as session:
                for path, status in (("/export", 503), ("/healthz", 200)):
                    async with session.get(f"http://127.0.0.1:{server.port}{path}", headers=sent) as answer:
                        assert answer.status == status
            server.stop()


class TestTheEnd:
    async def test_what_runs_is_finished_and_nothing_new_begins(self) -> None:
        server = WebServer("127.0.0.1", 0)
        begun, go_on = asyncio.Event(), asyncio.Event()

        async def slow(_: aioweb.Request) -> aioweb.Response:
            begun.set()
            await go_on.wait()
            return aioweb.Response(text="finished")

        app = aioweb.Application()
        app.router.add_get("/", slow)
        running = asyncio.ensure_future(server.run(app))
        await server.started()
        url = f"http://127.0.0.1:{server.port}/"
        async with aiohttp.ClientSession() as session:

            async def fetch() -> str:
                async with session.get(url) as answer:
                    return await answer.text()

            asked = asyncio.ensure_future(fetch())
            await begun.wait()
            server.stop()

            async def closed() -> bool:
                with contextlib.suppress(OSError):
                    socket.create_connection(("127.0.0.1", server.port), timeout=1).close()
                    return False
                return True

            await eventually(closed)
            assert not server.serving
            go_on.set()
            assert await asked == "finished"
        await running

    async def test_stopped_before_it_began(self, web: Portal) -> None:
        from bind_agent.backend.http.service import WebHalf

        half = WebHalf(
            web.options, web.half._tenancy, web.half._policy, web.half._tenants, view=web.half._view
        )
        half.stop()

        async def never() -> Any:
            await asyncio.Event().wait()

        await half.run(never)
        assert not half.ready

    async def test_a_port_that_is_taken(self, web: Portal) -> None:
        with pytest.raises(OSError, match="in use"):
            await WebServer("127.0.0.1", web.options.listen_port).run(aioweb.Application())
