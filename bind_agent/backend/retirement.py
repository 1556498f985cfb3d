"""Ending an export in good time: pure.

A platform team announces the end of one tenant's export (`bind-backend export retire`). Until then everything
goes on, and the condition `Retiring` says when it ends; konnectors show it on the binding. At the end the
backend deletes the export, and with it the tenant's rights on the kind, and notes on the ClusterBinding that
the kind has retired, so that the tenant does not simply request it again. `export restore` takes either back.

`Retiring` is a condition that warns while it is True, as `MemoryPressure` of a node does. So it leaves the
summary `Ready` alone, by the algorithm that both programs share: a binding that works is ready to its last
day. Content is nobody's business here: objects in the service namespaces stay.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from bind_agent.api import conditions, meta
from bind_agent.api.conditions import Condition
from bind_agent.api.conditions_catalogue import ConditionType, Reason, Status
from bind_agent.api.text import printable
from bind_agent.backend import names
from bind_agent.backend.access import Kind
from bind_agent.backend.tenancy.rotation import parse_time

NOTE_LIMIT: Final = 200
"""Most characters of what a platform team writes to its consumers."""

_LONGEST: Final = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Planned:
    """An announced end.

    Attributes:
        at: when the export goes.
        note: what the platform team has to say about it.
        by: `names.BY_OPERATOR`, or `BY_PERSON` when whoever bound the API ends it.
    """

    at: datetime
    note: str = ""
    by: str = names.BY_OPERATOR


@dataclass(frozen=True, slots=True)
class Verdict:
    """What an announcement means at this moment.

    Attributes:
        condition: for the export; None when nothing is announced.
        over: the time has come.
        after: when to look again.
    """

    condition: Condition | None = None
    over: bool = False
    after: timedelta | None = None


def marks(planned: Planned) -> dict[str, str]:
    """The announcement as annotations of the export."""
    found = {names.RETIRE_AT: conditions.timestamp(planned.at)}
    if planned.by != names.BY_OPERATOR:
        found[names.RETIRE_BY] = planned.by
    return {**found, names.RETIRE_NOTE: printable(planned.note, NOTE_LIMIT)} if planned.note else found


def planned(export: Mapping[str, Any]) -> Planned | None:
    """The announcement on an export; None when there is none, or no time that can be read."""
    at = parse_time(meta.annotation(export, names.RETIRE_AT))
    if at is None:
        return None
    return Planned(
        at,
        printable(meta.annotation(export, names.RETIRE_NOTE), NOTE_LIMIT),
        meta.annotation(export, names.RETIRE_BY) or names.BY_OPERATOR,
    )


def judge(export: Mapping[str, Any], now: datetime) -> Verdict:
    """Whether an export retires, and whether its time has come.

    Args:
        export: an APIServiceExport.
        now: time with a zone.
    """
    found = planned(export)
    if found is None:
        return Verdict()
    if found.at <= now:
        return Verdict(over=True)
    return Verdict(announcement(meta.name(export), found), after=min(found.at - now, _LONGEST))


def announcement(name: str, plan: Planned) -> Condition:
    """The condition that a consumer reads."""
    note = f" ({plan.note})" if plan.note else ""
    if plan.by == names.BY_PERSON:
        who = (
            f"{name} ends on {conditions.timestamp(plan.at)}, as its owner asked for on the provider's pages"
        )
    else:
        who = f"the provider stops offering {name} on {conditions.timestamp(plan.at)}{note}"
    return Condition(
        type=ConditionType.RETIRING,
        status=Status.TRUE,
        reason=Reason.RETIREMENT_ANNOUNCED,
        message=(f"{who}: save what you need, then delete your objects and the binding before that time"),
    )


def retired(binding: Mapping[str, Any] | None) -> dict[str, str]:
    """Kinds that have retired for a tenant, by `P.G`, with the time.

    Args:
        binding: its ClusterBinding.
    """
    entries = meta.annotation(binding or {}, names.RETIRED).split(",")
    return {name: time for name, _, time in (one.partition("@") for one in entries) if name}


def retired_mark(kinds: Mapping[str, str]) -> str | None:
    """The annotation for these kinds; None when there are none, which removes it."""
    return ",".join(f"{name}@{time}" for name, time in sorted(kinds.items())) or None


def refused(kind: Kind, time: str) -> str:
    """Why a tenant does not get a kind again."""
    return (
        f"the provider retired {kind} for this tenant at {printable(time, 32)}: ask its operators, who can let"
        f" it be requested again with `bind-backend export restore {kind}`"
    )
