"""A provider session: what it passes on, what it says, and how it takes a rotated credential over."""

from types import SimpleNamespace
from typing import Any, cast

import pytest
import yaml

from bind_agent.api import conditions
from bind_agent.api.conditions import Condition
from bind_agent.api.resource import EXPORTS, SECRETS
from bind_agent.kube.errors import ConnectionFailed, Unauthorized
from bind_agent.kube.intake import ProviderKubeconfig, accept_kubeconfig
from bind_agent.runtime.budget import Budget
from konnector.agent import OnAppCluster
from konnector.clusters import Ends, Far
from konnector.controllers.troubles import Followed, Trouble
from konnector.limit_options import Limits
from konnector.monitor import TOLERATED_SECONDS, Monitor
from konnector.secrets import Secrets
from konnector.session import ProviderSession
from konnector.sync.model import Side
from tests.fakes.parts import StillInformer, StillPool, app_cluster, home_of, provider

pytestmark = pytest.mark.unit

KEY = "klutch-bind/things.g"


def _kubeconfig(token: str = "one") -> ProviderKubeconfig:
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "c", "cluster": {"server": "https://203.0.113.7"}}],
        "users": [{"name": "u", "user": {"token": token}}],
        "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u", "namespace": "cns"}}],
        "current-context": "x",
    }
    return accept_kubeconfig(yaml.safe_dump(document).encode())


class Status:
    """What is stated, by binding and type."""

    def __init__(self) -> None:
        self.said: dict[tuple[str, str], Condition] = {}

    def state(self, keys: Any, *wanted: Condition) -> None:
        self.said.update({(key, condition.type): condition for key in keys for condition in wanted})

    def stated(self, key: str, kind: str) -> Condition | None:
        return self.said.get((key, kind))

    def reason(self, kind: str, key: str = KEY) -> str:
        return self.said[key, kind].reason or self.said[key, kind].status


class Case:
    """A session that looks as if it ran."""

    def __init__(self) -> None:
        self.status = Status()
        app = app_cluster()
        self.session = ProviderSession(
            OnAppCluster(home_of(app), app),
            _kubeconfig(),
            bindings=cast("Any", StillInformer()),
            secrets=Secrets([cast("Any", StillInformer(SECRETS))]),
            status=cast("Any", self.status),
        )
        self.session.update(_kubeconfig(), frozenset({KEY}), frozenset())
        self.base = StillInformer(EXPORTS)
        self.pool = StillPool()
        self.client = SimpleNamespace(trouble=None, waiting=0.0, credentials=[])
        self.client.update_credential = self.client.credentials.append
        self.ends = Ends(
            app, provider(self.client, pool=self.pool), Far(Side.PROVIDER, "https://203.0.113.7")
        )
        self.monitor = Monitor(
            self.ends,
            cast("Any", self.status),
            (Followed(Side.PROVIDER, cast("Any", self.base)),),
            bindings=lambda: self.session.bindings,
            exports=lambda: self.session._exports,
        )
        self.hindrances: list[Trouble] = []
        self.rechecks = 0
        self.enqueued: list[str] = []
        controller = SimpleNamespace(enqueue=self.enqueued.append)
        parts = SimpleNamespace(
            followed=lambda _: iter(()),
            hindrances=lambda _: iter(self.hindrances),
            recheck=self._recheck,
            controller=controller,
        )
        running = cast("Any", self.session)
        running._exports, running._ends, running._monitor = parts, self.ends, self.monitor
        running._schemas = SimpleNamespace(controller=controller)

    def _recheck(self) -> None:
        self.rechecks += 1

    def look(self, now: float) -> None:
        self.monitor.look(KEY, now)


def test_trouble_that_passes_soon_is_not_told() -> None:
    case = Case()
    case.look(0.0)
    assert case.status.reason("InformersSynced") == "True"
    case.base.last_error = ConnectionFailed("refused")
    case.look(1.0)
    case.look(TOLERATED_SECONDS)
    assert case.status.reason("InformersSynced") == "True"
    case.look(1.0 + TOLERATED_SECONDS)
    assert case.status.reason("InformersSynced") == "ProviderUnreachable"
    case.base.last_error = None
    case.look(9.0)
    assert case.status.reason("InformersSynced") == "True"
    case.base.last_error = ConnectionFailed("refused")
    case.look(10.0)
    assert case.status.reason("InformersSynced") == "True"


def test_a_call_that_waits_has_lasted_already() -> None:
    case = Case()
    case.client.waiting = 9.0
    case.look(0.0)
    assert case.status.reason("InformersSynced") == "True"
    case.client.waiting = 11.0
    case.look(0.0)
    assert case.status.reason("InformersSynced") == "ProviderUnreachable"


