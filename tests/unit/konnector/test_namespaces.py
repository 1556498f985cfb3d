"""Which consumer namespace is which service namespace: the verdicts, and what the shell does about each."""

from typing import Any, cast

import pytest

from bind_agent.api import keys
from bind_agent.api.meta import Object
from bind_agent.api.resource import NAMESPACES, SERVICE_NAMESPACES
from bind_agent.kube.errors import AlreadyExists, Forbidden
from konnector.sync.namespaces import ServiceNamespaces, judge
from konnector.sync.placement import unusable_answer
from tests.fakes.parts import CLUSTER_ID, CannedClient, StillInformer, app_cluster

pytestmark = pytest.mark.unit

CNS = "cluster-abc"
EARLY, LATE = "2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z"


def _namespace(
    uid: str = "n1", *, created: str = EARLY, deleting: bool = False, name: str = "shop"
) -> Object:
    metadata: Object = {"name": name, "uid": uid, "creationTimestamp": created, "resourceVersion": "1"}
    if deleting:
        metadata["deletionTimestamp"] = LATE
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": metadata}


def _record(
    uid: str | None = "n1",
    cluster: str | None = CLUSTER_ID,
    *,
    answer: Any = None,
    created: str = EARLY,
    deleting: bool = False,
    name: str = "shop",
) -> Object:
    marks = {keys.SOURCE_UID: uid, keys.CONSUMER_CLUSTER: cluster}
    metadata: Object = {
        "name": name,
        "namespace": CNS,
        "uid": "r1",
        "resourceVersion": "9",
        "creationTimestamp": created,
        "annotations": {key: value for key, value in marks.items() if value is not None},
    }
    if deleting:
        metadata["deletionTimestamp"] = LATE
    record: Object = {
        "apiVersion": keys.API_VERSION,
        "kind": keys.KIND_SERVICE_NAMESPACE,
        "metadata": metadata,
    }
    return record if answer is None else {**record, "status": {"namespace": answer}}


@pytest.mark.parametrize(
    ("record", "namespace", "wanted", "verdict"),
    [
        (None, None, True, "wait"),
        (None, _namespace(), False, "wait"),
        (None, _namespace(), True, "create"),
        (None, _namespace(deleting=True), True, "create"),
        (None, _namespace(deleting=True), False, "wait"),
        (_record(), _namespace(), False, "wait"),
        (_record(answer=""), _namespace(), True, "wait"),
        (_record(answer=7), _namespace(), True, "wait"),
        (_record(answer="there"), _namespace(), False, "use"),
        (_record(answer="there"), _namespace(deleting=True), False, "use"),
        (_record(answer="there", deleting=True), _namespace(), True, "wait"),
        (_record(answer="there"), None, True, "delete"),
        (_record(answer="there"), _namespace("n2"), True, "delete"),
        (_record(cluster="other", answer="there"), _namespace(), True, "foreign"),
        (_record(cluster="other"), None, True, "foreign"),
        (_record(cluster="other", deleting=True), _namespace(), True, "foreign"),
        (_record(None, None, answer="there"), _namespace(), False, "adopt"),
        (_record(None, None, created=LATE), _namespace(), False, "adopt"),
        (_record(None, None, created=EARLY), _namespace(created=LATE), False, "adopt"),
        (_record(None, None, created=EARLY), _namespace(created=LATE, deleting=True), False, "adopt"),
        (_record(None, None, deleting=True), _namespace(), False, "wait"),
        (_record(None, None), None, False, "delete"),
    ],
    ids=[
        "nothing",
        "unwanted",
        "wanted",
        "wanted-and-leaving",
        "unwanted-and-leaving",
        "no-answer",
        "empty-answer",
        "odd-answer",
        "answered",
        "namespace-leaving",
        "record-leaving",
        "namespace-gone",
        "namespace-made-anew",
        "another-clusters",
        "another-clusters-and-no-namespace",
        "another-clusters-leaving",
        "made-by-go",
        "made-by-go-later",
        "made-by-go-and-older-by-the-providers-clock",
        "made-by-go-namespace-leaving",
        "made-by-go-leaving",
        "made-by-go-namespace-gone",
    ],
)
def test_verdicts(record: Object | None, namespace: Object | None, wanted: bool, verdict: str) -> None:
    assert judge(record, namespace, cluster_id=CLUSTER_ID, wanted=wanted) == verdict


