"""Who the tenants are: found in what is watched where that is at hand, else asked of the API server.

A command lists once and ends. The web half answers thousands of people from informers; what is written in
between is caught by the API server itself, because the name of a tenant's namespace follows from its identity.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

from bind_agent.api import keys, meta
from bind_agent.api.meta import Object
from bind_agent.api.resource import CLUSTER_BINDINGS, NAMESPACES
from bind_agent.backend.person import Person
from bind_agent.backend.tenancy import identity, record
from bind_agent.backend.tenancy.identity import Identity
from bind_agent.backend.views import Views
from bind_agent.kube.client import Client
from bind_agent.kube.errors import NotFound

_ANY_NAMESPACE: Final = "default"
"""Where a list is short, and says whether the kind is there."""


class TenancyError(Exception):
    """A tenant cannot be added, found or changed; the message says what to do."""


@dataclass(frozen=True, slots=True)
class Tenant:
    """A tenant as it stands.

    Attributes:
        namespace: its cluster namespace.
        uid: of that namespace.
        who: its identity; None when the annotation cannot be read.
        binding: its ClusterBinding; None while there is none.
        since: when it was added (RFC 3339), or empty.
    """

    namespace: str
    uid: str
    who: Identity | None
    binding: Object | None = field(default=None, repr=False)
    since: str = ""

    @property
    def person(self) -> Person | None:
        """Who logged in, as its latest login said; None for a tenant of the command line."""
        return None if self.who is None else record.person_of(self.who, self.binding)


class Directory:
    """Finds tenants."""

    def __init__(self, client: Client, *, views: Views | None = None, legacy_issuer: str = "") -> None:
        """Set up.

        Args:
            client: of the provider cluster.
            views: what is watched; None: everything is asked of the API server.
            legacy_issuer: whose accounts the tenants of a Go backend are (see `identity.issuer_of`).
        """
        self._client = client
        self._views = views
        self.legacy_issuer = legacy_issuer

    async def all(self) -> Sequence[Tenant]:
        """All tenants, by namespace.

        Raises:
            KubeError: a request failed.
        """
        if self._views is not None and self._views.ready:
            return self._tenants(self._views.tenants(), None)
        namespaces = await self._client.list(NAMESPACES)
        return self._tenants(namespaces.items, await self._bindings())

    async def of_person(self, issuer: str, subject: str) -> Sequence[Tenant]:
        """The tenants of one account, by namespace: one for each of its app clusters.

        Args:
            issuer: who vouches for the subject; without one there is no account and no tenant.
            subject: the account.

        Raises:
            KubeError: a request failed.
        """
        if not issuer:
            return []
        if self._views is not None and self._views.ready:
            found: Sequence[Tenant] = self._tenants(self._views.namespaces_of(subject), None)
        else:
            found = await self.all()
        return [
            one
            for one in found
            if one.who is not None and (one.who.issuer, one.who.subject) == (issuer, subject)
        ]

    def known(self, namespace: str) -> Tenant | None:
        """The tenant of a namespace as far as it is watched."""
        found = None if self._views is None else self._views.tenant(namespace)
        return None if found is None else self._tenants([found], None)[0]

    async def namespace_of(self, who: Identity) -> str:
        """The namespace of a tenant; empty when there is none yet.

        Raises:
            KubeError: a request failed.
        """
        if self._views is not None and self._views.ready:
            candidates: Iterable[Object] = self._views.namespaces_of(who.subject)
        else:
            candidates = (await self._client.list(NAMESPACES)).items
        present = identity.oldest(
            one for one in candidates if identity.belongs_to(one, who, self.legacy_issuer)
        )
        return "" if present is None else meta.name(present)

    async def binding(self, namespace: str) -> Object | None:
        """The ClusterBinding of a tenant as it stands at this moment, never from a memory.

        Raises:
            KubeError: the request failed.
        """
        # A list, because the backend has no right to read single ones besides.
        found = await self._bindings(namespace)
        return next((one for one in found if meta.name(one) == keys.CLUSTER_BINDING_NAME), None)

    async def check_installed(self) -> None:
        """Make sure that this is a provider, before anything is written there.

        Raises:
            TenancyError: it does not know tenants.
            KubeError: the request failed.
        """
        if self._views is None or not self._views.ready:
            await self._bindings(_ANY_NAMESPACE)

    async def _bindings(self, namespace: str | None = None) -> Sequence[Object]:
        try:
            return (await self._client.list(CLUSTER_BINDINGS, namespace=namespace)).items
        except NotFound:
            # A list says this of the kind only, never of a namespace.
            raise TenancyError(
                f"this cluster does not serve {CLUSTER_BINDINGS.crd_name}, so it is no provider; nothing was"
                " changed there: name the provider's cluster with --kubeconfig, or make this one a provider"
                " with `kubectl apply -k manifests/backend`"
            ) from None

    def _tenants(self, namespaces: Iterable[Object], bindings: Iterable[Object] | None) -> list[Tenant]:
        by_namespace = {
            meta.namespace(one): one for one in bindings or () if meta.name(one) == keys.CLUSTER_BINDING_NAME
        }

        def binding(namespace: str) -> Object | None:
            if bindings is None and self._views is not None:
                return self._views.binding(namespace)
            return by_namespace.get(namespace)

        return [
            Tenant(
                meta.name(one),
                meta.uid(one),
                identity.identity_of(one, self.legacy_issuer),
                binding(meta.name(one)),
                meta.creation_timestamp(one),
            )
            for one in sorted(namespaces, key=meta.name)
            if meta.annotation(one, keys.IDENTITY) and not meta.is_deleting(one)
        ]
