"""What is left out before objects are kept."""

import pytest

from bind_agent.api import keys
from bind_agent.runtime.store import content_digest
from bind_agent.runtime.transform import compose, metadata_only, strip, strip_managed_fields
from tests.fakes.scripted import thing

pytestmark = pytest.mark.unit


def test_strip_drops_managed_fields_and_last_applied() -> None:
    obj = thing(
        "a", 1, metadata={"managedFields": [{}], "annotations": {keys.LAST_APPLIED: "{}", "mine": "1"}}
    )
    assert strip(obj)["metadata"] == {
        "name": "a",
        "namespace": "ns",
        "uid": "uid-a",
        "resourceVersion": "1",
        "annotations": {"mine": "1"},
    }


def test_an_object_stripped_of_its_only_annotation_equals_one_without() -> None:
    with_annotation = strip(thing("a", 1, metadata={"annotations": {keys.LAST_APPLIED: "{}"}}))
    assert content_digest(with_annotation) == content_digest(thing("a", 1))


@pytest.mark.parametrize("odd", [{}, {"metadata": None}, {"metadata": []}, {"metadata": {"annotations": 1}}])
def test_odd_objects_pass_unharmed(odd: dict[str, object]) -> None:
    assert strip(dict(odd)) == odd


def test_metadata_only_keeps_no_content() -> None:
    obj = thing("a", 1, data={"password": "x"}, metadata={"annotations": {keys.LAST_APPLIED: "x"}})
    assert metadata_only(obj) == thing("a", 1)


def test_compose_goes_in_order() -> None:
    def mark(obj: dict[str, object]) -> dict[str, object]:
        return {**obj, "had": "managedFields" in obj["metadata"]}  # type: ignore[operator]

    obj = compose(strip_managed_fields, mark)(thing("a", 1, metadata={"managedFields": []}))
    assert obj["had"] is False
