"""The web half inside the test process, beside the backend of a `Lab`, with a real issuer; and browsers for it."""

import base64
import hashlib
import secrets
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, Final
from urllib.parse import urlencode

import aiohttp
import orjson
from yarl import URL

from bind_agent.aio.clock import SYSTEM
from bind_agent.aio.tasks import background
from bind_agent.api.encoding import from_base64
from bind_agent.api.resource import Resource
from bind_agent.backend.crds import CrdReader
from bind_agent.backend.exports import Policy
from bind_agent.backend.http.service import WebHalf
from bind_agent.backend.http.spent import Spent
from bind_agent.backend.oidc.config import OidcConfig
from bind_agent.backend.options.tenancy import Tenancy
from bind_agent.backend.options.web import CookieKeys, WebOptions
from bind_agent.backend.pages import routes as pages
from bind_agent.backend.pages.view import PageView
from bind_agent.backend.rights import Rights
from bind_agent.backend.tenancy.address import AddressError, Endpoint
from bind_agent.backend.tenancy.credentials import Credentials
from bind_agent.backend.tenancy.provision import Tenants
from bind_agent.backend.views import Views
from bind_agent.backend.watched import Watched
from bind_agent.devcluster.ports import free_port
from bind_agent.devcluster.stage import BACKEND_NAMESPACE
from bind_agent.kube.config import ClusterConfig, from_kubeconfig
from bind_agent.runtime.pool import InformerPool
from tests.fakes.backend_lab import Lab, eventually
from tests.fakes.issuer import Issuer, browser, follow_login

LISTENING: Final = "http://127.0.0.1:1/cli"
"""Where a CLI would listen; nobody follows a browser there."""

KEYS: Final = CookieKeys((b"s" * 32,), (b"e" * 16,))


class ShiftedClock:
    """The machine's clock, some time ahead."""

    def __init__(self) -> None:
        self.ahead = timedelta(0)

    def now(self) -> datetime:
        """Wall-clock time plus the shift."""
        return SYSTEM.now() + self.ahead

    def monotonic(self) -> float:
        """Not shifted."""
        return SYSTEM.monotonic()

    async def sleep(self, seconds: float) -> None:
        """Not shifted."""
        await SYSTEM.sleep(seconds)


@dataclass(frozen=True, slots=True)
class Cli:
    """What a CLI keeps of one `kubectl bind`.

    Attributes:
        sid: its session id.
        cluster_id: of its app cluster.
        verifier: of its one-time code; empty for Go's CLI.
    """

    sid: str
    cluster_id: str
    verifier: str = field(default="", repr=False)

    @classmethod
    def ours(cls, cluster_id: str = "c1") -> "Cli":
        """One of ours."""
        return cls(secrets.token_hex(4), cluster_id, secrets.token_urlsafe(32))

    @classmethod
    def go(cls, cluster_id: str = "c1") -> "Cli":
        """One of Go's."""
        return cls(secrets.token_hex(3), cluster_id)

    def query(self, **more: str) -> dict[str, str]:
        """Parameters of `/authorize`."""
        found = {"u": LISTENING, "s": self.sid, "c": self.cluster_id}
        if self.verifier:
            digest = hashlib.sha256(self.verifier.encode()).digest()
            found["code_challenge"] = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
        return found | more


@dataclass(frozen=True, slots=True)
class Portal:
    """A running web half.

    Attributes:
        url: its origin, without a slash.
        half: see there.
        watched: what it watches.
        options: its flags.
        lab: the cluster behind it.
        issuer: where people log in.
        clock: its clock.
    """

    url: str
    half: WebHalf
    watched: Watched
    options: WebOptions
    lab: Lab
    issuer: Issuer
    clock: ShiftedClock

    def at(self, path: str, /, **query: str) -> URL:
        """An address here."""
        return URL(f"{self.url}{path}" + (f"?{urlencode(query)}" if query else ""), encoded=True)

    async def sign_in(
        self, session: aiohttp.ClientSession, cli: Cli, account: str = "alice", **more: str
    ) -> None:
        """Log in for a CLI; what the catalogue page looks like does not matter."""
        await follow_login(
            session,
            self.at("/authorize", **cli.query(**more)),
            account=account,
            stop_at=f"{self.url}/resources",
        )

    async def bind(self, session: aiohttp.ClientSession, cli: Cli, kind: Resource) -> URL:
        """Confirm the bind in the browser; where it is sent then."""
        query = {"s": cli.sid, "resource": kind.plural, "group": kind.group}
        async with session.get(self.at("/bind", **query), headers={"Accept": "text/html"}) as page:
            assert page.status == 200, await page.text()
            token = field_of(await page.text(), "csrf")
        async with session.post(
            self.at("/bind"),
            data=query | {"csrf": token},
            headers={"Origin": self.url, "Accept": "text/html"},
            allow_redirects=False,
        ) as answer:
            assert answer.status == 302, await answer.text()
            return URL(answer.headers["Location"], encoded=True)

    async def redeem(
        self, code: str, verifier: str, session: aiohttp.ClientSession | None = None
    ) -> tuple[int, dict[str, Any], Mapping[str, str]]:
        """Exchange a code; status, document, headers."""
        own = session or aiohttp.ClientSession()
        try:
            async with own.post(self.at("/redeem"), json={"code": code, "code_verifier": verifier}) as answer:
                return answer.status, await answer.json(), dict(answer.headers)
        finally:
            if session is None:
                await own.close()


