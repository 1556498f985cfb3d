"""Accessors never fail on what the other side sends; endpoints are named right."""

from typing import Any

import pytest

from bind_agent.api import keys, meta, resource
from bind_agent.api.resource import Resource

pytestmark = pytest.mark.unit

OBJ: dict[str, Any] = {
    "metadata": {
        "name": "n",
        "namespace": "ns",
        "uid": "u",
        "resourceVersion": "7",
        "generation": 3,
        "creationTimestamp": "2026-01-01T00:00:00Z",
        "deletionTimestamp": "2026-01-02T00:00:00Z",
        "labels": {"a": "b", "bad": 1},
        "annotations": {"c": "d"},
        "finalizers": ["f", 1],
        "ownerReferences": [{"uid": "o"}, {"uid": "p", "controller": True}, "junk"],
    }
}


def test_reads_what_is_there() -> None:
    assert meta.name(OBJ) == "n"
    assert meta.namespace(OBJ) == "ns"
    assert meta.uid(OBJ) == "u"
    assert meta.resource_version(OBJ) == "7"
    assert meta.generation(OBJ) == 3
    assert meta.creation_timestamp(OBJ) == "2026-01-01T00:00:00Z"
    assert meta.is_deleting(OBJ)
    assert meta.labels(OBJ) == {"a": "b"}
    assert meta.annotations(OBJ) == {"c": "d"}
    assert meta.annotation(OBJ, "c") == "d"
    assert meta.annotation(OBJ, "x") == ""
    assert meta.finalizers(OBJ) == ("f",)
    assert meta.has_finalizer(OBJ, "f")
    assert not meta.has_finalizer(OBJ, "g")
    assert meta.owner_references(OBJ) == [{"uid": "o"}, {"uid": "p", "controller": True}]
    assert meta.controller_reference(OBJ) == {"uid": "p", "controller": True}
    assert meta.is_owned_by(OBJ, "o")
    assert not meta.is_owned_by(OBJ, "")
    assert meta.key(OBJ) == "ns/n"


@pytest.mark.parametrize(
    "obj",
    [
        {},
        {"metadata": None},
        {"metadata": "x"},
        {
            "metadata": {
                "name": 1,
                "generation": True,
                "labels": [],
                "annotations": "x",
                "finalizers": "x",
                "ownerReferences": {},
            }
        },
    ],
)
def test_malformed_reads_as_empty(obj: dict[str, Any]) -> None:
    assert meta.name(obj) == meta.namespace(obj) == meta.uid(obj) == meta.key(obj) == ""
    assert meta.generation(obj) == 0
    assert not meta.is_deleting(obj)
    assert meta.labels(obj) == meta.annotations(obj) == {}
    assert meta.annotation(obj, "a") == ""
    assert meta.finalizers(obj) == ()
    assert meta.owner_references(obj) == []
    assert meta.controller_reference(obj) is None


@pytest.mark.parametrize(("key", "parts"), [("ns/n", ("ns", "n")), ("n", ("", "n")), ("", ("", ""))])
def test_keys(key: str, parts: tuple[str, str]) -> None:
    assert meta.split_key(key) == parts
    assert meta.join_key(*parts) == key


def test_resources() -> None:
    assert resource.SECRETS.api_version == "v1"
    assert resource.SECRETS.group_resource == "secrets"
    assert resource.EXPORTS.api_version == keys.API_VERSION
    assert (
        resource.EXPORTS.group_resource
        == resource.EXPORTS.crd_name
        == "apiserviceexports.klutch.anynines.com"
    )
    assert resource.BINDINGS.at("v2") == Resource(
        keys.GROUP, "v2", "apiservicebindings", kind="APIServiceBinding"
    )
    assert not resource.CLUSTER_SCOPED_BINDINGS.namespaced
    assert str(resource.LEASES) == "leases.coordination.k8s.io/v1"
    assert len({own.crd_name for own in resource.OWN}) == 7


def test_names_with_parts() -> None:
    assert keys.dynamic_role("cluster-x") == "klutch-binder-cluster-x"
    assert keys.konnector_deployment("edge") == "konnector-edge"
    assert keys.legacy_konnector_role("ns", "edge") == "klutch-konnector-ns-edge"
