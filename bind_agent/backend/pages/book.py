"""The catalogue as it stands: worked out when templates or CRDs have changed, not for everybody who looks."""

from collections.abc import Sequence
from typing import Final

from cachetools import LRUCache
from markupsafe import Markup

from bind_agent.api.meta import Object
from bind_agent.backend.allowed import may_bind
from bind_agent.backend.http.context import Web
from bind_agent.backend.pages import catalogue
from bind_agent.backend.pages.catalogue import Offer
from bind_agent.backend.pages.environment import Pages, Waiting
from bind_agent.backend.pages.shelf import Shelf
from bind_agent.backend.person import Person
from bind_agent.backend.views import get

_SHOWN: Final = 256
"""Lists of cards that are kept; people who may bind the same see the same."""


class Book:
    """The offers of one provider.

    Attributes:
        shelf: the fields of each.
    """

    def __init__(self, pages: Pages) -> None:
        """Start empty."""
        self._pages = pages
        self.shelf = Shelf(pages)
        self._edition: tuple[object, ...] = ()
        self._listed: list[tuple[Object, Offer]] = []
        self._cards: LRUCache[tuple[str, ...], Markup] = LRUCache(maxsize=_SHOWN)

    def offers(self, app: Web, person: Person) -> list[Offer]:
        """What a person may bind, by name."""
        self._bring_up_to_date(app)
        return [one for template, one in self._listed if may_bind(template, person)]

    def cards(self, found: Sequence[Offer], waiting: Waiting | None) -> Markup:
        """Offers of `offers` as cards; with a button each while a command line waits."""
        if waiting is not None:
            return self._pages.part("cards.html", offers=found, waiting=waiting)
        names = tuple(one.name for one in found)
        cards = self._cards.get(names)
        if cards is None:
            cards = self._cards[names] = self._pages.part("cards.html", offers=found, waiting=None)
        return cards

    def _bring_up_to_date(self, app: Web) -> None:
        views = app.views
        edition = (views, views.templates.store.changes, views.crds.store.changes)
        if edition == self._edition:
            return
        self._listed = catalogue.listed(
            [entry.object() for entry in views.templates.store.entries()],
            lambda name: get(views.crds, name),
            policy=app.policy,
            provider=app.tenancy.pretty_name,
        )
        self._edition = edition
        self._cards.clear()
