"""The root namespace: whose it is, what may be done in it, and that it stays as it should be."""

from collections.abc import Callable
from typing import Any

import pytest

from bind_agent.api import conditions, keys, meta
from bind_agent.api.meta import Object
from bind_agent.api.resource import (
    APP_CLUSTER_BINDINGS,
    BINDINGS,
    CLUSTER_BINDINGS,
    DEPLOYMENTS,
    EXPORT_REQUESTS,
    EXPORT_TEMPLATES,
    EXPORTS,
    LEASES,
    NAMESPACES,
    NETWORKPOLICIES,
    ROLEBINDINGS,
    ROLES,
    SECRETS,
    SERVICEACCOUNTS,
    Resource,
)
from bind_agent.backend import access, names
from bind_agent.devcluster.stage import BACKEND_ACCOUNT, BACKEND_NAMESPACE
from bind_agent.kube.client import Client
from bind_agent.kube.config import from_kubeconfig
from bind_agent.kube.errors import Forbidden
from tests.fakes.backend_lab import eventually, template_of
from tests.fakes.control_plane_lab import AppCluster, Plane

pytestmark = pytest.mark.integration


class TestOwnership:
    """W-S11: names of root namespaces are ambiguous, and names prove nothing."""

    async def test_a_namespace_of_others_is_neither_used_nor_deleted(
        self, plane: Plane, unique: Callable[[str], str]
    ) -> None:
        team = await plane.namespace(unique("team"))
        foreign = await plane.namespace(f"klutch-bind-{team}-prod", readable=False)
        await plane.secret(team)
        app = await plane.connect(team, "prod")
        await app.condition("NamespaceReady", "NamespaceConflict", said=keys.APP_CLUSTER_BINDING)
        await app.condition("Ready", "NamespaceConflict")
        for resource in (SECRETS, CLUSTER_BINDINGS, ROLES, ROLEBINDINGS, DEPLOYMENTS, BINDINGS):
            assert await app.all(resource) == []
        await app.delete()

        async def gone() -> bool:
            return await app.get() is None

        await eventually(gone)
        assert await plane.lab.namespace(foreign) is not None

    async def test_one_that_is_recorded_as_ours_is_used(
        self, plane: Plane, unique: Callable[[str], str]
    ) -> None:
        """What a Go backend left is taken over once a person says whose it is."""
        team = await plane.namespace(unique("team"))
        root = await plane.namespace(f"klutch-bind-{team}-prod", readable=False)
        await plane.secret(team)
        app = await plane.connect(team, "prod")
        await app.condition("NamespaceReady", "NamespaceConflict")
        patch = {"metadata": {"annotations": {keys.APP_CLUSTER_BINDING: f"{team}/prod"}}}
        await plane.lab.admin.merge_patch(NAMESPACES, root, patch)
        await app.made()

    async def test_what_stands_in_the_way_in_it_is_said(
        self, plane: Plane, unique: Callable[[str], str]
    ) -> None:
        team = await plane.namespace(unique("team"))
        await plane.secret(team)
        marks = {keys.APP_CLUSTER_BINDING: f"{team}/prod"}
        root = await plane.namespace(f"klutch-bind-{team}-prod", readable=False, annotations=marks)
        admin = plane.lab.admin
        other = access.binder_binding(root, keys.BINDER, root)
        other["metadata"]["name"] = keys.CONTROL_PLANE_CONNECTOR
        await admin.create(ROLEBINDINGS, other)
        foreign = {
            "apiVersion": CLUSTER_BINDINGS.api_version,
            "kind": CLUSTER_BINDINGS.kind,
            "metadata": {"name": keys.CLUSTER_BINDING_NAME, "namespace": root},
            "spec": {
                "providerPrettyName": "x",
                "kubeconfigSecretRef": {"name": "other", "key": "kubeconfig"},
            },
        }
        await admin.create(CLUSTER_BINDINGS, foreign)
        app = await plane.connect(team, "prod")
        await app.condition("NamespaceReady", "BindingConflict", said="delete it")
        await admin.delete(CLUSTER_BINDINGS, keys.CLUSTER_BINDING_NAME, namespace=root)
        await app.condition("NamespaceReady", "NamespaceConflict", said=keys.CONTROL_PLANE_CONNECTOR)
        await admin.delete(ROLEBINDINGS, keys.CONTROL_PLANE_CONNECTOR, namespace=root)
        await app.recovers()

    async def test_two_that_share_a_name(self, plane: Plane, unique: Callable[[str], str]) -> None:
        base = unique("team")
        first, second = await plane.namespace(base), await plane.namespace(f"{base}-b")
        await plane.secret(first)
        await plane.secret(second)
        one = await plane.connect(first, "b-c")
        await one.made()
        other = await plane.connect(second, "c")
        assert one.root == other.root
        await other.condition("NamespaceReady", "NamespaceConflict", said=f"{first}/b-c")
        await other.delete()

        async def gone() -> bool:
            return await other.get() is None

        await eventually(gone)
        assert await plane.lab.namespace(one.root) is not None
        await one.made()

    async def test_a_service_namespace_cannot_become_a_root_namespace(
        self, plane: Plane, unique: Callable[[str], str]
    ) -> None:
        team = await plane.namespace(unique("team"))
        marks = {keys.API_SERVICE_NAMESPACE: "klutch-bind-someone/else"}
        await plane.namespace(f"klutch-bind-{team}-prod", readable=False, annotations=marks)
        await plane.secret(team)
        app = await plane.connect(team, "prod")
        await app.condition("NamespaceReady", "NamespaceConflict")
        assert await app.all(SECRETS) == []

    async def test_one_that_is_deleted_by_hand_is_made_again(
        self, plane: Plane, unique: Callable[[str], str]
    ) -> None:
        app = await plane.ready(unique("team"), "prod")
        old = await plane.lab.admin.get(NAMESPACES, app.root)
        await plane.lab.admin.delete(NAMESPACES, app.root)

        async def another() -> bool:
            found = await plane.lab.namespace(app.root)
            return found is not None and meta.uid(found) != meta.uid(old)

        await eventually(another, timeout=40.0)
        await app.made()
        await app.appears(SECRETS, "app")


