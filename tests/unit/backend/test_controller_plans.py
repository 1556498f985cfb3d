"""Decisions of the controllers: heartbeat, request, export, service namespace. Shells are for integration."""

from datetime import UTC, datetime, timedelta
from typing import Any, Final

import pytest

from bind_agent.api import conditions, keys, meta
from bind_agent.api.conditions_catalogue import ConditionType
from bind_agent.api.conversion import spec_hash
from bind_agent.backend import exports, names, retirement
from bind_agent.backend.access import ExportNeeds, Kind, cluster_wide_role, tenant_role
from bind_agent.backend.controllers import export_plan, heartbeat_plan, request_plan
from bind_agent.backend.controllers import service_namespace_plan as sn
from bind_agent.backend.echo import Echo
from bind_agent.backend.exports import Draft, Problem
from bind_agent.backend.templates import Choice, choose, choose_for, selected_kind, selector

pytestmark = pytest.mark.unit

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
KIND = Kind("example.org", "databases")


def ago(**span: float) -> str:
    return conditions.timestamp(NOW - timedelta(**span))


class TestHeartbeat:
    @pytest.mark.parametrize(
        ("last", "interval", "reason", "after"),
        [
            (None, "5m0s", "FirstHeartbeatPending", None),
            ("soon", "5m0s", "FirstHeartbeatPending", None),
            (7, "5m0s", "FirstHeartbeatPending", None),
            (ago(seconds=1), None, "HeartbeatIntervalMissing", None),
            (ago(seconds=1), "0s", "HeartbeatIntervalMissing", None),
            (ago(seconds=1), "often", "HeartbeatIntervalMissing", None),
            (ago(seconds=1), "-5m", "HeartbeatIntervalMissing", None),
            (ago(seconds=1), "5m0s", "", timedelta(minutes=10)),
            (ago(minutes=10), "5m0s", "", timedelta(seconds=1)),
            (ago(minutes=10, seconds=1), "5m0s", "HeartbeatTimeout", None),
            (ago(seconds=-10), "5m0s", "", timedelta(minutes=10, seconds=11)),
            (ago(seconds=-11), "5m0s", "HeartbeatTimeDrift", timedelta(seconds=1)),
        ],
    )
    def test_verdicts(self, last: object, interval: object, reason: str, after: timedelta | None) -> None:
        health = heartbeat_plan.judge({"lastHeartbeatTime": last, "heartbeatInterval": interval}, NOW)
        assert (health.condition.type, health.condition.reason, health.after) == ("Healthy", reason, after)
        assert (health.condition.status == "True") is (reason == "")

    def test_severities_of_the_catalogue(self) -> None:
        def severity(last: str, interval: str) -> str:
            status = {"lastHeartbeatTime": last, "heartbeatInterval": interval}
            return heartbeat_plan.judge(status, NOW).condition.severity

        assert severity("", "") == "Info"
        assert severity(ago(hours=1), "1m") == "Error"
        assert severity(ago(hours=-1), "1m") == "Warning"

    def test_an_interval_of_years_is_not_believed(self) -> None:
        status = {"lastHeartbeatTime": ago(days=15), "heartbeatInterval": "999999h"}
        assert heartbeat_plan.judge(status, NOW).condition.reason == "HeartbeatTimeout"


def request(phase: str = "", *, age: timedelta = timedelta(0), resources: object = None) -> dict[str, Any]:
    return {
        "metadata": {"name": "r", "creationTimestamp": conditions.timestamp(NOW - age)},
        "spec": {
            "resources": [{"group": "example.org", "resource": "databases"}]
            if resources is None
            else resources
        },
        **({"status": {"phase": phase}} if phase else {}),
    }


MISSING = Problem("CRDNotFound", "no CRD")
NEVER = Problem("ProtectedGroup", "core", final=True)


