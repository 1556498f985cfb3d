"""What a tenant may do, and what the backend may hand on. Whether an API server agrees is for integration."""

import pytest

from bind_agent.api import guards, keys
from bind_agent.backend import access, names
from bind_agent.backend.access import ExportNeeds, HeldRights, Kind

pytestmark = pytest.mark.unit

DATABASES = Kind("example.org", "databases")
SECRETS = Kind("", "secrets")
CNS = {"metadata": {"name": "cluster-a", "uid": "u1"}}


def held(*rules: tuple[str, str, str]) -> HeldRights:
    return HeldRights(
        tuple(
            {"apiGroups": [group], "resources": [plural], "verbs": verbs.split()}
            for group, plural, verbs in rules
        )
    )


EVERYTHING = held(("*", "*", "*"))
VERBS = " ".join(access.VERBS)


def export(**spec: object) -> dict[str, object]:
    return {
        "metadata": {"name": "databases.example.org"},
        "spec": {
            "group": "example.org",
            "names": {"plural": "databases"},
            "scope": "Namespaced",
            "informerScope": "Namespaced",
            **spec,
        },
    }


class TestNeeds:
    def test_exported_and_claimed_kinds(self) -> None:
        needs = access.needs_of(
            export(permissionClaims=[{"resource": "secrets"}, {"group": "", "resource": "secrets"}]),
            guards.CLAIMABLE,
        )
        assert needs == ExportNeeds(DATABASES, cluster_wide=False, claimed=frozenset({SECRETS}))
        assert needs.kinds == {DATABASES, SECRETS}

    @pytest.mark.parametrize(
        "claim", [{"resource": "pods"}, {"resource": "backups", "group": "example.org"}, 7]
    )
    def test_claims_beyond_the_allow_list_give_no_rights(self, claim: object) -> None:
        assert access.needs_of(export(permissionClaims=[claim]), guards.CLAIMABLE).claimed == frozenset()

    def test_more_kinds_are_claimable_when_allowed(self) -> None:
        claims = [{"resource": "backups", "group": "example.org"}]
        needs = access.needs_of(export(permissionClaims=claims), {"backups.example.org"})
        assert needs.claimed == {Kind("example.org", "backups")}

    @pytest.mark.parametrize("field", ["scope", "informerScope"])
    def test_cluster_scope_of_either_kind_is_cluster_wide(self, field: str) -> None:
        assert access.needs_of(export(**{field: "Cluster"}), ()).cluster_wide

    def test_a_malformed_export_needs_nothing_that_exists(self) -> None:
        assert access.needs_of({"spec": {"group": 3}}, ()).kinds == {Kind("", "")}


class TestRules:
    def test_sorted_and_without_doubles(self) -> None:
        rules = access.rules_for([SECRETS, DATABASES, SECRETS])
        assert [(rule["apiGroups"], rule["resources"]) for rule in rules] == [
            ([""], ["secrets"]),
            (["example.org"], ["databases"]),
        ]
        assert rules[0]["verbs"] == sorted(["get", "list", "watch", "update", "patch", "delete", "create"])

    def test_no_exports_no_rules(self) -> None:
        assert access.rules_for([]) == []


class TestHandingOn:
    def test_what_is_held_can_be_handed_on(self) -> None:
        rights = held(("example.org", "databases", VERBS))
        assert access.uncovered([DATABASES], rights) == []
        assert access.grantable([DATABASES, SECRETS], rights) == {DATABASES}

    def test_the_missing_verbs_are_named(self) -> None:
        rights = held(("", "secrets", "get list"), ("", "secrets", "watch"))
        (rule,) = access.uncovered([SECRETS], rights)
        assert rule["verbs"] == ["create", "delete", "patch", "update"]
        assert access.snippet([rule]) == "secrets [create, delete, patch, update]"

    def test_wildcards_cover(self) -> None:
        assert access.uncovered([DATABASES, SECRETS], EVERYTHING) == []

    def test_a_rule_for_some_names_covers_nothing(self) -> None:
        rule = {"apiGroups": [""], "resources": ["secrets"], "verbs": ["*"], "resourceNames": ["one"]}
        assert access.uncovered([SECRETS], HeldRights((rule,)))

    def test_malformed_rules_cover_nothing(self) -> None:
        assert access.uncovered([SECRETS], HeldRights(({"apiGroups": "*"},)))

    def test_nobody_is_accused_when_the_server_cannot_tell(self) -> None:
        assert access.uncovered([SECRETS], HeldRights((), complete=False)) == []

    def test_snippet_names_the_group(self) -> None:
        assert access.snippet(access.uncovered([DATABASES], held())).startswith(
            "databases.example.org [create"
        )

    def test_a_whole_role_is_covered_rule_by_rule(self) -> None:
        role = [{"apiGroups": ["", "example.org"], "resources": ["secrets"], "verbs": ["get"]}]
        assert access.covers(EVERYTHING, role)
        assert not access.covers(held(("", "secrets", "get")), role)
        assert access.covers(held(), [{}])


