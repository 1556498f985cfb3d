"""The kubeconfig of an app cluster: which one is taken, and how it comes into the root namespace."""

from collections.abc import Callable

import pytest

from bind_agent.api import meta
from bind_agent.api.encoding import from_base64, to_base64
from bind_agent.api.resource import CORE_EVENTS, NAMESPACES, SECRETS
from bind_agent.backend import names
from tests.fakes.backend_lab import eventually
from tests.fakes.control_plane_lab import AppCluster, Plane
from tests.integration.backend.controlplane.conftest import SHARED_SECRETS

pytestmark = pytest.mark.integration

HOSTILE = b"""apiVersion: v1
kind: Config
current-context: c
clusters: [{name: a, cluster: {server: "https://app.example:6443"}}]
users: [{name: u, user: {exec: {command: /bin/canary, apiVersion: client.authentication.k8s.io/v1}}}]
contexts: [{name: c, context: {cluster: a, user: u}}]
"""


async def mirrored(app: AppCluster, data: bytes) -> None:
    """Wait until exactly this content is in the root namespace."""

    async def there() -> bool:
        found = await app.inside(SECRETS, "app")
        assert found is not None
        return {key: from_base64(value) for key, value in found["data"].items()} == {"kubeconfig": data}

    await eventually(there)


async def test_missing_invalid_valid_and_missing_again(plane: Plane, unique: Callable[[str], str]) -> None:
    namespace = await plane.namespace(unique("team"))
    app = await plane.connect(namespace, "prod")
    await app.condition("SecretValid", "KubeconfigSecretNotFound")
    await plane.secret(namespace, data=b"not a kubeconfig")
    await app.condition("SecretValid", "KubeconfigSecretInvalid")
    await app.condition("Ready", "KubeconfigSecretInvalid")
    assert await plane.lab.admin.get_or_none(NAMESPACES, app.root) is None
    await plane.secret(namespace)
    await app.made()
    await plane.lab.admin.delete(SECRETS, "app", namespace=namespace)
    await app.condition("SecretValid", "KubeconfigSecretNotFound")
    # Nothing is torn down: whoever replaces the Secret finds everything in place.
    await mirrored(app, plane.kubeconfig)


async def test_events_tell_what_happened(plane: Plane, unique: Callable[[str], str]) -> None:
    namespace = await plane.namespace(unique("team"))
    app = await plane.connect(namespace, "prod")
    await app.condition("SecretValid", "KubeconfigSecretNotFound")
    await plane.secret(namespace)
    await app.made()

    async def told() -> bool:
        found = (await plane.lab.admin.list(CORE_EVENTS, namespace=namespace)).items
        about = {(one["type"], one["reason"]) for one in found if one["involvedObject"]["uid"] == app.uid}
        return {("Warning", "KubeconfigSecretNotFound"), ("Normal", "AppClusterBound")} <= about

    await eventually(told)


async def test_a_kubeconfig_that_would_run_a_program_is_refused(
    plane: Plane, unique: Callable[[str], str]
) -> None:
    """W-S3."""
    namespace = await plane.namespace(unique("team"))
    await plane.secret(namespace, data=HOSTILE)
    app = await plane.connect(namespace, "prod")
    condition = await app.condition("SecretValid", "KubeconfigSecretInvalid", said="exec")
    assert "canary" not in condition.message


async def test_a_secret_of_another_namespace_is_refused(plane: Plane, unique: Callable[[str], str]) -> None:
    """W-S12: whoever writes an AppClusterBinding cannot have Secrets copied that she cannot read."""
    victim, attacker = await plane.namespace(unique("victim")), await plane.namespace(unique("attacker"))
    await plane.secret(victim)
    app = await plane.connect(attacker, "prod", secret_namespace=victim)
    await app.condition("SecretValid", "SecretNamespaceNotAllowed", said="--allow-secret-namespaces")
    assert await plane.lab.admin.get_or_none(NAMESPACES, app.root) is None


async def test_a_secret_of_an_allowed_namespace_is_taken(plane: Plane, unique: Callable[[str], str]) -> None:
    await plane.namespace(SHARED_SECRETS)
    await plane.secret(SHARED_SECRETS)
    app = await plane.connect(await plane.namespace(unique("team")), "prod", secret_namespace=SHARED_SECRETS)
    await app.made()
    await mirrored(app, plane.kubeconfig)


async def test_a_missing_right_is_said_with_the_command_that_gives_it(
    plane: Plane, unique: Callable[[str], str]
) -> None:
    namespace = await plane.namespace(unique("team"), readable=False)
    await plane.secret(namespace)
    app = await plane.connect(namespace, "prod")
    said = f"kubectl -n {namespace} create rolebinding {names.APP_CLUSTERS_ROLE}"
    await app.condition("SecretValid", "PermissionDenied", said=said)
    await plane.let_read(namespace)
    # By itself the backend asks again in half a minute.
    await app.recovers()


async def test_a_new_credential_is_carried_over_and_nothing_else(
    plane: Plane, unique: Callable[[str], str]
) -> None:
    namespace = unique("team")
    app = await plane.ready(namespace, "prod")
    rotated = plane.kubeconfig + b"\n# rotated\n"
    await plane.secret(namespace, data=rotated, password=b"canary")
    await mirrored(app, rotated)


async def test_the_mirror_is_repaired(plane: Plane, unique: Callable[[str], str]) -> None:
    app = await plane.ready(unique("team"), "prod")
    admin = plane.lab.admin
    for patch in (
        {"data": {"kubeconfig": to_base64(b"other")}},
        {"data": {"more": to_base64(b"other")}},
        {"metadata": {"labels": None}},
    ):
        before = await app.appears(SECRETS, "app")
        changed = await admin.merge_patch(SECRETS, "app", patch, namespace=app.root)
        assert meta.resource_version(changed) != meta.resource_version(before)

        async def repaired() -> bool:
            found = await app.appears(SECRETS, "app")
            assert len(meta.labels(found)) == 2
            return True

        await mirrored(app, plane.kubeconfig)
        await eventually(repaired)
    await admin.delete(SECRETS, "app", namespace=app.root)
    await app.appears(SECRETS, "app")
    await mirrored(app, plane.kubeconfig)


async def test_a_mirror_of_another_type_is_replaced(plane: Plane, unique: Callable[[str], str]) -> None:
    namespace = unique("team")
    app = await plane.ready(namespace, "prod")
    assert (await app.appears(SECRETS, "app"))["type"] == "Opaque"
    await plane.lab.admin.delete(SECRETS, "app", namespace=namespace)
    body = {
        "apiVersion": "v1",
        "kind": "Secret",
        "type": "example.org/kubeconfig",
        "metadata": {"name": "app", "namespace": namespace},
        "data": {"kubeconfig": to_base64(plane.kubeconfig)},
    }
    await plane.lab.admin.create(SECRETS, body)

    async def replaced() -> bool:
        found = await app.inside(SECRETS, "app")
        return found is not None and found["type"] == "example.org/kubeconfig"

    await eventually(replaced)
    await app.made()
