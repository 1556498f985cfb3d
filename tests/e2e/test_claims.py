"""Claimed Secrets and ConfigMaps: both owners, label selectors, guards; what is not claimed does not cross."""

from collections.abc import Callable

import pytest

from bind_agent.api import keys, meta
from bind_agent.api.meta import Object
from bind_agent.api.resource import BINDINGS, CLUSTERROLES, CONFIGMAPS, SECRETS, Resource
from bind_agent.kube.client import Client
from bind_agent.kube.errors import NotFound
from tests.fakes.system import (
    Service,
    System,
    claim,
    config_map,
    crd,
    eventually,
    holds,
    secret,
    thing,
)

pytestmark = pytest.mark.e2e

Unique = Callable[[str], str]


async def _mapped(system: System, service: Service, unique: Unique) -> tuple[str, str]:
    """A bound namespace: its names on both sides."""
    namespace = await system.namespace(unique("claims"))
    await system.down.create(service.resource, thing(service.resource, f"{namespace}/anchor", size=1))
    return namespace, await system.service_namespace(namespace)


async def _arrives(client: Client, resource: Resource, key: str, data: Object) -> Object:
    namespace, name = meta.split_key(key)

    async def there() -> Object | None:
        found = await client.get_or_none(resource, name, namespace=namespace)
        return found if found is not None and found.get("data") == data else None

    return await eventually(there, what=f"{resource.plural} {key}")


async def _stays_away(client: Client, resource: Resource, key: str, seconds: float = 1.5) -> None:
    namespace, name = meta.split_key(key)

    async def absent() -> bool:
        return await client.get_or_none(resource, name, namespace=namespace) is None

    await holds(absent, seconds=seconds)


async def test_a_providers_secret_comes_down_and_stays_the_providers(
    system: System, databases: Service, unique: Unique
) -> None:
    here, there = await _mapped(system, databases, unique)
    made = await system.up.create(
        SECRETS, secret(f"{there}/creds", {"password": "one"}, labels={"app": "x", "argocd": "y"})
    )
    copy = await _arrives(system.down, SECRETS, f"{here}/creds", made["data"])
    assert meta.annotation(copy, keys.RESOURCE_OWNER) == keys.OWNER_PROVIDER
    assert "argocd" not in meta.labels(copy)
    # An edit on the provider follows, one on the consumer is undone, a deleted copy comes back.
    changed = secret(f"{there}/creds", {"password": "two"})["data"]
    await system.up.merge_patch(SECRETS, "creds", {"data": changed}, namespace=there)
    await _arrives(system.down, SECRETS, f"{here}/creds", changed)
    mine = secret(f"{here}/creds", {"password": "mine"})["data"]
    await system.down.merge_patch(SECRETS, "creds", {"data": mine}, namespace=here)
    await _arrives(system.down, SECRETS, f"{here}/creds", changed)
    await system.down.delete(SECRETS, "creds", namespace=here)
    await _arrives(system.down, SECRETS, f"{here}/creds", changed)
    await system.up.delete(SECRETS, "creds", namespace=there)
    await system.gone(system.down, SECRETS, f"{here}/creds")


async def test_a_copy_by_a_go_konnector_is_taken_over_also_when_its_source_lost_the_mark(
    system: System, databases: Service, unique: Unique
) -> None:
    here, there = await _mapped(system, databases, unique)
    by_go = {keys.RESOURCE_OWNER: keys.OWNER_PROVIDER}
    await system.konnector.pause()
    try:
        # Of the same content: another provider may be bound here, and Go's mark does not say whose copy it is.
        old = secret(f"{here}/creds", {"password": "new"}, annotations=by_go)
        made = await system.down.create(SECRETS, old)
        own = await system.down.create(SECRETS, secret(f"{here}/own", {"password": "mine"}))
        new = await system.up.create(SECRETS, secret(f"{there}/creds", {"password": "new"}))
        await system.up.create(SECRETS, secret(f"{there}/own", {"password": "new"}))
    finally:
        await system.konnector.resume()

    async def marked() -> Object | None:
        found = await system.down.get(SECRETS, "creds", namespace=here)
        return found if meta.annotation(found, keys.SOURCE_UID) else None

    copy = await eventually(marked, what="the copy is taken over")
    assert (meta.uid(copy), copy["data"]) == (meta.uid(made), new["data"])
    assert meta.annotation(copy, keys.SOURCE_UID) == meta.uid(new)
    # What carries no mark of Go is nobody's copy.
    assert await system.down.get(SECRETS, "own", namespace=here) == own


