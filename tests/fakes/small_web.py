"""The web half with nothing behind it: handlers, pages and middlewares are real, clusters and issuer are made up.

For tests of answers that need no cluster: who is sent where, what a page of an error offers, which headers go along.
"""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from types import SimpleNamespace
from typing import Any, Final, cast

from aiohttp import ClientResponse
from aiohttp.test_utils import TestClient, TestServer
from yarl import URL

from bind_agent.aio.clock import SYSTEM
from bind_agent.backend.exports import Policy
from bind_agent.backend.http import csrf, sessions
from bind_agent.backend.http.app import create_app
from bind_agent.backend.http.audit import Audit
from bind_agent.backend.http.context import Web
from bind_agent.backend.http.keyring import Keyring
from bind_agent.backend.http.limits import Limiter
from bind_agent.backend.http.sessions import Bind, Session
from bind_agent.backend.oidc.config import OidcConfig
from bind_agent.backend.options.tenancy import Tenancy
from bind_agent.backend.options.web import CookieKeys, WebOptions
from bind_agent.backend.pages import routes
from bind_agent.backend.pages.view import PageView
from bind_agent.backend.person import Person
from bind_agent.kube.errors import KubeError
from bind_agent.runtime.store import Store, make_entry
from tests.fakes import pages_world as world

ORIGIN: Final = "http://localhost:8080"
PAGE: Final = {"Accept": "text/html"}
POLL: Final = {"HX-Request": "true", "Sec-Fetch-Mode": "cors"}
WAITING: Final = Bind("sid-1", "shop-production", "http://127.0.0.1:43211/cli", "c" * 43)
_ISSUER: Final = "https://login.northwind.example"


class Spent:
    """Notes of what was used, in memory.

    Attributes:
        ready: whether what others noted is known.
        away: raised instead of an answer of the API server.
    """

    def __init__(self) -> None:
        self.ready = True
        self.away: KubeError | None = None
        self._used: set[tuple[str, str]] = set()

    def known(self, kind: str, thing: str) -> bool:
        return (kind, thing) in self._used

    async def used(self, kind: str, thing: str) -> bool:
        self._fail()
        return self.known(kind, thing)

    async def use(self, kind: str, thing: str, _: object) -> bool:
        self._fail()
        fresh = not self.known(kind, thing)
        self._used.add((kind, thing))
        return fresh

    def _fail(self) -> None:
        if self.away is not None:
            raise self.away


class Issuer:
    """Lets everybody in as Anna, or fails as a test wants."""

    trouble = ""

    def __init__(self) -> None:
        self.failure: Exception | None = None
        self.person: Person = world.ANNA
        self.begun: list[str] = []

    async def authorization_url(self, *, state: str, nonce: str, code_challenge: str) -> str:
        self.begun.append(state)
        return f"{_ISSUER}/authorize?state={state}"

    async def login(self, code: str, **_: Any) -> Person:
        if self.failure is not None:
            raise self.failure
        return self.person


class Tenants:
    """Nobody has a cluster, or asking for them fails."""

    def __init__(self) -> None:
        self.away: KubeError | None = None

    async def of_person(self, issuer: str, subject: str) -> list[Any]:
        if self.away is not None:
            raise self.away
        return []

    async def add(self, *_: Any, **__: Any) -> Any:
        raise self.away or AssertionError("no test adds a tenant here")


class Crds:
    """The CRDs of the made-up provider."""

    def __init__(self, found: Mapping[str, Any]) -> None:
        self.away: KubeError | None = None
        self._found = found

    async def read(self, kind: object) -> Any:
        if self.away is not None:
            raise self.away
        return self._found.get(str(kind))


@dataclass
class SmallWeb:
    """One that answers.

    Attributes:
        client: asks it.
        context: its collaborators.
        spent: what was used.
        issuer: where people log in.
        tenants: who has clusters.
        crds: what can be read about APIs.
    """

    client: TestClient[Any, Any]
    context: Web
    spent: Spent
    issuer: Issuer
    tenants: Tenants
    crds: Crds
    cookies: dict[str, str] = field(default_factory=dict)

    def sign_in(self, *binds: Bind) -> Session:
        """Be Anna from now on, in a new session."""
        now = self.context.clock.now()
        session = sessions.new(world.ANNA, now, binds=binds)
        self.cookies[self.context.cookies.session] = sessions.seal(self.context.keyring, session, now)
        return session

    def sign_out(self, session: Session) -> None:
        """End a session as another tab does; this one keeps its cookie."""
        self.spent._used.add((sessions.SPENT, session.id))

    def token(self, session: Session, purpose: str) -> str:
        """The token of a form."""
        return csrf.token(self.context, session, purpose)

    async def ask(
        self, path: str, method: str = "GET", *, headers: Mapping[str, str] = PAGE, **more: Any
    ) -> tuple[ClientResponse, str]:
        """One request, with the cookies that there are; redirects are not followed."""
        sent = {"Host": "localhost:8080", **headers}
        if self.cookies and "Cookie" not in sent:
            sent["Cookie"] = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        async with self.client.request(
            method, URL(path, encoded=True), headers=sent, allow_redirects=False, **more
        ) as answer:
            return answer, await answer.text()


@asynccontextmanager
async def small_web(*, rate: int = 0, ready: bool = True, **options: Any) -> AsyncIterator[SmallWeb]:
    """Run one while the block runs.

    Args:
        rate: requests a second.
        ready: whether what is watched is there.
        options: further fields of `WebOptions`.
    """
    found, crds = world.catalogue()
    templates, slim = Store(), Store()
    for one in found:
        templates.put(make_entry(one))
    for one in crds.values():
        slim.put(make_entry(one))
    views = SimpleNamespace(
        ready=ready,
        templates=SimpleNamespace(store=templates),
        crds=SimpleNamespace(store=slim),
        templates_of=lambda kind: [
            one
            for one in found
            if str(kind) == "{resource}.{group}".format(**one["spec"]["APIServiceSelector"])
        ],
    )
    web_options = replace(
        WebOptions(
            oidc=OidcConfig(_ISSUER, "client", "", f"{ORIGIN}/callback"),
            cookie_keys=CookieKeys((b"s" * 32,)),
            rate_limit=rate,
        ),
        **options,
    )
    spent, issuer, tenants, read = Spent(), Issuer(), Tenants(), Crds(crds)
    context = Web(
        options=web_options,
        tenancy=Tenancy(pretty_name=world.PROVIDER),
        views=cast("Any", views),
        crds=cast("Any", read),
        tenants=cast("Any", tenants),
        oidc=cast("Any", issuer),
        keyring=Keyring(web_options.cookie_keys),
        spent=cast("Any", spent),
        audit=Audit(),
        limiter=Limiter(rate, monotonic=SYSTEM.monotonic),
        policy=Policy(),
    )
    server = TestServer(create_app(context, PageView(), extra=routes.routes()))
    async with TestClient(server) as client:
        yield SmallWeb(client, context, spent, issuer, tenants, read)