@asynccontextmanager
async def portal(
    lab: Lab,
    issuer: Issuer,
    *,
    callback_origin: str = "",
    port: int = 0,
    registered: Any = None,
    tenancy: Tenancy | None = None,
    policy: Policy | None = None,
    endpoint: Endpoint | AddressError | None = None,
    **web: Any,
) -> AsyncIterator[Portal]:
    """Run a web half.

    Args:
        lab: the cluster.
        issuer: where people log in.
        callback_origin: under which browsers see it; its own address by default.
        port: to listen on; a free one by default.
        registered: the client at the issuer; a new one by default.
        tenancy: flags about tenants.
        policy: how it exports.
        endpoint: what kubeconfigs say; that of the lab by default.
        web: further fields of `WebOptions`.
    """
    port = port or free_port()
    origin = callback_origin or f"http://127.0.0.1:{port}"
    client = registered or await issuer.client(f"{origin}/callback")
    options = replace(
        WebOptions(
            oidc=OidcConfig(issuer.url, client.client_id, client.client_secret, f"{origin}/callback"),
            cookie_keys=KEYS,
            listen_port=port,
            rate_limit=0,
        ),
        **web,
    )
    tenancy = tenancy or Tenancy(pretty_name="Lab")
    clock = ShiftedClock()
    endpoint = endpoint or lab.endpoint
    credentials = Credentials(lab.own, ttl=tenancy.token_ttl, endpoint=endpoint)

    def tenants(watched: Watched) -> Tenants:
        return Tenants(lab.own, Rights(lab.own), credentials, views=watched.views)

    half = WebHalf(
        options,
        tenancy,
        policy or Policy(),
        tenants,
        view=PageView(),
        no_address=str(endpoint) if isinstance(endpoint, AddressError) else "",
        routes=pages.routes(),
        clock=clock,
    )
    async with InformerPool(lab.own) as pool:
        views = Views(pool, cluster_role_bindings=False)
        spent = Spent.watched(pool, BACKEND_NAMESPACE, clock=clock)
        watched = Watched(views, CrdReader(lab.own, views.crds), spent)

        async def watching() -> Watched:
            return watched

        async with background(half.run(watching), spent.keep_clean()):
            await half.server.started()
            found = Portal(f"http://127.0.0.1:{port}", half, watched, options, lab, issuer, clock)

            async def ready() -> bool:
                return views.ready and spent.ready

            await eventually(ready)
            yield found


def field_of(html: str, name: str, *, action: str = "") -> str:
    """Value of a hidden field of what the page is about, in the form with this action if one is named."""
    form = html.partition("<main")[2]
    if action:
        form = form.partition(f'action="{action}"')[2]
    _, found, after = form.partition(f'name="{name}" value="')
    assert found, html
    return after.partition('"')[0]


def response_of(url: URL) -> dict[str, Any]:
    """The document in a redirect of the Go style."""
    return dict(orjson.loads(from_base64(url.query["response"])))


def kubeconfig_of(document: Mapping[str, Any]) -> ClusterConfig:
    """How a tenant connects."""
    return from_kubeconfig(from_base64(document["kubeconfig"]))


__all__ = [
    "KEYS",
    "LISTENING",
    "Cli",
    "Portal",
    "ShiftedClock",
    "browser",
    "field_of",
    "kubeconfig_of",
    "portal",
    "response_of",
]
