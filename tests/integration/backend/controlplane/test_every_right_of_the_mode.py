"""After all other tests of this folder: no request was refused, and no right was given in vain."""

import pytest

from bind_agent.backend.controlplane import objects
from bind_agent.manifests import load_manifests
from tests.fakes.control_plane_lab import OVERLAY, Plane

pytestmark = pytest.mark.integration

NOT_REQUESTS = frozenset({"bind"})

HANDED_ON = {
    (group, resource, verb)
    for rule in objects.connector_rules()
    for group in rule["apiGroups"]
    for resource in rule["resources"]
    for verb in rule["verbs"]
}
"""Held because the API server lets nobody hand on what she does not hold."""

APPLYING = {("apps", "deployments", "create")}
"""Server-side apply is a patch, and the server asks for this right as well where there is no object yet."""


def rights() -> set[tuple[str, str, str]]:
    """Each (group, resource, verb) of the roles of the overlay."""
    return {
        (group, resource, verb)
        for role in load_manifests(OVERLAY)
        if role["kind"] == "ClusterRole"
        for rule in role["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
        if verb not in NOT_REQUESTS
    }


async def test_no_request_of_the_backend_was_refused(plane: Plane) -> None:
    # An event that comes when its namespace has begun to go is refused for that, and not for want of a right.
    refused = [
        f"{one.verb} {one.uri}: {told}"
        for one in plane.lab.cluster.audit_requests()
        if one.user_agent == plane.agent and one.code in {401, 403}
        if "being terminated" not in (told := (one.raw.get("responseStatus") or {}).get("message", ""))
    ]
    assert refused == []


async def test_every_right_was_used(plane: Plane, request: pytest.FixtureRequest) -> None:
    modules = {item.path.name for item in request.session.items if item.path.parent.name == "controlplane"}
    if (
        not {"test_connecting.py", "test_secrets.py", "test_konnector.py", "test_root.py", "test_leaving.py"}
        <= modules
    ):
        pytest.skip("needs the requests of the other tests of this folder")
    requests = [one for one in plane.lab.cluster.audit_requests() if one.user_agent == plane.agent]
    used = {
        (one.group, f"{one.resource}/{one.subresource}" if one.subresource else one.resource, one.verb)
        for one in requests
    }
    # A list may be asked for as a stream; servers without streams are listed in the plain way.
    used |= {(one.group, one.resource, "list") for one in requests if "sendInitialEvents=true" in one.uri}
    assert rights() - HANDED_ON - APPLYING - used == set()
