"""Rendering: one Jinja2 environment, escaping everywhere, and the frame around every page."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import jinja2
from cachetools import LRUCache
from markupsafe import Markup

from bind_agent.api.text import printable
from bind_agent.backend.pages import assets, links
from bind_agent.backend.pages.assets import Asset
from bind_agent.backend.pages.clusters import Cluster
from bind_agent.backend.person import Person

LANGUAGE: Final = "en"
_NAME: Final = 80
_TOPS: Final = 1024
"""Heads of pages that are kept; about 2 KB each."""
_CARDS: Final = 2048
"""Rendered clusters that are kept; about 1.5 KB each."""


@dataclass(frozen=True, slots=True)
class Frame:
    """What surrounds every page.

    Attributes:
        provider: what the provider is called; cleaned when rendered.
        person: who is signed in; None for nobody.
        operator: whether the operators' view is offered.
        logout: CSRF token of the form that signs out; empty without a session.
        sid: session id of a command line that waits for this browser; links through the catalogue keep it.
    """

    provider: str
    person: Person | None = None
    operator: bool = False
    logout: str = field(default="", repr=False)
    sid: str = ""


@dataclass(frozen=True, slots=True)
class Waiting:
    """A command line that waits for this browser's answer.

    Attributes:
        sid: its session id.
        cluster_id: the app cluster that it binds; foreign text.
        proof: shows that a click on `Bind` came from our page; empty where `/bind` is to ask first.
    """

    sid: str
    cluster_id: str
    proof: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class Trouble:
    """A page that says what went wrong.

    Attributes:
        status: of the HTTP answer.
        title: what happened, in a few words.
        message: a sentence; foreign parts are cleaned and escaped when rendered.
        next_step: what the person can do.
        command: a command to copy, or empty.
        link: where the main button leads, or empty.
        link_text: its words.
    """

    status: int
    title: str
    message: str
    next_step: str = ""
    command: str = ""
    link: str = links.HOME
    link_text: str = "Go to the start page"


class Pages:
    """The pages of one backend, ready to be rendered."""

    def __init__(self) -> None:
        """Read templates and static files of the package."""
        self.assets: Mapping[str, Asset] = assets.load()
        self._cards: LRUCache[Cluster, Markup] = LRUCache(maxsize=_CARDS)
        self._tops: LRUCache[tuple[Frame, str], Markup] = LRUCache(maxsize=_TOPS)
        self._environment = jinja2.Environment(
            loader=jinja2.PackageLoader("bind_agent.backend.pages"),
            autoescape=True,
            undefined=jinja2.StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            auto_reload=False,
        )
        self._environment.filters["plain"] = printable
        self._environment.globals.update(
            asset=lambda name: self.assets[name].url,
            links=links,
            language=LANGUAGE,
            card=self.card,
            top=self.top,
        )
        self._environment.globals["parts"] = self._environment.get_template("parts.html").module
        # Compiling takes tens of milliseconds, for which everybody would wait at the first view of each page.
        for name in self._environment.list_templates(extensions=["html"]):
            self._environment.get_template(name)

    def render(self, template: str, frame: Frame, /, **model: Any) -> str:
        """A whole HTML page.

        Args:
            template: file name in `templates`.
            frame: what surrounds it.
            model: what the template needs; a missing name raises `jinja2.UndefinedError`.
        """
        return self._environment.get_template(template).render(
            frame=frame, provider=printable(frame.provider, _NAME), **model
        )

    def part(self, template: str, /, **model: Any) -> Markup:
        """A part of a page, to be put into one as it is."""
        return Markup(self._environment.get_template(template).render(**model))  # noqa: S704 - escaped by Jinja2

    def top(self, frame: Frame, here: str) -> Markup:
        """The head of a page; for one session it is the same on all pages of one part.

        Args:
            frame: whose.
            here: the part of the site.
        """
        found = self._tops.get((frame, here))
        if found is None:
            who = frame.person
            label = printable(who.name or who.email or who.subject, _NAME) if who else ""
            provider = printable(frame.provider, _NAME)
            found = self.part("top.html", frame=frame, here=here, provider=provider, person_label=label)
            self._tops[frame, here] = found
        return found

    def card(self, one: Cluster) -> Markup:
        """One line of a list of clusters; what is the same for all who look is rendered once."""
        found = self._cards.get(one)
        if found is None:
            found = self._cards[one] = self.part("cluster_card.html", one=one)
        return found

    def trouble(self, trouble: Trouble, frame: Frame) -> str:
        """The page of an error."""
        return self.render("error.html", frame, trouble=trouble)
