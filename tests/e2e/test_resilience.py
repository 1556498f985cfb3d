"""Crashes, restarts and rotations in the middle of work: nothing lost, doubled, orphaned or overwritten."""

import asyncio
import base64
from collections.abc import Callable, Iterable

import pytest

from bind_agent.api import conditions, keys, meta
from bind_agent.api.meta import Object
from bind_agent.api.resource import BINDINGS, CLUSTER_BINDINGS, SECRETS, Resource
from bind_agent.devcluster.server import Server
from bind_agent.kube.client import Client
from bind_agent.kube.errors import KubeError
from konnector.sync.brake import REST_SECONDS
from tests.fakes.system import Service, System, eventually, thing

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180)]

Unique = Callable[[str], str]

BURST = 500


async def _create_all(system: System, service: Service, wanted: Iterable[str]) -> None:
    """Create objects as a patient user does: a request that fails is made again."""
    pending = iter(list(wanted))

    async def worker() -> None:
        for key in pending:
            await _patiently(system.down, service, key)

    await asyncio.gather(*(worker() for _ in range(16)))


async def _patiently(client: Client, service: Service, key: str) -> None:
    for _ in range(300):
        if await _attempt(client, service, key) is not None:
            return
        await asyncio.sleep(0.2)
    raise AssertionError(f"{key} could not be created")


async def _attempt(client: Client, service: Service, key: str) -> Object | None:
    namespace, name = meta.split_key(key)
    try:
        found = await client.get_or_none(service.resource, name, namespace=namespace)
        return found or await client.create(service.resource, thing(service.resource, key, name=name))
    except KubeError:
        return None


async def _copies(system: System, service: Service, namespaces: Iterable[str]) -> dict[str, Object]:
    """All copies in the service namespaces of some namespaces, by the consumer's key."""
    found: dict[str, Object] = {}
    for namespace in namespaces:
        there = await system.service_namespace(namespace)
        for copy in (await system.up.list(service.resource, namespace=there)).items:
            found[meta.join_key(namespace, meta.name(copy))] = copy
    return found


async def _all_there(system: System, service: Service, wanted: set[str], namespaces: list[str]) -> None:
    async def complete() -> bool:
        found = await _copies(system, service, namespaces)
        assert set(found) == wanted, (
            f"{len(wanted - set(found))} missing, {len(set(found) - wanted)} too many"
        )
        return True

    await eventually(complete, what="all copies", timeout=90, poll=0.5)
    for key, copy in (await _copies(system, service, namespaces)).items():
        assert copy["spec"] == {"name": meta.split_key(key)[1]}
        assert meta.annotation(copy, keys.SOURCE) == key


async def _restart(server: Server, *, graceful: bool) -> None:
    await server.restart(graceful=graceful)


