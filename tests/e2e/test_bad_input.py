"""Bad input of every kind: one clear word and a next step, nothing else changed, and recovery by itself.

A tenant and kinds of its own, so that what is broken here breaks nothing for others.
"""

import asyncio
import base64
import contextlib
import json
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
import yaml

from bind_agent.api import keys, meta
from bind_agent.api.meta import Object
from bind_agent.api.rbac import ROLE_PREFIX
from bind_agent.api.resource import (
    BINDINGS,
    CLUSTERROLES,
    CONFIGMAPS,
    CORE_EVENTS,
    CRDS,
    EXPORT_REQUESTS,
    EXPORT_TEMPLATES,
    ROLEBINDINGS,
    SECRETS,
    SERVICE_NAMESPACES,
    Resource,
)
from bind_agent.devcluster import Cluster
from bind_agent.devcluster.errors import DevClusterError
from bind_agent.kube.client import Client
from bind_agent.kube.config import from_kubeconfig
from bind_agent.kube.errors import KubeError
from tests.fakes.system import (
    Service,
    System,
    claim,
    config_map,
    crd,
    eventually,
    holds,
    secret,
    template,
    thing,
)

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(120)]

Unique = Callable[[str], str]

GROUP = "bad.example"
WIDGETS = Resource(GROUP, "v1", "widgets", kind="Widget")
KONNECTOR = f"{keys.CONSUMER_NAMESPACE}:{keys.KONNECTOR}"
TENANT = ("-m", "bind_agent.backend.app", "tenant")


async def _tenant(system: System, name: str, folder: Path) -> System:
    """The system as another tenant sees it."""
    out = folder / f"{name}.kubeconfig"
    account = await system.stage.backend_kubeconfig(system.provider)
    await system.stage.run(
        *TENANT, "add", name, f"--cluster-id={name}1", f"--kubeconfig={account}", f"--out={out}"
    )
    tenant = from_kubeconfig(out).namespace
    system.provoked.add(tenant)
    return replace(system, tenant=tenant, remote_kubeconfig=out)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def mine(system: System, tmp_path_factory: pytest.TempPathFactory) -> System:
    """The shared system with a tenant of its own."""
    system.provoked.add(GROUP)
    return await _tenant(system, "careless", tmp_path_factory.mktemp("careless"))


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def widgets(mine: System) -> Service:
    """A bound kind whose provider writes Secrets for the consumer."""
    service = await mine.publish(WIDGETS, claims=[claim("secrets", keys.OWNER_PROVIDER)])
    await mine.bind(service)
    return service


# --- looking --------------------------------------------------------------------------------------------


async def _conditions(system: System, name: str) -> dict[str, Object]:
    binding = await system.down.get(BINDINGS, name, namespace=keys.CONSUMER_NAMESPACE)
    return {c["type"]: c for c in binding.get("status", {}).get("conditions", [])}


async def _says(
    system: System, name: str, kind: str, reason: str, *words: str, timeout: float = 30.0
) -> Object:
    """Wait until a binding says what is wrong; an empty reason: that all is well again."""

    async def said() -> Object:
        found = (await _conditions(system, name)).get(kind, {})
        assert found.get("status") == ("False" if reason else "True"), found
        assert found.get("reason", "") == reason, found
        for word in words:
            assert word in found["message"], found
        return found

    return await eventually(said, what=f"{kind}={reason or 'True'} on {name}", timeout=timeout)


async def _told(system: System, key: str, reason: str, *words: str, timeout: float = 30.0) -> Object:
    """Wait for an event about an object."""
    namespace, name = meta.split_key(key)

    async def found() -> Object | None:
        events = (await system.down.list(CORE_EVENTS, namespace=namespace)).items
        about = [e for e in events if e["involvedObject"]["name"] == name and e["reason"] == reason]
        return next((e for e in about if all(word in e["message"] for word in words)), None)

    return await eventually(found, what=f"event {reason} about {key}", timeout=timeout)


async def _mapped(system: System, unique: Unique) -> tuple[str, str]:
    """A bound namespace: its names on both sides."""
    namespace = await system.namespace(unique("bad"))
    await system.down.create(WIDGETS, thing(WIDGETS, f"{namespace}/anchor", size=1))
    await system.synced(WIDGETS, f"{namespace}/anchor")
    return namespace, await system.service_namespace(namespace)


async def _has(client: Client, resource: Resource, key: str, field: str, value: Any) -> None:
    namespace, name = meta.split_key(key)

    async def there() -> bool:
        found = await client.get_or_none(resource, name, namespace=namespace)
        return found is not None and found.get(field) == value

    await eventually(there, what=f"{field} of {resource.plural} {key}")


