"""What a backend installs, and what it only checks."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from bind_agent.api import keys
from bind_agent.api.resource import BINDINGS, CLUSTERROLES, CRDS, EXPORTS
from bind_agent.backend.install import CONTROL_PLANE, NotInstalled, prepare
from bind_agent.backend.rights import Rights
from bind_agent.devcluster import Cluster, ClusterOptions, Playground
from bind_agent.kube.client import Client
from bind_agent.kube.config import from_kubeconfig
from bind_agent.kube.errors import Forbidden
from bind_agent.manifests import load_manifests
from tests.fakes.backend_lab import eventually

pytestmark = pytest.mark.integration


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def empty(clusters: Playground) -> AsyncIterator[Cluster]:
    """A cluster without anything of ours."""
    yield await clusters.add(ClusterOptions("empty", audit=True))
    await clusters.remove("empty")


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def older(clusters: Playground) -> AsyncIterator[Cluster]:
    """A cluster with the CRDs and roles of a Go backend or an earlier release."""
    cluster = await clusters.add(ClusterOptions("older"))
    async with Client.open(from_kubeconfig(cluster.kubeconfig), user_agent="admin-in-tests") as client:
        for folder in ("crds", "backend", "backend/control-plane-mode"):
            for one in load_manifests(folder):
                if one["kind"] in {CRDS.kind, CLUSTERROLES.kind}:
                    resource = CRDS if one["kind"] == CRDS.kind else CLUSTERROLES
                    await client.apply(resource, one, field_manager="platform")
    yield cluster
    await clusters.remove("older")


async def test_missing_crds_are_named_and_installed_when_allowed(empty: Cluster) -> None:
    config = from_kubeconfig(empty.kubeconfig)
    async with Client.open(config, user_agent="admin-in-tests") as client:
        with pytest.raises(NotInstalled, match="kubectl apply -k manifests/crds") as refusal:
            await prepare(client, Rights(client), install=False)
        assert "clusterbindings.klutch.anynines.com" in str(refusal.value)
        await prepare(client, Rights(client), install=True)
        # The second time there is nothing to write.
        mark = empty.audit_mark()
        await prepare(client, Rights(client), install=True)
        writes = [
            one.uri
            for one in empty.audit_requests(since=mark)
            if one.user_agent == "admin-in-tests" and one.verb in {"update", "patch", "delete"}
        ]
        assert writes == []
        # An old CRD and a changed role are brought up to date.
        crd = await client.get(CRDS, EXPORTS.crd_name)
        crd["spec"]["versions"][0]["additionalPrinterColumns"] = []
        await client.replace(CRDS, crd)
        role = await client.get(CLUSTERROLES, keys.BINDER)
        await client.replace(CLUSTERROLES, {**role, "rules": []})
        await prepare(client, Rights(client), install=True)
        assert (await client.get(CLUSTERROLES, keys.BINDER))["rules"]
        assert (await client.get(CRDS, EXPORTS.crd_name))["spec"]["versions"][0]["additionalPrinterColumns"]
        await client.delete(CLUSTERROLES, keys.BINDER)
    account = empty.user_kubeconfig("somebody", ["readers"])
    async with Client.open(from_kubeconfig(account), user_agent="reader-in-tests") as client:
        with pytest.raises(Forbidden):
            await prepare(client, Rights(client), install=True)


@pytest.mark.parametrize("install", [False, True])
async def test_control_plane_mode_needs_namespaced_bindings(older: Cluster, install: bool) -> None:
    """The CRD of release 1.5 is cluster-scoped, which no update changes; without the mode it is in nobody's way."""
    (wide,) = load_manifests("crds/cluster-scoped")
    async with Client.open(from_kubeconfig(older.kubeconfig), user_agent="admin-in-tests") as client:

        async def absent() -> bool:
            return await client.get_or_none(CRDS, BINDINGS.crd_name) is None

        await client.delete(CRDS, BINDINGS.crd_name)
        await eventually(absent)
        await client.create(CRDS, wide)
        with pytest.raises(NotInstalled, match="is cluster-scoped, as release"):
            await prepare(client, Rights(client), install=install, needs=CONTROL_PLANE)
        await prepare(client, Rights(client), install=install)
        await client.delete(CRDS, BINDINGS.crd_name)
        await eventually(absent)
        (narrow,) = [one for one in load_manifests("crds") if one["metadata"]["name"] == BINDINGS.crd_name]
        await client.create(CRDS, narrow)
        await prepare(client, Rights(client), install=install, needs=CONTROL_PLANE)