def test_a_rejected_credential_shows_though_watches_live_on() -> None:
    case = Case()
    case.client.trouble = Unauthorized("no", code=401)
    case.look(0.0)
    case.look(TOLERATED_SECONDS)
    assert case.status.reason("InformersSynced") == "CredentialRejected"


def test_a_collection_that_does_not_fit_into_memory_is_told() -> None:
    case = Case()
    case.base.last_error = Budget(1024, remedy="raise --this").share("things").exceeded()
    case.look(0.0)
    case.look(TOLERATED_SECONDS)
    assert case.status.reason("InformersSynced") == "MemoryBudgetExceeded"
    assert not case.monitor.connected
    # It is no sign of another cluster, and others that go on are none for it.
    case.monitor.encourage()
    case.base.last_error = None
    case.look(9.0)
    assert case.status.reason("InformersSynced") == "True"


async def test_a_provider_has_a_budget_and_the_own_cluster_has_none() -> None:
    app = app_cluster(limits=Limits(memory=9_000_000))
    place = OnAppCluster(home_of(app), app)
    async with place.connect(_kubeconfig()) as ends, place.connect(_kubeconfig()) as others:
        budget = ends.provider.pool._budget
        assert budget is not None
        assert budget.limit == 9_000_000
        assert "raise --provider-memory-budget of the konnector" in budget.remedy
        assert others.provider.pool._budget is not budget
        assert ends.app.pool is app.pool


def test_objects_in_sync_is_said_only_when_it_matters() -> None:
    case = Case()
    case.look(0.0)
    assert case.status.stated(KEY, "ObjectsInSync") is None
    case.hindrances = [Trouble("PermissionDenied", "no right")]
    case.look(1.0)
    case.look(1.0 + TOLERATED_SECONDS)
    assert case.status.reason("ObjectsInSync") == "PermissionDenied"
    case.hindrances = []
    case.look(8.0)
    assert case.status.reason("ObjectsInSync") == "True"


def test_a_rotated_credential_has_everything_tried_again() -> None:
    case = Case()
    waiting = case.pool.acquire(EXPORTS)
    case.session.update(_kubeconfig(), frozenset({KEY}), frozenset())
    assert (case.client.credentials, waiting.nudged, case.rechecks) == ([], 0, 0)
    case.session.update(_kubeconfig("two"), frozenset({KEY}), frozenset({"klutch-bind/x"}))
    assert [config.credential.token for config in case.client.credentials] == ["two"]
    assert (waiting.nudged, case.rechecks) == (1, 1)


def test_before_it_runs_a_session_only_remembers() -> None:
    case = Case()
    cast("Any", case.session)._ends = cast("Any", case.session)._exports = None
    cast("Any", case.session)._schemas = cast("Any", case.session)._monitor = None
    case.session.update(_kubeconfig("two"), frozenset({"klutch-bind/b"}), frozenset())
    assert case.session.bindings == {"klutch-bind/b"}
    case.session._try_again()
    case.session._enqueue(case.session.bindings)
    assert case.enqueued == []


def test_bindings_that_come_and_go_are_looked_at() -> None:
    case = Case()
    case.enqueued.clear()
    case.session.update(_kubeconfig(), frozenset({"klutch-bind/other.g"}), frozenset())
    assert sorted(case.enqueued) == ["klutch-bind/other.g", KEY, "other.g", "things.g"]
    case.enqueued.clear()
    case.session._enqueue(case.session.bindings)
    assert sorted(case.enqueued) == ["klutch-bind/other.g", "other.g"]


def test_what_holds_for_the_session_is_kept_for_bindings_that_come_later() -> None:
    case = Case()
    case.monitor.state(conditions.true("Heartbeating"))
    assert case.status.reason("Heartbeating") == "True"
    assert case.monitor._said == {"Heartbeating": conditions.true("Heartbeating")}


def test_one_that_reaches_the_provider_wakes_the_others() -> None:
    case = Case()
    first, second = case.pool.acquire(EXPORTS), case.pool.acquire(SECRETS)
    encourage = case.monitor.encourage
    first.last_error = second.last_error = ConnectionFailed("refused")
    case.client.trouble = ConnectionFailed("refused")
    encourage()
    encourage()
    assert (first.nudged, second.nudged) == (0, 0)
    first.last_error = None
    encourage()
    assert (first.nudged, second.nudged) == (0, 1)
    case.client.trouble = None
    encourage()
    assert second.nudged == 2
    encourage()
    assert second.nudged == 2
