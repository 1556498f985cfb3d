"""A provider's CRD becomes an export, and the export a CRD that a real API server takes (spec 3.10.3,
3.10.4).

Excluded: when controllers do so, and what they do with an existing CRD.
"""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from bind_agent.api import keys
from bind_agent.api.conversion import crd_part, export_spec, spec_hash, to_crd
from bind_agent.api.decoding import decode
from bind_agent.api.export import Export
from bind_agent.devcluster import Cluster

pytestmark = pytest.mark.integration

CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"


def schema(**fields: Any) -> dict[str, Any]:
    properties = {
        "spec": {
            "type": "object",
            "required": ["size"],
            "properties": {
                "size": {"type": "integer", "minimum": 1, "default": 1},
                "mode": {"type": "string", "enum": ["a", "b"], "nullable": True},
                "port": {"x-kubernetes-int-or-string": True},
                "extra": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
                **fields,
            },
            "x-kubernetes-validations": [{"rule": "self.size < 10", "message": "too large"}],
        },
        "status": {"type": "object", "properties": {"phase": {"type": "string"}}},
    }
    return {"openAPIV3Schema": {"type": "object", "properties": properties}}


def crd(group: str, *, scope: str = "Namespaced") -> dict[str, Any]:
    columns = [{"name": "Phase", "type": "string", "jsonPath": ".status.phase", "priority": 1}]
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"databases.{group}"},
        "spec": {
            "group": group,
            "names": {
                "plural": "databases",
                "singular": "database",
                "kind": "Database",
                "shortNames": ["dbx"],
            },
            "scope": scope,
            "versions": [
                {
                    "name": "v1alpha1",
                    "served": False,
                    "storage": False,
                    "schema": schema(),
                },
                {
                    "name": "v1",
                    "served": True,
                    "storage": True,
                    "schema": schema(),
                    "subresources": {"status": {}},
                    "additionalPrinterColumns": columns,
                },
                {
                    "name": "v1beta1",
                    "served": True,
                    "storage": False,
                    "deprecated": True,
                    "deprecationWarning": "use v1",
                    "schema": schema(old={"type": "string"}),
                },
            ],
        },
    }


async def established(cluster: Cluster, obj: dict[str, Any]) -> dict[str, Any]:
    """Create a CRD and wait until it is served."""
    code, answer = await cluster.request("POST", CRDS, obj)
    assert code == 201, answer
    for _ in range(200):
        _, answer = await cluster.request("GET", f"{CRDS}/{obj['metadata']['name']}")
        states = {c["type"]: c["status"] for c in answer["status"].get("conditions") or []}
        if states.get("Established") == "True":
            found: dict[str, Any] = answer
            return found
        await asyncio.sleep(0.05)
    raise AssertionError(answer)


@pytest.mark.parametrize("scope", ["Namespaced", "Cluster"])
async def test_crd_travels(
    provider: Cluster, consumer: Cluster, unique: Callable[[str], str], scope: str
) -> None:
    group = f"{unique('g')}.example"
    source = await established(provider, crd(group, scope=scope))
    part = crd_part(source)
    spec = export_spec(part, informer_scope="Cluster")
    export = decode(Export, {"metadata": {"name": source["metadata"]["name"]}, "spec": spec})

    target = await established(consumer, to_crd(export))

    # What the consumer's server made of it is the same API, so that nothing is ever rewritten without cause.
    assert crd_part(target) == part
    assert spec_hash(crd_part(target)) == spec_hash(part)
    assert [version["name"] for version in target["spec"]["versions"]] == ["v1", "v1beta1"]
    assert target["spec"]["conversion"] == {"strategy": "None"}
    assert keys.GROUP not in str(target["metadata"])

    path = f"/apis/{group}/v1/{'namespaces/default/' if scope == 'Namespaced' else ''}databases"
    head = {"apiVersion": f"{group}/v1", "kind": "Database"}
    good = {**head, "metadata": {"name": "a"}, "spec": {"size": 3, "port": "http", "extra": {"x": [1]}}}
    bad = {**head, "metadata": {"name": "b"}, "spec": {"size": 11}}
    for _ in range(100):
        code, answer = await consumer.request("POST", path, good)
        if code != 404:
            break
        await asyncio.sleep(0.05)
    assert code == 201, answer
    code, answer = await consumer.request("POST", path, bad)
    assert (code, "too large" in answer["message"]) == (422, True)
