"""Durations as Go writes them: `5m0s`, `300s`, `1h2m3.5s` (spec 3.8)."""

import functools
import re
from datetime import timedelta
from typing import Final

_UNITS: Final = {
    "ns": 1,
    "us": 1_000,
    "\u00b5s": 1_000,  # micro sign
    "\u03bcs": 1_000,  # Greek letter mu
    "ms": 1_000_000,
    "s": 1_000_000_000,
    "m": 60 * 1_000_000_000,
    "h": 3600 * 1_000_000_000,
}
_PART: Final = re.compile(r"(?P<whole>[0-9]*)(?P<point>\.?)(?P<fraction>[0-9]*)(?P<unit>[a-z\u00b5\u03bc]+)")
_LONGEST: Final = 64
"""Longest text that is looked at; the longest that Go writes has 25 characters."""

_MIN: Final = -(2**63)
_MAX: Final = 2**63 - 1


class DurationError(ValueError):
    """The text is not a duration that Go would accept."""


def parse_nanoseconds(text: str) -> int:
    """Nanoseconds of a Go duration.

    Raises:
        DurationError: not a duration, or beyond 64 bits of nanoseconds (292 years).
    """
    if len(text) > _LONGEST:
        message = "the duration is too long to be one"
        raise DurationError(message)
    negative = text.startswith("-")
    rest = text[1:] if text[:1] in {"-", "+"} else text
    if rest == "0":
        return 0
    total = 0
    position = 0
    while position < len(rest):
        part = _PART.match(rest, position)
        if part is None or part["unit"] not in _UNITS or not (part["whole"] or part["fraction"]):
            raise _invalid(text)
        unit = _UNITS[part["unit"]]
        total += int(part["whole"] or 0) * unit
        if part["fraction"]:
            total += int(part["fraction"]) * unit // 10 ** len(part["fraction"])
        position = part.end()
    total = -total if negative else total
    if not rest or not _MIN <= total <= _MAX:
        raise _invalid(text)
    return total


@functools.lru_cache(maxsize=256)
def parse(text: str) -> timedelta:
    """A Go duration, cut to microseconds.

    Raises:
        DurationError: not a duration.
    """
    nanoseconds = parse_nanoseconds(text)
    microseconds = abs(nanoseconds) // 1_000
    return timedelta(microseconds=-microseconds if nanoseconds < 0 else microseconds)


def format_nanoseconds(nanoseconds: int) -> str:
    """The duration as Go's `Duration.String` writes it.

    Raises:
        DurationError: beyond 64 bits.
    """
    if not _MIN <= nanoseconds <= _MAX:
        message = "the duration does not fit into 64 bits of nanoseconds"
        raise DurationError(message)
    if nanoseconds == 0:
        return "0s"
    sign = "-" if nanoseconds < 0 else ""
    rest = abs(nanoseconds)
    if rest < _UNITS["s"]:
        unit = "ns" if rest < 1_000 else "\u00b5s" if rest < 1_000_000 else "ms"
        return f"{sign}{_decimal(rest, _UNITS[unit])}{unit}"
    minutes, rest = divmod(rest, _UNITS["m"])
    hours, minutes = divmod(minutes, 60)
    seconds = f"{_decimal(rest, _UNITS['s'])}s"
    if hours:
        return f"{sign}{hours}h{minutes}m{seconds}"
    return f"{sign}{minutes}m{seconds}" if minutes else f"{sign}{seconds}"


def format(duration: timedelta) -> str:  # noqa: A001 - always used as goduration.format
    """The duration as Go writes it.

    Raises:
        DurationError: beyond 292 years.
    """
    microseconds = (duration.days * 86_400 + duration.seconds) * 1_000_000 + duration.microseconds
    return format_nanoseconds(microseconds * 1_000)


def _decimal(amount: int, unit: int) -> str:
    whole, rest = divmod(amount, unit)
    if not rest:
        return str(whole)
    return f"{whole}.{str(rest).zfill(len(str(unit)) - 1).rstrip('0')}"


def _invalid(text: str) -> DurationError:
    return DurationError(f"not a duration such as 5m0s: {text!r}")
