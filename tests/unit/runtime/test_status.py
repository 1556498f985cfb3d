"""Status writes: nothing when equal, always under the lock of the observed object (spec 3.12)."""

from typing import Any, cast

import pytest

from bind_agent.api.resource import Resource
from bind_agent.kube.client import Client
from bind_agent.runtime.status import merge_patch, status_patch, write_status
from tests.fakes.scripted import FakeObjects, thing

pytestmark = pytest.mark.unit

THINGS = Resource("example.com", "v1", "things", kind="Thing")


async def test_equal_status_sends_nothing() -> None:
    server = FakeObjects()
    obj = thing("a", 7, status={"x": 1})
    assert await write_status(cast("Client", server), THINGS, obj, thing("a", 7, status={"x": 1})) is obj
    assert server.calls == []


async def test_a_difference_goes_to_the_status_subresource() -> None:
    server = FakeObjects()
    old = await server.create(None, thing("a", 7, status={"x": 1, "y": 2}), namespace="ns")
    new = {**old, "status": {"x": 1, "z": 3}}
    stored = await write_status(cast("Client", server), THINGS, old, new)
    assert server.calls[-1] == ("patch/status", "a")
    assert stored["status"] == {"x": 1, "z": 3}


def test_the_patch_names_the_observed_object() -> None:
    assert status_patch(thing("a", 7, uid="u"), thing("a", 7, uid="u", status={"x": 1})) == {
        "metadata": {"uid": "u", "resourceVersion": "7"},
        "status": {"x": 1},
    }


@pytest.mark.parametrize(
    ("old", "new"),
    [({}, {}), ({}, {"status": {}}), ({"status": None}, {}), ({"status": {"a": None}}, {"status": {}})],
    ids=repr,
)
def test_absent_empty_and_null_are_equal(old: dict[str, Any], new: dict[str, Any]) -> None:
    assert status_patch({**thing("a", 1), **old}, {**thing("a", 1), **new}) is None


@pytest.mark.parametrize(
    "other",
    [{"spec": {"x": 2}}, {"metadata": {"labels": {"a": "b"}}}, {"extra": 1}],
    ids=repr,
)
def test_a_status_write_changes_nothing_else(other: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="anything else"):
        status_patch(thing("a", 1, spec={"x": 1}), thing("a", 1, **{"spec": {"x": 1}, **other}))


def test_a_newer_version_of_the_rest_is_no_difference() -> None:
    assert status_patch(thing("a", 1), thing("a", 2, metadata={"generation": 3})) is None


@pytest.mark.parametrize(
    ("before", "after", "patch"),
    [
        ({"a": 1}, {"a": 1}, {}),
        ({"a": 1}, {}, {"a": None}),
        ({}, {"a": 1}, {"a": 1}),
        ({"a": {"b": 1, "c": 2}}, {"a": {"b": 1}}, {"a": {"c": None}}),
        ({"a": [1]}, {"a": [1, 2]}, {"a": [1, 2]}),
        ({"a": 1}, {"a": {"b": None, "c": 2}}, {"a": {"b": None, "c": 2}}),
        ({"a": {"b": 1}}, {"a": 1}, {"a": 1}),
        ({"a": 1}, {"a": None}, {"a": None}),
        ({}, {"a": None}, {}),
    ],
    ids=repr,
)
def test_merge_patches(before: Any, after: Any, patch: Any) -> None:
    assert merge_patch(before, after) == patch
