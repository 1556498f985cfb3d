"""What the handlers of pages share."""

from typing import Any, Final
from urllib.parse import urlsplit

from aiohttp import web

from bind_agent.backend.http import background, redirects, sessions
from bind_agent.backend.http.context import VIEW, WEB, Web
from bind_agent.backend.http.offers import away
from bind_agent.backend.http.parameters import one
from bind_agent.backend.http.refusal import Refusal
from bind_agent.backend.http.sessions import Session
from bind_agent.backend.pages import links
from bind_agent.backend.pages.view import PageView
from bind_agent.backend.tenancy.provision import Tenant
from bind_agent.kube.errors import KubeError

_CURRENT: Final = "HX-Current-URL"
_REDIRECT: Final = "HX-Redirect"


def view(request: web.Request) -> PageView:
    """The view of the application.

    Raises:
        TypeError: it was put together with another one than `PageView`.
    """
    found = request.app[VIEW]
    if not isinstance(found, PageView):
        raise TypeError("these handlers render with PageView")
    return found


def html(
    request: web.Request, template: str, session: Session | None, *, sid: str = "", **model: Any
) -> web.Response:
    """A page."""
    shown = view(request)
    text = shown.pages.render(template, shown.frame(request, session, sid=sid), **model)
    return web.Response(text=text, content_type="text/html", headers={"Vary": "Cookie"})


def signed_in(request: web.Request) -> Session:
    """The session of whoever looks at a page.

    Raises:
        web.HTTPFound: nobody is signed in: to the login and back.
        web.HTTPOk: likewise, and a part of an open page was asked for: to a page that says so, where a click begins the
            login. A page that was left open must not sign anybody in.
        Refusal: likewise, for what is no page.
    """
    if background.of_a_page(request) and sessions.current(request) is None:
        raise web.HTTPOk(headers={_REDIRECT: links.ended(_open_page(request))})
    return sessions.require(request)


def _open_page(request: web.Request) -> str:
    """The page that asks for a part of itself."""
    try:
        parts = urlsplit(request.headers.get(_CURRENT, ""))
    except ValueError:
        parts = urlsplit("")
    if f"{parts.scheme}://{parts.netloc}" != request.app[WEB].options.origin:
        return redirects.local(request.rel_url.raw_path_qs)
    return redirects.local(f"{parts.path}?{parts.query}" if parts.query else parts.path)


async def own_tenant(request: web.Request, session: Session) -> Tenant:
    """The cluster that the path names, if it is the person's own.

    Raises:
        Refusal: it is not, or there is none; which of the two is nobody's business.
    """
    wanted = request.match_info["namespace"]
    for tenant in await tenants_of(request.app[WEB], session):
        if tenant.namespace == wanted:
            return tenant
    raise Refusal(
        404,
        "no_such_cluster",
        "You have no cluster of this name here.",
        "Look at the list of your clusters; perhaps you are signed in as somebody else.",
        link=links.CLUSTERS,
        title="There is no such cluster",
    )


async def tenants_of(app: Web, session: Session) -> list[Tenant]:
    """All clusters of a person.

    Raises:
        Refusal: they cannot be read now.
    """
    person = session.person
    try:
        return list(await app.tenants.of_person(person.issuer, person.subject))
    except KubeError as error:
        raise away("look for your clusters", error) from None


def bind_url(app: Web) -> str:
    """What is typed after `kubectl bind`."""
    return f"{app.options.origin}/export"


def word(request: web.Request, name: str) -> str:
    """A short parameter of the query.

    Raises:
        Refusal: it is given twice or too long.
    """
    return one(request.query, name, longest=200)
