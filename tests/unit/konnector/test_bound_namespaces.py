"""Which namespaces are open for claimed objects: what the app cluster shows decides, not the provider (threats A25)."""

import pytest

from bind_agent.runtime.informer import Event
from konnector.sync.bound_namespaces import BoundNamespaces

pytestmark = pytest.mark.unit


def test_a_namespace_is_open_while_it_has_an_object() -> None:
    bound, heard = BoundNamespaces(), list[str]()
    stop = bound.subscribe(heard.append)
    tally = bound.tally()
    assert "shop" not in bound
    for event in (Event.ADDED, Event.MODIFIED, Event.ADDED, Event.DELETED):
        tally.count(event, "shop")
    assert "shop" in bound
    tally.count(Event.DELETED, "shop")
    assert "shop" not in bound
    tally.count(Event.ADDED, "shop")
    assert heard == ["shop", "shop"]
    stop()
    tally.count(Event.ADDED, "other")
    assert heard == ["shop", "shop"]


def test_what_a_sync_has_counted_goes_with_it() -> None:
    bound = BoundNamespaces()
    one, other = bound.tally(), bound.tally()
    for tally in (one, one, other):
        tally.count(Event.ADDED, "shop")
    one.end()
    assert "shop" in bound
    other.end()
    assert "shop" not in bound
    one.end()
    assert "shop" not in bound


def test_cluster_scoped_objects_open_nothing() -> None:
    bound = BoundNamespaces()
    bound.tally().count(Event.ADDED, "")
    assert "" not in bound
