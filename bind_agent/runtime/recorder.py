"""Kubernetes Events about objects: for people who run `kubectl describe`.

An Event is a courtesy. Recording one never waits, never fails its caller, and never takes more of the API
server than a little: equal Events are counted in one object, what is said too often about one object is
dropped, and so is what cannot be written. Written as core/v1 with the rights `create` and `patch` on
events, nothing else.
"""

import asyncio
import collections
import contextlib
import uuid
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Literal

import structlog

from bind_agent.aio.clock import SYSTEM, Clock
from bind_agent.api import meta
from bind_agent.api.resource import CORE_EVENTS
from bind_agent.kube.client import Client
from bind_agent.kube.errors import (
    AlreadyExists,
    ApiError,
    ConnectionFailed,
    KubeError,
    NotFound,
    ServerError,
    TooManyRequests,
    clean,
)
from bind_agent.obs import metrics
from bind_agent.runtime.faults import describe

log = structlog.get_logger(__name__)

EventType = Literal["Normal", "Warning"]

MAX_MESSAGE: Final = 1024
"""Bytes of a message, the limit of the API."""
MAX_REASON: Final = 128
_MAX_NAME: Final = 253
_PENDING: Final = 1024
"""Series that wait to be written; more are dropped."""
_REMEMBERED: Final = 4096
"""Series and objects that are remembered, the least recently used are forgotten first."""
_QUIET: Final = 10.0
"""Seconds between two writes of one series: repetitions in between are only counted."""
_BURST: Final = 25.0
_REFILL: Final = 1.0 / 60.0
"""Per object: 25 different things at once, then one a minute."""
_ATTEMPTS: Final = 4


@dataclass(frozen=True, slots=True)
class _Series:
    """What makes two Events the same."""

    reference: tuple[tuple[str, str], ...]
    type: str
    reason: str
    message: str
    action: str


@dataclass(slots=True)
class _State:
    """One series: what is known of its Event object."""

    first: datetime
    last: datetime
    count: int = 0
    written: int = 0
    name: str = ""
    exists: bool = False
    not_before: float = 0.0
    attempts: int = 0


