"""An operator left out `bind-backend rbac`: the consumer sees on the binding that nothing can be synced."""

from collections.abc import Callable
from typing import Any

import pytest

from bind_agent.api import keys
from bind_agent.api.resource import BINDINGS, CLUSTERROLES, CORE_EVENTS, Resource
from tests.fakes.system import Service, System, backend_role, eventually, thing

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180)]

Unique = Callable[[str], str]


async def conditions_of(system: System, service: Service) -> dict[str, dict[str, Any]]:
    binding = await system.down.get(BINDINGS, service.name, namespace=keys.CONSUMER_NAMESPACE)
    return {one["type"]: one for one in (binding.get("status") or {}).get("conditions", [])}


async def test_a_binding_without_rights_is_not_ready_until_they_come(system: System, unique: Unique) -> None:
    resource = Resource("e2e.example", "v1", "ungranteds", kind="Ungranted")
    service = await system.publish(resource)
    await system.up.delete(CLUSTERROLES, backend_role(service)["metadata"]["name"])

    async with system.refusals(system.provider, resource.group, resource.plural):
        with pytest.raises(Exception, match="is not ready after"):
            await system.bind(service, "--wait", "--timeout=15s")
        found = await conditions_of(system, service)
        assert (found["Connected"]["status"], found["Ready"]["status"]) == ("True", "False")
        for condition in ("AccessGranted", "Ready"):
            told = found[condition]
            assert (told["status"], told["severity"], told["reason"]) == ("False", "Error", "GrantRefused")
            assert f"bind-backend rbac {service.name}" in told["message"]

        async def told_as_event() -> bool:
            events = (await system.down.list(CORE_EVENTS, namespace=keys.CONSUMER_NAMESPACE)).items
            return any(one["reason"] == "GrantRefused" for one in events)

        await eventually(told_as_event, what="an event about the binding")

        await system.up.create(CLUSTERROLES, backend_role(service))
        await system.bound(service)
    assert (await conditions_of(system, service))["AccessGranted"]["status"] == "True"
    namespace = await system.namespace(unique("granted"))
    await system.down.create(resource, thing(resource, f"{namespace}/one", size=1))
    await system.synced(resource, f"{namespace}/one")
