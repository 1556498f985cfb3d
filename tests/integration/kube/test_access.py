"""Who we are on a real API server: tokens, certificates, plugins, rights; and what it serves."""

import base64
from collections.abc import Callable
from pathlib import Path

import orjson
import pytest
import yaml

from bind_agent.api.resource import CONFIGMAPS, SECRETS, SERVICEACCOUNTS, Resource
from bind_agent.devcluster import Cluster
from bind_agent.kube import errors
from bind_agent.kube.client import Client
from bind_agent.kube.config import ClusterConfig, from_kubeconfig
from bind_agent.kube.intake import accept_kubeconfig

pytestmark = pytest.mark.integration

REVIEWS = Resource("authentication.k8s.io", "v1", "selfsubjectreviews", namespaced=False)


async def who_am_i(client: Client) -> str:
    body = {"apiVersion": REVIEWS.api_version, "kind": "SelfSubjectReview", "metadata": {}}
    answer = await client.create(REVIEWS, body)
    name: str = answer["status"]["userInfo"]["username"]
    return name


async def service_account(client: Client, namespace: str) -> str:
    body = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "sa"}}
    await client.create(SERVICEACCOUNTS, body, namespace=namespace)
    answer = await client.create_token(namespace, "sa", expiration_seconds=600)
    token: str = answer["status"]["token"]
    return token


async def test_token_of_a_service_account(client: Client, provider: Cluster, namespace: str) -> None:
    token = await service_account(client, namespace)
    text = provider.kubeconfig_for(token=token, namespace=namespace, user="sa")
    taken = accept_kubeconfig(text.encode() if isinstance(text, str) else text, allow_loopback=True)
    async with Client.open(taken.config(), user_agent="test") as other:
        assert await who_am_i(other) == f"system:serviceaccount:{namespace}:sa"
        assert not (await other.can_i(verb="list", group="", resource="secrets", namespace=namespace)).allowed
        with pytest.raises(errors.Forbidden) as caught:
            await other.list(SECRETS, namespace=namespace)
        assert caught.value.reason == "Forbidden"
        with pytest.raises(errors.Forbidden):
            await anext(other.watch(SECRETS, namespace=namespace))


async def test_admin_may(client: Client) -> None:
    assert (await client.can_i(verb="*", group="*", resource="*")).allowed


async def test_client_certificate_inline_and_as_files(provider: Cluster, tmp_path: Path) -> None:
    text = provider.user_kubeconfig("jane", ["readers"], namespace="default")
    document = yaml.safe_load(text)
    config = from_kubeconfig(document)
    assert config.credential.certificate
    async with Client.open(config, user_agent="test") as client:
        assert await who_am_i(client) == "jane"
    user = document["users"][0]["user"]
    for name in ("client-certificate", "client-key"):
        (tmp_path / name).write_bytes(base64.b64decode(user.pop(f"{name}-data")))
        user[name] = name
    (tmp_path / "config").write_text(yaml.safe_dump(document))
    config = from_kubeconfig(tmp_path / "config")
    async with Client.open(config, user_agent="test") as client:
        assert await who_am_i(client) == "jane"


def plugin_config(cluster: Cluster, folder: Path, status: dict[str, str]) -> ClusterConfig:
    answer = {"apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential", "status": status}
    (folder / "answer").write_bytes(orjson.dumps(answer))
    script = folder / "login"
    script.write_text(f"#!/bin/sh\nexec cat {folder}/answer\n")
    script.chmod(0o755)
    document = yaml.safe_load(cluster.kubeconfig_text())
    document["users"][0]["user"] = {
        "exec": {
            "apiVersion": "client.authentication.k8s.io/v1",
            "command": "./login",
            "interactiveMode": "Never",
        }
    }
    (folder / "config").write_text(yaml.safe_dump(document))
    return from_kubeconfig(folder / "config")


