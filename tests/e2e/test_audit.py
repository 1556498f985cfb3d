"""The rights that are shipped and generated, held against the requests of the whole run: none missing, none spare.

Runs after all other end-to-end tests. Every rule of every role is looked at verb by verb. A right counts as used when
its holder made such a request and was not refused. Some rights need a word:

* a server-side apply that creates is a request of verb ``patch`` and needs ``create`` as well;
* ``list`` belongs to ``watch``: servers since 1.34 stream the list through the watch, older ones cannot;
* what the backend only hands on (`klutch-bind-backend-exports`) is used when a tenant's generated role has it;
* some rights of a tenant are there because the wire says so: a Go konnector needs them (spec 8.2).
"""

from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from bind_agent.api import meta
from bind_agent.api.meta import Object
from bind_agent.api.resource import CLUSTERROLES, ROLES
from bind_agent.devcluster.audit import AuditEvent
from bind_agent.kube.client import Client
from tests.fakes.system import System

pytestmark = pytest.mark.e2e

KONNECTOR = "system:serviceaccount:klutch-bind:konnector"
BACKEND = "system:serviceaccount:klutch-bind-backend:bind-backend"

WIRE = {
    # Static role of a tenant, as on the wire: the CLI works with it, Go konnectors write with other verbs.
    "klutch-binder": {
        ("klutch.anynines.com", "apiserviceexportrequests", verb)
        for verb in ("delete", "patch", "update", "list", "watch")
    }
    | {
        ("klutch.anynines.com", f"{kind}/status", verb)
        for kind in ("clusterbindings", "apiserviceexports")
        for verb in ("get", "update")
    }
    | {
        ("klutch.anynines.com", kind, "get")
        for kind in ("clusterbindings", "apiserviceexports", "apiservicenamespaces")
    }
    | {("klutch.anynines.com", "apiservicenamespaces", verb) for verb in ("patch", "update")}
    | {("", "secrets", "get")},
}
GO_KONNECTOR_VERBS = {"update"}
"""In generated roles of tenants, beyond what our konnector uses: the Go konnector replaces objects."""


@dataclass(frozen=True, order=True)
class Right:
    """One verb on one resource."""

    group: str
    resource: str
    verb: str

    @property
    def key(self) -> tuple[str, str, str]:
        return self.group, self.resource, self.verb


def rights(role: Object) -> Iterator[Right]:
    """Each verb of each rule."""
    for rule in role.get("rules") or []:
        for group in rule.get("apiGroups") or []:
            for resource in rule.get("resources") or []:
                for verb in rule.get("verbs") or []:
                    assert "*" not in (group, resource, verb), f"wildcard in {meta.name(role)}"
                    yield Right(group, resource, verb)


def used(events: list[AuditEvent], user: str) -> set[tuple[str, str, str]]:
    """What a user asked for and was not refused."""
    found: set[tuple[str, str, str]] = set()
    for event in events:
        if event.user == user and event.code < 500 and event.code not in {401, 403}:
            resource = f"{event.resource}/{event.subresource}" if event.subresource else event.resource
            found.add((event.group, resource, event.verb))
            if event.verb == "watch":
                found.add((event.group, resource, "list"))
            if event.verb == "patch" and event.code == 201:
                found.add((event.group, resource, "create"))
    return found


async def _roles(client: Client, *prefixes: str) -> dict[str, Object]:
    cluster = {meta.name(r): r for r in (await client.list(CLUSTERROLES)).items}
    local = {meta.key(r): r for r in (await client.list(ROLES)).items}
    return {name: role for name, role in (cluster | local).items() if name.startswith(prefixes)}


def _spare(role: Object, seen: set[tuple[str, str, str]]) -> list[str]:
    return [f"{r.verb} {r.resource}.{r.group}" for r in sorted(set(rights(role))) if r.key not in seen]


async def test_no_request_was_forbidden(system: System) -> None:
    refused = [
        f"{cluster.name}: {event.user.rpartition(':')[2]} {event.verb} {event.namespace}/{event.name} "
        f"{event.resource}.{event.group}"
        for cluster in (system.provider, system.consumer)
        for event in cluster.audit_requests()
        if event.code == 403
        and not system.is_disturbed(cluster, event)
        and "bind-agent-" in event.user_agent
        and event.group not in system.provoked
        and event.namespace not in system.provoked
    ]
    assert not refused, refused


async def test_each_right_of_the_konnector_is_used(system: System) -> None:
    seen = used(system.consumer.audit_requests(), KONNECTOR)
    roles = await _roles(system.down, "klutch-bind-konnector-base", "klutch-bind-binding-", "klutch-bind/")
    spare = {
        name: left
        for name, role in roles.items()
        if not _provoked(system, role) and (left := _spare(role, seen))
    }
    assert not spare, spare


async def test_each_right_of_the_backend_is_used(system: System) -> None:
    seen = used(system.provider.audit_requests(), BACKEND)
    roles = await _roles(system.up, "klutch-bind-backend", "klutch-bind-backend/")
    handed_on = {
        right.key for role in (await _roles(system.up, "klutch-binder-")).values() for right in rights(role)
    }
    # Binding a role is part of writing the RoleBinding; the verb itself never stands in a request.
    seen |= {("rbac.authorization.k8s.io", "clusterroles", "bind")} & {
        ("rbac.authorization.k8s.io", "clusterroles", "bind")
        for _, resource, _ in seen
        if resource == "rolebindings"
    }
    spare = {}
    for name, role in roles.items():
        if _provoked(system, role) or name.startswith("klutch-bind-backend:"):
            continue
        held = handed_on if name == "klutch-bind-backend-exports" else seen
        if left := [r for r in _spare(role, held | set(_provoked_rights(system, role)))]:
            spare[name] = left
    assert not spare, spare


async def test_each_right_of_a_tenant_is_used_or_owed_to_the_wire(system: System) -> None:
    seen = used(system.provider.audit_requests(), f"system:serviceaccount:{system.tenant}:klutch-binder")
    roles = await _roles(system.up, "klutch-binder")
    spare = {}
    for name, role in roles.items():
        if name != "klutch-binder" and not name.startswith(f"klutch-binder-{system.tenant}"):
            continue
        owed = WIRE.get(name, set()) | {
            right.key
            for right in rights(role)
            if name != "klutch-binder" and right.verb in GO_KONNECTOR_VERBS
        }
        if left := _spare(role, seen | owed | set(_provoked_rights(system, role))):
            spare[name] = left
    assert not spare, spare


def _provoked(system: System, role: Object) -> bool:
    """Whether the role belongs to a kind with which a test provoked refusals only."""
    return any(right.group in system.provoked for right in rights(role))


def _provoked_rights(system: System, role: Object) -> Iterator[tuple[str, str, str]]:
    return (right.key for right in rights(role) if right.group in system.provoked)
