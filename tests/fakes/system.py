"""The whole system for end-to-end tests: backend and konnector as processes under their shipped roles.

Tests look at the world as an admin of both clusters would, and act as users, operators and accidents do.
"""

import asyncio
import base64
import contextlib
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

from bind_agent.api import keys, meta
from bind_agent.api.meta import Object
from bind_agent.api.resource import (
    BINDINGS,
    CONFIGMAPS,
    CRDS,
    NAMESPACES,
    SECRETS,
    SERVICE_NAMESPACES,
    Resource,
)
from bind_agent.devcluster import Cluster, Playground
from bind_agent.devcluster.audit import AuditEvent
from bind_agent.devcluster.server import Server
from bind_agent.devcluster.stage import Stage
from bind_agent.kube.client import Client
from bind_agent.kube.config import from_kubeconfig
from bind_agent.kube.errors import NotFound

T = TypeVar("T")

SETTLING_SECONDS = 5.0
"""An API server that starts answers before it knows all roles."""


async def eventually(
    check: Callable[[], Awaitable[T | None]], *, timeout: float = 30.0, what: str = "", poll: float = 0.05
) -> T:
    """Wait until a check gives a true value, and return it.

    Args:
        check: looks at the world; an assertion error counts as "not yet".
        timeout: seconds.
        what: for the message.
        poll: seconds between looks.

    Raises:
        AssertionError: it did not come true; says what was seen last.
    """
    end = time.monotonic() + timeout
    last: object = None
    while time.monotonic() < end:
        try:
            found = await check()
        except AssertionError as error:
            last = error
        else:
            if found:
                return found
            last = found
        await asyncio.sleep(poll)
    raise AssertionError(f"not within {timeout:.0f} s: {what or check}; last seen: {last!r}")


