"""What a person may change about an own cluster: each is asked first, then done once, then noted.

A GET shows what would happen and changes nothing; the form on it carries a token for this session, this cluster and
this change (threat A53).
"""

from datetime import timedelta
from typing import Final

from aiohttp import web

from bind_agent.api import meta
from bind_agent.api.meta import Object
from bind_agent.backend import names
from bind_agent.backend.access import Kind
from bind_agent.backend.http import audit, csrf
from bind_agent.backend.http.context import WEB, Web
from bind_agent.backend.http.ended import refuse_ended
from bind_agent.backend.http.parameters import form, one
from bind_agent.backend.http.refusal import Refusal
from bind_agent.backend.http.sessions import Session
from bind_agent.backend.pages import asks, caught_up, links, notices
from bind_agent.backend.pages.asks import Ask
from bind_agent.backend.pages.handlers.clusters import api_of, cluster_of
from bind_agent.backend.pages.handlers.common import html, own_tenant, signed_in
from bind_agent.backend.pages.handlers.recorded import (
    recorded,
    refuse_an_operators_end,
    refuse_no_end,
    revoked,
)
from bind_agent.backend.tenancy.provision import Tenant, TenantRevoked
from bind_agent.backend.tenancy.revocation import revoked_by

OVERLAP: Final = timedelta(minutes=10)
"""How long the old credential works after a rotation, as on the command line."""


def purpose(action: str, namespace: str, name: str = "") -> str:
    """What a form's token is for."""
    return f"{action}/{namespace}/{name}"


async def ask_rotate(request: web.Request) -> web.Response:
    """Whether to rotate."""
    session = signed_in(request)
    tenant = await own_tenant(request, session)
    if by := revoked_by(tenant.binding or {}):
        raise revoked(tenant, by)
    ask = asks.rotate(cluster_of(request.app[WEB], tenant), OVERLAP)
    return _ask(request, session, ask, purpose(asks.ROTATE, tenant.namespace))


async def rotate(request: web.Request) -> web.Response:
    """A new credential; the old one ends after the overlap."""
    app, session, tenant = await _meant(request, asks.ROTATE)
    async with recorded(request, session, tenant, audit.ROTATE):
        state = await app.tenants.rotate(tenant, overlap=OVERLAP)
    await caught_up.until(caught_up.rotation(app.views, tenant.namespace, state.generation))
    return _done(app, session, tenant, asks.ROTATE)


async def ask_revoke(request: web.Request) -> web.Response:
    """Whether to revoke; also what was revoked before, because that may have been broken off in the middle."""
    session = signed_in(request)
    tenant = await own_tenant(request, session)
    if (by := revoked_by(tenant.binding or {})) == names.BY_OPERATOR:
        raise revoked(tenant, by)
    ask = asks.revoke(cluster_of(request.app[WEB], tenant))
    return _ask(request, session, ask, purpose(asks.REVOKE, tenant.namespace))


async def revoke(request: web.Request) -> web.Response:
    """The end of every credential of the cluster; a login lets its person back in."""
    app, session, tenant = await _meant(request, asks.REVOKE)
    async with recorded(request, session, tenant, audit.REVOKE):
        if (by := await app.tenants.revoke(tenant, delete=False, by=names.BY_PERSON)) != names.BY_PERSON:
            raise TenantRevoked("an operator was first", by)
    await caught_up.until(caught_up.revocation(app.views, tenant.namespace, by))
    return _done(app, session, tenant, asks.REVOKE)


async def ask_unbind(request: web.Request) -> web.Response:
    """Whether to take an API off."""
    session = signed_in(request)
    tenant = await own_tenant(request, session)
    app = request.app[WEB]
    export = _export(app, tenant, request)
    refuse_an_operators_end(tenant, export)
    ask = asks.unbind(cluster_of(app, tenant), api_of(app, export))
    return _ask(request, session, ask, purpose(asks.UNBIND, tenant.namespace, meta.name(export)))