async def _refused(system: System, *arguments: str, stdin: str = "") -> str:
    """Run a command of the CLI that has to fail, and return what it said."""
    with pytest.raises(DevClusterError) as failure:
        await system.stage.run("-m", "cli.main", *arguments, stdin=stdin)
    return str(failure.value)


def _bind_arguments(system: System, *more: str) -> Sequence[str]:
    return (
        "apiservice",
        f"--kubeconfig={system.consumer.kubeconfig}",
        f"--remote-kubeconfig={system.remote_kubeconfig}",
        "--skip-konnector",
        "--accept-claims=all",
        *more,
    )


def _request(name: str, group: str, plural: str) -> Object:
    return {
        "apiVersion": keys.API_VERSION,
        "kind": keys.KIND_EXPORT_REQUEST,
        "metadata": {"name": name},
        "spec": {"resources": [{"group": group, "resource": plural}]},
    }


# --- kubeconfigs ----------------------------------------------------------------------------------------


def _with_user(document: Object, **user: Any) -> bytes:
    changed = json.loads(json.dumps(document))
    changed["users"][0]["user"] = user
    return yaml.safe_dump(changed).encode()


async def test_a_kubeconfig_that_must_not_be_used_is_refused_by_name_until_it_is_corrected(
    mine: System, widgets: Service, tmp_path: Path
) -> None:
    good = mine.remote_kubeconfig.read_bytes()
    document = yaml.safe_load(good)
    marker = tmp_path / "ran"
    plugin = {
        "apiVersion": "client.authentication.k8s.io/v1",
        "command": "/usr/bin/touch",
        "args": [str(marker)],
        "interactiveMode": "Never",
    }
    stolen = tmp_path / "token"
    stolen.write_text("canary-token")
    name = f"nothings.{GROUP}"
    reference = {"namespace": keys.CONSUMER_NAMESPACE, "name": "kubeconfig-careless", "key": keys.KUBECONFIG}
    metadata = {"name": name, "namespace": keys.CONSUMER_NAMESPACE}
    binding = {"apiVersion": keys.API_VERSION, "kind": keys.KIND_BINDING, "metadata": metadata}
    await mine.down.create(BINDINGS, binding | {"spec": {"kubeconfigSecretRef": reference}})
    try:
        await _says(mine, name, "SecretValid", "KubeconfigSecretNotFound", "bind again")
        key = f"{keys.CONSUMER_NAMESPACE}/kubeconfig-careless"
        await mine.down.create(SECRETS, secret(key, {"other": "x"}))
        await _says(mine, name, "SecretValid", "KubeconfigSecretInvalid", "kubeconfig")
        for content, word in (
            (b"clusters: [", "cannot be read"),
            (b"hello", "mapping"),
            (_with_user(document, exec=plugin), "exec"),
            (_with_user(document, tokenFile=str(stolen)), "tokenFile"),
            (good.replace(b"https://", b"http://"), "https"),
        ):
            data = {keys.KUBECONFIG: base64.b64encode(content).decode()}
            await mine.down.merge_patch(
                SECRETS, "kubeconfig-careless", {"data": data}, namespace=keys.CONSUMER_NAMESPACE
            )
            said = await _says(mine, name, "SecretValid", "KubeconfigSecretInvalid", word)
            assert "canary" not in json.dumps(said)
        assert not marker.exists()
        data = {keys.KUBECONFIG: base64.b64encode(good).decode()}
        await mine.down.merge_patch(
            SECRETS, "kubeconfig-careless", {"data": data}, namespace=keys.CONSUMER_NAMESPACE
        )
        await _says(mine, name, "SecretValid", "")
        await _says(mine, name, "Connected", "APIServiceExportNotFound", name)
        await _says(
            mine, name, "Heartbeating", ""
        )  # a binding that joins a session knows what the session knows
        assert (await _conditions(mine, widgets.name))["Ready"]["status"] == "True"
    finally:
        await mine.down.delete(BINDINGS, name, namespace=keys.CONSUMER_NAMESPACE)
        await mine.down.delete(SECRETS, "kubeconfig-careless", namespace=keys.CONSUMER_NAMESPACE)


