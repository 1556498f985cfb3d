"""The konnector's Deployment (spec 5.5; W-B11, W-B12)."""

from collections.abc import Callable
from typing import Any

import pytest

from bind_agent.api import meta
from bind_agent.api.meta import Object
from bind_agent.api.resource import BINDINGS, DEPLOYMENTS, Resource
from bind_agent.backend.controlplane import deployment
from tests.fakes.backend_lab import eventually
from tests.fakes.control_plane_lab import AppCluster, Plane

pytestmark = pytest.mark.integration

NAME = "konnector-prod"


def container(obj: Object) -> dict[str, Any]:
    (found,) = obj["spec"]["template"]["spec"]["containers"]
    return dict(found)


async def reaches(app: AppCluster, check: Callable[[Object], bool]) -> Object:
    """Wait until the Deployment is as it should be."""

    async def there() -> Object | None:
        found = await app.inside(DEPLOYMENTS, NAME)
        return found if found is not None and check(found) else None

    return await eventually(there)


async def test_none_is_deployed_by_default(plane: Plane, unique: Callable[[str], str]) -> None:
    app = await plane.ready(unique("team"), "prod")
    await app.condition("KonnectorDeployed")
    assert await app.all(DEPLOYMENTS) == []


async def test_deployed_changed_and_removed(plane: Plane, unique: Callable[[str], str]) -> None:
    app = await plane.ready(unique("team"), "prod", konnector={"deploy": True})
    await app.condition("KonnectorDeployed")
    found = await app.appears(DEPLOYMENTS, NAME)
    assert container(found)["image"] == deployment.IMAGE
    assert f"--binding-root-namespace={app.root}" in container(found)["args"]
    overrides = {
        "image": "mine:v1",
        "env": [{"name": "X", "value": "1"}],
        "resources": {"limits": {"cpu": "0.5"}},
    }
    await app.patch({"spec": {"konnector": {"overrides": overrides}}})
    found = await reaches(app, lambda one: container(one)["image"] == "mine:v1")
    assert [one["name"] for one in container(found)["env"]] == ["POD_NAME", "POD_NAMESPACE", "X"]
    assert container(found)["resources"]["limits"] == {"cpu": "500m", "memory": "512Mi"}
    await app.patch({"spec": {"konnector": {"overrides": None}}})
    found = await reaches(app, lambda one: container(one)["image"] == deployment.IMAGE)
    assert "cpu" not in container(found)["resources"]["limits"]
    await app.patch({"spec": {"konnector": {"deploy": False}}})
    await app.vanishes(DEPLOYMENTS, NAME)
    await app.condition("KonnectorDeployed")


async def test_whether_a_konnector_works_is_told(
    plane: Plane, kind: Resource, unique: Callable[[str], str]
) -> None:
    """There are no nodes here: pods run, and bindings work, when the test says so."""
    await plane.lab.publish(kind)
    app = await plane.ready(unique("team"), "prod", kind, konnector={"deploy": True})
    await app.condition("KonnectorAvailable", "Pending", said="konnector-prod")
    await app.condition("BindingsReady", "Pending", said=kind.crd_name)
    # As with a Go backend: what is not known to work yet does not hold up who waits before starting a konnector.
    await app.condition("Ready")
    admin = plane.lab.admin

    async def pods_are(status: str, **more: str) -> None:
        """Say what a Deployment controller would; none runs here."""
        patch = {"status": {"conditions": [{"type": "Available", "status": status, **more}]}}
        await admin.merge_patch(DEPLOYMENTS, NAME, patch, namespace=app.root, subresource="status")

    async def binding_is(status: str, **more: str) -> None:
        entry = {"type": "Ready", "status": status, "lastTransitionTime": "2026-01-01T00:00:00Z", **more}
        patch = {"status": {"conditions": [entry]}}
        await admin.merge_patch(BINDINGS, kind.crd_name, patch, namespace=app.root, subresource="status")

    await pods_are("True")
    await app.condition("KonnectorAvailable")
    await app.condition("BindingsReady", "Pending")
    await binding_is("True")
    await app.condition("BindingsReady")
    await app.condition("Ready")

    await binding_is("False", severity="Error", reason="AppClusterUnreachable", message="no answer")
    await app.condition("BindingsReady", "AppClusterUnreachable", said="no answer")
    await app.condition("Ready", "AppClusterUnreachable")
    await app.condition("APIsBound")
    await binding_is("True")
    await pods_are("False")
    await app.condition("KonnectorAvailable", "Pending")
    await app.condition("KonnectorDeployed")


