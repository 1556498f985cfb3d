"""Every metric of the product, in one file, so that dashboards and alerts have one page to read.

All names begin with `klutch_bind_`. Ages are exported as timestamps, as is the custom: `time() - x` is the
age and keeps growing when the program hangs. Labels are bounded by configuration (bindings, resources,
controllers), never by data: no object name is ever a label.
"""

import platform
from functools import cache
from typing import Any, Final, Generic, TypeVar

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    GCCollector,
    Histogram,
    PlatformCollector,
    ProcessCollector,
)
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

M = TypeVar("M", Counter, Gauge, Histogram)

PREFIX: Final = "klutch_bind_"

REGISTRY: Final = CollectorRegistry()
"""What `/metrics` shows. Not the process-wide default, so that libraries cannot add to it."""

_FAST: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
"""Buckets in seconds for work that should take milliseconds and may take a minute."""


class Metric(Generic[M]):
    """A metric with labels whose children are kept: a look-up in a dict instead of validation and a lock.

    >>> RECONCILES("objects", "success").inc()
    """

    __slots__ = ("_children", "_metric", "labels", "name")

    def __init__(
        self, factory: type[M], name: str, text: str, labels: tuple[str, ...] = (), **options: Any
    ) -> None:
        """Create and register the metric.

        Args:
            factory: Counter, Gauge or Histogram of prometheus_client.
            name: without the prefix.
            text: one line for people.
            labels: names of its labels in the order in which calls give values.
            options: further arguments of the factory.
        """
        self.name = PREFIX + name
        self.labels = labels
        self._metric: M = factory(self.name, text, labels, registry=REGISTRY, **options)
        self._children: dict[tuple[str, ...], M] = {}

    def __call__(self, *values: str) -> M:
        """The child with these label values, one per label; the metric itself when it has no labels."""
        child = self._children.get(values)
        if child is None:
            child = self._metric.labels(*values) if self.labels else self._metric
            self._children[values] = child
        return child

    def forget(self, **values: str) -> None:
        """Remove all children whose labels have these values: what they counted no longer exists.

        Raises:
            ValueError: the metric has no such label.
        """
        wanted = {self.labels.index(label): value for label, value in values.items()}
        for known in list(self._children):
            if all(known[position] == value for position, value in wanted.items()):
                del self._children[known]
                self._metric.remove(*known)


def _counter(name: str, text: str, *labels: str) -> Metric[Counter]:
    return Metric(Counter, name, text, labels)


def _gauge(name: str, text: str, *labels: str) -> Metric[Gauge]:
    return Metric(Gauge, name, text, labels)


def _histogram(name: str, text: str, *labels: str) -> Metric[Histogram]:
    return Metric(Histogram, name, text, labels, buckets=_FAST)


# --- the process ----------------------------------------------------------------------------------

BUILD: Final = _gauge("build_info", "Always 1; which program this is.", "component", "version", "python")
LOOP_LAG: Final = _gauge("event_loop_lag_seconds", "How late the event loop ran at the last measurement.")
LOOP_LAG_MAX: Final = _gauge("event_loop_lag_max_seconds", "The worst lag since the start.")
LEADER: Final = _gauge("leader", "1 while this process holds the lease.", "lease")
LEADER_CHANGES: Final = _counter("leader_changes_total", "Leases won and lost.", "lease", "change")

# --- queues and controllers -----------------------------------------------------------------------

QUEUE_DEPTH: Final = _gauge("queue_depth", "Keys that wait for a worker.", "controller")
QUEUE_DELAYED: Final = _gauge("queue_delayed", "Keys that wait for their time.", "controller")
QUEUE_ADDS: Final = _counter("queue_adds_total", "Keys put into the queue.", "controller")
QUEUE_RETRIES: Final = _counter("queue_retries_total", "Keys put back after a failure.", "controller")
QUEUE_LATENCY: Final = _histogram(
    "queue_latency_seconds", "Time from being ready to being taken by a worker.", "controller"
)
RECONCILES: Final = _counter(
    "reconcile_total",
    "Reconciles by outcome: success, requeue, conflict, throttled, error, terminal, timeout, panic.",
    "controller",
    "result",
)
RECONCILE_DURATION: Final = _histogram("reconcile_duration_seconds", "Time in a reconcile.", "controller")
RECONCILE_ACTIVE: Final = _gauge("reconcile_active", "Reconciles under way.", "controller")
RECONCILE_LAST_SUCCESS: Final = _gauge(
    "reconcile_last_success_timestamp_seconds", "When a reconcile last succeeded.", "controller"
)

