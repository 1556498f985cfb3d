"""Conditions of bindings: many who state, one who writes, and only what differs."""

from typing import Any, cast

import pytest

from bind_agent.api import conditions, keys
from bind_agent.api.meta import Object
from bind_agent.api.resource import BINDINGS
from bind_agent.kube.errors import Conflict
from konnector.controllers.binding_status import BindingStatus, has_secret_ref, secret_ref
from tests.fakes.parts import CannedClient, StillInformer, app_cluster, home_of

pytestmark = pytest.mark.unit

KEY = "klutch-bind/things.g"
OLD = "2020-01-01T00:00:00Z"


def _binding(*found: Object, uid: str = "b1", version: str = "5") -> Object:
    metadata = {"namespace": "klutch-bind", "name": "things.g", "uid": uid, "resourceVersion": version}
    status = {"status": {"conditions": list(found)}} if found else {}
    return {"apiVersion": keys.API_VERSION, "kind": keys.KIND_BINDING, "metadata": metadata, **status}


class Case:
    """The controller among parts; each write is answered as a server would."""

    def __init__(self, *bindings: Object) -> None:
        self.client = CannedClient(merge_patch=self._answer)
        self.informer = StillInformer(BINDINGS, *bindings)
        self.status = BindingStatus(home_of(app_cluster(self.client)), cast("Any", self.informer))
        self.version = 100

    def _answer(self, _: Any, name: str, patch: Object, **__: Any) -> Object:
        entry = self.informer.store.get(KEY)
        assert entry is not None
        self.version += 1
        found = entry.object()
        found["metadata"]["resourceVersion"] = str(self.version)
        return {**found, "status": {**(found.get("status") or {}), **patch["status"]}}

    async def run(self) -> None:
        await self.status._reconcile(KEY)

    @property
    def written(self) -> list[dict[str, str]]:
        """Status by type, for each write."""
        return [
            {c["type"]: c["status"] for c in args[2]["status"].get("conditions", [])}
            for _, args, _ in self.client.calls
        ]


async def test_several_facts_are_one_write_with_a_summary() -> None:
    case = Case(_binding())
    case.status.state([KEY], conditions.true("SecretValid"))
    case.status.state([KEY], conditions.true("Connected"), conditions.true("SchemaInSync"))
    case.status.state([KEY], conditions.false("Heartbeating", "X", "Warning", "no"))
    case.status.state_provider(KEY, "Data Services")
    assert case.status.controller.queue.depth == 1
    await case.run()
    await case.run()
    assert case.written == [
        {
            "Ready": "False",
            "Connected": "True",
            "Heartbeating": "False",
            "SchemaInSync": "True",
            "SecretValid": "True",
        }
    ]
    patch = case.client.calls[0][1][2]
    assert patch["status"]["providerPrettyName"] == "Data Services"
    assert patch["metadata"] == {"uid": "b1", "resourceVersion": "5"}


async def test_what_is_stated_already_costs_nothing() -> None:
    case = Case(_binding())
    case.status.state([KEY], conditions.true("SecretValid"))
    await case.run()
    key = await case.status.controller.queue.get()
    case.status.controller.queue.done(key)
    for _ in range(3):
        case.status.state([KEY], conditions.true("SecretValid"))
        case.status.state_provider(KEY, "")
    assert case.status.controller.queue.depth == 0
    assert case.status.stated(KEY, "SecretValid") == conditions.true("SecretValid")
    assert case.status.stated(KEY, "Connected") is None


async def test_nothing_is_written_before_something_is_stated() -> None:
    case = Case(_binding())
    case.status.state_provider(KEY, "Data Services")
    await case.run()
    assert case.written == []


