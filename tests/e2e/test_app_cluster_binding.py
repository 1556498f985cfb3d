"""From an AppClusterBinding to objects that are copied (spec 2.4, 9.5): backend and konnector together.

On clusters of its own, each program under the rights that are shipped; the operator only does what the documentation
says. Nobody logs in, and nothing of the product runs on the app cluster.
"""

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest
import pytest_asyncio

from bind_agent.api import keys, meta
from bind_agent.api.encoding import to_base64
from bind_agent.api.meta import Object
from bind_agent.api.resource import (
    APP_CLUSTER_BINDINGS,
    BINDINGS,
    NAMESPACES,
    ROLEBINDINGS,
    SECRETS,
    Resource,
)
from bind_agent.backend import names
from bind_agent.devcluster import ClusterOptions, ControlPlane, Playground
from bind_agent.devcluster.stage import BACKEND_ACCOUNT, BACKEND_NAMESPACE, Stage
from tests.fakes.control_plane import KUBECONFIG, ROOT, ControlPlaneSystem, app_cluster_manifests
from tests.fakes.control_plane_lab import overlay
from tests.fakes.system import admin_client, claim, eventually, secret, thing

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

NAME, HOME = "app1", "default"


@dataclass
class Operator:
    """The operator of the provider.

    Attributes:
        system: both clusters; the konnector is not started yet.
    """

    system: ControlPlaneSystem

    async def put_kubeconfig(self, content: str) -> None:
        """The Secret that the AppClusterBinding names."""
        body = {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": KUBECONFIG, "namespace": HOME},
            "data": {keys.KUBECONFIG: to_base64(content.encode())},
        }
        await self.system.up.apply(SECRETS, body, field_manager="operator")

    async def connect(self, kind: Resource) -> None:
        """Create the AppClusterBinding, and wait until everything is made for it."""
        reader = {
            "apiVersion": ROLEBINDINGS.api_version,
            "kind": ROLEBINDINGS.kind,
            "metadata": {"name": names.APP_CLUSTERS_ROLE, "namespace": HOME},
            "roleRef": {
                "apiGroup": ROLEBINDINGS.group,
                "kind": "ClusterRole",
                "name": names.APP_CLUSTERS_ROLE,
            },
            "subjects": [{"kind": "ServiceAccount", "namespace": BACKEND_NAMESPACE, "name": BACKEND_ACCOUNT}],
        }
        await self.system.up.create(ROLEBINDINGS, reader)
        await self.system.up.create(
            APP_CLUSTER_BINDINGS,
            {
                "apiVersion": APP_CLUSTER_BINDINGS.api_version,
                "kind": APP_CLUSTER_BINDINGS.kind,
                "metadata": {
                    "name": NAME,
                    "namespace": HOME,
                    "annotations": {keys.ACCEPT_CLAIMS: "secrets"},
                },
                "spec": {
                    "kubeconfigSecretRef": {"namespace": HOME, "name": KUBECONFIG, "key": keys.KUBECONFIG},
                    "apiExports": [{"group": kind.group, "resource": kind.plural}],
                },
            },
        )
        await eventually(self.made, what="the AppClusterBinding", timeout=60)

    async def made(self) -> bool:
        """Whether everything is made, while no konnector has made anything work yet."""
        stated = await self._stated()
        assert stated.get("APIsBound") == stated.get("KonnectorDeployed") == "True", stated
        assert (stated["BindingsReady"], stated["Ready"]) == ("Unknown", "True"), stated
        return True

    async def ready(self) -> bool:
        """Whether a konnector has made everything work."""
        stated = await self._stated()
        assert stated.get("Ready") == stated.get("BindingsReady") == "True", stated
        return True

    async def _stated(self) -> dict[str, str]:
        found = await self.system.up.get(APP_CLUSTER_BINDINGS, NAME, namespace=HOME)
        return {one["type"]: one["status"] for one in found.get("status", {}).get("conditions", [])}

    async def allow_on_the_app_cluster(self, name: str) -> None:
        """Give the konnector its rights there, as its people do."""
        printed = await self.system.stage.run(
            "-m",
            "cli.main",
            "konnector",
            "rbac",
            name,
            f"--kubeconfig={self.system.provider.kubeconfig}",
            f"--namespace={ROOT}",
            "--output=json",
        )
        await self.system.stage.apply(self.system.consumer, [json.loads(printed)])