# --- API servers ----------------------------------------------------------------------------------

API_REQUESTS: Final = _counter(
    "api_requests_total",
    "Answers of API servers; code is the HTTP status, or `error` when there was none.",
    "cluster",
    "verb",
    "code",
)
API_DURATION: Final = _histogram(
    "api_request_duration_seconds",
    "Time from asking to the whole answer, watches excepted.",
    "cluster",
    "verb",
)
API_IN_FLIGHT: Final = _gauge("api_requests_in_flight", "Requests without an answer yet.", "cluster")
API_THROTTLED: Final = _counter(
    "api_throttled_seconds_total", "Time waited because a server asked for it (429, Retry-After).", "cluster"
)
WATCHES: Final = _gauge("watches", "Open watch connections.", "cluster")
WATCH_RESTARTS: Final = _counter(
    "watch_restarts_total",
    "Watches that had to be opened again: closed, expired, silent, error.",
    "cluster",
    "resource",
    "reason",
)
WATCH_EVENTS: Final = _counter("watch_events_total", "Events received.", "cluster", "resource", "type")
LISTS: Final = _counter("list_total", "Complete lists made by informers.", "cluster", "resource", "result")
STORE_OBJECTS: Final = _gauge("store_objects", "Objects kept in memory.", "cluster", "resource")
STORE_BYTES: Final = _gauge("store_bytes", "Bytes of the objects kept in memory.", "cluster", "resource")
INFORMER_SYNCED: Final = _gauge(
    "informer_synced", "1 while the store follows the server.", "cluster", "resource"
)

# --- bindings and objects -------------------------------------------------------------------------

BINDINGS: Final = _gauge("bindings", "Bindings by state: ready, degraded, failed, paused.", "state")
SESSIONS: Final = _gauge(
    "provider_sessions", "Provider sessions by state: running, starting, backoff.", "state"
)
OBJECTS: Final = _gauge(
    "objects",
    "Bound objects by state: synced, pending, deleting, conflict, refused.",
    "binding",
    "state",
)
CLAIMED_OBJECTS: Final = _gauge(
    "claimed_objects", "Claimed objects by state: synced, conflict, refused.", "binding", "claim", "state"
)
SYNC_LATENCY: Final = _histogram(
    "sync_latency_seconds",
    "Time from seeing a change to having written it: up, status, claim, delete.",
    "binding",
    "direction",
)
OBJECT_WRITES: Final = _counter(
    "object_writes_total", "Writes by the kind of step that needed them.", "binding", "step"
)
CONFLICTS: Final = _counter(
    "conflicts_total", "Objects left alone because they are not ours, by reason word.", "binding", "reason"
)
REFUSALS: Final = _counter(
    "refusals_total", "Objects that may not cross, by reason word.", "binding", "reason"
)
WRITES_HELD: Final = _counter(
    "writes_held_total",
    "Times that a write to the app cluster was put off, because the other side changes things too fast.",
    "binding",
)
DELETIONS_HELD: Final = _gauge(
    "deletions_held", "Deletions that wait for a person because the brake holds.", "binding"
)

# --- liveness of a binding ------------------------------------------------------------------------

