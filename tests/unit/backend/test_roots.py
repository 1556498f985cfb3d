"""Whose a namespace is that a Go backend made (spec 5.3 step 2, W-S11)."""

from typing import Any

import pytest

from bind_agent.api import keys
from bind_agent.backend import roots

pytestmark = pytest.mark.unit

OWN = {keys.APP_CLUSTER_BINDING_NAMESPACE: "team", keys.APP_CLUSTER_BINDING_NAME: "prod"}


def namespace(name: str = "klutch-bind-team-prod", **marks: str) -> dict[str, Any]:
    return {"metadata": {"name": name, "annotations": marks}}


def binding(**labels: str) -> dict[str, Any]:
    return {"metadata": {"name": "cluster", "labels": labels}}


def test_both_labels_prove_it() -> None:
    assert roots.proof(namespace(other="x"), binding(**OWN, more="y")) == "team/prod"


@pytest.mark.parametrize(
    ("found", "proof"),
    [
        (namespace(), None),
        (namespace(), binding()),
        (namespace(), binding(**{**OWN, keys.APP_CLUSTER_BINDING_NAME: "dev"})),
        (namespace(), binding(**{**OWN, keys.APP_CLUSTER_BINDING_NAME: ""})),
        (namespace(), binding(**{keys.APP_CLUSTER_BINDING_NAMESPACE: "team"})),
        (namespace("kube-system"), binding(**OWN)),
        (namespace(**{keys.APP_CLUSTER_BINDING: "team/other"}), binding(**OWN)),
        (namespace(**{keys.APP_CLUSTER_BINDING: ""}), binding(**OWN)),
        (namespace(**{keys.IDENTITY: "a#b"}), binding(**OWN)),
        (namespace(**{keys.API_SERVICE_NAMESPACE: "a/b"}), binding(**OWN)),
    ],
)
def test_nothing_else_does(found: dict[str, Any], proof: dict[str, Any] | None) -> None:
    assert roots.proof(found, proof) == ""


def test_what_is_proven_is_seen_as_recorded() -> None:
    found = namespace(other="x")
    seen = roots.recorded(found, "team/prod")
    assert (roots.owner(seen), roots.is_proven(seen), roots.is_root(seen)) == ("team/prod", True, True)
    assert found == namespace(other="x"), "what is stored stays as it is"
    assert not roots.is_taken(seen, None)
    assert not roots.is_taken(seen, {"metadata": {"annotations": {keys.APP_CLUSTER_BINDING: "team/dev"}}})
    assert roots.is_taken(seen, {"metadata": {"annotations": {keys.APP_CLUSTER_BINDING: "team/prod"}}})
    assert not roots.is_proven(namespace(**{keys.APP_CLUSTER_BINDING: "team/prod"}))
