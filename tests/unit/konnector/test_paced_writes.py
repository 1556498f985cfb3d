"""What the provider changes without end is written slowly, and the latest of it in the end."""

from types import SimpleNamespace
from typing import Any, cast

import pytest

from bind_agent.api import keys
from bind_agent.api.meta import Object
from bind_agent.api.resource import SECRETS, Resource
from bind_agent.obs import metrics
from konnector.controllers.exports import Exports
from konnector.sync import claim_model
from konnector.sync.bound_namespaces import BoundNamespaces
from konnector.sync.brake import Brake
from konnector.sync.claims import ClaimSync
from konnector.sync.model import Policy, Side
from konnector.sync.objects import ObjectSync, Tenant
from konnector.sync.pacing import Pace, Pacing
from konnector.sync.reports import Reports
from tests.fakes.parts import CannedClient, NotedEvents, StillInformer, StillPool, app_cluster, provider
from tests.fakes.sync_world import CLUSTER_ID, PLACEMENT, copy_of, guarded

pytestmark = pytest.mark.unit

KIND = Resource("mangodb.com", "v1", "mangodbs", kind="MangoDB")
KEY = PLACEMENT.consumer_key


def held(binding: str) -> float:
    return cast("float", metrics.WRITES_HELD(binding)._value.get())


class Case:
    """One object of one kind, at a time that the test sets."""

    def __init__(self) -> None:
        self.version = 100
        self.written: list[Any] = []
        cluster = app_cluster(CannedClient(json_patch=self._patched))
        pool = StillPool()
        mapping = SimpleNamespace(
            refusal=lambda _: "",
            service_namespace=lambda _: PLACEMENT.provider_namespace,
            bound=BoundNamespaces(),
        )
        self.sync = ObjectSync(
            cluster,
            Tenant(cast("Any", CannedClient()), cast("Any", pool), PLACEMENT.cluster_namespace, "cns-uid"),
            cast("Any", mapping),
            KIND,
            Policy(CLUSTER_ID),
            cluster_wide=False,
            brake=Brake(),
            on_brake=lambda: None,
            reports=Reports(cast("Any", NotedEvents()), KIND.group_resource),
            pacing=Pacing(each=Pace(3, 1.0)),
        )
        self.consumer = cast("StillPool", cluster.pool).acquire(KIND)
        self.provider = pool.acquire(KIND, namespace=PLACEMENT.provider_namespace)
        self.sync._provider[PLACEMENT.provider_namespace] = cast("Any", self.provider)
        self.now = 100.0
        cast("Any", self.sync)._now = lambda: self.now
        self.source = guarded(spec={"a": 1}, version="10")
        self.consumer.put(self.source)

    def _patched(self, *args: Any, **_: Any) -> Object:
        self.version += 1
        status = args[2][-1]["value"]
        self.written.append(status["n"])
        self.source = guarded(spec={"a": 1}, version=str(self.version), status=status)
        self.consumer.put(self.source)
        return self.source

    async def status(self, n: int) -> Any:
        self.version += 1
        self.provider.put(copy_of(self.source, version=str(self.version), spec={"a": 1}, status={"n": n}))
        return await self.sync._reconcile(KEY)


async def test_a_status_that_never_rests_is_written_slowly_and_the_latest_one_arrives() -> None:
    case = Case()
    before = held(KIND.group_resource)
    results = [await case.status(n) for n in range(50)]
    assert case.written == [0, 1, 2]
    assert results[:3] == [None] * 3
    assert all(0 < result.after <= 1.0 for result in results[3:])
    assert held(KIND.group_resource) - before == 47
    case.now += results[-1].after
    assert await case.sync._reconcile(KEY) is None
    assert case.written == [0, 1, 2, 49]


async def test_a_status_that_settles_is_written_at_once() -> None:
    case = Case()
    before = held(KIND.group_resource)
    for n in range(20):
        assert await case.status(n) is None
        case.now += 1.0
    assert case.written == list(range(20))
    assert held(KIND.group_resource) == before


# --- claimed objects ------------------------------------------------------------------------------------


class Claimed:
    """The sync of claimed Secrets with one step to carry out."""

    def __init__(self) -> None:
        self.answers = CannedClient(
            replace=lambda _, obj: obj, create=lambda _, obj: obj, delete=lambda *_, **__: None
        )
        self.sync = ClaimSync(
            app_cluster(self.answers),
            cast("Any", self.answers),
            cast("Any", StillPool()),
            cast("Any", None),
            SECRETS,
            provider_id="p",
            reports=Reports(cast("Any", NotedEvents()), "claim:secrets"),
            pacing=Pacing(each=Pace(2, 1.0)),
        )
        self.now = 100.0
        cast("Any", self.sync)._now = lambda: self.now
        self.placement = claim_model.ClaimPlacement("shop", "there", "one")

    async def run(self, *steps: claim_model.ClaimStep) -> Any:
        return await self.sync._carry_out("shop/one", steps, self.placement)


def secret(side: Side) -> Object:
    namespace = "shop" if side is Side.CONSUMER else "there"
    return {"metadata": {"name": "one", "namespace": namespace, "labels": {keys.COPY: "x"}}, "data": {}}


async def test_a_secret_that_is_never_left_alone_is_copied_slowly() -> None:
    case = Claimed()
    update = claim_model.UpdateCopy(Side.CONSUMER, secret(Side.CONSUMER), "u", "1")
    assert [await case.run(update) for _ in range(2)] == [None, None]
    result = await case.run(update)
    assert result.after == pytest.approx(1.0)
    case.now += result.after
    assert await case.run(update) is None
    assert case.answers.verbs == ["replace"] * 3


async def test_what_goes_to_the_provider_or_goes_away_has_no_pace() -> None:
    case = Claimed()
    up = claim_model.UpdateCopy(Side.PROVIDER, secret(Side.PROVIDER), "u", "1")
    gone = claim_model.DeleteCopy(Side.CONSUMER, "u", "1")
    for step in (up, gone):
        assert [await case.run(step) for _ in range(10)] == [None] * 10


def test_all_that_one_provider_causes_is_paced_together() -> None:
    informer = StillInformer()
    exports = Exports(
        app_cluster(),
        provider(),
        cast("Any", informer),
        cast("Any", informer),
        cast("Any", None),
        served=frozenset,
        status=cast("Any", None),
    )
    assert exports._pacing is exports.claims._pacing
