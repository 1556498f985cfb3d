"""W-B11: the status says what failed, whatever fails, and what can go on goes on."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from bind_agent.api import keys
from bind_agent.api.meta import Object
from bind_agent.api.resource import EXPORT_REQUESTS, SECRETS, Resource
from bind_agent.kube.errors import Invalid
from tests.fakes.admission import admission_policy
from tests.fakes.control_plane_lab import Plane

pytestmark = pytest.mark.integration


@asynccontextmanager
async def refused(plane: Plane, resource: Resource, namespace: str, probe: Object) -> AsyncIterator[None]:
    """Have the API server refuse to create a kind in one namespace, as a policy of the platform might."""
    rule = {
        "apiGroups": [resource.group],
        "apiVersions": [resource.version],
        "resources": [resource.plural],
        "operations": ["CREATE"],
    }
    spec = {
        "matchConstraints": {"resourceRules": [rule]},
        "matchConditions": [{"name": "here", "expression": f"request.namespace == '{namespace}'"}],
        "validations": [{"expression": "false", "message": "refused in tests"}],
    }
    name = f"refuse-{resource.plural}-{namespace}"
    probed = (resource, namespace, probe)
    async with admission_policy(plane.lab.admin, name, spec, probe=probed, refusal=Invalid):
        yield


async def test_a_request_that_is_refused(plane: Plane, kind: Resource, unique: Callable[[str], str]) -> None:
    other = Resource(kind.group, "v1", "queues", kind="Queue")
    await plane.lab.publish(kind)
    await plane.lab.publish(other)
    app = await plane.ready(unique("team"), "prod")
    probe = {
        "apiVersion": keys.API_VERSION,
        "kind": keys.KIND_EXPORT_REQUEST,
        "metadata": {"name": "probe", "namespace": app.root},
        "spec": {"resources": [{"group": kind.group, "resource": kind.plural}]},
    }
    async with refused(plane, EXPORT_REQUESTS, app.root, probe):
        listed = [{"group": one.group, "resource": one.plural} for one in (kind, other)]
        await app.patch({"spec": {"apiExports": listed}})
        await app.condition("APIsBound", "WriteFailed", said="ValidatingAdmissionPolicy")
        await app.condition("Ready", "WriteFailed")
        # The binding and the other parts came about nevertheless.
        await app.binding(kind)
        await app.binding(other)
        await app.condition("KonnectorDeployed")
    await app.recovers()
    await app.exported(kind)


async def test_a_root_namespace_in_which_nothing_can_be_written(
    plane: Plane, unique: Callable[[str], str]
) -> None:
    app = await plane.ready(unique("team"), "prod")
    probe = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "probe", "namespace": app.root}}
    async with refused(plane, SECRETS, app.root, probe):
        await plane.lab.admin.delete(SECRETS, "app", namespace=app.root)
        await app.condition("NamespaceReady", "WriteFailed")
        await app.condition("Ready", "WriteFailed")
        await app.condition("SecretValid")
    await app.recovers()
    await app.appears(SECRETS, "app")