async def test_the_next_write_builds_on_the_answer_to_the_last() -> None:
    case = Case(_binding())
    case.status.state([KEY], conditions.true("SecretValid"))
    await case.run()
    case.status.state([KEY], conditions.true("Connected"))
    await case.run()  # the watch has not shown the first write yet
    assert case.client.calls[1][1][2]["metadata"]["resourceVersion"] == "101"
    assert case.written[1] == {"Ready": "True", "Connected": "True", "SecretValid": "True"}


async def test_a_conflict_has_the_store_believed_again() -> None:
    case = Case(_binding())
    case.status.state([KEY], conditions.true("SecretValid"))
    await case.run()
    case.status.state([KEY], conditions.true("Connected"))
    case.client._answers["merge_patch"].clear()
    case.client._answers["merge_patch"].extend([Conflict("changed", code=409), case._answer])
    with pytest.raises(Conflict):
        await case.run()
    case.informer.put(_binding(version="102"))
    await case.run()
    assert case.client.calls[-1][1][2]["metadata"]["resourceVersion"] == "102"


async def test_what_an_earlier_process_said_is_kept_and_can_be_taken_back() -> None:
    held = {
        "type": "DeletionsAllowed",
        "status": "False",
        "severity": "Error",
        "reason": "MassDeletionHeld",
        "message": "21 of 30",
        "lastTransitionTime": OLD,
    }
    ready = {**held, "type": "Ready"}
    case = Case(_binding(ready, held))
    stated = case.status.stated(KEY, "DeletionsAllowed")
    assert stated is not None
    assert (stated.reason, stated.last_transition_time) == ("MassDeletionHeld", "")
    assert case.status.stated(KEY, "Ready") is None
    await case.run()
    assert case.written == []
    case.status.state([KEY], conditions.true("DeletionsAllowed"))
    await case.run()
    assert case.written == [{"Ready": "True", "DeletionsAllowed": "True"}]


async def test_a_condition_that_somebody_changed_is_put_right() -> None:
    case = Case(_binding())
    case.status.state([KEY], conditions.true("SecretValid"))
    await case.run()
    forged = {"type": "SecretValid", "status": "False", "lastTransitionTime": OLD}
    case.informer.put(_binding(forged, version="103"))
    await case.run()
    assert case.written[-1] == {"Ready": "True", "SecretValid": "True"}


async def test_a_binding_that_is_gone_is_forgotten_and_its_successor_starts_anew() -> None:
    case = Case(_binding())
    case.status.state([KEY], conditions.true("SecretValid"))
    case.status.state_provider(KEY, "Data Services")
    await case.run()
    case.informer.remove(KEY)
    assert case.status.stated(KEY, "SecretValid") is None
    # A statement that comes late, and a successor of that name.
    case.status.state([KEY], conditions.true("Connected"))
    await case.run()
    assert case.status.stated(KEY, "Connected") is None
    case.status.state([KEY], conditions.true("Connected"))
    case.informer.put(_binding(uid="b2", version="200"))
    assert case.status.stated(KEY, "Connected") is None
    case.status.state([KEY], conditions.true("SecretValid"))
    await case.run()
    assert case.client.calls[-1][1][2]["metadata"] == {"uid": "b2", "resourceVersion": "200"}
    assert case.written[-1] == {"Ready": "True", "SecretValid": "True"}
    assert "providerPrettyName" not in case.client.calls[-1][1][2]["status"]


@pytest.mark.parametrize(
    ("spec", "key", "entry"),
    [
        ({"kubeconfigSecretRef": {"namespace": "a", "name": "b", "key": "kubeconfig"}}, "a/b", "kubeconfig"),
        ({"kubeconfigSecretRef": {"namespace": "a"}}, "", ""),
        ({}, "", ""),
        (None, "", ""),
    ],
    ids=["complete", "no-name", "none", "no-spec"],
)
def test_the_secret_of_a_binding(spec: Any, key: str, entry: str) -> None:
    assert secret_ref({"spec": spec}) == (key, entry)
    assert has_secret_ref({"spec": spec}, "a/b") is (key == "a/b")
