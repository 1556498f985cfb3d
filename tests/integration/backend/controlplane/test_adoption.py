"""Root namespaces that a Go backend made: without a mark; their ClusterBindings prove whose they are (spec 5.3)."""

from collections.abc import Callable, Mapping
from typing import Any

import pytest

from bind_agent.api import conditions, keys, meta
from bind_agent.api.conversion import crd_part
from bind_agent.api.meta import Object
from bind_agent.api.resource import (
    BINDINGS,
    CLUSTER_BINDINGS,
    CRDS,
    DEPLOYMENTS,
    EXPORTS,
    NAMESPACES,
    ROLEBINDINGS,
    ROLES,
    SECRETS,
    SERVICE_NAMESPACES,
    SERVICEACCOUNTS,
    Resource,
)
from bind_agent.backend import access, names
from bind_agent.backend.controlplane import objects
from bind_agent.devcluster.stage import BACKEND_ACCOUNT, BACKEND_NAMESPACE
from bind_agent.kube.client import Client
from bind_agent.kube.config import from_kubeconfig
from bind_agent.kube.errors import Forbidden, Invalid
from tests.fakes.backend_lab import eventually, instance
from tests.fakes.control_plane_lab import AppCluster, Plane

pytestmark = pytest.mark.integration

BINDING = keys.CLUSTER_BINDING_NAME
DENIED = (Forbidden, Invalid)
"""An API server that misses what a policy asks for says the second."""

ACCOUNT = (BACKEND_NAMESPACE, BACKEND_ACCOUNT)


def labels(team: str, name: str = "prod") -> dict[str, str]:
    return {keys.APP_CLUSTER_BINDING_NAME: name, keys.APP_CLUSTER_BINDING_NAMESPACE: team}


class Left:
    """What a Go backend leaves of an app cluster, made by hand."""

    def __init__(self, plane: Plane, team: str) -> None:
        self.plane, self.admin, self.team = plane, plane.lab.admin, team
        self.root = f"klutch-bind-{team}-prod"

    async def put(self, resource: Resource, name: str, **more: Any) -> Object:
        metadata = {"name": name, "namespace": self.root, **more.pop("metadata", {})}
        body = {"apiVersion": resource.api_version, "kind": resource.kind, "metadata": metadata, **more}
        return await self.admin.create(resource, body)

    async def namespace(self, marks: Mapping[str, str] | None = None) -> None:
        await self.plane.namespace(self.team)
        await self.plane.secret(self.team)
        await self.plane.namespace(self.root, readable=False, annotations=marks)

    async def cluster_binding(self, marked: Mapping[str, str]) -> None:
        spec = {"providerPrettyName": "prod", "kubeconfigSecretRef": {"name": "app", "key": "kubeconfig"}}
        await self.put(CLUSTER_BINDINGS, BINDING, metadata={"labels": dict(marked)}, spec=spec)

    async def whole(self, kind: Resource) -> None:
        """Everything, with an object of a consumer in a service namespace."""
        await self.namespace()
        own = labels(self.team)
        await self.put(SERVICEACCOUNTS, keys.BINDER)
        secret = await self.admin.get(SECRETS, "app", namespace=self.team)
        await self.put(SECRETS, "app", metadata={"labels": own}, type="Opaque", data=secret["data"])
        await self.cluster_binding(own)
        await self.put(ROLES, keys.CONTROL_PLANE_CONNECTOR, rules=objects.connector_rules())
        for role, reference in (
            (keys.CONTROL_PLANE_CONNECTOR, {"kind": "Role", "name": keys.CONTROL_PLANE_CONNECTOR}),
            (keys.BINDER, {"kind": "ClusterRole", "name": keys.BINDER}),
        ):
            await self.put(
                ROLEBINDINGS,
                role,
                roleRef={"apiGroup": ROLEBINDINGS.group, **reference},
                subjects=[{"kind": "ServiceAccount", "name": keys.BINDER, "namespace": self.root}],
            )
        reference = {"name": "app", "key": "kubeconfig", "namespace": self.root}
        await self.put(
            BINDINGS, kind.crd_name, metadata={"labels": own}, spec={"kubeconfigSecretRef": reference}
        )
        part = crd_part(await self.admin.get(CRDS, kind.crd_name))
        await self.put(
            EXPORTS,
            kind.crd_name,
            metadata={"annotations": {keys.SOURCE_SPEC_HASH: "ofgo"}},
            spec={**part, "informerScope": "Namespaced"},
        )
        await self.put(SERVICE_NAMESPACES, "apps")
        record = {keys.API_SERVICE_NAMESPACE: f"{self.root}/apps"}
        await self.plane.namespace(f"{self.root}-apps", readable=False, annotations=record)
        patch = {"status": {"namespace": f"{self.root}-apps"}}
        await self.admin.merge_patch(
            SERVICE_NAMESPACES, "apps", patch, namespace=self.root, subresource="status"
        )
        await self.admin.create(kind, instance(kind, "precious"), namespace=f"{self.root}-apps")


