"""What becomes of a provider's changes of a schema, on real API servers (threats A37)."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from bind_agent.api import keys
from bind_agent.api.meta import Object
from bind_agent.api.resource import BINDINGS, CRDS, EXPORTS, Resource
from bind_agent.devcluster import ControlPlane
from tests.fakes.commands import run_verbatim
from tests.fakes.system import Service, System, crd, eventually, holds, thing

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180)]

Unique = Callable[[str], str]
PROPERTIES = "/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties"
FREE = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
TEXT = {"type": "string"}


def _schema(*fields: str) -> dict[str, Any]:
    spec = {"type": "object", "properties": dict.fromkeys(fields, TEXT)}
    return {"type": "object", "properties": {"spec": spec, "status": FREE}}


async def _remove(system: System, service: Service, field: str) -> None:
    await system.up.json_patch(CRDS, service.name, [{"op": "remove", "path": f"{PROPERTIES}/{field}"}])


async def _add(system: System, service: Service, field: str) -> None:
    added = {"op": "add", "path": f"{PROPERTIES}/{field}", "value": TEXT}
    await system.up.json_patch(CRDS, service.name, [added])


async def _fields(system: System, service: Service) -> set[str]:
    """The fields of the CRD on the app cluster."""
    found = await system.down.get(CRDS, service.name)
    return set(found["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"])


async def _in_sync(system: System, service: Service) -> Object:
    """The condition as it is, empty while there is none."""
    binding = await system.down.get(BINDINGS, service.name, namespace=keys.CONSUMER_NAMESPACE)
    found = {c["type"]: c for c in binding.get("status", {}).get("conditions", [])}
    return found.get("SchemaInSync", {})


async def _held(system: System, service: Service, words: str = "is held") -> str:
    """Wait for an update that is held; returns the command at the end of the message."""

    async def held() -> str:
        found = await _in_sync(system, service)
        assert found.get("reason") == "SchemaUpdateHeld", found
        assert words in found["message"], found
        return str(found["message"])

    message = await eventually(held, what=f"{service.name} held")
    return message.rpartition("run on the app cluster: ")[2]


async def _has_fields(system: System, service: Service, *fields: str) -> None:
    async def there() -> bool:
        found = await _fields(system, service), (await _in_sync(system, service)).get("status")
        assert found == (set(fields), "True"), found
        return True

    await eventually(there, what=f"fields {fields} on the app cluster", timeout=60)


async def test_without_objects_a_breaking_change_goes_through(system: System) -> None:
    resource = Resource("e2e.example", "v1", "vacants", kind="Vacant")
    service = await system.publish(resource, schema=_schema("size", "colour"))
    await system.bind(service)
    await _remove(system, service, "size")
    await _has_fields(system, service, "colour")


async def test_a_held_change_is_applied_by_the_command_in_its_message_and_no_later_one(
    system: System, control_plane: ControlPlane, unique: Unique
) -> None:
    resource = Resource("e2e.example", "v1", "consents", kind="Consent")
    service = await system.publish(resource, schema=_schema("size", "colour"))
    await system.bind(service)
    namespace = await system.namespace(unique("consent"))
    await system.down.create(resource, thing(resource, f"{namespace}/one", size="1", colour="red"))
    await system.synced(resource, f"{namespace}/one")
    await _remove(system, service, "size")
    first = await _held(system, service, "v1.spec.size: the field is removed, stored values would be lost")
    assert await _fields(system, service) == {"size", "colour"}
    assert "annotated" in await run_verbatim(first, system.consumer, control_plane)
    await _has_fields(system, service, "colour")
    # The provider brings the field back, it is used, and the same offer is made again.
    await _add(system, service, "size")
    await _has_fields(system, service, "size", "colour")
    await system.down.merge_patch(resource, "one", {"spec": {"size": "2"}}, namespace=namespace)
    await _remove(system, service, "size")
    second = await _held(system, service)
    assert second != first
    await run_verbatim(first, system.consumer, control_plane)

    async def kept() -> bool:
        found = await system.down.get(resource, "one", namespace=namespace)
        return bool(found["spec"].get("size") == "2") and "size" in await _fields(system, service)

    await holds(kept, seconds=2.0)
    # Nobody is asked any more when the last object is gone.
    await system.down.delete(resource, "one", namespace=namespace)
    await system.gone(system.down, resource, f"{namespace}/one")
    await _has_fields(system, service, "colour")


async def test_a_version_that_cannot_be_removed_says_what_helps(
    system: System, control_plane: ControlPlane, unique: Unique
) -> None:
    resource = Resource("e2e.example", "v1", "ageings", kind="Ageing")
    service = await system.publish(resource, schema=_schema("size"))
    await system.bind(service)
    old, new = (dict(crd(resource, schema=_schema("size"))["spec"]["versions"][0]) for _ in range(2))
    both = [{**old, "storage": False}, {**new, "name": "v2"}]
    await system.up.merge_patch(CRDS, service.name, {"spec": {"versions": both}})

    async def versions() -> list[str]:
        found = await system.down.get(CRDS, service.name)
        return [one["name"] for one in found["spec"]["versions"]]

    async def both_there() -> bool:
        return sorted(await versions()) == ["v1", "v2"]

    await eventually(both_there, what="both versions on the app cluster")
    # The provider has migrated its own objects and removes the version.
    migrated = {"status": {"storedVersions": ["v2"]}}
    await system.up.merge_patch(CRDS, service.name, migrated, subresource="status")
    await system.up.merge_patch(CRDS, service.name, {"spec": {"versions": both[1:]}})
    command = await _held(
        system, service, "the API server would refuse that, whoever consents; there are no objects"
    )
    assert keys.ACCEPT_SCHEMA not in command
    assert sorted(await versions()) == ["v1", "v2"]
    await run_verbatim(command, system.consumer, control_plane)

    async def only_new() -> bool:
        assert (await _in_sync(system, service)).get("status") == "True"
        return await versions() == ["v2"]

    await eventually(only_new, what="the new version alone")
    latest = Service(resource.at("v2"))
    await system.served(latest)
    namespace = await system.namespace(unique("ageing"))
    await system.down.create(latest.resource, thing(latest.resource, f"{namespace}/one", size="1"))
    await system.synced(latest.resource, f"{namespace}/one")


async def test_a_kind_that_is_taken_is_told_and_comes_to_its_right_when_it_is_free(
    system: System, unique: Unique
) -> None:
    resource = Resource("names.example", "v1", "claimants", kind="Claimant")
    service = await system.publish(resource)
    holder = Resource(resource.group, "v1", "holders", kind="Claimant")
    await system.stage.apply(system.consumer, [crd(holder)])
    async with system.refusals(system.consumer, resource.group):
        binding = asyncio.create_task(system.bind(service))
        try:

            async def told() -> bool:
                found = await _in_sync(system, service)
                assert (found.get("reason"), found.get("severity")) == ("NamesNotAccepted", "Error"), found
                # Of several names that are taken the API server says one.
                assert "is already in use; remove the other CRD" in found["message"], found
                return True

            async def bound() -> bool:
                return (
                    await system.down.get_or_none(BINDINGS, service.name, namespace=keys.CONSUMER_NAMESPACE)
                    is not None
                )

            await eventually(bound, what="the binding", timeout=60)
            await eventually(told, what="the conflict on the binding")

            async def told_to_the_provider() -> bool:
                export = await system.up.get(EXPORTS, service.name, namespace=system.tenant)
                found = {c["type"]: c for c in export.get("status", {}).get("conditions", [])}
                return bool(found.get("ConsumerInSync", {}).get("reason") == "NamesNotAccepted")

            await eventually(told_to_the_provider, what="the conflict on the export")
            await system.down.delete(CRDS, holder.crd_name)
            # Ready, and served.
            await binding
        finally:
            binding.cancel()
            await asyncio.gather(binding, return_exceptions=True)
    assert (await _in_sync(system, service))["status"] == "True"
    namespace = await system.namespace(unique("claimant"))
    await system.down.create(resource, thing(resource, f"{namespace}/one", size=1))
    await system.synced(resource, f"{namespace}/one")