class TestDrift:
    """W-B12: in Go the watch that should repair it never fires."""

    async def repaired(
        self, app: AppCluster, resource: Resource, name: str, patch: dict[str, Any], *, parts: tuple[str, ...]
    ) -> None:
        before = await app.appears(resource, name)

        async def same() -> bool:
            found = await app.appears(resource, name)
            assert meta.labels(before).items() <= meta.labels(found).items()
            return all(found.get(part) == before.get(part) for part in parts)

        changed = await app.lab.admin.merge_patch(resource, name, patch, namespace=app.root)
        assert meta.resource_version(changed) != meta.resource_version(before)
        await eventually(same)
        await app.lab.admin.delete(resource, name, namespace=app.root)

        async def another() -> bool:
            found = await app.inside(resource, name)
            return found is not None and meta.uid(found) != meta.uid(before)

        await eventually(another)
        await eventually(same)

    async def test_role(self, plane: Plane, unique: Callable[[str], str]) -> None:
        app = await plane.ready(unique("team"), "prod")
        await self.repaired(app, ROLES, keys.CONTROL_PLANE_CONNECTOR, {"rules": []}, parts=("rules",))

    async def test_role_binding(self, plane: Plane, unique: Callable[[str], str]) -> None:
        app = await plane.ready(unique("team"), "prod")
        await self.repaired(
            app, ROLEBINDINGS, keys.CONTROL_PLANE_CONNECTOR, {"subjects": []}, parts=("subjects", "roleRef")
        )

    async def test_network_policy(self, plane: Plane, unique: Callable[[str], str]) -> None:
        """W-S14."""
        app = await plane.ready(unique("team"), "prod")
        await self.repaired(
            app, NETWORKPOLICIES, keys.KONNECTOR, {"spec": {"ingress": [{}]}}, parts=("spec",)
        )

    async def test_account(self, plane: Plane, unique: Callable[[str], str]) -> None:
        app = await plane.ready(unique("team"), "prod")
        await self.repaired(app, SERVICEACCOUNTS, keys.BINDER, {"metadata": {"labels": None}}, parts=())

    async def test_cluster_binding(self, plane: Plane, unique: Callable[[str], str]) -> None:
        app = await plane.ready(unique("team"), "prod")
        await self.repaired(
            app,
            CLUSTER_BINDINGS,
            keys.CLUSTER_BINDING_NAME,
            {"metadata": {"labels": None}, "spec": {"providerPrettyName": "other"}},
            parts=("spec",),
        )

    async def test_binding(self, plane: Plane, kind: Resource, unique: Callable[[str], str]) -> None:
        await plane.lab.publish(kind)
        app = await plane.ready(unique("team"), "prod", kind)
        await self.repaired(app, BINDINGS, kind.crd_name, {"metadata": {"labels": None}}, parts=("spec",))

    async def test_a_converged_app_cluster_costs_no_write(
        self, plane: Plane, kind: Resource, unique: Callable[[str], str]
    ) -> None:
        await plane.lab.publish(kind)
        app = await plane.ready(unique("team"), "prod", kind, konnector={"deploy": True})

        async def granted() -> bool:
            found = (await app.exported(kind), await app.cluster_binding())
            return all(conditions.is_true(conditions.of(one), names.ACCESS_GRANTED) for one in found)

        await eventually(granted)
        mark = plane.lab.cluster.audit_mark()
        await app.touch()
        probe = await plane.ready(unique("probe"), "prod")
        # What came after has been done, so what came before has been looked at.
        await probe.made()
        writes = [
            one.uri
            for one in plane.lab.cluster.audit_requests(since=mark)
            if one.user_agent == plane.agent
            and one.verb in {"create", "update", "patch", "delete"}
            and (app.root in one.uri or f"/{app.namespace}/" in one.uri)
            and "/events" not in one.uri
        ]
        assert writes == []