class TestObjects:
    def test_the_tenant_role_goes_with_the_tenant(self) -> None:
        role = access.tenant_role(CNS, [DATABASES])
        assert role["metadata"]["name"] == "klutch-binder-cluster-a"
        assert role["metadata"]["ownerReferences"] == [
            {"apiVersion": "v1", "kind": "Namespace", "name": "cluster-a", "uid": "u1", "controller": True}
        ]
        assert role["rules"] == access.rules_for([DATABASES])

    def test_cluster_wide_rights_have_a_role_of_their_own(self) -> None:
        role = access.cluster_wide_role(CNS, [DATABASES])
        binding = access.cluster_wide_binding(CNS)
        assert binding["metadata"]["name"] == "klutch-binder-cluster-a"
        assert binding["roleRef"]["name"] == role["metadata"]["name"] == "klutch-binder-cluster-a-cluster"

    def test_subject_is_the_tenants_account(self) -> None:
        binding = access.binder_binding("cluster-a-team", keys.dynamic_role("cluster-a"), "cluster-a")
        assert binding["metadata"] == {
            "name": "klutch-binder",
            "namespace": "cluster-a-team",
            "labels": {keys.MANAGED_BY: keys.MANAGER},
        }
        assert binding["subjects"] == [
            {"kind": "ServiceAccount", "name": "klutch-binder", "namespace": "cluster-a"}
        ]

    def test_the_backend_binds_its_small_role_to_itself(self) -> None:
        binding = access.backend_binding("cluster-a", ("ns", "sa"))
        assert binding["roleRef"]["name"] == names.BACKEND_TENANT_ROLE
        assert binding["subjects"] == [{"kind": "ServiceAccount", "namespace": "ns", "name": "sa"}]

    def test_the_role_beside_a_template_is_aggregated(self) -> None:
        role = access.export_role("databases.example.org", [DATABASES])
        assert role["metadata"]["labels"] == {"klutch.anynines.com/aggregate-to-backend": "true"}


class TestComparing:
    def test_equal_content_label_and_owner(self) -> None:
        wanted = access.tenant_role(CNS, [DATABASES])
        assert access.same_grant(wanted, wanted)

    def test_empty_rules_come_back_as_null(self) -> None:
        wanted = access.tenant_role(CNS, [])
        assert access.same_grant({**wanted, "rules": None}, wanted)

    @pytest.mark.parametrize("change", [{"rules": []}, {"metadata": {}}])
    def test_differences_count(self, change: dict[str, object]) -> None:
        wanted = access.tenant_role(CNS, [DATABASES])
        assert not access.same_grant({**wanted, **change}, wanted)

    def test_another_owner_is_a_difference(self) -> None:
        wanted = access.tenant_role(CNS, [DATABASES])
        other = access.tenant_role({"metadata": {"name": "cluster-a", "uid": "u2"}}, [DATABASES])
        assert not access.same_grant(other, wanted)

    def test_whose_a_cluster_role_is_says_its_controller(self) -> None:
        wanted = access.tenant_role(CNS, [])
        other = access.tenant_role({"metadata": {"name": "cluster-a", "uid": "u2"}}, [])
        assert not access.belongs_to_other(wanted, wanted)
        assert access.belongs_to_other(other, wanted)
        assert access.belongs_to_other({"metadata": {"name": "klutch-binder-cluster-a"}}, wanted)

    def test_whose_a_role_binding_is_says_its_role(self) -> None:
        wanted = access.binder_binding("ns", "role", "cluster-a")
        assert not access.belongs_to_other({**wanted, "subjects": []}, wanted)
        assert access.belongs_to_other({**wanted, "roleRef": {"name": "other"}}, wanted)
        assert access.belongs_to_other({}, wanted)
