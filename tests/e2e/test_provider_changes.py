"""What providers change after the bind: schemas, rights, kinds that end; and konnectors that face a fight."""

import contextlib
from collections.abc import Callable

import pytest

from bind_agent.api import keys
from bind_agent.api.resource import (
    BINDINGS,
    CORE_EVENTS,
    CRDS,
    EXPORTS,
    NAMESPACES,
    ROLEBINDINGS,
    SECRETS,
    Resource,
)
from bind_agent.kube.client import Client
from bind_agent.kube.config import from_kubeconfig
from bind_agent.kube.errors import KubeError, NotFound
from tests.fakes.system import Service, System, eventually, secret, thing

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(120)]

Unique = Callable[[str], str]


async def _condition(system: System, service: Service, kind: str) -> dict[str, str]:
    binding = await system.down.get(BINDINGS, service.name, namespace=keys.CONSUMER_NAMESPACE)
    found = {c["type"]: c for c in binding.get("status", {}).get("conditions", [])}
    return found.get(kind, {})


async def test_a_schema_grows_and_a_breaking_change_is_held(system: System, unique: Unique) -> None:
    free = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    spec = {"type": "object", "properties": {"size": {"type": "integer"}}}
    schema = {"type": "object", "properties": {"spec": spec, "status": free}}
    resource = Resource("e2e.example", "v1", "growings", kind="Growing")
    service = await system.publish(resource, schema=schema)
    await system.bind(service)
    namespace = await system.namespace(unique("growing"))
    await system.down.create(resource, thing(resource, f"{namespace}/one", size=1))
    path = "/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties"
    grown = [{"op": "add", "path": f"{path}/colour", "value": {"type": "string"}}]
    await system.up.json_patch(CRDS, service.name, grown)

    async def colours() -> bool:
        found = await system.down.get(CRDS, service.name)
        properties = found["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]
        return "colour" in properties["spec"]["properties"]

    await eventually(colours, what="the new field on the consumer")

    async def coloured() -> bool:
        patch = {"spec": {"colour": "red"}}
        await system.down.merge_patch(resource, "one", patch, namespace=namespace)
        copy = await system.copy(resource, f"{namespace}/one")
        return copy is not None and copy["spec"] == {"size": 1, "colour": "red"}

    await eventually(coloured, what="the new field on the provider")
    await system.up.json_patch(CRDS, service.name, [{"op": "remove", "path": f"{path}/size"}])

    async def held() -> bool:
        return (await _condition(system, service, "SchemaInSync")).get("reason") == "SchemaUpdateHeld"

    await eventually(held, what="the breaking change held")
    found = await system.down.get(CRDS, service.name)
    properties = found["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]
    assert "size" in properties["spec"]["properties"]
    # The provider takes it back: in agreement again.
    back = [{"op": "add", "path": f"{path}/size", "value": {"type": "integer"}}]
    await system.up.json_patch(CRDS, service.name, back)

    async def agreed() -> bool:
        return (await _condition(system, service, "SchemaInSync")).get("status") == "True"

    await eventually(agreed, what="schema in sync again")


async def test_a_kind_that_ends_at_the_provider_is_reported_and_nothing_is_lost(
    system: System, unique: Unique
) -> None:
    resource = Resource("e2e.example", "v1", "endings", kind="Ending")
    service = await system.publish(resource)
    await system.bind(service)
    namespace = await system.namespace(unique("ending"))
    await system.down.create(resource, thing(resource, f"{namespace}/one", size=1))
    await system.synced(resource, f"{namespace}/one")
    async with system.refusals(system.provider, resource.group, resource.plural):
        await system.up.delete(CRDS, service.name)
        await system.gone(system.up, EXPORTS, f"{system.tenant}/{service.name}")

        async def reported() -> bool:
            return (await _condition(system, service, "Connected")).get(
                "reason"
            ) == "APIServiceExportNotFound"

        await eventually(reported, what="the end of the export on the binding")
        # The app cluster keeps its objects, unchanged but for the finalizer that guards them.
        found = await system.down.get(resource, "one", namespace=namespace)
        assert found["spec"] == {"size": 1}
        free = {"metadata": {"finalizers": None}}
        await system.down.merge_patch(resource, "one", free, namespace=namespace)


async def test_rights_that_somebody_changed_are_repaired(
    system: System, databases: Service, unique: Unique
) -> None:
    namespace = await system.namespace(unique("rights"))
    await system.down.create(databases.resource, thing(databases.resource, f"{namespace}/one", size=1))
    await system.synced(databases.resource, f"{namespace}/one")
    there = await system.service_namespace(namespace)
    before = await system.up.get(ROLEBINDINGS, keys.BINDER, namespace=there)
    async with system.refusals(system.provider, there):
        await system.up.merge_patch(ROLEBINDINGS, keys.BINDER, {"subjects": []}, namespace=there)

        async def repaired() -> bool:
            found = await system.up.get(ROLEBINDINGS, keys.BINDER, namespace=there)
            return found.get("subjects") == before["subjects"]

        await eventually(repaired, what="the subjects of the RoleBinding")
    secret_there = secret(f"{there}/after", {"a": "1"})
    await system.up.create(SECRETS, secret_there)

    async def arrived() -> bool:
        return await system.down.get_or_none(SECRETS, "after", namespace=namespace) is not None

    await eventually(arrived, what="sync after the repair")


async def test_an_endless_exchange_of_writes_is_slowed_down_and_told(
    system: System, databases: Service, unique: Unique
) -> None:
    namespace = await system.namespace(unique("fight"))
    key = f"{namespace}/one"
    await system.down.create(databases.resource, thing(databases.resource, key, size=1))
    await system.synced(databases.resource, key)
    there = await system.service_namespace(namespace)

    async def told_twice() -> bool:
        with contextlib.suppress(KubeError):
            await system.up.merge_patch(databases.resource, "one", {"spec": {"size": 99}}, namespace=there)
        events = (await system.down.list(CORE_EVENTS, namespace=namespace)).items
        return any(e["reason"] == "WriteFight" and e.get("count", 1) >= 2 for e in events)

    await eventually(told_twice, what="the fight in an event, counted", timeout=60, poll=0.3)

    async def ours() -> bool:
        copy = await system.copy(databases.resource, key)
        return copy is not None and copy["spec"] == {"size": 1}

    await eventually(ours, what="our content after the fight", timeout=60)


async def test_a_revoked_tenant_has_no_access_and_a_deleted_one_leaves_nothing(
    system: System, tmp_path_factory: pytest.TempPathFactory
) -> None:
    account = await system.stage.backend_kubeconfig(system.provider)
    out = tmp_path_factory.mktemp("tenant") / "other.kubeconfig"
    program = ("-m", "bind_agent.backend.app", "tenant")
    kubeconfig = f"--kubeconfig={account}"
    await system.stage.run(*program, "add", "other", "--cluster-id=other1", kubeconfig, f"--out={out}")
    assert out.stat().st_mode & 0o777 == 0o600
    listed = await system.stage.run(*program, "list", kubeconfig, "--output=json")
    assert "other" in listed
    config = from_kubeconfig(out)
    async with Client.open(config, user_agent="other-tenant") as other:

        async def admitted() -> bool:
            try:
                return (await other.list(EXPORTS, namespace=config.namespace)).items == []
            except KubeError:
                return False

        await eventually(admitted, what="access of the tenant")
        with pytest.raises(KubeError):
            await other.list(EXPORTS, namespace=system.tenant)
        await system.stage.run(*program, "revoke", "other", "--delete", "--yes", kubeconfig)

        async def refused() -> bool:
            try:
                await other.list(EXPORTS, namespace=config.namespace)
            except NotFound:
                return False
            except KubeError:
                return True
            return False

        await eventually(refused, what="the end of the credential", timeout=30)
    await system.gone(system.up, NAMESPACES, config.namespace, timeout=60)
