"""Objects that lack a right or a place: told once it lasts, looked at again ever less often."""

from typing import Any, cast

import orjson
import pytest

from bind_agent.api.meta import Object
from bind_agent.api.resource import SECRETS, Resource
from bind_agent.kube.asked import Asked
from bind_agent.kube.errors import AbsenceUnproven, Forbidden, Unauthorized, error_from_answer
from konnector.sync import claim_model
from konnector.sync.bound_namespaces import BoundNamespaces
from konnector.sync.brake import Brake
from konnector.sync.claims import ClaimSync
from konnector.sync.model import ConfirmAbsence, Placement, Policy, Reason, Refuse, Side
from konnector.sync.objects import ObjectSync, Tenant
from konnector.sync.reports import Reports
from tests.fakes.parts import CannedClient, NotedEvents, StillPool, app_cluster
from tests.fakes.sync_world import copy_of, guarded

pytestmark = pytest.mark.unit

KIND = Resource("g.example", "v1", "things", kind="Thing")
SOURCE: Object = {
    "apiVersion": "g.example/v1",
    "kind": "Thing",
    "metadata": {"namespace": "shop", "name": "one", "uid": "u1", "resourceVersion": "5"},
    "spec": {"size": 1},
}
DENIED = Forbidden("cannot patch", code=403, reason="Forbidden")
PLACED = Placement("shop/one", "there", "one", "cns", "cns-uid")
NOT_TAKEN = Forbidden("denied: size is 9", code=403, reason="Forbidden")
NOT_TAKEN.missing_right = False
REJECTED = Unauthorized("who are you", code=401, reason="Unauthorized")


class Mapping:
    """The one namespace of the test, mapped or refused."""

    def __init__(self, target: str | None = "there", refusal: str = "") -> None:
        self.target = target
        self.why = refusal
        self.asked: list[str] = []
        self.bound = BoundNamespaces()
        self.bound.change("things.g.example", "shop", 1)

    def refusal(self, _: str) -> str:
        return self.why

    def service_namespace(self, _: str) -> str | None:
        return self.target

    def want(self, namespace: str) -> None:
        self.asked.append(namespace)


class Case:
    """The sync of one kind, at a time that the test sets."""

    def __init__(
        self, app: CannedClient, provider: CannedClient | None = None, mapping: Mapping | None = None
    ) -> None:
        self.events = NotedEvents()
        self.brake = Brake()
        self.mapping = mapping or Mapping()
        cluster = app_cluster(app)
        pool = StillPool()
        self.sync = ObjectSync(
            cluster,
            Tenant(cast("Any", provider or CannedClient()), cast("Any", pool), "cns", "cns-uid"),
            cast("Any", self.mapping),
            KIND,
            Policy("cluster-uid"),
            cluster_wide=False,
            brake=self.brake,
            on_brake=lambda: None,
            reports=Reports(cast("Any", self.events), KIND.group_resource),
        )
        self.consumer = cast("StillPool", cluster.pool).acquire(KIND)
        self.provider = pool.acquire(KIND, namespace="there")
        self.sync._provider["there"] = cast("Any", self.provider)
        self.now = 100.0
        cast("Any", self.sync)._now = lambda: self.now

    async def run(self) -> Any:
        return await self.sync._reconcile("shop/one")


async def test_a_right_that_comes_in_a_moment_is_not_told() -> None:
    case = Case(CannedClient(merge_patch=DENIED))
    case.consumer.put(SOURCE)
    with pytest.raises(Forbidden):
        await case.run()
    assert case.events.events == []
    assert case.sync.reports.hindrance is None


async def test_a_missing_right_is_told_when_it_lasts_and_forgotten_when_it_is_there() -> None:
    guarded = {**SOURCE, "metadata": {**SOURCE["metadata"], "resourceVersion": "6"}}
    copy = {**SOURCE, "metadata": {**SOURCE["metadata"], "namespace": "there", "resourceVersion": "7"}}
    case = Case(CannedClient(merge_patch=[DENIED, DENIED, DENIED, guarded]), CannedClient(apply=copy))
    case.consumer.put(SOURCE)
    with pytest.raises(Forbidden):
        await case.run()
    case.now += 3.0
    assert (await case.run()).after == 1.5
    case.now += 17.0
    assert (await case.run()).after == 10.0
    ((name, reason, message),) = case.events.events
    assert (name, reason) == ("one", "PermissionDenied")
    assert "kubectl bind konnector rbac things.g.example" in message
    assert case.sync.reports.hindrance == (reason, message)
    assert await case.run() is None
    assert case.sync.reports.hindrance is None
    assert case.sync.reports.refused == {}


async def test_what_a_policy_refuses_is_about_that_object_and_not_told_on_the_binding() -> None:
    case = Case(CannedClient(merge_patch=NOT_TAKEN))
    case.consumer.put(SOURCE)
    with pytest.raises(Forbidden):
        await case.run()
    case.now += 3.0
    assert (await case.run()).after == 1.5
    ((name, reason, message),) = case.events.events
    assert (name, reason) == ("one", "ObjectRefused")
    assert "on the app cluster by a policy, a webhook or a quota: denied: size is 9" in message
    assert case.sync.reports.hindrance is None


