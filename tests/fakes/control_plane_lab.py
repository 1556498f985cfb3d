"""App clusters of an operator: what tests of control plane mode do and look at."""

import time
from collections.abc import Mapping, Sequence
from typing import Any

from bind_agent.api import conditions, keys, meta
from bind_agent.api.conditions import Condition
from bind_agent.api.encoding import to_base64
from bind_agent.api.meta import Object
from bind_agent.api.naming import binding_root_namespace
from bind_agent.api.resource import (
    APP_CLUSTER_BINDINGS,
    BINDINGS,
    CLUSTER_BINDINGS,
    EXPORT_REQUESTS,
    EXPORTS,
    NAMESPACES,
    ROLEBINDINGS,
    SECRETS,
    Resource,
)
from bind_agent.backend import names
from bind_agent.devcluster.stage import BACKEND_ACCOUNT, BACKEND_NAMESPACE
from bind_agent.manifests import load_manifests
from tests.fakes.backend_lab import BACKEND_AGENT, Lab, eventually

FOREIGN_FINALIZER = "example.org/hold"

OVERLAY = "backend/control-plane-mode"


def overlay() -> list[Object]:
    """What a platform team applies on top."""
    return load_manifests(OVERLAY)


class Plane:
    """A backend in control plane mode, and its operator.

    Attributes:
        lab: the backend.
    """

    def __init__(self, lab: Lab) -> None:
        """Use a running backend."""
        self.lab = lab

    agent = BACKEND_AGENT

    @property
    def kubeconfig(self) -> bytes:
        """Some kubeconfig that is good to use."""
        return self.lab.cluster.kubeconfig_text().encode()

    # --- the operator -------------------------------------------------------------------------------

    async def namespace(
        self, name: str, *, readable: bool = True, annotations: Mapping[str, str] | None = None
    ) -> str:
        """A namespace for AppClusterBindings, with or without the backend's right to read Secrets."""
        body: Object = {
            "apiVersion": "v1",
            "kind": "Namespace",
            "metadata": {"name": name, "annotations": dict(annotations or {})},
        }
        await self.lab.admin.create(NAMESPACES, body)
        if readable:
            await self.let_read(name)
        return name

    async def let_read(self, namespace: str) -> None:
        """Let the backend read Secrets of a namespace, as the documentation says."""
        await self.lab.admin.create(
            ROLEBINDINGS,
            {
                "apiVersion": ROLEBINDINGS.api_version,
                "kind": ROLEBINDINGS.kind,
                "metadata": {"name": names.APP_CLUSTERS_ROLE, "namespace": namespace},
                "roleRef": {
                    "apiGroup": ROLEBINDINGS.group,
                    "kind": "ClusterRole",
                    "name": names.APP_CLUSTERS_ROLE,
                },
                "subjects": [
                    {"kind": "ServiceAccount", "namespace": BACKEND_NAMESPACE, "name": BACKEND_ACCOUNT}
                ],
            },
        )

    async def secret(
        self, namespace: str, name: str = "app", data: bytes | None = None, **more: bytes
    ) -> Object:
        """The kubeconfig Secret of an app cluster."""
        content = {"kubeconfig": self.kubeconfig if data is None else data, **more}
        body: Object = {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": name, "namespace": namespace},
            "data": {key: to_base64(value) for key, value in content.items()},
        }
        return await self.lab.admin.apply(SECRETS, body, field_manager="operator")

    async def connect(
        self,
        namespace: str,
        name: str,
        *kinds: Resource,
        konnector: Mapping[str, Any] | None = None,
        accept: str = "",
        secret_namespace: str = "",
    ) -> "AppCluster":
        """Create an AppClusterBinding."""
        body = binding_of(
            namespace, name, kinds, konnector=konnector, accept=accept, secret_namespace=secret_namespace
        )
        created = await self.lab.admin.create(APP_CLUSTER_BINDINGS, body)
        return AppCluster(self.lab, namespace, name, meta.uid(created))

    async def hold(self, resource: Resource, name: str, namespace: str | None = None) -> None:
        """Put a finalizer of somebody else on an object."""
        await self._finalizers(resource, name, namespace, [FOREIGN_FINALIZER])

    async def let_go(self, resource: Resource, name: str, namespace: str | None = None) -> None:
        """Take it off."""
        await self._finalizers(resource, name, namespace, [])

    async def _finalizers(
        self, resource: Resource, name: str, namespace: str | None, finalizers: list[str]
    ) -> None:
        patch = {"metadata": {"finalizers": finalizers}}
        await self.lab.admin.merge_patch(resource, name, patch, namespace=namespace)

    async def ready(self, namespace: str, name: str, *kinds: Resource, **more: Any) -> "AppCluster":
        """An app cluster for which everything is made: namespace, Secret, AppClusterBinding."""
        await self.namespace(namespace)
        await self.secret(namespace)
        found = await self.connect(namespace, name, *kinds, **more)
        await found.made()
        return found


_MADE = ("SecretValid", "NamespaceReady", "APIsBound", "KonnectorDeployed")


