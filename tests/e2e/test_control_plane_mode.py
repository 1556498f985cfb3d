"""Control plane mode (spec 5.6, 9.5): the konnector runs beside the backend, under the roles of a root namespace.

On clusters of its own: an app cluster on which nothing of the product runs, with the shipped roles only.
"""

import asyncio
import base64
from collections.abc import AsyncIterator, Callable

import pytest
import pytest_asyncio

from bind_agent.api import keys, meta
from bind_agent.api.meta import Object
from bind_agent.api.resource import (
    CLUSTER_BINDINGS,
    CLUSTERROLES,
    CONFIGMAPS,
    CORE_EVENTS,
    CRDS,
    NAMESPACES,
    SECRETS,
    Resource,
)
from bind_agent.devcluster import ClusterOptions, ControlPlane, Playground
from bind_agent.devcluster.ports import LOOPBACK
from bind_agent.kube.client import Client
from tests.fakes.chaos_proxy import ChaosProxy
from tests.fakes.commands import run_verbatim
from tests.fakes.control_plane import (
    ACCOUNT,
    KUBECONFIG,
    ROOT,
    ControlPlaneSystem,
    app_cluster_manifests,
    control_plane_system,
)
from tests.fakes.system import Service, admin_client, claim, config_map, eventually, secret, thing

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