async def test_a_binding_that_is_made_again_is_ready_again(mine: System, widgets: Service) -> None:
    before = await mine.down.get(BINDINGS, widgets.name, namespace=keys.CONSUMER_NAMESPACE)
    await mine.down.delete(BINDINGS, widgets.name, namespace=keys.CONSUMER_NAMESPACE)
    await mine.gone(mine.down, BINDINGS, meta.key(before))
    again = {
        "apiVersion": before["apiVersion"],
        "kind": before["kind"],
        "metadata": {"name": widgets.name, "namespace": keys.CONSUMER_NAMESPACE},
        "spec": before["spec"],
    }
    await mine.down.create(BINDINGS, again)
    after = await mine.bound(widgets)
    assert meta.uid(after) != meta.uid(before)
    known = {c["type"] for c in before["status"]["conditions"]}

    async def complete() -> bool:
        return set(await _conditions(mine, widgets.name)) >= known - {"ObjectsInSync"}

    await eventually(complete, what="all conditions on the new binding")


# --- requests and templates -----------------------------------------------------------------------------


async def test_requests_for_what_cannot_be_had_say_why(mine: System, unique: Unique) -> None:
    late = Resource(GROUP, "v1", "latecomers", kind="Latecomer")
    before = {meta.name(e) for e in (await mine.up.list(CRDS)).items}
    cases = {
        "unknown": (GROUP, late.plural, "CRDNotFound", "Pending", "install it there"),
        "core": ("", "pods", "ProtectedGroup", "Failed", "core group"),
        "apps": ("apps", "deployments", "ProtectedGroup", "Failed", "belongs to Kubernetes"),
    }

    async def request(name: str) -> Object:
        found = await mine.up.get(EXPORT_REQUESTS, f"bad-{name}", namespace=mine.tenant)
        status = found.get("status") or {}
        conditions = {c["type"]: c for c in status.get("conditions") or []}
        return {**conditions.get("ExportsReady", {}), "phase": status.get("phase")}

    for name, (group, plural, *_) in cases.items():
        await mine.up.create(EXPORT_REQUESTS, _request(f"bad-{name}", group, plural), namespace=mine.tenant)
    for name, (_, _, reason, phase, words) in cases.items():

        async def said(
            name: str = name, reason: str = reason, phase: str = phase, words: str = words
        ) -> bool:
            found = await request(name)
            assert (found.get("reason"), found["phase"]) == (reason, phase), found
            return words in found["message"]

        await eventually(said, what=f"request {name}")
    await mine.publish(late)

    async def succeeded() -> bool:
        return (await request("unknown"))["phase"] == "Succeeded"

    await eventually(succeeded, what="the request after its kind was installed")
    assert {meta.name(e) for e in (await mine.up.list(CRDS)).items} == before | {late.crd_name}


@pytest.mark.parametrize(
    ("group", "plural", "words"),
    [("", "pods", "group"), (f"{GROUP}.", "widgets", "group"), (GROUP, "widgets/status", "resource")],
    ids=["core", "trailing-dot", "slash"],
)
async def test_the_command_refuses_such_requests_before_it_writes(
    mine: System, group: str, plural: str, words: str
) -> None:
    marks = [(cluster, cluster.audit_mark()) for cluster in (mine.provider, mine.consumer)]
    request = json.dumps(_request("refused", group, plural))
    said = await _refused(mine, *_bind_arguments(mine, "--file=-"), stdin=request)
    assert words in said
    assert "next:" in said
    for cluster, mark in marks:
        wrote = [
            e.uri
            for e in cluster.audit_requests(since=mark)
            if e.user_agent.startswith("kubectl-bind") and e.verb not in {"get", "list", "watch"}
        ]
        assert not wrote


async def test_a_schema_of_a_megabyte_is_refused_until_it_shrinks(mine: System) -> None:
    resource = Resource(GROUP, "v1", "giants", kind="Giant")
    free = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    huge = {"type": "object", "description": "x" * 1_100_000, "properties": {"spec": free, "status": free}}
    await mine.publish(resource, schema=huge)
    await mine.up.create(EXPORT_REQUESTS, _request("giants", GROUP, resource.plural), namespace=mine.tenant)

    async def status() -> Object:
        found = await mine.up.get(EXPORT_REQUESTS, "giants", namespace=mine.tenant)
        return found.get("status") or {}

    async def refused() -> bool:
        conditions = {c["type"]: c for c in (await status()).get("conditions") or []}
        ready = conditions.get("ExportsReady", {})
        assert ready.get("status") == "False", ready
        return "bytes" in ready["message"]

    await eventually(refused, what="the refusal of a huge schema")
    small = crd(resource)["spec"]["versions"]
    await mine.up.merge_patch(CRDS, resource.crd_name, {"spec": {"versions": small}})

    async def succeeded() -> bool:
        return (await status()).get("phase") == "Succeeded"

    await eventually(succeeded, what="the request after the schema shrank")


