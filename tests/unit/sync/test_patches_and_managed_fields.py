"""Patches, how servers say that one came too late, and the taking over of Go's field ownership."""

import pytest

from bind_agent.api import keys
from konnector.sync import patches
from konnector.sync.essence import ContentError
from konnector.sync.managed_fields import migration_patch
from tests.fakes.sync_world import guarded, thing

pytestmark = pytest.mark.unit


def test_guarded_means_finalizer_and_mark():
    assert patches.is_guarded(guarded())
    assert not patches.is_guarded(thing(finalizers=[keys.SYNCER_FINALIZER]))
    assert not patches.is_guarded(thing(annotations={keys.BOUND: "true"}))
    assert not patches.is_guarded(
        thing(finalizers=[keys.SYNCER_FINALIZER], annotations={keys.BOUND: "false"})
    )


def test_annotations_are_merged_under_a_lock():
    assert patches.annotate(thing(), {"a": "1", "b": None}) == {
        "metadata": {"uid": "consumer-uid", "resourceVersion": "10", "annotations": {"a": "1", "b": None}}
    }


UID_CAUSE = {"field": "metadata.uid", "reason": "FieldValueInvalid"}


@pytest.mark.parametrize(
    ("code", "details", "lost"),
    [
        pytest.param(409, {"name": "x"}, True, id="conflict"),
        pytest.param(422, {}, True, id="a test of a JSON patch failed"),
        pytest.param(422, {"causes": [UID_CAUSE, UID_CAUSE]}, True, id="another object took the name"),
        pytest.param(422, {"causes": [UID_CAUSE, {"field": "spec.a"}]}, False, id="the content too"),
        pytest.param(422, {"causes": [{"field": "spec.a"}]}, False, id="the content"),
        pytest.param(422, {"causes": []}, False, id="no causes named"),
        pytest.param(422, {"causes": "?"}, False, id="causes malformed"),
        pytest.param(422, {"causes": ["?"]}, False, id="a cause malformed"),
        pytest.param(422, {"name": "x"}, False, id="refused without causes"),
        pytest.param(403, {}, False, id="forbidden"),
        pytest.param(404, {}, False, id="not found"),
    ],
)
def test_a_lost_race_is_told_from_a_refusal(code, details, lost):
    assert patches.lost_race(code, details) is lost


def entry(manager, operation, fields, **more):
    return {
        "manager": manager,
        "operation": operation,
        "apiVersion": "mangodb.com/v1",
        "fieldsType": "FieldsV1",
        "fieldsV1": fields,
        **more,
    }


def live(*entries):
    obj = thing(version="70")
    obj["metadata"]["managedFields"] = list(entries)
    return obj


def test_the_fields_of_gos_create_move_into_our_apply():
    other = entry("crossplane", "Update", {"f:spec": {"f:resourceRef": {}}})
    obj = live(
        entry(
            "konnector", "Update", {"f:metadata": {"f:labels": {".": {}}}, "f:spec": {"f:a": {}, "f:b": {}}}
        ),
        entry("klutch.anynines.com", "Apply", {"f:spec": {".": {}, "f:a": {"f:x": {}}}}, time="t"),
        other,
    )
    merged = entry(
        "klutch.anynines.com",
        "Apply",
        {"f:spec": {".": {}, "f:a": {"f:x": {}}, "f:b": {}}, "f:metadata": {"f:labels": {".": {}}}},
        time="t",
    )
    assert migration_patch(obj) == [
        {"op": "replace", "path": "/metadata/resourceVersion", "value": "70"},
        {"op": "replace", "path": "/metadata/managedFields", "value": [merged, other]},
    ]


def test_without_an_apply_of_ours_gos_entry_becomes_it():
    obj = live(entry("konnector", "Update", {"f:spec": {"f:a": {}}}))
    assert migration_patch(obj)[1]["value"] == [
        entry("klutch.anynines.com", "Apply", {"f:spec": {"f:a": {}}})
    ]


@pytest.mark.parametrize(
    "obj",
    [
        pytest.param(thing(), id="no managed fields"),
        pytest.param(live(), id="empty"),
        pytest.param(live("?", entry("kubectl", "Update", {})), id="somebody else's"),
        pytest.param(live(entry("konnector", "Update", {}, subresource="status")), id="Go's status writes"),
        pytest.param(live(entry("konnector", "Apply", {})), id="an apply of that name"),
    ],
)
def test_nothing_to_move(obj):
    assert migration_patch(obj) == []


def test_malformed_and_endless_field_sets_do_no_harm():
    assert migration_patch(live(entry("konnector", "Update", None)))[1]["value"][0]["fieldsV1"] == {}
    fields: dict[str, object] = {}
    for _ in range(300):
        fields = {"f:a": fields}
    with pytest.raises(ContentError, match="nested too deep"):
        migration_patch(live(entry("konnector", "Update", fields)))
