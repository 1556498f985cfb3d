"""Heartbeat, version and credentials of one provider session (spec 6.6.1).

One controller over the one ClusterBinding: it refreshes the heartbeat at half of the interval that it advertises,
takes a rotated kubeconfig over into the consumer's Secret, and says in conditions what it found.
"""

import asyncio
import base64
import binascii
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import structlog

from bind_agent._version import __version__
from bind_agent.api import conditions, goduration, keys, meta
from bind_agent.api.conditions import Condition
from bind_agent.api.conditions_catalogue import ConditionType, Reason, Severity
from bind_agent.api.meta import Object
from bind_agent.api.resource import CLUSTER_BINDINGS, SECRETS
from bind_agent.kube.client import Client
from bind_agent.kube.errors import Conflict, Forbidden, KubeError
from bind_agent.kube.intake import ProviderKubeconfig
from bind_agent.kube.intake_fields import IntakeError
from bind_agent.runtime.controller import Controller, Result
from bind_agent.runtime.informer import Event, Informer, InformerPool
from bind_agent.runtime.status import write_status
from bind_agent.runtime.store import Entry
from konnector.appcluster import AppCluster

log = structlog.get_logger(__name__)

KONNECTOR_VERSION = f"v{__version__}"
_MISSING_RETRY_SECONDS = 30.0
_SECRET_SECONDS = 10.0
"""The heartbeat does not wait longer for the provider's Secret."""


class Heartbeat:
    """Reports to one provider and follows its credential."""

    def __init__(
        self,
        app: AppCluster,
        provider: Client,
        pool: InformerPool,
        *,
        current: Callable[[], ProviderKubeconfig],
        secret_keys: Callable[[], frozenset[str]],
        consumer_secrets: Informer,
        state: Callable[[Condition], None],
    ) -> None:
        """Acquire the ClusterBinding.

        Args:
            app: the app cluster.
            provider: client of the provider.
            pool: the provider's informers.
            current: the kubeconfig in use.
            secret_keys: the consumer Secrets (``namespace/name``) that hold it.
            consumer_secrets: informer of the consumer's kubeconfig Secrets.
            state: states a condition on all bindings of the session.
        """
        self._app = app
        self._provider = provider
        self._pool = pool
        self._current = current
        self._secret_keys = secret_keys
        self._consumer_secrets = consumer_secrets
        self._state = state
        self._namespace = current().namespace
        self.controller = Controller("heartbeat", self._reconcile, workers=1)
        self.cluster_bindings = pool.acquire(CLUSTER_BINDINGS, namespace=self._namespace)
        self._secret_informer: tuple[str, Informer, Callable[[], None]] | None = None
        self._removers = [
            self.cluster_bindings.add_handler(self._on_event),
            consumer_secrets.add_handler(self._on_event),
        ]
        self.controller.enqueue(keys.CLUSTER_BINDING_NAME)

    def close(self) -> None:
        """Stop following."""
        for remove in self._removers:
            remove()

    def pretty_name(self) -> str:
        """The provider's display name, empty while unknown."""
        entry = self.cluster_bindings.store.get(meta.join_key(self._namespace, keys.CLUSTER_BINDING_NAME))
        return str((entry.object().get("spec") or {}).get("providerPrettyName") or "") if entry else ""

    def _on_event(self, event: Event, old: Entry | None, new: Entry | None) -> None:
        self.controller.enqueue(keys.CLUSTER_BINDING_NAME)

    async def _reconcile(self, _: str) -> Result | None:
        await self.cluster_bindings.wait_synced()
        entry = self.cluster_bindings.store.get(meta.join_key(self._namespace, keys.CLUSTER_BINDING_NAME))
        if entry is None:
            self._state(
                _heartbeat_failed("the provider has no ClusterBinding; ask it to provision the tenant again")
            )
            return Result(after=_MISSING_RETRY_SECONDS)
        binding = entry.object()
        secret_valid = await self._follow_secret(binding)
        now = datetime.now(UTC)
        desired, next_in = beat(
            binding,
            secret_valid,
            now=now,
            interval=self._app.options.heartbeat_interval,
            version=KONNECTOR_VERSION,
        )
        try:
            await write_status(self._provider, CLUSTER_BINDINGS, binding, desired)
        except Conflict:
            raise  # the provider wrote at the same moment: done again at once, nothing to be told
        except KubeError as error:
            self._state(_heartbeat_failed(str(error)))
            raise
        self._state(conditions.true(ConditionType.HEARTBEATING))
        return Result(after=next_in)

    async def _follow_secret(self, binding: Object) -> Condition:
        """Bring the provider's current kubeconfig into the consumer's Secrets."""
        name = str(((binding.get("spec") or {}).get("kubeconfigSecretRef") or {}).get("name") or "")
        informer = self._secret(name)
        try:
            async with asyncio.timeout(_SECRET_SECONDS):
                await informer.wait_synced()
        except TimeoutError:
            why = f": {informer.last_error}" if informer.last_error is not None else ""
            return _secret_invalid(
                Reason.PROVIDER_SECRET_NOT_FOUND, f"Secret {name} of the tenant cannot be read{why}"
            )
        entry = informer.store.get(meta.join_key(self._namespace, name))
        if entry is None:
            return _secret_invalid(
                Reason.PROVIDER_SECRET_NOT_FOUND, f"Secret {name} is missing in the tenant's namespace"
            )
        encoded = (entry.object().get("data") or {}).get(keys.KUBECONFIG)
        try:
            offered = self._app.accept(_decode(encoded))
        except IntakeError as error:
            return _secret_invalid(Reason.PROVIDER_SECRET_INVALID, str(error))
        if offered.identity != self._current().identity:
            return _secret_invalid(
                Reason.PROVIDER_SECRET_INVALID,
                "the offered kubeconfig points to another server, CA or namespace; bind again to accept it",
            )
        for secret_key in self._secret_keys():
            await self._store(secret_key, str(encoded))
        return conditions.true(ConditionType.SECRET_VALID)

    def _secret(self, name: str) -> Informer:
        """The informer of the one Secret that the ClusterBinding names now."""
        if self._secret_informer is not None:
            known, informer, remove = self._secret_informer
            if known == name:
                return informer
            remove()
            self._pool.release(informer)
        informer = self._pool.acquire(
            SECRETS, namespace=self._namespace, field_selector=f"metadata.name={name}"
        )
        self._secret_informer = name, informer, informer.add_handler(self._on_event)
        return informer

    async def _store(self, secret_key: str, encoded: str) -> None:
        entry = self._consumer_secrets.store.get(secret_key)
        if entry is None:
            return
        secret = entry.object()
        if (secret.get("data") or {}).get(keys.KUBECONFIG) == encoded:
            return
        namespace, name = meta.split_key(secret_key)
        log.info("taking over the rotated credential", secret=secret_key)
        patch = {
            "metadata": {"uid": entry.uid, "resourceVersion": entry.resource_version},
            "data": {keys.KUBECONFIG: encoded},
        }
        try:
            await self._app.client.merge_patch(SECRETS, name, patch, namespace=namespace)
        except Forbidden as error:
            log.warning("may not store the rotated credential", secret=secret_key, error=str(error))
            raise


