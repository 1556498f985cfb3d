"""The pages that the login flow shows: errors, the question before a bind, the end of a session."""

from typing import Any

from aiohttp import web

from bind_agent.api.claim_words import NEVER
from bind_agent.backend.http import csrf, sessions
from bind_agent.backend.http.context import WEB
from bind_agent.backend.http.handlers import logout
from bind_agent.backend.http.headers import STATIC
from bind_agent.backend.http.operators import is_operator
from bind_agent.backend.http.refusal import Refusal
from bind_agent.backend.http.sessions import Session
from bind_agent.backend.pages import catalogue, links, ways
from bind_agent.backend.pages.ages import Ages
from bind_agent.backend.pages.book import Book
from bind_agent.backend.pages.environment import Frame, Pages, Trouble, Waiting
from bind_agent.backend.templates import choose
from bind_agent.backend.views import get


class PageView:
    """Renders pages for requests (`bind_agent.backend.http.view.View`).

    Attributes:
        pages: templates and static files.
        files: paths of the latter.
        book: the catalogue.
        ages: how old credentials are.
    """

    def __init__(self, pages: Pages | None = None) -> None:
        """Set up; without `pages` those of the package are read."""
        self.pages = pages or Pages()
        self.files = frozenset(f"{STATIC}{name}" for name in self.pages.assets)
        self.book = Book(self.pages)
        self.ages = Ages()

    def frame(self, request: web.Request, session: Session | None, *, sid: str = "") -> Frame:
        """What surrounds a page for whoever looks at it."""
        app = request.app[WEB]
        return Frame(
            provider=app.tenancy.pretty_name,
            person=session.person if session else None,
            operator=session is not None and is_operator(app.options, session.person),
            logout=csrf.token(app, session, logout.PURPOSE) if session else "",
            sid=sid,
        )

    def error(self, request: web.Request, refusal: Refusal) -> str:
        """The page of an error, with a way on."""
        session = sessions.current(request)
        link, words = ways.onward(request, refusal, session)
        trouble = Trouble(
            status=refusal.status,
            title=refusal.title,
            message=refusal.message,
            next_step=refusal.advice,
            link=link,
            link_text=words,
        )
        sid = ways.waiting(request, session)
        return self.pages.trouble(trouble, self.frame(request, session, sid=sid))

    def confirm(self, request: web.Request, **model: Any) -> str:
        """The question whether an API is to be bound (model: see `View.confirm`)."""
        app = request.app[WEB]
        session, bind, kind = model["session"], model["bind"], model["kind"]
        choice, crd = choose(app.views.templates_of(kind)), get(app.views.crds, str(kind))
        offer = (
            catalogue.offer(choice, crd, policy=app.policy, provider=app.tenancy.pretty_name)
            if choice is not None and crd is not None
            else None
        ) or catalogue.bare(kind)
        return self.pages.render(
            "confirm_bind.html",
            self.frame(request, session, sid=bind.sid),
            offer=offer,
            waiting=Waiting(bind.sid, bind.cluster_id),
            target=bind.redirect,
            action=model["action"],
            csrf=model["csrf"],
            link=model["link"],
            never=NEVER,
        )

    def signed_out(self, request: web.Request) -> str:
        """The end of a session."""
        return self.pages.render("signed_out.html", self.frame(request, None), login=links.login())
