"""The figures of informers, per cluster and kind; several informers of one kind add up."""

import contextlib
from collections.abc import Iterator
from typing import Protocol

from bind_agent.kube.errors import KubeError
from bind_agent.obs import metrics
from bind_agent.runtime.reflector import End
from bind_agent.runtime.store import Store


class Measured(Protocol):
    """What is looked at, when somebody scrapes."""

    store: Store

    @property
    def has_synced(self) -> bool:
        """Whether the store is complete."""
        ...

    @property
    def last_error(self) -> KubeError | None:
        """Why it cannot be kept up to date."""
        ...


class Meters:
    """Counters and gauges of the informers for one kind of one cluster."""

    _all: "dict[tuple[str, str], Meters]" = {}  # noqa: RUF012 - one per label set for the whole process

    def __init__(self, cluster: str, resource: str) -> None:
        """See `of`."""
        self._cluster = cluster
        self._resource = resource
        self._events = {
            kind: metrics.WATCH_EVENTS(cluster, resource, kind) for kind in ("ADDED", "MODIFIED", "DELETED")
        }
        self._running: list[Measured] = []
        metrics.STORE_OBJECTS(cluster, resource).set_function(
            lambda: float(sum(len(informer.store) for informer in self._running))
        )
        metrics.STORE_BYTES(cluster, resource).set_function(
            lambda: float(sum(informer.store.bytes for informer in self._running))
        )
        metrics.INFORMER_SYNCED(cluster, resource).set_function(
            lambda: float(all(i.has_synced and i.last_error is None for i in self._running))
        )

    @classmethod
    def of(cls, cluster: str, resource: str) -> "Meters":
        """The ones for these labels: role of the cluster, `plural.group`."""
        key = (cluster, resource)
        meters = cls._all.get(key)
        if meters is None:
            meters = cls._all[key] = cls(cluster, resource)
        return meters

    def event(self, kind: str) -> None:
        """An event came in."""
        self._events[kind].inc()

    def ended(self, end: End) -> None:
        """A watch ended."""
        metrics.WATCH_RESTARTS(self._cluster, self._resource, end.value).inc()

    def listed(self, how: str) -> None:
        """A list was made, or failed."""
        metrics.LISTS(self._cluster, self._resource, how).inc()

    @contextlib.contextmanager
    def watching(self, informer: Measured) -> Iterator[None]:
        """Count an informer for the length of a block."""
        self._running.append(informer)
        try:
            yield
        finally:
            self._running.remove(informer)