@pytest.mark.parametrize(
    ("answer", "taken_by", "words"),
    [
        ("cluster-abc-shop", "shop", ""),
        ("kube-bind-abc-default", "shop", ""),
        ("default", "shop", ""),
        ("cluster-abc-other", "", ""),
        ("Not A Name", "shop", "not the name of a namespace"),
        ("kube-system", "shop", "kube-system must not be used"),
        ("kube-public", "shop", "must not be used"),
        ("kube-node-lease", "shop", "must not be used"),
        ("klutch-bind", "shop", "must not be used"),
        (CNS, "shop", "must not be used"),
        ("cluster-abc-other", "other", "is that of namespace other already"),
    ],
)
def test_answers_that_are_not_used(answer: str, taken_by: str, words: str) -> None:
    found = unusable_answer("shop", answer, cluster_namespace=CNS, taken_by=taken_by)
    assert (words in found) if words else found == ""
    assert ("ask the provider to correct" in found) is bool(words)


class Case:
    """The mapping among parts."""

    def __init__(self, provider: CannedClient | None = None, app: CannedClient | None = None) -> None:
        self.provider = provider or CannedClient()
        self.app = app_cluster(app)
        self.records = StillInformer(SERVICE_NAMESPACES)
        self.namespaces = StillInformer(NAMESPACES)
        self.mapping = ServiceNamespaces(
            self.app, cast("Any", self.provider), CNS, cast("Any", self.records), cast("Any", self.namespaces)
        )
        self.heard: list[tuple[str, str | None]] = []
        self.mapping.subscribe(lambda *told: self.heard.append(told))

    async def run(self, name: str = "shop") -> None:
        await self.mapping._reconcile(name)

    @property
    def events(self) -> list[tuple[str, str, str]]:
        found: list[tuple[str, str, str]] = cast("Any", self.app.recorder).events
        return found


async def test_a_wanted_namespace_is_asked_for_with_its_uid() -> None:
    case = Case(CannedClient(create=AlreadyExists("somebody was faster", code=409)))
    case.namespaces.put(_namespace())
    case.mapping.want("shop")
    case.mapping.want("shop")
    assert case.mapping.controller.queue.depth == 1
    await case.run()
    ((_, args, _),) = case.provider.calls
    assert args[1]["metadata"]["annotations"] == {keys.CONSUMER_CLUSTER: CLUSTER_ID, keys.SOURCE_UID: "n1"}
    assert args[1]["metadata"]["namespace"] == CNS


async def test_a_record_that_may_not_be_made_is_told_until_it_may() -> None:
    denied = Forbidden("cannot create", code=403, reason="Forbidden")
    case = Case(CannedClient(create=[denied, {}]))
    case.namespaces.put(_namespace())
    case.mapping.want("shop")
    with pytest.raises(Forbidden):
        await case.run()
    assert "ask the provider" in case.mapping.refusal("shop")
    assert case.heard == [("shop", None)]
    await case.run()
    assert case.mapping.refusal("shop") == ""


async def test_an_answer_is_used_and_told_also_to_those_who_come_later() -> None:
    case = Case()
    case.namespaces.put(_namespace())
    case.records.put(_record(answer="there"))
    await case.run()
    await case.run()
    assert case.heard == [("shop", "there")]
    late: list[tuple[str, str | None]] = []
    end = case.mapping.subscribe(lambda *told: late.append(told))
    assert late == [("shop", "there")]
    end()
    assert case.mapping.service_namespace("shop") == "there"
    assert case.mapping.consumer_namespace("there") == "shop"
    assert case.mapping.mappings() == {"shop": "there"}
    case.records.remove(f"{CNS}/shop")
    await case.run()
    assert case.heard[-1] == ("shop", None)
    assert late == [("shop", "there")]
    assert case.mapping.mappings() == {}


async def test_a_record_of_go_is_marked_under_its_lock() -> None:
    case = Case(CannedClient(merge_patch={}), CannedClient(get_or_none=_namespace()))
    case.namespaces.put(_namespace())
    case.records.put(_record(None, None, answer="there"))
    await case.run()
    ((_, args, kwargs),) = case.provider.calls
    assert (args[1], kwargs["namespace"]) == ("shop", CNS)
    assert args[2]["metadata"]["uid"] == "r1"
    assert args[2]["metadata"]["annotations"][keys.SOURCE_UID] == "n1"


@pytest.mark.parametrize("live", [None, _namespace("n2")], ids=["gone", "made-anew"])
async def test_a_record_of_go_is_not_marked_for_a_namespace_that_only_the_store_shows(
    live: Object | None,
) -> None:
    # The mark would let the record be deleted as soon as the store shows the namespace of now.
    case = Case(CannedClient(), CannedClient(get_or_none=live))
    case.namespaces.put(_namespace("n1"))
    case.records.put(_record(None, None, answer="there"))
    await case.run()
    assert case.provider.calls == []