class AppCluster:
    """One AppClusterBinding, seen as admin.

    Attributes:
        root: its binding root namespace.
    """

    def __init__(self, lab: Lab, namespace: str, name: str, uid: str) -> None:
        """Name it."""
        self.lab, self.namespace, self.name, self.uid = lab, namespace, name, uid
        self.root = binding_root_namespace(namespace, name)

    async def get(self) -> Object | None:
        """The AppClusterBinding, or None."""
        return await self.lab.admin.get_or_none(APP_CLUSTER_BINDINGS, self.name, namespace=self.namespace)

    async def patch(self, patch: Mapping[str, Any]) -> None:
        """Change it, as its operator."""
        await self.lab.admin.merge_patch(
            APP_CLUSTER_BINDINGS, self.name, dict(patch), namespace=self.namespace
        )

    async def accept(self, policy: str) -> None:
        """Change the policy about claims."""
        await self.patch({"metadata": {"annotations": {keys.ACCEPT_CLAIMS: policy}}})

    async def touch(self) -> None:
        """Change something without a meaning, so that the backend looks at it."""
        await self.patch({"metadata": {"labels": {"touched": str(time.monotonic_ns())}}})

    async def delete(self) -> None:
        """Delete it."""
        await self.lab.admin.delete(APP_CLUSTER_BINDINGS, self.name, namespace=self.namespace)

    async def condition(
        self, condition: str, reason: str = "", *, said: str = "", timeout: float = 20.0
    ) -> Condition:
        """Wait for a condition; an empty reason means that it holds."""

        async def reached() -> Condition:
            found = await self.get() or {}
            entry = conditions.get(conditions.of(found), condition)
            assert entry is not None, found.get("status")
            assert (entry.reason, entry.status == "True") == (reason, not reason), found.get("status")
            assert said in entry.message, entry
            return entry

        return await eventually(reached, timeout=timeout)

    async def made(self, *, timeout: float = 20.0) -> None:
        """Wait until everything is made, and nothing is wrong; that it works takes a konnector."""

        async def reached() -> bool:
            found = {one["type"]: one for one in conditions.of(await self.get() or {})}
            states = {kind: one["status"] for kind, one in found.items()}
            assert all(states.get(kind) == "True" for kind in _MADE), found
            assert found["Ready"].get("severity", "") in {"", "Info"}, found
            return True

        await eventually(reached, timeout=timeout)

    async def recovers(self, *, timeout: float = 60.0) -> None:
        """Wait until everything is made, changing it now and then: a change is looked at without the back-off."""

        async def ready() -> bool:
            await self.touch()
            await self.made(timeout=2.0)
            return True

        await eventually(ready, timeout=timeout)

    async def inside(self, resource: Resource, name: str) -> Object | None:
        """An object of the root namespace, or None."""
        return await self.lab.admin.get_or_none(resource, name, namespace=self.root)

    async def appears(self, resource: Resource, name: str) -> Object:
        """Wait for an object of the root namespace."""

        async def there() -> Object | None:
            return await self.inside(resource, name)

        return await eventually(there)

    async def vanishes(self, resource: Resource, name: str) -> None:
        """Wait until an object of the root namespace is gone."""
        await self.lab.gone(resource, name, self.root)

    async def all(self, resource: Resource) -> list[Object]:
        """All objects of a kind in the root namespace."""
        return list((await self.lab.admin.list(resource, namespace=self.root)).items)

    async def gone(self, *, timeout: float = 40.0) -> None:
        """Wait until the AppClusterBinding and its root namespace are gone."""

        async def absent() -> bool:
            assert await self.get() is None, await self.get()
            return await self.lab.admin.get_or_none(NAMESPACES, self.root) is None

        await eventually(absent, timeout=timeout)

    async def binding(self, kind: Resource) -> Object:
        """Wait for the binding of a kind."""
        return await self.appears(BINDINGS, kind.crd_name)

    async def exported(self, kind: Resource) -> Object:
        """Wait for the export of a kind."""
        return await self.appears(EXPORTS, kind.crd_name)

    async def requests(self) -> list[Object]:
        """Its export requests."""
        return await self.all(EXPORT_REQUESTS)

    async def cluster_binding(self) -> Object:
        """Wait for the ClusterBinding."""
        return await self.appears(CLUSTER_BINDINGS, keys.CLUSTER_BINDING_NAME)


def binding_of(
    namespace: str,
    name: str,
    kinds: Sequence[Resource] = (),
    *,
    konnector: Mapping[str, Any] | None = None,
    accept: str = "",
    secret_namespace: str = "",
) -> Object:
    """An AppClusterBinding."""
    metadata: dict[str, Any] = {"name": name, "namespace": namespace}
    if accept:
        metadata["annotations"] = {keys.ACCEPT_CLAIMS: accept}
    spec: dict[str, Any] = {
        "kubeconfigSecretRef": {
            "name": "app",
            "key": "kubeconfig",
            "namespace": secret_namespace or namespace,
        },
        "apiExports": [{"group": kind.group, "resource": kind.plural} for kind in kinds],
    }
    if konnector is not None:
        spec["konnector"] = dict(konnector)
    return {
        "apiVersion": APP_CLUSTER_BINDINGS.api_version,
        "kind": APP_CLUSTER_BINDINGS.kind,
        "metadata": metadata,
        "spec": spec,
    }
