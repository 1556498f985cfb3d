"""The web half of one process: waits for what it needs, serves, ends in order."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable

from aiohttp import web

from bind_agent.aio.clock import SYSTEM, Clock
from bind_agent.aio.tasks import background, run_until
from bind_agent.backend.exports import Policy
from bind_agent.backend.http.app import create_app
from bind_agent.backend.http.audit import Audit
from bind_agent.backend.http.connections import bounds_of
from bind_agent.backend.http.context import Web
from bind_agent.backend.http.keyring import Keyring
from bind_agent.backend.http.limits import Limiter
from bind_agent.backend.http.server import WebServer
from bind_agent.backend.http.spent import Spent
from bind_agent.backend.http.tls import Certificate
from bind_agent.backend.http.view import View
from bind_agent.backend.oidc.client import OidcClient
from bind_agent.backend.options.tenancy import Tenancy
from bind_agent.backend.options.web import WebOptions
from bind_agent.backend.tenancy.provision import Tenants
from bind_agent.backend.watched import Watched


class WebHalf:
    """Login, catalogue and bind of one replica.

    Attributes:
        server: its listener.
    """

    def __init__(
        self,
        options: WebOptions,
        tenancy: Tenancy,
        policy: Policy,
        tenants: Callable[[Watched], Tenants],
        *,
        view: View,
        no_address: str = "",
        replica: str = "",
        routes: Iterable[web.AbstractRouteDef] = (),
        clock: Clock = SYSTEM,
    ) -> None:
        """Set up; nothing listens before `run`.

        Args:
            options: checked flags.
            tenancy: flags about tenants.
            policy: how this backend exports.
            tenants: makes tenants, given what is watched.
            view: renders our own pages.
            no_address: why new tenants would not reach this provider; empty when they would.
            replica: noted in the audit log and on Leases.
            routes: of further pages.
            clock: for wall-clock times.

        Raises:
            OSError: the certificate cannot be read.
        """
        certificate = (
            Certificate(options.tls_cert_file, options.tls_key_file) if options.tls_cert_file else None
        )
        self.server = WebServer(
            options.listen_host, options.listen_port, certificate=certificate, bounds=bounds_of(options)
        )
        self._options = options
        self._tenancy = tenancy
        self._policy = policy
        self._tenants = tenants
        self._replica = replica
        self._no_address = no_address
        self._view = view
        self._routes = tuple(routes)
        self._clock = clock
        self._oidc = OidcClient(options.oidc, clock=clock)
        self._stopped = asyncio.Event()
        self._complete: Callable[[], bool] = lambda: False

    @property
    def ready(self) -> bool:
        """Whether requests should come here: it listens, and what pages show is complete."""
        return self.server.serving and self._complete()

    def stop(self) -> None:
        """Take no more requests, finish those under way; `run` returns then."""
        self._stopped.set()
        self.server.stop()

    async def run(self, watching: Callable[[], Awaitable[Watched]]) -> None:
        """Serve until `stop` or cancelled.

        Args:
            watching: gives what is watched, once that has begun.

        Raises:
            OSError: the address cannot be listened on.
        """
        watched = await run_until(watching, self._stopped)
        if watched is None or (spent := watched.spent) is None:
            return
        self._complete = lambda: watched.views.ready and spent.ready
        async with self._oidc as oidc, background(oidc.run(), name="oidc"):
            app = create_app(self._context(watched, spent, oidc), self._view, extra=self._routes)
            await self.server.run(app)

    def _context(self, watched: Watched, spent: Spent, oidc: OidcClient) -> Web:
        return Web(
            options=self._options,
            tenancy=self._tenancy,
            views=watched.views,
            crds=watched.crds,
            tenants=self._tenants(watched),
            oidc=oidc,
            keyring=Keyring(self._options.cookie_keys),
            spent=spent,
            audit=Audit(self._replica),
            limiter=Limiter(self._options.rate_limit, monotonic=self._clock.monotonic),
            policy=self._policy,
            no_address=self._no_address,
            clock=self._clock,
            checks={
                "serving": lambda: self.server.serving,
                "informers": self._complete,
            },
        )
