"""From an AppClusterBinding to a root namespace with everything in it (spec 5.3, 9.5)."""

from collections.abc import Callable

import pytest

from bind_agent.api import keys, meta
from bind_agent.api.resource import (
    NAMESPACES,
    ROLEBINDINGS,
    ROLES,
    SECRETS,
    SERVICEACCOUNTS,
    Resource,
)
from bind_agent.backend.controlplane import objects
from tests.fakes.backend_lab import claim
from tests.fakes.control_plane_lab import Plane

pytestmark = pytest.mark.integration


async def test_everything_stands_in_the_root_namespace(
    plane: Plane, kind: Resource, unique: Callable[[str], str]
) -> None:
    await plane.lab.publish(kind, claim("secrets"))
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
