"""The objects of a root namespace (spec 5.3), and that the shipped rights fit them."""

from typing import Any

import pytest

from bind_agent.api import keys, meta
from bind_agent.backend import access, names, roots
from bind_agent.backend.access import Kind
from bind_agent.backend.controlplane import objects
from bind_agent.backend.controlplane.model import Wanted
from bind_agent.manifests import load_manifests

pytestmark = pytest.mark.unit

ROOT = {"metadata": {"name": "klutch-bind-team-prod", "uid": "root-uid"}}


def test_the_namespace_says_whose_it_is(wanted: Wanted) -> None:
    found = objects.root_namespace(wanted)
    assert roots.owner(found) == "team/prod"
    assert meta.labels(found)["pod-security.kubernetes.io/enforce"] == "restricted"


def test_the_backends_own_access_is_bound_in_the_root_namespace(wanted: Wanted) -> None:
    found = objects.backend_binding(wanted, ("own", "backend"))
    assert (meta.namespace(found), found["roleRef"]["name"]) == (wanted.root, names.BACKEND_ROOT_ROLE)
    assert found["subjects"] == [{"kind": "ServiceAccount", "namespace": "own", "name": "backend"}]
    assert "ownerReferences" not in found["metadata"]


def test_only_the_referenced_key_is_mirrored(wanted: Wanted) -> None:
    found = objects.mirror(wanted, {"type": "x/y", "data": {"kubeconfig": "YQ==", "other": "Yg=="}})
    assert (found["data"], found["type"]) == ({"kubeconfig": "YQ=="}, "x/y")
    assert meta.labels(found) == wanted.labels
    assert objects.mirror(wanted, {"data": {"kubeconfig": "YQ=="}})["type"] == "Opaque"


def test_the_role_is_owned_by_its_own_namespace(wanted: Wanted) -> None:
    # An AppClusterBinding of another namespace as owner would have the garbage collector delete it.
    for found in (objects.connector_role(wanted, ROOT), objects.connector_binding(wanted, ROOT)):
        assert meta.name(found) == "control-plane-connector"
        (owner,) = meta.owner_references(found)
        assert (owner["kind"], owner["uid"]) == ("Namespace", "root-uid")
        assert wanted.labels.items() <= meta.labels(found).items()


def test_the_connectors_rights_are_those_of_the_wire() -> None:
    every = {"create", "delete", "get", "list", "patch", "update", "watch"}
    found = {rule["resources"][0]: set(rule["verbs"]) for rule in objects.connector_rules()}
    assert found == {
        "apiservicebindings": every,
        "apiservicebindings/status": {"patch", "update"},
        "leases": every,
    }


def test_the_shipped_role_covers_what_is_handed_on() -> None:
    (role,) = load_manifests("backend/control-plane-mode/root.yaml")
    assert role["metadata"]["name"] == names.BACKEND_ROOT_ROLE
    held = access.HeldRights(tuple(role["rules"]))
    assert access.covers(held, objects.connector_rules())


def test_only_health_and_metrics_are_reachable(wanted: Wanted) -> None:
    (shipped,) = load_manifests("konnector/networkpolicy.yaml")
    found = objects.network_policy(shipped, wanted)
    assert (meta.name(found), meta.namespace(found)) == ("konnector", wanted.root)
    assert found["spec"]["podSelector"] == {"matchLabels": {"app": "konnector"}}
    assert found["spec"]["ingress"] == [{"ports": [{"port": 8080, "protocol": "TCP"}]}]


def test_bindings(wanted: Wanted) -> None:
    kind = Kind("example.org", "databases")
    found = objects.binding(wanted, kind, [{"resource": "secrets"}], "h")
    assert (meta.name(found), meta.namespace(found)) == ("databases.example.org", wanted.root)
    assert found["spec"]["kubeconfigSecretRef"] == {
        "name": "app",
        "key": "kubeconfig",
        "namespace": wanted.root,
    }
    assert found["spec"]["permissionClaims"] == [{"resource": "secrets"}]
    assert meta.annotation(found, keys.ACCEPTED_BY_POLICY) == "h"
    bare = objects.binding(wanted, Kind("", "secrets"), (), "")
    assert (meta.name(bare), "permissionClaims" in bare["spec"]) == ("secrets", False)
    assert not meta.annotations(bare)


def test_requests(wanted: Wanted) -> None:
    found = objects.request(wanted, "r", Kind("example.org", "databases"), [{"resource": "secrets"}])
    assert meta.labels(found) == wanted.labels
    assert found["spec"]["resources"] == [
        {"group": "example.org", "resource": "databases", "permissionClaims": [{"resource": "secrets"}]}
    ]
    bare = objects.request(wanted, "r", Kind("example.org", "databases"), ())
    assert bare["spec"]["resources"] == [{"group": "example.org", "resource": "databases"}]


class TestComparing:
    @pytest.fixture(autouse=True)
    def _objects(self, wanted: Wanted) -> None:
        self.wanted = objects.connector_role(wanted, ROOT)

    def same(self, **changes: Any) -> bool:
        return objects.same_content({**self.wanted, **changes}, self.wanted, "rules")

    def test_equal(self) -> None:
        metadata = {**self.wanted["metadata"], "labels": {**meta.labels(self.wanted), "more": "x"}}
        assert self.same(metadata=metadata)

    def test_different(self) -> None:
        metadata = self.wanted["metadata"]
        assert not self.same(rules=[])
        assert not self.same(metadata={**metadata, "labels": {}})
        assert not self.same(metadata={**metadata, "ownerReferences": []})

    def test_repairing_keeps_what_is_not_ours(self, wanted: Wanted) -> None:
        other = {"kind": "X", "name": "x", "uid": "x-uid", "apiVersion": "v1"}
        live = {
            "metadata": {
                "name": "r",
                "resourceVersion": "7",
                "labels": {"more": "x"},
                "ownerReferences": [other],
            },
            "rules": [],
            "extra": 1,
        }
        found = objects.repaired(live, self.wanted, "rules")
        assert objects.same_content(found, self.wanted, "rules")
        assert (found["extra"], meta.resource_version(found), meta.labels(found)["more"]) == (1, "7", "x")
        assert other in meta.owner_references(found)
        assert (
            "ownerReferences" not in objects.repaired({"metadata": {}}, objects.account(wanted))["metadata"]
        )