class TestRequest:
    def decide(self, obj: dict[str, Any], *problems: Problem) -> request_plan.Decision:
        return request_plan.decide(obj, problems, now=NOW)

    def test_everything_exported_succeeds(self) -> None:
        decision = self.decide(request())
        assert decision.status["phase"] == "Succeeded"
        assert [one["type"] for one in decision.status["conditions"]] == ["Ready", "ExportsReady"]
        assert decision.after == timedelta(minutes=10, seconds=1)

    def test_an_export_whose_rights_are_undecided_is_waited_for(self) -> None:
        """Who binds at once would else see a ready binding with which nothing works."""
        wait = request_plan.decide(request(age=timedelta(seconds=20)), [], waiting=[KIND], now=NOW)
        assert wait.status["phase"] == "Pending"
        ready = wait.status["conditions"][0]
        assert (ready["status"], ready["severity"], ready["reason"]) == ("False", "Info", "Pending")
        assert "databases.example.org" in ready["message"]
        assert wait.after == timedelta(seconds=41)

    def test_but_not_for_longer_than_a_minute(self) -> None:
        """The exports are there, which is all that `Succeeded` promises on the wire."""
        late = request_plan.decide(request(age=timedelta(seconds=61)), [], waiting=[KIND], now=NOW)
        assert late.status["phase"] == "Succeeded"

    def test_a_problem_is_told_before_a_wait(self) -> None:
        both = request_plan.decide(request(), [MISSING], waiting=[KIND], now=NOW)
        assert both.status["conditions"][0]["reason"] == "CRDNotFound"

    def test_an_ended_request_waits_for_nothing(self) -> None:
        ended = request_plan.decide(request("Succeeded"), [], waiting=[KIND], now=NOW)
        assert ended.status == {"phase": "Succeeded"}

    @pytest.mark.parametrize(
        ("export", "decided"),
        [
            (None, False),
            ({}, False),
            ({"status": {"conditions": [{"type": "AccessGranted", "status": "True"}]}}, True),
            ({"status": {"conditions": [{"type": "AccessGranted", "status": "False"}]}}, True),
            ({"status": {"conditions": [{"type": "ProviderInSync", "status": "True"}]}}, False),
        ],
    )
    def test_rights_are_decided_when_the_export_says_so(self, export: Any, decided: bool) -> None:
        assert request_plan.is_decided(export) is decided

    def test_a_problem_waits_for_a_minute(self) -> None:
        decision = self.decide(request("Pending", age=timedelta(seconds=20)), MISSING)
        assert decision.status["phase"] == "Pending"
        assert decision.status["conditions"][0]["reason"] == "CRDNotFound"
        assert decision.status["conditions"][0]["severity"] == "Error"
        assert decision.after == timedelta(seconds=41)

    def test_and_fails_after_it(self) -> None:
        decision = self.decide(request(age=timedelta(seconds=61)), MISSING)
        assert (decision.status["phase"], decision.status["terminalMessage"]) == ("Failed", "no CRD")

    def test_what_cannot_be_cured_fails_at_once(self) -> None:
        decision = self.decide(request(), MISSING, NEVER)
        assert (decision.status["phase"], decision.status["terminalMessage"]) == ("Failed", "core")

    @pytest.mark.parametrize("phase", ["Failed", "Succeeded"])
    def test_ended_requests_stay_ten_minutes(self, phase: str) -> None:
        young = self.decide(request(phase, age=timedelta(minutes=10)), MISSING)
        assert (young.delete, young.status, young.after) == (False, {"phase": phase}, timedelta(seconds=1))
        old = self.decide(request(phase, age=timedelta(minutes=10, seconds=1)))
        assert (old.delete, old.after) == (True, None)

    def test_an_old_pending_request_is_not_removed(self) -> None:
        assert not self.decide(request(age=timedelta(hours=1))).delete

    def test_without_a_creation_time_it_is_new(self) -> None:
        assert self.decide({"metadata": {}, "status": 3}, MISSING).status["phase"] == "Pending"

    @pytest.mark.parametrize(
        ("resources", "kinds"),
        [
            ([{"group": "a", "resource": "b"}, {"group": "a", "resource": "b"}], [Kind("a", "b")]),
            ([{"resource": "pods"}, 3], [Kind("", "pods")]),
            ("x", []),
        ],
    )
    def test_resources_each_once(self, resources: object, kinds: list[Kind]) -> None:
        assert request_plan.resources(request(resources=resources)) == kinds

    def test_malformed_requests_ask_for_nothing(self) -> None:
        assert request_plan.resources({"spec": 1}) == []
        assert request_plan.phase({"status": 1}) == "Pending"


