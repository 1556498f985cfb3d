"""The person at the browser, with a provider and a sign-in service that misbehave; the real ones are in tests/e2e."""

from collections.abc import AsyncIterator, Callable
from typing import Any
from urllib.parse import urlencode

import pytest
import pytest_asyncio
from aiohttp import web

from bind_agent.devcluster.demo.tour_login import LoginNotFollowed, Visit, follow
from bind_agent.devcluster.ports import LOOPBACK, free_port

pytestmark = pytest.mark.unit

PLURAL, GROUP = "postgresqls", "databases.example.com"
_SECRET = "nobody-sees-this"
Reply = Callable[[web.Request], web.StreamResponse]


def html(text: str, status: int = 200) -> Reply:
    return lambda _: web.Response(text=text, content_type="text/html", status=status)


def to(target: str) -> Reply:
    return lambda _: web.Response(status=302, headers={"Location": target})


class World:
    """Provider, sign-in service and command line, each on a port; what a path answers can be changed."""

    def __init__(self) -> None:
        self.runners: list[web.AppRunner] = []
        self.replies: dict[tuple[str, str], Reply] = {}
        self.seen: list[tuple[str, str]] = []
        self.told: list[str] = []
        self.url: dict[str, str] = {}

    async def start(self, name: str) -> None:
        async def handle(request: web.Request) -> web.StreamResponse:
            self.seen.append((name, request.path))
            return self.replies[name, request.path](request)

        application = web.Application()
        application.router.add_route("GET", "/{path:.*}", handle)
        runner = web.AppRunner(application, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, LOOPBACK, 0).start()
        self.runners.append(runner)
        self.url[name] = f"http://{LOOPBACK}:{runner.addresses[0][1]}"

    def reply(self, name: str, path: str, reply: Reply) -> None:
        self.replies[name, path] = reply

    def well_behaved(self) -> None:
        provider, issuer, cli = self.url["provider"], self.url["issuer"], self.url["cli"]

        def authorize(_: web.Request) -> web.StreamResponse:
            answer = web.Response(status=302, headers={"Location": f"{issuer}/authorize?state=a%2Bb%3D"})
            answer.set_cookie("browser", "b")
            return answer

        def sign_in(request: web.Request) -> web.StreamResponse:
            assert request.query["login_hint"] == "alice"
            query = urlencode({"code": _SECRET, "state": request.query["state"]})
            return web.Response(status=303, headers={"Location": f"{provider}/callback?{query}"})

        def callback(request: web.Request) -> web.StreamResponse:
            assert (request.query["state"], request.cookies["browser"]) == ("a+b=", "b")
            return web.Response(status=302, headers={"Location": "/resources?s=1"})

        link = f"/bind?s=1&amp;resource={PLURAL}&amp;group={GROUP}&amp;t={_SECRET}"
        self.reply("provider", "/authorize", authorize)
        self.reply("issuer", "/authorize", sign_in)
        self.reply("provider", "/callback", callback)
        self.reply(
            "provider",
            "/resources",
            html(f'<h1>Catalogue</h1><a class="{PLURAL}" href="{link}">Bind</a>'),
        )
        self.reply("provider", "/bind", to(f"{cli}/waiting?code={_SECRET}&s=1"))
        self.reply("cli", "/waiting", html("<h1>Logged in</h1>"))

    @property
    def address(self) -> str:
        return f"{self.url['provider']}/authorize?{urlencode({'s': 1, 'u': self.url['cli'] + '/waiting'})}"

    async def follow(self, address: str = "", **changes: Any) -> None:
        visit = Visit("alice", self.url["issuer"], PLURAL, GROUP, **{"patience": 0.0, **changes})
        await follow(address or self.address, visit, self.told.append)

    async def refused(self, address: str = "") -> str:
        with pytest.raises(LoginNotFollowed) as caught:
            await self.follow(address)
        text = str(caught.value)
        assert _SECRET not in text
        assert caught.value.__cause__ is None
        return text


@pytest_asyncio.fixture(loop_scope="session")
async def world() -> AsyncIterator[World]:
    made = World()
    for name in ("provider", "issuer", "cli"):
        await made.start(name)
    made.well_behaved()
    try:
        yield made
    finally:
        for runner in made.runners:
            await runner.cleanup()


