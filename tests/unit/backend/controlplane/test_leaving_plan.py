"""The end of an AppClusterBinding (spec 5.4, 9.6)."""

from typing import Any

import pytest

from bind_agent.api import keys
from bind_agent.backend.controlplane import leaving_plan as steps
from bind_agent.backend.controlplane.leaving_plan import Observed, plan
from bind_agent.backend.controlplane.model import Wanted

pytestmark = pytest.mark.unit


def root(owner: str = "team/prod", *, deleting: bool = False) -> dict[str, Any]:
    marks = {keys.APP_CLUSTER_BINDING: owner} if owner else {}
    found: dict[str, Any] = {"metadata": {"name": "klutch-bind-team-prod", "uid": "r", "annotations": marks}}
    if deleting:
        found["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    return found


def binding(name: str, *, deleting: bool = False) -> dict[str, Any]:
    found: dict[str, Any] = {"metadata": {"name": name, "uid": f"{name}-uid"}}
    if deleting:
        found["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    return found


def test_bindings_go_first_and_hold_the_rest(wanted: Wanted) -> None:
    seen = Observed(wanted, root(), bindings=[binding("a"), binding("b", deleting=True)])
    *doomed, wait = plan(seen)
    assert doomed == [steps.DeleteBinding("a", "a-uid")]
    assert isinstance(wait, steps.Wait)
    assert "bindings a, b" in wait.message


def test_then_the_root_namespace_and_only_this_one(wanted: Wanted) -> None:
    first, wait = plan(Observed(wanted, root()))
    assert first == steps.DeleteRoot("klutch-bind-team-prod", "r")
    assert isinstance(wait, steps.Wait)


@pytest.mark.parametrize("mappings", [[], ["one"], [f"n{number}" for number in range(7)]])
def test_a_namespace_on_its_way_out_is_waited_for(wanted: Wanted, mappings: list[str]) -> None:
    (wait,) = plan(Observed(wanted, root(deleting=True), [binding("a")], mappings))
    assert isinstance(wait, steps.Wait)
    assert (wait.reason, "APIServiceNamespaces" in wait.message) == ("Deleting", bool(mappings))
    assert ("and 2 more" in wait.message) is (len(mappings) == 7)


@pytest.mark.parametrize("owner", ["", "team-prod/x", "team/other"])
def test_a_namespace_of_others_is_not_touched(wanted: Wanted, owner: str) -> None:
    assert plan(Observed(wanted, root(owner), [binding("a")], ["m"])) == (steps.Release(),)


def test_service_namespaces_have_to_go_as_well(wanted: Wanted) -> None:
    (wait,) = plan(Observed(wanted, None, service_namespaces=["klutch-bind-team-prod-x"]))
    assert isinstance(wait, steps.Wait)
    assert "klutch-bind-team-prod-x" in wait.message


def test_a_legacy_role_holds_the_end(wanted: Wanted) -> None:
    role = {"metadata": {"name": "klutch-konnector-team-prod", "uid": "l"}}
    first, wait = plan(Observed(wanted, None, legacy=role))
    assert first == steps.DeleteLegacyRole("l")
    assert isinstance(wait, steps.Wait)
    assert "kubectl delete clusterrole,clusterrolebinding klutch-konnector-team-prod" in wait.message


def test_nothing_left(wanted: Wanted) -> None:
    assert plan(Observed(wanted, None)) == (steps.Release(),)
