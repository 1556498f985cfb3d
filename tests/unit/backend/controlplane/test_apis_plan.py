"""Bindings, requests and exports of an app cluster (spec 5.3 steps 4 and 5, 9.6)."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from bind_agent.api import conditions, keys, meta, naming
from bind_agent.api.meta import Object
from bind_agent.backend.access import Kind
from bind_agent.backend.controlplane import apis_model as steps
from bind_agent.backend.controlplane import objects
from bind_agent.backend.controlplane.apis_model import Api, Observed, Plan
from bind_agent.backend.controlplane.apis_plan import plan
from bind_agent.backend.controlplane.asking_plan import LAG
from bind_agent.backend.controlplane.model import Wanted
from bind_agent.backend.exports import Draft, Problem
from bind_agent.backend.templates import Choice

pytestmark = pytest.mark.unit

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
KIND, OTHER = Kind("example.org", "databases"), Kind("example.org", "queues")
CLAIM = {"group": "", "resource": "secrets", "version": "v1", "selector": {"owner": "Provider"}}
GOOD = Draft({}, "h")
NO_CRD = Problem("CRDNotFound", "the provider has no CRD")
NEVER = Problem("ScopeNotSupported", "cluster-scoped", final=True)


def choice(name: str = "databases", namespace: str = "default", claims: Sequence[Any] = (CLAIM,)) -> Choice:
    return Choice(
        {"metadata": {"name": name, "namespace": namespace}, "spec": {"permissionClaims": list(claims)}}
    )


def api(kind: Kind = KIND, *, offered: Choice | None = None, draft: Draft | Problem = GOOD) -> Api:
    return Api(kind, offered or choice(), draft)


NOT_OFFERED = Api(KIND, None, Problem("TemplateNotFound", "no template selects it"))


def obj(
    name: str, wanted: Wanted | None = None, *, deleting: bool = False, age: float = 60, **more: Any
) -> Object:
    metadata: dict[str, Any] = {
        "name": name,
        "uid": f"{name}-uid",
        "resourceVersion": "1",
        "creationTimestamp": conditions.timestamp(NOW - timedelta(seconds=age)),
    }
    if wanted is not None:
        metadata["labels"] = wanted.labels
    if deleting:
        metadata["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    return {"metadata": metadata, **more}


def binding(wanted: Wanted, kind: Kind = KIND, *, claims: Sequence[Any] = (), **more: Any) -> Object:
    spec: dict[str, Any] = {"kubeconfigSecretRef": objects.secret_ref(wanted)}
    if claims:
        spec["permissionClaims"] = list(claims)
    return {**obj(str(kind), wanted), "spec": spec, **more}


def request(
    wanted: Wanted | None,
    kind: Kind = KIND,
    phase: str = "",
    *,
    name: str = "r",
    age: float = 60,
    **status: Any,
) -> Object:
    spec = {"resources": [{"group": kind.group, "resource": kind.plural}]}
    return obj(name, wanted, age=age, spec=spec, status={**({"phase": phase} if phase else {}), **status})


def done(wanted: Wanted, *apis: Api, **seen: Any) -> Plan:
    return plan(Observed(wanted, apis or (api(),), **seen), now=NOW)


def told(found: Plan) -> tuple[str, str, str]:
    return found.condition.status, found.condition.reason, found.condition.severity


class TestAdding:
    def test_a_new_api_gets_a_binding_and_a_request(self, wanted: Wanted) -> None:
        found = done(wanted)
        bind, ask = found.steps
        assert isinstance(bind, steps.CreateBinding)
        assert isinstance(ask, steps.CreateRequest)
        assert meta.name(bind.binding) == "databases.example.org"
        assert "permissionClaims" not in bind.binding["spec"]
        assert meta.name(ask.request) == naming.export_request("prod", "databases")
        assert ask.request["spec"]["resources"][0]["permissionClaims"] == [CLAIM]
        assert told(found) == ("False", "Pending", "Info")

    def test_an_api_that_is_there_costs_nothing(self, wanted: Wanted) -> None:
        found = done(wanted, bindings=[binding(wanted)], exports=[obj(str(KIND))])
        assert found.steps == ()
        assert told(found) == ("True", "", "")

    def test_an_existing_export_needs_no_request(self, wanted: Wanted) -> None:
        (only,) = done(wanted, exports=[obj(str(KIND))]).steps
        assert isinstance(only, steps.CreateBinding)

    @pytest.mark.parametrize("phase", ["", "Pending"])
    def test_a_request_under_way_is_waited_for(self, wanted: Wanted, phase: str) -> None:
        found = done(wanted, bindings=[binding(wanted)], requests=[request(wanted, phase=phase)])
        assert (found.steps, found.after) == ((), LAG)
        assert told(found)[1] == "Pending"

    def test_why_a_request_is_not_met_is_passed_on(self, wanted: Wanted) -> None:
        refused = conditions.false("ExportsReady", "ExportWriteFailed", "Error", "too large")
        status = {"conditions": conditions.set_all([], [refused], NOW)}
        found = done(wanted, bindings=[binding(wanted)], requests=[request(wanted, **status)])
        assert told(found) == ("False", "ExportWriteFailed", "Error")
        assert "too large" in found.condition.message

    @pytest.mark.parametrize(("age", "again"), [(1, False), (60, True)])
    def test_a_request_that_succeeded_for_an_export_that_is_gone(
        self, wanted: Wanted, age: float, again: bool
    ) -> None:
        standing = request(wanted, phase="Succeeded", age=age)
        found = done(wanted, bindings=[binding(wanted)], requests=[standing])
        assert [type(step) for step in found.steps] == (
            [steps.DeleteRequest, steps.CreateRequest] if again else []
        )

    def test_a_failed_request_does_not_block(self, wanted: Wanted) -> None:
        standing = request(wanted, phase="Failed", name="old")
        first, second = done(wanted, bindings=[binding(wanted)], requests=[standing]).steps
        assert first == steps.DeleteRequest("old", "old-uid")
        assert isinstance(second, steps.CreateRequest)

    def test_a_request_that_failed_at_once_is_not_repeated_at_once(self, wanted: Wanted) -> None:
        refused = conditions.false("ExportsReady", "NotAllowed", "Error", "no")
        standing = request(wanted, phase="Failed", age=3, conditions=conditions.set_all([], [refused], NOW))
        found = done(wanted, bindings=[binding(wanted)], requests=[standing])
        assert (found.steps, found.after) == ((), LAG)
        assert told(found) == ("False", "NotAllowed", "Error")

    def test_a_failed_request_is_not_repeated_in_vain(self, wanted: Wanted) -> None:
        standing = request(wanted, phase="Failed")
        found = done(wanted, api(draft=NO_CRD), bindings=[binding(wanted)], requests=[standing])
        assert found.steps == ()
        assert told(found) == ("False", "CRDNotFound", "Error")

    def test_without_a_crd_it_is_asked_for_nevertheless(self, wanted: Wanted) -> None:
        assert len(done(wanted, api(draft=NO_CRD)).steps) == 2

    def test_what_can_never_be_exported_is_not_asked_for(self, wanted: Wanted) -> None:
        found = done(wanted, api(draft=NEVER), bindings=[binding(wanted)])
        assert found.steps == ()
        assert told(found) == ("False", "ScopeNotSupported", "Error")

    @pytest.mark.parametrize("exported", [True, False])
    def test_a_missing_template_is_said(self, wanted: Wanted, exported: bool) -> None:
        found = done(wanted, NOT_OFFERED, exports=[obj(str(KIND))] if exported else [])
        assert found.steps == ()
        assert told(found) == ("False", "TemplateNotFound", "Error")

    def test_a_template_that_vanished_between_two_looks(self, wanted: Wanted) -> None:
        assert told(done(wanted, Api(KIND, None, GOOD)))[1] == "TemplateNotFound"

    def test_one_api_in_trouble_does_not_stop_the_others(self, wanted: Wanted) -> None:
        found = done(
            wanted, NOT_OFFERED, Api(Kind("", "pods"), None, NEVER), api(OTHER, offered=choice("queues"))
        )
        assert [type(step) for step in found.steps] == [steps.CreateBinding, steps.CreateRequest]
        assert found.condition.message.startswith("databases.example.org: ")
        assert "and 1 more" in found.condition.message

    @pytest.mark.parametrize(
        "kind", [Kind("", "secrets"), Kind("apps", "deployments"), Kind(keys.GROUP, "x")]
    )
    def test_protected_groups(self, wanted: Wanted, kind: Kind) -> None:
        found = done(wanted, api(kind))
        assert (found.steps, found.condition.reason) == ((), "ProtectedGroup")

    def test_two_templates_of_one_name(self, wanted: Wanted) -> None:
        found = done(wanted, api(), api(OTHER, offered=choice(namespace="elsewhere")))
        first, second = [step.request for step in found.steps if isinstance(step, steps.CreateRequest)]
        assert meta.name(first) != meta.name(second)
        assert meta.name(second).startswith(meta.name(first))

    def test_an_export_on_its_way_out_is_waited_for(self, wanted: Wanted) -> None:
        found = done(wanted, bindings=[binding(wanted)], exports=[obj(str(KIND), deleting=True)])
        assert (found.steps, told(found)[1]) == ((), "Pending")


class TestRemoving:
    def test_in_order(self, wanted: Wanted) -> None:
        exports = [obj(str(KIND)), obj(str(OTHER))]
        bindings = [binding(wanted), binding(wanted, OTHER)]
        found = done(wanted, bindings=bindings, exports=exports, requests=[request(wanted, OTHER)])
        assert found.steps == (
            steps.DeleteRequest("r", "r-uid"),
            steps.DeleteBinding("queues.example.org", "queues.example.org-uid"),
        )

    def test_the_export_goes_when_the_binding_is_gone(self, wanted: Wanted) -> None:
        leaving = {**binding(wanted, OTHER), **obj(str(OTHER), wanted, deleting=True)}
        exports = [obj(str(KIND)), obj(str(OTHER))]
        assert done(wanted, bindings=[binding(wanted), leaving], exports=exports).steps == ()
        (last,) = done(wanted, bindings=[binding(wanted)], exports=exports).steps
        assert last == steps.DeleteExport("queues.example.org", "queues.example.org-uid")

    def test_what_a_person_made_stays(self, wanted: Wanted) -> None:
        foreign = {**binding(wanted, OTHER), **obj(str(OTHER))}
        found = done(
            wanted,
            bindings=[binding(wanted), foreign],
            exports=[obj(str(KIND)), obj(str(OTHER))],
            requests=[request(None, OTHER)],
        )
        assert found.steps == ()

    def test_what_is_going_already_is_left_alone(self, wanted: Wanted) -> None:
        leaving = {**request(wanted, OTHER), **obj("r", wanted, deleting=True)}
        gone = obj(str(OTHER), deleting=True)
        found = done(wanted, bindings=[binding(wanted)], exports=[obj(str(KIND)), gone], requests=[leaving])
        assert found.steps == ()


class TestRepairing:
    def patched(self, wanted: Wanted, present: Object, *apis: Api) -> Object:
        (step,) = done(wanted, *apis, bindings=[present], exports=[obj(str(KIND))]).steps
        assert isinstance(step, steps.PatchBinding)
        assert step.name == str(KIND)
        metadata = dict(step.patch["metadata"])
        assert (metadata.pop("uid"), metadata.pop("resourceVersion")) == (f"{KIND}-uid", "1")
        return {**step.patch, "metadata": metadata}

    def test_labels(self, wanted: Wanted) -> None:
        assert self.patched(wanted, {**binding(wanted), **obj(str(KIND))}) == {
            "metadata": {"labels": wanted.labels}
        }

    def test_a_binding_without_spec(self, wanted: Wanted) -> None:
        patch = self.patched(wanted, obj(str(KIND), wanted))
        assert patch["spec"] == {"kubeconfigSecretRef": objects.secret_ref(wanted)}

    def test_decisions_of_people_stay(self, wanted: Wanted) -> None:
        entry = {**CLAIM, "state": "Accepted"}
        present = binding(wanted, claims=[entry, {**CLAIM, "resource": "configmaps", "state": "Rejected"}])
        assert done(wanted, bindings=[present], exports=[obj(str(KIND))]).steps == ()

    def test_the_policy_accepts(self, wanted: Wanted) -> None:
        agreeing = replace(wanted, accept_claims="secrets")
        patch = self.patched(agreeing, binding(wanted))
        assert patch["spec"] == {"permissionClaims": [{**CLAIM, "state": "Accepted"}]}
        assert patch["metadata"]["annotations"][keys.ACCEPTED_BY_POLICY]

    def test_a_new_binding_carries_what_the_policy_accepts(self, wanted: Wanted) -> None:
        bind = done(replace(wanted, accept_claims="all")).steps[0]
        assert isinstance(bind, steps.CreateBinding)
        assert bind.binding["spec"]["permissionClaims"] == [{**CLAIM, "state": "Accepted"}]

    def test_the_policy_is_withdrawn(self, wanted: Wanted) -> None:
        bind = done(replace(wanted, accept_claims="all")).steps[0]
        assert isinstance(bind, steps.CreateBinding)
        present = {**bind.binding, "metadata": {**obj(str(KIND))["metadata"], **bind.binding["metadata"]}}
        assert self.patched(wanted, present) == {
            "metadata": {"annotations": {keys.ACCEPTED_BY_POLICY: None}},
            "spec": {"permissionClaims": []},
        }

    def test_without_a_template_decisions_stay(self, wanted: Wanted) -> None:
        present = binding(wanted, claims=[{**CLAIM, "state": "Accepted"}])
        agreeing = replace(wanted, accept_claims="all")
        assert done(agreeing, NOT_OFFERED, bindings=[present], exports=[obj(str(KIND))]).steps == ()

    def test_a_policy_that_cannot_be_read_changes_nothing_and_is_said(self, wanted: Wanted) -> None:
        present = binding(wanted, claims=[{**CLAIM, "state": "Accepted"}])
        found = done(replace(wanted, accept_claims="some!"), bindings=[present], exports=[obj(str(KIND))])
        assert found.steps == ()
        assert told(found) == ("False", "ClaimPolicyInvalid", "Error")
        assert keys.ACCEPT_CLAIMS in found.condition.message

    @pytest.mark.parametrize("text", ["secretz", "secrets,configmap"])
    def test_a_slip_of_the_pen_changes_nothing_and_is_said(self, wanted: Wanted, text: str) -> None:
        bind = done(replace(wanted, accept_claims="secrets")).steps[0]
        assert isinstance(bind, steps.CreateBinding)
        present = {**bind.binding, "metadata": {**obj(str(KIND))["metadata"], **bind.binding["metadata"]}}
        found = done(replace(wanted, accept_claims=text), bindings=[present], exports=[obj(str(KIND))])
        assert (found.steps, told(found)) == ((), ("False", "ClaimPolicyInvalid", "Error"))
        slip = text.rpartition(",")[2]
        assert f"{keys.ACCEPT_CLAIMS}: no claim on '{slip}'; claims can be on: configmaps, secrets" in (
            found.condition.message
        )

    def test_a_kind_that_is_not_claimed_yet_may_be_agreed_to(self, wanted: Wanted) -> None:
        """It is a standing word: a template that claims less one day is no reason to find fault with it."""
        found = done(replace(wanted, accept_claims="secrets,configmaps"), exports=[obj(str(KIND))])
        assert isinstance(found.steps[0], steps.CreateBinding)
        assert told(found)[0] == "True"

    def test_another_secret_cannot_be_repaired(self, wanted: Wanted) -> None:
        present = binding(
            wanted, spec={"kubeconfigSecretRef": {"name": "x", "key": "kubeconfig", "namespace": "y"}}
        )
        found = done(wanted, bindings=[present], exports=[obj(str(KIND))])
        assert (found.steps, told(found)) == ((), ("False", "BindingConflict", "Error"))

    def test_a_binding_on_its_way_out_is_waited_for(self, wanted: Wanted) -> None:
        present = {**binding(wanted), **obj(str(KIND), wanted, deleting=True)}
        found = done(wanted, bindings=[present], exports=[obj(str(KIND))])
        assert (found.steps, told(found)[1]) == ((), "Pending")
