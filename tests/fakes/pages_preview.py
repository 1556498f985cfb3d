"""Every page in every state, rendered from made-up data by the shipped templates, and served as the backend does it.

For tests that look at pages alone: what a login, a session or a cluster have to do with them is tested on real ones.
`python -m tests.fakes.pages_preview` serves them on 127.0.0.1:8099.
"""

from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any, Final

from aiohttp import web

from bind_agent.api.claim_words import NEVER
from bind_agent.api.meta import Object
from bind_agent.backend import templates
from bind_agent.backend.exports import Policy
from bind_agent.backend.http.headers import STATIC
from bind_agent.backend.pages import (
    admin,
    asks,
    catalogue,
    clusters,
    condition_view,
    credential_view,
    links,
)
from bind_agent.backend.pages.condition_view import Badge, Tone
from bind_agent.backend.pages.environment import Frame, Pages, Trouble, Waiting
from bind_agent.backend.pages.shelf import Shown
from bind_agent.backend.person import Person
from bind_agent.backend.tenancy.directory import Tenant
from bind_agent.backend.tenancy.revocation import revoked_by
from bind_agent.backend.tenancy.rotation import Credential
from tests.fakes import pages_world as world

CSP: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self';"
    " form-action 'self' http://127.0.0.1:* http://localhost:*; base-uri 'none'; frame-ancestors 'none'"
)

PAGES: Final = Pages()
SIGNED_IN: Final = Frame(world.PROVIDER, world.ANNA, operator=True, logout="csrf-logout")
SIGNED_OUT: Final = Frame(world.PROVIDER)
OTHERS: Final = (Waiting("sid-2", "shop-production"), Waiting("sid-3", "shop-staging"))
WAITING: Final = Waiting("sid-1", "3f1c9a52-71b4-4c0d-9c7e-1b2a6f0d9e11", "proof-1")


def offers(*, scope: str = "Namespaced") -> list[catalogue.Offer]:
    """The catalogue of the made-up provider."""
    found, crds = world.catalogue()
    return catalogue.offers(
        found, crds.get, policy=Policy(scope=scope), provider=world.PROVIDER, allowed=lambda _: True
    )


def page(path: str, query: Mapping[str, str]) -> tuple[int, str]:
    """Status and HTML of a page; raises KeyError for a path that there is not."""
    if path == "/resources":
        return 200, _catalogue(query)
    return _PAGES[path]()


def _catalogue(query: Mapping[str, str]) -> str:
    found = offers() if "empty" not in query else []
    search = catalogue.search_text(query.get("q", ""))
    shown = catalogue.matching(found, search)
    waiting = WAITING if query.get("s") == WAITING.sid else None
    return PAGES.render(
        "catalogue.html",
        SIGNED_IN,
        offers=shown,
        cards=PAGES.part("cards.html", offers=shown, waiting=waiting),
        total=len(found),
        search=search,
        waiting=waiting,
        others=OTHERS if "others" in query else (),
        lost=query.get("s") == "gone",
        bind_url=world.BIND_URL,
    )


def _home(frame: Frame, **model: Any) -> tuple[int, str]:
    return 200, PAGES.render(
        "home.html", frame, **{"login": "/login", "trouble": "", "bind_url": world.BIND_URL, **model}
    )


def shown(choice: templates.Choice, crd: Object) -> list[Shown]:
    """Versions of an API with the fields of the first."""
    return [
        Shown(one.name, one.deprecated, PAGES.part("fields.html", whole=one.whole) if one.whole else None)
        for one in catalogue.versions(choice, crd)
    ]


def _api(name: str, waiting: Waiting | None = None) -> tuple[int, str]:
    found, crds = world.catalogue()
    choice = templates.choose([one for one in found if str(templates.selected_kind(one)) == name])
    assert choice is not None
    offer = next(one for one in offers() if one.name == name)
    return 200, PAGES.render(
        "api.html",
        SIGNED_IN,
        offer=offer,
        versions=shown(choice, crds[name]),
        waiting=waiting,
        never=NEVER,
        bind_url=world.BIND_URL,
    )


