"""What an API server serves of a CRD."""

import pytest

from bind_agent.api.resource import Resource
from konnector.schema.serving import listable

pytestmark = pytest.mark.unit


def version(name, *, served=True, storage=False):
    return {"name": name, "served": served, "storage": storage}


def crd(*versions, scope="Namespaced", established="True"):
    return {
        "metadata": {"name": "dbs.example.com"},
        "spec": {
            "group": "example.com",
            "names": {"plural": "dbs", "kind": "Db"},
            "scope": scope,
            "versions": list(versions),
        },
        "status": {"conditions": [{"type": "Established", "status": established}]},
    }


@pytest.mark.parametrize(
    ("versions", "chosen"),
    [
        pytest.param([version("v1", storage=True)], "v1", id="the only one"),
        pytest.param(
            [version("v1"), version("v2", storage=True)], "v2", id="the stored one, which needs no conversion"
        ),
        pytest.param(
            [version("v1"), version("v2", served=False, storage=True)], "v1", id="any served one shows all"
        ),
    ],
)
def test_objects_are_listed_in_a_served_version(versions, chosen):
    assert listable(crd(*versions)) == Resource("example.com", chosen, "dbs", namespaced=True)


def test_the_scope_is_the_crds():
    assert listable(crd(version("v1", storage=True), scope="Cluster")) == Resource(
        "example.com", "v1", "dbs", namespaced=False
    )


@pytest.mark.parametrize(
    "unserved",
    [
        pytest.param(crd(version("v1", storage=True), established="False"), id="not established"),
        pytest.param(crd(version("v1", served=False, storage=True)), id="no served version"),
        pytest.param({"metadata": {"name": "dbs.example.com"}}, id="nothing said"),
        pytest.param({**crd(), "spec": {"versions": "?", "names": "?"}}, id="malformed"),
    ],
)
def test_where_nothing_is_served_nobody_knows_what_is_stored(unserved):
    assert listable(unserved) is None
