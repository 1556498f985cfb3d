"""Whether and how an existing CRD is written (spec 6.6.3, design 4.6)."""

import copy
import re

import pytest

from bind_agent.api import keys
from konnector.schema.compare import Create, Foreign, Held, Unchanged, Update, compare, offer_of
from konnector.schema.crd import desired_crd

pytestmark = pytest.mark.unit

NAME = "mangodbs.mangodb.com"


def desired(
    *, uid="binding-uid", scope="Namespaced", kind="MangoDB", versions=None, description="", **fields
):
    schema = {
        "type": "object",
        "description": description,
        "properties": {"spec": {"type": "object", "properties": fields or {"a": {"type": "string"}}}},
    }
    export = {
        "metadata": {"name": NAME},
        "spec": {
            "group": "mangodb.com",
            "names": {"plural": "mangodbs", "kind": kind},
            "scope": scope,
            "informerScope": "Cluster",
            **({"clusterScopedIsolation": "Prefixed"} if scope == "Cluster" else {}),
            "versions": versions
            or [{"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}],
        },
    }
    return desired_crd(export, {"metadata": {"name": NAME, "uid": uid}})


def installed(crd=None, *, stored=("v1",), **metadata):
    """A CRD as the API server gives it back: defaulted, without empty fields, with metadata of others."""
    made = copy.deepcopy(crd or desired())
    made["metadata"] |= {"uid": "crd-uid", "resourceVersion": "7", **metadata}
    made["metadata"].setdefault("labels", {})["local"] = "yes"
    made["metadata"]["annotations"]["local"] = "yes"
    made["spec"]["names"] |= {"singular": "mangodb", "listKind": "MangoDBList"}
    for version in made["spec"]["versions"]:
        version["schema"]["openAPIV3Schema"] = {
            k: v for k, v in version["schema"]["openAPIV3Schema"].items() if v
        }
    made["status"] = {"storedVersions": list(stored)}
    return made


def test_a_missing_crd_is_created():
    assert compare(None, desired()) == Create(desired())


def test_an_equal_crd_costs_no_write():
    assert compare(installed(), desired()) == Unchanged()


def test_an_addition_is_written_and_the_consumers_metadata_stays():
    wanted = desired(a={"type": "string"}, b={"type": "string"})
    verdict = compare(installed(), wanted)
    assert isinstance(verdict, Update)
    assert verdict.object["spec"] == wanted["spec"]
    metadata = verdict.object["metadata"]
    assert (metadata["uid"], metadata["resourceVersion"]) == ("crd-uid", "7")
    assert metadata["labels"] == {"local": "yes"}
    assert metadata["annotations"] == {"local": "yes", **wanted["metadata"]["annotations"]}
    assert metadata["ownerReferences"] == wanted["metadata"]["ownerReferences"]
    assert "status" not in verdict.object


@pytest.mark.parametrize(
    "spoil",
    [
        pytest.param(
            lambda c: c["spec"].update(conversion={"strategy": "Webhook"}), id="a conversion webhook"
        ),
        pytest.param(lambda c: c["spec"]["versions"][0].update(served=False), id="no longer served"),
        pytest.param(lambda c: c["metadata"]["annotations"].pop(keys.CONTENT_DIGEST), id="made by Go"),
        pytest.param(
            lambda c: c["spec"]["versions"][0]["schema"]["openAPIV3Schema"].update(properties={}),
            id="a field taken out",
        ),
    ],
)
def test_drift_is_repaired(spoil):
    existing = installed()
    spoil(existing)
    verdict = compare(existing, desired())
    assert isinstance(verdict, Update)
    assert verdict.object["spec"]["conversion"] == {"strategy": "None"}


def test_a_field_that_was_only_described_goes_without_a_question_when_nothing_is_stored():
    wanted = desired(b={"type": "string"})
    held = compare(installed(), wanted)
    assert isinstance(held, Held)
    assert [str(change) for change in held.changes] == [
        "v1.spec.a: the field is removed, stored values would be lost"
    ]
    assert isinstance(compare(installed(), wanted, has_objects=False), Update)


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        (desired(scope="Cluster"), "scope changes from Namespaced to Cluster"),
        (desired(kind="Other"), "names.kind changes from MangoDB to Other"),
    ],
    ids=["scope", "kind"],
)
def test_what_the_api_server_would_not_change_is_held_in_any_case(wanted, message):
    held = compare(installed(), wanted, has_objects=False)
    assert isinstance(held, Held)
    assert [str(change) for change in held.changes] == [message]


ESTABLISHED = [{"type": "Established", "status": "True"}]


@pytest.mark.parametrize("wanted", [desired(scope="Cluster"), desired(kind="Other")], ids=["scope", "kind"])
def test_no_consent_releases_what_the_api_server_refuses(wanted):
    existing = installed()
    existing["status"]["conditions"] = ESTABLISHED
    held = compare(existing, wanted, consent=offer_of(existing, wanted))
    assert isinstance(held, Held)
    assert [change.final for change in held.changes] == [True]
    assert held.offer == ""
    # Before it has served them for the first time, the API server changes both.
    existing["status"]["conditions"] = []
    assert isinstance(compare(existing, wanted, consent=offer_of(existing, wanted)), Update)


