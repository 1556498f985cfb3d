"""The facts about API servers that the decisions rest on, and decisions carried out on a real one.

Both sides live in one cluster here, in two namespaces: that is all the decisions see of it. Events, queues
and the two clusters are the business of the end-to-end tests.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from typing import Any

import pytest
import pytest_asyncio

from bind_agent.api import keys, meta
from bind_agent.api.claims import ClaimSelector, PermissionClaim
from bind_agent.api.meta import Object
from bind_agent.api.resource import CRDS, NAMESPACES, SECRETS, Resource
from bind_agent.devcluster import Cluster
from bind_agent.kube.client import Client, user_agent
from bind_agent.kube.config import from_kubeconfig
from bind_agent.kube.errors import ApiError
from konnector.schema.compare import Unchanged as SchemaUnchanged
from konnector.schema.compare import Update, compare
from konnector.schema.crd import desired_crd
from konnector.sync import claim_model, managed_fields, model, patches
from konnector.sync.claim_plan import plan_claim
from konnector.sync.model import Memory, Placement, Policy, Side
from konnector.sync.plan import plan
from tests.fakes.sync_world import kinds

pytestmark = pytest.mark.integration

POLICY = Policy("app-cluster")
MANAGER = keys.FIELD_MANAGER

SCHEMA = {
    "type": "object",
    "description": "",
    "required": [],
    "properties": {
        "spec": {
            "type": "object",
            "properties": {
                "size": {"type": "integer", "minimum": 0, "default": 0, "nullable": False},
                "tier": {"type": "string", "default": "Shared", "enum": ["Shared", "Own"]},
                "note": {"type": "string"},
                "on": {"type": "boolean", "default": False},
                "empty": {"type": "object", "default": {}, "additionalProperties": {"type": "string"}},
                "free": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
                "nodes": {
                    "type": "array",
                    "items": {
                        "type": "object",
                        "properties": {
                            "name": {"type": "string"},
                            "weight": {"type": "integer", "default": 1},
                        },
                    },
                },
                "port": {
                    "x-kubernetes-int-or-string": True,
                    "anyOf": [{"type": "integer"}, {"type": "string"}],
                },
            },
            "x-kubernetes-validations": [{"rule": "self.size < 100", "message": "too large"}],
        },
        "status": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
    },
}


def export(group: str) -> Object:
    columns = [{"name": "Tier", "type": "string", "jsonPath": ".spec.tier", "priority": 0, "description": ""}]
    version = {
        "name": "v1",
        "served": True,
        "storage": True,
        "schema": {"openAPIV3Schema": SCHEMA},
        "subresources": {"status": {}},
        "additionalPrinterColumns": columns,
    }
    return {
        "metadata": {"name": f"mangodbs.{group}"},
        "spec": {
            "group": group,
            "names": {
                "plural": "mangodbs",
                "kind": "MangoDB",
                "singular": "mangodb",
                "listKind": "MangoDBList",
            },
            "scope": "Namespaced",
            "informerScope": "Namespaced",
            "versions": [version, {**version, "name": "v1beta1", "served": False, "storage": False}],
        },
    }


@pytest_asyncio.fixture(loop_scope="session")
async def client(provider: Cluster) -> AsyncIterator[Client]:
    config = from_kubeconfig(provider.kubeconfig)
    async with Client.open(config, user_agent=user_agent("test")) as opened:
        yield opened


@pytest_asyncio.fixture(loop_scope="session")
async def placement(client: Client, unique: Callable[[str], str]) -> Placement:
    shop, service = unique("shop"), unique("cns-shop")
    for name in (shop, service):
        await client.create(NAMESPACES, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
    return Placement(f"{shop}/db", service, "db", "cns", "")


@pytest_asyncio.fixture(loop_scope="session")
async def mangodbs(client: Client, unique: Callable[[str], str]) -> Resource:
    group = f"{unique('g')}.example"
    binding = {"metadata": {"name": f"mangodbs.{group}", "uid": "b4b4b4b4-0000-0000-0000-000000000000"}}
    wanted = desired_crd(export(group), binding)
    await client.create(CRDS, wanted)
    async with asyncio.timeout(30):
        while (found := await client.discovery.find(group, "mangodbs")) is None:
            client.discovery.invalidate()
            await asyncio.sleep(0.1)
    # What the server gives back, with its defaults and without empty fields, must cost no write.
    existing = await client.get(CRDS, f"mangodbs.{group}")
    assert compare(existing, wanted) == SchemaUnchanged()
    more = export(group)
    more["spec"]["versions"][1]["deprecated"] = True
    verdict = compare(existing, desired_crd(more, binding))
    assert isinstance(verdict, Update)
    replaced = await client.replace(CRDS, verdict.object)
    assert compare(replaced, desired_crd(more, binding)) == SchemaUnchanged()
    return found


class Real:
    """Both sides of one object on the server, and the executor of steps."""

    def __init__(self, client: Client, resource: Resource, placement: Placement) -> None:
        self.client = client
        self.resource = resource
        self.placement = placement
        self.here, self.name = meta.split_key(placement.consumer_key)
        self.there = placement.provider_namespace
        self.memory = Memory()
        self.policy = POLICY

    def thing(self, **body: Any) -> Object:
        return {
            "apiVersion": self.resource.api_version,
            "kind": self.resource.kind,
            "metadata": {"name": self.name},
            **body,
        }

    async def consumer(self) -> Object | None:
        return await self.client.get_or_none(self.resource, self.name, namespace=self.here)

    async def provider(self) -> Object | None:
        return await self.client.get_or_none(self.resource, self.name, namespace=self.there)

    async def plan(self) -> tuple[model.Step, ...]:
        return plan(await self.consumer(), await self.provider(), self.placement, self.policy, self.memory)

    async def settle(self) -> list[str]:
        """Plan and execute until there is nothing to do; returns the names of the steps."""
        done: list[str] = []
        for _ in range(6):
            steps = await self.plan()
            if not steps:
                return done
            done += kinds(steps)
            await self.execute(steps)
        pytest.fail(f"no end: {done}")

    async def execute(self, steps: Iterable[model.Step]) -> None:
        client, resource, name = self.client, self.resource, self.name
        for step in steps:
            match step:
                case model.EnsureFinalizer(patch=patch) | model.ReleaseFinalizer(patch=patch):
                    await client.merge_patch(resource, name, patch, namespace=self.here)
                case model.ApplyProvider(object=desired):
                    answer = await client.apply(
                        resource, desired, field_manager=MANAGER, namespace=self.there
                    )
                    self.memory = self.memory.after_apply(step, answer, 0.0)
                case model.PatchConsumerStatus(patch=patch, subresource=subresource):
                    answer = await client.json_patch(
                        resource, name, list(patch), subresource=subresource, namespace=self.here
                    )
                    self.memory = self.memory.after_status(step, answer, 0.0)
                case model.DeleteProvider(uid=uid):
                    await client.delete(resource, name, namespace=self.there, uid=uid)
                case model.ConfirmAbsence(side=side, uid=uid):
                    found = await (self.consumer() if side is Side.CONSUMER else self.provider())
                    assert found is None or (uid and meta.uid(found) != uid)
                case model.MigrateManagedFields():
                    live = await client.get(resource, name, namespace=self.there)
                    await client.json_patch(
                        resource, name, managed_fields.migration_patch(live), namespace=self.there
                    )


@pytest.fixture
def real(client: Client, mangodbs: Resource, placement: Placement) -> Real:
    return Real(client, mangodbs, placement)


# --- facts ----------------------------------------------------------------------------------------


async def lost(attempt: Any) -> bool:
    try:
        await attempt
    except ApiError as error:
        return patches.lost_race(error.code, error.details)
    return False


OTHER = "00000000-0000-0000-0000-000000000000"


async def test_locks_hold_and_are_recognised(real: Real) -> None:
    client, resource, namespace = real.client, real.resource, real.there

    def apply(**metadata: str) -> Any:
        config = real.thing(spec={"note": "x"})
        config["metadata"] |= metadata
        return client.apply(resource, config, field_manager=MANAGER, namespace=namespace)

    assert await lost(apply(uid=OTHER)), "an apply with a UID creates nothing"
    assert await real.provider() is None
    made = await apply(resourceVersion=patches.NO_VERSION)
    assert meta.uid(made), "an apply with a version that nothing has creates"
    assert await lost(apply(resourceVersion=patches.NO_VERSION)), "and refuses what exists"
    assert await lost(apply(uid=OTHER)), "an apply with the UID of another object is refused"
    assert not await lost(apply(uid=meta.uid(made)))

    stranger = {**made, "metadata": {**made["metadata"], "uid": OTHER}}
    status = patches.replace_status(stranger, {"phase": "x"})
    assert await lost(
        client.json_patch(resource, real.name, status, subresource="status", namespace=namespace)
    ), "a status patch for another object is refused"
    stale = {**made, "metadata": {**made["metadata"], "resourceVersion": "1"}}
    assert await lost(client.merge_patch(resource, real.name, patches.guard(stale), namespace=namespace))
    assert await lost(client.delete(resource, real.name, namespace=namespace, uid=OTHER))
    refused = real.thing(spec={"size": "no number"})
    assert not await lost(client.apply(resource, refused, field_manager=MANAGER, namespace=namespace))
    assert await real.provider() is not None


# --- a bound object -------------------------------------------------------------------------------


async def test_the_life_of_an_object(real: Real) -> None:
    client, resource = real.client, real.resource
    spec = {"size": 1, "note": "n", "nodes": [{"name": "a"}], "port": 80, "free": {"x": None, "y": 1.5}}
    await client.create(resource, real.thing(spec=spec), namespace=real.here)
    assert await real.settle() == ["EnsureFinalizer", "ApplyProvider"]

    # A controller on the provider: a status, and a field of its own in a list element's neighbourhood.
    await client.merge_patch(
        resource, real.name, {"status": {"phase": "Ready"}}, subresource="status", namespace=real.there
    )
    await client.merge_patch(
        resource, real.name, {"spec": {"free": {"resourceRef": {"name": "r"}}}}, namespace=real.there
    )
    assert await real.settle() == ["PatchConsumerStatus"]
    consumer = await real.consumer()
    assert consumer is not None
    assert consumer["status"] == {"phase": "Ready"}

    # A field goes on the consumer, and the provider's own one stays.
    await client.merge_patch(resource, real.name, {"spec": {"note": None}}, namespace=real.here)
    assert await real.settle() == ["ApplyProvider"]
    provider = await real.provider()
    assert provider is not None
    assert "note" not in provider["spec"]
    assert provider["spec"]["free"]["resourceRef"] == {"name": "r"}

    # Drift and deletion on the provider.
    await client.merge_patch(resource, real.name, {"spec": {"size": 50}}, namespace=real.there)
    assert await real.settle() == ["ApplyProvider"]
    await client.delete(resource, real.name, namespace=real.there)
    assert await real.settle() == ["ApplyProvider", "PatchConsumerStatus"]
    consumer = await real.consumer()
    assert consumer is not None
    assert "status" not in consumer

    # After a restart nothing is remembered, and nothing has to be written.
    real.memory = Memory()
    assert await real.plan() == ()

    # Deletion, held up by the provider.
    slow = {"metadata": {"finalizers": ["provider.io/slow"]}}
    await client.merge_patch(resource, real.name, slow, namespace=real.there)
    await client.delete(resource, real.name, namespace=real.here)
    assert await real.settle() == ["DeleteProvider"]
    assert await real.consumer() is not None
    await client.merge_patch(resource, real.name, {"metadata": {"finalizers": None}}, namespace=real.there)
    assert await real.settle() == ["ConfirmAbsence", "ReleaseFinalizer"]
    assert await real.consumer() is None
    assert await real.provider() is None


async def test_an_object_made_by_go_is_taken_over_with_its_fields(real: Real) -> None:
    client, resource = real.client, real.resource
    await client.create(resource, real.thing(spec={"size": 1, "note": "n"}), namespace=real.here)
    by_go = real.thing(spec={"size": 1, "note": "n"})
    by_go["metadata"] |= {"annotations": {keys.BOUND: "true"}, "labels": {"helm.sh/chart": "x"}}
    await client.create(resource, by_go, namespace=real.there, field_manager=keys.GO_FIELD_MANAGER)
    assert await real.settle() == ["EnsureFinalizer", "MigrateManagedFields", "ApplyProvider"]
    await client.merge_patch(resource, real.name, {"spec": {"note": None}}, namespace=real.here)
    assert await real.settle() == ["ApplyProvider"]
    provider = await real.provider()
    assert provider is not None
    assert "note" not in provider["spec"], "a field that Go created can be removed"
    assert meta.labels(provider) == {}


@pytest.mark.parametrize("adopt", [True, False], ids=["adopting", "not adopting"])
async def test_what_go_adopted_is_taken_over_or_left_by_policy(real: Real, adopt: bool) -> None:
    client, resource = real.client, real.resource
    real.policy = Policy(POLICY.cluster_id, adopt=adopt)
    made = await client.create(resource, real.thing(spec={"size": 1, "note": "n"}), namespace=real.there)
    await client.create(resource, _adopted_by_go(real, spec={"size": 2}), namespace=real.here)
    if not adopt:
        assert kinds(await real.plan()) == ["Refuse"]
        assert await real.provider() == made
        return
    assert await real.settle() == ["ApplyProvider"]
    provider = await real.provider()
    assert provider is not None
    assert meta.uid(provider) == meta.uid(made)
    assert provider["spec"]["size"] == 2
    assert meta.annotation(provider, keys.BOUND) == keys.TRUE


@pytest.mark.parametrize("adopt", [True, False], ids=["adopting", "not adopting"])
async def test_what_go_adopted_goes_or_stays_by_policy_when_its_object_is_deleted(
    real: Real, adopt: bool
) -> None:
    client, resource = real.client, real.resource
    real.policy = Policy(POLICY.cluster_id, adopt=adopt)
    made = await client.create(resource, real.thing(spec={"size": 1}), namespace=real.there)
    await client.create(resource, _adopted_by_go(real, spec={"size": 2}), namespace=real.here)
    await client.delete(resource, real.name, namespace=real.here)
    done = await real.settle()
    assert await real.consumer() is None
    if adopt:
        assert done == ["DeleteProvider", "ConfirmAbsence", "ReleaseFinalizer"]
        assert await real.provider() is None
    else:
        assert done == ["ReleaseFinalizer"]
        assert await real.provider() == made


def _adopted_by_go(real: Real, **body: Any) -> Object:
    obj = real.thing(**body)
    obj["metadata"] |= {"annotations": {keys.BOUND: "true"}, "finalizers": [keys.SYNCER_FINALIZER]}
    return obj


async def test_a_foreign_object_stays_byte_identical(real: Real) -> None:
    client, resource = real.client, real.resource
    await client.create(resource, real.thing(spec={"size": 1}), namespace=real.here)
    early = await real.plan()
    foreign = await client.create(resource, real.thing(spec={"size": 9}), namespace=real.there)
    apply = next(step for step in early if isinstance(step, model.ApplyProvider))
    assert await lost(client.apply(resource, apply.object, field_manager=MANAGER, namespace=real.there))
    assert kinds(await real.plan()) == ["Refuse"]
    await client.delete(resource, real.name, namespace=real.here)
    assert await real.plan() == ()
    assert await real.provider() == foreign


# --- a claimed object -----------------------------------------------------------------------------


async def test_the_life_of_a_claimed_secret(client: Client, placement: Placement) -> None:
    shop, _ = meta.split_key(placement.consumer_key)
    place = claim_model.ClaimPlacement(shop, placement.provider_namespace, "creds")
    policy = claim_model.ClaimPolicy("app-cluster", "provider")
    claim = PermissionClaim(
        resource="secrets",
        version="v1",
        selector=ClaimSelector(owner=keys.OWNER_PROVIDER, label_selectors=({"app": "db"},)),
    )
    claims = claim_model.ClaimSet.of(SECRETS, [claim])

    async def settle() -> list[str]:
        done: list[str] = []
        for _ in range(5):
            sides = [await client.get_or_none(SECRETS, "creds", namespace=place.namespace(s)) for s in Side]
            steps = plan_claim(sides[0], sides[1], place, claims, policy)
            if not steps:
                return done
            done += kinds(steps)
            for step in steps:
                await execute(step)
        pytest.fail(f"no end: {done}")

    async def execute(step: claim_model.ClaimStep) -> None:
        match step:
            case claim_model.CreateCopy(object=copy):
                await client.create(SECRETS, copy)
            case claim_model.UpdateCopy(object=copy):
                await client.replace(SECRETS, copy)
            case claim_model.ReplaceCopy(side=side, uid=uid, resource_version=version, object=copy):
                namespace = place.namespace(side)
                await client.delete(SECRETS, "creds", namespace=namespace, uid=uid, resource_version=version)
                await client.create(SECRETS, copy)
            case claim_model.DeleteCopy(side=side, uid=uid, resource_version=version):
                namespace = place.namespace(side)
                await client.delete(SECRETS, "creds", namespace=namespace, uid=uid, resource_version=version)

    source = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "creds", "labels": {"app": "db", "helm.sh/chart": "x"}},
        "stringData": {"password": "one"},
    }
    there = place.provider_namespace
    await client.create(SECRETS, source, namespace=there)
    assert await settle() == ["CreateCopy"]
    copy = await client.get(SECRETS, "creds", namespace=shop)
    assert copy["data"] == {"password": "b25l"}
    assert copy["type"] == "Opaque"
    assert set(meta.labels(copy)) == {"app", keys.COPY}

    await client.merge_patch(SECRETS, "creds", {"stringData": {"password": "two"}}, namespace=there)
    assert await settle() == ["UpdateCopy"]
    await client.merge_patch(SECRETS, "creds", {"stringData": {"password": "mine"}}, namespace=shop)
    assert await settle() == ["UpdateCopy"]
    await client.merge_patch(SECRETS, "creds", {"immutable": True}, namespace=there)
    assert await settle() == ["UpdateCopy"]
    await client.delete(SECRETS, "creds", namespace=there)
    await client.create(SECRETS, {**source, "type": "example.com/other"}, namespace=there)
    assert await settle() == ["ReplaceCopy"]
    await client.merge_patch(SECRETS, "creds", {"metadata": {"labels": {"app": "web"}}}, namespace=there)
    assert await settle() == ["DeleteCopy"]
    assert await client.get_or_none(SECRETS, "creds", namespace=shop) is None
