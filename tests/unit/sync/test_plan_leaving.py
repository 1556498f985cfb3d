"""What `plan` decides when the consumer object is being deleted or gone, and adoption."""

import pytest

from bind_agent.api import keys
from konnector.sync.model import (
    Adopt,
    ConfirmAbsence,
    DeleteProvider,
    Memory,
    Policy,
    Reason,
    Refuse,
    ReleaseFinalizer,
    Side,
)
from konnector.sync.placement import place
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

ADOPT = Policy(CLUSTER_ID, adopt=True)
GONE = Memory(provider_gone=True)


def dying(**fields):
    return guarded(deleting=True, spec={"a": 1}, **fields)


RELEASE = ReleaseFinalizer(
    "consumer-uid",
    "10",
    {"metadata": {"uid": "consumer-uid", "resourceVersion": "10", "finalizers": None}},
)


# --- being deleted --------------------------------------------------------------------------------------


def test_the_copy_is_deleted_by_uid_and_the_finalizer_stays():
    assert plan(dying(), copy_of(dying()), PLACEMENT, POLICY) == (
        DeleteProvider("provider-uid", "its consumer object is being deleted"),
    )


def test_a_terminating_copy_is_waited_for():
    provider = copy_of(dying(), deleting=True, finalizers=["slow"])
    assert plan(dying(), provider, PLACEMENT, POLICY) == ()


def test_the_finalizer_comes_off_once_absence_was_observed():
    assert plan(dying(), None, PLACEMENT, POLICY, GONE) == (RELEASE,)


def test_absence_that_was_not_observed_is_confirmed_first():
    assert plan(dying(), None, PLACEMENT, POLICY) == (ConfirmAbsence(Side.PROVIDER), RELEASE)


def test_only_our_finalizer_comes_off():
    (release,) = plan(dying(finalizers=["other.io/keep"]), None, PLACEMENT, POLICY, GONE)
    assert isinstance(release, ReleaseFinalizer)
    assert release.patch["metadata"]["finalizers"] == ["other.io/keep"]


@pytest.mark.parametrize(
    "provider",
    [
        pytest.param(thing(f"{CNS}-shop/db", spec={}), id="not marked"),
        pytest.param(marked(copy_of(dying()), CONSUMER_CLUSTER="other"), id="another cluster's"),
        pytest.param(marked(copy_of(dying()), SOURCE="x/y"), id="another source's"),
    ],
)
def test_a_foreign_object_survives_and_does_not_hold_the_user_up(provider):
    assert plan(dying(), provider, PLACEMENT, POLICY) == (RELEASE,)


def test_an_object_that_never_had_our_finalizer_needs_nothing():
    plain = thing(deleting=True, finalizers=["other.io/keep"], spec={})
    assert plan(plain, None, PLACEMENT, POLICY) == ()
    assert plan(plain, thing(f"{CNS}-shop/db", spec={}), PLACEMENT, POLICY) == ()


def test_a_copy_goes_even_when_the_user_took_our_finalizer_off():
    plain = thing(deleting=True, finalizers=["other.io/keep"], spec={"a": 1})
    assert kinds(plan(plain, copy_of(plain), PLACEMENT, POLICY)) == ["DeleteProvider"]


def test_a_copy_by_go_goes_with_its_object():
    provider = thing(f"{CNS}-shop/db", uid="go", annotations={keys.BOUND: "true"}, spec={})
    assert plan(dying(), provider, PLACEMENT, POLICY) == (
        DeleteProvider("go", "its consumer object is being deleted"),
    )


def test_the_copy_of_an_earlier_object_goes_before_the_finalizer_comes_off():
    provider = copy_of(dying(uid="earlier-uid"))
    assert plan(dying(), provider, PLACEMENT, POLICY) == (
        ConfirmAbsence(Side.CONSUMER, "earlier-uid"),
        DeleteProvider("provider-uid", "it is the copy of an earlier object of that name"),
    )


# --- gone -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("provider", "uid"),
    [
        pytest.param(copy_of(dying()), "consumer-uid", id="our copy"),
        pytest.param(
            thing(f"{CNS}-shop/db", uid="provider-uid", annotations={keys.BOUND: "true"}),
            "",
            id="a copy by Go",
        ),
    ],
)
def test_a_force_removed_object_takes_its_copy_along_after_a_confirming_get(provider, uid):
    assert plan(None, provider, PLACEMENT, POLICY) == (
        ConfirmAbsence(Side.CONSUMER, uid),
        DeleteProvider("provider-uid", "its consumer object is gone"),
    )


def test_a_terminating_orphan_needs_nothing():
    assert plan(None, copy_of(dying(), deleting=True, finalizers=["x"]), PLACEMENT, POLICY) == ()