async def unbind(request: web.Request) -> web.Response:
    """Announce the end of an API on the cluster; its binding there says so at once.

    Raises:
        Refusal: the time is none of those that were offered, or as for every change.
    """
    app, session, tenant = await _meant(request, asks.UNBIND, request.match_info["name"])
    export = _export(app, tenant, request)
    chosen = asks.GRACES.get(one(await form(request), "choice", longest=8))
    if chosen is None:
        raise Refusal(
            400, "bad_choice", "The form does not say when the API is to end.", "Open the page again."
        )
    kind = _kind(export)
    async with recorded(request, session, tenant, audit.UNBIND, str(kind)):
        planned = await app.tenants.retirements.retire(
            tenant.namespace, kind, at=app.clock.now() + chosen, by=names.BY_PERSON
        )
    await caught_up.until(caught_up.end(app.views, tenant.namespace, str(kind), planned.at))
    return _done(app, session, tenant, asks.UNBIND)


async def ask_keep(request: web.Request) -> web.Response:
    """Whether to take the end of an API back."""
    session = signed_in(request)
    tenant = await own_tenant(request, session)
    app = request.app[WEB]
    export = _export(app, tenant, request)
    refuse_no_end(tenant, export)
    refuse_an_operators_end(tenant, export)
    ask = asks.keep(cluster_of(app, tenant), api_of(app, export))
    return _ask(request, session, ask, purpose(asks.KEEP, tenant.namespace, meta.name(export)))


async def keep(request: web.Request) -> web.Response:
    """Take the end of an API back that the person announced."""
    app, session, tenant = await _meant(request, asks.KEEP, request.match_info["name"])
    kind = _kind(_export(app, tenant, request))
    async with recorded(request, session, tenant, audit.KEEP, str(kind)):
        await app.tenants.retirements.restore(tenant.namespace, kind, by=names.BY_PERSON)
    await caught_up.until(caught_up.end(app.views, tenant.namespace, str(kind), None))
    return _done(app, session, tenant, asks.KEEP)


def _export(app: Web, tenant: Tenant, request: web.Request) -> Object:
    """The export of an own cluster that the path names.

    Raises:
        Refusal: the cluster has none of this name.
    """
    name = request.match_info["name"]
    for found in app.views.exports_in(tenant.namespace):
        if meta.name(found) == name and not meta.is_deleting(found):
            return found
    raise Refusal(
        404,
        "not_bound",
        "This cluster has no such API; perhaps it has ended already.",
        "Look at what it has.",
        link=links.cluster(tenant.namespace),
    )


def _kind(export: Object) -> Kind:
    plural, _, group = meta.name(export).partition(".")
    return Kind(group, plural)


def _ask(request: web.Request, session: Session, ask: Ask, token_purpose: str) -> web.Response:
    token = csrf.token(request.app[WEB], session, token_purpose)
    return html(request, "confirm_change.html", session, ask=ask, csrf=token)


async def _meant(request: web.Request, action: str, name: str = "") -> tuple[Web, Session, Tenant]:
    """The session and the own cluster of a change that is proven to be meant, by somebody who is still logged in.

    Raises:
        Refusal: it is not, or the cluster is somebody else's.
    """
    session = await csrf.check(request, purpose(action, request.match_info["namespace"], name))
    tenant = await own_tenant(request, session)
    await refuse_ended(request, session)
    return request.app[WEB], session, tenant


def _done(app: Web, session: Session, tenant: Tenant, action: str) -> web.Response:
    # 303: going back or loading again never repeats the change.
    response = web.Response(status=303, headers={"Location": links.cluster(tenant.namespace)})
    notices.leave(response, app, session, tenant.namespace, action)
    return response


def routes() -> list[web.RouteDef]:
    """Questions and changes."""
    base = f"{links.CLUSTERS}/{{namespace}}"
    return [
        web.get(f"{base}/{asks.ROTATE}", ask_rotate),
        web.post(f"{base}/{asks.ROTATE}", rotate),
        web.get(f"{base}/{asks.REVOKE}", ask_revoke),
        web.post(f"{base}/{asks.REVOKE}", revoke),
        web.get(f"{base}/exports/{{name}}/{asks.UNBIND}", ask_unbind),
        web.post(f"{base}/exports/{{name}}/{asks.UNBIND}", unbind),
        web.get(f"{base}/exports/{{name}}/{asks.KEEP}", ask_keep),
        web.post(f"{base}/exports/{{name}}/{asks.KEEP}", keep),
    ]
