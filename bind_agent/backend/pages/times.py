"""Times in words: pure."""

import functools
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

_UNITS: Final = (("day", 86400), ("hour", 3600), ("minute", 60), ("second", 1))


@dataclass(frozen=True, slots=True)
class Moment:
    """A point in time as a page shows it.

    Attributes:
        words: relative to now, for instance `2 minutes ago`.
        exact: for people, in UTC.
        machine: RFC 3339, for the `datetime` attribute.
    """

    words: str
    exact: str
    machine: str


def moment(at: datetime, now: datetime) -> Moment:
    """A point in time, seen from now (both with a zone)."""
    exact, machine = _texts(at)
    return Moment(relative(at - now), exact, machine)


@functools.lru_cache(maxsize=8192)
def _texts(at: datetime) -> tuple[str, str]:
    """For people and for machines; a page shows the same times again and again, only seen from another moment."""
    at = at.astimezone(UTC)
    # In UTC the text always ends in the same six characters; `strftime` would cost more than all else here.
    return f"{at.isoformat(' ', 'minutes')[:-6]} UTC", f"{at.isoformat('T', 'seconds')[:-6]}Z"


def relative(span: timedelta) -> str:
    """`in 3 days`, `5 minutes ago`, `just now`."""
    seconds = int(span.total_seconds())
    if abs(seconds) < 5:
        return "just now"
    words = length(abs(span))
    return f"in {words}" if seconds > 0 else f"{words} ago"


def length(span: timedelta) -> str:
    """A span in its largest fitting unit, the second one as well below a few: `1 day 4 hours`, `12 minutes`."""
    seconds = int(span.total_seconds())
    parts = list(_parts(seconds))
    if not parts:
        return "0 seconds"
    # A second unit tells something only beside a small number of the first one.
    shown = parts[:2] if parts[0][0] < 3 else parts[:1]
    return " ".join(f"{count} {unit}{'' if count == 1 else 's'}" for count, unit in shown)


def _parts(seconds: int) -> Iterator[tuple[int, str]]:
    for unit, size in _UNITS:
        count, seconds = divmod(seconds, size)
        if count:
            yield count, unit
