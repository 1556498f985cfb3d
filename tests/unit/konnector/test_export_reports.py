"""What a sync depends on, and what the konnector says on the export (spec 6.6.4)."""

from datetime import UTC, datetime
from typing import Any

import pytest

from bind_agent.api import keys
from bind_agent.api.meta import Object
from bind_agent.api.resource import Resource
from konnector.controllers.export_status import export_status
from konnector.controllers.shape import shape_of
from konnector.schema.owner import is_owned_by

pytestmark = pytest.mark.unit

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
STAMP = "2026-01-02T03:04:05Z"
OLD = "2020-01-01T00:00:00Z"


def _export(**spec: Any) -> Object:
    version = {"name": "v1", "served": True, "subresources": {"status": {}}}
    return {
        "metadata": {"name": "things.g.example", "namespace": "cns"},
        "spec": {
            "group": "g.example",
            "names": {"plural": "things", "kind": "Thing"},
            "versions": [version],
            **spec,
        },
    }


def _binding(**annotations: str) -> Object:
    return {"metadata": {"name": "things.g.example", "uid": "b1", "annotations": annotations}}


def _crd(
    scope: str = "Namespaced",
    established: str = "True",
    *,
    deleting: bool = False,
    versions: list[Object] | None = None,
) -> Object:
    metadata: Object = {"name": "things.g.example"}
    if deleting:
        metadata["deletionTimestamp"] = OLD
    return {
        "metadata": metadata,
        "spec": {
            "scope": scope,
            "group": "g.example",
            "names": {"plural": "things", "kind": "Thing"},
            "versions": versions or [{"name": "v1", "served": True, "subresources": {"status": {}}}],
        },
        "status": {
            "acceptedNames": {"plural": "things"},
            "storedVersions": ["v1"],
            "conditions": [
                {
                    "type": "Established",
                    "status": established,
                    "reason": "InitialNamesAccepted",
                    "message": "the initial names have been accepted",
                    "lastTransitionTime": OLD,
                    "observedGeneration": 1,
                },
                {"type": "Ready", "status": "False", "reason": "Theirs"},
            ],
        },
    }


def test_the_first_served_version_is_synced() -> None:
    versions = [
        {"name": "v2", "served": False},
        {"name": "v1", "served": True, "subresources": {"scale": {}}},
        {"name": "v0", "served": True, "subresources": {"status": {}}},
    ]
    shape = shape_of(_export(versions=versions), _binding(), _crd(versions=versions))
    assert shape is not None
    assert (shape.resource.version, shape.status_subresource) == ("v1", False)
    assert (shape.resource.kind, shape.resource.namespaced) == ("Thing", True)


@pytest.mark.parametrize(
    ("export", "crd"),
    [
        (_export(), _crd(established="False")),
        (_export(), {"metadata": {"name": "x"}}),
        (_export(versions=[{"name": "v1", "served": False}]), _crd()),
        (_export(versions=[]), _crd()),
    ],
    ids=["not-established", "no-status", "nothing-served", "no-versions"],
)
def test_nothing_is_synced_before_it_is_served(export: Object, crd: Object) -> None:
    assert shape_of(export, _binding(), crd) is None


def test_a_version_that_the_crd_does_not_serve_is_not_synced() -> None:
    # A held change: the CRD still is as it was.
    versions = [{"name": "v2", "served": True}, {"name": "v1", "served": True}]
    shape = shape_of(_export(versions=versions), _binding(), _crd())
    assert shape is not None
    assert shape.resource.version == "v1"
    assert shape_of(_export(versions=versions[:1]), _binding(), _crd()) is None


@pytest.mark.parametrize(
    "said",
    [
        {"group": "", "names": {"plural": "secrets", "kind": "Secret"}},
        {"names": {"plural": "secrets", "kind": "Secret"}},
        {"group": "other.example"},
        {"names": {}},
        {"names": None},
    ],
    ids=["core", "another-plural", "another-group", "no-plural", "no-names"],
)
def test_an_export_that_says_another_kind_than_its_crd_is_not_synced(said: dict[str, Any]) -> None:
    assert shape_of(_export(**said), _binding(), _crd()) is None


def test_the_crd_says_what_is_synced() -> None:
    names = {"plural": "things", "kind": "Secret"}
    versions = [{"name": "v1", "served": True}]
    shape = shape_of(_export(names=names, versions=versions), _binding(), _crd())
    assert shape is not None
    assert shape.resource == Resource("g.example", "v1", "things", kind="Thing")
    assert shape.status_subresource


@pytest.mark.parametrize("group", ["apps", "storage.k8s.io", "klutch.anynines.com"])
def test_a_kind_that_must_not_be_bound_is_not_synced(group: str) -> None:
    crd, export = _crd(), _export(group=group)
    export["metadata"]["name"] = crd["metadata"]["name"] = f"things.{group}"
    crd["spec"]["group"] = group
    assert shape_of(export, _binding(), crd) is None


