"""What `plan` decides while the consumer object lives. Deletion, adoption and claims have files of their
own."""

import copy

import pytest

from bind_agent.api import keys, meta
from konnector.sync.model import (
    ApplyProvider,
    Attempt,
    ConfirmAbsence,
    DeleteProvider,
    EnsureFinalizer,
    Memory,
    MigrateManagedFields,
    PatchConsumerStatus,
    Policy,
    Reason,
    Recheck,
    Refuse,
    Side,
)
from konnector.sync.plan import plan
from tests.fakes.sync_world import (
    CLUSTER_ID,
    CLUSTER_SCOPED,
    CNS,
    PLACEMENT,
    POLICY,
    copy_of,
    guarded,
    kinds,
    marked,
    thing,
)

pytestmark = pytest.mark.unit


def test_a_new_object_is_guarded_and_created_in_two_writes():
    consumer = thing(
        spec={"tier": "Shared"},
        labels={"team": "red"},
        annotations={"note": "x", keys.LAST_APPLIED: "{}"},
        status={"phase": "forged by the user"},
    )
    steps = plan(consumer, None, PLACEMENT, POLICY)
    guard, apply = steps
    assert guard == EnsureFinalizer(
        "consumer-uid",
        "10",
        {
            "metadata": {
                "uid": "consumer-uid",
                "resourceVersion": "10",
                "finalizers": [keys.SYNCER_FINALIZER],
                "annotations": {keys.BOUND: "true"},
            }
        },
    )
    assert isinstance(apply, ApplyProvider)
    assert apply.creates
    assert apply.seen == ""
    assert apply.object == {
        "apiVersion": "mangodb.com/v1",
        "kind": "MangoDB",
        "metadata": {
            "name": "db",
            "namespace": f"{CNS}-shop",
            "resourceVersion": "1",
            "labels": {"team": "red"},
            "annotations": {
                "note": "x",
                keys.BOUND: "true",
                keys.CONSUMER_CLUSTER: CLUSTER_ID,
                keys.SOURCE: "shop/db",
                keys.SOURCE_UID: "consumer-uid",
                keys.CONTENT_DIGEST: apply.digest,
            },
        },
        "spec": {"tier": "Shared"},
    }


def test_finalizers_of_others_are_kept_when_ours_is_added():
    consumer = thing(finalizers=["other.io/keep"], spec={})
    guard = plan(consumer, None, PLACEMENT, POLICY)[0]
    assert isinstance(guard, EnsureFinalizer)
    assert guard.patch["metadata"]["finalizers"] == ["other.io/keep", keys.SYNCER_FINALIZER]


def test_a_removed_bound_mark_is_put_back_without_a_second_finalizer():
    consumer = thing(finalizers=[keys.SYNCER_FINALIZER], spec={})
    guard = plan(consumer, copy_of(consumer), PLACEMENT, POLICY)[0]
    assert isinstance(guard, EnsureFinalizer)
    assert guard.patch["metadata"]["finalizers"] == [keys.SYNCER_FINALIZER]


def test_a_cluster_scoped_copy_carries_its_prefix_its_mark_and_its_owner():
    consumer = guarded("db", spec={"a": 1})
    (apply,) = plan(consumer, None, CLUSTER_SCOPED, POLICY)
    assert isinstance(apply, ApplyProvider)
    metadata = apply.object["metadata"]
    assert metadata["name"] == f"{CNS}-db"
    assert "namespace" not in metadata
    assert metadata["annotations"][keys.CLUSTER_NAMESPACE] == CNS
    assert metadata["ownerReferences"] == [
        {"apiVersion": "v1", "kind": "Namespace", "name": CNS, "uid": "cns-uid"}
    ]


def test_every_top_level_field_is_carried_not_only_spec():
    consumer = guarded(spec={"a": 1}, data={"k": "v"}, rules=[1, 2])
    (apply,) = plan(consumer, None, PLACEMENT, POLICY)
    assert isinstance(apply, ApplyProvider)
    assert {name: apply.object[name] for name in ("spec", "data", "rules")} == {
        "spec": {"a": 1},
        "data": {"k": "v"},
        "rules": [1, 2],
    }