def test_an_unmarked_object_without_counterpart_is_left_alone():
    assert plan(None, thing(f"{CNS}-shop/db", spec={}), PLACEMENT, POLICY) == ()


def test_a_foreign_mark_without_counterpart_is_reported_and_left_alone():
    (refuse,) = plan(None, marked(copy_of(dying()), CONSUMER_CLUSTER="other"), PLACEMENT, ADOPT)
    assert isinstance(refuse, Refuse)
    assert refuse.reason is Reason.FOREIGN_MARK


# --- adoption ---------------------------------------------------------------------------------------------


def made_there(**fields):
    return thing(f"{CNS}-shop/db", uid="theirs", version="70", **fields)


def test_an_object_made_on_the_provider_is_created_on_the_consumer_from_what_may_cross():
    provider = made_there(
        spec={"a": 1},
        status={"phase": "Ready"},
        labels={"team": "red", "helm.sh/chart": "x"},
        annotations={"note": "y", keys.LAST_APPLIED: "{}"},
        finalizers=["provider.io/x"],
    )
    provider["metadata"]["ownerReferences"] = [{"uid": "o"}]
    (adopt,) = plan(None, provider, PLACEMENT, ADOPT)
    assert adopt == Adopt(
        {
            "apiVersion": "mangodb.com/v1",
            "kind": "MangoDB",
            "metadata": {
                "name": "db",
                "namespace": "shop",
                "labels": {"team": "red"},
                "annotations": {
                    "note": "y",
                    keys.BOUND: "true",
                    keys.SOURCE: f"{CNS}-shop/db",
                    keys.SOURCE_UID: "theirs",
                },
                "finalizers": [keys.SYNCER_FINALIZER],
            },
            "spec": {"a": 1},
        }
    )


def adopted_here(spec, source_uid="theirs", **fields):
    return guarded(spec=spec, annotations={keys.SOURCE_UID: source_uid}, **fields)


def test_the_adopted_object_becomes_our_copy_even_when_edited_meanwhile():
    steps = plan(adopted_here({"a": 2}), made_there(spec={"a": 1}), PLACEMENT, ADOPT)
    assert kinds(steps) == ["ApplyProvider"]


def test_an_adopted_object_deleted_before_it_was_marked_takes_the_original_along():
    # Otherwise it would be adopted again at once (spec W-K8).
    consumer = adopted_here({"a": 1}, deleting=True)
    assert plan(consumer, made_there(spec={"a": 1}), PLACEMENT, ADOPT) == (
        DeleteProvider("theirs", "its consumer object is being deleted"),
    )


# --- what a Go konnector adopted: marked on the consumer only (spec 6.7.5) ---------------------------------


@pytest.mark.parametrize("spec", [{"a": 1}, {"a": 2}], ids=["equal", "edited since"])
def test_what_go_adopted_is_taken_over_whatever_its_content(spec):
    assert kinds(plan(guarded(spec=spec), made_there(spec={"a": 1}), PLACEMENT, ADOPT)) == ["ApplyProvider"]


def test_what_go_adopted_goes_before_the_finalizer_comes_off():
    provider = made_there(spec={"a": 1})
    assert plan(dying(), provider, PLACEMENT, ADOPT) == (
        DeleteProvider("theirs", "its consumer object is being deleted"),
    )
    provider["metadata"] |= {"deletionTimestamp": "2026-01-01T00:00:00Z", "finalizers": ["slow"]}
    assert plan(dying(), provider, PLACEMENT, ADOPT) == ()
    assert plan(dying(), None, PLACEMENT, ADOPT, GONE) == (RELEASE,)


def test_what_comes_up_after_the_copy_was_seen_gone_is_not_what_go_adopted():
    consumer, provider = guarded(spec={"a": 2}), made_there(spec={"a": 1})
    assert kinds(plan(consumer, provider, PLACEMENT, ADOPT, GONE)) == ["Refuse"]
    # What says by UID from which object it was made is believed all the same.
    assert kinds(plan(adopted_here({"a": 2}), provider, PLACEMENT, ADOPT, GONE)) == ["ApplyProvider"]


IN_KUBE_SYSTEM = place(
    "kube-system/db",
    {"metadata": {"name": "kube-system"}, "status": {"namespace": f"{CNS}-x"}},
    cluster_namespace=CNS,
)
TENANTS = {keys.CLUSTER_NAMESPACE: CNS}