def _confirm_bind() -> tuple[int, str]:
    offer = next(one for one in offers() if one.plural == "postgresinstances")
    return 200, PAGES.render(
        "confirm_bind.html",
        SIGNED_IN,
        offer=offer,
        waiting=WAITING,
        target="http://127.0.0.1:43211",
        action="/bind",
        link="",
        csrf="csrf-1",
        never=NEVER,
    )


def state_of(tenant: Tenant) -> Credential:
    """What the Secret of a tenant says; of what was revoked nothing is left."""
    return Credential() if revoked_by(tenant.binding or {}) else world.credential(tenant.namespace)


def _rows() -> list[clusters.Cluster]:
    since = "2026-10-02T08:00:00Z"
    found = [
        clusters.cluster(one, apis=apis, now=world.NOW, since=since, state=state_of(one))
        for one, apis in world.tenants()
    ]
    return list(clusters.worst(found))


def _clusters(*, empty: bool = False) -> tuple[int, str]:
    found = [] if empty else _rows()
    return 200, PAGES.render("clusters.html", SIGNED_IN, clusters=found, bind_url=world.BIND_URL)


def _cluster(number: int, *, done: str = "", bare: bool = False) -> tuple[int, str]:
    tenant, apis = world.tenants()[number]
    state = state_of(tenant)
    found = [] if bare else world.exports(tenant.namespace)
    return 200, PAGES.render(
        "cluster.html",
        SIGNED_IN,
        cluster=clusters.cluster(tenant, apis=apis, now=world.NOW, since="2026-10-02T08:00:00Z"),
        token=credential_view.token(state, namespace=tenant.namespace, now=world.NOW),
        apis=[clusters.api(one, provider=world.PROVIDER, now=world.NOW) for one in found],
        conditions=condition_view.rows(tenant.binding or {}, world.NOW),
        may_change=True,
        done=done,
        never=NEVER,
    )


def _ask(word: str) -> tuple[int, str]:
    one = _rows()[-1]
    api, _, ending, _ = (
        clusters.api(found, provider=world.PROVIDER, now=world.NOW) for found in world.exports(one.namespace)
    )
    found = {
        asks.ROTATE: lambda: asks.rotate(one, timedelta(minutes=10)),
        asks.REVOKE: lambda: asks.revoke(one),
        asks.UNBIND: lambda: asks.unbind(one, api),
        asks.KEEP: lambda: asks.keep(one, ending),
    }
    return 200, PAGES.render("confirm_change.html", SIGNED_IN, ask=found[word](), csrf="csrf-1")


def _admin() -> tuple[int, str]:
    return 200, PAGES.render(
        "admin.html",
        SIGNED_IN,
        tab="overview",
        tiles=[
            admin.Tile("Tenants", "184", "11 with trouble", f"{links.ADMIN_TENANTS}?only=trouble"),
            admin.Tile("Exports", "412", "3 with trouble", f"{links.ADMIN_EXPORTS}?only=trouble"),
            admin.Tile("Templates", "6", "all usable", ""),
        ],
        templates=[
            admin.TemplateRow(
                "postgresinstances.data.northwind.example",
                "default/postgres",
                Badge(Tone.GOOD, "offered"),
                "everyone",
            ),
            admin.TemplateRow(
                "buckets.storage.northwind.example",
                "default/buckets-2",
                Badge(Tone.WARN, "TemplateAmbiguous", "default/buckets is older and counts"),
                "groups shop, data",
            ),
        ],
    )


def _admin_tenants(*, empty: bool = False) -> tuple[int, str]:
    found = [] if empty else _rows()
    return 200, PAGES.render(
        "admin_tenants.html",
        SIGNED_IN,
        tab="tenants",
        page=admin.Slice(found, 2 if found else 1, 4 if found else 1, 184 if found else 0),
        search="",
        only=False,
    )


def _admin_exports() -> tuple[int, str]:
    found = [admin.export_row(one, world.NOW) for one in world.exports("cluster-7xk2pqm4ta")]
    return 200, PAGES.render(
        "admin_exports.html", SIGNED_IN, tab="exports", page=admin.Slice(found, 1, 1, 2), search="", only=True
    )


