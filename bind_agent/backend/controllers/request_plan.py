"""What becomes of an APIServiceExportRequest: pure (spec 4.7, W-B4, W-B10, W-B16, W-B18).

A request is terminal once its phase is not Pending. A problem that no change on the provider can cure (a
core-group kind, a scope that this backend does not export) fails it at once; any other one after a minute, in
which a template or CRD that was applied at the same time may still arrive. It succeeds when each export says
whether the tenant has its rights, so that who binds next sees a refusal on the binding and not a ready one; but
it does not wait for that longer than the minute. Terminal requests are removed after ten minutes.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from bind_agent.api import conditions, meta
from bind_agent.api.conditions_catalogue import ConditionType, Reason, Severity
from bind_agent.backend.access import Kind
from bind_agent.backend.exports import Problem
from bind_agent.backend.tenancy.rotation import parse_time

PENDING: Final = "Pending"
FAILED: Final = "Failed"
SUCCEEDED: Final = "Succeeded"

FAIL_AFTER: Final = timedelta(minutes=1)
PRUNE_AFTER: Final = timedelta(minutes=10)


@dataclass(frozen=True, slots=True)
class Limits:
    """Times of a request's life."""

    fail_after: timedelta = FAIL_AFTER
    prune_after: timedelta = PRUNE_AFTER


@dataclass(frozen=True, slots=True)
class Decision:
    """What is to be done with a request.

    Attributes:
        delete: it has been terminal long enough.
        status: the status it should have; equal to the present one when nothing changes.
        after: when to look again without an event.
    """

    delete: bool
    status: Mapping[str, Any]
    after: timedelta | None


def phase(request: Mapping[str, Any]) -> str:
    """The phase, `Pending` when there is none yet."""
    status = request.get("status")
    found = status.get("phase") if isinstance(status, Mapping) else None
    return found if isinstance(found, str) and found else PENDING


def resources(request: Mapping[str, Any]) -> list[Kind]:
    """The resources it asks for, each once, in order."""
    spec = request.get("spec")
    found = spec.get("resources") if isinstance(spec, Mapping) else None
    kinds = [
        Kind(str(entry.get("group") or ""), str(entry.get("resource") or ""))
        for entry in (found if isinstance(found, list) else [])
        if isinstance(entry, Mapping)
    ]
    return list(dict.fromkeys(kinds))


def is_decided(export: Mapping[str, Any] | None) -> bool:
    """Whether an export is there and says if its tenant has the rights for it."""
    return (
        export is not None and conditions.get(conditions.of(export), ConditionType.ACCESS_GRANTED) is not None
    )


def decide(
    request: Mapping[str, Any],
    problems: Sequence[Problem],
    *,
    waiting: Sequence[Kind] = (),
    now: datetime,
    limits: Limits | None = None,
) -> Decision:
    """Decide about a request whose resources have been looked at.

    Args:
        request: as observed.
        problems: of its resources, in order; empty when each has its export. Not looked at for terminal
            requests.
        waiting: exports that are made, and do not say yet whether the tenant has the rights for them.
        now: time with a zone.
        limits: times of its life.
    """
    limits = limits or Limits()
    born = parse_time(meta.creation_timestamp(request)) or now
    age = now - born
    old = request.get("status")
    status = dict(old) if isinstance(old, Mapping) else {}
    if phase(request) != PENDING:
        if age > limits.prune_after:
            return Decision(delete=True, status=status, after=None)
        return Decision(delete=False, status=status, after=_later(limits.prune_after - age))
    if not problems and waiting and age <= limits.fail_after:
        condition = conditions.false(
            ConditionType.EXPORTS_READY,
            Reason.PENDING,
            Severity.INFO,
            f"exported, the rights for it are being granted: {', '.join(map(str, waiting))}",
        )
        status["phase"] = PENDING
        after = limits.fail_after - age
    elif not problems:
        condition = conditions.true(ConditionType.EXPORTS_READY)
        status["phase"] = SUCCEEDED
        after = limits.prune_after - age
    else:
        worst = next((problem for problem in problems if problem.final), problems[0])
        condition = conditions.false(ConditionType.EXPORTS_READY, worst.reason, Severity.ERROR, worst.message)
        if worst.final or age > limits.fail_after:
            status["phase"] = FAILED
            status["terminalMessage"] = worst.message
            after = limits.prune_after - age
        else:
            status["phase"] = PENDING
            after = limits.fail_after - age
    status["conditions"] = conditions.set_all(conditions.of(request), [condition], now)
    return Decision(delete=False, status=status, after=_later(after))


def _later(wait: timedelta) -> timedelta:
    # Ages are compared with "more than", and the wire's times are whole seconds.
    return max(wait, timedelta(0)) + timedelta(seconds=1)
