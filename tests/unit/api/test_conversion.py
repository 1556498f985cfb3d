"""CRD -> export -> CRD (spec 3.10.3, 3.10.4, W-B17)."""

import copy
from typing import Any

import msgspec
import pytest

from bind_agent.api.claims import PermissionClaim
from bind_agent.api.conversion import (
    InvalidCRD,
    InvalidExport,
    binding_owner,
    crd_part,
    export_spec,
    spec_hash,
    to_crd,
)
from bind_agent.api.decoding import decode
from bind_agent.api.export import Export
from bind_agent.api.shared import ObjectMeta
from tests.fakes import kinds

pytestmark = pytest.mark.unit

COLUMN = {"name": "Phase", "type": "string", "jsonPath": ".status.phase", "description": "", "priority": 0}


def version(name: str = "v1", **fields: Any) -> dict[str, Any]:
    return {
        "name": name,
        "served": True,
        "storage": name == "v1",
        "schema": {"openAPIV3Schema": {"type": "object", "description": name}},
        **fields,
    }


def crd(*versions: dict[str, Any], **spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": "databases.example.com", "labels": {"a": "b"}},
        "spec": {
            "group": "example.com",
            "names": {
                "plural": "databases",
                "kind": "Database",
                "listKind": "DatabaseList",
                "shortNames": [],
            },
            "scope": "Namespaced",
            "versions": list(versions) or [version()],
            **spec,
        },
        "status": {"storedVersions": ["v1"]},
    }


def export_of(source: dict[str, Any]) -> Export:
    spec = export_spec(crd_part(source), informer_scope="Cluster")
    return decode(Export, {"metadata": {"name": source["metadata"]["name"]}, "spec": spec})


def test_part_of_a_plain_crd() -> None:
    source = crd(
        version(
            subresources={"status": {}},
            additionalPrinterColumns=[COLUMN, "junk"],
            deprecated=True,
            deprecationWarning="old",
        )
    )

    assert crd_part(source) == {
        "group": "example.com",
        "names": {"plural": "databases", "kind": "Database", "listKind": "DatabaseList"},
        "scope": "Namespaced",
        "versions": [
            {
                "name": "v1",
                "served": True,
                "storage": True,
                "deprecated": True,
                "deprecationWarning": "old",
                "schema": {"openAPIV3Schema": {"type": "object", "description": "v1"}},
                "subresources": {"status": {}},
                "additionalPrinterColumns": [
                    {"name": "Phase", "type": "string", "jsonPath": ".status.phase"}
                ],
            }
        ],
    }


def test_versions_that_are_not_served_are_left_out() -> None:
    part = crd_part(crd(version("v1"), version("v2", served=False), version("v3")))

    assert [entry["name"] for entry in part["versions"]] == ["v1", "v3"]


def test_webhook_conversion_leaves_only_the_storage_version() -> None:
    part = crd_part(crd(version("v2"), version("v1"), conversion={"strategy": "Webhook", "webhook": {}}))

    assert [(entry["name"], entry["storage"]) for entry in part["versions"]] == [("v1", True)]


def test_no_conversion_keeps_all() -> None:
    part = crd_part(crd(version("v2"), version("v1"), conversion={"strategy": "None"}))

    assert [entry["name"] for entry in part["versions"]] == ["v2", "v1"]


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ({}, "no spec"),
        ({"spec": {}}, "no group, names or scope"),
        (crd(scope="Galaxy"), "no group, names or scope"),
        (crd(group="example.org"), "is named 'databases.example.com' and defines 'databases.example.org'"),
        (crd(group="apps"), "belongs to Kubernetes"),
        (crd(group="x.k8s.io"), "belongs to Kubernetes"),
        (crd(version("v2")), "no storage version"),
        (crd(versions=None), "no storage version"),
        (crd(version("v1", served=False), version("v2")), "storage version 'v1' of the CRD is not served"),
        (crd({**version("v1"), "name": "beta"}), "'beta' is not a version"),
        (crd(version("v1", schema=None)), "v1 has no schema"),
        (crd(version("v1", schema={"openAPIV3Schema": None})), "v1 has no schema"),
        (
            crd(version("v1", schema={"openAPIV3Schema": {"description": "x" * 1_000_001}})),
            "the limit is 1000000; stop serving",
        ),
    ],
)
def test_crd_that_cannot_be_exported(source: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidCRD, match=message):
        crd_part(source)


def deep() -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "object"}
    for _ in range(600):
        schema = {"type": "object", "properties": {"x": schema}}
    return schema


def test_deep_schema_is_refused_without_harm() -> None:
    with pytest.raises(InvalidCRD, match="nested too deeply"):
        crd_part(crd(version("v1", schema={"openAPIV3Schema": deep()})))
    obj = kinds.export()
    obj["spec"]["versions"][0]["schema"]["openAPIV3Schema"] = deep()
    with pytest.raises(InvalidExport, match="nested too deeply"):
        to_crd(decode(Export, obj))