async def test_the_finalizer_stays_until_the_copy_is_known_to_be_gone() -> None:
    source = guarded("shop/one", deleting=True)
    freed = {**source, "metadata": {**source["metadata"], "finalizers": []}}
    unserved = error_from_answer(404, b"404 page not found", asked=Asked("delete", KIND, "there", "one"))
    provider = CannedClient(delete=[unserved, unserved, unserved, None])
    case = Case(CannedClient(merge_patch=freed), provider)
    case.consumer.put(source)
    case.provider.put(copy_of(source, PLACED, Policy("cluster-uid")))
    # A moment in which a version is not served is not worth telling.
    with pytest.raises(AbsenceUnproven):
        await case.run()
    assert case.events.events == []
    case.now += 3.0
    assert (await case.run()).after == 1.5
    case.now += 17.0
    assert (await case.run()).after == 10.0
    ((name, reason, message),) = case.events.events
    assert (name, reason) == ("one", "CRDNotFound")
    assert "does not say that the object is gone" in message
    assert "ask the provider whether it still offers things.g.example" in message
    assert "klutch.anynines.com/syncer" in message
    assert case.sync.reports.hindrance == (reason, message)
    assert cast("CannedClient", case.sync._app.client).verbs == []
    # Once the provider says that it is gone, the object is released.
    assert await case.run() is None
    assert cast("CannedClient", case.sync._app.client).verbs == ["merge_patch"]
    assert case.sync.reports.hindrance is None


async def test_a_credential_that_the_provider_rejects_is_told() -> None:
    guarded = {
        **SOURCE,
        "metadata": {
            **SOURCE["metadata"],
            "finalizers": ["klutch.anynines.com/syncer"],
            "annotations": {"klutch.anynines.com/bound": "true"},
        },
    }
    case = Case(CannedClient(), CannedClient(apply=REJECTED))
    case.consumer.put(guarded)
    with pytest.raises(Unauthorized):
        await case.run()
    case.now += 5.0
    assert (await case.run()).after == 2.5
    ((_, reason, message),) = case.events.events
    assert reason == "CredentialRejected"
    assert "ask the provider for a new kubeconfig" in message


async def test_our_own_credential_is_not_the_providers_matter() -> None:
    case = Case(CannedClient(merge_patch=REJECTED))
    case.consumer.put(SOURCE)
    for _ in range(2):
        with pytest.raises(Unauthorized):
            await case.run()
        case.now += 60.0
    assert case.events.events == []


async def test_a_namespace_that_is_refused_a_counterpart_is_told_on_its_objects() -> None:
    mapping = Mapping(target=None, refusal="the record belongs to another cluster")
    case = Case(CannedClient(), mapping=mapping)
    case.consumer.put(SOURCE)
    assert await case.run() is None
    assert case.events.events == [("one", "ProtectedObject", "the record belongs to another cluster")]
    assert mapping.asked == []
    mapping.why = ""
    assert (await case.run()).after > 0
    assert mapping.asked == ["shop"]


async def test_a_provider_that_names_no_namespace_for_long_is_told() -> None:
    mapping = Mapping(target=None)
    case = Case(CannedClient(), mapping=mapping)
    case.consumer.put(SOURCE)
    assert (await case.run()).after == pytest.approx(10.1)
    case.now += 4.0
    assert (await case.run()).after == pytest.approx(6.1)
    assert case.events.events == []
    case.now += 6.0
    assert await case.run() is None
    ((name, reason, message),) = case.events.events
    assert (name, reason) == ("one", "NamespacePending")
    assert "APIServiceNamespace cns/shop" in message


async def test_a_changed_schema_is_looked_at_on_both_sides() -> None:
    case = Case(CannedClient())
    case.sync.refresh()
    assert (case.consumer.refreshed, case.provider.refreshed) == (1, 1)
    assert {side for side, _ in case.sync.followed()} == {Side.CONSUMER, Side.PROVIDER}


async def test_refused_objects_are_looked_at_again() -> None:
    case = Case(CannedClient())
    case.sync.recheck(["shop/one"])
    assert case.sync.controller.queue.depth == 1


# --- claimed objects --------------------------------------------------------------------------------


PLACE = claim_model.ClaimPlacement("shop", "there", "creds")


class Claim:
    """The sync of a claimed kind, at a time that the test sets."""

    def __init__(self, app: CannedClient) -> None:
        self.events = NotedEvents()
        self.sync = ClaimSync(
            app_cluster(app),
            cast("Any", CannedClient()),
            cast("Any", StillPool()),
            cast("Any", Mapping()),
            SECRETS,
            provider_id="p",
            reports=Reports(cast("Any", self.events), "claim:secrets"),
        )
        self.sync.update({}, binding="things.g.example")
        self.now = 100.0
        cast("Any", self.sync)._now = lambda: self.now

    async def run(self, side: Side = Side.CONSUMER) -> Any:
        step = claim_model.CreateCopy(side, {"metadata": {"name": "creds"}})
        return await self.sync._carry_out("shop/creds", (step,), PLACE)


