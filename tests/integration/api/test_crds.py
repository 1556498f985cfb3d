"""Our CRDs on a real API server: they install, accept what is valid, refuse each broken rule, and set
defaults.

Excluded: what controllers make of the objects.
"""

import asyncio
import copy
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from bind_agent.api.decoding import KINDS, decode, decode_any
from bind_agent.api.shared import OwnObject
from bind_agent.devcluster import Cluster, ClusterOptions, Playground
from bind_agent.manifests import load_manifests
from tests.fakes import kinds

pytestmark = pytest.mark.integration

CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"


async def install(cluster: Cluster, folder: str) -> None:
    """Create all CRDs of a folder and wait until they are served."""
    for crd in load_manifests(folder):
        code, answer = await cluster.request("POST", CRDS, crd)
        assert code == 201, answer
        for _ in range(200):
            code, answer = await cluster.request("GET", f"{CRDS}/{crd['metadata']['name']}")
            states = {c["type"]: c["status"] for c in answer["status"].get("conditions") or []}
            if states.get("Established") == "True":
                break
            await asyncio.sleep(0.05)
        assert states.get("Established") == "True", answer
        assert not [c for c in answer["status"]["conditions"] if c["type"] == "NonStructuralSchema"]


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def server(clusters: Playground) -> AsyncIterator[Cluster]:
    """A cluster of its own: the shared ones may have other versions of our CRDs at the time."""
    cluster = await clusters.add(ClusterOptions("kinds"))
    try:
        await install(cluster, "crds")
        yield cluster
    finally:
        await clusters.remove("kinds")


def path_of(cls: type[OwnObject], namespace: str, name: str = "") -> str:
    """URL path of objects of a kind."""
    resource = cls.RESOURCE
    return f"/apis/{resource.api_version}/namespaces/{namespace}/{resource.plural}/{name}".rstrip("/")


@pytest_asyncio.fixture(loop_scope="session")
async def namespace(server: Cluster, unique: Any) -> str:
    """A fresh namespace."""
    name: str = unique("ns")
    code, answer = await server.request("POST", "/api/v1/namespaces", {"metadata": {"name": name}})
    assert code == 201, answer
    return name


async def create(server: Cluster, namespace: str, obj: dict[str, Any]) -> tuple[int, dict[str, Any]]:
    """Create an object; retried while the server still takes in a new CRD."""
    cls = KINDS[obj["kind"]]
    for _ in range(100):
        code, answer = await server.request("POST", path_of(cls, namespace), obj)
        if code != 404:
            break
        await asyncio.sleep(0.05)
    return code, answer


@pytest.mark.parametrize("case", kinds.valid_cases(), ids=lambda case: case.id)
async def test_valid_object_is_accepted(server: Cluster, namespace: str, case: kinds.Valid) -> None:
    code, answer = await create(server, namespace, copy.deepcopy(case.obj))

    assert code == 201, answer
    # The server's defaults are those of our types: with or without them, an object means the same.
    ours, theirs = decode_any(case.obj), decode_any(answer)
    assert theirs.spec == ours.spec  # type: ignore[attr-defined]
    assert theirs.status == ours.status if hasattr(ours, "status") else True  # type: ignore[attr-defined]


@pytest.mark.parametrize("case", kinds.invalid_cases(), ids=lambda case: case.id)
async def test_broken_rule_is_refused(server: Cluster, namespace: str, case: kinds.Invalid) -> None:
    if case.change is None:
        code, answer = await create(server, namespace, case.changed)
    else:
        code, stored = await create(server, namespace, copy.deepcopy(case.obj))
        assert code == 201, stored
        case.change(stored)
        cls = KINDS[stored["kind"]]
        target = path_of(cls, namespace, stored["metadata"]["name"])
        code, answer = await server.request("PUT", target, stored)

    assert code == 422, answer
    assert case.server.replace('\\"', '"') in answer["message"]


async def test_defaults_of_claims(server: Cluster, namespace: str) -> None:
    """Spec 3.2.4: what a claim reads back as."""
    code, answer = await create(server, namespace, kinds.template())

    assert code == 201
    assert answer["spec"]["permissionClaims"] == [
        {
            "group": "",
            "resource": "secrets",
            "version": "v1",
            "selector": {"names": ["*"], "namespaces": ["*"]},
            "read": {},
            "onConflict": {"recreateWhenConsumerSideDeleted": True},
        }
    ]


async def test_request_begins_pending(server: Cluster, namespace: str) -> None:
    await create(server, namespace, kinds.export_request())

    _, answer = await server.request(
        "GET", path_of(KINDS["APIServiceExportRequest"], namespace, "databases.example.com")
    )

    assert answer["status"] == {"phase": "Pending"}


