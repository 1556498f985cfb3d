"""From an AppClusterBinding to a root namespace with everything in it (spec 5.3, 9.5)."""

from collections.abc import Callable
from dataclasses import replace

import msgspec
import pytest

from bind_agent.api import conditions, consent, keys, meta, naming
from bind_agent.api.claims import AcceptablePermissionClaim, PermissionClaim
from bind_agent.api.encoding import from_base64
from bind_agent.api.resource import (
    BINDINGS,
    EXPORT_REQUESTS,
    EXPORTS,
    NAMESPACES,
    ROLEBINDINGS,
    ROLES,
    SECRETS,
    SERVICEACCOUNTS,
    Resource,
)
from bind_agent.backend.controlplane import objects
from tests.fakes.backend_lab import claim, eventually
from tests.fakes.control_plane_lab import AppCluster, Plane

pytestmark = pytest.mark.integration

# Templates that claim Secrets come without their role here: it would give the backend Secrets everywhere, and nobody
# could tell any more which rights it has of itself.


async def test_everything_stands_in_the_root_namespace(
    plane: Plane, kind: Resource, unique: Callable[[str], str]
) -> None:
    await plane.lab.publish(kind, claim("secrets"), role=False)
    namespace = unique("team")
    app = await plane.ready(namespace, "prod", kind)
    assert app.root == f"klutch-bind-{namespace}-prod"
    labels = {keys.APP_CLUSTER_BINDING_NAME: "prod", keys.APP_CLUSTER_BINDING_NAMESPACE: namespace}
    root = await plane.lab.admin.get(NAMESPACES, app.root)
    assert meta.annotation(root, keys.APP_CLUSTER_BINDING) == f"{namespace}/prod"
    secret = await app.appears(SECRETS, "app")
    assert list(secret["data"]) == ["kubeconfig"]
    assert meta.labels(secret) == labels
    binding = await app.cluster_binding()
    assert binding["spec"] == {
        "providerPrettyName": "prod",
        "kubeconfigSecretRef": {"name": "app", "key": "kubeconfig"},
    }
    assert labels.items() <= meta.labels(binding).items()
    await app.appears(SERVICEACCOUNTS, keys.BINDER)
    role = await app.appears(ROLES, keys.CONTROL_PLANE_CONNECTOR)
    assert role["rules"] == objects.connector_rules()
    grant = await app.appears(ROLEBINDINGS, keys.CONTROL_PLANE_CONNECTOR)
    assert grant["roleRef"]["name"] == keys.CONTROL_PLANE_CONNECTOR
    bound = await app.binding(kind)
    assert bound["spec"] == {
        "kubeconfigSecretRef": {"name": "app", "key": "kubeconfig", "namespace": app.root}
    }
    assert meta.labels(bound) == labels
    await app.exported(kind)
    await app.condition("SecretValid")
    await app.condition("KonnectorDeployed")
    await app.condition("APIsBound")


async def test_the_secret_of_a_root_namespace_is_never_replaced_by_a_credential(
    plane: Plane, unique: Callable[[str], str]
) -> None:
    app = await plane.ready(unique("team"), "prod")
    binding = await app.cluster_binding()

    async def granted() -> bool:
        found = await app.cluster_binding()
        return conditions.is_true(conditions.of(found), "AccessGranted")

    await eventually(granted)
    found = conditions.get(conditions.of(binding), "CredentialIssued")
    assert found is None
    secret = await app.appears(SECRETS, "app")
    assert from_base64(secret["data"]["kubeconfig"]) == plane.kubeconfig
    assert [meta.name(one) for one in await app.all(SECRETS)] == ["app"]


async def test_a_long_name_gets_a_root_namespace_with_a_digest(
    plane: Plane, unique: Callable[[str], str]
) -> None:
    name = "a-" + "very-" * 15 + "long-name"
    app = await plane.ready(unique("team"), name)
    assert app.root.startswith("klutch-bind-")
    assert app.root.endswith(naming.digest(app.namespace, name))
    assert len(app.root) <= 63
    (labels,) = [meta.labels(one) for one in await app.all(SECRETS)]
    assert labels[keys.APP_CLUSTER_BINDING_NAME] == naming.digest(name)