async def test_a_copy_that_may_not_be_written_is_told_when_it_lasts() -> None:
    case = Claim(CannedClient(create=DENIED))
    with pytest.raises(Forbidden):
        await case.run()
    case.now += 4.0
    assert (await case.run()).after == 2.0
    ((name, reason, message),) = case.events.events
    assert (name, reason) == ("creds", "PermissionDenied")
    assert "kubectl bind konnector rbac things.g.example" in message
    assert case.sync.reports.hindrance == (reason, message)


async def test_a_copy_that_a_policy_refuses_is_told_on_the_object_alone() -> None:
    status = {"kind": "Status", "code": 403, "reason": "Forbidden", "message": "weak password: aHVudGVyMg=="}
    asked = Asked("create", SECRETS, "shop", "creds")
    case = Claim(
        CannedClient(create=error_from_answer(403, orjson.dumps(status), sensitive=True, asked=asked))
    )
    with pytest.raises(Forbidden):
        await case.run()
    case.now += 4.0
    assert (await case.run()).after == 2.0
    ((name, reason, message),) = case.events.events
    assert (name, reason) == ("creds", "ObjectRefused")
    assert "aHVudGVyMg" not in message
    assert "audit log and admission policies" in message
    assert case.sync.reports.hindrance is None


@pytest.mark.parametrize("verb", ["create", "get_or_none", "delete"])
async def test_claimed_objects_of_a_kind_that_is_not_served_are_told_when_it_lasts(verb: str) -> None:
    unproven = error_from_answer(404, b"", asked=Asked(verb, SECRETS, "shop", "creds"))
    case = Claim(CannedClient(**{verb: unproven}))
    step: Any = {
        "create": claim_model.CreateCopy(Side.CONSUMER, {"metadata": {"name": "creds"}}),
        "get_or_none": ConfirmAbsence(Side.CONSUMER, "u"),
        "delete": claim_model.DeleteCopy(Side.CONSUMER, "u", "5", "why"),
    }[verb]
    with pytest.raises(AbsenceUnproven):
        await case.sync._carry_out("shop/creds", (step,), PLACE)
    assert len(case.sync._recent[Side.CONSUMER]) == 0
    case.now += 4.0
    assert cast("Any", await case.sync._carry_out("shop/creds", (step,), PLACE)).after == 2.0
    ((name, reason, message),) = case.events.events
    assert (name, reason) == ("creds", "CRDNotFound")
    assert "secrets/v1 is served there" in message


async def test_a_missing_right_on_secrets_is_told_with_what_helps() -> None:
    said = (
        'secrets "creds" is forbidden: User "system:serviceaccount:a:b" cannot create resource "secrets" in API '
        'group "" in the namespace "shop"'
    )
    status = {"kind": "Status", "code": 403, "reason": "Forbidden", "message": said}
    asked = Asked("create", SECRETS, "shop", "creds")
    case = Claim(
        CannedClient(create=error_from_answer(403, orjson.dumps(status), sensitive=True, asked=asked))
    )
    with pytest.raises(Forbidden):
        await case.run()
    case.now += 4.0
    await case.run()
    ((_, reason, message),) = case.events.events
    assert reason == "PermissionDenied"
    assert message == (
        'the konnector lacks a right on the app cluster: cannot create secrets in namespace "shop": no role allows '
        "it; apply what `kubectl bind konnector rbac things.g.example` prints"
    )
    assert case.sync.reports.hindrance == (reason, message)


async def test_a_rejected_credential_holds_claimed_objects_up_too() -> None:
    case = Claim(CannedClient())
    cast("Any", case.sync)._clients[Side.PROVIDER] = CannedClient(create=REJECTED)
    with pytest.raises(Unauthorized):
        await case.run(Side.PROVIDER)
    case.now += 4.0
    await case.run(Side.PROVIDER)
    assert case.sync.reports.refused == {"shop/creds": "CredentialRejected"}
    own = Claim(CannedClient(create=REJECTED))
    for _ in range(2):
        with pytest.raises(Unauthorized):
            await own.run()
        own.now += 60.0


async def test_what_is_in_the_way_is_looked_at_ever_less_often() -> None:
    case = Claim(CannedClient())
    refuse = (cast("Any", Refuse(Reason.CONFLICT, "taken")),)
    first: Any = await case.sync._carry_out("shop/creds", refuse, PLACE)
    case.now += 20.0
    second: Any = await case.sync._carry_out("shop/creds", refuse, PLACE)
    assert (first.after, second.after) == (1.0, 10.0)
    assert len(case.events.events) == 1


async def test_a_held_deletion_whose_copy_went_by_itself_waits_no_more() -> None:
    case = Case(CannedClient())
    case.brake.count = 0
    case.brake.share = 0.0
    assert not case.brake.ask("shop/one", total=1, now=0.0)
    assert case.brake.waiting == {"shop/one"}
    assert await case.run() is None
    assert not case.brake.waiting
