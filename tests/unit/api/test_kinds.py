"""The seven kinds: every valid object decodes, every broken rule is found; and the manifests say the same.

The same cases are put to a real API server in tests/integration/api.
"""

import copy
from collections.abc import Iterator
from typing import Any

import pytest

from bind_agent.api import decoding, rules
from bind_agent.api.app_cluster_binding import AppClusterBinding
from bind_agent.api.binding import Binding
from bind_agent.api.cluster_binding import ClusterBinding
from bind_agent.api.decoding import KINDS, decode, decode_any, decode_part
from bind_agent.api.export import Export
from bind_agent.api.export_request import ExportRequest
from bind_agent.api.resource import EXPORTS, OWN, Resource
from bind_agent.api.service_namespace import ServiceNamespace
from bind_agent.api.shared import OwnObject, to_wire
from bind_agent.api.template import ExportTemplate
from bind_agent.api.validation import InvalidObject, Problem
from bind_agent.manifests import load_manifests
from tests.fakes import kinds

pytestmark = pytest.mark.unit


@pytest.mark.parametrize("case", kinds.valid_cases(), ids=lambda case: case.id)
def test_valid_object_decodes_and_writes_back(case: kinds.Valid) -> None:
    before = copy.deepcopy(case.obj)

    typed = decode_any(case.obj)
    written = to_wire(typed)

    assert case.obj == before
    assert decode_any(written) == typed
    assert written["apiVersion"] == case.obj["apiVersion"]
    assert written["kind"] == case.obj["kind"]
    assert decoding.problems(case.obj, case.obj) == []


@pytest.mark.parametrize("case", kinds.invalid_cases(), ids=lambda case: case.id)
def test_broken_rule_is_found(case: kinds.Invalid) -> None:
    old = case.obj if case.change else None

    found = decoding.problems(case.changed, old)

    assert any(
        case.ours in problem.message and (not case.path or problem.path == case.path) for problem in found
    ), found
    if case.change is None:
        with pytest.raises(InvalidObject):
            decode_any(case.changed)


def test_several_problems_are_listed_at_once() -> None:
    obj = kinds.binding()
    obj["spec"]["kubeconfigSecretRef"] = {"name": "", "namespace": "", "key": "x"}

    with pytest.raises(InvalidObject) as caught:
        decode(Binding, obj)

    assert len(caught.value.problems) == 3
    assert caught.value.kind == "APIServiceBinding"
    assert "spec.kubeconfigSecretRef.key: must be one of kubeconfig, not 'x'" in str(caught.value)


def test_wrong_types_name_the_place() -> None:
    obj = kinds.export()
    obj["spec"]["versions"][0]["storage"] = "yes"

    found = decoding.problems(obj)

    assert found == [Problem("spec.versions[0].storage", "Expected `bool`, got `str`")]


@pytest.mark.parametrize("kind", [None, 7, "Pod"])
def test_unknown_kind(kind: Any) -> None:
    with pytest.raises(InvalidObject, match="must be one of"):
        decode_any({"kind": kind})


def test_wrong_kind_and_version() -> None:
    with pytest.raises(InvalidObject, match="must be APIServiceExport, not 'APIServiceBinding'"):
        decode(Export, kinds.binding())
    with pytest.raises(InvalidObject, match=r"apiVersion: must be klutch\.anynines\.com/v1alpha1, not 'v1'"):
        decode(Binding, {**kinds.binding(), "apiVersion": "v1"})


def test_items_of_lists_have_neither_kind_nor_version() -> None:
    item = {k: v for k, v in kinds.binding().items() if k not in {"kind", "apiVersion"}}

    assert decode(Binding, item).spec == decode(Binding, kinds.binding()).spec


def test_deep_nesting_is_refused_without_harm() -> None:
    deep: Any = {}
    for _ in range(5000):
        deep = {"selector": deep}
    obj = kinds.template()
    obj["spec"]["permissionClaims"][0]["selector"] = deep

    with pytest.raises(InvalidObject, match="nested too deeply"):
        decode(ExportTemplate, obj)