Unique = Callable[[str], str]


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def plane(
    control_plane: ControlPlane, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[ControlPlaneSystem]:
    """A provider and two app clusters, of which one is bound; a backend, and a konnector in control plane mode."""
    options = [ClusterOptions(name, audit=True) for name in ("provider", "consumer", "rebuilt")]
    async with (
        Playground(*options, control_plane=control_plane) as playground,
        control_plane_system(playground, tmp_path_factory.mktemp("plane")) as running,
    ):
        yield running


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def databases(plane: ControlPlaneSystem) -> Service:
    """A bound kind with claims of both owners."""
    service = await plane.publish(
        Resource("plane.example", "v1", "databases", kind="Database"),
        claims=[
            claim("secrets", keys.OWNER_PROVIDER),
            claim("configmaps", keys.OWNER_CONSUMER, labelSelectors=[{"pipeline": "input"}]),
        ],
    )
    await plane.bind(service)
    return service


async def _made(plane: ControlPlaneSystem, service: Service, unique: Unique) -> tuple[str, str]:
    """An object on the app cluster and its copy: both namespaces."""
    namespace = await plane.namespace(unique("plane"))
    await plane.down.create(service.resource, thing(service.resource, f"{namespace}/one", size=1))
    copy = await plane.synced(service.resource, f"{namespace}/one")
    return namespace, meta.namespace(copy)


async def _arrives(client: Client, resource: Resource, key: str, data: Object) -> Object:
    namespace, name = meta.split_key(key)

    async def there() -> Object | None:
        found = await client.get_or_none(resource, name, namespace=namespace)
        return found if found is not None and found.get("data") == data else None

    return await eventually(there, what=f"{resource.plural} {key}")


async def _all_synced(plane: ControlPlaneSystem, service: Service, namespace: str, count: int) -> None:
    there = await plane.service_namespace(namespace)

    async def complete() -> bool:
        found = {meta.name(one) for one in (await plane.up.list(service.resource, namespace=there)).items}
        wanted = {f"burst-{number:03d}" for number in range(count)}
        assert not (wanted - found), f"{len(wanted - found)} missing"
        return True

    await eventually(complete, what="all copies", timeout=90, poll=0.3)


async def _burst(plane: ControlPlaneSystem, service: Service, namespace: str, count: int) -> None:
    for number in range(count):
        await plane.down.create(
            service.resource, thing(service.resource, f"{namespace}/burst-{number:03d}", number=number)
        )


async def test_the_life_of_an_object(plane: ControlPlaneSystem, databases: Service, unique: Unique) -> None:
    namespace, there = await _made(plane, databases, unique)
    copy = await plane.up.get(databases.resource, "one", namespace=there)
    assert copy["spec"] == {"size": 1}
    identity = meta.uid(await plane.down.get(NAMESPACES, "kube-system"))
    assert meta.annotation(copy, keys.CONSUMER_CLUSTER) == identity
    assert meta.annotation(copy, keys.SOURCE) == f"{namespace}/one"
    # Status comes back, a change goes up, and deletion ends on both sides.
    status = {"status": {"phase": "Ready"}}
    await plane.up.merge_patch(databases.resource, "one", status, namespace=there, subresource="status")

    async def back() -> bool:
        found = await plane.down.get(databases.resource, "one", namespace=namespace)
        return found.get("status") == {"phase": "Ready"}

    await eventually(back, what="status back")
    await plane.down.merge_patch(databases.resource, "one", {"spec": {"size": 2}}, namespace=namespace)

    async def changed() -> bool:
        found = await plane.up.get(databases.resource, "one", namespace=there)
        return bool(found["spec"] == {"size": 2})

    await eventually(changed, what="the change on the provider")
    await plane.down.delete(databases.resource, "one", namespace=namespace)
    await plane.gone(plane.down, databases.resource, f"{namespace}/one")
    await plane.gone(plane.up, databases.resource, f"{there}/one")


async def test_claims_of_both_owners(plane: ControlPlaneSystem, databases: Service, unique: Unique) -> None:
    namespace, there = await _made(plane, databases, unique)
    made = await plane.up.create(SECRETS, secret(f"{there}/creds", {"password": "one"}))
    copy = await _arrives(plane.down, SECRETS, f"{namespace}/creds", made["data"])
    assert meta.annotation(copy, keys.RESOURCE_OWNER) == keys.OWNER_PROVIDER
    wanted = config_map(f"{namespace}/input", {"rows": "7"}, labels={"pipeline": "input"})
    await plane.down.create(CONFIGMAPS, wanted)
    await _arrives(plane.up, CONFIGMAPS, f"{there}/input", {"rows": "7"})
    await plane.up.delete(SECRETS, "creds", namespace=there)
    await plane.gone(plane.down, SECRETS, f"{namespace}/creds")
    await plane.down.delete(CONFIGMAPS, "input", namespace=namespace)
    await plane.gone(plane.up, CONFIGMAPS, f"{there}/input")


async def test_what_the_app_cluster_gets_names_no_owner_on_another_cluster(
    plane: ControlPlaneSystem, databases: Service
) -> None:
    crd = await plane.down.get(CRDS, databases.name)
    binding = await plane.binding(databases)
    assert "ownerReferences" not in crd["metadata"]
    assert meta.annotation(crd, keys.SOURCE) == f"{ROOT}/{databases.name}"
    assert meta.annotation(crd, keys.SOURCE_UID) == meta.uid(binding)
    # The kinds of the control plane stay there.
    own = [meta.name(one) for one in (await plane.down.list(CRDS)).items]
    assert own
    assert not [name for name in own if name.endswith(keys.GROUP)]
    assert binding["status"]["providerPrettyName"] == "app1"


async def test_the_heartbeat_says_nothing_about_a_credential(
    plane: ControlPlaneSystem, databases: Service
) -> None:
    found = await plane.up.get(CLUSTER_BINDINGS, keys.CLUSTER_BINDING_NAME, namespace=ROOT)
    assert found["status"]["lastHeartbeatTime"]
    stated = {c["type"]: c["status"] for c in found["status"]["conditions"]}
    assert stated["ValidVersion"] == "True"
    assert "SecretValid" not in stated
    assert (await plane.condition(databases, "Heartbeating"))["status"] == "True"


async def test_a_crd_of_somebody_else_is_left_alone(plane: ControlPlaneSystem, unique: Unique) -> None:
    group = f"{unique('g')}.example"
    service = await plane.publish(Resource(group, "v1", "widgets", kind="Widget"))
    theirs = await plane.up.get(CRDS, service.name)
    own = {
        "apiVersion": theirs["apiVersion"],
        "kind": theirs["kind"],
        "metadata": {"name": service.name},
        "spec": theirs["spec"],
    }
    before = await plane.down.create(CRDS, own)
    binding = asyncio.create_task(plane.bind(service))

    async def refused() -> bool:
        found = await plane.condition(service, "Connected")
        assert found.get("reason") == "ForeignCustomResourceDefinition", found
        return True

    try:
        await eventually(refused, what="the refusal")
        now = await plane.down.get(CRDS, service.name)
        assert (now["metadata"].get("annotations"), now["spec"]) == (
            before["metadata"].get("annotations"),
            before["spec"],
        )
        # When it is gone, the binding comes to its right.
        await plane.down.delete(CRDS, service.name)
        await binding
    finally:
        binding.cancel()
        await asyncio.gather(binding, return_exceptions=True)


async def test_the_operator_consents_to_a_change_that_would_harm_objects(
    plane: ControlPlaneSystem, control_plane: ControlPlane, unique: Unique
) -> None:
    """The binding is on the control plane, where the app cluster's owner has no access."""
    properties = {"size": {"type": "string"}, "colour": {"type": "string"}}
    spec = {"type": "object", "properties": properties}
    resource = Resource("plane.example", "v1", "consents", kind="Consent")
    service = await plane.publish(resource, schema={"type": "object", "properties": {"spec": spec}})
    await plane.bind(service)
    namespace = await plane.namespace(unique("consent"))
    await plane.down.create(resource, thing(resource, f"{namespace}/one", size="1"))
    await plane.synced(resource, f"{namespace}/one")
    path = "/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties/size"
    await plane.up.json_patch(CRDS, service.name, [{"op": "remove", "path": path}])

    async def held() -> str:
        found = await plane.condition(service, "SchemaInSync")
        assert found.get("reason") == "SchemaUpdateHeld", found
        return str(found["message"])

    _, told, command = (await eventually(held, what="the update held")).rpartition(
        "run on the control plane: "
    )
    assert told
    await run_verbatim(command, plane.provider, control_plane)

    async def applied() -> bool:
        found = await plane.condition(service, "SchemaInSync")
        crd = await plane.down.get(CRDS, service.name)
        schema = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
        return found["status"] == "True" and set(schema["properties"]["spec"]["properties"]) == {"colour"}

    await eventually(applied, what="the change on the app cluster", timeout=60)


async def test_a_rotated_kubeconfig_is_taken_over_under_way(
    plane: ControlPlaneSystem, databases: Service, unique: Unique
) -> None:
    namespace = await plane.namespace(unique("rotated"))
    first, second = unique("first"), unique("second")
    async with plane.disturbance(plane.consumer):
        await plane.put_kubeconfig(await plane.kubeconfig(first))
        # What another test did to the kubeconfig is over when an object has crossed.
        early = f"{namespace}/early"
        await plane.down.create(databases.resource, thing(databases.resource, early, size=3))
        await plane.synced(databases.resource, early)
        creating = asyncio.create_task(_burst(plane, databases, namespace, 60))
        await plane.put_kubeconfig(await plane.kubeconfig(second))
        pid = plane.konnector.pid
        # With its Secret the first token ends.
        await plane.down.delete(SECRETS, first, namespace="klutch-bind")
        await creating
        await _all_synced(plane, databases, namespace, 60)
    assert plane.konnector.pid == pid
    assert "credential rotated" in plane.log()
    late = f"{namespace}/late"
    await plane.down.create(databases.resource, thing(databases.resource, late, size=3))
    await plane.synced(databases.resource, late)
    await plane.put_kubeconfig(await plane.kubeconfig())
    assert plane.konnector.pid == pid


@pytest.mark.parametrize(
    ("content", "reason", "words"),
    [
        (None, "KubeconfigSecretNotFound", "it is waited for"),
        ("no kubeconfig: [", "KubeconfigSecretInvalid", KUBECONFIG),
        ("exec", "KubeconfigSecretInvalid", "exec"),
    ],
    ids=["missing", "malformed", "program"],
)
async def test_a_kubeconfig_that_cannot_be_used_is_told_and_waited_for(
    plane: ControlPlaneSystem,
    databases: Service,
    unique: Unique,
    content: str | None,
    reason: str,
    words: str,
) -> None:
    pid = plane.konnector.pid
    if content == "exec":
        content = (await plane.kubeconfig()).replace("token:", "exec: {command: /bin/true}\n    token:")
    # The backend mirrors only what can be used: while it runs, such a thing does not last.
    await plane.backend.stop()
    await plane.break_mirror(content)

    async def told() -> Object:
        found = await plane.condition(databases, "SecretValid")
        assert found.get("reason") == reason, found
        return found

    try:
        assert words in (await eventually(told, what="the condition"))["message"]

        async def unready() -> bool:
            return (await plane.health("/readyz"))[1].get("appCluster") == "degraded"

        await eventually(unready, what="readyz says so")
        assert (await plane.health("/healthz"))[0] == 200
    finally:
        await plane.backend.start()
    await plane.bound(databases)
    await _made(plane, databases, unique)
    assert plane.konnector.pid == pid


async def test_an_app_cluster_that_is_away_is_told_and_waited_for(
    plane: ControlPlaneSystem, databases: Service, unique: Unique
) -> None:
    namespace, there = await _made(plane, databases, unique)
    pid = plane.konnector.pid
    async with plane.disturbance(plane.consumer):
        await plane.consumer.apiserver.kill()
        try:

            async def told() -> bool:
                found = await plane.condition(databases, "InformersSynced")
                assert found.get("reason") == "AppClusterUnreachable", found
                return True

            await eventually(told, what="the condition", timeout=60)
            assert (await plane.health("/readyz")) == (503, {"started": "ok", "appCluster": "degraded"})
            assert (await plane.health("/healthz"))[0] == 200
            # What the provider's side does meanwhile is not lost.
            status = {"status": {"phase": "while it was away"}}
            await plane.up.merge_patch(
                databases.resource, "one", status, namespace=there, subresource="status"
            )
        finally:
            await plane.consumer.apiserver.start()
            await plane.consumer.wait_ready()

        async def back() -> bool:
            found = await plane.down.get(databases.resource, "one", namespace=namespace)
            return found.get("status") == {"phase": "while it was away"}

        await eventually(back, what="status after the outage", timeout=90)
        await plane.bound(databases)
    assert plane.konnector.pid == pid
    assert (await plane.health("/readyz"))[0] == 200


async def test_a_konnector_starts_while_the_app_cluster_is_away(
    plane: ControlPlaneSystem, databases: Service, unique: Unique
) -> None:
    namespace = await plane.namespace(unique("early"))
    await plane.konnector.kill()
    async with plane.disturbance(plane.consumer):
        await plane.consumer.apiserver.kill()
        try:
            await plane.konnector.start(wait=False)

            async def told() -> bool:
                found = await plane.condition(databases, "InformersSynced")
                assert found.get("reason") == "AppClusterUnreachable", found
                return True

            await eventually(told, what="the condition", timeout=90)
            assert (await plane.health("/readyz"))[0] == 503
            assert plane.konnector.running
        finally:
            await plane.consumer.apiserver.start()
            await plane.consumer.wait_ready()
        await plane.konnector.wait_ready()
        await plane.down.create(databases.resource, thing(databases.resource, f"{namespace}/one", size=1))
        await plane.synced(databases.resource, f"{namespace}/one")


async def test_work_goes_on_after_the_control_plane_crashed(
    plane: ControlPlaneSystem, databases: Service, unique: Unique
) -> None:
    namespace, _ = await _made(plane, databases, unique)
    creating = asyncio.create_task(_burst(plane, databases, namespace, 40))
    async with plane.disturbance(plane.provider):
        await plane.provider.apiserver.restart(graceful=False)
        await plane.provider.wait_ready()
    await creating
    await _all_synced(plane, databases, namespace, 40)
    # The watches of both ends and the status of bindings live again.
    await plane.bound(databases)
    late = f"{namespace}/late"
    await plane.down.create(databases.resource, thing(databases.resource, late, size=3))
    await plane.synced(databases.resource, late)


async def test_nothing_is_lost_when_the_konnector_starts_again(
    plane: ControlPlaneSystem, databases: Service, unique: Unique
) -> None:
    namespace, there = await _made(plane, databases, unique)
    await plane.down.create(databases.resource, thing(databases.resource, f"{namespace}/gone", size=1))
    await plane.synced(databases.resource, f"{namespace}/gone")
    creating = asyncio.create_task(_burst(plane, databases, namespace, 40))
    await plane.konnector.kill()
    await plane.down.delete(databases.resource, "gone", namespace=namespace)
    await creating
    await plane.konnector.start()
    await _all_synced(plane, databases, namespace, 40)
    await plane.gone(plane.up, databases.resource, f"{there}/gone")
    await plane.gone(plane.down, databases.resource, f"{namespace}/gone")
    assert await plane.up.get_or_none(databases.resource, "one", namespace=there) is not None


async def test_an_app_cluster_that_was_built_anew_destroys_nothing(
    plane: ControlPlaneSystem, databases: Service, unique: Unique
) -> None:
    """Behind the same address and CA is another cluster, in which nothing exists of what was copied."""
    rebuilt = plane.stage.playground["rebuilt"]
    await plane.stage.apply(rebuilt, app_cluster_manifests())
    authorities = f"{plane.consumer.ca_pem.strip()}\n{rebuilt.ca_pem.strip()}\n"
    direct = await plane.kubeconfig()
    async with ChaosProxy(LOOPBACK, plane.consumer.port) as proxy:
        reached = {
            "server": f"https://{LOOPBACK}:{proxy.port}",
            "certificate-authority-data": base64.b64encode(authorities.encode()).decode(),
        }
        await plane.put_kubeconfig(await plane.kubeconfig(**reached))
        namespace, there = await _made(plane, databases, unique)
        made = await plane.up.get(databases.resource, "one", namespace=there)
        sessions = plane.log().count("session starts")
        proxy.retarget(LOOPBACK, rebuilt.port)
        await plane.put_kubeconfig(await plane.kubeconfig(cluster=rebuilt, **reached))

        async def another_session() -> bool:
            return plane.log().count("session starts") > sessions

        try:
            await eventually(another_session, what="the exchange was noticed")
            async with admin_client(rebuilt) as anew:

                async def brought() -> bool:
                    return await anew.get_or_none(CRDS, databases.name) is not None

                await eventually(brought, what="the CRD on the new cluster")
                # The role of the binding, and an object of the same name: not the same object.
                role = await plane.down.get(CLUSTERROLES, f"klutch-bind-binding-{databases.name}")
                shed = {"name": meta.name(role), "labels": meta.labels(role)}
                await plane.stage.apply(rebuilt, [{**role, "metadata": shed}])
                await anew.create(NAMESPACES, {"metadata": {"name": namespace}})

                async def stored() -> bool:
                    one = thing(databases.resource, f"{namespace}/one", size=99)
                    await anew.create(databases.resource, one)
                    return True

                await eventually(stored, what="an object on the new cluster")

                async def refused() -> bool:
                    found = (await anew.list(CORE_EVENTS, namespace=namespace)).items
                    return any("belongs to another app cluster" in event["message"] for event in found)

                await eventually(refused, what="the refusal as an event")
            left = await plane.up.get(databases.resource, "one", namespace=there)
            assert (meta.uid(left), left["spec"]) == (meta.uid(made), {"size": 1})
            assert "deletionTimestamp" not in left["metadata"]
        finally:
            proxy.retarget(LOOPBACK, plane.consumer.port)
            await plane.put_kubeconfig(direct)
        await plane.bound(databases)
        # Back on the first cluster everything is as it was.
        await plane.down.merge_patch(databases.resource, "one", {"spec": {"size": 2}}, namespace=namespace)

        async def changed() -> bool:
            found = await plane.up.get(databases.resource, "one", namespace=there)
            return bool(found["spec"] == {"size": 2}) and meta.uid(found) == meta.uid(made)

        await eventually(changed, what="the change on the provider", timeout=60)


async def test_audit_of_control_plane_mode(plane: ControlPlaneSystem, databases: Service) -> None:
    """No request was forbidden, and what the konnector asked for on either cluster is what it may ask for.

    The name of this test has it run after all others, see ``conftest.py``.
    """
    refused = [
        f"{cluster.name}: {event.verb} {event.namespace}/{event.name} {event.resource}.{event.group}"
        for cluster in (plane.provider, plane.consumer)
        for event in cluster.audit_requests()
        if event.code == 403
        and "bind-agent-konnector" in event.user_agent
        and not plane.is_disturbed(cluster, event)
        and not plane.is_expected(cluster, event)
    ]
    assert not refused, refused
    # Nothing of the product writes Events or CRDs on the control plane, or Leases and bindings on the app cluster.
    there = f"system:serviceaccount:{ROOT}:klutch-binder"
    asked = {(e.resource, e.verb) for e in plane.provider.audit_requests() if e.user == there}
    assert ("leases", "update") in asked
    assert not {resource for resource, _ in asked} & {"events", "customresourcedefinitions"}
    here = f"system:serviceaccount:klutch-bind:{ACCOUNT}"
    asked = {(e.resource, e.verb) for e in plane.consumer.audit_requests() if e.user == here}
    assert ("databases", "watch") in asked
    assert not {resource for resource, _ in asked} & {"apiservicebindings", "leases"}
    assert not {(r, v) for r, v in asked if r == "namespaces" and v not in {"get", "list", "watch"}}
