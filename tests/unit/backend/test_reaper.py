"""When a silent consumer is revoked and deleted: the pure decision."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from bind_agent.api import conditions
from bind_agent.backend import names
from bind_agent.backend.tenancy.reaper import (
    DELETE,
    REVOKE,
    Limits,
    Verdict,
    Vigil,
    is_implausible,
    is_reapable,
    judge,
    last_seen,
    overdue,
)

pytestmark = pytest.mark.unit

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
DAY = timedelta(days=1)
LONG_AGO = NOW - 1000 * DAY
BOTH = Limits(30 * DAY, 90 * DAY)


def stamp(time: datetime) -> str:
    return conditions.timestamp(time)


def binding(
    seen: datetime | str | None = None,
    *,
    born: datetime = LONG_AGO,
    admitted: datetime | None = None,
    revoked_by: str = "",
    said: list[Any] | None = None,
) -> dict[str, Any]:
    marks = {}
    if admitted:
        marks[names.ADMITTED] = stamp(admitted)
    if revoked_by:
        marks |= {names.REVOKED: stamp(NOW - DAY), names.REVOKED_BY: revoked_by}
    status: dict[str, Any] = {"conditions": said or []}
    if seen is not None:
        status["lastHeartbeatTime"] = stamp(seen) if isinstance(seen, datetime) else seen
    return {
        "metadata": {"name": "cluster", "creationTimestamp": stamp(born), "annotations": marks},
        "status": status,
    }


def look(
    obj: dict[str, Any], now: datetime = NOW, limits: Limits = BOTH, watched: timedelta = 1000 * DAY
) -> Verdict:
    return judge(obj, limits, now=now, watched=watched)


def told(obj: dict[str, Any], now: datetime, limits: Limits = BOTH) -> dict[str, Any]:
    """The object after the announcement of that moment was written."""
    condition = look(obj, now, limits).condition
    assert condition is not None
    entries = conditions.set_all(conditions.of(obj), [condition], now)
    return {**obj, "status": {**obj["status"], "conditions": entries}}


def test_off_by_default() -> None:
    assert look(binding(LONG_AGO), limits=Limits()) == Verdict()


def test_nothing_before_the_last_quarter() -> None:
    verdict = look(binding(NOW - 22 * DAY))
    assert (verdict.condition, verdict.act) == (None, "")
    assert verdict.due == (REVOKE, NOW + 8 * DAY)
    assert verdict.after == timedelta(hours=12)


def test_the_announcement_names_date_and_way_out() -> None:
    verdict = look(binding(NOW - 29 * DAY))
    assert verdict.condition is not None
    assert (verdict.condition.status, verdict.condition.reason) == ("False", "RevocationAnnounced")
    assert stamp(NOW - 29 * DAY) in verdict.condition.message
    assert stamp(NOW + DAY) in verdict.condition.message
    assert "--revoke-unseen-after" in verdict.condition.message
    assert (verdict.act, verdict.due) == ("", (REVOKE, NOW + DAY))


def test_an_announcement_stays_as_it_is_until_the_deed() -> None:
    obj = told(binding(NOW - 29 * DAY), NOW)
    later = look(obj, NOW + timedelta(hours=5))
    assert later.condition == conditions.get(conditions.of(obj), names.CONSUMER_SEEN)
    assert later.act == ""
    assert look(obj, NOW + DAY).act == REVOKE


def test_nobody_is_revoked_unannounced_however_long_it_is_overdue() -> None:
    obj = binding(NOW - 400 * DAY)
    assert look(obj).act == ""
    obj = told(obj, NOW)
    assert look(obj, NOW + timedelta(minutes=59)).act == ""
    assert look(obj, NOW + timedelta(hours=1)).act == REVOKE


def test_a_backend_that_was_away_waits_although_it_had_announced() -> None:
    obj = told(binding(NOW - 29 * DAY), NOW)
    back = NOW + 9 * DAY
    assert look(obj, back, watched=timedelta(0)).act == ""
    verdict = look(obj, back + timedelta(minutes=30), watched=timedelta(minutes=30))
    assert (verdict.act, verdict.after) == ("", timedelta(minutes=30))
    assert look(obj, back + timedelta(hours=1), watched=timedelta(hours=1)).act == REVOKE


def test_a_heartbeat_takes_everything_back() -> None:
    obj = told(binding(NOW - 29 * DAY), NOW)
    obj["status"]["lastHeartbeatTime"] = stamp(NOW + timedelta(hours=1))
    verdict = look(obj, NOW + timedelta(hours=2))
    assert (verdict.condition, verdict.act) == (None, "")


def test_a_later_silence_is_announced_anew() -> None:
    obj = told(binding(NOW - 29 * DAY), NOW)
    obj["status"]["lastHeartbeatTime"] = stamp(NOW + DAY)
    verdict = look(obj, NOW + 60 * DAY)
    assert verdict.condition is not None
    assert stamp(NOW + DAY) in verdict.condition.message
    assert verdict.act == ""


@pytest.mark.parametrize(
    "obj",
    [
        binding(None, born=NOW - 5 * DAY),
        binding(None, born=LONG_AGO, admitted=NOW - 5 * DAY),
        binding("soon", born=NOW - 5 * DAY),
        binding(LONG_AGO + DAY, admitted=NOW - 5 * DAY),
    ],
    ids=["new", "let-in-again", "unreadable", "fetched-its-credential"],
)
def test_who_had_no_time_to_connect_gets_it(obj: dict[str, Any]) -> None:
    assert last_seen(obj, NOW) == NOW - 5 * DAY
    assert look(obj) == Verdict(due=(REVOKE, NOW + 25 * DAY), after=17.5 * DAY)


def test_who_never_connected_is_silent_in_the_end() -> None:
    obj = told(binding(None, born=NOW - 31 * DAY), NOW)
    assert look(obj, NOW + timedelta(hours=1)).act == REVOKE


def test_two_clocks_that_disagree_end_nobody() -> None:
    assert look(binding(NOW + DAY)) == Verdict()
    assert last_seen(binding(NOW + timedelta(seconds=9)), NOW) is not None
    assert last_seen({}, NOW) is None


@pytest.mark.parametrize(
    ("by", "limits"), [("operator", BOTH), ("person", BOTH), ("reaper", Limits(30 * DAY))]
)
def test_deleted_is_only_who_the_reaper_revoked_and_only_on_demand(by: str, limits: Limits) -> None:
    assert look(binding(LONG_AGO, revoked_by=by), limits=limits) == Verdict()


def test_deletion_is_announced_on_its_own() -> None:
    obj = told(binding(NOW - 31 * DAY), NOW)
    obj["metadata"]["annotations"] = {names.REVOKED: "x", names.REVOKED_BY: names.BY_REAPER}
    assert look(obj, NOW + DAY) == Verdict(due=(DELETE, NOW + 59 * DAY), after=35.5 * DAY)
    late = NOW + 58 * DAY
    verdict = look(obj, late)
    assert verdict.condition is not None
    assert verdict.condition.reason == "DeletionAnnounced"
    assert "everything" in verdict.condition.message
    obj = told(obj, late)
    assert look(obj, late + DAY - timedelta(seconds=1)).act == ""
    assert look(obj, late + DAY).act == DELETE


def test_short_limits_are_announced_as_long_as_they_last() -> None:
    hour = timedelta(hours=1)
    verdict = look(binding(NOW), limits=Limits(hour, notice=hour))
    assert verdict.condition is not None
    assert verdict.due == (REVOKE, NOW + hour)


def test_which_objects_count() -> None:
    assert is_reapable(binding())
    assert not is_reapable({"metadata": {"name": "other"}})
    assert not is_reapable({"metadata": {"name": "cluster", "deletionTimestamp": "x"}})


def test_silence_is_watched_whatever_the_wall_clock_says() -> None:
    """Announced long ago by that clock, and watched for a minute by the other one."""
    obj = told(binding(NOW - 29 * DAY), NOW)
    verdict = look(obj, NOW + 400 * DAY, watched=timedelta(minutes=1))
    assert (verdict.act, verdict.after) == ("", timedelta(minutes=59))
    assert look(obj, NOW + 400 * DAY, watched=timedelta(hours=1)).act == REVOKE


def test_a_vigil_begins_anew_with_each_sign_of_life() -> None:
    vigil = Vigil()
    obj = binding(NOW - 29 * DAY)
    assert vigil.watched(obj, 1000.0) == timedelta(0)
    assert vigil.watched(obj, 4600.0) == timedelta(hours=1)
    # Also one that names an earlier time: its clock was put right.
    earlier = binding(NOW - 30 * DAY)
    assert vigil.watched(earlier, 4600.0) == timedelta(0)
    assert vigil.watched(binding(NOW - 30 * DAY, admitted=NOW), 4700.0) == timedelta(0)
    assert vigil.watched(binding(NOW - 30 * DAY, admitted=NOW), 4760.0) == timedelta(minutes=1)
    # What is written beside it is none.
    said = [{"type": "Healthy", "status": "False"}]
    assert vigil.watched(binding(NOW - 30 * DAY, admitted=NOW, said=said), 4820.0) == timedelta(minutes=2)
    vigil.keep(())
    assert vigil.watched(obj, 9000.0) == timedelta(0)


def test_who_is_overdue_counts_unannounced_as_well() -> None:
    assert overdue(binding(NOW - 29 * DAY), BOTH, NOW) == ""
    assert overdue(binding(NOW - 30 * DAY), BOTH, NOW) == REVOKE
    assert overdue(binding(NOW - 31 * DAY, revoked_by=names.BY_REAPER), BOTH, NOW) == ""
    assert overdue(binding(NOW - 91 * DAY, revoked_by=names.BY_REAPER), BOTH, NOW) == DELETE
    assert overdue(binding(NOW - 91 * DAY, revoked_by=names.BY_OPERATOR), BOTH, NOW) == ""
    assert overdue(binding(NOW - 91 * DAY), Limits(), NOW) == ""


@pytest.mark.parametrize(
    ("silent", "everyone", "held"),
    [
        (0, 0, False),
        (1, 1, False),
        (3, 3, False),
        (4, 4, True),
        (4, 8, False),
        (5, 9, True),
        (500, 1000, False),
    ],
)
def test_most_at_once_is_implausible_unless_they_are_few(silent: int, everyone: int, held: bool) -> None:
    assert is_implausible(silent, everyone) is held
