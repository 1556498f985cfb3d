"""`/clusters` and `/clusters/{namespace}`: what a person has bound."""

import asyncio

import structlog
from aiohttp import web

from bind_agent.api.claim_words import NEVER
from bind_agent.api.meta import Object
from bind_agent.backend.http import background
from bind_agent.backend.http.context import WEB, Web
from bind_agent.backend.pages import asks, clusters, condition_view, credential_view, links, notices
from bind_agent.backend.pages.ages import PATIENCE
from bind_agent.backend.pages.clusters import Api, Cluster
from bind_agent.backend.pages.credential_view import TokenView
from bind_agent.backend.pages.handlers.common import (
    bind_url,
    html,
    own_tenant,
    signed_in,
    tenants_of,
    view,
)
from bind_agent.backend.tenancy.provision import Tenant
from bind_agent.backend.tenancy.rotation import Credential
from bind_agent.backend.views import BY_NAMESPACE
from bind_agent.kube.errors import KubeError
from bind_agent.runtime.faults import describe

log = structlog.get_logger(__name__)


async def mine(request: web.Request) -> web.Response:
    """All clusters of the person."""
    app, session = request.app[WEB], signed_in(request)
    tenants = await tenants_of(app, session)
    states = await view(request).ages.of(tenants, keeper=app.tenants, clock=app.clock)
    found = [cluster_of(app, one, state) for one, state in zip(tenants, states, strict=True)]
    return html(request, "clusters.html", session, clusters=clusters.worst(found), bind_url=bind_url(app))


async def one(request: web.Request) -> web.Response:
    """One cluster of the person."""
    app, session = request.app[WEB], signed_in(request)
    tenant = await own_tenant(request, session)
    # What asks for a part of the page does not show what is said above it.
    done = "" if background.of_a_page(request) else notices.found(request, app, session, tenant.namespace)
    response = html(
        request,
        "cluster.html",
        session,
        cluster=cluster_of(app, tenant),
        token=await token_of(app, tenant),
        apis=apis_of(app, tenant),
        conditions=condition_view.rows(tenant.binding or {}, app.clock.now()),
        may_change=True,
        done=asks.DONE.get(done, ""),
        never=NEVER,
    )
    if done:
        notices.drop(response, app)
    return response


def cluster_of(app: Web, tenant: Tenant, state: Credential | None = None) -> Cluster:
    """A tenant with what is known about it at this moment."""
    return clusters.cluster(
        tenant,
        apis=len(app.views.exports.store.by_index(BY_NAMESPACE, tenant.namespace)),
        now=app.clock.now(),
        # A list does not say it.
        since="" if state is not None else tenant.since,
        state=state,
    )


def apis_of(app: Web, tenant: Tenant, *, commands: bool = False) -> list[Api]:
    """The exports of a tenant, those on their way out last; for operators with the commands that help."""
    found = [api_of(app, export, commands=commands) for export in app.views.exports_in(tenant.namespace)]
    return sorted(found, key=lambda one: one.removing)


def api_of(app: Web, export: Object, *, commands: bool = False) -> Api:
    """One export."""
    return clusters.api(export, provider=app.tenancy.pretty_name, now=app.clock.now(), commands=commands)


async def token_of(app: Web, tenant: Tenant) -> TokenView | None:
    """The credential of a tenant without its content; None when it cannot be looked at now."""
    try:
        async with asyncio.timeout(PATIENCE):
            state = await app.tenants.credential(tenant)
    except (KubeError, TimeoutError) as error:
        log.info("a credential could not be looked at", namespace=tenant.namespace, error=describe(error))
        return None
    return credential_view.token(state, namespace=tenant.namespace, now=app.clock.now())


def routes() -> list[web.RouteDef]:
    """The person's clusters."""
    return [web.get(links.CLUSTERS, mine), web.get(f"{links.CLUSTERS}/{{namespace}}", one)]