async def uids(app: AppCluster, kind: Resource) -> dict[str, str]:
    found = {}
    for resource, name, namespace in (
        (NAMESPACES, app.root, None),
        (SERVICEACCOUNTS, keys.BINDER, app.root),
        (SECRETS, "app", app.root),
        (CLUSTER_BINDINGS, BINDING, app.root),
        (BINDINGS, kind.crd_name, app.root),
        (EXPORTS, kind.crd_name, app.root),
        (SERVICE_NAMESPACES, "apps", app.root),
        (NAMESPACES, f"{app.root}-apps", None),
        (kind, "precious", f"{app.root}-apps"),
    ):
        found[f"{resource.kind} {name}"] = meta.uid(
            await app.lab.admin.get(resource, name, namespace=namespace)
        )
    return found


async def served(app: AppCluster, kind: Resource) -> None:
    """Wait until the other controllers have done their part."""

    async def granted() -> bool:
        found = [await app.appears(EXPORTS, kind.crd_name), await app.appears(CLUSTER_BINDINGS, BINDING)]
        return all(conditions.is_true(conditions.of(one), names.ACCESS_GRANTED) for one in found)

    async def usable() -> bool:
        name, namespace = keys.BINDER, f"{app.root}-apps"
        return await app.lab.admin.get_or_none(ROLEBINDINGS, name, namespace=namespace) is not None

    await eventually(granted)
    await eventually(usable)