class TestRights:
    async def konnector(self, plane: Plane, app: AppCluster) -> Client:
        async def account() -> bool:
            return await app.inside(SERVICEACCOUNTS, keys.BINDER) is not None

        await eventually(account)
        path = await plane.lab.stage.account_kubeconfig(plane.lab.cluster, app.root, keys.BINDER)
        return Client.open(from_kubeconfig(path), user_agent="konnector-in-tests")

    async def test_what_a_konnector_may_do(self, plane: Plane, unique: Callable[[str], str]) -> None:
        one = await plane.ready(unique("one"), "prod")
        other = await plane.ready(unique("other"), "prod")
        async with await self.konnector(plane, one) as client:

            async def allowed(verb: str, resource: Resource, namespace: str, subresource: str = "") -> bool:
                review = await client.can_i(
                    verb=verb,
                    group=resource.group,
                    resource=resource.plural,
                    namespace=namespace,
                    subresource=subresource,
                )
                return review.allowed

            for verb in ("get", "list", "watch", "create", "update", "patch", "delete"):
                for resource in (BINDINGS, LEASES):
                    assert await allowed(verb, resource, one.root), (verb, resource)
                for resource in (BINDINGS, LEASES, SECRETS, CLUSTER_BINDINGS):
                    for namespace in (other.root, one.namespace, "kube-system", ""):
                        assert not await allowed(verb, resource, namespace), (verb, resource, namespace)
            assert await allowed("patch", BINDINGS, one.root, "status")
            assert await allowed("get", SECRETS, one.root)
            assert await allowed("patch", CLUSTER_BINDINGS, one.root, "status")
            for verb, resource in (
                ("create", SECRETS),
                ("create", DEPLOYMENTS),
                ("create", ROLEBINDINGS),
                ("update", ROLES),
                ("create", Resource("", "v1", "pods")),
            ):
                assert not await allowed(verb, resource, one.root), (verb, resource)

    async def test_a_konnector_gets_no_api_that_is_not_listed(
        self, plane: Plane, kind: Resource, unique: Callable[[str], str]
    ) -> None:
        """W-B19; what is listed is got even where `spec.allowed` names no person."""
        other = Resource(kind.group, "v1", "queues", kind="Queue")
        await plane.lab.publish(kind, template=False)
        await plane.lab.publish(other)
        closed = template_of(kind)
        closed["spec"]["allowed"] = {"users": [], "groups": []}
        await plane.lab.admin.create(EXPORT_TEMPLATES, closed)
        app = await plane.ready(unique("team"), "prod", kind)
        await app.exported(kind)
        async with await self.konnector(plane, app) as client:
            body = {
                "apiVersion": keys.API_VERSION,
                "kind": keys.KIND_EXPORT_REQUEST,
                "metadata": {"name": "more", "namespace": app.root},
                "spec": {"resources": [{"group": other.group, "resource": other.plural}]},
            }
            await client.create(EXPORT_REQUESTS, body)

            async def refused() -> bool:
                found = await app.appears(EXPORT_REQUESTS, "more")
                condition = conditions.get(conditions.of(found), "ExportsReady")
                assert condition is not None
                return condition.reason == names.REASON_NOT_ALLOWED

            await eventually(refused)
            with pytest.raises(Forbidden):
                await client.merge_patch(
                    CLUSTER_BINDINGS,
                    keys.CLUSTER_BINDING_NAME,
                    {"metadata": {"annotations": {names.ALLOWED_KINDS: "*"}}},
                    namespace=app.root,
                )
        assert await app.inside(EXPORTS, other.crd_name) is None

    async def test_the_backends_own_rights_end_at_root_namespaces(
        self, plane: Plane, unique: Callable[[str], str]
    ) -> None:
        app = await plane.ready(unique("team"), "prod")
        for verb, resource in (
            ("create", DEPLOYMENTS),
            ("patch", DEPLOYMENTS),
            ("create", SECRETS),
            ("create", ROLES),
            ("create", BINDINGS),
        ):
            for namespace, expected in (
                (app.root, True),
                ("default", False),
                ("kube-system", False),
                ("", False),
            ):
                review = await plane.lab.own.can_i(
                    verb=verb, group=resource.group, resource=resource.plural, namespace=namespace
                )
                assert review.allowed is expected, (verb, resource, namespace)

    async def test_admission_holds_where_rbac_cannot(
        self, plane: Plane, unique: Callable[[str], str]
    ) -> None:
        app = await plane.ready(unique("team"), "prod")
        party = await plane.lab.join(unique("tenant"))
        config = from_kubeconfig(
            await plane.lab.stage.account_kubeconfig(plane.lab.cluster, BACKEND_NAMESPACE, BACKEND_ACCOUNT)
        )
        async with Client.open(config, user_agent="thief-in-tests") as thief:

            async def bind(namespace: str) -> Object:
                body = access.backend_binding(namespace, (BACKEND_NAMESPACE, BACKEND_ACCOUNT))
                body["metadata"]["name"] = "stolen"
                body["roleRef"]["name"] = names.BACKEND_ROOT_ROLE
                return await thief.create(ROLEBINDINGS, body)

            for namespace in (party.namespace, app.namespace, "kube-system"):
                with pytest.raises(Forbidden, match="only"):
                    await bind(namespace)
            await bind(app.root)
            for patch in (
                {"metadata": {"annotations": {keys.ACCEPT_CLAIMS: "all"}}},
                {"metadata": {"labels": {"x": "y"}}},
                {"spec": {"apiExports": [{"group": "", "resource": "secrets"}]}},
            ):
                with pytest.raises(Forbidden, match="does not change"):
                    await thief.merge_patch(APP_CLUSTER_BINDINGS, app.name, patch, namespace=app.namespace)
            unmarked = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": unique("klutch-bind")}}
            with pytest.raises(Forbidden, match="tenants only"):
                await thief.create(NAMESPACES, unmarked)
            with pytest.raises(Forbidden, match="tenants only"):
                await thief.delete(NAMESPACES, app.namespace)
