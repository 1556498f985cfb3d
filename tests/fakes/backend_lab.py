"""A backend inside the test process, under its shipped service account, on a cluster of its own.

Tests act as platform teams (admin), as tenants (their tokens) and as accidents, and look as admin.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar

from bind_agent.aio.tasks import background
from bind_agent.api import conditions, keys, meta
from bind_agent.api.conditions import Condition
from bind_agent.api.meta import Object
from bind_agent.api.resource import (
    CLUSTER_BINDINGS,
    CLUSTERROLES,
    CRDS,
    EXPORT_REQUESTS,
    EXPORT_TEMPLATES,
    EXPORTS,
    NAMESPACES,
    SERVICE_NAMESPACES,
    Resource,
)
from bind_agent.backend import access
from bind_agent.backend.options.serve import Serve
from bind_agent.backend.person import Person
from bind_agent.backend.rights import Rights
from bind_agent.backend.serve import Backend, endpoint_of
from bind_agent.backend.tenancy.address import AddressError, Endpoint
from bind_agent.backend.tenancy.credentials import Credentials
from bind_agent.backend.tenancy.identity import identity
from bind_agent.backend.tenancy.provision import Added, Tenants
from bind_agent.devcluster import Cluster
from bind_agent.devcluster.stage import BACKEND_ACCOUNT, BACKEND_NAMESPACE, Stage
from bind_agent.kube.client import Client
from bind_agent.kube.config import from_kubeconfig
from bind_agent.kube.errors import Unauthorized
from bind_agent.runtime.leader import LeaderElector
from bind_agent.runtime.recorder import Recorder

T = TypeVar("T")

BACKEND_AGENT = "backend-in-tests"


async def eventually(check: Callable[[], Awaitable[T | None]], *, timeout: float = 20.0) -> T:
    """Wait until a check gives a true value and raises no assertion error, and return it."""
    last: object = None
    try:
        async with asyncio.timeout(timeout):
            while True:
                try:
                    if found := await check():
                        return found
                    last = found
                except AssertionError as error:
                    last = error
                await asyncio.sleep(0.05)
    except TimeoutError:
        raise AssertionError(f"did not come true; last seen: {last!r}") from None


async def works(kubeconfig: bytes, namespace: str) -> bool:
    """Whether the API server knows the credential of a tenant."""
    async with Client.open(from_kubeconfig(kubeconfig), user_agent="probe-in-tests") as client:
        try:
            await client.get(NAMESPACES, namespace)
        except Unauthorized:
            return False
        return True


@dataclass
class Party:
    """A tenant and its client."""

    added: Added
    client: Client

    @property
    def namespace(self) -> str:
        """Its cluster namespace."""
        return self.added.namespace


@dataclass
class Lab:
    """A cluster with a backend.

    Attributes:
        cluster: the provider.
        stage: applies manifests.
        admin: client of an admin.
        own: client of the backend's service account, as the backend has it.
        tenants: what the command line uses, under the same account.
        endpoint: what kubeconfigs of tenants say.
        parties: tenants that joined.
    """

    cluster: Cluster
    stage: Stage
    admin: Client
    own: Client
    tenants: Tenants
    endpoint: Endpoint | AddressError
    parties: list[Party] = field(default_factory=list)

    async def join(
        self,
        name: str,
        cluster_id: str = "c1",
        *,
        person: Person | None = None,
        allow: Collection[str] = (),
    ) -> Party:
        """Add a tenant and connect with its kubeconfig.

        Args:
            name: of the tenant; ignored when somebody logs in.
            cluster_id: which app cluster.
            person: who logs in; None: the command line adds the tenant.
            allow: what the command line lets it request.
        """
        who = (
            identity(name, cluster_id)
            if person is None
            else identity(person.subject, cluster_id, person.issuer)
        )
        added = await self.tenants.add(who, prefix="cluster", pretty_name="Lab", person=person, allow=allow)
        client = Client.open(from_kubeconfig(added.kubeconfig), user_agent="tenant-in-tests")
        party = Party(added, client)
        self.parties.append(party)
        return party

    # --- the platform team --------------------------------------------------------------------------

    async def publish(
        self,
        resource: Resource,
        *claims: Mapping[str, Any],
        crd: bool = True,
        template: bool = True,
        role: bool = True,
        schema: Mapping[str, Any] | None = None,
    ) -> None:
        """Offer a kind, or part of what that takes."""
        objects: list[Object] = []
        if crd:
            objects.append(crd_of(resource, schema=schema))
        if template:
            objects.append(template_of(resource, claims))
        if role:
            objects.append(role_of(resource, claims))
        for one in objects:
            await self.admin.apply(_kind(one), one, field_manager="platform")
        if crd:

            async def served() -> bool:
                found = await self.admin.get(CRDS, resource.crd_name)
                return conditions.is_true(conditions.of(found), "Established")

            await eventually(served)

    # --- looking ------------------------------------------------------------------------------------

    async def request(self, party: Party, resource: Resource, **more: Any) -> None:
        """Ask for an export, as the tenant."""
        await party.client.create(
            EXPORT_REQUESTS,
            {
                "apiVersion": keys.API_VERSION,
                "kind": keys.KIND_EXPORT_REQUEST,
                "metadata": {"name": resource.crd_name.rstrip("."), "namespace": party.namespace},
                "spec": {"resources": [{"group": resource.group, "resource": resource.plural, **more}]},
            },
        )

    async def phase(self, party: Party, resource: Resource, phase: str, *, timeout: float = 20.0) -> Object:
        """Wait for a phase of a request."""

        async def reached() -> Object:
            name = resource.crd_name.rstrip(".")
            found = await self.admin.get(EXPORT_REQUESTS, name, namespace=party.namespace)
            assert found.get("status", {}).get("phase") == phase, found.get("status")
            return found

        return await eventually(reached, timeout=timeout)

    async def bind(self, party: Party, resource: Resource) -> None:
        """Ask for an export and wait until the tenant may use it."""
        await self.request(party, resource)
        await self.phase(party, resource, "Succeeded")
        await self.condition(party, EXPORTS, resource.crd_name, "AccessGranted")

    async def condition(
        self,
        party: Party,
        kind: Resource,
        name: str,
        condition: str,
        reason: str = "",
        *,
        timeout: float = 20.0,
    ) -> Condition:
        """Wait for a condition; an empty reason means that it holds."""

        async def reached() -> Condition:
            found = await self.admin.get(kind, name, namespace=party.namespace)
            entry = conditions.get(conditions.of(found), condition)
            assert entry is not None, found.get("status")
            assert (entry.reason, entry.status == "True") == (reason, not reason), entry
            return entry

        return await eventually(reached, timeout=timeout)

    async def export(self, party: Party, resource: Resource) -> Object | None:
        """An export, or None."""
        return await self.admin.get_or_none(EXPORTS, resource.crd_name, namespace=party.namespace)

    async def mapping(self, party: Party, name: str) -> str:
        """Ask for a service namespace as the konnector does, and wait for its name."""
        await party.client.create(
            SERVICE_NAMESPACES,
            {
                "apiVersion": keys.API_VERSION,
                "kind": keys.KIND_SERVICE_NAMESPACE,
                "metadata": {"name": name, "namespace": party.namespace},
            },
        )
        return await self.mapped(party, name)

    async def mapped(self, party: Party, name: str) -> str:
        """Wait for the name of a service namespace."""

        async def known() -> str:
            found = await self.admin.get(SERVICE_NAMESPACES, name, namespace=party.namespace)
            return str(found.get("status", {}).get("namespace", ""))

        return await eventually(known)

    async def gone(
        self, kind: Resource, name: str, namespace: str | None = None, *, timeout: float = 40.0
    ) -> None:
        """Wait until an object is gone."""

        async def absent() -> bool:
            return await self.admin.get_or_none(kind, name, namespace=namespace) is None

        await eventually(absent, timeout=timeout)

    async def namespace(self, name: str) -> Object | None:
        """A namespace that is not on its way out, or None."""
        found = await self.admin.get_or_none(NAMESPACES, name)
        return None if found is None or meta.is_deleting(found) else found

    async def binding(self, party: Party) -> Object:
        """The ClusterBinding of a tenant."""
        return await self.admin.get(CLUSTER_BINDINGS, keys.CLUSTER_BINDING_NAME, namespace=party.namespace)


@asynccontextmanager
async def lab(
    cluster: Cluster, stage: Stage, options: Serve, *, overlay: Sequence[Object] = ()
) -> AsyncIterator[Lab]:
    """Install the shipped manifests and run a backend in this process.

    Args:
        cluster: an empty provider.
        stage: applies manifests and makes kubeconfigs.
        options: of the backend.
        overlay: further objects to apply.
    """
    await stage.install_backend(cluster)
    if overlay:
        await stage.apply(cluster, overlay)
    config = from_kubeconfig(await stage.account_kubeconfig(cluster, BACKEND_NAMESPACE, BACKEND_ACCOUNT))
    endpoint = endpoint_of(config, options.tenancy)
    admin = Client.open(from_kubeconfig(cluster.kubeconfig), user_agent="admin-in-tests")
    async with admin, Client.open(config, user_agent=BACKEND_AGENT) as own:
        recorder = Recorder(own, "bind-backend")
        backend = Backend(options, own, recorder, endpoint=endpoint)
        elector = LeaderElector(own, BACKEND_NAMESPACE, options.lease_name)
        tenants = Tenants(
            own,
            Rights(own),
            Credentials(own, ttl=options.tenancy.token_ttl, endpoint=endpoint),
            legacy_issuer=options.tenancy.legacy_issuer,
        )
        found = Lab(cluster, stage, admin, own, tenants, endpoint=endpoint)
        try:
            async with background(backend.run(elector), recorder.run()):

                async def working() -> bool:
                    return backend.working

                await eventually(working)
                yield found
        finally:
            for party in found.parties:
                await party.client.close()


async def granted(party: Party, kind: Resource, namespace: str) -> None:
    """Wait until a tenant may create objects of a kind."""

    async def may() -> bool:
        review = await party.client.can_i(
            verb="create", group=kind.group, resource=kind.plural, namespace=namespace
        )
        return review.allowed

    await eventually(may)


def instance(kind: Resource, name: str, **metadata: Any) -> Object:
    """An object of a published kind."""
    return {
        "apiVersion": kind.api_version,
        "kind": kind.kind,
        "metadata": {"name": name, **metadata},
        "spec": {"size": 1},
    }


def crd_of(resource: Resource, *, schema: Mapping[str, Any] | None = None) -> Object:
    """A CRD with one version."""
    free = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    return {
        "apiVersion": CRDS.api_version,
        "kind": CRDS.kind,
        "metadata": {"name": resource.crd_name},
        "spec": {
            "group": resource.group,
            "scope": "Namespaced" if resource.namespaced else "Cluster",
            "names": {
                "plural": resource.plural,
                "singular": resource.kind.lower(),
                "kind": resource.kind,
                "listKind": f"{resource.kind}List",
                "shortNames": [resource.kind.lower()[:3]],
            },
            "versions": [
                {
                    "name": resource.version,
                    "served": True,
                    "storage": True,
                    "schema": {"openAPIV3Schema": schema or {"type": "object", "properties": {"spec": free}}},
                    "subresources": {"status": {}},
                    "additionalPrinterColumns": [
                        {"name": "Size", "type": "integer", "jsonPath": ".spec.size", "priority": 1}
                    ],
                }
            ],
        },
    }


def template_of(
    resource: Resource,
    claims: Sequence[Mapping[str, Any]] = (),
    *,
    name: str = "",
    version: str | None = None,
) -> Object:
    """A template."""
    chosen = {"group": resource.group, "resource": resource.plural}
    return {
        "apiVersion": EXPORT_TEMPLATES.api_version,
        "kind": EXPORT_TEMPLATES.kind,
        "metadata": {"name": name or resource.crd_name, "namespace": "default"},
        "spec": {
            "APIServiceSelector": {**chosen, **({"version": version} if version else {})},
            "permissionClaims": list(claims),
        },
    }


def role_of(resource: Resource, claims: Sequence[Mapping[str, Any]] = ()) -> Object:
    """What `bind-backend rbac` prints for it."""
    kinds = {access.Kind(resource.group, resource.plural), *(access.claimed_kind(claim) for claim in claims)}
    return access.export_role(resource.crd_name, kinds)


def claim(resource: str, owner: str = "Provider", **selector: Any) -> Object:
    """A claim on a core kind."""
    return {"group": "", "resource": resource, "version": "v1", "selector": {"owner": owner, **selector}}


def _kind(obj: Object) -> Resource:
    return {one.kind: one for one in (CRDS, EXPORT_TEMPLATES, CLUSTERROLES)}[obj["kind"]]