class TestTakenOver:
    async def test_everything_goes_on_and_ends_as_if_it_were_ours(
        self, plane: Plane, kind: Resource, unique: Callable[[str], str]
    ) -> None:
        team, other = unique("team"), Resource(kind.group, "v1", "queues", kind="Queue")
        await plane.lab.publish(kind)
        await plane.lab.publish(other)
        left = Left(plane, team)
        await left.whole(kind)
        app = AppCluster(plane.lab, team, "prod", "")
        before = await uids(app, kind)
        namespace = await plane.lab.admin.get(NAMESPACES, app.root)
        mark = plane.lab.cluster.audit_mark()

        app = await plane.connect(team, "prod", kind)
        await app.condition("Ready")
        await served(app, kind)
        # What comes later is served as in any other root namespace.
        listed = [{"group": one.group, "resource": one.plural} for one in (kind, other)]
        await app.patch({"spec": {"apiExports": listed}})
        await app.exported(other)
        await app.binding(other)
        assert await uids(app, kind) == before
        after = await plane.lab.admin.get(NAMESPACES, app.root)
        assert meta.resource_version(after) == meta.resource_version(namespace)
        assert [
            f"{one.verb} {one.uri}"
            for one in plane.lab.cluster.audit_requests(since=mark)
            if one.user_agent == plane.agent and one.verb == "delete" and app.root in one.uri
        ] == []

        await app.delete()
        await app.gone(timeout=60.0)
        assert await plane.lab.namespace(f"{app.root}-apps") is None

    async def test_a_converged_one_costs_no_write(
        self, plane: Plane, kind: Resource, unique: Callable[[str], str]
    ) -> None:
        await plane.lab.publish(kind)
        left = Left(plane, unique("team"))
        await left.whole(kind)
        app = await plane.connect(left.team, "prod", kind)
        await app.condition("Ready")
        await served(app, kind)
        mark = plane.lab.cluster.audit_mark()
        await app.touch()
        probe = await plane.ready(unique("probe"), "prod")
        await probe.condition("Ready")
        assert [
            one.uri
            for one in plane.lab.cluster.audit_requests(since=mark)
            if one.user_agent == plane.agent
            and one.verb in {"create", "update", "patch", "delete"}
            and (app.root in one.uri or f"/{app.namespace}/" in one.uri)
            and "/events" not in one.uri
        ] == []

    async def test_overrides_that_nobody_would_check_are_refused(
        self, plane: Plane, unique: Callable[[str], str]
    ) -> None:
        """Go's namespaces enforce no pod security standard, and the backend may not label them."""
        left = Left(plane, unique("team"))
        await left.namespace()
        await left.cluster_binding(labels(left.team))
        overrides: dict[str, Any] = {
            "image": "example.org/konnector:1",
            "securityContext": {"privileged": True},
        }
        app = await plane.connect(left.team, "prod", konnector={"deploy": True, "overrides": overrides})
        told = await app.condition("KonnectorDeployed", "KonnectorDeploymentFailed", said="securityContext")
        assert await app.all(DEPLOYMENTS) == []
        key, _, value = (
            told.message.partition(f"label namespace {left.root} ")[2].partition(",")[0].partition("=")
        )
        await app.patch({"spec": {"konnector": {"overrides": {"securityContext": None}}}})
        await app.condition("KonnectorDeployed")
        await app.patch({"spec": {"konnector": {"overrides": {"securityContext": {"runAsUser": 1234}}}}})
        await app.condition("KonnectorDeployed", "KonnectorDeploymentFailed")
        await plane.lab.admin.merge_patch(NAMESPACES, left.root, {"metadata": {"labels": {key: value}}})
        await app.condition("KonnectorDeployed")

    async def test_the_proof_may_come_later(self, plane: Plane, unique: Callable[[str], str]) -> None:
        left = Left(plane, unique("team"))
        await left.namespace()
        await left.cluster_binding({})
        app = await plane.connect(left.team, "prod")
        await app.condition("NamespaceReady", "NamespaceConflict", said=keys.APP_CLUSTER_BINDING)
        patch = {"metadata": {"labels": labels(left.team)}}
        await plane.lab.admin.merge_patch(CLUSTER_BINDINGS, BINDING, patch, namespace=left.root)
        await app.recovers()

    async def test_one_that_was_never_used_is_deleted_as_well(
        self, plane: Plane, unique: Callable[[str], str]
    ) -> None:
        """The backend had no reason yet to bind its role there."""
        left = Left(plane, unique("team"))
        await left.namespace()
        await left.cluster_binding(labels(left.team))
        await plane.lab.admin.delete(SECRETS, "app", namespace=left.team)
        app = await plane.connect(left.team, "prod")
        await app.condition("SecretValid", "KubeconfigSecretNotFound")
        await app.delete()
        await app.gone(timeout=60.0)