async def holds(check: Callable[[], Awaitable[bool]], *, seconds: float, poll: float = 0.1) -> None:
    """Check again and again that something stays true."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        assert await check()
        await asyncio.sleep(poll)


@dataclass(frozen=True)
class Service:
    """A published kind.

    Attributes:
        resource: the kind.
        claims: the template's claims.
    """

    resource: Resource
    claims: Sequence[Mapping[str, Any]] = ()

    @property
    def name(self) -> str:
        """``plural.group``: name of CRD, export and binding."""
        return self.resource.group_resource


@dataclass
class System:
    """Both clusters with the programs of the product on them."""

    stage: Stage
    provider: Cluster
    consumer: Cluster
    up: Client
    """Admin of the provider."""
    down: Client
    """Admin of the consumer."""
    backend: Server
    konnector: Server
    tenant: str = ""
    """The tenant's cluster namespace."""
    remote_kubeconfig: Path = Path()
    services: dict[str, Service] = field(default_factory=dict)
    provoked: set[str] = field(default_factory=set)
    """API groups and namespaces with which a test provokes refusals; the audit leaves them out."""
    expected: list[tuple[str, datetime, datetime, frozenset[str]]] = field(default_factory=list)
    """Where and when refusals were provoked."""
    disturbed: list[tuple[str, datetime, datetime]] = field(default_factory=list)
    """When which cluster was broken on purpose: a starting API server refuses what it does not know yet."""

    # --- provider's work ---------------------------------------------------------------------------------

    async def publish(
        self,
        resource: Resource,
        *,
        claims: Sequence[Mapping[str, Any]] = (),
        schema: Mapping[str, Any] | None = None,
        subresources: Mapping[str, Any] | None = None,
    ) -> Service:
        """Do what a platform team does to offer a kind: CRD, template, and the role that lets it be granted."""
        service = Service(resource, claims)
        await self.stage.apply(
            self.provider,
            [
                crd(resource, schema=schema, subresources=subresources),
                template(service),
                backend_role(service),
            ],
        )

        async def served() -> bool:
            found = await self.up.get(CRDS, service.name)
            return any(
                c["type"] == "Established" and c["status"] == "True"
                for c in (found.get("status") or {}).get("conditions") or []
            )

        await eventually(served, what=f"{service.name} established on the provider")
        self.services[service.name] = service
        return service

    # --- consumer's work ---------------------------------------------------------------------------------

    async def bind(self, service: Service, *options: str, accept: str = "all", timeout: float = 60.0) -> str:
        """Bind as a person does, with the command line; returns what it printed."""
        request = {
            "apiVersion": keys.API_VERSION,
            "kind": keys.KIND_EXPORT_REQUEST,
            "metadata": {"name": service.name},
            "spec": {
                "resources": [
                    {
                        "group": service.resource.group,
                        "resource": service.resource.plural,
                        "permissionClaims": list(service.claims),
                    }
                ]
            },
        }
        printed = await self.stage.run(
            "-m",
            "cli.main",
            "apiservice",
            f"--kubeconfig={self.consumer.kubeconfig}",
            f"--remote-kubeconfig={self.remote_kubeconfig}",
            "--skip-konnector",
            f"--accept-claims={accept}",
            "--file=-",
            *options,
            stdin=json.dumps(request),
            timeout=timeout,
        )
        await self.bound(service)
        return printed

    async def renew_kubeconfig(self) -> None:
        """Have the tenant's kubeconfig handed out (again), as the backend's account."""
        await self.stage.run(
            "-m",
            "bind_agent.backend.app",
            "tenant",
            "add",
            "tests",
            "--cluster-id=tests1",
            f"--kubeconfig={await self.stage.backend_kubeconfig(self.provider)}",
            f"--out={self.remote_kubeconfig}",
        )

    async def bound(self, service: Service) -> Object:
        """Wait until a binding is ready and its kind served on the consumer."""

        async def ready() -> Object | None:
            binding = await self.down.get(BINDINGS, service.name, namespace=keys.CONSUMER_NAMESPACE)
            conditions = {c["type"]: c for c in binding.get("status", {}).get("conditions", [])}
            assert conditions.get("Ready", {}).get("status") == "True", conditions
            return binding

        binding = await eventually(ready, what=f"binding {service.name} ready", timeout=60)
        await self.served(service)
        return binding

    async def served(self, service: Service) -> None:
        """Wait until the consumer's API server serves a bound kind, which it does some time after the CRD."""

        async def listed() -> bool:
            try:
                await self.down.list(service.resource)
            except NotFound:
                return False
            return True

        await eventually(listed, what=f"{service.name} served on the consumer")

    @contextlib.asynccontextmanager
    async def disturbance(self, cluster: Cluster) -> AsyncIterator[None]:
        """Leave what happens to a cluster in this block, and shortly after it, out of the audit."""
        begin = datetime.now(UTC)
        try:
            yield
        finally:
            self.disturbed.append(
                (cluster.name, begin, datetime.now(UTC) + timedelta(seconds=SETTLING_SECONDS))
            )

    def is_disturbed(self, cluster: Cluster, event: AuditEvent) -> bool:
        """Whether a request came while its cluster was broken on purpose."""
        at = datetime.fromisoformat(event.raw["requestReceivedTimestamp"])
        return any(name == cluster.name and begin <= at <= end for name, begin, end in self.disturbed)

    @contextlib.asynccontextmanager
    async def refusals(self, cluster: Cluster, *names: str) -> AsyncIterator[None]:
        """Refusals of requests about these groups, kinds or namespaces are expected in this block."""
        begin = datetime.now(UTC)
        try:
            yield
        finally:
            end = datetime.now(UTC) + timedelta(seconds=SETTLING_SECONDS)
            self.expected.append((cluster.name, begin, end, frozenset(names)))

    def is_expected(self, cluster: Cluster, event: AuditEvent) -> bool:
        """Whether a refusal was provoked."""
        at = datetime.fromisoformat(event.raw["requestReceivedTimestamp"])
        about = {event.group, event.resource, event.namespace} - {""}
        return any(
            name == cluster.name and begin <= at <= end and names & about
            for name, begin, end, names in self.expected
        )

    # --- looking -----------------------------------------------------------------------------------------

    async def service_namespace(self, namespace: str) -> str:
        """The provider's namespace for one of the consumer's."""

        async def known() -> str:
            record = await self.up.get_or_none(SERVICE_NAMESPACES, namespace, namespace=self.tenant)
            return str((record or {}).get("status", {}).get("namespace", ""))

        return await eventually(known, what=f"service namespace of {namespace}")

    async def copy(self, resource: Resource, key: str) -> Object | None:
        """The provider's copy of a consumer object, None when there is none."""
        namespace, name = meta.split_key(key)
        if not resource.namespaced:
            return await self.up.get_or_none(resource, f"{self.tenant}-{name}")
        record = await self.up.get_or_none(SERVICE_NAMESPACES, namespace, namespace=self.tenant)
        target = (record or {}).get("status", {}).get("namespace")
        return await self.up.get_or_none(resource, name, namespace=target) if target else None

    async def synced(self, resource: Resource, key: str) -> Object:
        """Wait for the provider's copy."""
        return await eventually(lambda: self.copy(resource, key), what=f"copy of {resource.plural} {key}")

    async def gone(self, client: Client, resource: Resource, key: str, *, timeout: float = 30.0) -> None:
        """Wait until an object is gone."""
        namespace, name = meta.split_key(key)

        async def absent() -> bool:
            return await client.get_or_none(resource, name, namespace=namespace or None) is None

        await eventually(absent, what=f"{resource.plural} {key} gone", timeout=timeout)

    async def namespace(self, name: str) -> str:
        """Make a namespace on the consumer."""
        await self.down.create(
            NAMESPACES, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
        )
        return name


