"""Whose objects are synced: the binding that owns the CRD, for as long as the CRD is served."""

from typing import Any

import pytest

from bind_agent.api import keys
from konnector.controllers.shape import choose_binding, shape_of

pytestmark = pytest.mark.unit

NAME = "dbs.example.com"


def binding(namespace: str, uid: str) -> dict[str, Any]:
    return {"metadata": {"name": NAME, "namespace": namespace, "uid": uid}}


def crd(owner_uid: str, **metadata: Any) -> dict[str, Any]:
    owner = {"apiVersion": keys.API_VERSION, "kind": keys.KIND_BINDING, "name": NAME, "uid": owner_uid}
    return {
        "metadata": {"name": NAME, "ownerReferences": [owner], **metadata},
        "spec": {
            "scope": "Namespaced",
            "group": "example.com",
            "names": {"plural": "dbs", "kind": "Db"},
            "versions": [{"name": "v1", "served": True}],
        },
        "status": {"conditions": [{"type": "Established", "status": "True"}]},
    }


def test_the_owner_of_the_crd_is_chosen_whatever_else_has_that_name() -> None:
    bindings = {f"a/{NAME}": binding("a", "late"), f"klutch-bind/{NAME}": binding("klutch-bind", "first")}
    found = crd("first")
    assert choose_binding(bindings, found) == (f"klutch-bind/{NAME}", bindings[f"klutch-bind/{NAME}"], found)


def test_a_crd_of_somebody_else_is_not_looked_at() -> None:
    bindings = {f"b/{NAME}": binding("b", "2"), f"a/{NAME}": binding("a", "1")}
    assert choose_binding(bindings, crd("stranger")) == (f"a/{NAME}", bindings[f"a/{NAME}"], None)
    assert choose_binding(bindings, None) == (f"a/{NAME}", bindings[f"a/{NAME}"], None)
    assert choose_binding({}, crd("stranger")) == (None, None, None)


def test_a_crd_that_is_being_deleted_is_synced_until_it_is_gone() -> None:
    # Its objects carry our finalizer: without the sync nobody would take it off, and both would stay for ever.
    export = {
        "metadata": {"name": NAME},
        "spec": {
            "group": "example.com",
            "names": {"plural": "dbs", "kind": "Db"},
            "versions": [{"name": "v1", "served": True, "subresources": {"status": {}}}],
        },
    }
    going = crd("first", deletionTimestamp="2026-01-01T00:00:00Z")
    assert shape_of(export, binding("klutch-bind", "first"), going) is not None
    going["status"]["conditions"][0]["status"] = "False"
    assert shape_of(export, binding("klutch-bind", "first"), going) is None