class Recorder:
    """Takes Events from anybody and writes them from one background task, `run`."""

    def __init__(self, client: Client, component: str, *, instance: str = "", clock: Clock = SYSTEM) -> None:
        """Set up; nothing is written before `run`.

        Args:
            client: of the cluster that holds the objects.
            component: who reports, for instance `konnector`.
            instance: which one of them, for instance the pod's name.
            clock: for times and waits.
        """
        self._client = client
        self._component = component
        self._instance = instance
        self._clock = clock
        self._series: collections.OrderedDict[_Series, _State] = collections.OrderedDict()
        self._pending: collections.OrderedDict[_Series, _State] = collections.OrderedDict()
        self._budgets: collections.OrderedDict[str, tuple[float, float]] = collections.OrderedDict()
        self._arrived = asyncio.Event()

    def event(
        self,
        obj_ref: meta.Object,
        *,
        type: EventType,  # noqa: A002 - the field of the API
        reason: str,
        message: str,
        action: str = "",
    ) -> None:
        """Report something about an object. Returns at once and never fails.

        Args:
            obj_ref: the object, or an ObjectReference to it.
            type: `Normal` or `Warning`.
            reason: one CamelCase word, the same as in the condition.
            message: a sentence for people, without content of Secrets.
            action: what was being done, one CamelCase word.
        """
        try:
            self._take(obj_ref, type, reason, message, action)
        except Exception as error:
            metrics.EVENTS_DROPPED("defect").inc()
            log.warning("event not recorded", error=describe(error))

    async def run(self) -> None:
        """Write what comes in, until cancelled; what still waits then is written first (see `flush`)."""
        try:
            while True:
                series, state, wait = self._next()
                if series is None or state is None:
                    self._arrived.clear()
                    await self._wait(wait)
                    continue
                self._pending.pop(series)
                try:
                    await self._write(series, state)
                except asyncio.CancelledError:
                    self._pending.setdefault(series, state)
                    raise
        finally:
            await self.flush()

    async def flush(self, *, limit: float = 2.0) -> None:
        """Write what waits, at most for some seconds; the rest is dropped."""
        try:
            async with asyncio.timeout(limit):
                while self._pending:
                    series, state = self._pending.popitem(last=False)
                    await self._write(series, state, final=True)
        except TimeoutError:
            metrics.EVENTS_DROPPED("shutdown").inc(len(self._pending))
            self._pending.clear()

    @property
    def pending(self) -> int:
        """Series that wait to be written."""
        return len(self._pending)

    # --- taking -----------------------------------------------------------------------------------

    def _take(self, obj: meta.Object, kind: str, reason: str, message: str, action: str) -> None:
        reference = object_reference(obj)
        series = _Series(
            tuple(sorted(reference.items())),
            kind,
            clean(reason, MAX_REASON),
            clip(message),
            clean(action, MAX_REASON),
        )
        now = self._clock.now()
        state = self._series.get(series)
        if state is None:
            if not self._allowed(reference):
                metrics.EVENTS_DROPPED("rate").inc()
                return
            state = _State(first=now, last=now)
            self._series[series] = state
            if len(self._series) > _REMEMBERED:
                self._series.popitem(last=False)
        else:
            self._series.move_to_end(series)
        if series not in self._pending and len(self._pending) >= _PENDING:
            metrics.EVENTS_DROPPED("full").inc()
            return
        state.count += 1
        state.last = now
        state.attempts = 0
        self._pending[series] = state
        self._arrived.set()

    def _allowed(self, reference: dict[str, str]) -> bool:
        key = reference.get("uid") or "/".join(reference.values())
        now = self._clock.monotonic()
        tokens, since = self._budgets.pop(key, (_BURST, now))
        tokens = min(_BURST, tokens + (now - since) * _REFILL)
        allowed = tokens >= 1.0
        self._budgets[key] = (tokens - 1.0 if allowed else tokens, now)
        if len(self._budgets) > _REMEMBERED:
            self._budgets.popitem(last=False)
        return allowed

    # --- writing ----------------------------------------------------------------------------------

    def _next(self) -> tuple[_Series | None, _State | None, float | None]:
        """The first series whose time has come, else the seconds until one's has (None: nothing waits)."""
        now = self._clock.monotonic()
        wait: float | None = None
        for series, state in self._pending.items():
            left = state.not_before - now
            if left <= 0:
                return series, state, None
            wait = left if wait is None else min(wait, left)
        return None, None, wait

    async def _wait(self, seconds: float | None) -> None:
        if seconds is None:
            await self._arrived.wait()
            return
        arrival = asyncio.ensure_future(self._arrived.wait())
        pause = asyncio.ensure_future(self._clock.sleep(seconds))
        try:
            await asyncio.wait({arrival, pause}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            arrival.cancel()
            pause.cancel()

    async def _write(self, series: _Series, state: _State, *, final: bool = False) -> None:
        count = state.count
        try:
            if state.exists:
                await self._count_up(series, state, count)
            else:
                await self._create(series, state, count)
        except (TooManyRequests, ServerError, ConnectionFailed) as error:
            self._again(series, state, error, final=final)
        except KubeError as error:
            # A missing right, a namespace that is going: trying again would not help.
            self._drop(state, "refused", error)
        except Exception as error:
            self._drop(state, "defect", error)
        else:
            state.written = count
            state.attempts = 0
            state.not_before = self._clock.monotonic() + _QUIET
            metrics.EVENTS_WRITTEN(series.type).inc()

    def _again(self, series: _Series, state: _State, error: KubeError, *, final: bool) -> None:
        state.attempts += 1
        if final or state.attempts >= _ATTEMPTS:
            self._drop(state, "unavailable", error)
            return
        asked = error.retry_after if isinstance(error, ApiError) else None
        state.not_before = self._clock.monotonic() + max(asked or 0.0, 2.0**state.attempts)
        self._pending.setdefault(series, state)

    def _drop(self, state: _State, cause: str, error: Exception) -> None:
        state.not_before = self._clock.monotonic() + _QUIET
        metrics.EVENTS_DROPPED(cause).inc()
        log.debug("event dropped", cause=cause, error=describe(error))

    async def _create(self, series: _Series, state: _State, count: int) -> None:
        reference = dict(series.reference)
        namespace = reference.get("namespace") or "default"
        # The name is kept over attempts: one whose answer got lost is not written twice.
        state.name = state.name or event_name(reference.get("name", ""))
        body: dict[str, Any] = {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"name": state.name, "namespace": namespace},
            "involvedObject": reference,
            "type": series.type,
            "reason": series.reason,
            "message": series.message,
            "source": {"component": self._component},
            "reportingComponent": self._component,
            "reportingInstance": self._instance,
            "firstTimestamp": _time(state.first),
            "lastTimestamp": _time(state.last),
            "count": count,
        }
        if series.action:
            body["action"] = series.action
        with contextlib.suppress(AlreadyExists):
            await self._client.create(CORE_EVENTS, body, namespace=namespace)
        state.exists = True

    async def _count_up(self, series: _Series, state: _State, count: int) -> None:
        namespace = dict(series.reference).get("namespace") or "default"
        patch = {"count": count, "lastTimestamp": _time(state.last)}
        try:
            await self._client.merge_patch(CORE_EVENTS, state.name, patch, namespace=namespace)
        except NotFound:
            # Servers forget Events after an hour.
            state.name, state.exists = "", False
            state.first = state.last
            state.count -= state.written
            await self._create(series, state, state.count)


def object_reference(obj: meta.Object) -> dict[str, str]:
    """The ObjectReference to an object; one that is given already is cleaned."""
    source = obj if "metadata" not in obj else {**obj, **meta.metadata(obj)}
    fields = ("apiVersion", "kind", "namespace", "name", "uid", "resourceVersion", "fieldPath")
    reference = {
        field: clean(value, 512) for field in fields if isinstance(value := source.get(field), str) and value
    }
    # Two Events about one object are the same whatever was written to it in between.
    reference.pop("resourceVersion", None)
    return reference


def event_name(name: str) -> str:
    """A name for an Event about an object of that name: unique, and within the limit of names."""
    suffix = f".{uuid.uuid4().hex[:16]}"
    return name[: _MAX_NAME - len(suffix)].rstrip(".-") + suffix if name else f"event{suffix}"


def clip(message: str) -> str:
    """A message without control characters and within the limit of the API (counted in bytes)."""
    text = clean(message, MAX_MESSAGE)
    data = text.encode(errors="replace")
    return text if len(data) <= MAX_MESSAGE else data[: MAX_MESSAGE - 3].decode(errors="ignore") + "…"


def _time(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