def crd(
    resource: Resource,
    *,
    schema: Mapping[str, Any] | None = None,
    subresources: Mapping[str, Any] | None = None,
) -> Object:
    """A CRD with one version; ``spec`` and ``status`` are free-form unless a schema is given."""
    free = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    version = {
        "name": resource.version,
        "served": True,
        "storage": True,
        "schema": {
            "openAPIV3Schema": schema or {"type": "object", "properties": {"spec": free, "status": free}}
        },
        "subresources": {"status": {}} if subresources is None else dict(subresources),
    }
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": resource.group_resource},
        "spec": {
            "group": resource.group,
            "scope": "Namespaced" if resource.namespaced else "Cluster",
            "names": {
                "plural": resource.plural,
                "singular": resource.kind.lower(),
                "kind": resource.kind,
                "listKind": f"{resource.kind}List",
            },
            "versions": [version],
        },
    }


def template(service: Service) -> Object:
    """The template that offers a kind."""
    return {
        "apiVersion": keys.TEMPLATE_API_VERSION,
        "kind": keys.KIND_TEMPLATE,
        "metadata": {"name": service.name, "namespace": "default"},
        "spec": {
            "APIServiceSelector": {"group": service.resource.group, "resource": service.resource.plural},
            "permissionClaims": list(service.claims),
        },
    }


def backend_role(service: Service) -> Object:
    """The role that a platform team ships beside a template: what the backend may grant to tenants."""
    verbs = ["get", "list", "watch", "create", "update", "patch", "delete"]
    kinds = [(service.resource.group, service.resource.plural)]
    kinds += [(claim.get("group", ""), claim["resource"]) for claim in service.claims]
    rules = [{"apiGroups": [group], "resources": [plural], "verbs": verbs} for group, plural in kinds]
    return {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRole",
        "metadata": {
            "name": f"klutch-bind-backend:{service.name}",
            "labels": {"klutch.anynines.com/aggregate-to-backend": "true"},
        },
        "rules": rules,
    }


def claim(resource: str, owner: str, **selector: Any) -> Object:
    """A claim on a core kind."""
    return {"group": "", "resource": resource, "version": "v1", "selector": {"owner": owner, **selector}}


def thing(resource: Resource, key: str, **spec: Any) -> Object:
    """An object of a test kind."""
    namespace, name = meta.split_key(key)
    metadata = {"name": name, "namespace": namespace} if namespace else {"name": name}
    return {"apiVersion": resource.api_version, "kind": resource.kind, "metadata": metadata, "spec": spec}


def secret(key: str, data: Mapping[str, str], **metadata: Any) -> Object:
    """A Secret; values are given in the clear."""
    namespace, name = meta.split_key(key)
    encoded = {k: base64.b64encode(v.encode()).decode() for k, v in data.items()}
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": name, "namespace": namespace, **metadata},
        "data": encoded,
    }


def config_map(key: str, data: Mapping[str, str], **metadata: Any) -> Object:
    """A ConfigMap."""
    namespace, name = meta.split_key(key)
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name, "namespace": namespace, **metadata},
        "data": dict(data),
    }


def admin_client(cluster: Cluster) -> Client:
    """A client with the admin's kubeconfig."""
    return Client.open(from_kubeconfig(cluster.kubeconfig), user_agent="tests")


async def start_system(
    playground: Playground,
    folder: Path,
    *,
    backend_flags: Sequence[str] = (),
    konnector_flags: Sequence[str] = (),
) -> System:
    """Install and start everything: backend, a tenant, the konnector's roles, the konnector.

    Args:
        playground: running clusters ``provider`` and ``consumer``.
        folder: private folder for kubeconfigs.
        backend_flags: further flags of the backend.
        konnector_flags: further flags of the konnector.
    """
    stage = Stage(playground, folder)
    provider, consumer = playground["provider"], playground["consumer"]
    await stage.install_backend(provider)
    backend = await stage.backend(provider, *backend_flags)
    await backend.start()
    remote = folder / "tenant.kubeconfig"
    await stage.run(
        "-m",
        "bind_agent.backend.app",
        "tenant",
        "add",
        "tests",
        "--cluster-id=tests1",
        f"--kubeconfig={await stage.backend_kubeconfig(provider)}",
        f"--out={remote}",
    )
    manifests = await stage.run("-m", "cli.main", "konnector", "manifests", "--output=json")
    shipped = [o for o in json.loads(manifests)["items"] if o["kind"] != "Deployment"]
    await stage.apply(consumer, shipped)
    konnector = await stage.konnector(consumer, *konnector_flags)
    await konnector.start()
    tenant = from_kubeconfig(remote).namespace
    return System(
        stage,
        provider,
        consumer,
        admin_client(provider),
        admin_client(consumer),
        backend,
        konnector,
        tenant=tenant,
        remote_kubeconfig=remote,
    )


async def stop_system(system: System) -> None:
    """Stop the programs; the clusters stay."""
    await system.konnector.stop()
    await system.backend.stop()
    await system.up.close()
    await system.down.close()


__all__ = ["CONFIGMAPS", "SECRETS", "Service", "System", "eventually", "holds"]