@pytest.mark.parametrize("placement", [PLACEMENT, CLUSTER_SCOPED], ids=["namespaced", "cluster-scoped"])
def test_everything_is_already_in_perfect_shape_nothing_to_do(placement):
    consumer = guarded(placement.consumer_key, spec={"a": 1}, status={"phase": "Ready"})
    provider = copy_of(consumer, placement, status={"phase": "Ready"})
    assert plan(consumer, provider, placement, POLICY) == ()


@pytest.mark.parametrize(
    ("desired", "found"),
    [
        pytest.param({"a": 1}, {"a": 1, "region": "default"}, id="a field defaulted by the provider"),
        pytest.param({"l": [{"n": 1}]}, {"l": [{"n": 1, "d": 0}]}, id="a default inside a list element"),
        pytest.param({"a": 1}, {"a": 1.0}, id="the same number written otherwise"),
        pytest.param({"a": None, "b": 1}, {"b": 1}, id="a null that the server dropped"),
        pytest.param({"a": 1}, {"a": 1, "resourceRef": {"name": "x"}}, id="a field that Crossplane writes"),
    ],
)
def test_what_the_provider_adds_costs_no_write(desired, found):
    consumer = guarded(spec=desired)
    assert plan(consumer, copy_of(consumer, spec=found), PLACEMENT, POLICY) == ()


@pytest.mark.parametrize(
    "spoil",
    [
        pytest.param(lambda p: p["spec"].update(a=2), id="a value edited"),
        pytest.param(lambda p: p["spec"].pop("a"), id="a value removed"),
        pytest.param(lambda p: p.pop("spec"), id="the whole spec removed"),
        pytest.param(lambda p: p["spec"].update(l=[1]), id="a list shortened"),
        pytest.param(lambda p: p["spec"].update(flag=1), id="a boolean made a number"),
        pytest.param(lambda p: p["metadata"]["labels"].clear(), id="a label removed"),
        pytest.param(lambda p: p["metadata"]["annotations"].pop(keys.BOUND), id="the bound mark removed"),
        pytest.param(
            lambda p: p["metadata"]["annotations"].pop(keys.SOURCE_UID), id="the mark of the source removed"
        ),
    ],
)
def test_drift_on_the_provider_is_repaired(spoil):
    consumer = guarded(spec={"a": 1, "l": [1, 2], "flag": True}, labels={"team": "red"})
    provider = copy.deepcopy(copy_of(consumer))
    spoil(provider)
    (apply,) = plan(consumer, provider, PLACEMENT, POLICY)
    assert isinstance(apply, ApplyProvider)
    assert not apply.creates
    assert apply.object["metadata"]["uid"] == "provider-uid"
    assert "resourceVersion" not in apply.object["metadata"]
    assert apply.seen == "70"


def test_a_lost_owner_reference_of_a_cluster_scoped_copy_is_put_back():
    consumer = guarded("db", spec={})
    provider = copy_of(consumer, CLUSTER_SCOPED)
    provider["metadata"]["ownerReferences"] = [{"kind": "Other", "uid": "x"}]
    assert kinds(plan(consumer, provider, CLUSTER_SCOPED, POLICY)) == ["ApplyProvider"]


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"spec": {"a": 1}}, id="a field left out"),
        pytest.param({"spec": {"a": 2, "b": 2}}, id="a value changed"),
        pytest.param({"spec": {"a": 1, "b": 2}, "labels": {"team": "blue"}}, id="a label changed"),
        pytest.param({"spec": {"a": 1, "b": 2}, "data": {"k": "v"}}, id="a top-level field added"),
    ],
)
def test_a_change_on_the_consumer_is_applied(change):
    before = guarded(spec={"a": 1, "b": 2}, labels={"team": "red"})
    change = {"labels": {"team": "red"}, **change}
    assert kinds(plan(guarded(**change), copy_of(before), PLACEMENT, POLICY)) == ["ApplyProvider"]


