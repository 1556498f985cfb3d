"""A backend that ends in the middle of things, and the next one (design: every step can be repeated)."""

import itertools
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from bind_agent.api import keys, meta
from bind_agent.api.resource import APP_CLUSTER_BINDINGS, BINDINGS, CRDS, ROLES, SECRETS, Resource
from bind_agent.backend.install import CONTROL_PLANE, NotInstalled, prepare
from bind_agent.backend.rights import Rights
from bind_agent.devcluster import Cluster, ClusterOptions, Playground
from bind_agent.devcluster.stage import BACKEND_ACCOUNT, BACKEND_NAMESPACE, Stage
from bind_agent.kube.client import Client
from bind_agent.kube.config import from_kubeconfig
from bind_agent.manifests import load_manifests
from tests.fakes.backend_lab import eventually, lab
from tests.fakes.control_plane_lab import AppCluster, Plane, overlay
from tests.integration.backend.controlplane.conftest import MODE

pytestmark = [pytest.mark.integration, pytest.mark.timeout(180)]


_NUMBERS = itertools.count(1)


@pytest.fixture
async def cluster(clusters: Playground) -> AsyncIterator[Cluster]:
    """A provider of its own; a name is used once, because the data of a cluster outlives its servers."""
    name = f"restart{next(_NUMBERS)}"
    found = await clusters.add(ClusterOptions(name, audit=True))
    try:
        yield found
    finally:
        await clusters.remove(name)


@pytest.fixture
def stage(clusters: Playground, tmp_path_factory: pytest.TempPathFactory) -> Stage:
    """Applies manifests."""
    return Stage(clusters, tmp_path_factory.mktemp("restart"))


async def test_what_happened_meanwhile_is_made_up_for(
    cluster: Cluster, stage: Stage, kind: Resource, unique: Callable[[str], str]
) -> None:
    other = Resource(kind.group, "v1", "queues", kind="Queue")

    @asynccontextmanager
    async def running() -> AsyncIterator[Plane]:
        async with lab(cluster, stage, MODE, overlay=overlay()) as backend:
            yield Plane(backend)

    async with running() as plane:
        await plane.lab.publish(kind)
        await plane.lab.publish(other)
        changed = await plane.ready(unique("changed"), "prod", kind)
        leaving = await plane.ready(unique("leaving"), "prod", kind)
        quiet = await plane.ready(unique("quiet"), "prod", kind, konnector={"deploy": True})
        await plane.hold(BINDINGS, kind.crd_name, leaving.root)
        await leaving.delete()
        await leaving.condition("NamespaceReady", "Deleting")

    # Nobody works now.
    async with Client.open(from_kubeconfig(cluster.kubeconfig), user_agent="admin-in-tests") as admin:
        before = {
            meta.key(one): meta.resource_version(one)
            for one in (await admin.list(BINDINGS, namespace=quiet.root)).items
        }
        await admin.merge_patch(
            BINDINGS, kind.crd_name, {"metadata": {"finalizers": []}}, namespace=leaving.root
        )
        await admin.delete(ROLES, keys.CONTROL_PLANE_CONNECTOR, namespace=changed.root)
        await admin.delete(SECRETS, "app", namespace=changed.root)
        spec = {"apiExports": [{"group": other.group, "resource": other.plural}]}
        await admin.merge_patch(
            APP_CLUSTER_BINDINGS, changed.name, {"spec": spec}, namespace=changed.namespace
        )

    async with running() as plane:
        changed, leaving, quiet = (
            AppCluster(plane.lab, one.namespace, one.name, one.uid) for one in (changed, leaving, quiet)
        )
        await leaving.gone()
        await changed.appears(ROLES, keys.CONTROL_PLANE_CONNECTOR)
        await changed.appears(SECRETS, "app")
        await changed.exported(other)
        await changed.vanishes(BINDINGS, kind.crd_name)

        async def ready() -> bool:
            await changed.made(timeout=1.0)
            return True

        await eventually(ready)
        await quiet.made()
        after = {meta.key(one): meta.resource_version(one) for one in await quiet.all(BINDINGS)}
        assert after == before


async def test_what_is_missing_at_start_is_said(cluster: Cluster, stage: Stage) -> None:
    await stage.install_backend(cluster)
    config = from_kubeconfig(await stage.account_kubeconfig(cluster, BACKEND_NAMESPACE, BACKEND_ACCOUNT))
    async with (
        Client.open(config, user_agent="backend-in-tests") as own,
        Client.open(from_kubeconfig(cluster.kubeconfig), user_agent="admin-in-tests") as admin,
    ):

        async def prepared() -> None:
            await prepare(own, Rights(own), install=False, needs=CONTROL_PLANE)

        with pytest.raises(NotInstalled, match="manifests/backend/control-plane-mode"):
            await prepared()
        await stage.apply(cluster, overlay())
        await prepared()
        # What release 1.5 of the Go programs installs.
        (wide,) = load_manifests("crds/cluster-scoped")
        await admin.delete(CRDS, wide["metadata"]["name"])

        async def gone() -> bool:
            return await admin.get_or_none(CRDS, wide["metadata"]["name"]) is None

        await eventually(gone)
        with pytest.raises(NotInstalled, match="kubectl apply -k manifests/crds"):
            await prepared()
        await admin.create(CRDS, wide)
        with pytest.raises(NotInstalled, match="is cluster-scoped"):
            await prepared()
