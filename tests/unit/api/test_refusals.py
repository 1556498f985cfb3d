"""Which 404 is an API server's word that an object does not exist."""

from typing import Any

import pytest

from bind_agent.api.refusals import says_absent
from bind_agent.api.resource import SECRETS, Resource

pytestmark = pytest.mark.unit

THINGS = Resource("g.example", "v1", "things", kind="Thing")


def status(reason: Any = "NotFound", **details: Any) -> dict[str, Any]:
    return {"kind": "Status", "code": 404, "reason": reason, "message": "x", "details": details}


@pytest.mark.parametrize(
    ("answer", "resource"),
    [
        (status(name="a", kind="secrets"), SECRETS),
        (status(name="a", kind="things", group="g.example"), THINGS),
        (status(name="a", kind="Thing", group="g.example"), THINGS),
        (status(name="a", kind="things"), THINGS),
        (status(name="a"), THINGS),
        (status(name="a", kind="", group=""), SECRETS),
    ],
)
def test_proofs(answer: dict[str, Any], resource: Resource) -> None:
    assert says_absent(answer, resource, "a")
    # Each is about its own object only.
    assert not says_absent(answer, resource, "b")
    assert not says_absent(answer, resource, "")


@pytest.mark.parametrize(
    "answer",
    [
        {},
        status(),
        status(name="b", kind="things", group="g.example"),
        status(name="a", kind="others", group="g.example"),
        status(name="a", kind="things", group="other.example"),
        status(name="a", kind="namespaces"),
        status(name=["a"], kind="things"),
        status(name="a", kind=["things"]),
        status(name="a", kind="things", group={"g": 1}),
        status("Gone", name="a", kind="things", group="g.example"),
        status("", name="a", kind="things", group="g.example"),
        status(None, name="a"),
        {**status(), "details": "a"},
        {**status(), "details": None},
    ],
)
def test_no_proofs(answer: dict[str, Any]) -> None:
    assert not says_absent(answer, THINGS, "a")