async def test_a_record_of_go_goes_with_its_namespace_and_not_before() -> None:
    case = Case(CannedClient(delete=None), CannedClient(get_or_none=[_namespace("n2"), None]))
    case.records.put(_record(None, None, answer="there"))
    await case.run()
    assert case.provider.calls == []  # it is there, only the store does not show it
    await case.run()
    ((verb, args, kwargs),) = case.provider.calls
    assert (verb, args[1], kwargs) == ("delete", "shop", {"namespace": CNS, "uid": "r1"})


async def test_a_namespace_that_is_gone_ends_its_record() -> None:
    case = Case(CannedClient(delete=None), CannedClient(get_or_none=None))
    case.records.put(_record(answer="there"))
    await case.run()
    ((_, args, kwargs),) = case.provider.calls
    assert (args[1], kwargs) == ("shop", {"namespace": CNS, "uid": "r1"})


async def test_a_namespace_that_only_the_store_misses_ends_nothing() -> None:
    case = Case(CannedClient(), CannedClient(get_or_none=_namespace()))
    case.records.put(_record(answer="there"))
    await case.run()
    assert case.provider.calls == []


async def test_a_namespace_made_anew_loses_the_old_record_and_is_still_wanted() -> None:
    case = Case(CannedClient(delete=None), CannedClient(get_or_none=_namespace("n2")))
    case.namespaces.put(_namespace("n1"))
    case.records.put(_record("n1", answer="there"))
    case.mapping.want("shop")
    await case.run()
    case.namespaces.put(_namespace("n2"))
    await case.run()
    assert case.heard == [("shop", "there"), ("shop", None)]
    assert case.provider.verbs == ["delete"]
    case.records.remove(f"{CNS}/shop")
    case.provider._answers["create"].append({})
    await case.run()
    assert case.provider.verbs == ["delete", "create"]


async def test_a_record_of_another_cluster_is_left_alone_and_told() -> None:
    case = Case()
    case.namespaces.put(_namespace())
    case.records.put(_record(cluster="other", answer="there"))
    await case.run()
    await case.run()
    assert case.provider.calls == []
    assert case.mapping.mappings() == {}
    assert "another app cluster" in case.mapping.refusal("shop")
    assert case.heard == [("shop", None)]
    # It comes to us: used, and nothing is refused any more.
    case.records.put(_record(answer="there"))
    await case.run()
    assert case.mapping.refusal("shop") == ""
    assert case.heard[-1] == ("shop", "there")


async def test_an_answer_that_must_not_be_used_is_refused_until_it_is_corrected() -> None:
    case = Case()
    case.namespaces.put(_namespace())
    case.records.put(_record(answer="kube-system"))
    await case.run()
    assert case.mapping.mappings() == {}
    assert "kube-system must not be used" in case.mapping.refusal("shop")
    case.records.remove(f"{CNS}/shop")
    await case.run()
    assert case.mapping.refusal("shop") == ""
    case.records.put(_record(answer="there"))
    await case.run()
    assert case.mapping.mappings() == {"shop": "there"}


async def test_two_namespaces_never_share_a_service_namespace() -> None:
    case = Case()
    for name, uid in (("shop", "n1"), ("bank", "n2")):
        case.namespaces.put(_namespace(uid, name=name))
        case.records.put(_record(uid, answer="there", name=name))
        await case.run(name)
    assert case.mapping.mappings() == {"shop": "there"}
    assert "that of namespace shop already" in case.mapping.refusal("bank")


async def test_a_mapping_in_use_never_changes_and_the_namespace_hears_of_the_attempt() -> None:
    case = Case()
    case.namespaces.put(_namespace())
    for answer in ("there", "elsewhere"):
        case.records.put(_record(answer=answer))
        await case.run()
    assert case.mapping.mappings() == {"shop": "there"}
    ((name, reason, message),) = case.events
    assert (name, reason) == ("shop", "NamespaceConflict")
    assert "the first one, there, stays in use" in message


async def test_events_of_both_sides_look_at_the_namespace_until_closed() -> None:
    case = Case()
    with case.mapping:
        case.namespaces.put(_namespace())
        case.records.put(_record(name="bank"))
        assert case.mapping.controller.queue.depth == 2
    assert case.records.handlers == []
    assert case.namespaces.handlers == []
