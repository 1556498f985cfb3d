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


LEGACY = "klutch-konnector-team-prod"
OLD_RULES = [
    {
        "apiGroups": ["klutch.anynines.com"],
        "resources": ["apiservicebindings"],
        "verbs": ["get", "list", "watch"],
    },
    {"apiGroups": [""], "resources": ["secrets"], "verbs": ["get"]},
]
OTHER = {keys.APP_CLUSTER_BINDING_NAME: "x-prod", keys.APP_CLUSTER_BINDING_NAMESPACE: "team"}


def legacy(rules: Any = None, labels: dict[str, str] | None = None) -> dict[str, Any]:
    """A role of the name that older backends gave theirs."""
    return {"metadata": {"name": LEGACY, "uid": "l", "labels": labels or {}}, "rules": rules}


def test_a_legacy_role_holds_the_end(wanted: Wanted) -> None:
    first, wait = plan(Observed(wanted, None, legacy=legacy(labels=wanted.labels)))
    assert first == steps.DeleteLegacyRole("l")
    assert isinstance(wait, steps.Wait)
    assert f"kubectl delete clusterrole,clusterrolebinding {LEGACY}" in wait.message


def test_one_without_a_mark_holds_it_too_but_is_a_persons_to_delete(wanted: Wanted) -> None:
    """Go's older backends marked nothing; what they made grants rights on our group."""
    (wait,) = plan(Observed(wanted, None, legacy=legacy(OLD_RULES)))
    assert isinstance(wait, steps.Wait)
    assert wait.reason == "LegacyRoleRemains"
    assert "no mark" in wait.message
    assert f"kubectl delete clusterrole,clusterrolebinding {LEGACY}" in wait.message


@pytest.mark.parametrize("marked", [True, False])
@pytest.mark.parametrize(
    "labels",
    [
        OTHER,
        {keys.APP_CLUSTER_BINDING_NAME: "prod"} | {keys.APP_CLUSTER_BINDING_NAMESPACE: "other"},
        {keys.APP_CLUSTER_BINDING_NAMESPACE: "team-x"},
    ],
)
def test_a_role_of_another_app_cluster_binding_stays(
    wanted: Wanted, labels: dict[str, str], marked: bool
) -> None:
    """Its name is no proof: (`team-x`, `prod`) and (`team`, `x-prod`) have the same one."""
    found = legacy(OLD_RULES, labels) if marked else legacy(OLD_RULES)
    rivals = () if marked else ("team-x/prod",)
    assert plan(Observed(wanted, None, legacy=found, rivals=rivals)) == (steps.Release(),)


@pytest.mark.parametrize(
    "rules",
    [
        None,
        [],
        "odd",
        ["odd", {"apiGroups": None}],
        [{"apiGroups": ["apps"], "resources": ["deployments"], "verbs": ["*"]}],
        [{"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]}],
    ],
)
def test_a_role_that_no_backend_made_stays_and_holds_nothing_up(wanted: Wanted, rules: Any) -> None:
    assert plan(Observed(wanted, None, legacy=legacy(rules))) == (steps.Release(),)


def test_nothing_left(wanted: Wanted) -> None:
    assert plan(Observed(wanted, None)) == (steps.Release(),)