@pytest.mark.parametrize(
    ("scope", "informers", "wide"),
    [("Namespaced", "Namespaced", False), ("Namespaced", "Cluster", True), ("Cluster", "Namespaced", True)],
)
def test_how_the_provider_is_watched(scope: str, informers: str, wide: bool) -> None:
    shape = shape_of(_export(informerScope=informers), _binding(), _crd(scope))
    assert shape is not None
    assert shape.cluster_wide is wide
    assert shape.resource.namespaced is (scope == "Namespaced")


@pytest.mark.parametrize(
    ("annotations", "take_over", "paused"),
    [
        ({}, False, False),
        ({keys.CONFLICT_POLICY: "Adopt"}, True, False),
        ({keys.CONFLICT_POLICY: "Fail"}, False, False),
        ({keys.CONFLICT_POLICY: "adopt"}, False, False),
        ({keys.PAUSED: "true"}, False, True),
        ({keys.PAUSED: "yes"}, False, False),
    ],
    ids=["plain", "adopt", "fail", "spelt-otherwise", "paused", "not-paused"],
)
def test_what_the_binding_says(annotations: dict[str, str], take_over: bool, paused: bool) -> None:
    shape = shape_of(_export(), _binding(**annotations), _crd())
    assert shape is not None
    assert (shape.take_over, shape.paused) == (take_over, paused)


def _said(obj: Object) -> dict[str, Object]:
    return {c["type"]: c for c in obj["status"]["conditions"]}


def test_an_export_without_a_binding_says_so() -> None:
    after = export_status(_export(), None, None, now=NOW)
    said = _said(after)
    assert (said["Connected"]["status"], said["Connected"]["reason"]) == (
        "False",
        "APIServiceBindingNotFound",
    )
    assert (said["ConsumerInSync"]["status"], said["ConsumerInSync"]["reason"]) == ("False", "NA")
    assert said["Ready"]["severity"] == "Info"
    assert "acceptedNames" not in after["status"]


@pytest.mark.parametrize(
    ("schema", "expected"),
    [
        ([], ("False", "Unknown", "Info")),
        ([{"type": "SchemaInSync", "status": "True"}], ("True", None, None)),
        (
            [
                {
                    "type": "SchemaInSync",
                    "status": "False",
                    "severity": "Warning",
                    "reason": "SchemaUpdateHeld",
                }
            ],
            ("False", "SchemaUpdateHeld", "Warning"),
        ),
    ],
    ids=["unknown", "in-sync", "held"],
)
def test_the_schema_of_the_binding_is_passed_on(schema: list[Object], expected: tuple[Any, ...]) -> None:
    binding = {**_binding(), "status": {"conditions": schema}}
    found = _said(export_status(_export(), binding, None, now=NOW))["ConsumerInSync"]
    assert (found["status"], found.get("reason"), found.get("severity")) == expected


def test_conditions_of_the_crd_are_copied_with_their_times() -> None:
    stale = {"type": "Established", "status": "False", "lastTransitionTime": STAMP}
    export = {**_export(), "status": {"conditions": [stale], "other": "kept"}}
    after = export_status(export, _binding(), _crd(), now=NOW)
    assert _said(after)["Established"] == {
        "type": "Established",
        "status": "True",
        "reason": "InitialNamesAccepted",
        "message": "the initial names have been accepted",
        "lastTransitionTime": OLD,
    }
    assert after["status"]["acceptedNames"] == {"plural": "things"}
    assert after["status"]["storedVersions"] == ["v1"]
    assert after["status"]["other"] == "kept"
    assert _said(after)["Ready"].get("reason") != "Theirs"
    types = [c["type"] for c in after["status"]["conditions"]]
    assert types == ["Ready", *sorted(types[1:])]


def test_a_condition_of_the_crd_that_does_not_hold_is_an_error() -> None:
    after = export_status(_export(), _binding(), _crd(established="False"), now=NOW)
    assert _said(after)["Established"]["severity"] == "Error"
    assert _said(after)["Ready"]["reason"] == "InitialNamesAccepted"


def test_looking_again_changes_nothing() -> None:
    binding = {**_binding(), "status": {"conditions": [{"type": "SchemaInSync", "status": "True"}]}}
    once = export_status(_export(), binding, _crd(), now=NOW)
    later = datetime(2026, 1, 3, tzinfo=UTC)
    assert export_status(once, binding, _crd(), now=later) == once


@pytest.mark.parametrize(
    ("owner", "ours"),
    [
        ({"apiVersion": keys.API_VERSION, "kind": "APIServiceBinding", "name": "x", "uid": "b1"}, True),
        ({"apiVersion": keys.API_VERSION, "kind": "APIServiceBinding", "name": "x", "uid": "b2"}, False),
        ({"apiVersion": "v1", "kind": "ConfigMap", "name": "x", "uid": "b1"}, False),
        (None, False),
    ],
    ids=["ours", "another-binding", "another-kind", "nobody"],
)
def test_whose_crd_it_is(owner: Object | None, ours: bool) -> None:
    crd = {"metadata": {"ownerReferences": [owner] if owner else []}}
    assert is_owned_by(crd, _binding()) is ours
