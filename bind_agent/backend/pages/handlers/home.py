"""`/`: who provides, and how one binds."""

from aiohttp import web

from bind_agent.backend.http import sessions
from bind_agent.backend.http.context import WEB
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


def routes() -> list[web.RouteDef]:
    """`/`."""
    return [web.get(links.HOME, home)]
