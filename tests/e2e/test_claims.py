"""Claimed Secrets and ConfigMaps: both owners, label selectors, guards; what is not claimed does not cross."""

from collections.abc import Callable

import pytest

from bind_agent.api import keys, meta
from bind_agent.api.meta import Object
from bind_agent.api.resource import CLUSTERROLES, CONFIGMAPS, SECRETS, Resource
from bind_agent.kube.client import Client
from tests.fakes.system import Service, System, claim, config_map, eventually, holds, secret, thing

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
