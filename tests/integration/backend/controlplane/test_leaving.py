"""The end of an AppClusterBinding (spec 5.4)."""

from collections.abc import Callable

import pytest

from bind_agent.api import keys, meta
from bind_agent.api.resource import (
    APP_CLUSTER_BINDINGS,
    BINDINGS,
    CLUSTERROLES,
    CONFIGMAPS,
    NAMESPACES,
    SERVICE_NAMESPACES,
    Resource,
)
from tests.fakes.backend_lab import eventually
from tests.fakes.control_plane_lab import AppCluster, Plane

pytestmark = pytest.mark.integration


async def mapping(plane: Plane, app: AppCluster, name: str) -> str:
    """Ask for a service namespace as a konnector does, and wait for its name."""
    body = {
        "apiVersion": keys.API_VERSION,
        "kind": keys.KIND_SERVICE_NAMESPACE,
        "metadata": {"name": name, "namespace": app.root},
    }
    await plane.lab.admin.create(SERVICE_NAMESPACES, body)

    async def known() -> str:
        found = await app.appears(SERVICE_NAMESPACES, name)
        return str(found.get("status", {}).get("namespace", ""))

    return await eventually(known)


async def test_nothing_is_left(plane: Plane, kind: Resource, unique: Callable[[str], str]) -> None:
    await plane.lab.publish(kind)
    app = await plane.ready(unique("team"), "prod", kind, konnector={"deploy": True})
    await app.exported(kind)
    service = await mapping(plane, app, "shop")
    assert service == f"{app.root}-shop"
    role = keys.dynamic_role(app.root)
    assert await plane.lab.admin.get_or_none(CLUSTERROLES, role) is not None
    await app.delete()
    await app.gone()
    await plane.lab.gone(NAMESPACES, service)
    await plane.lab.gone(CLUSTERROLES, role)
    assert await plane.lab.namespace(app.namespace) is not None


async def test_one_that_never_came_about_goes_at_once(plane: Plane, unique: Callable[[str], str]) -> None:
    app = await plane.connect(await plane.namespace(unique("team")), "prod")
    await app.condition("SecretValid", "KubeconfigSecretNotFound")
    await app.delete()
    await app.gone()


async def test_a_binding_with_a_finalizer_is_waited_for(
    plane: Plane, kind: Resource, unique: Callable[[str], str]
) -> None:
    await plane.lab.publish(kind)
    app = await plane.ready(unique("team"), "prod", kind)
    await app.binding(kind)
    await plane.hold(BINDINGS, kind.crd_name, app.root)
    await app.delete()
    await app.condition("NamespaceReady", "Deleting", said=kind.crd_name)
    # Whoever holds the binding still finds what is needed for cleaning up.
    assert await plane.lab.namespace(app.root) is not None
    await app.exported(kind)
    await plane.let_go(BINDINGS, kind.crd_name, app.root)
    await app.gone()


async def test_an_object_in_a_service_namespace_is_waited_for(
    plane: Plane, unique: Callable[[str], str]
) -> None:
    app = await plane.ready(unique("team"), "prod")
    service = await mapping(plane, app, "shop")
    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "held", "namespace": service}}
    await plane.lab.admin.create(CONFIGMAPS, body)
    await plane.hold(CONFIGMAPS, "held", service)
    await app.delete()
    await app.condition("NamespaceReady", "Deleting", said="shop")
    found = await app.get()
    assert found is not None
    assert meta.has_finalizer(found, keys.APP_CLUSTER_BINDING_FINALIZER)
    await plane.let_go(CONFIGMAPS, "held", service)
    await app.gone()
    await plane.lab.gone(NAMESPACES, service)


async def test_a_legacy_role_is_waited_for(plane: Plane, unique: Callable[[str], str]) -> None:
    namespace = unique("team")
    app = await plane.ready(namespace, "prod")
    name = keys.legacy_konnector_role(namespace, "prod")
    role = {
        "apiVersion": CLUSTERROLES.api_version,
        "kind": "ClusterRole",
        "metadata": {"name": name},
        "rules": [{"apiGroups": [keys.GROUP], "resources": ["apiservicebindings"], "verbs": ["get"]}],
    }
    await plane.lab.admin.create(CLUSTERROLES, role)
    await app.delete()
    await app.condition("NamespaceReady", "LegacyRoleRemains", said=name, timeout=40.0)
    await plane.lab.admin.delete(CLUSTERROLES, name)
    await app.gone()


async def test_a_foreign_role_of_the_legacy_name_stays_and_holds_nothing_up(
    plane: Plane, unique: Callable[[str], str]
) -> None:
    namespace = unique("team")
    app = await plane.ready(namespace, "prod")
    name = keys.legacy_konnector_role(namespace, "prod")
    theirs = {
        "apiVersion": CLUSTERROLES.api_version,
        "kind": "ClusterRole",
        "metadata": {"name": name},
        "rules": [{"apiGroups": ["apps"], "resources": ["deployments"], "verbs": ["get"]}],
    }
    made = await plane.lab.admin.create(CLUSTERROLES, theirs)
    try:
        await app.delete()
        await app.gone()
        found = await plane.lab.admin.get(CLUSTERROLES, name)
        assert meta.uid(found) == meta.uid(made)
        assert not meta.is_deleting(found)
    finally:
        await plane.lab.admin.delete(CLUSTERROLES, name)


async def test_one_that_is_created_again_starts_afresh(
    plane: Plane, kind: Resource, unique: Callable[[str], str]
) -> None:
    await plane.lab.publish(kind)
    namespace = unique("team")
    app = await plane.ready(namespace, "prod", kind)
    old = await plane.lab.admin.get(NAMESPACES, app.root)
    await app.delete()
    await app.gone()
    again = await plane.connect(namespace, "prod", kind)
    await again.made()
    assert meta.uid(await plane.lab.admin.get(NAMESPACES, app.root)) != meta.uid(old)


async def test_a_finalizer_that_was_taken_off_by_hand_is_survived(
    plane: Plane, unique: Callable[[str], str]
) -> None:
    namespace = unique("team")
    app = await plane.ready(namespace, "prod")
    await plane.hold(APP_CLUSTER_BINDINGS, app.name, namespace)
    await app.delete()
    await plane.let_go(APP_CLUSTER_BINDINGS, app.name, namespace)

    async def gone() -> bool:
        return await app.get() is None

    await eventually(gone)
    again = await plane.connect(namespace, "prod")
    await again.made()