def crd(**spec: Any) -> dict[str, Any]:
    version = {
        "name": "v1",
        "served": True,
        "storage": True,
        "schema": {"openAPIV3Schema": {"type": "object"}},
    }
    return {
        "metadata": {"name": "databases.example.org", "uid": "u", "generation": 1},
        "spec": {
            "group": "example.org",
            "names": {"plural": "databases", "kind": "Database"},
            "scope": "Namespaced",
            "versions": [version, {**version, "name": "v2", "storage": False}],
            **spec,
        },
    }


def template(name: str = "t", born: str = "2026-01-01T00:00:00Z", **spec: Any) -> dict[str, Any]:
    chosen = {"group": "example.org", "resource": "databases", **spec.pop("selector", {})}
    return {
        "metadata": {"name": name, "namespace": "default", "creationTimestamp": born},
        "spec": {"APIServiceSelector": chosen, **spec},
    }


SECRETS = {
    "group": "",
    "resource": "secrets",
    "version": "v1",
    "selector": {"names": ["*"], "namespaces": []},
}


class TestTemplates:
    def test_the_oldest_counts_and_the_others_are_known(self) -> None:
        old, new = template("z"), template("a", "2026-02-01T00:00:00Z")
        choice = choose([new, old])
        assert choice == Choice(old, (new,))
        assert choice == choose([old, new])

    def test_equal_age_is_decided_by_name(self) -> None:
        assert choose([template("b"), template("a")]) == Choice(template("a"), (template("b"),))

    def test_several_are_ambiguous_for_something_new(self) -> None:
        old, new = template("z"), template("a", "2026-02-01T00:00:00Z")
        found = choose([new, old])
        assert found is not None
        assert found.ambiguous
        assert found.all_keys == "default/z and default/a"
        problem = exports.draft(KIND, crd(), found, exports.Policy())
        assert isinstance(problem, Problem)
        assert (problem.reason, problem.final) == ("TemplateAmbiguous", False)
        assert "default/z and default/a" in problem.message

    @pytest.mark.parametrize(
        ("noted", "present", "chosen", "ambiguous"),
        [
            ("default/a", ["a"], "a", False),
            ("default/b", ["a", "b"], "b", False),
            ("", ["a", "b"], "a", False),
            ("default/gone", ["b"], "b", False),
            ("default/gone", ["a", "b"], "a", True),
            ("default/gone", [], "", False),
        ],
        ids=["own", "own-of-several", "unnoted", "the-one-left", "several-left", "none-left"],
    )
    def test_an_export_keeps_its_template(
        self, noted: str, present: list[str], chosen: str, ambiguous: bool
    ) -> None:
        export = {"metadata": {"annotations": {names.TEMPLATE: noted} if noted else {}}}
        found = choose_for(export, [template(name) for name in present])
        if not chosen:
            assert found is None
            return
        assert found is not None
        assert (found.key, found.ambiguous) == (f"default/{chosen}", ambiguous)
        assert len(found.shadowed) == len(present) - 1

    def test_deleted_ones_are_left_out(self) -> None:
        gone = template()
        gone["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
        assert choose([gone]) is None

    def test_reading(self) -> None:
        choice = Choice(template(permissionClaims=[SECRETS, 3], selector={"version": "v2"}))
        assert (choice.claims, choice.version) == ([SECRETS], "v2")
        assert selected_kind(choice.template) == KIND

    @pytest.mark.parametrize(
        "broken", [{}, {"spec": 1}, {"spec": {"APIServiceSelector": 1, "permissionClaims": 1}}]
    )
    def test_malformed_templates_select_nothing(self, broken: dict[str, Any]) -> None:
        assert (Choice(broken).claims, Choice(broken).version) == ([], "")
        assert selector(broken) == {}
        assert selected_kind({"spec": {"APIServiceSelector": {"group": 3}}}) == Kind("", "")


class TestDraft:
    def draft(
        self,
        *,
        kind: Kind = KIND,
        found: Any = "crd",
        offered: Any = "template",
        policy: exports.Policy | None = None,
    ) -> Draft | Problem:
        found = crd() if found == "crd" else found
        choice = Choice(template()) if offered == "template" else offered
        return exports.draft(kind, found, choice, policy or exports.Policy())

    def test_a_new_export(self) -> None:
        wanted = self.draft(offered=Choice(template(permissionClaims=[SECRETS])))
        assert isinstance(wanted, Draft)
        export = exports.new_export("cluster-a", wanted)
        assert export["metadata"] == {
            "name": "databases.example.org",
            "namespace": "cluster-a",
            "annotations": {keys.SOURCE_SPEC_HASH: spec_hash(wanted.part), names.TEMPLATE: "default/t"},
        }
        assert export["spec"]["informerScope"] == "Namespaced"
        assert export["spec"]["permissionClaims"] == [SECRETS]
        assert "clusterScopedIsolation" not in export["spec"]

    def test_cluster_scoped(self) -> None:
        wanted = self.draft(found=crd(scope="Cluster"), policy=exports.Policy("Cluster", "None"))
        assert isinstance(wanted, Draft)
        assert (wanted.spec["informerScope"], wanted.spec["clusterScopedIsolation"]) == ("Cluster", "None")

    def test_the_templates_version_alone(self) -> None:
        wanted = self.draft(offered=Choice(template(selector={"version": "v2"})))
        assert isinstance(wanted, Draft)
        assert [(one["name"], one["storage"]) for one in wanted.spec["versions"]] == [("v2", True)]
        marks = meta.annotations(exports.new_export("cluster-a", wanted))
        assert marks[names.VERSIONS] == names.VERSIONS_OF_TEMPLATE
        assert marks[keys.SOURCE_SPEC_HASH] != spec_hash(wanted.part)

    @pytest.mark.parametrize(
        ("given", "reason", "final"),
        [
            ({"kind": Kind("", "pods")}, "ProtectedGroup", True),
            ({"kind": Kind("apps", "deployments")}, "ProtectedGroup", True),
            ({"kind": Kind("storage.k8s.io", "x")}, "ProtectedGroup", True),
            ({"kind": Kind("klutch.anynines.com", "clusterbindings")}, "ProtectedGroup", True),
            ({"found": None}, "CRDNotFound", False),
            ({"offered": None}, "TemplateNotFound", False),
            ({"found": crd(scope="Cluster")}, "ScopeNotSupported", True),
            ({"found": crd(versions=[])}, "CRDInvalid", False),
            ({"offered": Choice(template(selector={"version": "v9"}))}, "TemplateInvalid", False),
            (
                {"offered": Choice(template(permissionClaims=[{**SECRETS, "resource": "pods"}]))},
                "ClaimRefused",
                False,
            ),
            ({"offered": Choice(template(permissionClaims=[{"resource": 1}]))}, "TemplateInvalid", False),
        ],
    )
    def test_problems(self, given: dict[str, Any], reason: str, final: bool) -> None:
        problem = self.draft(**given)
        assert isinstance(problem, Problem)
        assert (problem.reason, problem.final) == (reason, final)
        assert problem.message

    def test_a_megabyte_of_schema(self) -> None:
        big = {"type": "object", "description": "x" * 1_100_000}
        version = {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": big}}
        problem = self.draft(found=crd(versions=[version]))
        assert isinstance(problem, Problem)
        assert problem.reason == "CRDInvalid"
        assert "bytes" in problem.message

    def test_an_unserved_storage_version(self) -> None:
        version = {
            "name": "v1",
            "served": False,
            "storage": True,
            "schema": {"openAPIV3Schema": {"type": "object"}},
        }
        other = {**version, "name": "v2", "served": True, "storage": False}
        problem = self.draft(found=crd(versions=[version, other]))
        assert isinstance(problem, Problem)
        assert problem.reason == "CRDInvalid"


def wanted_draft(**given: Any) -> Draft:
    wanted = exports.draft(KIND, crd(), Choice(template(**given)), exports.Policy())
    assert isinstance(wanted, Draft)
    return wanted


class TestRevision:
    def test_an_equal_export_is_left_alone(self) -> None:
        wanted = wanted_draft()
        assert exports.revised(exports.new_export("ns", wanted), wanted) is None

    def test_claims_of_a_changed_template_arrive(self) -> None:
        export = exports.new_export("ns", wanted_draft())
        changed = exports.revised(export, wanted_draft(permissionClaims=[SECRETS]))
        assert isinstance(changed, dict)
        assert changed["spec"]["permissionClaims"] == [SECRETS]

    def test_withdrawn_claims_leave(self) -> None:
        export = exports.new_export("ns", wanted_draft(permissionClaims=[SECRETS]))
        changed = exports.revised(export, wanted_draft())
        assert isinstance(changed, dict)
        assert "permissionClaims" not in changed["spec"]

    def test_informer_scope_and_foreign_annotations_stay(self) -> None:
        export = exports.new_export("ns", wanted_draft())
        export["spec"] = {**export["spec"], "informerScope": "Cluster", "clusterScopedIsolation": "None"}
        export["metadata"]["annotations"] = {"other": "x"}
        changed = exports.revised(export, wanted_draft())
        assert isinstance(changed, dict)
        assert changed["spec"]["informerScope"] == "Cluster"
        assert "clusterScopedIsolation" not in changed["spec"]
        assert set(changed["metadata"]["annotations"]) == {
            "other",
            keys.SOURCE_SPEC_HASH,
            names.TEMPLATE,
            names.VERSIONS,
        }

    def test_a_scope_that_changed_cannot_be_followed(self) -> None:
        wide = exports.draft(KIND, crd(scope="Cluster"), Choice(template()), exports.Policy("Cluster"))
        assert isinstance(wide, Draft)
        problem = exports.revised(exports.new_export("ns", wanted_draft()), wide)
        assert isinstance(problem, Problem)
        assert exports.revised(exports.new_export("ns", wide), wide) is None

    def test_a_malformed_export_is_put_right(self) -> None:
        assert isinstance(exports.revised({"metadata": {"name": "x"}, "spec": 1}, wanted_draft()), dict)


class TestExport:
    export = exports.new_export("ns", wanted_draft())
    granted = conditions.true(names.ACCESS_GRANTED)

    def decide(self, wanted: Draft | Problem, granted: conditions.Condition | None) -> export_plan.Decision:
        return export_plan.decide(self.export, wanted, granted, now=NOW)

    def test_in_sync(self) -> None:
        decision = self.decide(wanted_draft(), self.granted)
        assert (decision.write, decision.after) == (None, None)
        assert conditions.is_true(decision.status["conditions"], ConditionType.READY)

    def test_spec_first_status_later(self) -> None:
        decision = self.decide(wanted_draft(permissionClaims=[SECRETS]), self.granted)
        assert decision.write is not None
        assert decision.status == {}

    @pytest.mark.parametrize(
        ("problem", "reason", "severity"),
        [
            (Problem("CRDInvalid", "m"), "CustomResourceDefinitionUpdateFailed", "Error"),
            (Problem("TemplateNotFound", "m"), "TemplateNotFound", "Warning"),
            (Problem("ClaimRefused", "m"), "ClaimRefused", "Error"),
        ],
    )
    def test_problems_leave_the_spec_alone(self, problem: Problem, reason: str, severity: str) -> None:
        decision = self.decide(problem, None)
        found = conditions.get(decision.status["conditions"], ConditionType.PROVIDER_IN_SYNC)
        assert decision.write is None
        assert found is not None
        assert (found.reason, found.severity) == (reason, severity)

    def test_missing_rights_are_asked_for_again(self) -> None:
        rules = [{"apiGroups": [""], "resources": ["secrets"], "verbs": ["get"]}]
        refused = export_plan.refused(self.export, rules)
        assert "bind-backend rbac databases.example.org" in refused.message
        assert "secrets [get]" in refused.message
        soon = timedelta(seconds=5)
        assert export_plan.decide(self.export, wanted_draft(), refused, again=soon, now=NOW).after == soon

    def test_conditions_of_others_stay(self) -> None:
        theirs = {"type": "Connected", "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z"}
        export = {**self.export, "status": {"conditions": [theirs], "storedVersions": ["v1"]}}
        decision = export_plan.decide(export, wanted_draft(), None, now=NOW)
        assert theirs in decision.status["conditions"]
        assert decision.status["storedVersions"] == ["v1"]

    def test_passing_conditions_come_and_go_and_leave_ready_alone_where_they_warn(self) -> None:
        plan = retirement.Planned(NOW + timedelta(days=3), "moving")
        retiring = retirement.announcement("databases.example.org", plan)
        decision = export_plan.decide(self.export, wanted_draft(), self.granted, told=[retiring], now=NOW)
        found = decision.status["conditions"]
        assert conditions.is_true(found, ConditionType.RETIRING)
        assert conditions.is_true(found, ConditionType.READY)
        denied = export_plan.not_allowed("the account a may not")
        export = {**self.export, "status": {"conditions": found}}
        decision = export_plan.decide(export, wanted_draft(), self.granted, told=[denied], now=NOW)
        found = decision.status["conditions"]
        assert conditions.get(found, ConditionType.RETIRING) is None
        ready = conditions.get(found, ConditionType.READY)
        assert ready is not None
        assert (ready.status, ready.reason) == ("False", "NotAllowed")
        export = {**self.export, "status": {"conditions": found}}
        decision = export_plan.decide(export, wanted_draft(), self.granted, now=NOW)
        assert conditions.get(decision.status["conditions"], names.ALLOWED) is None
        assert conditions.is_true(decision.status["conditions"], ConditionType.READY)

    def test_a_selected_version_that_is_not_served_warns_and_leaves_ready_alone(self) -> None:
        export = self.export
        problem = exports.draft(KIND, crd(), Choice(template(selector={"version": "v9"})), exports.Policy())
        assert isinstance(problem, Problem)
        decision = export_plan.decide(export, problem, self.granted, now=NOW)
        found = decision.status["conditions"]
        warned = conditions.get(found, names.VERSION_NOT_SERVED)
        assert decision.write is None
        assert warned is not None
        assert (warned.status, warned.reason) == ("True", "TemplateInvalid")
        assert "v9" in warned.message
        assert conditions.is_true(found, ConditionType.PROVIDER_IN_SYNC)
        assert conditions.is_true(found, ConditionType.READY)
        export = {**export, "status": {"conditions": found}}
        assert export_plan.decide(export, problem, self.granted, now=NOW).status == export["status"]
        healed = export_plan.decide(export, wanted_draft(), self.granted, now=NOW).status["conditions"]
        assert conditions.get(healed, names.VERSION_NOT_SERVED) is None

    def test_overlay(self) -> None:
        assert "cluster-scope" in export_plan.needs_overlay(self.export).message

    def test_roles_that_give_everything_need_no_question(self) -> None:
        cns = {"metadata": {"name": "c", "uid": "u"}}
        needs = ExportNeeds(KIND, cluster_wide=False, claimed=frozenset())
        wide = ExportNeeds(KIND, cluster_wide=True, claimed=frozenset())
        role, wide_role = tenant_role(cns, [KIND]), cluster_wide_role(cns, [KIND])
        assert export_plan.has_all(needs, role, None)
        assert not export_plan.has_all(needs, None, None)
        assert not export_plan.has_all(needs, {"rules": None}, None)
        assert not export_plan.has_all(wide, role, None)
        assert export_plan.has_all(wide, role, wide_role)


RECORD = "cluster-a/team"


def namespace(name: str = "cluster-a-team", record: str = RECORD, **more: Any) -> dict[str, Any]:
    marks = {keys.API_SERVICE_NAMESPACE: record} if record else {}
    return {
        "metadata": {
            "name": name,
            "uid": f"uid-{name}",
            "creationTimestamp": "2026-02-01T00:00:00Z",
            "annotations": marks,
            **more,
        }
    }


GOING = {"deletionTimestamp": "2026-03-01T00:00:00Z"}


def mapping(status: str = "", *, held: bool = True, **more: Any) -> dict[str, Any]:
    finalizers = [keys.SERVICE_NAMESPACE_FINALIZER] if held else []
    return {
        "metadata": {"name": "team", "namespace": "cluster-a", "finalizers": finalizers, **more},
        "status": {"namespace": status} if status else {},
    }


def seen(found: dict[str, Any] | None, *namespaces: dict[str, Any], **more: Any) -> sn.Observed:
    settings: dict[str, Any] = {"kind_since": "2026-01-01T00:00:00Z", "name": "team", **more}
    return sn.Observed(
        cluster_namespace="cluster-a",
        mapping=found,
        recorded=[
            one
            for one in namespaces
            if one["metadata"]["annotations"].get(keys.API_SERVICE_NAMESPACE) == RECORD
        ],
        by_name={one["metadata"]["name"]: one for one in namespaces},
        **settings,
    )


class TestServiceNamespace:
    @pytest.mark.parametrize(
        ("observed", "steps"),
        [
            pytest.param(seen(mapping(held=False)), (sn.AddFinalizer(),), id="held before anything is made"),
            pytest.param(
                seen(mapping()),
                (
                    sn.CreateNamespace("cluster-a-team"),
                    sn.BindTenant("cluster-a-team"),
                    sn.SetStatus("cluster-a-team"),
                ),
                id="new",
            ),
            pytest.param(
                seen(mapping("cluster-a-team"), namespace()),
                (sn.BindTenant("cluster-a-team"), sn.SetStatus("cluster-a-team")),
                id="converged",
            ),
            pytest.param(
                seen(mapping(), namespace("elsewhere")),
                (sn.BindTenant("elsewhere"), sn.SetStatus("elsewhere")),
                id="a recorded namespace is found under any name",
            ),
            pytest.param(
                seen(mapping("gone")),
                (sn.CreateNamespace("gone"), sn.BindTenant("gone"), sn.SetStatus("gone")),
                id="the mapping of a live object never changes",
            ),
            pytest.param(
                seen(mapping(), namespace(**GOING)), (sn.Wait(sn.WAIT),), id="the earlier one has to go first"
            ),
            pytest.param(
                seen(mapping(**GOING), namespace()),
                (sn.DeleteNamespace("cluster-a-team", "uid-cluster-a-team"), sn.Wait(sn.WAIT)),
                id="deleted with its mapping",
            ),
            pytest.param(seen(mapping(**GOING), namespace(**GOING)), (sn.Wait(sn.WAIT),), id="on its way"),
            pytest.param(seen(mapping(**GOING)), (sn.ReleaseFinalizer(),), id="gone, so the mapping may go"),
            pytest.param(
                seen(mapping(**GOING), namespace(record="")),
                (sn.ReleaseFinalizer(),),
                id="a foreign namespace of that name survives",
            ),
            pytest.param(seen(mapping(held=False, **GOING)), (), id="not held, nothing there"),
            pytest.param(
                seen(None, namespace()),
                (sn.DeleteNamespace("cluster-a-team", "uid-cluster-a-team"),),
                id="the mapping was deleted while nobody looked",
            ),
            pytest.param(seen(None), (), id="nothing there"),
            pytest.param(seen(None, namespace(**GOING)), (), id="already deleting"),
        ],
    )
    def test_steps(self, observed: sn.Observed, steps: tuple[sn.Step, ...]) -> None:
        assert sn.plan(observed) == steps

    @pytest.mark.parametrize("record", ["", "cluster/a-team"])
    def test_a_foreign_namespace_is_not_taken_over(self, record: str) -> None:
        create, bind, tell = sn.plan(seen(mapping(), namespace(record=record)))
        assert isinstance(create, sn.CreateNamespace)
        assert create.name != "cluster-a-team"
        assert (bind, tell) == (sn.BindTenant(create.name), sn.SetStatus(create.name))

    def test_a_foreign_namespace_that_the_status_names_is_refused(self) -> None:
        (step,) = sn.plan(seen(mapping("cluster-a-team"), namespace(record="")))
        assert isinstance(step, sn.Refuse)
        assert f"{keys.API_SERVICE_NAMESPACE}={RECORD}" in step.message

    def test_when_others_have_all_names_a_person_decides(self) -> None:
        taken = [namespace(name, record="") for name in sn.candidates("cluster-a", "team", None)]
        (step,) = sn.plan(seen(mapping(), *taken))
        assert isinstance(step, sn.Refuse)
        assert step.reason == sn.NAMESPACE_CONFLICT

    def test_names_that_no_namespace_can_have(self) -> None:
        (step,) = sn.plan(seen(mapping(), name="a.b"))
        assert isinstance(step, sn.Refuse)
        assert step.reason == sn.NAMESPACE_INVALID

    @pytest.mark.parametrize(
        "observed",
        [
            pytest.param(
                seen(None, namespace(), kind_since="2026-02-02T00:00:00Z"), id="the kind is younger"
            ),
            pytest.param(seen(None, namespace(), kind_since=""), id="the kind is unknown"),
            pytest.param(seen(None, namespace(creationTimestamp="")), id="the age is unknown"),
            pytest.param(
                seen(mapping(held=False, **GOING), namespace(), kind_leaving=True), id="the kind is leaving"
            ),
        ],
    )
    def test_losing_all_mappings_at_once_deletes_nothing(self, observed: sn.Observed) -> None:
        (step,) = sn.plan(observed)
        assert isinstance(step, sn.Refuse)
        assert step.reason == sn.RECORD_LOST
        assert "cluster-a-team" in step.message

    def test_a_leaving_kind_is_not_held_up(self) -> None:
        steps = sn.plan(seen(mapping(**GOING), namespace(), kind_leaving=True))
        assert steps[0] == sn.ReleaseFinalizer()
        assert sn.plan(seen(mapping(**GOING), kind_leaving=True)) == (sn.ReleaseFinalizer(),)

    def test_candidates_begin_with_the_assigned_one(self) -> None:
        assert sn.candidates("cluster-a", "team", mapping("x"))[0] == "x"
        usual = sn.candidates("cluster-a", "team", None)
        assert sn.candidates("cluster-a", "team", mapping(usual[0])) == usual

    def test_malformed_status_assigns_nothing(self) -> None:
        assert sn.assigned({"status": 1}) == sn.assigned({"status": {"namespace": 1}}) == ""

    def test_pairs_that_concatenate_alike_do_not_meet(self) -> None:
        other = namespace("a-b-c", record="a-b/c")
        observed = sn.Observed("a", "b-c", mapping(), [], {"a-b-c": other}, "2026-01-01T00:00:00Z")
        create = sn.plan(observed)[0]
        assert isinstance(create, sn.CreateNamespace)
        assert create.name != "a-b-c"


class TestEcho:
    old: Final = {"metadata": {"uid": "u", "resourceVersion": "1"}}
    new: Final = {"metadata": {"uid": "u", "resourceVersion": "2"}}

    def test_pending_until_the_new_state_is_seen(self) -> None:
        echo = Echo()
        assert not echo.pending("k", self.old)
        echo.written("k", self.old, self.new)
        assert echo.pending("k", self.old)
        assert not echo.pending("k", self.new)
        assert not echo.pending("k", self.old)

    def test_a_write_without_effect_has_none(self) -> None:
        echo = Echo()
        echo.written("k", self.old, self.old)
        assert not echo.pending("k", self.old)

    def test_deletion_ends_it(self) -> None:
        echo = Echo()
        echo.written("k", self.old, self.new)
        assert not echo.pending("k", None)