def test_hash_is_stable_and_blind_to_order() -> None:
    part = crd_part(crd())
    turned = copy.deepcopy(part)
    schema = turned["versions"][0]["schema"]["openAPIV3Schema"]
    turned["versions"][0]["schema"]["openAPIV3Schema"] = dict(reversed(schema.items()))

    assert spec_hash(part) == spec_hash(turned) == "cro5hrUfGyJvOjhfIsgBRqdXezpW57pAJG3xdZ"
    assert spec_hash(crd_part(crd(version(deprecated=True)))) != spec_hash(part)


def test_spec_of_an_export() -> None:
    claim = PermissionClaim(resource="secrets", version="v1")

    spec = export_spec(crd_part(crd()), informer_scope="Namespaced", claims=[claim])

    assert spec["informerScope"] == "Namespaced"
    assert "clusterScopedIsolation" not in spec
    assert spec["permissionClaims"][0]["resource"] == "secrets"
    decode(Export, {"metadata": {"name": "databases.example.com"}, "spec": spec})


def test_spec_of_a_cluster_scoped_export() -> None:
    spec = export_spec(crd_part(crd(scope="Cluster")), informer_scope="Cluster")

    assert spec["clusterScopedIsolation"] == "Prefixed"
    decode(Export, {"metadata": {"name": "databases.example.com"}, "spec": spec})


def test_consumer_crd() -> None:
    source = crd(
        version("v1", additionalPrinterColumns=[COLUMN]), version("v2"), conversion={"strategy": "None"}
    )
    owner = binding_owner("databases.example.com", "u")

    made = to_crd(export_of(source), owner=owner)

    assert made["apiVersion"] == "apiextensions.k8s.io/v1"
    assert made["kind"] == "CustomResourceDefinition"
    assert made["metadata"] == {"name": "databases.example.com", "ownerReferences": [owner]}
    assert "conversion" not in made["spec"]
    assert made["spec"]["names"] == {"plural": "databases", "kind": "Database", "listKind": "DatabaseList"}
    assert [entry["name"] for entry in made["spec"]["versions"]] == ["v1", "v2"]
    for entry in made["spec"]["versions"]:
        assert entry["served"] is True
        assert entry["subresources"] == {}
    # What went in comes out: another round changes nothing.
    assert crd_part(made) == crd_part(source)


def test_consumer_crd_without_owner_has_none() -> None:
    assert to_crd(export_of(crd()))["metadata"] == {"name": "databases.example.com"}


def invalid_export(change: kinds.Change) -> Export:
    return decode(Export, kinds.changed(kinds.export(), change))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (kinds.put("spec.versions.0.storage", False), "exactly one version"),
        (kinds.put("spec.versions.0.served", False), "no version of the export is served"),
        (kinds.put("spec.versions.0.schema.openAPIV3Schema", {}), "does not describe an object"),
        (
            kinds.put(
                "spec.versions.0.schema.openAPIV3Schema", {"type": "object", "description": "x" * 1_000_001}
            ),
            "the limit is",
        ),
        (
            kinds.all_of(kinds.put("spec.group", "apps"), kinds.put("metadata.name", "databases.apps")),
            "belongs to Kubernetes",
        ),
        (
            kinds.all_of(
                kinds.put("spec.group", "klutch.anynines.com"),
                kinds.put("metadata.name", "databases.klutch.anynines.com"),
            ),
            "product's own",
        ),
        (
            kinds.all_of(kinds.put("spec.group", "Ex.com"), kinds.put("metadata.name", "databases.Ex.com")),
            "not the name of a resource",
        ),
        (
            kinds.all_of(
                kinds.put("spec.names.plural", "../x"), kinds.put("metadata.name", "../x.example.com")
            ),
            "not the name of a resource",
        ),
    ],
)
def test_export_that_cannot_become_a_crd(change: kinds.Change, message: str) -> None:
    with pytest.raises(InvalidExport, match=message):
        to_crd(invalid_export(change))


def test_export_named_otherwise() -> None:
    export = decode(Export, kinds.export())
    renamed = msgspec.structs.replace(export, metadata=ObjectMeta(name="other.example.com"))

    with pytest.raises(InvalidExport, match=r"named 'other\.example\.com'"):
        to_crd(renamed)


def test_two_storage_versions() -> None:
    obj = kinds.export()
    first = obj["spec"]["versions"][0]
    obj["spec"]["versions"].append({**first, "name": "v2"})

    with pytest.raises(InvalidExport, match="the export has 2"):
        to_crd(decode(Export, obj))