@pytest.mark.parametrize(
    ("consumer", "policy"),
    [
        pytest.param(adopted_here({"a": 1}), POLICY, id="policy does not adopt"),
        pytest.param(guarded(spec={"a": 1}), POLICY, id="by Go, policy does not adopt"),
        pytest.param(adopted_here({"a": 2}, "another"), ADOPT, id="made from another object"),
        pytest.param(thing(spec={"a": 1}), ADOPT, id="never bound"),
        pytest.param(thing(spec={"a": 1}, finalizers=[keys.SYNCER_FINALIZER]), ADOPT, id="not marked"),
        pytest.param(thing(spec={"a": 1}, annotations={keys.BOUND: "true"}), ADOPT, id="no finalizer"),
    ],
)
def test_an_unmarked_object_stays_a_conflict_otherwise(consumer, policy):
    assert kinds(plan(consumer, made_there(spec={"a": 1}), PLACEMENT, policy)) == ["Refuse"]


@pytest.mark.parametrize(
    ("consumer", "policy", "memory"),
    [
        pytest.param(dying(), POLICY, Memory(), id="policy does not adopt"),
        pytest.param(
            dying(annotations={keys.SOURCE_UID: "another"}), ADOPT, Memory(), id="made from another object"
        ),
        pytest.param(
            thing(deleting=True, spec={"a": 1}, finalizers=[keys.SYNCER_FINALIZER]),
            ADOPT,
            Memory(),
            id="not marked",
        ),
        pytest.param(dying(), ADOPT, GONE, id="came up after the copy was seen gone"),
    ],
)
def test_an_unmarked_object_survives_a_deletion_otherwise(consumer, policy, memory):
    assert kinds(plan(consumer, made_there(spec={"a": 1}), PLACEMENT, policy, memory)) == ["ReleaseFinalizer"]


def test_nothing_in_a_protected_namespace_is_taken_for_what_go_adopted():
    alive, leaving = guarded("kube-system/db", spec={}), guarded("kube-system/db", spec={}, deleting=True)
    assert kinds(plan(alive, made_there(spec={}), IN_KUBE_SYSTEM, ADOPT)) == ["Refuse"]
    assert kinds(plan(leaving, made_there(spec={}), IN_KUBE_SYSTEM, ADOPT)) == ["ReleaseFinalizer"]


@pytest.mark.parametrize(
    ("annotations", "alive", "leaving"),
    [
        pytest.param(TENANTS, "ApplyProvider", "DeleteProvider", id="our tenant's"),
        pytest.param({}, "Refuse", "ReleaseFinalizer", id="nobody's"),
        pytest.param(
            {keys.CLUSTER_NAMESPACE: f"{CNS}-b"}, "Refuse", "ReleaseFinalizer", id="another tenant's"
        ),
    ],
)
def test_of_cluster_scoped_kinds_only_what_carries_our_tenants_mark_is_what_go_adopted(
    annotations, alive, leaving
):
    # The name proves nothing: the prefix of one tenant can begin another's.
    provider = thing(f"{CNS}-db", uid="theirs", spec={"a": 1}, annotations=annotations)
    assert kinds(plan(guarded("db", spec={"a": 1}), provider, CLUSTER_SCOPED, ADOPT)) == [alive]
    assert kinds(plan(guarded("db", deleting=True), provider, CLUSTER_SCOPED, ADOPT)) == [leaving]


@pytest.mark.parametrize("policy", [ADOPT, Policy(CLUSTER_ID, adopt=True, take_over=True)])
def test_an_unmarked_object_of_another_tenant_is_taken_over_by_no_policy(policy):
    theirs = thing(f"{CNS}-db", uid="theirs", spec={}, annotations={keys.CLUSTER_NAMESPACE: f"{CNS}-b"})
    (refuse,) = plan(guarded("db", spec={"a": 1}), theirs, CLUSTER_SCOPED, policy)
    assert isinstance(refuse, Refuse)
    assert refuse.reason is Reason.FOREIGN_MARK


def test_nothing_is_adopted_while_it_is_terminating_or_into_a_protected_namespace():
    assert plan(None, made_there(spec={}, deleting=True, finalizers=["x"]), PLACEMENT, ADOPT) == ()
    assert plan(None, made_there(spec={}), IN_KUBE_SYSTEM, ADOPT) == ()


def test_a_cluster_scoped_object_is_adopted_only_with_our_tenants_mark():
    unmarked = thing(f"{CNS}-db", uid="theirs", spec={})
    assert plan(None, unmarked, CLUSTER_SCOPED, ADOPT) == ()
    meant = thing(f"{CNS}-db", uid="theirs", spec={}, annotations={keys.CLUSTER_NAMESPACE: CNS})
    (adopt,) = plan(None, meant, CLUSTER_SCOPED, ADOPT)
    assert isinstance(adopt, Adopt)
    assert adopt.object["metadata"]["name"] == "db"
    assert "namespace" not in adopt.object["metadata"]
    assert "labels" not in adopt.object["metadata"]
