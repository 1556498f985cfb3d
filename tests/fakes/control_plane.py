"""Control plane mode on real clusters: one konnector beside the backend, under the roles of a root namespace.

The app cluster gives an account with the shipped roles, and nothing of the product runs on it.
"""

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from bind_agent.api import keys, naming
from bind_agent.api.meta import Object
from bind_agent.api.resource import BINDINGS, CLUSTER_BINDINGS, CLUSTERROLES, EXPORT_REQUESTS, SECRETS
from bind_agent.devcluster import Cluster, Playground
from bind_agent.devcluster.ports import LOOPBACK
from bind_agent.devcluster.stage import BINDER_ACCOUNT, KONNECTOR_NAMESPACE, Stage
from bind_agent.manifests import load_manifests
from tests.fakes.system import Service, System, admin_client, eventually

ROOT = naming.binding_root_namespace("default", "app1")
ACCOUNT = "control-plane-konnector"
KUBECONFIG = "app1-kubeconfig"
LABELS = {
    keys.APP_CLUSTER_BINDING_NAME: "app1",
    keys.APP_CLUSTER_BINDING_NAMESPACE: "default",
}


@dataclass
class ControlPlaneSystem(System):
    """Provider and consumer; ``tenant`` is the root namespace."""

    @property
    def port(self) -> int:
        """Health port of the konnector."""
        return self.stage.ports[ACCOUNT]

    # --- the kubeconfig -------------------------------------------------------------------------------------

    async def kubeconfig(self, anchor: str = "", *, cluster: Cluster | None = None, **changes: str) -> str:
        """A kubeconfig of the account on the app cluster.

        Args:
            anchor: name of a Secret there that the token is bound to, made for it: with the Secret the token ends.
            cluster: another app cluster.
            changes: to the cluster's entry.
        """
        cluster = cluster or self.consumer
        body: dict[str, Any] = {"spec": {"expirationSeconds": 24 * 3600}}
        if anchor:
            path = f"/api/v1/namespaces/{KONNECTOR_NAMESPACE}/secrets"
            code, made = await cluster.request("POST", path, {"metadata": {"name": anchor}})
            assert code == 201, made
            reference = {"kind": "Secret", "apiVersion": "v1", "name": anchor}
            body["spec"]["boundObjectRef"] = {**reference, "uid": made["metadata"]["uid"]}
        path = f"/api/v1/namespaces/{KONNECTOR_NAMESPACE}/serviceaccounts/{ACCOUNT}/token"

        async def issued() -> Any:
            code, answer = await cluster.request("POST", path, body)
            assert code == 201, answer
            return answer

        token = (await eventually(issued, what="a token"))["status"]["token"]
        # Without a namespace in its context: in this mode none is needed (spec 5.6).
        document = yaml.safe_load(cluster.kubeconfig_for(token=token, user=ACCOUNT))
        document["contexts"][0]["context"].pop("namespace", None)
        document["clusters"][0]["cluster"] |= changes
        return yaml.safe_dump(document)

    async def put_kubeconfig(self, content: str) -> None:
        """Have the Secret hold something, as the backend mirrors it."""
        encoded = base64.b64encode(content.encode()).decode()
        manifest = {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": KUBECONFIG, "namespace": self.tenant, "labels": LABELS},
            "data": {keys.KUBECONFIG: encoded},
        }
        await self.up.apply(SECRETS, manifest, field_manager="tests", namespace=self.tenant)

    # --- bindings -------------------------------------------------------------------------------------------

    async def bind(self, service: Service, *options: str, accept: str = "all", timeout: float = 60.0) -> str:
        """Bind as an operator does: request and binding on the control plane, the role on the app cluster."""
        assert not options, "there is no command line here"
        group, plural = service.resource.group, service.resource.plural
        requested = {"group": group, "resource": plural, "permissionClaims": list(service.claims)}
        request = {
            "apiVersion": keys.API_VERSION,
            "kind": keys.KIND_EXPORT_REQUEST,
            "metadata": {"name": service.name, "namespace": self.tenant, "labels": LABELS},
            "spec": {"resources": [requested]},
        }
        await self.up.create(EXPORT_REQUESTS, request)
        state = "Accepted" if accept == "all" else "Rejected"
        binding = {
            "apiVersion": keys.API_VERSION,
            "kind": keys.KIND_BINDING,
            "metadata": {"name": service.name, "namespace": self.tenant, "labels": LABELS},
            "spec": {
                "kubeconfigSecretRef": {"namespace": self.tenant, "name": KUBECONFIG, "key": keys.KUBECONFIG},
                "permissionClaims": [{**claim, "state": state} for claim in service.claims],
            },
        }
        # The konnector follows the binding at once, the role comes a moment later.
        kinds = {claim["resource"] for claim in service.claims}
        async with self.refusals(self.consumer, group, *kinds):
            await self.up.create(BINDINGS, binding)
            printed = await self.stage.run(
                "-m",
                "cli.main",
                "konnector",
                "rbac",
                service.name,
                f"--kubeconfig={self.provider.kubeconfig}",
                f"--namespace={self.tenant}",
                "--output=json",
                timeout=timeout,
            )
            await self.stage.apply(self.consumer, [json.loads(printed)])
            await eventually(lambda: self._granted_there(group), what="the role in force", timeout=60)
            await self.bound(service)
        return printed

    async def _granted_there(self, group: str) -> bool:
        """Whether the control plane of the app cluster has added the binding's role to the konnector's."""
        role = await self.down.get(CLUSTERROLES, keys.KONNECTOR_ROLE)
        return any(group in rule.get("apiGroups", ()) for rule in role.get("rules") or ())

    async def binding(self, service: Service) -> Object:
        """The binding as it is."""
        return await self.up.get(BINDINGS, service.name, namespace=self.tenant)

    async def condition(self, service: Service, kind: str) -> Object:
        """A condition of a binding, empty while it is missing."""
        binding = await self.up.get_or_none(BINDINGS, service.name, namespace=self.tenant) or {}
        entries = binding.get("status", {}).get("conditions", [])
        return next((dict(entry) for entry in entries if entry["type"] == kind), {})

    async def bound(self, service: Service) -> Object:
        """Wait until a binding is ready and its kind served on the app cluster."""

        async def ready() -> Object | None:
            binding = await self.binding(service)
            found = {c["type"]: c for c in binding.get("status", {}).get("conditions", [])}
            assert found.get("Ready", {}).get("status") == "True", found
            return binding

        return await eventually(ready, what=f"binding {service.name} ready", timeout=90)

    # --- the konnector --------------------------------------------------------------------------------------

    async def health(self, path: str) -> tuple[int, dict[str, str]]:
        """Status and checks of ``/readyz`` or ``/healthz``."""
        reader, writer = await asyncio.open_connection(LOOPBACK, self.port)
        try:
            writer.write(f"GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n".encode())
            await writer.drain()
            head, _, body = (await reader.read()).partition(b"\r\n\r\n")
            return int(head.split()[1]), json.loads(body)
        finally:
            writer.close()

    def log(self) -> str:
        """What the konnector has logged so far, all its lives together."""
        return (self.stage.folder / f"{ACCOUNT}.log").read_text(encoding="utf-8")


