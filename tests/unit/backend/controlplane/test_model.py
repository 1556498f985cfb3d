"""What an AppClusterBinding asks for, whose a namespace is, and names."""

from typing import Any

import pytest

from bind_agent.api import keys, naming
from bind_agent.backend import names, roots
from bind_agent.backend.access import Kind
from bind_agent.backend.controlplane import model
from bind_agent.backend.controlplane.model import Wanted

pytestmark = pytest.mark.unit


def app(name: str = "prod", **spec: Any) -> dict[str, Any]:
    reference = {"name": "app", "key": "kubeconfig", "namespace": "team"}
    return {
        "apiVersion": keys.API_VERSION,
        "kind": keys.KIND_APP_CLUSTER_BINDING,
        "metadata": {"name": name, "namespace": "team", "annotations": {keys.ACCEPT_CLAIMS: "all"}},
        "spec": {"kubeconfigSecretRef": reference, **spec},
    }


def test_reading() -> None:
    listed = [
        {"group": "example.org", "resource": "databases"},
        {"group": " example.org ", "resource": "databases "},
        {"resource": " "},
        {"resource": "secrets"},
    ]
    found = model.read(app(apiExports=listed, konnector={"deploy": True, "overrides": {"image": "x"}}))
    assert found == Wanted(
        "team",
        "prod",
        "team",
        "app",
        "kubeconfig",
        (Kind("example.org", "databases"), Kind("", "secrets")),
        deploy=True,
        overrides={"image": "x"},
        accept_claims="all",
    )
    assert (found.key, found.root, found.deployment) == (
        "team/prod",
        "klutch-bind-team-prod",
        "konnector-prod",
    )


def test_the_least_there_can_be() -> None:
    found = model.read(app(konnector=None, apiExports=None))
    assert (found.kinds, found.deploy, found.overrides) == ((), False, {})


def test_a_malformed_object_is_said_to_be() -> None:
    with pytest.raises(model.MalformedError, match="apiExports"):
        model.read(app(apiExports=7))


def test_one_that_leaves_needs_its_name_only() -> None:
    assert model.named(app(apiExports=7)).root == "klutch-bind-team-prod"


def test_long_names_get_a_digest() -> None:
    long = Wanted("n" * 40, "b" * 300, "n", "app", "kubeconfig")
    assert len(long.root) == 63
    assert long.root != Wanted("n" * 40, "b" * 299, "n", "app", "kubeconfig").root
    assert all(naming.is_label_value(value) for value in long.labels.values())
    assert len(long.deployment) == 253
    assert naming.is_subdomain(long.deployment)


def test_ours_are_objects_with_both_labels(wanted: Wanted) -> None:
    assert wanted.is_ours({"metadata": {"labels": {**wanted.labels, "x": "y"}}})
    for label in wanted.labels:
        assert not wanted.is_ours({"metadata": {"labels": {label: wanted.labels[label]}}})


def namespace(**annotations: str) -> dict[str, Any]:
    return {"metadata": {"name": "n", "annotations": annotations}}


@pytest.mark.parametrize(
    ("record", "owner"),
    [("team/prod", "team/prod"), ("", ""), ("team", ""), ("/prod", ""), ("team/", ""), ("a/b/c", "")],
)
def test_records(record: str, owner: str) -> None:
    found = namespace(**{keys.APP_CLUSTER_BINDING: record})
    assert roots.owner(found) == owner
    assert roots.is_root(found) is roots.is_tenant(found) is bool(owner)


def test_tenants_of_a_login_are_tenants_and_no_roots() -> None:
    found = namespace(**{keys.IDENTITY: "anna#c1"})
    assert (roots.is_tenant(found), roots.is_root(found)) == (True, False)
    assert not roots.is_tenant(namespace())


@pytest.mark.parametrize(
    ("binding", "kinds"),
    [
        (None, frozenset()),
        ({"metadata": {}}, frozenset()),
        ({"metadata": {"annotations": {names.ALLOWED_KINDS: "a.b,c"}}}, frozenset({"a.b", "c"})),
    ],
)
def test_only_what_is_listed_may_be_requested(binding: dict[str, Any] | None, kinds: frozenset[str]) -> None:
    found = roots.requester(binding)
    assert (found.person, found.kinds) == (None, kinds)


def test_names_that_give_the_same_root_have_different_records() -> None:
    one, other = Wanted("a", "b-c", "a", "s", "k"), Wanted("a-b", "c", "a-b", "s", "k")
    assert one.root == other.root
    assert one.key != other.key


@pytest.mark.parametrize(
    ("binding", "template", "name"),
    [
        ("my-binding", "postgresql", "appclusterbinding-my-binding-postgresql-2ee91e53"),
        ("control-plane-test", "mangodbs", "appclusterbinding-control-plane-test-mangodbs-e35fb3e0"),
        (
            "a-very-long-app-cluster-binding-name",
            "postgresqlinstances",
            "appclusterbinding-a-very-long-app-cluster--postgresqli-d4d47a19",
        ),
        (
            "Team_A.prod",
            "mangodbs.mangodb.com",
            "appclusterbinding-team-a-prod-mangodbs-mangodb-com-d2896475",
        ),
    ],
)
def test_golden_request_names(binding: str, template: str, name: str) -> None:
    assert naming.export_request(binding, template) == name