def _admin_tenant() -> tuple[int, str]:
    tenant, apis = world.tenants()[1]
    return 200, PAGES.render(
        "admin_tenant.html",
        SIGNED_IN,
        tab="tenants",
        cluster=clusters.cluster(tenant, apis=apis, now=world.NOW, since="2026-10-02T08:00:00Z"),
        token=credential_view.token(
            world.credential(tenant.namespace), namespace=tenant.namespace, now=world.NOW
        ),
        conditions=condition_view.rows(tenant.binding or {}, world.NOW),
        apis=[
            clusters.api(one, provider=world.PROVIDER, now=world.NOW)
            for one in world.exports(tenant.namespace)
        ],
        more=3,
        namespaces=[("shop", f"{tenant.namespace}-shop"), ("billing", "")],
    )


def _trouble(trouble: Trouble) -> tuple[int, str]:
    return trouble.status, PAGES.trouble(trouble, SIGNED_OUT)


_PAGES: Final[Mapping[str, Callable[[], tuple[int, str]]]] = {
    "/": lambda: _home(SIGNED_OUT),
    "/home/in": lambda: _home(SIGNED_IN),
    "/home/away": lambda: _home(
        SIGNED_OUT,
        trouble="Nobody can sign in at the moment: the identity provider does not answer.",
    ),
    "/resources/postgresinstances.data.northwind.example": lambda: _api(
        "postgresinstances.data.northwind.example", WAITING
    ),
    "/resources/buckets.storage.northwind.example": lambda: _api("buckets.storage.northwind.example"),
    "/bind": _confirm_bind,
    "/clusters": _clusters,
    "/clusters/none": lambda: _clusters(empty=True),
    "/clusters/cluster-7xk2pqm4ta": lambda: _cluster(0, done=asks.DONE[asks.ROTATE]),
    "/clusters/cluster-q9d4zr21bb": lambda: _cluster(1),
    "/clusters/cluster-0aa1bc88de": lambda: _cluster(2, bare=True),
    "/clusters/cluster-m3k9ss0p1f": lambda: _cluster(3),
    "/ask/rotate": lambda: _ask(asks.ROTATE),
    "/ask/revoke": lambda: _ask(asks.REVOKE),
    "/ask/unbind": lambda: _ask(asks.UNBIND),
    "/ask/keep": lambda: _ask(asks.KEEP),
    "/admin": _admin,
    "/admin/tenants": _admin_tenants,
    "/admin/tenants/none": lambda: _admin_tenants(empty=True),
    "/admin/exports": _admin_exports,
    "/admin/tenants/cluster-q9d4zr21bb": _admin_tenant,
    "/signed-out": lambda: (200, PAGES.render("signed_out.html", SIGNED_OUT, login="/login")),
    "/session-ended": lambda: (200, PAGES.render("session_ended.html", SIGNED_OUT, link="/login")),
    "/session-ended/again": lambda: (200, PAGES.render("session_ended.html", SIGNED_IN, link="/clusters")),
    "/error": lambda: _trouble(
        Trouble(
            status=403,
            title="This API is not offered to you",
            message="The platform team offers postgresinstances.data.northwind.example to some people only, and you are"
            " not among them.",
            next_step="Ask the platform team, or choose another API from the catalogue.",
            link=links.CATALOGUE,
            link_text="Open the catalogue",
        )
    ),
    "/error/session": lambda: _trouble(
        Trouble(
            status=401,
            title="Your session has ended",
            message="Sessions last for an hour.",
            next_step="Start again on the command line; it opens this page anew.",
            command=f"kubectl bind {world.BIND_URL}",
        )
    ),
}

PATHS: Final = (
    "/resources",
    "/resources?s=sid-1",
    "/resources?q=nothing-like-this",
    "/resources?empty=1",
    "/resources?others=1",
    "/resources?others=1&s=gone",
    *_PAGES,
)
"""Every page there is."""


