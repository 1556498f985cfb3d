"""After all other tests of this folder: no request was refused, and no right was given in vain."""

import pytest

from bind_agent.manifests import load_manifests
from tests.fakes.backend_lab import BACKEND_AGENT, Lab

pytestmark = pytest.mark.integration

SHIPPED = ("klutch-bind-backend", "klutch-bind-backend-tenant")
NOT_REQUESTS = frozenset({"bind"})


def rights() -> set[tuple[str, str, str]]:
    """Each (group, resource, verb) of the shipped roles of the backend's account."""
    rules = [
        rule
        for role in load_manifests("backend")
        if (role["kind"] == "ClusterRole" and role["metadata"]["name"] in SHIPPED) or role["kind"] == "Role"
        for rule in role["rules"]
    ]
    return {
        (group, resource, verb)
        for rule in rules
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
        if verb not in NOT_REQUESTS
    }


async def test_no_request_of_the_backend_was_refused(backend: Lab) -> None:
    refused = [
        f"{one.verb} {one.uri}"
        for one in backend.cluster.audit_requests()
        if one.user_agent == BACKEND_AGENT and one.code in {401, 403}
    ]
    assert refused == []


async def test_every_right_was_used(backend: Lab, request: pytest.FixtureRequest) -> None:
    modules = {item.path.name for item in request.session.items if item.path.parent.name == "backend"}
    if not {"test_exports.py", "test_tenants.py", "test_web_server.py"} <= modules:
        pytest.skip("needs the requests of the other tests of this folder")
    used = {
        (one.group, f"{one.resource}/{one.subresource}" if one.subresource else one.resource, one.verb)
        for one in backend.cluster.audit_requests()
        if one.user_agent == BACKEND_AGENT
    }
    # A list may be asked for as a stream; servers without streams are listed in the plain way.
    used |= {
        (one.group, one.resource, "list")
        for one in backend.cluster.audit_requests()
        if one.user_agent == BACKEND_AGENT and "sendInitialEvents=true" in one.uri
    }
    assert rights() - used == set()