def test_a_copy_deleted_on_the_provider_is_made_again():
    consumer = guarded(spec={"a": 1}, status={"phase": "Ready"})
    (apply,) = plan(consumer, None, PLACEMENT, POLICY)
    assert isinstance(apply, ApplyProvider)
    assert apply.creates


def test_a_terminating_copy_is_waited_for_and_its_status_still_shown():
    consumer = guarded(spec={"a": 1})
    provider = copy_of(consumer, deleting=True, finalizers=["slow"], status={"phase": "Deleting"})
    provider["spec"] = {"a": 7}
    assert kinds(plan(consumer, provider, PLACEMENT, POLICY)) == ["PatchConsumerStatus"]


# --- status down -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("here", "there", "operation"),
    [
        pytest.param(
            {}, {"phase": "Ready"}, {"op": "add", "path": "/status", "value": {"phase": "Ready"}}, id="new"
        ),
        pytest.param(
            {"phase": "forged"},
            {"phase": "Ready"},
            {"op": "add", "path": "/status", "value": {"phase": "Ready"}},
            id="forged by the user",
        ),
        pytest.param({"phase": "old"}, None, {"op": "remove", "path": "/status"}, id="gone on the provider"),
        pytest.param(
            {"a": 1}, {"a": None}, {"op": "add", "path": "/status", "value": {"a": None}}, id="a null value"
        ),
        pytest.param(None, {}, {"op": "add", "path": "/status", "value": {}}, id="an empty status"),
    ],
)
def test_the_providers_status_replaces_the_consumers(here, there, operation):
    consumer = guarded(spec={}, **({"status": here} if here is not None else {}))
    provider = copy_of(consumer, **({"status": there} if there is not None else {}))
    if there is None:
        provider.pop("status", None)
    (patch,) = plan(consumer, provider, PLACEMENT, POLICY)
    assert isinstance(patch, PatchConsumerStatus)
    assert list(patch.patch) == [
        {"op": "test", "path": "/metadata/uid", "value": "consumer-uid"},
        operation,
    ]
    assert (patch.uid, patch.subresource, patch.seen) == ("consumer-uid", "status", "10")


def test_without_a_status_subresource_the_status_goes_to_the_object_itself():
    consumer = guarded(spec={})
    policy = Policy(CLUSTER_ID, status_subresource=False)
    (patch,) = plan(consumer, copy_of(consumer, status={"a": 1}), PLACEMENT, policy)
    assert isinstance(patch, PatchConsumerStatus)
    assert patch.subresource == ""


def test_a_status_that_did_not_stick_is_not_sent_again_for_the_same_versions():
    # The consumer's schema prunes what the provider says: an answer of the same version tells.
    consumer = guarded(spec={}, version="10")
    provider = copy_of(consumer, status={"unknown": 1})
    (step,) = plan(consumer, provider, PLACEMENT, POLICY)
    assert isinstance(step, PatchConsumerStatus)
    memory = Memory().after_status(step, consumer, now=1.0)
    assert plan(consumer, provider, PLACEMENT, POLICY, memory, now=2.0) == ()
    newer = guarded(spec={}, version="11")
    assert kinds(plan(newer, provider, PLACEMENT, POLICY, memory, now=2.0)) == ["PatchConsumerStatus"]


def test_somebody_else_who_writes_the_status_meets_growing_pauses():
    consumer = guarded(spec={}, status={"phase": "mine"})
    provider = copy_of(consumer, status={"phase": "Ready"})
    (step,) = plan(consumer, provider, PLACEMENT, POLICY)
    assert isinstance(step, PatchConsumerStatus)
    memory = Memory(status=Attempt(step.digest, "9", repeats=6, at=100.0))
    refuse, recheck = plan(consumer, provider, PLACEMENT, POLICY, memory, now=101.0)
    assert isinstance(refuse, Refuse)
    assert refuse.reason is Reason.FIGHT
    assert ".status" in refuse.message
    assert recheck == Recheck(1.0)


