"""`/admin`: every tenant, every export, what is wrong. For operators only."""

from aiohttp import web

from bind_agent.api import keys, meta
from bind_agent.backend import names
from bind_agent.backend.http.context import WEB, Web
from bind_agent.backend.http.operators import is_operator
from bind_agent.backend.http.refusal import Refusal
from bind_agent.backend.http.sessions import Session
from bind_agent.backend.pages import admin, catalogue, condition_view, links
from bind_agent.backend.pages.admin import ExportRow, Tile
from bind_agent.backend.pages.clusters import Cluster
from bind_agent.backend.pages.handlers.clusters import apis_of, cluster_of, token_of
from bind_agent.backend.pages.handlers.common import html, signed_in, word
from bind_agent.backend.tenancy.provision import Tenant
from bind_agent.backend.views import BY_NAMESPACE, BY_ROLE, BY_STATE, TENANT, TROUBLED, get


async def overview(request: web.Request) -> web.Response:
    """Numbers, and the templates."""
    app, session = request.app[WEB], _operator(request)
    views = app.views
    rows = admin.template_rows(
        [entry.object() for entry in views.templates.store.entries()],
        lambda name: get(views.crds, name),
        policy=app.policy,
    )
    tenants = views.namespaces.store.by_index(BY_ROLE, TENANT)
    tiles = [
        _tile("Tenants", len(tenants), len(_troubled(app)), links.ADMIN_TENANTS),
        _tile(
            "Exports",
            len(views.exports.store),
            len(views.exports.store.by_index(BY_STATE, TROUBLED)),
            links.ADMIN_EXPORTS,
        ),
        _tile("Templates", len(rows), sum(not row.usable for row in rows), ""),
    ]
    return html(request, "admin.html", session, tab="overview", tiles=tiles, templates=rows)


async def tenants(request: web.Request) -> web.Response:
    """A page of the tenants."""
    app, session = request.app[WEB], _operator(request)
    search, only = catalogue.search_text(word(request, "q")), word(request, "only") == "trouble"
    found = app.views.namespaces.store.by_index(BY_ROLE, TENANT)
    if only:
        found &= _troubled(app)
    texts = {name: f"{name} {_identity(app, name)}" if search else name for name in found}
    page = admin.cut(admin.found(texts, search), admin.page_number(word(request, "page")))
    return html(
        request,
        "admin_tenants.html",
        session,
        tab="tenants",
        page=admin.each(page, lambda name: _cluster(app, name)),
        search=search,
        only=only,
    )


async def exports(request: web.Request) -> web.Response:
    """A page of the exports of all tenants."""
    app, session = request.app[WEB], _operator(request)
    search, only = catalogue.search_text(word(request, "q")), word(request, "only") == "trouble"
    store = app.views.exports.store
    present = store.by_index(BY_STATE, TROUBLED) if only else list(store.keys())
    page = admin.cut(
        admin.found({key: key for key in present}, search), admin.page_number(word(request, "page"))
    )

    def row(key: str) -> ExportRow | None:
        found = get(app.views.exports, key)
        return None if found is None else admin.export_row(found, app.clock.now())

    return html(
        request,
        "admin_exports.html",
        session,
        tab="exports",
        page=admin.each(page, row),
        search=search,
        only=only,
    )


async def tenant(request: web.Request) -> web.Response:
    """One tenant.

    Raises:
        Refusal: there is none of this name.
    """
    app, session = request.app[WEB], _operator(request)
    found = _tenant(app, request.match_info["namespace"])
    if found is None:
        raise Refusal(
            404, "no_such_tenant", "There is no such tenant.", "It may be gone.", link=links.ADMIN_TENANTS
        )
    store = app.views.service_namespaces.store
    mappings = [store.get(key) for key in sorted(store.by_index(BY_NAMESPACE, found.namespace))]
    return html(
        request,
        "admin_tenant.html",
        session,
        tab="tenants",
        cluster=cluster_of(app, found),
        token=await token_of(app, found),
        conditions=condition_view.rows(found.binding or {}, app.clock.now(), commands=True),
        apis=apis_of(app, found, commands=True),
        namespaces=[admin.mapping(one.object()) for one in mappings[: admin.PAGE_SIZE] if one is not None],
        more=max(0, len(mappings) - admin.PAGE_SIZE),
    )


def _operator(request: web.Request) -> Session:
    session = signed_in(request)
    if not is_operator(request.app[WEB].options, session.person):
        raise Refusal(
            403,
            "operators_only",
            "This page is for the operators of this provider.",
            "If you are one, ask for your account or group to be named by --admin-user or --admin-group.",
        )
    return session


def _tile(title: str, number: int, bad: int, link: str) -> Tile:
    note = f"{bad} with trouble" if bad else "no trouble"
    return Tile(title, f"{number:,}", note, links.listing(link, 1, "", only=True) if bad and link else "")


def _troubled(app: Web) -> frozenset[str]:
    found = app.views.cluster_bindings.store.by_index(BY_STATE, TROUBLED)
    return frozenset(meta.split_key(key)[0] for key in found)


def _tenant(app: Web, name: str) -> Tenant | None:
    return app.tenants.known(name)


def _cluster(app: Web, name: str) -> Cluster | None:
    found = _tenant(app, name)
    return None if found is None else cluster_of(app, found)


def _identity(app: Web, name: str) -> str:
    found = app.views.tenant(name)
    if found is None:
        return ""
    return f"{meta.annotation(found, keys.IDENTITY)} {meta.annotation(found, names.ISSUER)}"


def routes() -> list[web.RouteDef]:
    """The operators' view."""
    return [
        web.get(links.ADMIN, overview),
        web.get(links.ADMIN_TENANTS, tenants),
        web.get(f"{links.ADMIN_TENANTS}/{{namespace}}", tenant),
        web.get(links.ADMIN_EXPORTS, exports),
    ]
