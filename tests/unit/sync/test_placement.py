"""Where copies live, what to do while they have no place, and the way back."""

import pytest

from konnector.sync.model import (
    EnsureServiceNamespace,
    Placement,
    Reason,
    Recheck,
    Refuse,
    ReleaseFinalizer,
    Side,
)
from konnector.sync.placement import Unplaced, consumer_key, place
from tests.fakes.sync_world import CNS, guarded, thing

pytestmark = pytest.mark.unit


def record(namespace: object = f"{CNS}-shop", name: str = "shop") -> dict[str, object]:
    return {"metadata": {"name": name}, "status": {"namespace": namespace}}


def namespaced(given):
    return place("shop/db", given, cluster_namespace=CNS, cluster_namespace_uid="u")


def test_a_namespaced_object_lives_in_the_service_namespace_under_its_name():
    placed = namespaced(record())
    assert placed == Placement("shop/db", f"{CNS}-shop", "db", CNS, "u")
    assert placed.provider_key == f"{CNS}-shop/db"


def test_a_cluster_scoped_object_gets_the_prefix():
    placed = place("db", None, cluster_namespace=CNS, cluster_namespace_uid="u", cluster_scoped=True)
    assert placed == Placement("db", "", f"{CNS}-db", CNS, "u", cluster_scoped=True)
    assert placed.provider_key == f"{CNS}-db"


@pytest.mark.parametrize(
    "given",
    [
        pytest.param(None, id="no record"),
        pytest.param({"metadata": {"name": "shop"}}, id="not answered"),
        pytest.param(record(""), id="empty answer"),
        pytest.param(record(7), id="malformed answer"),
        pytest.param({"metadata": {"name": "shop"}, "status": "?"}, id="malformed status"),
        pytest.param(record(name="other"), id="record of another namespace"),
    ],
)
def test_without_an_answer_the_namespace_is_asked_for(given):
    unplaced = namespaced(given)
    assert isinstance(unplaced, Unplaced)
    assert unplaced.steps == (EnsureServiceNamespace("shop"), Recheck(5.0))


@pytest.mark.parametrize("target", ["kube-system", "klutch-bind", CNS, "Not A Name", "a" * 64])
def test_a_place_that_a_provider_must_not_choose_is_refused(target):
    unplaced = namespaced(record(target))
    assert isinstance(unplaced, Unplaced)
    (refuse,) = unplaced.steps
    assert isinstance(refuse, Refuse)
    assert refuse.reason is Reason.PROTECTED
    assert "ask the provider to correct status.namespace" in refuse.message


def test_a_provider_calls_its_namespaces_as_it_likes():
    # What a backend with --namespace-prefix=kube-bind answers.
    placed = namespaced(record("kube-bind-abc-shop"))
    assert isinstance(placed, Placement)
    assert placed.provider_key == "kube-bind-abc-shop/db"


def too_long():
    unplaced = place("n" * 250, None, cluster_namespace=CNS, cluster_scoped=True)
    assert isinstance(unplaced, Unplaced)
    return unplaced


def test_a_name_that_is_too_long_with_its_prefix_is_refused():
    (refuse,) = too_long().steps
    assert isinstance(refuse, Refuse)
    assert refuse.reason is Reason.REJECTED
    assert "shorter name" in refuse.message


def test_what_is_done_depends_on_the_objects_life():
    waiting = namespaced(None)
    assert isinstance(waiting, Unplaced)
    assert waiting.steps_for(None) == ()
    assert waiting.steps_for(thing()) == waiting.steps
    assert waiting.steps_for(thing(deleting=True, finalizers=["x"])) == ()
    # Its copy may be there: the place has to be known before the finalizer can come off.
    assert waiting.steps_for(guarded(deleting=True)) == waiting.steps


def test_where_no_copy_can_be_the_finalizer_comes_off():
    (release,) = too_long().steps_for(guarded(deleting=True))
    assert isinstance(release, ReleaseFinalizer)


@pytest.mark.parametrize(
    ("key", "scoped", "expected"),
    [
        (f"{CNS}-shop/db", False, "shop/db"),
        ("elsewhere/db", False, None),
        (f"{CNS}-db", True, "db"),
        ("other-db", True, None),
    ],
)
def test_the_way_back(key, scoped, expected):
    mapping = {f"{CNS}-shop": "shop"}
    assert consumer_key(key, mapping=mapping, cluster_namespace=CNS, cluster_scoped=scoped) == expected


def test_sides_have_an_other():
    assert Side.CONSUMER.other is Side.PROVIDER
    assert Side.PROVIDER.other is Side.CONSUMER