HEARTBEAT: Final = _gauge(
    "heartbeat_timestamp_seconds", "When the heartbeat was last written (konnector).", "provider"
)
HEARTBEAT_FAILURES: Final = _counter(
    "heartbeat_failures_total", "Heartbeats that could not be written.", "provider"
)
CONSUMER_HEARTBEAT: Final = _gauge(
    "consumer_heartbeat_timestamp_seconds", "When a consumer last gave a sign of life (backend).", "tenant"
)
CREDENTIAL_ISSUED: Final = _gauge(
    "credential_issued_timestamp_seconds", "When the credential in use was issued.", "holder"
)
CREDENTIAL_EXPIRY: Final = _gauge(
    "credential_expiry_timestamp_seconds", "When the credential in use expires; absent when never.", "holder"
)
CREDENTIAL_ROTATIONS: Final = _counter(
    "credential_rotations_total", "Credentials renewed or taken over.", "holder", "result"
)

# --- backend --------------------------------------------------------------------------------------

TENANTS: Final = _gauge("tenants", "Tenants by state: healthy, silent, revoked.", "state")
EXPORTS: Final = _gauge("exports", "Exports by state: in_sync, failed.", "state")
REQUESTS: Final = _gauge("export_requests", "Export requests by phase.", "phase")
REAPER_HELD: Final = _counter(
    "reaper_held_total",
    "Times that silent consumers were not ended: clock, most (too many at once).",
    "reason",
)
HTTP_REQUESTS: Final = _counter(
    "http_requests_total", "Answers to browsers and CLIs.", "route", "method", "code"
)
HTTP_DURATION: Final = _histogram("http_request_duration_seconds", "Time to answer.", "route")
HTTP_CONNECTIONS: Final = _gauge(
    "http_connections", "Connections of browsers, CLIs and proxies that are open."
)
HTTP_CONNECTIONS_REFUSED: Final = _counter(
    "http_connections_refused_total",
    "Connections closed, by the bound: total and address at once, idle to make room.",
    "bound",
)
LOGINS: Final = _counter(
    "logins_total", "Logins that came back from the issuer: success, or the reason of the refusal.", "result"
)
OIDC_REQUESTS: Final = _counter(
    "oidc_requests_total",
    "Requests to the issuer (discovery, keys, token, userinfo) by HTTP status, or by what went wrong.",
    "endpoint",
    "result",
)
OIDC_CONFIRMED: Final = _gauge(
    "oidc_confirmed_timestamp_seconds", "When the issuer last said which keys it signs with."
)

# --- Kubernetes Events ----------------------------------------------------------------------------

EVENTS_WRITTEN: Final = _counter("events_written_total", "Kubernetes Events written.", "type")
EVENTS_DROPPED: Final = _counter("events_dropped_total", "Kubernetes Events given up, by cause.", "cause")


def describe_build(component: str, version: str) -> None:
    """Say which program this is, and add the figures of process, platform and garbage collector.

    Args:
        component: `konnector` or `bind-backend`.
        version: its version.
    """
    BUILD(component, version, platform.python_version()).set(1)
    _add_process_figures()


@cache
def _add_process_figures() -> None:
    ProcessCollector(registry=REGISTRY)
    PlatformCollector(registry=REGISTRY)
    GCCollector(registry=REGISTRY)


def report_lag(seconds: float) -> None:
    """Take one measurement of the event loop's lag (for `bind_agent.aio.lag.watch_lag`)."""
    LOOP_LAG().set(seconds)
    worst = LOOP_LAG_MAX()
    if seconds > _value(worst):
        worst.set(seconds)


def forget_binding(binding: str) -> None:
    """Remove every figure of a binding that is gone."""
    for metric in (
        OBJECTS,
        CLAIMED_OBJECTS,
        SYNC_LATENCY,
        OBJECT_WRITES,
        CONFLICTS,
        REFUSALS,
        WRITES_HELD,
        DELETIONS_HELD,
    ):
        metric.forget(binding=binding)


def exposition() -> tuple[bytes, str]:
    """The body of `/metrics` and its content type."""
    return generate_latest(REGISTRY), CONTENT_TYPE_LATEST


def _value(gauge: Gauge) -> float:
    return next((sample.value for family in gauge.collect() for sample in family.samples), 0.0)
