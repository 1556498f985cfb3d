"""`/bind`: the answer for the CLI that waits (spec 4.4 step 7 on; threats A53, A54, W-S8)."""

from urllib.parse import urlencode

from aiohttp import web

from bind_agent.api import payloads
from bind_agent.backend.access import Kind
from bind_agent.backend.http import background, codes, csrf, offers, redirects, sessions
from bind_agent.backend.http.context import VIEW, WEB
from bind_agent.backend.http.ended import refuse_ended
from bind_agent.backend.http.parameters import form, found, one, session_id
from bind_agent.backend.http.refusal import Refusal
from bind_agent.backend.http.sessions import Bind, Session


async def clicked(request: web.Request) -> web.Response:
    """GET: bind when the click provably came from our own page, else ask.

    Raises:
        Refusal: nobody is logged in for this CLI session, or the API is not to be had.
    """
    app = request.app[WEB]
    session, query = sessions.require(request), request.query
    bind = _bind(session, session_id(query))
    kind = offers.kind_of(one(query, "resource", longest=64), one(query, "group", longest=256))
    purpose = csrf.bind_purpose(bind.sid)
    proven = csrf.proves(app, session, purpose, one(query, "t", longest=64)) and not csrf.foreign(request)
    if (proven or app.options.plain_get_bind) and not background.prefetched(request):
        return await _finish(request, session, bind, kind)
    await offers.offered(app, session.person, kind)
    token = csrf.token(app, session, purpose)
    parameters = {"s": bind.sid, "resource": kind.plural, "group": kind.group, "t": token}
    html = request.app[VIEW].confirm(
        request,
        session=session,
        bind=bind,
        kind=kind,
        action="/bind",
        csrf=token,
        # Browsers stop some targets after a form, but not after a link.
        link=f"/bind?{urlencode(parameters)}" if redirects.blocked_after_form(bind.redirect) else "",
    )
    return web.Response(text=html, content_type="text/html")


async def confirmed(request: web.Request) -> web.Response:
    """POST: bind, from the form of our own page.

    Raises:
        Refusal: as for GET, or the form is not ours.
    """
    # Read first: whoever has to sign in is led back to this question.
    given = await form(request)
    sessions.require(request)
    sid = session_id(given)
    session = await csrf.check(request, csrf.bind_purpose(sid))
    kind = offers.kind_of(one(given, "resource", longest=64), one(given, "group", longest=256))
    return await _finish(request, session, _bind(session, sid), kind)


async def _finish(request: web.Request, session: Session, bind: Bind, kind: Kind) -> web.Response:
    app = request.app[WEB]
    await refuse_ended(request, session)
    if bind.challenge:
        await offers.offered(app, session.person, kind)
        await offers.reachable(app, session.person, bind)
        now = app.clock.now()
        code = codes.new(session, bind, group=kind.group, plural=kind.plural, now=now)
        parameters = {"code": codes.seal(app.keyring, code, now), "s": bind.sid}
    else:
        document = await offers.hand_out(request, session.person, bind, kind)
        parameters = {"response": payloads.encode_binding_response(document)}
    return found(redirects.answer(bind.redirect, parameters))


def _bind(session: Session, sid: str) -> Bind:
    bind = session.bind(sid)
    if bind is None:
        raise Refusal(
            409,
            "unknown_session",
            "You did not sign in for this run of the command line, or several others came after it.",
            "Run `kubectl bind` again and follow the address that it prints.",
        )
    return bind


def routes() -> list[web.RouteDef]:
    """`/bind`; no HEAD."""
    return [web.get("/bind", clicked, allow_head=False), web.post("/bind", confirmed)]
