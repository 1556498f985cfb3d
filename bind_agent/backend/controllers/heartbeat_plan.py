"""Whether a konnector is alive, and when to look again: pure (spec 3.11.3, W-B3, W-B4)."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from bind_agent.api import conditions, goduration
from bind_agent.api.conditions import Condition
from bind_agent.api.conditions_catalogue import ConditionType, Reason, Severity
from bind_agent.backend.tenancy.rotation import parse_time

DRIFT: Final = timedelta(seconds=10)
"""A heartbeat further in the future than this means that two clocks disagree."""

MISSED: Final = 2
"""Intervals without a heartbeat after which a konnector counts as gone."""

_LONGEST: Final = timedelta(days=7)
"""Intervals beyond this are taken as this: the other side says them."""


@dataclass(frozen=True, slots=True)
class Health:
    """Verdict on a konnector.

    Attributes:
        condition: the condition Healthy.
        after: when it changes by mere passing of time; None when only an event can change it.
    """

    condition: Condition
    after: timedelta | None = None


def judge(status: Mapping[str, Any], now: datetime) -> Health:
    """Judge the heartbeat in a ClusterBinding's status.

    Args:
        status: the status; whatever the tenant wrote there.
        now: time with a zone.
    """
    last = parse_time(_text(status.get("lastHeartbeatTime")))
    if last is None:
        return _unhealthy(
            Reason.FIRST_HEARTBEAT_PENDING,
            Severity.INFO,
            "waiting for the first heartbeat: install the konnector on the app cluster and bind an API",
        )
    interval = _interval(status.get("heartbeatInterval"))
    if interval is None:
        return _unhealthy(
            Reason.HEARTBEAT_INTERVAL_MISSING,
            Severity.INFO,
            "the konnector does not say how often it reports",
        )
    if last - now > DRIFT:
        drift = conditions.false(
            ConditionType.HEALTHY,
            Reason.HEARTBEAT_TIME_DRIFT,
            Severity.WARNING,
            f"the last heartbeat ({conditions.timestamp(last)}) lies in the future:"
            " set the clocks of both clusters right",
        )
        return Health(drift, last - now - DRIFT)
    deadline = last + MISSED * interval
    if now > deadline:
        return _unhealthy(
            Reason.HEARTBEAT_TIMEOUT,
            Severity.ERROR,
            f"no heartbeat since {conditions.timestamp(last)}, more than {MISSED} intervals of"
            f" {goduration.format(interval)}: look at the konnector on the app cluster",
        )
    # The times on the wire are whole seconds, so the second that has begun is waited for.
    return Health(conditions.true(ConditionType.HEALTHY), deadline - now + timedelta(seconds=1))


def _interval(value: object) -> timedelta | None:
    try:
        interval = goduration.parse(_text(value))
    except goduration.DurationError:
        return None
    return min(interval, _LONGEST) if interval > timedelta(0) else None


def _unhealthy(reason: str, severity: str, message: str) -> Health:
    return Health(conditions.false(ConditionType.HEALTHY, reason, severity, message))


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""