# --- applies that have no effect, and fights ---------------------------------------------------------


def test_an_apply_without_effect_is_not_repeated_until_something_changes():
    # A webhook on the provider rewrites the value each time, so it never equals the desired one.
    consumer = guarded(spec={"a": 1})
    provider = copy_of(consumer, version="70", spec={"a": "rewritten"})
    (step,) = plan(consumer, provider, PLACEMENT, POLICY)
    assert isinstance(step, ApplyProvider)
    memory = Memory().after_apply(step, provider, now=1.0)
    assert plan(consumer, provider, PLACEMENT, POLICY, memory, now=1.0) == ()
    newer = copy_of(consumer, version="71", spec={"a": "rewritten"})
    assert kinds(plan(consumer, newer, PLACEMENT, POLICY, memory, now=1.0)) == ["ApplyProvider"]
    edited = guarded(spec={"a": 2})
    assert kinds(plan(edited, provider, PLACEMENT, POLICY, memory, now=1.0)) == ["ApplyProvider"]


def test_a_fight_over_a_field_is_slowed_down_and_names_the_field():
    consumer = guarded(spec={"nodes": [{"size": 1}]}, status={"phase": "Old"})
    provider = copy_of(consumer, spec={"nodes": [{"size": 9}]}, status={"phase": "New"})
    apply, _ = plan(consumer, provider, PLACEMENT, POLICY)
    assert isinstance(apply, ApplyProvider)
    memory = Memory(copy=Attempt(apply.digest, "60", repeats=8, at=100.0))
    steps = plan(consumer, provider, PLACEMENT, POLICY, memory, now=102.0)
    assert kinds(steps) == ["Refuse", "Recheck", "PatchConsumerStatus"]
    refuse, recheck, _ = steps
    assert isinstance(refuse, Refuse)
    assert ".spec.nodes[0].size" in refuse.message
    assert recheck == Recheck(6.0)
    later = plan(consumer, provider, PLACEMENT, POLICY, memory, now=108.0)
    assert kinds(later) == ["ApplyProvider", "PatchConsumerStatus"]


def test_a_copy_that_is_deleted_again_and_again_is_not_recreated_in_a_loop():
    consumer = guarded(spec={"a": 1})
    (apply,) = plan(consumer, None, PLACEMENT, POLICY)
    assert isinstance(apply, ApplyProvider)
    memory = Memory(copy=Attempt(apply.digest, "60", repeats=5, at=100.0))
    assert kinds(plan(consumer, None, PLACEMENT, POLICY, memory, now=100.0)) == ["Refuse", "Recheck"]
    assert kinds(plan(consumer, None, PLACEMENT, POLICY, memory, now=101.0)) == ["ApplyProvider"]


# --- whose is it --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("provider", "reason"),
    [
        pytest.param(thing(f"{CNS}-shop/db", spec={"a": 9}), Reason.CONFLICT, id="not marked"),
        pytest.param(
            marked(copy_of(guarded(spec={})), CONSUMER_CLUSTER="other"),
            Reason.FOREIGN_MARK,
            id="marked for another cluster",
        ),
        pytest.param(
            marked(copy_of(guarded(spec={})), SOURCE="shop/other"),
            Reason.FOREIGN_MARK,
            id="marked for another source",
        ),
        pytest.param(
            marked(copy_of(guarded(spec={})), CONSUMER_CLUSTER=None),
            Reason.FOREIGN_MARK,
            id="marked without a cluster",
        ),
    ],
)
def test_a_foreign_object_is_left_alone_and_its_status_not_shown(provider, reason):
    provider = {**provider, "status": {"phase": "theirs"}}
    (refuse,) = plan(thing(spec={"a": 1}), provider, PLACEMENT, POLICY)
    assert isinstance(refuse, Refuse)
    assert refuse.reason is reason
    assert "left as it is" in refuse.message


