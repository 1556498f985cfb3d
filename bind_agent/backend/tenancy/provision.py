"""Adding, finding and removing tenants (spec 4.5).

The same code serves the command line and the login pages. Every step can be repeated, so an attempt that
broke off is finished by the next one, and several at once make one tenant (W-B5).
"""

import asyncio
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Final

import structlog

from bind_agent.aio.clock import SYSTEM, Clock
from bind_agent.api import conditions, keys
from bind_agent.api.resource import NAMESPACES
from bind_agent.backend import access, names
from bind_agent.backend.grants import ensure
from bind_agent.backend.person import Person
from bind_agent.backend.retiring import Retirements
from bind_agent.backend.rights import Rights
from bind_agent.backend.tenancy import kubeconfig, own_access, record
from bind_agent.backend.tenancy.admission import Admission, secret_name
from bind_agent.backend.tenancy.credentials import Credentials
from bind_agent.backend.tenancy.directory import Directory, TenancyError, Tenant
from bind_agent.backend.tenancy.identity import Identity, add_command, distinguished
from bind_agent.backend.tenancy.revocation import Revocations, TenantRevoked, mark, revoked_by
from bind_agent.backend.tenancy.rotation import Credential
from bind_agent.backend.tenancy.usable import Usable
from bind_agent.backend.views import Views
from bind_agent.kube.client import Client
from bind_agent.kube.errors import Conflict, NotFound

__all__ = ["Added", "TenancyError", "Tenant", "TenantRevoked", "Tenants"]

log = structlog.get_logger(__name__)

_ATTEMPTS: Final = 5
AT_ONCE: Final = 3
"""Tenants that are made at once. With more a crowd of logins ends somewhat sooner, and pages wait longer beside it."""


@dataclass(frozen=True, slots=True)
class Added:
    """A tenant that can be used.

    Attributes:
        namespace: its cluster namespace.
        created: whether it is new.
        credential: what is in force.
        kubeconfig: for the consumer; holds the token.
    """

    namespace: str
    created: bool
    credential: Credential
    kubeconfig: bytes = field(repr=False)