class TestApis:
    async def test_one_without_a_template_says_so_and_stops_nothing_else(
        self, plane: Plane, kind: Resource, unique: Callable[[str], str]
    ) -> None:
        """W-B11: Go stops at this point and writes no status."""
        missing = replace(kind, plural="queues", kind="Queue")
        await plane.lab.publish(kind)
        await plane.lab.publish(missing, template=False)
        namespace = await plane.namespace(unique("team"))
        await plane.secret(namespace)
        app = await plane.connect(namespace, "prod", missing, kind)
        await app.condition("APIsBound", "TemplateNotFound", said=missing.crd_name)
        await app.condition("Ready", "TemplateNotFound")
        await app.condition("SecretValid")
        await app.condition("KonnectorDeployed")
        await app.exported(kind)
        await plane.lab.publish(missing, crd=False, role=False)
        await app.made()
        await app.exported(missing)

    async def test_a_crd_that_comes_late(
        self, plane: Plane, kind: Resource, unique: Callable[[str], str]
    ) -> None:
        """A request that failed does not stand in the way of another one (spec 5.3 step 5)."""
        await plane.lab.publish(kind, crd=False)
        namespace = await plane.namespace(unique("team"))
        await plane.secret(namespace)
        app = await plane.connect(namespace, "prod", kind)
        await app.condition("APIsBound", "CRDNotFound")

        async def failed() -> bool:
            return [one["status"].get("phase") for one in await app.requests()] == ["Failed"]

        await eventually(failed)
        await plane.lab.publish(kind, template=False, role=False)
        await app.exported(kind)
        await app.made()

    async def test_added_and_removed(
        self, plane: Plane, kind: Resource, unique: Callable[[str], str]
    ) -> None:
        other = replace(kind, plural="queues", kind="Queue")
        await plane.lab.publish(kind)
        await plane.lab.publish(other)
        app = await plane.ready(unique("team"), "prod", kind)
        both = [{"group": one.group, "resource": one.plural} for one in (kind, other)]
        await app.patch({"spec": {"apiExports": both}})
        await app.exported(other)
        names_of_requests = {meta.name(one) for one in await app.requests()}
        assert naming.export_request("prod", other.crd_name) in names_of_requests
        await app.patch({"spec": {"apiExports": both[:1]}})
        await app.vanishes(BINDINGS, other.crd_name)
        await app.vanishes(EXPORTS, other.crd_name)
        await app.vanishes(EXPORT_REQUESTS, naming.export_request("prod", other.crd_name))
        assert await app.inside(EXPORTS, kind.crd_name) is not None
        await app.made()

    async def test_the_export_of_a_removed_api_outlives_its_binding(
        self, plane: Plane, kind: Resource, unique: Callable[[str], str]
    ) -> None:
        await plane.lab.publish(kind)
        app = await plane.ready(unique("team"), "prod", kind)
        await plane.hold(BINDINGS, kind.crd_name, app.root)
        await app.patch({"spec": {"apiExports": []}})

        async def leaving() -> bool:
            return meta.is_deleting(await app.binding(kind))

        await eventually(leaving)
        assert await app.inside(EXPORTS, kind.crd_name) is not None
        await plane.let_go(BINDINGS, kind.crd_name, app.root)
        await app.vanishes(EXPORTS, kind.crd_name)

    async def test_an_export_that_is_deleted_comes_back(
        self, plane: Plane, kind: Resource, unique: Callable[[str], str]
    ) -> None:
        await plane.lab.publish(kind)
        app = await plane.ready(unique("team"), "prod", kind)
        old = await app.exported(kind)
        await plane.lab.admin.delete(EXPORTS, kind.crd_name, namespace=app.root)

        async def another() -> bool:
            found = await app.inside(EXPORTS, kind.crd_name)
            return found is not None and meta.uid(found) != meta.uid(old)

        await eventually(another)
        await app.made()


class TestClaims:
    """W-B12: in Go nobody ever accepts them."""

    async def entries(self, app: AppCluster, kind: Resource) -> list[tuple[str, str]]:
        spec = (await app.binding(kind))["spec"]
        return [(one["resource"], one["state"]) for one in spec.get("permissionClaims", [])]

    async def test_none_by_default(self, plane: Plane, kind: Resource, unique: Callable[[str], str]) -> None:
        await plane.lab.publish(kind, claim("secrets"), role=False)
        app = await plane.ready(unique("team"), "prod", kind)
        assert await self.entries(app, kind) == []

    async def test_by_policy_and_withdrawn(
        self, plane: Plane, kind: Resource, unique: Callable[[str], str]
    ) -> None:
        await plane.lab.publish(kind, claim("secrets"), claim("configmaps"), role=False)
        app = await plane.ready(unique("team"), "prod", kind, accept="secrets")
        assert await self.entries(app, kind) == [("secrets", "Accepted")]
        exported = await app.exported(kind)
        offered = [msgspec.convert(one, PermissionClaim) for one in exported["spec"]["permissionClaims"]]
        stored = (await app.binding(kind))["spec"]["permissionClaims"]
        decisions = consent.decide(
            offered, [msgspec.convert(one, AcceptablePermissionClaim) for one in stored]
        )
        assert [(one.offered.resource, one.consent.value) for one in decisions] == [
            ("secrets", "InForce"),
            ("configmaps", "Waiting"),
        ]

        async def said(wanted: list[tuple[str, str]]) -> None:
            async def reached() -> bool:
                return sorted(await self.entries(app, kind)) == sorted(wanted)

            await eventually(reached)

        await app.accept("all")
        await said([("secrets", "Accepted"), ("configmaps", "Accepted")])
        # A person says no to one of them: that stands, whatever the policy says.
        mixed = (await app.binding(kind))["spec"]["permissionClaims"]
        changed = [{**one, "state": "Rejected"} if one["resource"] == "secrets" else one for one in mixed]
        await plane.lab.admin.merge_patch(
            BINDINGS, kind.crd_name, {"spec": {"permissionClaims": changed}}, namespace=app.root
        )
        await app.accept("none")
        await said([("secrets", "Rejected")])
        await app.accept("all")
        await said([("secrets", "Rejected"), ("configmaps", "Accepted")])

    async def test_a_policy_that_cannot_be_read_is_said(
        self, plane: Plane, kind: Resource, unique: Callable[[str], str]
    ) -> None:
        await plane.lab.publish(kind, claim("secrets"), role=False)
        app = await plane.ready(unique("team"), "prod", kind)
        await app.accept("everything!")
        await app.condition("APIsBound", "ClaimPolicyInvalid", said=keys.ACCEPT_CLAIMS)
        assert await self.entries(app, kind) == []