async def test_the_consumers_own_secrets_never_go_up(
    system: System, databases: Service, unique: Unique
) -> None:
    here, there = await _mapped(system, databases, unique)
    before = await system.down.create(SECRETS, secret(f"{here}/private", {"canary": "not for you"}))
    await _stays_away(system.up, SECRETS, f"{there}/private")
    assert await system.down.get(SECRETS, "private", namespace=here) == before


async def test_a_secret_that_is_not_ours_is_never_overwritten(
    system: System, databases: Service, unique: Unique
) -> None:
    here, there = await _mapped(system, databases, unique)
    before = await system.down.create(SECRETS, secret(f"{here}/shared", {"mine": "1"}))
    source = await system.up.create(SECRETS, secret(f"{there}/shared", {"theirs": "2"}))
    other = await system.up.create(SECRETS, secret(f"{there}/other", {"theirs": "3"}))
    await _arrives(system.down, SECRETS, f"{here}/other", other["data"])  # the positive twin

    async def untouched() -> bool:
        return await system.down.get(SECRETS, "shared", namespace=here) == before

    await holds(untouched, seconds=1.5)
    await system.up.delete(SECRETS, "shared", namespace=there)
    await holds(untouched, seconds=1.0)
    assert source["data"] != before["data"]


async def test_label_selector_entry_and_exit(system: System, databases: Service, unique: Unique) -> None:
    here, there = await _mapped(system, databases, unique)
    made = await system.up.create(CONFIGMAPS, config_map(f"{there}/settings", {"a": "1"}))
    await _stays_away(system.down, CONFIGMAPS, f"{here}/settings")
    label = {"metadata": {"labels": {"share": "yes"}}}
    await system.up.merge_patch(CONFIGMAPS, "settings", label, namespace=there)
    copy = await _arrives(system.down, CONFIGMAPS, f"{here}/settings", made["data"])
    assert meta.labels(copy)["share"] == "yes"
    await system.up.merge_patch(CONFIGMAPS, "settings", {"data": {"a": "2"}}, namespace=there)
    await _arrives(system.down, CONFIGMAPS, f"{here}/settings", {"a": "2"})
    made["data"] = {"a": "2"}
    unlabel = {"metadata": {"labels": {"share": "no"}}}
    await system.up.merge_patch(CONFIGMAPS, "settings", unlabel, namespace=there)
    await system.gone(system.down, CONFIGMAPS, f"{here}/settings")
    assert (await system.up.get(CONFIGMAPS, "settings", namespace=there))["data"] == made["data"]
    await system.up.merge_patch(CONFIGMAPS, "settings", label, namespace=there)
    await _arrives(system.down, CONFIGMAPS, f"{here}/settings", made["data"])


async def test_a_consumers_config_map_goes_up_while_it_has_the_label(
    system: System, pipelines: Service, unique: Unique
) -> None:
    here, there = await _mapped(system, pipelines, unique)
    labels = {"pipeline": "input"}
    made = await system.down.create(CONFIGMAPS, config_map(f"{here}/job", {"steps": "2"}, labels=labels))
    await system.down.create(CONFIGMAPS, config_map(f"{here}/private", {"steps": "3"}))
    copy = await _arrives(system.up, CONFIGMAPS, f"{there}/job", made["data"])
    assert meta.annotation(copy, keys.RESOURCE_OWNER) == keys.OWNER_CONSUMER
    await _stays_away(system.up, CONFIGMAPS, f"{there}/private")
    # Edits on the provider are undone, edits on the consumer follow.
    await system.up.merge_patch(CONFIGMAPS, "job", {"data": {"steps": "9"}}, namespace=there)
    await _arrives(system.up, CONFIGMAPS, f"{there}/job", {"steps": "2"})
    await system.down.merge_patch(CONFIGMAPS, "job", {"data": {"steps": "4"}}, namespace=here)
    await _arrives(system.up, CONFIGMAPS, f"{there}/job", {"steps": "4"})
    await system.up.delete(CONFIGMAPS, "job", namespace=there)
    await _arrives(system.up, CONFIGMAPS, f"{there}/job", {"steps": "4"})
    await system.down.merge_patch(
        CONFIGMAPS, "job", {"metadata": {"labels": {"pipeline": None}}}, namespace=here
    )
    await system.gone(system.up, CONFIGMAPS, f"{there}/job")
    assert (await system.down.get(CONFIGMAPS, "job", namespace=here))["data"] == {"steps": "4"}