async def test_a_burst_survives_restarts_of_konnector_and_backend(
    system: System, databases: Service, unique: Unique
) -> None:
    namespaces = [await system.namespace(unique("burst")) for _ in range(5)]
    wanted = {f"{namespaces[n % 5]}/object-{n:03d}" for n in range(BURST)}
    creating = asyncio.create_task(_create_all(system, databases, sorted(wanted)))
    await asyncio.sleep(0.7)
    await _restart(system.konnector, graceful=False)
    await _restart(system.backend, graceful=True)
    await creating
    await _all_there(system, databases, wanted, namespaces)
    # And away again, with a crash in the middle of that as well.
    for key in sorted(wanted)[: BURST // 2]:
        namespace, name = meta.split_key(key)
        await system.down.delete(databases.resource, name, namespace=namespace)
    await system.konnector.kill()
    for key in sorted(wanted)[BURST // 2 :]:
        namespace, name = meta.split_key(key)
        await system.down.delete(databases.resource, name, namespace=namespace)
    await system.konnector.start()

    async def empty() -> bool:
        left = [
            o for n in namespaces for o in (await system.down.list(databases.resource, namespace=n)).items
        ]
        assert not left, f"{len(left)} objects left"
        copies = await _copies(system, databases, namespaces)
        assert not copies, f"{len(copies)} copies left"
        return True

    await eventually(empty, what="nothing left on either side", timeout=90, poll=0.5)


@pytest.mark.parametrize("side", ["provider", "consumer"])
async def test_work_goes_on_after_an_api_server_crashed(
    system: System, databases: Service, unique: Unique, side: str
) -> None:
    namespace = await system.namespace(unique("crash"))
    wanted = {f"{namespace}/object-{n:03d}" for n in range(60)}
    creating = asyncio.create_task(_create_all(system, databases, sorted(wanted)))
    await asyncio.sleep(0.1)
    cluster = system.provider if side == "provider" else system.consumer
    async with system.disturbance(cluster):
        await cluster.apiserver.restart(graceful=False)
        await cluster.wait_ready()
    await creating
    await _all_there(system, databases, wanted, [namespace])
    # What changes after the crash arrives too: the watches are alive again.
    name = meta.split_key(min(wanted))[1]
    there = await system.service_namespace(namespace)
    status = {"status": {"phase": "after the crash"}}
    await system.up.merge_patch(databases.resource, name, status, namespace=there, subresource="status")

    async def arrived() -> bool:
        found = await system.down.get(databases.resource, name, namespace=namespace)
        return found.get("status") == status["status"]

    await eventually(arrived, what="status after the crash", timeout=60)


async def test_a_frozen_provider_only_delays(system: System, databases: Service, unique: Unique) -> None:
    namespace = await system.namespace(unique("frozen"))
    await system.down.create(
        databases.resource, thing(databases.resource, f"{namespace}/first", name="first")
    )
    await system.synced(databases.resource, f"{namespace}/first")
    await system.provider.apiserver.pause()
    try:
        await system.down.create(
            databases.resource, thing(databases.resource, f"{namespace}/late", name="late")
        )
        await asyncio.sleep(2.0)
        found = await system.down.get(databases.resource, "first", namespace=namespace)
        assert found["spec"] == {"name": "first"}
    finally:
        await system.provider.apiserver.resume()
    await _all_there(system, databases, {f"{namespace}/first", f"{namespace}/late"}, [namespace])


async def test_the_credential_rotates_under_load(system: System, databases: Service, unique: Unique) -> None:
    namespace = await system.namespace(unique("rotation"))
    wanted = {f"{namespace}/object-{n:03d}" for n in range(120)}
    before = await _consumer_token(system)
    creating = asyncio.create_task(_create_all(system, databases, sorted(wanted)))
    await system.stage.run(
        "-m",
        "bind_agent.backend.app",
        "tenant",
        "rotate",
        system.tenant,
        "--now",
        f"--kubeconfig={await system.stage.backend_kubeconfig(system.provider)}",
    )
    await creating
    await system.renew_kubeconfig()  # what was handed out before is worth nothing any more

    async def rotated() -> bool:
        return await _consumer_token(system) != before

    await eventually(rotated, what="new credential in the consumer's Secret")
    await _all_there(system, databases, wanted, [namespace])
    late = f"{namespace}/late"
    await system.down.create(databases.resource, thing(databases.resource, late, name="late"))
    await _all_there(system, databases, wanted | {late}, [namespace])


async def _consumer_token(system: System) -> bytes:
    binding = await system.down.get(BINDINGS, "databases.e2e.example", namespace=keys.CONSUMER_NAMESPACE)
    name = binding["spec"]["kubeconfigSecretRef"]["name"]
    secret = await system.down.get(SECRETS, name, namespace=keys.CONSUMER_NAMESPACE)
    return base64.b64decode(secret["data"][keys.KUBECONFIG])


@pytest.mark.timeout(300)
async def test_no_restart_releases_the_brake_on_mass_deletion_and_a_word_said_meanwhile_does(
    system: System, unique: Unique
) -> None:
    service = await system.publish(Resource("e2e.example", "v1", "ledgers", kind="Ledger"))
    await system.bind(service)
    namespace = await system.namespace(unique("brake"))
    wanted = {f"{namespace}/object-{n:03d}" for n in range(30)}
    await _create_all(system, service, sorted(wanted))
    await _all_there(system, service, wanted, [namespace])
    # All are gone without having been deleted before the konnector's eyes, as after a restore.
    await system.konnector.kill()
    for key in sorted(wanted):
        name = meta.split_key(key)[1]
        free = {"metadata": {"finalizers": None}}
        await system.down.merge_patch(service.resource, name, free, namespace=namespace)
        await system.down.delete(service.resource, name, namespace=namespace)
    await system.konnector.start()

    async def allowed(status: str) -> Object | None:
        binding = await system.down.get(BINDINGS, service.name, namespace=keys.CONSUMER_NAMESPACE)
        found = conditions.get(conditions.of(binding), "DeletionsAllowed")
        assert found is not None
        assert found.status == status, found
        return binding

    first = await eventually(lambda: allowed("False"), what="brake", timeout=60)
    for graceful in (True, False):
        await system.konnector.restart(graceful=graceful)
        await asyncio.sleep(REST_SECONDS + 3.0)
        again = await allowed("False")
        assert again is not None
        assert conditions.get(conditions.of(again), "DeletionsAllowed") == conditions.get(
            conditions.of(first), "DeletionsAllowed"
        )
        assert set(await _copies(system, service, [namespace])) == wanted
    await system.konnector.kill()
    said = {"metadata": {"annotations": {keys.RESUME: "2026-01-01T00:00:00Z"}}}
    await system.down.merge_patch(BINDINGS, service.name, said, namespace=keys.CONSUMER_NAMESPACE)
    await system.konnector.start()

    async def gone() -> bool:
        left = await _copies(system, service, [namespace])
        assert not left, f"{len(left)} copies left"
        return True

    await eventually(gone, what="copies gone", timeout=90, poll=0.5)
    await eventually(lambda: allowed("True"), what="all clear")


async def test_the_heartbeat_is_written(system: System, databases: Service) -> None:
    binding = await system.up.get(CLUSTER_BINDINGS, keys.CLUSTER_BINDING_NAME, namespace=system.tenant)
    status = binding["status"]
    assert status["heartbeatInterval"] == "5m0s"
    assert status["konnectorVersion"].startswith("v")
    found = {c["type"]: c["status"] for c in status["conditions"]}
    assert {"Ready", "Healthy", "SecretValid", "ValidVersion"} <= set(found)
    assert set(found.values()) == {"True"}
    assert databases.name
