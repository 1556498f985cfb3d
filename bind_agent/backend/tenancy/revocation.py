"""Whose word ended a tenant's credential, and until when it holds.

The word stands in annotations of the ClusterBinding: the one object of a tenant that the backend may change and the
tenant may not. The Namespace would be there earlier, but the backend has no right to change namespaces. A tenant that
has no ClusterBinding yet therefore gets one that says nothing else; letting the tenant in finishes it.
"""

from collections.abc import Mapping
from typing import Any, Final

from bind_agent.aio.clock import Clock
from bind_agent.api import conditions, keys, meta
from bind_agent.api.meta import Object
from bind_agent.api.resource import CLUSTER_BINDINGS
from bind_agent.backend import names
from bind_agent.backend.tenancy.credentials import Credentials
from bind_agent.backend.tenancy.directory import Directory, TenancyError, Tenant
from bind_agent.backend.tenancy.identity import add_command
from bind_agent.kube.client import Client
from bind_agent.kube.errors import AlreadyExists, Conflict

_ATTEMPTS: Final = 5

UNNAMED: Final = "-"
"""Name of the provider on a ClusterBinding that was made to be revoked, until the tenant is let in."""


class TenantRevoked(TenancyError):  # noqa: N818 - says what is the case
    """A tenant is shut out.

    Attributes:
        by: whose word it is: `names.BY_OPERATOR`, which no login takes back, `BY_PERSON` or `BY_REAPER`.
    """

    def __init__(self, message: str, by: str) -> None:
        super().__init__(message)
        self.by = by


def revoked_by(binding: Mapping[str, Any]) -> str:
    """Who has revoked a tenant's credential; empty when nobody has."""
    if not meta.annotation(binding, names.REVOKED):
        return ""
    return meta.annotation(binding, names.REVOKED_BY) or names.BY_OPERATOR


def new_binding(namespace: str, pretty_name: str, marks: dict[str, str]) -> Object:
    """The ClusterBinding of a tenant as it is created.

    Args:
        namespace: the tenant's.
        pretty_name: of the provider.
        marks: annotations.
    """
    return {
        "apiVersion": CLUSTER_BINDINGS.api_version,
        "kind": CLUSTER_BINDINGS.kind,
        "metadata": {"name": keys.CLUSTER_BINDING_NAME, "namespace": namespace, "annotations": marks},
        "spec": {
            "providerPrettyName": pretty_name,
            "kubeconfigSecretRef": {"name": keys.KUBECONFIG, "key": keys.KUBECONFIG},
        },
    }


def unnamed(binding: Mapping[str, Any]) -> bool:
    """Whether a ClusterBinding was made to be revoked, and nobody has said the provider's name since."""
    spec = binding.get("spec")
    return isinstance(spec, Mapping) and spec.get("providerPrettyName") == UNNAMED


async def mark(
    client: Client,
    namespace: str,
    changes: dict[str, Any],
    *,
    spec: dict[str, str] | None = None,
    seen: Object | None = None,
) -> Object:
    """Change annotations of a ClusterBinding; that also wakes the controllers.

    Args:
        client: of the provider cluster.
        namespace: the tenant's.
        changes: annotations; None removes one.
        spec: fields of the spec to change along with them.
        seen: the change is made to this very state or not at all.

    Raises:
        Conflict: the state is another one.
        KubeError: the request failed.
    """
    metadata: dict[str, Any] = {"annotations": changes}
    if seen is not None:
        metadata["resourceVersion"] = meta.resource_version(seen)
    patch = {"metadata": metadata, **({"spec": spec} if spec else {})}
    return await client.merge_patch(CLUSTER_BINDINGS, keys.CLUSTER_BINDING_NAME, patch, namespace=namespace)


class Revocations:
    """Notes revocations and upholds them."""

    def __init__(
        self, client: Client, directory: Directory, credentials: Credentials, *, clock: Clock
    ) -> None:
        """Set up.

        Args:
            client: of the provider cluster.
            directory: reads ClusterBindings.
            credentials: ends what was issued.
            clock: for wall-clock times.
        """
        self._client = client
        self._directory = directory
        self._credentials = credentials
        self._clock = clock

    async def note(self, namespace: str, by: str) -> Object:
        """Note a revocation on the ClusterBinding, which is made if there is none.

        Only an operator takes an operator's word back: a person who could put the own mark in its place would
        be let in again by the next login.

        Args:
            namespace: the tenant's.
            by: `names.BY_OPERATOR`, `BY_PERSON` or `BY_REAPER`.

        Returns:
            The ClusterBinding with the word that holds (see `revoked_by`).

        Raises:
            TenancyError: the ClusterBinding keeps changing.
            KubeError: a request failed.
        """
        changes = {names.REVOKED: conditions.timestamp(self._clock.now()), names.REVOKED_BY: by}
        for _ in range(_ATTEMPTS):
            present = await self._directory.binding(namespace)
            try:
                if present is None:
                    wanted = new_binding(namespace, UNNAMED, changes)
                    return await self._client.create(CLUSTER_BINDINGS, wanted, namespace=namespace)
                if by != names.BY_OPERATOR and revoked_by(present) == names.BY_OPERATOR:
                    return present
                return await mark(self._client, namespace, changes, seen=present)
            except (AlreadyExists, Conflict):
                continue
        raise TenancyError(f"the ClusterBinding of {namespace} keeps changing: try again")

    async def finish(self, namespace: str, secret: str) -> Object | None:
        """End what is left of a tenant's credentials, if it is shut out at this moment.

        Args:
            namespace: the tenant's.
            secret: name of the Secret in the ClusterBinding.

        Returns:
            The ClusterBinding that shuts it out; None when nothing does, and then nothing was ended.

        Raises:
            KubeError: a request failed; what is left ends by calling this again.
        """
        present: Object | None = None

        async def shut_out() -> bool:
            nonlocal present
            present = await self._directory.binding(namespace)
            return present is not None and bool(revoked_by(present))

        return present if await self._credentials.destroy(namespace, secret, only_if=shut_out) else None

    async def refuse(self, tenant: Tenant) -> None:
        """Refuse what makes no sense for a tenant that is shut out.

        Args:
            tenant: whose credential is asked for.

        Raises:
            TenantRevoked: it is.
            KubeError: the request failed.
        """
        present = await self._directory.binding(tenant.namespace)
        if present is not None and (by := revoked_by(present)):
            command = add_command(tenant.who, self._directory.legacy_issuer)
            raise TenantRevoked(
                f"the credential of {tenant.namespace} was revoked: `{command}` issues a new one", by
            )

    async def uphold(self, namespace: str, secret: str) -> None:
        """Somebody may have revoked while a credential was being issued: then that one ends as well.

        Raises:
            TenantRevoked: somebody has.
            KubeError: a request failed.
        """
        if present := await self.finish(namespace, secret):
            raise TenantRevoked(f"the credential of {namespace} was revoked meanwhile", revoked_by(present))
