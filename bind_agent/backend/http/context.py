"""What all handlers share."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, Protocol

from aiohttp import web

from bind_agent.aio.clock import SYSTEM, Clock
from bind_agent.aio.turns import Turns
from bind_agent.backend.crds import CrdReader
from bind_agent.backend.exports import Policy
from bind_agent.backend.http.audit import Audit
from bind_agent.backend.http.cookies import Cookies
from bind_agent.backend.http.keyring import Keyring
from bind_agent.backend.http.limits import Limiter
from bind_agent.backend.http.spent import Spent
from bind_agent.backend.http.view import View
from bind_agent.backend.options.tenancy import Tenancy
from bind_agent.backend.options.web import WebOptions
from bind_agent.backend.person import Person
from bind_agent.backend.tenancy.provision import Tenants
from bind_agent.backend.views import Views


class Login(Protocol):
    """Proves who somebody is, by an OIDC issuer."""

    @property
    def trouble(self) -> str:
        """Why nobody can log in now, a sentence; empty when all is well."""
        ...

    async def authorization_url(self, *, state: str, nonce: str, code_challenge: str) -> str:
        """Where the browser logs in."""
        ...

    async def login(self, code: str, *, code_verifier: str, nonce: str, issuer: str | None) -> Person:
        """Exchange the issuer's code for a proven person."""
        ...


@dataclass(frozen=True, slots=True)
class Web:
    """Collaborators of the handlers.

    Attributes:
        options: flags of the web half.
        tenancy: flags about tenants: prefix of namespaces, name of the provider.
        views: what is watched.
        crds: CRDs with their schemas.
        tenants: adds, finds, rotates and revokes.
        oidc: proves who somebody is.
        keyring: seals what browsers keep.
        spent: what may be used once.
        audit: who did what.
        limiter: requests of one client.
        policy: how this backend exports, which decides what the catalogue shows.
        no_address: why new tenants would not reach this provider; empty when they would.
        clock: for wall-clock times.
        checks: readiness by name, as on the health endpoint.
        turns: spaces out the steps of logins.
    """

    options: WebOptions
    tenancy: Tenancy
    views: Views
    crds: CrdReader
    tenants: Tenants
    oidc: Login
    keyring: Keyring
    spent: Spent
    audit: Audit
    limiter: Limiter
    policy: Policy = field(default_factory=Policy)
    no_address: str = ""
    clock: Clock = SYSTEM
    checks: dict[str, Callable[[], bool]] = field(default_factory=dict)
    turns: Turns = field(default_factory=Turns)

    @property
    def cookies(self) -> Cookies:
        """Names and attributes of our cookies."""
        return Cookies(self.options.secure)


WEB: Final = web.AppKey("web", Web)
VIEW: Final = web.AppKey[View]("view")
