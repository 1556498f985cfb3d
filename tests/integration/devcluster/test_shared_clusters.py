"""What every integration test relies on: the shared clusters behave like clusters."""

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bind_agent.devcluster import Cluster, ControlPlane
from tests.fakes.eventually import eventually

pytestmark = pytest.mark.integration

Unique = Callable[[str], str]


async def create(cluster: Cluster, path: str, kind: str, name: str, *, api: str = "v1", **more: Any) -> Any:
    metadata = {"name": name, **more.pop("metadata", {})}
    status, answer = await cluster.request(
        "POST", path, {"apiVersion": api, "kind": kind, "metadata": metadata, **more}
    )
    assert status == 201, answer
    return answer


async def create_namespace(cluster: Cluster, name: str) -> str:
    await create(cluster, "/api/v1/namespaces", "Namespace", name)
    return f"/api/v1/namespaces/{name}"


async def until_status(cluster: Cluster, path: str, wanted: int, *, seconds: float = 40) -> Any:
    answers: list[Any] = []

    async def has_status() -> bool:
        status, answer = await cluster.request("GET", path)
        answers.append(answer)
        return status == wanted

    await eventually(has_status, seconds=seconds)
    return answers[-1]


async def kubectl(programs: ControlPlane, kubeconfig: Path, *arguments: str) -> tuple[int, str]:
    process = await asyncio.create_subprocess_exec(
        programs.kubectl,
        f"--kubeconfig={kubeconfig}",
        *arguments,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await process.communicate()
    return process.returncode or 0, output.decode()


async def test_two_clusters_are_separate(provider: Cluster, consumer: Cluster, unique: Unique) -> None:
    path = await create_namespace(provider, unique("ns"))
    assert (await provider.request("GET", path))[0] == 200
    assert (await consumer.request("GET", path))[0] == 404


async def test_a_deleted_namespace_really_goes(provider: Cluster, unique: Unique) -> None:
    path = await create_namespace(provider, unique("ns"))
    await create(provider, f"{path}/configmaps", "ConfigMap", "c")
    assert (await provider.request("DELETE", path))[0] == 200
    await until_status(provider, path, 404)


async def test_every_namespace_gets_its_service_account_and_root_certificate(
    provider: Cluster, unique: Unique
) -> None:
    path = await create_namespace(provider, unique("ns"))
    await until_status(provider, f"{path}/serviceaccounts/default", 200)
    root = await until_status(provider, f"{path}/configmaps/kube-root-ca.crt", 200)
    assert root["data"]["ca.crt"].strip() == provider.ca_pem.strip()


async def test_a_requested_token_is_its_service_account_and_has_no_rights_of_its_own(
    provider: Cluster, control_plane: ControlPlane, unique: Unique, tmp_path: Path
) -> None:
    name = unique("ns")
    path = await create_namespace(provider, name)
    await create(provider, f"{path}/serviceaccounts", "ServiceAccount", "worker")
    token = await provider.service_account_token(name, "worker", seconds=600)
    kubeconfig = tmp_path / "kubeconfig"
    kubeconfig.write_text(provider.kubeconfig_for(token=token, namespace=name))
    code, output = await kubectl(control_plane, kubeconfig, "auth", "whoami", "-o", "json")
    assert code == 0, output
    assert json.loads(output)["status"]["userInfo"]["username"] == f"system:serviceaccount:{name}:worker"
    code, output = await kubectl(control_plane, kubeconfig, "get", "configmaps")
    assert code == 1
    assert "forbidden" in output
    binding = {
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "view"},
        "subjects": [{"kind": "ServiceAccount", "name": "worker", "namespace": name}],
    }
    rbac = "rbac.authorization.k8s.io/v1"
    await create(
        provider, f"/apis/{rbac}/namespaces/{name}/rolebindings", "RoleBinding", "b", api=rbac, **binding
    )

    async def may() -> bool:
        return (await kubectl(control_plane, kubeconfig, "get", "configmaps"))[0] == 0

    await eventually(may)


