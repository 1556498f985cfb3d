"""When a consumer that nobody hears of is revoked, and when it is deleted: pure.

Both are off unless a platform team asks for them (`--revoke-unseen-after`, `--delete-unseen-after`). Whoever
was never connected is given the same time, counted from when it was added or let in again. Nothing happens
unannounced: a condition says what is due and when, for at least `Limits.notice` before it is done. And nothing
happens soon after a backend began to work: while it was away the whole provider may have been, so that no
konnector could report.

All these times are of a clock that somebody may set, and a clock that is ahead makes everybody look silent. So silence
has to be watched as well, by a clock that nobody sets (`Vigil`), and that most consumers fell silent at once is not
believed (`is_implausible`).
"""

from collections.abc import Collection, Mapping
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

FEW: Final = 3
"""So many may be ended whatever share of all they are: small providers lose most of their consumers at times."""

TRUSTED: Final = timedelta(minutes=1)
"""How far our clock may be from the API server's, which sets the times of what it stores."""

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
    DELETE: "binding again lets it in; so does `bind-backend tenant add`, or raise --delete-unseen-after",
}


@dataclass(frozen=True, slots=True)
class Limits:
    """How long a consumer may stay silent.

    Attributes:
        revoke_after: then its credential ends; None: never.
        delete_after: then it goes with everything it has; None: never. Longer than `revoke_after`.
        notice: least time between an announcement and the deed, and for which silence is watched before it.
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


class Vigil:
    """For how long this process has watched each consumer without a newer sign of life."""

    def __init__(self) -> None:
        """Watch nobody yet."""
        self._since: dict[str, tuple[tuple[str, ...], float]] = {}

    def watched(self, binding: Mapping[str, Any], monotonic: float) -> timedelta:
        """Look at a consumer.

        Args:
            binding: its ClusterBinding.
            monotonic: seconds by a clock that nobody sets.

        Returns:
            How long ago its signs of life were first seen as they are now; zero when they are new.
        """
        signs = (meta.uid(binding), *_signs(binding))
        known, since = self._since.setdefault(meta.namespace(binding), (signs, monotonic))
        if known != signs:
            # Whatever time it names: somebody wrote it.
            since = monotonic
            self._since[meta.namespace(binding)] = (signs, since)
        return timedelta(seconds=monotonic - since)

    def keep(self, namespaces: Collection[str]) -> None:
        """Forget all other consumers."""
        self._since = {name: found for name, found in self._since.items() if name in namespaces}


def judge(binding: Mapping[str, Any], limits: Limits, *, now: datetime, watched: timedelta) -> Verdict:
    """Judge one consumer.

    Args:
        binding: its ClusterBinding.
        limits: how long it may stay silent.
        now: time with a zone.
        watched: how long this process has watched it without a newer sign of life (see `Vigil`).
    """
    found = _silence(binding, limits, now)
    if found is None:
        return Verdict()
    step, seen, limit = found
    due = seen + limit
    # What is left of watching counts from now on, whatever our clock says.
    watched_enough = now + limits.notice - watched
    begins = due - min(max(limit / _LEAD, limits.notice), limit)
    if now < begins:
        return Verdict(due=(step, due), after=begins - now)
    known = conditions.get(conditions.of(binding), names.CONSUMER_SEEN)
    began = f"no heartbeat since {conditions.timestamp(seen)}: "
    if known is None or known.reason != _REASONS[step] or not known.message.startswith(began):
        at = max(due, now + limits.notice)
        message = f"{began}{_WORDS[step].format(at=conditions.timestamp(at))}; {_NEXT[step]}"
        condition = conditions.false(names.CONSUMER_SEEN, _REASONS[step], Severity.WARNING, message)
        return Verdict(condition, due=(step, at), after=at - now)
    announced = parse_time(known.last_transition_time) or now
    at = max(due, announced + limits.notice, watched_enough)
    act = step if at <= now else ""
    return Verdict(known, act, (step, at), _AGAIN if act else at - now)


def overdue(binding: Mapping[str, Any], limits: Limits, now: datetime) -> str:
    """The step for which a consumer has been silent long enough, announced or not; else empty."""
    found = _silence(binding, limits, now)
    if found is None:
        return ""
    step, seen, limit = found
    return step if seen + limit <= now else ""


def is_implausible(silent: int, everyone: int) -> bool:
    """Whether rather our own clock or the way to us is broken than so many consumers.

    Args:
        silent: how many are overdue for one step.
        everyone: how many tenants there are.
    """
    return silent > FEW and silent * 2 > everyone


def last_seen(binding: Mapping[str, Any], now: datetime) -> datetime | None:
    """The latest sign of life, or the time at which a consumer was added.

    Args:
        binding: its ClusterBinding; the heartbeat in it is the consumer's own word.
        now: time with a zone.

    Returns:
        None when nobody can tell: a heartbeat in the future means that two clocks disagree.
    """
    times = [time for sign in _signs(binding) if (time := parse_time(sign)) is not None]
    if not times or max(times) > now + _DRIFT:
        return None
    return max(times)


def is_reapable(binding: Mapping[str, Any]) -> bool:
    """Whether it is the ClusterBinding of a tenant, and not on its way out already."""
    return meta.name(binding) == keys.CLUSTER_BINDING_NAME and not meta.is_deleting(binding)


def _signs(binding: Mapping[str, Any]) -> tuple[str, ...]:
    """All signs of life, as they stand there."""
    status = binding.get("status")
    beat = status.get("lastHeartbeatTime") if isinstance(status, Mapping) else None
    return (
        meta.creation_timestamp(binding),
        meta.annotation(binding, names.ADMITTED),
        beat if isinstance(beat, str) else "",
    )


def _silence(
    binding: Mapping[str, Any], limits: Limits, now: datetime
) -> tuple[str, datetime, timedelta] | None:
    """The next step, since when a consumer is silent, and for how long it may be; None when nothing follows."""
    seen = last_seen(binding, now)
    if seen is None or limits.revoke_after is None:
        return None
    if not meta.annotation(binding, names.REVOKED):
        return REVOKE, seen, limits.revoke_after
    # Who was shut out by a person is that person's business.
    if meta.annotation(binding, names.REVOKED_BY) != names.BY_REAPER or limits.delete_after is None:
        return None
    return DELETE, seen, limits.delete_after
