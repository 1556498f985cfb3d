"""What the konnector shows on a binding of an announced end."""

import pytest

from bind_agent.api.conditions import Condition
from konnector.controllers.retirement import mirrored

pytestmark = pytest.mark.unit

SAID = Condition(type="Retiring", status="True", reason="RetirementAnnounced", message="ends soon")


def export(**condition: str) -> dict[str, object]:
    return {"status": {"conditions": [{"type": "Retiring", **condition}] if condition else []}}


def test_nothing_announced_nothing_said() -> None:
    assert mirrored(export(), None) is None


def test_an_announcement_is_shown() -> None:
    assert mirrored(export(status="True", reason="RetirementAnnounced", message="ends soon"), None) == SAID


def test_words_of_the_other_side_are_made_fit() -> None:
    found = mirrored(
        export(status="True", reason="\x1b[31mWhatever", message="a\x1b[2Jb\n" + "x" * 5000), None
    )
    assert found is not None
    assert found.reason == "RetirementAnnounced"
    assert "\x1b" not in found.message
    assert len(found.message) <= 1024


@pytest.mark.parametrize("condition", [{}, {"status": "False"}])
def test_an_announcement_that_was_taken_back(condition: dict[str, str]) -> None:
    found = mirrored(export(**condition), SAID)
    assert found == Condition(type="Retiring", status="False")
    assert mirrored(export(**condition), found) == found