# --- providers that are away ----------------------------------------------------------------------------


async def test_a_provider_that_is_away_is_named_and_nothing_is_lost(
    mine: System, widgets: Service, unique: Unique
) -> None:
    namespace, _ = await _mapped(mine, unique)
    async with mine.disturbance(mine.provider):
        await mine.provider.apiserver.kill()
        try:
            await mine.down.create(WIDGETS, thing(WIDGETS, f"{namespace}/meanwhile", size=2))
            said = await _says(mine, widgets.name, "InformersSynced", "ProviderUnreachable")
            assert mine.provider.server in said["message"]
            assert (await _conditions(mine, widgets.name))["Ready"]["status"] == "False"
        finally:
            await mine.provider.apiserver.start()
            await mine.provider.wait_ready()
        await _says(mine, widgets.name, "InformersSynced", "", timeout=60)
    await mine.synced(WIDGETS, f"{namespace}/meanwhile")


async def test_a_provider_that_hangs_is_named(mine: System, widgets: Service, unique: Unique) -> None:
    namespace, _ = await _mapped(mine, unique)
    async with mine.disturbance(mine.provider):
        await mine.provider.apiserver.pause()
        try:
            await mine.down.create(WIDGETS, thing(WIDGETS, f"{namespace}/patient", size=2))
            await _says(mine, widgets.name, "InformersSynced", "ProviderUnreachable", "answer")
        finally:
            await mine.provider.apiserver.resume()
        await _says(mine, widgets.name, "InformersSynced", "", timeout=60)
    await mine.synced(WIDGETS, f"{namespace}/patient")


# --- rights and credentials -----------------------------------------------------------------------------


@pytest_asyncio.fixture
async def role(mine: System, widgets: Service) -> AsyncIterator[str]:
    """Name of the binding's generated role, which is put back as the messages tell people to do."""
    name = f"{ROLE_PREFIX}{widgets.name}"
    async with mine.refusals(mine.consumer, GROUP):
        yield name
        await _put_back(mine, widgets)


async def _put_back(system: System, service: Service) -> None:
    printed = await system.stage.run(
        "-m", "cli.main", "konnector", "rbac", service.name, f"--kubeconfig={system.consumer.kubeconfig}"
    )
    await system.stage.apply(system.consumer, list(yaml.safe_load_all(printed)))


async def test_lost_rights_and_credentials_are_told_and_work_goes_on_when_they_are_back(
    system: System, mine: System, widgets: Service, role: str, unique: Unique, tmp_path: Path
) -> None:
    # Trouble has to last before it is told: the three wait side by side.
    async with asyncio.TaskGroup() as group:
        served = asyncio.Event()
        group.create_task(_revoked(system, unique, tmp_path, served))
        group.create_task(_denied_here(mine, widgets, role, unique))
        group.create_task(_denied_there(mine, unique, served))


async def _revoked(system: System, unique: Unique, tmp_path: Path, served: asyncio.Event) -> None:
    """A revoked credential is told, and a new one is enough."""
    resource = Resource(GROUP, "v1", "revokeds", kind="Revoked")
    theirs = await _tenant(system, "dismissed", tmp_path)
    service = await theirs.publish(resource)
    await theirs.bind(service)
    namespace = await theirs.namespace(unique("revoked"))
    await theirs.down.create(resource, thing(resource, f"{namespace}/before", size=1))
    await theirs.synced(resource, f"{namespace}/before")
    served.set()
    account = await theirs.stage.backend_kubeconfig(theirs.provider)
    await theirs.stage.run(*TENANT, "revoke", "dismissed", f"--kubeconfig={account}")

    async def rejected() -> bool:
        # API servers remember a good token for some seconds, so the first of these still get through.
        await theirs.down.create(resource, thing(resource, f"{namespace}/{unique('x')}", size=1))
        found = (await _conditions(theirs, service.name))["InformersSynced"]
        return found.get("reason") == "CredentialRejected" and "bind again" in found["message"]

    await eventually(rejected, what="the rejected credential on the binding", timeout=40, poll=1.0)
    theirs.remote_kubeconfig.unlink()
    await theirs.stage.run(
        *TENANT,
        "add",
        "dismissed",
        "--cluster-id=dismissed1",
        f"--kubeconfig={account}",
        f"--out={theirs.remote_kubeconfig}",
    )
    await theirs.bind(service)
    wanted = {meta.name(e) for e in (await theirs.down.list(resource, namespace=namespace)).items}
    there = await theirs.service_namespace(namespace)

    async def complete() -> bool:
        return {meta.name(e) for e in (await theirs.up.list(resource, namespace=there)).items} == wanted

    await eventually(complete, what="everything that waited for the credential")