async def test_what_a_rejected_claim_had_copied_is_taken_back(system: System, unique: Unique) -> None:
    service = await system.publish(
        Resource("e2e.example", "v1", "rejectings", kind="Rejecting"),
        claims=[claim("configmaps", keys.OWNER_PROVIDER, labelSelectors=[{"only": "rejectings"}])],
    )
    await system.bind(service)
    here, there = await _mapped(system, service, unique)
    labels = {"only": "rejectings"}
    made = await system.up.create(CONFIGMAPS, config_map(f"{there}/mine", {"a": "1"}, labels=labels))
    await _arrives(system.down, CONFIGMAPS, f"{here}/mine", made["data"])
    role = f"klutch-bind-binding-{service.name}"
    assert "configmaps" in str((await system.down.get(CLUSTERROLES, role))["rules"])
    await system.bind(service, accept="none")
    await system.gone(system.down, CONFIGMAPS, f"{here}/mine")
    assert (await system.up.get(CONFIGMAPS, "mine", namespace=there))["data"] == made["data"]
    # The rights went after the copies did.
    assert "configmaps" not in str((await system.down.get(CLUSTERROLES, role))["rules"])


async def test_a_claim_that_turns_round_is_asked_anew_and_its_copies_go(
    system: System, unique: Unique
) -> None:
    resource = Resource("e2e.example", "v1", "turnings", kind="Turning")
    labels = {"only": "turnings"}
    down = claim("configmaps", keys.OWNER_PROVIDER, labelSelectors=[labels])
    service = await system.publish(resource, claims=[down])
    await system.bind(service)
    here, there = await _mapped(system, service, unique)
    made = await system.up.create(CONFIGMAPS, config_map(f"{there}/theirs", {"a": "1"}, labels=labels))
    await _arrives(system.down, CONFIGMAPS, f"{here}/theirs", made["data"])

    up = claim("configmaps", keys.OWNER_CONSUMER, labelSelectors=[labels])
    service = await system.publish(resource, claims=[up])
    await system.gone(system.down, CONFIGMAPS, f"{here}/theirs")
    mine = await system.down.create(CONFIGMAPS, config_map(f"{here}/mine", {"b": "2"}, labels=labels))
    await _stays_away(system.up, CONFIGMAPS, f"{there}/mine")  # nobody has agreed to that
    await system.bind(service)
    await _arrives(system.up, CONFIGMAPS, f"{there}/mine", mine["data"])
    assert (await system.up.get(CONFIGMAPS, "theirs", namespace=there))["data"] == made["data"]


async def test_guarded_kinds_of_secrets_never_cross(
    system: System, databases: Service, unique: Unique
) -> None:
    here, there = await _mapped(system, databases, unique)
    token = secret(f"{there}/token", {}, annotations={"kubernetes.io/service-account.name": "default"})
    await system.up.create(SECRETS, token | {"type": "kubernetes.io/service-account-token"})
    bootstrap = secret(f"{there}/boot", {"token-id": "abcdef", "token-secret": "0123456789abcdef"})
    await system.up.create(SECRETS, bootstrap | {"type": "bootstrap.kubernetes.io/token"})
    plain = await system.up.create(SECRETS, secret(f"{there}/plain", {"a": "1"}))
    await _arrives(system.down, SECRETS, f"{here}/plain", plain["data"])
    for name in ("token", "boot"):
        await _stays_away(system.down, SECRETS, f"{here}/{name}", 0.5)


async def test_a_changed_immutable_secret_is_replaced(
    system: System, databases: Service, unique: Unique
) -> None:
    here, there = await _mapped(system, databases, unique)
    first = secret(f"{there}/fixed", {"v": "1"}) | {"immutable": True}
    made = await system.up.create(SECRETS, first)
    copy = await _arrives(system.down, SECRETS, f"{here}/fixed", made["data"])
    assert copy["immutable"] is True
    await system.up.delete(SECRETS, "fixed", namespace=there)
    again = await system.up.create(SECRETS, secret(f"{there}/fixed", {"v": "2"}) | {"immutable": True})
    await _arrives(system.down, SECRETS, f"{here}/fixed", again["data"])


async def test_a_claim_reaches_only_where_its_own_api_has_an_object(
    system: System, databases: Service, pipelines: Service, unique: Unique
) -> None:
    # The question said: in every namespace that holds objects of pipelines.
    here, there = await _mapped(system, databases, unique)
    made = await system.down.create(
        CONFIGMAPS, config_map(f"{here}/job", {"steps": "2"}, labels={"pipeline": "input"})
    )
    await _stays_away(system.up, CONFIGMAPS, f"{there}/job")
    await system.down.create(pipelines.resource, thing(pipelines.resource, f"{here}/first", size=1))
    await _arrives(system.up, CONFIGMAPS, f"{there}/job", made["data"])


TICKETS = Resource("claimed.example", "v1", "tickets", kind="Ticket")


def _tickets(owner: str) -> Object:
    selector = {"owner": owner}
    return {"group": TICKETS.group, "resource": TICKETS.plural, "version": "v1", "selector": selector}


