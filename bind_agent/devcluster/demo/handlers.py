"""The operator's handlers: kopf's events on one side, `service` on the other, and no decision in between.

All state that kopf keeps on an object is in annotations of its own domain, next to a finalizer. A konnector
that mirrors the object from an app cluster applies its own fields only, so neither of the two ever touches
the other's.
"""

import asyncio
import logging
import random
from collections.abc import Mapping
from typing import Any, Final

import kopf

from bind_agent.api import meta
from bind_agent.devcluster.demo import names
from bind_agent.devcluster.demo.service import Outcome, Service

logger = logging.getLogger(__name__)

_OBJECTS: Final = (names.GROUP, names.VERSION, names.PLURAL)


def settings() -> kopf.OperatorSettings:
    """Settings under which the operator needs the rights of its role and no others.

    No peering objects, no watching of CRDs and namespaces, no events for log lines.
    """
    chosen = kopf.OperatorSettings()
    chosen.peering.standalone = True
    chosen.scanning.disabled = True
    chosen.posting.reporting_component = names.OPERATOR
    chosen.posting.event_name_prefix = f"{names.SERVICE}-"
    chosen.persistence.finalizer = names.FINALIZER
    chosen.persistence.progress_storage = kopf.AnnotationsProgressStorage(prefix=names.GROUP)
    chosen.persistence.diffbase_storage = kopf.AnnotationsDiffBaseStorage(
        prefix=names.GROUP, key="last-handled-configuration"
    )
    # A resync that is under way when its object is deleted delays the finalizer by one such period.
    chosen.background.cancellation_polling = 1.0
    # An API server that is away is waited for, an hour long; by default kopf gives up after a minute.
    chosen.networking.error_backoffs = (1, 1, 2, 3, 5, 8, *(10,) * 360)
    return chosen


def registry(service: Service, login: Any, *, resync: float) -> kopf.OperatorRegistry:
    """Tie the service to the events of `postgresqls` objects.

    Args:
        service: what is done.
        login: handler that gives kopf its connection.
        resync: seconds between two looks at an object that nobody changed; heals what was removed by hand.
    """
    chosen = kopf.OperatorRegistry()
    handlers = _Handlers(service)
    kopf.on.login(registry=chosen)(login)
    for occasion in (kopf.on.create, kopf.on.resume):
        occasion(*_OBJECTS, registry=chosen, id="ensure")(handlers.ensure)
    kopf.on.update(*_OBJECTS, registry=chosen, id="ensure", field="spec")(handlers.ensure)
    kopf.on.delete(*_OBJECTS, registry=chosen, id="remove")(handlers.remove)
    timer = kopf.timer(
        *_OBJECTS,
        registry=chosen,
        id="resync",
        interval=resync,
        # Spread out, so that a restart among many objects is no burst.
        initial_delay=lambda **_: resync * random.uniform(0.5, 1.0),  # noqa: S311 - needs no secrecy
    )
    timer(handlers.resync)
    return chosen


class _Handlers:
    def __init__(self, service: Service) -> None:
        self._service = service

    async def ensure(self, body: Mapping[str, Any], patch: kopf.Patch, memo: kopf.Memo, **_: Any) -> None:
        async with _lock(memo):
            outcome = await self._service.ensure(body)
        _report(body, patch, outcome)
        if outcome.retry is not None:
            raise kopf.TemporaryError(outcome.message, delay=outcome.retry)

    async def remove(self, body: Mapping[str, Any], patch: kopf.Patch, memo: kopf.Memo, **_: Any) -> None:
        async with _lock(memo):
            outcome = await self._service.remove(body)
        _report(body, patch, outcome)
        if outcome.retry is not None:
            raise kopf.TemporaryError(outcome.message, delay=outcome.retry)

    async def resync(
        self, body: Mapping[str, Any], patch: kopf.Patch, memo: kopf.Memo, stopped: Any, **_: Any
    ) -> None:
        async with _lock(memo):
            if stopped:  # deleted in the meantime: a database that is gone must not come back
                return
            outcome = await self._service.ensure(body)
        _report(body, patch, outcome)


def _lock(memo: kopf.Memo) -> asyncio.Lock:
    """One at a time per object: kopf runs timers beside the other handlers."""
    lock = memo.setdefault("lock", asyncio.Lock())
    assert isinstance(lock, asyncio.Lock)  # noqa: S101 - set here only
    return lock


def _report(body: Mapping[str, Any], patch: kopf.Patch, outcome: Outcome) -> None:
    if outcome.status:
        patch.status.update(outcome.status)
    if outcome.event is not None:
        logger.log(
            logging.WARNING if outcome.event.warning else logging.INFO,
            "%s/%s: %s: %s",
            meta.namespace(body),
            meta.name(body),
            outcome.event.reason,
            outcome.event.message,
        )
        kopf.event(
            body,
            type="Warning" if outcome.event.warning else "Normal",
            reason=outcome.event.reason,
            message=outcome.event.message,
        )