async def test_plugin_gives_a_token(
    client: Client, provider: Cluster, namespace: str, tmp_path: Path
) -> None:
    token = await service_account(client, namespace)
    config = plugin_config(provider, tmp_path, {"token": token})
    async with Client.open(config, user_agent="test") as other:
        assert await who_am_i(other) == f"system:serviceaccount:{namespace}:sa"


async def test_plugin_gives_a_certificate_that_expires(provider: Cluster, tmp_path: Path) -> None:
    def certificate(user: str) -> dict[str, str]:
        entry = yaml.safe_load(provider.user_kubeconfig(user, []))["users"][0]["user"]
        return {
            "clientCertificateData": base64.b64decode(entry["client-certificate-data"]).decode(),
            "clientKeyData": base64.b64decode(entry["client-key-data"]).decode(),
            # Long past, so that the plugin is asked again about once a second.
            "expirationTimestamp": "2020-01-01T00:00:00Z",
        }

    config = plugin_config(provider, tmp_path, certificate("early"))
    async with Client.open(config, user_agent="test") as client:
        assert await who_am_i(client) == "early"
        plugin_config(provider, tmp_path, certificate("late"))
        import asyncio

        await asyncio.sleep(1.2)
        assert await who_am_i(client) == "late"


async def test_wrong_authority_and_wrong_name_are_refused(provider: Cluster, consumer: Cluster) -> None:
    from dataclasses import replace

    config = from_kubeconfig(provider.kubeconfig)
    assert consumer.ca_pem
    other = from_kubeconfig(consumer.kubeconfig)
    for broken in (replace(config, ca_pem=other.ca_pem), replace(config, tls_server_name="wrong.example")):
        async with Client.open(broken, user_agent="test") as client:
            with pytest.raises(errors.ConnectionFailed, match="certificate"):
                await client.raw_get("/version")
    insecure = replace(config, ca_pem=None, insecure_skip_tls_verify=True)
    async with Client.open(insecure, user_agent="test") as client:
        assert await client.raw_get("/version")


async def test_wrong_token_is_unauthorized(provider: Cluster) -> None:
    config = from_kubeconfig(
        yaml.safe_load(provider.kubeconfig_for(token="wrong", namespace="default", user="nobody"))
    )
    async with Client.open(config, user_agent="test") as client:
        with pytest.raises(errors.Unauthorized):
            await client.get(CONFIGMAPS, "x", namespace="default")
        with pytest.raises(errors.Unauthorized):
            await anext(client.watch(CONFIGMAPS, namespace="default"))


async def test_discovery_knows_what_is_served(client: Client, widgets: Resource) -> None:
    assert widgets.kind == "Widget"
    assert widgets.namespaced
    described = await client.discovery.describe(widgets.group, "widgets")
    assert described is not None
    assert described.subresources == {"status"}
    assert {"create", "patch", "watch"} <= described.verbs
    assert await client.discovery.served(widgets)
    assert not await client.discovery.served(widgets.at("v7"))
    assert not await client.discovery.served(widgets.scoped(namespaced=False))
    pods = await client.discovery.find("", "pods")
    assert pods == Resource("", "v1", "pods", namespaced=True, kind="Pod")
    assert await client.discovery.find("", "absent") is None
    assert await client.discovery.find("absent.example", "widgets") is None
    deployments = await client.discovery.find("apps", "deployments", "v1")
    assert deployments is not None
    assert deployments.kind == "Deployment"


async def test_discovery_costs_nothing_when_known(client: Client, provider: Cluster) -> None:
    await client.discovery.find("", "pods")
    mark = provider.audit_mark()
    for _ in range(5):
        await client.discovery.find("", "secrets")
    ours = [e for e in provider.audit_requests(since=mark) if e.user_agent.startswith("bind-agent-test")]
    assert ours == []


async def test_names_of_tests_are_free(unique: Callable[[str], str]) -> None:
    assert unique("a") != unique("a")