async def _loses(cluster: Cluster, user: str, verb: str, resource: Resource, namespace: str = "") -> None:
    """Wait until an account has lost a right: roles are put together and reach the server a moment later."""
    asked = {"group": resource.group, "resource": resource.plural, "verb": verb, "namespace": namespace}
    review = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SubjectAccessReview",
        "spec": {"user": f"system:serviceaccount:{user}", "resourceAttributes": asked},
    }

    async def lost() -> bool:
        path = "/apis/authorization.k8s.io/v1/subjectaccessreviews"
        _, answer = await cluster.request("POST", path, review)
        return not answer["status"]["allowed"]

    await eventually(lost, what=f"end of {verb} {resource.plural} for {user}")


async def _denied_here(mine: System, widgets: Service, role: str, unique: Unique) -> None:
    """A write that is not allowed on the app cluster is told with the command that helps."""
    namespace, _ = await _mapped(mine, unique)
    before = await mine.down.get(CLUSTERROLES, role)
    rules = [
        {**rule, "verbs": [v for v in rule["verbs"] if v != "patch"] or ["get"]} for rule in before["rules"]
    ]
    await mine.down.merge_patch(CLUSTERROLES, role, {"rules": rules})
    await _loses(mine.consumer, KONNECTOR, "patch", WIDGETS)
    await mine.down.create(WIDGETS, thing(WIDGETS, f"{namespace}/denied", size=2))
    command = f"kubectl bind konnector rbac {widgets.name}"
    await _told(mine, f"{namespace}/denied", "PermissionDenied", command)
    await _says(mine, widgets.name, "ObjectsInSync", "PermissionDenied", command, "cannot patch")
    assert await mine.copy(WIDGETS, f"{namespace}/denied") is None
    await _put_back(mine, widgets)
    await mine.synced(WIDGETS, f"{namespace}/denied")
    await _says(mine, widgets.name, "ObjectsInSync", "")
    assert (await mine.down.get(CLUSTERROLES, role))["rules"] == before["rules"]


async def _denied_there(mine: System, unique: Unique, others_served: asyncio.Event) -> None:
    """A write that is not allowed on the provider is told with what to look at there."""
    resource = Resource(GROUP, "v1", "cogs", kind="Cog")
    service = await mine.publish(resource)
    await mine.bind(service)
    namespace = await mine.namespace(unique("denied"))
    await mine.down.create(resource, thing(resource, f"{namespace}/anchor", size=1))
    await mine.synced(resource, f"{namespace}/anchor")
    there = await mine.service_namespace(namespace)
    mine.provoked.add(there)
    await others_served.wait()
    await mine.backend.pause()  # it would repair the binding at once
    try:
        await mine.up.delete(ROLEBINDINGS, keys.BINDER, namespace=there)
        await _loses(mine.provider, f"{mine.tenant}:{keys.BINDER}", "patch", resource, there)
        await mine.down.create(resource, thing(resource, f"{namespace}/denied", size=2))
        await _told(mine, f"{namespace}/denied", "PermissionDenied", "on the provider", "AccessGranted")
        await _says(mine, service.name, "ObjectsInSync", "PermissionDenied", "on the provider")
    finally:
        await mine.backend.resume()
    await mine.synced(resource, f"{namespace}/denied")
    await _says(mine, service.name, "ObjectsInSync", "")


async def test_a_watch_that_is_not_allowed_on_the_app_cluster_is_told_with_the_command_that_helps(
    mine: System, widgets: Service, role: str, unique: Unique
) -> None:
    namespace, _ = await _mapped(mine, unique)
    async with mine.refusals(mine.consumer, GROUP, "secrets"):
        await mine.konnector.stop()
        try:
            await mine.down.delete(CLUSTERROLES, role)
            await _loses(mine.consumer, KONNECTOR, "list", WIDGETS)
        finally:
            await mine.konnector.start()
        command = f"kubectl bind konnector rbac {widgets.name}"
        await _says(mine, widgets.name, "InformersSynced", "PermissionDenied", command, "is forbidden")
        await _put_back(mine, widgets)
        await _says(mine, widgets.name, "InformersSynced", "")
    await mine.down.create(WIDGETS, thing(WIDGETS, f"{namespace}/after", size=2))
    await mine.synced(WIDGETS, f"{namespace}/after")


