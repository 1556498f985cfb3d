"""A provider that means harm: it has its own cluster in hand, and whatever its API server would have refused.

On clusters of its own, with the backend stopped once everything stands: from then on the test is the provider.
"""

from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
import pytest_asyncio

from bind_agent.api import conditions, keys, meta
from bind_agent.api.conditions_catalogue import ConditionType
from bind_agent.api.meta import Object
from bind_agent.api.resource import (
    BINDINGS,
    CONFIGMAPS,
    CRDS,
    EXPORTS,
    NAMESPACES,
    ROLEBINDINGS,
    SECRETS,
    SERVICE_NAMESPACES,
    Resource,
)
from bind_agent.devcluster import ClusterOptions, ControlPlane, Playground
from tests.fakes.system import (
    Service,
    System,
    claim,
    config_map,
    eventually,
    holds,
    secret,
    start_system,
    stop_system,
    thing,
)

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180)]

Unique = Callable[[str], str]


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def lured(
    control_plane: ControlPlane, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[tuple[System, Service]]:
    """A bound kind with ordinary claims, its provider free to write what it likes."""
    options = [ClusterOptions(name) for name in ("provider", "consumer")]
    async with Playground(*options, control_plane=control_plane) as playground:
        system = await start_system(playground, tmp_path_factory.mktemp("lured"))
        try:
            service = await system.publish(
                Resource("lure.example", "v1", "lures", kind="Lure"),
                claims=[claim("secrets", keys.OWNER_PROVIDER), claim("configmaps", keys.OWNER_CONSUMER)],
            )
            await system.bind(service)
            anchor = await system.namespace("anchor")
            await system.down.create(service.resource, thing(service.resource, f"{anchor}/one", size=1))
            await system.synced(service.resource, f"{anchor}/one")
            await system.backend.stop()
            crd = await system.up.get(CRDS, EXPORTS.crd_name)
            for version in crd["spec"]["versions"]:
                version["schema"]["openAPIV3Schema"].pop("x-kubernetes-validations", None)
            await system.up.replace(CRDS, crd)
            yield system, service
        finally:
            await stop_system(system)


async def serve(system: System, consumer_namespace: str, service_namespace: str) -> None:
    """What the backend does for a namespace that the konnector asks for; here for any."""
    metadata: dict[str, Any] = {"name": service_namespace}
    await system.up.create(NAMESPACES, {"apiVersion": "v1", "kind": "Namespace", "metadata": metadata})
    role = {
        "apiGroup": "rbac.authorization.k8s.io",
        "kind": "ClusterRole",
        "name": f"{keys.BINDER}-{system.tenant}",
    }
    account = {"kind": "ServiceAccount", "name": keys.BINDER, "namespace": system.tenant}
    await system.up.create(
        ROLEBINDINGS,
        {
            "apiVersion": ROLEBINDINGS.api_version,
            "kind": ROLEBINDINGS.kind,
            "metadata": {"name": keys.BINDER, "namespace": service_namespace},
            "roleRef": role,
            "subjects": [account],
        },
    )
    if await system.up.get_or_none(SERVICE_NAMESPACES, consumer_namespace, namespace=system.tenant) is None:
        record = {
            "apiVersion": keys.API_VERSION,
            "kind": keys.KIND_SERVICE_NAMESPACE,
            "metadata": {"name": consumer_namespace, "namespace": system.tenant},
            "spec": {},
        }
        await system.up.create(SERVICE_NAMESPACES, record)
    answer = {"status": {"namespace": service_namespace}}
    await system.up.merge_patch(
        SERVICE_NAMESPACES, consumer_namespace, answer, namespace=system.tenant, subresource="status"
    )


async def test_an_export_that_is_turned_into_another_kind_is_not_followed(
    lured: tuple[System, Service], unique: Unique
) -> None:
    system, service = lured
    kept = "kubeconfig-of-another-provider"
    await system.down.create(SECRETS, secret(f"{keys.CONSUMER_NAMESPACE}/{kept}", {"kubeconfig": "theirs"}))
    mine = await system.namespace(unique("mine"))
    private = await system.down.create(SECRETS, secret(f"{mine}/private", {"password": "mine"}))
    good: Object = {}

    async def turned(spec: dict[str, Any]) -> bool:
        # The API server may still have the schema of before.
        export = await system.up.get(EXPORTS, service.name, namespace=system.tenant)
        good.update(good or export["spec"])
        export["spec"] |= spec
        await system.up.replace(EXPORTS, export)
        return True

    names = {"plural": "secrets", "singular": "secret", "kind": "Secret", "listKind": "SecretList"}

    async def until_turned() -> bool:
        try:
            return await turned({"group": "", "names": names})
        except Exception as error:
            raise AssertionError(type(error).__name__) from error

    await eventually(until_turned, what="the export is changed")

    async def told() -> bool:
        found = conditions.of(
            await system.down.get(BINDINGS, service.name, namespace=keys.CONSUMER_NAMESPACE)
        )
        return conditions.get(found, ConditionType.SCHEMA_IN_SYNC).status == "False"

    await eventually(told, what="the binding says so")

    async def untouched() -> bool:
        for namespace in (keys.CONSUMER_NAMESPACE, mine):
            asked = await system.up.get_or_none(SERVICE_NAMESPACES, namespace, namespace=system.tenant)
            assert asked is None
        now = await system.down.get(SECRETS, "private", namespace=mine)
        assert meta.resource_version(now) == meta.resource_version(private)
        return True

    await holds(untouched, seconds=5)
    # Set right again it goes on.
    await turned({"group": good["group"], "names": good["names"]})
    anchor = thing(service.resource, "anchor/two", size=2)
    await system.down.create(service.resource, anchor)
    await system.synced(service.resource, "anchor/two")


async def test_a_namespace_without_a_bound_object_stays_closed(
    lured: tuple[System, Service], unique: Unique
) -> None:
    system, service = lured
    payments = await system.namespace(unique("payments"))
    theirs = f"{system.tenant}-{payments}"
    await system.down.create(CONFIGMAPS, config_map(f"{payments}/accounts", {"iban": "private"}))
    await serve(system, payments, theirs)
    await system.up.create(SECRETS, secret(f"{theirs}/planted", {"key": "planted"}))

    async def closed() -> bool:
        assert await system.down.get_or_none(SECRETS, "planted", namespace=payments) is None
        assert await system.up.get_or_none(CONFIGMAPS, "accounts", namespace=theirs) is None
        return True

    await holds(closed, seconds=5)
    await system.down.create(service.resource, thing(service.resource, f"{payments}/one", size=1))

    async def opened() -> bool:
        await system.down.get(SECRETS, "planted", namespace=payments)
        await system.up.get(CONFIGMAPS, "accounts", namespace=theirs)
        return True

    async def flows() -> bool:
        try:
            return await opened()
        except Exception as error:
            raise AssertionError(type(error).__name__) from error

    await eventually(flows, what="claimed objects flow")
    # The last bound object goes: nothing new crosses any more.
    await system.down.delete(service.resource, "one", namespace=payments)

    async def gone() -> bool:
        return await system.down.get_or_none(service.resource, "one", namespace=payments) is None

    await eventually(gone, what="the object is gone")
    await system.down.create(CONFIGMAPS, config_map(f"{payments}/later", {"iban": "private"}))
    await system.up.create(SECRETS, secret(f"{theirs}/later", {"key": "planted"}))

    async def closed_again() -> bool:
        assert await system.down.get_or_none(SECRETS, "later", namespace=payments) is None
        assert await system.up.get_or_none(CONFIGMAPS, "later", namespace=theirs) is None
        return True

    await holds(closed_again, seconds=3)


async def test_a_namespace_goes_although_the_provider_forgot_it(
    lured: tuple[System, Service], unique: Unique
) -> None:
    """The record is lost while the consumer's namespace is there: it is asked for again, so that copies are found."""
    system, service = lured
    leaving = await system.namespace(unique("leaving"))
    theirs = f"{system.tenant}-{leaving}"
    await system.down.create(service.resource, thing(service.resource, f"{leaving}/one", size=1))
    await serve(system, leaving, theirs)
    await system.synced(service.resource, f"{leaving}/one")
    await system.konnector.stop()
    try:
        await system.up.delete(SERVICE_NAMESPACES, leaving, namespace=system.tenant)
        await system.down.delete(NAMESPACES, leaving)
    finally:
        await system.konnector.start()

    async def asked() -> bool:
        return await system.up.get_or_none(SERVICE_NAMESPACES, leaving, namespace=system.tenant) is not None

    await eventually(asked, what="the konnector asks for the service namespace again")
    answer = {"status": {"namespace": theirs}}
    await system.up.merge_patch(
        SERVICE_NAMESPACES, leaving, answer, namespace=system.tenant, subresource="status"
    )
    await system.gone(system.up, service.resource, f"{theirs}/one")
    await system.gone(system.down, NAMESPACES, leaving)
