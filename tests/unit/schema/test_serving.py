"""What an API server serves of a CRD."""

import pytest

from bind_agent.api.resource import Resource
from konnector.schema.serving import hindrance, listable

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


# --- why it is not served -------------------------------------------------------------------------


def stated(**conditions):
    """A CRD with these conditions: status, or status and message."""
    found = crd(version("v1", storage=True))
    pairs = {k: v if isinstance(v, tuple) else (v, "") for k, v in conditions.items()}
    found["status"]["conditions"] = [
        {"type": kind, "status": status, "reason": "Because" if message else "", "message": message}
        for kind, (status, message) in pairs.items()
    ]
    return found


def test_what_is_established_under_all_its_names_is_served():
    assert hindrance(stated(Established="True", NamesAccepted="True")) is None
    assert hindrance(stated(Established="True")) is None


def test_a_new_crd_whose_names_are_taken_is_not_served_at_all():
    told = hindrance(
        stated(Established=("False", "not all names"), NamesAccepted=("False", '"Db" is already in use'))
    )
    assert (told.type, told.status, told.reason, told.severity) == (
        "SchemaInSync",
        "False",
        "NamesNotAccepted",
        "Error",
    )
    assert told.message == (
        'the app cluster does not serve the CRD dbs.example.com: "Db" is already in use; remove the other CRD of that '
        "group which has the name, or ask the provider to choose another one"
    )


def test_one_that_was_served_before_goes_on_under_the_names_that_it_has():
    told = hindrance(stated(Established="True", NamesAccepted=("False", '"d" is already in use')))
    assert (told.reason, told.severity) == ("NamesNotAccepted", "Warning")
    assert 'does not serve all names of the CRD dbs.example.com: "d" is already in use' in told.message


def test_one_that_nobody_has_looked_at_yet():
    told = hindrance(
        stated(Established=("False", "the initial names have been accepted"), NamesAccepted="True")
    )
    assert (told.reason, told.severity) == ("CustomResourceDefinitionNotEstablished", "Error")
    assert "does not serve the CRD dbs.example.com yet: the initial names have been accepted" in told.message
    assert "it does not say why" in hindrance({"metadata": {"name": "x"}}).message


def test_what_the_api_server_says_is_bounded_and_one_line():
    told = hindrance(stated(NamesAccepted=("False", "a\n\x1b" * 5000)))
    assert len(told.message) < 450
    assert told.message.isprintable()