async def _spec(client: Client, key: str, spec: Object) -> Object:
    namespace, name = meta.split_key(key)

    async def there() -> Object | None:
        found = await client.get_or_none(TICKETS, name, namespace=namespace)
        return found if found is not None and found.get("spec") == spec else None

    return await eventually(there, what=f"tickets {key}")


@pytest.fixture(scope="module")
async def both_serve_tickets(system: System) -> None:
    """The claimed kind is a CRD of both clusters; it is nobody's binding."""
    for cluster, client in ((system.provider, system.up), (system.consumer, system.down)):
        await system.stage.apply(cluster, [crd(TICKETS)])

        async def listed(client: Client = client) -> bool:
            try:
                await client.list(TICKETS)
            except NotFound:
                return False
            return True

        await eventually(listed, what="tickets served")


@pytest.mark.usefixtures("both_serve_tickets")
async def test_a_claimed_custom_kind_comes_down_with_everything_but_its_status(
    system: System, unique: Unique
) -> None:
    service = await system.publish(
        Resource("e2e.example", "v1", "desks", kind="Desk"), claims=[_tickets(keys.OWNER_PROVIDER)]
    )
    await system.bind(service, "--allow-claim=tickets.claimed.example")
    here, there = await _mapped(system, service, unique)
    role = await system.down.get(CLUSTERROLES, f"klutch-bind-binding-{service.name}")
    (rights,) = [rule for rule in role["rules"] if rule["resources"] == ["tickets"]]
    assert rights["apiGroups"] == ["claimed.example"]
    assert rights["verbs"] == ["create", "delete", "get", "list", "update", "watch"]
    source = thing(TICKETS, f"{there}/one", priority=1, watchers=["a", "b"])
    await system.up.create(TICKETS, source)
    state = {"status": {"solved": True}}
    await system.up.merge_patch(TICKETS, "one", state, namespace=there, subresource="status")
    copy = await _spec(system.down, f"{here}/one", {"priority": 1, "watchers": ["a", "b"]})
    assert meta.annotation(copy, keys.RESOURCE_OWNER) == keys.OWNER_PROVIDER
    # An edit on the provider follows, also of a field that goes; one on the consumer is undone, a deleted copy returns.
    change = {"spec": {"priority": 2, "watchers": None}}
    await system.up.merge_patch(TICKETS, "one", change, namespace=there)
    copy = await _spec(system.down, f"{here}/one", {"priority": 2})
    assert "status" not in copy
    await system.down.merge_patch(TICKETS, "one", {"spec": {"priority": 9}}, namespace=here)
    await _spec(system.down, f"{here}/one", {"priority": 2})
    await system.down.delete(TICKETS, "one", namespace=here)
    await _spec(system.down, f"{here}/one", {"priority": 2})
    await system.up.delete(TICKETS, "one", namespace=there)
    await system.gone(system.down, TICKETS, f"{here}/one")


@pytest.mark.usefixtures("both_serve_tickets")
async def test_a_claimed_custom_kind_of_the_consumer_goes_up(system: System, unique: Unique) -> None:
    service = await system.publish(
        Resource("e2e.example", "v1", "boards", kind="Board"), claims=[_tickets(keys.OWNER_CONSUMER)]
    )
    await system.bind(service, "--allow-claim=tickets.claimed.example")
    here, there = await _mapped(system, service, unique)
    await system.down.create(TICKETS, thing(TICKETS, f"{here}/mine", priority=1))
    copy = await _spec(system.up, f"{there}/mine", {"priority": 1})
    assert meta.annotation(copy, keys.RESOURCE_OWNER) == keys.OWNER_CONSUMER
    await system.up.merge_patch(TICKETS, "mine", {"spec": {"priority": 9}}, namespace=there)
    await _spec(system.up, f"{there}/mine", {"priority": 1})
    await system.down.delete(TICKETS, "mine", namespace=here)
    await system.gone(system.up, TICKETS, f"{there}/mine")


@pytest.mark.usefixtures("both_serve_tickets")
async def test_without_the_flag_the_command_leaves_such_a_claim_out(system: System) -> None:
    service = await system.publish(
        Resource("e2e.example", "v1", "shelves", kind="Shelf"), claims=[_tickets(keys.OWNER_PROVIDER)]
    )
    await system.bind(service)
    binding = await system.down.get(BINDINGS, service.name, namespace=keys.CONSUMER_NAMESPACE)
    assert [entry["state"] for entry in binding["spec"]["permissionClaims"]] == ["Rejected"]
    role = await system.down.get(CLUSTERROLES, f"klutch-bind-binding-{service.name}")
    assert "tickets" not in str(role["rules"])
