"""The credential that a provider offers (spec 6.6.1 step 1): followed, checked, brought into the Secrets at home.

This is how credentials are rotated where the konnector dials out to the provider. In control plane mode there is
nothing to bring: the provider is reached with the konnector's own account.
"""

import asyncio
from collections.abc import Callable

import structlog

from bind_agent.api import conditions, keys, meta
from bind_agent.api.conditions import Condition
from bind_agent.api.conditions_catalogue import ConditionType, Reason, Severity
from bind_agent.api.meta import Object
from bind_agent.api.resource import SECRETS
from bind_agent.kube.errors import Forbidden
from bind_agent.kube.intake import ProviderKubeconfig
from bind_agent.kube.intake_fields import IntakeError
from bind_agent.runtime.informer import Handler, Informer
from konnector.clusters import Home, Provider
from konnector.secrets import Secrets, kubeconfig_of
from konnector.sync import remedies

log = structlog.get_logger(__name__)

_SECRET_SECONDS = 10.0
"""The heartbeat does not wait longer for the provider's Secret."""


class OfferedCredential:
    """The Secret that a ClusterBinding names, and the Secrets at home that hold the same kubeconfig."""

    def __init__(
        self,
        home: Home,
        provider: Provider,
        secrets: Secrets,
        *,
        current: Callable[[], ProviderKubeconfig],
        secret_keys: Callable[[], frozenset[str]],
    ) -> None:
        """Follow nothing yet.

        Args:
            home: the cluster with the bindings.
            provider: the provider.
            secrets: the kubeconfig Secrets at home.
            current: the kubeconfig in use.
            secret_keys: the Secrets at home (``namespace/name``) that hold it.
        """
        self._home = home
        self._provider = provider
        self._secrets = secrets
        self._current = current
        self._secret_keys = secret_keys
        self._handler: Handler | None = None
        self._offered: tuple[str, Informer, Callable[[], None]] | None = None

    def subscribe(self, handler: Handler) -> Callable[[], None]:
        """Have a handler told when there may be something to bring; returns the function that ends it."""
        self._handler = handler
        return self._secrets.add_handler(handler)

    async def follow(self, cluster_binding: Object) -> Condition:
        """Bring the provider's current kubeconfig into the Secrets at home.

        Args:
            cluster_binding: names the Secret.

        Returns:
            ``SecretValid`` for the ClusterBinding.

        Raises:
            KubeError: a Secret at home cannot be written.
        """
        ref = (cluster_binding.get("spec") or {}).get("kubeconfigSecretRef") or {}
        name = str(ref.get("name") or "")
        informer = self._informer(name)
        try:
            async with asyncio.timeout(_SECRET_SECONDS):
                await informer.wait_synced()
        except TimeoutError:
            why = f": {informer.last_error}" if informer.last_error is not None else ""
            return _invalid(
                Reason.PROVIDER_SECRET_NOT_FOUND, f"Secret {name} of the tenant cannot be read{why}"
            )
        entry = informer.store.get(meta.join_key(self._provider.namespace, name))
        if entry is None:
            return _invalid(
                Reason.PROVIDER_SECRET_NOT_FOUND, f"Secret {name} is missing in the tenant's namespace"
            )
        secret = entry.object()
        try:
            offered = self._home.accept(kubeconfig_of(secret))
        except IntakeError as error:
            return _invalid(Reason.PROVIDER_SECRET_INVALID, str(error))
        if offered.identity != self._current().identity:
            now = self._current()
            moved = remedies.moved(now.server, offered.server, same_tenant=now.namespace == offered.namespace)
            return _invalid(Reason.PROVIDER_SECRET_INVALID, moved)
        for secret_key in self._secret_keys():
            await self._store(secret_key, str(secret["data"][keys.KUBECONFIG]))
        return conditions.true(ConditionType.SECRET_VALID)

    def _informer(self, name: str) -> Informer:
        """The informer of the one Secret that the ClusterBinding names now."""
        if self._offered is not None:
            known, informer, remove = self._offered
            if known == name:
                return informer
            remove()
            self._provider.pool.release(informer)
        informer = self._provider.pool.acquire(
            SECRETS, namespace=self._provider.namespace, field_selector=f"metadata.name={name}"
        )
        remove = informer.add_handler(self._handler) if self._handler is not None else lambda: None
        self._offered = name, informer, remove
        return informer

    async def _store(self, secret_key: str, encoded: str) -> None:
        entry = self._secrets.get(secret_key)
        if entry is None:
            return
        secret = entry.object()
        if (secret.get("data") or {}).get(keys.KUBECONFIG) == encoded or self._leads_elsewhere(secret):
            return
        namespace, name = meta.split_key(secret_key)
        log.info("taking over the rotated credential", secret_name=secret_key)
        patch = {
            "metadata": {"uid": entry.uid, "resourceVersion": entry.resource_version},
            "data": {keys.KUBECONFIG: encoded},
        }
        try:
            await self._home.client.merge_patch(SECRETS, name, patch, namespace=namespace)
        except Forbidden as error:
            log.warning("may not store the rotated credential", secret_name=secret_key, error=str(error))
            raise

    def _leads_elsewhere(self, secret: Object) -> bool:
        """Whether somebody has pointed a Secret at home to another address: that is a decision, not an old credential.

        This session hears of it as soon as the hub, which ends it a moment later.
        """
        try:
            return self._home.accept(kubeconfig_of(secret)).identity != self._current().identity
        except IntakeError:
            return False


def _invalid(reason: str, message: str) -> Condition:
    return conditions.false(ConditionType.SECRET_VALID, reason, Severity.WARNING, message)
