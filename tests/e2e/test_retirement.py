"""The announced end of an export, as the consumer sees it."""

from collections.abc import Callable
from typing import Any

import pytest

from bind_agent.api import keys
from bind_agent.api.resource import BINDINGS, CORE_EVENTS, EXPORTS, Resource
from tests.fakes.system import Service, System, eventually, thing

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(120)]

Unique = Callable[[str], str]


async def conditions_of(system: System, service: Service) -> dict[str, dict[str, Any]]:
    binding = await system.down.get(BINDINGS, service.name, namespace=keys.CONSUMER_NAMESPACE)
    return {one["type"]: one for one in binding["status"]["conditions"]}


async def export(system: System, *arguments: str) -> str:
    kubeconfig = await system.stage.backend_kubeconfig(system.provider)
    return await system.stage.run(
        "-m", "bind_agent.backend.app", "export", *arguments, f"--kubeconfig={kubeconfig}"
    )


async def test_the_consumer_reads_it_on_the_binding(system: System, unique: Unique) -> None:
    resource = Resource("e2e.example", "v1", "retirings", kind="Retiring")
    service = await system.publish(resource)
    await system.bind(service)
    namespace = await system.namespace(unique("retiring"))
    await system.down.create(resource, thing(resource, f"{namespace}/one", size=1))
    await system.synced(resource, f"{namespace}/one")

    await export(system, "retire", service.name, "--all", "--grace=720h", "--note=use e2e v2")

    async def announced() -> bool:
        found = (await conditions_of(system, service)).get("Retiring", {})
        assert (found.get("status"), found.get("reason")) == ("True", "RetirementAnnounced")
        assert "use e2e v2" in found["message"]
        return True

    await eventually(announced, what="the announcement on the binding")

    async def told() -> bool:
        events = (await system.down.list(CORE_EVENTS, namespace=keys.CONSUMER_NAMESPACE)).items
        return any(one["reason"] == "RetirementAnnounced" for one in events)

    await eventually(told, what="an event about the binding")
    # Everything goes on, and says so.
    assert (await conditions_of(system, service))["Ready"]["status"] == "True"
    await system.down.merge_patch(resource, "one", {"spec": {"size": 2}}, namespace=namespace)

    async def followed() -> bool:
        copy = await system.copy(resource, f"{namespace}/one")
        return copy is not None and copy["spec"] == {"size": 2}

    await eventually(followed, what="a change during the grace period")

    await export(system, "restore", service.name, "--all")

    async def taken_back() -> bool:
        found = await conditions_of(system, service)
        return (found["Retiring"]["status"], found["Ready"]["status"]) == ("False", "True")

    await eventually(taken_back, what="the end of the announcement")
    assert await system.down.get(resource, "one", namespace=namespace)

    async with system.refusals(system.provider, resource.group, resource.plural):
        await export(system, "retire", service.name, "--all", "--grace=1s")
        await system.gone(system.up, EXPORTS, f"{system.tenant}/{service.name}")

        async def ended() -> bool:
            found = await conditions_of(system, service)
            return found["Connected"].get("reason") == "APIServiceExportNotFound"

        await eventually(ended, what="the end on the binding")
        # The consumer's object and the provider's copy are nobody's to delete but their owners'.
        found = await system.down.get(resource, "one", namespace=namespace)
        assert found["spec"] == {"size": 2}
        assert await system.copy(resource, f"{namespace}/one")
        free = {"metadata": {"finalizers": None}}
        await system.down.merge_patch(resource, "one", free, namespace=namespace)