class TestRefused:
    @pytest.mark.parametrize("proven", ["nothing", "half", "a-team", "another", "elsewhere"])
    async def test_what_proves_nothing(self, plane: Plane, unique: Callable[[str], str], proven: str) -> None:
        left = Left(plane, unique("team"))
        own = labels(left.team)
        await left.namespace()
        await left.cluster_binding(
            {
                "nothing": {},
                "half": {keys.APP_CLUSTER_BINDING_NAME: "prod"},
                "a-team": own | {keys.APP_CLUSTER_BINDING_NAMESPACE: "other"},
                "another": own | {keys.APP_CLUSTER_BINDING_NAME: "dev"},
                # The same name of a namespace, by other parts.
                "elsewhere": {
                    keys.APP_CLUSTER_BINDING_NAME: f"{left.team.partition('-')[2]}-prod",
                    keys.APP_CLUSTER_BINDING_NAMESPACE: left.team.partition("-")[0],
                },
            }[proven]
        )
        await self.is_refused(plane, left)

    @pytest.mark.parametrize("mark", [keys.APP_CLUSTER_BINDING, keys.IDENTITY], ids=["root", "tenant"])
    async def test_a_mark_of_another_counts_more_than_labels(
        self, plane: Plane, unique: Callable[[str], str], mark: str
    ) -> None:
        left = Left(plane, unique("team"))
        await left.namespace({mark: "someone/else"})
        await left.cluster_binding(labels(left.team))
        await self.is_refused(plane, left)

    async def test_two_that_share_a_name(self, plane: Plane, unique: Callable[[str], str]) -> None:
        """Go lets both use it, and writes the labels of each by turns."""
        base = unique("team")
        left = Left(plane, f"{base}-b")
        await left.namespace()
        await left.cluster_binding(labels(left.team))
        await plane.namespace(base)
        await plane.secret(base)
        rival = await plane.connect(base, "b-prod")
        assert rival.root == left.root
        await rival.condition("NamespaceReady", "NamespaceConflict")
        app = await plane.connect(left.team, "prod")
        await app.condition("NamespaceReady", "NamespaceConflict", said=f"{base}/b-prod")
        assert await app.all(SECRETS) == []
        await rival.delete()

        async def gone() -> bool:
            return await rival.get() is None

        await eventually(gone)
        assert await plane.lab.namespace(left.root) is not None
        await app.recovers()
        # Whoever comes after that comes too late.
        rival = await plane.connect(base, "b-prod")
        await rival.condition("NamespaceReady", "NamespaceConflict", said=f"{left.team}/prod")
        await app.touch()
        await app.condition("Ready")

    async def is_refused(self, plane: Plane, left: Left) -> None:
        app = await plane.connect(left.team, "prod")
        await app.condition("NamespaceReady", "NamespaceConflict")
        own = labels(left.team).items()
        assert [one for one in await app.all(SECRETS) if own <= meta.labels(one).items()] == []
        assert await app.all(ROLES) == []
        assert names.BACKEND_ROOT_ROLE not in [meta.name(one) for one in await app.all(ROLEBINDINGS)]
        await app.delete()

        async def gone() -> bool:
            return await app.get() is None

        await eventually(gone)
        assert await plane.lab.namespace(left.root) is not None


class TestAStolenCredential:
    """The backend's account alone cannot make the proof, nor get in without it (threats A75)."""

    async def test_it_gets_into_root_namespaces_and_no_others(
        self, plane: Plane, unique: Callable[[str], str]
    ) -> None:
        left = Left(plane, unique("team"))
        await left.namespace()
        config = from_kubeconfig(
            await plane.lab.stage.account_kubeconfig(plane.lab.cluster, BACKEND_NAMESPACE, BACKEND_ACCOUNT)
        )
        async with Client.open(config, user_agent="thief-in-tests") as thief:

            async def bind(namespace: str, role: str = names.BACKEND_ROOT_ROLE) -> Object:
                body = access.backend_binding(namespace, ACCOUNT)
                body["metadata"] |= {
                    "name": unique("stolen"),
                    "labels": {keys.APP_CLUSTER_PROOF: keys.CLUSTER_BINDING_PROOF},
                }
                body["roleRef"]["name"] = role
                return await thief.create(ROLEBINDINGS, body)

            for namespace in ("kube-system", left.team, left.root):
                with pytest.raises(DENIED):
                    await bind(namespace)
                with pytest.raises(DENIED):
                    await thief.create(
                        CLUSTER_BINDINGS,
                        {
                            "apiVersion": CLUSTER_BINDINGS.api_version,
                            "kind": CLUSTER_BINDINGS.kind,
                            "metadata": {
                                "name": BINDING,
                                "namespace": namespace,
                                "labels": labels(left.team),
                            },
                            "spec": {"kubeconfigSecretRef": {"name": "x", "key": "kubeconfig"}},
                        },
                    )
                with pytest.raises(DENIED):
                    await thief.delete(NAMESPACES, namespace)
            await left.cluster_binding({})
            with pytest.raises(DENIED):
                await bind(left.root)
            patch = {"metadata": {"labels": labels(left.team)}}
            with pytest.raises(DENIED):
                await thief.merge_patch(CLUSTER_BINDINGS, BINDING, patch, namespace=left.root)
            # The twin: a Go backend, or an administrator, says whose it is.
            await plane.lab.admin.merge_patch(CLUSTER_BINDINGS, BINDING, patch, namespace=left.root)
            with pytest.raises(DENIED):
                await bind(left.root, names.BACKEND_TENANT_ROLE)

            async def bound() -> Object | None:
                try:
                    return await bind(left.root)
                except DENIED:
                    return None

            await eventually(bound)
