"""Heartbeat and version of one provider session (spec 6.6.1).

One controller over the one ClusterBinding: it refreshes the heartbeat at half of the interval that it advertises, has
the offered credential followed, and says in conditions what it found.
"""

from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

from bind_agent._version import __version__
from bind_agent.api import conditions, goduration, keys, meta
from bind_agent.api.conditions import Condition
from bind_agent.api.conditions_catalogue import ConditionType, Reason, Severity
from bind_agent.api.meta import Object
from bind_agent.api.resource import CLUSTER_BINDINGS
from bind_agent.kube.errors import Conflict, KubeError
from bind_agent.runtime.controller import Controller, Result
from bind_agent.runtime.informer import Event
from bind_agent.runtime.status import write_status
from bind_agent.runtime.store import Entry
from konnector.clusters import Provider
from konnector.controllers.credential import OfferedCredential
from konnector.options import Options

KONNECTOR_VERSION = f"v{__version__}"
_MISSING_RETRY_SECONDS = 30.0


class Heartbeat:
    """Reports to one provider."""

    def __init__(
        self,
        provider: Provider,
        options: Options,
        *,
        credential: OfferedCredential | None,
        state: Callable[[Condition], None],
    ) -> None:
        """Acquire the ClusterBinding.

        Args:
            provider: the provider.
            options: what the process was told.
            credential: brings the kubeconfig that the provider offers home; None where it offers none (spec 5.6).
            state: states a condition on all bindings of the session.
        """
        self._provider = provider
        self._interval = options.heartbeat_interval
        self._credential = credential
        self._state = state
        self.controller = Controller("heartbeat", self._reconcile, workers=1)
        self.cluster_bindings = provider.pool.acquire(CLUSTER_BINDINGS, namespace=provider.namespace)
        self._removers = [self.cluster_bindings.add_handler(self._on_event)]
        if credential is not None:
            self._removers.append(credential.subscribe(self._on_event))
        self.controller.enqueue(keys.CLUSTER_BINDING_NAME)

    def close(self) -> None:
        """Stop following."""
        for remove in self._removers:
            remove()

    def pretty_name(self) -> str:
        """The provider's display name, empty while unknown."""
        entry = self.cluster_bindings.store.get(
            meta.join_key(self._provider.namespace, keys.CLUSTER_BINDING_NAME)
        )
        return str((entry.object().get("spec") or {}).get("providerPrettyName") or "") if entry else ""

    def _on_event(self, event: Event, old: Entry | None, new: Entry | None) -> None:
        self.controller.enqueue(keys.CLUSTER_BINDING_NAME)

    async def _reconcile(self, _: str) -> Result | None:
        await self.cluster_bindings.wait_synced()
        entry = self.cluster_bindings.store.get(
            meta.join_key(self._provider.namespace, keys.CLUSTER_BINDING_NAME)
        )
        if entry is None:
            self._state(
                _heartbeat_failed("the provider has no ClusterBinding; ask it to provision the tenant again")
            )
            return Result(after=_MISSING_RETRY_SECONDS)
        binding = entry.object()
        stated = [] if self._credential is None else [await self._credential.follow(binding)]
        now = datetime.now(UTC)
        desired, next_in = beat(binding, stated, now=now, interval=self._interval, version=KONNECTOR_VERSION)
        try:
            await write_status(self._provider.client, CLUSTER_BINDINGS, binding, desired)
        except Conflict:
            raise  # the provider wrote at the same moment: done again at once, nothing to be told
        except KubeError as error:
            self._state(_heartbeat_failed(str(error)))
            raise
        self._state(conditions.true(ConditionType.HEARTBEATING))
        return Result(after=next_in)


def beat(
    binding: Object, found: Iterable[Condition], *, now: datetime, interval: float, version: str
) -> tuple[Object, float]:
    """The ClusterBinding with a fresh heartbeat where one is due.

    Args:
        binding: the ClusterBinding as observed.
        found: what else is to be said.
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
    stated = [*found, conditions.true(ConditionType.VALID_VERSION)]
    status["conditions"] = conditions.set_all(conditions.of(binding), stated, now)
    return {**binding, "status": status}, max(interval / 2 - age, 0.0) + 1.0


def _parse_time(value: object) -> datetime | None:
    try:
        found = datetime.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        return None
    return found if found is not None and found.tzinfo is not None else None


def _heartbeat_failed(message: str) -> Condition:
    return conditions.false(
        ConditionType.HEARTBEATING, Reason.CLUSTER_BINDING_UPDATE_FAILED, Severity.WARNING, message
    )
