"""Conditions: the type, and the one algorithm by which every writer sets them (spec 3.2.1 and 3.11.4).

Two programs write conditions of one object. They do not fight as long as both keep untouched what has not
changed, sort in the same way and summarise by the same rules; hence everything here is the exact algorithm of
the spec. Functions take conditions as they come from the API (mappings) or typed, in any mix, and return the
list as it goes to the API: fresh mappings in the order of the wire.
"""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, Final, TypeAlias

import msgspec

from bind_agent.api.conditions_catalogue import ConditionType, Severity, Status


class Condition(msgspec.Struct, frozen=True, omit_defaults=True, rename="camel"):
    """One entry of `status.conditions`.

    Attributes:
        type: CamelCase word, unique in the list.
        status: `True`, `False` or `Unknown`.
        severity: `Error`, `Warning` or `Info` while the status is False, else empty.
        last_transition_time: RFC 3339, UTC, whole seconds; empty means: not set yet.
        reason: CamelCase word, empty while the status is True.
        message: sentence for a person, empty while the status is True.
    """

    type: str
    status: str
    severity: str = ""
    last_transition_time: str = ""
    reason: str = ""
    message: str = ""


ConditionLike: TypeAlias = Condition | Mapping[str, Any]

# Groups of the summary, the one that decides first (spec 3.11.4). Any other combination comes last.
_PRIORITY: Final[dict[tuple[str, str], int]] = {
    (Status.FALSE, Severity.ERROR): 0,
    (Status.FALSE, Severity.WARNING): 1,
    (Status.FALSE, Severity.INFO): 2,
    (Status.TRUE, Severity.NONE): 3,
    (Status.UNKNOWN, Severity.NONE): 4,
}
_LAST: Final = 5


def true(condition_type: str) -> Condition:
    """A condition that holds."""
    return Condition(type=condition_type, status=Status.TRUE)


def false(condition_type: str, reason: str, severity: str, message: str) -> Condition:
    """A condition that does not hold: why in a word, how bad, and a sentence that says what to do."""
    return Condition(
        type=condition_type, status=Status.FALSE, severity=severity, reason=reason, message=message
    )


def unknown(condition_type: str, reason: str, message: str) -> Condition:
    """A condition of which nothing is known; it has no severity."""
    return Condition(type=condition_type, status=Status.UNKNOWN, reason=reason, message=message)


def timestamp(now: datetime) -> str:
    """RFC 3339 in UTC, truncated to seconds, as every time of the own kinds is written.

    Raises:
        ValueError: `now` has no time zone.
    """
    if now.tzinfo is None:
        message = "a time without a zone cannot be written to the wire"
        raise ValueError(message)
    return now.astimezone(UTC).replace(microsecond=0).strftime("%Y-%m-%dT%H:%M:%SZ")


