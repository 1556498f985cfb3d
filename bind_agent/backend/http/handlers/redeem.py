"""`POST /redeem`: our CLI exchanges its one-time code for the BindingResponse (threats A54)."""

import hmac
import re
from typing import Final

import msgspec
import orjson
from aiohttp import web

from bind_agent.backend.access import Kind
from bind_agent.backend.http import audit, codes, offers, sessions
from bind_agent.backend.http.context import WEB
from bind_agent.backend.http.limits import remote
from bind_agent.backend.http.refusal import Refusal
from bind_agent.backend.oidc.flow import challenge
from bind_agent.kube.errors import KubeError

_VERIFIER: Final = re.compile(r"[A-Za-z0-9._~-]{43,128}")
_AGAIN: Final = "Click Bind in the browser once more, or run `kubectl bind` again."


class Redemption(msgspec.Struct, forbid_unknown_fields=True):
    """Body of the request."""

    code: str
    code_verifier: str


async def redeem(request: web.Request) -> web.Response:
    """Answer with the BindingResponse, once.

    Raises:
        Refusal: 400 for another body, 403 for a verifier that does not fit or a person who may not (any more),
            410 for a code that is used, late or not ours, 503 when the tenant cannot be made now (the code
            can be tried again then).
    """
    app = request.app[WEB]
    body = await _body(request)
    try:
        code = codes.unseal(app.keyring, body.code)
    except codes.CodeBroken:
        raise Refusal(410, "code_unknown", "This is no code of this provider.", _AGAIN) from None
    # First: without the verifier nobody learns whether a code is still good, nor uses it up.
    if not hmac.compare_digest(challenge(body.code_verifier), code.bind.challenge):
        app.audit.record(
            audit.REDEEM,
            person=code.person,
            outcome=audit.REFUSED,
            remote=remote(request, app.options.trusted_proxies),
            cluster_id=code.bind.cluster_id,
            reason="WrongVerifier",
        )
        raise Refusal(403, "wrong_verifier", "The verifier does not belong to this code.", _AGAIN)
    if code.expired(app.clock.now()):
        raise Refusal(410, "code_expired", "This code is older than a minute.", _AGAIN)
    try:
        if await app.spent.used(sessions.SPENT, code.session):
            raise Refusal(403, "logged_out", "The person has signed out since.", _AGAIN)
        if await app.spent.used(codes.SPENT, code.id):
            raise _used()
        document = await offers.hand_out(request, code.person, code.bind, Kind(code.group, code.plural))
        # Last: an attempt that failed on the way can be repeated, and of several at once one gets the answer.
        if not await app.spent.use(codes.SPENT, code.id, app.clock.now() + codes.LIFE):
            raise _used()
    except KubeError as error:
        raise offers.away("note the code", error) from None
    return web.Response(body=orjson.dumps(document), content_type="application/json")


def _used() -> Refusal:
    return Refusal(410, "code_used", "This code has been used before.", _AGAIN)


async def _body(request: web.Request) -> Redemption:
    if request.content_type != "application/json":
        raise Refusal(400, "bad_request", "The body must be JSON (Content-Type: application/json).")
    try:
        found = msgspec.json.decode(await request.read(), type=Redemption)
    except msgspec.DecodeError:
        # The decoder's text may quote the body.
        raise Refusal(
            400, "bad_request", 'The body must be {"code": "…", "code_verifier": "…"} and nothing else.'
        ) from None
    if not _VERIFIER.fullmatch(found.code_verifier):
        raise Refusal(400, "bad_request", "code_verifier must be 43 to 128 unreserved characters (RFC 7636).")
    return found


def routes() -> list[web.RouteDef]:
    """`/redeem`."""
    return [web.post("/redeem", redeem)]
