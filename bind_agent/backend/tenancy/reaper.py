"""When a consumer that nobody hears of is revoked, and when it is deleted: pure.

Both are off unless a platform team asks for them (`--revoke-unseen-after`, `--delete-unseen-after`). Whoever
was never connected is given the same time, counted from when it was added or let in again. Nothing happens
unannounced: a condition says what is due and when, for at least `Limits.notice` before it is done. And nothing
happens soon after a backend began to work: while it was away the whole provider may have been, so that no
konnector could report.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from bind_agent.api import conditions, keys, meta
from bind_agent.api.conditions import Condition
from bind_agent.api.conditions_catalogue import Severity
from bind_agent.backend import names
from bind_agent.backend.tenancy.rotation import parse_time

REVOKE: Final = "revoke"
DELETE: Final = "delete"

_DRIFT: Final = timedelta(seconds=10)
_AGAIN: Final = timedelta(seconds=2)
_LEAD: Final = 4
"""The announcement begins when this part of the limit is left."""

_REASONS: Final = {REVOKE: names.REASON_REVOCATION_ANNOUNCED, DELETE: names.REASON_DELETION_ANNOUNCED}
_WORDS: Final = {
    REVOKE: "its credential is revoked at the earliest at {at}; what it has here stays",
    DELETE: "it is deleted with everything that it has here at the earliest at {at}",
}
_NEXT: Final = {
    REVOKE: "let its konnector report, or raise --revoke-unseen-after",
    DELETE: "let it in again with `bind-backend tenant add`, or raise --delete-unseen-after",
}


@dataclass(frozen=True, slots=True)
class Limits:
    """How long a consumer may stay silent.

    Attributes:
        revoke_after: then its credential ends; None: never.
        delete_after: then it goes with everything it has; None: never. Longer than `revoke_after`.
        notice: least time between an announcement, or the start of this backend, and the deed.
    """

    revoke_after: timedelta | None = None
    delete_after: timedelta | None = None
    notice: timedelta = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is to be done about a silent consumer.

    Attributes:
        condition: the announcement; None when there is nothing to announce.
        act: `REVOKE` or `DELETE` when it is due now, else empty.
        due: what comes next, and when at the earliest; None when nothing does.
        after: when to look again.
    """

    condition: Condition | None = None
    act: str = ""
    due: tuple[str, datetime] | None = None
    after: timedelta | None = None


def judge(binding: Mapping[str, Any], limits: Limits, *, now: datetime, working_since: datetime) -> Verdict:
    """Judge one consumer.

    Args:
        binding: its ClusterBinding.
        limits: how long it may stay silent.
        now: time with a zone.
        working_since: since when this backend watches.
    """
    seen = last_seen(binding, now)
    if seen is None or limits.revoke_after is None:
        return Verdict()
    step, limit = REVOKE, limits.revoke_after
    if meta.annotation(binding, names.REVOKED):
        # Who was shut out by a person is that person's business.
        if meta.annotation(binding, names.REVOKED_BY) != names.BY_REAPER or limits.delete_after is None:
            return Verdict()
        step, limit = DELETE, limits.delete_after
    due = seen + limit
    begins = due - min(max(limit / _LEAD, limits.notice), limit)
    if now < begins:
        return Verdict(due=(step, due), after=begins - now)
    known = conditions.get(conditions.of(binding), names.CONSUMER_SEEN)
    began = f"no heartbeat since {conditions.timestamp(seen)}: "
    if known is None or known.reason != _REASONS[step] or not known.message.startswith(began):
        at = max(due, now + limits.notice, working_since + limits.notice)
        message = f"{began}{_WORDS[step].format(at=conditions.timestamp(at))}; {_NEXT[step]}"
        condition = conditions.false(names.CONSUMER_SEEN, _REASONS[step], Severity.WARNING, message)
        return Verdict(condition, due=(step, at), after=at - now)
    announced = parse_time(known.last_transition_time) or now
    at = max(due, announced + limits.notice, working_since + limits.notice)
    act = step if at <= now else ""
    return Verdict(known, act, (step, at), _AGAIN if act else at - now)


def last_seen(binding: Mapping[str, Any], now: datetime) -> datetime | None:
    """The latest sign of life, or the time at which a consumer was added.

    Args:
        binding: its ClusterBinding; the heartbeat in it is the consumer's own word.
        now: time with a zone.

    Returns:
        None when nobody can tell: a heartbeat in the future means that two clocks disagree.
    """
    status = binding.get("status")
    beat = status.get("lastHeartbeatTime") if isinstance(status, Mapping) else None
    signs = (
        meta.creation_timestamp(binding),
        meta.annotation(binding, names.ADMITTED),
        beat if isinstance(beat, str) else "",
    )
    times = [time for sign in signs if (time := parse_time(sign)) is not None]
    if not times or max(times) > now + _DRIFT:
        return None
    return max(times)


def is_reapable(binding: Mapping[str, Any]) -> bool:
    """Whether it is the ClusterBinding of a tenant, and not on its way out already."""
    return meta.name(binding) == keys.CLUSTER_BINDING_NAME and not meta.is_deleting(binding)
