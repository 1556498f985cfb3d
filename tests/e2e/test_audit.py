"""The rights that are shipped and generated, held against the requests of the whole run: none missing, none spare.

Runs after all other end-to-end tests. Every rule of every role is looked at verb by verb. A right counts as used when
its holder made such a request and was not refused. Some rights need a word:

* a server-side apply that creates is a request of verb ``patch`` and needs ``create`` as well;
* ``list`` belongs to ``watch``: servers since 1.34 stream the list through the watch, older ones cannot;
* what the backend only hands on (`klutch-bind-backend-exports`) is used when a tenant's generated role has it;
* some rights of a tenant are there because the wire says so: a Go konnector needs them (spec 8.2).
"""

from collections.abc import Iterator

import pytest

from bind_agent.api import meta
from bind_agent.api.meta import Object
from bind_agent.api.resource import CLUSTERROLES, ROLES
from bind_agent.devcluster import Cluster
from bind_agent.kube.client import Client
from tests.fakes.system import System

pytestmark = pytest.mark.e2e

KONNECTOR = "system:serviceaccount:klutch-bind:konnector"
BACKEND = "system:serviceaccount:klutch-bind-backend:bind-backend"

GROUP = "klutch.anynines.com"
WIRE = (
    {(GROUP, "apiserviceexportrequests", verb) for verb in ("delete", "patch", "update", "list", "watch")}
    | {
        (GROUP, f"{kind}/status", verb)
        for kind in ("clusterbindings", "apiserviceexports")
        for verb in ("get", "update")
    }
    | {(GROUP, kind, "get") for kind in ("clusterbindings", "apiserviceexports", "apiservicenamespaces")}
    | {(GROUP, "apiservicenamespaces", verb) for verb in ("patch", "update")}
    | {("", "secrets", "get")}
)
"""The static role of a tenant is as on the wire (spec 8.2): Go konnectors read and write with other verbs."""

GO_VERBS_ON_BOUND = {"update"}
GO_VERBS_ON_CLAIMED = {"create", "update", "patch", "delete"}
"""In generated roles of tenants, beyond what our konnector uses: the Go konnector replaces objects, and writes
claimed ones in both directions."""

CLAIMED = (("", "secrets"), ("", "configmaps"), ("claimed.example", "tickets"))

RARE = {
    # Ten minutes after a request has ended (spec 4.7).
    ("klutch.anynines.com", "apiserviceexportrequests", "delete"),
    # Before a service namespace goes whose record is gone although nobody took its finalizer off in order.
    ("klutch.anynines.com", "apiservicenamespaces", "get"),
    # When the same thing happens again to the same object.
    ("", "events", "patch"),
    # Where people log in: used-up states and codes. The backend of this run serves no pages.
    *(("coordination.k8s.io", "leases", verb) for verb in ("list", "watch", "delete")),
}
"""Of the backend, for cases that tests/integration/backend provokes and this run does not."""

BOUND = "<bound>"
"""Stands for every bound kind: generated roles treat all alike, so what one needs all need."""

Right = tuple[str, str, str]
"""Group, resource (with its subresource), verb."""


def right(system: System, group: str, resource: str, verb: str) -> Right:
    """A right, general over bound kinds."""
    if group in {service.resource.group for service in system.services.values()}:
        _, slash, subresource = resource.partition("/")
        return BOUND, f"{BOUND}{slash}{subresource}", verb
    return group, resource, verb


def rights(system: System, role: Object) -> Iterator[Right]:
    """Each verb of each rule, but for kinds that only serve to provoke refusals."""
    for rule in role.get("rules") or []:
        for group in rule.get("apiGroups") or []:
            for resource in rule.get("resources") or []:
                for verb in rule.get("verbs") or []:
                    assert "*" not in (group, resource, verb), f"wildcard in {meta.name(role)}"
                    if group not in system.provoked:
                        yield right(system, group, resource, verb)


