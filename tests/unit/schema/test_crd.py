"""From an export to the desired CRD; hostile exports are refused (threats A35, A63)."""

import copy

import pytest

from bind_agent.api import keys
from konnector.schema.crd import SchemaError, desired_crd

pytestmark = pytest.mark.unit

BINDING = {"metadata": {"name": "mangodbs.mangodb.com", "uid": "binding-uid"}}


def export(**spec):
    return {
        "apiVersion": keys.API_VERSION,
        "kind": "APIServiceExport",
        "metadata": {"name": "mangodbs.mangodb.com"},
        "spec": {
            "group": "mangodb.com",
            "names": {"plural": "mangodbs", "kind": "MangoDB"},
            "scope": "Namespaced",
            "informerScope": "Namespaced",
            "versions": [
                {
                    "name": "v1",
                    "served": True,
                    "storage": True,
                    "schema": {"openAPIV3Schema": {"type": "object"}},
                    "subresources": {"status": {}},
                }
            ],
            **spec,
        },
    }


def test_the_crd_is_owned_by_the_binding_and_never_converts():
    crd = desired_crd(export(), BINDING)
    digest = crd["metadata"]["annotations"][keys.CONTENT_DIGEST]
    assert crd == {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {
            "name": "mangodbs.mangodb.com",
            "annotations": {keys.CONTENT_DIGEST: digest},
            "ownerReferences": [
                {
                    "apiVersion": keys.API_VERSION,
                    "kind": "APIServiceBinding",
                    "name": "mangodbs.mangodb.com",
                    "uid": "binding-uid",
                    "controller": True,
                }
            ],
        },
        "spec": {
            "group": "mangodb.com",
            "names": {"plural": "mangodbs", "kind": "MangoDB"},
            "scope": "Namespaced",
            "versions": [
                {
                    "name": "v1",
                    "served": True,
                    "storage": True,
                    "schema": {"openAPIV3Schema": {"type": "object"}},
                    "subresources": {"status": {}},
                }
            ],
            "conversion": {"strategy": "None"},
        },
    }


def test_the_digest_follows_the_spec():
    one, same = desired_crd(export(), BINDING), desired_crd(copy.deepcopy(export()), BINDING)
    other = desired_crd(export(names={"plural": "mangodbs", "kind": "MangoDB", "shortNames": ["m"]}), BINDING)
    assert one["metadata"]["annotations"] == same["metadata"]["annotations"]
    assert one["metadata"]["annotations"] != other["metadata"]["annotations"]


def nested(depth):
    schema = {"type": "object"}
    for _ in range(depth):
        schema = {"type": "object", "properties": {"a": schema}}
    return schema


def versions(schema, **fields):
    return [{"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}, **fields}]


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"group": "apps"}, id="a group of Kubernetes"),
        pytest.param({"group": "rbac.authorization.k8s.io"}, id="a reserved group"),
        pytest.param({"group": keys.GROUP}, id="our own group"),
        pytest.param({"group": "other.com"}, id="another name than it has"),
        pytest.param({"scope": "Everywhere"}, id="no scope"),
        pytest.param({"versions": []}, id="no version"),
        pytest.param({"versions": versions({"type": "object"}, storage=False)}, id="nothing stored"),
        pytest.param({"versions": versions({"type": "string"})}, id="no object"),
        pytest.param({"versions": versions(nested(200))}, id="nested beyond reason"),
        pytest.param(
            {"versions": versions({"type": "object", "description": "x" * 1_100_000})},
            id="a megabyte of text",
        ),
        pytest.param({"versions": "?"}, id="malformed"),
    ],
)
def test_what_must_not_be_installed_is_refused_with_a_reason(change):
    with pytest.raises(SchemaError) as caught:
        desired_crd(export(**change), BINDING)
    assert caught.value.reason == "APIServiceExportInvalid"
    assert str(caught.value) == caught.value.message
    assert len(caught.value.message) < 2000