def test_not_even_an_object() -> None:
    with pytest.raises(InvalidObject):
        decode_part(Export, [])


def test_null_counts_as_absent_except_in_opaque_content() -> None:
    obj = kinds.export()
    obj["spec"]["permissionClaims"] = None
    obj["spec"]["versions"][0]["deprecated"] = None
    schema = {"type": "object", "properties": {"x": {"enum": [None]}, "y": {"default": None}}}
    obj["spec"]["versions"][0]["schema"]["openAPIV3Schema"] = schema

    export = decode(Export, obj)

    assert export.spec.permission_claims == ()
    assert export.spec.versions[0].versions_schema.open_api_v3_schema == schema


def test_base_class_has_no_rules_of_its_own() -> None:
    with pytest.raises(NotImplementedError):
        OwnObject().problems()
    with pytest.raises(NotImplementedError):
        OwnObject().update_problems(OwnObject())


def test_export_says_where_its_resource_is() -> None:
    export = decode(Export, kinds.export("clouds", scope="Cluster"))

    assert export.spec.name == "clouds.example.com"
    assert export.spec.cluster_scoped
    assert export.spec.resource() == Resource(
        "example.com", "v1", "clouds", namespaced=False, kind="Database"
    )
    assert export.key == "clouds.example.com"


def test_sync_version_is_the_first_served_one() -> None:
    obj = kinds.export()
    first = obj["spec"]["versions"][0]
    obj["spec"]["versions"] = [{**first, "name": "v2", "served": False, "storage": False}, first]

    assert decode(Export, obj).spec.sync_version == "v1"
    first["served"] = False
    assert decode(Export, obj).spec.sync_version == ""


def test_status_of_export_as_go_leaves_it() -> None:
    """Go emits empty strings in acceptedNames (spec 3.5)."""
    obj = {**kinds.export(), "status": {"acceptedNames": {"kind": "", "plural": ""}, "storedVersions": None}}

    status = decode(Export, obj).status

    assert status.accepted_names is not None
    assert status.stored_versions == ()


def test_binding_without_spec_binds_nothing() -> None:
    bare = decode(Binding, {"metadata": {"name": "b", "namespace": "klutch-bind"}})

    assert bare.claims == ()
    assert bare.key == "klutch-bind/b"
    assert bare.update_problems(decode(Binding, kinds.binding())) == []
    assert decode(Binding, kinds.binding()).update_problems(bare) == []
    assert len(decode(Binding, kinds.binding()).claims) == 1


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("5m0s", 300.0), ("300s", 300.0), ("", None), ("0s", None), ("-5s", None), ("x", None)],
)
def test_heartbeat_interval(text: str, seconds: float | None) -> None:
    obj = {**kinds.cluster_binding(), "status": {"heartbeatInterval": text}}

    interval = decode(ClusterBinding, obj).status.interval()

    assert (interval.total_seconds() if interval else None) == seconds


def test_service_namespace_names_have_to_be_namespaces() -> None:
    obj = kinds.service_namespace("a.b")
    obj["status"] = {"namespace": "kube/system"}

    assert [problem.path for problem in decoding.problems(obj)] == ["metadata.name", "status.namespace"]


def test_mapping_of_a_live_namespace_never_changes() -> None:
    first = decode(ServiceNamespace, {**kinds.service_namespace(), "status": {"namespace": "a"}})
    other = decode(ServiceNamespace, {**kinds.service_namespace(), "status": {"namespace": "b"}})
    empty = decode(ServiceNamespace, kinds.service_namespace())

    assert [p.message for p in other.update_problems(first)] == [rules.MAPPING_IMMUTABLE]
    assert first.update_problems(first) == []
    assert first.update_problems(empty) == []


