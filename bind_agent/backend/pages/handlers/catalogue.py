"""`/resources` and `/resources/{name}`: what a person may bind (spec 4.3)."""

from aiohttp import web

from bind_agent.api.claim_words import NEVER
from bind_agent.backend import templates
from bind_agent.backend.access import Kind
from bind_agent.backend.allowed import may_bind
from bind_agent.backend.http import csrf
from bind_agent.backend.http.context import WEB, Web
from bind_agent.backend.http.refusal import Refusal
from bind_agent.backend.http.sessions import Session
from bind_agent.backend.pages import catalogue, links
from bind_agent.backend.pages.environment import Waiting
from bind_agent.backend.pages.handlers.common import bind_url, html, signed_in, view, word
from bind_agent.backend.views import get


async def resources(request: web.Request) -> web.Response:
    """All offers, or those that a search finds."""
    app, session = request.app[WEB], signed_in(request)
    waiting = _waiting(request, app, session)
    search = catalogue.search_text(word(request, "q"))
    book = view(request).book
    found = book.offers(app, session.person)
    shown = catalogue.matching(found, search)
    return html(
        request,
        "catalogue.html",
        session,
        sid=waiting.sid if waiting else "",
        offers=shown,
        cards=book.cards(shown, waiting),
        total=len(found),
        search=search,
        waiting=waiting,
        others=() if waiting else _others(app, session),
        lost=bool(word(request, "s")) and waiting is None,
        bind_url=bind_url(app),
    )


async def resource(request: web.Request) -> web.Response:
    """One offer with its schema.

    Raises:
        Refusal: there is none of this name for this person.
    """
    app, session = request.app[WEB], signed_in(request)
    plural, _, group = request.match_info["name"].partition(".")
    kind = Kind(group, plural)
    choice = templates.choose(app.views.templates_of(kind))
    slim = get(app.views.crds, str(kind))
    offer = None
    if choice is not None and slim is not None and may_bind(choice.template, session.person):
        offer = catalogue.offer(choice, slim, policy=app.policy, provider=app.tenancy.pretty_name)
    if choice is None or offer is None:
        raise Refusal(
            404,
            "not_offered",
            "There is no such API, or it is not offered to you.",
            "Choose another one from the catalogue, or ask the operators of this provider.",
            link=links.CATALOGUE,
        )
    waiting = _waiting(request, app, session)
    return html(
        request,
        "api.html",
        session,
        sid=waiting.sid if waiting else "",
        offer=offer,
        versions=await view(request).book.shelf.versions(app.crds, kind, choice, word(request, "version")),
        waiting=waiting,
        never=NEVER,
        bind_url=bind_url(app),
    )


def _waiting(request: web.Request, app: Web, session: Session) -> Waiting | None:
    bind = session.bind(word(request, "s"))
    if bind is None:
        return None
    return Waiting(bind.sid, bind.cluster_id, csrf.token(app, session, csrf.bind_purpose(bind.sid)))


def _others(app: Web, session: Session) -> tuple[Waiting, ...]:
    """Command lines that wait for this browser while the page is about none of them, the latest first."""
    now = app.clock.now()
    return tuple(Waiting(one.sid, one.cluster_id) for one in reversed(session.binds) if one.waits(now))


def routes() -> list[web.RouteDef]:
    """The catalogue."""
    return [web.get(links.CATALOGUE, resources), web.get(f"{links.CATALOGUE}/{{name}}", resource)]