@asynccontextmanager
async def control_plane_system(
    playground: Playground, folder: Path, *, konnector_flags: Sequence[str] = ()
) -> AsyncIterator[ControlPlaneSystem]:
    """Install and start everything: backend, root namespace, the app cluster's account, the konnector.

    Args:
        playground: running clusters ``provider`` and ``consumer``.
        folder: private folder for kubeconfigs.
        konnector_flags: further flags of the konnector.
    """
    stage = Stage(playground, folder)
    provider, consumer = playground["provider"], playground["consumer"]
    await stage.install_backend(provider)
    backend = await stage.backend(provider)
    await backend.start()
    await stage.apply(provider, root_namespace(ROOT))
    await stage.apply(consumer, load_manifests("konnector/base") + load_manifests("konnector/app-cluster"))
    konnector = await stage.control_plane_konnector(provider, ROOT, KUBECONFIG, *konnector_flags)
    up, down = admin_client(provider), admin_client(consumer)
    system = ControlPlaneSystem(stage, provider, consumer, up, down, backend, konnector, tenant=ROOT)
    try:
        await granted(system)
        await system.put_kubeconfig(await system.kubeconfig())
        await konnector.start()
        yield system
    finally:
        await konnector.stop()
        await backend.stop()
        await up.close()
        await down.close()


def app_cluster_manifests() -> list[Object]:
    """What ``kubectl apply -k manifests/konnector/app-cluster`` applies."""
    return load_manifests("konnector/base") + load_manifests("konnector/app-cluster")


async def granted(system: System) -> None:
    """Wait until the backend has given the root namespace its rights."""

    async def done() -> bool:
        found = await system.up.get(CLUSTER_BINDINGS, keys.CLUSTER_BINDING_NAME, namespace=ROOT)
        stated = {c["type"]: c["status"] for c in found.get("status", {}).get("conditions", [])}
        assert stated.get("AccessGranted") == "True", stated
        return True

    await eventually(done, what="rights of the root namespace")


def root_namespace(root: str) -> list[Object]:
    """What a root namespace consists of (spec 5.3, steps 2 and 3)."""
    leases = ["get", "list", "watch", "create", "update", "patch", "delete"]
    metadata = {"namespace": root, "labels": LABELS}
    return [
        {
            "apiVersion": "v1",
            "kind": "Namespace",
            "metadata": {"name": root, "annotations": {keys.IDENTITY: "tests#app1"}},
        },
        {
            "apiVersion": "v1",
            "kind": "ServiceAccount",
            "metadata": {**metadata, "name": BINDER_ACCOUNT},
        },
        {
            "apiVersion": keys.API_VERSION,
            "kind": keys.KIND_CLUSTER_BINDING,
            "metadata": {**metadata, "name": keys.CLUSTER_BINDING_NAME},
            "spec": {
                "providerPrettyName": "Control Plane",
                "kubeconfigSecretRef": {"name": keys.KUBECONFIG, "key": keys.KUBECONFIG},
            },
        },
        {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "Role",
            "metadata": {**metadata, "name": keys.CONTROL_PLANE_CONNECTOR},
            "rules": [
                {"apiGroups": [keys.GROUP], "resources": ["apiservicebindings"], "verbs": leases},
                {
                    "apiGroups": [keys.GROUP],
                    "resources": ["apiservicebindings/status"],
                    "verbs": ["patch", "update"],
                },
                {"apiGroups": ["coordination.k8s.io"], "resources": ["leases"], "verbs": leases},
            ],
        },
        {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "RoleBinding",
            "metadata": {**metadata, "name": keys.CONTROL_PLANE_CONNECTOR},
            "roleRef": {
                "apiGroup": "rbac.authorization.k8s.io",
                "kind": "Role",
                "name": keys.CONTROL_PLANE_CONNECTOR,
            },
            "subjects": [{"kind": "ServiceAccount", "name": BINDER_ACCOUNT, "namespace": root}],
        },
    ]