async def test_a_role_is_printed_for_bindings_only(mine: System) -> None:
    kubeconfig = f"--kubeconfig={mine.consumer.kubeconfig}"
    said = await _refused(mine, "konnector", "rbac", "nothing.example", kubeconfig)
    assert "there is no binding nothing.example in namespace klutch-bind" in said
    assert "next: see which there are" in said


# --- what belongs to others -----------------------------------------------------------------------------


async def test_a_crd_of_somebody_else_and_its_objects_are_left_alone(
    mine: System, widgets: Service, unique: Unique
) -> None:
    resource = Resource(GROUP, "v1", "gizmos", kind="Gizmo")
    service = await mine.publish(resource)
    await mine.stage.apply(mine.consumer, [crd(resource)])
    namespace = await mine.namespace(unique("foreign"))

    async def own() -> Object:
        return await mine.down.create(resource, thing(resource, f"{namespace}/own", size=1))

    before = await eventually(own, what="an object of the foreign kind")
    request = json.dumps(_request(service.name, GROUP, resource.plural))
    said = await _refused(mine, *_bind_arguments(mine, "--file=-"), stdin=request)
    assert "does not belong to a binding" in said
    # Bound all the same, as another tool might do it.
    known = await mine.down.get(BINDINGS, widgets.name, namespace=keys.CONSUMER_NAMESPACE)
    await mine.up.create(EXPORT_REQUESTS, _request("gizmos", GROUP, resource.plural), namespace=mine.tenant)
    metadata = {"name": service.name, "namespace": keys.CONSUMER_NAMESPACE}
    await mine.down.create(
        BINDINGS,
        {**{k: known[k] for k in ("apiVersion", "kind", "spec")}, "metadata": metadata},
    )
    await _put_back(mine, service)
    await _says(mine, service.name, "Connected", "ForeignCustomResourceDefinition", "remove that CRD")

    async def untouched() -> bool:
        return await mine.down.get(resource, "own", namespace=namespace) == before

    await holds(untouched, seconds=1.0)
    await mine.down.delete(CRDS, resource.crd_name)
    await mine.bound(service)
    await mine.down.create(resource, thing(resource, f"{namespace}/bound", size=2))
    await mine.synced(resource, f"{namespace}/bound")


async def test_the_providers_secret_arrives_when_the_one_in_its_place_is_gone(
    mine: System, widgets: Service, unique: Unique
) -> None:
    here, there = await _mapped(mine, unique)
    before = await mine.down.create(SECRETS, secret(f"{here}/creds", {"mine": "1"}))
    theirs = await mine.up.create(SECRETS, secret(f"{there}/creds", {"theirs": "2"}))
    await _told(mine, f"{here}/creds", "ObjectConflict")
    assert await mine.down.get(SECRETS, "creds", namespace=here) == before
    await mine.down.delete(SECRETS, "creds", namespace=here)
    await _has(mine.down, SECRETS, f"{here}/creds", "data", theirs["data"])


@pytest.mark.timeout(240)
async def test_a_provider_that_has_more_than_fits_into_memory_is_told_and_others_go_on(
    mine: System, widgets: Service, system: System, databases: Service, unique: Unique
) -> None:
    here, there = await _mapped(mine, unique)
    await mine.up.create(SECRETS, secret(f"{there}/first", {"a": "1"}))
    await _has(mine.down, SECRETS, f"{here}/first", "data", secret("x/first", {"a": "1"})["data"])
    for number in range(25):
        await mine.up.create(SECRETS, secret(f"{there}/large-{number}", {"blob": "x" * 950_000}))
    name = widgets.resource.group_resource
    words = (f"secrets in namespace {there}", "24 MiB", "--provider-memory-budget")
    await _says(mine, name, "InformersSynced", "MemoryBudgetExceeded", *words)
    # Nothing is taken back, other collections of the provider are followed, and so are other providers.
    await mine.down.create(WIDGETS, thing(WIDGETS, f"{here}/later", size=1))
    await mine.synced(WIDGETS, f"{here}/later")
    other = await system.namespace(unique("other"))
    await system.down.create(databases.resource, thing(databases.resource, f"{other}/db", size=1))
    await system.synced(databases.resource, f"{other}/db")
    assert await mine.down.get_or_none(SECRETS, "first", namespace=here) is not None
    for number in range(25):
        await mine.up.delete(SECRETS, f"large-{number}", namespace=there)
    await _says(mine, name, "InformersSynced", "", timeout=90.0)

    async def taken_back() -> bool:
        left = (await mine.down.list(SECRETS, namespace=here)).items
        return [meta.name(one) for one in left] == ["first"]

    await eventually(taken_back, what="no large copies")


