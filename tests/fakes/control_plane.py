"""Control plane mode on real clusters: backend, AppClusterBinding, and a konnector under the root namespace's roles.

The app cluster gives an account with the shipped roles, and nothing of the product runs on it. The konnector is a
process and not a Deployment (a playground has no nodes), with the account and the arguments of the Deployment.
"""

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from bind_agent.api import keys, naming
from bind_agent.api.meta import Object
from bind_agent.api.resource import (
    APP_CLUSTER_BINDINGS,
    BINDINGS,
    CLUSTER_BINDINGS,
    CLUSTERROLES,
    ROLEBINDINGS,
    SECRETS,
)
from bind_agent.backend import names
from bind_agent.devcluster import Cluster, Playground
from bind_agent.devcluster.ports import LOOPBACK
from bind_agent.devcluster.stage import BACKEND_ACCOUNT, BACKEND_NAMESPACE, KONNECTOR_NAMESPACE, Stage
from bind_agent.manifests import load_manifests
from tests.fakes.control_plane_lab import binding_of, overlay
from tests.fakes.system import Service, System, admin_client, eventually

PLACE = "default"
NAME = "app1"
ROOT = naming.binding_root_namespace(PLACE, NAME)
ACCOUNT = "control-plane-konnector"
KUBECONFIG = "app"


@dataclass
class ControlPlaneSystem(System):
    """Provider and consumer; ``tenant`` is the root namespace."""

    wanted: list[dict[str, str]] = field(default_factory=list)
    """``spec.apiExports`` of the AppClusterBinding."""

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
        """Give the AppClusterBinding a kubeconfig; the backend brings it into the root namespace."""
        await self.up.apply(SECRETS, _secret(PLACE, content), field_manager="operator", namespace=PLACE)

    async def break_mirror(self, content: str | None) -> None:
        """Have the konnector find something else there, or nothing; a backend that runs puts it right."""
        if content is None:
            await self.up.delete(SECRETS, KUBECONFIG, namespace=self.tenant)
        else:
            await self.up.apply(
                SECRETS, _secret(self.tenant, content), field_manager="accident", namespace=self.tenant
            )

    # --- bindings -------------------------------------------------------------------------------------------

    async def bind(self, service: Service, *options: str, accept: str = "all", timeout: float = 60.0) -> str:
        """Bind as an operator does: one more API in the AppClusterBinding, and its role on the app cluster.

        Args:
            service: a published kind.
            options: there are none in this mode.
            accept: claims are accepted by the AppClusterBinding's policy.
            timeout: seconds for the command that prints the role.
        """
        assert not options
        assert accept == "all"
        group = service.resource.group
        self.wanted.append({"group": group, "resource": service.resource.plural})
        # The konnector follows the binding at once, the role comes a moment later.
        kinds = {claim["resource"] for claim in service.claims}
        async with self.refusals(self.consumer, group, *kinds):
            patch = {"spec": {"apiExports": self.wanted}}
            await self.up.merge_patch(APP_CLUSTER_BINDINGS, NAME, patch, namespace=PLACE)
            await eventually(lambda: self._binding(service), what=f"binding {service.name}", timeout=60)
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

    async def _binding(self, service: Service) -> Object | None:
        return await self.up.get_or_none(BINDINGS, service.name, namespace=self.tenant)

    async def _granted_there(self, group: str) -> bool:
        """Whether the control plane of the app cluster has added the binding's role to the konnector's."""
        role = await self.down.get(CLUSTERROLES, keys.KONNECTOR_ROLE)
        return any(group in rule.get("apiGroups", ()) for rule in role.get("rules") or ())

    async def binding(self, service: Service) -> Object:
        """The binding as it is."""
        return await self.up.get(BINDINGS, service.name, namespace=self.tenant)

    async def condition(self, service: Service, kind: str) -> Object:
        """A condition of a binding, empty while it is missing."""
        entries = (await self._binding(service) or {}).get("status", {}).get("conditions", [])
        return next((dict(entry) for entry in entries if entry["type"] == kind), {})

    async def bound(self, service: Service) -> Object:
        """Wait until a binding is ready and its kind served on the app cluster."""

        async def ready() -> Object | None:
            binding = await self.binding(service)
            found = {c["type"]: c for c in binding.get("status", {}).get("conditions", [])}
            assert found.get("Ready", {}).get("status") == "True", found
            return binding

        binding = await eventually(ready, what=f"binding {service.name} ready", timeout=90)
        await self.served(service)
        return binding

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
    """Install and start everything: backend, AppClusterBinding, the app cluster's account, the konnector.

    Args:
        playground: running clusters ``provider`` and ``consumer``.
        folder: private folder for kubeconfigs.
        konnector_flags: further flags of the konnector.
    """
    stage = Stage(playground, folder)
    provider, consumer = playground["provider"], playground["consumer"]
    await stage.install_backend(provider)
    await stage.apply(provider, [*overlay(), _may_read_secrets()])
    backend = await stage.backend(provider, "--control-plane-mode")
    await stage.apply(consumer, app_cluster_manifests())
    up, down = admin_client(provider), admin_client(consumer)
    konnector = None
    try:
        await backend.start()
        system = ControlPlaneSystem(stage, provider, consumer, up, down, backend, backend, tenant=ROOT)
        await system.put_kubeconfig(await system.kubeconfig())
        await up.create(APP_CLUSTER_BINDINGS, binding_of(PLACE, NAME, accept="all"))
        await granted(system)
        konnector = await stage.control_plane_konnector(provider, ROOT, KUBECONFIG, *konnector_flags)
        system.konnector = konnector
        await konnector.start()
        yield system
    finally:
        if konnector is not None:
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
        found = await system.up.get_or_none(CLUSTER_BINDINGS, keys.CLUSTER_BINDING_NAME, namespace=ROOT) or {}
        stated = {c["type"]: c["status"] for c in found.get("status", {}).get("conditions", [])}
        assert stated.get("AccessGranted") == "True", stated
        return True

    await eventually(done, what="rights of the root namespace")


def _secret(namespace: str, content: str) -> Object:
    encoded = base64.b64encode(content.encode()).decode()
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": KUBECONFIG, "namespace": namespace},
        "data": {keys.KUBECONFIG: encoded},
    }


def _may_read_secrets() -> Object:
    """What the operator grants in a namespace of AppClusterBindings."""
    return {
        "apiVersion": ROLEBINDINGS.api_version,
        "kind": ROLEBINDINGS.kind,
        "metadata": {"name": names.APP_CLUSTERS_ROLE, "namespace": PLACE},
        "roleRef": {
            "apiGroup": ROLEBINDINGS.group,
            "kind": "ClusterRole",
            "name": names.APP_CLUSTERS_ROLE,
        },
        "subjects": [{"kind": "ServiceAccount", "namespace": BACKEND_NAMESPACE, "name": BACKEND_ACCOUNT}],
    }