def hostile_pages() -> dict[str, str]:
    """Pages in which every foreign text is hostile, and long."""
    hostile = world.HOSTILE + "W" * 300
    frame = Frame(hostile, Person(hostile, hostile, hostile), operator=True, logout=hostile, sid=hostile)
    waiting = Waiting(hostile, hostile, hostile)
    schema = {
        "description": hostile,
        "properties": {hostile: {"type": hostile, "enum": [hostile], "default": hostile}},
    }
    crd = world.crd(
        "dbs",
        "a.example",
        hostile,
        world.version(hostile, schema, deprecated=True, deprecationWarning=hostile),
    )
    claim = world.claim("secrets", names=[hostile], namespaces=[hostile], labelSelectors=[{hostile: hostile}])
    template = world.template("dbs", "a.example", claim, text=hostile)
    (offer,) = catalogue.offers(
        [template],
        {"dbs.a.example": crd}.get,
        policy=Policy(),
        provider=hostile,
        allowed=lambda _: True,
    )
    choice = templates.choose([template])
    assert choice is not None
    binding = world.cluster_binding(version_=hostile)
    binding["status"]["conditions"] = [
        {"type": hostile, "status": "False", "reason": hostile, "message": hostile}
    ]
    cluster = clusters.cluster(world.tenant("ns", hostile, binding, hostile), apis=1, now=world.NOW)
    export = world.export("dbs", "a.example", hostile, claim, bad=True)
    export["status"]["conditions"] = binding["status"]["conditions"]
    conditions = condition_view.rows(binding, world.NOW)
    api = clusters.api(export, provider=hostile, now=world.NOW)
    exports = admin.cut([admin.export_row(export, world.NOW)], 1)
    render = PAGES.render
    cards = PAGES.part("cards.html", offers=[offer], waiting=waiting)
    shared = {"never": "", "bind_url": "https://x/export"}
    return {
        "home": render("home.html", frame, login="/login", trouble=hostile, bind_url="https://x/export"),
        "catalogue": render(
            "catalogue.html", frame, offers=[offer], cards=cards, total=1, search=catalogue.search_text(hostile),
            waiting=waiting, others=(waiting,), lost=False, **shared
        ),
        "api": render(
            "api.html", frame, offer=offer, versions=shown(choice, crd), waiting=waiting, **shared
        ),
        "confirm": render(
            "confirm_bind.html", frame, offer=offer, waiting=waiting, target=hostile, action="/bind", csrf=hostile,
            link="", never="",
        ),
        "clusters": render("clusters.html", frame, clusters=[cluster], **shared),
        "cluster": render(
            "cluster.html", frame, cluster=cluster, token=None, apis=[api], conditions=conditions, may_change=True,
            done="", never="",
        ),
        "tenant": render(
            "admin_tenant.html", frame, tab="tenants", cluster=cluster, token=None, conditions=conditions, apis=[api],
            namespaces=[admin.mapping({"metadata": {"name": hostile}, "status": {"namespace": hostile}})],
            more=0,
        ),
        "exports": render(
            "admin_exports.html", frame, tab="exports", page=exports,
            search=catalogue.search_text(hostile), only=False,
        ),
        "error": PAGES.trouble(Trouble(400, hostile, hostile, hostile, hostile, "/", hostile), frame),
    }  # fmt: skip


HOSTILE: Final[Mapping[str, str]] = hostile_pages()


async def _serve(request: web.Request) -> web.StreamResponse:
    if request.path.startswith(STATIC):
        asset = PAGES.assets.get(request.path.removeprefix(STATIC))
        if asset is None:
            raise web.HTTPNotFound
        return web.Response(
            body=asset.body, headers={"Content-Type": asset.type, "Content-Security-Policy": CSP}
        )
    try:
        if request.path.startswith("/hostile/"):
            status, html = 200, HOSTILE[request.path.removeprefix("/hostile/")]
        else:
            status, html = page(request.path, request.query)
    except KeyError:
        raise web.HTTPNotFound from None
    headers = {
        "Content-Security-Policy": CSP,
        "Referrer-Policy": "no-referrer",
        "X-Content-Type-Options": "nosniff",
    }
    return web.Response(text=html, status=status, content_type="text/html", headers=headers)


def application() -> web.Application:
    """Serves all of them."""
    app = web.Application()
    app.router.add_get("/{path:.*}", _serve)
    return app


def person(name: str) -> Person:
    """Somebody else."""
    return Person(issuer=world.ANNA.issuer, subject=name, name=name.title())


if __name__ == "__main__":
    web.run_app(application(), host="127.0.0.1", port=8099)