async def test_the_login_is_followed_to_the_command_line(world: World) -> None:
    await world.follow()
    assert world.seen == [
        ("provider", "/authorize"),
        ("issuer", "/authorize"),
        ("provider", "/callback"),
        ("provider", "/resources"),
        ("provider", "/bind"),
        ("cli", "/waiting"),
    ]
    assert world.told == [
        "sign-in service: signed in as alice; no password is asked for there",
        "Catalogue: pressed “Bind”",
        "page of the command line: Logged in",
    ]


async def test_an_api_that_appears_a_moment_later_is_waited_for(world: World) -> None:
    ready = world.replies["provider", "/resources"]

    def first(_: web.Request) -> web.StreamResponse:
        world.reply("provider", "/resources", ready)
        return web.Response(text="<h1>Catalogue</h1>", content_type="text/html")

    world.reply("provider", "/resources", first)
    await world.follow(patience=60.0)
    assert world.seen[-1] == ("cli", "/waiting")


async def test_a_catalogue_without_the_api_is_told(world: World) -> None:
    world.reply("provider", "/resources", html("<h1>Catalogue</h1><p>No API is offered to you yet.</p>"))
    assert await world.refused() == (
        "the catalogue offers alice no button to bind postgresqls.databases.example.com: “Catalogue” No API is "
        "offered to you yet."
    )


async def test_a_page_that_reports_an_error_is_told_in_its_words(world: World) -> None:
    page = "<h1>Not your login</h1><p>This answer belongs to no login.</p>"
    world.reply("provider", "/callback", html(page, 403))
    assert await world.refused() == (
        f"{world.url['provider']}/callback answers 403: “Not your login” This answer belongs to no login."
    )


async def test_a_sign_in_service_that_knows_nobody_of_that_name_is_told(world: World) -> None:
    world.reply("issuer", "/authorize", html("<h1>Who are you?</h1>"))
    assert await world.refused() == f"the login ends at {world.url['issuer']}/authorize: “Who are you?”"


async def test_an_answer_that_does_not_go_to_the_command_line_is_told(world: World) -> None:
    world.reply("provider", "/bind", html("<h1>Bind it?</h1><p>Press the button.</p>"))
    assert "no answer went to the command line" in (text := await world.refused())
    assert "“Bind it?”. Press the button." in text


@pytest.mark.parametrize(
    "elsewhere",
    ["http://127.0.0.1:9/x?code=" + _SECRET, "https://example.com/?x=" + _SECRET],
)
async def test_the_login_goes_nowhere_else(world: World, elsewhere: str) -> None:
    world.reply("provider", "/bind", to(elsewhere))
    assert "none of its places" in await world.refused()


async def test_the_answer_goes_to_exactly_the_place_that_waits(world: World) -> None:
    world.reply("provider", "/bind", to(f"{world.url['cli']}/other?code={_SECRET}"))
    assert "none of its places" in await world.refused()
    assert ("cli", "/other") not in world.seen


@pytest.mark.parametrize(
    "target", ["http://[::1", "http://a:b/", "file:///etc/passwd", "mailto:x@example.com"]
)
async def test_an_address_that_cannot_be_opened_is_told(world: World, target: str) -> None:
    world.reply("provider", "/authorize", to(target))
    assert "cannot be opened" in await world.refused()


async def test_circles_end(world: World) -> None:
    world.reply("provider", "/authorize", to("/authorize"))
    assert "round in circles" in await world.refused()


async def test_an_endless_page_ends(world: World) -> None:
    world.reply("provider", "/resources", html("x" * 2_000_000))
    assert "larger than" in await world.refused()


async def test_whoever_does_not_answer_is_named(world: World) -> None:
    port = free_port()
    text = await world.refused(f"http://{LOOPBACK}:{port}/authorize?s={_SECRET}&u={world.url['cli']}/waiting")
    assert text.startswith(f"http://{LOOPBACK}:{port}/authorize does not answer (")


async def test_an_address_without_a_place_for_the_answer_is_refused(world: World) -> None:
    text = await world.refused(f"{world.url['provider']}/authorize?s={_SECRET}&p=1")
    assert "names no place for the answer" in text
    assert world.seen == []