async def test_no_token_for_a_service_account_that_does_not_exist(provider: Cluster) -> None:
    with pytest.raises(
        Exception, match=r'no token for service account default/none \(HTTP 404\).*"none" not found'
    ):
        await provider.service_account_token("default", "none")


async def test_a_token_secret_is_filled(provider: Cluster, unique: Unique) -> None:
    path = await create_namespace(provider, unique("ns"))
    await until_status(provider, f"{path}/serviceaccounts/default", 200)
    await create(
        provider,
        f"{path}/secrets",
        "Secret",
        "token",
        type="kubernetes.io/service-account-token",
        metadata={"annotations": {"kubernetes.io/service-account.name": "default"}},
    )

    async def filled() -> bool:
        _, secret = await provider.request("GET", f"{path}/secrets/token")
        return "token" in (secret.get("data") or {})

    await eventually(filled)


async def test_what_is_owned_goes_with_its_owner(provider: Cluster, unique: Unique) -> None:
    path = await create_namespace(provider, unique("ns"))
    owner = await create(provider, f"{path}/configmaps", "ConfigMap", "owner")
    reference = {"apiVersion": "v1", "kind": "ConfigMap", "name": "owner", "uid": owner["metadata"]["uid"]}
    await create(
        provider, f"{path}/configmaps", "ConfigMap", "owned", metadata={"ownerReferences": [reference]}
    )
    assert (await provider.request("DELETE", f"{path}/configmaps/owner"))[0] == 200
    await until_status(provider, f"{path}/configmaps/owned", 404)


async def test_cluster_roles_aggregate(provider: Cluster, unique: Unique) -> None:
    label = unique("agg")
    rbac = "rbac.authorization.k8s.io/v1"
    roles = f"/apis/{rbac}/clusterroles"
    rule = {"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}
    selector = {"clusterRoleSelectors": [{"matchLabels": {label: "yes"}}]}
    await create(provider, roles, "ClusterRole", f"{label}-sum", api=rbac, aggregationRule=selector)
    part = {"metadata": {"labels": {label: "yes"}}, "rules": [rule]}
    await create(provider, roles, "ClusterRole", f"{label}-part", api=rbac, **part)

    async def aggregated() -> bool:
        return (await provider.request("GET", f"{roles}/{label}-sum"))[1].get("rules") == [rule]

    await eventually(aggregated)


async def test_a_user_certificate_is_user_and_groups(
    provider: Cluster, control_plane: ControlPlane, tmp_path: Path
) -> None:
    kubeconfig = tmp_path / "kubeconfig"
    kubeconfig.write_text(provider.user_kubeconfig("jane", ["writers"]))
    _, output = await kubectl(control_plane, kubeconfig, "auth", "whoami", "-o", "json")
    info = json.loads(output)["status"]["userInfo"]
    assert (info["username"], "writers" in info["groups"]) == ("jane", True)


async def test_the_kubeconfig_file_is_private_and_works(
    provider: Cluster, control_plane: ControlPlane
) -> None:
    assert provider.kubeconfig.stat().st_mode & 0o777 == 0o600
    assert provider.kubeconfig.read_text() == provider.kubeconfig_text()
    code, output = await kubectl(control_plane, provider.kubeconfig, "version")
    assert (code, output.count("v1.36")) == (0, 2)


async def test_requests_are_found_in_the_audit_log(consumer: Cluster, unique: Unique) -> None:
    mark = consumer.audit_mark()
    name = unique("ns")
    path = await create_namespace(consumer, name)
    assert (await consumer.request("GET", f"{path}/secrets/none"))[0] == 404
    await asyncio.sleep(0.2)
    mine = [
        (event.verb, event.resource, event.name, event.code)
        for event in consumer.audit_requests(since=mark)
        if event.user == "admin" and name in event.uri + event.name
    ]
    assert mine == [("create", "namespaces", name, 201), ("get", "secrets", "none", 404)]
