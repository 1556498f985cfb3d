"""The algorithm of conditions (spec 3.11.4)."""

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from bind_agent.api import conditions as c
from bind_agent.api.conditions_catalogue import Severity, Status

pytestmark = pytest.mark.unit

NOW = datetime(2026, 3, 4, 5, 6, 7, 890_000, tzinfo=UTC)
LATER = NOW + timedelta(minutes=1)
STAMP, LATER_STAMP = "2026-03-04T05:06:07Z", "2026-03-04T05:07:07Z"


def failed(kind: str, severity: str = "Error") -> c.Condition:
    return c.false(kind, f"{kind}Broken", severity, f"{kind} is broken")


def test_new_condition_is_appended_with_the_time() -> None:
    assert c.set_condition([], c.true("A"), NOW) == [
        {"type": "A", "status": "True", "lastTransitionTime": STAMP}
    ]


def test_new_condition_keeps_the_time_it_brings() -> None:
    brought = {"type": "A", "status": "True", "lastTransitionTime": LATER_STAMP}

    assert c.set_condition([], brought, NOW) == [brought]


def test_equal_condition_stays_untouched() -> None:
    old = [{"type": "A", "status": "True", "lastTransitionTime": STAMP, "unknown": 1}]

    assert c.set_condition(old, c.true("A"), LATER) == old


@pytest.mark.parametrize(
    "change",
    [
        {"status": "Unknown"},
        {"severity": "Warning"},
        {"reason": "Other"},
        {"message": "other"},
    ],
    ids=lambda change: next(iter(change)),
)
def test_different_condition_is_replaced(change: dict[str, str]) -> None:
    base = {"type": "A", "status": "False", "severity": "Error", "reason": "R", "message": "m"}
    old = [{**base, "lastTransitionTime": STAMP, "unknown": 1}]

    assert c.set_condition(old, {**base, **change}, LATER) == [
        {**base, **change, "lastTransitionTime": LATER_STAMP}
    ]


def test_ready_first_then_by_type() -> None:
    result: list[dict[str, Any]] = []
    for kind in ("b", "Z", "Ready", "A"):
        result = c.set_condition(result, c.true(kind), NOW)

    assert [entry["type"] for entry in result] == ["Ready", "A", "Z", "b"]


def test_of_doubles_the_first_counts() -> None:
    old = [
        {"type": "A", "status": "True", "lastTransitionTime": STAMP},
        {"type": "A", "status": "False", "lastTransitionTime": STAMP},
    ]

    assert c.set_condition(old, c.true("A"), LATER) == old[:1]


def test_summary_of_nothing_changes_nothing() -> None:
    assert c.set_summary([], NOW) == []
    only_ready = [{"type": "Ready", "status": "False", "lastTransitionTime": STAMP}]
    assert c.set_summary(only_ready, LATER) == only_ready


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ([c.true("B"), c.true("A")], ("True", "", "", "")),
        ([c.true("A"), failed("C"), failed("B")], ("False", "Error", "BBroken", "B is broken")),
        ([failed("A", "Warning"), failed("B")], ("False", "Error", "BBroken", "B is broken")),
        ([failed("B", "Info"), failed("C", "Warning")], ("False", "Warning", "CBroken", "C is broken")),
        ([failed("B", "Info"), c.true("A")], ("False", "Info", "BBroken", "B is broken")),
        ([c.unknown("A", "R", "m"), c.true("B")], ("True", "", "", "")),
        ([c.unknown("A", "R", "m")], ("Unknown", "", "R", "m")),
        # Copied from a CRD: a severity on Unknown does not make another group.
        (
            [{"type": "A", "status": "Unknown", "severity": "Error", "reason": "R", "message": "m"}],
            ("Unknown", "", "R", "m"),
        ),
        # No severity at all comes last.
        ([c.Condition(type="A", status="False", reason="R"), c.true("B")], ("True", "", "", "")),
        ([c.Condition(type="A", status="False", reason="R")], ("False", "", "R", "")),
    ],
)
def test_summary(given: list[c.ConditionLike], expected: tuple[str, ...]) -> None:
    result = c.set_summary(given, NOW)

    ready = c.get(result, "Ready")
    assert ready is not None
    assert (ready.status, ready.severity, ready.reason, ready.message) == expected
    assert ready.last_transition_time == STAMP
    assert result[0]["type"] == "Ready"


def test_summary_does_not_move_without_cause() -> None:
    first = c.set_all([], [failed("A"), c.true("B")], NOW)

    assert c.set_all(first, [failed("A"), c.true("B")], LATER) == first


def test_typed_and_plain_mix() -> None:
    mixed = [c.true("A"), {"type": "B", "status": "False", "severity": "Info"}]

    assert c.is_true(mixed, "A")
    assert not c.is_true(mixed, "B")
    assert not c.is_true(mixed, "C")
    assert c.is_false(mixed, "B")
    assert not c.is_false(mixed, "A")
    assert not c.is_false(mixed, "C")
    assert c.get(mixed, "B") == c.Condition(type="B", status=Status.FALSE, severity=Severity.INFO)
    assert c.remove(mixed, "A") == [mixed[1]]


@pytest.mark.parametrize(
    "obj",
    [{}, {"status": None}, {"status": {"conditions": None}}, {"status": {"conditions": "x"}}, {"status": []}],
)
def test_malformed_objects_have_no_conditions(obj: dict[str, Any]) -> None:
    assert c.of(obj) == []


def test_conditions_of_an_object_are_copies() -> None:
    obj = {"status": {"conditions": [{"type": "A", "status": "True"}, "junk"]}}

    found = c.of(obj)
    found[0]["status"] = "False"

    assert obj["status"]["conditions"][0] == {"type": "A", "status": "True"}  # type: ignore[comparison-overlap]
    assert len(found) == 1


def test_time_without_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="zone"):
        c.timestamp(datetime(2026, 1, 1))  # noqa: DTZ001 - that is the point


def test_time_is_written_in_utc() -> None:
    local = datetime(2026, 3, 4, 7, 6, 7, tzinfo=timezone(timedelta(hours=2)))

    assert c.timestamp(local) == STAMP
