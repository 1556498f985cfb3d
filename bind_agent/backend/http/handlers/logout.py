"""`POST /logout`: the session ends, for every replica."""

from datetime import UTC, datetime

from aiohttp import web

from bind_agent.backend.http import audit, csrf, sessions
from bind_agent.backend.http.context import VIEW, WEB
from bind_agent.backend.http.limits import remote
from bind_agent.backend.http.offers import away
from bind_agent.backend.http.refusal import wants_page
from bind_agent.kube.errors import KubeError

PURPOSE = "logout"
"""Purpose of the form's token."""


async def logout(request: web.Request) -> web.Response:
    """End the session and have the browser forget it.

    Raises:
        Refusal: the request is not from our own page, or the end cannot be noted now (the session goes on).
    """
    app = request.app[WEB]
    session = await csrf.check(request, PURPOSE)
    try:
        await app.spent.use(sessions.SPENT, session.id, datetime.fromtimestamp(session.expires, UTC))
    except KubeError as error:
        raise away("end your session", error) from None
    app.audit.record(
        audit.LOGOUT,
        person=session.person,
        outcome=audit.DONE,
        remote=remote(request, app.options.trusted_proxies),
    )
    if wants_page(request):
        sessions.forget(request)
        response = web.Response(text=request.app[VIEW].signed_out(request), content_type="text/html")
    else:
        response = web.Response(status=204)
    app.cookies.forget(response)
    return response


def routes() -> list[web.RouteDef]:
    """`/logout`."""
    return [web.post("/logout", logout)]