def test_no_consent_releases_the_removal_of_a_stored_version():
    wanted = desired(versions=[version("v2", storage=True)])
    held = compare(installed(), wanted, consent=offer_of(installed(), wanted))
    assert isinstance(held, Held)
    assert [change.final for change in held.changes] == [True]
    assert held.offer == ""


# --- consent --------------------------------------------------------------------------------------


def test_a_consent_lets_this_offer_through_and_no_other():
    wanted, other = desired(b={"type": "string"}), desired(c={"type": "string"})
    held = compare(installed(), wanted)
    assert isinstance(held, Held)
    assert isinstance(compare(installed(), wanted, consent=held.offer), Update)
    assert compare(installed(), other, consent=held.offer) == compare(installed(), other)
    assert compare(installed(), wanted, consent="true") == held


def test_a_consent_is_used_up():
    """Else a provider could add the field again, wait until it is used, and remove it once more."""
    wanted = desired(b={"type": "string"})
    held = compare(installed(generation=1), wanted)
    assert isinstance(held, Held)
    later = compare(installed(generation=3), wanted, consent=held.offer)
    assert isinstance(later, Held)
    assert later.offer != held.offer
    # A CRD that was made again counts from one again.
    anew = compare(installed(generation=1, uid="another"), wanted, consent=held.offer)
    assert isinstance(anew, Held)


def test_a_consent_is_no_licence_over_the_crd_of_somebody_else():
    wanted = desired(b={"type": "string"})
    foreign = installed(ownerReferences=[])
    assert isinstance(compare(foreign, wanted, consent=offer_of(foreign, wanted)), Foreign)


def test_an_offer_fits_into_a_command():
    assert re.fullmatch("[0-9a-f]{40}", offer_of(installed(), desired()))


def version(name, *, storage):
    schema = {
        "type": "object",
        "properties": {"spec": {"type": "object", "properties": {"a": {"type": "string"}}}},
    }
    return {"name": name, "served": True, "storage": storage, "schema": {"openAPIV3Schema": schema}}


def test_a_version_that_objects_are_stored_in_is_not_removed():
    wanted = desired(versions=[version("v2", storage=True)])
    held = compare(installed(), wanted, has_objects=False)
    assert isinstance(held, Held)
    assert [str(change) for change in held.changes] == [
        "v1: the version is removed, but status.storedVersions of the CRD names it"
    ]


def test_a_new_storage_version_and_the_removal_of_an_unused_one_go_through():
    both = desired(versions=[version("v1", storage=False), version("v2", storage=True)])
    assert isinstance(compare(installed(), both), Update)
    only = desired(versions=[version("v2", storage=True)])
    assert isinstance(compare(installed(both, stored=["v2"]), only), Update)


def test_a_report_ends():
    fields = {f"f{n}": {"type": "string"} for n in range(300)}
    held = compare(installed(desired(**fields)), desired(other={"type": "string"}))
    assert isinstance(held, Held)
    assert len(held.changes) == 100


# --- whose is it ----------------------------------------------------------------------------------


def owner(**changes):
    return {
        "apiVersion": "klutch.anynines.com/v1alpha1",
        "kind": "APIServiceBinding",
        "name": NAME,
        "uid": "binding-uid",
        "controller": True,
        **changes,
    }


@pytest.mark.parametrize(
    "references",
    [
        pytest.param([], id="no owner"),
        pytest.param([owner(kind="Other")], id="another kind"),
        pytest.param([owner(apiVersion="other/v1")], id="another group"),
        pytest.param([owner(apiVersion=7)], id="malformed"),
        pytest.param([owner(name="others.mangodb.com")], id="another binding"),
        pytest.param([owner(uid="another")], id="a living binding of the same name"),
    ],
)
def test_a_crd_of_somebody_else_is_left_alone(references):
    verdict = compare(installed(ownerReferences=references), desired(b={"type": "string"}))
    assert isinstance(verdict, Foreign)
    assert NAME in verdict.message
    assert "left as it is" in verdict.message


def test_any_version_of_our_group_and_any_uid_for_a_nameless_one_count_as_ours():
    newer = installed(ownerReferences=[owner(apiVersion="klutch.anynines.com/v2")])
    assert compare(newer, desired()) == Unchanged()
    assert compare(installed(), desired(uid="")) == Unchanged()


def test_the_crd_of_a_binding_that_was_made_again_is_repaired():
    references = [{"kind": "Local", "uid": "l"}, owner(uid="earlier")]
    verdict = compare(installed(ownerReferences=references), desired(), old_owner_exists=False)
    assert isinstance(verdict, Update)
    assert verdict.object["metadata"]["ownerReferences"] == [{"kind": "Local", "uid": "l"}, owner()]
    # With no binding's mark at all it stays foreign, whoever exists.
    assert isinstance(compare(installed(ownerReferences=[]), desired(), old_owner_exists=False), Foreign)


def test_a_malformed_existing_crd_is_compared_without_an_exception():
    odd = {"metadata": installed()["metadata"], "spec": {"versions": ["?"], "names": "?"}, "status": "?"}
    assert isinstance(compare(odd, desired()), Held)
    odd["spec"] = {"versions": "?", "scope": "Namespaced", "names": {"kind": "MangoDB"}}
    odd["status"] = {"storedVersions": "?"}
    assert isinstance(compare(odd, desired()), Update)
