"""Adding, finding and removing tenants (spec 4.5).

The same code serves the command line and, later, the login pages. Every step can be repeated, so an attempt
that broke off is finished by the next one.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import structlog

from bind_agent.aio.clock import SYSTEM, Clock
from bind_agent.api import conditions, keys, meta
from bind_agent.api.meta import Object
from bind_agent.api.resource import CLUSTER_BINDINGS, NAMESPACES
from bind_agent.backend import access, names
from bind_agent.backend.grants import ensure
from bind_agent.backend.rights import Rights
from bind_agent.backend.tenancy import identity, kubeconfig, own_access
from bind_agent.backend.tenancy.credentials import Credentials
from bind_agent.backend.tenancy.identity import Identity
from bind_agent.backend.tenancy.rotation import Credential
from bind_agent.kube.client import Client
from bind_agent.kube.errors import AlreadyExists, Conflict, NotFound

log = structlog.get_logger(__name__)

_ATTEMPTS = 5


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
    """

    namespace: str
    uid: str
    who: Identity | None
    binding: Object | None = field(default=None, repr=False)


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
    """The tenants of one provider."""

    def __init__(
        self, client: Client, rights: Rights, credentials: Credentials, *, clock: Clock = SYSTEM
    ) -> None:
        """Set up.

        Args:
            client: of the provider cluster.
            rights: who we are and what we may do.
            credentials: issues tokens.
            clock: for wall-clock times.
        """
        self._client = client
        self._rights = rights
        self._credentials = credentials
        self._clock = clock

    async def add(self, who: Identity, *, prefix: str, pretty_name: str) -> Added:
        """Add a tenant, or finish and renew one that exists.

        Args:
            who: the identity.
            prefix: of the namespace's name.
            pretty_name: of the provider, shown to consumers.

        Raises:
            TenancyError: its namespace is being deleted, or no name is free.
            AddressError: it is not known what the kubeconfig should say.
            KubeError: a request failed; adding again goes on from there.
        """
        namespace, created = await self._namespace(who, prefix)
        await own_access.ensure_binding(self._client, self._rights, namespace, known=None)
        await own_access.settle(self._rights, namespace)
        binding = await self._binding(namespace, pretty_name)
        await ensure(self._client, access.binder_binding(namespace, keys.BINDER, namespace), None)
        secret = secret_name(binding)
        for attempt in range(_ATTEMPTS):
            try:
                state = (await self._credentials.keep(namespace, secret)).state
            except (Conflict, NotFound):
                # The controllers look after the same Secret; whoever was first has written a good one.
                if attempt + 1 == _ATTEMPTS:
                    raise
                continue
            if state.issued is not None:
                return Added(namespace, created, state, kubeconfig.render(state.issued))
        raise TenancyError(f"the credential of {namespace} keeps changing: try again")

    async def list(self) -> Sequence[Tenant]:
        """All tenants, by namespace.

        Raises:
            KubeError: a request failed.
        """
        namespaces = await self._client.list(NAMESPACES)
        bindings = await self._client.list(CLUSTER_BINDINGS)
        by_namespace = {meta.namespace(one): one for one in bindings.items}
        return [
            Tenant(
                meta.name(one),
                meta.uid(one),
                Identity.parse(meta.annotation(one, keys.IDENTITY)),
                by_namespace.get(meta.name(one)),
            )
            for one in sorted(namespaces.items, key=meta.name)
            if meta.annotation(one, keys.IDENTITY) and not meta.is_deleting(one)
        ]

    async def find(self, text: str) -> Tenant:
        """The tenant of a namespace, a whole identity, or a name that only one tenant has.

        Raises:
            TenancyError: there is none, or the name is not enough.
            KubeError: a request failed.
        """
        tenants = await self.list()
        found = [one for one in tenants if text in {one.namespace, str(one.who)}]
        found = found or [one for one in tenants if one.who is not None and one.who.subject == text]
        if len(found) == 1:
            return found[0]
        if not found:
            raise TenancyError(f"there is no tenant {text!r}: `bind-backend tenant list` shows all of them")
        several = ", ".join(one.namespace for one in found)
        raise TenancyError(f"{text!r} has several clusters: name one of the namespaces {several}")

    async def rotate(self, tenant: Tenant, *, overlap: timedelta) -> Credential:
        """Issue a new credential.

        Args:
            tenant: whose.
            overlap: how long the old one goes on working.

        Raises:
            TenancyError: the tenant has no ClusterBinding, or its credential was revoked.
            AddressError: it is not known what the kubeconfig should say.
            KubeError: a request failed.
        """
        binding = _bound(tenant)
        if meta.annotation(binding, names.REVOKED):
            raise TenancyError(
                f"the credential of {tenant.namespace} was revoked: `bind-backend tenant add`"
                " issues a new one"
            )
        await own_access.ensure_binding(self._client, self._rights, tenant.namespace, known=None)
        await own_access.settle(self._rights, tenant.namespace)
        state = await self._credentials.rotate(tenant.namespace, secret_name(binding), overlap=overlap)
        await self._mark(tenant.namespace, names.CREDENTIAL_CHANGED, f"{state.generation}@")
        return state

    async def revoke(self, tenant: Tenant, *, delete: bool) -> None:
        """End all credentials of a tenant, and with `delete` the tenant itself.

        Raises:
            KubeError: a request failed; revoking again goes on from there.
        """
        await own_access.ensure_binding(self._client, self._rights, tenant.namespace, known=None)
        await own_access.settle(self._rights, tenant.namespace)
        secret = keys.KUBECONFIG
        if tenant.binding is not None:
            secret = secret_name(tenant.binding)
            # First, so that no controller issues another one in between.
            await self._mark(tenant.namespace, names.REVOKED)
        await self._credentials.destroy(tenant.namespace, secret)
        log.info("credentials revoked", namespace=tenant.namespace)
        if delete:
            await self._client.delete(NAMESPACES, tenant.namespace, uid=tenant.uid)

    async def _namespace(self, who: Identity, prefix: str) -> tuple[str, bool]:
        """Find or create; safe against another one that does the same at the same time (W-B5)."""
        namespaces = (await self._client.list(NAMESPACES)).items
        present = identity.oldest(one for one in namespaces if identity.belongs_to(one, who))
        if present is not None:
            return meta.name(present), False
        for name in identity.namespace_candidates(prefix, who):
            wanted = {
                "apiVersion": NAMESPACES.api_version,
                "kind": NAMESPACES.kind,
                "metadata": {
                    "name": name,
                    "labels": {keys.MANAGED_BY: keys.MANAGER},
                    "annotations": {keys.IDENTITY: str(who)},
                },
            }
            try:
                await self._client.create(NAMESPACES, wanted)
            except AlreadyExists:
                # A list, because the backend has no right to read single namespaces besides.
                taken = next(
                    iter((await self._client.list(NAMESPACES, field_selector=f"metadata.name={name}")).items),
                    {},
                )
                if not identity.belongs_to(taken, who):
                    continue
                if meta.is_deleting(taken):
                    raise TenancyError(
                        f"the namespace {name} of this tenant is still being deleted: wait until it is gone"
                    ) from None
                return name, False
            log.info("tenant created", namespace=name)
            return name, True
        raise TenancyError(
            f"no namespace name is free for this tenant: use another --namespace-prefix than {prefix}"
        )

    async def _binding(self, namespace: str, pretty_name: str) -> Object:
        wanted: Object = {
            "apiVersion": CLUSTER_BINDINGS.api_version,
            "kind": CLUSTER_BINDINGS.kind,
            "metadata": {"name": keys.CLUSTER_BINDING_NAME, "namespace": namespace},
            "spec": {
                "providerPrettyName": pretty_name,
                "kubeconfigSecretRef": {"name": keys.KUBECONFIG, "key": keys.KUBECONFIG},
            },
        }
        try:
            return await self._client.create(CLUSTER_BINDINGS, wanted, namespace=namespace)
        except AlreadyExists:
            (present,) = (await self._client.list(CLUSTER_BINDINGS, namespace=namespace)).items
        if meta.annotation(present, names.REVOKED):
            patch = {"metadata": {"annotations": {names.REVOKED: None}}}
            return await self._client.merge_patch(
                CLUSTER_BINDINGS, keys.CLUSTER_BINDING_NAME, patch, namespace=namespace
            )
        return present

    async def _mark(self, namespace: str, annotation: str, number: str = "") -> None:
        """A time on the ClusterBinding, which also wakes the controllers."""
        patch: dict[str, Any] = {
            "metadata": {"annotations": {annotation: number + conditions.timestamp(self._clock.now())}}
        }
        await self._client.merge_patch(
            CLUSTER_BINDINGS, keys.CLUSTER_BINDING_NAME, patch, namespace=namespace
        )


def secret_name(binding: Object) -> str:
    """Name of the Secret that a ClusterBinding refers to."""
    spec = binding.get("spec")
    reference = spec.get("kubeconfigSecretRef") if isinstance(spec, dict) else None
    found = reference.get("name") if isinstance(reference, dict) else None
    return found if isinstance(found, str) and found else keys.KUBECONFIG


def _bound(tenant: Tenant) -> Object:
    if tenant.binding is None:
        raise TenancyError(
            f"{tenant.namespace} has no ClusterBinding yet: `bind-backend tenant add` finishes it"
        )
    return tenant.binding
