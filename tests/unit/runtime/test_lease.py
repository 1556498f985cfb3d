"""The record in a Lease: its form on the wire, and when it may be taken."""

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from bind_agent.runtime.lease import Observation, Record, first_record, lease_object, micro_time, with_record

pytestmark = pytest.mark.unit

NOW = datetime(2026, 3, 4, 5, 6, 7, 89, tzinfo=UTC)
STAMP = "2026-03-04T05:06:07.000089Z"


def test_times_are_micro_times_in_utc() -> None:
    assert micro_time(NOW) == STAMP
    assert micro_time(NOW.astimezone(timezone(timedelta(hours=5)))) == STAMP


def test_a_first_record_is_what_client_go_writes() -> None:
    assert lease_object("klutch-bind", "system", first_record("me", now=NOW, duration=15.0)) == {
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": {"name": "klutch-bind", "namespace": "system"},
        "spec": {
            "holderIdentity": "me",
            "leaseDurationSeconds": 15,
            "acquireTime": STAMP,
            "renewTime": STAMP,
            "leaseTransitions": 0,
        },
    }


def test_records_survive_the_wire() -> None:
    record = Record("me", 15.0, "a", "b", 3)
    assert Record.of({"spec": record.spec()}) == record


@pytest.mark.parametrize(
    "spec",
    [None, {}, [], {"holderIdentity": None, "leaseDurationSeconds": "15", "leaseTransitions": True}],
    ids=repr,
)
def test_odd_leases_read_as_free(spec: Any) -> None:
    assert Record.of({"spec": spec}) == Record("", 0.0, "", "", 0)


def test_taking_counts_a_transition_renewing_does_not() -> None:
    theirs = Record("them", 15.0, "then", "then", 4)
    mine = theirs.taken_by("me", now=NOW, duration=20.0)
    assert mine == Record("me", 20.0, STAMP, STAMP, 5)
    assert mine.taken_by("me", now=NOW, duration=20.0).transitions == 5
    later = mine.renewed_at(NOW + timedelta(seconds=2))
    assert (later.acquired, later.renewed, later.transitions) == (STAMP, "2026-03-04T05:06:09.000089Z", 5)


def test_a_released_lease_is_nobodys_and_expires_after_a_second() -> None:
    assert Record("me", 15.0, "a", "b", 4).released(NOW).spec() == {
        "holderIdentity": "",
        "leaseDurationSeconds": 1,
        "acquireTime": STAMP,
        "renewTime": STAMP,
        "leaseTransitions": 4,
    }


def test_everything_else_in_a_lease_stays() -> None:
    lease = {"metadata": {"resourceVersion": "7", "labels": {"a": "b"}}, "spec": {"strategy": "x"}}
    changed = with_record(lease, Record("me", 15.0, "a", "b", 0))
    assert changed["metadata"] == lease["metadata"]
    assert changed["spec"]["strategy"] == "x"
    assert changed["spec"]["holderIdentity"] == "me"
    assert lease["spec"] == {"strategy": "x"}
    assert with_record({"spec": 1}, Record("", 1.0, "", "", 0))["spec"]["holderIdentity"] == ""


def test_a_lease_is_free_its_duration_after_it_was_last_seen_to_change() -> None:
    first = Record("them", 15.0, "a", "b", 0)
    seen = Observation(first, 100.0)
    seen.look(first, 110.0)
    assert seen.free_in(110.0, default=9.0) == 5.0
    assert seen.free_in(115.0, default=9.0) == 0.0
    seen.look(first.renewed_at(NOW), 114.0)
    assert seen.free_in(115.0, default=9.0) == 14.0


def test_the_times_in_the_record_do_not_matter() -> None:
    """Clocks of machines differ: a record from next year is as good as any."""
    seen = Observation(
        Record("them", 15.0, "2999-01-01T00:00:00.000000Z", "2999-01-01T00:00:00.000000Z", 0), 0.0
    )
    assert seen.free_in(15.0, default=9.0) == 0.0


def test_a_record_without_duration_gets_the_default_and_one_without_holder_is_free() -> None:
    assert Observation(Record("them", 0.0, "", "", 0), 0.0).free_in(1.0, default=9.0) == 8.0
    assert Observation(Record("", 15.0, "", "", 0), 0.0).free_in(1.0, default=9.0) == 0.0
