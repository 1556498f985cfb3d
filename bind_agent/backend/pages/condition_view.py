"""Conditions and health as a page shows them: pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Final

from bind_agent.api import conditions
from bind_agent.api.conditions import Condition
from bind_agent.api.conditions_catalogue import ConditionType, Severity, Status
from bind_agent.api.text import printable
from bind_agent.backend import names
from bind_agent.backend.consumer_words import for_consumers
from bind_agent.backend.pages.times import Moment, moment
from bind_agent.backend.tenancy.rotation import parse_time

_MOST: Final = 40
_MESSAGE: Final = 1000
"""The command that helps stands at the end of a message, and the longest ones are that long."""
_WORD: Final = 80


class Tone(StrEnum):
    """How something is; the page shows a sign and a word for it, never colour alone."""

    GOOD = "good"
    WAIT = "wait"
    WARN = "warn"
    BAD = "bad"


@dataclass(frozen=True, slots=True)
class Badge:
    """A state in a word.

    Attributes:
        tone: how good it is.
        word: the state.
        message: a sentence that says more, or empty.
    """

    tone: Tone
    word: str
    message: str = ""


@dataclass(frozen=True, slots=True)
class Row:
    """One condition.

    Attributes:
        type: its type.
        badge: its state; the word is `yes`, or the reason.
        since: its last transition; None when unknown.
    """

    type: str
    badge: Badge
    since: Moment | None


_WARNINGS: Final = frozenset({ConditionType.RETIRING, names.VERSION_NOT_SERVED})
"""Conditions that warn while they hold."""

_FALSE: Final = {Severity.ERROR: Tone.BAD, Severity.WARNING: Tone.WARN, Severity.INFO: Tone.WAIT}


def rows(obj: Mapping[str, Any], now: datetime, *, commands: bool = False) -> tuple[Row, ...]:
    """The conditions of an object, `Ready` first, each type once; written by both sides, so bounded and cleaned.

    Args:
        obj: has them.
        now: time with a zone.
        commands: whether whoever reads can run the platform team's commands.
    """
    entries = [entry for entry in conditions.of(obj) if isinstance(entry.get("type"), str)][:_MOST]
    found = []
    for kind in sorted(
        {entry["type"] for entry in entries}, key=lambda one: (one != ConditionType.READY, one)
    ):
        condition = conditions.get(entries, kind)
        if condition is not None and _worth_telling(condition):
            at = parse_time(condition.last_transition_time)
            found.append(
                Row(
                    printable(kind, _WORD),
                    badge(condition, commands=commands),
                    moment(at, now) if at else None,
                )
            )
    return tuple(found)


def badge(
    condition: Condition | None,
    *,
    good: str = "yes",
    missing: str = "not reported yet",
    commands: bool = False,
) -> Badge:
    """A condition's state.

    Args:
        condition: None when the object has none of the type.
        good: the word while it holds.
        missing: the word while there is none.
        commands: as for `rows`.
    """
    if condition is None:
        return Badge(Tone.WAIT, missing)
    message = printable(condition.message if commands else for_consumers(condition.message), _MESSAGE)
    if condition.type in _WARNINGS:
        return Badge(Tone.WARN, printable(condition.reason, _WORD), message)
    if condition.status == Status.TRUE:
        return Badge(Tone.GOOD, good)
    tone = _FALSE.get(condition.severity, Tone.BAD) if condition.status == Status.FALSE else Tone.WAIT
    word = printable(condition.reason, _WORD) or (
        "does not hold" if condition.status == Status.FALSE else "unknown"
    )
    return Badge(tone, word, message)


def _worth_telling(condition: Condition) -> bool:
    return condition.type not in _WARNINGS or condition.status == Status.TRUE


def ready(obj: Mapping[str, Any], *, good: str = "ready", commands: bool = False) -> Badge:
    """The summary of an object's conditions."""
    return badge(conditions.get(conditions.of(obj), ConditionType.READY), good=good, commands=commands)
