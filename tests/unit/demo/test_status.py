"""Status and conditions: what is said, when it changes, and that nothing is written twice."""

from datetime import UTC, datetime
from typing import Any

import pytest

from bind_agent.devcluster.demo import status
from bind_agent.devcluster.demo.model import read_instance
from bind_agent.devcluster.demo.objects import Address
from bind_agent.devcluster.demo.plan import Database, Role, Seen
from bind_agent.devcluster.demo.status import Condition

pytestmark = pytest.mark.unit

FIRST, LATER = (datetime(2026, 1, 1, hour, tzinfo=UTC) for hour in (1, 2))
FIRST_TEXT, LATER_TEXT = "2026-01-01T01:00:00Z", "2026-01-01T02:00:00Z"


def entry(type_: str, value: str, since: str = FIRST_TEXT, reason: str = "R") -> dict[str, str]:
    return {"type": type_, "status": value, "reason": reason, "message": "", "lastTransitionTime": since}


def test_the_summary_stands_first() -> None:
    findings = [Condition(type_, status=True, reason="R") for type_ in ("B", "Ready", "A")]
    merged = status.merge_conditions(None, findings, FIRST)
    assert merged == [entry("Ready", "True"), entry("A", "True"), entry("B", "True")]


def test_the_time_moves_with_the_status_only() -> None:
    present = [entry("A", "True"), entry("B", "True"), entry("C", "True")]
    findings = [Condition("A", status=True, reason="Other"), Condition("B", status=False, reason="R")]
    assert status.merge_conditions(present, findings, LATER) == [
        entry("A", "True", reason="Other"),
        entry("B", "False", LATER_TEXT),
        entry("C", "True"),
    ]


@pytest.mark.parametrize("present", [None, "text", 5, [1, {"type": 2}, {}]])
def test_malformed_lists_read_as_empty(present: Any) -> None:
    finding = Condition("A", status=True, reason="R")
    assert status.merge_conditions(present, [finding], FIRST) == [entry("A", "True")]
    assert status.condition({"conditions": present}, "A") == {}


def test_ready_reports_what_the_server_has_and_repeats_itself_exactly() -> None:
    instance = read_instance(
        {
            "metadata": {"name": "orders", "namespace": "shop", "uid": "u", "generation": 4},
            "spec": {"connectionLimit": 9, "parameters": {"work_mem": "1MB"}},
        }
    )
    role = Role(
        "", can_login=True, connection_limit=8, parameters={"work_mem": "1MB", "x": "y"}, verifier=None
    )
    seen = Seen(role, Database(instance.database, "", is_open=False))
    credentials = Condition("CredentialsReady", status=True, reason="Created")

    def make(now: datetime) -> dict[str, Any]:
        return status.ready(
            instance,
            seen,
            address=Address("h", 1, "disable"),
            version="18.1",
            credentials=credentials,
            now=now,
        )

    made = make(FIRST)
    assert (made["connectionLimit"], made["parameters"], made["observedGeneration"]) == (
        8,
        {"work_mem": "1MB"},
        4,
    )
    assert status.changes(made, make(FIRST)) == {}


def test_a_failure_keeps_what_was_true() -> None:
    before = {
        "database": "db_x",
        "phase": "Ready",
        "conditions": [entry("Ready", "True"), entry("Other", "True")],
    }
    finding = Condition("DatabaseReady", status=False, reason="Gone", message="look there")
    after = status.failed(before, generation=2, finding=finding, phase="Failed", now=LATER)
    assert (after["database"], after["phase"], after["observedGeneration"]) == ("db_x", "Failed", 2)
    summary = status.condition(after, "Ready")
    assert (summary["reason"], summary["message"], summary["lastTransitionTime"]) == (
        "Gone",
        "look there",
        LATER_TEXT,
    )
    assert status.condition(after, "Other") == entry("Other", "True")
    assert (
        status.changes(after, status.failed(after, generation=2, finding=finding, phase="Failed", now=FIRST))
        == {}
    )


def test_changes_are_a_merge_patch() -> None:
    before = {"a": 1, "gone": 2, "map": {"x": 1, "y": 2}, "list": [1]}
    after = {"a": 1, "map": {"y": 3}, "list": [1, 2], "new": {"z": 1}}
    assert status.changes(before, after) == {
        "gone": None,
        "map": {"x": None, "y": 3},
        "list": [1, 2],
        "new": {"z": 1},
    }