async def test_forged_marks_delete_and_overwrite_nothing(
    mine: System, widgets: Service, unique: Unique
) -> None:
    here, there = await _mapped(mine, unique)
    marks = {keys.BOUND: "true", keys.CONSUMER_CLUSTER: "another-cluster", keys.SOURCE: f"{here}/forged"}
    forged = thing(WIDGETS, f"{there}/forged", size=1)
    forged["metadata"]["annotations"] = marks
    copy = secret(
        f"{there}/loot",
        {"a": "1"},
        annotations={keys.RESOURCE_OWNER: keys.OWNER_CONSUMER, keys.SOURCE: f"{here}/loot"},
    )
    mine_here = await mine.down.create(SECRETS, secret(f"{here}/loot", {"canary": "here"}))
    before = [await mine.up.create(WIDGETS, forged), await mine.up.create(SECRETS, copy)]
    twin = await mine.up.create(SECRETS, secret(f"{there}/honest", {"a": "2"}))
    await _has(mine.down, SECRETS, f"{here}/honest", "data", twin["data"])
    await _told(mine, f"{here}/forged", "ForeignMark", "left as it is")

    async def untouched() -> bool:
        assert await mine.up.get(WIDGETS, "forged", namespace=there) == before[0]
        assert await mine.up.get(SECRETS, "loot", namespace=there) == before[1]
        assert await mine.down.get_or_none(WIDGETS, "forged", namespace=here) is None
        return await mine.down.get(SECRETS, "loot", namespace=here) == mine_here

    await holds(untouched, seconds=1.0)
    # The name is free again when the forged object is gone.
    await mine.up.delete(WIDGETS, "forged", namespace=there)
    await mine.down.create(WIDGETS, thing(WIDGETS, f"{here}/forged", size=7))
    await _has(mine.up, WIDGETS, f"{there}/forged", "spec", {"size": 7})


async def test_claims_that_grow_wait_for_consent_and_the_old_ones_go_on(mine: System, unique: Unique) -> None:
    resource = Resource(GROUP, "v1", "sprockets", kind="Sprocket")
    narrow = claim("configmaps", keys.OWNER_PROVIDER, labelSelectors=[{"share": "yes"}])
    service = await mine.publish(resource, claims=[narrow])
    await mine.bind(service)
    here = await mine.namespace(unique("grown"))
    await mine.down.create(resource, thing(resource, f"{here}/anchor", size=1))
    there = await mine.service_namespace(here)
    wide = claim("configmaps", keys.OWNER_PROVIDER)
    grown = Service(resource, [wide])
    await mine.up.merge_patch(
        EXPORT_TEMPLATES, service.name, {"spec": template(grown)["spec"]}, namespace="default"
    )
    await _says(mine, service.name, "ClaimsInForce", "ClaimWaitingForConsent", "bind again")
    labelled = config_map(f"{there}/old", {"a": "1"}, labels={"share": "yes"})
    await mine.up.create(CONFIGMAPS, labelled)
    await mine.up.create(CONFIGMAPS, config_map(f"{there}/new", {"b": "2"}))
    await _has(mine.down, CONFIGMAPS, f"{here}/old", "data", {"a": "1"})
    assert await mine.down.get_or_none(CONFIGMAPS, "new", namespace=here) is None
    await mine.bind(grown)
    await _has(mine.down, CONFIGMAPS, f"{here}/new", "data", {"b": "2"})
    await _says(mine, service.name, "ClaimsInForce", "")


# --- what the other side answers ------------------------------------------------------------------------


async def test_namespaces_that_the_provider_must_not_choose_are_refused(
    mine: System, widgets: Service, unique: Unique
) -> None:
    namespace = await mine.namespace(unique("mapping"))
    key = f"{namespace}/one"
    await mine.backend.pause()  # the test answers in its place
    try:
        await mine.down.create(WIDGETS, thing(WIDGETS, key, size=1))

        async def asked() -> Object | None:
            return await mine.up.get_or_none(SERVICE_NAMESPACES, namespace, namespace=mine.tenant)

        await eventually(asked, what="the request for a service namespace")
        for answer, words in (("kube-system", "kube-system must not be used"), (mine.tenant, "must not be")):
            await _answer(mine, namespace, {"status": {"namespace": answer}}, "status")
            await _told(mine, key, "ProtectedObject", words, "ask the provider")
        await _answer(mine, namespace, {"status": {"namespace": None}}, "status")
        mark = {"metadata": {"annotations": {keys.CONSUMER_CLUSTER: "another"}}}
        await _answer(mine, namespace, mark)
        await _told(mine, key, "ProtectedObject", "belongs to another app cluster")
        unmark = {"metadata": {"annotations": {keys.CONSUMER_CLUSTER: None}}}
        await _answer(mine, namespace, unmark)
    finally:
        await mine.backend.resume()
    await mine.synced(WIDGETS, key)
    assert await mine.up.get_or_none(WIDGETS, "one", namespace="kube-system") is None


