"""Rights of one binding: minimal, stable, without wildcards."""

from typing import Any

import pytest

from bind_agent.api.rbac import ROLE_PREFIX, binding_cluster_role, binding_label, consumer_rules
from bind_agent.api.resource import Resource

pytestmark = pytest.mark.unit
DBS = Resource("example.com", "v1", "dbs")
READ = ["get", "list", "watch"]


def rule(group: str, resource: str, *verbs: str, names: list[str] | None = None) -> dict[str, list[str]]:
    result = {"apiGroups": [group], "resources": [resource], "verbs": sorted(verbs)}
    return result | ({"resourceNames": names} if names else {})


BASE = [rule("example.com", "dbs", *READ, "patch"), rule("example.com", "dbs/status", "patch")]


def claim(resource: str = "secrets", owner: str = "", **more: Any) -> dict[str, Any]:
    return {"resource": resource, "version": "v1", "selector": {"owner": owner, **more}}


@pytest.mark.parametrize(
    ("claims", "expected"),
    [
        ([], []),
        ([{**claim(owner="Provider"), "state": "Rejected"}], []),
        ([claim(owner="Provider")], [rule("", "secrets", *READ, "create", "update", "delete")]),
        ([claim(owner="Consumer")], [rule("", "secrets", *READ)]),
        ([claim()], [rule("", "secrets", *READ, "create", "update", "delete", "patch")]),
        (
            [{"resource": "secrets", "version": "v1"}],
            [rule("", "secrets", *READ, "create", "update", "delete", "patch")],
        ),
        (
            [claim(owner="Provider", names=["b", "a"])],
            [rule("", "secrets", *READ, "create"), rule("", "secrets", "update", "delete", names=["a", "b"])],
        ),
        (
            [claim(owner="Consumer", names=["a"])],
            [rule("", "secrets", *READ)],
        ),
        (
            [claim(owner="Provider"), claim(owner="Provider", names=["a"])],
            [rule("", "secrets", *READ, "create", "update", "delete")],
        ),
        (
            [claim(owner="Provider", names=["a"]), claim(owner="Consumer", names=["b"])],
            [
                rule("", "secrets", *READ, "create"),
                rule("", "secrets", "update", "delete", names=["a"]),
            ],
        ),
        ([claim(names=["*", "a"], owner="Consumer")], [rule("", "secrets", *READ)]),
        (
            [
                claim(owner="Consumer"),
                {"group": "a.com", **claim("things", "Consumer")},
                claim("configmaps", "Consumer"),
            ],
            [
                rule("", "configmaps", *READ),
                rule("", "secrets", *READ),
                rule("a.com", "things", *READ),
            ],
        ),
    ],
)
def test_rules(claims: list[dict[str, Any]], expected: list[dict[str, list[str]]]) -> None:
    assert consumer_rules(DBS, claims) == BASE + expected


def test_adoption_creates() -> None:
    assert consumer_rules(DBS, [], adopt=True)[0] == rule("example.com", "dbs", *READ, "create", "patch")


def test_the_role_says_what_it_belongs_to() -> None:
    role = binding_cluster_role("dbs.example.com", DBS, [], adopt=True)
    assert role["metadata"]["name"] == f"{ROLE_PREFIX}dbs.example.com"
    assert role["metadata"]["labels"] == {
        "app.kubernetes.io/managed-by": "klutch-bind",
        "klutch.anynines.com/aggregate-to-konnector": "true",
        "klutch.anynines.com/binding": "dbs.example.com",
    }


def test_labels_of_long_names_are_digests() -> None:
    long = f"{'x' * 63}.example.com"
    assert len(binding_label(long)) <= 63
    assert binding_label(long) != binding_label(long + "x")
