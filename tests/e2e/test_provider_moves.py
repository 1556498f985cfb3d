"""A provider whose API server gets a new address: binding again moves everything, and nothing is made twice or lost."""

import base64
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from bind_agent.api import keys, meta
from bind_agent.api.meta import Object
from bind_agent.api.resource import BINDINGS, CLUSTER_BINDINGS, SECRETS, Resource
from bind_agent.kube.config import from_kubeconfig
from tests.fakes.chaos_proxy import ChaosProxy
from tests.fakes.system import System, claim, eventually, secret, thing

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240)]

Unique = Callable[[str], str]


async def _condition(system: System, status: str) -> str:
    """Wait for SecretValid of the tenant; its message."""

    async def found() -> Object | None:
        binding = await system.up.get(CLUSTER_BINDINGS, keys.CLUSTER_BINDING_NAME, namespace=system.tenant)
        (one,) = [c for c in binding["status"]["conditions"] if c["type"] == "SecretValid"]
        return one if one["status"] == status else None

    return str((await eventually(found, what=f"SecretValid {status}")).get("message", ""))


async def _leads_to(system: System, binding: str) -> str:
    """The address in the Secret that a binding refers to."""
    found = await system.down.get(BINDINGS, binding, namespace=keys.CONSUMER_NAMESPACE)
    name = found["spec"]["kubeconfigSecretRef"]["name"]
    kept = await system.down.get(SECRETS, name, namespace=keys.CONSUMER_NAMESPACE)
    return from_kubeconfig(base64.b64decode(kept["data"][keys.KUBECONFIG])).server


async def _works(system: System, resource: Resource, key: str) -> str:
    """An object that is made now reaches the provider; the UID of its copy."""
    await system.down.create(resource, thing(resource, key, size=2))
    return meta.uid(await system.synced(resource, key))


async def test_binding_again_follows_a_provider_to_its_new_address(
    system: System, unique: Unique, tmp_path: Path
) -> None:
    labels = {"moves": "yes"}
    owned = [
        claim("secrets", owner, labelSelectors=[labels])
        for owner in (keys.OWNER_PROVIDER, keys.OWNER_CONSUMER)
    ]
    service = await system.publish(Resource("e2e.example", "v1", "movers", kind="Mover"), claims=owned)
    await system.bind(service)
    here = await system.namespace(unique("moving"))
    await system.down.create(service.resource, thing(service.resource, f"{here}/one", size=1))
    copy = await system.synced(service.resource, f"{here}/one")
    there = await system.service_namespace(here)
    await system.up.create(SECRETS, secret(f"{there}/down", {"a": "1"}, labels=labels))
    await system.down.create(SECRETS, secret(f"{here}/up", {"b": "1"}, labels=labels))

    async def copied(which: str, value: str) -> Object:
        client, namespace = (system.down, here) if which == "down" else (system.up, there)
        wanted = secret("x/x", {"a" if which == "down" else "b": value})["data"]

        async def arrived() -> Object | None:
            found = await client.get_or_none(SECRETS, which, namespace=namespace)
            return found if found is not None and found.get("data") == wanted else None

        return await eventually(arrived, what=f"copy of {which}")

    claimed = {which: meta.uid(await copied(which, "1")) for which in ("down", "up")}
    direct = system.remote_kubeconfig
    async with ChaosProxy("127.0.0.1", system.provider.port) as proxy:
        document = yaml.safe_load(direct.read_text(encoding="utf-8"))
        document["clusters"][0]["cluster"]["server"] = f"https://localhost:{proxy.port}"
        system.remote_kubeconfig = tmp_path / "moved.kubeconfig"
        system.remote_kubeconfig.write_text(yaml.safe_dump(document), encoding="utf-8")
        try:
            await system.bind(service)
            # The konnector works there, and takes up what stands instead of making it again.
            late = await _works(system, service.resource, f"{here}/late")
            assert proxy.connections > 0
            change = {"data": secret("x/x", {"a": "2"})["data"]}
            await system.up.merge_patch(SECRETS, "down", change, namespace=there)
            change = {"data": secret("x/x", {"b": "2"})["data"]}
            await system.down.merge_patch(SECRETS, "up", change, namespace=here)
            for which, uid in claimed.items():
                assert meta.uid(await copied(which, "2")) == uid
            assert await _leads_to(system, service.name) == document["clusters"][0]["cluster"]["server"]
            # The provider still offers its old address, which is told where the provider looks.
            assert "bind again on the app cluster" in await _condition(system, "False")
        finally:
            system.remote_kubeconfig = direct
            await system.bind(service)
    await _condition(system, "True")
    last = await _works(system, service.resource, f"{here}/last")
    found = {
        meta.name(one): meta.uid(one)
        for one in (await system.up.list(service.resource, namespace=there)).items
    }
    assert found == {"one": meta.uid(copy), "late": late, "last": last}
    # What goes at the source goes on the other side as well: the copies are known as ours.
    await system.up.delete(SECRETS, "down", namespace=there)
    await system.down.delete(SECRETS, "up", namespace=here)
    await system.gone(system.down, SECRETS, f"{here}/down")
    await system.gone(system.up, SECRETS, f"{there}/up")
