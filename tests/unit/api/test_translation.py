"""Cluster-scoped objects up and down (spec 6.7.2)."""

from typing import Any

import pytest

from bind_agent.api import keys, translation
from bind_agent.api.naming import NameTooLongError

pytestmark = pytest.mark.unit

OWNER = {"apiVersion": "v1", "kind": "Namespace", "name": "cluster-x", "uid": "u"}


def test_up() -> None:
    obj: dict[str, Any] = {"kind": "Cloud", "metadata": {"name": "c", "labels": {"a": "b"}}, "spec": {"n": 1}}

    assert translation.to_provider(obj, "cluster-x", "u") == {
        "kind": "Cloud",
        "metadata": {
            "name": "cluster-x-c",
            "labels": {"a": "b"},
            "annotations": {keys.CLUSTER_NAMESPACE: "cluster-x"},
            "ownerReferences": [OWNER],
        },
        "spec": {"n": 1},
    }
    assert obj["metadata"] == {"name": "c", "labels": {"a": "b"}}


def test_up_keeps_other_owners_and_does_not_double_ours() -> None:
    other = {"apiVersion": "v1", "kind": "ConfigMap", "name": "cluster-x", "uid": "z"}
    stale = {**OWNER, "uid": "old"}
    obj = {"metadata": {"name": "c", "ownerReferences": [other, stale]}}

    assert translation.to_provider(obj, "cluster-x", "u")["metadata"]["ownerReferences"] == [other, OWNER]


def test_up_refuses_the_mark_of_another() -> None:
    obj = {"metadata": {"name": "c", "annotations": {keys.CLUSTER_NAMESPACE: "cluster-y"}}}

    with pytest.raises(translation.TranslationError, match="cluster-y"):
        translation.to_provider(obj, "cluster-x", "u")


def test_up_takes_the_mark_of_its_own() -> None:
    obj = {"metadata": {"name": "c", "annotations": {keys.CLUSTER_NAMESPACE: "cluster-x"}}}

    assert translation.to_provider(obj, "cluster-x", "u")["metadata"]["name"] == "cluster-x-c"


def test_too_long() -> None:
    assert len(translation.up_name("n" * 243, "cluster-x")) == 253
    with pytest.raises(NameTooLongError, match="254"):
        translation.up_name("n" * 244, "cluster-x")


@pytest.mark.parametrize("name", ["c", "cluster-y-c", "cluster-x", "cluster-x-", "xcluster-x-c"])
def test_names_without_the_prefix_are_not_ours(name: str) -> None:
    assert translation.down_name(name, "cluster-x") is None


def test_down() -> None:
    obj = {"metadata": {"name": "c", "annotations": {"a": "b"}}, "status": {}}
    up = translation.to_provider(obj, "cluster-x", "u")

    assert translation.to_consumer(up) == obj


def test_down_needs_mark_and_prefix() -> None:
    with pytest.raises(translation.TranslationError, match="missing"):
        translation.to_consumer({"metadata": {"name": "cluster-x-c"}})
    marked = {"metadata": {"name": "c", "annotations": {keys.CLUSTER_NAMESPACE: "cluster-x"}}}
    with pytest.raises(translation.TranslationError, match="does not begin"):
        translation.to_consumer(marked)
