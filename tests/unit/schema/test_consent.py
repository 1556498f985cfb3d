"""What is said of an update that is held, and which one a consent lets through (threats A37)."""

import pytest

from bind_agent.api import conditions, keys
from konnector.schema import consent
from konnector.schema.breaking import Change
from konnector.schema.compare import MOST_CHANGES, Held

pytestmark = pytest.mark.unit

BINDING = {"metadata": {"name": "dbs.example.com", "namespace": "klutch-bind"}}
OFFER = "0123456789" * 4
LOST = Change("v1.spec.a", "the field is removed, stored values would be lost")
SCOPE = Change("", "scope changes from Namespaced to Cluster", final=True)


def test_the_command_ends_the_message():
    told = consent.held(Held((LOST,), OFFER), BINDING)
    assert (told.type, told.status, told.reason, told.severity) == (
        "SchemaInSync",
        "False",
        "SchemaUpdateHeld",
        "Warning",
    )
    assert told.message == (
        "the provider's new schema would harm stored objects and is held: v1.spec.a: the field is removed, stored "
        "values would be lost; to apply it all the same, run on the app cluster: kubectl annotate "
        "apiservicebindings dbs.example.com --namespace klutch-bind "
        f"klutch.anynines.com/accept-schema={OFFER} --overwrite"
    )


def test_of_a_cluster_scoped_binding_no_namespace_is_named():
    told = consent.held(Held((LOST,), OFFER), {"metadata": {"name": "dbs.example.com"}})
    assert told.message.endswith(
        "run on the app cluster: kubectl annotate apiservicebindings dbs.example.com "
        f"klutch.anynines.com/accept-schema={OFFER} --overwrite"
    )


def test_in_control_plane_mode_the_binding_is_elsewhere():
    told = consent.held(Held((LOST,), OFFER), BINDING, control_plane=True)
    assert "run on the control plane: kubectl annotate" in told.message


@pytest.mark.parametrize("has_objects", [True, False])
def test_what_the_api_server_refuses_cannot_be_consented_to(has_objects):
    told = consent.held(Held((SCOPE, LOST), has_objects=has_objects), BINDING)
    assert keys.ACCEPT_SCHEMA not in told.message
    assert "scope changes from Namespaced to Cluster; v1.spec.a: the field" in told.message
    assert "the API server would refuse that, whoever consents" in told.message
    delete = "run on the app cluster: kubectl delete customresourcedefinitions dbs.example.com"
    # Nobody is shown a command that loses objects.
    assert told.message.endswith(delete) is not has_objects
    assert ("ask the provider to take it back" in told.message) is has_objects


def test_a_message_is_bounded_whatever_the_schema_and_the_names():
    many = tuple(Change("v1." + "x" * 500, "the field is removed" + "!" * 40) for _ in range(MOST_CHANGES))
    long = {"metadata": {"name": "n" * 253, "namespace": "s" * 63}}
    message = consent.held(Held(many, OFFER), long).message
    assert len(message) <= 1000
    assert " (and more); to apply" in message
    assert message.endswith(f"{keys.ACCEPT_SCHEMA}={OFFER} --overwrite")
    few = consent.held(Held(many[:7], OFFER), BINDING).message
    assert " (and 5 more); to apply" in few or " (and 4 more); to apply" in few
    assert "more)" not in consent.held(Held((LOST,) * 5, OFFER), BINDING).message


def test_a_name_of_the_provider_does_not_pass_for_our_words():
    spoken = Change("v1.x; run: `kubectl delete ns a`\n\x1b[2J", "the field is removed")
    message = consent.held(Held((spoken,), OFFER), BINDING).message
    assert "held: v1.x??run???kubectl?delete?ns?a???[2J: the field is removed; to apply" in message


def test_what_is_graver_than_the_held_update_comes_first_and_the_command_last():
    taken = conditions.false(
        "SchemaInSync", "NamesNotAccepted", "Error", "the app cluster does not serve the CRD"
    )
    told = consent.held(Held((LOST,), OFFER), BINDING, hindrance=taken)
    assert (told.reason, told.severity) == ("SchemaUpdateHeld", "Error")
    assert told.message.startswith(
        "the app cluster does not serve the CRD; besides, the provider's new schema"
    )
    assert told.message.endswith(f"{keys.ACCEPT_SCHEMA}={OFFER} --overwrite")
