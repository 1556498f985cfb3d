"""Refusals of single objects: one event and one count when it begins, nothing while it lasts."""

from typing import Final

import structlog

from bind_agent.api.meta import Object
from bind_agent.obs import metrics
from bind_agent.runtime.recorder import Recorder
from konnector.sync.model import Reason
from konnector.sync.patience import Patience

log = structlog.get_logger(__name__)

_CONFLICTS: Final = frozenset({Reason.CONFLICT, Reason.FOREIGN_MARK, Reason.FIGHT})
_SHARED: Final = frozenset({Reason.DENIED, Reason.CREDENTIAL, Reason.NOT_SERVED})
"""Causes that hold up more than the one object."""

_ALL: Final = ""
"""Stands for no single object."""


class Reports:
    """What is refused now, for one resource of one session."""

    def __init__(self, recorder: Recorder, binding: str) -> None:
        """Report for one resource.

        Args:
            recorder: events on the app cluster.
            binding: ``plural.group`` of the bound or claimed resource, the metric label.
        """
        self._recorder = recorder
        self._binding = binding
        self._refused: dict[str, tuple[str, str]] = {}
        self._hindrances: dict[str, tuple[str, str]] = {}
        self._patience = Patience()

    def is_conflict(self, key: str) -> bool:
        """Whether an object is refused because of another one that is in the way."""
        return self._refused.get(key, ("", ""))[0] in _CONFLICTS

    @property
    def refused(self) -> dict[str, str]:
        """Reason by object key."""
        return {key: reason for key, (reason, _) in self._refused.items()}

    @property
    def hindrance(self) -> tuple[str, str] | None:
        """A cause that holds up objects and is not about one of them, as (reason, message); None without any."""
        return next(iter(self._hindrances.values()), None)

    def lasted(self, key: str, now: float) -> float:
        """Seconds since an object is in difficulties, from the first time that this was asked until ``clear``."""
        return self._patience.lasted(key, now)

    def refuse(self, key: str, subject: Object, reason: str, message: str) -> None:
        """Report that an object is not synced.

        Args:
            key: key of the object on the app cluster.
            subject: the object that the event is about.
            reason: the reason word, the same in event, log and metric.
            message: what is wrong and what to do; no content of the object.
        """
        if reason in _SHARED:
            self._hindrances[key] = (reason, message)
        else:
            self._hindrances.pop(key, None)
        known = self._refused.get(key, ("", ""))
        if known == (reason, message):
            return
        self._refused[key] = (reason, message)
        if known[0] != reason:
            counter = metrics.CONFLICTS if reason in _CONFLICTS else metrics.REFUSALS
            counter(self._binding, reason).inc()
            self._count()
        log.warning("not synced", resource=self._binding, object=key, reason=reason, message=message)
        self._recorder.event(subject, type="Warning", reason=reason, message=message)

    def hinder(self, reason: str, message: str) -> None:
        """Report that objects are held up as a whole, on the binding alone: there can be any number of them.

        Args:
            reason: the reason word.
            message: what is wrong and what to do.
        """
        if self._hindrances.get(_ALL) != (reason, message):
            metrics.REFUSALS(self._binding, reason).inc()
            log.warning("not synced", resource=self._binding, reason=reason, message=message)
        self._hindrances[_ALL] = (reason, message)

    def unhinder(self) -> None:
        """What ``hinder`` said is over."""
        self._hindrances.pop(_ALL, None)

    def clear(self, key: str) -> None:
        """The object is synced (again)."""
        self._patience.over(key)
        self._hindrances.pop(key, None)
        if self._refused.pop(key, None) is not None:
            self._count()

    def _count(self) -> None:
        conflicts = sum(reason in _CONFLICTS for reason, _ in self._refused.values())
        metrics.OBJECTS(self._binding, "conflict").set(conflicts)
        metrics.OBJECTS(self._binding, "refused").set(len(self._refused) - conflicts)
