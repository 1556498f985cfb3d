"""Which labels and annotations cross (threats A08, A12, A13, A16)."""

import pytest

from bind_agent.api import keys
from konnector.sync.metadata import BOUND_OBJECTS, CLAIMED_OBJECTS, OWN_MARKS

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    "key",
    [
        "team",
        "example.com/team",
        "crossplane.io/external-name",
        "service.infrabox.net/secret-name",
        "infrabox.net/job-id",
        "app.kubernetes.io/name",
        "app.kubernetes.io/version",
    ],
)
def test_what_users_write_crosses_with_bound_objects(key):
    assert BOUND_OBJECTS.passes(key)


@pytest.mark.parametrize(
    "key",
    [
        keys.LAST_APPLIED,
        *sorted(OWN_MARKS),
        f"{keys.GROUP}/anything",
        f"example-backend.{keys.GROUP}/identity",
        "app.kubernetes.io/instance",
        "app.kubernetes.io/managed-by",
        "kubernetes.io/service-account.name",
        "topology.kubernetes.io/zone",
        "cluster.x-k8s.io.k8s.io/x",
        "argocd.argoproj.io/tracking-id",
        "kustomize.toolkit.fluxcd.io/name",
        "meta.helm.sh/release-name",
        "helm.sh/chart",
        "reflector.v1.k8s.emberstack.com/reflects",
        "replicator.v1.mittwald.de/replicate-to",
        "velero.io/backup-name",
        "infrabox.net/job-token",
    ],
)
def test_what_tools_act_on_does_not_cross(key):
    assert not BOUND_OBJECTS.passes(key)
    assert not CLAIMED_OBJECTS.passes(key)


def test_a_domain_that_only_ends_alike_is_somebody_elses():
    assert BOUND_OBJECTS.passes("myhelm.sh/x")
    assert BOUND_OBJECTS.passes("argoproj.io.example.com/x")


def test_claimed_objects_carry_descriptive_labels_only():
    labels = {"team": "red", "app.kubernetes.io/part-of": "shop", "app.kubernetes.io/instance": "x"}
    assert CLAIMED_OBJECTS.select(labels) == {"app.kubernetes.io/part-of": "shop"}


def test_the_selection_is_sorted_so_that_digests_are_stable():
    assert list(BOUND_OBJECTS.select({"b": "1", "a": "2"})) == ["a", "b"]