class Tenants:
    """The tenants of one provider.

    Attributes:
        retirements: ends their exports in good time.
    """

    def __init__(
        self,
        client: Client,
        rights: Rights,
        credentials: Credentials,
        *,
        views: Views | None = None,
        legacy_issuer: str = "",
        clock: Clock = SYSTEM,
    ) -> None:
        """Set up.

        Args:
            client: of the provider cluster.
            rights: who we are and what we may do.
            credentials: issues tokens.
            views: what is watched; None: everything is asked of the API server.
            legacy_issuer: whose accounts the tenants of a Go backend are.
            clock: for wall-clock times.
        """
        self._client = client
        self._rights = rights
        self._credentials = credentials
        self._directory = Directory(client, views=views, legacy_issuer=legacy_issuer)
        self._revocations = Revocations(client, self._directory, credentials, clock=clock)
        self._admission = Admission(client, self._directory, self._revocations, clock=clock)
        self._usable = Usable(client)
        self._making = asyncio.Semaphore(AT_ONCE)
        self.retirements = Retirements(client)
        self._clock = clock

    async def add(
        self,
        who: Identity,
        *,
        prefix: str,
        pretty_name: str,
        person: Person | None = None,
        allow: Collection[str] = (),
    ) -> Added:
        """Add a tenant, or finish and renew one that exists.

        When this returns the tenant's rights are in force, so that its first request is not refused.

        Args:
            who: the identity.
            prefix: of the namespace's name.
            pretty_name: of the provider, shown to consumers.
            person: who logged in; None on the command line. What rules need of it is noted.
            allow: group resources (or `*`) that a tenant of the command line may request; empty leaves what
                is.

        Raises:
            TenantRevoked: the provider has shut this tenant out, and a login asks for it.
            TenancyError: its namespace is being deleted, or no name is free.
            AddressError: it is not known what the kubeconfig should say.
            KubeError: a request failed; adding again goes on from there.
            ValueError: the person is another one than the identity names.
        """
        if person is not None and (person.issuer, person.subject) != (who.issuer, who.subject):
            message = "the identity is not that of the person who logged in"
            raise ValueError(message)
        notes = self._notes(person, allow)
        async with self._making:
            return await self._add(who, prefix, pretty_name, notes, login=person is not None)

    async def _add(
        self, who: Identity, prefix: str, pretty_name: str, notes: dict[str, str], *, login: bool
    ) -> Added:
        namespace, created = await self._admission.namespace(who, prefix)
        await self._reach(namespace, fresh=created)
        binding = await self._admission.binding(namespace, pretty_name, notes, login=login, created=created)
        binder = access.binder_binding(namespace, keys.BINDER, namespace)
        await ensure(self._client, binder, None, ask=not created)
        state = await self._credential(namespace, secret_name(binding))
        if state.issued is None:
            raise TenancyError(f"the credential of {namespace} keeps changing: try again")
        await self._usable.wait(namespace, state.issued.token)
        return Added(namespace, created, state, kubeconfig.render(state.issued))

    async def _reach(self, namespace: str, *, fresh: bool = False) -> None:
        """Our own access to the credential there, in force."""
        own = await own_access.ensure_binding(self._client, self._rights, namespace, known=None, fresh=fresh)
        await own_access.settle(self._rights, namespace, own, now=self._clock.now())

    async def list(self) -> Sequence[Tenant]:
        """All tenants, by namespace.

        Raises:
            KubeError: a request failed.
        """
        return await self._directory.all()

    async def of_person(self, issuer: str, subject: str) -> Sequence[Tenant]:
        """The tenants of one account, by namespace; those of the command line are nobody's.

        Raises:
            KubeError: a request failed.
        """
        return await self._directory.of_person(issuer, subject)

    async def find(self, text: str) -> Tenant:
        """The tenant of a namespace, a whole identity, or a name that only one tenant has.

        Raises:
            TenancyError: there is none, or the name is not enough.
            KubeError: a request failed.
        """
        tenants = await self.list()
        found = [one for one in tenants if one.namespace == text]
        found = found or [one for one in tenants if str(one.who) == text]
        found = found or [one for one in tenants if one.who is not None and one.who.subject == text]
        if len(found) == 1:
            return found[0]
        if not found:
            raise TenancyError(f"there is no tenant {text!r}: `bind-backend tenant list` shows all of them")
        several = "; ".join(f"{one.namespace} ({distinguished(one.who)})" for one in found)
        raise TenancyError(f"{text!r} fits several tenants, name the namespace of one: {several}")

    async def namesakes(self, who: Identity) -> Sequence[Tenant]:
        """Tenants of the same name and cluster id that another issuer vouches for, or none.

        Raises:
            KubeError: a request failed.
        """
        return [
            one
            for one in await self.list()
            if one.who is not None and str(one.who) == str(who) and one.who.issuer != who.issuer
        ]

    def add_command(self, who: Identity | None) -> str:
        """The command that lets exactly this tenant in (again)."""
        return add_command(who, self._directory.legacy_issuer)

    def known(self, namespace: str) -> Tenant | None:
        """The tenant of a namespace as far as it is watched; nothing is asked of the API server."""
        return self._directory.known(namespace)

    async def credential(self, tenant: Tenant) -> Credential:
        """What is in force for a tenant, without the token itself.

        Raises:
            KubeError: the request failed.
        """
        state = await self._credentials.look(tenant.namespace, secret_name(tenant.binding or {}))
        return replace(state, issued=None)

    async def rotate(self, tenant: Tenant, *, overlap: timedelta) -> Credential:
        """Issue a new credential.

        Args:
            tenant: whose.
            overlap: how long the old one goes on working.

        Raises:
            TooManyCredentials: too many earlier ones still work.
            TenancyError: the tenant has no ClusterBinding, or its credential was revoked.
            AddressError: it is not known what the kubeconfig should say.
            KubeError: a request failed.
        """
        if tenant.binding is None:
            raise TenancyError(
                f"{tenant.namespace} has no ClusterBinding yet: `{self.add_command(tenant.who)}` finishes it"
            )
        await self._reach(tenant.namespace)
        await self._revocations.refuse(tenant)
        secret = secret_name(tenant.binding)
        state = await self._credentials.rotate(tenant.namespace, secret, overlap=overlap)
        await self._revocations.uphold(tenant.namespace, secret)
        await mark(
            self._client, tenant.namespace, {names.CREDENTIAL_CHANGED: f"{state.generation}@{self._now()}"}
        )
        return state

    async def revoke(self, tenant: Tenant, *, delete: bool, by: str = names.BY_OPERATOR) -> str:
        """End all credentials of a tenant, and with `delete` the tenant itself.

        Args:
            tenant: whose.
            delete: also delete its namespace, and with it everything that it has here.
            by: `names.BY_OPERATOR`, `BY_PERSON` or `BY_REAPER`; a login undoes the latter two. What an
                operator has revoked stays the operator's, whoever revokes it once more.

        Returns:
            Whose word holds from now on: `by`, or `names.BY_OPERATOR` when an operator was first.

        Raises:
            KubeError: a request failed; revoking again goes on from there.
        """
        await self._reach(tenant.namespace)
        # First, so that no controller issues another one in between.
        binding = await self._revocations.note(tenant.namespace, by)
        # Who was let in again meanwhile has a new one; the old ones ended before that.
        await self._revocations.finish(tenant.namespace, secret_name(binding))
        log.info("credentials revoked", namespace=tenant.namespace, by=by)
        if delete:
            await self._client.delete(NAMESPACES, tenant.namespace, uid=tenant.uid)
        return revoked_by(binding)

    async def _credential(self, namespace: str, secret: str) -> Credential:
        for attempt in range(_ATTEMPTS):
            try:
                kept = await self._credentials.keep(namespace, secret)
            except (Conflict, NotFound):
                # The controllers look after the same Secret; whoever was first has written a good one.
                if attempt + 1 == _ATTEMPTS:
                    raise
                continue
            if kept.written:
                await self._revocations.uphold(namespace, secret)
            if kept.state.issued is not None:
                return kept.state
        return Credential()

    def _notes(self, person: Person | None, allow: Collection[str]) -> dict[str, str]:
        notes = {}
        if person is not None:
            try:
                notes[names.LOGIN] = record.note(person)
            except record.RecordTooLarge as error:
                raise TenancyError(str(error)) from None
        if allow:
            notes[names.ALLOWED_KINDS] = ",".join(sorted(allow))
        return notes

    def _now(self) -> str:
        return conditions.timestamp(self._clock.now())