@pytest.mark.parametrize("kind", sorted(KINDS))
async def test_status_is_a_subresource(server: Cluster, namespace: str, kind: str) -> None:
    """A status in a plain write is dropped, one in a write to the subresource is kept."""
    obj = next(case.obj for case in kinds.valid_cases() if case.obj["kind"] == kind)
    cls = KINDS[kind]
    await create(server, namespace, copy.deepcopy(obj))
    _, stored = await server.request("GET", path_of(cls, namespace, obj["metadata"]["name"]))
    condition = {"type": "Ready", "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z"}
    stored["status"] = {"namespace": "x"} if kind == "APIServiceNamespace" else {"conditions": [condition]}
    target = path_of(cls, namespace, obj["metadata"]["name"])

    _, plain = await server.request("PUT", target, copy.deepcopy(stored))
    code, written = await server.request("PUT", f"{target}/status", {**stored, "metadata": plain["metadata"]})

    assert code == 200, written
    assert "conditions" not in plain.get("status", {})
    assert "namespace" not in plain.get("status", {})
    if kind != "APIServiceExportTemplate":  # its status has no fields
        decode(cls, written)
        assert stored["status"].items() <= written["status"].items()


async def test_overrides_are_checked_like_a_container(server: Cluster, namespace: str) -> None:
    """Ports default to TCP and are keyed by number and protocol; unknown fields go; types are held to."""
    obj = kinds.app_cluster_binding()
    obj["spec"]["konnector"]["overrides"] = {"ports": [{"containerPort": 80}], "resizePolicy": []}
    _, answer = await create(server, namespace, obj)
    assert answer["spec"]["konnector"]["overrides"] == {"ports": [{"containerPort": 80, "protocol": "TCP"}]}

    for overrides, message in (
        ({"ports": [{"containerPort": 80}, {"containerPort": 80}]}, "Duplicate value"),
        ({"command": "sh"}, "must be of type array"),
        ({"resources": {"limits": {"cpu": "many"}}}, "should match"),
        ({"env": [{"value": "x"}]}, "Required value"),
    ):
        obj = kinds.app_cluster_binding("other")
        obj["spec"]["konnector"]["overrides"] = overrides
        code, answer = await create(server, namespace, obj)
        assert code == 422, answer
        assert message in answer["message"]


async def test_parameters_are_immutable(server: Cluster, namespace: str) -> None:
    """Changing, and in the end any rewrite of, the opaque parameters is refused or pruned to what was
    there."""
    _, stored = await create(server, namespace, kinds.export_request())
    stored["spec"]["parameters"] = {"plan": "large"}

    code, answer = await server.request(
        "PUT", path_of(KINDS["APIServiceExportRequest"], namespace, "databases.example.com"), stored
    )

    assert code == 422, answer
    assert "parameters are immutable" in answer["message"]


async def test_columns_are_shown(server: Cluster, namespace: str) -> None:
    """`kubectl get` shows the columns of the spec; a table is asked for as kubectl does."""
    await create(server, namespace, kinds.binding())

    crds = {crd["spec"]["names"]["kind"]: crd for crd in load_manifests("crds")}

    shown = {
        kind: [column["name"] for column in crd["spec"]["versions"][0]["additionalPrinterColumns"]]
        for kind, crd in crds.items()
    }
    assert shown == {
        "APIServiceExportTemplate": ["Established", "Age"],
        "APIServiceBinding": ["Provider", "Resources", "Ready", "Message", "Age"],
        "APIServiceExport": ["Established", "Age"],
        "APIServiceExportRequest": ["Ready", "Age"],
        "APIServiceNamespace": ["Namespace", "Age"],
        "ClusterBinding": ["Konnector Version", "Last Heartbeat", "Ready", "Age"],
        "AppClusterBinding": ["Ready", "Age"],
    }


async def test_cluster_scoped_bindings(clusters: Playground) -> None:
    """The other scope of bindings, as release 1.5 of the Go programs has it."""
    cluster = await clusters.add(ClusterOptions("kinds-1-5"))
    try:
        await install(cluster, "crds/cluster-scoped")
        target = "/apis/klutch.anynines.com/v1alpha1/apiservicebindings"
        for _ in range(100):
            code, answer = await cluster.request("POST", target, kinds.binding())
            if code != 404:
                break
            await asyncio.sleep(0.05)
        assert code == 201, answer
        answer["spec"]["kubeconfigSecretRef"]["name"] = "other"
        code, answer = await cluster.request("PUT", f"{target}/databases.example.com", answer)
        assert code == 422, json.dumps(answer)
    finally:
        await clusters.remove("kinds-1-5")
