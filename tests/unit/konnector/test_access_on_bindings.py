"""What the konnector shows on a binding of rights that the provider has not granted."""

from datetime import UTC, datetime
from typing import Any

import pytest

from bind_agent.api import conditions
from bind_agent.api.conditions import Condition
from konnector.controllers.access import mirrored

pytestmark = pytest.mark.unit

NOW = datetime(2026, 3, 1, tzinfo=UTC)
REFUSED = {"status": "False", "severity": "Error", "reason": "GrantRefused", "message": "apply the role"}


def export(**condition: str) -> dict[str, Any]:
    return {"status": {"conditions": [{"type": "AccessGranted", **condition}] if condition else []}}


def test_a_provider_that_says_nothing_is_not_spoken_for() -> None:
    """Go backends write no such condition, and ours only once it knows."""
    assert mirrored(export(), None) is None


def test_rights_that_are_there_need_no_word() -> None:
    assert mirrored(export(status="True"), None) is None


@pytest.mark.parametrize("status", ["Unknown", "", "false"])
def test_only_a_clear_no_counts(status: str) -> None:
    assert mirrored(export(status=status), None) is None


def test_a_refusal_makes_the_binding_unready() -> None:
    found = mirrored(export(**REFUSED), None)
    assert found is not None
    assert (found.status, found.severity, found.reason) == ("False", "Error", "GrantRefused")
    assert "no object is synced" in found.message
    assert found.message.endswith("apply the role")
    (ready, _, _) = conditions.set_all([], [conditions.true("Connected"), found], NOW)
    assert (ready["type"], ready["status"], ready["reason"]) == ("Ready", "False", "GrantRefused")


def test_words_of_the_other_side_are_made_fit() -> None:
    hostile = {
        **REFUSED,
        "reason": "\x1b[31mWhatever",
        "severity": "Info",
        "message": "a\x1b[2Jb\n" + "x" * 5000,
    }
    found = mirrored(export(**hostile), None)
    assert found is not None
    assert (found.reason, found.severity) == ("GrantRefused", "Error")
    assert "\x1b" not in found.message
    assert "\n" not in found.message
    assert len(found.message) <= 1200


@pytest.mark.parametrize("condition", [{}, {"status": "True"}])
def test_a_refusal_that_is_over(condition: dict[str, str]) -> None:
    refused = mirrored(export(**REFUSED), None)
    assert mirrored(export(**condition), refused) == Condition(type="AccessGranted", status="True")
