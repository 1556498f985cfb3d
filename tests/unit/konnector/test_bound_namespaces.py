"""Which namespaces are open for claimed objects: what the app cluster shows decides, not the provider (threats A25)."""

import pytest

from bind_agent.runtime.informer import Event
from konnector.sync.bound_namespaces import BoundNamespaces

pytestmark = pytest.mark.unit

DBS, QUEUES = "dbs.example.com", "queues.example.com"


def test_a_namespace_is_open_for_an_api_while_it_has_an_object_of_it() -> None:
    bound, heard = BoundNamespaces(), list[str]()
    stop = bound.subscribe(heard.append)
    tally = bound.tally(DBS)
    assert bound.apis("shop") == frozenset()
    for event in (Event.ADDED, Event.MODIFIED, Event.ADDED, Event.DELETED):
        tally.count(event, "shop")
    assert bound.apis("shop") == {DBS}
    tally.count(Event.DELETED, "shop")
    assert bound.apis("shop") == frozenset()
    tally.count(Event.ADDED, "shop")
    bound.tally(QUEUES).count(Event.ADDED, "shop")
    assert bound.apis("shop") == {DBS, QUEUES}
    assert heard == ["shop"] * 3
    stop()
    tally.count(Event.ADDED, "other")
    assert heard == ["shop"] * 3


def test_what_a_sync_has_counted_goes_with_it() -> None:
    bound = BoundNamespaces()
    one, other = bound.tally(DBS), bound.tally(DBS)
    for tally in (one, one, other):
        tally.count(Event.ADDED, "shop")
    one.end()
    assert bound.apis("shop") == {DBS}
    other.end()
    assert bound.apis("shop") == frozenset()
    one.end()
    assert bound.apis("shop") == frozenset()


def test_cluster_scoped_objects_open_nothing() -> None:
    bound = BoundNamespaces()
    bound.tally(DBS).count(Event.ADDED, "")
    assert bound.apis("") == frozenset()
