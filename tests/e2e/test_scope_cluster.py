"""Scope Cluster, from a published kind to its copies: backend and konnector together (spec 9.2).

On clusters of its own, with the roles of the overlay for this scope; the other tests here run in scope Namespaced.
"""

from collections.abc import AsyncIterator, Callable

import pytest
import pytest_asyncio

from bind_agent.api import keys, meta
from bind_agent.api.resource import EXPORTS, NAMESPACES, SECRETS, Resource
from bind_agent.devcluster import ClusterOptions, ControlPlane, Playground
from bind_agent.devcluster.stage import Stage
from bind_agent.kube.client import Client
from bind_agent.kube.config import from_kubeconfig
from bind_agent.kube.errors import Forbidden
from bind_agent.manifests import load_manifests
from tests.fakes.system import Service, System, claim, eventually, secret, start_system, stop_system, thing

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180)]

Unique = Callable[[str], str]


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def wide(
    control_plane: ControlPlane, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[System]:
    """The system with a backend in scope Cluster."""
    options = [ClusterOptions(name, audit=True) for name in ("provider", "consumer")]
    async with Playground(*options, control_plane=control_plane) as playground:
        folder = tmp_path_factory.mktemp("wide")
        stage = Stage(playground, folder)
        await stage.apply(playground["provider"], load_manifests("backend/cluster-scope"))
        running = await start_system(playground, folder, backend_flags=["--consumer-scope=Cluster"])
        try:
            yield running
        finally:
            await stop_system(running)


async def life(system: System, service: Service, key: str) -> meta.Object:
    """Up, status down, drift, a deleted copy, deletion; returns the first copy."""
    resource = service.resource
    namespace, name = meta.split_key(key)
    here = namespace or None
    await system.down.create(resource, thing(resource, key, size=1))
    first = await system.synced(resource, key)
    there, copy = meta.namespace(first) or None, meta.name(first)
    assert first["spec"] == {"size": 1}
    status = {"status": {"phase": "Ready"}}
    await system.up.merge_patch(resource, copy, status, namespace=there, subresource="status")

    async def told() -> bool:
        found = await system.down.get(resource, name, namespace=here)
        return bool(found.get("status") == status["status"])

    await eventually(told, what="the status")
    await system.down.merge_patch(resource, name, {"spec": {"size": 2}}, namespace=here)

    async def followed() -> bool:
        found = await system.up.get(resource, copy, namespace=there)
        return bool(found["spec"] == {"size": 2})

    await eventually(followed, what="the change")
    await system.up.merge_patch(resource, copy, {"spec": {"size": 9}}, namespace=there)
    await eventually(followed, what="the drift repaired")
    await system.up.delete(resource, copy, namespace=there)

    async def again() -> bool:
        found = await system.up.get_or_none(resource, copy, namespace=there)
        return found is not None and meta.uid(found) != meta.uid(first)

    await eventually(again, what="the copy made again")
    await system.down.delete(resource, name, namespace=here)
    await system.gone(system.down, resource, key)
    assert await system.up.get_or_none(resource, copy, namespace=there) is None
    return first


async def test_namespaced_objects_in_scope_cluster(wide: System, unique: Unique) -> None:
    service = await wide.publish(
        Resource("wide.example", "v1", "databases", kind="Database"),
        claims=[claim("secrets", keys.OWNER_PROVIDER)],
    )
    await wide.bind(service)
    export = await wide.up.get(EXPORTS, service.name, namespace=wide.tenant)
    assert export["spec"]["informerScope"] == "Cluster"
    namespace = await wide.namespace(unique("wide"))
    copy = await life(wide, service, f"{namespace}/one")
    assert meta.namespace(copy) == f"{wide.tenant}-{namespace}"
    # What another tenant has in a namespace of its own is seen by the konnector, and nobody's business here.
    foreign = unique("foreign")
    await wide.up.create(NAMESPACES, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": foreign}})
    await wide.up.create(service.resource, thing(service.resource, f"{foreign}/theirs", size=7))
    # The claimed kind is reached in the tenant's own namespaces.
    await wide.down.create(service.resource, thing(service.resource, f"{namespace}/two", size=1))
    there = meta.namespace(await wide.synced(service.resource, f"{namespace}/two"))
    await wide.up.create(SECRETS, secret(f"{there}/creds", {"password": "one"}))
    await eventually(
        lambda: wide.down.get_or_none(SECRETS, "creds", namespace=namespace), what="the claimed Secret"
    )
    theirs = await wide.up.get(service.resource, "theirs", namespace=foreign)
    assert (theirs["spec"], meta.annotations(theirs)) == ({"size": 7}, {})
    assert [meta.name(one) for one in (await wide.down.list(service.resource)).items] == ["two"]


async def test_cluster_scoped_objects_live_under_the_tenants_prefix(wide: System, unique: Unique) -> None:
    service = await wide.publish(Resource("wide.example", "v1", "foos", namespaced=False, kind="Foo"))
    await wide.bind(service)
    export = await wide.up.get(EXPORTS, service.name, namespace=wide.tenant)
    assert export["spec"]["clusterScopedIsolation"] == "Prefixed"
    other = await wide.up.create(service.resource, thing(service.resource, "others-test", size=3))
    copy = await life(wide, service, "test")
    assert meta.name(copy) == f"{wide.tenant}-test"
    assert meta.annotation(copy, keys.CLUSTER_NAMESPACE) == wide.tenant
    assert [one["name"] for one in meta.owner_references(copy)] == [wide.tenant]
    after = await wide.up.get(service.resource, "others-test")
    assert meta.resource_version(after) == meta.resource_version(other)
    assert (await wide.down.list(service.resource)).items == []


async def test_the_tenants_account_writes_under_its_prefix_only(wide: System) -> None:
    """Admission holds what RBAC cannot (W-S10)."""
    service = await wide.publish(Resource("wide.example", "v1", "bars", namespaced=False, kind="Bar"))
    await wide.bind(service)

    async with Client.open(from_kubeconfig(wide.remote_kubeconfig), user_agent="thief-in-tests") as thief:
        with pytest.raises(Forbidden):
            await thief.create(service.resource, thing(service.resource, "others-name", size=1))
        with pytest.raises(Forbidden):
            await thief.list(SECRETS, namespace="kube-system")