def used(system: System, cluster: Cluster, user: str) -> set[Right]:
    """What a user asked for and was not refused."""
    found: set[Right] = set()
    for event in cluster.audit_requests():
        if event.user != user or event.code >= 500 or event.code in {401, 403}:
            continue
        resource = f"{event.resource}/{event.subresource}" if event.subresource else event.resource
        verbs = {event.verb}
        if event.verb == "watch":
            verbs.add("list")
        if event.verb == "patch" and event.code == 201:
            verbs.add("create")
        found |= {right(system, event.group, resource, verb) for verb in verbs}
    return found


async def _roles(client: Client, *prefixes: str) -> dict[str, Object]:
    cluster = {meta.name(r): r for r in (await client.list(CLUSTERROLES)).items}
    local = {meta.key(r): r for r in (await client.list(ROLES)).items}
    return {name: role for name, role in (cluster | local).items() if name.startswith(prefixes)}


def spare(system: System, roles: dict[str, Object], seen: set[Right]) -> dict[str, list[str]]:
    """Rights that nobody used, by role."""
    left = {name: sorted(set(rights(system, role)) - seen) for name, role in roles.items()}
    return {name: [f"{v} {r}.{g}" for g, r, v in found] for name, found in left.items() if found}


async def test_no_request_was_forbidden(system: System) -> None:
    refused = [
        f"{cluster.name}: {event.user.rpartition(':')[2]} {event.verb} {event.namespace}/{event.name} "
        f"{event.resource}.{event.group}"
        for cluster in (system.provider, system.consumer)
        for event in cluster.audit_requests()
        if event.code == 403
        and not system.is_disturbed(cluster, event)
        and not system.is_expected(cluster, event)
        and "bind-agent-" in event.user_agent
        and event.group not in system.provoked
        and event.namespace not in system.provoked
    ]
    assert not refused, refused


async def test_each_right_of_the_konnector_is_used(system: System) -> None:
    seen = used(system, system.consumer, KONNECTOR)
    roles = await _roles(system.down, "klutch-bind-konnector-", "klutch-bind-binding-", "klutch-bind/")
    assert {"klutch-bind-konnector-base", "klutch-bind-konnector-bindings"} <= roles.keys()
    assert not (left := spare(system, roles, seen)), left


async def test_each_right_of_the_backend_is_used(system: System) -> None:
    seen = used(system, system.provider, BACKEND) | RARE
    if any(resource == "rolebindings" and verb == "create" for _, resource, verb in seen):
        # Part of writing a RoleBinding; the verb itself never stands in a request.
        seen.add(("rbac.authorization.k8s.io", "clusterroles", "bind"))
    roles = await _roles(system.up, "klutch-bind-backend", "klutch-bind-backend/")
    own = {name: role for name, role in roles.items() if not name.startswith("klutch-bind-backend:")}
    handed_on = own.pop("klutch-bind-backend-exports")
    assert not (left := spare(system, own, seen)), left
    tenants = await _roles(system.up, "klutch-binder-")
    given = {one for role in tenants.values() for one in rights(system, role)}
    assert not (left := spare(system, {"klutch-bind-backend-exports": handed_on}, given)), left


async def test_each_right_of_a_tenant_is_used_or_owed_to_the_wire(system: System) -> None:
    seen = used(system, system.provider, f"system:serviceaccount:{system.tenant}:klutch-binder")
    seen |= {(BOUND, BOUND, verb) for verb in GO_VERBS_ON_BOUND}
    seen |= {(*kind, verb) for kind in CLAIMED for verb in GO_VERBS_ON_CLAIMED}
    generated = await _roles(system.up, f"klutch-binder-{system.tenant}")
    assert not (left := spare(system, generated, seen)), left
    static = {
        name: role
        for name, role in (await _roles(system.up, "klutch-binder")).items()
        if name == "klutch-binder"
    }
    assert not (left := spare(system, static, seen | WIRE)), left
