"""Whose a CRD is: named by reference on its own cluster, by annotations across clusters (spec 6.6.3, W-K15)."""

from typing import Any

import pytest

from bind_agent.api import keys
from konnector.schema.compare import Foreign, Unchanged, Update, compare
from konnector.schema.crd import desired_crd
from konnector.schema.owner import Standing, is_owned_by, judge, owner_uids, signature

pytestmark = pytest.mark.unit

NAME = "dbs.example.com"
PLANE = "control-plane-id"


def binding(uid: str = "binding-uid", namespace: str = "root") -> dict[str, Any]:
    return {"metadata": {"name": NAME, "namespace": namespace, "uid": uid}}


def export() -> dict[str, Any]:
    version = {
        "name": "v1",
        "served": True,
        "storage": True,
        "schema": {"openAPIV3Schema": {"type": "object"}},
    }
    return {
        "metadata": {"name": NAME},
        "spec": {
            "group": "example.com",
            "names": {"plural": "dbs", "kind": "Db"},
            "scope": "Namespaced",
            "informerScope": "Cluster",
            "versions": [version],
        },
    }


def reference(**changes: Any) -> dict[str, Any]:
    return {
        "apiVersion": keys.API_VERSION,
        "kind": keys.KIND_BINDING,
        "name": NAME,
        "uid": "binding-uid",
        "controller": True,
        **changes,
    }


def crd(marks: dict[str, str] | None = None, *references: dict[str, Any]) -> dict[str, Any]:
    return {"metadata": {"name": NAME, "annotations": marks or {}, "ownerReferences": list(references)}}


def marks(**changes: str) -> dict[str, str]:
    found: dict[str, str] = signature(binding(), control_plane=PLANE)["annotations"]
    return found | changes


def test_on_its_own_cluster_a_binding_is_named_by_reference() -> None:
    assert signature(binding()) == {"ownerReferences": [reference()]}


def test_on_another_cluster_no_owner_is_ever_named() -> None:
    made = desired_crd(export(), binding(), control_plane=PLANE)
    assert "ownerReferences" not in made["metadata"]
    assert made["metadata"]["annotations"] == {
        keys.CONTENT_DIGEST: made["metadata"]["annotations"][keys.CONTENT_DIGEST],
        keys.PROVIDER: PLANE,
        keys.SOURCE: f"root/{NAME}",
        keys.SOURCE_UID: "binding-uid",
    }


@pytest.mark.parametrize(
    ("existing", "old_owner_exists", "standing"),
    [
        (crd(marks()), True, Standing.OURS),
        (crd(marks(**{keys.SOURCE_UID: "earlier"})), False, Standing.TO_BE_SIGNED),
        (crd(marks(**{keys.SOURCE_UID: "other"})), True, Standing.ANOTHERS),
        (crd(marks(**{keys.PROVIDER: "another control plane"})), False, Standing.ANOTHERS),
        (crd(marks(**{keys.SOURCE: f"elsewhere/{NAME}"})), False, Standing.ANOTHERS),
        (crd(), True, Standing.UNSIGNED),
        (crd({}, reference(kind="Other")), True, Standing.UNSIGNED),
        (crd({}, reference()), True, Standing.TO_BE_SIGNED),
        (crd(marks(), reference()), True, Standing.TO_BE_SIGNED),
        (crd({}, reference(uid="of the app cluster")), False, Standing.ANOTHERS),
        (crd(marks(), reference(uid="of the app cluster")), True, Standing.ANOTHERS),
    ],
    ids=[
        "ours",
        "made-again",
        "a-living-one-of-that-name",
        "another-control-plane",
        "another-root-namespace",
        "unsigned",
        "owned-by-something-else",
        "by-go-in-this-mode",
        "both-ways",
        "bound-on-the-app-cluster",
        "claimed-by-a-binding-there",
    ],
)
def test_whose_a_crd_is_for_a_binding_elsewhere(
    existing: dict[str, Any], old_owner_exists: bool, standing: Standing
) -> None:
    wanted = desired_crd(export(), binding(), control_plane=PLANE)
    assert judge(existing, wanted, old_owner_exists=old_owner_exists) is standing


def test_a_binding_without_a_uid_owns_nothing_elsewhere() -> None:
    nameless = desired_crd(export(), binding(uid=""), control_plane=PLANE)
    assert judge(crd({}, reference(uid="")), nameless, old_owner_exists=True) is Standing.ANOTHERS
    assert not is_owned_by(crd(marks(**{keys.SOURCE_UID: ""})), binding(uid=""), control_plane=PLANE)


def test_a_crd_that_go_signed_loses_the_reference_to_another_cluster() -> None:
    wanted = desired_crd(export(), binding(), control_plane=PLANE)
    local = {"apiVersion": "v1", "kind": "Local", "name": "x", "uid": "l"}
    existing = {
        **wanted,
        "metadata": {
            "name": NAME,
            "uid": "crd",
            "resourceVersion": "7",
            "annotations": {"mine": "yes"},
            "ownerReferences": [local, reference()],
        },
    }
    verdict = compare(existing, wanted)
    assert isinstance(verdict, Update)
    metadata = verdict.object["metadata"]
    assert metadata["ownerReferences"] == [local]
    assert metadata["annotations"] == {"mine": "yes", **wanted["metadata"]["annotations"]}
    assert compare(verdict.object, wanted) == Unchanged()


def test_a_crd_that_came_back_to_its_own_cluster_loses_the_marks() -> None:
    wanted = desired_crd(export(), binding())
    existing = {**wanted, "metadata": {**crd(marks(), reference(uid="earlier"))["metadata"]}}
    verdict = compare(existing, wanted, old_owner_exists=False)
    assert isinstance(verdict, Update)
    assert verdict.object["metadata"]["annotations"] == wanted["metadata"]["annotations"]
    assert verdict.object["metadata"]["ownerReferences"] == [reference()]


def test_one_of_another_control_plane_is_left_as_it_is() -> None:
    wanted = desired_crd(export(), binding(), control_plane=PLANE)
    theirs = desired_crd(export(), binding(uid="theirs"), control_plane="another")
    verdict = compare(theirs, wanted, old_owner_exists=False)
    assert isinstance(verdict, Foreign)
    assert "left as it is" in verdict.message


@pytest.mark.parametrize(
    ("found", "control_plane", "ours"),
    [
        (crd({}, reference()), "", True),
        (crd({}, reference(uid="other")), "", False),
        (crd(marks()), "", False),
        (crd(marks()), PLANE, True),
        (crd(marks(**{keys.SOURCE_UID: "other"})), PLANE, False),
        (crd({}, reference()), PLANE, False),
    ],
    ids=["reference", "other-reference", "marks-here", "marks", "other-marks", "reference-elsewhere"],
)
def test_whose_objects_are_synced(found: dict[str, Any], control_plane: str, ours: bool) -> None:
    assert is_owned_by(found, binding(), control_plane=control_plane) is ours


def test_uids_that_a_crd_names() -> None:
    assert owner_uids(crd(marks(), reference(uid="a"), reference(kind="Other", uid="b"))) == {
        "a",
        "binding-uid",
    }
    assert owner_uids(crd()) == set()
