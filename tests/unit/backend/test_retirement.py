"""The announced end of an export: decisions of the backend, and what the konnector makes of them."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from bind_agent.api import conditions
from bind_agent.api.conditions import Condition
from bind_agent.api.conditions_catalogue import ConditionType
from bind_agent.backend import names, retirement
from bind_agent.backend.access import Kind
from bind_agent.backend.retirement import Planned, judge

pytestmark = pytest.mark.unit

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
NAME = "databases.example.org"


def export(at: datetime | str | None = None, note: str = "", **more: Any) -> dict[str, Any]:
    marks = {}
    if isinstance(at, datetime):
        marks = retirement.marks(Planned(at, note))
    elif at is not None:
        marks = {names.RETIRE_AT: at}
    return {"metadata": {"name": NAME, "annotations": marks}, **more}


def test_nothing_is_announced() -> None:
    assert judge(export(), NOW) == retirement.Verdict()


@pytest.mark.parametrize("text", ["", "soon", "2026-03-01", "2026-03-01T12:00:00"])
def test_a_time_that_cannot_be_read_ends_nothing(text: str) -> None:
    assert judge(export(text), NOW) == retirement.Verdict()


def test_an_announcement_names_date_note_and_next_step() -> None:
    verdict = judge(export(NOW + timedelta(days=30), "use v2"), NOW)
    assert verdict.condition is not None
    assert (verdict.condition.type, verdict.condition.status, verdict.over) == ("Retiring", "True", False)
    for part in (NAME, "2026-03-31T12:00:00Z", "(use v2)", "delete your objects and the binding"):
        assert part in verdict.condition.message
    # Looked at again in any case; the last time right at its end.
    assert verdict.after == timedelta(hours=1)
    assert judge(export(NOW + timedelta(seconds=9)), NOW).after == timedelta(seconds=9)


@pytest.mark.parametrize("late", [timedelta(0), timedelta(days=9)])
def test_its_time_has_come_whenever_somebody_looks(late: timedelta) -> None:
    assert judge(export(NOW), NOW + late) == retirement.Verdict(over=True)


def test_who_ended_it_is_noted_and_told() -> None:
    own = Planned(NOW + timedelta(days=1), by=names.BY_PERSON)
    marked = {"metadata": {"name": NAME, "annotations": retirement.marks(own)}}
    assert retirement.planned(marked) == own
    assert "as its owner asked for" in retirement.announcement(NAME, own).message
    found = retirement.planned(export(NOW))
    assert found is not None
    assert found.by == names.BY_OPERATOR
    assert names.RETIRE_BY not in retirement.marks(Planned(NOW))


def test_a_note_is_made_fit_to_be_shown() -> None:
    planned = retirement.planned(export(NOW, "a\x1b[31m\n" + "x" * 500))
    assert planned is not None
    assert "\x1b" not in planned.note
    assert len(planned.note) <= retirement.NOTE_LIMIT


def test_retired_kinds_are_a_list_on_the_cluster_binding() -> None:
    kinds = {NAME: "2026-03-01T12:00:00Z", "a.b": "2026-01-01T00:00:00Z"}
    text = retirement.retired_mark(kinds)
    assert text == "a.b@2026-01-01T00:00:00Z,databases.example.org@2026-03-01T12:00:00Z"
    assert retirement.retired({"metadata": {"annotations": {names.RETIRED: text}}}) == kinds
    assert retirement.retired_mark({}) is None
    assert retirement.retired(None) == {}
    assert "export restore" in retirement.refused(Kind("example.org", "databases"), kinds[NAME])


def test_ready_is_decided_by_the_others() -> None:
    """Whatever stands there, both programs compute the same summary with and without it."""
    announced = retirement.announcement(NAME, Planned(NOW))
    withdrawn = Condition(type=ConditionType.RETIRING, status="False")
    for others in (
        [conditions.true("Connected")],
        [conditions.true("Connected"), conditions.false("SchemaInSync", "Held", "Warning", "m")],
    ):
        plain = conditions.get(conditions.set_all([], others, NOW), "Ready")
        for mine in (announced, withdrawn):
            assert conditions.get(conditions.set_all([], [*others, mine], NOW), "Ready") == plain
