"""The shipped files agree with the operator and with the product."""

from typing import Any

import pytest

from bind_agent.api.conversion.from_crd import crd_part
from bind_agent.api.decoding import decode
from bind_agent.api.export_request import ExportRequest
from bind_agent.api.template import ExportTemplate
from bind_agent.devcluster.demo import model, names, objects
from bind_agent.devcluster.demo.objects import Access, Address
from bind_agent.manifests import load_manifests, manifests_dir

pytestmark = pytest.mark.unit


def one(file: str) -> dict[str, Any]:
    (obj,) = load_manifests(f"examples/postgres/{file}")
    return obj


def spec_schema() -> dict[str, Any]:
    version = one("crd.yaml")["spec"]["versions"][0]
    schema: dict[str, Any] = version["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]
    return schema


def test_the_crd_is_the_operators_api() -> None:
    spec = one("crd.yaml")["spec"]
    assert (spec["group"], spec["names"]["plural"], spec["names"]["kind"]) == (
        names.GROUP,
        names.PLURAL,
        names.KIND,
    )
    assert [version["name"] for version in spec["versions"]] == [names.VERSION]


def test_the_crd_has_the_operators_bounds() -> None:
    schema = spec_schema()
    limit = schema["connectionLimit"]
    assert (limit["default"], limit["maximum"]) == (
        model.DEFAULT_CONNECTION_LIMIT,
        model.MAX_CONNECTION_LIMIT,
    )
    assert schema["comment"]["maxLength"] == model.MAX_COMMENT
    parameters = schema["parameters"]
    assert parameters["additionalProperties"]["maxLength"] == model.MAX_VALUE
    assert parameters["maxProperties"] == len(model.PARAMETERS)
    rule = parameters["x-kubernetes-validations"][0]
    for name in model.PARAMETERS:
        assert f"'{name}'" in rule["rule"]
        assert name in rule["message"]
    assert rule["rule"].count("'") == 2 * len(model.PARAMETERS)


def test_the_crd_can_be_exported() -> None:
    assert crd_part(one("crd.yaml"))["names"]["plural"] == names.PLURAL


def test_the_template_offers_the_api_and_claims_what_the_operator_writes() -> None:
    template = decode(ExportTemplate, one("template.yaml"))
    selector = template.spec.selector
    assert (selector.group, selector.resource, selector.version) == (names.GROUP, names.PLURAL, names.VERSION)
    secrets, config_maps = template.spec.permission_claims
    assert (secrets.group_resource, secrets.required, secrets.selector.owner) == ("secrets", True, "Provider")
    assert (config_maps.group_resource, config_maps.selector.owner) == ("configmaps", "Provider")
    instance = model.read_instance(one("postgresql.yaml") | {"metadata": {"name": "orders", "uid": "u"}})
    written = objects.secret(instance, Access(Address("h", 1, "disable"), "d", "p"))
    (labels,) = secrets.selector.label_selectors
    assert written["metadata"]["labels"].items() >= labels.items()


def test_the_example_is_valid() -> None:
    instance = model.read_instance(one("postgresql.yaml"))
    assert instance.connection_limit == 10
    assert one("postgresql.yaml")["apiVersion"] == names.API_VERSION


def test_the_role_has_no_wildcard_and_cannot_list_secrets() -> None:
    role = next(obj for obj in load_manifests("examples/postgres/rbac.yaml") if obj["kind"] == "ClusterRole")
    for rule in role["rules"]:
        assert "*" not in {*rule["apiGroups"], *rule["resources"], *rule["verbs"]}
        if "secrets" in rule["resources"]:
            assert not {"list", "watch", "deletecollection"} & set(rule["verbs"])


def test_the_request_asks_for_what_the_template_offers() -> None:
    request = decode(ExportRequest, one("request.yaml"))
    template = decode(ExportTemplate, one("template.yaml"))
    (asked,) = request.spec.resources
    selector = template.spec.selector
    assert (asked.group, asked.resource) == (selector.group, selector.resource)
    assert asked.permission_claims == template.spec.permission_claims
    assert one("request.yaml")["metadata"]["name"] == f"{selector.resource}.{selector.group}"


def test_every_file_is_told_about() -> None:
    folder = manifests_dir() / "examples" / "postgres"
    page = (folder / "README.md").read_text(encoding="utf-8")
    for file in folder.iterdir():
        assert file.name == "README.md" or f"`{file.name}`" in page
    for name in model.PARAMETERS:
        assert f"`{name}`" in page