async def _answer(system: System, namespace: str, patch: Object, subresource: str = "") -> None:
    await system.up.merge_patch(
        SERVICE_NAMESPACES, namespace, patch, namespace=system.tenant, subresource=subresource
    )


async def test_a_mapping_that_changes_under_live_objects_is_told_and_not_followed(
    mine: System, widgets: Service, unique: Unique
) -> None:
    here, there = await _mapped(mine, unique)
    other, elsewhere = await _mapped(mine, unique)
    await mine.backend.pause()
    try:
        await _answer(mine, here, {"status": {"namespace": elsewhere}}, "status")

        async def told() -> bool:
            events = (await mine.down.list(CORE_EVENTS, namespace="default")).items
            return any(e["reason"] == "NamespaceConflict" and there in e["message"] for e in events)

        await eventually(told, what="an event on the namespace")
        await mine.down.create(WIDGETS, thing(WIDGETS, f"{here}/later", size=1))
        await _has(mine.up, WIDGETS, f"{there}/later", "spec", {"size": 1})
        assert await mine.up.get_or_none(WIDGETS, "later", namespace=elsewhere) is None
        await _answer(mine, here, {"status": {"namespace": there}}, "status")
    finally:
        await mine.backend.resume()
    assert other != here


async def test_a_hostile_status_arrives_as_data_and_nowhere_else(
    mine: System, widgets: Service, unique: Unique
) -> None:
    here, there = await _mapped(mine, unique)
    nasty = "<script>alert(1)</script>\u001b[31m\u202eevil"
    status = {"phase": nasty, "blob": "x" * 500_000, "conditions": [{"type": nasty, "status": "True"}]}
    await mine.up.merge_patch(WIDGETS, "anchor", {"status": status}, namespace=there, subresource="status")
    await _has(mine.down, WIDGETS, f"{here}/anchor", "status", status)
    assert "alert(1)" not in mine.konnector.log.read_text(errors="replace")
    small = {"status": {"phase": "fine", "blob": None, "conditions": None}}
    await mine.up.merge_patch(WIDGETS, "anchor", small, namespace=there, subresource="status")
    await _has(mine.down, WIDGETS, f"{here}/anchor", "status", {"phase": "fine"})


async def test_an_object_that_is_too_large_for_its_marks_is_told(
    mine: System, widgets: Service, unique: Unique
) -> None:
    here, _ = await _mapped(mine, unique)
    made: Object | None = None
    for size in range(1_572_600, 1_560_000, -100):  # etcd takes a megabyte and a half
        with contextlib.suppress(KubeError):
            made = await mine.down.create(WIDGETS, thing(WIDGETS, f"{here}/large", blob="x" * size))
            break
    assert made is not None
    await _told(mine, f"{here}/large", "ObjectRefused", "too large")
    found = await mine.down.get(WIDGETS, "large", namespace=here)
    assert meta.resource_version(found) == meta.resource_version(made)
    assert await mine.copy(WIDGETS, f"{here}/large") is None
    await mine.down.merge_patch(WIDGETS, "large", {"spec": {"blob": "small"}}, namespace=here)
    copy = await mine.synced(WIDGETS, f"{here}/large")
    assert copy["spec"] == {"blob": "small"}


async def test_names_at_their_limits_are_carried(mine: System, widgets: Service, unique: Unique) -> None:
    prefix = unique("limit")
    namespace = await mine.namespace(prefix + "n" * (63 - len(prefix)))
    long = ".".join(["o" * 63, "o" * 63, "o" * 63, "o" * 61])
    assert len(long) == 253
    await mine.down.create(WIDGETS, thing(WIDGETS, f"{namespace}/{long}", size=1))
    copy = await mine.synced(WIDGETS, f"{namespace}/{long}")
    assert len(meta.namespace(copy)) <= 63
    there = meta.namespace(copy)
    made = await mine.up.create(SECRETS, secret(f"{there}/{long}", {"a": "1"}))
    await _has(mine.down, SECRETS, f"{namespace}/{long}", "data", made["data"])
    await mine.down.delete(WIDGETS, long, namespace=namespace)
    await mine.gone(mine.down, WIDGETS, f"{namespace}/{long}")
    assert await mine.up.get_or_none(WIDGETS, long, namespace=there) is None
