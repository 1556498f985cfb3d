"""A backend that ends in the middle of things, and the next one (design: every step can be repeated)."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from bind_agent.api import keys, meta
from bind_agent.api.resource import APP_CLUSTER_BINDINGS, BINDINGS, ROLES, SECRETS, Resource
from bind_agent.devcluster import Cluster, ClusterOptions, Playground
from bind_agent.devcluster.stage import Stage
from bind_agent.kube.client import Client
from bind_agent.kube.config import from_kubeconfig
from tests.fakes.backend_lab import eventually, lab
from tests.fakes.control_plane_lab import AppCluster, Plane, overlay
from tests.integration.backend.controlplane.conftest import MODE

pytestmark = [pytest.mark.integration, pytest.mark.timeout(180)]


@pytest.fixture
async def cluster(clusters: Playground) -> AsyncIterator[Cluster]:
    """A provider of its own."""
    found = await clusters.add(ClusterOptions("restart", audit=True))
    try:
        yield found
    finally:
        await clusters.remove("restart")


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
            await changed.condition("Ready", timeout=1.0)
            return True

        await eventually(ready)
        await quiet.condition("Ready")
        after = {meta.key(one): meta.resource_version(one) for one in await quiet.all(BINDINGS)}
        assert after == before
