"""`/`: who provides, and how one binds; `/session-ended`: where an open page goes when nobody is signed in any more."""

from aiohttp import web

from bind_agent.backend.http import redirects, sessions
from bind_agent.backend.http.context import WEB
from bind_agent.backend.http.parameters import one
from bind_agent.backend.pages import links
from bind_agent.backend.pages.handlers.common import bind_url, html


async def home(request: web.Request) -> web.Response:
    """For everybody, signed in or not."""
    app = request.app[WEB]
    session = sessions.current(request)
    trouble = app.oidc.trouble if session is None else ""
    return html(
        request,
        "home.html",
        session,
        login=links.login(),
        trouble=f"Nobody can sign in at the moment. {trouble}" if trouble else "",
        bind_url=bind_url(app),
    )


async def ended(request: web.Request) -> web.Response:
    """That a session has ended. It begins no login: only its link does.

    Raises:
        Refusal: `next` is given twice or too long.
    """
    back = redirects.local(one(request.query, "next") or links.HOME)
    session = sessions.current(request)
    return html(request, "session_ended.html", session, link=links.login(back) if session is None else back)


def routes() -> list[web.RouteDef]:
    """`/` and `/session-ended`."""
    return [web.get(links.HOME, home), web.get(links.ENDED, ended)]
