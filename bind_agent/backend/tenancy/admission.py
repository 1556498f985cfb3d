"""Letting a tenant in: its namespace and its ClusterBinding, found or made (spec 4.5).

Every step can be repeated, and several at once make one tenant (W-B5). What a revocation has marked is undone here and
nowhere else: by an operator always, by a login unless the word was an operator's.
"""

from datetime import timedelta
from typing import Final

import structlog

from bind_agent.aio.clock import SYSTEM, Clock
from bind_agent.api import conditions, keys, meta
from bind_agent.api.meta import Object
from bind_agent.api.resource import CLUSTER_BINDINGS, NAMESPACES
from bind_agent.backend import names
from bind_agent.backend.tenancy import identity, rotation
from bind_agent.backend.tenancy.directory import Directory, TenancyError
from bind_agent.backend.tenancy.identity import Identity
from bind_agent.backend.tenancy.revocation import (
    Revocations,
    TenantRevoked,
    mark,
    new_binding,
    revoked_by,
    unnamed,
)
from bind_agent.kube.client import Client
from bind_agent.kube.errors import AlreadyExists, Conflict

__all__ = ["Admission", "secret_name"]

log = structlog.get_logger(__name__)

_ATTEMPTS: Final = 5
_RECENT: Final = timedelta(hours=1)


class Admission:
    """Finds or makes what a tenant has before its first credential."""

    def __init__(
        self, client: Client, directory: Directory, revocations: Revocations, *, clock: Clock = SYSTEM
    ) -> None:
        """Set up.

        Args:
            client: of the provider cluster.
            directory: finds tenants.
            revocations: ends what a broken-off revocation left.
            clock: for wall-clock times.
        """
        self._client = client
        self._directory = directory
        self._revocations = revocations
        self._clock = clock

    async def namespace(self, who: Identity, prefix: str) -> tuple[str, bool]:
        """Find or create; safe against another one that does the same at the same time (W-B5).

        Args:
            who: the identity.
            prefix: of the name of a new one.

        Returns:
            The name, and whether it is new.

        Raises:
            TenancyError: it is being deleted, no name is free, or the cluster is no provider.
            KubeError: a request failed.
        """
        legacy = self._directory.legacy_issuer
        if present := await self._directory.namespace_of(who):
            return present, False
        await self._directory.check_installed()
        for name in identity.namespace_candidates(prefix, who):
            wanted = {
                "apiVersion": NAMESPACES.api_version,
                "kind": NAMESPACES.kind,
                "metadata": {
                    "name": name,
                    "labels": {keys.MANAGED_BY: keys.MANAGER},
                    "annotations": identity.annotations(who),
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
                if not identity.belongs_to(taken, who, legacy):
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

    async def binding(
        self, namespace: str, pretty_name: str, notes: dict[str, str], *, login: bool, created: bool
    ) -> Object:
        """The ClusterBinding with what is noted on it.

        Args:
            namespace: of the tenant.
            pretty_name: of the provider.
            notes: annotations that it shall have.
            login: a person asks, and not an operator.
            created: the namespace is new, so there is none.

        Raises:
            TenantRevoked: an operator has shut the tenant out, and a login asks.
            TenancyError: it keeps changing.
            KubeError: a request failed.
        """
        wanted = new_binding(namespace, pretty_name, {**notes, names.ADMITTED: self._now()})
        present = None if created else await self._directory.binding(namespace)
        if present is None:
            try:
                return await self._client.create(CLUSTER_BINDINGS, wanted, namespace=namespace)
            except AlreadyExists:
                present = await self._directory.binding(namespace) or wanted
        for _ in range(_ATTEMPTS):
            changes = self._changes(present, notes, login=login)
            # Letting somebody in again undoes the revocation that was read, and no later one.
            seen = present if names.REVOKED in changes else None
            named = {"providerPrettyName": pretty_name} if unnamed(present) else None
            try:
                if not changes:
                    return present
                if seen is not None:
                    # Whoever revoked may have died on the way. Without the mark nobody would finish it, and what was
                    # revoked would work again.
                    await self._revocations.finish(namespace, secret_name(present))
                return await mark(self._client, namespace, changes, spec=named, seen=seen)
            except Conflict:
                present = await self._directory.binding(namespace) or wanted
        raise TenancyError(f"the ClusterBinding of {namespace} keeps changing: try again")

    def _changes(self, present: Object, notes: dict[str, str], *, login: bool) -> dict[str, str | None]:
        """What changes on the ClusterBinding of a tenant that is added again.

        Raises:
            TenantRevoked: an operator has shut it out, and a login asks.
        """
        changes: dict[str, str | None] = {
            key: value for key, value in notes.items() if meta.annotation(present, key) != value
        }
        if by := revoked_by(present):
            if login and by == names.BY_OPERATOR:
                raise TenantRevoked(
                    "the provider's operators have withdrawn this account's access for this app cluster",
                    by,
                )
            changes |= {names.REVOKED: None, names.REVOKED_BY: None, names.ADMITTED: self._now()}
        admitted = rotation.parse_time(meta.annotation(present, names.ADMITTED))
        if admitted is None or self._clock.now() - admitted > _RECENT:
            # Whoever fetches a credential is there, though it may take a while until the konnector reports.
            changes[names.ADMITTED] = self._now()
        return changes

    def _now(self) -> str:
        return conditions.timestamp(self._clock.now())


def secret_name(binding: Object) -> str:
    """Name of the Secret that a ClusterBinding refers to."""
    spec = binding.get("spec")
    reference = spec.get("kubeconfigSecretRef") if isinstance(spec, dict) else None
    found = reference.get("name") if isinstance(reference, dict) else None
    return found if isinstance(found, str) and found else keys.KUBECONFIG