def of(obj: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The conditions of an object, as fresh mappings; anything malformed is left out."""
    status = obj.get("status")
    found = status.get("conditions") if isinstance(status, Mapping) else None
    if not isinstance(found, list | tuple):
        return []
    return [dict(entry) for entry in found if isinstance(entry, Mapping)]


def get(conditions: Iterable[ConditionLike], condition_type: str) -> Condition | None:
    """The condition of that type, typed; None when there is none."""
    found = _find([_wire(entry) for entry in conditions], condition_type)
    return None if found is None else _typed(found)


def is_true(conditions: Iterable[ConditionLike], condition_type: str) -> bool:
    """Whether the condition exists and holds."""
    found = get(conditions, condition_type)
    return found is not None and found.status == Status.TRUE


def is_false(conditions: Iterable[ConditionLike], condition_type: str) -> bool:
    """Whether the condition exists and does not hold."""
    found = get(conditions, condition_type)
    return found is not None and found.status == Status.FALSE


def remove(conditions: Iterable[ConditionLike], condition_type: str) -> list[dict[str, Any]]:
    """The conditions without that type, sorted."""
    return _sorted(entry for entry in map(_wire, conditions) if entry.get("type") != condition_type)


def set_condition(
    conditions: Iterable[ConditionLike], condition: ConditionLike, now: datetime
) -> list[dict[str, Any]]:
    """Set one condition (spec 3.11.4).

    An entry that is equal in status, severity, reason and message stays as it is, its transition time
    included; a different one is replaced, with `now` as transition time; a new one keeps the time that it
    brings, if any. Should a type stand in the list twice, the first one counts and the others go.

    Args:
        conditions: what the object has.
        condition: what it is to have.
        now: time with a zone.

    Returns:
        A fresh list, `Ready` first, then by type.
    """
    wanted = _wire(condition)
    entries = _unique(map(_wire, conditions))
    old = _find(entries, wanted["type"])
    if old is not None and _state(old) == _state(wanted):
        return _sorted(entries)
    if old is not None or not wanted.get("lastTransitionTime"):
        wanted["lastTransitionTime"] = timestamp(now)
    kept = [entry for entry in entries if entry is not old]
    return _sorted([*kept, wanted])


def set_summary(conditions: Iterable[ConditionLike], now: datetime) -> list[dict[str, Any]]:
    """Recompute `Ready` from all other conditions (spec 3.11.4).

    The worst group of (status, severity) decides; within it the first type in lexical order gives reason and
    message. Without other conditions nothing changes.
    """
    entries = _unique(map(_wire, conditions))
    others = [entry for entry in entries if entry.get("type") != ConditionType.READY]
    if not others:
        return _sorted(entries)
    decisive = min(others, key=lambda entry: (_rank(entry), _group(entry), str(entry.get("type", ""))))
    status, severity = _group(decisive)
    if status == Status.TRUE:
        return set_condition(entries, true(ConditionType.READY), now)
    ready = Condition(
        type=ConditionType.READY,
        status=status,
        severity=severity,
        reason=str(decisive.get("reason", "")),
        message=str(decisive.get("message", "")),
    )
    return set_condition(entries, ready, now)


def set_all(
    conditions: Iterable[ConditionLike], wanted: Iterable[ConditionLike], now: datetime
) -> list[dict[str, Any]]:
    """Set several conditions, then the summary: what a reconciler does at its end."""
    result = [_wire(entry) for entry in conditions]
    for condition in wanted:
        result = set_condition(result, condition, now)
    return set_summary(result, now)


def _wire(entry: ConditionLike) -> dict[str, Any]:
    if isinstance(entry, Condition):
        plain: dict[str, Any] = msgspec.to_builtins(entry)
        return plain
    return dict(entry)


def _typed(entry: Mapping[str, Any]) -> Condition:
    texts = {field: entry.get(field) for field in ("severity", "lastTransitionTime", "reason", "message")}
    clean = {field: value for field, value in texts.items() if isinstance(value, str)}
    return Condition(
        type=str(entry["type"]),
        status=str(entry.get("status", Status.UNKNOWN)),
        severity=clean.get("severity", ""),
        last_transition_time=clean.get("lastTransitionTime", ""),
        reason=clean.get("reason", ""),
        message=clean.get("message", ""),
    )


def _find(entries: list[dict[str, Any]], condition_type: str) -> dict[str, Any] | None:
    return next((entry for entry in entries if entry.get("type") == condition_type), None)


def _unique(entries: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    first: dict[str, dict[str, Any]] = {}
    for entry in entries:
        first.setdefault(str(entry.get("type", "")), entry)
    return list(first.values())


def _state(entry: Mapping[str, Any]) -> tuple[str, ...]:
    return tuple(str(entry.get(field) or "") for field in ("status", "severity", "reason", "message"))


def _group(entry: Mapping[str, Any]) -> tuple[str, str]:
    status = str(entry.get("status", ""))
    # A severity says something only about False; conditions copied from a CRD carry one with Unknown as well.
    return status, str(entry.get("severity") or "") if status == Status.FALSE else Severity.NONE


def _rank(entry: Mapping[str, Any]) -> int:
    return _PRIORITY.get(_group(entry), _LAST)


def _sorted(entries: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    return sorted(
        entries, key=lambda entry: (entry.get("type") != ConditionType.READY, str(entry.get("type", "")))
    )
