"""`/authorize`, `/login` and `/callback`: from a browser to a proven person (spec 4.4; threats A49 to A52)."""

from datetime import timedelta
from typing import Final
from urllib.parse import urlencode

from aiohttp import web

from bind_agent.backend.http import audit, background, csrf, flowstate, login_refusals, redirects, sessions
from bind_agent.backend.http.context import WEB, Web
from bind_agent.backend.http.cookies import TooLarge
from bind_agent.backend.http.flowstate import Flow, StateBroken, StateExpired
from bind_agent.backend.http.limits import remote
from bind_agent.backend.http.offers import away
from bind_agent.backend.http.parameters import bad, challenge, cluster_id, found, one, session_id
from bind_agent.backend.http.refusal import Refusal
from bind_agent.backend.http.sessions import Bind
from bind_agent.backend.oidc.errors import IssuerAway, LoginError
from bind_agent.backend.oidc.flow import CANCELLED, denied, new_nonce, new_verifier
from bind_agent.backend.oidc.flow import challenge as s256
from bind_agent.backend.person import Person
from bind_agent.kube.errors import KubeError

_USED_FOR: Final = flowstate.LIFE + timedelta(minutes=1)


async def authorize(request: web.Request) -> web.Response:
    """Begin the login that a CLI asked for.

    Raises:
        Refusal: no person asked for it, parameters are missing or unusable, or the issuer is away.
    """
    _clicked(request)
    query = request.query
    try:
        redirect = redirects.target(one(query, "u"), one(query, "p"))
    except redirects.BadTarget as error:
        raise bad(f"No answer can be sent to your command line: {error}.") from None
    bind = Bind(
        session_id(query),
        cluster_id(query),
        redirect,
        challenge(query),
        begun=int(request.app[WEB].clock.now().timestamp()),
    )
    return await _begin(request, bind=bind)


async def login(request: web.Request) -> web.Response:
    """Begin a login for the pages alone; `next` is where to go afterwards.

    Raises:
        Refusal: no person asked for it, or the issuer is away.
    """
    _clicked(request)
    return await _begin(request, back=redirects.local(one(request.query, "next") or "/"))


async def callback(request: web.Request) -> web.Response:
    """End a login: the issuer has sent the browser back.

    Raises:
        Refusal: the answer does not belong to this browser, is used, late, or not believed.
    """
    app = request.app[WEB]
    query = request.query
    flow = _flow(request, one(query, "state"))
    if error := one(query, "error", longest=256):
        raise _refused(request, flow, denied(error), cancelled=error == CANCELLED)
    code = one(query, "code")
    if not code:
        raise bad("The answer of the sign-in service carries no code.")
    if app.spent.known(flowstate.SPENT, flow.id):
        raise login_refusals.used(flow)
    issuer = one(query, "iss") if "iss" in query else None
    try:
        person = await app.oidc.login(code, code_verifier=flow.verifier, nonce=flow.nonce, issuer=issuer)
    except LoginError as failure:
        raise _refused(request, flow, failure) from None
    try:
        # Only now: a state that was claimed before a failure of the issuer could not be tried again.
        fresh = await app.spent.use(flowstate.SPENT, flow.id, app.clock.now() + _USED_FOR)
    except KubeError as failure:
        # The issuer takes its code once only.
        raise away("note the login", failure, link=login_refusals.again(flow)) from None
    if not fresh:
        raise login_refusals.used(flow)
    app.audit.record(
        audit.LOGIN,
        person=person,
        outcome=audit.DONE,
        remote=remote(request, app.options.trusted_proxies),
        cluster_id=flow.bind.cluster_id if flow.bind else "",
    )
    return _logged_in(request, app, flow, person)


def _clicked(request: web.Request) -> None:
    if background.unasked(request):
        raise Refusal(403, "not_a_click", "A sign-in begins with a click.", "Open this address yourself.")


async def _begin(request: web.Request, *, bind: Bind | None = None, back: str = "/") -> web.Response:
    app = request.app[WEB]
    now = app.clock.now()
    mark = request.cookies.get(app.cookies.browser, "")
    if not flowstate.is_mark(mark):
        mark = flowstate.new_mark()
    flow = flowstate.begin(
        nonce=new_nonce(), verifier=new_verifier(), mark=mark, now=now, bind=bind, back=back
    )
    try:
        location = await app.oidc.authorization_url(
            state=flowstate.seal(app.keyring, flow, now),
            nonce=flow.nonce,
            code_challenge=s256(flow.verifier),
        )
    except IssuerAway as failure:
        raise login_refusals.issuer_away(failure) from None
    response = found(location)
    app.cookies.set(response, app.cookies.browser, mark, max_age=int(flowstate.MARK_LIFE.total_seconds()))
    return response


def _flow(request: web.Request, state: str) -> Flow:
    """The login that an answer belongs to."""
    app = request.app[WEB]
    mark = request.cookies.get(app.cookies.browser, "")
    try:
        return flowstate.unseal(app.keyring, state, mark=mark, now=app.clock.now())
    except StateExpired as expired:
        raise login_refusals.expired(expired.flow) from None
    except StateBroken:
        _record_refused(request, None, "StateRefused")
        raise login_refusals.not_begun_here() from None


def _logged_in(request: web.Request, app: Web, flow: Flow, person: Person) -> web.Response:
    """A session with a new id; binds under way are taken along from an earlier one of the same person."""
    now = app.clock.now()
    before = sessions.current(request)
    same = before is not None and (before.person.issuer, before.person.subject) == (
        person.issuer,
        person.subject,
    )
    session = sessions.new(person, now, binds=before.binds if before is not None and same else ())
    location = flow.back
    if flow.bind is not None:
        session = sessions.with_bind(session, flow.bind)
        location = f"/resources?{urlencode({'s': flow.bind.sid})}"
        if (kind := app.options.auto_select) is not None:
            proof = csrf.token(app, session, csrf.bind_purpose(flow.bind.sid))
            parameters = {"s": flow.bind.sid, "resource": kind.plural, "group": kind.group, "t": proof}
            location = f"/bind?{urlencode(parameters)}"
    response = found(location)
    try:
        sessions.store(response, app, session)
    except TooLarge:
        raise login_refusals.too_many_groups() from None
    return response


def _refused(request: web.Request, flow: Flow, failure: LoginError, *, cancelled: bool = False) -> Refusal:
    if isinstance(failure, IssuerAway):
        return login_refusals.issuer_away(failure)
    _record_refused(request, flow, failure.reason)
    return login_refusals.refused(flow, failure, cancelled=cancelled)


def _record_refused(request: web.Request, flow: Flow | None, reason: str) -> None:
    app = request.app[WEB]
    app.audit.record(
        audit.LOGIN,
        person=None,
        outcome=audit.REFUSED,
        remote=remote(request, app.options.trusted_proxies),
        cluster_id=flow.bind.cluster_id if flow and flow.bind else "",
        reason=reason,
    )


def routes() -> list[web.RouteDef]:
    """`/authorize`, `/login`, `/callback`; no HEAD, because each of them does something."""
    return [
        web.get("/authorize", authorize, allow_head=False),
        web.get("/login", login, allow_head=False),
        web.get("/callback", callback, allow_head=False),
    ]