@pytest.mark.parametrize("mark", [None, "other-tenant"], ids=["no mark", "another tenant's mark"])
def test_a_cluster_scoped_object_of_another_tenant_is_foreign(mark):
    # Threats A33: the name may begin with our prefix by accident.
    consumer = guarded("db", spec={})
    provider = marked(copy_of(consumer, CLUSTER_SCOPED), CLUSTER_NAMESPACE=mark)
    assert kinds(plan(consumer, provider, CLUSTER_SCOPED, POLICY)) == ["Refuse"]
    by_go = thing(f"{CNS}-db", annotations={keys.BOUND: "true"}, spec={})
    assert kinds(plan(consumer, by_go, CLUSTER_SCOPED, POLICY)) == ["Refuse"]


def test_an_unmarked_object_is_taken_over_when_the_policy_says_so():
    policy = Policy(CLUSTER_ID, take_over=True)
    provider = thing(f"{CNS}-shop/db", uid="theirs", version="70", spec={"a": 9}, status={"phase": "x"})
    steps = plan(thing(spec={"a": 1}), provider, PLACEMENT, policy)
    assert kinds(steps) == ["EnsureFinalizer", "ApplyProvider", "PatchConsumerStatus"]
    apply = steps[1]
    assert isinstance(apply, ApplyProvider)
    assert apply.object["metadata"]["uid"] == "theirs"
    assert apply.object["metadata"]["annotations"][keys.SOURCE_UID] == "consumer-uid"


def test_a_copy_by_go_is_ours_and_its_fields_are_migrated_before_the_apply():
    consumer = guarded(spec={"a": 1})
    provider = thing(
        f"{CNS}-shop/db", uid="go", version="70", annotations={keys.BOUND: "true"}, spec={"a": 1, "old": 2}
    )
    migrate, apply = plan(consumer, provider, PLACEMENT, POLICY)
    assert migrate == MigrateManagedFields("go")
    assert isinstance(apply, ApplyProvider)
    assert apply.object["metadata"]["uid"] == "go"


def test_the_copy_of_an_earlier_object_goes_first_and_nothing_of_it_is_shown():
    earlier = guarded(uid="earlier-uid", spec={"a": 1})
    provider = copy_of(earlier, status={"secret": "of the earlier one"})
    consumer = thing(uid="new-uid", spec={"a": 1})
    assert plan(consumer, provider, PLACEMENT, POLICY) == (
        ConfirmAbsence(Side.CONSUMER, "earlier-uid"),
        DeleteProvider("provider-uid", "it is the copy of an earlier object of that name"),
    )
    terminating = copy_of(earlier, deleting=True, finalizers=["slow"], status={"a": 1})
    assert plan(consumer, terminating, PLACEMENT, POLICY) == ()


# --- edges ----------------------------------------------------------------------------------------------


def test_a_paused_binding_and_an_unknown_place_give_no_steps():
    consumer = thing(spec={})
    assert plan(consumer, None, PLACEMENT, Policy(CLUSTER_ID, paused=True)) == ()
    assert plan(consumer, None, None, POLICY) == ()
    assert plan(None, None, PLACEMENT, POLICY) == ()


def test_content_that_cannot_be_carried_is_refused_by_name_and_without_content():
    deep: dict[str, object] = {}
    inner = deep
    for _ in range(300):
        inner["secretword"] = {}
        inner = inner["secretword"]  # type: ignore[assignment]
    (refuse,) = plan(thing(spec=deep), None, PLACEMENT, POLICY)
    assert isinstance(refuse, Refuse)
    assert refuse.reason is Reason.REJECTED
    assert "MangoDB shop/db" in refuse.message
    assert "secretword" not in refuse.message


def test_no_object_is_changed_by_planning():
    consumer, provider = thing(spec={"a": {"b": 1}}), thing(f"{CNS}-shop/db", spec={})
    before = copy.deepcopy((consumer, provider))
    plan(consumer, provider, PLACEMENT, Policy(CLUSTER_ID, take_over=True))
    plan(consumer, copy_of(consumer, status={"a": 1}), PLACEMENT, POLICY)
    assert (consumer, provider) == before
    assert meta.uid(consumer) == "consumer-uid"
