"""What a person may change about an own cluster: each is asked first, then done once, then noted.

A GET shows what would happen and changes nothing; the form on it carries a token for this session, this cluster and
this change (threat A53).
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
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
from bind_agent.backend.http.limits import remote
from bind_agent.backend.http.offers import away
from bind_agent.backend.http.parameters import form, one
from bind_agent.backend.http.refusal import Refusal
from bind_agent.backend.http.sessions import Session
from bind_agent.backend.pages import asks, links
from bind_agent.backend.pages.asks import Ask
from bind_agent.backend.pages.handlers.clusters import api_of, cluster_of
from bind_agent.backend.pages.handlers.common import html, own_tenant, signed_in
from bind_agent.backend.pages.times import length
from bind_agent.backend.retiring import RetiringError
from bind_agent.backend.tenancy.address import AddressError
from bind_agent.backend.tenancy.credentials import TooManyCredentials
from bind_agent.backend.tenancy.provision import TenancyError, Tenant, TenantRevoked
from bind_agent.backend.tenancy.revocation import revoked_by
from bind_agent.kube.errors import KubeError

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
        raise _revoked(tenant, by)
    ask = asks.rotate(cluster_of(request.app[WEB], tenant), OVERLAP)
    return _ask(request, session, ask, purpose(asks.ROTATE, tenant.namespace))


async def rotate(request: web.Request) -> web.Response:
    """A new credential; the old one ends after the overlap."""
    app, session, tenant = await _meant(request, asks.ROTATE)
    async with _recorded(request, session, tenant, audit.ROTATE):
        await app.tenants.rotate(tenant, overlap=OVERLAP)
    return _done(tenant, asks.ROTATE)


async def ask_revoke(request: web.Request) -> web.Response:
    """Whether to revoke; also what was revoked before, because that may have been broken off in the middle."""
    session = signed_in(request)
    tenant = await own_tenant(request, session)
    if (by := revoked_by(tenant.binding or {})) == names.BY_OPERATOR:
        raise _revoked(tenant, by)
    ask = asks.revoke(cluster_of(request.app[WEB], tenant))
    return _ask(request, session, ask, purpose(asks.REVOKE, tenant.namespace))


async def revoke(request: web.Request) -> web.Response:
    """The end of every credential of the cluster; a login lets its person back in."""
    app, session, tenant = await _meant(request, asks.REVOKE)
    async with _recorded(request, session, tenant, audit.REVOKE):
        if (by := await app.tenants.revoke(tenant, delete=False, by=names.BY_PERSON)) != names.BY_PERSON:
            raise TenantRevoked("an operator was first", by)
    return _done(tenant, asks.REVOKE)


async def ask_unbind(request: web.Request) -> web.Response:
    """Whether to take an API off."""
    session = signed_in(request)
    tenant = await own_tenant(request, session)
    app = request.app[WEB]
    export = _export(app, tenant, request)
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
    async with _recorded(request, session, tenant, audit.UNBIND, str(kind)):
        await app.tenants.retirements.retire(
            tenant.namespace, kind, at=app.clock.now() + chosen, by=names.BY_PERSON
        )
    return _done(tenant, asks.UNBIND)


async def ask_keep(request: web.Request) -> web.Response:
    """Whether to take the end of an API back."""
    session = signed_in(request)
    tenant = await own_tenant(request, session)
    app = request.app[WEB]
    export = _export(app, tenant, request)
    ask = asks.keep(cluster_of(app, tenant), api_of(app, export))
    return _ask(request, session, ask, purpose(asks.KEEP, tenant.namespace, meta.name(export)))


async def keep(request: web.Request) -> web.Response:
    """Take the end of an API back that the person announced."""
    app, session, tenant = await _meant(request, asks.KEEP, request.match_info["name"])
    kind = _kind(_export(app, tenant, request))
    async with _recorded(request, session, tenant, audit.KEEP, str(kind)):
        await app.tenants.retirements.restore(tenant.namespace, kind, by=names.BY_PERSON)
    return _done(tenant, asks.KEEP)


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


def _revoked(tenant: Tenant, by: str) -> Refusal:
    """The answer to a change of what was revoked before, and nothing of it was this person's doing now."""
    if by == names.BY_OPERATOR:
        message = "An operator of this provider has revoked this cluster already, so nothing was changed."
        advice = "Ask the operators; only they let it in again."
    else:
        message = "The credential of this cluster was revoked, so there is nothing to rotate."
        if by == names.BY_REAPER:
            message = (
                "The provider revoked the credential of this cluster because it had heard nothing of it for long, so"
                " there is nothing to rotate."
            )
        advice = "Bind an API again on the command line; that issues a new one."
    return Refusal(409, "tenant_revoked", message, advice, link=links.cluster(tenant.namespace))


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


@asynccontextmanager
async def _recorded(
    request: web.Request, session: Session, tenant: Tenant, action: str, resource: str = ""
) -> AsyncIterator[None]:
    """Write the audit line of a change, however it ends, and answer its failures."""
    app = request.app[WEB]
    outcome, reason = audit.FAILED, ""
    try:
        yield
        outcome = audit.DONE
    except TenantRevoked as error:
        outcome, reason = audit.REFUSED, "TenantRevoked"
        raise _revoked(tenant, error.by) from error
    except TooManyCredentials as error:
        outcome, reason = audit.REFUSED, "TooManyCredentials"
        wait = error.again - app.clock.now()
        raise Refusal(
            429,
            "too_many_credentials",
            "Too many earlier credentials of this cluster still work, so no further one was issued.",
            f"You can rotate again in {length(wait)}. If one has leaked, revoke all of them.",
            retry_after=max(1, int(wait.total_seconds())),
            link=links.cluster(tenant.namespace),
        ) from error
    except RetiringError as error:
        outcome, reason = audit.REFUSED, "RetiringError"
        raise Refusal(
            409,
            "not_yours_to_change",
            f"This cannot be changed here: {error}.",
            "Look at the page of the cluster again.",
            link=links.cluster(tenant.namespace),
        ) from error
    except (TenancyError, AddressError) as error:
        reason = type(error).__name__
        raise Refusal(
            503,
            "tenant_not_ready",
            f"This cannot be done now: {error}.",
            "Tell the operator of this provider.",
        ) from error
    except KubeError as error:
        reason = type(error).__name__
        raise away(f"{action} a credential" if not resource else f"{action} an API", error) from None
    finally:
        app.audit.record(
            action,
            person=session.person,
            outcome=outcome,
            remote=remote(request, app.options.trusted_proxies),
            tenant=tenant.namespace,
            cluster_id=tenant.who.cluster_id if tenant.who else "",
            resource=resource,
            reason=reason,
        )


def _done(tenant: Tenant, action: str) -> web.Response:
    # 303: going back or loading again never repeats the change.
    return web.Response(status=303, headers={"Location": f"{links.cluster(tenant.namespace)}?done={action}"})


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
