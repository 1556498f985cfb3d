"""Durations of Go (spec 3.8)."""

from datetime import timedelta

import pytest

from bind_agent.api import goduration

pytestmark = pytest.mark.unit

HOUR = 3600 * 10**9


@pytest.mark.parametrize(
    ("text", "nanoseconds"),
    [
        ("0", 0),
        ("-0", 0),
        ("0s", 0),
        ("300s", 300 * 10**9),
        ("5m0s", 300 * 10**9),
        ("1h2m3s", HOUR + 123 * 10**9),
        ("1.5h", HOUR + HOUR // 2),
        (".5s", 5 * 10**8),
        ("1.s", 10**9),
        ("+2ms", 2 * 10**6),
        ("-2us", -2000),
        ("3\u00b5s", 3000),
        ("3\u03bcs", 3000),
        ("7ns", 7),
        ("1s1h", HOUR + 10**9),
        ("-2562047h47m16.854775808s", -(2**63)),
    ],
)
def test_parse(text: str, nanoseconds: int) -> None:
    assert goduration.parse_nanoseconds(text) == nanoseconds


@pytest.mark.parametrize(
    "text",
    ["", "-", "5", "s", ".s", "1 s", "1d", "1s ", "five", "1h-2m", "2562048h", "1s\n", "1" * 65, "\u0661s"],
)
def test_refuses(text: str) -> None:
    with pytest.raises(goduration.DurationError):
        goduration.parse_nanoseconds(text)


@pytest.mark.parametrize(
    ("nanoseconds", "text"),
    [
        (0, "0s"),
        (1, "1ns"),
        (1_100, "1.1\u00b5s"),
        (2_200_000, "2.2ms"),
        (3_300_000_000, "3.3s"),
        (300 * 10**9, "5m0s"),
        (HOUR, "1h0m0s"),
        (-90 * 10**9, "-1m30s"),
        (2**63 - 1, "2562047h47m16.854775807s"),
    ],
)
def test_format(nanoseconds: int, text: str) -> None:
    assert goduration.format_nanoseconds(nanoseconds) == text


def test_format_refuses_what_go_cannot_hold() -> None:
    with pytest.raises(goduration.DurationError):
        goduration.format_nanoseconds(2**63)


def test_timedelta() -> None:
    assert goduration.format(timedelta(minutes=5)) == "5m0s"
    assert goduration.format(timedelta(seconds=-1, microseconds=-500_000)) == "-1.5s"
    assert goduration.parse("1m0.000001999s") == timedelta(minutes=1, microseconds=1)
    assert goduration.parse("-1.5s") == timedelta(seconds=-1.5)