def beat(
    binding: Object, secret_valid: Condition, *, now: datetime, interval: float, version: str
) -> tuple[Object, float]:
    """The ClusterBinding with a fresh heartbeat where one is due.

    Args:
        binding: the ClusterBinding as observed.
        secret_valid: the SecretValid condition found.
        now: current time, UTC.
        interval: seconds to advertise; a heartbeat is due at half of it (spec 6.6.1).
        version: the konnector's version.

    Returns:
        The desired object, and seconds until the next heartbeat.
    """
    status: dict[str, Any] = dict(binding.get("status") or {})
    last = _parse_time(status.get("lastHeartbeatTime"))
    age = (now - last).total_seconds() if last else None
    advertised = goduration.format(timedelta(seconds=interval))
    if age is None or age < 0 or age >= interval / 2 or status.get("heartbeatInterval") != advertised:
        status["lastHeartbeatTime"] = now.strftime("%Y-%m-%dT%H:%M:%SZ")
        status["heartbeatInterval"] = advertised
        age = 0.0
    status["konnectorVersion"] = version
    stated = [secret_valid, conditions.true(ConditionType.VALID_VERSION)]
    status["conditions"] = conditions.set_all(conditions.of(binding), stated, now)
    return {**binding, "status": status}, max(interval / 2 - age, 0.0) + 1.0


def _parse_time(value: object) -> datetime | None:
    try:
        found = datetime.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        return None
    return found if found is not None and found.tzinfo is not None else None


def _decode(encoded: object) -> bytes:
    if not isinstance(encoded, str):
        raise IntakeError(
            "EntryMissing", "the Secret has no entry 'kubeconfig'", "ask the provider to provision it again"
        )
    try:
        return base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError) as error:
        raise IntakeError(
            "NotBase64",
            "the Secret's entry 'kubeconfig' is not base64",
            "ask the provider to provision it again",
        ) from error


def _heartbeat_failed(message: str) -> Condition:
    return conditions.false(
        ConditionType.HEARTBEATING, Reason.CLUSTER_BINDING_UPDATE_FAILED, Severity.WARNING, message
    )


def _secret_invalid(reason: str, message: str) -> Condition:
    return conditions.false(ConditionType.SECRET_VALID, reason, Severity.WARNING, message)


def kubeconfig_of(secret: Mapping[str, Any]) -> bytes:
    """The kubeconfig inside a Secret.

    Raises:
        IntakeError: there is none.
    """
    return _decode((secret.get("data") or {}).get(keys.KUBECONFIG))