@pytest_asyncio.fixture(loop_scope="session")
async def operator(
    control_plane: ControlPlane, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Operator]:
    """A provider with a backend in control plane mode, and an app cluster."""
    options = [ClusterOptions(name, audit=True) for name in ("provider", "consumer")]
    async with Playground(*options, control_plane=control_plane) as playground:
        stage = Stage(playground, tmp_path_factory.mktemp("operator"))
        provider, consumer = playground["provider"], playground["consumer"]
        await stage.install_backend(provider)
        await stage.apply(provider, overlay())
        await stage.apply(consumer, app_cluster_manifests())
        backend = await stage.backend(provider, "--control-plane-mode")
        up, down = admin_client(provider), admin_client(consumer)
        system = ControlPlaneSystem(stage, provider, consumer, up, down, backend, backend, tenant=ROOT)
        try:
            await backend.start()
            yield Operator(system)
        finally:
            await system.konnector.stop()
            await backend.stop()
            await up.close()
            await down.close()


async def test_connect_use_rotate_disconnect(operator: Operator) -> None:
    system = operator.system
    kind = Resource("operated.example", "v1", "databases", kind="Database")
    service = await system.publish(kind, claims=[claim("secrets", keys.OWNER_PROVIDER)])
    await operator.put_kubeconfig(await system.kubeconfig(anchor="first"))
    await operator.connect(kind)
    system.konnector = await system.stage.control_plane_konnector(system.provider, ROOT, KUBECONFIG)
    await operator.allow_on_the_app_cluster(service.name)
    await system.konnector.start()
    await system.bound(service)
    await eventually(operator.ready, what="the AppClusterBinding to work", timeout=30)

    # An object goes up, a claimed Secret that the policy accepted comes down.
    namespace = await system.namespace("shop")
    await system.down.create(kind, thing(kind, f"{namespace}/one", size=1))
    copy = await system.synced(kind, f"{namespace}/one")
    there = meta.namespace(copy)
    assert there == f"{ROOT}-shop"
    await system.up.create(SECRETS, secret(f"{there}/creds", {"password": "one"}))

    async def arrived(name: str) -> Object | None:
        return await system.down.get_or_none(SECRETS, name, namespace=namespace)

    await eventually(lambda: arrived("creds"), what="the claimed Secret")

    # Another credential in the operator's Secret reaches the konnector, and the old one may end.
    await operator.put_kubeconfig(await system.kubeconfig(anchor="second"))

    async def mirrored() -> bool:
        source = await system.up.get(SECRETS, KUBECONFIG, namespace=HOME)
        mirror = await system.up.get(SECRETS, KUBECONFIG, namespace=ROOT)
        return bool(source["data"] == mirror["data"])

    await eventually(mirrored, what="the rotated kubeconfig in the root namespace")
    await system.down.delete(SECRETS, "first", namespace=keys.CONSUMER_NAMESPACE)
    await system.down.create(kind, thing(kind, f"{namespace}/two", size=2))
    await system.synced(kind, f"{namespace}/two")

    # The end: bindings, root namespace, service namespaces with all copies.
    await system.up.delete(APP_CLUSTER_BINDINGS, NAME, namespace=HOME)

    async def gone() -> bool:
        found = await system.up.get_or_none(APP_CLUSTER_BINDINGS, NAME, namespace=HOME)
        assert found is None, found.get("status")
        return True

    await eventually(gone, what="the end of the AppClusterBinding", timeout=90)
    for left in (ROOT, there):
        assert await system.up.get_or_none(NAMESPACES, left) is None
    assert not (await system.up.list(BINDINGS)).items