async def test_drift_is_repaired(plane: Plane, unique: Callable[[str], str]) -> None:
    app = await plane.ready(unique("team"), "prod", konnector={"deploy": True})
    first = await app.appears(DEPLOYMENTS, NAME)
    admin = plane.lab.admin
    await admin.merge_patch(DEPLOYMENTS, NAME, {"spec": {"replicas": 0}}, namespace=app.root)
    await reaches(app, lambda one: one["spec"]["replicas"] == 2)
    await admin.merge_patch(DEPLOYMENTS, NAME, {"metadata": {"labels": None}}, namespace=app.root)
    await reaches(app, lambda one: meta.labels(one) == meta.labels(first))
    await admin.delete(DEPLOYMENTS, NAME, namespace=app.root)
    await reaches(app, lambda one: meta.uid(one) != meta.uid(first))


async def test_it_is_not_written_again_and_again(plane: Plane, unique: Callable[[str], str]) -> None:
    """Go writes it with each look, because it compares with what the API server filled in."""
    overrides = {"resources": {"limits": {"cpu": "0.5"}}, "livenessProbe": {"periodSeconds": 7}}
    app = await plane.ready(unique("team"), "prod", konnector={"deploy": True, "overrides": overrides})
    before = await app.appears(DEPLOYMENTS, NAME)
    for _ in range(3):
        await app.touch()
    probe = await plane.ready(unique("probe"), "prod")
    await probe.made()
    after = await app.appears(DEPLOYMENTS, NAME)
    assert meta.resource_version(after) == meta.resource_version(before)
    writes = [
        one
        for one in plane.lab.cluster.audit_requests()
        if one.resource == "deployments" and app.root in one.uri and one.verb == "patch"
    ]
    assert len(writes) == 1


async def test_a_deployment_that_is_refused_is_said(
    plane: Plane, kind: Resource, unique: Callable[[str], str]
) -> None:
    """W-B11: in Go this reason can never be seen. Nothing else is held up by it."""
    await plane.lab.publish(kind)
    namespace = await plane.namespace(unique("team"))
    await plane.secret(namespace)
    broken = {"deploy": True, "overrides": {"volumeMounts": [{"name": "missing", "mountPath": "/x"}]}}
    app = await plane.connect(namespace, "prod", kind, konnector=broken)
    await app.condition("KonnectorDeployed", "KonnectorDeploymentFailed", said="volumeMounts")
    await app.condition("Ready", "KonnectorDeploymentFailed")
    await app.condition("APIsBound")
    await app.patch({"spec": {"konnector": {"overrides": None}}})
    await app.made()
    await app.appears(DEPLOYMENTS, NAME)


async def test_one_that_is_not_ours_is_left_alone(plane: Plane, unique: Callable[[str], str]) -> None:
    app = await plane.ready(unique("team"), "prod", konnector={"deploy": True})
    ours = await app.appears(DEPLOYMENTS, NAME)
    foreign = {**ours, "metadata": {"name": "other", "namespace": app.root}}
    foreign.pop("status", None)
    await plane.lab.admin.create(DEPLOYMENTS, foreign)
    await app.patch({"spec": {"konnector": {"deploy": False}}})
    await app.vanishes(DEPLOYMENTS, NAME)
    assert await app.inside(DEPLOYMENTS, "other") is not None