def test_request_phases_and_parameters() -> None:
    obj = {**kinds.export_request(), "status": {"phase": "Odd"}}
    assert [problem.path for problem in decoding.problems(obj)] == ["status.phase"]
    old, new = kinds.export_request(), kinds.export_request()
    new["spec"]["parameters"] = {"plan": "large"}
    assert [p.message for p in decoding.problems(new, old)] == [rules.PARAMETERS_IMMUTABLE]
    # A rule about a change is not asked when the field is absent on either side (spec 3.1).
    del new["spec"]["parameters"]
    assert decoding.problems(new, old) == []
    assert decode(ExportRequest, kinds.export_request()).status.phase == "Pending"


def test_name_of_app_cluster_binding_never_changes() -> None:
    old = decode(AppClusterBinding, kinds.app_cluster_binding())
    new = decode(AppClusterBinding, kinds.app_cluster_binding("other"))

    assert [p.message for p in new.update_problems(old)] == [rules.APP_CLUSTER_BINDING_NAME]


def test_claim_fields_as_on_the_wire() -> None:
    written = to_wire(decode(ExportTemplate, kinds.valid_cases()[3].obj))

    assert written["spec"]["APIServiceSelector"] == {"group": "example.com", "resource": "databases"}
    full = written["spec"]["permissionClaims"][1]
    assert full == {k: v for k, v in kinds.FULL_CLAIM.items() if k not in {"group", "autoDonate"}}


# --- manifests ------------------------------------------------------------------------------------


def every(value: Any, key: str) -> Iterator[Any]:
    """Each value of a key, anywhere below."""
    if isinstance(value, dict):
        for name, inner in value.items():
            if name == key:
                yield inner
            yield from every(inner, key)
    elif isinstance(value, list):
        for inner in value:
            yield from every(inner, key)


def crds() -> dict[str, dict[str, Any]]:
    return {crd["spec"]["names"]["kind"]: crd for crd in load_manifests("crds")}


def test_one_crd_per_kind() -> None:
    found = crds()

    assert set(found) == set(KINDS)
    for own in OWN:
        crd = found[own.kind]
        assert crd["metadata"]["name"] == own.crd_name
        assert crd["metadata"]["annotations"] == {"controller-gen.kubebuilder.io/version": "v0.19.0"}
        assert crd["spec"]["scope"] == "Namespaced"
        names = crd["spec"]["names"]
        assert names["singular"] == own.kind.lower()
        assert names["listKind"] == f"{own.kind}List"
        assert names["categories"] == ["kube-bindings"]
        assert names.get("shortNames") == (["sb"] if own.kind == "APIServiceBinding" else None)
        (version,) = crd["spec"]["versions"]
        assert (version["name"], version["served"], version["storage"]) == ("v1alpha1", True, True)
        assert version["subresources"] == {"status": {}}
    assert EXPORTS.kind in found


def test_scopes_of_bindings_differ_in_nothing_else() -> None:
    (wide,) = load_manifests("crds/cluster-scoped")
    narrow = crds()["APIServiceBinding"]

    assert wide["spec"]["scope"] == "Cluster"
    wide["spec"]["scope"] = "Namespaced"
    assert wide == narrow


def test_messages_of_cel_rules_are_ours() -> None:
    messages = {
        rule["message"]
        for crd in crds().values()
        for found in every(crd, "x-kubernetes-validations")
        for rule in found
    }

    ours = {value for name, value in vars(rules).items() if name.isupper()}
    assert messages == ours - {rules.MAPPING_IMMUTABLE}


def test_claims_have_one_schema_everywhere() -> None:
    schemas = []
    for crd in crds().values():
        for found in every(crd, "permissionClaims"):
            item = copy.deepcopy(found["items"])
            if item["properties"].pop("state", None):
                item["required"].remove("state")
            schemas.append(item)

    assert len(schemas) == 4
    assert all(schema == schemas[0] for schema in schemas)
