"""The catalogue is worked out when it changes, and each person sees their part of it. Excluded: its words."""

from types import SimpleNamespace
from typing import Any, cast

import pytest

from bind_agent.backend.exports import Policy
from bind_agent.backend.pages.book import Book
from bind_agent.backend.person import Person
from bind_agent.runtime.store import Store, make_entry
from tests.fakes import pages_preview as preview
from tests.fakes import pages_world as world

pytestmark = pytest.mark.unit

BOB = Person("https://login.northwind.example", "bob")


def app() -> Any:
    found, crds = world.catalogue()
    views = SimpleNamespace(templates=SimpleNamespace(store=Store()), crds=SimpleNamespace(store=Store()))
    for one in found:
        views.templates.store.put(make_entry(one))
    for one in crds.values():
        views.crds.store.put(make_entry(one))
    return SimpleNamespace(views=views, policy=Policy(), tenancy=SimpleNamespace(pretty_name="ACME"))


def test_it_stays_until_a_template_or_a_crd_changes() -> None:
    here, book = app(), Book(preview.PAGES)
    first = book.offers(here, world.ANNA)
    cards = book.cards(first, None)
    again = book.offers(here, world.ANNA)
    assert first
    assert all(one is other for one, other in zip(first, again, strict=True))
    assert book.cards(again, None) is cards
    here.views.crds.store.remove(first[0].name)
    after = book.offers(here, world.ANNA)
    assert [one.name for one in after] == [one.name for one in first[1:]]
    assert first[0].name not in book.cards(after, None)


def test_each_person_sees_what_they_may_bind() -> None:
    here, book = app(), Book(preview.PAGES)
    everything = book.offers(here, BOB)
    template = next(
        entry.object()
        for entry in here.views.templates.store.entries()
        if everything[0].name.startswith(entry.object()["spec"]["APIServiceSelector"]["resource"])
    )
    template["spec"]["allowed"] = {"users": [world.ANNA.subject]}
    here.views.templates.store.put(make_entry(template))
    assert everything[0].name in {one.name for one in book.offers(here, world.ANNA)}
    hers, his = book.offers(here, world.ANNA), book.offers(here, BOB)
    assert [one.name for one in his] == [one.name for one in hers[1:]]
    assert book.cards(his, None) != book.cards(hers, None)


def test_cards_with_buttons_are_for_one_browser() -> None:
    here, book = app(), Book(preview.PAGES)
    found = book.offers(here, world.ANNA)
    assert preview.WAITING.proof in book.cards(found, preview.WAITING)
    assert preview.WAITING.proof not in book.cards(found, None)


def test_a_cluster_that_looks_the_same_is_rendered_once() -> None:
    pages = preview.PAGES
    one, other = (
        cast("Any", preview).clusters.cluster(tenant, apis=3, now=world.NOW)
        for tenant, _ in world.tenants()[:2]
    )
    assert pages.card(one) is pages.card(one)
    assert pages.card(one) != pages.card(other)
