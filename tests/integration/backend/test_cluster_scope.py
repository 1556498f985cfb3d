"""Scope Cluster: exported kinds in all namespaces, claimed kinds in the tenant's own; and installing."""

from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
import pytest_asyncio

from bind_agent.api import keys
from bind_agent.api.resource import (
    CLUSTERROLEBINDINGS,
    CLUSTERROLES,
    CRDS,
    EXPORTS,
    NAMESPACES,
    SECRETS,
    Resource,
)
from bind_agent.backend import access, names
from bind_agent.backend.install import NotInstalled, prepare
from bind_agent.backend.rights import Rights
from bind_agent.devcluster import Cluster, ClusterOptions, Playground
from bind_agent.devcluster.stage import Stage
from bind_agent.kube.client import Client
from bind_agent.kube.config import from_kubeconfig
from bind_agent.kube.errors import Forbidden
from bind_agent.manifests import load_manifests
from tests.fakes.backend_lab import Lab, claim, eventually, lab
from tests.integration.backend.conftest import QUICK

pytestmark = pytest.mark.integration


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def empty(clusters: Playground) -> AsyncIterator[Cluster]:
    """A cluster without anything of ours."""
    yield await clusters.add(ClusterOptions("wide", audit=True))
    await clusters.remove("wide")


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


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def wide(
    clusters: Playground, empty: Cluster, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Lab]:
    """A backend in scope Cluster."""
    stage = Stage(clusters, tmp_path_factory.mktemp("wide"))
    overlay = load_manifests("backend/cluster-scope")
    async with lab(empty, stage, replace(QUICK, consumer_scope="Cluster"), overlay=overlay) as running:
        yield running


async def _may(client: Client, verb: str, resource: Resource, namespace: str = "") -> bool:
    review = await client.can_i(
        verb=verb, group=resource.group, resource=resource.plural, namespace=namespace
    )
    return review.allowed


async def test_exported_kinds_everywhere_claimed_kinds_at_home(wide: Lab, kind: Resource) -> None:
    party = await wide.join("wide")
    await wide.publish(kind, claim("secrets"))
    await wide.bind(party, kind)
    export = await wide.export(party, kind)
    assert export is not None
    assert export["spec"]["informerScope"] == "Cluster"
    home = await wide.mapping(party, "team")

    async def granted() -> bool:
        return await _may(party.client, "list", kind) and await _may(party.client, "list", SECRETS, home)

    await eventually(granted)
    for namespace in ("", "kube-system", "default"):
        assert not await _may(party.client, "list", SECRETS, namespace)


async def test_cluster_scoped_kinds(wide: Lab, kind: Resource) -> None:
    scoped = kind.scoped(namespaced=False)
    party = await wide.join("scoped")
    await wide.publish(scoped)
    await wide.bind(party, scoped)
    export = await wide.export(party, scoped)
    assert export is not None
    assert export["spec"]["clusterScopedIsolation"] == "Prefixed"

    async def granted() -> bool:
        return await _may(party.client, "create", scoped)

    await eventually(granted)
    # With the last such export the cluster-wide grant goes.
    await wide.admin.delete(CRDS, scoped.crd_name)
    await wide.gone(CLUSTERROLEBINDINGS, keys.dynamic_role(party.namespace))


async def test_the_grant_of_a_go_backend_is_replaced(wide: Lab, kind: Resource) -> None:
    """Go binds everything, claimed Secrets included, in all namespaces (W-B1, W-S10)."""
    party = await wide.join("gopher")
    await wide.publish(kind, claim("secrets"))
    namespace = await wide.admin.get(NAMESPACES, party.namespace)
    theirs = access.cluster_wide_binding(namespace)
    theirs["roleRef"]["name"] = keys.dynamic_role(party.namespace)
    del theirs["metadata"]["labels"]
    await wide.admin.create(CLUSTERROLEBINDINGS, theirs)
    await wide.bind(party, kind)

    async def replaced() -> bool:
        found = await wide.admin.get(CLUSTERROLEBINDINGS, keys.dynamic_role(party.namespace))
        return bool(found["roleRef"]["name"] == names.cluster_wide_role(party.namespace))

    await eventually(replaced)
    assert not await _may(party.client, "list", SECRETS)


async def test_a_leftover_without_a_cluster_wide_export_is_removed(wide: Lab) -> None:
    who = "leftover"
    party = await wide.join(who)
    namespace = await wide.admin.get(NAMESPACES, party.namespace)
    theirs = access.cluster_wide_binding(namespace)
    theirs["roleRef"]["name"] = keys.dynamic_role(party.namespace)
    await wide.admin.create(CLUSTERROLEBINDINGS, theirs)
    await wide.gone(CLUSTERROLEBINDINGS, keys.dynamic_role(party.namespace))


async def test_a_role_of_somebody_else_is_not_taken(wide: Lab) -> None:
    party = await wide.join("owner")
    name = keys.dynamic_role(party.namespace)

    async def made() -> bool:
        return await wide.admin.get_or_none(CLUSTERROLES, name) is not None

    await eventually(made)
    role = await wide.admin.get(CLUSTERROLES, name)
    role["metadata"]["ownerReferences"] = None
    role["rules"] = [{"apiGroups": [""], "resources": ["events"], "verbs": ["create"]}]
    await wide.admin.replace(CLUSTERROLES, role)
    await wide.condition(
        party,
        Resource("klutch.anynines.com", "v1alpha1", "clusterbindings"),
        "cluster",
        "AccessGranted",
        "NameTaken",
    )
    assert (await wide.admin.get(CLUSTERROLES, name))["rules"] == role["rules"]
