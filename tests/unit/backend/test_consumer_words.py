"""Commands of the platform team do not reach consumers; everything else stays."""

import pytest

from bind_agent.api import conditions
from bind_agent.api.conditions_catalogue import Severity
from bind_agent.backend import retirement
from bind_agent.backend.access import Kind
from bind_agent.backend.consumer_words import for_consumers
from bind_agent.backend.controllers import export_plan
from bind_agent.backend.http.refusal import Refusal
from bind_agent.backend.pages import condition_view
from tests.fakes import pages_world as world

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (
            "the credential was revoked at 12:00:00Z: `bind-backend tenant add` issues a new one",
            "the credential was revoked at 12:00:00Z; ask the operators of this provider",
        ),
        ("Run `bind-backend tenant list` first.", "Ask the operators of this provider."),
        (
            retirement.refused(Kind("a.example", "dbs"), "2026-06-01T12:00:00Z"),
            "the provider retired dbs.a.example for this tenant at 2026-06-01T12:00:00Z; ask the operators of this"
            " provider",
        ),
        (
            export_plan.not_allowed("rules changed").message,
            "rules changed; ask the operators of this provider",
        ),
        ("`kubectl bind` goes on: all is well.", "`kubectl bind` goes on: all is well."),
        ("", ""),
    ],
)
def test_whom_to_ask_instead(text: str, told: str) -> None:
    assert for_consumers(text) == told


def test_a_refusal_names_none() -> None:
    refusal = Refusal(403, "tenant_revoked", "Gone: `bind-backend tenant add` helps.", "Or `bind-backend x`.")
    assert "bind-backend" not in str(refusal.document())
    assert "ask the operators" in refusal.message


def test_conditions_name_them_to_operators_only() -> None:
    condition = conditions.false("Ready", "Revoked", Severity.ERROR, "gone: `bind-backend tenant add` helps")
    badge = condition_view.badge(condition)
    assert badge.message == "gone; ask the operators of this provider"
    assert condition_view.badge(condition, commands=True).message == condition.message
    entry = {"type": "Ready", "status": "False", "reason": "Revoked", "message": condition.message}
    obj = {"status": {"conditions": [entry]}}
    (theirs,) = condition_view.rows(obj, world.NOW)
    (ours,) = condition_view.rows(obj, world.NOW, commands=True)
    assert "bind-backend" not in theirs.badge.message
    assert "bind-backend" in ours.badge.message
    assert "bind-backend" in condition_view.ready(obj, commands=True).message
